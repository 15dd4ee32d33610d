"""The bed: a rehearsal on real parts whose processes are kept running, and what strikes them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import structlog
from sqlalchemy import Engine, create_engine

from market.domain.units import nanogrid_id
from scripts.chaos import wrong_clock
from scripts.chaos.bidder import HandBidder
from scripts.chaos.disks import SmallDisk, may_mount
from scripts.chaos.keeper import Keeper
from scripts.chaos.links import Link, LinkState
from scripts.chaos.options import DATABASE_DISK, GATEWAYS_DISK, VALIDATOR_OF, ChaosOptions, groups_of
from scripts.chaos.recovery import NotBack, Recoveries, are_online, seconds_until
from scripts.chaos.replay import replay
from scripts.chaos.schedule import REST_S, Fault, Kind
from scripts.demo.scenario import PORTFOLIO
from scripts.demo.supervisor import ProcessSpec, free_port, http_probe
from scripts.network.validators import Validator, await_health
from scripts.rehearsal.options import RehearsalOptions
from scripts.rehearsal.stage import RehearsalStage, opened

log = structlog.get_logger(__name__)

BACK_WITHIN_S: Final = 240.0
"""What is not back after so long is a finding."""
_GATEWAYS_DISK_MB: Final = 192
_DATABASE_DISK_MB: Final = 768
_ANSWER_S: Final = 5.0

Told = Callable[[str], None]


@dataclass
class Bed:
    """One run.

    struck: faults by kind and target; replayed: old messages sent again; left_out: what this machine cannot do and why.
    """

    options: ChaosOptions
    stage: RehearsalStage
    keeper: Keeper
    links: dict[str, Link]
    engine: Engine
    bidder: HandBidder
    told: Told
    left_out: dict[str, str] = field(default_factory=dict)
    disks: dict[str, SmallDisk] = field(default_factory=dict)
    struck: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    recoveries: Recoveries = field(default_factory=Recoveries)
    not_back: list[str] = field(default_factory=list)
    replayed: int = 0

    @property
    def promises_log(self) -> Path:
        return self.stage.layout.folder / "promises.jsonl"

    def validator(self, target: str) -> Validator:
        if self.stage.validators is None:
            raise RuntimeError("the network does not run")
        return self.stage.validators[VALIDATOR_OF[target]]

    async def endure(self, faults: Sequence[Fault]) -> None:
        """Let all faults happen and be mended; within a group the next waits until the one before is over."""
        begun_s = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for group in groups_of(self.options):
                own = [fault for fault in faults if fault.target in group.targets]
                tasks.create_task(self._endure_in_turn(own, begun_s))

    async def _endure_in_turn(self, faults: Sequence[Fault], begun_s: float) -> None:
        for fault in faults:
            if time.monotonic() - begun_s > self.options.minutes * 60:
                return
            await asyncio.sleep(max(0.0, begun_s + fault.at_s - time.monotonic()))
            self.keeper.fail_if_broken()
            await self._suffer(fault)
            await asyncio.sleep(REST_S)

    async def _suffer(self, fault: Fault) -> None:
        """One fault from its beginning until what it struck is back."""
        if fault.target in self.left_out:
            return
        self.told(f"{fault.kind.value} {fault.target} ({fault.lasts_s:.0f} s)")
        struck_at_s, begun_s = time.time(), time.monotonic()
        await self._strike(fault)
        self.struck[fault.kind, fault.target] += 1
        is_cut_off = fault.kind in (Kind.KILL, Kind.QUEUE_LOST, Kind.CUT)
        # Who is killed is away from the first moment; of what is mended later, the time after that is of interest.
        since_s = begun_s if fault.kind in (Kind.KILL, Kind.QUEUE_LOST) else time.monotonic()
        try:
            seconds = await seconds_until(
                partial(self._is_back, fault.target, struck_at_s if is_cut_off else None),
                since_s,
                BACK_WITHIN_S,
                f"{fault.target} after {fault.kind.value}",
            )
        except NotBack as problem:
            self.not_back.append(str(problem))
            log.error("not back", target=fault.target, kind=fault.kind.value)
            return
        self.recoveries.note(f"{fault.kind.value} {class_of(fault.target)}", seconds)

    async def _strike(self, fault: Fault) -> None:
        target, lasts_s = fault.target, fault.lasts_s
        if target in VALIDATOR_OF:
            await self._strike_validator(fault)
        elif target in self.links:
            states = {Kind.CUT: LinkState.CUT, Kind.STALL: LinkState.STALLED, Kind.SLOW: LinkState.SLOW}
            await self.links[target].become(states[fault.kind])
            await asyncio.sleep(lasts_s)
            await self.links[target].become(LinkState.OPEN)
        elif target in self.disks:
            await asyncio.to_thread(self.disks[target].fill)
            await asyncio.sleep(lasts_s)
            await asyncio.to_thread(self.disks[target].relieve)
        elif fault.kind is Kind.REPLAY:
            self.replayed += await replay(self.stage, Random(f"{self.options.seed} {fault.at_s}"))
        elif fault.kind is Kind.CLOCK:
            jump_s = Random(f"{self.options.seed} {fault.at_s}").choice((-3600, -90, -20, 20, 90, 3600))
            set_clock(self.stage, target, jump_s)
            await asyncio.sleep(lasts_s)
            set_clock(self.stage, target, 0)
        elif fault.kind is Kind.FREEZE:
            self.stage.supervisor.freeze(target)
            await asyncio.sleep(lasts_s)
            self.stage.supervisor.thaw(target)
        else:
            await self.keeper.kill(target, lasts_s, self._forget if fault.kind is Kind.QUEUE_LOST else None)

    async def _strike_validator(self, fault: Fault) -> None:
        targets = [fault.target]
        if fault.kind is Kind.TWO_DOWN:
            every = list(VALIDATOR_OF)
            targets.append(every[(every.index(fault.target) + 1) % len(every)])
        validators = [self.validator(target) for target in targets]
        if fault.kind is Kind.FREEZE:
            for each in validators:
                each.freeze()
            await asyncio.sleep(fault.lasts_s)
            for each in validators:
                each.thaw()
            return
        for each in validators:
            await asyncio.to_thread(each.kill)
        await asyncio.sleep(fault.lasts_s)
        for each in validators:
            await asyncio.to_thread(each.start)

    def _forget(self) -> None:
        """What the broker kept on disk is gone."""
        for kept in self.stage.broker_memory():
            kept.unlink(missing_ok=True)

    # WHO IS BACK

    async def _is_back(self, target: str, since_s: float | None) -> bool:
        if target in VALIDATOR_OF:
            return await self._are_healthy() and await self._market_answers()
        if target in ("market", "database", "database link", "chain link", DATABASE_DISK):
            return self._processes_are_up() and await self._market_answers()
        if target in ("dso", "aggregator", "guard"):
            return self.keeper.is_ready(target)
        indices = [each.index for each in self.stage.households]
        if target in self.stage.agents:
            folders = self.stage.agents[target]
            indices = [index for index in indices if self.stage.layout.gateway(index) in folders]
        nanogrids = [nanogrid_id(PORTFOLIO, index) for index in indices]
        return await asyncio.to_thread(are_online, self.engine, nanogrids, since_s)

    def _processes_are_up(self) -> bool:
        return all(self.keeper.is_ready(name) for name in ("market", "database"))

    async def _are_healthy(self) -> bool:
        return all(await asyncio.gather(*(asyncio.to_thread(self.validator(each).is_healthy) for each in VALIDATOR_OF)))

    async def _market_answers(self) -> bool:
        try:
            return await asyncio.wait_for(http_probe(self.stage.ports["market"], "/health/ready")(), _ANSWER_S)
        except TimeoutError:
            return False


def class_of(target: str) -> str:
    """Under what name a target's figures are shown."""
    if target == next(iter(VALIDATOR_OF)):
        return "rpc node in use"
    if target in VALIDATOR_OF:
        return "validator"
    return "agent" if target.startswith("agent-") else target


