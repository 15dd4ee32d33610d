"""The contracts' calls, errors and events as bytes, by their ABIs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from eth_abi.abi import decode, encode

from market.chain.bindings import artifact
from market.chain.deployment import CONTRACT_NAMES
from market.domain.claim_check import Progress
from market.domain.hashing import keccak256
from tests.contracts_properties.auction_house import progress_argument

UNPREDICTED = frozenset({"Transfer", "Approval", "RoleGranted", "RoleRevoked", "ClearingProgressed"})
"""Events that the model says nothing about: of OpenZeppelin's parts, and the progress of a claim."""

NEVER_EMITTED = frozenset({"RoleAdminChanged", "EIP712DomainChanged"})
"""The first only while the contracts are created, the second by contracts that change their domain: ours do not."""


def _type_of(parameter: Mapping[str, Any]) -> str:
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_type_of, parameter['components']))}){kind.removeprefix('tuple')}"


def plain(value: Any) -> Any:
    """A value in the one form in which the chain's and the model's are compared."""
    if isinstance(value, str) and value.startswith("0x"):
        return value.lower()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return value


@dataclass(frozen=True)
class Entry:
    """A function, an error or an event. types: of its inputs; indexed: which of them are in the topics."""

    name: str
    types: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    indexed: tuple[bool, ...] = ()

    @classmethod
    def of(cls, abi: Mapping[str, Any]) -> Entry:
        inputs, outputs = abi["inputs"], abi.get("outputs", ())
        return cls(
            abi["name"],
            tuple(map(_type_of, inputs)),
            tuple(map(_type_of, outputs)),
            tuple(bool(given.get("indexed")) for given in inputs),
        )

    @property
    def hash(self) -> bytes:
        return keccak256(f"{self.name}({','.join(self.types)})".encode())


@dataclass
class Contracts:
    """All of them at their addresses."""

    addresses: Mapping[str, str]
    _functions: dict[tuple[str, str], tuple[bytes, Entry]] = field(default_factory=dict)
    _errors: dict[bytes, Entry] = field(default_factory=dict)
    _events: dict[bytes, Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*CONTRACT_NAMES, "SettlementJudge"):
            for abi in artifact(name)["abi"]:
                if abi["type"] not in ("function", "error", "event"):
                    continue
                entry = Entry.of(abi)
                if abi["type"] == "function":
                    self._functions[name, entry.name] = (entry.hash[:4], entry)
                elif abi["type"] == "error":
                    self._errors[entry.hash[:4]] = entry
                else:
                    self._events[entry.hash] = entry

    def mutating(self) -> set[str]:
        """Contract.function of everything that can be called and changes something."""
        return {
            f"{name}.{abi['name']}"
            for name in CONTRACT_NAMES
            for abi in artifact(name)["abi"]
            if abi["type"] == "function" and abi["stateMutability"] not in ("view", "pure")
        }

    def predicted(self) -> set[str]:
        """Names of the events that the model foretells."""
        names = {abi["name"] for name in CONTRACT_NAMES for abi in artifact(name)["abi"] if abi["type"] == "event"}
        return names - UNPREDICTED - NEVER_EMITTED

    def data(self, contract: str, function: str, arguments: Iterable[Any]) -> bytes:
        """Calldata of a call."""
        selector, entry = self._functions[contract, function]
        given = [
            progress_argument(value) if value is None or isinstance(value, Progress) else value for value in arguments
        ]
        return selector + encode(entry.types, given)

    def result(self, contract: str, function: str, data: bytes) -> tuple[Any, ...]:
        """What a reader returned."""
        return tuple(plain(decode(self._functions[contract, function][1].outputs, data)))

    def error(self, data: bytes) -> tuple[Any, ...]:
        """(name, arguments) of a revert."""
        entry = self._errors.get(data[:4])
        if entry is None:
            return ("0x" + data.hex(),)
        return (entry.name, *plain(decode(entry.types, data[4:])))

    def events(self, receipt: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """(name, arguments in order) of a receipt's events that the model predicts."""
        known = (self._event(log) for log in receipt["logs"])
        return [event for event in known if event[0] not in UNPREDICTED]

    def _event(self, log: Mapping[str, Any]) -> tuple[Any, ...]:
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        entry = self._events[topics[0]]
        pairs = list(zip(entry.types, entry.indexed, strict=True))
        in_topics = iter(
            decode((kind,), topic)[0]
            for (kind, _), topic in zip((pair for pair in pairs if pair[1]), topics[1:], strict=True)
        )
        in_data = iter(decode([kind for kind, indexed in pairs if not indexed], bytes.fromhex(log["data"][2:])))
        return (entry.name, *(plain(next(in_topics if indexed else in_data)) for _, indexed in pairs))
