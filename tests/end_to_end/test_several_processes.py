"""Two markets and two oracles over one PostgreSQL: one of each acts, the other takes over, nothing is done twice."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from market.store.database import open_engine, read_scope
from market.store.facts import Acknowledgement, Reading
from market.store.work import Transaction, TransactionState
from scripts.demo.checker.verdict import check
from scripts.demo.run import collect_evidence, opened, play_day
from scripts.demo.stage import Stage, spec
from scripts.demo.supervisor import ProcessSpec, free_port, http_probe
from tests.databases import Cluster
from tests.end_to_end.conftest import CalmDay, part_of_the_day, payments, quiet

pytestmark = [
    pytest.mark.alone,
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.postgresql,
    pytest.mark.timeout(1200),
]

ROLES = ("market", "oracle")
TAKES_OVER_WITHIN_S = 15.0


@dataclass
class Pair:
    """Both processes of each role: where each tells its metrics, and how it is started."""

    stage: Stage
    metrics: dict[str, int]
    specs: dict[str, ProcessSpec]

    def metric(self, name: str, metric: str) -> float:
        """A process's metric, summed over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics[name]}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", page, re.MULTILINE))

    async def until_leading(self, names: Mapping[str, str]) -> None:
        """Wait until these processes, by role, are those that act."""
        for name in names.values():
            async with asyncio.timeout(TAKES_OVER_WITHIN_S):
                while await asyncio.to_thread(self.metric, name, "meritgrid_leader") != 1:  # noqa: ASYNC110 - it is asked
                    await asyncio.sleep(0.1)


async def pair_of(stage: Stage, oracle_database: str) -> Pair:
    """The stage with a second process of each role; the first one acts."""
    ports = {"market": stage.ports["market"]} | {name: free_port() for name in ("market-2", "oracle", "oracle-2")}
    own = {"MERITGRID_DATABASE_URL": oracle_database}
    specs = {
        "market": spec(stage, "market"),
        "market-2": _copy(spec(stage, "market"), "market-2", {"MERITGRID_API__PORT": str(ports["market-2"])}),
        "oracle": _with_metrics(_copy(spec(stage, "oracle"), "oracle", own), ports["oracle"]),
        "oracle-2": _with_metrics(_copy(spec(stage, "oracle"), "oracle-2", own), ports["oracle-2"]),
    }
    specs["market-2"] = replace(specs["market-2"], ready=http_probe(ports["market-2"], "/health/ready"))
    await stage.supervisor.stop("oracle")
    await stage.supervisor.start(specs["oracle"])
    stage.authority.expect(["market-2", "oracle-2"])
    await stage.supervisor.start_all([specs["market-2"], specs["oracle-2"]])
    return Pair(stage, ports, specs)


def _copy(one: ProcessSpec, name: str, environment: Mapping[str, str]) -> ProcessSpec:
    return replace(one, name=name, environment={**one.environment, "MERITGRID_CLOCK_NAME": name, **environment})


def _with_metrics(one: ProcessSpec, port: int) -> ProcessSpec:
    return replace(one, command=[*one.command, "--metrics-port", str(port)], ready=http_probe(port, "/metrics"))


async def _until(stage: Stage, moment_s: float) -> None:
    while stage.authority.now < moment_s:  # noqa: ASYNC110 - simulated time is waited for
        await asyncio.sleep(0.01)


async def _kill_the_leaders_twice(pair: Pair) -> None:
    stage = pair.stage
    first, second = dict(zip(ROLES, ROLES, strict=True)), {role: f"{role}-2" for role in ROLES}
    await _until(stage, stage.first_interval + 900)
    await pair.until_leading(first)
    for name in second.values():
        assert await asyncio.to_thread(pair.metric, name, "meritgrid_job_runs_total") == 0, "it stands by"
    assert await asyncio.to_thread(pair.metric, "oracle-2", "meritgrid_messages_total") == 0, "it hears nothing"
    for name in first.values():
        await stage.supervisor.kill(name)
    await pair.until_leading(second)
    # The killed ones come back and stand by. Desks and agents go on with the first market: it serves, the other acts.
    await stage.supervisor.start_all([pair.specs[name] for name in first.values()])
    await _until(stage, stage.first_interval + 6 * 900)
    assert await asyncio.to_thread(pair.metric, "market", "meritgrid_job_runs_total") == 0
    for name in second.values():
        await stage.supervisor.kill(name)
    await pair.until_leading(first)
    for name in second.values():
        stage.authority.away(name)


def _require_nothing_done_twice(database_url: str) -> None:
    engine = open_engine(database_url)
    with read_scope(engine) as session:
        unfinished = session.scalars(select(Transaction.purpose).where(Transaction.state != TransactionState.MINED))
        assert unfinished.all() == []
        nonces = session.execute(
            select(Transaction.sender, func.min(Transaction.nonce), func.max(Transaction.nonce), func.count()).group_by(
                Transaction.sender
            )
        ).all()
        assert all(last - first + 1 == count for _, first, last, count in nonces), "each nonce is used once"
        twice = select(Reading.nanogrid, Reading.interval).group_by(Reading.nanogrid, Reading.interval)
        assert session.execute(twice.having(func.count() > 1)).all() == []
        ends = select(Acknowledgement.dispatch).group_by(Acknowledgement.dispatch, Acknowledgement.state)
        assert session.execute(ends.having(func.count() > 1)).all() == []
    engine.dispose()


async def test_the_second_of_each_takes_over_and_no_payment_changes(
    tmp_path: Path, calm_day: CalmDay, postgresql_cluster: Cluster, production_database: str
) -> None:
    """With the roles of production: the oracles' one may do less than the markets' one."""
    database_url = postgresql_cluster.url(production_database, "meritgrid_market")
    async with opened(part_of_the_day(tmp_path), quiet, database_url=database_url) as stage:
        pair = await pair_of(stage, postgresql_cluster.url(production_database, "meritgrid_oracle"))
        killer = asyncio.create_task(_kill_the_leaders_twice(pair))
        await play_day(stage, quiet)
        await killer
        disturbed = collect_evidence(stage)
    _require_nothing_done_twice(database_url)
    assert len(payments(calm_day.evidence)) > 0
    assert payments(disturbed) == payments(calm_day.evidence)
    assert not any(check(disturbed).values())
