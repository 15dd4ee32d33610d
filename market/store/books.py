"""What the chain's events say of money, baselines, readings and capacity contracts. `reindex` rebuilds all of it."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from market.store.base import Address, BigInt, Code, Hash32, Projection, SmallInt


class LedgerKind(StrEnum):
    """Why a balance changed."""

    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    PAY_OUT = "PAY_OUT"
    ESCROW_LOCKED = "ESCROW_LOCKED"
    ESCROW_RELEASED = "ESCROW_RELEASED"
    AWARD_PAID = "AWARD_PAID"
    MARGIN = "MARGIN"
    REFUND = "REFUND"
    PENALTY = "PENALTY"
    SALE = "SALE"
    COMMAND_PAID = "COMMAND_PAID"
    COMMAND_CHARGED = "COMMAND_CHARGED"
    AVAILABILITY = "AVAILABILITY"
    HOLD_BOND = "HOLD_BOND"
    DEBT_PAID = "DEBT_PAID"
    BOND_FUNDED = "BOND_FUNDED"
    BOND_WITHDRAWN = "BOND_WITHDRAWN"


class Purse(StrEnum):
    """Which balance an entry changes."""

    ACCOUNT = "ACCOUNT"
    SEAT = "SEAT"
    BOND = "BOND"


class Account(Projection):
    """An address's balance and debt in Settlement."""

    __tablename__ = "accounts"

    account: Mapped[Address] = mapped_column(primary_key=True)
    balance_ueur: Mapped[BigInt] = mapped_column(default=0)
    debt_ueur: Mapped[BigInt] = mapped_column(default=0)


class SeatDebt(Projection):
    """What a seat owes a creditor; `nanogrids.debt_ueur` is the sum."""

    __tablename__ = "seat_debts"

    nanogrid: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    creditor: Mapped[Address] = mapped_column(primary_key=True)
    debt_ueur: Mapped[BigInt]


class LedgerEntry(Projection):
    """One change of one balance: a line of a statement. The entries of a purse sum up to its balance."""

    __tablename__ = "ledger_entries"
    __table_args__ = (Index(None, "account", "block"), Index(None, "nanogrid", "block"))

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    part: Mapped[SmallInt] = mapped_column(primary_key=True, autoincrement=False)
    """Number of the entry among those of one event."""
    purse: Mapped[Code]
    account: Mapped[Address | None]
    """Whose balance it is (purse ACCOUNT)."""
    nanogrid: Mapped[BigInt | None]
    """Whose balance or bond it is (purses SEAT and BOND), else the seat that it is about."""
    kind: Mapped[Code]
    amount_ueur: Mapped[BigInt]
    """Positive is a credit."""
    reference: Mapped[Hash32 | None]
    """Offer, request or escrow that it is about."""
    ordinal: Mapped[int | None]
    interval: Mapped[BigInt | None]
    at: Mapped[BigInt]
    transaction: Mapped[Hash32]


class EscrowMovement(Projection):
    """Money into, between and out of the escrows of requests, offers, commands and holds."""

    __tablename__ = "escrow_movements"
    __table_args__ = (Index(None, "from_id"), Index(None, "to_id"))

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[Code]
    """LOCKED, MOVED or RELEASED."""
    from_id: Mapped[Hash32 | None]
    to_id: Mapped[Hash32 | None]
    account: Mapped[Address | None]
    amount_ueur: Mapped[BigInt]
    at: Mapped[BigInt]
    transaction: Mapped[Hash32]


class TokenTransfer(Projection):
    """A transfer, mint (no sender) or burn (no receiver) of the settlement token."""

    __tablename__ = "token_transfers"

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_account: Mapped[Address | None] = mapped_column(index=True)
    to_account: Mapped[Address | None] = mapped_column(index=True)
    amount_ueur: Mapped[BigInt]
    at: Mapped[BigInt]
    transaction: Mapped[Hash32]


