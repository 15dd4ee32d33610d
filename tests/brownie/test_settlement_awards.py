"""Settlement of awards: pay as bid by signed readings, penalties, revocation, expiry, debts."""

import pytest
from brownie import reverts
from stage import EUR, NO_SIGNATURE, U, thrown
from trade import BASELINES, Trade, annul, assert_books_balance, set_red

from market.domain.products import Side
from market.domain.settlement import (
    cover_cents,
    settle_annulled,
    settle_award,
    settle_missing,
    settle_revoked,
)

DELIVERED, SHORT, FAILED, REVOKED, ANNULLED = range(1, 6)
ALREADY_SETTLED, ON_HOLD, BAD_SIGNATURE, NOT_ANNOUNCED, HOLD_WINDOW_OPEN = range(1, 6)
DEADLINE_NOT_REACHED = 8


def settled_event(transaction):
    (event,) = transaction.events["AwardSettled"]
    return event


def skipped(transaction):
    return [(event["ordinal"], event["reason"]) for event in transaction.events["AwardSkipped"]]


def assert_event_is(event, expected):
    assert (
        event["outcome"],
        event["awarded"],
        event["delivered"],
        event["baseline"],
        event["metered"],
        event["paidUeur"],
        event["marginUeur"],
        event["refundedUeur"],
        event["penaltyUeur"],
    ) == (
        expected.outcome,
        expected.awarded,
        expected.delivered,
        expected.baseline or 0,
        expected.metered or 0,
        expected.paid_ueur,
        expected.margin_ueur,
        expected.refunded_ueur,
        expected.penalty_ueur,
    )


# PAY AS BID


@pytest.mark.parametrize(
    ("delivered", "outcome"),
    [(200, DELIVERED), (250, DELIVERED), (180, DELIVERED), (179, SHORT), (0, FAILED), (-40, FAILED)],
)
def test_an_award_is_paid_as_bid_for_what_was_delivered(stage, delivered, outcome):
    trade = Trade(stage)
    before = {account: stage.settlement.balanceOf(account) for account in (stage.dso, stage.aggregator)}
    trade.to_settling()
    event = settled_event(trade.settle((1, delivered)))
    expected = settle_award(trade.terms(1), BASELINES[1], trade.metered(1, delivered))
    assert expected.outcome == outcome
    assert_event_is(event, expected)
    assert stage.settlement.seatBalance(stage.seat(1)) == expected.paid_ueur
    gained = stage.settlement.balanceOf(stage.dso) - before[stage.dso]
    assert gained == expected.refunded_ueur + expected.penalty_ueur
    assert stage.settlement.balanceOf(stage.aggregator) - before[stage.aggregator] == expected.margin_ueur
    assert stage.settlement.bondOf(stage.seat(1))[0] == 20 * EUR - expected.penalty_ueur
    assert stage.registry.seatOf(stage.seat(1))[5] == cover_cents(20 * EUR - expected.penalty_ueur)
    assert_books_balance(stage, trade.id)


def test_a_batch_settles_all_awards_and_empties_the_escrow(stage):
    trade = Trade(stage)
    trade.to_settling()
    transaction = trade.settle((0, 100), (1, 50), (2, 150))
    assert [event["outcome"] for event in transaction.events["AwardSettled"]] == [DELIVERED, SHORT, DELIVERED]
    assert stage.settlement.escrowOf(trade.id) == 0
    assert [stage.settlement.isSettled(trade.id, ordinal) for ordinal in range(4)] == [True, True, True, False]
    assert_books_balance(stage, trade.id)


def test_internal_flexibility_is_paid_by_the_aggregator_without_margin(stage):
    trade = Trade(stage, internal=True)
    before = stage.settlement.balanceOf(stage.aggregator)
    trade.to_settling()
    event = settled_event(trade.settle((1, 120)))
    expected = settle_award(trade.terms(1), BASELINES[1], trade.metered(1, 120))
    assert_event_is(event, expected)
    assert expected.margin_ueur == 0
    gained = stage.settlement.balanceOf(stage.aggregator) - before
    assert gained == expected.refunded_ueur + expected.penalty_ueur
    assert_books_balance(stage, trade.id)


