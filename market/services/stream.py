"""What happened, for streams: the chain's events by topic, without their contents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from market.store.projections import ChainEvent

TOPICS: Final = {
    "signals": ("SignalSet",),
    "requests": ("RequestPublished", "RequestReclaimed"),
    "offers": ("OfferOpened", "OfferCancelled", "OfferExpired"),
    "bids": ("BidsPosted", "BidSkipped"),
    "clearing": ("Cleared", "VerdictGiven", "ClearingProgressed"),
    "awards": ("Finalised",),
    "commands": ("CommandGiven",),
    "settlements": ("AwardSettled", "CommandSettled", "AwardSkipped"),
    "readings": ("ReadingsAnchored", "ReadingAnnounced", "ReadingsAnnulled"),
    "accounts": ("Deposited", "Withdrawn", "PaidOut", "BondFunded", "BondWithdrawn"),
    "participants": ("NodeRegistered", "PortfolioRegistered", "SeatRegistered", "GatewayChanged", "SignerChanged"),
}
"""Topic → the events that belong to it."""

_TOPIC_OF: Final = {event: topic for topic, events in TOPICS.items() for event in events}
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in the chain's order of events."""

    block: int
    log_index: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor of an event's id, "block.log_index". Raises ValueError."""
        block, _, log_index = text.partition(".")
        return cls(int(block), int(log_index))

    def __str__(self) -> str:
        return f"{self.block}.{self.log_index}"


def head(session: Session) -> Cursor:
    """The last event there is."""
    block, log_index = session.execute(
        select(func.coalesce(func.max(ChainEvent.block), 0), func.coalesce(func.max(ChainEvent.log_index), 0))
    ).one()
    return Cursor(int(block), int(log_index))


def events_after(
    session: Session, cursor: Cursor, topics: Iterable[str]
) -> Sequence[tuple[Cursor, str, dict[str, Any]]]:
    """(cursor, topic, what happened) of the next events of some topics, oldest first."""
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
            Cursor(row.block, row.log_index),
            _TOPIC_OF[row.event],
            {"event": row.event, "subject": row.subject, "block": row.block, "at": row.block_time},
        )
        for row in rows
    ]
