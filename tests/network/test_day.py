"""Part of a real day on five validators, in real time: the same processes as in the demonstration, other settings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from scripts.demo.checker.verdict import check
from scripts.rehearsal.options import RehearsalOptions
from scripts.rehearsal.stage import opened, play

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(1200)]


def quiet(_what: str) -> None:
    return


async def test_a_congested_noon_is_traded_and_paid_on_five_validators(tmp_path: Path) -> None:
    async with opened(RehearsalOptions(tmp_path, intervals=2, unit_s=60), quiet) as stage:
        await play(stage, quiet)
        evidence = await asyncio.to_thread(stage.evidence)
    assert not any(check(evidence).values())
    paid = [end.arguments["paidUeur"] for end in evidence.named("AwardSettled")]
    assert sum(paid) > 0, "the DSO asked for flexibility, somebody won it, delivered it and was paid"
