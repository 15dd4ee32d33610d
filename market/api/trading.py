"""Requests, offers, bids, results, commands and dispatches."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from market.api.bodies import Bids, IntervalOf, Number, Signature, SignedMessage, SignedMessageWithReason, SignedVerdict
from market.api.context import Caller, CurrentMarket, OptionalCaller
from market.api.examples import signed_example
from market.api.paging import Page
from market.api.problems import described_problem, problem_of
from market.domain.messages import Command, Offer, Request, Verdict
from market.domain.products import Direction, Product, Side
from market.services import bids as bid_service
from market.services import clearing, offers, requests, signals
from market.services.access import Scope
from market.services.roles import Unknown, nanogrids_seen
from market.store.projections import FlexibilityRequest, Nanogrid

router = APIRouter(tags=["trading"])

OfferId = Annotated[str, Path(pattern=r"^0x[0-9a-f]{64}$")]
Limit = Annotated[int, Query(ge=1, le=500)]
After = Annotated[str | None, Query(pattern=r"^0x[0-9a-f]{64}$")]

_NOT_CLEARED: dict[int | str, dict[str, Any]] = {409: described_problem("The offer is not cleared yet")}

_T = 1_463_738_400
_HASH = bytes.fromhex("ab" * 32)
_REASON = {"element": "transformer", "loading_percent": 118.4, "text": "Transformer at 118 %"}
_REQUEST = Request(1, _T, Product.CM_REALTIME, Direction.DOWN, 300_000, (9000, 7500), 0)
_OFFER = Offer(1, _HASH, _T, Side.BUY, Direction.DOWN, Product.CM_REALTIME, 9000, 255_000, _T - 1260, 0)
_VERDICT = Verdict(_HASH, bytes.fromhex("04"), _HASH)
_COMMAND = Command(65_543, _T, Product.VC_EMERGENCY_P, Direction.DOWN, 1200, _HASH)


@router.post("/requests", status_code=201)
def publish_request(
    market: CurrentMarket, caller: Caller, body: Annotated[SignedMessage, signed_example(_REQUEST)]
) -> dict[str, Any]:
    """A DSO publishes its need and escrows the money."""
    return requests.publish_request(market, caller, body.message, body.signature).document()


@router.get("/requests")
def list_requests(
    market: CurrentMarket,
    node: Number | None = None,
    first: Number | None = None,
    last: Number | None = None,
    limit: Limit = 100,
    after: After = None,
) -> dict[str, Any]:
    with market.reading() as session:
        rows = requests.requests_of(session, node, first, last, limit, after)
        items = [requests.request_document(session, row) for row in rows]
        return {"items": items, "next": rows[-1].request if len(rows) == limit else None}


@router.get("/requests/{request}")
def show_request(market: CurrentMarket, request: OfferId) -> dict[str, Any]:
    with market.reading() as session:
        row = session.get(FlexibilityRequest, request)
        if row is None:
            raise Unknown("request", request)
        return requests.request_document(session, row)


@router.get("/requests/{request}/position")
def show_request_position(market: CurrentMarket, caller: Caller, request: OfferId) -> dict[str, Any]:
    """What a request brings the calling aggregator: energies and money of its offers that answer it."""
    with market.reading() as session:
        row = session.get(FlexibilityRequest, request)
        if row is None:
            raise Unknown("request", request)
        return requests.request_position(session, caller, row)


@router.post("/requests/{request}/reclaim", status_code=202)
def reclaim(market: CurrentMarket, caller: Caller, request: OfferId, body: IntervalOf) -> dict[str, Any]:
    """Give the DSO back what no offer took of an interval, once offers can no longer be opened for it."""
    caller.require(Scope.DECISIONS)
    receipt = clearing.reclaim_interval(market, request, body.interval)
    return {"transaction": receipt.transaction_hash, "block": receipt.block}


@router.post("/offers", status_code=201)
def open_offer(
    market: CurrentMarket, caller: Caller, body: Annotated[SignedMessage, signed_example(_OFFER)]
) -> dict[str, Any]:
    """An aggregator opens an auction among its nanogrids."""
    return requests.open_offer(market, caller, body.message, body.signature).document()


@router.get("/offers")
def list_offers(
    market: CurrentMarket,
    status: Annotated[str | None, Query(pattern="^(OPEN|CLEARED|FINAL|CANCELLED|EXPIRED)$")] = None,
    node: Number | None = None,
    portfolio: Number | None = None,
    nanogrid: Number | None = None,
    interval: Number | None = None,
    limit: Limit = 100,
    after: After = None,
) -> dict[str, Any]:
    with market.reading() as session:
        rows = offers.find_offers(
            session,
            status=status,
            node=node,
            portfolio=portfolio,
            nanogrid=nanogrid,
            interval=interval,
            limit=limit,
            after=after,
        )
        items = [offers.offer_document(market, session, row) for row in rows]
        return {"items": items, "next": rows[-1].offer if len(rows) == limit else None}


@router.get("/offers/{offer}")
def show_offer(market: CurrentMarket, offer: OfferId) -> dict[str, Any]:
    with market.reading() as session:
        return offers.offer_document(market, session, offers.offer_of(session, offer))


@router.post("/offers/{offer}/cancellation", status_code=201)
def cancel_offer(market: CurrentMarket, caller: Caller, offer: OfferId, body: Signature) -> dict[str, Any]:
    """The aggregator takes an offer back while nobody has bid."""
    with market.reading() as session:
        offers.offer_of(session, offer)
    return requests.cancel_offer(market, caller, offer, body.signature).document()


@router.get("/offers/{offer}/position")
def show_position(market: CurrentMarket, caller: Caller, offer: OfferId) -> dict[str, Any]:
    with market.reading() as session:
        return requests.position(session, caller, offers.offer_of(session, offer))


@router.post("/offers/{offer}/bids")
def bid(market: CurrentMarket, caller: Caller, offer: OfferId, body: Bids, response: Response) -> dict[str, Any]:
    """Bids, revisions and withdrawals, each with its signed receipt or the reason why it is refused."""
    results = bid_service.receive(market, caller, offer, [one.model_dump() for one in body.bids])
    if any(result.refusal is not None for result in results):
        response.headers["Cache-Control"] = "no-store"  # a refusal may be mended: it is not given again to a retry
    return {
        "results": [
            {
                "digest": result.digest,
                "accepted": result.refusal is None,
                "receipt": result.receipt,
                "problem": None if result.refusal is None else problem_of(result.refusal),
            }
            for result in results
        ]
    }


@router.get("/offers/{offer}/bids")
def list_bids(market: CurrentMarket, page: Page, caller: Caller, offer: OfferId) -> dict[str, Any]:
    with market.reading() as session:
        row = offers.offer_of(session, offer)
        return page.page(offers.bids_of(market, session, caller, row))


@router.get("/offers/{offer}/bids/{digest}/explanation", responses=_NOT_CLEARED)
def explain_bid(market: CurrentMarket, caller: Caller, offer: OfferId, digest: OfferId) -> dict[str, Any]:
    """Why the bid won or did not."""
    with market.reading() as session:
        return offers.explain(market, session, caller, offers.offer_of(session, offer), digest)


@router.get("/offers/{offer}/merit-order", responses=_NOT_CLEARED)
def show_merit_order(market: CurrentMarket, offer: OfferId) -> dict[str, Any]:
    """The curve of a cleared auction, without owners."""
    with market.reading() as session:
        return offers.merit_order_document(session, offers.offer_of(session, offer))


@router.get("/offers/{offer}/awards", responses=_NOT_CLEARED)
def list_awards(market: CurrentMarket, page: Page, caller: OptionalCaller, offer: OfferId) -> dict[str, Any]:
    with market.reading() as session:
        return page.page(offers.awards_of(session, caller, offers.offer_of(session, offer)))


@router.post("/offers/{offer}/verdict", status_code=201)
def give_verdict(
    market: CurrentMarket,
    caller: Caller,
    offer: OfferId,
    body: Annotated[SignedVerdict, signed_example(_VERDICT, reasons={"2": "voltage at bus 9 would be 1.104 p.u."})],
) -> dict[str, Any]:
    """The DSO rejects awards of a cleared offer, once, with its reasons."""
    with market.reading() as session:
        offers.offer_of(session, offer)
    return signals.give_verdict(market, caller, offer, body.message, body.signature, body.reasons).document()


@router.get("/offers/{offer}/verdict")
def show_verdict(market: CurrentMarket, offer: OfferId) -> dict[str, Any]:
    """What the DSO rejected of a cleared offer, by position in the merit order, and why."""
    with market.reading() as session:
        offers.offer_of(session, offer)
        return signals.verdict_of(session, offer)


@router.post("/commands", status_code=201)
def give_command(
    market: CurrentMarket,
    caller: Caller,
    body: Annotated[SignedMessageWithReason, signed_example(_COMMAND, reason=_REASON)],
) -> dict[str, Any]:
    """A RED command of the DSO to one nanogrid."""
    return requests.give_command(market, caller, body.message, body.signature, body.reason).document()


@router.get("/commands")
def list_commands(
    market: CurrentMarket, page: Page, caller: Caller, node: Number, interval: Number | None = None
) -> dict[str, Any]:
    """RED commands that concern the caller, with the DSO's published reason and the gateways' answers."""
    with market.reading() as session:
        query = requests.commands_of(caller, nanogrids_seen(session, caller, node), interval)
        return page.select(session, query, lambda rows: requests.command_documents(session, [row for (row,) in rows]))


@router.get("/dispatches")
def list_dispatches(
    market: CurrentMarket,
    page: Page,
    caller: Caller,
    node: Number,
    interval: Number | None = None,
    nanogrid: Number | None = None,
) -> dict[str, Any]:
    """Orders to gateways and where they stand, for whoever they concern."""
    with market.reading() as session:
        visible = nanogrids_seen(session, caller, node)
        if nanogrid is not None:
            visible = visible.where(Nanogrid.nanogrid == nanogrid)
        query = requests.dispatches_of(caller, visible, interval)
        return page.select(session, query, lambda rows: requests.dispatch_documents(session, [row for (row,) in rows]))
