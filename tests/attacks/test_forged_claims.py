"""Whoever clears claims a merit order other than the right one, or stands in the way of the right one."""

from __future__ import annotations

import pytest

from market.domain.claim_check import check_chunk
from market.domain.merit_order import Claim, posts_by_index
from market.domain.products import Side
from market.domain.records import BidRecord, PostedBid, pack_bids
from market.domain.units import NO_MARGINAL
from tests.attacks.arena import Arena, Outcome

BIDS = (
    BidRecord(100_000, 400, 0, 1),
    BidRecord(200_000, 900, 800, 2),
    BidRecord(250_000, 500, 0, 4),
    BidRecord(280_000, 300, 0, 5),
    BidRecord(290_000, 100, 0, 7),
)
"""On 1000 Wh: 1 whole; 2 is passed over, for its minimum is above the 600 left; 4 whole; 5 the last 100 Wh."""
CHEAP, PASSED, WHOLE, LAST, BEHIND = (PostedBid(bid, place).rank(Side.BUY) | 1 << 32 for place, bid in enumerate(BIDS))
"""Ranks: none of these nanogrids is reserved."""
RIGHT = Claim(LAST, 100, (PASSED,))
AWARDED = {1: 400, 4: 500, 5: 100}


@pytest.fixture
def offer(arena: Arena) -> bytes:
    """Posted, and gate closure has come."""
    offer = arena.opened()
    arena.send(arena.posting(offer, arena.wired(offer, *BIDS)), arena.relayer)
    arena.at_before(140)
    return offer


def awards_of(arena: Arena, offer: bytes) -> dict[int, int]:
    """Clears by the right claim, and what that awards."""
    arena.send(arena.clear(offer, RIGHT, pack_bids(arena.posted(offer))), arena.anyone)
    arena.finalise(offer)
    return arena.delivery(offer)


@pytest.mark.parametrize(
    ("claim", "rule"),
    [
        pytest.param(Claim(BEHIND, 100, (PASSED, LAST)), 2, id="forged-marginal-further-behind"),
        pytest.param(Claim(WHOLE, 600, (PASSED,)), 4, id="forged-marginal-wins-more-than-it-bid"),
        pytest.param(Claim(WHOLE, 500, (PASSED,)), 4, id="forged-marginal-leaves-a-rest"),
        pytest.param(Claim(LAST + 1, 100, (PASSED,)), 1, id="forged-marginal-that-nobody-bid"),
        pytest.param(Claim(PASSED, 600), 4, id="forged-marginal-below-its-minimum"),
        pytest.param(Claim(LAST, 300, (PASSED,)), 4, id="more-than-is-left"),
        pytest.param(Claim(NO_MARGINAL, 0, (PASSED,)), 3, id="everybody-wins"),
        pytest.param(Claim(NO_MARGINAL, 100, (PASSED,)), 3, id="nobodys-quantity"),
        pytest.param(Claim(LAST, 0, (PASSED,)), 5, id="ended-early"),
        pytest.param(Claim(LAST, 100), 3, id="nobody-passed-over"),
        pytest.param(Claim(LAST, 100, (CHEAP, PASSED)), 2, id="forged-pass-over-of-a-bid-that-fits"),
        pytest.param(Claim(LAST, 100, (PASSED, WHOLE)), 2, id="forged-pass-over-of-a-rival"),
        pytest.param(Claim(LAST, 100, (PASSED, PASSED + 1)), 1, id="forged-pass-over-of-nobody"),
        pytest.param(Claim(WHOLE, 100, (PASSED, LAST)), 1, id="pass-over-behind-the-marginal"),
    ],
)
def test_a_forged_claim_is_refused_and_the_right_one_still_clears(
    arena: Arena, offer: bytes, claim: Claim, rule: int
) -> None:
    records = pack_bids(arena.posted(offer))
    arena.refuse(arena.clear(offer, claim, records), arena.attacker, "FalseClaim", offer="0x" + offer.hex(), rule=rule)
    assert awards_of(arena, offer) == AWARDED


def test_more_than_sixteen_passed_over_are_refused(arena: Arena, offer: bytes) -> None:
    claim = Claim(LAST, 100, tuple(PASSED + place for place in range(17)))
    records = pack_bids(arena.posted(offer))
    arena.refuse(arena.clear(offer, claim, records), arena.attacker, "TooManyPassedOver", count=17)
    assert awards_of(arena, offer) == AWARDED


