"""The stage: all processes of a demonstration, set up in one folder, on free ports, under one simulated clock."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Final

from sqlalchemy import Engine

from gateway_agent.configuration import ENROLMENT_FILE
from gateway_agent.drivers.simulated.profile import write_nanogrid
from market.chain.bindings import Contracts
from market.chain.deployment import read_deployment
from market.chain.embedded import EmbeddedChain, set_block_time, start_anvil
from market.chain.profiles import PROFILES, connect
from market.clock_authority import ClockAuthority
from market.domain.enrolment_code import EnrolmentCode
from market.domain.intervals import QUARTER_HOUR_S, next_interval
from market.grid.forecasts import read_forecast, write_forecast
from market.settings import ChainProfile
from market.store.database import migrate, open_engine
from scripts.demo.enrolment import Registrar, enrol_gateways
from scripts.demo.ground import (
    READING_DEADLINE_UNITS,
    configure_gateways,
    deploy_contracts,
    hosts_of,
    open_oracles_account,
)
from scripts.demo.households import Household, households_of
from scripts.demo.layout import Layout
from scripts.demo.manifest import Manifest, note_time, noted_time, set_up_done
from scripts.demo.options import DemoOptions
from scripts.demo.processes import Processes, shared_settings
from scripts.demo.progress import Progress, Step
from scripts.demo.scenario import LEAD_IN_INTERVALS, Scenario, state_at
from scripts.demo.scenario_files import nanogrid_path, write_scenario
from scripts.demo.supervisor import ProcessSpec, Supervisor, free_port

TIME_ZONE: Final = "Etc/GMT-1"
"""SimBench's clock: UTC+1 all year (POSIX writes it with the sign reversed)."""
SET_UP_STEPS: Final = (
    "writing the scenario",
    "starting the chain",
    "deploying the contracts",
    "registering participants",
    "starting market and broker",
    "enrolling gateways",
    "starting oracle, desks and agents",
)
RESUMED_STEPS: Final = ("starting the chain", "starting market and broker", "starting oracle, desks and agents")
_PORTS: Final = ("chain", "clock", "broker", "market", "oracle")


@dataclass
class Stage:
    """What runs. Ports by process; `agents` by name → the gateways' folders that it hosts; `database_url`: by default
    of a SQLite file in the folder."""

    options: DemoOptions
    scenario: Scenario
    households: list[Household]
    layout: Layout
    ports: dict[str, int]
    token: str
    supervisor: Supervisor
    authority: ClockAuthority
    manifest: Manifest
    chain: EmbeddedChain | None = None
    chain_log: IO[bytes] | None = None
    agents: dict[str, list[Path]] = field(default_factory=dict)
    database_url: str = ""

    def __post_init__(self) -> None:
        self.database_url = self.database_url or f"sqlite:///{self.layout.database.absolute()}"

    @property
    def market_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['market']}"

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['chain']}"

    @property
    def first_interval(self) -> int:
        """First interval that is played [epoch s]."""
        return self.scenario.first_interval + self.options.first_hour * 3600

    @property
    def opening_time(self) -> int:
        """When time starts to run [epoch s]."""
        return _opening_time(self.scenario, self.options)

    @property
    def end(self) -> int:
        """End of the last interval's delivery [epoch s]."""
        return self.scenario.first_interval + self.options.last_hour * 3600

    @property
    def closing_time(self) -> int:
        """When every award has ended [epoch s]."""
        return self.end + (READING_DEADLINE_UNITS + 1) * QUARTER_HOUR_S

    def contracts(self) -> Contracts:
        profile = PROFILES[ChainProfile.EMBEDDED]
        return Contracts(connect(self.rpc_url, profile), read_deployment(self.layout.deployment), profile)

    def participants(self) -> list[str]:
        """Who takes part in the simulated clock."""
        return ["market", *processes(self).names()]


def new_stage(
    options: DemoOptions, scenario: Scenario, resumed: Manifest | None = None, database_url: str = ""
) -> Stage:
    """A stage with nothing running on it yet; `resumed`: it goes on in its folder. Must be called inside a running
    event loop."""
    layout = Layout(options.data_folder, options.seed)
    layout.make()
    manifest = resumed or Manifest(options, {name: free_port() for name in _PORTS})
    manifest.write()
    ports = dict(manifest.ports)
    start_s = noted_time(layout.folder) or _opening_time(scenario, options)
    token = secrets.token_urlsafe(24)
    authority = ClockAuthority(start_s, token, port=ports["clock"], speed=options.speed)
    households = households_of(scenario, options.willing_percent, options.faults)
    stage = Stage(options, scenario, households, layout, ports, token, Supervisor(layout.logs), authority, manifest)
    stage.database_url = database_url or stage.database_url
    authority.on_advance = partial(_set_chain_time, stage)
    stage.agents = hosts_of(layout, households, options.agents)
    return stage


def _opening_time(scenario: Scenario, options: DemoOptions) -> int:
    """Early enough for the market of the first interval that is played."""
    return scenario.first_interval + options.first_hour * 3600 - LEAD_IN_INTERVALS * QUARTER_HOUR_S


