"""GridSignals: the traffic light, verdicts, RED commands, validations of the TSO's requests."""

import pytest
from brownie import reverts
from stage import EMERGENCY_PRICE_UEUR_KWH, EUR, NO_SIGNATURE, NODE, PORTFOLIO, U, role_id, thrown

from market.domain.hashing import keccak256
from market.domain.messages import Command, Offer, Signal, TsoValidation, Verdict

GREEN, YELLOW, RED = range(3)
FORECAST, ACTUAL = range(2)
REASON = keccak256(b"line 4 at 112 %")
NO_PROGRESS = (bytes(32), 0, 0, [], 0, [], 0, b"", [])
EVERYBODY_REACHED = (2**64 - 1, 0, [])


def signal(stage, phase, sequence=1, kind=FORECAST, **changes):
    fields = {
        "node": NODE,
        "interval": stage.interval,
        "phase": phase,
        "kind": kind,
        "reason": REASON,
        "sequence": sequence,
    }
    return Signal(**(fields | changes))


def set_signal(stage, *arguments, **fields):
    return stage.signals.setSignal(signal(stage, *arguments, **fields).arguments(), NO_SIGNATURE, {"from": stage.dso})


# TRAFFIC LIGHT


def test_green_when_nobody_has_spoken(stage):
    assert stage.signals.phaseOf(NODE, stage.interval) == GREEN
    assert stage.signals.redSince(NODE, stage.interval) == 0


def test_a_signed_signal_may_be_carried_by_anyone(stage):
    message = signal(stage, YELLOW)
    transaction = stage.signals.setSignal(message.arguments(), stage.sign(stage.dso, message), {"from": stage.stranger})
    event = transaction.events["SignalSet"]
    assert (event["node"], event["interval"], event["phase"], event["author"]) == (
        NODE, stage.interval, YELLOW, stage.dso,
    )  # fmt: skip
    assert stage.signals.phaseOf(NODE, stage.interval) == YELLOW


def test_only_the_nodes_dso_sets_its_signal(stage):
    message = signal(stage, YELLOW)
    with reverts(thrown("NotDsoOfNode", NODE, stage.other_dso)):
        stage.signals.setSignal(message.arguments(), stage.sign(stage.other_dso, message), {"from": stage.dso})
    with reverts(thrown("NotDsoOfNode", NODE, stage.other_dso)):
        stage.signals.setSignal(message.arguments(), NO_SIGNATURE, {"from": stage.other_dso})
    stage.registry.revokeRole(role_id("DSO"), stage.dso, {"from": stage.operator})
    with reverts(thrown("NotDsoOfNode", NODE, stage.dso)):
        stage.signals.setSignal(message.arguments(), NO_SIGNATURE, {"from": stage.dso})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"interval": 1}, ("NotAnInterval", 1)),
        ({"interval": 0}, ("NotAnInterval", 0)),
        ({"phase": 3}, ("InvalidPhase", 3)),
        ({"kind": 2}, ("InvalidKind", 2)),
    ],
)
def test_a_signal_out_of_range_is_refused(stage, changes, error):
    message = signal(stage, **({"phase": YELLOW} | changes))
    with reverts(thrown(*error)):
        stage.signals.setSignal(message.arguments(), NO_SIGNATURE, {"from": stage.dso})


def test_an_old_signal_cannot_be_replayed(stage):
    set_signal(stage, YELLOW, sequence=5)
    for sequence in (5, 4):
        with reverts(thrown("StaleSequence", sequence, 5)):
            set_signal(stage, GREEN, sequence=sequence)
    set_signal(stage, YELLOW, sequence=1, kind=ACTUAL)  # each kind has its own sequence


def test_the_forecast_binds_and_an_actual_red_stands_over_it(stage):
    set_signal(stage, YELLOW)
    set_signal(stage, GREEN, kind=ACTUAL)
    assert stage.signals.phaseOf(NODE, stage.interval) == YELLOW
    set_signal(stage, RED, 2, kind=ACTUAL)
    assert stage.signals.phaseOf(NODE, stage.interval) == RED
    assert stage.signals.redSince(NODE, stage.interval) == stage.start


