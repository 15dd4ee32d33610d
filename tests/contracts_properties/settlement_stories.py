"""Whole settlements on a node: the stories that may happen to an auction, their steps, and the model of its books.

What is due follows from market.domain.settlement alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils import keccak
from hypothesis import strategies as st
from web3.contract.contract import ContractFunction
from web3.logs import DISCARD
from web3.types import TxReceipt

from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.merit_order import claim_of, clear_greedy
from market.domain.messages import Offer, Reading
from market.domain.products import Direction, Side
from market.domain.records import AwardRecord, BidRecord, PostedBid, pack_awards, pack_bids
from market.domain.settled_records import AwardResult, SettlementReading, pack_readings, unpack_results
from market.domain.settlement import (
    AwardSettlement,
    AwardTerms,
    collect_penalty,
    collect_sale,
    command_reserve_ueur,
    interrupted,
    settle_annulled,
    settle_award,
    settle_command,
    settle_hold_upheld,
    settle_missing,
    settle_revoked,
)
from market.domain.trees import award_proof, award_range, award_root, baseline_leaf, baseline_root, baseline_vector
from market.domain.typed_data import Domain
from tests.contracts_properties.auction_house import (
    BOND_UEUR,
    NO_SIGNATURE,
    PORTFOLIO,
    REQUEST_PRICE_UEUR_KWH,
    SEATS,
    AuctionHouse,
    U,
    is_reserved,
)

READ, READ_ALONE, MISSING, ANNULLED, UPHELD, DISMISSED = "read", "alone", "missing", "annulled", "upheld", "dismissed"


def gateway_key(index: int) -> GatewayKey:
    """A seat's gateway; every fourth has a P-256 key."""
    return GatewayKey.of(keccak(text=f"gateway {index}"), KeyKind.P256 if index % 4 == 3 else KeyKind.SECP256K1)


@dataclass
class Books:
    """What Settlement should owe to whom, in micro-euro."""

    dso: int
    aggregator: int
    seats: Counter[int] = field(default_factory=Counter)
    bonds: Counter[int] = field(default_factory=lambda: Counter(dict.fromkeys(range(SEATS), BOND_UEUR)))
    in_escrow: int = 0

    @property
    def total(self) -> int:
        return self.dso + self.aggregator + self.seats.total() + self.bonds.total() + self.in_escrow

    def end(self, terms: AwardTerms, index: int, settlement: AwardSettlement) -> None:
        """Books one award."""
        self.in_escrow -= settlement.reserve_ueur
        self.aggregator += settlement.margin_ueur
        if terms.side is Side.BUY:
            self.seats[index] += settlement.paid_ueur
        else:
            sale = collect_sale(settlement.paid_ueur, self.seats[index], self.bonds[index])
            assert sale.debt_ueur == 0
            self.seats[index] -= sale.from_balance_ueur
            self.bonds[index] -= sale.from_bond_ueur
            self.aggregator += settlement.paid_ueur
        penalty = collect_penalty(settlement.penalty_ueur, self.bonds[index])
        assert penalty.debt_ueur == 0
        self.bonds[index] -= penalty.from_bond_ueur
        self._pay_payer(terms, settlement.refunded_ueur + settlement.penalty_ueur)

    def _pay_payer(self, terms: AwardTerms, amount_ueur: int) -> None:
        if terms.request_price_ueur_kwh is None:
            self.aggregator += amount_ueur
        else:
            self.dso += amount_ueur


