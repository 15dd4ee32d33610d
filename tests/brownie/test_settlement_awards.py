"""Settlement of awards: pay as bid by signed readings, penalties, revocation, expiry, debts."""

from dataclasses import replace

import pytest
from brownie import reverts
from stage import EUR, NO_SIGNATURE, U, thrown
from trade import BASELINES, Trade, annul, assert_books_balance, set_red

from market.domain.products import Side
from market.domain.settled_records import ANNOUNCED
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


def result_of(trade, transaction):
    """How the only award that ended in the transaction ended."""
    (result,) = trade.results(transaction)
    return result


def skipped(transaction):
    return [(event["ordinal"], event["reason"]) for event in transaction.events["AwardSkipped"]]


def assert_result_is(result, expected):
    assert (result.outcome, result.delivered, result.baseline, result.metered) == (
        expected.outcome,
        expected.delivered,
        expected.baseline or 0,
        expected.metered or 0,
    )


class Balances:
    """What accounts and seats have; compared with what the reference says that they gain."""

    def __init__(self, stage):
        self.stage = stage
        self.before = self._now()

    def _now(self):
        settlement = self.stage.settlement
        accounts = {account: settlement.balanceOf(account) for account in (self.stage.dso, self.stage.aggregator)}
        seats = {index: settlement.seatBalance(self.stage.seat(index)) for index in range(3)}
        return accounts | seats

    def gained(self, account):
        return self._now()[account] - self.before[account]


# PAY AS BID


@pytest.mark.parametrize(
    ("delivered", "outcome"),
    [(200, DELIVERED), (250, DELIVERED), (180, DELIVERED), (179, SHORT), (0, FAILED), (-40, FAILED)],
)
def test_an_award_is_paid_as_bid_for_what_was_delivered(stage, delivered, outcome):
    trade = Trade(stage)
    balances = Balances(stage)
    trade.to_settling()
    result = result_of(trade, trade.settle((1, delivered)))
    expected = settle_award(trade.terms(1), BASELINES[1], trade.metered(1, delivered))
    assert expected.outcome == outcome
    assert_result_is(result, expected)
    assert balances.gained(1) == expected.paid_ueur
    assert balances.gained(stage.dso) == expected.refunded_ueur + expected.penalty_ueur
    assert balances.gained(stage.aggregator) == expected.margin_ueur
    assert stage.settlement.bondOf(stage.seat(1))[0] == 20 * EUR - expected.penalty_ueur
    assert stage.registry.seatOf(stage.seat(1))[5] == cover_cents(20 * EUR - expected.penalty_ueur)
    assert_books_balance(stage, trade.id)


def test_a_batch_settles_all_awards_and_empties_the_escrow(stage):
    trade = Trade(stage)
    trade.to_settling()
    transaction = trade.settle((0, 100), (1, 50), (2, 150))
    results = trade.results(transaction)
    assert [result.ordinal for result in results] == [0, 1, 2]
    assert [result.outcome for result in results] == [DELIVERED, SHORT, DELIVERED]
    assert stage.settlement.escrowOf(trade.id) == 0
    assert [stage.settlement.isSettled(trade.id, ordinal) for ordinal in range(4)] == [True, True, True, False]
    assert_books_balance(stage, trade.id)


def test_internal_flexibility_is_paid_by_the_aggregator_without_margin(stage):
    trade = Trade(stage, internal=True)
    balances = Balances(stage)
    trade.to_settling()
    result = result_of(trade, trade.settle((1, 120)))
    expected = settle_award(trade.terms(1), BASELINES[1], trade.metered(1, 120))
    assert_result_is(result, expected)
    assert expected.margin_ueur == 0
    assert balances.gained(1) == expected.paid_ueur
    assert balances.gained(stage.aggregator) == expected.refunded_ueur + expected.penalty_ueur
    assert_books_balance(stage, trade.id)


