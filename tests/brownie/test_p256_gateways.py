"""A gateway with a P-256 key: it enrols, is paid alone and beside others, announces, is annulled; forged it is none."""

import pytest
from brownie import reverts
from eth_account import Account
from p256 import ORDER, P256Gateway, words
from stage import EUR, ZERO, U, thrown
from trade import Trade, assert_books_balance

from market.domain.messages import Enrolment
from market.domain.settlement import Outcome

P256, OTHER = P256Gateway("a gateway"), P256Gateway("another gateway")
CODE = Account.from_key("0x" + 64 * "1")
BAD_SIGNATURE = 3
FORGED = {
    "the high s": lambda r, s, x, y: words(r, ORDER - s, x, y),
    "x and y swapped": lambda r, s, x, y: words(r, s, y, x),
    "a point beside the curve": lambda r, s, x, y: words(r, s, x, y ^ 1),
    "another key": lambda r, s, x, y: words(r, s, *OTHER.point),
    "no point": lambda r, s, x, y: words(r, s, 0, 0),
    "s of zero": lambda r, s, x, y: words(r, 0, x, y),
    "r of the order": lambda r, s, x, y: words(ORDER, s, x, y),
}


@pytest.fixture(scope="module")
def trade(stage):
    """Seat 0 has the P-256 gateway, the others have secp256k1 ones; the interval is over."""
    stage.settlement.setGateway(stage.seat(0), P256.address, {"from": stage.operator})
    stage.gateways[0] = P256
    trade = Trade(stage)
    trade.to_settling()
    return trade


def enrolling(stage, signature):
    """The arguments of an enrolment at seat 1, by a code that is open."""
    stage.settlement.openEnrolment(stage.seat(1), CODE.address, stage.interval + 99 * U, {"from": stage.operator})
    message = Enrolment(stage.seat(1), OTHER.address)
    digest = message.digest(stage.domain(message))
    code = bytes(Account.unsafe_sign_hash(digest, CODE.key).signature)
    return *message.arguments(), code, signature(digest), {"from": stage.stranger}


def test_it_enrols(trade):
    stage = trade.stage
    stage.settlement.enrolGateway(*enrolling(stage, OTHER.sign))
    assert stage.settlement.gatewayOf(stage.seat(1)) == OTHER.address


@pytest.mark.parametrize("forged", [*FORGED.values()][:3], ids=[*FORGED][:3])
def test_it_does_not_enrol_by_a_forged_signature(trade, forged):
    stage = trade.stage
    given = enrolling(stage, lambda digest: forged(*OTHER.parts(digest)))
    with reverts(thrown("NotAccount", OTHER.address, ZERO)):
        stage.settlement.enrolGateway(*given)


def test_it_is_paid_in_one_batch_with_others(trade):
    results = trade.results(trade.settle((0, 100), (1, 200), (2, 150)))
    assert [result.outcome for result in results] == 3 * [Outcome.DELIVERED]
    assert trade.stage.settlement.seatBalance(trade.stage.seat(0)) == 100 * 100_000 // 1000
    assert_books_balance(trade.stage, trade.id)


def test_it_is_paid_alone(trade):
    stage = trade.stage
    trade.settle_award(0, 100)
    assert stage.settlement.seatBalance(stage.seat(0)) == 100 * 100_000 // 1000


def test_its_announced_reading_is_settled_by_anybody(trade):
    stage = trade.stage
    trade.announce(0, 100)
    announced_at = stage.metering.announcedOf(stage.seat(0), trade.interval) >> 96 & 2**64 - 1
    stage.at(announced_at + stage.settlement.holdWindowS())
    [result] = trade.results(trade.settle((0, 100), sender=stage.stranger))
    assert (result.ordinal, result.outcome) == (trade.ordinal(0), Outcome.DELIVERED)


def test_two_readings_that_differ_unseat_it(trade):
    stage = trade.stage
    first, second = trade.message(0, 10), trade.message(0, 20)
    shown = [part for each in (first, second) for part in (each.arguments(), stage.sign_as_gateway(P256, each))]
    stage.metering.annulReadings(*shown, {"from": stage.stranger})
    assert stage.settlement.gatewayOf(stage.seat(0)) == ZERO


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_reading_of_it_is_nobodys(trade, forged):
    """Skipped in a batch, whose others are paid, and not announced."""
    stage, message = trade.stage, trade.message(0, 100)
    signature = forged(*P256.parts(message.digest(stage.domain(message))))
    with reverts(thrown("BadReadingSignature", stage.seat(0), trade.interval)):
        stage.metering.announceReading(message.arguments(), signature, {"from": stage.stranger})
    reading = trade.reading(0, 100)
    readings = [reading.__class__(*reading.argument()[:4], signature), trade.reading(1, 200)]
    transaction = trade.settle(readings=readings)
    assert [event["reason"] for event in transaction.events["AwardSkipped"]] == [BAD_SIGNATURE]
    assert [result.ordinal for result in trade.results(transaction)] == [trade.ordinal(1)]


def test_its_bond_answers_as_any_others(trade):
    """What it measures less is a shortfall."""
    [result] = trade.results(trade.settle((0, 50)))
    assert result.outcome == Outcome.SHORT
    assert trade.stage.settlement.bondOf(trade.stage.seat(0))[0] == 20 * EUR - 40 * 100_000 * 1500 // 1_000_000
