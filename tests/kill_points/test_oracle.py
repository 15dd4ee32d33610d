"""An oracle killed anywhere between a message, or an award, and what follows from it: nothing is lost, nothing doubled.

A real gateway over the product's broker; in each day one award of it is dispatched, delivered and paid.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway_agent.buffer import Buffer
from gateway_agent.configuration import BUFFER_FILE
from market.chain.embedded import start_anvil
from market.checkpoints import SenderPoint
from market.domain.baselines import FORECAST_FORMAT
from market.domain.products import Phase
from market.domain.records import BidRecord
from market.domain.settlement import Outcome
from market.domain.states import DispatchState
from market.settings import write_secret
from market.store.database import read_scope
from market.store.models import Acknowledgement, Award, Dispatch, Notice, Quarantined, Reading
from oracle.broker.credentials import new_service_account
from oracle.checkpoints import IngestPoint, OutboxPoint
from scripts.demo.supervisor import free_port
from tests.chain.world import NANOGRIDS, U, World, before, nanogrid
from tests.conftest import TEST_EPOCH
from tests.gateway_agent.world import Installed
from tests.kill_points.conftest import EndOf
from tests.kill_points.killing import Kill
from tests.kill_points.stage import Stage, stage_over

pytestmark = pytest.mark.processes

T = TEST_EPOCH + 10 * U
AWARDED_WH = 300
STATES = ["ACCEPTED", "STARTED", "SUCCEEDED"]

KILLS = [
    *(Kill(point, 2, "readings") for point in IngestPoint),
    *(Kill(point, nth, "acks") for point in (IngestPoint.HEARD, IngestPoint.STORED) for nth in (1, 2, 3)),
    *(Kill(point, 2, "acks") for point in (IngestPoint.WRITTEN, IngestPoint.ANSWERED)),
    *(Kill(point, 1, "status") for point in (IngestPoint.HEARD, IngestPoint.STORED)),
    *(Kill(point, 1, str(T)) for point in (OutboxPoint.NOMINATED, OutboxPoint.ANCHORED, OutboxPoint.ORDERED)),
    Kill(OutboxPoint.MARKED),
    Kill(OutboxPoint.PUBLISHED, 1, str(T)),
    Kill(SenderPoint.STORED, 1, "settle"),
    Kill(SenderPoint.SENT, 1, "settle"),
    Kill(SenderPoint.MINED, 1, "settle"),
    Kill(SenderPoint.STORED, 1, "anchorReadings"),
]
WHEN_RED = [
    Kill(OutboxPoint.WITHDRAWN),
    Kill(OutboxPoint.PUBLISHED, 2, str(T)),
    Kill(IngestPoint.HEARD, 2, "acks"),
]
"""The node goes RED after the award has been dispatched."""


@dataclass(frozen=True)
class Essence:
    """What is left of the day, at the oracle, on the chain and at the gateway."""

    readings: list[tuple[Any, ...]]
    own_readings: list[tuple[Any, ...]]
    dispatches: list[tuple[Any, ...]]
    own_dispatches: list[tuple[Any, ...]]
    acknowledged: list[tuple[Any, ...]]
    told: list[tuple[str, str, int]]
    awards: list[tuple[Any, ...]]
    sent: Counter[tuple[str, str]]
    quarantined: list[str]


@dataclass
class Day:
    """The stage, and what the DSO, the aggregator and a bidder do."""

    stage: Stage
    gateway: Installed
    is_red: bool = False

    async def start(self) -> None:
        await self.stage.start()

    async def play(self, until: int = T + 3 * U // 2) -> Essence:
        await self.to_dispatch()
        await self.stage.until(until)
        return await self.essence()

    async def to_dispatch(self) -> None:
        """An internal auction that the gateway's nanogrid wins; its award is final, and perhaps RED takes it back."""
        world, until = self.stage.world, self.stage.until
        await until(before(T, 400))
        offer = world.offer(T, 500, limit_price_ueur_kwh=500_000)
        await until(before(T, 350))
        world.post(offer, [world.wire(offer, BidRecord(100_000, AWARDED_WH, 0, 0))])
        await until(before(T, 325))
        awards = world.clear(offer)
        await until(before(T, 300))
        world.finalise(offer, awards)
        if self.is_red:
            await until(before(T, 60))
            world.signal(T, Phase.RED, 1)

    async def essence(self) -> Essence:
        await asyncio.to_thread(self.stage.programs["agent"].stop)
        await asyncio.to_thread(self.stage.programs["oracle"].stop)
        buffer = Buffer(self.gateway.folder / BUFFER_FILE)
        try:
            own = [(each.sequence, each.interval, each.active_energy_wh) for each in buffer.all_readings()]
            own_dispatches = [(each.state.name, each.changed_at) for each in buffer.dispatches().values()]
        finally:
            buffer.close()
        self.stage.world.indexer.index_now()
        with read_scope(self.stage.world.engine) as session:
            readings = session.scalars(select(Reading).order_by(Reading.sequence))
            dispatches = session.scalars(select(Dispatch))
            acknowledged = session.scalars(select(Acknowledgement).order_by(Acknowledgement.id))
            notices = session.scalars(select(Notice).order_by(Notice.id))
            awards = session.scalars(select(Award))
            return Essence(
                [(row.sequence, row.interval, row.active_energy_wh) for row in readings],
                own,
                [(row.nanogrid, row.state, row.started_at, row.ended_at) for row in dispatches],
                own_dispatches,
                [(DispatchState(row.state).name, row.at) for row in acknowledged],
                # By topic: whether a reading or an answer of the same moment comes first is chance after a kill.
                sorted(((row.topic, row.event, row.interval) for row in notices), key=lambda told: told[0]),
                [(row.nanogrid, row.outcome, row.delivered, row.paid_ueur) for row in awards],
                self.stage.sent(),
                list(session.scalars(select(Quarantined.reason))),
            )


