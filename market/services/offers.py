"""Offers as people see them: state, merit order, awards, and why a bid did not win."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.domain.errors import Category, MeritgridError
from market.domain.records import AwardRecord
from market.domain.settlement import Outcome
from market.domain.states import OfferState, OfferStatus
from market.services.access import Principal
from market.services.bids import api_closes_at, refusal_of
from market.services.clearing import Auction, auction_of
from market.services.market import Market
from market.services.roles import bidders_seen, is_bidder
from market.services.signals import reason_of
from market.store.facts import BidReceived, BidState
from market.store.projections import Award, Offer
from market.store.work import Dispatch

_SHOWN_RESULTS = (OfferStatus.CLEARED, OfferStatus.FINAL)


class UnknownOffer(MeritgridError):
    """No such offer."""

    def __init__(self, offer: str) -> None:
        super().__init__(
            "unknown-offer", "Unknown offer", f"There is no offer {offer}.", {"offer": offer}, Category.NOT_FOUND
        )


class NotClearedYet(MeritgridError):
    """There is no result yet; bids of others stay hidden until there is."""

    def __init__(self, offer: str) -> None:
        super().__init__(
            "not-cleared", "The offer is not cleared", "There is no result yet.", {"offer": offer}, Category.STATE
        )


def offer_of(session: Session, offer: str) -> Offer:
    """Raises UnknownOffer."""
    row = session.get(Offer, offer)
    if row is None:
        raise UnknownOffer(offer)
    return row


def state_of(session: Session, row: Offer, now_s: int) -> OfferState:
    """The state as people see it."""
    status = OfferStatus(row.status)
    if status is OfferStatus.OPEN and now_s > row.gate_closure:
        return OfferState.CLOSED
    if status is OfferStatus.FINAL:
        open_awards = session.scalar(
            select(func.count()).select_from(Award).where(Award.offer == row.offer, Award.outcome.is_(None))
        )
        return OfferState.FINAL if open_awards else OfferState.SETTLED
    return OfferState(status.name)


def find_offers(
    session: Session,
    *,
    status: str | None = None,
    node: int | None = None,
    portfolio: int | None = None,
    nanogrid: int | None = None,
    interval: int | None = None,
    limit: int = 100,
    after: str | None = None,
) -> Sequence[Offer]:
    """Offers by what they are about, in the order of their ids."""
    query = select(Offer).order_by(Offer.offer).limit(limit)
    if status is not None:
        query = query.where(Offer.status == int(OfferStatus[status]))
    if node is not None:
        query = query.where(Offer.node == node)
    if nanogrid is not None:
        portfolio = nanogrid >> 16
    if portfolio is not None:
        query = query.where(Offer.portfolio == portfolio)
    if interval is not None:
        query = query.where(Offer.interval == interval)
    if after is not None:
        query = query.where(Offer.offer > after)
    return session.scalars(query).all()


def offer_document(market: Market, session: Session, row: Offer) -> dict[str, Any]:
    result = auction_of(session, row).curve() if row.status in _SHOWN_RESULTS else None
    return {
        "id": row.offer,
        "portfolio": row.portfolio,
        "node": row.node,
        "request": row.request,
        "interval": row.interval,
        "side": row.side,
        "direction": row.direction,
        "product": row.product,
        "quantity": row.quantity,
        "limit_price_ueur_kwh": row.limit_price_ueur_kwh,
        "gate_closure": row.gate_closure,
        "api_closes_at": api_closes_at(market, row),
        "status": OfferStatus(row.status).name,
        "state": state_of(session, row, market.now_s()).value,
        "bid_count": row.bid_count,
        "opened_at": row.opened_at,
        "cleared_at": row.cleared_at,
        "final_at": row.finalised_at,
        "marginal_price_ueur_kwh": None if result is None else result.marginal_price_ueur_kwh,
        "awarded_quantity": None if result is None else result.cut_quantity,
    }


def merit_order_document(session: Session, row: Offer) -> dict[str, Any]:
    """The curve of a cleared offer. Raises NotClearedYet."""
    curve = _result(session, row).curve()
    return {
        "offer": row.offer,
        "interval": row.interval,
        "direction": row.direction,
        "product": row.product,
        "side": int(curve.side),
        "quantity": curve.quantity,
        "limit_price_ueur_kwh": curve.limit_price_ueur_kwh,
        "marginal_price_ueur_kwh": curve.marginal_price_ueur_kwh,
        "cut_quantity": curve.cut_quantity,
        "bids": [asdict(step) for step in curve.steps],
    }


def awards_of(session: Session, principal: Principal | None, row: Offer) -> list[dict[str, Any]]:
    """Awards of a cleared offer that concern the caller: all for the node's DSO and the aggregator, else its own.

    Raises:
        NotClearedYet: there is no result yet.
    """
    auction = _result(session, row)
    settled = {award.ordinal: award for award in session.scalars(select(Award).where(Award.offer == row.offer))}
    dispatches = {
        dispatch.ordinal: dispatch.state
        for dispatch in session.scalars(select(Dispatch).where(Dispatch.offer == row.offer))
    }
    own = bidders_seen(session, principal, row)
    return [
        _award_document(row, ordinal, award, settled.get(ordinal), dispatches.get(ordinal))
        for ordinal, award in enumerate(auction.awards())
        if own is None or (row.portfolio << 16 | award.index) in own
    ]


def explain(market: Market, session: Session, principal: Principal, row: Offer, digest: str) -> dict[str, Any]:
    """Why a bid won or did not: its rank, the marginal price, one sentence, and the DSO's reason if it rejected it.

    Raises:
        MeritgridError: no such bid of the caller; NotClearedYet.
    """
    bid = session.scalar(select(BidReceived).where(BidReceived.digest == digest, BidReceived.offer == row.offer))
    if bid is None or not is_bidder(session, principal, bid.nanogrid, bid.signer):
        raise MeritgridError("unknown-bid", "Unknown bid", f"You have no bid {digest}.", category=Category.NOT_FOUND)
    if bid.state != BidState.POSTED:
        return {
            "digest": digest,
            "state": bid.state,
            "reason": bid.reason,
            "refusal": refusal_of(market, bid),
            "text": _not_posted(bid),
        }
    auction = _result(session, row)
    curve = auction.curve()
    place = next((place for place, step in enumerate(curve.steps, 1) if step.position == bid.position), None)
    if place is None:
        text = "The bid was replaced by a later revision or taken back."
        return {"digest": digest, "state": bid.state, "rank": None, "text": text}
    step = curve.steps[place - 1]
    explanation = {
        "digest": digest,
        "state": bid.state,
        "rank": place,
        "of": len(curve.steps),
        "price_ueur_kwh": step.price_ueur_kwh,
        "marginal_price_ueur_kwh": curve.marginal_price_ueur_kwh,
    }
    if step.position in auction.rejected:  # from the verdict on, also before the offer is cleared again
        reason = reason_of(session, row.offer, step.position)
        return explanation | {"awarded": 0, "reason": reason, "text": _why_rejected(reason)}
    text = _why(step.awarded, step.quantity, step.passed_over, place, curve.marginal_price_ueur_kwh)
    return explanation | {"awarded": step.awarded, "reason": None, "text": text}


def bids_of(market: Market, session: Session, principal: Principal, row: Offer) -> list[dict[str, Any]]:
    """Received bids: one's own; all of them for the aggregator and the DSO once the gate has closed.

    One that was not posted although it has a receipt has the relayer's signed refusal.
    """
    everybody = market.now_s() > row.gate_closure and bidders_seen(session, principal, row) is None
    rows = session.scalars(select(BidReceived).where(BidReceived.offer == row.offer).order_by(BidReceived.id))
    return [
        {
            "digest": bid.digest,
            "nanogrid": bid.nanogrid,
            "index": bid.index,
            "price_ueur_kwh": bid.price_ueur_kwh,
            "quantity": bid.quantity,
            "minimum": bid.minimum,
            "revision": bid.revision,
            "state": bid.state,
            "reason": bid.reason,
            "refusal": refusal_of(market, bid),
            "position": bid.position,
            "received_at": bid.received_at,
        }
        for bid in rows
        if everybody or is_bidder(session, principal, bid.nanogrid, bid.signer)
    ]


def _result(session: Session, row: Offer) -> Auction:
    if row.status not in _SHOWN_RESULTS:
        raise NotClearedYet(row.offer)
    return auction_of(session, row)


def _award_document(
    row: Offer, ordinal: int, award: AwardRecord, settled: Award | None, dispatch_state: str | None
) -> dict[str, Any]:
    outcome = None if settled is None or settled.outcome is None else Outcome(settled.outcome).name
    return {
        "offer": row.offer,
        "ordinal": ordinal,
        "position": award.position,
        "nanogrid": row.portfolio << 16 | award.index,
        "index": award.index,
        "interval": row.interval,
        "price_ueur_kwh": award.price_ueur_kwh,
        "quantity": award.quantity,
        "outcome": outcome,
        "delivered": settled and settled.delivered,
        "baseline": settled and settled.baseline,
        "metered": settled and settled.metered,
        "paid_ueur": settled and settled.paid_ueur,
        "margin_ueur": settled and settled.margin_ueur,
        "refunded_ueur": settled and settled.refunded_ueur,
        "penalty_ueur": settled and settled.penalty_ueur,
        "dispatch_state": dispatch_state,
    }


def _not_posted(bid: BidReceived) -> str:
    return {
        BidState.RECEIVED: "The bid is received and will be posted just before the gate closes.",
        BidState.SKIPPED: f"The contract skipped the bid: {bid.reason}.",
        BidState.LATE: "The bid was not posted before the gate closed; the receipt and this reason stand.",
    }.get(BidState(bid.state), "The bid was taken back.")


def _why_rejected(reason: Any | None) -> str:
    if isinstance(reason, str):
        return f"The DSO rejected the award for the grid's sake: {reason.rstrip('.')}."
    return "The DSO rejected the award for the grid's sake; its reasons are published with the verdict."


def _why(awarded: int, quantity: int, passed_over: bool, place: int, marginal: int | None) -> str:
    if awarded == quantity:
        return f"The bid stands at place {place} and won whole."
    if awarded:
        return f"The bid stands at place {place}, at the margin, and won the {awarded} that were left."
    if passed_over:
        return f"At place {place} less was left than the bid's minimum, so that it was passed over."
    return f"At place {place} nothing was left; the last price that won is {marginal} micro-euro per kWh."
