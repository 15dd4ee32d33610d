"""The contracts' check of a claim and the Python reference agree on random auctions, true claims and forged ones.

The library runs on a node, called through a harness that the tests compile; the auction contract around it is in
test_auctions_on_chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import ContractCustomError

from market.chain.embedded import EmbeddedChain
from market.domain.claim_check import Progress, broken_rule, check_chunk
from market.domain.errors import ClaimRefused
from market.domain.merit_order import Claim, claim_of, clear_greedy, posts_by_index, without_rejected
from market.domain.products import Side
from market.domain.records import pack_awards, pack_bids, rejected_bitmap
from market.domain.trees import award_root
from market.domain.units import NO_MARGINAL
from tests.contracts_properties.harness import create_harness
from tests.domain.auctions import Auction, auctions, auctions_in_large_portfolios, auctions_with_many_minima

INDICES_PER_WORD = 256
MAX_POSTS = 3
ANY_AUCTION = st.one_of(auctions(), auctions_with_many_minima(), auctions_in_large_portfolios())
# A call of the node takes milliseconds, and one node serves all examples: both on purpose.
ON_A_NODE = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.fixture(scope="module")
def harness(module_anvil: EmbeddedChain) -> Contract:
    return create_harness(module_anvil, Path(__file__).with_name("ClaimCheckHarness.sol"))


def post_words(posts: Mapping[int, int]) -> list[int]:
    """For each 256 nanogrids who has posted, who twice, who three times; none when nobody has posted twice."""
    if max(posts.values(), default=0) < 2:
        return []
    words = [0] * (MAX_POSTS * (max(posts) // INDICES_PER_WORD + 1))
    for index, count in posts.items():
        first = MAX_POSTS * (index // INDICES_PER_WORD)
        for place in range(first, first + count):
            words[place] |= 1 << index % INDICES_PER_WORD
    return words


def on_chain(
    harness: Contract, auction: Auction, claim: Claim, cuts: Sequence[int] = ()
) -> tuple[int, bytes, tuple[Any, ...]]:
    """Rule that the claim breaks (0: none), root of the awards, progress at the end."""
    rule, root, progress = harness.functions.check(
        int(auction.side),
        post_words(posts_by_index(auction.bids)),
        auction.quantity,
        (claim.marginal, claim.marginal_quantity, list(claim.passed_over)),
        pack_bids(auction.bids),
        rejected_bitmap(auction.rejected),
        list(cuts),
    ).call()
    return rule, root, tuple(progress)


def by_reference(auction: Auction, claim: Claim) -> tuple[int, Progress | None]:
    """The same by the Python reference; without progress where the pass itself refuses."""
    try:
        progress, _ = check_chunk(auction.side, claim, auction.bids, posts_by_index(auction.bids), auction.rejected)
    except ClaimRefused as refused:
        return refused.rule or 0, None
    return broken_rule(auction.quantity, claim, progress) or 0, progress


def as_on_chain(progress: Progress) -> tuple[Any, ...]:
    return (
        progress.chain,
        progress.position,
        progress.better,
        list(progress.better_than_passed),
        progress.seen,
        list(progress.minima),
        progress.award_count,
        progress.pending,
        list(progress.peaks),
    )


def forgeries(auction: Auction, claim: Claim, data: st.DataObject) -> Iterator[Claim]:
    """Claims beside the right one: another marginal, another quantity, passed-over ranks more or less, each at once."""
    ranks = sorted(bid.rank(auction.side) for bid in auction.bids)
    if not ranks:
        return
    quantity = claim.marginal_quantity
    near = st.sampled_from([0, 1, quantity, min(quantity + 1, 2**24 - 1), max(0, quantity - 1)])
    for _ in range(3):
        passed = set(claim.passed_over) ^ data.draw(st.frozensets(st.sampled_from(ranks), max_size=2))
        marginal = data.draw(st.sampled_from([*ranks, NO_MARGINAL, claim.marginal, claim.marginal]))
        yield Claim(marginal, data.draw(near), tuple(sorted(passed)[:16]))


@settings(max_examples=1000, **ON_A_NODE)
@given(ANY_AUCTION, st.data())
def test_the_contract_awards_what_the_greedy_reference_awards(
    harness: Contract, auction: Auction, data: st.DataObject
) -> None:
    clearing = clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(auction.bids)), max_size=3)))
    rule, root, progress = on_chain(harness, auction, claim_of(clearing), cuts)
    assert rule == 0
    assert root == award_root(clearing.awards)
    _, expected = by_reference(auction, claim_of(clearing))
    assert expected is not None
    filled = as_on_chain(expected)
    if not auction.bids:  # the reference leaves the lists of an empty pass empty, the contract fills them with zeros
        filled = (*filled[:5], [0], *filled[6:])
    assert progress == filled


@settings(max_examples=1000, **ON_A_NODE)
@given(ANY_AUCTION, st.data())
def test_a_forged_claim_is_refused_by_the_same_rule_or_gives_identical_awards(
    harness: Contract, auction: Auction, data: st.DataObject
) -> None:
    clearing = clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected)
    for claim in forgeries(auction, claim_of(clearing), data):
        rule, root, _ = on_chain(harness, auction, claim)
        expected, _ = by_reference(auction, claim)
        assert rule == expected
        if rule == 0:
            assert root == award_root(clearing.awards)


@settings(max_examples=100, **ON_A_NODE)
@given(auctions())
def test_awards_that_a_verdict_leaves_are_those_of_the_reference(harness: Contract, auction: Auction) -> None:
    awards = clear_greedy(auction.quantity, auction.side, auction.bids).awards
    standing = harness.functions.withoutRejected(pack_awards(awards), rejected_bitmap(auction.rejected)).call()
    assert standing == pack_awards(without_rejected(awards, auction.rejected))


@pytest.mark.parametrize(
    ("passed_over", "error", "argument"),
    [(tuple(range(17)), "TooManyPassedOver(uint256)", 17), ((5, 9, 9), "PassedOverNotSorted(uint256)", 2)],
)
def test_a_misshapen_claim_is_refused(
    harness: Contract, passed_over: tuple[int, ...], error: str, argument: int
) -> None:
    auction = Auction(1, Side.BUY, (), frozenset())
    with pytest.raises(ContractCustomError) as refusal:
        on_chain(harness, auction, Claim(NO_MARGINAL, 0, passed_over))
    assert refusal.value.data == Web3.to_hex(Web3.keccak(text=error)[:4] + argument.to_bytes(32, "big"))
