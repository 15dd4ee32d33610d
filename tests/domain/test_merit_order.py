"""The greedy reference and the one-pass check of claims agree; forged claims pass only with identical awards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from market.domain.claim_check import Progress, broken_rule, check_chunk, check_claim
from market.domain.errors import ClaimRefused
from market.domain.merit_order import (
    Claim,
    claim_of,
    clear_greedy,
    counting_bids,
    merit_curve,
    posts_by_index,
    without_rejected,
)
from market.domain.products import Side
from market.domain.records import BidRecord, PostedBid, fold_chain, pack_bids
from market.domain.trees import award_root
from market.domain.units import NO_MARGINAL

from .auctions import Auction, auctions, auctions_with_many_minima

ANY_AUCTION = st.one_of(auctions(), auctions_with_many_minima())


def bid(position: int, price: int, quantity: int, minimum: int = 0, *, reserved: bool = False) -> PostedBid:
    return PostedBid(BidRecord(price, quantity, minimum, position, 0, reserved), position)


def won(bids: list[PostedBid], quantity: int, side: Side = Side.BUY) -> dict[int, int]:
    return {award.position: award.quantity for award in clear_greedy(quantity, side, bids).awards}


def test_buy_awards_the_cheapest_and_the_last_one_in_part() -> None:
    assert won([bid(0, 30, 5), bid(1, 10, 5), bid(2, 20, 5)], 12) == {1: 5, 2: 5, 0: 2}


def test_sell_awards_the_dearest_first() -> None:
    assert won([bid(0, 30, 5), bid(1, 10, 5), bid(2, 20, 5)], 12, Side.SELL) == {0: 5, 2: 5, 1: 2}


def test_ties_go_to_the_reserved_then_to_the_earlier() -> None:
    assert won([bid(0, 10, 5), bid(1, 10, 5), bid(2, 10, 5, reserved=True)], 8) == {2: 5, 0: 3}


def test_a_bid_whose_minimum_does_not_fit_is_passed_over() -> None:
    clearing = clear_greedy(10, Side.BUY, [bid(0, 10, 6), bid(1, 20, 6, 6), bid(2, 30, 4)])
    assert {award.position: award.quantity for award in clearing.awards} == {0: 6, 2: 4}
    assert len(clearing.passed_over) == 1
    assert clearing.left == 0


def test_the_seventeenth_to_be_passed_over_ends_the_clearing() -> None:
    bids = [*(bid(at, 10, 9, 9) for at in range(17)), bid(17, 20, 5)]
    clearing = clear_greedy(5, Side.BUY, bids)
    assert clearing.awards == ()
    assert clearing.marginal == bids[16].rank(Side.BUY)
    assert (clearing.marginal_quantity, clearing.left) == (0, 5)
    assert check_claim(5, Side.BUY, bids, claim_of(clearing)) == ()
    assert won(bids[1:], 5) == {17: 5}


def test_a_revision_replaces_the_bid_and_a_withdrawal_ends_it() -> None:
    first = bid(0, 10, 5)
    revised = PostedBid(BidRecord(12, 4, 0, 0, 1), 1)
    withdrawn = PostedBid(BidRecord(12, 0, 0, 0, 2), 2)
    assert counting_bids([first, revised]) == [revised]
    assert counting_bids([first, revised, withdrawn]) == []


def test_what_a_verdict_rejects_stands_aside_when_cleared_again() -> None:
    bids = [bid(0, 10, 5), bid(1, 20, 5)]
    assert [award.position for award in clear_greedy(5, Side.BUY, bids, {0}).awards] == [1]
    assert without_rejected(clear_greedy(5, Side.BUY, bids).awards, {0}) == ()


@settings(max_examples=600, deadline=None)
@given(ANY_AUCTION)
def test_the_claim_of_the_reference_passes_and_gives_its_awards(auction: Auction) -> None:
    clearing = clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected)
    awards = check_claim(auction.quantity, auction.side, auction.bids, claim_of(clearing), auction.rejected)
    assert awards == clearing.awards


@settings(max_examples=300, deadline=None)
@given(ANY_AUCTION, st.data())
def test_a_forged_claim_passes_only_with_identical_awards(auction: Auction, data: st.DataObject) -> None:
    clearing = clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected)
    for claim in forgeries(auction, claim_of(clearing), data):
        try:
            awards = check_claim(auction.quantity, auction.side, auction.bids, claim, auction.rejected)
        except ClaimRefused:
            continue
        assert awards == clearing.awards


def forgeries(auction: Auction, claim: Claim, data: st.DataObject) -> Iterator[Claim]:
    """Claims beside the right one: another marginal, another quantity, one passed over more or less, each at once."""
    ranks = sorted(bid.rank(auction.side) for bid in auction.bids)
    assume(ranks)
    any_rank = st.sampled_from([*ranks, NO_MARGINAL, claim.marginal])
    near = st.sampled_from(
        [0, 1, claim.marginal_quantity, claim.marginal_quantity + 1, max(0, claim.marginal_quantity - 1)]
    )
    for _ in range(12):
        passed = set(claim.passed_over) ^ data.draw(st.frozensets(st.sampled_from(ranks), max_size=2))
        yield Claim(data.draw(any_rank), data.draw(near), tuple(sorted(passed)))


@settings(max_examples=200, deadline=None)
@given(ANY_AUCTION, st.data())
def test_chunks_cut_anywhere_end_where_one_pass_ends(auction: Auction, data: st.DataObject) -> None:
    clearing = clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected)
    claim, posts = claim_of(clearing), posts_by_index(auction.bids)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(auction.bids)), max_size=4)))
    progress: Progress | None = None
    for first, end in zip([0, *cuts], [*cuts, len(auction.bids)], strict=True):
        chunk = auction.bids[first:end]
        progress, _ = check_chunk(auction.side, claim, chunk, posts, auction.rejected, progress)
    assert progress is not None
    assert broken_rule(auction.quantity, claim, progress) is None
    assert progress.chain == fold_chain(pack_bids(auction.bids))
    assert progress.awards_root == award_root(clearing.awards)
    assert progress.award_count == len(clearing.awards)


@settings(max_examples=300, deadline=None)
@given(ANY_AUCTION)
def test_no_better_bid_that_could_be_served_is_left_behind(auction: Auction) -> None:
    clearing = clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected)
    assert clearing.awarded + clearing.left == auction.quantity
    assert clearing.awarded == sum(award.quantity for award in clearing.awards)
    indices = [award.index for award in clearing.awards]
    assert len(set(indices)) == len(indices)
    winners = {award.position: award.quantity for award in clearing.awards}
    for loser in counting_bids(auction.bids, auction.rejected):
        if winners.get(loser.position, 0) == loser.record.quantity or loser.rank(auction.side) > clearing.marginal:
            continue
        is_partial = loser.rank(auction.side) == clearing.marginal
        assert is_partial or loser.rank(auction.side) in clearing.passed_over


RULES = [
    (1, 10, [(1, 5), (2, 5)], Claim(99, 5), "the marginal was never met"),
    (1, 10, [(1, 5), (2, 5)], Claim(NO_MARGINAL, 0, (7,)), "a passed-over rank was never met"),
    (2, 10, [(1, 5), (2, 5)], Claim(NO_MARGINAL, 0, (1 << 33 | 1 << 32,)), "passed over although it fits"),
    (3, 8, [(1, 5), (2, 5)], Claim(NO_MARGINAL, 0), "more is awarded whole than asked"),
    (4, 10, [(1, 5), (2, 5)], Claim(2 << 33 | 1 << 32 | 1, 4), "the marginal does not fill the rest"),
    (4, 10, [(1, 5), (2, 5)], Claim(2 << 33 | 1 << 32 | 1, 6), "the marginal wins more than it bid"),
    (5, 10, [(1, 5), (2, 5)], Claim(2 << 33 | 1 << 32 | 1, 0), "no seventeenth"),
    (6, 10, [(1, 5), (2, 5)], Claim(NO_MARGINAL, 1), "a quantity without a marginal"),
]


@pytest.mark.parametrize(("rule", "quantity", "bids", "claim", "why"), RULES, ids=[row[4] for row in RULES])
def test_a_false_claim_names_the_rule_it_breaks(
    rule: int, quantity: int, bids: list[tuple[int, int]], claim: Claim, why: str
) -> None:
    posted = [bid(at, price, amount) for at, (price, amount) in enumerate(bids)]
    with pytest.raises(ClaimRefused) as refused:
        check_claim(quantity, Side.BUY, posted, claim)
    assert refused.value.rule == rule, why
    assert refused.value.code == "false-claim"


def test_a_claim_of_the_wrong_shape_is_refused_by_name() -> None:
    with pytest.raises(ClaimRefused) as refused:
        check_claim(1, Side.BUY, [], Claim(NO_MARGINAL, 0, tuple(range(17))))
    assert (refused.value.name, refused.value.rule) == ("TooManyPassedOver", None)
    with pytest.raises(ClaimRefused) as refused:
        check_claim(1, Side.BUY, [], Claim(NO_MARGINAL, 0, (2, 2)))
    assert refused.value.name == "PassedOverNotSorted"


@settings(max_examples=200, deadline=None)
@given(ANY_AUCTION)
def test_the_curve_shows_every_bid_that_counts_and_cuts_at_what_is_awarded(auction: Auction) -> None:
    curve = merit_curve(auction.quantity, auction.side, 10, auction.bids, auction.rejected)
    clearing = clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected)
    assert curve.cut_quantity == sum(step.awarded for step in curve.steps) == clearing.awarded
    assert {step.position for step in curve.steps} == {bid.position for bid in counting_bids(auction.bids)}
    end = 0
    for step in curve.steps:
        assert step.start == end
        end += step.quantity
        assert not (step.rejected and step.awarded)
    prices = [step.price_ueur_kwh for step in curve.steps]
    assert prices == sorted(prices, reverse=auction.side is Side.SELL)
