"""The market as its services see it: store, chain, the relayer's sender, clock and calendar."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session
from web3.contract.contract import ContractFunction

from market.chain.bindings import Contracts
from market.chain.receipts import Receipt
from market.chain.sender import TransactionSender
from market.clock import Clock
from market.domain.calendar import Calendar
from market.domain.typed_data import Domain, Message
from market.services.certificates import GatewayCertificates


@dataclass(frozen=True)
class Market:
    """Everything that a service needs.

    sessions: a transaction that may write; reading: one that only reads; index: brings the projections up to the
    chain's head; broker: how gateways reach it; time_zone: of the local day; certificates: signs
    gateways' certificates for a broker that asks for them, None where they have passwords.
    """

    sessions: Callable[[], AbstractContextManager[Session]]
    reading: Callable[[], AbstractContextManager[Session]]
    contracts: Contracts
    relayer: TransactionSender
    relayer_key: bytes = field(repr=False)
    index: Callable[[], object]
    clock: Clock
    calendar: Calendar
    parameters: Mapping[str, Any]
    broker: Mapping[str, Any]
    public_url: str
    time_zone: str
    certificates: GatewayCertificates | None = None

    @property
    def chain_id(self) -> int:
        return self.contracts.deployment.chain_id

    @property
    def addresses(self) -> Mapping[str, str]:
        """Contract name → address."""
        return self.contracts.deployment.addresses

    def now_s(self) -> int:
        return int(self.clock.now())

    def domain(self, message: Message | type[Message] | str) -> Domain:
        """The EIP-712 domain of a message, or of a contract by name."""
        name = message if isinstance(message, str) else message.CONTRACT
        return Domain(self.chain_id, self.addresses[name])

    def check(self, function: ContractFunction) -> None:
        """Try a call of the relayer without sending it. Raises MeritgridError when the contract would refuse."""
        self.relayer.check(function)

    def relay(self, function: ContractFunction, key: str) -> Receipt:
        """Send by the relayer, once for each key, then index, so that what was sent can be read.

        Raises:
            MeritgridError: the contract refuses.
        """
        receipt = self.relayer.send(function, purpose=function.fn_name, purpose_key=key)
        self.index()
        return receipt


def purpose_key(*parts: object) -> str:
    """A deterministic key of what a transaction is for, short enough for the store."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