class SettlingHouse(AuctionHouse):
    """The auctions' house with gateways, a referee and the model of its books."""

    def prepare(self) -> None:
        for index in range(SEATS):
            seat_gateway = (PORTFOLIO << 16 | index, gateway_key(index).address)
            self.send(self.settlement.functions.setGateway(*seat_gateway), self.operator)
        self.send(self.registry.functions.grantRole(keccak(text="REFEREE"), self.operator), self.operator)
        functions = self.settlement.functions
        self.books = Books(functions.balanceOf(self.dso).call(), functions.balanceOf(self.aggregator).call())
        self.hold_bond_ueur: int = functions.holdBondUeur().call()
        self.reading_domain = Domain(self.web3.eth.chain_id, self.deployment.addresses["Settlement"])

    def assert_total(self) -> None:
        owed = self.settlement.functions.totalOwed().call()
        assert owed == self.books.total
        assert owed <= self.token.functions.balanceOf(self.settlement.address).call()

    def assert_balances(self, offer: bytes) -> None:
        """Every balance is the model's; nothing is left in the offer's escrow."""
        functions = self.settlement.functions
        assert functions.balanceOf(self.dso).call() == self.books.dso
        assert functions.balanceOf(self.aggregator).call() == self.books.aggregator
        assert functions.escrowOf(offer).call() == 0
        for index in range(SEATS):
            nanogrid = PORTFOLIO << 16 | index
            assert functions.seatBalance(nanogrid).call() == self.books.seats[index]
            assert functions.bondOf(nanogrid).call()[0] == self.books.bonds[index]

    def assert_told(self, receipt: TxReceipt, expected: Mapping[int, AwardSettlement]) -> None:
        """AwardsSettled names exactly these awards, by ordinal."""
        results = [
            result
            for event in self.settlement.events.AwardsSettled().process_receipt(receipt, errors=DISCARD)
            for result in unpack_results(event["args"]["results"])
        ]
        assert results == [
            AwardResult(ordinal, end.outcome, end.delivered, end.baseline or 0, end.metered or 0)
            for ordinal, end in sorted(expected.items())
        ]


@dataclass(frozen=True)
class Fate:
    """What becomes of an award: how it ends, and what is delivered if it is read."""

    end: str
    delivered: int


@dataclass(frozen=True)
class CommandGiven:
    """What a seat is told on RED while it delivers."""

    direction: Direction
    quantity: int


@dataclass(frozen=True)
class Story:
    """One auction and what happens after it."""

    side: Side
    direction: Direction
    quantity: int
    bids: tuple[PostedBid, ...]
    baselines: tuple[int, ...]
    fates: tuple[Fate, ...]
    red: bool
    red_in_delivery: bool
    """Leaves awards as they are; but commands may exist, so that the contract leaves its fast loop."""
    commands: tuple[CommandGiven | None, ...]
    """During delivery, if RED came only then: to the seats of the awards."""

    def commanded(self, ordinal: int) -> CommandGiven | None:
        """What interrupts an award."""
        return self.commands[ordinal] if self.red_in_delivery and not self.red else None


@st.composite
def stories(draw: st.DrawFn) -> Story:
    side = draw(st.sampled_from(Side))
    indices = draw(st.lists(st.integers(0, SEATS - 1), min_size=1, max_size=20, unique=True))
    bids = []
    for position, index in enumerate(indices):
        reserved = side is Side.BUY and is_reserved(index)
        record = BidRecord(draw(st.integers(1, 400_000)), draw(st.integers(1, 2500)), 0, index, 0, reserved)
        bids.append(PostedBid(record, position))
    ends = st.sampled_from([READ] * 8 + [READ_ALONE, MISSING, MISSING, ANNULLED, UPHELD, DISMISSED])
    given_commands = st.none() | st.builds(CommandGiven, st.sampled_from(Direction), st.integers(1, 3000))
    return Story(
        side=side,
        direction=draw(st.sampled_from(Direction)),
        quantity=draw(st.integers(1, sum(bid.record.quantity for bid in bids))),
        bids=tuple(bids),
        baselines=tuple(draw(st.lists(st.integers(-5000, 5000), min_size=SEATS, max_size=SEATS))),
        fates=tuple(Fate(draw(ends), draw(st.integers(-300, 2800))) for _ in bids),
        red=draw(st.integers(0, 9)) == 0,
        red_in_delivery=draw(st.integers(0, 3)) == 0,
        commands=tuple(draw(st.lists(given_commands, min_size=len(bids), max_size=len(bids)))),
    )


def settling(house: SettlingHouse) -> SettlingHouse:
    house.prepare()
    return house


