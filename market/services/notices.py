"""Notices of what happens beside the chain, for streams: written with what they tell of, heard by those who may read.

They say that something happened, not what: bids, readings and dispatches themselves come from their routes.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, delete, false, func, or_, select
from sqlalchemy.orm import Session

from market.services.access import Principal
from market.services.roles import concerning, in_own_time, measured_for, own
from market.store.database import NOTICE_LOCK, lock
from market.store.facts import BidReceived, Reading
from market.store.work import Dispatch, Notice

BIDS: Final = "bids"
DISPATCHES: Final = "dispatches"
READINGS: Final = "readings"
_KEPT_S: Final = 2 * 86_400


def note_bid(session: Session, bid: BidReceived, event: str, at: int) -> None:
    """A bid was received, or is late."""
    notice = Notice(
        topic=BIDS, event=event, subject=bid.digest, nanogrid=bid.nanogrid, interval=bid.interval, offer=bid.offer,
        account=bid.signer, at=at,
    )  # fmt: skip
    _note(session, notice)


def note_dispatch(session: Session, dispatch: Dispatch, event: str, at: int) -> None:
    """A dispatch came into a state."""
    notice = Notice(
        topic=DISPATCHES, event=event, subject=dispatch.id, nanogrid=dispatch.nanogrid, interval=dispatch.interval,
        offer=dispatch.offer, account=None, at=at,
    )  # fmt: skip
    _note(session, notice)


def note_reading(session: Session, reading: Reading, at: int) -> None:
    """A nanogrid's reading has come."""
    notice = Notice(
        topic=READINGS, event="RECEIVED", subject=str(reading.nanogrid), nanogrid=reading.nanogrid,
        interval=reading.interval, offer=None, account=None, at=at,
    )  # fmt: skip
    _note(session, notice)


def _note(session: Session, notice: Notice) -> None:
    with session.no_autoflush:
        hold_notices(session)
    session.add(notice)


def hold_notices(session: Session) -> None:
    """Let no other transaction write notices before this one ends, so that they become visible in the order of their
    ids, and a stream that goes on behind the last one misses none.

    A notice does it by itself, and comes before its change; a change of many rows at once comes after this. So whoever
    holds rows waits for nobody who waits for them.
    """
    lock(session, NOTICE_LOCK)


def forget_old(session: Session, now_s: int) -> None:
    """Delete what nobody will ask for again; the last one stays, so that no id is given a second time."""
    last = select(func.max(Notice.id)).scalar_subquery()
    session.execute(delete(Notice).where(Notice.at < now_s - _KEPT_S, Notice.id < last))


def heard_by(session: Session, principal: Principal) -> ColumnElement[bool]:
    """Condition on Notice joined with its Nanogrid: what the caller may read by the routes of each topic.

    A new owner hears nothing from before it was the owner.
    """
    signed = Notice.account == principal.address if principal.nanogrid is None else false()
    may_read = or_(
        (Notice.topic == BIDS) & or_(own(principal), signed),
        (Notice.topic == DISPATCHES) & concerning(session, principal),
        (Notice.topic == READINGS) & measured_for(session, principal),
    )
    return may_read & in_own_time(principal, Notice.at)
