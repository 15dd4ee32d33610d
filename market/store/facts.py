"""What happened, as it was received: rows are added, and only their progress columns change."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from sqlalchemy import Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from market.domain.units import NO_BASELINE
from market.store.base import Address, Base, BigInt, Code, Hash32, JsonValue, Name, Raw, RowId, SmallInt


class BidState(StrEnum):
    """Way of a received bid."""

    RECEIVED = "RECEIVED"
    """Its receipt is given; it is not on the chain yet."""
    POSTED = "POSTED"
    """The chain accepted it at `position`."""
    SKIPPED = "SKIPPED"
    """The chain refused it for `reason`."""
    LATE = "LATE"
    """It was not posted before the gate closed."""


class SignedDecision(Base):
    """An EIP-712 message of a DSO, aggregator, owner or account that the market received and carries to the chain."""

    __tablename__ = "signed_decisions"

    id: Mapped[RowId]
    kind: Mapped[Code] = mapped_column(index=True)
    """Name of the EIP-712 struct."""
    signer: Mapped[Address] = mapped_column(index=True)
    message: Mapped[JsonValue]
    signature: Mapped[Raw]
    digest: Mapped[Hash32] = mapped_column(unique=True)
    """EIP-712 digest; for Request and Offer also the id on the chain."""
    subject: Mapped[Name | None] = mapped_column(index=True)
    """What it is about: a node, offer, nanogrid or account, as text."""
    received_at: Mapped[BigInt]


class Document(Base):
    """A published document whose keccak256 stands on the chain: reasons of signals, verdicts, commands and holds."""

    __tablename__ = "documents"

    hash: Mapped[Hash32] = mapped_column(primary_key=True)
    kind: Mapped[Code]
    body: Mapped[str] = mapped_column(Text)
    """Exactly the text that was hashed (UTF-8 JSON)."""
    created_at: Mapped[BigInt]


_IS_LIVE: Final = text("state IN ('RECEIVED', 'POSTED')")


class BidReceived(Base):
    """A signed bid with the relayer's receipt."""

    __tablename__ = "bids_received"
    __table_args__ = (
        Index(None, "offer", "state"),
        Index(None, "nanogrid", "interval"),
        # Two processes may receive bids of one nanogrid at once: only one of a revision gets a receipt.
        Index(
            "uq_bids_received_live",
            "offer",
            "nanogrid",
            "revision",
            unique=True,
            sqlite_where=_IS_LIVE,
            postgresql_where=_IS_LIVE,
        ),
    )

    id: Mapped[RowId]
    offer: Mapped[Hash32]
    nanogrid: Mapped[BigInt]
    index: Mapped[int]
    interval: Mapped[BigInt]
    price_ueur_kwh: Mapped[BigInt]
    quantity: Mapped[int]
    """Wh, or varh of a reactive product; 0 withdraws."""
    minimum: Mapped[int]
    revision: Mapped[SmallInt]
    signature: Mapped[Raw]
    """Compact (EIP-2098), 64 bytes."""
    signer: Mapped[Address]
    digest: Mapped[Hash32] = mapped_column(unique=True)
    received_at: Mapped[BigInt]
    receipt_signature: Mapped[Raw]
    state: Mapped[Code] = mapped_column(default=BidState.RECEIVED)
    reason: Mapped[Code | None]
    """Why it was skipped (name of BidRejection) or came too late."""
    refusal_signature: Mapped[Raw | None]
    """The relayer's, over the BidRefusal of a bid that was not posted."""
    refused_at: Mapped[BigInt | None]
    position: Mapped[int | None]


