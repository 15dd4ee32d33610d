"""An agent process that is killed (SIGKILL) at any moment and started again ends the day as if nothing had happened."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from gateway_agent.drivers import SetPoint
from gateway_agent.drivers.simulated.driver import SimulatedDriver
from gateway_agent.drivers.simulated.profile import read_nanogrid
from market.clock import SimulatedClock
from market.clock_authority import ClockAuthority
from oracle.messages import SignedReading
from tests.gateway_agent.world import (
    T0,
    UNIT_S,
    Broker,
    Installed,
    SmallOracle,
    eventually,
    install,
    order,
    own_readings,
    snapshot,
)

TOKEN = "token of the tests"
INTERVALS = 24
DISPATCHED = {T0 + step * UNIT_S: -250 - 10 * step for step in range(3, INTERVALS - 2, 3)}


@dataclass
class AgentProcess:
    """The agent in a process of its own, killed and started at will."""

    installed: Installed
    clock_port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = field(default=0)

    def start(self) -> None:
        program = "from gateway_agent.cli import app; app()"
        arguments = ["run", "--data", str(self.installed.folder), "--name", "agent"]
        arguments += ["--clock", f"simulated:127.0.0.1:{self.clock_port}", "--clock-token", TOKEN]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, *arguments], stdout=log, stderr=log, env=environment
            )
        self.starts += 1

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process = None
        return code


async def dispatching(clock: SimulatedClock, small: SmallOracle, gateway: str, until: int) -> None:
    """The oracle's part of the day: at T - 0.9u a snapshot, answered before time goes on."""
    for revision, start in enumerate(range(T0 + UNIT_S, until + UNIT_S, UNIT_S), 1):
        await clock.sleep_until(start - UNIT_S * 9 // 10)
        orders = [order(str(each), each, change) for each, change in DISPATCHED.items() if each <= start]
        await small.publish(gateway, snapshot(gateway, revision, orders[-3:]).payload())
        if start in DISPATCHED:
            await eventually(lambda start=start: "ACCEPTED" in small.states_of(str(start)), 40)
    await clock.sleep_until(until + 10 * UNIT_S)


@asynccontextmanager
async def day(folder: Path, broker: Broker) -> AsyncIterator[tuple[ClockAuthority, AgentProcess, SmallOracle]]:
    """A day about to begin: authority, oracle, broker and an agent that is not started yet."""
    authority = ClockAuthority(T0, TOKEN)
    authority.expect(["agent", "oracle"])
    authority.stop_at(T0 + INTERVALS * UNIT_S)
    port = await authority.start()
    installed = install(folder / "gw", broker.port)
    agent = AgentProcess(installed, port, folder / "agent.log")
    small = SmallOracle(broker.port)
    clock = SimulatedClock("127.0.0.1", port, "oracle", TOKEN)
    tasks = [
        asyncio.create_task(small.run()),
        asyncio.create_task(dispatching(clock, small, installed.gateway, T0 + INTERVALS * UNIT_S)),
    ]
    try:
        yield authority, agent, small
    finally:
        agent.kill()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        clock.close()
        await authority.stop()


def essence(readings: list[SignedReading]) -> list[tuple[int, int, int, int]]:
    return [(each.sequence, each.interval, each.active_energy_wh, each.reactive_energy_varh) for each in readings]


async def undisturbed(folder: Path, broker: Broker) -> tuple[list[tuple[int, int, int, int]], dict[int, list[str]]]:
    async with day(folder, broker) as (authority, agent, small):
        agent.start()
        await asyncio.wait_for(authority.reached(T0 + INTERVALS * UNIT_S), 60)
        assert agent.stop() == 0
        states = {start: small.states_of(str(start)) for start in DISPATCHED}
        assert essence(sorted(small.readings.values(), key=lambda each: each.sequence)) == essence(
            own_readings(agent.installed)
        )
        return essence(own_readings(agent.installed)), states


@pytest.mark.alone
@pytest.mark.processes
@pytest.mark.slow
async def test_a_day_with_kills_ends_like_the_undisturbed_one(tmp_path: Path, broker: Broker) -> None:
    expected, states = await undisturbed(tmp_path / "calm", broker)
    assert len(expected) == INTERVALS
    assert set(map(tuple, states.values())) == {("ACCEPTED", "STARTED", "SUCCEEDED")}
    dispatched = {interval: active_wh for _, interval, active_wh, _ in expected if interval in DISPATCHED}
    assert all(abs(active_wh - DISPATCHED[interval]) <= 1 for interval, active_wh in dispatched.items())

    chance = random.Random(7)
    async with day(tmp_path / "wild", broker) as (authority, agent, small):
        agent.start()
        reached = asyncio.ensure_future(authority.reached(T0 + INTERVALS * UNIT_S))
        for kill in range(10):
            # At a reading of the oracle's, and from there a random real time on, so that every part of a moment is hit.
            goal = 2 * kill + 1
            await eventually(lambda goal=goal: len(small.readings) >= goal, 60)
            await asyncio.sleep(chance.uniform(0.0, 0.1))
            assert not reached.done()
            agent.kill()
            agent.start()
        await asyncio.wait_for(reached, 120)
        assert agent.stop() == 0
        assert essence(own_readings(agent.installed)) == expected
        assert essence(sorted(small.readings.values(), key=lambda each: each.sequence)) == expected
        assert {start: small.states_of(str(start)) for start in DISPATCHED} == states


async def reference(folder: Path, followed: dict[int, int], left_running: set[int]) -> list[int]:
    """Energies of the day's intervals [Wh] when the dispatches `followed` (start -> change) are, under their lease."""
    driver = SimulatedDriver(read_nanogrid(folder / "plant.json"))
    await driver.open(None, T0)
    registers = [0]
    for start in range(T0, T0 + INTERVALS * UNIT_S, UNIT_S):
        if start in followed:
            expires_at = start + UNIT_S + UNIT_S // 15
            await driver.apply(SetPoint(followed[start] * 3600 // UNIT_S, None, expires_at), start)
        elif start - UNIT_S in DISPATCHED and start - UNIT_S not in left_running:
            await driver.release(start)
        registers.append((await driver.measure(start + UNIT_S)).registers.active_wh)
    return [after - before for before, after in pairwise(registers)]


@pytest.mark.alone
@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize(
    ("gone_at", "back_at", "missed", "left_running"),
    [
        (T0 + 5 * UNIT_S + UNIT_S // 2, T0 + 7 * UNIT_S, {T0 + 6 * UNIT_S}, set()),
        (T0 + 9 * UNIT_S + UNIT_S // 2, T0 + 11 * UNIT_S + 5, set(), {T0 + 9 * UNIT_S}),
    ],
    ids=["before an accepted dispatch starts", "during a dispatch, beyond its lease"],
)
async def test_an_agent_that_stays_away_reads_later_and_its_devices_keep_to_the_lease(
    tmp_path: Path, broker: Broker, gone_at: int, back_at: int, missed: set[int], left_running: set[int]
) -> None:
    end = T0 + INTERVALS * UNIT_S
    async with day(tmp_path / "gone", broker) as (authority, agent, small):
        authority.stop_at(gone_at)
        agent.start()
        await asyncio.wait_for(authority.reached(gone_at), 60)
        agent.kill()
        authority.away("agent")
        authority.stop_at(back_at)
        await asyncio.wait_for(authority.reached(back_at), 60)
        agent.start()
        read = back_at // UNIT_S * UNIT_S - UNIT_S
        await eventually(lambda: read in {each.interval for each in small.readings.values()}, 60)
        authority.stop_at(end)
        await asyncio.wait_for(authority.reached(end), 120)
        assert agent.stop() == 0
        followed = {start: change for start, change in DISPATCHED.items() if start not in missed}
        expected = await reference(agent.installed.folder, followed, left_running)
        assert [each.active_energy_wh for each in own_readings(agent.installed)] == expected
        for start in missed:
            assert small.states_of(str(start)) == ["ACCEPTED", "ABORTED"]
