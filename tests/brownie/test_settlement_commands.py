"""Payment of RED commands: emergency price or replaced award's, from the reserve, the deposit, a later deposit."""

import pytest
from brownie import reverts
from stage import EMERGENCY_PRICE_UEUR_KWH, EUR, NO_SIGNATURE, NODE, PORTFOLIO, U, thrown
from trade import BASELINES, Trade, assert_books_balance, set_red

from market.domain.messages import Reading
from market.domain.products import Direction
from market.domain.settled_records import SettlementReading
from market.domain.settlement import settle_command
from market.domain.trees import baseline_leaf, baseline_root

NO_AWARD = (bytes(32), (0, b"", []))
NOT_ANNOUNCED, HOLD_WINDOW_OPEN, ANNULLED_READING = 4, 5, 6
REVOKED = 4


def anchor(stage):
    stage.at(stage.before(410))
    given = (PORTFOLIO, stage.interval, 0, len(BASELINES), baseline_root(BASELINES))
    stage.metering.anchorBaselines([given], {"from": stage.oracle})


def command(stage, index=0, quantity=500):
    given = (stage.seat(index), stage.interval, 5, Direction.DOWN, quantity, bytes(32))
    return stage.signals.giveCommand(given, NO_SIGNATURE, {"from": stage.dso})


def reading(stage, index, delivered, ordinal=0, gateway=None):
    message = Reading(stage.seat(index), stage.interval, BASELINES[index] + delivered, 0, 1)
    signature = stage.sign_as_gateway(gateway or stage.gateways[index], message)
    return SettlementReading(ordinal, message.active_energy_wh, 0, 1, signature).argument()


def announce(trade, index, delivered):
    stage, message = trade.stage, trade.message(index, delivered)
    signature = stage.sign_as_gateway(stage.gateways[index], message)
    stage.metering.announceReading(message.arguments(), signature, {"from": stage.stranger})


def settle(stage, index, delivered, award=NO_AWARD, sender=None, **changes):
    return stage.settlement.settleCommand(
        stage.seat(index),
        stage.interval,
        baseline_leaf(BASELINES, index).argument(),
        reading(stage, index, delivered, **changes),
        *award,
        {"from": sender or stage.oracle},
    )


def commanded(stage, deposit_ueur=10 * EUR, indices=(0,)):
    anchor(stage)
    if deposit_ueur:
        stage.deposit(stage.dso, deposit_ueur)
    set_red(stage, sequence=1)
    for index in indices:
        command(stage, index)
    stage.at(stage.interval + U)


def test_a_command_is_paid_at_the_emergency_price(stage):
    commanded(stage)
    event = settle(stage, 0, 400).events["CommandSettled"]
    expected = settle_command(
        500, Direction.DOWN, EMERGENCY_PRICE_UEUR_KWH, 150_000, 0, BASELINES[0], BASELINES[0] + 400
    )
    assert (event["delivered"], event["paidUeur"], event["refundedUeur"], event["unpaidUeur"]) == (
        400, expected.paid_ueur, expected.refunded_ueur, 0,
    )  # fmt: skip
    assert stage.settlement.seatBalance(stage.seat(0)) == expected.paid_ueur == 120_000
    assert stage.settlement.balanceOf(stage.dso) == 10 * EUR - 120_000
    assert_books_balance(stage, commands=[(stage.seat(0), stage.interval)])


def test_what_the_deposit_lacks_is_a_debt_that_the_next_deposits_pay(stage):
    commanded(stage, deposit_ueur=200_000, indices=(0, 1))  # reserves 150,000 and 50,000
    settle(stage, 0, 500)
    event = settle(stage, 1, 500).events["CommandSettled"]
    assert (event["paidUeur"], event["unpaidUeur"]) == (50_000, 100_000)
    assert stage.settlement.debtOf(stage.dso) == 100_000
    assert stage.settlement.seatBalance(stage.seat(1)) == 50_000

    stage.deposit(stage.dso, 30_000)
    assert stage.settlement.debtOf(stage.dso) == 70_000
    assert stage.settlement.balanceOf(stage.dso) == 0
    stage.mint(stage.stranger, 100_000)
    transaction = stage.settlement.deposit(stage.dso, 100_000, {"from": stage.stranger})
    paid = transaction.events["AccountDebtPaid"]
    assert (paid["account"], paid["nanogrid"], paid["amountUeur"]) == (stage.dso, stage.seat(1), 70_000)
    assert stage.settlement.debtOf(stage.dso) == 0
    assert stage.settlement.balanceOf(stage.dso) == 30_000
    assert stage.settlement.seatBalance(stage.seat(1)) == 150_000
    assert_books_balance(stage)


