"""The database: migration, transactions, and what each kind of database must guarantee."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, MetaData, Table, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from market.store.database import INDEXER_LOCK, lock, migrate, open_engine, read_scope, session_scope
from market.store.models import (
    Base,
    BidReceived,
    Document,
    GridSignal,
    IndexerCursor,
    Reading,
    SignedDecision,
    projection_tables,
)
from market.store.partitions import add_month_partitions

HASH = "0x" + 32 * "ab"
ADDRESS = "0x" + 40 * "1"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    migrate(database_url)
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


def document(hash_: str = HASH) -> Document:
    return Document(hash=hash_, kind="reason", body="{}", created_at=1)


def reading(interval: int, sequence: int) -> Reading:
    return Reading(
        nanogrid=65536,
        interval=interval,
        sequence=sequence,
        gateway=ADDRESS,
        active_energy_wh=-250,
        reactive_energy_varh=10,
        payload=b"{}",
        signature=bytes(64),
        digest=HASH,
        previous_hash=HASH,
        salt=bytes(32),
        quality="MEASURED",
        received_at=interval + 900,
    )


def test_the_migration_makes_exactly_the_tables_of_the_models(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_ours, "compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    assert differences == []


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Partitions of the readings are tables of the database, not of the models."""
    return kind != "table" or not (name or "").startswith("readings_")


def test_migrating_again_changes_nothing(database_url: str) -> None:
    migrate(database_url)
    engine = open_engine(database_url)
    with session_scope(engine) as session:
        session.add(document())
    migrate(database_url)
    with read_scope(engine) as session:
        assert session.get(Document, HASH) is not None
    engine.dispose()


def test_bids_that_were_received_at_once_before_are_ended_by_the_migration(database_url: str) -> None:
    migrate(database_url, "0003")
    engine = open_engine(database_url)
    bids = Table("bids_received", MetaData(), autoload_with=engine)  # as it was then
    with engine.begin() as connection:
        for number, revision in enumerate((0, 0, 1)):
            connection.execute(
                bids.insert().values(
                    offer=HASH, nanogrid=1, index=1, interval=900, price_ueur_kwh=1, quantity=1, minimum=0,
                    revision=revision, signature=bytes(64), signer=ADDRESS, digest=f"0x{number:064x}", received_at=1,
                    receipt_signature=bytes(65), state="RECEIVED",
                )
            )  # fmt: skip
    migrate(database_url)
    with read_scope(engine) as session:
        rows = session.scalars(select(BidReceived).order_by(BidReceived.id)).all()
        assert [(row.state, row.reason) for row in rows] == [
            ("RECEIVED", None), ("LATE", "WRONG_REVISION"), ("RECEIVED", None)
        ]  # fmt: skip
    engine.dispose()


def test_an_error_leaves_nothing_of_its_transaction(engine: Engine) -> None:
    def fail_halfway() -> None:
        with session_scope(engine) as session:
            session.add(document())
            session.flush()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_halfway()
    with read_scope(engine) as session:
        assert session.get(Document, HASH) is None


