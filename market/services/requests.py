"""Requests of DSOs and offers of aggregators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from market.domain.errors import Category, MeritgridError
from market.domain.messages import Cancellation, Command, Offer, Request
from market.domain.settlement import amount_ueur
from market.domain.states import DispatchState, OfferStatus
from market.services.access import NotAllowed, Principal
from market.services.decisions import Carried, carry, document_of, parse, require_hash, wire_signature
from market.services.market import Market
from market.services.roles import in_own_time
from market.store.facts import Acknowledgement
from market.store.projections import Award, FlexibilityRequest, GridCommand, Portfolio, RequestInterval
from market.store.projections import Offer as OfferRow
from market.store.work import Dispatch, DispatchKind


def publish_request(market: Market, principal: Principal, message: Mapping[str, Any], signature: str) -> Carried:
    """Publish a DSO's need and escrow its money."""
    request = parse(Request, message)
    arguments = (*request.arguments()[:5], list(request.quantities), request.salt)
    function = market.contracts.auction.functions.publishRequest(arguments, wire_signature(signature))
    return carry(market, principal, request, signature, function, subject=request.node)


def open_offer(market: Market, principal: Principal, message: Mapping[str, Any], signature: str) -> Carried:
    """Open an auction among a portfolio's nanogrids."""
    offer = parse(Offer, message)
    function = market.contracts.auction.functions.openOffer(offer.arguments(), wire_signature(signature))
    return carry(market, principal, offer, signature, function, subject=offer.portfolio)


def cancel_offer(market: Market, principal: Principal, offer: str, signature: str) -> Carried:
    """Take an offer back while nobody has bid."""
    cancellation = Cancellation(bytes.fromhex(offer[2:]))
    function = market.contracts.auction.functions.cancelOffer(cancellation.offer, wire_signature(signature))
    return carry(market, principal, cancellation, signature, function, subject=offer)


class TooLateToDispatch(MeritgridError):
    """A command that would reach no gateway any more, and would be paid for nothing."""

    def __init__(self, nanogrid: int, interval: int, last_s: int) -> None:
        sentence = f"Commands for the interval {interval} reach gateways when given before {last_s}; name a later one."
        fields = {"nanogrid": nanogrid, "interval": interval, "last_s": last_s}
        super().__init__("too-late-to-dispatch", "Too late to dispatch", sentence, fields, Category.STATE)


def give_command(
    market: Market, principal: Principal, message: Mapping[str, Any], signature: str, reason: Mapping[str, Any]
) -> Carried:
    """A RED command to one nanogrid, as long as its gateway can still be told.

    Raises:
        TooLateToDispatch: the last dispatch of the interval is over.
    """
    command = parse(Command, message)
    require_hash(reason, command.reason, "/message/reason")
    last_s = market.calendar.last_command(command.interval)
    with market.reading() as session:
        is_given = session.get(GridCommand, (command.nanogrid, command.interval)) is not None
    if market.now_s() >= last_s and not is_given:
        raise TooLateToDispatch(command.nanogrid, command.interval, last_s)
    function = market.contracts.signals.functions.giveCommand(command.arguments(), wire_signature(signature))
    return carry(
        market, principal, command, signature, function, subject=command.nanogrid, documents={"reason": reason}
    )


def requests_of(
    session: Session, node: int | None, first: int | None, last: int | None, limit: int, after: str | None
) -> Sequence[FlexibilityRequest]:
    """Requests by node and interval, in the order of their ids."""
    query = (
        select(FlexibilityRequest)
        .distinct()
        .join(RequestInterval, RequestInterval.request == FlexibilityRequest.request)
    )
    if node is not None:
        query = query.where(FlexibilityRequest.node == node)
    if first is not None:
        query = query.where(RequestInterval.interval >= first)
    if last is not None:
        query = query.where(RequestInterval.interval <= last)
    if after is not None:
        query = query.where(FlexibilityRequest.request > after)
    return session.scalars(query.order_by(FlexibilityRequest.request).limit(limit)).all()


def request_document(session: Session, row: FlexibilityRequest) -> dict[str, Any]:
    intervals = session.scalars(
        select(RequestInterval).where(RequestInterval.request == row.request).order_by(RequestInterval.interval)
    )
    return {
        "id": row.request,
        "node": row.node,
        "dso": row.dso,
        "product": row.product,
        "direction": row.direction,
        "price_ueur_kwh": row.price_ueur_kwh,
        "escrow_ueur": row.escrow_ueur,
        "published_at": row.published_at,
        "intervals": [
            {
                "interval": interval.interval,
                "quantity": interval.quantity,
                "available": 0 if interval.reclaimed_ueur is not None else interval.quantity - interval.accepted,
            }
            for interval in intervals
        ],
    }


