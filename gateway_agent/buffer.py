"""The gateway's memory: readings with their hash chain, dispatches, acknowledgements, bids, and where the agent stands.

All that belongs to one moment is written in one transaction: `with buffer.transaction() as moment: …`. A reading is
kept until the oracle's receipt says STORED or DUPLICATE, and afterwards as long as there is room.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from gateway_agent.buffer_schema import acknowledgements, bids, dispatches, journal, open_engine, plan, readings, values
from gateway_agent.dispatch import Tracked
from market.domain.states import DispatchState
from market.domain.typed_data import Domain
from oracle.messages import (
    GENESIS_HASH,
    DispatchOrder,
    PlanEntry,
    Receipt,
    ReceiptOutcome,
    SignedAcknowledgement,
    SignedReading,
)

Json = dict[str, Any]

WAITING: Final = "WAITING"
CONFIRMED: Final = "CONFIRMED"
REFUSED: Final = "REFUSED"

PASSING_REFUSALS: Final = frozenset({"out-of-order", "interval-not-over", "unknown-gateway", "unsupported-key"})
"""Codes of refusals after which a reading is sent again."""

_ROOM_SHARE: Final = 0.9
_KEPT_DISPATCHES: Final = 1_000
_KEPT_JOURNAL: Final = 10_000
_KEPT_BIDS: Final = 5_000


@dataclass(frozen=True, slots=True)
class ChainHead:
    """End of the hash chain: the last reading's sequence (0: none) and the hash that the next one continues."""

    sequence: int
    entry_hash: str


@dataclass(frozen=True, slots=True)
class PlacedBid:
    """A bid as it was signed; pledges: kind of device -> (Wh up, Wh down). state: SIGNED, ACCEPTED or REFUSED."""

    offer: str
    revision: int
    interval: int
    price_ueur_kwh: int
    quantity: int
    minimum: int
    pledges: Mapping[str, tuple[int, int]]
    digest: str
    signature: str
    state: str = "SIGNED"
    answer: str = ""


class Moment:
    """Writes of one moment; they are all there or none."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_reading(self, reading: SignedReading, domain: Domain) -> None:
        """Append a reading to the chain; an interval or sequence that is there already is an IntegrityError."""
        row = reading.model_dump(mode="json")
        row |= {
            "entry_hash": reading.entry_hash(domain),
            "digest": reading.digest(domain),
            "state": WAITING,
            "reason": "",
        }
        self._connection.execute(insert(readings), [row])

    def confirm(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """Take receipts in; returns those that refuse a reading that was waiting. A refusal that will pass (an earlier
        reading has not arrived yet, the oracle's clock is behind) leaves the reading waiting."""
        refused = []
        for receipt in receipts:
            if receipt.outcome is ReceiptOutcome.REFUSED and receipt.code in PASSING_REFUSALS:
                continue
            is_refused = receipt.outcome is ReceiptOutcome.REFUSED
            reason = f"{receipt.code}: {receipt.reason}" if is_refused else ""
            found = self._connection.execute(
                update(readings)
                .where(readings.c.digest == receipt.subject, readings.c.state == WAITING)
                .values(state=REFUSED if is_refused else CONFIRMED, reason=reason)
            )
            if is_refused and found.rowcount:
                refused.append(receipt)
        return refused

    def save_dispatches(self, tracked: Iterable[Tracked]) -> None:
        """Keep dispatches and their present states."""
        for each in tracked:
            row = {
                "id": each.order.id,
                "interval": each.order.interval,
                "document": each.order.model_dump_json(),
                "state": each.state.name,
                "changed_at": each.changed_at,
                "reason": each.reason,
                "is_open": each.is_open,
            }
            statement = upsert(dispatches).values(row)
            self._connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))

    def add_acknowledgement(self, acknowledgement: SignedAcknowledgement) -> None:
        """An acknowledgement to be sent; the same state of a dispatch is acknowledged once."""
        row = {
            "dispatch": acknowledgement.dispatch,
            "state": acknowledgement.state,
            "payload": acknowledgement.model_dump_json(),
            "sent": False,
        }
        self._connection.execute(upsert(acknowledgements).values(row).on_conflict_do_nothing())

    def repeat_acknowledgements(self, dispatch: str) -> None:
        """Send a dispatch's acknowledgements once more, all of them: any may be missing, and each counts once."""
        of_dispatch = acknowledgements.c.dispatch == dispatch
        self._connection.execute(update(acknowledgements).where(of_dispatch).values(sent=False))

    def save_plan(self, entries: Iterable[PlanEntry]) -> None:
        """Keep nominated baselines; newer ones replace older ones."""
        for entry in entries:
            row = entry.model_dump()
            statement = upsert(plan).values(row)
            self._connection.execute(statement.on_conflict_do_update(index_elements=["interval"], set_=row))

    def save_bid(self, bid: PlacedBid) -> None:
        """Keep a bid before it is sent, and what became of it."""
        row = {name: getattr(bid, name) for name in PlacedBid.__slots__} | {"pledges": json.dumps(dict(bid.pledges))}
        statement = upsert(bids).values(row)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["offer", "revision"], set_=row))

    def set_value(self, name: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        row = {"name": name, "value": json.dumps(value)}
        statement = upsert(values).values(row)
        self._connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))

    def note(self, at: int, event: str, **detail: Any) -> None:
        """An entry of the owner's journal."""
        self._connection.execute(
            insert(journal), [{"at": at, "event": event, "detail": json.dumps(detail, default=str)}]
        )


