"""Who is kept running comes back, however it ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from scripts.chaos.keeper import Keeper
from scripts.demo.supervisor import ProcessSpec, Supervisor, file_probe

BEGINNINGS = """
import sys, time
with open(sys.argv[1], "a") as file:
    file.write("begun\\n")
time.sleep(float(sys.argv[2]))
"""


def spec(folder: Path, lasts_s: float) -> ProcessSpec:
    command = [sys.executable, "-c", BEGINNINGS, str(folder / "log"), str(lasts_s)]
    return ProcessSpec("worker", command, ready=file_probe(folder / "log"))


@asynccontextmanager
async def kept(make: Callable[[], ProcessSpec], folder: Path) -> AsyncIterator[tuple[Supervisor, Keeper]]:
    supervisor = Supervisor(folder / "logs")
    keeper = Keeper(supervisor, {"worker": make})
    try:
        await keeper.start()
        yield supervisor, keeper
    finally:
        await keeper.stop()
        await supervisor.stop_all()


def beginnings(folder: Path) -> int:
    return len((folder / "log").read_text().splitlines())


async def until_begun(folder: Path, times: int) -> None:
    async with asyncio.timeout(20):
        while beginnings(folder) < times:  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.05)


async def test_who_is_killed_is_started_again_and_is_not_said_to_have_ended_by_itself(tmp_path: Path) -> None:
    async with kept(partial(spec, tmp_path, 60), tmp_path) as (supervisor, keeper):
        [before] = supervisor.pids().values()
        await keeper.kill("worker")
        await until_begun(tmp_path, 2)
        await keeper.ready("worker")
        assert list(supervisor.pids().values()) != [before]
        assert keeper.ended == {}


async def test_who_is_to_stay_down_does_and_is_not_ready_meanwhile(tmp_path: Path) -> None:
    async with kept(partial(spec, tmp_path, 60), tmp_path) as (supervisor, keeper):
        seen: list[bool] = []
        killing = asyncio.create_task(keeper.kill("worker", 2, lambda: seen.append(keeper.is_ready("worker"))))
        await asyncio.sleep(1.5)
        assert (beginnings(tmp_path), seen, supervisor.pids()) == (1, [False], {})
        await killing
        await until_begun(tmp_path, 2)


async def test_who_ends_by_itself_is_started_again_and_counted(tmp_path: Path) -> None:
    async with kept(partial(spec, tmp_path, 0.2), tmp_path) as (_, keeper):
        await until_begun(tmp_path, 3)
        assert keeper.ended["worker"] >= 2


async def test_who_runs_already_is_taken_over(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "logs")
    await supervisor.start(spec(tmp_path, 60))
    keeper = Keeper(supervisor, {"worker": partial(spec, tmp_path, 60)})
    try:
        await keeper.start()
        assert beginnings(tmp_path) == 1
        await keeper.kill("worker")
        await until_begun(tmp_path, 2)
    finally:
        await keeper.stop()
        await supervisor.stop_all()
