"""Bids: received with a signed receipt at once, posted together just before the gate closes.

A bid's receipt promises that it is posted, or that a signed reason is kept. The order of posting is that of receipt
time and digest, and of the revisions of each nanogrid, so that nobody can choose a place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from market import checkpoints
from market.checkpoints import BidPoint
from market.domain.calendar import Moment
from market.domain.errors import (
    BadSignature,
    BidRejection,
    Category,
    ContractRefused,
    MeritgridError,
    ValidationFailed,
    Violation,
    bid_refused,
    contract_error,
)
from market.domain.messages import Bid, BidReceipt, BidRefusal
from market.domain.products import Product, Side
from market.domain.records import BidRecord, WireBid, pack_wire_bids
from market.domain.settlement import exposure_ueur, is_covered
from market.domain.signing import Signature, recover_message, sign_message
from market.domain.states import OfferStatus
from market.domain.units import MAX_PRICE_UEUR_KWH, MAX_QUANTITY, MIN_PRICE_UEUR_KWH
from market.services.access import NotAllowed, Principal, Scope
from market.services.decisions import audit
from market.services.market import Market, purpose_key
from market.services.notices import hold_notices, note_bid
from market.services.signals import is_red
from market.store.books import BaselineAnchor
from market.store.facts import Baseline, BidReceived, BidState
from market.store.projections import Award, Nanogrid, Offer, PostedBid, SkippedBid

log = structlog.get_logger(__name__)

BATCH: Final = 400
"""Bids posted in one transaction."""
MAX_POSTS: Final = 3
_WORD_BYTES: Final = 32
_SECONDS_A_DAY: Final = 86_400
_SECONDS_AN_HOUR: Final = 3600
_LIVE: Final = (BidState.RECEIVED, BidState.POSTED)


class OfferClosed(MeritgridError):
    """The market takes no more bids for an offer."""

    def __init__(self, offer: str, why: str) -> None:
        super().__init__("offer-closed", "The offer takes no bids", why, {"offer": offer}, Category.STATE)


@dataclass(frozen=True, slots=True)
class BidResult:
    """What became of one bid of a call: a receipt, or why it was refused."""

    digest: str | None
    receipt: Mapping[str, Any] | None
    refusal: MeritgridError | None


def receive(market: Market, principal: Principal, offer_id: str, bids: Sequence[Mapping[str, Any]]) -> list[BidResult]:
    """Check bids, write those that are right, and answer each with a signed receipt or its refusal.

    A bid that was received before gets its receipt, also when the offer takes none any more: the answer may be lost.

    Raises:
        OfferClosed: the offer is not open, or the API's closing time is over; none of the bids was received before.
        NotAllowed: the key may not bid.
    """
    principal.require(Scope.BIDS)
    now_s = market.now_s()
    results = []
    with market.sessions() as session:
        offer = _offer(session, offer_id)
        closed = _closed(market, session, offer, now_s)
        if closed is not None:
            return _received_before(market, session, principal, offer, bids, closed)
        for bid in bids:
            try:
                results.append(_receive_once(market, session, principal, offer, bid, now_s))
            except MeritgridError as refusal:
                results.append(BidResult(None, None, refusal))
        session.flush()
        checkpoints.passed(BidPoint.WRITTEN)
    checkpoints.passed(BidPoint.RECEIVED)
    return results


def _receive_once(
    market: Market, session: Session, principal: Principal, offer: Offer, fields: Mapping[str, Any], now_s: int
) -> BidResult:
    """One bid, also when another process receives it, or another of its revision, at this moment."""
    try:
        with session.begin_nested():
            return _receive_one(market, session, principal, offer, fields, now_s)
    except (IntegrityError, MeritgridError):
        # Stored by another process meanwhile, this bid has its receipt; another bid of its revision is refused.
        return _receive_one(market, session, principal, offer, fields, now_s)


def _offer(session: Session, offer_id: str) -> Offer:
    offer = session.get(Offer, offer_id)
    if offer is None:
        raise MeritgridError(
            "unknown-offer", "Unknown offer", f"There is no offer {offer_id}.", category=Category.NOT_FOUND
        )
    return offer


def _closed(market: Market, session: Session, offer: Offer, now_s: int) -> MeritgridError | None:
    """Why an offer takes no bids; None when it does."""
    if is_red(session, offer):
        return contract_error("NodeIsRed", {"node": offer.node, "interval": offer.interval})
    if offer.status != OfferStatus.OPEN:
        return OfferClosed(offer.offer, f"The offer is {OfferStatus(offer.status).name}.")
    closes_at = api_closes_at(market, offer)
    if now_s > closes_at:
        return OfferClosed(
            offer.offer, f"The market took bids until {closes_at}; it is {now_s}. Post directly on the chain."
        )
    return None


def _received_before(
    market: Market,
    session: Session,
    principal: Principal,
    offer: Offer,
    bids: Sequence[Mapping[str, Any]],
    closed: MeritgridError,
) -> list[BidResult]:
    """Receipts of those that were received; raises `closed` where there is none among them."""
    results = []
    for fields in bids:
        try:
            known = _known(market, session, _signed(market, principal, offer, fields))
        except MeritgridError as refusal:
            results.append(BidResult(None, None, refusal))
        else:
            results.append(known or BidResult(None, None, closed))
    if all(result.receipt is None for result in results):
        raise closed
    return results


def api_closes_at(market: Market, offer: Offer) -> int:
    """Until when the API takes bids of an offer [epoch s]: a tenth of u before the gate closes."""
    return market.calendar.for_gate(Moment.API_CLOSES, offer.gate_closure, internal=offer.request is None)


@dataclass(frozen=True, slots=True)
class _Signed:
    """A bid as it came, and who has signed it."""

    bid: Bid
    nanogrid: int
    digest: str
    signature: Signature
    signer: str


def _signed(market: Market, principal: Principal, offer: Offer, fields: Mapping[str, Any]) -> _Signed:
    """Raises NotAllowed, BadSignature."""
    bid = Bid(
        offer=bytes.fromhex(offer.offer[2:]),
        index=fields["index"],
        price_ueur_kwh=fields["price_ueur_kwh"],
        quantity=fields["quantity"],
        minimum=fields["minimum"],
        revision=fields["revision"],
    )
    digest = "0x" + bid.digest(market.domain(bid)).hex()
    nanogrid_id = offer.portfolio << 16 | bid.index
    if principal.nanogrid is not None and principal.nanogrid != nanogrid_id:
        raise NotAllowed(f"This key is for nanogrid {principal.nanogrid}, the bid is for {nanogrid_id}.")
    signature = Signature.from_hex(str(fields["signature"]))
    return _Signed(bid, nanogrid_id, digest, signature, recover_message(bid, market.domain(bid), signature))


def _known(market: Market, session: Session, signed: _Signed) -> BidResult | None:
    """The receipt of a bid that was received before; nobody else learns that there is such a bid."""
    row = session.scalar(select(BidReceived).where(BidReceived.digest == signed.digest))
    if row is None or row.signer != signed.signer:
        return None
    return BidResult(signed.digest, _receipt(market, row), None)


def _receive_one(
    market: Market, session: Session, principal: Principal, offer: Offer, fields: Mapping[str, Any], now_s: int
) -> BidResult:
    signed = _signed(market, principal, offer, fields)
    known = _known(market, session, signed)
    if known is not None:
        return known
    bid, digest, signer = signed.bid, signed.digest, signed.signer
    _require_valid(market, session, offer, bid, signed.nanogrid, signer, now_s)
    row = BidReceived(
        offer=offer.offer,
        nanogrid=signed.nanogrid,
        index=bid.index,
        interval=offer.interval,
        price_ueur_kwh=bid.price_ueur_kwh,
        quantity=bid.quantity,
        minimum=bid.minimum,
        revision=bid.revision,
        signature=signed.signature.compact(),
        signer=signer,
        digest=digest,
        received_at=now_s,
        receipt_signature=_sign_receipt(market, offer.offer, digest, now_s),
        state=BidState.RECEIVED,
        reason=None,
        position=None,
    )
    note_bid(session, row, BidState.RECEIVED, now_s)
    session.add(row)
    audit(session, now_s, signer, "bid received", "offer", offer.offer, nanogrid=signed.nanogrid, digest=digest)
    session.flush()
    return BidResult(digest, _receipt(market, row), None)


def _sign_receipt(market: Market, offer: str, digest: str, now_s: int) -> bytes:
    receipt = BidReceipt(bytes.fromhex(digest[2:]), bytes.fromhex(offer[2:]), now_s)
    return sign_message(market.relayer_key, receipt, market.domain(receipt)).to_bytes()


def _receipt(market: Market, row: BidReceived) -> dict[str, Any]:
    return {
        "bid_digest": row.digest,
        "offer": row.offer,
        "received_at": row.received_at,
        "signature": "0x" + row.receipt_signature.hex(),
        "relayer": market.relayer.address,
    }


def _refuse(market: Market, bid: BidReceived, reason: str, now_s: int) -> None:
    """Take a promise back, with a reason that its bidder can show to anybody."""
    refusal = BidRefusal(
        bytes.fromhex(bid.digest[2:]), bytes.fromhex(bid.offer[2:]), reason.encode().ljust(_WORD_BYTES, b"\0"), now_s
    )
    bid.state, bid.reason, bid.refused_at = BidState.LATE, reason, now_s
    bid.refusal_signature = sign_message(market.relayer_key, refusal, market.domain(refusal)).to_bytes()


def refusal_of(market: Market, bid: BidReceived) -> dict[str, Any] | None:
    """The signed refusal of a bid that was not posted; None for any other."""
    if bid.refusal_signature is None:
        return None
    return {
        "bid_digest": bid.digest,
        "offer": bid.offer,
        "reason": bid.reason,
        "decided_at": bid.refused_at,
        "signature": "0x" + bid.refusal_signature.hex(),
        "relayer": market.relayer.address,
    }


def _require_valid(
    market: Market, session: Session, offer: Offer, bid: Bid, nanogrid_id: int, signer: str, now_s: int
) -> None:
    """Check a bid as the contract will.

    Raises:
        BidRefused, ValidationFailed, BadSignature: what the contract would skip it for; ranges all at once.
    """
    seat = session.get(Nanogrid, nanogrid_id)
    if seat is None:
        raise bid_refused(BidRejection.SEAT_NOT_ACTIVE, nanogrid=nanogrid_id, interval=offer.interval)
    _require_ranges(offer, bid)
    is_delegate = signer == seat.signer and seat.signer != seat.owner
    if signer not in (seat.signer, seat.owner):
        raise BadSignature(
            f"The bid is signed by {signer}, who is neither the seated signer nor the owner.", signer=signer
        )
    active_until = seat.active_until if seat.active_until is not None else 2**63
    if seat.suspended or not seat.active_from <= offer.interval < active_until:
        raise bid_refused(BidRejection.SEAT_NOT_ACTIVE, nanogrid=nanogrid_id, interval=offer.interval)
    _require_revision(session, offer, bid, nanogrid_id, signer == seat.owner)
    if is_delegate and now_s // _SECONDS_A_DAY > seat.signer_expiry_day:
        raise bid_refused(BidRejection.DELEGATE_EXPIRED, expiry_day=seat.signer_expiry_day)
    if bid.quantity:
        _require_baseline(session, offer, bid, nanogrid_id)
        _require_limits(market, seat, bid, signer == seat.signer, Side(offer.side))
        if session.scalar(_sold(nanogrid_id, offer)):
            raise bid_refused(BidRejection.ALREADY_SOLD, nanogrid=nanogrid_id, interval=offer.interval)


def _require_ranges(offer: Offer, bid: Bid) -> None:
    wrong = []
    if not MIN_PRICE_UEUR_KWH <= bid.price_ueur_kwh <= MAX_PRICE_UEUR_KWH:
        wrong.append(
            Violation("/price_ueur_kwh", bid.price_ueur_kwh, f"must be {MIN_PRICE_UEUR_KWH} … {MAX_PRICE_UEUR_KWH}")
        )
    if bid.quantity > MAX_QUANTITY:
        wrong.append(Violation("/quantity", bid.quantity, f"must be at most {MAX_QUANTITY}"))
    if bid.quantity == 0 and bid.revision == 0:
        wrong.append(Violation("/quantity", 0, "must be at least 1; only a revision may withdraw"))
    if bid.minimum > bid.quantity:
        wrong.append(Violation("/minimum", bid.minimum, f"must not be above the quantity {bid.quantity}"))
    if wrong:
        raise ValidationFailed(wrong)
    limit = offer.limit_price_ueur_kwh
    beyond = bid.price_ueur_kwh > limit if offer.side == Side.BUY else bid.price_ueur_kwh < limit
    if bid.quantity and beyond:
        raise bid_refused(BidRejection.PRICE_BEYOND_LIMIT, price_ueur_kwh=bid.price_ueur_kwh, limit=limit)


def _require_revision(session: Session, offer: Offer, bid: Bid, nanogrid_id: int, is_owner: bool) -> None:
    received = session.scalar(
        select(func.count())
        .select_from(BidReceived)
        .where(BidReceived.offer == offer.offer, BidReceived.nanogrid == nanogrid_id, BidReceived.state.in_(_LIVE))
    )
    posted = session.scalar(
        select(func.count())
        .select_from(PostedBid)
        .where(PostedBid.offer == offer.offer, PostedBid.nanogrid == nanogrid_id)
    )
    expected = max(received or 0, posted or 0)
    if bid.revision != expected or expected >= MAX_POSTS:
        raise bid_refused(BidRejection.WRONG_REVISION, revision=bid.revision, expected=expected)
    if bid.revision == MAX_POSTS - 1 and (bid.quantity or not is_owner):
        raise bid_refused(BidRejection.OWNER_SIGNATURE_REQUIRED, revision=bid.revision)


def _require_baseline(session: Session, offer: Offer, bid: Bid, nanogrid_id: int) -> None:
    """What has no baseline in the anchored vector could be neither dispatched nor settled."""
    key = (offer.portfolio, offer.interval, int(Product(offer.product).kind))
    anchor, nominated = session.get(BaselineAnchor, key), session.get(Baseline, key)
    is_beyond = anchor is not None and bid.index >= anchor.count
    if is_beyond or (nominated is not None and nominated.value_of(bid.index) is None):
        raise bid_refused(BidRejection.SEAT_NOT_ACTIVE, nanogrid=nanogrid_id, interval=offer.interval)


def _require_limits(market: Market, seat: Nanogrid, bid: Bid, is_seated: bool, side: Side) -> None:
    cover_cents = seat.signer_cover_cents if is_seated else seat.cover_cents
    swing = 2 * seat.rated_power_w * market.calendar.time_unit_s // _SECONDS_AN_HOUR
    largest_quantity = seat.largest_quantity if is_seated else swing
    if bid.quantity > largest_quantity:
        raise bid_refused(BidRejection.QUANTITY_OUT_OF_RANGE, quantity=bid.quantity, largest_quantity=largest_quantity)
    if is_seated and side is Side.BUY and bid.price_ueur_kwh < seat.lowest_price_ueur_kwh:
        raise bid_refused(
            BidRejection.PRICE_BELOW_DELEGATE_LIMIT,
            price_ueur_kwh=bid.price_ueur_kwh,
            lowest_price_ueur_kwh=seat.lowest_price_ueur_kwh,
        )
    if not is_covered(bid.quantity, bid.price_ueur_kwh, cover_cents):
        raise bid_refused(
            BidRejection.BEYOND_COVER,
            exposure_ueur=exposure_ueur(bid.quantity, bid.price_ueur_kwh),
            cover_cents=cover_cents,
        )


def _sold(nanogrid_id: int, offer: Offer) -> Any:
    return select(Award.offer).where(
        Award.nanogrid == nanogrid_id,
        Award.interval == offer.interval,
        Award.kind == Product(offer.product).kind,
    )


def post(market: Market, offer: str) -> None:
    """Post the received bids of an offer, in batches; then note what the chain made of them."""
    with market.reading() as session:
        groups = _batches(_in_order(session, offer))
    for group in groups:
        wire = pack_wire_bids(_wire(bid) for bid in group)
        function = market.contracts.auction.functions.postBids(bytes.fromhex(offer[2:]), wire)
        key = purpose_key("post", offer, *(bid.digest for bid in group))
        try:
            market.relay(function, f"post:{key}")
            checkpoints.passed(BidPoint.POSTED)
        except ContractRefused as refusal:  # closed, paused or RED meanwhile: `end_promises` tells the bidders
            log.warning("bids not posted", offer=offer, bids=len(group), why=refusal.sentence)
    record_posted(market, offer)


def _in_order(session: Session, offer: str) -> list[BidReceived]:
    """Received bids by receipt time and digest, with each nanogrid's revisions in their sequence."""
    rows = session.scalars(
        select(BidReceived)
        .where(BidReceived.offer == offer, BidReceived.state == BidState.RECEIVED)
        .order_by(BidReceived.received_at, BidReceived.digest)
    ).all()
    by_revision: dict[int, list[BidReceived]] = defaultdict(list)
    for row in rows:
        by_revision[row.revision].append(row)
    session.expunge_all()
    return [row for revision in sorted(by_revision) for row in by_revision[revision]]


