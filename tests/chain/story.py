"""Hours of a small market in which everything happens that moves money, for the indexer's tests."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select

from market.domain.hashing import keccak256
from market.domain.messages import CapacityContract, Command, Hold, SeatTransferVeto, Unbonding, Verdict, Withdrawal
from market.domain.products import Direction, Phase, Product, Side
from market.domain.records import BidRecord, rejected_bitmap
from market.domain.signing import address_of
from market.domain.trees import award_range, baseline_leaf
from market.store.database import read_scope
from market.store.models import CapacityContract as ContractRow
from tests.chain.world import EUR, NANOGRIDS, NO_REASON, NODE, Part, World, nanogrid, owner_key

NO_LEAF = (0, b"", [])
DEBTOR: Final = 2
"""The nanogrid whose bond goes for an award that is annulled, so that nothing is left for the next, which fails."""
LEAD_HUNDREDTHS: Final = 315
"""From the beginning to the first interval: the first offers are made 3.05 units before it."""


@dataclass
class Story:
    """Parts that go on side by side, each in intervals of its own, and what comes before and after them."""

    world: World
    first: int = 0

    # INTERVALS

    @property
    def commanded_interval(self) -> int:
        return self.first - 2 * self.world.unit_s

    @property
    def request_interval(self) -> int:
        """The request is for this one and the next."""
        return self.first

    @property
    def debt_interval(self) -> int:
        return self.first + 3 * self.world.unit_s

    @property
    def sale_interval(self) -> int:
        return self.first + 2 * self.world.unit_s

    @property
    def annulled_interval(self) -> int:
        """The debtor's award in it is annulled, and takes the bond that the one of `debt_interval` would need."""
        return self.first + self.world.unit_s

    @property
    def can_wait_for_months(self) -> bool:
        """Whether the clock is a simulated one: the availability of a month is paid when it is over."""
        return self.world.contracts.profile.single_node

    def month(self) -> int:
        """The one that begins next, counted from the year 0."""
        today = datetime.fromtimestamp(self.world.now(), UTC)
        return today.year * 12 + today.month

    # THE WHOLE

    def tell(self) -> None:
        world = self.world
        active_from = world.next_interval(100)
        world.register(active_from)
        self.fund()
        self.begin_unbonding()
        self.reserve_capacity()
        self.first = world.next_interval(LEAD_HUNDREDTHS, active_from)
        self.anchor()
        world.play([self.answer_a_request(), self.command(), self.sell_internally(), self.run_into_debt()])
        self.pay_debts()
        self.take_money_out()
        world.indexer.index_now()

    def fund(self) -> None:
        """The debtor's bond is as much as an upheld hold takes."""
        self.world.fund(bonds_ueur={DEBTOR: self.world.contracts.deployment.parameters.hold_bond_ueur})

    def anchor(self) -> None:
        """Baselines of all parts, but for intervals that parts before them have left."""
        world = self.world
        intervals = range(self.commanded_interval, self.debt_interval + 1, world.unit_s)
        world.anchor_all([each for each in intervals if each not in world.baselines], [0] * NANOGRIDS)

    def begin_unbonding(self) -> None:
        """Nanogrid 1 takes a part of its bond out: it gets it at the end."""
        unbond(self.world, 1, 30 * EUR)

    def reserve_capacity(self) -> None:
        """Nanogrid 3 is reserved for the next month."""
        contract = CapacityContract(nanogrid(3), Product.CM_CAPACITY, self.month(), 1, 2000, 3, 1)
        self.world.decide(self.world.contracts.capacity.functions.registerContract, contract, "dso")

    # SIDE BY SIDE

    def answer_a_request(self) -> Part:
        """Revisions, a withdrawal, skipped bids, a verdict, holds, and readings of all kinds."""
        world, at, following = self.world, self.first, self.first + self.world.unit_s
        yield world.before(at, 300)
        world.signal(at, Phase.YELLOW, 1)
        world.signal(following, Phase.YELLOW, 2)
        request = world.request(at, [3000, 2000])
        yield world.before(at, 275)
        offer = world.offer(at, 2600, request)
        self.bid_with_revisions(offer)
        yield world.before(at, 170)  # the internal auction of that interval is over
        cancelled = world.offer(following, 500, request)
        world.send("aggregator", world.contracts.auction.functions.cancelOffer(cancelled, b""))
        yield world.before(at, 140)
        awards = world.clear(offer)
        verdict = Verdict(offer, rejected_bitmap([]), NO_REASON)
        world.decide(world.contracts.signals.functions.giveVerdict, verdict, "dso")
        world.finalise(offer, awards)
        yield at
        for interval in (at, following):  # what no offer has accepted of both intervals goes back
            world.send("stranger", world.contracts.auction.functions.reclaimRequest(request, interval))
        yield at + world.unit_s + 1
        self.hold(offer, awards, ordinal=0, by="dso")
        readings = {0: 400, 1: 900, 3: 700}
        world.settle(offer, at, awards, readings)
        world.send("referee", world.contracts.settlement.functions.decideHold(offer, 0, False))
        world.settle(offer, at, awards, readings)

    def bid_with_revisions(self, offer: bytes) -> None:
        bids = [
            BidRecord(100_000, 900, 0, 0),
            BidRecord(120_000, 1000, 0, 1),
            BidRecord(90_000, 800, 0, 2),
            BidRecord(80_000, 700, 0, 3),
            BidRecord(110_000, 1000, 0, 0, revision=1),
            BidRecord(90_000, 0, 0, 2, revision=1),
        ]
        world = self.world
        wrong = [world.wire(offer, BidRecord(80_000, 700, 0, 3, revision=0), key=owner_key(0))]
        world.post(offer, [world.wire(offer, bid) for bid in bids[:4]] + wrong)
        world.post(offer, [world.wire(offer, bid) for bid in bids[4:]])

    def hold(self, offer: bytes, awards: bytes, ordinal: int, by: str) -> None:
        world = self.world
        message = Hold(offer, ordinal, NO_REASON)
        function = world.contracts.settlement.functions.placeHold
        given = award_range(awards, ordinal, ordinal).argument()
        world.send("relayer", function(message.arguments(), given, world.sign(world.keys[by], message)))

    def sell_internally(self) -> Part:
        """The aggregator sells: the bidders pay, one from its balance and its bond, and one is held and annulled."""
        world, at = self.world, self.sale_interval
        yield world.before(at, 405)
        offer = world.offer(at, 1500, side=Side.SELL)
        bids = [BidRecord(200_000, 900, 0, 0), BidRecord(150_000, 900, 0, 3)]
        world.post(offer, [world.wire(offer, bid) for bid in bids])
        yield world.before(at, 345)
        awards = world.clear(offer)
        yield world.before(at, 305) + 1  # a second after the last for the verdict
        world.finalise(offer, awards)
        yield at + world.unit_s + 1
        self.hold(offer, awards, ordinal=1, by="aggregator")
        world.send("referee", world.contracts.settlement.functions.decideHold(offer, 1, True))
        world.settle(offer, at, awards, {0: 850})

    def command(self) -> Part:
        """RED: two commands, of which the DSO's deposit pays one and a part; its next deposit pays the rest."""
        world, at = self.world, self.commanded_interval
        settlement = world.contracts.settlement.functions
        yield world.before(at, 20)  # the request has its escrow, and gives nothing back before its interval
        left_ueur = world.contracts.call(settlement.balanceOf(world.address("dso"))) - EUR
        world.decide(settlement.withdraw, Withdrawal(world.address("dso"), left_ueur, 0), "dso")
        world.signal(at, Phase.RED, 1)
        for index in (0, 1):
            quantity = 2500 + 500 * index
            message = Command(nanogrid(index), at, Product.VC_EMERGENCY_P, Direction.DOWN, quantity, NO_REASON)
            world.decide(world.contracts.signals.functions.giveCommand, message, "dso")
        yield at + world.unit_s + 1
        for index in (0, 1):
            given = baseline_leaf(world.baselines[at], index).argument()
            reading = world.reading(index, at, 2000).argument()
            settled = settlement.settleCommand(nanogrid(index), at, given, reading, bytes(32), NO_LEAF)
            world.send("oracle", settled)
        token = world.contracts.token.functions
        world.send("dso", token.approve(world.contracts.settlement.address, 50 * EUR))
        world.send("dso", settlement.deposit(world.address("dso"), 50 * EUR))

    def run_into_debt(self) -> Part:
        """A hold that is upheld takes the debtor's bond; then no reading comes, and nothing is left for the penalty."""
        world, at = self.world, self.debt_interval
        settlement = world.contracts.settlement.functions
        annulled = yield from self.award_debtor(self.annulled_interval)
        awards = yield from self.award_debtor(at)
        self.hold(*annulled, ordinal=0, by="aggregator")
        world.send("referee", settlement.decideHold(annulled[0], 0, True))
        yield at + world.contracts.deployment.parameters.reading_deadline_s + 2
        expire = settlement.expireAwards(awards[0], award_range(awards[1], 0, 0).argument())
        world.send("stranger", expire)
        world.send("stranger", expire)  # skipped: it is settled

    def award_debtor(self, at: int) -> Generator[int, None, tuple[bytes, bytes]]:
        """An offer and its one award, of as much as the debtor's bond covers."""
        world = self.world
        yield world.before(at, 405)
        offer = world.offer(at, 1000, limit_price_ueur_kwh=500_000)
        world.post(offer, [world.wire(offer, BidRecord(400_000, 1000, 0, DEBTOR))])
        yield world.before(at, 345)
        awards = world.clear(offer)
        yield world.before(at, 305) + 1
        world.finalise(offer, awards)
        return offer, awards

    # AFTERWARDS

    def pay_debts(self) -> None:
        """The debtor owes and is suspended, and a new bond pays the debt first."""
        world, settlement = self.world, self.world.contracts.settlement.functions
        assert world.contracts.call(settlement.seatDebt(nanogrid(DEBTOR))) > 0
        token = world.contracts.token.functions
        world.send("operator", token.mint(world.address("operator"), 200 * EUR, keccak256(b"bank 2")))
        world.send("operator", token.approve(world.contracts.settlement.address, 200 * EUR))
        world.send("operator", settlement.fundBond(nanogrid(DEBTOR), 100 * EUR))
        world.send("operator", world.contracts.registry.functions.reinstateSeat(nanogrid(DEBTOR)))

    def take_money_out(self) -> None:
        """Availability, a seat's balance, the part of a bond that was taken out, a new owner and a burn."""
        world = self.world
        settlement, registry = world.contracts.settlement.functions, world.contracts.registry.functions
        if self.can_wait_for_months:
            self.pay_availability()
        world.send("stranger", settlement.payOut(nanogrid(1)))
        _, _, available_at = world.contracts.call(settlement.bondOf(nanogrid(1)))
        world.at(max(available_at, world.now() + 1))
        world.send("stranger", settlement.withdrawBond(nanogrid(1)))
        world.give_nanogrid(3, owner_key(3), address_of(owner_key(9)))
        announced = [registry.announceSeatTransfer(nanogrid(index), world.address("stranger")) for index in (1, DEBTOR)]
        world.send_all("operator", announced)
        veto = SeatTransferVeto(nanogrid(DEBTOR), 0)
        world.send("stranger", registry.vetoSeatTransfer(veto.arguments(), world.sign(owner_key(DEBTOR), veto)))
        closing = [
            registry.closeSeat(nanogrid(0), world.next_interval(700)),
            registry.setPaused(NODE, 0, True),
            registry.revokeRole(keccak256(b"REFEREE"), world.address("referee")),
            world.contracts.token.functions.burn(1, keccak256(b"bank 3")),
        ]
        world.send_all("operator", closing)

    def pay_availability(self) -> None:
        """A month later."""
        world, month = self.world, self.month()
        year, place = divmod(month + 1, 12)
        (contract,) = self.capacity_contracts()
        world.at(int(datetime(year, place + 1, 2, tzinfo=UTC).timestamp()))
        world.send("stranger", world.contracts.capacity.functions.payAvailability(contract, month))

    def capacity_contracts(self) -> list[bytes]:
        """Ids of the capacity contracts, by their events."""
        self.world.indexer.index_now()
        with read_scope(self.world.engine) as session:
            return [bytes.fromhex(id_[2:]) for id_ in session.scalars(select(ContractRow.id))]


def unbond(world: World, index: int, amount_ueur: int) -> None:
    message = Unbonding(nanogrid(index), amount_ueur, 0)
    signature = world.sign(owner_key(index), message)
    world.send("relayer", world.contracts.settlement.functions.startUnbonding(message.arguments(), signature))
