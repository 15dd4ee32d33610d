"""Dispatches as a pure state machine: a snapshot or the time comes in, changed states go out.

A dispatch is executed only when it is signed by the right key, for this nanogrid, in time and not stopped by the owner.
It holds under a lease; it ends with its interval, and earlier when the connection is lost for longer than the grace,
when the oracle withdraws it, or when the owner stops it. States are S2's InstructionStatus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from market.domain.errors import MeritgridError
from market.domain.products import COMMAND_PRODUCT, Direction
from market.domain.states import DISPATCH_CHANGES, DispatchState, change, is_end
from market.domain.typed_data import Domain
from oracle.messages import DispatchKind, DispatchOrder, DispatchSnapshot

LATE_FRACTION: Final = 15
"""A dispatch that comes more than u / 15 after the start of its interval is refused."""
LONGEST_LEASE_UNITS: Final = 2
FARTHEST_UNITS: Final = 100
_J_PER_WH: Final = 3600


@dataclass(frozen=True, slots=True)
class Authorities:
    """Whose orders count, for which nanogrid: addresses of oracle and DSO, and the domains they sign in."""

    nanogrid: int
    oracle: str
    dso: str
    settlement: Domain
    signals: Domain
    time_unit_s: int


@dataclass(frozen=True, slots=True)
class Conditions:
    """The gateway at `now` [epoch s]. lost_at: since when there is no connection; grace_s: how long that may last."""

    now: int
    stopped: bool = False
    lost_at: int | None = None
    grace_s: int = 900


@dataclass(frozen=True, slots=True)
class Tracked:
    """A dispatch and how far it came; `changed_at` [epoch s] and `reason` are those of the present state."""

    order: DispatchOrder
    state: DispatchState
    changed_at: int
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something may still follow."""
        return not is_end(DISPATCH_CHANGES, self.state)

    def to(self, state: DispatchState, at: int, reason: str = "") -> Tracked:
        """In another state; InvalidTransition where S2 does not allow it."""
        return replace(self, state=change(DISPATCH_CHANGES, self.state, state), changed_at=at, reason=reason)


def refusal(order: DispatchOrder, authorities: Authorities, conditions: Conditions) -> str:
    """Why an order is not executed, as 'code: sentence'; empty when nothing speaks against it."""
    interval, unit_s = order.interval, authorities.time_unit_s
    if order.nanogrid != authorities.nanogrid:
        return f"other-nanogrid: the order is for nanogrid {order.nanogrid}"
    if interval % unit_s:
        return f"no-interval: {interval} is not the start of an interval"
    forged = _forgery(order, authorities)
    if forged:
        return forged
    if not interval + unit_s <= order.lease_end <= interval + LONGEST_LEASE_UNITS * unit_s:
        return f"bad-lease: the lease ends at {order.lease_end}, the interval at {interval + unit_s}"
    if abs(order.target_w * unit_s - (order.baseline_wh + order.change_wh) * _J_PER_WH) > _J_PER_WH and _is_active(
        order
    ):
        return "inconsistent: the target is not the mean power of baseline and change"
    if conditions.now > interval + unit_s // LATE_FRACTION:
        return f"late: the interval began at {interval}, it is {conditions.now}"
    if interval > conditions.now + FARTHEST_UNITS * unit_s:
        return f"too-early: the interval begins at {interval}, it is {conditions.now}"
    return "owner-stop: the owner stopped remote control" if conditions.stopped else ""


def _is_active(order: DispatchOrder) -> bool:
    return order.energy == "ACTIVE"


