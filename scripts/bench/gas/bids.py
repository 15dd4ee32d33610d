"""Random bids in random order, and quantities that are asked for: the same seed gives the same auction."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from market.domain.merit_order import Clearing, clear_greedy
from market.domain.products import Side
from market.domain.records import BidRecord, PostedBid
from scripts.bench.gas.scene import HIGHEST_PRICE_UEUR_KWH, LARGEST_QUANTITY_WH, is_reserved

LOWEST_PRICE_UEUR_KWH: Final = 20_000
SMALLEST_QUANTITY_WH: Final = 100
SHARE_WITH_MINIMUM: Final = 0.3
"""Bids that ask for at least a part of their quantity, of all bids."""
_TRIES: Final = 2_000


def random_bids(count: int, seed: int, side: Side = Side.BUY, *, indivisible: bool = False) -> list[PostedBid]:
    """One bid of each of the seats 0 to count - 1, in random order, at random prices.

    indivisible: each asks for its whole quantity or nothing; else three in ten ask for a random part of it.
    """
    random = Random(f"{seed} bids {count}")
    indices = list(range(count))
    random.shuffle(indices)
    return [PostedBid(_record(index, random, side, indivisible), position) for position, index in enumerate(indices)]


def _record(index: int, random: Random, side: Side, indivisible: bool) -> BidRecord:
    quantity = random.randint(SMALLEST_QUANTITY_WH, LARGEST_QUANTITY_WH)
    part = random.randint(1, quantity) if random.random() < SHARE_WITH_MINIMUM else 0
    return BidRecord(
        price_ueur_kwh=random.randint(LOWEST_PRICE_UEUR_KWH, HIGHEST_PRICE_UEUR_KWH),
        quantity=quantity,
        minimum=quantity if indivisible else part,
        index=index,
        reserved=side is Side.BUY and is_reserved(index),
    )


def supply(bids: Sequence[PostedBid]) -> int:
    """Sum of what is bid. [Wh]"""
    return sum(bid.record.quantity for bid in bids)


def clearing_with(bids: Sequence[PostedBid], side: Side, passed_over: int, seed: int) -> Clearing:
    """A clearing of about half of the supply with so many ranks passed over, or the most that were found.

    So that claims of all sizes of auctions are alike, and their gas can be compared.
    """
    random = Random(f"{seed} quantity {len(bids)}")
    half = supply(bids) // 2
    best: Clearing | None = None
    for _ in range(_TRIES):
        quantity = half + random.randrange(-half // 20, half // 20 + 1)
        clearing = clear_greedy(quantity, side, bids)
        if len(clearing.passed_over) == passed_over and clearing.left == 0:
            return clearing
        if best is None or len(clearing.passed_over) > len(best.passed_over):
            best = clearing
        if len(bids) < 100 and best is not None and len(best.passed_over) > 0 and best.left == 0:
            return best
    assert best is not None  # noqa: S101
    return best