def test_an_account_in_debt_neither_withdraws_nor_requests(stage):
    commanded(stage, deposit_ueur=0)
    settle(stage, 0, 500)
    stage.settlement.deposit(stage.dso, 0, {"from": stage.stranger})
    with reverts(thrown("AccountInDebt", stage.dso, 150_000)):
        stage.settlement.withdraw((stage.dso, 1, 0), NO_SIGNATURE, {"from": stage.dso})
    later = stage.interval + 20 * U
    stage.signals.setSignal((NODE, later, 1, 0, bytes(32), 1), NO_SIGNATURE, {"from": stage.dso})
    with reverts(thrown("AccountInDebt", stage.dso, 150_000)):
        stage.auction.publishRequest((NODE, later, 1, 1, 1000, [450], 0), NO_SIGNATURE, {"from": stage.dso})


@pytest.mark.parametrize("delivered", [500, 900])  # against a baseline of -800 Wh: the meter shows -300, and 100
def test_a_replaced_award_is_revoked_and_must_be_shown(stage, delivered):
    bids = ((100, 100_000), (200, 400_000), (300, 150_000))
    trade = Trade(stage, internal=True, bids=bids)  # internal: no request's price limits the bids, and none counts here
    assert 1 in [award.index for award in trade.awards]
    set_red(stage, sequence=1)
    command(stage, index=1)
    stage.at(stage.interval + U)
    with reverts(thrown("ReplacedAwardMissing", stage.seat(1), stage.interval)):
        settle(stage, 1, 500)
    other = (trade.id, trade.range)
    with reverts(thrown("ReplacedAwardMissing", stage.seat(1), stage.interval)):
        settle(stage, 1, 500, award=other, ordinal=trade.ordinal(0))
    event = settle(stage, 1, delivered, award=other, ordinal=trade.ordinal(1)).events["CommandSettled"]
    assert (event["delivered"], event["metered"]) == (500, BASELINES[1] + delivered)
    assert event["paidUeur"] == 500 * EMERGENCY_PRICE_UEUR_KWH // 1000
    outcomes = {result.ordinal: result.outcome for result in trade.results(trade.expire())}
    assert outcomes[trade.ordinal(1)] == REVOKED
    assert_books_balance(stage, trade.id)


def test_a_command_during_delivery_replaces_only_its_own_award(stage):
    trade = Trade(stage)
    stage.at(stage.interval + 60)
    set_red(stage, sequence=1, kind=1)
    command(stage, index=1)
    trade.to_settling()
    announce(trade, 1, 200)
    outcomes = [result.outcome for result in trade.results(trade.settle((0, 100), (1, 200), (2, 150)))]
    assert outcomes == [1, REVOKED, 1]
    assert_books_balance(stage, trade.id, commands=[(stage.seat(1), stage.interval)])


@pytest.mark.parametrize("quantity", [1, 500])
def test_an_award_that_had_begun_is_paid_and_the_command_what_is_beyond_it(stage, quantity):
    trade = Trade(stage)
    [award] = [award for award in trade.awards if award.index == 1]
    pay = award.quantity * award.price_ueur_kwh // 1000
    stage.at(stage.interval + U - 3)
    set_red(stage, sequence=1, kind=1)
    command(stage, index=1, quantity=quantity)
    trade.to_settling()
    baseline, reading_ = baseline_leaf(BASELINES, 1).argument(), trade.reading(1, award.quantity).argument()
    call = (stage.seat(1), stage.interval, baseline, reading_, trade.id, trade.range, {"from": stage.oracle})
    with reverts(thrown("CommandNotSettleable", stage.seat(1), stage.interval, NOT_ANNOUNCED)):
        stage.settlement.settleCommand(*call)
    announce(trade, 1, award.quantity)
    event = stage.settlement.settleCommand(*call).events["CommandSettled"]
    worth = min(quantity, award.quantity) * max(EMERGENCY_PRICE_UEUR_KWH, award.price_ueur_kwh) // 1000
    assert event["paidUeur"] + event["unpaidUeur"] == max(0, worth - pay)
    before = stage.settlement.seatBalance(stage.seat(1))
    [result] = trade.results(trade.settle((1, award.quantity)))
    assert (result.outcome, result.delivered) == (REVOKED, award.quantity)
    assert stage.settlement.seatBalance(stage.seat(1)) == before + pay
    assert_books_balance(stage, trade.id)


