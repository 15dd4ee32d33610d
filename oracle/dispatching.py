"""Dispatch: orders written for final awards and RED commands, published until the gateway itself has acknowledged."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import structlog
from sqlalchemy import Select, and_, or_, select, update
from sqlalchemy.orm import Session

from market import checkpoints
from market.domain.hashing import keccak256
from market.domain.messages import Dispatch as DispatchMessage
from market.domain.products import Direction, Kind, Phase, Product
from market.domain.signing import Signature, sign_message
from market.domain.states import DISPATCH_CHANGES, DispatchState, OfferStatus, is_end
from market.domain.units import index_of, portfolio_of
from market.jobs import CATCH_UP_INTERVALS
from market.services.notices import hold_notices, note_dispatch
from market.services.signals import red_since
from market.store.database import SNAPSHOT_LOCK, lock, read_scope, session_scope
from market.store.facts import Acknowledgement, Baseline, GatewayStatus, SignedDecision
from market.store.projections import Award, GridCommand, GridSignal, Nanogrid, Offer
from market.store.work import Dispatch, DispatchKind, OutboxState, SnapshotRevision
from oracle.checkpoints import OutboxPoint
from oracle.context import Oracle
from oracle.messages import MAX_DISPATCHES, Channel, CommandProof, DispatchOrder, DispatchSnapshot, StateName, topic_for
from oracle.messages import DispatchKind as WireKind
from oracle.outgoing import Outgoing

log = structlog.get_logger(__name__)

_SECONDS_PER_HOUR: Final = 3600
_ENDED: Final = (OutboxState.REJECTED, OutboxState.REVOKED, OutboxState.SUCCEEDED, OutboxState.ABORTED)
_UNANSWERED: Final = (OutboxState.NEW, OutboxState.PUBLISHED)
_ACKNOWLEDGED: Final = frozenset(DispatchState.__members__)
_OVER: Final = [state.value for state in DispatchState if is_end(DISPATCH_CHANGES, state)]


def write_dispatches(oracle: Oracle, interval: int) -> set[str]:
    """Write the orders of an interval's final awards and of its commands; the gateways that have one. Repeatable."""
    oracle.index()
    with session_scope(oracle.engine) as session:
        _write_new(session, oracle, interval)
        gateways = set(session.scalars(select(Dispatch.gateway).where(Dispatch.interval == interval)))
    if gateways:
        checkpoints.passed(OutboxPoint.ORDERED, str(interval))
    return gateways


def write_changes(oracle: Oracle, interval: int) -> set[str]:
    """Orders that have come since (results made final late, commands by hand), and those that RED has taken back: the
    gateways that have to be told. Repeatable."""
    oracle.index()
    with session_scope(oracle.engine) as session:
        _write_new(session, oracle, interval)
        new = select(Dispatch.gateway).where(Dispatch.interval == interval, Dispatch.state == OutboxState.NEW)
        fresh = set(session.scalars(new))
        withdrawn = _take_back(session, oracle, interval)
    if fresh:
        checkpoints.passed(OutboxPoint.ORDERED, str(interval))
    if withdrawn:
        checkpoints.passed(OutboxPoint.WITHDRAWN, str(interval))
    return fresh | withdrawn


def _take_back(session: Session, oracle: Oracle, interval: int) -> set[str]:
    """Withdraw the orders of awards at a node that has gone RED before the interval: nobody is paid for them."""
    hold_notices(session)
    rows = session.scalars(
        select(Dispatch)
        .join(Nanogrid, Nanogrid.nanogrid == Dispatch.nanogrid)
        .where(
            Dispatch.interval == interval,
            Dispatch.kind == DispatchKind.AWARD,
            Dispatch.state.not_in(_ENDED),
            Nanogrid.node.in_(_red_nodes(session, interval)),
        )
    ).all()
    for row in rows:
        note_dispatch(session, row, OutboxState.REVOKED, oracle.now_s())
        row.state, row.reason, row.ended_at = OutboxState.REVOKED, "the node has gone RED", oracle.now_s()
    return {row.gateway for row in rows}


