"""The benchmark's auctions are random, each seat bids once, and the same seed gives the same auction."""

from __future__ import annotations

import pytest

from market.domain.merit_order import clear_greedy
from market.domain.products import Side
from market.domain.settlement import is_covered
from scripts.bench.gas.bids import clearing_with, random_bids, supply
from scripts.bench.gas.scene import COVER_CENTS, REQUEST_PRICE_UEUR_KWH, is_reserved


def test_the_same_seed_gives_the_same_auction_and_another_seed_another() -> None:
    assert random_bids(50, 7) == random_bids(50, 7)
    assert random_bids(50, 7) != random_bids(50, 8)


def test_each_seat_bids_once_in_random_order() -> None:
    bids = random_bids(200, 7)
    indices = [bid.record.index for bid in bids]
    assert sorted(indices) == list(range(200))
    assert indices != sorted(indices)
    assert [bid.position for bid in bids] == list(range(200))


def test_bids_are_what_the_contract_takes() -> None:
    for bid in random_bids(500, 7):
        record = bid.record
        assert record.price_ueur_kwh <= REQUEST_PRICE_UEUR_KWH
        assert record.reserved == is_reserved(record.index)
        assert is_covered(record.quantity, record.price_ueur_kwh, COVER_CENTS)


def test_nobody_is_reserved_where_bidders_pay() -> None:
    assert not any(bid.record.reserved for bid in random_bids(100, 7, Side.SELL))


@pytest.mark.parametrize("passed_over", [0, 1, 2])
def test_the_quantity_asked_for_passes_over_as_many_as_wanted(passed_over: int) -> None:
    bids = random_bids(500, 7)
    clearing = clearing_with(bids, Side.BUY, passed_over, 7)
    assert len(clearing.passed_over) == passed_over
    assert clearing == clear_greedy(clearing.quantity, Side.BUY, bids)
    assert 0.45 < clearing.quantity / supply(bids) < 0.55