def test_a_command_is_settled_once_and_after_its_interval(stage):
    commanded(stage)
    stage.at(stage.interval + U)
    settle(stage, 0, 500)
    with reverts(thrown("CommandAlreadySettled", stage.seat(0), stage.interval)):
        settle(stage, 0, 500)
    with reverts(thrown("UnknownCommand", stage.seat(1), stage.interval)):
        settle(stage, 1, 500)


def test_a_command_is_not_settled_before_its_interval_is_over(stage):
    anchor(stage)
    set_red(stage, sequence=1)
    command(stage)
    stage.at(stage.interval + U - 1)
    with reverts(thrown("IntervalNotOver", stage.interval)):
        settle(stage, 0, 500)


def test_a_command_needs_its_gateways_reading_and_the_anchored_baseline(stage):
    commanded(stage)
    with reverts(thrown("BadReadingSignature", stage.seat(0), stage.interval)):
        settle(stage, 0, 500, gateway=stage.gateways[1])
    with reverts(thrown("WrongBaselines", bytes(32))):
        stage.settlement.settleCommand(
            stage.seat(0),
            stage.interval,
            (0, bytes(32), []),
            reading(stage, 0, 500),
            *NO_AWARD,
            {"from": stage.oracle},
        )


def test_others_settle_a_command_by_an_announced_reading(stage):
    commanded(stage)
    with reverts(thrown("CommandNotSettleable", stage.seat(0), stage.interval, NOT_ANNOUNCED)):
        settle(stage, 0, 500, sender=stage.stranger)
    message = Reading(stage.seat(0), stage.interval, BASELINES[0] + 500, 0, 1)
    signature = stage.sign_as_gateway(stage.gateways[0], message)
    stage.metering.announceReading(message.arguments(), signature, {"from": stage.stranger})
    with reverts(thrown("CommandNotSettleable", stage.seat(0), stage.interval, HOLD_WINDOW_OPEN)):
        settle(stage, 0, 500, sender=stage.stranger)
    stage.at(stage.interval + U + stage.settlement.holdWindowS())
    assert settle(stage, 0, 500, sender=stage.stranger).events["CommandSettled"]["delivered"] == 500


def test_an_annulled_reading_pays_no_command(stage):
    commanded(stage)
    first, second = (Reading(stage.seat(0), stage.interval, energy, 0, 1) for energy in (0, 1))
    signatures = [stage.sign_as_gateway(stage.gateways[0], message) for message in (first, second)]
    stage.metering.annulReadings(
        first.arguments(), signatures[0], second.arguments(), signatures[1], {"from": stage.stranger}
    )
    with reverts(thrown("CommandNotSettleable", stage.seat(0), stage.interval, ANNULLED_READING)):
        settle(stage, 0, 500)
    assert (
        stage.settlement.expireCommand(stage.seat(0), stage.interval, {"from": stage.stranger}).events[
            "CommandSettled"
        ]["refundedUeur"]
        == 150_000
    )


def test_without_a_reading_a_command_expires_and_its_reserve_goes_back(stage):
    commanded(stage)
    deadline = stage.interval + stage.settlement.readingDeadlineS()
    with reverts(thrown("DeadlineNotReached", deadline)):
        stage.settlement.expireCommand(stage.seat(0), stage.interval, {"from": stage.stranger})
    stage.at(deadline)
    stage.settlement.expireCommand(stage.seat(0), stage.interval, {"from": stage.stranger})
    assert stage.settlement.balanceOf(stage.dso) == 10 * EUR
    with reverts(thrown("CommandAlreadySettled", stage.seat(0), stage.interval)):
        settle(stage, 0, 500)
    assert_books_balance(stage)
