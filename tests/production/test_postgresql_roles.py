"""Each role of the database may do what its processes do, and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import ProgrammingError

from market.domain.typed_data import Domain
from market.store.database import WrongVersion, migrate, open_engine, session_scope
from market.store.partitions import month_partitions
from oracle.broker.credentials import let_in, new_service_account
from oracle.ingest import Ingest
from oracle.messages import ReadingBatch
from tests.chain.world import KEYS, U, World
from tests.conftest import TEST_EPOCH
from tests.databases import Cluster, run_sql
from tests.oracle.conftest import Meter

pytestmark = pytest.mark.postgresql

As = Callable[[str], Engine]


@pytest.fixture
def as_role(postgresql_cluster: Cluster, production_database: str) -> Iterator[As]:
    """An engine of the database as a role."""
    engines: list[Engine] = []

    def opened(role: str) -> Engine:
        engines.append(open_engine(postgresql_cluster.url(production_database, role)))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.dispose()


def refused(engine: Engine, statement: str) -> bool:
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    except ProgrammingError as problem:
        return "permission denied" in str(problem) or "must be owner" in str(problem)
    return False


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM api_keys",
        "SELECT * FROM wallet_sessions",
        "UPDATE bids_received SET price_ueur_kwh = 0",
        "DELETE FROM readings",
        "DELETE FROM readings_other",
        "UPDATE readings SET active_energy_wh = 0",
        "DELETE FROM acknowledgements",
        "CREATE TABLE other (id int)",
        "DROP TABLE readings",
        "ALTER TABLE readings ADD COLUMN other int",
        "CREATE ROLE other",
    ],
)
def test_the_oracle_may_not(as_role: As, statement: str) -> None:
    assert refused(as_role("meritgrid_oracle"), statement)


def test_a_start_of_the_oracle_needs_no_more_than_its_rows(
    postgresql_cluster: Cluster,
    production_database: str,
    anvil,
    as_role: As,  # type: ignore[no-untyped-def]
) -> None:
    """What it does by itself: look at the version, index the chain, take readings in, let its own account in."""
    url = postgresql_cluster.url(production_database, "meritgrid_oracle")
    with as_role("meritgrid_market").begin() as connection:
        last = max(month_partitions(connection) - {"readings_other"})
        connection.execute(text(f"DROP TABLE {last}"))  # the month has turned, and the market's job has not run yet
    migrate(url)
    world = World.build(anvil, url)
    world.at(TEST_EPOCH)
    world.register()
    world.indexer.index_now()
    interval = TEST_EPOCH + U
    world.at(interval + 2 * U)
    deployment = world.contracts.deployment
    meter = Meter(0, Domain(deployment.chain_id, deployment.addresses["Settlement"]))
    ingest = Ingest(world.engine, meter.domain, KEYS["oracle"], world.contracts.calendar, world.now)
    [answer] = ingest.take(meter.topic, ReadingBatch(readings=(meter.read(interval),)).payload())
    assert b"STORED" in answer.payload
    world.indexer.reindex()
    password = new_service_account(as_role("meritgrid_market"), "oracle", world.now())
    assert let_in(world.engine, "oracle", password) is not None
    world.engine.dispose()


def test_an_oracle_that_comes_before_the_market_says_what_it_waits_for(
    postgresql_cluster: Cluster, production_database: str, as_role: As
) -> None:
    with as_role("meritgrid_market").begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0007'"))
    url = postgresql_cluster.url(production_database, "meritgrid_oracle")
    with pytest.raises(WrongVersion, match=r"of version 0007.*meritgrid_oracle may not.*meritgrid market migrate"):
        migrate(url)
    with as_role("meritgrid_market").begin() as connection:
        connection.execute(text("REVOKE SELECT ON alembic_version FROM meritgrid_oracle"))
    with pytest.raises(WrongVersion, match=r"may not read.*privileges\.sql"):
        migrate(url)


def test_the_market_owns_its_tables_and_nothing_else(as_role: As) -> None:
    market = as_role("meritgrid_market")
    with session_scope(market) as session:
        session.execute(text("CREATE TABLE readings_2040_01 PARTITION OF readings FOR VALUES FROM (1) TO (2)"))
    assert refused(market, "CREATE ROLE other")
    assert refused(market, "SELECT * FROM pg_authid")


def test_the_backup_reads_everything_and_writes_nothing(
    as_role: As, postgresql_cluster: Cluster, production_database: str, tmp_path: Path
) -> None:
    backup = as_role("meritgrid_backup")
    assert refused(backup, "DELETE FROM readings")
    assert refused(backup, "CREATE TABLE other (id int)")
    connection = ["-h", str(postgresql_cluster.folder), "-U", "meritgrid_backup", "-d", production_database]
    subprocess.run(["pg_dump", *connection, "--format", "custom", "--file", str(tmp_path / "dump")], check=True)
    assert (tmp_path / "dump").stat().st_size > 10_000


def test_nobody_else_gets_in(postgresql_cluster: Cluster, production_database: str) -> None:
    superuser = create_engine(postgresql_cluster.url(), isolation_level="AUTOCOMMIT")
    with superuser.connect() as connection:
        connection.execute(text("DROP ROLE IF EXISTS somebody"))
        connection.execute(text("CREATE ROLE somebody LOGIN"))
    somebody = create_engine(postgresql_cluster.url(production_database, "somebody"))
    with pytest.raises(Exception, match="permission denied for database"):
        somebody.connect()
    with superuser.connect() as connection:
        connection.execute(text("DROP ROLE somebody"))
    superuser.dispose()


def test_the_files_may_be_run_again(postgresql_cluster: Cluster, production_database: str) -> None:
    run_sql(postgresql_cluster, "roles.sql", "-v", f"database={production_database}")
    run_sql(postgresql_cluster, "privileges.sql", role="meritgrid_market", database=production_database)
