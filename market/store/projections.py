"""What the chain's events say of participants, signals, requests and auctions. `reindex` rebuilds all of it.

Codes (side, direction, product, phase, status, outcome …) are the chain's: enums of market.domain.
"""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from market.store.base import Address, BigInt, Code, Hash32, JsonValue, Name, Projection, Raw, SmallInt, UInt64


class ChainEvent(Projection):
    """Every event of the market's contracts in the chain's order; the projections follow from it."""

    __tablename__ = "chain_events"
    __table_args__ = (Index(None, "contract", "event"), Index(None, "subject"))

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    block_time: Mapped[BigInt]
    transaction: Mapped[Hash32] = mapped_column(index=True)
    contract: Mapped[Code]
    event: Mapped[Code]
    subject: Mapped[Name]
    """Its first indexed argument: an offer, request, nanogrid, node or account, as text."""
    arguments: Mapped[JsonValue]


class IndexedBlock(Projection):
    """Hash of a block at which an indexing range ended: where a fork is looked for on chains that are not final."""

    __tablename__ = "indexed_blocks"

    number: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[Hash32]


class IndexerCursor(Projection):
    """Last finished block, one row (id 1)."""

    __tablename__ = "indexer_cursor"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    block: Mapped[BigInt]
    block_hash: Mapped[Hash32]
    block_time: Mapped[BigInt]


class RoleHolding(Projection):
    """A role that an account holds now: OPERATOR, ORACLE, REFEREE, DSO, TSO, AGGREGATOR, AUDITOR, PROSUMER, ADMIN."""

    __tablename__ = "role_holdings"

    account: Mapped[Address] = mapped_column(primary_key=True)
    role: Mapped[Code] = mapped_column(primary_key=True)
    granted_at: Mapped[BigInt]
    granted_by: Mapped[Address]


class Node(Projection):
    """A dispatch point."""

    __tablename__ = "nodes"

    node: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    dso: Mapped[Address] = mapped_column(index=True)
    name: Mapped[Name]
    registered_at: Mapped[BigInt]


class Portfolio(Projection):
    """One aggregator's nanogrids at one node."""

    __tablename__ = "portfolios"

    portfolio: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    node: Mapped[BigInt] = mapped_column(index=True)
    aggregator: Mapped[Address] = mapped_column(index=True)
    name: Mapped[Name]
    seat_count: Mapped[int] = mapped_column(default=0)
    registered_at: Mapped[BigInt]


class Nanogrid(Projection):
    """A seat: its owner, signer and limits, gateway, money. Active for intervals in [active_from, active_until)."""

    __tablename__ = "nanogrids"

    nanogrid: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    portfolio: Mapped[BigInt] = mapped_column(index=True)
    node: Mapped[BigInt] = mapped_column(index=True)
    index: Mapped[int]
    owner: Mapped[Address] = mapped_column(index=True)
    owned_since: Mapped[BigInt] = mapped_column(default=0, server_default="0")
    """When it came to its owner from another; 0: it has had no other. What was before is not the owner's to see."""
    announced_owner: Mapped[Address | None]
    """To whom the operator would give it without the owner's signature, from `transfer_possible_from` on."""
    transfer_possible_from: Mapped[BigInt | None]
    rated_power_w: Mapped[BigInt]
    emergency_price_ueur_kwh: Mapped[BigInt]
    active_from: Mapped[BigInt]
    active_until: Mapped[BigInt | None]
    suspended: Mapped[bool] = mapped_column(default=False)
    suspended_reason: Mapped[Hash32 | None]
    signer: Mapped[Address | None] = mapped_column(index=True)
    """The seated key: the owner, or its delegate; null until the chain has named one."""
    signer_expiry_day: Mapped[int] = mapped_column(default=0)
    lowest_price_ueur_kwh: Mapped[BigInt] = mapped_column(default=0)
    largest_quantity: Mapped[int] = mapped_column(default=0)
    signer_cover_cents: Mapped[int] = mapped_column(default=0)
    cover_cents: Mapped[int] = mapped_column(default=0)
    """Of the seat: bond / 8, for bids that the owner signs beside a delegate."""
    gateway: Mapped[Address | None] = mapped_column(index=True)
    balance_ueur: Mapped[BigInt] = mapped_column(default=0)
    bond_ueur: Mapped[BigInt] = mapped_column(default=0)
    unbonding_ueur: Mapped[BigInt] = mapped_column(default=0)
    unbonding_available_at: Mapped[BigInt | None]
    debt_ueur: Mapped[BigInt] = mapped_column(default=0)
    registered_at: Mapped[BigInt]


