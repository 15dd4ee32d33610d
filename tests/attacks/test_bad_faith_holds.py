"""Holds in bad faith: for the reward, to delay, on every award of a rival. Each costs its holder a bond."""

from __future__ import annotations

import pytest

from market.domain.errors import Skip
from market.domain.records import BidRecord
from tests.attacks.arena import EUR, Arena, Outcome
from tests.contracts_properties.auction_house import U

HOLD_BOND = 10 * EUR


@pytest.fixture
def offer(arena: Arena) -> bytes:
    """The honest offer, final, its interval over."""
    offer = arena.final()
    arena.at(arena.interval + U)
    assert arena.settlement.functions.holdBondUeur().call() == HOLD_BOND
    return offer


def settled(arena: Arena, offer: bytes) -> dict[str, int]:
    arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    arena.assert_solvent()
    return arena.money(offer)


def test_a_hold_for_its_reward_costs_its_holder_the_bond(arena: Arena, offer: bytes, honest_outcome: Outcome) -> None:
    """The referee dismisses it: the seat is paid as ever, and gets the holder's bond."""
    arena.send(arena.holding(offer, 0), arena.dso)
    arena.send(arena.settlement.functions.decideHold(offer, 0, False), arena.referee)
    money, honest = settled(arena, offer), honest_outcome.money
    assert money["dso"] == honest["dso"] - HOLD_BOND
    assert money["seat 1"] == honest["seat 1"] + HOLD_BOND
    assert {name: money[name] for name in ("aggregator", "seat 2", "bond 1", "bond 2")} == {
        name: honest[name] for name in ("aggregator", "seat 2", "bond 1", "bond 2")
    }


def test_a_hold_in_bad_faith_lapses_when_the_referee_is_silent(
    arena: Arena, offer: bytes, honest_outcome: Outcome
) -> None:
    arena.send(arena.holding(offer, 0), arena.dso)
    refused = arena.send(arena.settling(offer, {1: 400}), arena.oracle)
    assert arena.skipped_awards(refused) == [Skip.ON_HOLD]
    arena.at(arena.now + arena.settlement.functions.holdTermS().call() + 1)
    arena.send(arena.settlement.functions.lapseHold(offer, 0), arena.anyone)
    money, honest = settled(arena, offer), honest_outcome.money
    assert money["seat 1"] == honest["seat 1"] + HOLD_BOND
    assert money["dso"] == honest["dso"] - HOLD_BOND


@pytest.mark.parametrize("delivered_wh", [100, 0])
def test_after_a_hold_a_reading_that_falls_short_counts_at_once(
    arena: Arena, offer: bytes, honest_outcome: Outcome, delivered_wh: int
) -> None:
    """Only who waits for a reading waits for the deadline that a hold begins anew: a penalty is not put off by it."""
    arena.send(arena.holding(offer, 0), arena.dso)
    arena.send(arena.settlement.functions.decideHold(offer, 0, False), arena.referee)
    receipt = arena.send(arena.settling(offer, {1: delivered_wh}), arena.oracle)
    assert arena.skipped_awards(receipt) == []
    money, honest = arena.money(offer), honest_outcome.money
    assert money["seat 1"] + money["bond 1"] < honest["seat 1"] + honest["bond 1"] + HOLD_BOND


def test_a_second_hold_on_an_award_is_refused(arena: Arena, offer: bytes, honest_outcome: Outcome) -> None:
    """Nobody delays an award for ever: one hold, ever, by whomever."""
    arena.send(arena.holding(offer, 0), arena.dso)
    arena.send(arena.settlement.functions.decideHold(offer, 0, False), arena.referee)
    for party in (arena.dso, arena.aggregator, arena.oracle):
        arena.refuse(arena.holding(offer, 0), party, "HoldExists", offer="0x" + offer.hex(), ordinal=0)
    assert settled(arena, offer)["seat 1"] == honest_outcome.money["seat 1"] + HOLD_BOND


def test_a_rival_holds_nothing(arena: Arena, offer: bytes, honest_outcome: Outcome) -> None:
    for nobody in (arena.rival, arena.attacker, arena.operator, arena.referee, arena.relayer):
        arena.refuse(arena.holding(offer, 0), nobody, "NotHoldParty", offer="0x" + offer.hex(), signer=nobody)
    assert settled(arena, offer) == honest_outcome.money


def test_a_hold_on_every_award_of_a_rival_costs_a_bond_for_each(arena: Arena) -> None:
    """A DSO that makes an aggregator's homes wait pays each a hold's bond, and they are paid all the same."""
    indices = range(4, 24)
    offer = arena.opened()
    bids = [BidRecord(100_000 + index, 50, 0, index) for index in indices]
    arena.send(arena.posting(offer, arena.wired(offer, *bids)), arena.relayer)
    arena.at_before(140)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval + U)
    before = arena.balance(arena.dso)
    for ordinal in range(len(bids)):
        arena.send(arena.holding(offer, ordinal), arena.dso)
    assert before - arena.balance(arena.dso) == len(bids) * HOLD_BOND
    arena.at(arena.now + arena.settlement.functions.holdTermS().call() + 1)
    for ordinal in range(len(bids)):
        arena.send(arena.settlement.functions.lapseHold(offer, ordinal), arena.anyone)
    arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    for bid in bids:
        assert arena.seat_balance(bid.index) == HOLD_BOND + 50 * bid.price_ueur_kwh // 1000
    assert before - arena.balance(arena.dso) == len(bids) * HOLD_BOND  # 200 EUR for a delay, and nothing gained
    arena.assert_solvent()


def test_a_hold_without_its_bond_is_refused(arena: Arena, offer: bytes, honest_outcome: Outcome) -> None:
    """The oracle has no deposit: no bond, no hold."""
    arena.refuse(
        arena.holding(offer, 0), arena.oracle, "InsufficientBalance",
        account=arena.oracle, balanceUeur=0, neededUeur=HOLD_BOND,
    )  # fmt: skip
    assert settled(arena, offer) == honest_outcome.money


def test_a_hold_upheld_by_a_colluding_referee_takes_no_more_than_a_bond(
    arena: Arena, offer: bytes, honest_outcome: Outcome
) -> None:
    """What a referee can do at worst: the award is not paid, and the seat's bond loses as much as the holder staked."""
    arena.send(arena.holding(offer, 0), arena.dso)
    arena.send(arena.settlement.functions.decideHold(offer, 0, True), arena.referee)
    money, honest = settled(arena, offer), honest_outcome.money
    assert money["bond 1"] == honest["bond 1"] - HOLD_BOND
    assert money["seat 1"] == 0
    assert money["seat 2"] == honest["seat 2"]


def test_a_hold_does_not_let_an_award_expire_meanwhile(arena: Arena, offer: bytes) -> None:
    """Held past the reading deadline, an award has the whole deadline again afterwards."""
    arena.send(arena.holding(offer, 0), arena.dso)
    arena.at(arena.interval + 5 * U)
    receipt = arena.send(arena.expiring(offer), arena.attacker)
    assert arena.skipped_awards(receipt) == [Skip.ON_HOLD]
    arena.send(arena.settlement.functions.decideHold(offer, 0, False), arena.referee)
    receipt = arena.send(arena.expiring(offer), arena.attacker)
    assert arena.skipped_awards(receipt) == [Skip.DEADLINE_NOT_REACHED, Skip.ALREADY_SETTLED]
    arena.send(arena.settling(offer, {1: 400}), arena.oracle)
    assert arena.seat_balance(1) == HOLD_BOND + 40_000