class Buffer:
    """The buffer of one gateway, in one file."""

    def __init__(self, path: Path, most_megabytes: int = 256) -> None:
        self._most_bytes = most_megabytes * 1_000_000
        self._engine = open_engine(path, most_megabytes=most_megabytes)
        self._writer = self._engine.execution_options(writes=True)

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Moment]:
        """One transaction, on disk when the block ends; an exception undoes it all."""
        with self._writer.begin() as connection:
            yield Moment(connection)

    def _rows(self, statement: Any) -> list[Row[Any]]:
        with self._engine.connect() as connection:
            return list(connection.execute(statement))

    def head(self) -> ChainHead:
        """End of the hash chain."""
        statement = select(readings.c.sequence, readings.c.entry_hash).order_by(readings.c.sequence.desc()).limit(1)
        found = self._rows(statement)
        return ChainHead(found[0].sequence, found[0].entry_hash) if found else ChainHead(0, GENESIS_HASH)

    def has_reading(self, interval: int) -> bool:
        """Whether an interval was read already."""
        return bool(self._rows(select(readings.c.sequence).where(readings.c.interval == interval)))

    def waiting(self, limit: int = 32) -> list[tuple[str, SignedReading]]:
        """Oldest readings without a receipt, with their digests."""
        statement = select(readings).where(readings.c.state == WAITING).order_by(readings.c.sequence).limit(limit)
        return [(row.digest, _reading(row)) for row in self._rows(statement)]

    def all_readings(self) -> list[SignedReading]:
        """Every reading that is kept, in order of sequence."""
        return [_reading(row) for row in self._rows(select(readings).order_by(readings.c.sequence))]

    def counts(self) -> dict[str, int]:
        """Readings by state: WAITING, CONFIRMED, REFUSED."""
        statement = select(readings.c.state, func.count().label("many")).group_by(readings.c.state)
        return {WAITING: 0, CONFIRMED: 0, REFUSED: 0} | {row.state: row.many for row in self._rows(statement)}

    def broken_link(self, domain: Domain) -> int | None:
        """Sequence of the first kept reading that does not continue the one before; None when the chain holds."""
        expected: str | None = None
        for reading in self.all_readings():
            if expected is not None and reading.previous_hash != expected:
                return reading.sequence
            expected = reading.entry_hash(domain)
        return None

    def dispatches(self, *, only_open: bool = False, ids: Iterable[str] | None = None) -> dict[str, Tracked]:
        """Dispatches by id: all, those that are open, or those of `ids` that are known."""
        statement = select(dispatches).order_by(dispatches.c.interval)
        if only_open:
            statement = statement.where(dispatches.c.is_open)
        if ids is not None:
            statement = statement.where(dispatches.c.id.in_(list(ids)))
        return {
            row.id: Tracked(
                DispatchOrder.model_validate_json(row.document), DispatchState[row.state], row.changed_at, row.reason
            )
            for row in self._rows(statement)
        }

    def unsent_acknowledgements(self, limit: int = 32) -> list[tuple[int, bytes]]:
        """Number and payload of acknowledgements that the broker has not taken yet, oldest first."""
        statement = select(acknowledgements.c.number, acknowledgements.c.payload)
        statement = statement.where(~acknowledgements.c.sent).order_by(acknowledgements.c.number).limit(limit)
        return [(row.number, row.payload.encode()) for row in self._rows(statement)]

    def sent_acknowledgements(self) -> list[bytes]:
        """Payloads of the acknowledgements that the broker has taken, oldest first."""
        statement = (
            select(acknowledgements.c.payload).where(acknowledgements.c.sent).order_by(acknowledgements.c.number)
        )
        return [row.payload.encode() for row in self._rows(statement)]

    def acknowledged(self, number: int) -> None:
        """The broker took an acknowledgement."""
        with self._writer.begin() as connection:
            connection.execute(update(acknowledgements).where(acknowledgements.c.number == number).values(sent=True))

    def bid_of(self, offer: str) -> PlacedBid | None:
        """The latest bid on an offer."""
        statement = select(bids).where(bids.c.offer == offer).order_by(bids.c.revision.desc()).limit(1)
        return next((_bid(row) for row in self._rows(statement)), None)

    def bids_from(self, interval: int) -> list[PlacedBid]:
        """Bids for an interval and all later ones."""
        return [_bid(row) for row in self._rows(select(bids).where(bids.c.interval >= interval))]

    def baseline_wh(self, interval: int) -> int | None:
        """Nominated baseline [Wh]; None when none is known."""
        found = self._rows(select(plan.c.baseline_wh).where(plan.c.interval == interval))
        return int(found[0][0]) if found else None

    def value(self, name: str) -> Any:
        """The JSON value kept under a name; None when there is none."""
        found = self._rows(select(values.c.value).where(values.c.name == name))
        return json.loads(found[0][0]) if found else None

    def journal(self, limit: int = 50) -> list[Json]:
        """Latest entries of the owner's journal, newest first."""
        rows = self._rows(select(journal).order_by(journal.c.number.desc()).limit(limit))
        return [{"at": row.at, "event": row.event, **json.loads(row.detail)} for row in rows]

    def prune(self) -> int:
        """Delete what is of no more use and, when space is short, what is of low priority: the journal, old bids and
        plans, then the oldest confirmed readings. What waits for a receipt or was refused stays. Returns rows gone."""
        with self._writer.begin() as connection:
            gone = _prune_old(connection, journal.c.number, _KEPT_JOURNAL)
            gone += _prune_old(connection, acknowledgements.c.number, 4 * _KEPT_DISPATCHES)
            gone += _prune_by_interval(connection, dispatches, _KEPT_DISPATCHES)
            gone += _prune_by_interval(connection, bids, _KEPT_BIDS)
            gone += _prune_by_interval(connection, plan, _KEPT_BIDS)
            if _used_bytes(connection) > self._most_bytes * _ROOM_SHARE:
                gone += _make_room(connection)
        return gone


