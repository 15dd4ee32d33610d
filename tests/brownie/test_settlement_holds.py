"""Holds: the aggregator, the DSO or the verifier stops an award's payment; the referee decides within the term."""

import pytest
from brownie import reverts
from stage import EUR, NO_SIGNATURE, PARAMETERS, thrown
from trade import BASELINES, Trade, assert_books_balance

from market.domain.messages import Hold
from market.domain.settled_records import AwardResult
from market.domain.settlement import settle_award, settle_hold_upheld

REASON = 32 * b"r"
HOLD_BOND = PARAMETERS.hold_bond_ueur
ANNULLED, ALREADY_SETTLED, ON_HOLD, DEADLINE_NOT_REACHED = 5, 1, 2, 8


def place(trade, ordinal=1, holder=None, signer=None):
    stage = trade.stage
    message = Hold(trade.id, ordinal, REASON)
    signature = stage.sign(signer, message) if signer else NO_SIGNATURE
    sender = stage.stranger if signer else holder or stage.aggregator
    return stage.settlement.placeHold(message.arguments(), trade.range, signature, {"from": sender})


@pytest.fixture
def trade(stage):
    trade = Trade(stage)
    for account in (stage.oracle, stage.stranger):
        stage.deposit(account, 10 * EUR)
    trade.to_settling()
    return trade


@pytest.mark.parametrize("party", ["aggregator", "dso", "oracle"])
def test_a_party_holds_an_award_and_puts_up_a_bond(stage, trade, party):
    holder = getattr(stage, party)
    before = stage.settlement.balanceOf(holder)
    event = place(trade, signer=holder).events["HoldPlaced"]
    decide_by = event["decideBy"]
    assert (event["ordinal"], event["holder"], bytes(event["reason"])) == (1, holder, REASON)
    assert list(stage.settlement.holdOf(trade.id, 1)) == [holder, decide_by]
    assert before - stage.settlement.balanceOf(holder) == HOLD_BOND
    (skip,) = trade.settle((1, 200)).events["AwardSkipped"]
    assert (skip["ordinal"], skip["reason"]) == (1, ON_HOLD)
    assert_books_balance(stage, trade.id, holds=[1])


def test_others_cannot_hold(stage, trade):
    for other in (stage.stranger, stage.other_dso, stage.owners[0]):
        with reverts(thrown("NotHoldParty", trade.id, other)):
            place(trade, holder=other)
    with reverts(thrown("NotHoldParty", trade.id, "0x" + 40 * "0")):
        message = Hold(trade.id, 1, REASON).arguments()
        stage.settlement.placeHold(message, trade.range, bytes(65), {"from": stage.aggregator})


def test_a_hold_needs_its_bond(stage, trade):
    stage.settlement.withdraw((stage.oracle, 10 * EUR, 0), NO_SIGNATURE, {"from": stage.oracle})
    with reverts(thrown("InsufficientBalance", stage.oracle, 0, HOLD_BOND)):
        place(trade, holder=stage.oracle)


def test_a_hold_names_an_award_that_is_there_and_open(stage, trade):
    for ordinal in (3, 8):
        with reverts(thrown("AwardNotGiven", trade.id, ordinal)):
            place(trade, ordinal=ordinal)
    trade.settle((1, 200))
    with reverts(thrown("AlreadySettled", trade.id, 1)):
        place(trade)


def test_an_award_is_held_once(stage, trade):
    place(trade)
    with reverts(thrown("HoldExists", trade.id, 1)):
        place(trade, holder=stage.dso)
    stage.settlement.decideHold(trade.id, 1, False, {"from": stage.referee})
    with reverts(thrown("HoldExists", trade.id, 1)):
        place(trade, holder=stage.dso)


