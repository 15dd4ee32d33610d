"""Reads what the invariant tests wrote about themselves: how often each call was made and each state was reached."""

from __future__ import annotations

import json
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eth_utils.abi import function_abi_to_4byte_selector

from market.chain.deployment import CONTRACT_NAMES

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "contracts" / "artifacts"

INTERNAL_CALLS: Final = frozenset(
    {
        "ParticipantRegistry.suspendSeat",
        "ParticipantRegistry.setCover",
        "Settlement.unseatGateway",
        "Settlement.lock",
        "Settlement.moveEscrow",
        "Settlement.release",
        "Settlement.openAwards",
        "Settlement.reserveForCommand",
        "Settlement.payAvailability",
    }
)
"""What only another contract of the market may call: everybody's call has to be refused."""


@dataclass
class Coverage:
    """Sums over all runs of a campaign.

    tried, accepted: of each external call by `Contract.function`; spoilt, spoilt_accepted: of its spoilt forms; errors:
    refusals by the error's name; reached: states and outcomes.
    """

    tried: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    spoilt: Counter[str] = field(default_factory=Counter)
    spoilt_accepted: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)

    @property
    def gaps(self) -> list[str]:
        """What a campaign should have done and has not: empty when it has shown enough."""
        calls = set(state_changing_calls().values())
        never = sorted(name for name in calls - INTERNAL_CALLS if not self.accepted[name])
        untried = sorted(name for name in INTERNAL_CALLS if not self.tried[name])
        return never + untried + sorted(REQUIRED - self.reached.keys())

    @property
    def contract_calls(self) -> int:
        """All calls of a contract, the spoilt ones too."""
        return self.tried.total() + self.spoilt.total()


def _abi(name: str) -> list[Any]:
    content: dict[str, list[Any]] = json.loads((ARTIFACTS / f"{name}.json").read_text(encoding="utf-8"))
    return content["abi"]


def state_changing_calls() -> dict[bytes, str]:
    """Every external call of the seven contracts that is no view, by selector."""
    calls: dict[bytes, str] = {}
    for name in CONTRACT_NAMES:
        for entry in _abi(name):
            if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable"):
                calls[function_abi_to_4byte_selector(entry)] = f"{name}.{entry['name']}"
    return calls


def error_names() -> dict[bytes, str]:
    """Every custom error of the contracts, by selector."""
    names: dict[bytes, str] = {}
    for path in sorted(ARTIFACTS.glob("*.json")):
        for entry in _abi(path.stem):
            if entry["type"] == "error":
                names[function_abi_to_4byte_selector(entry)] = str(entry["name"])
    return names


REQUIRED: Final = frozenset(
    {
        *(f"status {status}" for status in range(1, 6)),
        *(f"BUY outcome {outcome}" for outcome in range(1, 6)),
        *(f"SELL outcome {outcome}" for outcome in range(1, 6)),
        *(f"broken rule {rule}" for rule in range(1, 7)),
        *(f"bid revision {revision}" for revision in range(3)),
        *(f"phase {phase}" for phase in range(3)),
        *(f"product {product}" for product in (1, 3, 6)),
        "award read: P-256 gateway",
        "bid: reserved",
        "bid: withdrawal",
        "cleared again",
        "clearing: chunk",
        "clearing: passed over 16",
        "clearing: the 17th",
        "command: beside a paid award",
        "command: delivered",
        "command: nothing delivered",
        "command: reserved in part",
        "command: unpaid in part",
        "enrolled: P-256 gateway",
        "final: more than one leaf",
        "forged claim: harmless",
        "forged claim: refused",
        "hold: lapsed",
        "hold: not upheld",
        "hold: upheld",
        "interrupted: BUY",
        "readings annulled",
        "verdict: nothing rejected",
        "verdict: some rejected",
    }
)
"""States and outcomes without which a campaign has shown too little."""


def read_coverage(folder: Path) -> Coverage:
    """Adds up the lines of all runs, one for each, in `folder`/*.counts.

    Raises KeyError for a call or an error that no contract has.
    """
    calls, errors = state_changing_calls(), error_names()
    coverage = Coverage()
    for path in sorted(folder.glob("*.counts")):
        for line in path.read_text(encoding="ascii").splitlines():
            for key, tried, accepted in struct.iter_unpack(">32sQQ", bytes.fromhex(line.removeprefix("0x"))):
                group, detail = key[:6].rstrip(b"\0"), key[7:11]
                if group == b"call":
                    coverage.tried[calls[detail]] += tried
                    coverage.accepted[calls[detail]] += accepted
                elif group == b"spoilt":
                    coverage.spoilt[calls[detail]] += tried
                    coverage.spoilt_accepted[calls[detail]] += accepted
                elif group == b"error":
                    coverage.errors[errors[detail]] += tried
                else:
                    coverage.reached[_reached_name(key)] += tried
    return coverage


def _reached_name(key: bytes) -> str:
    """The text, and the number that may follow it as one byte after a blank."""
    text = key.rstrip(b"\0")
    if all(32 <= byte < 127 for byte in text) and not text.endswith(b" "):
        return text.decode("ascii")
    head = text.rstrip(b" ") if text.endswith(b" ") else text[:-2]
    number = 0 if text.endswith(b" ") else text[-1]
    return f"{head.decode('ascii')} {number}"