def clock_file(stage: RehearsalStage, agent: str) -> Path:
    """By how much the clock of an agent is wrong [s]."""
    return stage.layout.folder / f"{agent}.clock"


def set_clock(stage: RehearsalStage, agent: str, wrong_by_s: float) -> None:
    """Set an agent's clock wrong; 0: right again."""
    fresh = clock_file(stage, agent).with_suffix(".new")
    fresh.write_text(f"{wrong_by_s}\n")
    fresh.replace(clock_file(stage, agent))


@asynccontextmanager
async def made(options: ChaosOptions, told: Told) -> AsyncIterator[Bed]:
    """A bed on which everything runs and nothing has been struck yet; taken away in any case."""
    links: dict[str, Link] = {}
    disks = {
        GATEWAYS_DISK: SmallDisk(options.folder / "gateways", _GATEWAYS_DISK_MB),
        DATABASE_DISK: SmallDisk(options.folder / "database", _DATABASE_DISK_MB),
    }
    refusal = await asyncio.to_thread(may_mount, options.folder / "probe")
    left_out = {} if refusal is None else dict.fromkeys(disks, refusal)
    rehearsal = RehearsalOptions(
        options.folder,
        intervals=options.intervals,
        unit_s=options.unit_s,
        agents=options.agents,
        production=True,
        willing_percent=80,
    )
    try:
        if not left_out:
            for disk in disks.values():
                await asyncio.to_thread(disk.mount)
        async with opened(rehearsal, told, partial(_prepare, links)) as stage:
            engine = create_engine(stage.database_url, pool_pre_ping=True, connect_args={"connect_timeout": 3})
            keeper = Keeper(stage.supervisor, _specs(stage))
            log_file = stage.layout.folder / "promises.jsonl"
            by_hand = [each for each in stage.households if not each.willing]
            bidder = HandBidder(stage.layout, by_hand, log_file, options.seed)
            try:
                await keeper.start()
                yield Bed(options, stage, keeper, links, engine, bidder, told, left_out, {} if left_out else disks)
            finally:
                await keeper.stop()
                engine.dispose()
    finally:
        for link in links.values():
            await link.stop()
        if not left_out:
            for disk in disks.values():
                await asyncio.to_thread(disk.unmount)