def _used_bytes(connection: Connection) -> int:
    def pragma(name: str) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size")


def _make_room(connection: Connection) -> int:
    gone = connection.execute(delete(journal)).rowcount
    for table in (bids, plan):
        gone += _prune_by_interval(connection, table, _KEPT_BIDS // 10)
    confirmed = select(readings.c.sequence).where(readings.c.state == CONFIRMED).order_by(readings.c.sequence)
    many = connection.execute(select(func.count()).select_from(confirmed.subquery())).scalar_one()
    oldest = confirmed.limit(many // 4)
    return gone + connection.execute(delete(readings).where(readings.c.sequence.in_(oldest))).rowcount


def _prune_old(connection: Connection, number: Any, kept: int) -> int:
    newest = connection.execute(select(func.max(number))).scalar_one() or 0
    return connection.execute(delete(number.table).where(number <= newest - kept)).rowcount


def _prune_by_interval(connection: Connection, table: Any, kept: int) -> int:
    oldest_kept = select(table.c.interval).order_by(table.c.interval.desc()).offset(kept).limit(1)
    bound = connection.execute(oldest_kept).scalar_one_or_none()
    return 0 if bound is None else connection.execute(delete(table).where(table.c.interval <= bound)).rowcount


def _reading(row: Row[Any]) -> SignedReading:
    return SignedReading.model_validate_json(
        json.dumps({name: getattr(row, name) for name in SignedReading.model_fields})
    )


def _bid(row: Row[Any]) -> PlacedBid:
    fields = {name: getattr(row, name) for name in PlacedBid.__slots__}
    pledges = {kind: (int(up), int(down)) for kind, (up, down) in json.loads(row.pledges).items()}
    return PlacedBid(**(fields | {"pledges": pledges}))
