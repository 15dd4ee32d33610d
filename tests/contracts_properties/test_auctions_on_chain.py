"""Whole auctions on the real contracts, with signed bids, agree with the Python reference: offer, posts in batches,
forged claims, clearing in chunks, verdict, clearing again or not, final awards, winners and escrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD

from market.chain.embedded import EmbeddedChain
from market.domain.claim_check import Progress, broken_rule, check_chunk
from market.domain.errors import ClaimRefused
from market.domain.hashing import keccak256
from market.domain.merit_order import Claim, Clearing, claim_of, clear_greedy, posts_by_index, without_rejected
from market.domain.messages import Offer
from market.domain.products import Side
from market.domain.records import AwardRecord, PostedBid, pack_awards, pack_bids, rejected_bitmap
from market.domain.settlement import is_covered
from market.domain.trees import award_root
from market.domain.units import NO_MARGINAL
from tests.contracts_properties.auction_house import (
    COVER_CENTS,
    NO_SIGNATURE,
    PORTFOLIO,
    REQUEST_PRICE_UEUR_KWH,
    AuctionHouse,
    U,
    is_reserved,
    progress_argument,
)
from tests.domain.auctions import Auction, auctions, auctions_with_many_minima

CLEARED, FINAL = 2, 3
FALSE_CLAIM = "0x" + keccak256(b"FalseClaim(bytes32,uint8)")[:4].hex()


@pytest.fixture(scope="module")
def house(module_anvil: EmbeddedChain) -> AuctionHouse:
    return AuctionHouse.build(module_anvil)


def as_the_chain_takes_it(auction: Auction) -> Auction:
    """Reserved are those who have a capacity contract (BUY only: INTERNAL knows none); no bid is beyond its cover."""
    bids = []
    for bid in auction.bids:
        record = bid.record
        if not is_covered(record.quantity, record.price_ueur_kwh, COVER_CENTS):
            record = replace(record, quantity=5, minimum=min(5, record.minimum))
        reserved = auction.side is Side.BUY and is_reserved(record.index)
        bids.append(PostedBid(replace(record, reserved=reserved), bid.position))
    return replace(auction, bids=tuple(bids))


def post_in_batches(house: AuctionHouse, offer: bytes, auction: Auction, data: st.DataObject) -> None:
    records = [bid.record for bid in auction.bids]
    cut = data.draw(st.integers(0, len(records)), label="batches cut at")
    for batch in (records[:cut], records[cut:]):
        if batch:
            house.post(offer, batch)


def try_forgeries(house: AuctionHouse, offer: bytes, auction: Auction, clearing: Clearing, data: st.DataObject) -> None:
    """A wrong claim reverts with the rule that the reference names; one that passes would give the same awards."""
    ranks = [bid.rank(auction.side) for bid in auction.bids]
    if not ranks:
        return
    true = claim_of(clearing)
    marginal = data.draw(st.sampled_from([*ranks, NO_MARGINAL]), label="forged marginal")
    claim = replace(true, marginal=marginal, passed_over=tuple(rank for rank in true.passed_over if rank < marginal))
    call = house.clear(offer, claim, pack_bids(auction.bids), rejected_bitmap(auction.rejected))
    rule = rule_broken_by(claim, auction)
    if rule is None:
        progress, _ = check_chunk(auction.side, claim, auction.bids, posts_by_index(auction.bids), auction.rejected)
        assert progress.awards_root == award_root(clearing.awards)
        call.call({"from": house.anyone})
        return
    with pytest.raises(ContractCustomError) as refusal:
        call.call({"from": house.anyone})
    assert refusal.value.data == FALSE_CLAIM + offer.hex() + rule.to_bytes(32, "big").hex()


def rule_broken_by(claim: Claim, auction: Auction) -> int | None:
    try:
        progress, _ = check_chunk(auction.side, claim, auction.bids, posts_by_index(auction.bids), auction.rejected)
    except ClaimRefused as refused:
        return refused.rule
    return broken_rule(auction.quantity, claim, progress)


def clear_in_chunks(
    house: AuctionHouse, offer: bytes, auction: Auction, clearing: Clearing, cuts: Sequence[int]
) -> None:
    """Each chunk starts from the progress that the reference reached, which must be the contract's to the byte."""
    claim, posts = claim_of(clearing), posts_by_index(auction.bids)
    progress: Progress | None = None
    for first, end in pairwise([0, *cuts, len(auction.bids)]):
        chunk = auction.bids[first:end]
        rejected = rejected_bitmap(auction.rejected)
        house.send(house.clear(offer, claim, pack_bids(chunk), rejected, progress_argument(progress)), house.anyone)
        progress, _ = check_chunk(auction.side, claim, chunk, posts, auction.rejected, progress)


