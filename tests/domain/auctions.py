"""Random auctions: posts of nanogrids with revisions, withdrawals, ties, reservations and minima, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from market.domain.products import Side
from market.domain.records import BidRecord, PostedBid


@dataclass(frozen=True)
class Auction:
    quantity: int
    side: Side
    bids: tuple[PostedBid, ...]
    rejected: frozenset[int]


# Few prices and quantities, so that ties, exact fits and passed-over bids are common.
_PRICES = st.one_of(st.integers(1, 4), st.sampled_from([2**29 - 1, 2**29 - 2, 250_000]))
_QUANTITIES = st.one_of(st.integers(1, 12), st.sampled_from([1000, 2**24 - 1]))


@st.composite
def _records(draw: st.DrawFn, index: int, revision: int) -> BidRecord:
    price, reserved = draw(_PRICES), draw(st.booleans())
    if revision == 2 or (revision == 1 and draw(st.booleans())):
        return BidRecord(price, 0, 0, index, revision, reserved)
    quantity = draw(_QUANTITIES)
    minimum = draw(st.sampled_from([0, quantity, quantity, max(1, quantity // 2)]))
    return BidRecord(price, quantity, minimum, index, revision, reserved)


@st.composite
def auctions(draw: st.DrawFn, max_bidders: int = 40) -> Auction:
    bidders = draw(st.integers(0, max_bidders))
    posts = draw(st.lists(st.integers(0, max(0, bidders - 1)), max_size=bidders * 2)) if bidders else []
    order = [*range(bidders), *posts]
    counts: dict[int, int] = {}
    bids: list[PostedBid] = []
    for index in order:
        revision = counts.get(index, 0)
        if revision > 2:
            continue
        counts[index] = revision + 1
        bids.append(PostedBid(draw(_records(index, revision)), len(bids)))
    rejected = draw(st.frozensets(st.integers(0, max(0, len(bids) - 1)), max_size=3))
    return Auction(
        draw(st.one_of(st.integers(1, 60), st.just(5000))), draw(st.sampled_from(Side)), tuple(bids), rejected
    )


@st.composite
def auctions_with_many_minima(draw: st.DrawFn) -> Auction:
    """All-or-nothing bids around a small quantity: more than 16 are passed over."""
    small = draw(st.lists(st.integers(1, 3), min_size=0, max_size=6))
    large = draw(st.lists(st.integers(20, 40), min_size=14, max_size=24))
    quantities = draw(st.permutations([*small, *large]))
    bids = tuple(
        PostedBid(BidRecord(draw(st.integers(1, 3)), quantity, quantity, index, 0, draw(st.booleans())), index)
        for index, quantity in enumerate(quantities)
    )
    return Auction(draw(st.integers(4, 24)), draw(st.sampled_from(Side)), bids, frozenset())


@st.composite
def auctions_in_large_portfolios(draw: st.DrawFn) -> Auction:
    """Nanogrids whose indices lie far apart, or at the edges of the contracts' words of 128 and 256."""
    auction = draw(auctions(max_bidders=12))
    first = draw(st.sampled_from([0, 60, 120, 127, 250, 1000]))
    apart = draw(st.sampled_from([1, 2, 63, 64, 127, 128, 129]))
    bids = (replace(bid, record=replace(bid.record, index=first + apart * bid.record.index)) for bid in auction.bids)
    return replace(auction, bids=tuple(bids))
