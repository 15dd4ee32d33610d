"""Programs of the product that are killed exactly at a checkpoint, and started again as usual.

They are forked from a process that has imported the product already: a start takes a tenth of a second.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path

from tests.kill_points.dying import Kill, run

__all__ = ["Kill", "Program"]

ROOT = Path(__file__).resolve().parents[2]
_PRODUCT = ("gateway_agent.agent", "market.server", "oracle.broker.server", "oracle.service")
_FORKS = multiprocessing.get_context("forkserver")


def _prepare() -> None:
    """Start the process that programs are forked from, with the product as this checkout has it."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        _FORKS.set_forkserver_preload([*_PRODUCT, run.__module__])
        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@dataclass
class Program:
    """A module that runs as a program, with settings in its environment and its log in a file."""

    folder: Path
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, int] = field(default_factory=dict)
    name: str = "program"
    process: ForkServerProcess | None = None

    @property
    def _reached(self) -> Path:
        return self.folder / f"{self.name}.reached"

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self, kill: Kill | None = None) -> None:
        """Start it, as usual or to be killed."""
        assert self.process is None
        _prepare()
        self._reached.unlink(missing_ok=True)
        given = (self.command, self.folder, self._log, self.environment, self.constants, kill, self._reached)
        self.process = _FORKS.Process(target=run, args=given, daemon=True)
        self.process.start()

    def died_at(self, kill: Kill, within_s: float = 60) -> None:
        """Wait until the process is dead, and see that it died at that point and of nothing else."""
        assert self._ended(within_s) == -signal.SIGKILL, self.log
        assert self._reached.read_text() == kill.name

    async def dies_at(self, kill: Kill, within_s: float = 60) -> None:
        """The same while others go on."""
        await asyncio.to_thread(self.died_at, kill, within_s)

    def ended_well(self, within_s: float = 60) -> None:
        """Wait until it has done its work."""
        assert self._ended(within_s) == 0, self.log

    def _ended(self, within_s: float) -> int | None:
        assert self.process is not None
        self.process.join(within_s)
        code = self.process.exitcode
        if code is not None:
            self.process = None
        return code

    def stop(self) -> None:
        """End it in order; whatever does not want to end is killed."""
        if self.process is None:
            return
        self.process.terminate()
        if self._ended(20) is None and self.process is not None:
            self.process.kill()
            self._ended(20)