class Pause(Projection):
    """Whether a product (0: all) is paused at a node."""

    __tablename__ = "pauses"

    node: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    product: Mapped[SmallInt] = mapped_column(primary_key=True, autoincrement=False)
    paused: Mapped[bool]
    changed_at: Mapped[BigInt]


class GridSignal(Projection):
    """One setting of a node's traffic light; history is kept, the highest sequence counts for each kind."""

    __tablename__ = "signals"

    node: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    interval: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[SmallInt] = mapped_column(primary_key=True, autoincrement=False)
    sequence: Mapped[UInt64] = mapped_column(primary_key=True, autoincrement=False)
    phase: Mapped[SmallInt]
    reason: Mapped[Hash32]
    author: Mapped[Address]
    set_at: Mapped[BigInt]


class TsoValidation(Projection):
    """The DSO's answer to a TSO's request at a node."""

    __tablename__ = "tso_validations"

    request: Mapped[Hash32] = mapped_column(primary_key=True)
    node: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    accepted: Mapped[bool]
    reason: Mapped[Hash32]
    validated_at: Mapped[BigInt]


class FlexibilityRequest(Projection):
    """A DSO's need at a node for consecutive intervals (see RequestInterval), with its money in escrow."""

    __tablename__ = "requests"

    request: Mapped[Hash32] = mapped_column(primary_key=True)
    node: Mapped[BigInt] = mapped_column(index=True)
    dso: Mapped[Address]
    first_interval: Mapped[BigInt] = mapped_column(index=True)
    interval_count: Mapped[int]
    product: Mapped[SmallInt]
    direction: Mapped[SmallInt]
    price_ueur_kwh: Mapped[BigInt]
    escrow_ueur: Mapped[BigInt]
    published_at: Mapped[BigInt]
    transaction: Mapped[Hash32]


class RequestInterval(Projection):
    """One interval of a request."""

    __tablename__ = "request_intervals"
    __table_args__ = (Index(None, "interval"),)

    request: Mapped[Hash32] = mapped_column(primary_key=True)
    interval: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    quantity: Mapped[BigInt]
    accepted: Mapped[BigInt] = mapped_column(default=0)
    """Sum of the quantities of the offers that answer it; cancelled, expired and unawarded parts are free again."""
    reclaimed_ueur: Mapped[BigInt | None]


class Offer(Projection):
    """An aggregator's invitation and its auction."""

    __tablename__ = "offers"
    __table_args__ = (
        Index(None, "portfolio", "interval"),
        Index(None, "node", "interval"),
        Index(None, "status", "gate_closure"),
    )

    offer: Mapped[Hash32] = mapped_column(primary_key=True)
    portfolio: Mapped[BigInt]
    node: Mapped[BigInt]
    aggregator: Mapped[Address]
    request: Mapped[Hash32 | None] = mapped_column(index=True)
    """Null: INTERNAL."""
    interval: Mapped[BigInt] = mapped_column(index=True)
    side: Mapped[SmallInt]
    direction: Mapped[SmallInt]
    product: Mapped[SmallInt]
    kind: Mapped[SmallInt]
    quantity: Mapped[BigInt]
    limit_price_ueur_kwh: Mapped[BigInt]
    gate_closure: Mapped[BigInt]
    opened_at: Mapped[BigInt]
    transaction: Mapped[Hash32]
    status: Mapped[SmallInt]
    """Code of market.domain.states.OfferStatus."""
    bid_count: Mapped[int] = mapped_column(default=0)
    skipped_count: Mapped[int] = mapped_column(default=0)
    chain: Mapped[Hash32]
    """Hash chain over the posted records."""
    marginal_rank: Mapped[BigInt | None]
    """Rank of the claim's marginal bid; null before clearing and when every bid that counts was reached."""
    awarded: Mapped[BigInt | None]
    award_count: Mapped[int | None]
    awards_root: Mapped[Hash32 | None]
    cleared_at: Mapped[BigInt | None]
    cleared_again: Mapped[bool] = mapped_column(default=False)
    verdict_at: Mapped[BigInt | None]
    finalised_at: Mapped[BigInt | None]
    ended_at: Mapped[BigInt | None]
    """When it was cancelled or expired."""
    escrow_ueur: Mapped[BigInt | None]
    """What its awards reserve; null until final."""
    freed_ueur: Mapped[BigInt | None]


