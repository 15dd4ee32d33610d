"""Settlement: nothing is lost to the micro-euro, pay never exceeds the reserve, outcomes follow the tolerance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.domain.products import Direction, Kind, Side
from market.domain.settlement import (
    AwardTerms,
    Outcome,
    amount_ceil_ueur,
    amount_ueur,
    bond_for_cover_ueur,
    collect_penalty,
    collect_sale,
    command_due_ueur,
    command_reserve_ueur,
    cover_cents,
    credit_seat,
    delivered,
    exposure_ueur,
    interrupted,
    is_covered,
    penalty_ueur,
    settle_annulled,
    settle_as_recorded,
    settle_award,
    settle_command,
    settle_hold_upheld,
    settle_missing,
    settle_revoked,
)
from market.domain.settlement_steps import Recorded, computation_of

PRICES = st.integers(1, 2**29 - 1)
AWARDED = st.integers(1, 2**24 - 1)
INT32 = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-50, 50))
MONEY = st.integers(0, 2**60)


@st.composite
def terms(draw: st.DrawFn) -> AwardTerms:
    awarded = draw(st.one_of(AWARDED, st.integers(1, 60)))
    bid, direction = draw(PRICES), draw(st.sampled_from(Direction))
    if draw(st.booleans()):
        return AwardTerms(Side.BUY, direction, awarded, bid, draw(st.integers(bid, 2**29 - 1)))
    return AwardTerms(draw(st.sampled_from(Side)), direction, awarded, bid)


@given(terms(), INT32, INT32)
def test_escrow_equals_paid_plus_margin_plus_refund(terms: AwardTerms, baseline: int, metered: int) -> None:
    endings = [
        settle_award(terms, baseline, metered),
        settle_missing(terms),
        settle_revoked(terms),
        settle_annulled(terms),
        settle_hold_upheld(terms),
        interrupted(settle_award(terms, baseline, metered)),
        interrupted(settle_missing(terms)),
    ]
    for end in endings:
        assert end.margin_ueur >= 0
        assert end.refunded_ueur >= 0
        if terms.side is Side.BUY:
            assert end.reserve_ueur == end.paid_ueur + end.margin_ueur + end.refunded_ueur
        else:
            assert (end.reserve_ueur, end.margin_ueur, end.refunded_ueur) == (0, 0, 0)


@given(terms(), INT32, INT32)
def test_delivered_is_never_below_zero_nor_above_the_award(terms: AwardTerms, baseline: int, metered: int) -> None:
    end = settle_award(terms, baseline, metered)
    assert 0 <= end.delivered <= terms.awarded
    change = baseline - metered if terms.direction is Direction.UP else metered - baseline
    assert end.delivered == sorted((0, change, terms.awarded))[1]


def test_up_is_less_withdrawal_and_down_is_more() -> None:
    assert delivered(10, Direction.UP, baseline=100, metered=95) == 5
    assert delivered(10, Direction.UP, baseline=-100, metered=-200) == 10
    assert delivered(10, Direction.DOWN, baseline=-100, metered=-93) == 7
    assert delivered(10, Direction.DOWN, baseline=100, metered=95) == 0


@pytest.mark.parametrize(
    ("metered", "outcome", "penalty"),
    [
        (0, Outcome.DELIVERED, 0),
        (100, Outcome.DELIVERED, 0),
        (101, Outcome.SHORT, 300),
        (999, Outcome.SHORT, 899 * 300),
        (1000, Outcome.FAILED, 900 * 300),
        (1500, Outcome.FAILED, 900 * 300),
    ],
)
def test_outcome_and_penalty_follow_the_tolerance_of_ten_percent(metered: int, outcome: Outcome, penalty: int) -> None:
    terms = AwardTerms(Side.BUY, Direction.UP, 1000, 200_000, 250_000)
    end = settle_award(terms, 1000, metered)
    assert (end.outcome, end.penalty_ueur) == (outcome, penalty)


def test_the_aggregator_keeps_the_difference_between_request_and_bid() -> None:
    end = settle_award(AwardTerms(Side.BUY, Direction.DOWN, 1000, 200_000, 250_000), -3000, -2200)
    assert (end.delivered, end.paid_ueur, end.margin_ueur, end.refunded_ueur) == (800, 160_000, 40_000, 50_000)


def test_a_missing_reading_is_no_delivery_for_buy_and_full_taking_for_sell() -> None:
    buy = settle_missing(AwardTerms(Side.BUY, Direction.UP, 1000, 200_000))
    assert (buy.outcome, buy.paid_ueur, buy.penalty_ueur) == (Outcome.FAILED, 0, 270_000)
    sell = settle_missing(AwardTerms(Side.SELL, Direction.UP, 1000, 200_000))
    assert (sell.outcome, sell.paid_ueur, sell.penalty_ueur) == (Outcome.DELIVERED, 200_000, 0)


def test_revoked_pays_and_penalises_nothing_and_annulled_penalises_all() -> None:
    terms = AwardTerms(Side.BUY, Direction.UP, 1000, 200_000, 250_000)
    assert settle_revoked(terms).refunded_ueur == terms.reserve_ueur
    assert settle_revoked(terms).penalty_ueur == 0
    assert settle_annulled(terms).penalty_ueur == 270_000
    assert settle_hold_upheld(terms).penalty_ueur == 0
    assert settle_hold_upheld(terms).outcome is Outcome.ANNULLED


def test_terms_that_no_auction_can_give_are_refused() -> None:
    with pytest.raises(ValueError, match="INTERNAL"):
        AwardTerms(Side.SELL, Direction.UP, 1, 1, 1)
    with pytest.raises(ValueError, match="above the request's price"):
        AwardTerms(Side.BUY, Direction.UP, 1, 2, 1)


@given(AWARDED, PRICES, AWARDED)
def test_a_penalty_is_within_the_exposure_that_the_cover_was_checked_for(awarded: int, price: int, got: int) -> None:
    penalty = penalty_ueur(awarded, min(awarded, got), price)
    assert 0 <= penalty <= exposure_ueur(awarded, price)
    cents = exposure_ueur(awarded, price) // 10_000 + 1
    assert is_covered(awarded, price, cents)
    assert not is_covered(awarded, price, exposure_ueur(awarded, price) // 10_000 - 1)


@given(st.integers(0, 2**24 - 1))
def test_a_bond_gives_an_eighth_of_itself_as_cover(cents: int) -> None:
    assert cover_cents(bond_for_cover_ueur(cents)) == cents
    assert cents == 0 or cover_cents(bond_for_cover_ueur(cents) - 1) == cents - 1


@given(MONEY, MONEY, MONEY)
def test_what_is_due_is_collected_in_order_and_the_rest_is_debt(due: int, balance: int, bond: int) -> None:
    sale = collect_sale(due, balance, bond)
    assert sale.from_balance_ueur + sale.from_bond_ueur + sale.debt_ueur == due
    assert sale.from_balance_ueur <= balance
    assert sale.from_bond_ueur == 0 or sale.from_balance_ueur == balance
    assert sale.debt_ueur == 0 or sale.from_bond_ueur == bond
    penalty = collect_penalty(due, bond)
    assert penalty.from_balance_ueur == 0
    assert penalty.from_bond_ueur + penalty.debt_ueur == due


@given(MONEY, MONEY)
def test_a_credit_pays_debts_first(amount: int, debt: int) -> None:
    on_debt, credited = credit_seat(amount, debt)
    assert on_debt + credited == amount
    assert on_debt == debt or credited == 0


@given(AWARDED, st.sampled_from(Direction), PRICES, st.none() | terms(), MONEY, MONEY, INT32, INT32)
def test_a_command_is_paid_from_reserve_then_balance_then_debt(
    quantity: int,
    direction: Direction,
    emergency: int,
    beside: AwardTerms | None,
    balance_then: int,
    balance_now: int,
    baseline: int,
    metered: int,
) -> None:
    reserve = command_reserve_ueur(quantity, emergency, balance_then)
    end = settle_command(quantity, direction, emergency, reserve, balance_now, baseline, metered, beside)
    assert end.paid_ueur + end.unpaid_ueur == command_due_ueur(end.delivered, emergency, beside)
    assert end.from_reserve_ueur + end.refunded_ueur == reserve
    assert end.refunded_ueur == 0 or end.from_balance_ueur == end.unpaid_ueur == 0
    assert end.unpaid_ueur == 0 or end.from_balance_ueur == balance_now


@given(st.integers(0, 2**24 - 1), PRICES, terms())
def test_an_award_beside_a_command_makes_no_more_dear_than_its_own_energy(
    delivered_: int, emergency: int, beside: AwardTerms
) -> None:
    alone, due = amount_ueur(delivered_, emergency), command_due_ueur(delivered_, emergency, beside)
    assert command_due_ueur(delivered_, emergency) == alone <= due
    assert due <= amount_ueur(delivered_, max(emergency, beside.bid_price_ueur_kwh))
    assert due - alone <= amount_ueur(beside.awarded, beside.bid_price_ueur_kwh) + 1  # for the rounding
    assert due == alone or (beside.request_price_ueur_kwh or 0) >= beside.bid_price_ueur_kwh > emergency


@given(terms(), INT32, INT32)
def test_an_interrupted_award_is_paid_as_ever_without_a_penalty(terms: AwardTerms, baseline: int, metered: int) -> None:
    as_ever = settle_award(terms, baseline, metered)
    end = interrupted(as_ever)
    assert (end.outcome, end.delivered, end.penalty_ueur) == (Outcome.REVOKED, as_ever.delivered, 0)
    assert (end.paid_ueur, end.margin_ueur, end.refunded_ueur) == (
        as_ever.paid_ueur, as_ever.margin_ueur, as_ever.refunded_ueur,
    )  # fmt: skip
    assert settle_as_recorded(terms, end.outcome, end.delivered).paid_ueur == end.paid_ueur


@given(terms(), AWARDED, st.sampled_from(Direction), PRICES, INT32, INT32)
def test_award_and_command_together_are_paid_what_the_dearer_of_them_is_worth(
    terms: AwardTerms, quantity: int, direction: Direction, emergency: int, baseline: int, metered: int
) -> None:
    command = settle_command(quantity, direction, emergency, 0, 0, baseline, metered, terms, has_begun=True)
    worth = command_due_ueur(command.delivered, emergency, terms)
    paid = settle_award(terms, baseline, metered).paid_ueur
    if terms.side is Side.BUY:
        assert command.unpaid_ueur + paid == max(worth, paid)
    else:
        assert command.unpaid_ueur == worth


@given(st.integers(1, 2**40 - 1), PRICES, st.data())
def test_the_accepted_parts_of_a_request_never_take_more_than_its_escrow(
    quantity: int, price: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, quantity))
    escrow = amount_ceil_ueur(quantity, price)
    assert amount_ueur(first, price) + amount_ueur(quantity - first, price) <= escrow
    assert escrow - amount_ueur(quantity, price) in (0, 1)


@pytest.mark.parametrize(("metered", "cause"), [(-400, "by the reading"), (0, "no reading until the deadline")])
def test_the_computation_of_an_interrupted_award_says_so_and_agrees(metered: int, cause: str) -> None:
    terms = AwardTerms(Side.BUY, Direction.UP, 1000, 200_000, 250_000)
    as_ever = settle_award(terms, 0, metered) if metered else settle_missing(terms)
    end = interrupted(as_ever)
    recorded = Recorded(
        end.outcome, end.delivered, 0, metered, end.paid_ueur, end.margin_ueur, end.refunded_ueur, end.penalty_ueur
    )
    computation = computation_of(terms, Kind.ACTIVE, recorded)
    assert computation.agrees
    nothing = "revoked by RED before it began"  # which of the two it was, an end of zeros does not tell
    assert computation.cause == (f"interrupted by a command on RED: {cause}, no penalty" if metered else nothing)