def test_passed_over_ranks_named_twice_are_refused(arena: Arena, offer: bytes) -> None:
    records = pack_bids(arena.posted(offer))
    twice = arena.clear(offer, Claim(LAST, 100, (PASSED, PASSED)), records)
    arena.refuse(twice, arena.attacker, "PassedOverNotSorted", place=1)
    assert awards_of(arena, offer) == AWARDED


# CHUNKS


def after(bids: list[PostedBid], claim: Claim, count: int) -> tuple[object, ...]:
    """The progress that the first `count` records lead to under a claim."""
    return check_chunk(Side.BUY, claim, bids[:count], posts_by_index(bids))[0].argument()


def test_chunks_in_another_order_lead_nowhere(arena: Arena, offer: bytes) -> None:
    bids, name = arena.posted(offer), "0x" + offer.hex()
    first, second = pack_bids(bids[:3]), pack_bids(bids[3:])
    not_reached = after(bids, RIGHT, 3)
    arena.refuse(arena.clear(offer, RIGHT, second, b"", not_reached), arena.attacker, "WrongProgress", offer=name)
    arena.send(arena.clear(offer, RIGHT, second), arena.attacker)  # counts as a beginning, of another chain
    swapped = check_chunk(Side.BUY, RIGHT, [*bids[3:]], posts_by_index(bids))[0].argument()
    assert arena.attempt(arena.clear(offer, RIGHT, first, b"", swapped), arena.attacker)["status"] == 0
    assert arena.auction.functions.stateOf(offer).call().status == 1
    assert awards_of(arena, offer) == AWARDED


def test_the_progress_of_one_claim_is_none_of_another(arena: Arena, offer: bytes) -> None:
    bids = arena.posted(offer)
    forged = Claim(LAST, 100, (WHOLE,))
    arena.send(arena.clear(offer, forged, pack_bids(bids[:3])), arena.attacker)
    reached = after(bids, forged, 3)
    stolen = arena.clear(offer, RIGHT, pack_bids(bids[3:]), b"", reached)
    arena.refuse(stolen, arena.attacker, "WrongProgress", offer="0x" + offer.hex())
    assert awards_of(arena, offer) == AWARDED


def test_forged_sums_in_the_progress_are_refused(arena: Arena, offer: bytes) -> None:
    bids = arena.posted(offer)
    arena.send(arena.clear(offer, RIGHT, pack_bids(bids[:3])), arena.relayer)
    chain, position, better, *rest = after(bids, RIGHT, 3)
    forged = (chain, position, int(str(better)) - 100, *rest)
    arena.refuse(
        arena.clear(offer, RIGHT, pack_bids(bids[3:]), b"", forged),
        arena.attacker,
        "WrongProgress",
        offer="0x" + offer.hex(),
    )
    honest = arena.clear(offer, RIGHT, pack_bids(bids[3:]), b"", after(bids, RIGHT, 3))
    arena.send(honest, arena.relayer)
    arena.finalise(offer)
    assert arena.delivery(offer) == AWARDED


def test_a_false_claim_in_chunks_blocks_no_honest_one(arena: Arena, offer: bytes) -> None:
    """Chunks of false claims before, between and after the honest ones, some of the honest claim on false records."""
    bids = arena.posted(offer)
    false = Claim(BEHIND, 100, (PASSED, LAST))
    other_records = [*bids[:2], bids[3]]
    arena.send(arena.clear(offer, false, pack_bids(bids[:2])), arena.attacker)
    arena.send(arena.clear(offer, RIGHT, pack_bids(other_records)), arena.attacker)
    arena.send(arena.clear(offer, RIGHT, pack_bids(bids[:3])), arena.relayer)
    arena.send(arena.clear(offer, false, pack_bids(bids[2:4]), b"", after(bids, false, 2)), arena.attacker)
    arena.send(arena.clear(offer, RIGHT, pack_bids(bids[3:]), b"", after(bids, RIGHT, 3)), arena.relayer)
    late = arena.clear(offer, false, pack_bids(bids[4:]), b"", after(bids, false, 4))
    arena.refuse(late, arena.attacker, "WrongStatus", offer="0x" + offer.hex(), status=2)
    arena.finalise(offer)
    assert arena.delivery(offer) == AWARDED


# RESULTS


def test_forged_awards_cannot_be_made_final(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.cleared()
    arena.at(arena.auction.functions.finalAt(offer).call())
    forged = bytearray(BidRecord(100_000, 1000, 0, 1).pack())
    finalising = arena.auction.functions.finalise(offer, bytes(forged), b"")
    assert arena.refusal(finalising, arena.attacker).name == "WrongAwards"
    assert arena.conclude(offer) == honest_outcome
