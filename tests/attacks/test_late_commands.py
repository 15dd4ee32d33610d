"""RED and a command while an award is being delivered: they take nothing of what the seat has delivered.

Seat 1 has an award of 400 Wh (DOWN) at 100,000 micro-euro per kWh; the emergency price is 300,000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from web3.contract.contract import ContractFunction

from market.domain.errors import Skip
from market.domain.products import Direction, Phase, Product
from market.domain.records import BidRecord
from market.domain.settled_records import unpack_results
from market.domain.settlement import Outcome as End
from tests.attacks.arena import (
    EMERGENCY_PRICE,
    NO_REASON,
    NO_REQUEST,
    REQUEST_PRICE,
    Arena,
    Outcome,
    gateway_key,
    nanogrid,
)
from tests.attacks.submission import settle_alone_call, settle_call
from tests.contracts_properties.auction_house import NO_SIGNATURE, NODE, U

AWARDED, PAY = 400, 40_000


def commanding(arena: Arena, quantity: int, direction: Direction = Direction.DOWN, index: int = 1) -> None:
    """RED, if it is not yet, and a command."""
    if arena.signals.functions.redSince(NODE, arena.interval).call() == 0:
        arena.signal(Phase.RED, kind=1)
    command = (nanogrid(index), arena.interval, Product.VC_EMERGENCY_P, direction, quantity, NO_REASON)
    arena.send(arena.signals.functions.giveCommand(command, NO_SIGNATURE), arena.dso)


def announcing(arena: Arena, energy: int, reactive: int = 0) -> None:
    reading = arena.reading(1, energy, reactive_varh=reactive)
    arena.send(arena.announcing(reading, gateway_key(1)), arena.anyone)


def command_settling(arena: Arena, offer: bytes, energy: int) -> ContractFunction:
    """By seat 1's reading, the award of ordinal 0 being shown."""
    reading = arena.award_reading(1, energy).argument()
    shown = arena.baseline_leaf(1), reading, offer, arena.award_leaf(offer, 0)
    return arena.settlement.functions.settleCommand(nanogrid(1), arena.interval, *shown)


def settle_both(arena: Arena, offer: bytes, energy: int) -> None:
    arena.at(max(arena.interval + U, arena.now))
    announcing(arena, energy)
    arena.send(arena.settling(offer, arena.delivery(offer) | {1: energy}), arena.oracle)
    arena.send(command_settling(arena, offer, energy), arena.oracle)
    arena.assert_solvent()


def ends(arena: Arena) -> list[tuple[int, End, int]]:
    """Ordinal, outcome and delivered energy of every award that has ended."""
    logs = arena.settlement.events.AwardsSettled().get_logs(from_block=0)
    results = [result for log in logs for result in unpack_results(log["args"]["results"])]
    return sorted((result.ordinal, result.outcome, result.delivered) for result in results)


def reactive_award(arena: Arena) -> bytes:
    """An offer that a request for reactive energy asks for; seat 1 wins it."""
    arena.at_before(300)
    arena.signal(Phase.YELLOW)
    request = arena.request(product=Product.VC_REALTIME)
    arena.send(arena.auction.functions.publishRequest(request.arguments(), NO_SIGNATURE), arena.dso)
    arena.at_before(275)
    offer = arena.open_offer(request=request.digest(arena.domain), product=Product.VC_REALTIME, quantity=AWARDED)
    arena.send(arena.posting(offer, arena.wired(offer, BidRecord(100_000, AWARDED, 0, 1))), arena.relayer)
    arena.at_before(140)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    return offer


def test_a_command_in_the_last_seconds_takes_no_delivered_pay(arena: Arena, honest_outcome: Outcome) -> None:
    """RED and a command of 1 Wh, three seconds before the interval ends: everybody has what he has without them."""
    offer = arena.final()
    arena.at(arena.interval + U - 3)
    commanding(arena, quantity=1)
    settle_both(arena, offer, AWARDED)
    assert arena.money(offer) == honest_outcome.money
    assert ends(arena) == [(0, End.REVOKED, AWARDED), (1, End.DELIVERED, 600)]