def chunk_cuts(auction: Auction, data: st.DataObject) -> list[int]:
    inside = len(auction.bids) - 1
    return sorted(data.draw(st.sets(st.integers(1, inside), max_size=2), label="chunks")) if inside > 0 else []


def assert_cleared(house: AuctionHouse, offer: bytes, clearing: Clearing) -> None:
    state = house.auction.functions.stateOf(offer).call()
    assert (state.status, state.awardCount) == (CLEARED, len(clearing.awards))
    assert state.awardsRoot == award_root(clearing.awards)


def finalise(house: AuctionHouse, id_: bytes, offer: Offer, cleared: Sequence[AwardRecord], rejected: bytes) -> bytes:
    """Makes the result final as soon as it can be; the awards of the event."""
    house.at(max(house.auction.functions.finalAt(id_).call(), house.web3.eth.get_block("latest")["timestamp"]))
    receipt = house.send(house.auction.functions.finalise(id_, pack_awards(cleared), rejected), house.anyone)
    (event,) = house.auction.events.Finalised().process_receipt(receipt, errors=DISCARD)
    return bytes(event["args"]["awards"])


def assert_final(house: AuctionHouse, id_: bytes, offer: Offer, awards: Sequence[AwardRecord]) -> None:
    state = house.auction.functions.stateOf(id_).call()
    assert (state.status, state.awardCount) == (FINAL, len(awards))
    assert state.awardsRoot == award_root(awards)
    is_buy = offer.side == Side.BUY
    reserve = sum(award.quantity * REQUEST_PRICE_UEUR_KWH // 1000 for award in awards) if is_buy else 0
    assert state.escrowUeur == house.settlement.functions.escrowOf(id_).call() == reserve
    if is_buy:
        left = offer.quantity - sum(award.quantity for award in awards)
        assert house.auction.functions.availableOf(offer.request, offer.interval).call() == left
    for award in awards[:3]:
        assert house.auction.functions.hasWon(PORTFOLIO << 16 | award.index, offer.interval, 0).call()


@pytest.mark.slow
@pytest.mark.timeout(1500)  # whole auctions on a node: minutes where the machine is busy
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.one_of(auctions(max_bidders=25), auctions_with_many_minima()), st.data())
def test_an_auction_ends_as_the_reference_says(house: AuctionHouse, auction: Auction, data: st.DataObject) -> None:
    auction = as_the_chain_takes_it(auction)
    undisputed = replace(auction, rejected=frozenset())
    clearing = clear_greedy(auction.quantity, auction.side, auction.bids)
    id_, offer = house.open(auction.side, auction.quantity)
    house.at(offer.gate_closure - U // 20)
    post_in_batches(house, id_, auction, data)
    state = house.auction.functions.stateOf(id_).call()
    assert state.bidCount == len(auction.bids)

    house.at(offer.gate_closure)
    try_forgeries(house, id_, undisputed, clearing, data)
    clear_in_chunks(house, id_, undisputed, clearing, chunk_cuts(auction, data))
    assert_cleared(house, id_, clearing)
    rejected = b""
    awards: Sequence[AwardRecord] = clearing.awards
    if auction.rejected:
        rejected = rejected_bitmap(auction.rejected)
        house.send(house.signals.functions.giveVerdict((id_, rejected, bytes(32)), NO_SIGNATURE), house.dso)
        if data.draw(st.booleans(), label="cleared again"):
            clearing = clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected)
            try_forgeries(house, id_, auction, clearing, data)
            clear_in_chunks(house, id_, auction, clearing, chunk_cuts(auction, data))
            assert_cleared(house, id_, clearing)
            rejected, awards = b"", clearing.awards
        else:
            awards = without_rejected(clearing.awards, auction.rejected)

    assert finalise(house, id_, offer, clearing.awards, rejected) == pack_awards(awards)
    assert_final(house, id_, offer, awards)
