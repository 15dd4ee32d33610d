"""State machines of offers, awards and dispatches: the allowed changes as data.

Sources: design page of the domain, "States"; S2 (EN 50491-12-2) InstructionStatus for dispatches.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

from market.domain.errors import InvalidTransition


class OfferStatus(IntEnum):
    """Status of an offer on the chain (codes of IMeritOrderAuction)."""

    NONE = 0
    OPEN = 1
    CLEARED = 2
    FINAL = 3
    CANCELLED = 4
    EXPIRED = 5


class OfferState(StrEnum):
    """State of an offer as people see it; CLOSED is an open one after its gate closure."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    CLEARED = "CLEARED"
    FINAL = "FINAL"
    SETTLED = "SETTLED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class AwardState(StrEnum):
    """State of an award."""

    AWARDED = "AWARDED"
    DISPATCHED = "DISPATCHED"
    DELIVERED = "DELIVERED"
    SHORT = "SHORT"
    FAILED = "FAILED"
    HELD = "HELD"
    PAID = "PAID"
    REVOKED = "REVOKED"
    ANNULLED = "ANNULLED"


class DispatchState(IntEnum):
    """State of a dispatch: S2 InstructionStatus; the code is `state` of an Acknowledgement."""

    NEW = 0
    ACCEPTED = 1
    REJECTED = 2
    REVOKED = 3
    STARTED = 4
    SUCCEEDED = 5
    ABORTED = 6


OFFER_CHANGES: Final[Mapping[OfferState, frozenset[OfferState]]] = MappingProxyType(
    {
        OfferState.OPEN: frozenset({OfferState.CLOSED, OfferState.CANCELLED, OfferState.EXPIRED}),
        OfferState.CLOSED: frozenset({OfferState.CLEARED, OfferState.CANCELLED, OfferState.EXPIRED}),
        # Cleared again after a verdict.
        OfferState.CLEARED: frozenset({OfferState.CLEARED, OfferState.FINAL, OfferState.EXPIRED}),
        OfferState.FINAL: frozenset({OfferState.SETTLED}),
        OfferState.SETTLED: frozenset(),
        OfferState.EXPIRED: frozenset(),
        OfferState.CANCELLED: frozenset(),
    }
)

_ENDED: Final = frozenset({AwardState.DELIVERED, AwardState.SHORT, AwardState.FAILED})
_STOPPED: Final = frozenset({AwardState.HELD, AwardState.REVOKED, AwardState.ANNULLED})

AWARD_CHANGES: Final[Mapping[AwardState, frozenset[AwardState]]] = MappingProxyType(
    {
        # An award that was never dispatched is still measured and settled.
        AwardState.AWARDED: _ENDED | _STOPPED | {AwardState.DISPATCHED},
        AwardState.DISPATCHED: _ENDED | _STOPPED,
        AwardState.DELIVERED: frozenset({AwardState.PAID, AwardState.HELD, AwardState.ANNULLED}),
        AwardState.SHORT: frozenset({AwardState.PAID, AwardState.HELD, AwardState.ANNULLED}),
        AwardState.FAILED: frozenset({AwardState.PAID, AwardState.HELD, AwardState.ANNULLED}),
        AwardState.HELD: frozenset({AwardState.PAID, AwardState.ANNULLED}),
        AwardState.PAID: frozenset(),
        AwardState.REVOKED: frozenset(),
        AwardState.ANNULLED: frozenset(),
    }
)

DISPATCH_CHANGES: Final[Mapping[DispatchState, frozenset[DispatchState]]] = MappingProxyType(
    {
        DispatchState.NEW: frozenset({DispatchState.ACCEPTED, DispatchState.REJECTED, DispatchState.REVOKED}),
        DispatchState.ACCEPTED: frozenset({DispatchState.STARTED, DispatchState.REVOKED, DispatchState.ABORTED}),
        DispatchState.STARTED: frozenset({DispatchState.SUCCEEDED, DispatchState.ABORTED, DispatchState.REVOKED}),
        DispatchState.REJECTED: frozenset(),
        DispatchState.REVOKED: frozenset(),
        DispatchState.SUCCEEDED: frozenset(),
        DispatchState.ABORTED: frozenset(),
    }
)

_State = TypeVar("_State", OfferState, AwardState, DispatchState)


def can_change(changes: Mapping[_State, frozenset[_State]], state: _State, to: _State) -> bool:
    """Whether a machine allows the change."""
    return to in changes[state]


def is_end(changes: Mapping[_State, frozenset[_State]], state: _State) -> bool:
    """Whether nothing follows on a state."""
    return not changes[state]


def change(changes: Mapping[_State, frozenset[_State]], state: _State, to: _State) -> _State:
    """The new state; InvalidTransition where the machine does not allow it."""
    if not can_change(changes, state, to):
        raise InvalidTransition(type(state).__name__, state.name, to.name)
    return to


def offer_state(status: OfferStatus, gate_closure: int, now_s: float, *, all_awards_ended: bool = False) -> OfferState:
    """State of an offer from its status on the chain, its gate closure and the time [epoch s]."""
    if status is OfferStatus.NONE:
        raise ValueError("an offer that the chain does not know has no state")
    if status is OfferStatus.OPEN:
        return OfferState.CLOSED if now_s >= gate_closure else OfferState.OPEN
    if status is OfferStatus.FINAL and all_awards_ended:
        return OfferState.SETTLED
    return OfferState[status.name]
