"""One run: everything up, faults under load, calm, judgement."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import create_engine, make_url, text

from market.domain.calendar import Moment
from market.domain.messages import BidRefusal
from scripts.chaos.bed import Bed, Told, all_well, class_of, made
from scripts.chaos.evidence import ChaosEvidence, differing_rows, kept_in, told_by
from scripts.chaos.judge import Verdict, judge
from scripts.chaos.options import LONG_S, SHORT_S, ChaosOptions, groups_of
from scripts.chaos.schedule import Kind, schedule
from scripts.rehearsal.stage import play

_KILLING: Final = (Kind.KILL, Kind.QUEUE_LOST, Kind.TWO_DOWN)
"""Kinds of faults by which somebody gets SIGKILL; two at once count as one."""
_REBUILT: Final = "rebuilt"
_REBUILD_WITHIN_S: Final = 600.0


@dataclass(frozen=True)
class ChaosResult:
    """What came of a run. faults: by kind and kind of part; counts: what the load was."""

    options: ChaosOptions
    verdict: Verdict
    faults: dict[str, int]
    recovered: dict[str, Any]
    not_back: tuple[str, ...]
    ended_by_themselves: dict[str, int]
    left_out: dict[str, str]
    counts: dict[str, int]
    seconds: float

    @property
    def holds(self) -> bool:
        return self.verdict.holds and not self.not_back

    def document(self) -> dict[str, Any]:
        """As chaos.json has it."""
        kills = {kind: times for kind, times in self.faults.items() if kind.startswith(_KILLING)}
        return {
            "how": self.options.command,
            "seed": self.options.seed,
            "minutes_of_faults": self.options.minutes,
            "time_unit_s": self.options.unit_s,
            "duration_s": round(self.seconds),
            "kills": kills,
            "kills_in_all": sum(kills.values()),
            "faults": self.faults,
            "lost": len(self.verdict.lost),
            "doubled": len(self.verdict.doubled),
            "unaccounted": len(self.verdict.unaccounted),
            "findings": [*self.verdict.lost, *self.verdict.doubled, *self.verdict.unaccounted],
            "not_back": list(self.not_back),
            "seconds_to_recover": self.recovered,
            "load": self.counts,
            "ended_by_themselves": self.ended_by_themselves,
            "left_out": self.left_out,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} cores, {os.uname().sysname} {os.uname().machine}",
        }


async def run_chaos(options: ChaosOptions, told: Told) -> ChaosResult:
    """Set everything up, let the seed's faults happen under load, wait for calm, and judge."""
    begun_s = time.monotonic()
    faults = schedule(options.seed, options.minutes * 60, groups_of(options), LONG_S if options.is_long else SHORT_S)
    async with made(options, told) as bed:
        for target, why in bed.left_out.items():
            told(f"left out: {target}: {why}")
        load = asyncio.create_task(bed.bidder.run())
        try:
            first_s = bed.stage.calendar.at(Moment.GATEWAYS_BID, bed.stage.scenario.intervals[0])
            told(f"calm until the first bids, {first_s - time.time():.0f} s")
            await asyncio.sleep(max(0.0, first_s - time.time()))
            told(f"{len(faults)} faults in {options.minutes:g} minutes")
            await bed.endure(faults)
            told("calm: everything is mended")
            await all_well(bed)
            await play(bed.stage, told)
            if load.done():
                load.result()
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        told("judging")
        evidence = await collect(bed)
        return _result(bed, evidence, time.monotonic() - begun_s)


async def collect(bed: Bed) -> ChaosEvidence:
    """Read all evidence, with a database that is built anew from the chain beside the live one."""
    stage = bed.stage
    rebuilt = await _rebuild(bed)
    try:
        chain = await asyncio.to_thread(stage.evidence)
        indices = [each.index for each in stage.households]
        told = await asyncio.to_thread(told_by, stage.layout, indices, bed.promises_log)
        relayer, auction = stage.layout.keys.address("relayer"), stage.contracts().domain_of(BidRefusal)
        kept = await asyncio.to_thread(kept_in, bed.engine, relayer, auction)
        differing = await asyncio.to_thread(differing_rows, bed.engine, rebuilt)
        return ChaosEvidence(chain, told, kept, differing)
    finally:
        rebuilt.dispose()


async def _rebuild(bed: Bed) -> Any:
    """An empty database, filled by the product's own command from the chain alone."""
    with bed.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {_REBUILT}"))
    url = make_url(bed.stage.database_url).set(database=_REBUILT).render_as_string(hide_password=False)
    environment = {**os.environ, **bed.stage.processes().environment, "MERITGRID_DATABASE_URL": url}
    command = [sys.executable, "-m", "market.cli", "market", "reindex"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdin=asyncio.subprocess.DEVNULL)
    code = await asyncio.wait_for(process.wait(), _REBUILD_WITHIN_S)
    if code != 0:
        raise RuntimeError(f"`meritgrid market reindex` ended with code {code}")
    return create_engine(url)


def _result(bed: Bed, evidence: ChaosEvidence, seconds: float) -> ChaosResult:
    faults: Counter[str] = Counter()
    for (kind, target), times in bed.struck.items():
        faults[f"{kind.value} {class_of(target)}"] += times
    chain = evidence.chain
    counts = {
        "offers": len(chain.named("OfferOpened")),
        "bids_acknowledged": len(evidence.told.promises),
        "bids_refused": bed.bidder.refused,
        "readings_acknowledged": len(evidence.told.readings),
        "awards": len(chain.named("AwardSettled")),
        "dispatches_begun": len(evidence.told.begun),
        "commands": len(chain.named("CommandSettled")),
        "messages_replayed": bed.replayed,
        "bids_with_signed_refusal": sum(signed for _, signed in evidence.kept.reasons.values()),
    }
    return ChaosResult(
        options=bed.options,
        verdict=judge(evidence),
        faults=dict(sorted(faults.items())),
        recovered=bed.recoveries.figures(),
        not_back=tuple(bed.not_back),
        ended_by_themselves=dict(bed.keeper.ended),
        left_out=bed.left_out,
        counts=counts,
        seconds=seconds,
    )
