"""Keeps processes running as an init system does: whoever ends is started again a moment later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from scripts.demo.supervisor import ProcessFailed, ProcessSpec, Supervisor

log = structlog.get_logger(__name__)

RESTART_AFTER_S: Final = 0.5
MakeSpec = Callable[[], ProcessSpec]


class Keeper:
    """Runs what `specs` says, by name. `ended`: how often each ended by itself, which costs time and is no fault."""

    def __init__(self, supervisor: Supervisor, specs: Mapping[str, MakeSpec]) -> None:
        self._supervisor = supervisor
        self._specs = dict(specs)
        self._tasks: list[asyncio.Task[None]] = []
        self._held: dict[str, asyncio.Event] = {}
        self._ready: dict[str, asyncio.Event] = {name: asyncio.Event() for name in specs}
        self._killed: set[str] = set()
        self.ended: Counter[str] = Counter()

    async def start(self) -> None:
        """Keep all of them running, those too that run already, and wait until they are ready."""
        self._tasks = [asyncio.create_task(self._keep(name), name=f"keep {name}") for name in self._specs]
        await asyncio.gather(*(self.ready(name) for name in self._specs))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fail_if_broken(self) -> None:
        """Raises what ended a keeper: a fault of the bed itself."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def ready(self, name: str) -> None:
        """Wait until a process is up."""
        await self._ready[name].wait()

    def is_ready(self, name: str) -> bool:
        return self._ready[name].is_set()

    async def kill(self, name: str, down_s: float = 0.0, meanwhile: Callable[[], None] | None = None) -> None:
        """SIGKILL a process and keep it down for a while [s]; it is started again afterwards.

        meanwhile: called while it is down.
        """
        hold = self._held[name] = asyncio.Event()
        self._killed.add(name)
        self._ready[name].clear()
        if name in self._supervisor.pids():
            await self._supervisor.kill(name)
        if meanwhile is not None:
            meanwhile()
        await asyncio.sleep(down_s)
        del self._held[name]
        hold.set()

    async def _keep(self, name: str) -> None:
        while True:
            if (hold := self._held.get(name)) is not None:
                await hold.wait()
            try:
                if name not in self._supervisor.pids():
                    await self._supervisor.start(replace(self._specs[name](), may_end=True))
            except ProcessFailed as failure:
                self._note(name, str(failure))
            else:
                if name not in self._held:
                    self._ready[name].set()
                await self._supervisor.until_ended(name)
                self._ready[name].clear()
                self._note(name, "ended")
            await asyncio.sleep(RESTART_AFTER_S)

    def _note(self, name: str, how: str) -> None:
        if name in self._killed:
            self._killed.discard(name)
            return
        self.ended[name] += 1
        log.info("process ended by itself", process=name, how=how[-400:])
