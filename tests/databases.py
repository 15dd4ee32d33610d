"""Databases for the tests: SQLite files, and a PostgreSQL server of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from market.store.database import migrate
from scripts.rehearsal.postgresql import server_program


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a server that listens on a socket in a folder of its own, and is stopped at the end."""
    # The server refuses to run as root: then it runs as the account that its package made.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="meritgrid-pg-", dir="/tmp"))  # a socket's path must be short
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    subprocess.run(
        [server_program("initdb"), "-D", str(data), "-A", "trust", "-U", "meritgrid", "-E", "UTF8", "--no-sync"],
        check=True,
        user=user,
        stdout=subprocess.DEVNULL,
    )
    control = [server_program("pg_ctl"), "-D", str(data), "-w"]
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    start = [*control, "-l", str(folder / "log"), "-o", options, "start"]
    subprocess.run(start, check=True, user=user, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql+psycopg://meritgrid@/postgres?host={folder}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, user=user, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)


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
