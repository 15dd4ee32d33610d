"""Events of the MeritOrderAuction."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from market.chain.bindings import Event
from market.chain.indexer.projecting import RECORD_BYTES, ZERO_HASH, Projecting, given, on
from market.domain.products import Product
from market.domain.records import AwardRecord, BidRecord
from market.domain.states import OfferStatus
from market.store.models import (
    Award,
    FlexibilityRequest,
    Offer,
    Portfolio,
    PostedBid,
    RequestInterval,
    SkippedBid,
)

_CONTRACT: Final = "MeritOrderAuction"
_INDEX_BITS: Final = 16
_NOTHING_MARGINAL: Final = 2**64 - 1


@on(_CONTRACT, "RequestPublished")
def _publish_request(run: Projecting, event: Event) -> None:
    quantities: list[int] = event["quantities"]
    run.session.add(
        FlexibilityRequest(
            request=event["request"],
            node=event["node"],
            dso=event["dso"],
            first_interval=event["firstInterval"],
            interval_count=len(quantities),
            product=event["product"],
            direction=event["direction"],
            price_ueur_kwh=event["priceUeurKwh"],
            escrow_ueur=event["escrowUeur"],
            published_at=event.block_time,
            transaction=event.transaction,
        )
    )
    for place, quantity in enumerate(quantities):
        if quantity:
            interval = event["firstInterval"] + place * run.time_unit_s
            run.session.add(RequestInterval(request=event["request"], interval=interval, quantity=quantity, accepted=0))


@on(_CONTRACT, "RequestReclaimed")
def _reclaim_request(run: Projecting, event: Event) -> None:
    part = run.session.get_one(RequestInterval, (event["request"], event["interval"]))
    part.reclaimed_ueur = (part.reclaimed_ueur or 0) + event["amountUeur"]


@on(_CONTRACT, "OfferOpened")
def _open_offer(run: Projecting, event: Event) -> None:
    portfolio = run.session.get_one(Portfolio, event["portfolio"])
    offer = Offer(
        offer=event["offer"],
        portfolio=portfolio.portfolio,
        node=portfolio.node,
        aggregator=portfolio.aggregator,
        request=given(event["request"]),
        interval=event["interval"],
        side=event["side"],
        direction=event["direction"],
        product=event["product"],
        kind=Product(event["product"]).kind,
        quantity=event["quantity"],
        limit_price_ueur_kwh=event["limitPriceUeurKwh"],
        gate_closure=event["gateClosure"],
        opened_at=event.block_time,
        transaction=event.transaction,
        status=OfferStatus.OPEN,
        bid_count=0,
        skipped_count=0,
        chain=ZERO_HASH,
        cleared_again=False,
    )
    run.session.add(offer)
    _accept(run, offer, offer.quantity)


def _accept(run: Projecting, offer: Offer, quantity: int) -> None:
    """Count a part of a request as accepted by an offer, or (below 0) as free again."""
    if offer.request is not None:
        run.session.get_one(RequestInterval, (offer.request, offer.interval)).accepted += quantity


def _end(run: Projecting, event: Event, status: OfferStatus) -> None:
    offer = run.session.get_one(Offer, event["offer"])
    offer.status, offer.ended_at = status, event.block_time
    _accept(run, offer, -offer.quantity)


@on(_CONTRACT, "OfferCancelled")
def _cancel_offer(run: Projecting, event: Event) -> None:
    _end(run, event, OfferStatus.CANCELLED)


@on(_CONTRACT, "OfferExpired")
def _expire_offer(run: Projecting, event: Event) -> None:
    _end(run, event, OfferStatus.EXPIRED)


def _records(data: str) -> list[bytes]:
    raw = bytes.fromhex(data[2:])
    return [raw[at : at + RECORD_BYTES] for at in range(0, len(raw), RECORD_BYTES)]


@on(_CONTRACT, "BidsPosted")
def _post_bids(run: Projecting, event: Event) -> None:
    offer = run.session.get_one(Offer, event["offer"])
    records = [BidRecord.unpack(raw) for raw in _records(event["records"])]
    seats = {offer.portfolio << _INDEX_BITS | record.index for record in records}
    earlier = run.session.scalars(
        select(PostedBid).where(
            PostedBid.offer == offer.offer, PostedBid.nanogrid.in_(seats), PostedBid.counts.is_(True)
        )
    )
    last = {bid.nanogrid: bid for bid in earlier}
    for place, record in enumerate(records):
        nanogrid = offer.portfolio << _INDEX_BITS | record.index
        if nanogrid in last:
            last[nanogrid].counts = False
        bid = PostedBid(
            offer=offer.offer,
            position=event["firstPosition"] + place,
            record=record.pack(),
            nanogrid=nanogrid,
            index=record.index,
            price_ueur_kwh=record.price_ueur_kwh,
            quantity=record.quantity,
            minimum=record.minimum,
            revision=record.revision,
            reserved=record.reserved,
            counts=not record.is_withdrawal,
            posted_at=event.block_time,
            transaction=event.transaction,
        )
        last[nanogrid] = bid
        run.session.add(bid)
    offer.bid_count = event["firstPosition"] + len(records)
    offer.chain = event["chain"]


@on(_CONTRACT, "BidSkipped")
def _skip_bid(run: Projecting, event: Event) -> None:
    offer = run.session.get_one(Offer, event["offer"])
    word: int = event["record"]  # as it was posted: any of its values may be out of range
    index = word & 0xFFFF
    run.session.add(
        SkippedBid(
            block=event.block,
            log_index=event.log_index,
            offer=offer.offer,
            record=word.to_bytes(RECORD_BYTES, "big"),
            nanogrid=offer.portfolio << _INDEX_BITS | index,
            index=index,
            price_ueur_kwh=word >> 67,
            quantity=word >> 40 & 0xFFFFFF,
            minimum=word >> 16 & 0xFFFFFF,
            revision=word >> 64 & 3,
            reason=event["reason"],
            skipped_at=event.block_time,
            transaction=event.transaction,
        )
    )
    offer.skipped_count += 1


@on(_CONTRACT, "Cleared")
def _clear(run: Projecting, event: Event) -> None:
    offer = run.session.get_one(Offer, event["offer"])
    offer.status = OfferStatus.CLEARED
    offer.marginal_rank = None if event["marginal"] == _NOTHING_MARGINAL else event["marginal"]
    offer.awarded = event["awarded"]
    offer.award_count = event["awardCount"]
    offer.awards_root = event["awardsRoot"]
    offer.cleared_at = event.block_time
    offer.cleared_again = event["again"]


@on(_CONTRACT, "Finalised")
def _finalise(run: Projecting, event: Event) -> None:
    offer = run.session.get_one(Offer, event["offer"])
    awards = [AwardRecord.unpack(raw) for raw in _records(event["awards"])]
    offer.status = OfferStatus.FINAL
    offer.awarded = sum(award.quantity for award in awards)
    offer.award_count = len(awards)
    offer.awards_root = event["awardsRoot"]
    offer.finalised_at = event.block_time
    offer.escrow_ueur = event["escrowUeur"]
    offer.freed_ueur = event["freedUeur"]
    _accept(run, offer, offer.awarded - offer.quantity)
    for ordinal, award in enumerate(awards):
        run.session.add(
            Award(
                offer=offer.offer,
                ordinal=ordinal,
                position=award.position,
                record=award.pack(),
                nanogrid=offer.portfolio << _INDEX_BITS | award.index,
                index=award.index,
                interval=offer.interval,
                kind=offer.kind,
                price_ueur_kwh=award.price_ueur_kwh,
                quantity=award.quantity,
                reserved=award.reserved,
                final_at=event.block_time,
            )
        )
