"""What the tests of the auction do on the stage: baselines, signals, requests, offers, bids, clearing."""

from brownie import web3
from stage import EUR, NO_SIGNATURE, NODE, PORTFOLIO, U

from market.domain.merit_order import claim_of, clear_greedy
from market.domain.messages import Bid, Offer, Request, Signal
from market.domain.products import Side
from market.domain.records import BidRecord, PostedBid, pack_awards, pack_bids

CM_REALTIME, CM_CAPACITY, VC_REALTIME, VC_CAPACITY_Q, VC_EMERGENCY_P, INTERNAL = range(1, 7)
GREEN, YELLOW, RED = range(3)
BUY, SELL = range(2)
UP, DOWN = range(2)
NONE, OPEN, CLEARED, FINAL, CANCELLED, EXPIRED = range(6)
NO_REQUEST = bytes(32)
NO_PROGRESS = (bytes(32), 0, 0, [], 0, [], 0, b"", [])
REQUEST_PRICE, LIMIT_PRICE = 400_000, 300_000
REQUESTED, OFFERED = 2000, 1000
RATED_WH = 3 * 5000 * U // 3600
BOND = 800 * EUR


def fund(stage):
    """1000 EUR for the DSO and for the aggregator, a bond for each seat."""
    stage.deposit(stage.dso, 1000 * EUR)
    stage.deposit(stage.aggregator, 1000 * EUR)
    for index in range(3):
        stage.fund_bond(index, BOND)


