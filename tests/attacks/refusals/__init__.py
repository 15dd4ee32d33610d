"""How each custom error of the contracts is reached: one row of the table for each error of each interface.

A row is a function that brings the arena to where a call fails and returns the call, who makes it, and the arguments
that the error must bear. tests/attacks/test_custom_errors.py walks through the table and holds it to the interfaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eth_typing import ChecksumAddress
from web3.contract.contract import ContractFunction

from tests.attacks.arena import Arena


@dataclass(frozen=True)
class Refused:
    """A call that fails, its caller, and what the error says."""

    call: ContractFunction
    caller: ChecksumAddress
    arguments: dict[str, Any]


Row = Callable[[Arena], Refused]
TABLE: dict[tuple[str, str], Row] = {}
"""(interface, error) -> its row."""


def reaches(interface: str, error: str) -> Callable[[Row], Row]:
    """Enters a row into the table."""

    def enter(row: Row) -> Row:
        assert (interface, error) not in TABLE, f"two rows for {interface}.{error}"
        TABLE[interface, error] = row
        return row

    return enter


def refused(call: ContractFunction, caller: ChecksumAddress, /, **arguments: Any) -> Refused:
    """A row's end; bytes stand as 0x hex, as Python decodes them."""
    shown = {name: "0x" + value.hex() if isinstance(value, bytes) else value for name, value in arguments.items()}
    return Refused(call, caller, shown)