@pytest.mark.parametrize("settle", [settle_call, settle_alone_call])
def test_whoever_is_first_an_interrupted_award_is_paid_from_its_own_escrow(
    arena: Arena, honest_outcome: Outcome, settle: Callable[..., ContractFunction]
) -> None:
    """A DSO that has withdrawn all it has, and would end the award itself at once, leaves no debt in its place."""
    offer = arena.final()
    arena.at(arena.interval + U - 3)
    commanding(arena, quantity=1)
    took = arena.balance(arena.dso)
    arena.send(arena.settlement.functions.withdraw((arena.dso, took, 0), NO_SIGNATURE), arena.dso)
    early = arena.send(arena.expiring(offer), arena.dso)
    assert arena.skipped_awards(early) == [Skip.DEADLINE_NOT_REACHED] * 2
    arena.at(arena.interval + U)
    announcing(arena, AWARDED)
    submission = arena.submission(offer, {1: AWARDED})
    arena.send(settle(arena.settlement, submission), arena.oracle)
    arena.send(command_settling(arena, offer, AWARDED), arena.oracle)
    arena.send(arena.settling(offer, {2: 600}), arena.oracle)
    after = arena.money(offer)
    assert after | {"dso": after["dso"] + took} == honest_outcome.money
    assert arena.settlement.functions.debtOf(arena.dso).call() == 0


