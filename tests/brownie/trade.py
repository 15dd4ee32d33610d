"""A trade on the stage: an offer whose auction is final, its awards, and the readings that settle it.

Seats 0, 1 and 2 bid 100, 200 and 300 Wh in increasing price; 450 Wh are wanted, so seat 2 wins 150 Wh. With SELL the
order of prices is turned, and so of the awards' sizes: 300, 150 of 200 and none.
"""

from stage import EUR, NO_SIGNATURE, NODE, PORTFOLIO, U

from market.domain.hashing import keccak256
from market.domain.merit_order import claim_of, clear_greedy
from market.domain.messages import Bid, Offer, Reading, Request
from market.domain.products import Direction, Kind, Product, Side
from market.domain.records import BidRecord, PostedBid, pack_awards, pack_bids
from market.domain.settled_records import SettlementReading, pack_readings, unpack_results
from market.domain.settlement import AwardTerms
from market.domain.trees import award_proof, award_range, baseline_leaf, baseline_root, baseline_vector

REQUEST_PRICE_UEUR_KWH = 200_000
BIDS = ((100, 100_000), (200, 120_000), (300, 150_000))
"""Quantity [Wh] and price [micro-euro per kWh] of each seat."""
BASELINES = (500, -800, 0)
"""Of each seat in the interval. [Wh]"""
WANTED = 450
NO_PROGRESS = (bytes(32), 0, 0, [], 0, [], 0, b"", [])
SETTLED_AT = 133
"""Hundredths of u after the interval's start."""


OTHER_ENERGY = 7777
"""What a reading says of the kind of energy that is not traded; it must not count."""


