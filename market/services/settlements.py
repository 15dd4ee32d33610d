"""Settlements: how awards and commands ended, who got what, and how it was computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session

from market.domain.products import Direction, Kind, Side
from market.domain.settlement import AwardTerms, Outcome, amount_ueur, delivered
from market.domain.settlement_steps import Recorded, computation_of
from market.services.access import Principal
from market.services.roles import concerning, in_own_time
from market.store.projections import Award, FlexibilityRequest, GridCommand, Nanogrid, Offer

_Model = type[Award | GridCommand]


def settlements_of(
    session: Session,
    principal: Principal,
    *,
    offer: str | None = None,
    nanogrid: int | None = None,
    first: int | None = None,
    last: int | None = None,
    limit: int = 100,
    after: tuple[str, int] | None = None,
) -> Sequence[Award]:
    """Settled awards that concern the caller, by offer and ordinal, after a place (offer, ordinal)."""
    query = select(Award).where(Award.outcome.is_not(None), _seen(session, principal, Award))
    if offer is not None:
        query = query.where(Award.offer == offer)
    if after is not None:
        query = query.where(tuple_(Award.offer, Award.ordinal) > after)
    query = _between(query, Award, nanogrid, first, last)
    return session.scalars(query.order_by(Award.offer, Award.ordinal).limit(limit)).all()


def settled_commands_of(
    session: Session,
    principal: Principal,
    *,
    nanogrid: int | None = None,
    first: int | None = None,
    last: int | None = None,
) -> Select[GridCommand]:
    """Settled RED commands that concern the caller, by interval and nanogrid."""
    query = select(GridCommand).where(GridCommand.settled_at.is_not(None), _seen(session, principal, GridCommand))
    query = _between(query, GridCommand, nanogrid, first, last)
    return query.order_by(GridCommand.interval, GridCommand.nanogrid)


def _seen(session: Session, principal: Principal, model: _Model) -> Any:
    """Of a nanogrid that concerns the caller, in its own time."""
    in_time = in_own_time(principal, model.interval)
    return (
        select(Nanogrid.nanogrid)
        .where(Nanogrid.nanogrid == model.nanogrid, concerning(session, principal), in_time)
        .exists()
    )


def _between(
    query: Select[Any], model: _Model, nanogrid: int | None, first: int | None, last: int | None
) -> Select[Any]:
    if nanogrid is not None:
        query = query.where(model.nanogrid == nanogrid)
    if first is not None:
        query = query.where(model.interval >= first)
    return query if last is None else query.where(model.interval <= last)


def settlement_document(session: Session, award: Award) -> dict[str, Any]:
    """A settled award with its computation. Energies in Wh or varh, money in micro-euro."""
    offer = session.get_one(Offer, award.offer)
    terms = _terms(session, offer, award)
    recorded = _recorded(award)
    computation = computation_of(terms, Kind(award.kind), recorded)
    return {
        "offer": award.offer,
        "ordinal": award.ordinal,
        "nanogrid": award.nanogrid,
        "interval": award.interval,
        "side": offer.side,
        "direction": offer.direction,
        "product": offer.product,
        "price_ueur_kwh": award.price_ueur_kwh,
        "request_price_ueur_kwh": terms.request_price_ueur_kwh,
        "awarded": award.quantity,
        **asdict(recorded),
        "outcome": recorded.outcome.name,
        "settled_at": award.settled_at,
        "transaction": award.settle_transaction,
        "computation": {
            "cause": computation.cause,
            "agrees": computation.agrees,
            "steps": [asdict(step) for step in computation.steps],
        },
    }


def _terms(session: Session, offer: Offer, award: Award) -> AwardTerms:
    request = None if offer.request is None else session.get_one(FlexibilityRequest, offer.request)
    return AwardTerms(
        side=Side(offer.side),
        direction=Direction(offer.direction),
        awarded=award.quantity,
        bid_price_ueur_kwh=award.price_ueur_kwh,
        request_price_ueur_kwh=None if request is None else request.price_ueur_kwh,
    )


def _recorded(award: Award) -> Recorded:
    return Recorded(
        outcome=Outcome(award.outcome or 0),
        delivered=award.delivered or 0,
        baseline=award.baseline or 0,
        metered=award.metered or 0,
        paid_ueur=award.paid_ueur or 0,
        margin_ueur=award.margin_ueur or 0,
        refunded_ueur=award.refunded_ueur or 0,
        penalty_ueur=award.penalty_ueur or 0,
    )


def command_document(command: GridCommand) -> dict[str, Any]:
    """A settled command with its computation."""
    direction = Direction(command.direction)
    delivered_wh = command.delivered or 0
    paid_ueur, unpaid_ueur = command.paid_ueur or 0, command.unpaid_ueur or 0
    change = delivered(command.quantity, direction, command.baseline or 0, command.metered or 0)
    return {
        "nanogrid": command.nanogrid,
        "interval": command.interval,
        "product": command.product,
        "direction": command.direction,
        "commanded": command.quantity,
        "emergency_price_ueur_kwh": command.price_ueur_kwh,
        "delivered": delivered_wh,
        "baseline": command.baseline,
        "metered": command.metered,
        "reserved_ueur": command.reserved_ueur,
        "paid_ueur": paid_ueur,
        "refunded_ueur": command.refunded_ueur,
        "unpaid_ueur": unpaid_ueur,
        "settled_at": command.settled_at,
        "transaction": command.settle_transaction,
        "computation": {
            "cause": "by the reading" if delivered_wh == change else "no reading until the deadline",
            "rule": (
                "floor((delivered × emergency price + what an award of a request beside it was for of that × how much "
                "dearer that award is) / 1000), less what an award is paid that had begun = paid + unpaid"
            ),
            "at_emergency_price_ueur": amount_ueur(delivered_wh, command.price_ueur_kwh),
            "due_ueur": paid_ueur + unpaid_ueur,
        },
    }
