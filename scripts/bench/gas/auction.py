"""One auction of our design on the node, step by step: each step gives what its transactions took.

This module alone knows how the auction is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from market.domain.claim_check import check_chunk
from market.domain.merit_order import Claim, Clearing, claim_of, posts_by_index
from market.domain.messages import Bid, Offer, Request, Signal, Verdict
from market.domain.products import Direction, Phase, Product, Side
from market.domain.records import AwardRecord, BidRecord, PostedBid, WireBid, pack_awards, pack_bids, pack_wire_bids
from market.domain.records import rejected_bitmap as bitmap_of
from market.domain.trees import baseline_root
from scripts.bench.gas.node import BeyondTransaction, GasBenchError, Sent, batches
from scripts.bench.gas.scene import FIRST_INTERVAL, NODE, REQUEST_PRICE_UEUR_KWH, Portfolio, Scene, U, owner_key

SPACING: Final = 8 * U
"""Between the intervals of two auctions, so that their calendars do not overlap. [s]"""
BATCH: Final = 400
BASELINE_WH: Final = 1_500
_NO_PROGRESS: Final[tuple[Any, ...]] = (bytes(32), 0, 0, [], 0, [], 0, b"", [])


@dataclass
class Auction:
    """An offer that is open, its bids and what has become of it.

    opened: gas of the decisions that opened it, by name.
    """

    scene: Scene
    portfolio: Portfolio
    offer: Offer
    id: bytes
    bids: Sequence[PostedBid]
    clearing: Clearing
    opened: dict[str, int]
    awards: tuple[AwardRecord, ...] = field(default=())

    @property
    def side(self) -> Side:
        """BUY or SELL."""
        return Side(self.offer.side)

    # POSTING

    def wire(self, record: BidRecord, key: bytes) -> WireBid:
        """A bid as its signer sends it."""
        bid = Bid(self.id, record.index, record.price_ueur_kwh, record.quantity, record.minimum, record.revision)
        return WireBid(record, self.scene.sign(key, bid).compact())

    def post(self, wire: Sequence[WireBid], batch: int = BATCH) -> list[Sent]:
        """Posts bids in batches just before gate closure; GasBenchError when the contract skips one."""
        self.scene.node.at(self.offer.gate_closure - U // 20)
        before = self.bid_count()
        sent = [
            self.scene.node.send(self.scene.relayer, self.scene.auction, "postBids", self.id, pack_wire_bids(part))
            for part in batches(wire, batch)
        ]
        if self.bid_count() - before != len(wire):
            raise GasBenchError(f"of {len(wire)} bids the contract took {self.bid_count() - before}")
        return sent

    def post_all(self, batch: int = BATCH) -> list[Sent]:
        """Posts the auction's bids, each signed by its owner."""
        return self.post([self.wire(bid.record, owner_key(bid.record.index)) for bid in self.bids], batch)

    def bid_count(self) -> int:
        """Accepted posts so far."""
        return int(self.scene.auction.functions.stateOf(self.id).call().bidCount)

    # CLEARING

    def clear(
        self, clearing: Clearing | None = None, rejected: frozenset[int] = frozenset(), chunks: int = 1
    ) -> list[Sent]:
        """Claims a clearing (the auction's), in one transaction or more; the awards are then the reference's."""
        self.scene.node.at(max(self.offer.gate_closure, self.scene.node.now()))
        clearing = clearing or self.clearing
        claim, posts, progress = claim_of(clearing), posts_by_index(self.bids), None
        sent = []
        for chunk in batches(self.bids, -(-len(self.bids) // chunks)):
            given = _NO_PROGRESS if progress is None else progress.argument()
            sent.append(self._send_chunk(claim, chunk, rejected, given))
            if chunks > 1:
                progress, _ = check_chunk(self.side, claim, chunk, posts, rejected, progress)
        self.awards = clearing.awards
        return sent

    def clear_in_few(self) -> list[Sent]:
        """Clears in as few transactions as it takes, found by trying."""
        for chunks in range(1, len(self.bids) + 1):
            try:
                return self.clear(chunks=chunks)
            except BeyondTransaction:
                continue
        raise GasBenchError("not even a single bid clears in one transaction")

    def _send_chunk(
        self, claim: Claim, chunk: Sequence[PostedBid], rejected: frozenset[int], progress: tuple[Any, ...]
    ) -> Sent:
        arguments = clear_arguments(self.id, claim, chunk, rejected, progress)
        return self.scene.node.send(self.scene.relayer, self.scene.auction, "clear", *arguments)

    def give_verdict(self, rejected: frozenset[int]) -> Sent:
        """The DSO's verdict on the awards."""
        verdict = Verdict(self.id, bitmap_of(rejected), bytes(32))
        return self.scene.relay(self.scene.signals, "giveVerdict", verdict, self.scene.dso.key)

    def finalise(self, rejected: frozenset[int] = frozenset()) -> Sent:
        """Makes the result final. rejected: what nobody has cleared again without."""
        final_at = self.scene.auction.functions.finalAt(self.id).call()
        self.scene.node.at(max(final_at, self.scene.node.now()))
        packed = pack_awards(self.awards)
        sent = self.scene.node.send(
            self.scene.relayer, self.scene.auction, "finalise", self.id, packed, bitmap_of(rejected)
        )
        self.awards = tuple(award for award in self.awards if award.position not in rejected)
        return sent


def clear_arguments(
    offer: bytes,
    claim: Claim,
    chunk: Sequence[PostedBid],
    rejected: frozenset[int] = frozenset(),
    progress: tuple[Any, ...] = _NO_PROGRESS,
) -> tuple[Any, ...]:
    """What `clear` takes."""
    claimed = (claim.marginal, claim.marginal_quantity, list(claim.passed_over))
    return offer, claimed, pack_bids(chunk), bitmap_of(rejected), progress


def open_auction(scene: Scene, portfolio: Portfolio, bids: Sequence[PostedBid], clearing: Clearing) -> Auction:
    """Opens an offer for the clearing's quantity in an interval that no auction had before.

    BUY answers a request of the DSO in the direction UP; SELL is INTERNAL.
    """
    is_buy = clearing.side is Side.BUY
    interval = _free_interval(scene)
    scene.node.at(interval - 410 * U // 100)
    anchor = (portfolio.number, interval, 0, portfolio.seats, baseline_root([BASELINE_WH] * portfolio.seats))
    opened = {"anchor_baseline": scene.node.send(scene.oracle, scene.metering, "anchorBaselines", [anchor]).gas}
    request = _publish_request(scene, interval, clearing.quantity, opened) if is_buy else bytes(32)
    offer = Offer(
        portfolio=portfolio.number,
        request=request,
        interval=interval,
        side=clearing.side,
        direction=Direction.UP,
        product=Product.CM_REALTIME if is_buy else Product.INTERNAL,
        quantity=clearing.quantity,
        limit_price_ueur_kwh=REQUEST_PRICE_UEUR_KWH if is_buy else 1,
        gate_closure=interval - (140 if is_buy else 345) * U // 100,
        salt=0,
    )
    scene.node.at(interval - (275 if is_buy else 400) * U // 100)
    opened["open_offer"] = scene.relay(scene.auction, "openOffer", offer, scene.aggregator.key).gas
    return Auction(scene, portfolio, offer, scene.id_of(offer), bids, clearing, opened)


def _publish_request(scene: Scene, interval: int, quantity: int, opened: dict[str, int]) -> bytes:
    scene.node.at(interval - 3 * U)
    signal = Signal(NODE, interval, Phase.YELLOW, 0, bytes(32), 1)
    opened["set_signal"] = scene.relay(scene.signals, "setSignal", signal, scene.dso.key).gas
    request = Request(NODE, interval, Product.CM_REALTIME, Direction.UP, REQUEST_PRICE_UEUR_KWH, (quantity,), 0)
    opened["publish_request"] = scene.relay(scene.auction, "publishRequest", request, scene.dso.key).gas
    return scene.id_of(request)


def _free_interval(scene: Scene) -> int:
    """An interval far enough from now, at which no auction of this scene was."""
    return max(FIRST_INTERVAL, -(-scene.node.now() // U) * U + SPACING)
