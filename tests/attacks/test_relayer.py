"""The relayer, who carries bids and clears, tries to change an auction by what it carries and in which order."""

from __future__ import annotations

from itertools import permutations

from market.domain.errors import BidRejection
from market.domain.merit_order import claim_of
from market.domain.records import BidRecord, pack_bids
from tests.attacks.arena import HONEST_BIDS, Arena, Outcome


def test_reordering_a_batch_moves_no_better_price_behind_a_worse_one(arena: Arena, honest_outcome: Outcome) -> None:
    for order in permutations(HONEST_BIDS):
        with arena.taken_back():
            offer = arena.opened()
            arena.send(arena.posting(offer, arena.wired(offer, *order)), arena.relayer)
            assert arena.conclude(offer) == honest_outcome


def test_reordering_the_records_at_clearing_is_refused(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    arena.at_before(140)
    claim = claim_of(arena.clearing(offer))
    first, second, third = arena.posted(offer)
    for order in ([second, first, third], [third, second, first]):
        refusal = arena.refusal(arena.clear(offer, claim, pack_bids(order)), arena.relayer)
        assert refusal.name == "WrongRecords"
    assert arena.conclude(offer) == honest_outcome


def test_a_bid_that_the_relayer_omits_is_posted_by_its_bidder(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.opened()
    arena.send(arena.posting(offer, arena.wired(offer, *HONEST_BIDS[1:])), arena.relayer)
    arena.send(arena.posting(offer, arena.wired(offer, HONEST_BIDS[0])), arena.anyone)
    assert arena.conclude(offer) == honest_outcome


def test_omitting_a_record_at_clearing_clears_nothing(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    arena.at_before(140)
    dear = arena.posted(offer)[1:]  # without the cheapest
    claim = claim_of(arena.clearing(offer, rejected={0}))
    assert arena.attempt(arena.clear(offer, claim, pack_bids(dear)), arena.relayer)["status"] == 1
    assert arena.auction.functions.stateOf(offer).call().status == 1  # a chunk of a claim that leads nowhere
    padded = pack_bids([*dear, dear[-1]])
    assert arena.refusal(arena.clear(offer, claim, padded), arena.relayer).name == "WrongRecords"
    assert arena.conclude(offer) == honest_outcome


def test_a_duplicated_bid_counts_once(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.opened()
    twice = arena.wired(offer, *HONEST_BIDS, HONEST_BIDS[0])
    assert arena.skips(arena.send(arena.posting(offer, twice), arena.relayer)) == [BidRejection.WRONG_REVISION]
    again = arena.send(arena.posting(offer, arena.wired(offer, HONEST_BIDS[0])), arena.relayer)
    assert arena.skips(again) == [BidRejection.WRONG_REVISION]
    assert len(arena.posted(offer)) == 3
    assert arena.conclude(offer) == honest_outcome


def test_reposting_an_old_bid_does_not_undo_its_revision(arena: Arena) -> None:
    offer = arena.honest_offer()
    revised = BidRecord(150_000, 300, 0, 1, revision=1)
    arena.send(arena.posting(offer, arena.wired(offer, revised)), arena.relayer)
    old = arena.send(arena.posting(offer, arena.wired(offer, HONEST_BIDS[0], revised)), arena.attacker)
    assert arena.skips(old) == [BidRejection.WRONG_REVISION] * 2
    assert arena.conclude(offer).awards == {1: 300, 2: 700}


def test_reposting_an_old_bid_does_not_undo_its_withdrawal(arena: Arena) -> None:
    offer = arena.honest_offer()
    withdrawal = BidRecord(100_000, 0, 0, 1, revision=1)
    arena.send(arena.posting(offer, arena.wired(offer, withdrawal)), arena.relayer)
    old = arena.send(arena.posting(offer, arena.wired(offer, HONEST_BIDS[0])), arena.attacker)
    assert arena.skips(old) == [BidRejection.WRONG_REVISION]
    assert arena.conclude(offer).awards == {2: 900, 3: 100}