def trade(house: SettlingHouse, story: Story) -> tuple[bytes, Offer, tuple[AwardRecord, ...]]:
    """Opens, posts, clears and finalises; the awards stand in the model's escrow."""
    id_, offer = house.open(story.side, story.quantity, int(story.direction), baseline_root(story.baselines))
    house.at(offer.gate_closure - U // 20)
    house.post(id_, [bid.record for bid in story.bids])
    house.at(offer.gate_closure)
    clearing = clear_greedy(story.quantity, story.side, story.bids)
    house.send(house.clear(id_, claim_of(clearing), pack_bids(story.bids)), house.anyone)
    house.at(house.auction.functions.finalAt(id_).call())
    house.send(house.auction.functions.finalise(id_, pack_awards(clearing.awards), b""), house.anyone)
    assert house.auction.functions.stateOf(id_).call().awardsRoot == award_root(clearing.awards)
    escrow = sum(terms_of(story, award).reserve_ueur for award in clearing.awards)
    assert house.settlement.functions.escrowOf(id_).call() == escrow
    house.books.in_escrow += escrow
    if offer.request != bytes(32):
        house.books.dso -= escrow
        reclaim(house, offer)
    else:
        house.books.aggregator -= escrow
    return id_, offer, clearing.awards


def reclaim(house: SettlingHouse, offer: Offer) -> None:
    """The DSO gets back what the offer did not award, and the rounding of its escrow."""
    house.at(house.before(95, offer.interval))
    escrow = keccak(offer.request + offer.interval.to_bytes(32, "big"))
    if house.settlement.functions.escrowOf(escrow).call():
        house.send(house.auction.functions.reclaimRequest(offer.request, offer.interval), house.anyone)


def terms_of(story: Story, award: AwardRecord) -> AwardTerms:
    price = REQUEST_PRICE_UEUR_KWH if story.side is Side.BUY else None
    return AwardTerms(story.side, story.direction, award.quantity, award.price_ueur_kwh, price)


def reading(house: SettlingHouse, story: Story, interval: int, award: AwardRecord, delivered: int) -> Reading:
    metered = story.baselines[award.index] - delivered * story.direction.sign
    return Reading(PORTFOLIO << 16 | award.index, interval, metered, 0, 1)


def award_reading(house: SettlingHouse, message: Reading, ordinal: int) -> SettlementReading:
    signature = gateway_key(message.nanogrid & 0xFFFF).sign_message(message, house.reading_domain)
    return SettlementReading(ordinal, message.active_energy_wh, 0, message.sequence, signature)


def annul(house: SettlingHouse, interval: int, award: AwardRecord) -> None:
    """Shows two readings that differ, and seats the gateway again for the next example."""
    nanogrid, key = PORTFOLIO << 16 | award.index, gateway_key(award.index)
    shown: list[Any] = []
    for energy in (1, 2):
        message = Reading(nanogrid, interval, energy, 0, 1)
        shown += [message.arguments(), key.sign_message(message, house.reading_domain)]
    house.send(house.metering.functions.annulReadings(*shown), house.anyone)
    house.send(house.settlement.functions.setGateway(nanogrid, key.address), house.operator)
    house.send(house.registry.functions.reinstateSeat(nanogrid), house.operator)


def hold(house: SettlingHouse, story: Story, offer: bytes, awards: Sequence[AwardRecord], ordinal: int) -> None:
    """The aggregator holds an award; the referee decides as its fate says."""
    award, upheld = awards[ordinal], story.fates[ordinal].end == UPHELD
    functions = house.settlement.functions
    given = award_range(awards, ordinal, ordinal).argument()
    house.send(functions.placeHold((offer, ordinal, bytes(32)), given, NO_SIGNATURE), house.aggregator)
    house.assert_total()
    house.send(functions.decideHold(offer, ordinal, upheld), house.operator)
    if not upheld:
        house.books.aggregator -= house.hold_bond_ueur
        house.books.seats[award.index] += house.hold_bond_ueur
        return
    terms = terms_of(story, award)
    house.books.end(terms, award.index, settle_hold_upheld(terms))
    charged = min(house.hold_bond_ueur, house.books.bonds[award.index])
    house.books.bonds[award.index] -= charged
    house.books.aggregator += charged


def settle(house: SettlingHouse, story: Story, id_: bytes, interval: int, awards: Sequence[AwardRecord]) -> None:
    """Readings of all awards whose fate is to be read, in one batch but for those that settle alone."""
    batch, told = [], {}
    binding = house.settlement.functions.bindingOf(id_).call()
    for ordinal, award in enumerate(awards):
        fate, terms = story.fates[ordinal], terms_of(story, award)
        message = reading(house, story, interval, award, fate.delivered)
        if fate.end in (READ, READ_ALONE, DISMISSED):
            told[ordinal] = settle_award(terms, story.baselines[award.index], message.active_energy_wh)
        elif fate.end == ANNULLED:
            told[ordinal] = settle_annulled(terms)
        if ordinal in told:
            told[ordinal] = settle_revoked(terms) if story.red else told[ordinal]
            if story.commanded(ordinal) and fate.end != ANNULLED:
                told[ordinal] = interrupted(told[ordinal])
                house.send(announced(house, message), house.anyone)
            house.books.end(terms, award.index, told[ordinal])
        if fate.end in (READ, DISMISSED, ANNULLED, UPHELD):  # an upheld one is skipped as settled
            batch.append(award_reading(house, message, ordinal))
        elif fate.end == READ_ALONE:
            baseline, leaf = baseline_leaf(story.baselines, award.index), award_range(awards, ordinal, ordinal)
            alone = award_reading(house, message, ordinal).pack()
            shown = (binding, baseline.values, leaf.awards, alone, award_proof(leaf, baseline))
            receipt = house.send(house.settlement.functions.settleAward(id_, *shown), house.oracle)
            house.assert_told(receipt, {ordinal: told.pop(ordinal)})
    flat, shown = baseline_vector(story.baselines), award_range(awards, 0, len(awards) - 1).argument()
    given = (id_, binding, flat, shown, pack_readings(batch))
    house.assert_told(house.send(house.settlement.functions.settle(*given), house.oracle), told)


def announced(house: SettlingHouse, message: Reading) -> ContractFunction:
    signature = gateway_key(message.nanogrid & 0xFFFF).sign_message(message, house.reading_domain)
    return house.metering.functions.announceReading(message.arguments(), signature)


def command(house: SettlingHouse, story: Story, interval: int, awards: Sequence[AwardRecord]) -> None:
    """Reserves what the DSO can pay of each command at its emergency price."""
    for ordinal, award in enumerate(awards):
        given = story.commanded(ordinal)
        if given is None:
            continue
        nanogrid = PORTFOLIO << 16 | award.index
        message = (nanogrid, interval, 5, int(given.direction), given.quantity, bytes(32))
        house.send(house.signals.functions.giveCommand(message, NO_SIGNATURE), house.dso)
        escrow = house.settlement.functions.commandEscrowId(nanogrid, interval).call()
        reserved = command_reserve_ueur(given.quantity, emergency_price(house, nanogrid), house.books.dso)
        assert house.settlement.functions.escrowOf(escrow).call() == reserved
        house.books.dso -= reserved
        house.books.in_escrow += reserved


def emergency_price(house: SettlingHouse, nanogrid: int) -> int:
    return int(house.registry.functions.seatOf(nanogrid).call().emergencyPriceUeurKwh)


def settle_commands(
    house: SettlingHouse, story: Story, id_: bytes, interval: int, awards: Sequence[AwardRecord]
) -> None:
    """Of awards that were read; what they are paid themselves is taken off. The others' commands expire."""
    functions = house.settlement.functions
    for ordinal, award in enumerate(awards):
        given, fate = story.commanded(ordinal), story.fates[ordinal]
        if given is None:
            continue
        nanogrid = PORTFOLIO << 16 | award.index
        emergency = emergency_price(house, nanogrid)
        reserve = functions.escrowOf(functions.commandEscrowId(nanogrid, interval).call()).call()
        if fate.end in (READ, READ_ALONE, DISMISSED):
            terms, message = terms_of(story, award), reading(house, story, interval, award, fate.delivered)
            end = settle_command(
                given.quantity, given.direction, emergency, reserve, house.books.dso,
                story.baselines[award.index], message.active_energy_wh, terms, has_begun=True,
            )  # fmt: skip
            baseline = baseline_leaf(story.baselines, award.index).argument()
            shown = award_reading(house, message, ordinal).argument()
            leaf = award_range(awards, ordinal, ordinal).argument()
            call = functions.settleCommand(nanogrid, interval, baseline, shown, id_, leaf)
            house.send(call, house.oracle)
            assert end.unpaid_ueur == 0
            house.books.seats[award.index] += end.paid_ueur
            house.books.dso += end.refunded_ueur - end.from_balance_ueur
        else:
            house.send(functions.expireCommand(nanogrid, interval), house.anyone)
            house.books.dso += reserve
        house.books.in_escrow -= reserve


def expire(house: SettlingHouse, story: Story, id_: bytes, awards: Sequence[AwardRecord]) -> None:
    shown = award_range(awards, 0, len(awards) - 1).argument()
    receipt = house.send(house.settlement.functions.expireAwards(id_, shown), house.anyone)
    told = {}
    for ordinal, award in enumerate(awards):
        if story.fates[ordinal].end == MISSING:
            terms = terms_of(story, award)
            told[ordinal] = settle_revoked(terms) if story.red else settle_missing(terms)
            if story.commanded(ordinal):
                told[ordinal] = interrupted(told[ordinal])
            house.books.end(terms, award.index, told[ordinal])
    house.assert_told(receipt, told)
