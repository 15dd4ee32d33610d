"""Databases for the tests: SQLite files, and a PostgreSQL server of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from market.store.database import migrate
from scripts.rehearsal.postgresql import as_servers_account, make_cluster, server_program

_START_WITHIN_S: Final = 60.0


@dataclass
class Cluster:
    """A PostgreSQL server that listens on a socket in a folder of its own, and ends with the process that started it.

    Its superuser is `meritgrid`.
    """

    folder: Path
    _server: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", role: str = "meritgrid") -> str:
        """SQLAlchemy URL."""
        return f"postgresql+psycopg://{role}@/{database}?host={self.folder}"

    def create(self) -> None:
        make_cluster(self.folder, "--no-sync")

    def start(self, *settings: str) -> None:
        """`settings`: more of them, NAME=VALUE."""
        own = ["listen_addresses=", f"unix_socket_directories={self.folder}", *settings]
        command = [server_program("postgres"), "-D", str(self.data), *(part for each in own for part in ("-c", each))]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen([*as_servers_account(), *command], cwd=self.folder, stdout=log, stderr=log)
        answers = [server_program("pg_isready"), "-q", "-h", str(self.folder), "-d", "postgres"]
        deadline_s = time.monotonic() + _START_WITHIN_S
        while subprocess.run(answers, check=False).returncode != 0:
            assert self._server.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline_s, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, mode: str = "fast") -> None:
        """Where it runs."""
        if self._server is not None:
            stop = [server_program("pg_ctl"), "-D", str(self.data), "-w", "-m", mode, "stop"]
            subprocess.run([*as_servers_account(), *stop], check=True, stdout=subprocess.DEVNULL, cwd=self.folder)
            self._server.wait(30)
            self._server = None


@contextmanager
def new_cluster() -> Iterator[Cluster]:
    """A cluster that is made and not started; whatever runs in it at the end is stopped."""
    folder = Path(tempfile.mkdtemp(prefix="meritgrid-pg-", dir="/tmp"))  # a socket's path must be short
    cluster = Cluster(folder)
    cluster.create()
    try:
        yield cluster
    finally:
        cluster.stop("immediate")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Cluster]:
    """One server for all tests; what it holds is gone with them, so it waits for no disk."""
    with new_cluster() as cluster:
        cluster.start("fsync=off", "max_connections=300")
        yield cluster


@pytest.fixture(scope="session")
def postgresql_server(postgresql_cluster: Cluster) -> str:
    """URL of the server."""
    return postgresql_cluster.url()


@contextmanager
def new_database(server: str, template: str = "template1") -> Iterator[str]:
    """URL of a new database of a server; it is dropped afterwards, whoever is still connected."""
    name = f"test_{uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        yield str(make_url(server).set(database=name).render_as_string(hide_password=False))
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@contextmanager
def database_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """URL of an empty database of a kind, for fixtures that choose it by themselves."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'market.sqlite'}"
    else:
        with new_database(request.getfixturevalue("postgresql_server")) as url:
            yield url


@pytest.fixture(scope="session")
def migrated_template(postgresql_server: str) -> Iterator[str]:
    """Name of a database that is migrated already: a copy of it costs a tenth of a migration."""
    with new_database(postgresql_server) as url:
        migrate(url)
        yield str(make_url(url).database)


@pytest.fixture
def postgresql_database(postgresql_server: str) -> Iterator[str]:
    """URL of an empty database of the server."""
    with new_database(postgresql_server) as url:
        yield url


ROLES: Final = Path(__file__).parents[1] / "scripts" / "production" / "postgresql"


def run_sql(cluster: Cluster, file: str, *arguments: str, role: str = "meritgrid", database: str = "postgres") -> None:
    """Run one of the production's SQL files, as its first lines say."""
    connection = ["-h", str(cluster.folder), "-U", role, "-d", database]
    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", *connection, *arguments, "-f", str(ROLES / file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def production_database(postgresql_cluster: Cluster) -> Iterator[str]:
    """Name of a database with the roles of production, as it is after the first migration."""
    name = f"test_{uuid4().hex}"
    run_sql(postgresql_cluster, "roles.sql", "-v", f"database={name}")
    migrate(postgresql_cluster.url(name, "meritgrid_market"))
    run_sql(postgresql_cluster, "privileges.sql", role="meritgrid_market", database=name)
    yield name
    engine = create_engine(postgresql_cluster.url(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


POSTGRESQL: Final = pytest.param("postgresql", marks=pytest.mark.postgresql)


@pytest.fixture(params=["sqlite", POSTGRESQL])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'market.sqlite'}"
    url: str = request.getfixturevalue("postgresql_database")
    return url


@pytest.fixture(params=["sqlite", POSTGRESQL])
def migrated_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database with the tables in it, once for each kind."""
    yield from _migrated(request, tmp_path)


@pytest.fixture(scope="module", params=["sqlite", POSTGRESQL])
def module_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """As `migrated_database_url`, one for all tests of a file."""
    yield from _migrated(request, tmp_path_factory.mktemp("database"))


def _migrated(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'market.sqlite'}"
        migrate(url)
        yield url
    else:
        server = request.getfixturevalue("postgresql_server")
        with new_database(server, request.getfixturevalue("migrated_template")) as url:
            yield url
