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
        return f"postgresql+psycopg://meritgrid@127.0.0.1:{self.port}/{_DATABASE}"

    def create(self) -> None:
        """Make the cluster, with an empty database."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            account = pwd.getpwnam(_OWNER)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        options = ["-A", "trust", "-U", "meritgrid", "-E", "UTF8", "--locale", "C.UTF-8"]
        self._run([server_program("initdb"), "-D", str(self.data), *options])
        single = [server_program("postgres"), "--single", "-D", str(self.data), "postgres"]
        self._run(single, said=f"CREATE DATABASE {_DATABASE}\n")

    def spec(self, name: str = "database") -> ProcessSpec:
        """The server as a process: durable, as in production."""
        command = [server_program("postgres"), "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder)]
        # Of a small disk no more than it has is kept for a crash.
        options = ("listen_addresses=127.0.0.1", "max_connections=200", "max_wal_size=96MB", "min_wal_size=32MB")
        command += [part for option in options for part in ("-c", option)]
        # SIGTERM would wait for everybody who is connected.
        return ProcessSpec(name, [*self._as_owner(), *command], ready=self._probe(), stop_by=signal.SIGINT)

    def _probe(self) -> Probe:
        ready = [
            server_program("pg_isready"),
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "meritgrid",
            "-d",
            _DATABASE,
        ]

        async def probe() -> bool:
            asked = await asyncio.create_subprocess_exec(*ready)
            return await asked.wait() == 0

        return probe

    def _run(self, command: list[str], said: str | None = None) -> None:
        subprocess.run(
            [*self._as_owner(), *command],
            check=True,
            cwd=self.folder,
            input=said,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if said else None,  # the single server tells of its start and end
        )

    def _as_owner(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        # A change of account clears the signal by which a process ends with its parent: said anew.
        return ["setpriv", "--reuid", _OWNER, "--regid", _OWNER, "--clear-groups", "--pdeathsig", "TERM", "--"]
