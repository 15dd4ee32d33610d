"""How a settlement was computed, step by step, for people who want to do the sum themselves.

The rules are those of market.domain.settlement (docs/protocol.md, "Settlement"); here they are only written out.
"""

from __future__ import annotations

from dataclasses import dataclass

from market.domain.products import Kind, Side
from market.domain.settlement import (
    AwardSettlement,
    AwardTerms,
    Outcome,
    delivered,
    interrupted,
    settle_annulled,
    settle_award,
    settle_hold_upheld,
    settle_missing,
    settle_revoked,
    tolerated,
)
from market.domain.units import PENALTY_PER_MILLE, TOLERATED_PER_MILLE

_UEUR = "micro-euro"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a computation: what, by which rule, with the numbers put in, and what comes out."""

    name: str
    rule: str
    calculation: str
    value: int
    unit: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the chain recorded of an award's end [Wh or varh; micro-euro]."""

    outcome: Outcome
    delivered: int
    baseline: int
    metered: int
    paid_ueur: int
    margin_ueur: int
    refunded_ueur: int
    penalty_ueur: int


@dataclass(frozen=True, slots=True)
class Computation:
    """The rule that ended an award, its steps, and whether they give what the chain recorded."""

    cause: str
    steps: tuple[Step, ...]
    agrees: bool


def computation_of(terms: AwardTerms, kind: Kind, recorded: Recorded) -> Computation:
    """Which rule ended an award, computed again from its terms and, where one counted, its reading."""
    candidates = _candidates(terms, recorded)
    for cause, settlement, is_metered in candidates:
        if _agrees(settlement, recorded):
            return Computation(cause, _steps(terms, kind, settlement, is_metered), agrees=True)
    cause, settlement, is_metered = candidates[0]
    return Computation(cause, _steps(terms, kind, settlement, is_metered), agrees=False)


def _candidates(terms: AwardTerms, recorded: Recorded) -> list[tuple[str, AwardSettlement, bool]]:
    if recorded.outcome is Outcome.REVOKED:
        revoked = ("revoked by RED before it began", settle_revoked(terms), False)
        was_read = bool(recorded.baseline or recorded.metered)
        return [*_interrupted(terms, recorded), revoked] if was_read else [revoked, *_interrupted(terms, recorded)]
    if recorded.outcome is Outcome.ANNULLED:
        return [
            ("the gateway signed two different readings", settle_annulled(terms), False),
            ("a hold was upheld", settle_hold_upheld(terms), False),
        ]
    return _by_reading(terms, recorded)


def _by_reading(terms: AwardTerms, recorded: Recorded) -> list[tuple[str, AwardSettlement, bool]]:
    missing = ("no reading until the deadline", settle_missing(terms), False)
    metered = ("by the reading", settle_award(terms, recorded.baseline, recorded.metered), True)
    return [missing, metered] if recorded.baseline == recorded.metered == 0 else [metered, missing]


def _interrupted(terms: AwardTerms, recorded: Recorded) -> list[tuple[str, AwardSettlement, bool]]:
    return [
        (f"interrupted by a command on RED: {cause}, no penalty", interrupted(end), is_metered)
        for cause, end, is_metered in _by_reading(terms, recorded)
    ]


def _agrees(settlement: AwardSettlement, recorded: Recorded) -> bool:
    return recorded == Recorded(
        outcome=settlement.outcome,
        delivered=settlement.delivered,
        baseline=recorded.baseline,
        metered=recorded.metered,
        paid_ueur=settlement.paid_ueur,
        margin_ueur=settlement.margin_ueur,
        refunded_ueur=settlement.refunded_ueur,
        penalty_ueur=settlement.penalty_ueur,
    )


def _steps(terms: AwardTerms, kind: Kind, end: AwardSettlement, is_metered: bool) -> tuple[Step, ...]:
    unit = "varh" if kind is Kind.REACTIVE else "Wh"
    steps = [_delivery_step(terms, end, unit, is_metered), _pay_step(terms, end)]
    if terms.side is Side.BUY:
        steps += _payer_steps(terms, end)
    return (*steps, _penalty_step(terms, end, unit))


def _delivery_step(terms: AwardTerms, end: AwardSettlement, unit: str, is_metered: bool) -> Step:
    if not is_metered or end.baseline is None or end.metered is None:
        rule = "without a reading that counts: SELL all, else nothing"
        return Step("delivered", rule, str(end.delivered), end.delivered, unit)
    sign = terms.direction.sign
    change = f"({end.baseline} − {_in_brackets(end.metered)}) × {_in_brackets(sign)}"
    value = delivered(terms.awarded, terms.direction, end.baseline, end.metered)
    return Step(
        "delivered",
        f"min(awarded, max(0, (baseline − metered) × s)), s = {sign} for {terms.direction.name}",
        f"min({terms.awarded}, max(0, {change}))",
        value,
        unit,
    )


def _pay_step(terms: AwardTerms, end: AwardSettlement) -> Step:
    name = "owed by the seat" if terms.side is Side.SELL else "paid to the seat"
    return Step(
        name,
        "floor(delivered × bid price / 1000)",
        f"floor({end.delivered} × {terms.bid_price_ueur_kwh} / 1000)",
        end.paid_ueur,
        _UEUR,
    )


def _payer_steps(terms: AwardTerms, end: AwardSettlement) -> list[Step]:
    price, spent = terms.payer_price_ueur_kwh, end.paid_ueur + end.margin_ueur
    return [
        Step(
            "margin of the aggregator",
            "floor(delivered × payer's price / 1000) − paid",
            f"floor({end.delivered} × {price} / 1000) − {end.paid_ueur}",
            end.margin_ueur,
            _UEUR,
        ),
        Step(
            "refunded to the payer",
            "floor(awarded × payer's price / 1000) − paid − margin",
            f"{terms.reserve_ueur} − {spent}",
            end.refunded_ueur,
            _UEUR,
        ),
    ]


def _penalty_step(terms: AwardTerms, end: AwardSettlement, unit: str) -> Step:
    enough = tolerated(terms.awarded)
    if not end.penalty_ueur:
        rule = f"none at {enough} {unit} ({TOLERATED_PER_MILLE} ‰) or more, nor where nobody is to blame"
        return Step("penalty from the bond", rule, "0", 0, _UEUR)
    return Step(
        "penalty from the bond",
        f"floor((floor(awarded × {TOLERATED_PER_MILLE} / 1000) − delivered) × bid price × {PENALTY_PER_MILLE} / 10⁶)",
        f"floor(({enough} − {end.delivered}) × {terms.bid_price_ueur_kwh} × {PENALTY_PER_MILLE} / 10⁶)",
        end.penalty_ueur,
        _UEUR,
    )


def _in_brackets(value: int) -> str:
    return f"({value})" if value < 0 else str(value)