async def _prepare(links: dict[str, Link], stage: RehearsalStage) -> None:
    """Put links between the parts, and clocks into the agents that can be set wrong."""
    if stage.server is None:
        raise RuntimeError("the bed stands on PostgreSQL")
    first = stage.rpc_members[0]
    targets = {
        "gateways' broker": stage.ports["broker"],
        "oracle's broker": stage.ports["broker"],
        "database link": stage.server.port,
        "chain link": first.http_port,
    }
    entries = {"database link": "database", "chain link": first.name}
    for name, port in targets.items():
        links[name] = Link(name, free_port(), port)
        await links[name].start()
        stage.entries[entries.get(name, name)] = links[name].port
    for agent in stage.agents:
        set_clock(stage, agent, 0)
        stage.runners[agent] = [sys.executable, str(wrong_clock.__file__), str(clock_file(stage, agent))]


def _specs(stage: RehearsalStage) -> dict[str, Callable[[], ProcessSpec]]:
    """How each process is started, each time anew."""
    processes = stage.processes()
    if stage.server is None:
        raise RuntimeError("the bed stands on PostgreSQL")
    specs: dict[str, Callable[[], ProcessSpec]] = {"database": stage.server.spec, **stage.services()}
    for name in processes.names():
        specs[name] = partial(processes.spec, name)
    return specs


async def all_well(bed: Bed) -> None:
    """Wait until every part is up and in good health."""
    if bed.stage.validators is not None:
        await asyncio.to_thread(await_health, list(bed.stage.validators))
    for name in ("database", "broker", "market", "oracle", *bed.stage.agents):
        await asyncio.wait_for(bed.keeper.ready(name), BACK_WITHIN_S)
