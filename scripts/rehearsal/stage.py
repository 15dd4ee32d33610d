"""A stage in real time: five validators, database, broker, market, oracle, desks and gateway agents in one folder.

Its processes are those of the demonstration; what differs are settings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from eth_account import Account

from market.chain.bindings import Contracts
from market.chain.deployment import (
    CONTRACT_NAMES,
    DeploymentParameters,
    deploy,
    read_deployment,
    write_deployment,
)
from market.chain.profiles import PROFILES, connect
from market.domain.calendar import Calendar, Moment
from market.domain.enrolment_code import EnrolmentCode
from market.settings import ChainProfile, write_secret
from market.store.database import migrate, open_engine
from oracle.broker.credentials import new_service_account
from scripts.demo.checker.awards import check_awards_end
from scripts.demo.checker.evidence import Evidence, collect
from scripts.demo.enrolment import Registrar, enrol_gateways
from scripts.demo.extract import extract_folder, read_extract
from scripts.demo.households import Household, households_of
from scripts.demo.layout import Layout
from scripts.demo.processes import Processes, shared_settings
from scripts.demo.run import own_readings
from scripts.demo.scenario import Scenario, ScenarioOptions, build_scenario
from scripts.demo.scenario_files import nanogrid_path, write_scenario
from scripts.demo.supervisor import ProcessFailed, Supervisor, free_port
from scripts.network.build import Programs
from scripts.network.creation import create_network
from scripts.network.layout import CHAIN_ID
from scripts.network.layout import Layout as NetworkLayout
from scripts.network.validators import Validators, await_health
from scripts.rehearsal.compressed import compressed
from scripts.rehearsal.options import RehearsalOptions

PROFILE: Final = PROFILES[ChainProfile.NETWORK]
READING_DEADLINE_UNITS: Final = 4
"""After the start of an interval, in market time units, an award without reading expires."""
_AHEAD_S: Final = 12
"""So long before the first moment of the first interval oracle, desks and agents are started."""
_RPC_ORDER: Final = ("operator", "dso-1", "auditor", "aggregator", "dso-2")
"""Whose node the market's processes ask first, second, …"""

_LOOK_AGAIN_S: Final = 5
_TELL_EVERY_S: Final = 10.0

Told = Callable[[str], None]


class RehearsalStalled(Exception):
    """Awards stay open although their time is over; the text names them."""


@dataclass
class RehearsalStage:
    """What runs. day: the published one; scenario: what of it is played when; agents: name → its gateways' folders."""

    options: RehearsalOptions
    layout: Layout
    network: NetworkLayout
    ports: dict[str, int]
    database_url: str
    supervisor: Supervisor
    day: Scenario
    scenario: Scenario
    households: list[Household]
    agents: dict[str, list[Path]] = field(default_factory=dict)
    validators: Validators | None = None

    @property
    def market_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['market']}"

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.options.unit_s, READING_DEADLINE_UNITS * self.options.unit_s)

    @property
    def end(self) -> int:
        """End of the last interval's delivery [epoch s]."""
        return self.scenario.intervals[-1] + self.options.unit_s

    @property
    def rpc_urls(self) -> list[str]:
        """The validators' endpoints in the order in which they are asked."""
        members = {member.name: member for member in self.network.members()}
        return [members[name].rpc_url for name in _RPC_ORDER]

    def contracts(self) -> Contracts:
        return Contracts(connect(",".join(self.rpc_urls), PROFILE), read_deployment(self.layout.deployment), PROFILE)

    def evidence(self) -> Evidence:
        """The chain's events and the gateways' own readings."""
        contracts = self.contracts()
        by_name = {name: contracts.named(name) for name in CONTRACT_NAMES}
        return collect(contracts.web3, by_name, own_readings(self.layout, self.households))

    def processes(self) -> Processes:
        """How the product's processes are run."""
        shared = shared_settings(self.layout, self.ports, self.database_url, _password_file(self))
        own = {
            "MERITGRID_CHAIN_PROFILE": ChainProfile.NETWORK.value,
            "MERITGRID_CHAIN_ID": str(CHAIN_ID),
            "MERITGRID_RPC_URL": ",".join(self.rpc_urls),
        }
        return Processes(self.layout, self.ports, shared | own, self.agents)


def new_stage(options: RehearsalOptions) -> RehearsalStage:
    """A stage with nothing on it yet. Must be called inside a running event loop."""
    layout = Layout(options.folder.absolute(), options.seed)
    layout.make()
    day = build_scenario(
        read_extract(extract_folder(options.grid)),
        ScenarioOptions(seed=options.seed, households=options.households),
    )
    # Its intervals are chosen when everybody is set up; until then any will do.
    scenario = _played(options, day, first_interval=options.unit_s)
    households = households_of(scenario, willing_percent=100, faults=False)
    agents = {
        f"agent-{number + 1}": [layout.gateway(each.index) for each in households[number :: options.agents]]
        for number in range(min(options.agents, len(households)))
    }
    return RehearsalStage(
        options=options,
        layout=layout,
        network=NetworkLayout(layout.folder / "network"),
        ports={name: free_port() for name in ("market", "broker")},
        database_url=f"sqlite:///{layout.database}",
        supervisor=Supervisor(layout.logs),
        day=day,
        scenario=scenario,
        households=households,
        agents=agents,
    )


