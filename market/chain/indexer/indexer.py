"""From the last finished block to the head: events of a range, projections and cursor in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from market import checkpoints
from market.chain.bindings import Contracts, Event
from market.chain.failover import one_node
from market.chain.indexer.projecting import Projecting
from market.chain.profiles import RpcError, rpc
from market.checkpoints import IndexerPoint
from market.store.database import INDEXER_LOCK, lock, read_scope, session_scope
from market.store.models import ChainEvent, IndexedBlock, IndexerCursor, projection_tables

log = structlog.get_logger(__name__)

_EVENTS = Counter("meritgrid_indexed_events_total", "Events taken in", ["contract", "event"])
_BLOCK = Gauge("meritgrid_indexed_block", "Last block that is taken in")
_BLOCK_TIME = Gauge("meritgrid_indexed_block_time_seconds", "Time of the last block that is taken in [epoch s]")
_LOOKED_AT = Gauge("meritgrid_indexed_at_seconds", "When the chain's head was last found taken in [epoch s]")
_FORKS = Counter("meritgrid_indexer_forks_total", "Times that the chain had changed behind the cursor")

RANGE_BLOCKS: Final = 5_000
"""Blocks in one transaction of the database at most."""
_KEPT_BLOCKS: Final = 1_000
"""How many hashes are kept for finding where a fork began; an older one means to rebuild everything."""
_REPLAY_EVENTS: Final = 5_000
_CURSOR_ID: Final = 1


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Block:
    number: int
    hash: str
    time_s: int


class Indexer:
    """Keeps the projections up to date. Several threads and processes may call it at once: each range is done once."""

    def __init__(self, contracts: Contracts, engine: Engine, confirmations: int = 0) -> None:
        """`confirmations`: blocks behind the head to stay, where blocks may still change."""
        self._contracts = contracts
        self._web3 = contracts.web3
        self._engine = engine
        self._confirmations = confirmations
        self._halvings = 0

    def index_now(self, progress: Progress | None = None) -> int:
        """Take in everything up to the present head, and return its block number.

        progress: is told how many blocks are done, of how many, after each range.

        Raises:
            OSError, RpcError: the chain does not answer; what was taken in until then stays.
        """
        last = self._index(progress)
        _LOOKED_AT.set_to_current_time()
        return last

    def _index(self, progress: Progress | None) -> int:
        head = int(rpc(self._web3, "eth_blockNumber"), 16) - self._confirmations
        while True:
            cursor = self._cursor()
            if cursor is None and head < self._contracts.deployment.first_block:
                return head
            if cursor is not None and cursor.number >= head:
                if self._is_current(cursor):
                    _show(cursor)  # another process may have taken it in
                    return cursor.number
                self._leave_fork(cursor)
                head = int(rpc(self._web3, "eth_blockNumber"), 16) - self._confirmations
                continue
            if cursor is not None and not self._is_on_chain(cursor):
                self._leave_fork(cursor)
                continue
            last = self._index_range(cursor, head)
            if progress is not None and last is not None:
                progress(last, head)
            if last == head:
                return head

    def reindex(self, progress: Progress | None = None) -> int:
        """Drop every projection and rebuild it from the chain; returns the last block.

        Until it is done, readers see the market as it was at the block that has been reached.
        """
        with session_scope(self._engine) as session:
            lock(session, INDEXER_LOCK)
            _drop(session)
        checkpoints.passed(IndexerPoint.DROPPED)
        return self.index_now(progress)

    # RANGES

    def _cursor(self) -> _Block | None:
        with read_scope(self._engine) as session:
            return _read_cursor(session)

    def _index_range(self, cursor: _Block | None, head: int) -> int | None:
        """Take in the next range and return its last block; None when it is to be tried again: another process was
        quicker, or the node was too slow for so many blocks."""
        first = self._contracts.deployment.first_block if cursor is None else cursor.number + 1
        blocks = max(1, RANGE_BLOCKS >> self._halvings)
        with one_node(self._web3):
            # First the last block: a node that does not have it yet would answer with a part of the events.
            end = self._block(min(max(first, head), first + blocks - 1))
            try:
                first, last, events = self._fetch(first, end.number)
            except OSError:
                if first == end.number:
                    raise
                self._halvings = (RANGE_BLOCKS // (end.number - first + 1)).bit_length()
                log.warning("no answer for a range of events: the next is shorter", first=first, last=end.number)
                return None
            if last != end.number:
                end = self._block(last)
        self._halvings = max(0, self._halvings - 1)
        with session_scope(self._engine) as session:
            lock(session, INDEXER_LOCK)
            if _read_cursor(session) != cursor:
                return None
            run = Projecting(session, self._contracts.deployment.parameters.time_unit_s)
            for event in events:
                session.add(_row(event, _subject_of(event)))
                run.apply(event)
            _write_cursor(session, end)
            session.flush()
            checkpoints.passed(IndexerPoint.PROJECTED)
        checkpoints.passed(IndexerPoint.TAKEN_IN)
        for event in events:
            _EVENTS.labels(event.contract, event.name).inc()
        _show(end)
        return end.number

    def _fetch(self, first: int, last: int) -> tuple[int, int, list[Event]]:
        """Events of a range; a shorter one where the node refuses to answer for so many."""
        query = {
            "address": list(self._contracts.deployment.addresses.values()),
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        try:
            logs: Sequence[Mapping[str, Any]] = rpc(self._web3, "eth_getLogs", query)
        except RpcError:
            if first == last:
                raise
            return self._fetch(first, (first + last) // 2)
        times_s = self._block_times(logs)
        decoded = (self._contracts.decode(entry, times_s.get(entry["blockNumber"])) for entry in logs)
        events = sorted((event for event in decoded if event), key=lambda event: (event.block, event.log_index))
        return first, last, events

    def _block_times(self, logs: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """Times of the blocks whose logs do not bear them. [epoch s]"""
        numbers = {entry["blockNumber"] for entry in logs if "blockTimestamp" not in entry}
        return {number: self._block(int(number, 16)).time_s for number in numbers}

    def _block(self, number: int) -> _Block:
        found = rpc(self._web3, "eth_getBlockByNumber", hex(number), False)
        if found is None:
            raise RpcError("eth_getBlockByNumber", {"message": f"the node has no block {number}"})
        return _Block(number, found["hash"], int(found["timestamp"], 16))

    # FORKS

    def _is_on_chain(self, block: _Block | IndexedBlock) -> bool:
        found = rpc(self._web3, "eth_getBlockByNumber", hex(block.number), False)
        if found is None:
            return self._contracts.profile.is_final  # the node lags
        return bool(found["hash"] == block.hash)

    def _is_current(self, cursor: _Block) -> bool:
        """Whether the chain still has the cursor's block; of several nodes, one with a lower head only lags."""
        head = int(rpc(self._web3, "eth_blockNumber"), 16)
        if head < cursor.number:
            return not self._contracts.profile.single_node
        return self._is_on_chain(cursor)

    def _leave_fork(self, left: _Block) -> None:
        """Go back to the last block that the chain still has, and rebuild the projections up to there.

        `left` is the cursor that the chain no longer has; where another process has moved it, that one has done it.
        """
        _FORKS.inc()
        with read_scope(self._engine) as session:
            kept = list(session.scalars(select(IndexedBlock).order_by(IndexedBlock.number.desc())))
        common = next((block for block in kept if self._is_on_chain(block)), None)
        log.warning("the chain has changed behind the cursor", common_block=common.number if common else None)
        if common is None:
            with session_scope(self._engine) as session:
                lock(session, INDEXER_LOCK)
                if _read_cursor(session) == left:
                    _drop(session)
            checkpoints.passed(IndexerPoint.DROPPED)
            return
        base = self._block(common.number)
        with session_scope(self._engine) as session:
            lock(session, INDEXER_LOCK)
            if _read_cursor(session) != left:
                return
            events = _stored_events(session, base.number)
            blocks = [block for block in kept if block.number <= base.number]
            _drop(session)
            run = Projecting(session, self._contracts.deployment.parameters.time_unit_s)
            for event, subject in events:
                session.add(_row(event, subject))
                run.apply(event)
            session.add_all(
                IndexedBlock(number=block.number, hash=block.hash) for block in blocks if block.number < base.number
            )
            _write_cursor(session, base)
            session.flush()
            checkpoints.passed(IndexerPoint.REWINDING)
        checkpoints.passed(IndexerPoint.REWOUND)


