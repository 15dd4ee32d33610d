"""What each event of the contracts tells: rows of a table, at least one for each event of each interface.

A row is a function that brings the arena to where a call emits the event and returns the call, who makes it, and the
fields that the event must bear. tests/attacks/test_events.py walks through the table and holds it to the interfaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eth_typing import ChecksumAddress
from web3.contract.contract import ContractFunction

from tests.attacks.arena import Arena


@dataclass(frozen=True)
class Emitted:
    """A call, its caller, and what the only event of that name in it tells."""

    call: ContractFunction
    caller: ChecksumAddress
    fields: dict[str, Any]


Row = Callable[[Arena], Emitted]
TABLE: dict[tuple[str, str, str], Row] = {}
"""(interface, event, on what occasion) -> its row."""


def emits(interface: str, event: str, occasion: str = "") -> Callable[[Row], Row]:
    """Enters a row into the table; `occasion` where an event has several."""

    def enter(row: Row) -> Row:
        assert (interface, event, occasion) not in TABLE, f"two rows for {interface}.{event} {occasion}"
        TABLE[interface, event, occasion] = row
        return row

    return enter


def emitted(call: ContractFunction, caller: ChecksumAddress, /, **fields: Any) -> Emitted:
    """A row's end."""
    return Emitted(call, caller, fields)
