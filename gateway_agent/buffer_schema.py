"""Tables of the gateway's local buffer (SQLite): what happened, what is still to be sent, where the agent stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    text,
)

metadata = MetaData()

readings = Table(
    "readings",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("nanogrid", Integer, nullable=False),
    Column("interval", Integer, nullable=False, unique=True),
    Column("active_energy_wh", Integer, nullable=False),
    Column("reactive_energy_varh", Integer, nullable=False),
    Column("quality", Text, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("entry_hash", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("signature", Text, nullable=False),
    Column("state", Text, nullable=False),  # WAITING, CONFIRMED, REFUSED
    Column("reason", Text, nullable=False, default=""),
    Index("readings_by_state", "state", "sequence"),
)

dispatches = Table(
    "dispatches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("interval", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed_at", Integer, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("is_open", Boolean, nullable=False),
    Index("dispatches_by_interval", "interval"),
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("dispatch", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("sent", Boolean, nullable=False, default=False),
    Index("acknowledgements_by_sent", "sent", "number"),
    UniqueConstraint("dispatch", "state"),
)

bids = Table(
    "bids",
    metadata,
    Column("offer", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("interval", Integer, nullable=False),
    Column("price_ueur_kwh", Integer, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("minimum", Integer, nullable=False),
    Column("pledges", Text, nullable=False),  # JSON: kind of device -> [Wh up, Wh down]
    Column("digest", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("state", Text, nullable=False),  # SIGNED, ACCEPTED, REFUSED
    Column("answer", Text, nullable=False, default=""),
    Index("bids_by_interval", "interval"),
)

plan = Table(
    "plan",
    metadata,
    Column("interval", Integer, primary_key=True),
    Column("baseline_wh", Integer, nullable=False),
    Column("baseline_varh", Integer, nullable=False),
)

# What a single value is enough for: the driver's state, moments done, the newest snapshot's revision, owner's wishes.
values = Table("values", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

# What the owner may want to read: refusals, curtailments, faults. Of low priority: it goes first when space is short.
journal = Table(
    "journal",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", Integer, nullable=False),
    Column("event", Text, nullable=False),
    Column("detail", Text, nullable=False),
)


_LOG_BYTES: Final = 512_000
"""How long the write-ahead log may grow: by default four megabytes, for each gateway of a small disk."""


def open_engine(path: Path, *, most_megabytes: int) -> Engine:
    """The database of a file, made when it is not there: WAL, every commit on disk (synchronous=FULL), bounded."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, as IMMEDIATE
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        page_bytes = cursor.execute("PRAGMA page_size").fetchone()[0]
        cursor.execute(f"PRAGMA wal_autocheckpoint={_LOG_BYTES // page_bytes}")
        cursor.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
        cursor.execute(f"PRAGMA max_page_count={most_megabytes * 1_000_000 // page_bytes}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that began as a reader could be refused in the middle.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    with engine.execution_options(writes=True).begin() as connection:
        metadata.create_all(connection)
        connection.execute(text("PRAGMA user_version=1"))
    path.chmod(0o600)
    return engine