def _played(options: RehearsalOptions, day: Scenario, first_interval: int) -> Scenario:
    steps_an_hour = 3600 // day.step_s
    hours = range(options.first_hour * steps_an_hour, options.last_hour * steps_an_hour)
    return compressed(day, list(islice(cycle(hours), options.intervals)), first_interval, options.unit_s)


@asynccontextmanager
async def opened(options: RehearsalOptions, told: Told) -> AsyncIterator[RehearsalStage]:
    """A stage whose processes run; it is torn down in any case, and its folder stays."""
    stage = new_stage(options)
    try:
        await _set_up(stage, told)
        yield stage
    finally:
        await stage.supervisor.stop_all()
        if stage.validators is not None:
            await asyncio.to_thread(stage.validators.stop)


async def _set_up(stage: RehearsalStage, told: Told) -> None:
    told("creating the network")
    await asyncio.to_thread(_start_network, stage)
    told("deploying the contracts")
    await asyncio.to_thread(_deploy, stage)
    await asyncio.to_thread(migrate, stage.database_url)
    told("registering participants")
    codes = await asyncio.to_thread(_register, stage)
    told("starting market and broker")
    processes = stage.processes()
    await stage.supervisor.start_all([processes.spec("market"), processes.spec("broker")])
    await asyncio.to_thread(enrol_gateways, stage.layout, codes, stage.market_url, _unheard)
    stage.scenario = _moved(stage)
    stage.households = households_of(stage.scenario, willing_percent=100, faults=False)
    _write_scenario(stage)
    told("starting oracle, desks and agents")
    await stage.supervisor.start_all([processes.spec(name) for name in processes.names()])


def _unheard(_said: str) -> None:
    return


def _start_network(stage: RehearsalStage) -> None:
    keys, programs = stage.layout.keys, Programs()
    create_network(stage.network, [keys.address("operator")], [keys.address("relayer")], programs=programs)
    stage.validators = Validators(stage.network, programs.node)
    stage.validators.start()
    await_health(list(stage.validators))


def _deploy(stage: RehearsalStage) -> None:
    unit_s = stage.options.unit_s
    parameters = DeploymentParameters(
        time_unit_s=unit_s,
        reading_deadline_s=READING_DEADLINE_UNITS * unit_s,
        hold_window_s=unit_s,
        hold_term_s=4 * unit_s,
        hold_bond_ueur=1_000_000,
        unbonding_s=96 * unit_s,
    )
    web3 = connect(",".join(stage.rpc_urls), PROFILE)
    account = Account.from_key(stage.layout.keys.key("operator"))
    write_deployment(stage.layout.deployment, deploy(web3, account, parameters))


def _register(stage: RehearsalStage) -> dict[int, EnrolmentCode]:
    now_s = int(time.time())
    engine = open_engine(stage.database_url)
    try:
        registrar = Registrar(stage.contracts(), engine, stage.layout.keys, now_s, stage.options.unit_s)
        registrar.register(stage.scenario.name, stage.households)
        with write_secret(_password_file(stage)) as file:
            file.write(new_service_account(engine, "oracle", now_s) + "\n")
        for household in stage.households:
            _configure(stage, household)
        return registrar.open_enrolments([household.index for household in stage.households])
    finally:
        engine.dispose()


def _password_file(stage: RehearsalStage) -> Path:
    return stage.layout.folder / "keys" / "oracle-broker.password"


def _configure(stage: RehearsalStage, household: Household) -> None:
    layout = stage.layout
    folder = layout.gateway(household.index)
    folder.mkdir(parents=True, exist_ok=True)
    profile = nanogrid_path(layout.scenario, household.index)
    (folder / "gateway.toml").write_text(household.gateway_toml(profile, layout.keys.path(household.key_name)))


def _moved(stage: RehearsalStage) -> Scenario:
    """The scenario from the first interval on whose first moment is still far enough ahead."""
    calendar = stage.calendar
    moment = calendar.next_moment(int(time.time()) + _AHEAD_S, Moment.BASELINES_ANCHORED)
    first_interval = moment - calendar.at(Moment.BASELINES_ANCHORED, 0)
    return _played(stage.options, stage.day, first_interval)


def _write_scenario(stage: RehearsalStage) -> None:
    folder = stage.layout.scenario
    stage.scenario = write_scenario(stage.scenario, folder)


async def play(stage: RehearsalStage, told: Told) -> None:
    """Wait until every award of the played intervals has ended.

    Raises:
        ProcessFailed: a process ended by itself.
        RehearsalStalled: the reading deadline of the last interval is over, and an award has not ended.
    """
    unit_s = stage.options.unit_s
    await _until(stage, stage.calendar.at(Moment.SETTLED, stage.scenario.intervals[-1]), told)
    last_s = stage.end + (READING_DEADLINE_UNITS + 1) * unit_s
    while open_awards := await asyncio.to_thread(_not_ended, stage):
        if time.time() > last_s:
            raise RehearsalStalled("; ".join(open_awards))
        await _until(stage, int(time.time()) + _LOOK_AGAIN_S, told)


async def _until(stage: RehearsalStage, moment_s: int, told: Told) -> None:
    while (left_s := moment_s - time.time()) > 0:
        told(f"playing: {left_s:.0f} s until the awards are settled")
        done, _ = await asyncio.wait({stage.supervisor.failed}, timeout=min(left_s, _TELL_EVERY_S))
        if done:
            raise ProcessFailed(stage.supervisor.failed.result())


def _not_ended(stage: RehearsalStage) -> list[str]:
    return list(check_awards_end(stage.evidence()))
