"""MeteringOracle: anchors of baselines and readings, announced and annulled readings."""

import pytest
from brownie import reverts
from eth_abi.packed import encode_packed
from stage import PARAMETERS, PORTFOLIO, U, thrown

from market.domain.hashing import keccak256
from market.domain.messages import Reading

ROOT = keccak256(b"baselines")
ACTIVE, REACTIVE = range(2)


def anchor(stage, kind=ACTIVE, interval=None, sender=None):
    given = (PORTFOLIO, interval or stage.interval, kind, 3, ROOT)
    return stage.metering.anchorBaselines([given], {"from": sender or stage.oracle})


def reading(stage, active_energy_wh=-420, sequence=17, **changes):
    fields = {
        "nanogrid": stage.seat(0),
        "interval": stage.interval,
        "active_energy_wh": active_energy_wh,
        "reactive_energy_varh": 35,
        "sequence": sequence,
    }
    return Reading(**(fields | changes))


def announce(stage, message, gateway=None):
    signature = stage.sign_as_gateway(gateway or stage.gateways[0], message)
    return stage.metering.announceReading(message.arguments(), signature, {"from": stage.stranger})


def annul(stage, first, second):
    signer = stage.gateways[0]
    return stage.metering.annulReadings(
        first.arguments(),
        stage.sign_as_gateway(signer, first),
        second.arguments(),
        stage.sign_as_gateway(signer, second),
        {"from": stage.stranger},
    )


# ANCHORS


def test_baselines_are_anchored_once_for_each_kind(stage):
    transaction = anchor(stage)
    assert bytes(transaction.events["BaselineAnchored"]["root"]) == ROOT
    root, anchored_at, count = stage.metering.baselineOf(PORTFOLIO, stage.interval, ACTIVE)
    assert (bytes(root), anchored_at, count) == (ROOT, stage.start, 3)
    with reverts(thrown("AlreadyAnchored", PORTFOLIO, stage.interval, ACTIVE)):
        anchor(stage)
    anchor(stage, REACTIVE)


def test_baselines_are_anchored_before_any_gate_could_still_be_open(stage):
    deadline = stage.before(140)
    stage.at(deadline)
    anchor(stage)
    stage.at(deadline + 1)
    with reverts(thrown("AnchoredTooLate", stage.interval, deadline)):
        anchor(stage, REACTIVE)


def test_only_the_oracle_anchors(stage):
    with reverts(thrown("NotOracle", stage.operator)):
        anchor(stage, sender=stage.operator)
    with reverts(thrown("NotOracle", stage.stranger)):
        stage.metering.anchorReadings(stage.interval, ROOT, 1, {"from": stage.stranger})


def test_anchors_are_of_intervals(stage):
    with reverts(thrown("NotAnInterval", stage.interval + 1)):
        anchor(stage, interval=stage.interval + 1)
    with reverts(thrown("NotAnInterval", stage.interval + 1)):
        stage.metering.anchorReadings(stage.interval + 1, ROOT, 1, {"from": stage.oracle})


def test_readings_are_anchored_after_their_interval(stage):
    stage.at(stage.interval + U - 1)
    with reverts(thrown("IntervalNotOver", stage.interval)):
        stage.metering.anchorReadings(stage.interval, ROOT, 3, {"from": stage.oracle})
    stage.at(stage.interval + U)
    transaction = stage.metering.anchorReadings(stage.interval, ROOT, 3, {"from": stage.oracle})
    assert transaction.events["ReadingsAnchored"]["count"] == 3


# ANNOUNCED READINGS


def test_anyone_announces_a_reading_that_the_gateway_signed(stage):
    stage.at(stage.interval + U)
    message = reading(stage)
    (event,) = announce(stage, message).events["ReadingAnnounced"]
    names = ("nanogrid", "interval", "activeEnergyWh", "reactiveEnergyVarh", "sequence")
    assert tuple(event[name] for name in names) == message.arguments()
    announced = stage.metering.announcedOf(stage.seat(0), stage.interval).to_bytes(32, "big")
    energies_and_sequence = encode_packed(["int32", "int32", "uint32"], message.arguments()[2:])
    assert announced == bytes(12) + (stage.interval + U).to_bytes(8, "big") + energies_and_sequence
    with reverts(thrown("ReadingAlreadyAnnounced", stage.seat(0), stage.interval)):
        announce(stage, reading(stage, sequence=18))


