"""Clearing: the market computes the merit order and claims it; the contract proves it. Then verdict, result, expiry.

Anyone may clear and finalise; the market does it so that nobody has to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.chain.receipts import Receipt
from market.domain.errors import ContractRefused
from market.domain.hashing import keccak256
from market.domain.merit_order import Clearing, MeritCurve, claim_of, clear_greedy, merit_curve, without_rejected
from market.domain.products import Side
from market.domain.records import AwardRecord, BidRecord, PostedBid, pack_awards, pack_bids, rejected_positions
from market.services.market import Market, purpose_key
from market.services.signals import is_red
from market.store.books import EscrowMovement
from market.store.projections import FlexibilityRequest, GridVerdict, Offer, RequestInterval
from market.store.projections import PostedBid as PostedRow

log = structlog.get_logger(__name__)

# No record replayed, nothing summed: where the first chunk of a clearing starts.
_START: Final[tuple[Any, ...]] = (bytes(32), 0, 0, [], 0, [], 0, b"", [])


_RECLAIMED_WITHIN_S: Final = 7 * 86_400
"""How far back escrows are looked at for what is left [s]."""


@dataclass(frozen=True, slots=True)
class Auction:
    """What clearing an offer depends on, from the chain's own record."""

    offer: str
    side: Side
    quantity: int
    limit_price_ueur_kwh: int
    bids: tuple[PostedBid, ...]
    rejected: frozenset[int]
    rejected_bitmap: bytes
    cleared_again: bool

    def first_result(self) -> Clearing:
        """The result before the DSO's verdict."""
        return clear_greedy(self.quantity, self.side, self.bids)

    def result_again(self) -> Clearing:
        """The result without what the DSO rejected."""
        return clear_greedy(self.quantity, self.side, self.bids, self.rejected)

    def awards(self) -> tuple[AwardRecord, ...]:
        """The awards as they stand now."""
        if self.cleared_again:
            return self.result_again().awards
        return without_rejected(self.first_result().awards, self.rejected)

    def curve(self) -> MeritCurve:
        """The curve of the result as it stands: a verdict takes its awards away, also before it is cleared again."""
        if self.cleared_again:
            return merit_curve(self.quantity, self.side, self.limit_price_ueur_kwh, self.bids, self.rejected)
        curve = merit_curve(self.quantity, self.side, self.limit_price_ueur_kwh, self.bids)
        steps = tuple(
            replace(step, awarded=0, rejected=True) if step.position in self.rejected else step for step in curve.steps
        )
        return replace(curve, steps=steps, cut_quantity=sum(step.awarded for step in steps))


def auction_of(session: Session, offer: Offer) -> Auction:
    """The auction of an offer: its posted records and the verdict on it."""
    rows = session.scalars(select(PostedRow).where(PostedRow.offer == offer.offer).order_by(PostedRow.position))
    verdict = session.get(GridVerdict, offer.offer)
    bitmap = b"" if verdict is None else verdict.rejected
    return Auction(
        offer=offer.offer,
        side=Side(offer.side),
        quantity=offer.quantity,
        limit_price_ueur_kwh=offer.limit_price_ueur_kwh,
        bids=tuple(PostedBid(BidRecord.unpack(row.record), row.position) for row in rows),
        rejected=rejected_positions(bitmap),
        rejected_bitmap=bitmap,
        cleared_again=offer.cleared_again,
    )


def clear(market: Market, offer: str) -> None:
    """Clear an offer whose gate has closed."""
    auction = _auction(market, offer)
    _claim(market, auction, auction.first_result(), b"")


def clear_again(market: Market, offer: str) -> None:
    """Clear again without the awards that the DSO rejected, if it did."""
    auction = _auction(market, offer)
    if auction.rejected and not auction.cleared_again:
        _claim(market, auction, auction.result_again(), auction.rejected_bitmap)


def finalise(market: Market, offer: str) -> None:
    """Make a cleared result final, unless RED has frozen it."""
    with market.reading() as session:
        row = session.get_one(Offer, offer)
        if is_red(session, row):
            return
        auction = auction_of(session, row)
    awards = (auction.result_again() if auction.cleared_again else auction.first_result()).awards
    # Cleared again, the rejected ones are out already; else the contract leaves them out now.
    rejected = b"" if auction.cleared_again else auction.rejected_bitmap
    function = market.contracts.auction.functions.finalise(_bytes32(offer), pack_awards(awards), rejected)
    _relay(market, function, "finalise", offer)


