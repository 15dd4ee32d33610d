"""What happened, for streams: the chain's events and the gateways' answers by topic, without their contents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from market.domain.states import DispatchState
from market.store.facts import Acknowledgement
from market.store.projections import ChainEvent

TOPICS: Final = {
    "signals": ("SignalSet", "TsoRequestValidated"),
    "requests": ("RequestPublished", "RequestReclaimed"),
    "offers": ("OfferOpened", "OfferCancelled", "OfferExpired"),
    "bids": ("BidsPosted", "BidSkipped"),
    "clearing": ("Cleared", "VerdictGiven", "ClearingProgressed"),
    "awards": ("Finalised",),
    "commands": ("CommandGiven",),
    "dispatches": (),
    "settlements": ("AwardSettled", "CommandSettled", "AwardSkipped"),
    "holds": ("HoldPlaced", "HoldDecided"),
    "capacity": ("CapacityContractRegistered", "AvailabilityPaid", "AvailabilityForfeited"),
    "readings": ("BaselineAnchored", "ReadingsAnchored", "ReadingAnnounced", "ReadingsAnnulled"),
    "accounts": (
        "Deposited", "Withdrawn", "PaidOut", "BondFunded", "UnbondingStarted", "BondWithdrawn", "BondCharged",
        "SeatDebtChanged", "AccountDebtChanged", "AccountDebtPaid", "EscrowLocked", "EscrowMoved", "EscrowReleased",
        "Minted", "Burned",
    ),
    "participants": (
        "NodeRegistered", "NodeDsoChanged", "PortfolioRegistered", "PortfolioAggregatorChanged", "SeatRegistered",
        "SeatClosed", "SeatSuspended", "SeatReinstated", "SeatOwnerChanged", "SignerChanged", "CoverChanged",
        "GatewayChanged", "EnrolmentOpened", "RoleGranted", "RoleRevoked", "PauseChanged",
    ),
}  # fmt: skip
"""Topic → the chain's events that belong to it; `dispatches` are the gateways' signed answers."""

_TOPIC_OF: Final = {event: topic for topic, events in TOPICS.items() for event in events}
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in the chain's order of events, and one in the order in which gateways have answered."""

    block: int
    log_index: int
    answer: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor of an event's id, "block.log_index.answer". Raises ValueError."""
        block, log_index, answer = text.split(".")
        return cls(int(block), int(log_index), int(answer))

    def __str__(self) -> str:
        return f"{self.block}.{self.log_index}.{self.answer}"


def head(session: Session) -> Cursor:
    """The last event there is."""
    last = session.execute(
        select(ChainEvent.block, ChainEvent.log_index)
        .order_by(ChainEvent.block.desc(), ChainEvent.log_index.desc())
        .limit(1)
    ).first()
    answer = session.scalar(select(func.coalesce(func.max(Acknowledgement.id), 0)))
    return Cursor(*(last or (0, 0)), answer or 0)


def events_after(
    session: Session, cursor: Cursor, topics: Iterable[str]
) -> Sequence[tuple[Cursor, str, dict[str, Any]]]:
    """(cursor, topic, what happened) of the next events of some topics: the chain's, then the gateways' answers."""
    wanted = list(topics)
    found = _chain_events(session, cursor, wanted)
    if "dispatches" in wanted:
        found += _answers(session, found[-1][0] if found else cursor)
    return found


def _chain_events(session: Session, cursor: Cursor, topics: Iterable[str]) -> list[tuple[Cursor, str, dict[str, Any]]]:
    names = [event for topic in topics for event in TOPICS[topic]]
    rows = session.scalars(
        select(ChainEvent)
        .where(
            tuple_(ChainEvent.block, ChainEvent.log_index) > tuple_(cursor.block, cursor.log_index),
            ChainEvent.event.in_(names),
        )
        .order_by(ChainEvent.block, ChainEvent.log_index)
        .limit(_AT_ONCE)
    )
    return [
        (
            Cursor(row.block, row.log_index, cursor.answer),
            _TOPIC_OF[row.event],
            {"event": row.event, "subject": row.subject, "block": row.block, "at": row.block_time},
        )
        for row in rows
    ]


def _answers(session: Session, cursor: Cursor) -> list[tuple[Cursor, str, dict[str, Any]]]:
    rows = session.scalars(
        select(Acknowledgement).where(Acknowledgement.id > cursor.answer).order_by(Acknowledgement.id).limit(_AT_ONCE)
    )
    return [
        (
            Cursor(cursor.block, cursor.log_index, row.id),
            "dispatches",
            {"event": DispatchState(row.state).name, "subject": row.dispatch, "at": row.at},
        )
        for row in rows
    ]