def _red_nodes(session: Session, interval: int) -> list[int]:
    """Nodes that were RED when the interval began, or are before it: their awards are revoked."""
    nodes = session.scalars(
        select(GridSignal.node).where(GridSignal.interval == interval, GridSignal.phase == int(Phase.RED)).distinct()
    ).all()
    since = {node: red_since(session, node, interval) for node in nodes}
    return [node for node, at in since.items() if at is not None and at < interval]


def _write_new(session: Session, oracle: Oracle, interval: int) -> None:
    """Orders that are not written yet; none for awards at a node on RED, which nobody is paid for."""
    for award, offer in session.execute(
        select(Award, Offer)
        .join(Offer, Offer.offer == Award.offer)
        .where(
            Award.interval == interval,
            Award.outcome.is_(None),
            Offer.status == int(OfferStatus.FINAL),
            Offer.node.not_in(_red_nodes(session, interval)),
        )
    ):
        _write_award(session, oracle, award, offer)
    for command in session.scalars(
        select(GridCommand).where(GridCommand.interval == interval, GridCommand.settled_at.is_(None))
    ):
        _write_command(session, oracle, command)
    session.flush()


def snapshots(oracle: Oracle, gateways: Iterable[str]) -> list[Outgoing]:
    """The retained snapshot of each gateway: every dispatch whose end the gateway has not said, the latest first where
    they are more than a message holds."""
    outgoing = []
    marked = []
    with session_scope(oracle.engine) as session:
        # Jobs and messages both make snapshots: the later revision must not be of an earlier look.
        lock(session, SNAPSHOT_LOCK)
        hold_notices(session)
        for gateway in sorted(set(gateways)):
            rows = session.scalars(
                select(Dispatch)
                .where(
                    Dispatch.gateway == gateway,
                    Dispatch.state.not_in(_ENDED),
                    Dispatch.lease_end >= _told_since(oracle),
                )
                .order_by(Dispatch.interval.desc(), Dispatch.id.desc())
                .limit(MAX_DISPATCHES)
            ).all()[::-1]
            for row in rows:
                if row.state == OutboxState.NEW:
                    note_dispatch(session, row, OutboxState.PUBLISHED, oracle.now_s())
                    row.state, row.published_at = OutboxState.PUBLISHED, oracle.now_s()
                    marked.append(row.id)
            orders = tuple(_order(session, row) for row in rows)
            snapshot = DispatchSnapshot.sealed(
                oracle.key,
                oracle.settlement,
                gateway=gateway.lower(),
                revision=_next_revision(session),
                issued_at=oracle.now_s(),
                dispatches=orders,
            )
            topic = topic_for(gateway, Channel.DISPATCH)
            outgoing.append(Outgoing(topic, snapshot.payload(), retain=True, order=snapshot.order))
    if marked:
        checkpoints.passed(OutboxPoint.MARKED)
    return outgoing


def _next_revision(session: Session) -> int:
    """Greater than that of every snapshot before, whatever has become of this machine's clock since, and where the
    database is one of before: only its order counts. Under the lock of the snapshots."""
    row = session.get(SnapshotRevision, 1)
    if row is None:
        row = SnapshotRevision(id=1, revision=0)
        session.add(row)
    row.revision = max(time.time_ns(), row.revision + 1)
    return row.revision


def waiting_for(oracle: Oracle, interval: int) -> set[str]:
    """Gateways that are online and have not answered a dispatch of the interval yet, or its withdrawal."""
    unanswered = select(Dispatch.gateway).where(Dispatch.interval == interval, Dispatch.state.in_(_UNANSWERED))
    with read_scope(oracle.engine) as session:
        gateways = {*session.scalars(unanswered), *session.scalars(_still_carrying(interval))}
        return {gateway for gateway in gateways if is_online(session, gateway)}


def _still_carrying(interval: int) -> Select[str]:
    """Gateways that have taken an order which is withdrawn, and have not said that it is over for them."""
    # Asked of each withdrawn order, of which there are few; not of all answers there have ever been.
    answer = select(Acknowledgement.id).where(Acknowledgement.dispatch == Dispatch.id)
    return select(Dispatch.gateway).where(
        Dispatch.interval == interval,
        Dispatch.state == OutboxState.REVOKED,
        answer.exists(),
        ~answer.where(Acknowledgement.state.in_(_OVER)).exists(),
    )