@asynccontextmanager
async def day(folder: Path, is_red: bool = False) -> AsyncIterator[Day]:
    """From T - 4.2u on; nothing but the broker runs yet."""
    folder.mkdir()
    with start_anvil(free_port(), timestamp=TEST_EPOCH) as chain:
        world = World.build(chain, f"sqlite:///{folder / 'market.sqlite'}")
        world.register()
        world.fund()
        world.at(before(T, 420))
        world.indexer.index_now()
        points = [{"nanogrid": nanogrid(index), "p_w": [0], "q_var": [0]} for index in range(NANOGRIDS)]
        forecast = {"format": FORECAST_FORMAT, "first_interval": T, "step_s": U, "points": points}
        (folder / "forecast.json").write_text(json.dumps(forecast))
        with write_secret(folder / "oracle.password") as file:
            file.write(new_service_account(world.engine, "oracle", world.now_s))
        async with stage_over(world, folder, [free_port(), free_port()]) as stage:
            gateway = stage.enrolled(0)
            await stage.start_broker()
            account = {"MQTT__USERNAME": "oracle", "MQTT__PASSWORD_FILE": str(folder / "oracle.password")}
            stage.add("oracle", "oracle", "serve", "--forecast-file", str(folder / "forecast.json"), **account)
            stage.add("agent", "gateway", "run", "--data", str(gateway.folder), "--name", "agent")
            yield Day(stage, gateway, is_red)
        world.engine.dispose()


@pytest.fixture(scope="module")
def undisturbed(end_of: EndOf) -> Essence:
    return end_of(day)


@pytest.fixture(scope="module")
def undisturbed_red(end_of: EndOf) -> Essence:
    return end_of(partial(day, is_red=True))


def test_a_day_without_kills_is_what_it_is_to_be(undisturbed: Essence, undisturbed_red: Essence) -> None:
    calm = undisturbed
    assert [state for state, _ in calm.acknowledged] == STATES
    assert [(outcome, delivered) for _, outcome, delivered, _ in calm.awards] == [(Outcome.DELIVERED, AWARDED_WH)]
    assert calm.readings == calm.own_readings
    assert T in {interval for _, interval, _ in calm.readings}
    told = [event for topic, event, _ in calm.told if topic == "dispatches"]
    assert told == ["NEW", "PUBLISHED", *STATES]
    assert calm.sent["settle", "MINED"] == 1
    assert calm.quarantined == undisturbed_red.quarantined == []
    assert [state for _, state, *_ in undisturbed_red.dispatches] == ["REVOKED"]
    assert [state for state, _ in undisturbed_red.own_dispatches] == ["REVOKED"]
    assert [state for state, _ in undisturbed_red.acknowledged] == ["ACCEPTED", "REVOKED"]


async def end_of_killed(folder: Path, kill: Kill, is_red: bool) -> Essence:
    async with day(folder, is_red) as wild:
        oracle = wild.stage.programs["oracle"]
        await wild.stage.start("oracle", kill)
        playing = asyncio.create_task(wild.play())
        await oracle.dies_at(kill)
        oracle.start()
        return await playing


@pytest.mark.parametrize("kill", KILLS, ids=str)
async def test_a_killed_oracle_ends_the_day_as_if_nothing_had_happened(
    tmp_path: Path, undisturbed: Essence, kill: Kill
) -> None:
    assert await end_of_killed(tmp_path / "day", kill, is_red=False) == undisturbed


@pytest.mark.parametrize("kill", WHEN_RED, ids=str)
async def test_a_killed_oracle_still_takes_back_what_red_has_taken_back(
    tmp_path: Path, undisturbed_red: Essence, kill: Kill
) -> None:
    assert await end_of_killed(tmp_path / "day", kill, is_red=True) == undisturbed_red


@pytest.mark.slow
@pytest.mark.parametrize("nth", [2, 3], ids=["STARTED", "SUCCEEDED"])
async def test_an_answer_that_died_with_an_oracle_that_stays_away_is_said_again(
    tmp_path: Path, undisturbed: Essence, nth: int
) -> None:
    """It comes back after the lease: a gateway whose order was over was not asked again, and its end never known."""
    kill = Kill(IngestPoint.HEARD, nth, "acks")
    async with day(tmp_path / "day") as wild:
        oracle, authority = wild.stage.programs["oracle"], wild.stage.authority
        await wild.stage.start("oracle", kill)
        await wild.to_dispatch()
        authority.stop_at(T + U)
        await oracle.dies_at(kill)
        authority.away("oracle")
        await wild.stage.until(T + 5 * U // 4)
        authority.wait_for("oracle")
        oracle.start()
        await wild.stage.until(T + 3 * U // 2)
        end = await wild.essence()
    assert end.dispatches == undisturbed.dispatches
    assert sorted(end.acknowledged) == sorted(undisturbed.acknowledged)
    assert sorted(end.told) == sorted(undisturbed.told)
    assert (end.readings, end.awards) == (undisturbed.readings, undisturbed.awards)


def test_every_point_of_the_oracle_has_its_case() -> None:
    assert {kill.point for kill in (*KILLS, *WHEN_RED)} >= set(IngestPoint) | set(OutboxPoint)
