"""Parts die at any moment of the day and come back: the payments stay the same to the micro-euro."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from scripts.demo.checker.verdict import check
from scripts.demo.run import collect_evidence, opened, play_day
from scripts.demo.stage import Stage
from tests.end_to_end.conftest import CalmDay, part_of_the_day, payments, quiet

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(1200)]

KILLS = 20
SEED = 20
VICTIMS = ("market", "oracle", "broker", "agent-1")


async def _kill_at_seeded_moments(stage: Stage, killed: list[str]) -> None:
    random = Random(SEED)
    moments = sorted(random.uniform(stage.first_interval - 4 * 900, stage.end + 2 * 900) for _ in range(KILLS))
    for moment in moments:
        while stage.authority.now < moment:  # noqa: ASYNC110 - simulated time is waited for
            await asyncio.sleep(0.01)
        victim = random.choice(VICTIMS)
        # Not at the beginning of what is due then, but anywhere in it: between a commit and the send that follows too.
        await asyncio.sleep(random.uniform(0.0, 0.08))
        await stage.supervisor.restart(victim)
        killed.append(victim)


async def test_twenty_kills_change_no_payment(tmp_path: Path, calm_day: CalmDay) -> None:
    killed: list[str] = []
    async with opened(part_of_the_day(tmp_path), quiet) as stage:
        killer = asyncio.create_task(_kill_at_seeded_moments(stage, killed))
        await play_day(stage, quiet)
        await killer
        disturbed = collect_evidence(stage)
    assert len(killed) == KILLS
    assert len(payments(calm_day.evidence)) > 0
    assert payments(disturbed) == payments(calm_day.evidence)
    assert not any(check(disturbed).values())
