"""The contracts' arithmetic of settlement and the Python reference agree on random awards; proofs keep their place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from web3.contract import Contract

from market.chain.embedded import EmbeddedChain
from market.domain.hashing import keccak256
from market.domain.products import Direction, Side
from market.domain.settlement import (
    AwardSettlement,
    AwardTerms,
    cover_cents,
    settle_annulled,
    settle_award,
    settle_hold_upheld,
    settle_missing,
    settle_revoked,
)
from market.domain.trees import proof_of_leaf, root_of_leaves
from tests.contracts_properties.harness import create_harness

MAX_PRICE = 2**29 - 1
ENERGY = st.one_of(st.integers(-3000, 3000), st.integers(-(2**31), 2**31 - 1))
ON_A_NODE = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.fixture(scope="module")
def harness(module_anvil: EmbeddedChain) -> Contract:
    return create_harness(module_anvil, Path(__file__).with_name("SettlementMathHarness.sol"))


@st.composite
def award_terms(draw: st.DrawFn) -> AwardTerms:
    side = draw(st.sampled_from(Side))
    direction = draw(st.sampled_from(Direction))
    awarded = draw(st.one_of(st.integers(1, 2500), st.integers(1, 2**24 - 1)))
    bid = draw(st.integers(1, MAX_PRICE))
    answers_request = side is Side.BUY and draw(st.booleans())
    return AwardTerms(side, direction, awarded, bid, draw(st.integers(bid, MAX_PRICE)) if answers_request else None)


@st.composite
def metered_awards(draw: st.DrawFn) -> tuple[AwardTerms, int, int]:
    """Terms, baseline and metered energy, often such that the delivery is near the award or the tolerance."""
    terms, baseline = draw(award_terms()), draw(ENERGY)
    near = draw(st.sampled_from([terms.awarded, terms.awarded * 900 // 1000, 0])) + draw(st.integers(-2, 2))
    metered = baseline - near * terms.direction.sign
    if not -(2**31) <= metered < 2**31 or draw(st.booleans()):
        metered = draw(ENERGY)
    return terms, baseline, metered


def as_argument(terms: AwardTerms) -> tuple[int, ...]:
    return (
        int(terms.side),
        int(terms.direction),
        terms.awarded,
        terms.bid_price_ueur_kwh,
        terms.payer_price_ueur_kwh,
    )


def as_result(settlement: AwardSettlement) -> tuple[int, ...]:
    return (
        int(settlement.outcome),
        settlement.delivered,
        settlement.reserve_ueur,
        settlement.paid_ueur,
        settlement.margin_ueur,
        settlement.refunded_ueur,
        settlement.penalty_ueur,
    )


@settings(max_examples=60, **ON_A_NODE)
@given(st.lists(metered_awards(), min_size=1, max_size=60))
@example([(AwardTerms(Side.BUY, Direction.UP, 2**24 - 1, MAX_PRICE), 2**31 - 1, -(2**31))])
@example([(AwardTerms(Side.BUY, Direction.DOWN, 2**24 - 1, MAX_PRICE), -(2**31), 2**31 - 1)])
def test_awards_end_as_the_reference_says(harness: Contract, awards: Sequence[tuple[AwardTerms, int, int]]) -> None:
    terms, baselines, metered = (list(column) for column in zip(*awards, strict=True))
    read, others = harness.functions.settle([as_argument(each) for each in terms], baselines, metered).call()
    assert [tuple(each) for each in read] == [as_result(settle_award(*award)) for award in awards]
    by_reference = (settle_missing, settle_revoked, settle_annulled, settle_hold_upheld)
    assert [tuple(each) for each in others] == [as_result(end(terms[0])) for end in by_reference]


@settings(max_examples=40, **ON_A_NODE)
@given(st.integers(0, 2**24 * 80_000))
def test_the_cover_is_an_eighth_of_the_bond_in_whole_cents(harness: Contract, bond: int) -> None:
    assert harness.functions.coverCents(bond).call() == min(cover_cents(bond), 2**24 - 1)


def tree_of(count: int) -> list[bytes]:
    return [keccak256(place.to_bytes(4, "big")) for place in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 31, 64, 100, 125])
def test_the_length_of_a_proof_follows_from_the_leafs_place(harness: Contract, count: int) -> None:
    leaves = tree_of(count)
    assert harness.functions.lengths(count).call() == [len(proof_of_leaf(leaves, place)) for place in range(count)]


@settings(max_examples=60, **ON_A_NODE)
@given(st.integers(1, 40), st.data())
def test_a_leaf_is_proven_only_at_its_place(harness: Contract, count: int, data: Any) -> None:
    leaves = tree_of(count)
    place = data.draw(st.integers(0, count - 1), label="place")
    root, proof = root_of_leaves(leaves), list(proof_of_leaf(leaves, place))
    assert harness.functions.verify(proof, root, leaves[place], place, count).call()
    assert not harness.functions.verify(proof, root, leaves[place], count, count).call()
    if count > 1:
        other = leaves[(place + 1) % count]
        assert not harness.functions.verify(proof, root, other, place, count).call()


def test_an_inner_node_is_no_leaf(harness: Contract) -> None:
    # A leaf of five awards is as long as what an inner node hashes: a forger could offer one for the other.
    leaves = tree_of(4)
    left = root_of_leaves(leaves[:2])
    right = root_of_leaves(leaves[2:])
    root = root_of_leaves(leaves)
    for place in range(4):
        assert not harness.functions.verify([right], root, left, place, 4).call()
        assert not harness.functions.verify([], root, root, place, 4).call()
