"""The market as its services see it: store, chain, the relayer's sender, clock and calendar."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.orm import Session

from market.clock import Clock
from market.domain.calendar import Calendar
from market.domain.typed_data import Domain, Message

CONTRACT_KEYS = {
    "ParticipantRegistry": "registry",
    "GridSignals": "signals",
    "CapacityRegister": "capacity_register",
    "MeritOrderAuction": "auction",
    "MeteringOracle": "metering",
    "Settlement": "settlement",
    "SettlementToken": "token",
}
"""Name of a contract → its key in the market's description."""


class Mined(Protocol):
    """What the sender says of a transaction that is on the chain."""

    @property
    def transaction_hash(self) -> str: ...
    @property
    def block(self) -> int: ...


class Sender(Protocol):
    """The one transaction sender of a key (market.chain.sender)."""

    def check(self, function: Any) -> None:
        """Raises ContractRefused when the call would fail now."""

    def send(self, function: Any, *, purpose: str, purpose_key: str) -> Mined:
        """Send once and wait until it is mined; the same purpose key twice is the same transaction."""


@dataclass(frozen=True)
class Market:
    """Everything that a service needs. `index` brings the projections up to the chain's head."""

    sessions: Callable[[], AbstractContextManager[Session]]
    chain_id: int
    contracts: Any
    addresses: dict[str, str]
    relayer: Sender
    relayer_address: str
    relayer_key: bytes = field(repr=False)
    index: Callable[[], None]
    clock: Clock
    calendar: Calendar
    parameters: dict[str, int]
    broker: dict[str, Any]
    public_url: str

    def now_s(self) -> int:
        return int(self.clock.now())

    def domain(self, message: Message | type[Message] | str) -> Domain:
        """The EIP-712 domain of a message, or of a contract by name."""
        name = message if isinstance(message, str) else message.CONTRACT
        return Domain(self.chain_id, self.addresses[name])

    def relay(self, function: Any, purpose: str, purpose_key: str) -> Mined:
        """Send by the relayer, then index, so that what was sent can be read. Raises ContractRefused."""
        mined = self.relayer.send(function, purpose=purpose, purpose_key=purpose_key)
        self.index()
        return mined


def purpose_key(*parts: object) -> str:
    """A deterministic key of what a transaction is for, short enough for the store."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
