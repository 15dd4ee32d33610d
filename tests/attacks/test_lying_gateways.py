"""A gateway signs two readings for one interval, or is revoked in mid-offer: it gains nothing, others lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from web3.contract.contract import ContractFunction

from market.domain.errors import BidRejection, Skip
from market.domain.records import BidRecord
from tests.attacks.arena import (
    NO_REQUEST,
    REQUEST_PRICE,
    Arena,
    Outcome,
    gateway_key,
    nanogrid,
    new_key,
)
from tests.attacks.submission import settle_alone_call, settle_call
from tests.contracts_properties.auction_house import SEATS, U

NOBODY = "0x" + "00" * 20
PENALTY = 360 * 100_000 * 1500 // 1_000_000
"""Of seat 1's award of 400 Wh at 100,000 micro-euro per kWh, when nothing is delivered."""


def test_a_gateway_that_signs_twice_is_paid_nothing_and_fined(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.final()
    arena.at(arena.interval + U)
    lies = (arena.reading(1, 400), arena.reading(1, 100, sequence=2))
    arena.send(arena.annulling(*lies, gateway_key(1)), arena.anyone)
    arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    after, honest = arena.money(offer), honest_outcome.money
    assert (after["seat 1"], honest["seat 1"]) == (0, 40_000)
    assert after["bond 1"] == honest["bond 1"] - PENALTY
    assert after["seat 2"] == honest["seat 2"]  # who was honest is paid as ever
    assert after["dso"] == honest["dso"] + 400 * REQUEST_PRICE // 1000 + PENALTY
    arena.assert_solvent()


@pytest.mark.parametrize("settle", [settle_call, settle_alone_call])
def test_a_gateway_that_signed_twice_and_is_seated_again_is_paid_nothing(
    arena: Arena, settle: Callable[..., ContractFunction]
) -> None:
    """The operator lets it sign again; of the annulled interval no reading counts, in whatever way it is settled."""
    offer = arena.final()
    arena.at(arena.interval + U)
    lies = (arena.reading(1, 400), arena.reading(1, 100, sequence=2))
    gateway = arena.settlement.functions.gatewayOf(nanogrid(1)).call()
    arena.send(arena.annulling(*lies, gateway_key(1)), arena.anyone)
    arena.send(arena.settlement.functions.setGateway(nanogrid(1), gateway), arena.operator)
    before = arena.money(offer)
    arena.send(settle(arena.settlement, arena.submission(offer, {1: 400})), arena.oracle)
    after = arena.money(offer)
    assert after["seat 1"] == before["seat 1"]
    assert after["bond 1"] == before["bond 1"] - PENALTY
    arena.assert_solvent()


def test_a_gateway_that_signed_twice_signs_no_more(arena: Arena) -> None:
    arena.final()
    arena.at(arena.interval + U)
    lies = (arena.reading(1, 400), arena.reading(1, 100))
    arena.send(arena.annulling(*lies, gateway_key(1)), arena.anyone)
    assert arena.settlement.functions.gatewayOf(nanogrid(1)).call() == NOBODY
    third = arena.announcing(arena.reading(1, 200), gateway_key(1))
    arena.refuse(third, arena.anyone, "BadReadingSignature", nanogrid=nanogrid(1), interval=arena.interval)
    arena.interval += 8 * U
    following = arena.opened()
    receipt = arena.send(arena.posting(following, arena.wired(following, BidRecord(1000, 400, 0, 1))), arena.relayer)
    assert arena.skips(receipt) == [BidRejection.SEAT_NOT_ACTIVE]


def test_a_second_reading_shown_after_settlement_takes_nothing_back(arena: Arena, honest_outcome: Outcome) -> None:
    """A settlement is final: who bought a gateway's second signature cannot undo the payment."""
    offer = arena.final()
    outcome = arena.conclude(offer)
    arena.send(arena.annulling(arena.reading(1, 400), arena.reading(1, 100), gateway_key(1)), arena.dso)
    arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    arena.at(arena.interval + 5 * U)
    arena.send(arena.expiring(offer), arena.dso)
    assert outcome == honest_outcome
    assert arena.money(offer) == honest_outcome.money


@pytest.mark.parametrize("forged_first", [False, True])
def test_two_readings_by_different_keys_annul_nothing(
    arena: Arena, honest_outcome: Outcome, forged_first: bool
) -> None:
    """Nobody else can sign a second reading for a gateway."""
    offer = arena.final()
    arena.at(arena.interval + U)
    forged_key, _ = new_key("a forged gateway")
    honest, forged = arena.reading(1, 400), arena.reading(1, 0)
    signed = [
        (honest.arguments(), arena.signed(gateway_key(1), honest)),
        (forged.arguments(), arena.signed(forged_key, forged)),
    ]
    if forged_first:
        signed.reverse()
    annulling = arena.metering.functions.annulReadings(*signed[0], *signed[1])
    arena.refuse(annulling, arena.attacker, "BadReadingSignature", nanogrid=nanogrid(1), interval=arena.interval)
    assert arena.conclude(offer) == honest_outcome


def test_a_reading_sent_again_annuls_nothing(arena: Arena, honest_outcome: Outcome) -> None:
    """A gateway that repeats itself under another sequence has not lied."""
    offer = arena.final()
    arena.at(arena.interval + U)
    again = arena.annulling(arena.reading(1, 400), arena.reading(1, 400, sequence=2), gateway_key(1))
    arena.refuse(again, arena.attacker, "ReadingsAgree", nanogrid=nanogrid(1), interval=arena.interval)
    assert arena.conclude(offer) == honest_outcome


def test_readings_of_two_intervals_annul_nothing(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.final()
    arena.at(arena.interval + 2 * U)
    this = arena.reading(1, 400)
    arena.interval += U
    following = arena.reading(1, 100)
    arena.interval -= U
    arena.refuse(arena.annulling(this, following, gateway_key(1)), arena.attacker, "ReadingsOfDifferentIntervals")
    assert arena.conclude(offer) == honest_outcome


# REVOKED IN MID-OFFER


def test_a_gateway_revoked_in_mid_offer_signs_no_more(arena: Arena, honest_outcome: Outcome) -> None:
    """Its key is worth nothing from then on; the seat's new gateway delivers the award."""
    offer = arena.honest_offer()
    key, address = new_key("the gateway that follows")
    arena.send(arena.settlement.functions.setGateway(nanogrid(1), address), arena.operator)
    arena.at_before(140)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval + U)
    stale = arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    assert arena.skipped_awards(stale) == [Skip.BAD_SIGNATURE]  # the other award of the batch is paid
    arena.send(arena.settling(offer, {1: 400}, keys={1: key}), arena.oracle)
    assert arena.money(offer) == honest_outcome.money


def test_revoking_a_gateway_after_its_reading_was_announced_takes_no_pay(arena: Arena, honest_outcome: Outcome) -> None:
    """An operator cannot make a delivery unpaid by revoking the key that has signed it."""
    offer = arena.final()
    arena.at(arena.interval + U)
    for index, energy in arena.delivery(offer).items():
        arena.send(arena.announcing(arena.reading(index, energy), gateway_key(index)), arena.anyone)
    for index in arena.delivery(offer):
        arena.send(arena.settlement.functions.setGateway(nanogrid(index), NOBODY), arena.operator)
    arena.at(arena.now + arena.settlement.functions.holdWindowS().call())
    arena.send(arena.settling(offer, arena.delivery(offer)), arena.anyone)
    assert arena.money(offer) == honest_outcome.money


def test_a_revoked_gateway_is_no_other_seats(arena: Arena) -> None:
    """One key measures for one seat only."""
    seating = arena.settlement.functions.setGateway(nanogrid(2), arena.gateway(1))
    arena.refuse(seating, arena.operator, "GatewayInUse", gateway=arena.gateway(1), nanogrid=nanogrid(1))
    assert arena.settlement.functions.gatewayOf(nanogrid(2)).call() == arena.gateway(2)


# EXTREME ENERGIES


@pytest.mark.parametrize("settle", [settle_call, settle_alone_call])
@pytest.mark.parametrize("energy", [2**23, 2**31 - 1, -(2**23) - 1, -(2**31)])
def test_the_largest_energies_that_a_reading_holds_are_judged_like_all(
    arena: Arena, settle: Callable[..., ContractFunction], energy: int
) -> None:
    """Energies have 32 bits with their sign: what a gateway tells there must not come out as something else."""
    offer = arena.final()
    arena.at(arena.interval + U)
    reading = arena.reading(1, energy, reactive_varh=~energy)
    readings = ((0, reading, arena.signed(gateway_key(1), reading)),)
    submission = replace(arena.submission(offer, {}), readings=readings)
    receipt = arena.send(settle(arena.settlement, submission), arena.oracle)
    assert arena.skipped_awards(receipt) == []
    assert arena.seat_balance(1) == (40_000 if energy > 0 else 0)


@pytest.mark.parametrize("settle", [settle_call, settle_alone_call])
@pytest.mark.parametrize("baseline", [2**23, 2**31 - 400, -(2**23) - 1, -(2**31) + 1])
def test_a_delivery_counts_from_the_largest_baselines_too(
    arena: Arena, settle: Callable[..., ContractFunction], baseline: int
) -> None:
    arena.at_before(410)
    arena.anchor((baseline,) * SEATS)
    arena.at_before(400)
    offer = arena.open_offer(request=NO_REQUEST)
    bid = BidRecord(100_000, 400, 0, 1)
    arena.send(arena.posting(offer, arena.wired(offer, bid)), arena.relayer)
    arena.at_before(345)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval + U)
    submission = replace(arena.submission(offer, {1: baseline + 399}), baselines=(baseline,) * SEATS)
    receipt = arena.send(settle(arena.settlement, submission), arena.oracle)
    assert arena.skipped_awards(receipt) == []
    assert arena.seat_balance(1) == 39_900
