"""An offer whose awards fill more than one leaf and more than one word of marks: each award is itself alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import pytest
from eth_utils import keccak
from web3.logs import DISCARD
from web3.types import TxReceipt

from market.chain.embedded import start_anvil
from market.domain.merit_order import Clearing, claim_of, clear_greedy
from market.domain.messages import Offer, Reading
from market.domain.products import Direction, Product, Side
from market.domain.records import BidRecord, PostedBid, pack_awards, pack_bids
from market.domain.settled_records import AwardResult, SettlementReading, pack_readings, unpack_results
from market.domain.settlement import AwardTerms, Outcome, settle_award
from market.domain.signing import address_of, sign_message
from market.domain.trees import AwardRange, award_proof, award_range, baseline_leaf, baseline_root, baseline_vector
from market.domain.typed_data import Domain
from market.domain.units import RECORDS_PER_LEAF
from tests.conftest import TEST_EPOCH, taken_by_nobody
from tests.contracts_properties.auction_house import (
    FIRST_INTERVAL,
    NO_SIGNATURE,
    NODE,
    PORTFOLIO,
    AuctionHouse,
    U,
    owner_key,
)

SEATS: Final = 260
"""As many awards: two words of marks, and leaves of eight of which the last is not full."""
BATCH: Final = range(220, SEATS)
"""Awards of several leaves and of both words of marks."""
BASELINES: Final = tuple(index - 100 for index in range(SEATS))
BOND_UEUR: Final = 1_000_000
GAS_PER_BID: Final = 8_700
GAS_PER_CLEARED_BID: Final = 928
GAS_PER_AWARD: Final = 14_280
"""Half a per cent above what they are, which is the same in each run."""
EDGES: Final = (0, 7, 8, 255, 256, 259)
"""First and last ordinals of leaves and of words of marks."""
LOOKED_AT: Final = (0, 1, 6, 7, 8, 9, 15, 16, 247, 248, 254, 255, 256, 257, 258, 259)
"""Those and others around them."""


def gateway_key(index: int) -> bytes:
    """Private key of a seat's gateway."""
    return keccak(text=f"gateway {index}")


def nanogrid(index: int) -> int:
    return PORTFOLIO << 16 | index