def test_an_upheld_hold_ends_the_award_without_pay_or_penalty(stage, trade):
    before = {account: stage.settlement.balanceOf(account) for account in (stage.aggregator, stage.dso)}
    place(trade)
    transaction = stage.settlement.decideHold(trade.id, 1, True, {"from": stage.referee})
    expected = settle_hold_upheld(trade.terms(1))
    assert trade.results(transaction) == [AwardResult(1, ANNULLED, 0, 0, 0)]
    assert expected.refunded_ueur == expected.reserve_ueur
    assert stage.settlement.balanceOf(stage.aggregator) - before[stage.aggregator] == HOLD_BOND  # from the seat's bond
    assert stage.settlement.balanceOf(stage.dso) - before[stage.dso] == expected.refunded_ueur
    assert stage.settlement.bondOf(stage.seat(1))[0] == 20 * EUR - HOLD_BOND
    assert stage.settlement.isSettled(trade.id, 1)
    assert_books_balance(stage, trade.id)


def test_a_dismissed_hold_pays_the_seat_and_lets_the_award_settle(stage, trade):
    before = stage.settlement.balanceOf(stage.aggregator)
    place(trade)
    event = stage.settlement.decideHold(trade.id, 1, False, {"from": stage.referee}).events["HoldDecided"]
    assert (event["upheld"], event["lapsed"]) == (False, False)
    assert before - stage.settlement.balanceOf(stage.aggregator) == HOLD_BOND
    assert stage.settlement.seatBalance(stage.seat(1)) == HOLD_BOND
    trade.settle((1, 200))
    paid = settle_award(trade.terms(1), BASELINES[1], trade.metered(1, 200)).paid_ueur
    assert stage.settlement.seatBalance(stage.seat(1)) == HOLD_BOND + paid
    stage.settlement.payOut(stage.seat(1), {"from": stage.stranger})
    assert stage.token.balanceOf(stage.owners[1]) == HOLD_BOND + paid
    assert_books_balance(stage, trade.id)


def test_only_the_referee_decides_and_only_within_the_term(stage, trade):
    decide_by = place(trade).events["HoldPlaced"]["decideBy"]
    with reverts(thrown("NotReferee", stage.aggregator)):
        stage.settlement.decideHold(trade.id, 1, True, {"from": stage.aggregator})
    with reverts(thrown("HoldTermRunning", trade.id, 1, decide_by)):
        stage.settlement.lapseHold(trade.id, 1, {"from": stage.stranger})
    stage.at(decide_by + 1)
    with reverts(thrown("HoldTermOver", trade.id, 1)):
        stage.settlement.decideHold(trade.id, 1, True, {"from": stage.referee})


def test_an_undecided_hold_lapses_in_the_prosumers_favour(stage, trade):
    decide_by = place(trade).events["HoldPlaced"]["decideBy"]
    stage.at(decide_by + 1)
    event = stage.settlement.lapseHold(trade.id, 1, {"from": stage.stranger}).events["HoldDecided"]
    assert (event["upheld"], event["lapsed"]) == (False, True)
    assert stage.settlement.seatBalance(stage.seat(1)) == HOLD_BOND
    assert stage.settlement.holdOf(trade.id, 1)[0] == "0x" + 40 * "0"
    for call in (stage.settlement.lapseHold, lambda *given: stage.settlement.decideHold(*given[:2], True, given[2])):
        with reverts(thrown("UnknownHold", trade.id, 1)):
            call(trade.id, 1, {"from": stage.referee})


def test_a_hold_extends_the_reading_deadline(stage, trade):
    stage.at(trade.deadline - 1)
    decide_by = place(trade).events["HoldPlaced"]["decideBy"]
    stage.at(trade.deadline)
    (skip,) = trade.expire().events["AwardSkipped"]
    assert (skip["ordinal"], skip["reason"]) == (1, ON_HOLD)
    stage.at(decide_by + 1)
    stage.settlement.lapseHold(trade.id, 1, {"from": stage.stranger})
    extended = decide_by + 1 + PARAMETERS.reading_deadline_s
    stage.at(extended - 1)
    assert (1, DEADLINE_NOT_REACHED) in [
        (skip["ordinal"], skip["reason"]) for skip in trade.expire().events["AwardSkipped"]
    ]
    stage.at(extended)
    assert [result.ordinal for result in trade.results(trade.expire())] == [1]
    assert_books_balance(stage, trade.id)