def test_settling_one_needs_only_its_own_baseline(stage):
    trade = Trade(stage)
    trade.to_settling()
    transaction = trade.settle_award(1, 200)
    expected = settle_award(trade.terms(1), BASELINES[1], trade.metered(1, 200))
    assert_result_is(result_of(trade, transaction), expected)
    assert stage.settlement.seatBalance(stage.seat(1)) == expected.paid_ueur


# SELL


def test_a_buyer_pays_from_its_balance_then_its_bond(stage):
    trade = Trade(stage, side=Side.SELL, internal=True)
    before = stage.settlement.balanceOf(stage.aggregator)
    trade.to_settling()
    expected = settle_award(trade.terms(2), BASELINES[2], trade.metered(2, 300))
    assert_result_is(result_of(trade, trade.settle((2, 300))), expected)
    assert stage.settlement.bondOf(stage.seat(2))[0] == 20 * EUR - expected.paid_ueur
    assert stage.settlement.balanceOf(stage.aggregator) - before == expected.paid_ueur
    assert_books_balance(stage, trade.id)


def test_a_buyer_that_takes_less_owes_a_penalty(stage):
    trade = Trade(stage, side=Side.SELL, internal=True)
    before = stage.settlement.balanceOf(stage.aggregator)
    trade.to_settling()
    expected = settle_award(trade.terms(2), BASELINES[2], trade.metered(2, 100))
    assert_result_is(result_of(trade, trade.settle((2, 100))), expected)
    assert expected.penalty_ueur > 0
    assert stage.settlement.balanceOf(stage.aggregator) - before == expected.paid_ueur + expected.penalty_ueur


def test_a_missing_reading_of_a_buyer_counts_as_fully_taken(stage):
    trade = Trade(stage, side=Side.SELL, internal=True)
    stage.at(trade.deadline)
    results = trade.results(trade.expire())
    for result in results:
        assert_result_is(result, settle_missing(trade.terms_of(result.ordinal)))
    assert len(results) == 2
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
    trade.settle((1, 0))
    penalty = settle_award(trade.terms(1), BASELINES[1], trade.metered(1, 0)).penalty_ueur
    bond, unbonding, _ = stage.settlement.bondOf(stage.seat(1))
    assert (bond, unbonding) == (0, 20 * EUR - penalty)
    assert stage.settlement.seatDebt(stage.seat(1)) == 0


def test_a_penalty_beyond_the_bond_is_a_debt_that_later_credits_pay_first(stage):
    # A hold that the referee upholds empties the bond after the seat has bid again on its strength.
    first = Trade(stage, bond_ueur=4 * EUR)
    second = Trade(stage, bond_ueur=0, interval=stage.interval + 4 * U)
    seat, ordinal = stage.seat(1), first.ordinal(1)
    hold = (first.id, ordinal, bytes(32))
    stage.settlement.placeHold(hold, first.range, NO_SIGNATURE, {"from": stage.aggregator})
    stage.settlement.decideHold(first.id, ordinal, True, {"from": stage.referee})
    second.to_settling()
    transaction = second.settle((1, 0))
    debt = settle_award(second.terms(1), BASELINES[1], second.metered(1, 0)).penalty_ueur
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