def lately_dispatched(session: Session, oracle: Oracle) -> set[str]:
    """Gateways with a dispatch of late, also one that has ended: of a withdrawal they may not have been told."""
    return set(session.scalars(select(Dispatch.gateway).where(Dispatch.lease_end >= _told_since(oracle)).distinct()))


def _told_since(oracle: Oracle) -> int:
    """Ends of leases from which on dispatches are told [epoch s]: an answer may have died with whoever had it, and the
    gateway, which says it again when it sees that it is missing, may have been away."""
    return oracle.now_s() - CATCH_UP_INTERVALS * oracle.calendar.time_unit_s


def is_online(session: Session, gateway: str) -> bool:
    """By the gateway's last status."""
    last = session.scalar(
        select(GatewayStatus.online)
        .where(GatewayStatus.gateway == gateway)
        .order_by(GatewayStatus.received_at.desc(), GatewayStatus.id.desc())
        .limit(1)
    )
    return bool(last)


def mark_unanswered(oracle: Oracle, interval: int) -> None:
    """Orders that nobody has acknowledged in time; a later acknowledgement still counts."""
    with session_scope(oracle.engine) as session:
        hold_notices(session)
        _mark_unanswered(session, oracle, interval)


def _mark_unanswered(session: Session, oracle: Oracle, interval: int) -> None:
    silent = session.scalars(
        update(Dispatch)
        .where(Dispatch.interval == interval, Dispatch.state.in_(_UNANSWERED))
        .values(state=OutboxState.UNANSWERED)
        .returning(Dispatch)
    )
    for row in silent.all():
        note_dispatch(session, row, OutboxState.UNANSWERED, oracle.now_s())


def record_missed(oracle: Oracle, last: int) -> None:
    """Write down, as unanswered, the orders up to an interval whose lease is over and that nobody has given: no oracle
    was there, and for longer than its calendar catches up. Repeatable."""
    over = min(last, oracle.now_s() - oracle.calendar.lease_end(0))
    not_given = or_(Dispatch.id.is_(None), Dispatch.state == OutboxState.NEW)
    awards = (
        select(Award.interval)
        .join(Offer, Offer.offer == Award.offer)
        .join(Nanogrid, Nanogrid.nanogrid == Award.nanogrid)
        .outerjoin(Dispatch, and_(Dispatch.offer == Award.offer, Dispatch.ordinal == Award.ordinal))
        .where(Award.interval <= over, Award.outcome.is_(None), Offer.status == int(OfferStatus.FINAL))
        .where(Nanogrid.gateway.is_not(None), not_given)
    )
    same = and_(Dispatch.nanogrid == GridCommand.nanogrid, Dispatch.interval == GridCommand.interval)
    commands = (
        select(GridCommand.interval)
        .join(Nanogrid, Nanogrid.nanogrid == GridCommand.nanogrid)
        .outerjoin(Dispatch, and_(same, Dispatch.kind == DispatchKind.COMMAND))
        .where(GridCommand.interval <= over, GridCommand.settled_at.is_(None))
        .where(Nanogrid.gateway.is_not(None), not_given)
    )
    with read_scope(oracle.engine) as session:
        intervals = sorted(set(session.scalars(awards.distinct())) | set(session.scalars(commands.distinct())))
    for interval in intervals:
        with session_scope(oracle.engine) as session:
            # Before the look: of two oracles that act for a moment the second sees what the first has written.
            hold_notices(session)
            _write_new(session, oracle, interval)
            _mark_unanswered(session, oracle, interval)


def _write_award(session: Session, oracle: Oracle, award: Award, offer: Offer) -> None:
    id_ = keccak256(f"award {award.offer} {award.ordinal}".encode())
    change = Direction(offer.direction).load_sign * award.quantity
    _write(
        session,
        oracle,
        id_,
        award.nanogrid,
        award.interval,
        Product(offer.product),
        Direction(offer.direction),
        award.quantity,
        change,
        kind=DispatchKind.AWARD,
        offer=award.offer,
        ordinal=award.ordinal,
        decision=None,
    )


