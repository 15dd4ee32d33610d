"""A gateway whose clock jumps, or is wrong from the start: no energy gets into another interval, and orders are
followed by the oracle's time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway_agent.drivers.simulated.plant import Plant, initial_state
from gateway_agent.drivers.simulated.profile import read_nanogrid, write_nanogrid
from gateway_agent.gateway import Gateway
from gateway_agent.metrics import Metrics
from gateway_agent.parts import Parts
from market.tasks import ended
from scripts.chaos import wrong_clock
from tests.gateway_agent.world import (
    SETTLEMENT,
    T0,
    UNIT_S,
    Broker,
    Installed,
    SmallOracle,
    dispatch_id,
    eventually,
    install,
    order,
    own_readings,
)

HOUR_S = 3_600
DAY_S = 86_400
JUMPS = [DAY_S, HOUR_S, 600, -600, -HOUR_S, -DAY_S]


class Time:
    """Real time, which the test moves, and a gateway's clock, which may be off."""

    def __init__(self) -> None:
        self.real = T0
        self.off_s = 0

    def now(self) -> float:
        return self.real + self.off_s

    def steady(self) -> float:
        return self.real - T0 + 77.0

    async def sleep_until(self, at_s: float) -> None:
        raise NotImplementedError

    def wait_until(self, at_s: float) -> None:
        raise NotImplementedError


class AtWork:
    """A gateway by that clock, and an oracle by real time."""

    def __init__(self, installed: Installed, time_: Time) -> None:
        self.time = time_
        self.metrics = Metrics()
        self.gateway = Gateway(Parts.from_folder(installed.folder), time_, self.metrics)
        self.buffer = self.gateway.parts.buffer

    async def at(self, real: int) -> None:
        """Move real time and do what is due."""
        self.time.real = real
        await self.gateway.run_due(int(self.time.now()))
        await self.gateway.settle(0.5)

    def intervals(self) -> list[int]:
        return [each.interval for each in self.buffer.all_readings()]


@asynccontextmanager
async def at_work(installed: Installed, time_: Time) -> AsyncIterator[AtWork]:
    found = AtWork(installed, time_)
    await found.gateway.start()
    line = asyncio.create_task(found.gateway.link.run())
    try:
        await found.gateway.settle(10)
        yield found
    finally:
        await ended(line)
        await found.gateway.close()


def load_alone(installed: Installed) -> Installed:
    """With a plant that has nothing but its load, so that each interval's energy is another one."""
    path = installed.folder / "plant.json"
    document = read_nanogrid(path)
    write_nanogrid(replace(document, plant=Plant(), initial_state=initial_state(Plant(), 0)), path)
    return installed


async def energies(folder: Path, broker: Broker, small: SmallOracle, jump_s: int) -> dict[int, int]:
    """Energy by interval of a few hours; for most of one interval the clock is off."""
    time_ = Time()
    small.readings.clear()
    small.now = lambda: time_.real
    async with at_work(load_alone(install(folder, broker.port)), time_) as found:
        await eventually(lambda: found.buffer.value("clock") is not None)
        for step in range(11):
            await found.at(T0 + step * UNIT_S)
        time_.off_s = jump_s
        for minute in range(1, 14):
            await found.at(T0 + 10 * UNIT_S + minute * 60)
        time_.off_s = 0
        for step in range(11, 14):
            await found.at(T0 + step * UNIT_S)
        await eventually(lambda: found.buffer.counts()["WAITING"] == 0)
        assert found.buffer.broken_link(SETTLEMENT) is None
    return {each.interval: each.active_energy_wh for each in small.readings.values()}


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_clock_that_jumps_within_an_interval_changes_no_reading(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle, jump_s: int
) -> None:
    calm = await energies(tmp_path / "calm", broker, small_oracle, 0)
    assert list(calm) == [T0 + step * UNIT_S for step in range(13)]
    assert len(set(calm.values())) == 13
    assert await energies(tmp_path / "jumped", broker, small_oracle, jump_s) == calm
    assert small_oracle.refused_early == []


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_while_the_clock_is_wrong_nothing_is_signed_and_it_goes_on_by_itself(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle, jump_s: int
) -> None:
    time_ = Time()
    small_oracle.now = lambda: time_.real
    async with at_work(install(tmp_path / "gw", broker.port), time_) as found:
        await eventually(lambda: found.buffer.value("clock") is not None)
        await found.at(T0)
        await found.at(T0 + UNIT_S)
        time_.off_s = jump_s
        for step in range(2, 8):
            await found.at(T0 + step * UNIT_S)
        way = "ahead" if jump_s > 0 else "behind"
        assert found.intervals() == [T0]
        assert found.metrics.value("clocks_wrong_total", way=way) == 1
        assert found.buffer.value("clock") == {"standing": way, "off_s": jump_s, "since": T0 + 2 * UNIT_S}
        time_.off_s = 0
        await found.at(T0 + 8 * UNIT_S + 100)
        await found.at(T0 + 9 * UNIT_S)
        assert found.buffer.value("clock")["standing"] == "right"
        # The simulated meter keeps what was missed; one that does not says NoMeasurement, and these stay without.
        assert found.intervals() == [T0 + step * UNIT_S for step in range(9)]
        await eventually(lambda: found.buffer.counts()["CONFIRMED"] == 9)
        assert small_oracle.refused_early == []
        events = [entry["standing"] for entry in found.buffer.journal() if entry["event"] == "clock"]
        assert events == ["right", way]


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_an_order_is_followed_by_the_oracles_time_while_the_clock_is_wrong(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle, jump_s: int
) -> None:
    time_, start = Time(), T0 + 2 * UNIT_S
    small_oracle.now = lambda: time_.real
    small_oracle.orders = [order("a", start, -300)]
    async with at_work(install(tmp_path / "gw", broker.port), time_) as found:
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED"])
        await found.at(T0)
        time_.off_s = jump_s
        await found.at(start - 1)
        assert found.buffer.value("applied") is None
        await found.at(start)
        applied = found.buffer.value("applied")
        assert (applied["dispatches"], applied["since"]) == ([dispatch_id("a")], start)
        await found.at(start + UNIT_S - 1)
        assert found.buffer.value("applied") is not None
        await found.at(start + UNIT_S)
        assert found.buffer.value("applied") is None
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED", "STARTED", "SUCCEEDED"])