class Trade:
    """A final offer. With `direction` DOWN delivering means withdrawing more than the baseline. With VC_REALTIME all
    energies are reactive [varh]."""

    def __init__(
        self,
        stage,
        side=Side.BUY,
        internal=False,
        bond_ueur=20 * EUR,
        bids=BIDS,
        direction=Direction.DOWN,
        interval=None,
        product=Product.CM_REALTIME,
    ):
        self.stage, self.side, self.internal, self.direction = stage, side, internal, direction
        self.interval = interval or stage.interval
        self.product = Product.INTERNAL if internal else product
        for account in (stage.dso, stage.aggregator):
            stage.deposit(account, 100 * EUR)
        for index in range(len(BIDS)):
            if bond_ueur:
                stage.fund_bond(index, bond_ueur)
        self._anchor()
        self._offer(bids, WANTED)
        self._post(bids)
        self._finish(WANTED)

    # HOW IT COMES ABOUT

    def _anchor(self):
        stage = self.stage
        stage.at(stage.before(410, self.interval))
        anchor = (PORTFOLIO, self.interval, self.product.kind, len(BASELINES), baseline_root(BASELINES))
        stage.metering.anchorBaselines([anchor], {"from": stage.oracle})

    def _offer(self, bids, wanted):
        stage = self.stage
        request = bytes(32)
        if not self.internal:
            stage.at(stage.before(300, self.interval))
            stage.signals.setSignal((NODE, self.interval, 1, 0, bytes(32), 1), NO_SIGNATURE, {"from": stage.dso})
            asked = Request(NODE, self.interval, self.product, self.direction, REQUEST_PRICE_UEUR_KWH, (wanted,), 0)
            stage.auction.publishRequest(asked.arguments(), NO_SIGNATURE, {"from": stage.dso})
            request = asked.digest(stage.domain(asked))
        stage.at(stage.before(400 if self.internal else 275, self.interval))
        prices = [price for _, price in bids]
        self.offer = Offer(
            portfolio=PORTFOLIO,
            request=request,
            interval=self.interval,
            side=self.side,
            direction=self.direction,
            product=self.product,
            quantity=wanted,
            limit_price_ueur_kwh=max(prices) if self.side is Side.BUY else min(prices),
            gate_closure=stage.before(345 if self.internal else 140, self.interval),
            salt=0,
        )
        stage.auction.openOffer(self.offer.arguments(), NO_SIGNATURE, {"from": stage.aggregator})
        self.id = self.offer.digest(stage.domain(self.offer))

    def _post(self, bids):
        stage = self.stage
        stage.at(self.offer.gate_closure - U // 20)
        self.posted, wire = [], b""
        for index, (quantity, price) in enumerate(bids):
            record = BidRecord(price, quantity, 0, index)
            message = Bid(self.id, index, price, quantity, 0, 0)
            wire += record.pack(signed=True) + b"".join(stage.sign_compact(stage.owners[index], message))
            self.posted.append(PostedBid(record, index))
        stage.auction.postBids(self.id, wire, {"from": stage.stranger})
        assert stage.auction.stateOf(self.id)[1] == len(bids)

    def _finish(self, wanted):
        stage, by_anyone = self.stage, {"from": self.stage.stranger}
        stage.at(self.offer.gate_closure)
        clearing = clear_greedy(wanted, self.side, self.posted)
        claim = claim_of(clearing)
        claimed = (claim.marginal, claim.marginal_quantity, list(claim.passed_over))
        stage.auction.clear(self.id, claimed, pack_bids(self.posted), b"", NO_PROGRESS, by_anyone)
        self.awards = clearing.awards
        stage.at(stage.auction.finalAt(self.id))
        stage.auction.finalise(self.id, pack_awards(self.awards), b"", by_anyone)

    # WHAT SETTLES IT

    def ordinal(self, index):
        """Place of a seat's award among the awards."""
        return [award.index for award in self.awards].index(index)

    def award(self, index):
        return self.awards[self.ordinal(index)]

    def terms(self, index):
        """What the reference settles by."""
        return self.terms_of(self.ordinal(index))

    def terms_of(self, ordinal):
        award = self.awards[ordinal]
        price = None if self.internal else REQUEST_PRICE_UEUR_KWH
        return AwardTerms(self.side, self.direction, award.quantity, award.price_ueur_kwh, price)

    @property
    def range(self):
        """All awards: they stand in one leaf."""
        return award_range(self.awards, 0, len(self.awards) - 1).argument()

    @property
    def binding(self):
        """What a settlement rests on."""
        return self.stage.settlement.bindingOf(self.id)

    @property
    def baselines(self):
        return baseline_vector(BASELINES)

    def metered(self, index, delivered):
        """Energy at the meter of a seat that delivers so much. [Wh]"""
        return BASELINES[index] - delivered if self.direction is Direction.UP else BASELINES[index] + delivered

    def message(self, index, delivered, sequence=1):
        nanogrid = self.stage.seat(index)
        metered = self.metered(index, delivered)
        energies = (OTHER_ENERGY, metered) if self.product.kind is Kind.REACTIVE else (metered, OTHER_ENERGY)
        return Reading(nanogrid, self.interval, *energies, sequence)

    def reading(self, index, delivered, sequence=1, gateway=None):
        """A reading signed by the seat's gateway, for the seat's award."""
        message = self.message(index, delivered, sequence)
        signature = self.stage.sign_as_gateway(gateway or self.stage.gateways[index], message)
        energies = message.active_energy_wh, message.reactive_energy_varh
        return SettlementReading(self.ordinal(index), *energies, sequence, signature)

    def settle(self, *delivered, sender=None, readings=None, packed=None, **others):
        """Settles by readings of (index, delivered); the verifier sends them. others: wrong arguments."""
        if readings is None:
            readings = [self.reading(index, energy) for index, energy in delivered]
        given = {"binding": self.binding, "baselines": self.baselines, "awards": self.range, **others}
        by = {"from": sender or self.stage.oracle}
        packed = pack_readings(readings) if packed is None else packed
        return self.stage.settlement.settle(self.id, *given.values(), packed, by)

    def settle_award(self, index, delivered, sender=None, **others):
        """Settles one award with its proofs. others: wrong arguments."""
        leaf, baseline = (
            award_range(self.awards, self.ordinal(index), self.ordinal(index)),
            baseline_leaf(BASELINES, index),
        )
        given = {
            "binding": self.binding,
            "baselines": baseline.values,
            "awards": leaf.awards,
            "reading": self.reading(index, delivered).pack_alone(),
            "proof": award_proof(leaf, baseline),
            **others,
        }
        return self.stage.settlement.settleAward(self.id, *given.values(), {"from": sender or self.stage.oracle})

    def announce(self, index, delivered, sequence=1):
        message = self.message(index, delivered, sequence)
        signature = self.stage.sign_as_gateway(self.stage.gateways[index], message)
        self.stage.metering.announceReading(message.arguments(), signature, {"from": self.stage.stranger})

    def expire(self):
        return self.stage.settlement.expireAwards(self.id, self.range, {"from": self.stage.stranger})

    @staticmethod
    def results(transaction):
        """How awards ended in a transaction."""
        events = transaction.events
        told = events["AwardsSettled"] if "AwardsSettled" in events else []  # noqa: SIM401 -- Brownie's have no get()
        return [result for event in told for result in unpack_results(bytes(event["results"]))]

    def to_settling(self):
        """Moves the clock to the planned settlement."""
        self.stage.at(self.interval + U * SETTLED_AT // 100)

    @property
    def deadline(self):
        return self.interval + self.stage.settlement.readingDeadlineS()


def annul(trade, index):
    """The gateway's two readings that differ are shown."""
    stage = trade.stage
    first, second = trade.message(index, 10), trade.message(index, 20, sequence=2)
    gateway = stage.gateways[index]
    stage.metering.annulReadings(
        first.arguments(),
        stage.sign_as_gateway(gateway, first),
        second.arguments(),
        stage.sign_as_gateway(gateway, second),
        {"from": stage.stranger},
    )


def set_red(stage, sequence=2, kind=0, interval=None):
    signal = (NODE, interval or stage.interval, 2, kind, keccak256(b"red"), sequence)
    stage.signals.setSignal(signal, NO_SIGNATURE, {"from": stage.dso})


def assert_books_balance(stage, *offers, commands=(), holds=()):
    """Everything that Settlement owes by its getters is its total, and not above the tokens that it holds."""
    settlement = stage.settlement
    accounts = (stage.dso, stage.other_dso, stage.aggregator, stage.oracle, stage.referee, stage.stranger)
    owed = sum(settlement.balanceOf(account) for account in accounts)
    for index in range(3):
        bond, unbonding, _ = settlement.bondOf(stage.seat(index))
        owed += settlement.seatBalance(stage.seat(index)) + bond + unbonding
    owed += sum(settlement.escrowOf(offer) for offer in offers)
    owed += sum(settlement.escrowOf(settlement.commandEscrowId(*command)) for command in commands)
    owed += len(holds) * settlement.holdBondUeur()
    assert owed == settlement.totalOwed() <= stage.token.balanceOf(settlement)