@dataclass
class LargeHouse(AuctionHouse):
    """A portfolio all of whose seats win in one INTERNAL offer, each its own quantity at its own price."""

    posted: list[PostedBid] = field(default_factory=list)
    posting_gas: int = 0
    clearing_gas: int = 0

    def _register(self) -> None:
        registry, operator = self.registry.functions, self.operator
        roles = (("ORACLE", self.oracle), ("DSO", self.dso), ("AGGREGATOR", self.aggregator), ("REFEREE", operator))
        for role, account in roles:
            self.send(registry.grantRole(keccak(text=role), account), operator)
        self.send(registry.registerNode(NODE, self.dso, "node"), operator)
        self.send(registry.registerPortfolio(PORTFOLIO, NODE, self.aggregator, "portfolio"), operator)
        for index in range(SEATS):
            seat = (PORTFOLIO, address_of(owner_key(index)), 20_000, 300_000, FIRST_INTERVAL - 20 * U)
            self.send(registry.registerSeat(*seat), operator)

    def _fund(self) -> None:
        needed = SEATS * BOND_UEUR + 10**12
        self.send(self.token.functions.mint(self.operator, needed, bytes(32)), self.operator)
        self.send(self.token.functions.approve(self.settlement.address, needed), self.operator)
        self.send(self.settlement.functions.deposit(self.aggregator, 10**12), self.operator)
        for index in range(SEATS):
            self.send(self.settlement.functions.fundBond(nanogrid(index), BOND_UEUR), self.operator)

    def conclude(self) -> None:
        """Every seat's bid is posted, the last seat's first, and wins; the interval is over."""
        self.at(self.before(700, FIRST_INTERVAL))
        self.send(self.registry.functions.refreshSeats([*map(nanogrid, range(SEATS))]), self.anyone)
        anchor = (PORTFOLIO, FIRST_INTERVAL, 0, SEATS, baseline_root(BASELINES))
        self.send(self.metering.functions.anchorBaselines([anchor]), self.oracle)
        self.send(self.auction.functions.openOffer(self.offered.arguments(), NO_SIGNATURE), self.aggregator)
        records = [BidRecord(1000 + index, 10 + index, 0, index) for index in reversed(range(SEATS))]
        self.posted = [PostedBid(record, position) for position, record in enumerate(records)]
        self.posting_gas = self.post(self.id, records)["gasUsed"]
        self.at(self.offered.gate_closure)
        clearing = self.clear(self.id, claim_of(self.clearing), pack_bids(self.posted))
        self.clearing_gas = self.send(clearing, self.anyone)["gasUsed"]
        self.at(self.auction.functions.finalAt(self.id).call())
        self.send(self.auction.functions.finalise(self.id, pack_awards(self.clearing.awards), b""), self.anyone)
        self.at(FIRST_INTERVAL + U)
        for ordinal in {*EDGES, *BATCH}:
            index = self.clearing.awards[ordinal].index
            gateway = address_of(gateway_key(index))
            self.send(self.settlement.functions.setGateway(nanogrid(index), gateway), self.operator)

    @property
    def offered(self) -> Offer:
        return Offer(
            portfolio=PORTFOLIO,
            request=bytes(32),
            interval=FIRST_INTERVAL,
            side=Side.BUY,
            direction=Direction.DOWN,
            product=Product.INTERNAL,
            quantity=SEATS * (10 + SEATS),
            limit_price_ueur_kwh=1000 + SEATS,
            gate_closure=self.before(630, FIRST_INTERVAL),
            salt=0,
        )

    @property
    def id(self) -> bytes:
        return self.offered.digest(self.domain)

    @cached_property
    def clearing(self) -> Clearing:
        """The reference's, of what is posted for good."""
        return clear_greedy(self.offered.quantity, Side.BUY, self.posted)

    # SETTLEMENT

    def reading(self, ordinal: int) -> SettlementReading:
        """Of a full delivery, signed by the seat's gateway."""
        award = self.clearing.awards[ordinal]
        metered = BASELINES[award.index] + award.quantity
        message = Reading(nanogrid(award.index), FIRST_INTERVAL, metered, 0, 1)
        domain = Domain(self.web3.eth.chain_id, self.deployment.addresses["Settlement"])
        signature = sign_message(gateway_key(award.index), message, domain).compact()
        return SettlementReading(ordinal, metered, 0, 1, signature)

    def leaves(self, first: int, last: int) -> AwardRange:
        return award_range(self.clearing.awards, first, last)

    def settle(self, *ordinals: int) -> TxReceipt:
        """All at once, by no more leaves than they stand in."""
        shown = self.leaves(min(ordinals), max(ordinals)).argument()
        readings = pack_readings(self.reading(ordinal) for ordinal in ordinals)
        arguments = (self.id, self.binding, baseline_vector(BASELINES), shown, readings)
        return self.send(self.settlement.functions.settle(*arguments), self.oracle)

    def settle_alone(self, ordinal: int) -> TxReceipt:
        shown = self.leaves(ordinal, ordinal)
        baseline = baseline_leaf(BASELINES, self.clearing.awards[ordinal].index)
        reading = self.reading(ordinal).pack_alone()
        arguments = (self.id, self.binding, baseline.values, shown.awards, reading, award_proof(shown, baseline))
        return self.send(self.settlement.functions.settleAward(*arguments), self.oracle)

    @property
    def binding(self) -> tuple[Any, ...]:
        return tuple(self.settlement.functions.bindingOf(self.id).call())

    def results(self, receipt: TxReceipt) -> list[AwardResult]:
        """How awards ended in a transaction."""
        logs = self.settlement.events.AwardsSettled().process_receipt(receipt, errors=DISCARD)
        return [result for log in logs for result in unpack_results(log["args"]["results"])]

    def assert_ended(self, ordinals: Sequence[int]) -> None:
        """Of those that are looked at just these have."""
        is_settled = self.settlement.functions.isSettled
        ended = [each for each in (*LOOKED_AT, SEATS) if is_settled(self.id, each).call()]
        assert ended == sorted(ordinals)

    def assert_paid(self, ordinals: Sequence[int]) -> None:
        """The seats of these awards are paid, each for its own, and nobody else's who is looked at."""
        paid = dict.fromkeys(LOOKED_AT, 0)
        for ordinal in ordinals:
            award = self.clearing.awards[ordinal]
            terms = AwardTerms(Side.BUY, Direction.DOWN, award.quantity, award.price_ueur_kwh)
            paid[ordinal] = settle_award(terms, 0, award.quantity).paid_ueur
        balance = self.settlement.functions.seatBalance
        awards = self.clearing.awards
        assert {each: balance(nanogrid(awards[each].index)).call() for each in LOOKED_AT} == paid


