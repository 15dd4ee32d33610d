"""The traffic light: what the DSO sets, and what it means for a node and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.domain.messages import Signal, Verdict
from market.domain.products import Phase, SignalKind
from market.services.access import Principal
from market.services.decisions import Carried, carry, parse, require_hash, wire_signature
from market.services.market import Market
from market.store.projections import GridSignal, Offer


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


def signals_of(
    session: Session, node: int, first: int, last: int, kind: SignalKind | None = None
) -> Sequence[GridSignal]:
    """History of a node's light, by interval, kind and sequence."""
    query = select(GridSignal).where(GridSignal.node == node, GridSignal.interval.between(first, last))
    if kind is not None:
        query = query.where(GridSignal.kind == int(kind))
    return session.scalars(query.order_by(GridSignal.interval, GridSignal.kind, GridSignal.sequence)).all()


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


def is_red(session: Session, offer: Offer) -> bool:
    """Whether the node is RED for the offer's interval, so that nothing of it may go on."""
    return phase_of(session, offer.node, offer.interval) is Phase.RED
