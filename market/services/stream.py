"""What happened, for streams: the chain's events for everybody, and notices for those whom they concern, by topic.

Events say that something happened and where, without its contents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from market.services.access import Principal
from market.services.notices import heard_by
from market.store.books import CapacityContract
from market.store.projections import ChainEvent, FlexibilityRequest, Nanogrid, Offer, Portfolio
from market.store.work import Notice

TOPICS: Final = {
    "signals": ("SignalSet", "TsoRequestValidated"),
    "requests": ("RequestPublished", "RequestReclaimed"),
    "offers": ("OfferOpened", "OfferCancelled", "OfferExpired"),
    "bids": ("BidsPosted", "BidSkipped"),
    "clearing": ("Cleared", "VerdictGiven", "ClearingProgressed"),
    "awards": ("Finalised",),
    "commands": ("CommandGiven",),
    "dispatches": (),
    "settlements": ("AwardsSettled", "CommandSettled", "AwardSkipped"),
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
        "SeatClosed", "SeatSuspended", "SeatReinstated", "SeatOwnerChanged", "SeatTransferAnnounced",
        "SeatTransferVetoed", "SignerChanged", "CoverChanged",
        "GatewayChanged", "EnrolmentOpened", "RoleGranted", "RoleRevoked", "PauseChanged",
    ),
}  # fmt: skip
"""Topic → the chain's events that belong to it. Notices come beside them: of received and late `bids`, of `readings`
that have arrived, and of `dispatches` on their way."""

_TOPIC_OF: Final = {event: topic for topic, events in TOPICS.items() for event in events}
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in the chain's order of events, and one in that of notices."""

    block: int
    log_index: int
    notice: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor of an event's id, "block.log_index.notice". Raises ValueError."""
        block, log_index, notice = map(int, text.split("."))
        if not all(0 <= part < 2**63 for part in (block, log_index, notice)):
            raise ValueError(f"{text} is no place in the stream")
        return cls(block, log_index, notice)

    def __str__(self) -> str:
        return f"{self.block}.{self.log_index}.{self.notice}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something happened, as far as it is at one place."""

    node: int | None = None
    portfolio: int | None = None
    nanogrid: int | None = None
    offer: str | None = None

    def document(self) -> dict[str, Any]:
        known = {"node": self.node, "nanogrid": self.nanogrid, "offer": self.offer}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a listener asks for: topics, and places where it names any."""

    topics: Sequence[str]
    node: int | None = None
    nanogrid: int | None = None
    offer: str | None = None

    def holds(self, place: Place) -> bool:
        """Whether a place is asked for. A nanogrid's are also those of its portfolio's auctions as a whole."""
        shared = place.nanogrid is None and place.portfolio is not None
        in_nanogrid = place.portfolio == (self.nanogrid or 0) >> 16 if shared else place.nanogrid == self.nanogrid
        return (
            self.node in (None, place.node)
            and self.offer in (None, place.offer)
            and (self.nanogrid is None or in_nanogrid)
        )


Told = tuple[Cursor, str, dict[str, Any]]


def head(session: Session) -> Cursor:
    """The last event there is."""
    last = session.execute(
        select(ChainEvent.block, ChainEvent.log_index)
        .order_by(ChainEvent.block.desc(), ChainEvent.log_index.desc())
        .limit(1)
    ).first()
    notice = session.scalar(select(func.coalesce(func.max(Notice.id), 0)))
    return Cursor(*(last or (0, 0)), notice or 0)


def look(session: Session, cursor: Cursor, wanted: Wanted, principal: Principal | None) -> tuple[Cursor, list[Told]]:
    """What has happened after a cursor: the cursor behind all that was looked at, and (cursor, topic, what happened) of
    the events that were asked for and may be heard by the caller."""
    last = head(session)
    rows = _chain_events(session, cursor, wanted)
    found = list(_told_by_chain(session, cursor, wanted, rows))
    end = rows[-1] if len(rows) == _AT_ONCE else last
    cursor = max(cursor, replace(cursor, block=end.block, log_index=end.log_index))
    if principal is None:
        return replace(cursor, notice=max(cursor.notice, last.notice)), found
    notices = _notices(session, cursor, wanted, principal)
    found += _told_by_notices(cursor, wanted, notices)
    seen = notices[-1][0].id if len(notices) == _AT_ONCE else last.notice
    return replace(cursor, notice=max(cursor.notice, seen)), found


def _chain_events(session: Session, cursor: Cursor, wanted: Wanted) -> Sequence[ChainEvent]:
    names = [event for topic in wanted.topics for event in TOPICS[topic]]
    return session.scalars(
        select(ChainEvent)
        .where(
            tuple_(ChainEvent.block, ChainEvent.log_index) > tuple_(cursor.block, cursor.log_index),
            ChainEvent.event.in_(names),
        )
        .order_by(ChainEvent.block, ChainEvent.log_index)
        .limit(_AT_ONCE)
    ).all()


def _told_by_chain(session: Session, cursor: Cursor, wanted: Wanted, rows: Sequence[ChainEvent]) -> Iterator[Told]:
    for row in rows:
        place = _place_of(session, row.arguments)
        if wanted.holds(place):
            what = {"event": row.event, "subject": row.subject, "block": row.block, "at": row.block_time}
            at = Cursor(row.block, row.log_index, cursor.notice)
            yield at, _TOPIC_OF[row.event], what | place.document()


def _place_of(session: Session, arguments: Mapping[str, Any]) -> Place:
    """Where an event of the chain happened, by what its arguments name."""
    offer = session.get(Offer, arguments["offer"]) if "offer" in arguments else None
    capacity = session.get(CapacityContract, arguments["id"]) if "id" in arguments else None
    request = session.get(FlexibilityRequest, arguments["request"]) if "request" in arguments else None
    nanogrid = arguments.get("nanogrid", capacity and capacity.nanogrid)
    number = arguments.get("portfolio", offer.portfolio if offer else None if nanogrid is None else nanogrid >> 16)
    portfolio = None if number is None else session.get(Portfolio, number)
    node = portfolio.node if portfolio else arguments.get("node", request and request.node)
    return Place(node, number, nanogrid, arguments.get("offer"))


def _notices(session: Session, cursor: Cursor, wanted: Wanted, principal: Principal) -> Sequence[tuple[Notice, int]]:
    rows = session.execute(
        select(Notice, Nanogrid.node)
        .join(Nanogrid, Nanogrid.nanogrid == Notice.nanogrid)
        .where(Notice.id > cursor.notice, Notice.topic.in_(wanted.topics), heard_by(session, principal))
        .order_by(Notice.id)
        .limit(_AT_ONCE)
    )
    return [(notice, node) for notice, node in rows]


def _told_by_notices(cursor: Cursor, wanted: Wanted, notices: Sequence[tuple[Notice, int]]) -> Iterator[Told]:
    for row, node in notices:
        place = Place(node, row.nanogrid >> 16, row.nanogrid, row.offer)
        if wanted.holds(place):
            what = {"event": row.event, "subject": row.subject, "interval": row.interval, "at": row.at}
            yield replace(cursor, notice=row.id), row.topic, what | place.document()