def test_settling_one_needs_only_its_own_baseline(stage):
    trade = Trade(stage)
    trade.to_settling()
    transaction = stage.settlement.settleOne(
        trade.id, trade.baseline_leaf(1), trade.leaf, trade.reading(1, 200), {"from": stage.oracle}
    )
    assert_event_is(settled_event(transaction), settle_award(trade.terms(1), BASELINES[1], trade.metered(1, 200)))


# SELL


def test_a_buyer_pays_from_its_balance_then_its_bond(stage):
    trade = Trade(stage, side=Side.SELL, internal=True)
    before = stage.settlement.balanceOf(stage.aggregator)
    trade.to_settling()
    expected = settle_award(trade.terms(2), BASELINES[2], trade.metered(2, 300))
    assert_event_is(settled_event(trade.settle((2, 300))), expected)
    assert stage.settlement.bondOf(stage.seat(2))[0] == 20 * EUR - expected.paid_ueur
    assert stage.settlement.balanceOf(stage.aggregator) - before == expected.paid_ueur
    assert_books_balance(stage, trade.id)


def test_a_buyer_that_takes_less_owes_a_penalty(stage):
    trade = Trade(stage, side=Side.SELL, internal=True)
    before = stage.settlement.balanceOf(stage.aggregator)
    trade.to_settling()
    expected = settle_award(trade.terms(2), BASELINES[2], trade.metered(2, 100))
    assert_event_is(settled_event(trade.settle((2, 100))), expected)
    assert expected.penalty_ueur > 0
    assert stage.settlement.balanceOf(stage.aggregator) - before == expected.paid_ueur + expected.penalty_ueur


def test_a_missing_reading_of_a_buyer_counts_as_fully_taken(stage):
    trade = Trade(stage, side=Side.SELL, internal=True)
    stage.at(trade.deadline)
    events = trade.expire().events["AwardSettled"]
    for event in events:
        index = event["nanogrid"] & 0xFFFF
        assert_event_is(event, settle_missing(trade.terms(index)))
    assert len(events) == 2
    assert_books_balance(stage, trade.id)


# DEBTS


def unbond(stage, index):
    bond, _, _ = stage.settlement.bondOf(stage.seat(index))
    message = (stage.seat(index), bond, stage.settlement.unbondingNonce(stage.seat(index)))
    stage.settlement.startUnbonding(message, NO_SIGNATURE, {"from": stage.owners[index]})


def test_what_is_being_unbonded_still_answers_for_penalties(stage):
    trade = Trade(stage)
    unbond(stage, 1)
    trade.to_settling()
    penalty = settled_event(trade.settle((1, 0)))["penaltyUeur"]
    bond, unbonding, _ = stage.settlement.bondOf(stage.seat(1))
    assert (bond, unbonding) == (0, 20 * EUR - penalty)
    assert stage.settlement.seatDebt(stage.seat(1)) == 0


def test_a_penalty_beyond_the_bond_is_a_debt_that_later_credits_pay_first(stage):
    # A hold that the referee upholds empties the bond after the seat has bid again on its strength.
    first = Trade(stage, bond_ueur=4 * EUR)
    second = Trade(stage, bond_ueur=0, interval=stage.interval + 4 * U)
    seat, ordinal = stage.seat(1), first.ordinal(1)
    hold = (first.id, ordinal, bytes(32))
    stage.settlement.placeHold(hold, first.leaf, NO_SIGNATURE, {"from": stage.aggregator})
    stage.settlement.decideHold(first.id, ordinal, True, {"from": stage.referee})
    second.to_settling()
    transaction = second.settle((1, 0))
    debt = settled_event(transaction)["penaltyUeur"]
    assert transaction.events["SeatDebtChanged"]["debtUeur"] == debt == stage.settlement.seatDebt(seat)
    assert stage.registry.seatOf(seat)[6]  # suspended
    before = stage.settlement.balanceOf(stage.dso)

    stage.fund_bond(1, debt - 1)
    assert stage.settlement.seatDebt(seat) == 1
    assert stage.settlement.bondOf(seat)[0] == 0
    stage.fund_bond(1, 10_001)
    assert stage.settlement.seatDebt(seat) == 0
    assert stage.settlement.bondOf(seat)[0] == 10_000
    assert stage.settlement.balanceOf(stage.dso) - before == debt
    assert_books_balance(stage, first.id, second.id)


# WHO MAY SETTLE, AND WHEN