def expire(market: Market, offer: str) -> None:
    """End an offer that was never cleared or that RED has frozen, and give its escrow back."""
    _relay(market, market.contracts.auction.functions.expireOffer(_bytes32(offer)), "expireOffer", offer)


def reclaim(market: Market) -> None:
    """Give the DSOs back what is left in the escrows of their requests for intervals that have begun."""
    with market.reading() as session:
        parts = session.execute(
            select(RequestInterval.request, RequestInterval.interval)
            .where(RequestInterval.interval.between(market.now_s() - _RECLAIMED_WITHIN_S, market.now_s()))
            .order_by(RequestInterval.interval, RequestInterval.request)
        ).all()
        left_ueur = _escrows_left_ueur(session, [_request_escrow(*part) for part in parts])
    left = [(request, interval) for request, interval in parts if left_ueur[_request_escrow(request, interval)]]
    for request, interval in left:
        try:
            reclaim_interval(market, request, interval)
        except ContractRefused as refusal:
            log.info("not done now", call="reclaimRequest", about=request, why=refusal.sentence, code=refusal.code)


def reclaim_interval(market: Market, request: str, interval: int) -> Receipt:
    """Give the DSO back what is left of a request's interval.

    Raises:
        ContractRefused: nothing is left, or offers can still be opened for it.
    """
    with market.reading() as session:
        moved = session.scalar(
            select(func.max(EscrowMovement.block)).where(EscrowMovement.to_id == _request_escrow(request, interval))
        )
    function = market.contracts.auction.functions.reclaimRequest(_bytes32(request), interval)
    # What came into the escrow since is another thing to reclaim.
    return market.relay(function, f"reclaimRequest:{purpose_key(request, interval, moved)}")


def _request_escrow(request: str, interval: int) -> str:
    """Id of the escrow: keccak256(abi.encode(request, interval))."""
    return "0x" + keccak256(_bytes32(request) + interval.to_bytes(32, "big")).hex()


def _escrows_left_ueur(session: Session, escrows: Sequence[str]) -> Counter[str]:
    """What is left in each of some escrows [micro-euro]."""
    left: Counter[str] = Counter()
    for column, sign in ((EscrowMovement.to_id, 1), (EscrowMovement.from_id, -1)):
        sums = select(column, func.sum(EscrowMovement.amount_ueur)).where(column.in_(escrows)).group_by(column)
        for escrow, amount_ueur in session.execute(sums):
            left[str(escrow)] += sign * int(amount_ueur)
    return left


def _auction(market: Market, offer: str) -> Auction:
    with market.reading() as session:
        return auction_of(session, session.get_one(Offer, offer))


def _claim(market: Market, auction: Auction, clearing: Clearing, rejected: bytes) -> None:
    claim = claim_of(clearing)
    function = market.contracts.auction.functions.clear(
        _bytes32(auction.offer),
        (claim.marginal, claim.marginal_quantity, list(claim.passed_over)),
        pack_bids(auction.bids),
        rejected,
        _START,
    )
    log.info(
        "clearing",
        offer=auction.offer,
        bids=len(auction.bids),
        awarded=clearing.awarded,
        asked=auction.quantity,
        again=bool(rejected),
    )
    _relay(market, function, "clear", auction.offer, rejected.hex())


def _relay(market: Market, function: Any, name: str, *key: object) -> None:
    """Send, unless the contract would refuse: another party may have done it, or RED has frozen the offer."""
    try:
        market.relay(function, f"{name}:{purpose_key(*key)}")
    except ContractRefused as refusal:
        log.info("not done now", call=name, about=key[0], why=refusal.sentence, code=refusal.code)


def _bytes32(value: str) -> bytes:
    return bytes.fromhex(value[2:])


def open_requests(session: Session, node: int, interval: int) -> Sequence[FlexibilityRequest]:
    """Requests of a node that cover an interval."""
    return session.scalars(
        select(FlexibilityRequest)
        .join(RequestInterval, RequestInterval.request == FlexibilityRequest.request)
        .where(FlexibilityRequest.node == node, RequestInterval.interval == interval)
    ).all()