def _batches(rows: Sequence[BidReceived]) -> list[Sequence[BidReceived]]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _wire(bid: BidReceived) -> WireBid:
    record = BidRecord(bid.price_ueur_kwh, bid.quantity, bid.minimum, bid.index, bid.revision)
    return WireBid(record, bid.signature)


def record_posted(market: Market, offer: str) -> None:
    """Note for each received bid of an offer whether the chain accepted it, skipped it, or never saw it."""
    with market.sessions() as session:
        accepted = {
            _content(row): row.position for row in session.scalars(select(PostedBid).where(PostedBid.offer == offer))
        }
        skipped = {
            _content(row): BidRejection(row.reason).name
            for row in session.scalars(select(SkippedBid).where(SkippedBid.offer == offer))
        }
        waiting = session.scalars(
            select(BidReceived).where(BidReceived.offer == offer, BidReceived.state == BidState.RECEIVED)
        )
        for bid in waiting:
            place = _content(bid)
            if place in accepted:
                bid.state, bid.position = BidState.POSTED, accepted[place]
            elif place in skipped:
                bid.state, bid.reason = BidState.SKIPPED, skipped[place]
    checkpoints.passed(BidPoint.RECORDED)


def _content(bid: BidReceived | PostedBid | SkippedBid) -> tuple[int, ...]:
    """What makes a record of an offer this one and no other."""
    return (bid.nanogrid, bid.revision, bid.price_ueur_kwh, bid.quantity, bid.minimum)


