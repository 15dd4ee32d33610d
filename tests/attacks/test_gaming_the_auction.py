"""A player within the rules bends them: late baselines, deliveries sold twice, indices reused, offers opened late, and
a verdict as last look."""

from __future__ import annotations

import pytest
from web3.contract.contract import ContractFunction

from market.domain.errors import BidRejection
from market.domain.products import Phase
from market.domain.records import BidRecord, pack_awards, rejected_bitmap
from tests.attacks.arena import HONEST_BIDS, NO_REQUEST, OFFERED, REQUESTED, Arena, Outcome, nanogrid
from tests.contracts_properties.auction_house import NO_SIGNATURE, NODE, PORTFOLIO, SEATS, U, owner_key

FINAL = 3


# BASELINES


@pytest.mark.parametrize("late_s", [0, 1, U // 10])
def test_a_baseline_anchored_after_the_request_opens_no_offer(arena: Arena, late_s: int) -> None:
    """Afterwards it could have been inflated for the request; the same second counts as afterwards."""
    arena.at_before(300)
    arena.signal(Phase.YELLOW)
    arena.send(arena.publishing(), arena.dso)
    requested_at = arena.now
    arena.at(requested_at + late_s)
    arena.anchor()
    arena.at_before(275)
    arena.refuse(
        arena.opening(),
        arena.aggregator,
        "BaselineAnchoredTooLate",
        portfolio=PORTFOLIO,
        interval=arena.interval,
        anchoredAt=requested_at + late_s,
        knownSince=requested_at,
    )
    assert arena.auction.functions.availableOf(arena.request().digest(arena.domain), arena.interval).call() == REQUESTED


def test_a_baseline_is_not_anchored_again(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    anchor = (PORTFOLIO, arena.interval, 0, SEATS, b"\xff" * 32)
    again = arena.metering.functions.anchorBaselines([anchor])
    arena.refuse(again, arena.oracle, "AlreadyAnchored", portfolio=PORTFOLIO, interval=arena.interval, kind=0)
    assert arena.conclude(offer) == honest_outcome


# ONE DELIVERY, TWO OFFERS


def test_one_delivery_is_not_sold_in_two_offers(arena: Arena) -> None:
    """Who has won the interval internally bids in vain on the DSO's request; others are not touched."""
    first = arena.opened_internally()
    arena.send(arena.posting(first, arena.wired(first, BidRecord(100_000, 400, 0, 1))), arena.relayer)
    arena.at_before(345)
    arena.send(arena.rightly(first), arena.relayer)
    arena.finalise(first)
    arena.at_before(300)
    arena.signal(Phase.YELLOW)
    arena.send(arena.publishing(), arena.dso)
    arena.at_before(275)
    withdrawn = arena.open_offer(salt=9)  # an offer that ends without a result makes nobody forget who has won
    arena.send(arena.auction.functions.cancelOffer(withdrawn, NO_SIGNATURE), arena.aggregator)
    second = arena.open_offer()
    receipt = arena.send(arena.posting(second, arena.wired(second, *HONEST_BIDS)), arena.relayer)
    assert arena.skips(receipt) == [BidRejection.ALREADY_SOLD]
    assert [arena.auction.functions.stateOf(id_).call().soldBefore for id_ in (first, withdrawn, second)] == [
        False,
        True,
        True,
    ]
    arena.at_before(140)
    arena.send(arena.rightly(second), arena.relayer)
    arena.finalise(second)
    assert arena.delivery(second) == {2: 900, 3: 100}
    arena.at(arena.interval + U)
    for offer in (first, second):
        arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    assert arena.seat_balance(1) == 400 * 100_000 // 1000
    arena.assert_solvent()


def test_two_offers_of_one_interval_do_not_stand_open_together(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    arena.refuse(
        arena.opening(salt=2),
        arena.aggregator,
        "OfferPending",
        portfolio=PORTFOLIO,
        interval=arena.interval,
        kind=0,
        offer="0x" + offer.hex(),
    )
    assert arena.conclude(offer) == honest_outcome


def test_one_interval_of_an_award_is_paid_once(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.final()
    arena.at(arena.interval + U)
    for _ in range(3):
        arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    arena.at(arena.interval + 5 * U)
    arena.send(arena.expiring(offer), arena.attacker)
    assert arena.money(offer) == honest_outcome.money


# INDICES


def test_a_nanogrid_index_is_never_used_again(arena: Arena, honest_outcome: Outcome) -> None:
    """A closed seat's index, keys, posts and balance go to nobody who registers later."""
    offer = arena.honest_offer()
    arena.send(arena.registry.functions.closeSeat(nanogrid(7), arena.interval), arena.operator)
    seat = (PORTFOLIO, arena.attacker, 5000, 0, arena.interval)
    arena.send(arena.registry.functions.registerSeat(*seat), arena.operator)
    assert arena.registry.functions.seatOf(nanogrid(SEATS)).call().owner == arena.attacker
    assert arena.registry.functions.seatOf(nanogrid(7)).call().owner == arena.owner(7)
    assert arena.settlement.functions.gatewayOf(nanogrid(SEATS)).call() == "0x" + "00" * 20
    receipt = arena.send(arena.posting(offer, arena.wired(offer, BidRecord(1000, 400, 0, 7))), arena.attacker)
    assert arena.skips(receipt) == [BidRejection.SEAT_NOT_ACTIVE]
    assert arena.conclude(offer) == honest_outcome


def test_a_closed_seat_leaves_its_money_to_its_owner(arena: Arena) -> None:
    offer = arena.final()
    arena.send(arena.registry.functions.closeSeat(nanogrid(1), arena.interval + U), arena.operator)
    arena.at(arena.interval + U)
    arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    earned = arena.seat_balance(1)
    assert earned == 400 * 100_000 // 1000
    arena.send(arena.settlement.functions.payOut(nanogrid(1)), arena.attacker)
    assert arena.token.functions.balanceOf(arena.owner(1)).call() == earned


# OFFERS THAT DODGE THE RESERVED


@pytest.mark.parametrize("seconds", [1, 30, U // 2 - 1])
def test_an_offer_opened_seconds_before_closure_is_refused(arena: Arena, seconds: int) -> None:
    """Resources with a capacity contract need time to see an offer: half a unit at least."""
    arena.ready()
    closure = arena.before(140, arena.interval)
    arena.at(closure - seconds)
    earliest = closure - seconds + U // 2
    arena.refuse(arena.opening(), arena.aggregator, "ClosureTooEarly", gateClosure=closure, earliest=earliest)


def test_a_closure_brought_forward_leaves_the_lead_too(arena: Arena) -> None:
    arena.ready()
    closure = arena.now + 10
    arena.refuse(
        arena.opening(gate_closure=closure),
        arena.aggregator,
        "ClosureTooEarly",
        gateClosure=closure,
        earliest=arena.now + U // 2,
    )


def test_a_reserved_resource_that_bids_last_still_wins_the_tie(arena: Arena) -> None:
    """At the shortest lead a reserved resource has its half unit, and posting first does not beat it."""
    arena.ready()
    arena.at(arena.before(140, arena.interval) - U // 2)
    offer = arena.open_offer()
    arena.send(arena.posting(offer, arena.wired(offer, BidRecord(200_000, 800, 0, 7))), arena.relayer)
    arena.at(arena.before(140, arena.interval) - 1)
    arena.send(arena.posting(offer, arena.wired(offer, BidRecord(200_000, 800, 0, 6))), arena.relayer)
    assert arena.conclude(offer).awards == {6: 800, 7: 200}


# THE VERDICT AS LAST LOOK


def verdict(arena: Arena, offer: bytes, positions: list[int]) -> ContractFunction:
    return arena.signals.functions.giveVerdict((offer, rejected_bitmap(positions), bytes(32)), NO_SIGNATURE)


def test_a_second_verdict_is_refused(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.cleared()
    arena.send(verdict(arena, offer, []), arena.dso)
    second = verdict(arena, offer, [0])
    arena.refuse(second, arena.dso, "VerdictAlreadyGiven", offer="0x" + offer.hex())
    assert arena.conclude(offer) == honest_outcome


def test_a_verdict_is_no_look_after_the_clearing_again(arena: Arena) -> None:
    """Rejected once, cleared again by merit order; what comes out stands, whether the DSO likes it or not."""
    offer = arena.cleared()
    arena.send(verdict(arena, offer, [0]), arena.dso)
    arena.send(arena.rightly(offer, rejected={0}, bitmap=rejected_bitmap([0])), arena.relayer)
    again = verdict(arena, offer, [0, 1])
    arena.refuse(again, arena.dso, "VerdictAlreadyGiven", offer="0x" + offer.hex())
    standing = arena.clearing(offer, rejected={0})
    finalising = arena.auction.functions.finalise(offer, pack_awards(standing.awards), b"")
    arena.send(finalising, arena.relayer)
    assert {award.index: award.quantity for award in standing.awards} == {2: 900, 3: 100}
    assert arena.auction.functions.stateOf(offer).call().status == FINAL


def test_a_verdict_after_its_time_is_refused(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.cleared()
    deadline = arena.before(100, arena.interval)
    arena.at(deadline + 1)
    late = verdict(arena, offer, [0])
    arena.refuse(late, arena.dso, "VerdictTooLate", offer="0x" + offer.hex(), deadline=deadline)
    assert arena.conclude(offer) == honest_outcome


def test_a_verdict_before_there_is_a_result_is_refused(arena: Arena, honest_outcome: Outcome) -> None:
    """The DSO cannot fix who loses before it has seen who wins, nor read the verdict into an open offer."""
    offer = arena.honest_offer()
    early = verdict(arena, offer, [0])
    arena.refuse(early, arena.dso, "OfferNotCleared", offer="0x" + offer.hex())
    assert arena.conclude(offer) == honest_outcome


def test_a_verdict_that_rejects_nothing_fills_no_transaction(arena: Arena, honest_outcome: Outcome) -> None:
    """Whoever makes the result final carries the bitmap beside the awards: a transaction's length leaves no room."""
    offer = arena.cleared()
    call = arena.signals.functions.giveVerdict((offer, bytes(130_000), bytes(32)), NO_SIGNATURE)
    arena.refuse(call, arena.dso, "VerdictTooLong", offer="0x" + offer.hex(), length=130_000, longest=1)
    assert arena.conclude(offer) == honest_outcome


def test_a_verdict_that_is_not_the_dsos_is_refused(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.cleared()
    for pretender in (arena.aggregator, arena.rival, arena.operator):
        forged = verdict(arena, offer, [0])
        arena.refuse(forged, pretender, "NotDsoOfNode", node=NODE, signer=pretender)
    assert arena.conclude(offer) == honest_outcome


def test_clearing_again_with_another_bitmap_is_refused(arena: Arena) -> None:
    offer = arena.cleared()
    arena.send(verdict(arena, offer, [0]), arena.dso)
    forged = arena.rightly(offer, rejected={1}, bitmap=rejected_bitmap([1]))
    arena.refuse(forged, arena.attacker, "WrongRejected", offer="0x" + offer.hex())
    arena.send(arena.rightly(offer, rejected={0}, bitmap=rejected_bitmap([0])), arena.relayer)


def test_silence_of_the_dso_accepts(arena: Arena, honest_outcome: Outcome) -> None:
    assert arena.conclude(arena.cleared()) == honest_outcome


# MONEY OF OTHERS


def test_an_offer_takes_no_more_of_a_request_than_is_free(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    free = REQUESTED - OFFERED
    beyond = arena.opening(quantity=free + 1, salt=2)
    arena.refuse(beyond, arena.aggregator, "QuantityBeyondRequest", quantity=free + 1, available=free)
    assert arena.conclude(offer) == honest_outcome


def test_a_foreign_owner_bids_for_no_seat(arena: Arena, honest_outcome: Outcome) -> None:
    """A seat of another portfolio is not one of the offer's, and its owner signs for its own seat only."""
    offer = arena.honest_offer()
    wire = arena.wire_by(owner_key(8), offer, BidRecord(1000, 400, 0, 7))
    assert arena.skips(arena.send(arena.posting(offer, wire), arena.attacker)) == [BidRejection.BAD_SIGNATURE]
    assert arena.conclude(offer) == honest_outcome


def test_an_internal_offer_clears_against_no_request(arena: Arena) -> None:
    """An INTERNAL offer's money is the aggregator's own: the DSO's deposit is not touched."""
    before = arena.balance(arena.dso)
    offer = arena.opened_internally()
    arena.send(arena.posting(offer, arena.wired(offer, *HONEST_BIDS)), arena.relayer)
    arena.at_before(345)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval + U)
    arena.send(arena.settling(offer, arena.delivery(offer)), arena.oracle)
    assert arena.balance(arena.dso) == before
    assert arena.auction.functions.offerOf(offer).call().request == NO_REQUEST
    arena.assert_solvent()
