"""A PostgreSQL server of its own: a folder, a port, one process that may be killed."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.demo.supervisor import Probe, ProcessSpec

_OWNER: Final = "postgres"
"""Account of Debian's package: the server refuses to run as root."""
_BINARIES: Final = "/usr/lib/postgresql"
_DATABASE: Final = "meritgrid"
_SUPERUSER: Final = "meritgrid"


def server_program(name: str) -> str:
    """A program of the server, which Debian keeps outside PATH.

    Raises:
        FileNotFoundError: it is not installed.
    """
    installed = sorted(Path(_BINARIES).glob(f"*/bin/{name}"))
    found = str(installed[-1]) if installed else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: apt-get install postgresql")
    return found


def servers_account() -> str | None:
    """Whose the server's folder and processes are; None: whoever runs this."""
    return _OWNER if os.geteuid() == 0 else None


def as_servers_account() -> list[str]:
    """What a command of the server begins with: the change of account, and its end with its parent. The change clears
    the signal for that end, so that both are said at once."""
    account = servers_account()
    change = ["--reuid", account, "--regid", account, "--clear-groups"] if account else []
    return ["setpriv", *change, "--pdeathsig", "INT", "--"]


def make_cluster(folder: Path, *options: str) -> None:
    """Make the files of a server in `data` of a folder, which becomes its account's; its superuser is `meritgrid`, by
    whom everybody on this machine may enter. options: more of initdb's."""
    account = servers_account()
    if account is not None:
        shutil.chown(folder, account, pwd.getpwnam(account).pw_gid)
    command = [server_program("initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", _SUPERUSER, "-E", "UTF8"]
    command += ["--locale", "C.UTF-8", *options]
    subprocess.run([*as_servers_account(), *command], check=True, cwd=folder, stdout=subprocess.DEVNULL)


@dataclass(frozen=True)
class PostgresqlServer:
    """A server on 127.0.0.1. folder: short (below it lies the socket), and everybody may enter what is above it."""

    folder: Path
    port: int

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the market's database."""
        return f"postgresql+psycopg://{_SUPERUSER}@127.0.0.1:{self.port}/{_DATABASE}"

    def create(self) -> None:
        """Make the cluster, with an empty database."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        make_cluster(self.folder)
        single = [server_program("postgres"), "--single", "-D", str(self.data), "postgres"]
        subprocess.run(
            [*as_servers_account(), *single],
            check=True,
            cwd=self.folder,
            input=f"CREATE DATABASE {_DATABASE}\n",
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # it tells of its start and end
        )

    def spec(self, name: str = "database") -> ProcessSpec:
        """The server as a process: durable, as in production."""
        command = [server_program("postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder)]
        # Of a small disk no more than it has is kept for a crash.
        options = ("listen_addresses=127.0.0.1", "max_connections=200", "max_wal_size=96MB", "min_wal_size=32MB")
        command += [part for option in options for part in ("-c", option)]
        # SIGTERM would wait for everybody who is connected.
        return ProcessSpec(name, [*as_servers_account(), *command], ready=self._probe(), stop_by=signal.SIGINT)

    def _probe(self) -> Probe:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _SUPERUSER, "-d", _DATABASE]
        ready = [server_program("pg_isready"), "-q", *where]

        async def probe() -> bool:
            asked = await asyncio.create_subprocess_exec(*ready)
            return await asked.wait() == 0

        return probe
