"""One undisturbed part of the day, which the disturbed ones are compared with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.demo.checker.evidence import Event, Evidence
from scripts.demo.options import DemoOptions
from scripts.demo.progress import Step
from scripts.demo.run import collect_evidence, opened, play_day
from scripts.demo.stage import Stage

FIRST_HOUR, LAST_HOUR = 11, 14
AMOUNTS = ("outcome", "paidUeur", "marginUeur", "refundedUeur", "penaltyUeur")
Key = tuple[str, int]


def quiet(_step: Step) -> None:
    return


def part_of_the_day(folder: Path) -> DemoOptions:
    """The congested noon, without the day's own faults."""
    return DemoOptions(folder, first_hour=FIRST_HOUR, last_hour=LAST_HOUR, faults=False)


def settlements(evidence: Evidence) -> dict[Key, Event]:
    """How each award ended, by offer and nanogrid. Not by the award's place in posting order: a bid that waited for a
    part that was down was received later, which moves its place among bids of other prices and nothing else."""
    return {(end.arguments["offer"], end.arguments["nanogrid"]): end for end in evidence.named("AwardSettled")}


def payments(evidence: Evidence) -> dict[Key, tuple[int, ...]]:
    """What each nanogrid got, delivered and owed for each offer."""
    return {
        key: tuple(end.arguments[name] for name in ("awarded", "delivered", *AMOUNTS))
        for key, end in settlements(evidence).items()
    }


@dataclass(frozen=True)
class CalmDay:
    """The undisturbed part of the day. hosts: nanogrid index → the agent process that serves it."""

    evidence: Evidence
    hosts: dict[int, str]


def hosts_of(stage: Stage) -> dict[int, str]:
    return {
        household.index: name
        for name, folders in stage.agents.items()
        for household in stage.households
        if stage.layout.gateway(household.index) in folders
    }


@pytest.fixture(scope="session")
def calm_day(tmp_path_factory: pytest.TempPathFactory) -> CalmDay:
    async def play() -> CalmDay:
        async with opened(part_of_the_day(tmp_path_factory.mktemp("calm")), quiet) as stage:
            await play_day(stage, quiet)
            return CalmDay(collect_evidence(stage), hosts_of(stage))

    return asyncio.run(play())