def _write_command(session: Session, oracle: Oracle, command: GridCommand) -> None:
    decision = next(
        (
            row
            for row in session.scalars(
                select(SignedDecision).where(
                    SignedDecision.kind == "Command", SignedDecision.subject == str(command.nanogrid)
                )
            )
            if _is_of(row.message, command)
        ),
        None,
    )
    if decision is None:
        log.warning("command without its signed message", nanogrid=command.nanogrid, interval=command.interval)
        return
    id_ = keccak256(f"command {command.nanogrid} {command.interval}".encode())
    direction = Direction(command.direction)
    change = direction.load_sign * command.quantity
    _write(
        session,
        oracle,
        id_,
        command.nanogrid,
        command.interval,
        Product(command.product),
        direction,
        command.quantity,
        change,
        kind=DispatchKind.COMMAND,
        offer=None,
        ordinal=None,
        decision=decision.digest,
    )


def _is_of(message: Mapping[str, Any], command: GridCommand) -> bool:
    """Whether a signed message is the command that stands on the chain, and not another one that it refused."""
    signed = (message["interval"], message["product"], message["direction"], message["quantity"], message["reason"])
    return signed == (command.interval, command.product, command.direction, command.quantity, command.reason)


def _write(
    session: Session,
    oracle: Oracle,
    id_: bytes,
    nanogrid: int,
    interval: int,
    product: Product,
    direction: Direction,
    quantity: int,
    change: int,
    **reference: Any,
) -> None:
    seat = session.get_one(Nanogrid, nanogrid)
    if seat.gateway is None or session.get(Dispatch, "0x" + id_.hex()) is not None:
        return
    baseline = session.get(Baseline, (portfolio_of(nanogrid), interval, int(product.kind)))
    value = None if baseline is None else baseline.value_of(index_of(nanogrid))
    if value is None:
        # One that has no baseline stops none of the others.
        log.error("no baseline: not dispatched", nanogrid=nanogrid, interval=interval, kind=str(reference["kind"]))
        return
    target = (value + change) * _SECONDS_PER_HOUR // oracle.calendar.time_unit_s
    active = product.kind is Kind.ACTIVE
    message = DispatchMessage(
        dispatch=id_,
        nanogrid=nanogrid,
        interval=interval,
        target_w=target if active else 0,
        target_var=0 if active else target,
        lease_end=oracle.calendar.lease_end(interval),
    )
    row = Dispatch(
        id="0x" + id_.hex(),
        nanogrid=nanogrid,
        gateway=seat.gateway,
        interval=interval,
        product=int(product),
        direction=int(direction),
        quantity=quantity,
        baseline=value,
        change=change,
        target_w=message.target_w,
        target_var=message.target_var,
        lease_end=message.lease_end,
        signature=sign_message(oracle.key, message, oracle.settlement).compact(),
        state=OutboxState.NEW,
        reason=None,
        created_at=oracle.now_s(),
        published_at=None,
        answered_at=None,
        started_at=None,
        ended_at=None,
        **reference,
    )
    note_dispatch(session, row, OutboxState.NEW, oracle.now_s())
    session.add(row)


def _order(session: Session, row: Dispatch) -> DispatchOrder:
    return DispatchOrder(
        id=row.id,
        kind=WireKind(row.kind),
        energy="ACTIVE" if Product(row.product).kind is Kind.ACTIVE else "REACTIVE",
        nanogrid=row.nanogrid,
        interval=row.interval,
        baseline_wh=row.baseline,
        change_wh=row.change,
        target_w=row.target_w,
        target_var=row.target_var,
        lease_end=row.lease_end,
        offer=row.offer,
        acknowledged_state=cast(StateName, row.state if row.state in _ACKNOWLEDGED else "NEW"),
        signature="0x" + row.signature.hex(),
        command=None if row.decision is None else _proof(session, row.decision),
    )


def _proof(session: Session, digest: str) -> CommandProof:
    decision: SignedDecision = session.scalars(select(SignedDecision).where(SignedDecision.digest == digest)).one()
    message = decision.message
    return CommandProof(
        product=message["product"],
        direction=message["direction"],
        quantity=message["quantity"],
        reason=message["reason"],
        signature="0x" + Signature.from_bytes(decision.signature).compact().hex(),
    )