def test_red_can_be_taken_back_until_one_unit_before_the_interval(stage):
    set_signal(stage, RED)
    stage.at(stage.before(100))
    set_signal(stage, YELLOW, 2)
    assert stage.signals.phaseOf(NODE, stage.interval) == YELLOW
    assert stage.signals.redSince(NODE, stage.interval) == 0


def test_red_is_final_when_gateways_have_been_told(stage):
    set_signal(stage, RED)
    stage.at(stage.before(100) + 1)
    with reverts(thrown("RedIsFinal", NODE, stage.interval)):
        set_signal(stage, YELLOW, 2)
    set_signal(stage, GREEN, kind=ACTUAL)  # what leaves it RED may be said
    assert stage.signals.redSince(NODE, stage.interval) == stage.start


def test_red_is_final_beside_a_command(stage):
    set_signal(stage, RED)
    give_command(stage)
    with reverts(thrown("RedIsFinal", NODE, stage.interval)):
        set_signal(stage, YELLOW, 2)


def test_red_during_delivery_may_end_and_stays_noted(stage):
    stage.at(stage.interval + 60)
    set_signal(stage, RED, kind=ACTUAL)
    stage.at(stage.interval + 120)
    set_signal(stage, GREEN, 2, kind=ACTUAL)
    assert stage.signals.phaseOf(NODE, stage.interval) == GREEN
    assert stage.signals.redSince(NODE, stage.interval) == stage.interval + 60


# COMMANDS


def command(stage, **changes):
    fields = {
        "nanogrid": stage.seat(0),
        "interval": stage.interval,
        "product": 5,
        "direction": 1,
        "quantity": 500,
        "reason": REASON,
    }
    return Command(**(fields | changes))


def give_command(stage, **changes):
    return stage.signals.giveCommand(command(stage, **changes).arguments(), NO_SIGNATURE, {"from": stage.dso})


def test_a_command_on_red_reserves_the_emergency_price(stage):
    stage.deposit(stage.dso, 10 * EUR)
    set_signal(stage, RED)
    message = command(stage)
    transaction = stage.signals.giveCommand(
        message.arguments(), stage.sign(stage.dso, message), {"from": stage.stranger}
    )
    reserve = 500 * EMERGENCY_PRICE_UEUR_KWH // 1000
    assert transaction.events["CommandGiven"]["priceUeurKwh"] == EMERGENCY_PRICE_UEUR_KWH
    assert transaction.events["CommandGiven"]["reservedUeur"] == reserve
    assert stage.settlement.balanceOf(stage.dso) == 10 * EUR - reserve
    assert stage.signals.commandOf(stage.seat(0), stage.interval)[4] == 500


def test_a_command_stands_even_when_the_deposit_is_short(stage):
    stage.deposit(stage.dso, 1000)
    set_signal(stage, RED)
    assert give_command(stage).events["CommandGiven"]["reservedUeur"] == 1000
    assert give_command(stage, nanogrid=stage.seat(1)).events["CommandGiven"]["reservedUeur"] == 0


def test_a_command_needs_red(stage):
    set_signal(stage, YELLOW)
    with reverts(thrown("NodeNotRed", NODE, stage.interval)):
        give_command(stage)


def test_a_command_is_given_once_and_before_the_interval_ends(stage):
    set_signal(stage, RED)
    stage.at(stage.interval + U - 1)
    give_command(stage)
    with reverts(thrown("CommandExists", stage.seat(0), stage.interval)):
        give_command(stage, quantity=900)
    stage.at(stage.interval + U)
    with reverts(thrown("CommandTooLate", stage.seat(1), stage.interval)):
        give_command(stage, nanogrid=stage.seat(1))


def test_only_the_nodes_dso_commands(stage):
    set_signal(stage, RED)
    message = command(stage)
    with reverts(thrown("NotDsoOfNode", NODE, stage.other_dso)):
        stage.signals.giveCommand(message.arguments(), stage.sign(stage.other_dso, message), {"from": stage.dso})


