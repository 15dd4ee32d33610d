"""Settlement: delivered energy, pay as bid, margin, penalty, refund and outcome of awards and commands.

Energies in Wh (varh), load convention; prices in micro-euro per kWh (kvarh); amounts in micro-euro, rounded down toward
the payer once. Source: docs/protocol.md, "Settlement". The twin of SettlementMath.sol.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from market.domain.products import Direction, Side
from market.domain.units import (
    BOND_COVERS,
    MAX_COVER_CENTS,
    PENALTY_PER_MILLE,
    TOLERATED_PER_MILLE,
    UEUR_PER_CENT,
)


class Outcome(IntEnum):
    """How an award ended (codes of the chain)."""

    NONE = 0
    DELIVERED = 1
    SHORT = 2
    FAILED = 3
    REVOKED = 4
    ANNULLED = 5


def amount_ueur(quantity: int, price_ueur_kwh: int) -> int:
    """floor(quantity x price / 1000) [micro-euro]."""
    return quantity * price_ueur_kwh // 1000


def amount_ceil_ueur(quantity: int, price_ueur_kwh: int) -> int:
    """ceil(quantity x price / 1000) [micro-euro]: what a request's escrow holds."""
    return -(-quantity * price_ueur_kwh // 1000)


def delivered(awarded: int, direction: Direction, baseline: int, metered: int) -> int:
    """min(awarded, max(0, (baseline - metered) x s)) [Wh or varh]."""
    return min(awarded, max(0, (baseline - metered) * direction.sign))


def tolerated(awarded: int) -> int:
    """Energy from which an award counts as delivered: floor(awarded x 900 / 1000)."""
    return awarded * TOLERATED_PER_MILLE // 1000


def penalty_ueur(awarded: int, delivered_: int, price_ueur_kwh: int) -> int:
    """1.5 x price on the shortfall beyond the tolerance, rounded down [micro-euro]."""
    shortfall = max(0, tolerated(awarded) - delivered_)
    return shortfall * price_ueur_kwh * PENALTY_PER_MILLE // 1_000_000


def outcome_of(awarded: int, delivered_: int) -> Outcome:
    """DELIVERED within the tolerance, FAILED without any delivery, else SHORT."""
    if delivered_ >= tolerated(awarded):
        return Outcome.DELIVERED
    return Outcome.SHORT if delivered_ else Outcome.FAILED


@dataclass(frozen=True, slots=True)
class AwardTerms:
    """What an award's settlement depends on. request_price_ueur_kwh: None for an INTERNAL offer."""

    side: Side
    direction: Direction
    awarded: int
    bid_price_ueur_kwh: int
    request_price_ueur_kwh: int | None = None

    def __post_init__(self) -> None:
        if self.side is Side.SELL and self.request_price_ueur_kwh is not None:
            raise ValueError("SELL exists for INTERNAL offers only")
        if self.request_price_ueur_kwh is not None and self.request_price_ueur_kwh < self.bid_price_ueur_kwh:
            raise ValueError("a bid above the request's price cannot have been awarded")

    @property
    def payer_price_ueur_kwh(self) -> int:
        """What the offer's escrow pays per kWh: the request's price, or the bid's for INTERNAL."""
        return self.bid_price_ueur_kwh if self.request_price_ueur_kwh is None else self.request_price_ueur_kwh

    @property
    def reserve_ueur(self) -> int:
        """Escrow of the award at finalise; 0 for SELL."""
        return 0 if self.side is Side.SELL else amount_ueur(self.awarded, self.payer_price_ueur_kwh)


@dataclass(frozen=True, slots=True)
class AwardSettlement:
    """End of an award [Wh or varh; micro-euro].

    BUY: the seat is paid paid_ueur from the escrow, the aggregator margin_ueur, the payer gets refunded_ueur back.
    SELL: the seat owes paid_ueur to the aggregator. penalty_ueur is due from the seat's bond to the payer.
    """

    outcome: Outcome
    awarded: int
    delivered: int
    baseline: int | None
    metered: int | None
    reserve_ueur: int
    paid_ueur: int
    margin_ueur: int
    refunded_ueur: int
    penalty_ueur: int


def settle_award(terms: AwardTerms, baseline: int, metered: int) -> AwardSettlement:
    """Settles an award by its reading. baseline, metered: of the award's kind [Wh or varh, load convention]."""
    delivered_ = delivered(terms.awarded, terms.direction, baseline, metered)
    penalty = penalty_ueur(terms.awarded, delivered_, terms.bid_price_ueur_kwh)
    return _settlement(
        terms,
        outcome_of(terms.awarded, delivered_),
        delivered_,
        penalty,
        baseline,
        metered,
    )


def settle_missing(terms: AwardTerms) -> AwardSettlement:
    """No reading until the deadline: BUY delivers nothing and is penalised; SELL counts as fully taken, no penalty."""
    if terms.side is Side.SELL:
        return _settlement(terms, Outcome.DELIVERED, terms.awarded, 0)
    penalty = penalty_ueur(terms.awarded, 0, terms.bid_price_ueur_kwh)
    return _settlement(terms, outcome_of(terms.awarded, 0), 0, penalty)


def settle_revoked(terms: AwardTerms) -> AwardSettlement:
    """RED before T: nothing paid, no penalty, the reserve refunded."""
    return _settlement(terms, Outcome.REVOKED, 0, 0)


def interrupted(end: AwardSettlement) -> AwardSettlement:
    """The same end beside a command on a RED that came after T: what was delivered is paid, a shortfall costs nothing.

    end: by the reading, or without one. Annulled readings end such an award as any other.
    """
    return replace(end, outcome=Outcome.REVOKED, penalty_ueur=0)


def settle_annulled(terms: AwardTerms) -> AwardSettlement:
    """Two differing signed readings: nothing paid, penalty as if nothing was delivered."""
    return _settlement(
        terms,
        Outcome.ANNULLED,
        0,
        penalty_ueur(terms.awarded, 0, terms.bid_price_ueur_kwh),
    )


def settle_hold_upheld(terms: AwardTerms) -> AwardSettlement:
    """A hold that the referee upheld: ANNULLED without penalty."""
    return _settlement(terms, Outcome.ANNULLED, 0, 0)


def settle_as_recorded(
    terms: AwardTerms, outcome: Outcome, delivered_: int, *, upheld: bool = False
) -> AwardSettlement:
    """The amounts of an award that the chain says ended so; upheld: by a hold, which is without penalty."""
    is_penalised = outcome is not Outcome.REVOKED and not upheld
    penalty = penalty_ueur(terms.awarded, delivered_, terms.bid_price_ueur_kwh) if is_penalised else 0
    return _settlement(terms, outcome, delivered_, penalty)


def _settlement(
    terms: AwardTerms,
    outcome: Outcome,
    delivered_: int,
    penalty: int,
    baseline: int | None = None,
    metered: int | None = None,
) -> AwardSettlement:
    paid = amount_ueur(delivered_, terms.bid_price_ueur_kwh)
    spent = 0 if terms.side is Side.SELL else amount_ueur(delivered_, terms.payer_price_ueur_kwh)
    margin = 0 if terms.side is Side.SELL else spent - paid
    return AwardSettlement(
        outcome=outcome,
        awarded=terms.awarded,
        delivered=delivered_,
        baseline=baseline,
        metered=metered,
        reserve_ueur=terms.reserve_ueur,
        paid_ueur=paid,
        margin_ueur=margin,
        refunded_ueur=terms.reserve_ueur - spent,
        penalty_ueur=penalty,
    )


@dataclass(frozen=True, slots=True)
class CommandSettlement:
    """End of a RED command [micro-euro].

    due = from_reserve + from_balance + unpaid; reserve = from_reserve + refunded.
    """

    delivered: int
    from_reserve_ueur: int
    from_balance_ueur: int
    unpaid_ueur: int
    refunded_ueur: int

    @property
    def paid_ueur(self) -> int:
        """What the seat gets at once."""
        return self.from_reserve_ueur + self.from_balance_ueur


def command_reserve_ueur(quantity: int, emergency_price_ueur_kwh: int, dso_balance_ueur: int) -> int:
    """Reserve made when a command is given: as far as the DSO's balance reaches."""
    return min(amount_ueur(quantity, emergency_price_ueur_kwh), dso_balance_ueur)


def command_due_ueur(delivered_: int, emergency_price_ueur_kwh: int, beside: AwardTerms | None = None) -> int:
    """What a command is worth by itself: the emergency price and, for as much as an award of a request beside it was
    for, that award's price where it is higher.

    beside: the award of the command's kind. What INTERNAL offers cost is no affair of the DSO's: it counts for nothing.
    """
    dearer_ueur = 0
    if beside is not None and beside.request_price_ueur_kwh is not None:
        above = max(0, beside.bid_price_ueur_kwh - emergency_price_ueur_kwh)
        dearer_ueur = min(delivered_, beside.awarded) * above
    return (delivered_ * emergency_price_ueur_kwh + dearer_ueur) // 1000


def settle_command(
    quantity: int,
    direction: Direction,
    emergency_price_ueur_kwh: int,
    reserve_ueur: int,
    dso_balance_ueur: int,
    baseline: int,
    metered: int,
    beside: AwardTerms | None = None,
    *,
    has_begun: bool = False,
) -> CommandSettlement:
    """Settles a command by its reading. No penalty.

    beside: the award of the command's kind. has_begun: before RED; what it is paid by the same reading is taken off
    then, for its own escrow pays it.
    """
    delivered_ = delivered(quantity, direction, baseline, metered)
    due = command_due_ueur(delivered_, emergency_price_ueur_kwh, beside)
    if has_begun and beside is not None and beside.side is Side.BUY:
        due = max(0, due - settle_award(beside, baseline, metered).paid_ueur)
    from_reserve = min(due, reserve_ueur)
    from_balance = min(due - from_reserve, dso_balance_ueur)
    unpaid = due - from_reserve - from_balance
    return CommandSettlement(delivered_, from_reserve, from_balance, unpaid, reserve_ueur - from_reserve)


def cover_cents(bond_ueur: int) -> int:
    """Cover of a seat: an eighth of its bond, in whole euro cents, at most what 24 bits hold."""
    return min(bond_ueur // BOND_COVERS // UEUR_PER_CENT, MAX_COVER_CENTS)


def bond_for_cover_ueur(cover_cents_: int) -> int:
    """Smallest bond that gives a cover."""
    return cover_cents_ * UEUR_PER_CENT * BOND_COVERS


def exposure_ueur(quantity: int, price_ueur_kwh: int) -> int:
    """Penalty exposure of a bid: floor(quantity x price x 3 / 2000) [micro-euro]."""
    return quantity * price_ueur_kwh * 3 // 2000


def is_covered(quantity: int, price_ueur_kwh: int, cover_cents_: int) -> bool:
    """Whether a bid's exposure is within a cover [euro cents]."""
    return exposure_ueur(quantity, price_ueur_kwh) <= cover_cents_ * UEUR_PER_CENT


@dataclass(frozen=True, slots=True)
class Collection:
    """How an amount due from a seat was collected [micro-euro]; the debt suspends the seat."""

    from_balance_ueur: int
    from_bond_ueur: int
    debt_ueur: int


def collect_penalty(due_ueur: int, bond_ueur: int) -> Collection:
    """A penalty: from the bond, the rest is a debt."""
    from_bond = min(due_ueur, bond_ueur)
    return Collection(0, from_bond, due_ueur - from_bond)


def collect_sale(due_ueur: int, balance_ueur: int, bond_ueur: int) -> Collection:
    """What a seat pays on the SELL side: from its balance, then its bond, then as a debt."""
    from_balance = min(due_ueur, balance_ueur)
    from_bond = min(due_ueur - from_balance, bond_ueur)
    return Collection(from_balance, from_bond, due_ueur - from_balance - from_bond)


def credit_seat(amount_ueur_: int, debt_ueur: int) -> tuple[int, int]:
    """(paid on the debt, credited to the balance) of a credit to a seat: debts first."""
    on_debt = min(amount_ueur_, debt_ueur)
    return on_debt, amount_ueur_ - on_debt


def request_escrow_ueur(quantity: int, price_ueur_kwh: int) -> int:
    """Escrow of a request for one interval: ceil(quantity x price / 1000)."""
    return amount_ceil_ueur(quantity, price_ueur_kwh)


def accepted_escrow_ueur(quantity: int, price_ueur_kwh: int) -> int:
    """What an accepted part moves from the request to the offer: floor(quantity x price / 1000)."""
    return amount_ueur(quantity, price_ueur_kwh)