class PostedBid(Projection):
    """A record that the chain accepted, at its place in posting order."""

    __tablename__ = "posted_bids"
    __table_args__ = (Index(None, "offer", "nanogrid"), Index(None, "nanogrid"))

    offer: Mapped[Hash32] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    record: Mapped[Raw]
    """The 12 bytes as the chain holds them, the reserved flag included."""
    nanogrid: Mapped[BigInt]
    index: Mapped[int]
    price_ueur_kwh: Mapped[BigInt]
    quantity: Mapped[int]
    minimum: Mapped[int]
    revision: Mapped[SmallInt]
    reserved: Mapped[bool]
    counts: Mapped[bool]
    """Whether it is its nanogrid's last record of the offer and no withdrawal."""
    posted_at: Mapped[BigInt]
    transaction: Mapped[Hash32]


class SkippedBid(Projection):
    """A record of a batch that the chain refused."""

    __tablename__ = "skipped_bids"
    __table_args__ = (Index(None, "offer", "nanogrid"),)

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    offer: Mapped[Hash32]
    record: Mapped[Raw]
    nanogrid: Mapped[BigInt]
    index: Mapped[int]
    price_ueur_kwh: Mapped[BigInt]
    quantity: Mapped[int]
    minimum: Mapped[int]
    revision: Mapped[SmallInt]
    reason: Mapped[SmallInt]
    """Code of market.domain.errors.BidRejection."""
    skipped_at: Mapped[BigInt]
    transaction: Mapped[Hash32]


class GridVerdict(Projection):
    """The DSO's verdict on a cleared offer."""

    __tablename__ = "verdicts"

    offer: Mapped[Hash32] = mapped_column(primary_key=True)
    rejected: Mapped[Raw]
    """Bitmap over the posting order, least significant bit first."""
    reasons: Mapped[Hash32]
    author: Mapped[Address]
    given_at: Mapped[BigInt]


class Award(Projection):
    """What a final result gives to one bid, and how it ended. Amounts are null until it is settled."""

    __tablename__ = "awards"
    __table_args__ = (
        Index(None, "nanogrid", "interval"),
        Index(None, "interval", "outcome"),
    )

    offer: Mapped[Hash32] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int]
    record: Mapped[Raw]
    """The 12-byte award record, a part of a leaf of the awards' tree."""
    nanogrid: Mapped[BigInt]
    index: Mapped[int]
    interval: Mapped[BigInt]
    kind: Mapped[SmallInt]
    price_ueur_kwh: Mapped[BigInt]
    quantity: Mapped[int]
    reserved: Mapped[bool]
    final_at: Mapped[BigInt]
    outcome: Mapped[SmallInt | None]
    """Code of market.domain.settlement.Outcome; null until it is settled."""
    delivered: Mapped[int | None]
    baseline: Mapped[int | None]
    metered: Mapped[int | None]
    paid_ueur: Mapped[BigInt | None]
    margin_ueur: Mapped[BigInt | None]
    refunded_ueur: Mapped[BigInt | None]
    penalty_ueur: Mapped[BigInt | None]
    settled_at: Mapped[BigInt | None]
    settle_transaction: Mapped[Hash32 | None]


class GridCommand(Projection):
    """A RED command, and how it ended."""

    __tablename__ = "commands"
    __table_args__ = (Index(None, "interval"),)

    nanogrid: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    interval: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    product: Mapped[SmallInt]
    direction: Mapped[SmallInt]
    quantity: Mapped[int]
    price_ueur_kwh: Mapped[BigInt]
    reserved_ueur: Mapped[BigInt]
    dso: Mapped[Address]
    """Whose deposit pays."""
    reason: Mapped[Hash32]
    given_at: Mapped[BigInt]
    transaction: Mapped[Hash32]
    delivered: Mapped[int | None]
    baseline: Mapped[int | None]
    metered: Mapped[int | None]
    paid_ueur: Mapped[BigInt | None]
    refunded_ueur: Mapped[BigInt | None]
    unpaid_ueur: Mapped[BigInt | None]
    settled_at: Mapped[BigInt | None]
    settle_transaction: Mapped[Hash32 | None]