class Reading(Base):
    """A gateway's signed reading of one interval, in the order of its sequence numbers.

    The natural key makes inserts idempotent; on PostgreSQL the table is partitioned by month of the interval.
    """

    __tablename__ = "readings"
    __table_args__ = (
        Index(None, "gateway", "sequence"),
        Index(None, "interval"),
        {"postgresql_partition_by": "RANGE (interval)"},
    )

    nanogrid: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    interval: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    gateway: Mapped[Address]
    active_energy_wh: Mapped[int]
    """Net energy at the connection point, + is withdrawal."""
    reactive_energy_varh: Mapped[int]
    payload: Mapped[Raw]
    """The message exactly as the gateway sent it."""
    signature: Mapped[Raw]
    """Compact (EIP-2098) over the EIP-712 Reading, 64 bytes."""
    digest: Mapped[Hash32]
    previous_hash: Mapped[Hash32]
    salt: Mapped[Raw]
    """32 random bytes of its leaf in the anchored tree."""
    quality: Mapped[Code]
    received_at: Mapped[BigInt]


class Quarantined(Base):
    """A message that was refused; it stops nothing else."""

    __tablename__ = "quarantine"
    __table_args__ = (Index(None, "gateway", "sequence"),)

    id: Mapped[RowId]
    topic: Mapped[Name]
    payload: Mapped[Raw]
    """At most 16 KiB of it."""
    reason: Mapped[Code] = mapped_column(index=True)
    sentence: Mapped[str] = mapped_column(Text)
    received_at: Mapped[BigInt]
    gateway: Mapped[Address | None]
    sequence: Mapped[BigInt | None]
    """Of a reading that came in its place and was refused for what it says: the gateway's chain goes on behind it."""


class Acknowledgement(Base):
    """A gateway's signed answer to a dispatch."""

    __tablename__ = "acknowledgements"
    __table_args__ = (UniqueConstraint("dispatch", "state"),)

    id: Mapped[RowId]
    dispatch: Mapped[Hash32]
    gateway: Mapped[Address]
    nanogrid: Mapped[BigInt] = mapped_column(index=True)
    state: Mapped[SmallInt]
    """Code of market.domain.states.DispatchState."""
    at: Mapped[BigInt]
    reason: Mapped[str | None] = mapped_column(Text)
    signature: Mapped[Raw]
    received_at: Mapped[BigInt]


class GatewayStatus(Base):
    """A gateway's birth message or last will."""

    __tablename__ = "gateway_statuses"
    __table_args__ = (Index(None, "gateway", "received_at"),)

    id: Mapped[RowId]
    gateway: Mapped[Address]
    nanogrid: Mapped[BigInt | None] = mapped_column(index=True)
    online: Mapped[bool]
    software_version: Mapped[Name | None]
    state: Mapped[JsonValue | None]
    """Summary of the plant as sent: state of charge in per mille, limits, sequence."""
    received_at: Mapped[BigInt]


class Baseline(Base):
    """A nominated baseline vector of a portfolio, as it is anchored and dispatched."""

    __tablename__ = "baselines"

    portfolio: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    interval: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[SmallInt] = mapped_column(primary_key=True, autoincrement=False)
    values: Mapped[JsonValue]
    """Wh (varh) of the interval by nanogrid index, load convention; None where nothing is forecast for a seat."""
    root: Mapped[Hash32]
    method: Mapped[Code] = mapped_column(default="NOMINATED")
    nominated_at: Mapped[BigInt]
    anchor_transaction: Mapped[Hash32 | None]

    @property
    def vector(self) -> list[int]:
        """The values as they are anchored."""
        return [NO_BASELINE if value is None else value for value in self.values]

    def value_of(self, index: int) -> int | None:
        """Value of a nanogrid index; None for one without baseline, which can neither sell nor be dispatched."""
        value: int | None = self.values[index] if index < len(self.values) else None
        return value


class AuditEntry(Base):
    """Every change of state that people or services cause: when, by whom, why, of what."""

    __tablename__ = "event_log"
    __table_args__ = (Index(None, "object_kind", "object_id"),)

    id: Mapped[RowId]
    at: Mapped[BigInt] = mapped_column(index=True)
    author: Mapped[Name]
    """Address, API key subject or name of the service."""
    cause: Mapped[Name]
    object_kind: Mapped[Code]
    object_id: Mapped[Name]
    details: Mapped[JsonValue | None]
