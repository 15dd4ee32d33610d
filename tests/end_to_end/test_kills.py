"""Parts die at any moment of the day and come back: the payments stay the same to the micro-euro."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from scripts.demo.checker.evidence import Evidence
from scripts.demo.checker.verdict import check
from scripts.demo.options import DemoOptions
from scripts.demo.run import collect_evidence, opened, play_day
from scripts.demo.stage import Stage

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(1200)]

KILLS = 20
SEED = 20
VICTIMS = ("market", "oracle", "broker", "agent-1")


def _quiet(_what: str, _done: int, _total: int) -> None:
    return


def _payments(evidence: Evidence) -> set[tuple[object, ...]]:
    """What each nanogrid was paid for each offer. Not the award's place in posting order: a bid that waited for a part
    that was down was received later, which moves its place among bids of other prices and nothing else."""
    fields = ("nanogrid", "outcome", "awarded", "delivered", "paidUeur", "marginUeur", "refundedUeur")
    return {
        (event.arguments["offer"], *(event.arguments[field] for field in (*fields, "penaltyUeur")))
        for event in evidence.named("AwardSettled")
    }


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


async def test_twenty_kills_change_no_payment(tmp_path: Path) -> None:
    options = {"first_hour": 11, "last_hour": 14, "faults": False}
    async with opened(DemoOptions(tmp_path / "calm", **options), _quiet) as stage:  # type: ignore[arg-type]
        await play_day(stage, _quiet)
        undisturbed = collect_evidence(stage)
    killed: list[str] = []
    async with opened(DemoOptions(tmp_path / "killed", **options), _quiet) as stage:  # type: ignore[arg-type]
        killer = asyncio.create_task(_kill_at_seeded_moments(stage, killed))
        await play_day(stage, _quiet)
        await killer
        disturbed = collect_evidence(stage)
    assert len(killed) == KILLS
    assert len(_payments(undisturbed)) > 0
    assert _payments(disturbed) == _payments(undisturbed)
    assert not any(check(disturbed).values())