def test_writers_follow_each_other_and_none_fails(engine: Engine) -> None:
    """Each reads and then writes: without a lock from the start one of them would find its reading stale."""
    with session_scope(engine) as session:
        session.add(IndexerCursor(id=1, block=0, block_hash=HASH, block_time=0))

    def add_ten() -> None:
        for _ in range(10):
            with session_scope(engine) as session:
                lock(session, INDEXER_LOCK)
                session.get_one(IndexerCursor, 1).block += 1

    threads = [threading.Thread(target=add_ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with read_scope(engine) as session:
        assert session.get_one(IndexerCursor, 1).block == 40


@pytest.mark.postgresql
def test_a_process_that_hangs_in_a_transaction_loses_its_locks(
    postgresql_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.store.database._IDLE_IN_TRANSACTION_S", 1)
    hanging, other = open_engine(postgresql_database), open_engine(postgresql_database)
    with hanging.connect() as silent:
        silent.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": INDEXER_LOCK})
        started_s = time.monotonic()
        with session_scope(other) as waiting:
            lock(waiting, INDEXER_LOCK)
        assert time.monotonic() - started_s < 10
        with pytest.raises(DBAPIError, match="idle-in-transaction timeout"):
            silent.execute(text("SELECT 1"))
    hanging.dispose()
    other.dispose()


def test_a_server_whose_machine_is_gone_is_given_up_within_seconds() -> None:
    """Nothing comes from it any more, not even that the connection is closed: the kernel asks, and stops waiting."""
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as thread:
        connecting = thread.submit(open_engine(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none").connect)
        accepted, client = silent.accept()
        with accepted, _own_end(client) as end:
            accepted.recv(1)  # libpq sets the options before it speaks
            asks_after_s = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            times = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
            every_s = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert asks_after_s + times * every_s <= 15
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000
            assert isinstance(connecting.exception(15), DBAPIError), "one that accepts and is silent is given up, too"


def _own_end(address: tuple[str, int]) -> socket.socket:
    """This process' socket with an address of its own."""
    for path in Path("/proc/self/fd").iterdir():
        if path.is_socket():
            end = socket.socket(fileno=os.dup(int(path.name)))
            if end.family is socket.AF_INET and end.getsockname() == address:
                return end
            end.close()
    raise AssertionError(f"no socket has the address {address}")


def test_a_reader_waits_for_no_writer_and_sees_one_state(engine: Engine) -> None:
    with read_scope(engine) as reader:
        assert reader.scalars(select(Document)).all() == []
        with session_scope(engine) as session:
            session.add(document())
            session.flush()
            started_s = time.monotonic()
            with read_scope(engine) as other:
                assert other.scalars(select(Document)).all() == []
            assert time.monotonic() - started_s < 5
        assert reader.scalars(select(Document)).all() == []
    with read_scope(engine) as later:
        assert len(later.scalars(select(Document)).all()) == 1


def test_the_same_fact_is_stored_once(engine: Engine) -> None:
    def decision() -> SignedDecision:
        return SignedDecision(
            kind="Signal", signer=ADDRESS, message={"node": 1}, signature=bytes(65), digest=HASH, received_at=1
        )

    with session_scope(engine) as session:
        session.add(decision())
    with pytest.raises(IntegrityError), session_scope(engine) as session:
        session.add(decision())
    with session_scope(engine) as session:
        session.add(reading(0, 1))
    with pytest.raises(IntegrityError), session_scope(engine) as session:
        session.add(reading(0, 1))


def test_a_sequence_of_64_bits_keeps_its_value_and_its_order(engine: Engine) -> None:
    sequences = [2**64 - 1, 0, 2**63, 5]
    with session_scope(engine) as session:
        for sequence in sequences:
            session.add(
                GridSignal(
                    node=1, interval=900, kind=0, sequence=sequence, phase=1, reason=HASH, author=ADDRESS, set_at=1
                )
            )
    with read_scope(engine) as session:
        found = session.scalars(select(GridSignal.sequence).order_by(GridSignal.sequence)).all()
    assert found == sorted(sequences)


def test_numbers_are_wide_enough_for_the_chain(engine: Engine) -> None:
    largest = 2**48 - 1
    with session_scope(engine) as session:
        session.add(
            BidReceived(
                offer=HASH,
                nanogrid=largest,
                index=65535,
                interval=2**32 - 1,
                price_ueur_kwh=2**29 - 1,
                quantity=2**24 - 1,
                minimum=0,
                revision=0,
                signature=bytes(64),
                signer=ADDRESS,
                digest=HASH,
                received_at=2**40,
                receipt_signature=bytes(65),
            )
        )
    with read_scope(engine) as session:
        bid = session.scalars(select(BidReceived)).one()
        assert (bid.id, bid.nanogrid, bid.interval, bid.state) == (1, largest, 2**32 - 1, "RECEIVED")


def test_sqlite_keeps_each_commit_on_disk_and_checks_foreign_keys(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
        with engine.connect() as connection:
            found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}
        assert found == expected


def test_readings_lie_in_the_partition_of_their_month(engine: Engine) -> None:
    march = int(datetime(2031, 3, 1, tzinfo=UTC).timestamp())
    with engine.begin() as connection:
        added = add_month_partitions(connection, march, months=2)
    with session_scope(engine) as session:
        session.add_all([reading(march, 1), reading(march - 900, 2), reading(march + 40 * 86_400, 3)])
    if engine.dialect.name == "postgresql":
        assert added == ["readings_2031_03", "readings_2031_04"]
        counted = "SELECT tableoid::regclass::text, sequence FROM readings ORDER BY sequence"
        with engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(text(counted))]
        assert rows == [("readings_2031_03", 1), ("readings_other", 2), ("readings_2031_04", 3)]
    with engine.begin() as connection:
        assert add_month_partitions(connection, march, months=2) == []
    with read_scope(engine) as session:
        assert len(session.scalars(select(Reading)).all()) == 3


def test_what_can_be_rebuilt_is_apart_from_what_happened(engine: Engine) -> None:
    rebuildable = {table.name for table in projection_tables()}
    assert {"offers", "awards", "ledger_entries", "chain_events", "indexer_cursor"} <= rebuildable
    kept = {"bids_received", "signed_decisions", "documents", "readings", "transactions", "dispatches", "api_keys"}
    assert not kept & rebuildable
    assert kept | rebuildable <= set(inspect(engine).get_table_names())
