"""A demonstration from beginning to end: set up, move the clock, observe, judge, report."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from gateway_agent.buffer import Buffer
from gateway_agent.configuration import BUFFER_FILE
from market.chain.bindings import Contracts
from market.chain.deployment import CONTRACT_NAMES
from scripts.demo import stage as stages
from scripts.demo.checker.evidence import Evidence, OwnReading, collect
from scripts.demo.checker.verdict import check
from scripts.demo.extract import extract_folder, read_extract
from scripts.demo.households import Household
from scripts.demo.layout import PICTURE_FILE, REPORT_FILE, Layout
from scripts.demo.manifest import Manifest
from scripts.demo.options import DemoOptions
from scripts.demo.progress import Progress, Step
from scripts.demo.report import DayReport, missing_readings, report_of
from scripts.demo.scenario import Scenario, ScenarioOptions, build_scenario
from scripts.demo.stage import Stage
from scripts.demo.supervisor import ProcessFailed

TICK_S = 0.25
STALLED_AFTER_S = 120.0
NEGLIGIBLE_KWH = 0.05

Watch = Callable[[Stage, "DayResult"], Awaitable[None]]


class ClockStalled(Exception):
    """Simulated time stands still although nothing is known to be down; the text names who holds it."""


@dataclass(frozen=True)
class DayResult:
    """What came of a day. findings: check → what it found; seconds: real time of set-up and day."""

    report: DayReport
    findings: dict[str, list[str]]
    set_up_s: float
    day_s: float

    @property
    def holds(self) -> bool:
        """Whether every check of the independent checker holds."""
        return not any(self.findings.values())


def scenario_of(options: DemoOptions) -> Scenario:
    """The scenario of the user's choices. Raises ExtractError, ValueError."""
    extract = read_extract(extract_folder(options.grid))
    return build_scenario(
        extract,
        ScenarioOptions(
            day=options.day,
            seed=options.seed,
            households=options.households,
            transformer_kva=options.transformer_kva,
        ),
    )


@asynccontextmanager
async def opened(
    options: DemoOptions, progress: Progress, resumed: Manifest | None = None, database_url: str = ""
) -> AsyncIterator[Stage]:
    """A stage that is set up, or goes on where it was left; it is torn down in any case."""
    stage = stages.new_stage(options, scenario_of(options), resumed, database_url)
    try:
        await stages.set_up(stage, progress)
        yield stage
    finally:
        await stages.tear_down(stage)


async def play_day(stage: Stage, progress: Progress) -> None:
    """Let time run until every award has ended.

    Raises:
        ProcessFailed: a process ended by itself. ClockStalled: time does not move.
    """
    stage.authority.stop_at(stage.closing_time)
    reached = asyncio.create_task(stage.authority.reached(stage.closing_time))
    failed = stage.supervisor.failed
    seen, moved_at = stage.authority.now, time.monotonic()
    try:
        while not reached.done():
            await asyncio.sleep(TICK_S)
            if failed.done() and not reached.done():
                raise ProcessFailed(failed.result())
            if stage.authority.now != seen:
                seen, moved_at = stage.authority.now, time.monotonic()
            elif stage.options.speed is None and time.monotonic() - moved_at > STALLED_AFTER_S:
                raise ClockStalled(f"time stands at {seen:.0f}, held by {', '.join(stage.authority.waiting_for)}")
            progress(_step(stage, "playing the day"))
        await reached
    finally:
        reached.cancel()


def _step(stage: Stage, name: str) -> Step:
    at_s = int(stage.authority.now)
    at = datetime.fromtimestamp(at_s, ZoneInfo(stages.TIME_ZONE))
    return Step(name, at_s - stage.opening_time, stage.closing_time - stage.opening_time, at=at)


def collect_evidence(stage: Stage) -> Evidence:
    """The chain's events and the gateways' own readings."""
    return evidence_of(stage.contracts(), stage.layout, stage.households)


def evidence_of(contracts: Contracts, layout: Layout, households: Sequence[Household]) -> Evidence:
    """The events of a chain, and the own readings of the gateways in a folder."""
    by_name = {name: contracts.named(name) for name in CONTRACT_NAMES}
    return collect(contracts.web3, by_name, own_readings(layout, households))


def own_readings(layout: Layout, households: Sequence[Household]) -> list[OwnReading]:
    """What every gateway keeps of its readings."""
    found = []
    for household in households:
        buffer = Buffer(layout.gateway(household.index) / BUFFER_FILE)
        try:
            readings = buffer.all_readings()
        finally:
            buffer.close()
        found += [
            OwnReading(
                nanogrid=reading.nanogrid,
                interval=reading.interval,
                active_energy_wh=reading.active_energy_wh,
                reactive_energy_varh=reading.reactive_energy_varh,
                sequence=reading.sequence,
                signature=bytes.fromhex(reading.signature[2:]),
            )
            for reading in readings
        ]
    return found


def judge(stage: Stage, set_up_s: float, day_s: float) -> DayResult:
    """Check the evidence and count the day."""
    evidence = collect_evidence(stage)
    intervals = [each for each in stage.scenario.intervals if stage.first_interval <= each < stage.end]
    report, findings = findings_of(stage.scenario, intervals, evidence)
    return DayResult(report, findings, set_up_s, day_s)


def findings_of(
    scenario: Scenario, intervals: Sequence[int], evidence: Evidence
) -> tuple[DayReport, dict[str, list[str]]]:
    """The report of a day and what each check found; a gap in the evidence is a finding, not an error."""
    report = report_of(scenario, intervals, evidence)
    gaps = [
        f"nanogrid {index} has no reading of interval {interval}"
        for index, interval in missing_readings(scenario, intervals, evidence)
    ]
    findings = check(evidence) | {
        "every gateway has measured every interval": gaps,
        "the market leaves the grid better off, or as it was": list(_harm(report)),
    }
    return report, findings


def _harm(report: DayReport) -> Iterator[str]:
    """What the market has made worse; readings are whole Wh, which is a few VA."""
    before, after = report.without_market, report.with_market
    if after.overload_kwh > before.overload_kwh + NEGLIGIBLE_KWH:
        yield f"{after.overload_kwh:.2f} kWh of overload with the market, {before.overload_kwh:.2f} without"


async def run_demo(
    options: DemoOptions,
    progress: Progress,
    afterwards: Watch | None = None,
    resumed: Manifest | None = None,
    announced: Callable[[Stage], None] | None = None,
) -> DayResult:
    """One whole demonstration; `announced` is told when the page is up, `afterwards` is awaited while the processes
    still run."""
    started = time.monotonic()
    async with opened(options, progress, resumed) as stage:
        set_up_s = time.monotonic() - started
        if announced is not None:
            announced(stage)
        begun = time.monotonic()
        await play_day(stage, progress)
        day_s = time.monotonic() - begun
        progress(_step(stage, "judging the day"))
        result = await asyncio.to_thread(judge, stage, set_up_s, day_s)
        write_result(result, stage.layout.report)
        if afterwards is not None:
            await afterwards(stage, result)
    return result


def document_of(result: DayResult) -> dict[str, Any]:
    """The result as report.json has it."""
    return {
        **result.report.to_json(),
        "checks": {name: {"holds": not found, "findings": found} for name, found in result.findings.items()},
        "set_up_s": round(result.set_up_s, 1),
        "day_s": round(result.day_s, 1),
    }


def write_result(result: DayResult, folder: Path) -> None:
    """report.json and the picture of the day."""
    from scripts.demo.picture import draw

    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_FILE).write_text(json.dumps(document_of(result), indent=1) + "\n")
    draw(result.report, folder / PICTURE_FILE)