def end_promises(market: Market) -> None:
    """Bids that wait although their offer takes none any more are late; the reason is kept for their bidder.

    It takes none when it was cleared, cancelled or has expired. That the gate's time is over is not enough: a node that
    is behind, or a chain that stood still, may show bids later that were in time.
    """
    with market.reading() as session:
        offers = session.scalars(
            select(BidReceived.offer)
            .join(Offer, Offer.offer == BidReceived.offer)
            .where(BidReceived.state == BidState.RECEIVED, Offer.status != int(OfferStatus.OPEN))
            .distinct()
        ).all()
    for offer in offers:
        _end_promises_of(market, offer)


def _end_promises_of(market: Market, offer: str) -> None:
    record_posted(market, offer)
    with market.sessions() as session:
        row = session.get_one(Offer, offer)
        reason = "NODE_IS_RED" if is_red(session, row) else "GATE_CLOSED"
        if row.status == OfferStatus.CANCELLED:
            reason = "OFFER_CANCELLED"
        hold_notices(session)
        now_s = market.now_s()
        late = session.scalars(
            select(BidReceived)
            .where(BidReceived.offer == offer, BidReceived.state == BidState.RECEIVED)
            .with_for_update()
        )
        for bid in late.all():
            _refuse(market, bid, reason, now_s)
            note_bid(session, bid, BidState.LATE, now_s)
    checkpoints.passed(BidPoint.REFUSED)