def position(session: Session, principal: Principal, row: OfferRow) -> dict[str, Any]:
    """What an offer means for its aggregator: energies [Wh or varh] and money [micro-euro].

    Raises:
        NotAllowed: the caller is not the portfolio's aggregator, or a key of it for one nanogrid.
    """
    portfolio = session.get_one(Portfolio, row.portfolio)
    if portfolio.aggregator != principal.address or principal.nanogrid is not None:
        raise NotAllowed("Only the portfolio's aggregator sees the position of its offer.")
    request = None if row.request is None else session.get(FlexibilityRequest, row.request)
    awards = session.scalars(select(Award).where(Award.offer == row.offer)).all()
    cost = sum(award.paid_ueur or 0 for award in awards)
    margin = sum(award.margin_ueur or 0 for award in awards)
    awarded = row.awarded or 0
    return {
        "offer": row.offer,
        "request": row.request,
        "status": OfferStatus(row.status).name,
        "offered": row.quantity,
        "awarded": awarded,
        "delivered": sum(award.delivered or 0 for award in awards),
        "unsettled_awards": sum(award.outcome is None for award in awards),
        "revenue_ueur": cost + margin,
        "cost_ueur": cost,
        "margin_ueur": margin,
        "penalties_ueur": sum(award.penalty_ueur or 0 for award in awards),
        "largest_revenue_ueur": 0 if request is None else amount_ueur(awarded, request.price_ueur_kwh),
    }


def request_position(session: Session, principal: Principal, request: FlexibilityRequest) -> dict[str, Any]:
    """What a request means for the caller as an aggregator: its offers that answer it, and their sums."""
    own = select(Portfolio.portfolio).where(Portfolio.aggregator == principal.address)
    rows = session.scalars(
        select(OfferRow)
        .where(OfferRow.request == request.request, OfferRow.portfolio.in_(own))
        .order_by(OfferRow.interval, OfferRow.offer)
    )
    positions = [position(session, principal, row) for row in rows]
    summed = [name for name, value in positions[0].items() if isinstance(value, int)] if positions else []
    requested = session.scalars(select(RequestInterval.quantity).where(RequestInterval.request == request.request))
    return {
        "request": request.request,
        "requested": sum(requested),
        **{name: sum(each[name] for each in positions) for name in summed},
        "offers": positions,
    }


def commands_of(principal: Principal, nanogrids: Select[int], interval: int | None) -> Select[GridCommand]:
    """RED commands to some nanogrids in the caller's own time, by interval and nanogrid."""
    seen = nanogrids.where(in_own_time(principal, GridCommand.interval))
    query = select(GridCommand).where(GridCommand.nanogrid.in_(seen))
    if interval is not None:
        query = query.where(GridCommand.interval == interval)
    return query.order_by(GridCommand.interval, GridCommand.nanogrid)


def dispatches_of(principal: Principal, nanogrids: Select[int], interval: int | None) -> Select[Dispatch]:
    """Dispatches to some nanogrids in the caller's own time, by interval and nanogrid."""
    seen = nanogrids.where(in_own_time(principal, Dispatch.interval))
    query = select(Dispatch).where(Dispatch.nanogrid.in_(seen))
    if interval is not None:
        query = query.where(Dispatch.interval == interval)
    return query.order_by(Dispatch.interval, Dispatch.nanogrid, Dispatch.id)


def dispatch_documents(session: Session, rows: Sequence[Dispatch]) -> list[dict[str, Any]]:
    """Dispatches with where they stand and the gateways' answers."""
    answers = answers_of(session, [row.id for row in rows])
    return [
        {
            "id": row.id,
            "kind": row.kind,
            "nanogrid": row.nanogrid,
            "interval": row.interval,
            "target_w": row.target_w,
            "target_var": row.target_var,
            "lease_end": row.lease_end,
            "state": row.state,
            "reason": row.reason,
            "answers": answers[row.id],
        }
        for row in rows
    ]


def command_documents(session: Session, rows: Sequence[GridCommand]) -> list[dict[str, Any]]:
    """RED commands with their published reasons, the gateways' answers and what became of them."""
    answers = command_answers(session, rows)
    return [
        {
            "nanogrid": row.nanogrid,
            "interval": row.interval,
            "product": row.product,
            "direction": row.direction,
            "quantity": row.quantity,
            "price_ueur_kwh": row.price_ueur_kwh,
            "reserved_ueur": row.reserved_ueur,
            "reason": document_of(session, row.reason),
            "reason_hash": row.reason,
            "given_at": row.given_at,
            "delivered": row.delivered,
            "paid_ueur": row.paid_ueur,
            "unpaid_ueur": row.unpaid_ueur,
            "answers": answers.get((row.nanogrid, row.interval), []),
        }
        for row in rows
    ]


def answers_of(session: Session, dispatches: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The gateways' signed answers to dispatches, oldest first, by dispatch."""
    found: dict[str, list[dict[str, Any]]] = {each: [] for each in dispatches}
    rows = session.scalars(
        select(Acknowledgement).where(Acknowledgement.dispatch.in_(dispatches)).order_by(Acknowledgement.id)
    )
    for row in rows:
        found[row.dispatch].append(
            {
                "state": DispatchState(row.state).name,
                "at": row.at,
                "reason": row.reason,
                "gateway": row.gateway,
                "signature": "0x" + row.signature.hex(),
            }
        )
    return found


def command_answers(session: Session, commands: Sequence[GridCommand]) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """The same for RED commands, by nanogrid and interval."""
    rows = session.scalars(
        select(Dispatch).where(
            Dispatch.kind == DispatchKind.COMMAND,
            Dispatch.nanogrid.in_({each.nanogrid for each in commands}),
            Dispatch.interval.in_({each.interval for each in commands}),
        )
    ).all()
    answers = answers_of(session, [row.id for row in rows])
    return {(row.nanogrid, row.interval): answers[row.id] for row in rows}