class TokenIssue(Projection):
    """A mint (positive) or burn (negative) with the reference of the bank transfer behind it."""

    __tablename__ = "token_issues"

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[Address | None]
    amount_ueur: Mapped[BigInt]
    reference: Mapped[Hash32]
    at: Mapped[BigInt]
    transaction: Mapped[Hash32]


class Hold(Projection):
    """A stop of an award's payment. upheld is null until it is decided."""

    __tablename__ = "holds"
    __table_args__ = (Index(None, "offer", "ordinal"),)

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    offer: Mapped[Hash32]
    ordinal: Mapped[int]
    holder: Mapped[Address]
    reason: Mapped[Hash32]
    bond_ueur: Mapped[BigInt]
    placed_at: Mapped[BigInt]
    decide_by: Mapped[BigInt]
    decided_at: Mapped[BigInt | None]
    upheld: Mapped[bool | None]
    lapsed: Mapped[bool | None]


class AwardSkip(Projection):
    """An award that a settlement batch could not settle, and why."""

    __tablename__ = "award_skips"

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    offer: Mapped[Hash32] = mapped_column(index=True)
    ordinal: Mapped[int]
    reason: Mapped[SmallInt]
    """Code of market.domain.errors.Skip."""
    at: Mapped[BigInt]


class BaselineAnchor(Projection):
    """Root of a portfolio's baseline vector."""

    __tablename__ = "baseline_anchors"

    portfolio: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    interval: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[SmallInt] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int]
    root: Mapped[Hash32]
    anchored_at: Mapped[BigInt]
    transaction: Mapped[Hash32]


class ReadingRoot(Projection):
    """Root over the salted leaves of an interval's readings."""

    __tablename__ = "reading_roots"

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    interval: Mapped[BigInt] = mapped_column(index=True)
    root: Mapped[Hash32]
    count: Mapped[BigInt]
    anchored_at: Mapped[BigInt]


class ReadingNotice(Projection):
    """A reading announced by anyone, or annulled because the gateway signed two that differ."""

    __tablename__ = "reading_notices"

    nanogrid: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    interval: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    reading_hash: Mapped[Hash32 | None]
    announced_by: Mapped[Address | None]
    announced_at: Mapped[BigInt | None]
    annulled_by: Mapped[Address | None]
    annulled_at: Mapped[BigInt | None]


class GatewayEnrolmentOpened(Projection):
    """A one-time enrolment that the operator opened on the chain."""

    __tablename__ = "enrolments_opened"

    nanogrid: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    code_address: Mapped[Address] = mapped_column(primary_key=True)
    expires_at: Mapped[BigInt]
    opened_at: Mapped[BigInt]


class GatewayChange(Projection):
    """Which gateway served a seat since when (null: none)."""

    __tablename__ = "gateway_changes"
    __table_args__ = (Index(None, "nanogrid", "block"),)

    block: Mapped[BigInt] = mapped_column(primary_key=True, autoincrement=False)
    log_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    nanogrid: Mapped[BigInt]
    gateway: Mapped[Address | None] = mapped_column(index=True)
    at: Mapped[BigInt]


class CapacityContract(Projection):
    """A reservation of a nanogrid for a product, by month (year * 12 + month - 1)."""

    __tablename__ = "capacity_contracts"

    id: Mapped[Hash32] = mapped_column(primary_key=True)
    nanogrid: Mapped[BigInt] = mapped_column(index=True)
    product: Mapped[SmallInt]
    first_month: Mapped[int]
    months: Mapped[int]
    power_w: Mapped[BigInt]
    availability_price_ueur_kw_h: Mapped[BigInt]
    dso: Mapped[Address]
    registered_at: Mapped[BigInt]


class AvailabilityMonth(Projection):
    """A month's availability: paid or forfeited."""

    __tablename__ = "availability_months"

    id: Mapped[Hash32] = mapped_column(primary_key=True)
    month: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    paid_ueur: Mapped[BigInt | None]
    forfeited: Mapped[bool] = mapped_column(default=False)
    at: Mapped[BigInt]
