"""What the oracle's jobs share: store, chain, its own sender, clock and calendar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine

from market.chain.bindings import Contracts
from market.chain.sender import TransactionSender
from market.clock import Clock
from market.domain.calendar import Calendar
from market.domain.typed_data import Domain


@dataclass(frozen=True)
class Oracle:
    """The oracle. `index` brings the projections up to the chain's head."""

    engine: Engine
    contracts: Contracts
    sender: TransactionSender
    key: bytes = field(repr=False)
    index: Callable[[], object]
    clock: Clock
    calendar: Calendar

    @property
    def settlement(self) -> Domain:
        """Domain of readings, dispatches, acknowledgements and seals."""
        return Domain(self.contracts.deployment.chain_id, self.contracts.deployment.addresses["Settlement"])

    def now_s(self) -> int:
        return int(self.clock.now())