def _show(block: _Block) -> None:
    _BLOCK.set(block.number)
    _BLOCK_TIME.set(block.time_s)


def _subject_of(event: Event) -> str:
    """The first argument of an event as the chain gives it: PostgreSQL keeps no order of a document's fields."""
    return str(next(iter(event.arguments.values()), ""))[:200]


def _row(event: Event, subject: str) -> ChainEvent:
    return ChainEvent(
        block=event.block,
        log_index=event.log_index,
        block_time=event.block_time,
        transaction=event.transaction,
        contract=event.contract,
        event=event.name,
        subject=subject,
        arguments=dict(event.arguments),
    )


def _stored_events(session: Session, last: int) -> list[tuple[Event, str]]:
    """Events up to a block, each with its subject."""
    rows = session.scalars(
        select(ChainEvent).where(ChainEvent.block <= last).order_by(ChainEvent.block, ChainEvent.log_index)
    ).yield_per(_REPLAY_EVENTS)
    return [
        (
            Event(row.contract, row.event, row.arguments, row.block, row.log_index, row.block_time, row.transaction),
            row.subject,
        )
        for row in rows
    ]


def _drop(session: Session) -> None:
    for table in reversed(projection_tables()):
        session.execute(delete(table))
    session.expunge_all()


def _read_cursor(session: Session) -> _Block | None:
    row = session.get(IndexerCursor, _CURSOR_ID)
    return None if row is None else _Block(row.block, row.block_hash, row.block_time)


def _write_cursor(session: Session, block: _Block) -> None:
    row = session.get(IndexerCursor, _CURSOR_ID)
    if row is None:
        row = IndexerCursor(id=_CURSOR_ID)
        session.add(row)
    row.block, row.block_hash, row.block_time = block.number, block.hash, block.time_s
    session.add(IndexedBlock(number=block.number, hash=block.hash))
    session.execute(delete(IndexedBlock).where(IndexedBlock.number < block.number - _KEPT_BLOCKS))