def test_a_command_out_of_range_is_refused(stage):
    set_signal(stage, RED)
    for changes, error in (
        ({"product": 1}, ("InvalidProduct", 1)),
        ({"direction": 2}, ("InvalidDirection", 2)),
        ({"interval": stage.interval + 1}, ("NotAnInterval", stage.interval + 1)),
        ({"nanogrid": stage.seat(9)}, ("UnknownSeat", stage.seat(9))),
    ):
        with reverts(thrown(*error)):
            give_command(stage, **changes)
    with reverts(thrown("EmptyQuantity")):
        give_command(stage, quantity=0)


def test_a_seat_that_is_not_active_then_cannot_be_commanded(stage):
    set_signal(stage, RED)
    stage.registry.closeSeat(stage.seat(0), stage.interval, {"from": stage.operator})
    with reverts(thrown("SeatNotActive", stage.seat(0), stage.interval)):
        give_command(stage)


# VERDICTS


@pytest.fixture
def offer(stage):
    """An INTERNAL offer without bids, open, its gate closing at T − 3.45u."""
    anchor = (PORTFOLIO, stage.interval, 0, 3, keccak256(b"baselines"))
    stage.metering.anchorBaselines([anchor], {"from": stage.oracle})
    stage.deposit(stage.aggregator, EUR)
    message = Offer(PORTFOLIO, bytes(32), stage.interval, 0, 1, 6, 1000, 200_000, stage.before(345), 1)
    stage.auction.openOffer(message.arguments(), NO_SIGNATURE, {"from": stage.aggregator})
    return message.digest(stage.domain(message))


def clear(stage, offer):
    stage.at(stage.before(345))
    stage.auction.clear(offer, EVERYBODY_REACHED, b"", b"", NO_PROGRESS, {"from": stage.stranger})


def give_verdict(stage, offer, rejected=b"\x01"):
    return stage.signals.giveVerdict((offer, rejected, REASON), NO_SIGNATURE, {"from": stage.dso})


def test_a_verdict_is_kept_as_a_hash_and_published_whole(stage, offer):
    clear(stage, offer)
    message = Verdict(offer, b"\x05", REASON)
    transaction = stage.signals.giveVerdict(
        message.arguments(), stage.sign(stage.dso, message), {"from": stage.stranger}
    )
    assert bytes.fromhex(str(transaction.events["VerdictGiven"]["rejected"])[2:]) == b"\x05"
    rejected_hash, given_at = stage.signals.verdictOf(offer)
    assert (bytes(rejected_hash), given_at) == (keccak256(b"\x05"), stage.before(345))


def test_a_verdict_is_given_once(stage, offer):
    clear(stage, offer)
    give_verdict(stage, offer)
    with reverts(thrown("VerdictAlreadyGiven", offer)):
        give_verdict(stage, offer, b"\x02")


def test_a_verdict_is_about_a_cleared_offer(stage, offer):
    with reverts(thrown("OfferNotCleared", offer)):
        give_verdict(stage, offer)


def test_a_verdict_comes_in_time(stage, offer):
    clear(stage, offer)
    deadline = stage.before(345) + U * 40 // 100
    stage.at(deadline + 1)
    with reverts(thrown("VerdictTooLate", offer, deadline)):
        give_verdict(stage, offer)
    assert stage.signals.verdictOf(offer)[1] == 0


def test_a_verdict_is_the_dsos(stage, offer):
    clear(stage, offer)
    message = Verdict(offer, b"\x01", REASON)
    with reverts(thrown("NotDsoOfNode", NODE, stage.aggregator)):
        stage.signals.giveVerdict(message.arguments(), stage.sign(stage.aggregator, message), {"from": stage.dso})


# REQUESTS OF THE TSO


def test_the_dso_answers_a_tso_request_once(stage):
    request = keccak256(b"TSO request")
    message = TsoValidation(request, NODE, True, REASON)
    stage.signals.validateTsoRequest(*message.arguments(), stage.sign(stage.dso, message), {"from": stage.stranger})
    with reverts(thrown("ValidationExists", request, NODE)):
        stage.signals.validateTsoRequest(request, NODE, False, REASON, NO_SIGNATURE, {"from": stage.dso})
    with reverts(thrown("NotDsoOfNode", NODE, stage.stranger)):
        stage.signals.validateTsoRequest(request, NODE, False, REASON, NO_SIGNATURE, {"from": stage.stranger})
