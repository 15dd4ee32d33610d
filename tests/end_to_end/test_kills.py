"""Parts die at any moment of the day and come back: the payments stay the same to the micro-euro."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from market.checkpoints import SenderPoint
from scripts.demo.checker.verdict import check
from scripts.demo.run import collect_evidence, opened, play_day
from scripts.demo.stage import Stage, spec
from scripts.demo.supervisor import ProcessFailed
from tests.end_to_end.conftest import CalmDay, part_of_the_day, payments, quiet

pytestmark = [pytest.mark.alone, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(1200)]

KILLS = 20
SEED = 20
VICTIMS = ("market", "oracle", "broker", "agent-1")
PRECISE = {
    4: ("oracle", SenderPoint.STORED),
    7: ("market", SenderPoint.STORED),
    10: ("market", SenderPoint.SENT),
    13: ("oracle", SenderPoint.MINED),
}
"""Kills at a checkpoint of the transaction sender: between a commit and the send that follows it, and after that."""
DYING = Path(__file__).with_name("dying.py")


async def _kill_at_seeded_moments(stage: Stage, killed: list[str]) -> None:
    random = Random(SEED)
    moments = sorted(random.uniform(stage.first_interval - 4 * 900, stage.end + 2 * 900) for _ in range(KILLS))
    for number, moment in enumerate(moments):
        while stage.authority.now < moment:  # noqa: ASYNC110 - simulated time is waited for
            await asyncio.sleep(0.01)
        if number in PRECISE:
            victim, point = PRECISE[number]
            await _die_at_checkpoint(stage, victim, point)
        else:
            victim = random.choice(VICTIMS)
            await asyncio.sleep(random.uniform(0.0, 0.08))  # anywhere in what is due then, not at its beginning
            await stage.supervisor.restart(victim)
        killed.append(victim)


async def _die_at_checkpoint(stage: Stage, name: str, point: SenderPoint) -> None:
    """Have a process killed at the next checkpoint that its transaction sender passes, then start it again."""
    normal = spec(stage, name)
    dying = replace(normal, command=[sys.executable, str(DYING), point.name, *normal.command[3:]], may_end=True)
    await stage.supervisor.kill(name)
    with contextlib.suppress(ProcessFailed):  # it may die before it is ready
        await stage.supervisor.start(dying)
    await asyncio.wait_for(stage.supervisor.until_ended(name), 120)
    await stage.supervisor.start(spec(stage, name))


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