class Room:
    """One interval's auctions on a funded stage. Steps to an open offer move the clock as the calendar has them."""

    def __init__(self, stage):
        self.stage, self.auction = stage, stage.auction
        self.interval = stage.interval
        self.sequence = 0
        self.bids = []

    def before(self, hundredths):
        """interval - u x hundredths / 100."""
        return self.stage.before(hundredths, self.interval)

    def at(self, hundredths):
        """Moves the clock to that long before the interval."""
        self.stage.at(self.before(hundredths))

    # THE WAY TO AN OFFER

    def anchor(self, kind=0, at=410):
        self.at(at)
        anchor = (PORTFOLIO, self.interval, kind, 3, b"\x01" * 32)
        self.stage.metering.anchorBaselines([anchor], {"from": self.stage.oracle})

    def signal(self, phase, interval=None):
        self.sequence += 1
        message = Signal(NODE, interval or self.interval, phase, 0, bytes(32), self.sequence)
        self.stage.signals.setSignal(message.arguments(), NO_SIGNATURE, {"from": self.stage.dso})

    def request(self, **changes):
        fields = {
            "node": NODE,
            "first_interval": self.interval,
            "product": CM_REALTIME,
            "direction": DOWN,
            "price_ueur_kwh": REQUEST_PRICE,
            "quantities": (REQUESTED,),
            "salt": 1,
        }
        return Request(**(fields | changes))

    def publish(self, request=None, sender=None):
        """Publishes on YELLOW at T - 3u; the request's id."""
        request = request or self.request()
        self.auction.publishRequest(request.arguments(), NO_SIGNATURE, {"from": sender or self.stage.dso})
        return self.id_of(request)

    def offer(self, **changes):
        """An answer to the request, or (request = NO_REQUEST) an INTERNAL offer."""
        is_internal = changes.get("request", b"") == NO_REQUEST
        fields = {
            "portfolio": PORTFOLIO,
            "request": self.id_of(self.request()),
            "interval": self.interval,
            "side": BUY,
            "direction": DOWN,
            "product": INTERNAL if is_internal else CM_REALTIME,
            "quantity": OFFERED,
            "limit_price_ueur_kwh": LIMIT_PRICE,
            "gate_closure": self.before(345 if is_internal else 140),
            "salt": 1,
        }
        return Offer(**(fields | changes))

    def ready(self):
        """Baselines anchored, YELLOW, the request published; T - 2.75u."""
        self.anchor()
        self.at(300)
        self.signal(YELLOW)
        request = self.publish()
        self.at(275)
        return request

    def open(self, **changes):
        """Opens an offer; its id."""
        offer = self.offer(**changes)
        self.auction.openOffer(offer.arguments(), NO_SIGNATURE, {"from": self.stage.aggregator})
        return self.id_of(offer)

    def opened(self, **changes):
        """All the way to an open offer that answers the request."""
        self.ready()
        return self.open(**changes)

    def opened_internally(self, **changes):
        self.anchor()
        self.at(400)
        return self.open(request=NO_REQUEST, **changes)

    def id_of(self, message):
        return message.digest(self.stage.domain(message))

    # BIDS

    def wire(self, offer, index, price=200_000, quantity=400, minimum=0, revision=0, signer=None, signed=None):
        """76 bytes of a bid; `signed`: fields of the signed message that differ from the record's."""
        fields = {
            "offer": offer,
            "index": index,
            "price_ueur_kwh": price,
            "quantity": quantity,
            "minimum": minimum,
            "revision": revision,
        }
        bid = Bid(**(fields | (signed or {})))
        word = ((((price << 1) << 2 | revision) << 24 | quantity) << 24 | minimum) << 16 | index
        signer = signer or self.stage.owners[min(index, 2)]
        return word.to_bytes(12, "big") + b"".join(self.stage.sign_compact(signer, bid))

    def post(self, offer, *wires):
        return self.auction.postBids(offer, b"".join(wires), {"from": self.stage.stranger})

    def bid(self, offer, index, price=200_000, quantity=400, minimum=0, revision=0):
        """Posts one bid, which must be accepted, and keeps it for the clearing."""
        transaction = self.post(offer, self.wire(offer, index, price, quantity, minimum, revision))
        assert "BidSkipped" not in transaction.events
        self.bids.append(PostedBid(BidRecord(price, quantity, minimum, index, revision), len(self.bids)))

    def skipped(self, offer, *wires):
        """Reasons why bids of a batch were skipped."""
        events = self.post(offer, *wires).events
        return [event["reason"] for event in events["BidSkipped"]] if "BidSkipped" in events else []

    # CLEARING

    def reference(self, quantity=OFFERED, side=Side.BUY, rejected=frozenset()):
        return clear_greedy(quantity, side, self.bids, rejected)

    def claim(self, clearing=None):
        claim = claim_of(clearing or self.reference())
        return claim.marginal, claim.marginal_quantity, list(claim.passed_over)

    def records(self):
        return pack_bids(self.bids)

    def clear(self, offer, clearing=None, rejected=b"", records=None, claim=None, progress=NO_PROGRESS):
        records = self.records() if records is None else records
        claim = claim or self.claim(clearing)
        return self.auction.clear(offer, claim, records, rejected, progress, {"from": self.stage.stranger})

    def awards(self, clearing=None):
        return pack_awards((clearing or self.reference()).awards)

    def finalise(self, offer, awards=None, rejected=b""):
        awards = self.awards() if awards is None else awards
        return self.auction.finalise(offer, awards, rejected, {"from": self.stage.stranger})

    def cleared(self):
        """Two bids of 400 and 900 Wh on 1000 Wh, cleared at gate closure; the offer."""
        offer = self.opened()
        self.bid(offer, 0, price=100_000, quantity=400)
        self.bid(offer, 1, price=200_000, quantity=900)
        self.at(140)
        self.clear(offer)
        return offer

    def verdict(self, offer, rejected):
        self.stage.signals.giveVerdict((offer, rejected, bytes(32)), NO_SIGNATURE, {"from": self.stage.dso})

    # MONEY

    def request_escrow(self, request, interval=None):
        interval = interval or self.interval
        key = web3.keccak(request + interval.to_bytes(32, "big"))
        return self.stage.settlement.escrowOf(key)

    def status(self, offer):
        return self.auction.stateOf(offer)["status"]
