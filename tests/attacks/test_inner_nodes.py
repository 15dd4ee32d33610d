"""A node of the awards' tree is shown as a leaf: its awards would be whatever two hashes happen to say."""

from __future__ import annotations

import pytest

from tests.attacks.arena import NO_REASON, NO_SIGNATURE, Arena
from tests.contracts_properties.auction_house import SEATS, U

PAIR_BYTES, PREFIX_BYTES = 64, 5


@pytest.mark.parametrize("size", [PAIR_BYTES - PREFIX_BYTES, PAIR_BYTES - 4 - 1, PAIR_BYTES])
def test_no_part_of_a_pair_of_nodes_is_taken_for_awards(arena: Arena, size: int) -> None:
    """A leaf is its number's five bytes and whole records, which never makes 64 bytes."""
    offer = arena.final()
    arena.at(arena.interval + U)
    shown = (0, bytes(size), ())
    reading = arena.award_reading(1, 400).pack()
    vector, (_, baselines, proof) = bytes(4 * SEATS), arena.baseline_leaf(1)
    functions, binding = arena.settlement.functions, arena.binding(offer)
    for call, sender in (
        (functions.settle(offer, binding, vector, shown, reading), arena.oracle),
        (functions.settleAward(offer, binding, baselines, shown[1], reading, proof), arena.oracle),
        (functions.expireAwards(offer, shown), arena.anyone),
        (functions.placeHold((offer, 0, NO_REASON), shown, NO_SIGNATURE), arena.dso),
    ):
        arena.refuse(call, sender, "MalformedAwards", length=size)
