"""An agent killed between any two steps of its outbox: its readings, its devices and what the oracle hears of it are
those of a day without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway_agent.buffer import CONFIRMED, REFUSED, WAITING, Buffer
from gateway_agent.checkpoints import GatewayPoint
from gateway_agent.configuration import BUFFER_FILE
from market.clock import SimulatedClock
from market.clock_authority import ClockAuthority
from oracle.messages import Channel, SignedReading
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
    snapshot,
)
from tests.kill_points.conftest import EndOf
from tests.kill_points.killing import Kill, Program

pytestmark = pytest.mark.processes

TOKEN = "token of the tests"
INTERVALS = 4
DISPATCHED = T0 + 2 * UNIT_S
CHANGE_WH = -270
STATES = ["ACCEPTED", "STARTED", "SUCCEEDED"]

KILLS = [
    *(Kill(GatewayPoint.MOVED, nth) for nth in range(1, 6)),
    *(Kill(GatewayPoint.KEPT, nth) for nth in range(1, 6)),
    *(Kill(GatewayPoint.READINGS_SENT, nth) for nth in (1, 3)),
    *(Kill(GatewayPoint.ACKNOWLEDGED, nth) for nth in (1, 2, 3)),
    *(Kill(GatewayPoint.ACKNOWLEDGEMENT_MARKED, nth) for nth in (1, 2, 3)),
    Kill(GatewayPoint.HEARD, 1, Channel.DISPATCH),
    Kill(GatewayPoint.HEARD, 1, Channel.RECEIPTS),
    Kill(GatewayPoint.HEARD, 3, Channel.RECEIPTS),
    Kill(GatewayPoint.RECEIPTS_KEPT, 1),
    Kill(GatewayPoint.RECEIPTS_KEPT, 3),
]


@dataclass(frozen=True)
class Essence:
    """What is left of a day: the gateway's own readings, those that the oracle stored, and the dispatch's states."""

    own: list[tuple[int, int, int, int]]
    stored: list[tuple[int, int, int, int]]
    states: list[str]
    waiting: dict[str, int]


@dataclass
class Day:
    """A few intervals, one of which is dispatched."""

    authority: ClockAuthority
    installed: Installed
    agent: Program
    oracle: SmallOracle

    async def start(self) -> None:
        self.agent.start()

    async def until(self, at: int) -> None:
        self.authority.stop_at(at)
        await asyncio.wait_for(self.authority.reached(at), 60)

    async def play(self) -> Essence:
        end = T0 + INTERVALS * UNIT_S
        await self.until(end)
        await eventually(lambda: "SUCCEEDED" in self.oracle.states_of("one"))
        await eventually(lambda: len(self.oracle.readings) == INTERVALS)
        self.agent.stop()
        buffer = Buffer(self.installed.folder / BUFFER_FILE)
        try:
            assert buffer.broken_link(SETTLEMENT) is None
            own, waiting = buffer.all_readings(), buffer.counts()
        finally:
            buffer.close()
        stored = sorted(self.oracle.readings.values(), key=lambda each: each.sequence)
        return Essence(essence(own), essence(stored), self.oracle.states_of("one"), waiting)


def essence(readings: list[SignedReading]) -> list[tuple[int, int, int, int]]:
    return [(each.sequence, each.interval, each.active_energy_wh, each.reactive_energy_varh) for each in readings]


async def dispatching(clock: SimulatedClock, oracle: SmallOracle, gateway: str) -> None:
    """The oracle's part: one snapshot at T - 0.9u, which stays with the broker, answered before time goes on."""
    await clock.sleep_until(DISPATCHED - UNIT_S * 9 // 10)
    await oracle.publish(gateway, snapshot(gateway, 1, [order("one", DISPATCHED, CHANGE_WH)]).payload())
    await eventually(lambda: "ACCEPTED" in oracle.states_of("one"), 40)
    await clock.sleep_until(T0 + 100 * UNIT_S)


@asynccontextmanager
async def day(folder: Path, broker: Broker) -> AsyncIterator[Day]:
    folder.mkdir()
    authority = ClockAuthority(T0, TOKEN)
    authority.expect(["agent", "oracle"])
    authority.stop_at(T0)
    port = await authority.start()
    installed = install(folder / "gw", broker.port)
    where = ("--data", str(installed.folder), "--name", "agent", "--clock", f"simulated:127.0.0.1:{port}")
    command = ("market.cli", "gateway", "run", *where, "--clock-token", TOKEN)
    agent = Program(folder, command, name="agent")
    oracle = SmallOracle(broker.port)
    clock = SimulatedClock("127.0.0.1", port, "oracle", TOKEN)
    tasks = [
        asyncio.create_task(oracle.run()),
        asyncio.create_task(dispatching(clock, oracle, installed.gateway)),
    ]
    try:
        yield Day(authority, installed, agent, oracle)
    finally:
        agent.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        clock.close()
        await authority.stop()


@pytest.fixture(scope="module")
def undisturbed(broker: Broker, end_of: EndOf) -> Essence:
    return end_of(lambda folder: day(folder, broker))


def test_a_day_without_kills_is_what_it_is_to_be(undisturbed: Essence) -> None:
    assert len(undisturbed.own) == INTERVALS
    assert undisturbed.own == undisturbed.stored
    assert undisturbed.states == STATES
    assert undisturbed.waiting == {WAITING: 0, CONFIRMED: INTERVALS, REFUSED: 0}
    [delivered_wh] = [active_wh for _, interval, active_wh, _ in undisturbed.own if interval == DISPATCHED]
    assert abs(delivered_wh - CHANGE_WH) <= 1


@pytest.mark.parametrize("kill", KILLS, ids=str)
async def test_a_killed_agent_ends_the_day_as_if_nothing_had_happened(
    tmp_path: Path, broker: Broker, undisturbed: Essence, kill: Kill
) -> None:
    async with day(tmp_path / "day", broker) as wild:
        wild.agent.start(kill)
        wild.authority.stop_at(T0 + INTERVALS * UNIT_S)
        await wild.agent.dies_at(kill)
        wild.agent.start()
        assert await wild.play() == undisturbed
        said = [each.state for each in wild.oracle.acknowledgements if each.dispatch == dispatch_id("one")]
        assert sorted(set(said), key=STATES.index) == list(dict.fromkeys(said)), "none overtakes another"


def test_every_point_of_a_gateway_has_its_case() -> None:
    assert {kill.point for kill in KILLS} == set(GatewayPoint)
