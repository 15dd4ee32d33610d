"""The contracts' check of a claim and the Python reference agree on random auctions, true claims and forged ones.

The library runs on a node, called through a harness that the tests compile; the auction contract around it is in
test_auctions_on_chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode
from hexbytes import HexBytes
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
from market.domain.records import BidRecord, PostedBid, pack_awards, pack_bids, rejected_bitmap
from market.domain.trees import award_root
from market.domain.units import NO_MARGINAL
from tests.contracts_properties.harness import create_harness
from tests.domain.auctions import Auction, auctions, auctions_in_large_portfolios, auctions_with_many_minima

INDICES_PER_WORD = 256
MAX_POSTS = 3
GAS_PER_HOPELESS_BID = 268
GAS_PER_BID_TOO_LATE = 569
"""Half a per cent above what they are, which is the same in each run."""
ANY_AUCTION = st.one_of(auctions(), auctions_with_many_minima(), auctions_in_large_portfolios())
# A call of the node takes milliseconds, and one node serves all examples: both on purpose.
ON_A_NODE = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.fixture(scope="module")
def harness(module_anvil: EmbeddedChain) -> Contract:
    return create_harness(module_anvil, Path(__file__).with_name("ClaimCheckHarness.sol"))


def superseded_words(posts: Mapping[int, int]) -> list[int]:
    """For each 256 nanogrids whose first post is superseded, whose second one; none when nobody has posted twice."""
    if max(posts.values(), default=0) < 2:
        return []
    depth = MAX_POSTS - 1
    words = [0] * (depth * (max(posts) // INDICES_PER_WORD + 1))
    for index, count in posts.items():
        first = depth * (index // INDICES_PER_WORD)
        for place in range(first, first + count - 1):
            words[place] |= 1 << index % INDICES_PER_WORD
    return words


def on_chain(
    harness: Contract, auction: Auction, claim: Claim, cuts: Sequence[int] = ()
) -> tuple[int, bytes, tuple[Any, ...]]:
    """Rule that the claim breaks (0: none), root of the awards, progress at the end."""
    rule, root, progress = harness.functions.check(
        int(auction.side),
        superseded_words(posts_by_index(auction.bids)),
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


@pytest.mark.parametrize("wanted", [100, 60, 150])
def test_an_auction_ends_at_a_bid_that_does_not_fit_only_after_sixteen_of_them(harness: Contract, wanted: int) -> None:
    """A claim that stops at an earlier one would leave out who is dearer and fits: 40 are left at 100, none at 60."""
    quantities = [60, *17 * [50], 40]
    records = [BidRecord(1000 + place, quantity, quantity, place) for place, quantity in enumerate(quantities)]
    auction = Auction(wanted, Side.BUY, tuple(map(PostedBid, records, range(len(records)))), frozenset())
    ranks = [bid.rank(Side.BUY) for bid in auction.bids]
    for passed in range(17):
        claim = Claim(ranks[1 + passed], 0, tuple(ranks[1 : 1 + passed]))
        rule, _, _ = on_chain(harness, auction, claim)
        assert rule == (by_reference(auction, claim)[0])
        assert (rule == 0) == (wanted == 100 and passed == 16)


def auction_of_posts(side: Side, posts: Mapping[int, int]) -> Auction:
    """Of nanogrids that post so many times each, the third time to withdraw. All is bought that is left."""
    posted = [(index, revision) for revision in range(MAX_POSTS) for index in posts if revision < posts[index]]
    records = [
        BidRecord(1000 + place, quantity := 10 * (revision < MAX_POSTS - 1), quantity, index, revision)
        for place, (index, revision) in enumerate(posted)
    ]
    return Auction(100, side, tuple(map(PostedBid, records, range(len(records)))), frozenset())


@pytest.mark.parametrize("side", Side)
def test_a_bid_is_superseded_by_posts_of_its_own_nanogrid_alone(harness: Contract, side: Side) -> None:
    """Not by those of nanogrids in other words whose indices end in the same byte."""
    indices = (7, 7 + INDICES_PER_WORD, 7 + 3 * INDICES_PER_WORD)
    for counts in product(range(1, MAX_POSTS + 1), repeat=len(indices)):
        posts = dict(zip(indices, counts, strict=True))
        auction = auction_of_posts(side, posts)
        clearing = clear_greedy(auction.quantity, side, auction.bids)
        assert {award.index for award in clearing.awards} == {i for i in indices if posts[i] < MAX_POSTS}
        rule, root, _ = on_chain(harness, auction, claim_of(clearing))
        assert (rule, root) == (0, award_root(clearing.awards)), posts


def test_nothing_is_rejected_by_what_stands_behind_the_verdicts_bitmap(harness: Contract) -> None:
    """The call ends in words of ones behind a bitmap of 256 positions: the posts beyond them count."""
    records = [BidRecord(1000 + index, 10, 0, index) for index in range(256 + 40)]
    auction = Auction(10**6, Side.BUY, tuple(map(PostedBid, records, range(len(records)))), frozenset({0}))
    clearing = clear_greedy(auction.quantity, Side.BUY, auction.bids, auction.rejected)
    claimed = (clearing.marginal, clearing.marginal_quantity, [])
    bitmap = b"\x01" + bytes(31)
    call = harness.functions.check(Side.BUY, [], auction.quantity, claimed, pack_bids(auction.bids), bitmap, [])
    data = HexBytes(call._encode_transaction_data())
    selector, arguments = data[:4], bytearray(data[4:])
    arguments[5 * 32 : 6 * 32] = len(arguments).to_bytes(32, "big")  # the bitmap, moved to the end
    arguments += len(bitmap).to_bytes(32, "big") + bitmap + b"\xff" * 64
    answer = harness.w3.eth.call({"to": harness.address, "data": HexBytes(selector + bytes(arguments))})
    rule, root = decode(["uint8", "bytes32"], answer)
    assert (rule, root) == (0, award_root(clearing.awards))


def gas_of_check(harness: Contract, quantity: int, records: Sequence[BidRecord]) -> int:
    """What checking the right claim costs when so much is bought."""
    bids = tuple(map(PostedBid, records, range(len(records))))
    claim = claim_of(clear_greedy(quantity, Side.BUY, bids))
    claimed = (claim.marginal, claim.marginal_quantity, [])
    call = harness.functions.check(Side.BUY, [], quantity, claimed, pack_bids(bids), b"", [])
    digest = call.transact({"from": harness.w3.eth.accounts[0], "gas": 10**7, "gasPrice": Web3.to_wei(0, "wei")})
    return int(harness.w3.eth.wait_for_transaction_receipt(digest, poll_latency=0.02)["gasUsed"])


def test_a_bid_far_better_than_the_marginal_one_is_as_cheap_as_where_all_win(harness: Contract) -> None:
    """Whether it wins is seen from its price alone: its rank is not made up (Sweep)."""
    records = [*(BidRecord(1000, 10, 0, index) for index in range(255)), BidRecord(100_000, 10, 0, 255)]
    marginal, all_win = (gas_of_check(harness, quantity, records) for quantity in (255 * 10 + 5, 10**6))
    assert marginal - all_win < 10 * len(records)


@pytest.mark.parametrize(
    ("price_ueur_kwh", "most_gas"), [(100_000, GAS_PER_HOPELESS_BID), (1000, GAS_PER_BID_TOO_LATE)]
)
def test_a_bid_worse_than_the_marginal_one_is_left_to_nobody(
    harness: Contract, price_ueur_kwh: int, most_gas: int
) -> None:
    """Dearer, or of the same price and posted later: that it wins nothing is seen in the sweep."""
    better = BidRecord(1000, 10, 0, 0)
    worse = [BidRecord(price_ueur_kwh, 10, 0, index) for index in range(1, 256)]
    gas = gas_of_check(harness, 5, [better, *worse]) - gas_of_check(harness, 5, [better])
    assert gas / len(worse) < most_gas


def test_a_bid_counts_whatever_it_asks_for_but_nothing(harness: Contract) -> None:
    """Each bit of the quantity alone makes it a bid and no withdrawal; half of it is bought."""
    for quantity in (1 << bit for bit in range(1, 24)):
        auction = Auction(quantity // 2, Side.BUY, (PostedBid(BidRecord(1000, quantity, 0, 7), 0),), frozenset())
        clearing = clear_greedy(auction.quantity, Side.BUY, auction.bids)
        assert [award.quantity for award in clearing.awards] == [quantity // 2]
        rule, root, _ = on_chain(harness, auction, claim_of(clearing))
        assert (rule, root) == (0, award_root(clearing.awards)), quantity


def test_an_award_is_its_bid_with_its_position_for_the_minimum_to_the_last_bit(harness: Contract) -> None:
    largest = 2**24 - 1
    records = [BidRecord(1, 1, 0, 0), BidRecord(2**29 - 1, largest, largest, 2**16 - 1), BidRecord(2, largest, 0, 1)]
    auction = Auction(2**26, Side.BUY, tuple(map(PostedBid, records, range(len(records)))), frozenset())
    clearing = clear_greedy(auction.quantity, Side.BUY, auction.bids)
    assert sorted(award.index for award in clearing.awards) == [0, 1, 2**16 - 1]
    rule, root, _ = on_chain(harness, auction, claim_of(clearing))
    assert (rule, root) == (0, award_root(clearing.awards))


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