def _forgery(order: DispatchOrder, authorities: Authorities) -> str:
    try:
        signer = order.signer(authorities.settlement).lower()
        allowed = {authorities.oracle.lower()}
        if order.command is not None:
            allowed.add(authorities.dso.lower())
        if signer not in allowed:
            return f"wrong-signer: {signer} may not dispatch"
        if order.command is None:
            return ""
        if order.command_signer(authorities.signals).lower() != authorities.dso.lower():
            return "wrong-signer: the command is not the DSO's"
    except MeritgridError as problem:
        return f"bad-signature: {problem.sentence}"
    change_wh = Direction(order.command.direction).load_sign * order.command.quantity
    if order.command.product != COMMAND_PRODUCT or change_wh != order.change_wh:
        return "inconsistent: the order is not what the DSO commanded"
    return ""


def receive(
    known: Mapping[str, Tracked], snapshot: DispatchSnapshot, authorities: Authorities, conditions: Conditions
) -> list[Tracked]:
    """The dispatches that a snapshot changes; its seal and revision are checked before. Known ones stay as they are."""
    now = conditions.now
    named = {order.id for order in snapshot.dispatches}
    book = dict(known)
    changed: dict[str, Tracked] = {}

    def note(found: Tracked) -> None:
        book[found.order.id] = changed[found.order.id] = found

    for tracked in known.values():
        over = now >= tracked.order.interval + authorities.time_unit_s
        if tracked.is_open and tracked.order.id not in named and not over:
            note(tracked.to(DispatchState.REVOKED, now, "withdrawn: the oracle withdrew it"))
    # Commands first: an award of the same interval gives way to them.
    for order in sorted(snapshot.dispatches, key=lambda each: each.kind is not DispatchKind.COMMAND):
        if order.id in book:
            continue
        reason = refusal(order, authorities, conditions)
        rivals = [] if reason else list(_rivals(order, book.values()))
        if order.kind is DispatchKind.COMMAND and not reason:
            for rival in rivals:
                note(rival.to(DispatchState.REVOKED, now, "replaced: a command of the DSO takes its place"))
        elif rivals:
            reason = f"conflict: {rivals[0].order.id} holds the interval"
        fresh = Tracked(order, DispatchState.NEW, now)
        note(fresh.to(DispatchState.REJECTED if reason else DispatchState.ACCEPTED, now, reason))
    return list(changed.values())


def _rivals(order: DispatchOrder, book: Iterable[Tracked]) -> Iterator[Tracked]:
    for tracked in book:
        same = tracked.order.interval == order.interval and tracked.order.energy == order.energy
        if tracked.is_open and same:
            yield tracked


def advance(known: Iterable[Tracked], time_unit_s: int, conditions: Conditions) -> list[Tracked]:
    """The dispatches that the time, a lost connection or the owner's stop changes, each once per step.

    An accepted one whose interval has begun is STARTED; call again until nothing changes.
    """
    changed = (_next(tracked, time_unit_s, conditions) for tracked in known if tracked.is_open)
    return [tracked for tracked in changed if tracked is not None]


def _next(tracked: Tracked, time_unit_s: int, conditions: Conditions) -> Tracked | None:
    now, start = conditions.now, tracked.order.interval
    end = start + time_unit_s
    if tracked.state is DispatchState.ACCEPTED and now >= end:
        return tracked.to(DispatchState.ABORTED, now, "missed: the gateway was away during the interval")
    if tracked.state is DispatchState.STARTED and now >= end:
        return tracked.to(DispatchState.SUCCEEDED, end)
    if conditions.stopped:
        return tracked.to(DispatchState.ABORTED, now, "owner-stop: the owner stopped remote control")
    if now < start:
        return None
    if conditions.lost_at is not None and now - conditions.lost_at > conditions.grace_s:
        return tracked.to(DispatchState.ABORTED, now, "connection-lost: no connection for longer than the grace")
    if tracked.state is DispatchState.ACCEPTED:
        return tracked.to(DispatchState.STARTED, now)
    return None


def running(known: Iterable[Tracked], now: int) -> list[Tracked]:
    """What is to be executed now: started, and its lease holds."""
    return [each for each in known if each.state is DispatchState.STARTED and now < each.order.lease_end]