def test_nothing_settles_before_the_interval_is_over(stage):
    trade = Trade(stage)
    stage.at(trade.interval + U - 1)
    with reverts(thrown("IntervalNotOver", trade.interval)):
        trade.settle((1, 200))


def test_a_retry_is_harmless(stage):
    trade = Trade(stage)
    trade.to_settling()
    trade.settle((1, 200))
    owed = stage.settlement.seatBalance(stage.seat(1))
    assert skipped(trade.settle((1, 200), (1, 100))) == [(1, ALREADY_SETTLED)] * 2
    assert stage.settlement.seatBalance(stage.seat(1)) == owed


def test_a_reading_of_another_key_is_skipped(stage):
    trade = Trade(stage)
    trade.to_settling()
    forged = trade.reading(1, 200, gateway=stage.gateways[0])
    assert skipped(trade.settle(readings=[forged])) == [(1, BAD_SIGNATURE)]
    changed = list(trade.reading(1, 100))
    changed[2] += 100  # the energy that was signed is another
    assert skipped(trade.settle(readings=[tuple(changed)])) == [(1, BAD_SIGNATURE)]


def test_anyone_may_settle_what_was_announced_after_the_hold_window(stage):
    trade = Trade(stage)
    trade.to_settling()
    assert skipped(trade.settle((1, 200), sender=stage.stranger)) == [(1, NOT_ANNOUNCED)]
    trade.announce(1, 200)
    window_ends = trade.interval + U * 133 // 100 + stage.settlement.holdWindowS()
    stage.at(window_ends - 1)
    assert skipped(trade.settle((1, 200), sender=stage.stranger)) == [(1, HOLD_WINDOW_OPEN)]
    assert skipped(trade.settle((1, 150), sender=stage.stranger)) == [(1, NOT_ANNOUNCED)]
    stage.at(window_ends)
    assert settled_event(trade.settle((1, 200), sender=stage.stranger))["outcome"] == DELIVERED