async def test_an_order_that_comes_while_the_clock_is_wrong_is_taken_in_time(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    time_ = Time()
    small_oracle.now = lambda: time_.real
    async with at_work(install(tmp_path / "gw", broker.port), time_) as found:
        await eventually(lambda: found.buffer.value("clock") is not None)
        time_.off_s = HOUR_S
        small_oracle.orders = [order("a", T0 + UNIT_S)]
        await found.at(T0 + 60)
        found.gateway._ask_for_time()
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED"])


async def test_a_clock_that_is_wrong_from_the_start_signs_nothing_where_the_oracle_is_there(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    began = time.monotonic()

    class Running(Time):
        """Goes as fast as real time does."""

        def now(self) -> float:
            return T0 + time.monotonic() - began + self.off_s

        def steady(self) -> float:
            return time.monotonic()

    time_ = Running()
    time_.off_s = 4 * HOUR_S
    small_oracle.now = lambda: T0 + time.monotonic() - began
    found = AtWork(install(tmp_path / "gw", broker.port), time_)
    found.gateway.hold()
    await found.gateway.start()
    with found.buffer.transaction() as moment:
        moment.set_value("boundary", T0 - UNIT_S)  # from before it was off
    line = asyncio.create_task(found.gateway.link.run())
    await found.gateway.first_word(3.0, 8.0)
    await found.gateway.run_due(int(time_.now()))
    assert found.buffer.value("clock")["standing"] == "ahead"
    assert found.intervals() == []
    await ended(line)
    await found.gateway.close()


async def test_what_was_signed_too_early_without_an_oracle_is_refused_and_the_gateway_comes_back(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    """Ahead by a day from the start, and nobody says so: what it signs has not begun when the oracle is there."""
    time_ = Time()
    time_.off_s = DAY_S
    async with at_work(install(tmp_path / "gw", broker.port), time_) as found:
        small_oracle.answers = False
        for step in range(4):
            await found.at(T0 + step * UNIT_S)
        assert found.intervals() == [T0 + DAY_S + step * UNIT_S for step in range(3)]
        small_oracle.answers, small_oracle.now, time_.off_s = True, lambda: time_.real, 0
        small_oracle.readings.clear()
    async with at_work(Installed(tmp_path / "gw", found.gateway.parts.signer.identity), time_) as found:
        await eventually(lambda: found.buffer.counts()["REFUSED"] == 3)
        for step in range(4, 7):
            await found.at(T0 + step * UNIT_S)
        # The simulated meter itself has been taken a day ahead; its boundaries are tried again nonetheless.
        assert found.buffer.value("boundary") == T0 + 6 * UNIT_S
        assert small_oracle.readings == {}


@contextmanager
def agent_process(installed: Installed, off_file: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The agent's own process, whose clock is off by what stands in a file."""
    command = [sys.executable, str(wrong_clock.__file__), str(off_file), "gateway", "run", "--data"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with log.open("ab") as lines:
        process = subprocess.Popen([*command, str(installed.folder)], stdout=lines, stderr=lines, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.processes
@pytest.mark.slow
async def test_an_agent_process_whose_clock_is_set_wrong_and_right_again_sends_nothing_early(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    unit_s, off_file = 15, tmp_path / "clock"
    off_file.write_text("0")
    small_oracle.now, small_oracle.unit_s = time.time, unit_s
    installed = install(tmp_path / "gw", broker.port, time_unit_s=unit_s)
    with agent_process(installed, off_file, tmp_path / "agent.log"):
        await eventually(lambda: len(small_oracle.readings) == 1, 60)
        for jump_s in (HOUR_S, -HOUR_S):
            before = len(small_oracle.readings)
            off_file.write_text(str(jump_s))
            await asyncio.sleep(1.5 * unit_s)
            assert len(small_oracle.readings) <= before + 1, "one that was due when the clock was set"
            off_file.write_text("0")
            await eventually(lambda before=before: len(small_oracle.readings) >= before + 3, 60)
    assert small_oracle.refused_early == []
    assert small_oracle.placed == {}
    intervals = [each.interval for each in own_readings(installed)]
    assert intervals == list(range(intervals[0], intervals[-1] + 1, unit_s)), "what was missed was read afterwards"