@pytest.mark.parametrize("owed_ueur", [32_400, 24_001, 24_000, 23_999, 1])
def test_what_a_seat_in_debt_earns_pays_its_debt_first(stage, owed_ueur):
    held = Trade(stage, bond_ueur=4 * EUR)
    failed = Trade(stage, bond_ueur=0, interval=stage.interval + 4 * U)
    delivered = Trade(stage, bond_ueur=0, interval=stage.interval + 8 * U)
    seat = stage.seat(1)
    hold = (held.id, held.ordinal(1), bytes(32))
    stage.settlement.placeHold(hold, held.range, NO_SIGNATURE, {"from": stage.aggregator})
    stage.settlement.decideHold(held.id, held.ordinal(1), True, {"from": stage.referee})  # empties the bond
    failed.settle((1, 0))
    if owed_ueur < stage.settlement.seatDebt(seat):
        stage.fund_bond(1, stage.settlement.seatDebt(seat) - owed_ueur)
    assert stage.settlement.seatDebt(seat) == owed_ueur
    before = stage.settlement.balanceOf(stage.dso)

    delivered.to_settling()
    delivered.settle((1, 200))
    paid = min(owed_ueur, 24_000)
    assert stage.settlement.seatDebt(seat) == owed_ueur - paid
    assert stage.settlement.seatBalance(seat) == 24_000 - paid
    assert stage.settlement.gatewayOf(seat) == stage.gateways[1].address
    assert stage.settlement.balanceOf(stage.dso) - before == paid
    assert_books_balance(stage, held.id, failed.id, delivered.id)


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
    signed = trade.reading(1, 100)
    changed = replace(signed, active_energy_wh=signed.active_energy_wh + 100)
    assert skipped(trade.settle(readings=[changed])) == [(1, BAD_SIGNATURE)]


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
    assert result_of(trade, trade.settle((1, 200), sender=stage.stranger)).outcome == DELIVERED