def test_a_reading_is_announced_between_the_end_of_its_interval_and_the_deadline(stage):
    stage.at(stage.interval + U - 1)
    with reverts(thrown("IntervalNotOver", stage.interval)):
        announce(stage, reading(stage))
    stage.at(stage.interval + PARAMETERS.reading_deadline_s + 1)
    with reverts(thrown("AnnouncedTooLate", stage.seat(0), stage.interval)):
        announce(stage, reading(stage))


def test_a_reading_of_another_gateway_is_refused(stage):
    stage.at(stage.interval + U)
    with reverts(thrown("BadReadingSignature", stage.seat(0), stage.interval)):
        announce(stage, reading(stage), gateway=stage.gateways[1])


def test_a_seat_without_gateway_has_no_readings(stage):
    stage.register_seat(stage.stranger)
    stage.at(stage.interval + U)
    message = reading(stage, nanogrid=stage.seat(3))
    with reverts(thrown("BadReadingSignature", stage.seat(3), stage.interval)):
        stage.metering.announceReading(message.arguments(), bytes(64), {"from": stage.stranger})


def test_a_reading_is_of_an_interval(stage):
    stage.at(stage.interval + 2 * U)
    with reverts(thrown("NotAnInterval", stage.interval + 1)):
        announce(stage, reading(stage, interval=stage.interval + 1))


# ANNULLED READINGS


@pytest.mark.parametrize("changes", [{"active_energy_wh": -421}, {"reactive_energy_varh": 36}])
def test_two_readings_that_differ_unseat_the_gateway_and_suspend_the_seat(stage, changes):
    transaction = annul(stage, reading(stage), reading(stage, sequence=18, **changes))
    assert transaction.events["ReadingsAnnulled"]["by"] == stage.stranger
    assert stage.metering.isAnnulled(stage.seat(0), stage.interval)
    assert not stage.metering.isAnnulled(stage.seat(1), stage.interval)
    assert stage.metering.announcedOf(stage.seat(0), stage.interval) == 1 << 255  # annulled, and nothing announced
    assert stage.metering.annulledWord(PORTFOLIO, stage.interval, 0) == 1
    assert stage.settlement.gatewayOf(stage.seat(0)) == "0x" + 40 * "0"
    assert not stage.registry.isSeatActive(stage.seat(0), stage.interval)
    stage.registry.reinstateSeat(stage.seat(0), {"from": stage.operator})
    assert stage.registry.isSeatActive(stage.seat(0), stage.interval)


def test_a_reading_sent_again_is_no_lie(stage):
    with reverts(thrown("ReadingsAgree", stage.seat(0), stage.interval)):
        annul(stage, reading(stage), reading(stage, sequence=18))


def test_readings_of_different_intervals_or_seats_do_not_contradict(stage):
    for changes in ({"interval": stage.interval + U}, {"nanogrid": stage.seat(1)}):
        with reverts(thrown("ReadingsOfDifferentIntervals")):
            annul(stage, reading(stage), reading(stage, 1, **changes))


@pytest.mark.parametrize("signers", [(1, 1), (0, 1), (1, 0)])
def test_nobody_else_can_annul_a_gateways_readings(stage, signers):
    """Neither of the two readings may be another's: whoever has one true reading could annul it with a made-up one."""
    readings = reading(stage), reading(stage, sequence=18, active_energy_wh=-421)
    signed = [
        (each.arguments(), stage.sign_as_gateway(stage.gateways[signer], each))
        for each, signer in zip(readings, signers, strict=True)
    ]
    with reverts(thrown("BadReadingSignature", stage.seat(0), stage.interval)):
        stage.metering.annulReadings(*signed[0], *signed[1], {"from": stage.stranger})
    assert not stage.metering.isAnnulled(stage.seat(0), stage.interval)
