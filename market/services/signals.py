"""The traffic light: what the DSO sets, and what it means for a node and interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from market.domain import traffic_light
from market.domain.messages import Signal, Verdict
from market.domain.products import Phase, SignalKind
from market.domain.records import rejected_positions
from market.services.access import Principal
from market.services.decisions import Carried, carry, document_of, parse, require_hash, wire_signature
from market.services.market import Market
from market.services.roles import Unknown
from market.store.projections import GridSignal, GridVerdict, Offer


def set_signal(
    market: Market,
    principal: Principal,
    node: int,
    message: Mapping[str, Any],
    signature: str,
    reason: Mapping[str, Any],
) -> Carried:
    """Set a node's light for an interval, with its published reason."""
    signal = parse(Signal, message, node=node)
    require_hash(reason, signal.reason, "/message/reason")
    function = market.contracts.signals.functions.setSignal(signal.arguments(), wire_signature(signature))
    return carry(market, principal, signal, signature, function, subject=node, documents={"reason": reason})


def give_verdict(
    market: Market,
    principal: Principal,
    offer: str,
    message: Mapping[str, Any],
    signature: str,
    reasons: Mapping[str, Any],
) -> Carried:
    """Reject awards of a cleared offer, once, with published reasons."""
    verdict = parse(Verdict, message, offer=bytes.fromhex(offer[2:]))
    require_hash(reasons, verdict.reasons, "/message/reasons")
    function = market.contracts.signals.functions.giveVerdict(verdict.arguments(), wire_signature(signature))
    return carry(market, principal, verdict, signature, function, subject=offer, documents={"reasons": reasons})


def verdict_of(session: Session, offer: str) -> dict[str, Any]:
    """The DSO's verdict on an offer: the positions that it rejected, and its published reasons.

    Raises:
        Unknown: the DSO has given none; silence accepts.
    """
    row = session.get(GridVerdict, offer)
    if row is None:
        raise Unknown("verdict", f"on offer {offer}")
    return {
        "offer": offer,
        "rejected": sorted(rejected_positions(row.rejected)),
        "reasons": document_of(session, row.reasons),
        "reasons_hash": row.reasons,
        "author": row.author,
        "given_at": row.given_at,
    }


def reason_of(session: Session, offer: str, position: int) -> Any | None:
    """Why a verdict rejected a bid: what its published reasons hold for the position, None where they hold nothing."""
    verdict = session.get(GridVerdict, offer)
    reasons = None if verdict is None else document_of(session, verdict.reasons)
    return (reasons or {}).get(str(position))


def signals_of(node: int, first: int, last: int, kind: SignalKind | None = None) -> Select[GridSignal]:
    """History of a node's light, by interval, kind and sequence."""
    query = select(GridSignal).where(GridSignal.node == node, GridSignal.interval.between(first, last))
    if kind is not None:
        query = query.where(GridSignal.kind == int(kind))
    return query.order_by(GridSignal.interval, GridSignal.kind, GridSignal.sequence)


def signal_document(session: Session, row: GridSignal) -> dict[str, Any]:
    return {
        "node": row.node,
        "interval": row.interval,
        "phase": row.phase,
        "kind": row.kind,
        "sequence": row.sequence,
        "reason": document_of(session, row.reason),
        "reason_hash": row.reason,
        "author": row.author,
        "at": row.set_at,
    }


def latest_signal(session: Session, node: int, interval: int, kind: SignalKind) -> GridSignal | None:
    """The signal that counts for an interval, by kind; None when nobody has spoken."""
    return session.scalar(
        select(GridSignal)
        .where(GridSignal.node == node, GridSignal.interval == interval, GridSignal.kind == int(kind))
        .order_by(GridSignal.sequence.desc())
        .limit(1)
    )


def last_assessed(session: Session, node: int) -> int | None:
    """The latest interval that has a forecast's signal; None when nobody has spoken."""
    return session.scalar(
        select(func.max(GridSignal.interval)).where(
            GridSignal.node == node, GridSignal.kind == int(SignalKind.FORECAST)
        )
    )


def deciding_signal(session: Session, node: int, interval: int) -> GridSignal | None:
    """The signal that binds the market: the forecast's, or the actual value's where that says RED."""
    actual = latest_signal(session, node, interval, SignalKind.ACTUAL)
    if actual is not None and actual.phase == Phase.RED:
        return actual
    return latest_signal(session, node, interval, SignalKind.FORECAST)


def phase_of(session: Session, node: int, interval: int) -> Phase:
    """The phase of the signal that binds the market; GREEN by default."""
    signal = deciding_signal(session, node, interval)
    return Phase.GREEN if signal is None else Phase(signal.phase)


def red_since(session: Session, node: int, interval: int) -> int | None:
    """Since when a node is RED for an interval [epoch s], of what the chain has said: see traffic_light.red_since."""
    rows = session.scalars(
        select(GridSignal)
        .where(GridSignal.node == node, GridSignal.interval == interval)
        .order_by(GridSignal.set_at, GridSignal.kind, GridSignal.sequence)
    )
    return traffic_light.red_since(((SignalKind(row.kind), Phase(row.phase), row.set_at) for row in rows), interval)


def is_red(session: Session, offer: Offer) -> bool:
    """Whether the node is RED for the offer's interval, so that nothing of it may go on."""
    return phase_of(session, offer.node, offer.interval) is Phase.RED