def test_an_announced_reading_outlives_a_change_of_the_gateways_key(stage):
    trade = Trade(stage)
    trade.to_settling()
    trade.announce(1, 200)
    stage.settlement.setGateway(stage.seat(1), stage.delegate, {"from": stage.operator})
    stage.at(trade.interval + U * 133 // 100 + stage.settlement.holdWindowS())
    assert settled_event(trade.settle((1, 200), sender=stage.stranger))["outcome"] == DELIVERED


# REVOKED AND ANNULLED


def test_red_before_the_interval_revokes_without_penalty(stage):
    trade = Trade(stage)
    set_red(stage)
    before = stage.settlement.balanceOf(stage.dso)
    assert skipped(trade.expire()) == [(ordinal, DEADLINE_NOT_REACHED) for ordinal in range(3)]
    stage.at(trade.interval)
    for event in trade.expire().events["AwardSettled"]:
        assert_event_is(event, settle_revoked(trade.terms(event["nanogrid"] & 0xFFFF)))
    assert stage.settlement.escrowOf(trade.id) == 0
    assert stage.settlement.balanceOf(stage.dso) - before == 90_000  # 450 Wh at the request's price
    assert_books_balance(stage, trade.id)


def test_red_that_was_taken_back_in_time_revokes_nothing(stage):
    trade = Trade(stage)
    set_red(stage)
    stage.signals.setSignal((7, trade.interval, 1, 0, bytes(32), 3), NO_SIGNATURE, {"from": stage.dso})
    trade.to_settling()
    assert settled_event(trade.settle((1, 200)))["outcome"] == DELIVERED


def test_red_during_delivery_leaves_awards_as_they_are(stage):
    trade = Trade(stage)
    stage.at(trade.interval + 60)
    set_red(stage, sequence=1, kind=1)
    trade.to_settling()
    assert settled_event(trade.settle((1, 200)))["outcome"] == DELIVERED


def test_two_readings_that_differ_annul_with_penalty(stage):
    trade = Trade(stage)
    trade.to_settling()
    annul(trade, 1)
    assert stage.settlement.gatewayOf(stage.seat(1)) == "0x" + 40 * "0"
    assert stage.registry.seatOf(stage.seat(1))[6]
    transaction = trade.settle((1, 200))
    assert_event_is(settled_event(transaction), settle_annulled(trade.terms(1)))
    assert stage.settlement.seatBalance(stage.seat(1)) == 0
    assert_books_balance(stage, trade.id)


def test_an_annulled_award_expires_at_once(stage):
    trade = Trade(stage)
    trade.to_settling()
    annul(trade, 1)
    transaction = trade.expire()
    assert settled_event(transaction)["outcome"] == ANNULLED
    assert skipped(transaction) == [(0, DEADLINE_NOT_REACHED), (2, DEADLINE_NOT_REACHED)]


# EXPIRY


def test_without_a_reading_an_award_expires_at_the_deadline(stage):
    trade = Trade(stage)
    stage.at(trade.deadline - 1)
    assert skipped(trade.expire()) == [(ordinal, DEADLINE_NOT_REACHED) for ordinal in range(3)]
    stage.at(trade.deadline)
    for event in trade.expire().events["AwardSettled"]:
        assert_event_is(event, settle_missing(trade.terms(event["nanogrid"] & 0xFFFF)))
    assert stage.settlement.escrowOf(trade.id) == 0
    assert skipped(trade.expire()) == [(ordinal, ALREADY_SETTLED) for ordinal in range(3)]
    assert_books_balance(stage, trade.id)


def test_a_verifiers_reading_after_the_deadline_counts_until_somebody_expires(stage):
    trade = Trade(stage)
    stage.at(trade.deadline + U)
    assert settled_event(trade.settle((1, 200)))["outcome"] == DELIVERED


def test_an_announced_reading_stops_expiry_but_not_for_ever(stage):
    trade = Trade(stage)
    stage.at(trade.deadline)
    trade.announce(1, 200)
    assert skipped(trade.expire()) == [(1, DEADLINE_NOT_REACHED)]
    parameters = stage.settlement.holdWindowS() + stage.settlement.readingDeadlineS()
    stage.at(trade.deadline + parameters - 1)
    assert (1, DEADLINE_NOT_REACHED) in skipped(trade.expire())
    stage.at(trade.deadline + parameters)
    assert settled_event(trade.expire())["outcome"] == FAILED


# WHAT DOES NOT FIT


def test_an_offer_that_is_not_final_cannot_be_settled(stage):
    unknown = 32 * b"7"
    with reverts(thrown("OfferNotFinal", unknown)):
        stage.settlement.expireAwards(unknown, [], {"from": stage.stranger})


def test_baselines_must_be_those_that_were_anchored(stage):
    trade = Trade(stage)
    trade.to_settling()
    readings = [trade.reading(1, 200)]
    for wrong in (trade.baselines[:-4], trade.baselines + bytes(4), bytes(12), b""):
        with reverts(thrown("WrongBaselines", trade.id)):
            stage.settlement.settle(trade.id, wrong, [trade.leaf], readings, {"from": stage.oracle})
    leaf = trade.baseline_leaf(1)
    for wrong in ((1, leaf[1], leaf[2]), (0, bytes(32), []), (0, leaf[1], [bytes(32)])):
        with reverts(thrown("WrongBaselines", trade.id)):
            stage.settlement.settleOne(trade.id, wrong, trade.leaf, readings[0], {"from": stage.oracle})


def test_awards_must_be_those_of_the_result(stage):
    trade = Trade(stage)
    trade.to_settling()
    index, awards, proof = trade.leaf
    for wrong, error in (
        ((index, awards[:-12], proof), ("WrongAwardProof", trade.id, 0)),
        ((1, awards, proof), ("WrongAwardProof", trade.id, 1)),
        ((index, awards, [bytes(32)]), ("WrongAwardProof", trade.id, 0)),
        ((index, b"", proof), ("MalformedAwards", 0)),
        ((index, awards[:-1], proof), ("MalformedAwards", 35)),
        ((index, awards * 3, proof), ("MalformedAwards", 108)),
    ):
        with reverts(thrown(*error)):
            stage.settlement.settle(trade.id, trade.baselines, [wrong], [trade.reading(1, 200)], {"from": stage.oracle})


def test_a_reading_names_an_award_that_is_there(stage):
    trade = Trade(stage)
    trade.to_settling()
    reading = trade.reading(1, 200)
    for leaf, slot in ((1, 0), (0, 3), (0, 255)):
        with reverts(thrown("SlotOutOfRange", leaf, slot)):
            trade.settle(readings=[(leaf, slot, *reading[2:])])
