"""The designs that ours is compared with are sound: their awards are those of the reference, on random auctions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.chain.embedded import EmbeddedChain
from market.domain.merit_order import clear_greedy
from market.domain.products import Side
from market.domain.records import BidRecord, PostedBid
from scripts.bench.gas.alternatives import (
    DESIGNS,
    HINTED_LIST,
    STORED_SLOTS,
    Alternative,
    Design,
    exact_hints,
    expected_hash,
)
from scripts.bench.gas.node import GasBenchError, Node
from scripts.bench.gas.scene import is_reserved

SEATS = 300
LIMIT = {Side.BUY: 400_000, Side.SELL: 1}


@pytest.fixture(scope="module")
def node(module_anvil: EmbeddedChain) -> Node:
    return Node(module_anvil)


@pytest.fixture(scope="module")
def alternatives(node: Node) -> dict[str, Alternative]:
    return {design.name: Alternative(node, design, SEATS) for design in DESIGNS}


@st.composite
def bids(draw: st.DrawFn) -> list[PostedBid]:
    """Few prices, so that ties are many; minima large enough for bids to be passed over, also more than sixteen."""
    indices = draw(st.lists(st.integers(0, SEATS - 1), min_size=1, max_size=40, unique=True))
    demanding = draw(st.booleans())
    posted = []
    for position, index in enumerate(indices):
        quantity = draw(st.integers(1, 2_500))
        minimum = quantity if demanding else draw(st.integers(0, quantity))
        price = draw(st.one_of(st.integers(100_000, 100_003), st.integers(1, 400_000)))
        posted.append(PostedBid(BidRecord(price, quantity, minimum, index, reserved=is_reserved(index)), position))
    return posted


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(posted=bids(), side=st.sampled_from(Side), share=st.floats(0.01, 1.1), batch=st.integers(1, 41))
def test_its_awards_are_the_reference_s(
    alternatives: dict[str, Alternative],
    design: Design,
    posted: list[PostedBid],
    side: Side,
    share: float,
    batch: int,
) -> None:
    quantity = max(1, int(share * sum(bid.record.quantity for bid in posted)))
    alternative = alternatives[design.name]
    offer = alternative.open(side, quantity, LIMIT[side])
    alternative.post(offer, side, posted, batch)
    alternative.clear(offer, side, posted)
    awards = clear_greedy(quantity, side, posted).awards
    assert alternative.awards_hash(offer) == expected_hash(awards, posted, side)


def some_bids(count: int) -> list[PostedBid]:
    prices = [300_000 - 7 * position * (position % 3) for position in range(count)]
    return [PostedBid(BidRecord(prices[i], 100 + i, 0, i + 1, reserved=is_reserved(i + 1)), i) for i in range(count)]


def useless_hints(_side: Side, posted: Sequence[PostedBid]) -> list[bytes]:
    """Of nodes that are not there yet, and of the beginning."""
    return [(60_000 * (place % 2)).to_bytes(2, "big") for place, _ in enumerate(posted)]


def worse_hints(side: Side, posted: Sequence[PostedBid]) -> list[bytes]:
    """Each names the worst node so far, which most bids do not come after."""
    hints = [bytes(2)]
    for count in range(1, len(posted)):
        worst = max(posted[:count], key=lambda bid: bid.rank(side))
        hints.append((worst.position + 1).to_bytes(2, "big"))
    return hints


@pytest.mark.parametrize("hints", [useless_hints, worse_hints])
def test_the_list_is_sorted_whatever_the_hints_are(node: Node, hints: object) -> None:
    posted = some_bids(20)
    alternative = Alternative(node, replace(HINTED_LIST, beside_bids=hints), SEATS)  # type: ignore[arg-type]
    offer = alternative.open(Side.BUY, 700)
    alternative.post(offer, Side.BUY, posted, 7)
    alternative.clear(offer, Side.BUY, posted)
    awards = clear_greedy(700, Side.BUY, posted).awards
    assert alternative.awards_hash(offer) == expected_hash(awards, posted, Side.BUY)


def test_exact_hints_name_the_node_before() -> None:
    posted = [PostedBid(BidRecord(price, 1, 0, index), index) for index, price in enumerate([50, 40, 60, 45])]
    assert exact_hints(Side.BUY, posted) == [bytes(2), bytes(2), b"\x00\x01", b"\x00\x02"]


def doubled(order: bytes) -> bytes:
    return order[:2] + order[:-2]


def swapped(order: bytes) -> bytes:
    return order[2:4] + order[:2] + order[4:]


def shortened(order: bytes) -> bytes:
    return order[:-2]


@pytest.mark.parametrize("forge", [doubled, swapped, shortened])
def test_a_wrong_order_is_refused(node: Node, forge: object) -> None:
    posted = some_bids(9)
    honest = STORED_SLOTS.to_clear
    assert honest is not None
    forged = replace(STORED_SLOTS, to_clear=lambda side, order: forge(honest(side, order)))  # type: ignore[operator]
    alternative = Alternative(node, forged, SEATS)
    offer = alternative.open(Side.BUY, 300)
    alternative.post(offer, Side.BUY, posted, 4)
    with pytest.raises(GasBenchError, match="clear reverted"):
        alternative.clear(offer, Side.BUY, posted)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_a_bid_counts_once(alternatives: dict[str, Alternative], design: Design) -> None:
    posted = some_bids(2)
    alternative = alternatives[design.name]
    offer = alternative.open(Side.BUY, 300)
    with pytest.raises(GasBenchError, match="took 1 of 2 bids"):
        alternative.post(offer, Side.BUY, [posted[0], posted[0]], 2)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_a_bid_for_another_offer_is_not_taken(
    alternatives: dict[str, Alternative], design: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = some_bids(2)
    alternative = alternatives[design.name]
    other, offer = alternative.open(Side.BUY, 300), alternative.open(Side.BUY, 300)
    elsewhere = [alternative.wire(other, bid) for bid in posted]
    monkeypatch.setattr(alternative, "wire", lambda _, bid: elsewhere[bid.position])
    with pytest.raises(GasBenchError, match="took 0 of 2 bids"):
        alternative.post(offer, Side.BUY, posted, 2)
