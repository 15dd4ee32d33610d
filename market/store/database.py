"""The database: engine, sessions and migration.

SQLite (WAL, each commit on disk, foreign keys on, writers one after the other from their first statement) or
PostgreSQL through psycopg 3, by the URL.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from market.plain_words import in_words
from market.settings import SettingsError
from market.store.partitions import add_month_partitions

MIGRATIONS: Final = Path(__file__).resolve().parent / "migrations"
_BUSY_TIMEOUT_MS: Final = 30_000
_IDLE_IN_TRANSACTION_S: Final = 60
_READ_ONLY_OPTION: Final = "meritgrid_read_only"

VANISHED_SERVER: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""libpq: how soon [s; the last one ms] a server is given up whose machine or network is gone without a word. By Linux'
own settings whoever waits for its answer waits for two hours. The answer of one that is busy or stopped is waited for:
its machine still answers. What the database's URL says of these comes first."""

# Keys of PostgreSQL's advisory locks; on SQLite the one writer's lock does their work.
INDEXER_LOCK: Final = 0x4D475249
MIGRATION_LOCK: Final = 0x4D475230
NONCE_LOCK: Final = 0x4D47524E
SNAPSHOT_LOCK: Final = 0x4D475253
API_KEY_LOCK: Final = 0x4D47524B
NOTICE_LOCK: Final = 0x4D47524F
REVOCATION_LOCK: Final = 0x4D475258
INGEST_LOCK: Final = 0x4D475247


def open_engine(url: str) -> Engine:
    """The engine of a database URL; `postgresql://` means psycopg 3. The folder of a SQLite file is made."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    own = {name: value for name, value in VANISHED_SERVER.items() if name not in parsed.query}
    engine = create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=own)
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _open_sqlite(url: str) -> Engine:
    database = make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    # The transactions are begun below, not by the driver, which would begin them only at the first write.
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000, "isolation_level": None})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    # A process that hangs in the middle of a transaction must not keep the others from its rows for ever.
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_S}s'")
    connection.commit()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading from a read lock would fail when another has written in between.
    read_only = connection.get_execution_options().get(_READ_ONLY_OPTION, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """A session in one transaction that may write: committed at the end, rolled back when an error leaves it."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def read_scope(engine: Engine) -> Iterator[Session]:
    """A session that only reads, from one consistent state; it waits for no writer."""
    options = {_READ_ONLY_OPTION: True}
    if engine.dialect.name == "postgresql":
        options |= {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}  # type: ignore[dict-item]
    with Session(engine.execution_options(**options), expire_on_commit=False) as session:
        yield session


def lock(session: Session, key: int) -> None:
    """Wait until no other transaction holds the lock `key`, and hold it until this one ends.

    On SQLite a session of `session_scope` is the only writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def lock_gateway(session: Session, gateway: str) -> None:
    """As `lock`, between those transactions only that take in messages of the same gateway.

    Args:
        gateway: its address, 0x hex. Where the first four bytes of two are the same, one waits for the other in vain.
    """
    if session.get_bind().dialect.name == "postgresql":
        part = int.from_bytes(bytes.fromhex(gateway[2:10]), "big", signed=True)
        session.execute(text("SELECT pg_advisory_xact_lock(:key, :part)"), {"key": INGEST_LOCK, "part": part})


class DatabaseUnusable(SettingsError):
    """No work can begin on the database; the text says why, and what helps."""


class WrongVersion(DatabaseUnusable):
    """The database is of another version than this program, and this process cannot change that."""


def migrate(url: str, revision: str = "head") -> None:
    """Bring the tables of a database to a revision; harmless when they are there already.

    Raises:
        DatabaseUnusable: nobody answers there, or lets this role in.
        WrongVersion: the database is of a later version, or its role may not change tables.
    """
    engine = open_engine(url)
    try:
        with _connected(engine) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            _require_version(connection, ScriptDirectory.from_config(config))
            command.upgrade(config, revision)
            if revision == "head":
                add_month_partitions(connection, int(time.time()))
    finally:
        engine.dispose()


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except OperationalError as problem:
        shown, reason = engine.url.render_as_string(hide_password=True), in_words(problem.orig or problem)
        raise DatabaseUnusable(
            f"the database {shown} cannot be used ({reason}): start it, or set MERITGRID_DATABASE_URL right"
        ) from problem


def _require_version(connection: Connection, scripts: ScriptDirectory) -> None:
    """That the database is of this version, or may be brought to it by this connection's role."""
    newest, role = scripts.get_current_head(), connection.engine.url.username
    try:
        current = MigrationContext.configure(connection).get_current_revision()
    except ProgrammingError as problem:
        raise WrongVersion(
            f"the role {role} may not read which version the database is of: run "
            "scripts/production/postgresql/privileges.sql with the market's role, then start this again"
        ) from problem
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise WrongVersion(
            f"the database is of version {current}, and this program knows none later than {newest}: install the "
            "program that made it, or restore a backup of the database from before"
        )
    if current != newest and not _may_make_tables(connection):
        raise WrongVersion(
            f"the database is of version {current or 'none'}, this program needs {newest}, and the role "
            f"{role} may not change tables: run `meritgrid market migrate` with the market's "
            "role, then scripts/production/postgresql/privileges.sql, then start this again"
        )


def _may_make_tables(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.scalar(text("SELECT has_schema_privilege(current_user, 'public', 'CREATE')")))