@pytest.fixture(scope="module")
def concluded_house() -> Iterator[LargeHouse]:
    with start_anvil(taken_by_nobody(), timestamp=TEST_EPOCH) as chain:
        house = LargeHouse.build(chain)
        house.conclude()
        yield house


@pytest.fixture
def house(concluded_house: LargeHouse) -> Iterator[LargeHouse]:
    """What a test does to it is taken back."""
    mark = concluded_house.chain.request("evm_snapshot")
    yield concluded_house
    concluded_house.chain.request("evm_revert", mark)


@pytest.mark.parametrize(
    "ordinals",
    [EDGES, tuple(reversed(EDGES)), (8, 255, 256), (259,)],
    ids=lambda ordinals: "-".join(map(str, ordinals)),
)
def test_awards_settle_together_in_any_order_and_from_any_leaf(house: LargeHouse, ordinals: tuple[int, ...]) -> None:
    results = house.results(house.settle(*ordinals))
    assert [(result.ordinal, result.outcome) for result in results] == [(each, Outcome.DELIVERED) for each in ordinals]
    house.assert_ended(ordinals)
    house.assert_paid(ordinals)


def test_each_award_settles_alone(house: LargeHouse) -> None:
    for place, ordinal in enumerate(EDGES):
        (result,) = house.results(house.settle_alone(ordinal))
        assert (result.ordinal, result.outcome) == (ordinal, Outcome.DELIVERED)
        house.assert_ended(EDGES[: place + 1])
    house.assert_paid(EDGES)


@pytest.mark.parametrize("leaf", [0, 1, 31, 32])
def test_the_awards_of_a_leaf_expire_alone(house: LargeHouse, leaf: int) -> None:
    house.at(FIRST_INTERVAL + 4 * U)
    expired = range(leaf * RECORDS_PER_LEAF, min((leaf + 1) * RECORDS_PER_LEAF, SEATS))
    shown = house.leaves(expired[0], expired[-1]).argument()
    receipt = house.send(house.settlement.functions.expireAwards(house.id, shown), house.anyone)
    results = house.results(receipt)
    assert [(result.ordinal, result.outcome) for result in results] == [(each, Outcome.FAILED) for each in expired]
    house.assert_ended([each for each in LOOKED_AT if each in expired])
    house.assert_paid(())


@pytest.mark.parametrize("ordinal", [7, 8, 256])
def test_a_hold_stops_its_own_award_alone(house: LargeHouse, ordinal: int) -> None:
    functions, shown = house.settlement.functions, house.leaves(ordinal, ordinal).argument()
    house.send(functions.placeHold((house.id, ordinal, bytes(32)), shown, NO_SIGNATURE), house.aggregator)
    others = [each for each in EDGES if each != ordinal]
    assert [result.ordinal for result in house.results(house.settle(*EDGES))] == others
    house.assert_ended(others)
    (result,) = house.results(house.send(functions.decideHold(house.id, ordinal, True), house.operator))
    assert (result.ordinal, result.outcome) == (ordinal, Outcome.ANNULLED)
    house.assert_ended(EDGES)
    house.assert_paid(others)


def test_the_bids_of_a_batch_take_the_cheap_way(house: LargeHouse) -> None:
    """Judged one by one each would cost a third more (PostingLane)."""
    assert house.posting_gas / SEATS < GAS_PER_BID


def test_the_bids_of_a_clearing_take_the_cheap_way(house: LargeHouse) -> None:
    """Nobody has posted twice, and nothing is rejected: no bid needs a look at the posts (Sweep)."""
    assert house.clearing_gas / SEATS < GAS_PER_CLEARED_BID


def test_the_awards_of_a_batch_take_the_cheap_way(house: LargeHouse) -> None:
    """Judged and booked one by one each would cost a third more (ReadingRun, PurchaseRun)."""
    assert house.settle(*BATCH)["gasUsed"] / len(BATCH) < GAS_PER_AWARD
