"""The libraries with assembly do what their plain twins do: posting and clearing on two markets at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.chain.bindings import artifact
from market.chain.embedded import start_anvil
from market.domain.error_texts import BidRejection
from market.domain.merit_order import Claim, claim_of, clear_greedy, posts_by_index
from market.domain.messages import Delegation, Offer
from market.domain.products import Side
from market.domain.records import pack_awards, pack_bids, rejected_bitmap
from market.domain.units import NO_MARGINAL
from tests.conftest import TEST_EPOCH, taken_by_nobody
from tests.contracts_properties.auction_house import EMPTY_PROGRESS, NODE, PORTFOLIO, owner_key
from tests.contracts_properties.lockstep import TODAY, Lockstep, SeatHouse
from tests.contracts_properties.plain_twins import deploy_plain
from tests.contracts_properties.test_claim_check import superseded_words
from tests.contracts_properties.wire_bids import CURVE_ORDER, Fields, Poster
from tests.domain.auctions import Auction, auctions, auctions_with_many_minima

ON_NODES = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
SEEDS = st.integers(0, 2**32 - 1)
REACHED: Counter[str] = Counter()
MOST_BATCHES = 200


@pytest.fixture(scope="module")
def markets() -> Iterator[Lockstep]:
    with (
        start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH) as one,
        start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH, limited=False) as other,
    ):
        both = Lockstep(SeatHouse.build(one), SeatHouse.build(other, deploy_plain))
        both.both(SeatHouse.sell_once)
        both.mark("sold")
        yield both


@pytest.fixture(scope="module", params=Side, ids=lambda side: side.name)
def offer(markets: Lockstep, request: pytest.FixtureRequest) -> Offer:
    """An offer of each side, shortly before its gate closure, to come back to."""
    markets.back_to("sold")
    opened: Offer = markets.both(lambda house: house.open_for(request.param))
    markets.mark("open")
    return opened


@ON_NODES
@given(seed=SEEDS, sizes=st.lists(st.integers(1, 30), min_size=1, max_size=3), pauses=st.booleans())
def test_bids_are_taken_and_skipped_alike(
    markets: Lockstep, offer: Offer, seed: int, sizes: list[int], pauses: bool
) -> None:
    """The same events, reasons and errors, and the same storage to the bit."""
    markets.back_to("open")
    house = markets.product
    poster = Poster(Random(seed), offer, house.domain)
    post = house.auction.functions.postBids
    for size in sizes:
        answer = markets.send(post(poster.offer_id, poster.batch(size)), house.anyone)
        REACHED.update(house.reasons(answer.events))
        REACHED.update({"refused"} if answer.refusal else ())
    if pauses:
        markets.send(house.registry.functions.setPaused(NODE, offer.product, True), house.operator)
        for wire in filter(None, (poster.withdrawals(), poster.batch(2))):
            answer = markets.send(post(poster.offer_id, wire), house.anyone)
            REACHED.update({"paused"} if answer.refusal else ())


# CLEARING


def claims_about(auction: Auction, chance: Random) -> Iterator[Claim]:
    """The right one, and others that differ from it in something."""
    true = claim_of(clear_greedy(auction.quantity, auction.side, auction.bids, auction.rejected))
    ranks = sorted(bid.rank(auction.side) for bid in auction.bids)
    yield true
    if not ranks:
        return
    yield replace(true, marginal=chance.choice([*ranks, NO_MARGINAL]))
    yield replace(true, marginal_quantity=min(true.marginal_quantity + chance.choice([1, 2**20]), 2**24 - 1))
    yield replace(true, passed_over=tuple(sorted(chance.sample(ranks, min(chance.randint(0, 17), len(ranks))))))
    yield Claim(chance.choice(ranks) + 1, chance.randint(0, 9), (ranks[0], *true.passed_over))


@settings(ON_NODES, max_examples=100)
@given(auction=st.one_of(auctions(), auctions_with_many_minima()), seed=SEEDS)
def test_claims_are_judged_alike_in_chunks(markets: Lockstep, auction: Auction, seed: int) -> None:
    """The same progress after each chunk, the same rules broken, the same root; also of what stands after a verdict."""
    chance, house = Random(seed), markets.product
    address = house.auction.functions.claimChecker().call()
    checker = house.web3.eth.contract(address=address, abi=artifact("ClaimChecker")["abi"], decode_tuples=True)
    terms = (auction.side, auction.quantity, superseded_words(posts_by_index(auction.bids)))
    rejected = rejected_bitmap(auction.rejected)
    cuts = sorted(chance.sample(range(1, len(auction.bids)), min(2, len(auction.bids) - 1))) if auction.bids else []
    for claim in claims_about(auction, chance):
        progress, claimed = EMPTY_PROGRESS, (claim.marginal, claim.marginal_quantity, list(claim.passed_over))
        for first, end in pairwise([0, *cuts, len(auction.bids)]):
            records = pack_bids(auction.bids[first:end])
            call = checker.functions.check(terms, claimed, records, rejected, progress)
            _, refusal = markets.try_(call, house.anyone)
            REACHED["claims refused" if refusal else "claims judged"] += 1
            if refusal:
                break
            progress = call.call().reached
    awards = pack_awards(clear_greedy(auction.quantity, auction.side, auction.bids).awards)
    markets.try_(checker.functions.standing(awards, rejected), house.anyone)


def test_every_outcome_was_among_them() -> None:
    assert {"accepted", "refused", "paused", "claims judged", "claims refused"} <= {*REACHED}


def test_every_reason_is_among_the_posters_bids(markets: Lockstep, offer: Offer) -> None:
    """Fixed seeds: what the random ones above compare is not left to luck."""
    wanted = {"accepted", *(reason.name for reason in BidRejection if reason is not BidRejection.NONE)}
    if offer.side == Side.SELL:  # the delegates' lowest price is below the offer's, which is refused first
        wanted.remove(BidRejection.PRICE_BELOW_DELEGATE_LIMIT.name)
    reached: Counter[str] = Counter()
    for seed in range(MOST_BATCHES):
        markets.back_to("open")
        house = markets.product
        poster = Poster(Random(seed), offer, house.domain)
        answer = markets.send(house.auction.functions.postBids(poster.offer_id, poster.batch(30)), house.anyone)
        reached.update(house.reasons(answer.events))
        if wanted <= {*reached}:
            return
    raise AssertionError(f"never met: {wanted - {*reached}}")


def test_a_high_s_is_nobodys_for_both(markets: Lockstep, offer: Offer) -> None:
    """No key makes one within the 255 bits of a compact signature: whom one recovers to is seated as a delegate."""
    markets.back_to("open")
    house = markets.product
    poster = Poster(Random(1), offer, house.domain)
    for s, wanted in ((CURVE_ORDER // 2, "accepted"), (CURVE_ORDER // 2 + 1, "BAD_SIGNATURE")):
        wire, delegate = poster.bid_signed_by_nobody(4, s)
        limits = (TODAY + 1, 0, 1000, 60, house.registry.functions.ownerNonce(PORTFOLIO << 16 | 4).call())
        delegation = Delegation(PORTFOLIO << 16 | 4, delegate, *limits)
        seating = house.registry.functions.setDelegate(delegation.arguments(), house.signed(owner_key(4), delegation))
        assert markets.send(seating, house.anyone).refusal is None
        answer = markets.send(house.auction.functions.postBids(poster.offer_id, wire), house.anyone)
        assert [*house.reasons(answer.events)] == [wanted]
        markets.back_to("open")


@pytest.mark.parametrize(("price", "wanted"), [(217_777, "accepted"), (217_778, "BEYOND_COVER")])
def test_the_cover_holds_to_the_micro_euro(markets: Lockstep, offer: Offer, price: int, wanted: str) -> None:
    """3 kWh at the higher price would risk 980,001 micro-euro, one more than the 98 cents."""
    markets.back_to("open")
    house = markets.product
    poster = Poster(Random(1), offer, house.domain)
    wire = poster.first_bid(owner_key(4), Fields(price, 3000, 0, 4, 0))
    answer = markets.send(house.auction.functions.postBids(poster.offer_id, wire), house.anyone)
    assert [*house.reasons(answer.events)] == [wanted]


def test_the_lane_is_taken(markets: Lockstep, offer: Offer) -> None:
    """Ordinary bids cost the product a third less: what is compared is not twice the same code."""
    markets.back_to("open")
    house = markets.product
    poster = Poster(Random(1), offer, house.domain)
    call = house.auction.functions.postBids(poster.offer_id, poster.ordinary())
    fast, plain = (one.gas_of(call) for one in (markets.product, markets.plain))
    assert fast < 0.8 * plain