@pytest.mark.parametrize(
    ("quantity", "direction", "energy", "of_award", "of_command"),
    [
        (1000, Direction.DOWN, 1000, PAY, 1000 * EMERGENCY_PRICE // 1000 - PAY),  # the command asks for more
        (100, Direction.DOWN, 400, PAY, 0),  # for less: it is worth 30,000
        (500, Direction.UP, -500, 0, 500 * EMERGENCY_PRICE // 1000),  # for the contrary, which is obeyed
        (500, Direction.UP, 400, PAY, 0),  # … or came too late for that
        (500, Direction.UP, 100, 10_000, 0),  # … or was, in part
    ],
)
def test_award_and_command_are_paid_what_the_dearer_of_them_is_worth(
    arena: Arena, quantity: int, direction: Direction, energy: int, of_award: int, of_command: int
) -> None:
    """Obeying costs no penalty, and one delivery is not paid twice."""
    offer = arena.final()
    arena.at(arena.interval + U // 2)
    commanding(arena, quantity, direction)
    arena.at(arena.interval + U)
    announcing(arena, energy)
    bond = arena.bond(1)
    arena.send(arena.settling(offer, {1: energy}), arena.oracle)
    assert arena.seat_balance(1) == of_award
    arena.send(command_settling(arena, offer, energy), arena.oracle)
    assert arena.seat_balance(1) == of_award + of_command
    assert arena.bond(1) == bond
    arena.assert_solvent()


def test_two_readings_are_not_paid_one_by_the_award_and_one_by_the_command(arena: Arena) -> None:
    """A gateway that signs both ways, and a verifier that would take both: only the announced one counts."""
    offer = arena.final()
    arena.at(arena.interval + U // 2)
    commanding(arena, 500, Direction.UP)
    arena.at(arena.interval + U)
    unannounced = arena.send(arena.settling(offer, {1: AWARDED}), arena.oracle)
    assert arena.skipped_awards(unannounced) == [Skip.NOT_ANNOUNCED]
    said = {"nanogrid": nanogrid(1), "interval": arena.interval, "reason": Skip.NOT_ANNOUNCED}
    arena.refuse(command_settling(arena, offer, -500), arena.oracle, "CommandNotSettleable", **said)
    announcing(arena, AWARDED)
    arena.send(arena.settling(offer, {1: AWARDED}), arena.oracle)
    arena.refuse(command_settling(arena, offer, -500), arena.oracle, "CommandNotSettleable", **said)
    arena.send(command_settling(arena, offer, AWARDED), arena.oracle)
    assert arena.seat_balance(1) == PAY


def test_two_readings_annul_an_interrupted_award_with_its_penalty(arena: Arena) -> None:
    """A command pays no liar's way out."""
    offer = arena.final()
    arena.at(arena.interval + U - 3)
    commanding(arena, quantity=1)
    arena.at(arena.interval + U)
    bond = arena.bond(1)
    arena.send(arena.annulling(arena.reading(1, 400), arena.reading(1, 100), gateway_key(1)), arena.anyone)
    arena.send(arena.settling(offer, {1: AWARDED}), arena.oracle)
    assert ends(arena) == [(0, End.ANNULLED, 0)]
    assert arena.bond(1) == bond - 360 * 100_000 * 1500 // 1_000_000


def test_an_interrupted_award_without_a_reading_expires_without_penalty(arena: Arena) -> None:
    offer = arena.final()
    arena.at(arena.interval + U - 3)
    commanding(arena, quantity=1)
    bond = arena.bond(1)
    arena.at(arena.interval + 4 * U - 1)
    assert arena.skipped_awards(arena.send(arena.expiring(offer), arena.dso)) == [Skip.DEADLINE_NOT_REACHED] * 2
    arena.at(arena.interval + 4 * U)
    arena.send(arena.expiring(offer), arena.dso)
    assert ends(arena) == [(0, End.REVOKED, 0), (1, End.FAILED, 0)]
    assert (arena.seat_balance(1), arena.bond(1)) == (0, bond)


def test_red_before_the_interval_revokes_and_the_command_pays_all(arena: Arena) -> None:
    """What has not begun has delivered nothing: the seat's signed reading is enough, and all of it is the command's."""
    offer = arena.final()
    arena.at(arena.interval - 1)
    commanding(arena, AWARDED)
    arena.at(arena.interval + U)
    arena.send(arena.settling(offer, {1: AWARDED}), arena.oracle)
    arena.send(command_settling(arena, offer, AWARDED), arena.oracle)
    assert ends(arena) == [(0, End.REVOKED, 0)]
    assert arena.seat_balance(1) == AWARDED * EMERGENCY_PRICE // 1000


def test_red_in_the_intervals_first_second_finds_awards_begun(arena: Arena) -> None:
    offer = arena.final()
    arena.at(arena.interval)
    commanding(arena, quantity=1)
    settle_both(arena, offer, AWARDED)
    assert arena.seat_balance(1) == PAY


def test_a_late_command_frees_no_buyer_of_what_it_took(arena: Arena) -> None:
    """SELL: the aggregator is paid for the energy taken, and the command for what it asked."""
    arena.at_before(410)
    arena.anchor()
    arena.at_before(400)
    offer = arena.open_offer(request=NO_REQUEST, side=1, quantity=AWARDED, limit_price_ueur_kwh=50_000)
    arena.send(arena.posting(offer, arena.wired(offer, BidRecord(100_000, AWARDED, 0, 1))), arena.relayer)
    arena.at_before(345)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval + U - 3)
    commanding(arena, quantity=1)
    arena.at(arena.interval + U)
    announcing(arena, AWARDED)
    aggregator, bond = arena.balance(arena.aggregator), arena.bond(1)
    arena.send(arena.settling(offer, {1: AWARDED}), arena.oracle)
    assert arena.balance(arena.aggregator) == aggregator + PAY
    assert arena.bond(1) == bond - PAY
    arena.send(command_settling(arena, offer, AWARDED), arena.oracle)
    assert arena.seat_balance(1) == EMERGENCY_PRICE // 1000


def test_a_command_takes_no_reactive_pay(arena: Arena) -> None:
    """A command asks for active energy: an award of reactive energy beside it is paid all of its own, and so is it."""
    arena.at_before(410)
    arena.anchor()
    arena.anchor(kind=1)
    offer = reactive_award(arena)
    escrow = arena.settlement.functions.escrowOf(offer).call()
    assert escrow == AWARDED * REQUEST_PRICE // 1000
    arena.at(arena.interval + U - 3)
    commanding(arena, quantity=500)
    arena.at(arena.interval + U)
    announcing(arena, 500, reactive=AWARDED)
    reading = arena.reading(1, 500, reactive_varh=AWARDED)
    shown = ((0, reading, arena.signed(gateway_key(1), reading)),)
    arena.send(settle_call(arena.settlement, replace(arena.submission(offer, {}), readings=shown)), arena.oracle)
    assert arena.seat_balance(1) == PAY
    given = replace(arena.award_reading(1, 500), reactive_energy_varh=AWARDED, signature=bytes(64)).argument()
    settling = arena.settlement.functions.settleCommand(
        nanogrid(1), arena.interval, arena.baseline_leaf(1), given, bytes(32), (0, b"", ())
    )
    arena.send(settling, arena.oracle)
    assert arena.seat_balance(1) == PAY + 500 * EMERGENCY_PRICE // 1000
    arena.assert_solvent()


def test_an_award_of_another_kind_is_not_the_one_that_a_command_replaced(arena: Arena) -> None:
    """The seat has bought active energy and sold reactive energy in the same interval."""
    arena.at_before(710)
    arena.anchor()
    arena.anchor(kind=1)
    active = arena.open_offer(
        request=NO_REQUEST,
        side=1,
        quantity=AWARDED,
        limit_price_ueur_kwh=50_000,
        gate_closure=arena.before(630, arena.interval),
    )
    arena.send(arena.posting(active, arena.wired(active, BidRecord(100_000, AWARDED, 0, 1))), arena.relayer)
    arena.at_before(630)
    arena.send(arena.rightly(active), arena.relayer)
    arena.finalise(active)
    reactive = reactive_award(arena)
    arena.at(arena.interval + U - 3)
    commanding(arena, quantity=500)
    arena.at(arena.interval + U)
    announcing(arena, AWARDED)
    said = {"nanogrid": nanogrid(1), "interval": arena.interval}
    arena.refuse(command_settling(arena, reactive, AWARDED), arena.oracle, "ReplacedAwardMissing", **said)
    arena.send(command_settling(arena, active, AWARDED), arena.oracle)
    assert arena.seat_balance(1) == AWARDED * EMERGENCY_PRICE // 1000