def test_an_announced_reading_outlives_a_change_of_the_gateways_key(stage):
    trade = Trade(stage)
    trade.to_settling()
    trade.announce(1, 200)
    stage.settlement.setGateway(stage.seat(1), stage.delegate, {"from": stage.operator})
    stage.at(trade.interval + U * 133 // 100 + stage.settlement.holdWindowS())
    assert result_of(trade, trade.settle((1, 200), sender=stage.stranger)).outcome == DELIVERED


def test_the_verifier_needs_no_signature_for_what_was_announced(stage):
    trade = Trade(stage)
    trade.to_settling()
    unsigned = [replace(trade.reading(index, energy), signature=ANNOUNCED) for index, energy in ((0, 100), (1, 200))]
    assert skipped(trade.settle(readings=unsigned)) == [(0, NOT_ANNOUNCED), (1, NOT_ANNOUNCED)]
    trade.announce(1, 200)
    stage.settlement.setGateway(stage.seat(1), stage.delegate, {"from": stage.operator})
    assert skipped(trade.settle((1, 200))) == [(1, BAD_SIGNATURE)]
    transaction = trade.settle(readings=unsigned)
    assert result_of(trade, transaction).outcome == DELIVERED
    assert skipped(transaction) == [(0, NOT_ANNOUNCED)]


def test_a_batch_is_settled_around_what_it_skips(stage):
    trade = Trade(stage)
    trade.to_settling()
    forged = trade.reading(1, 200, gateway=stage.gateways[0])
    transaction = trade.settle(readings=[trade.reading(2, 150), forged, trade.reading(0, 100)])
    assert [result.ordinal for result in trade.results(transaction)] == [2, 0]
    assert skipped(transaction) == [(1, BAD_SIGNATURE)]
    assert_books_balance(stage, trade.id)


@pytest.mark.parametrize("signature", [b"\1" * 64, b"\1" * 32 + b"\xff" * 32, b"\1" * 128])
def test_what_is_no_signature_is_skipped(stage, signature):
    trade = Trade(stage)
    trade.to_settling()
    wrong = replace(trade.reading(1, 200), signature=signature)
    transaction = trade.settle(readings=[trade.reading(0, 100), wrong])
    assert skipped(transaction) == [(1, BAD_SIGNATURE)]
    assert result_of(trade, transaction).ordinal == 0


# REVOKED AND ANNULLED


def test_red_before_the_interval_revokes_without_penalty(stage):
    trade = Trade(stage)
    set_red(stage)
    before = stage.settlement.balanceOf(stage.dso)
    assert skipped(trade.expire()) == [(ordinal, DEADLINE_NOT_REACHED) for ordinal in range(3)]
    stage.at(trade.interval)
    results = trade.results(trade.expire())
    assert len(results) == 3
    for result in results:
        assert_result_is(result, settle_revoked(trade.terms_of(result.ordinal)))
    assert stage.settlement.escrowOf(trade.id) == 0
    assert stage.settlement.balanceOf(stage.dso) - before == 90_000  # 450 Wh at the request's price
    assert_books_balance(stage, trade.id)


def test_red_that_was_taken_back_in_time_revokes_nothing(stage):
    trade = Trade(stage, internal=True)  # final long before T - 1, until when RED may be taken back
    set_red(stage)
    stage.signals.setSignal((7, trade.interval, 1, 0, bytes(32), 3), NO_SIGNATURE, {"from": stage.dso})
    trade.to_settling()
    assert result_of(trade, trade.settle((1, 200))).outcome == DELIVERED


def test_red_during_delivery_leaves_awards_as_they_are(stage):
    trade = Trade(stage)
    stage.at(trade.interval + 60)
    set_red(stage, sequence=1, kind=1)
    trade.to_settling()
    assert result_of(trade, trade.settle((1, 200))).outcome == DELIVERED


def test_two_readings_that_differ_annul_with_penalty(stage):
    trade = Trade(stage)
    trade.to_settling()
    annul(trade, 1)
    assert stage.settlement.gatewayOf(stage.seat(1)) == "0x" + 40 * "0"
    assert stage.registry.seatOf(stage.seat(1))[6]
    transaction = trade.settle((1, 200))
    assert_result_is(result_of(trade, transaction), settle_annulled(trade.terms(1)))
    assert stage.settlement.seatBalance(stage.seat(1)) == 0
    assert_books_balance(stage, trade.id)


def test_an_annulled_award_expires_at_once(stage):
    trade = Trade(stage)
    trade.to_settling()
    annul(trade, 1)
    transaction = trade.expire()
    assert result_of(trade, transaction).outcome == ANNULLED
    assert skipped(transaction) == [(0, DEADLINE_NOT_REACHED), (2, DEADLINE_NOT_REACHED)]


# EXPIRY


def test_without_a_reading_an_award_expires_at_the_deadline(stage):
    trade = Trade(stage)
    stage.at(trade.deadline - 1)
    assert skipped(trade.expire()) == [(ordinal, DEADLINE_NOT_REACHED) for ordinal in range(3)]
    stage.at(trade.deadline)
    results = trade.results(trade.expire())
    assert len(results) == 3
    for result in results:
        assert_result_is(result, settle_missing(trade.terms_of(result.ordinal)))
    assert stage.settlement.escrowOf(trade.id) == 0
    assert skipped(trade.expire()) == [(ordinal, ALREADY_SETTLED) for ordinal in range(3)]
    assert_books_balance(stage, trade.id)


def test_a_verifiers_reading_after_the_deadline_counts_until_somebody_expires(stage):
    trade = Trade(stage)
    stage.at(trade.deadline + U)
    assert result_of(trade, trade.settle((1, 200))).outcome == DELIVERED


def test_an_announced_reading_stops_expiry_but_not_for_ever(stage):
    trade = Trade(stage)
    stage.at(trade.deadline)
    trade.announce(1, 200)
    assert skipped(trade.expire()) == [(1, DEADLINE_NOT_REACHED)]
    parameters = stage.settlement.holdWindowS() + stage.settlement.readingDeadlineS()
    stage.at(trade.deadline + parameters - 1)
    assert (1, DEADLINE_NOT_REACHED) in skipped(trade.expire())
    stage.at(trade.deadline + parameters)
    assert result_of(trade, trade.expire()).outcome == FAILED


# WHAT DOES NOT FIT


def test_an_offer_that_is_not_final_cannot_be_settled(stage):
    unknown = 32 * b"7"
    with reverts(thrown("OfferNotFinal", unknown)):
        stage.settlement.expireAwards(unknown, (0, b"", []), {"from": stage.stranger})


def test_baselines_must_be_those_that_were_anchored(stage):
    trade = Trade(stage)
    trade.to_settling()
    for wrong in (trade.baselines[:-4], trade.baselines + bytes(4), bytes(12), b""):
        with reverts(thrown("WrongBaselines", trade.id)):
            trade.settle((1, 200), baselines=wrong)
    for wrong in ({"baselines": bytes(32)}, {"proof": [bytes(32)]}):
        with reverts(thrown("WrongBaselines", trade.id)):
            trade.settle_award(1, 200, **wrong)


def test_awards_must_be_those_of_the_result(stage):
    trade = Trade(stage)
    trade.to_settling()
    first, awards, proof = trade.range
    for wrong, error in (
        ((first, awards[:-12], proof), ("WrongAwardProof", trade.id, 0)),
        ((1, awards, proof), ("WrongAwardProof", trade.id, 1)),
        ((2**32 - 1, awards, proof), ("WrongAwardProof", trade.id, 2**32 - 1)),
        ((first, awards, [bytes(32)]), ("WrongAwardProof", trade.id, 0)),
        ((first, awards * 3, proof), ("WrongAwardProof", trade.id, 0)),
        ((first, b"", proof), ("MalformedAwards", 0)),
        ((first, awards[:-1], proof), ("MalformedAwards", 35)),
    ):
        with reverts(thrown(*error)):
            trade.settle((1, 200), awards=wrong)
    for wrong in (awards[:-12], awards[12:], b"", awards * 3):
        with reverts(thrown("WrongAwardProof", trade.id, 0)):
            trade.settle_award(1, 200, awards=wrong)


def test_a_settlement_rests_on_what_was_final(stage):
    """No offer was made final with somebody else as payer or aggregator, another price, or more baselines."""
    trade = Trade(stage)
    trade.to_settling()
    terms, payer, aggregator, count, *roots = trade.binding
    others = (
        (terms, stage.stranger, aggregator, count, *roots),
        (terms, payer, stage.stranger, count, *roots),
        (terms ^ 1 << 64, payer, aggregator, count, *roots),
        (terms, payer, aggregator, count + 1, *roots),
    )
    for wrong in others:
        error = ("WrongBaselines", trade.id) if wrong[3] != count else ("WrongBinding", trade.id)
        with reverts(thrown(*error)):
            trade.settle((1, 200), binding=wrong)
        with reverts(thrown("WrongBinding", trade.id)):
            trade.settle_award(1, 200, binding=wrong)
    with reverts(thrown("WrongBinding", trade.id)):
        trade.settle(binding=others[0], readings=[])
    trade.settle((1, 200))
    with reverts(thrown("WrongBinding", trade.id)):
        trade.settle((1, 200), binding=others[0])


def test_a_reading_names_an_award_that_is_there(stage):
    trade = Trade(stage)
    trade.to_settling()
    for ordinal in (3, 8, 2**23 - 1):
        with reverts(thrown("AwardNotGiven", trade.id, ordinal)):
            trade.settle(readings=[replace(trade.reading(1, 200), ordinal=ordinal)])
        with reverts(thrown("AwardNotGiven", trade.id, ordinal)):
            trade.settle_award(1, 200, reading=replace(trade.reading(1, 200), ordinal=ordinal).pack())


def test_readings_are_whole(stage):
    trade = Trade(stage)
    trade.to_settling()
    whole = trade.reading(1, 200).pack()
    for wrong in (whole[:-1], whole + bytes(1), whole + bytes(15)):
        with reverts(thrown("MalformedReadings", len(wrong))):
            trade.settle(packed=wrong)
        with reverts(thrown("MalformedReadings", len(wrong))):
            trade.settle_award(1, 200, reading=wrong)