async def _set_chain_time(stage: Stage, now_s: float) -> None:
    await asyncio.to_thread(set_block_time, stage.rpc_url, int(now_s))
    note_time(stage.layout.folder, now_s)


async def set_up(stage: Stage, progress: Progress) -> None:
    """Everything from an empty folder to running processes; time has not moved yet.

    Raises:
        ProcessFailed: a process did not start.
    """
    if not stage.manifest.is_set_up:
        _tell(stage, progress, "writing the scenario")
        _write_scenario(stage)
    _tell(stage, progress, "starting the chain")
    await asyncio.to_thread(_start_chain, stage)
    await stage.authority.start()
    stage.authority.expect(stage.participants())
    engine = open_engine(stage.database_url)
    try:
        await _set_up_market(stage, engine, progress)
    finally:
        engine.dispose()
    _tell(stage, progress, "starting oracle, desks and agents")
    await stage.supervisor.start_all([spec(stage, name) for name in processes(stage).names()])
    stage.manifest = set_up_done(stage.manifest, stage.supervisor.pids())
    stage.manifest.write()


def _tell(stage: Stage, progress: Progress, name: str, detail: str = "") -> None:
    steps = RESUMED_STEPS if stage.manifest.is_set_up else SET_UP_STEPS
    progress(Step(name, steps.index(name), len(steps), detail))


async def _set_up_market(stage: Stage, engine: Engine, progress: Progress) -> None:
    if not stage.manifest.is_set_up:
        codes = await _register(stage, engine, progress)
    _tell(stage, progress, "starting market and broker")
    await stage.supervisor.start_all([spec(stage, "market"), spec(stage, "broker")])
    if not stage.manifest.is_set_up:
        told = partial(_tell, stage, progress, "enrolling gateways")
        told()
        await asyncio.to_thread(enrol_gateways, stage.layout, codes, stage.market_url, told)


async def _register(stage: Stage, engine: Engine, progress: Progress) -> dict[int, EnrolmentCode]:
    """Deployment, participants, money; a one-time code for each gateway that has not enrolled yet, by index."""
    now_s = int(stage.authority.now)
    _tell(stage, progress, "deploying the contracts")
    await asyncio.to_thread(_deploy, stage)
    await asyncio.to_thread(migrate, stage.database_url)
    registrar = Registrar(stage.contracts(), engine, stage.layout.keys, now_s, next_interval(now_s))
    _tell(stage, progress, "registering participants")
    await asyncio.to_thread(registrar.register, stage.scenario.name, stage.households)
    open_oracles_account(stage.layout, engine, now_s)
    missing = [
        household.index
        for household in stage.households
        if not (stage.layout.gateway(household.index) / ENROLMENT_FILE).exists()
    ]
    return await asyncio.to_thread(registrar.open_enrolments, missing)


def _write_scenario(stage: Stage) -> None:
    layout = stage.layout
    write_scenario(stage.scenario, layout.scenario)
    for nanogrid in stage.scenario.nanogrids:
        # Played from the middle of the day on, the plants start as the hours before have left them.
        started = replace(nanogrid, initial_state=state_at(nanogrid, int(stage.authority.start_s)))
        write_nanogrid(started, nanogrid_path(layout.scenario, nanogrid.index))
    _cut_forecast(stage)
    configure_gateways(layout, stage.households)


def _cut_forecast(stage: Stage) -> None:
    """What is not played is not forecast: the desk and the oracle do nothing for it."""
    forecast = read_forecast(stage.layout.node_forecast)
    steps = (stage.end - forecast.first_interval) // forecast.step_s
    points = tuple(replace(point, p_w=point.p_w[:steps], q_var=point.q_var[:steps]) for point in forecast.points)
    write_forecast(replace(forecast, points=points), stage.layout.node_forecast)


def _start_chain(stage: Stage) -> None:
    stage.chain_log = (stage.layout.logs / "chain.log").open("ab")
    stage.chain = start_anvil(
        stage.ports["chain"], stage.layout.chain_state, int(stage.authority.now), log=stage.chain_log
    )


def _deploy(stage: Stage) -> None:
    deploy_contracts(stage.layout, connect(stage.rpc_url, PROFILES[ChainProfile.EMBEDDED]), QUARTER_HOUR_S)


def processes(stage: Stage) -> Processes:
    """How the stage's processes are run."""
    shared = shared_settings(stage.layout, stage.ports, stage.database_url, stage.layout.broker_password)
    own = {
        "MERITGRID_RPC_URL": stage.rpc_url,
        "MERITGRID_CLOCK": f"simulated:127.0.0.1:{stage.ports['clock']}",
        "MERITGRID_CLOCK_TOKEN": stage.token,
        "MERITGRID_TIME_ZONE": TIME_ZONE,
    }
    return Processes(stage.layout, stage.ports, shared | own, stage.agents)


def spec(stage: Stage, name: str) -> ProcessSpec:
    """How a process is run."""
    return processes(stage).spec(name)


async def tear_down(stage: Stage) -> None:
    """Stop everything; the folder stays."""
    await stage.supervisor.stop_all()
    await stage.authority.stop()
    if stage.chain is not None:
        await asyncio.to_thread(stage.chain.stop)
    if stage.chain_log is not None:
        stage.chain_log.close()
