"""A stage in real time: five validators, database, broker, market, oracle, desks and gateway agents in one folder.

Its processes are those of the demonstration; what differs are settings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import aiomqtt

from gateway_agent.configuration import BROKER_FILE, load_enrolled
from gateway_agent.link import tls_context
from market.chain.bindings import Contracts
from market.chain.deployment import read_deployment
from market.chain.profiles import PROFILES, connect
from market.domain.calendar import Calendar, Moment
from market.domain.enrolment_code import EnrolmentCode
from market.domain.intervals import next_interval
from market.settings import ChainProfile
from market.store.database import migrate, open_engine
from scripts.demo.checker.awards import check_awards_end, commands_not_ended
from scripts.demo.checker.evidence import Evidence
from scripts.demo.enrolment import Registrar, enrol_gateways
from scripts.demo.extract import extract_folder, read_extract
from scripts.demo.ground import (
    READING_DEADLINE_UNITS,
    configure_gateways,
    deploy_contracts,
    hosts_of,
    open_oracles_account,
)
from scripts.demo.households import Household, households_of
from scripts.demo.layout import Layout
from scripts.demo.processes import Processes, shared_settings
from scripts.demo.run import evidence_of
from scripts.demo.scenario import Scenario, ScenarioOptions, build_scenario
from scripts.demo.scenario_files import write_scenario
from scripts.demo.supervisor import ProcessFailed, ProcessSpec, Supervisor, free_port
from scripts.network.build import Programs
from scripts.network.creation import create_network
from scripts.network.layout import CHAIN_ID, Member
from scripts.network.layout import Layout as NetworkLayout
from scripts.network.validators import Validators, await_health
from scripts.rehearsal.compressed import compressed
from scripts.rehearsal.mosquitto import MosquittoBroker
from scripts.rehearsal.options import RehearsalOptions
from scripts.rehearsal.postgresql import PostgresqlServer

PROFILE: Final = PROFILES[ChainProfile.NETWORK]
_AHEAD_S: Final = 12
"""So long before the first moment of the first interval oracle, desks and agents are started."""
VALIDATORS: Final = ("operator", "dso-1", "auditor", "aggregator", "dso-2")
"""Whose node the market's processes ask first, second, …"""

_SEATED_AFTER_UNITS: Final = 2
"""Registering takes a minute; what is played begins more than four units after it."""
_ENROLLED_AT_ONCE: Final = 8
_LOOK_AGAIN_S: Final = 5
_TELL_EVERY_S: Final = 10.0

Told = Callable[[str], None]


class RehearsalStalled(Exception):
    """Awards stay open although their time is over; the text names them."""


@dataclass
class RehearsalStage:
    """What runs.

    day: the published one; scenario: what of it is played when; agents: name → its gateways' folders; entries: where
    another than its own port is used to reach a part: oracle's broker, gateways' broker, database, a validator's name →
    port; runners: those of its processes.
    """

    options: RehearsalOptions
    layout: Layout
    network: NetworkLayout
    ports: dict[str, int]
    server: PostgresqlServer | None
    mosquitto: MosquittoBroker | None
    supervisor: Supervisor
    day: Scenario
    scenario: Scenario
    households: list[Household]
    agents: dict[str, list[Path]] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    runners: dict[str, list[str]] = field(default_factory=dict)
    validators: Validators | None = None

    @property
    def market_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['market']}"

    @property
    def database_url(self) -> str:
        """Without detours."""
        return f"sqlite:///{self.layout.database}" if self.server is None else self.server.url

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.options.unit_s, READING_DEADLINE_UNITS * self.options.unit_s)

    @property
    def end(self) -> int:
        """End of the last interval's delivery [epoch s]."""
        return self.scenario.intervals[-1] + self.options.unit_s

    @property
    def rpc_members(self) -> list[Member]:
        """The validators in the order in which they are asked."""
        members = {member.name: member for member in self.network.members()}
        return [members[name] for name in VALIDATORS]

    @property
    def rpc_url(self) -> str:
        """All validators' endpoints, without detours."""
        return ",".join(member.rpc_url for member in self.rpc_members)

    def contracts(self) -> Contracts:
        return Contracts(connect(self.rpc_url, PROFILE), read_deployment(self.layout.deployment), PROFILE)

    def evidence(self) -> Evidence:
        """The chain's events and the gateways' own readings."""
        return evidence_of(self.contracts(), self.layout, self.households)

    def broker_client(self, index: int) -> aiomqtt.Client:
        """A connection to the broker as a gateway has it, without detours; not entered yet."""
        folder = self.layout.gateway(index)
        broker = load_enrolled(folder).mqtt
        if broker.authentication == "certificate":
            broker = broker.model_copy(update={"certificate_file": folder / BROKER_FILE})
        return aiomqtt.Client(
            broker.host,
            self.ports["broker"],
            username=broker.username,
            password=broker.password,
            tls_context=tls_context(broker) if broker.tls else None,
            timeout=5,
        )

    def broker_memory(self) -> list[Path]:
        """Files in which the broker keeps what waits for somebody: the embedded one keeps it in memory."""
        return [] if self.mosquitto is None else self.mosquitto.memory

    def processes(self) -> Processes:
        """How the product's processes are run."""
        url = self.database_url
        if self.server is not None:
            url = replace(self.server, port=self.entries.get("database", self.server.port)).url
        shared = shared_settings(self.layout, self.ports, url, self.layout.broker_password)
        members = [replace(each, http_port=self.entries.get(each.name, each.http_port)) for each in self.rpc_members]
        own = {
            "MERITGRID_CHAIN_PROFILE": ChainProfile.NETWORK.value,
            "MERITGRID_CHAIN_ID": str(CHAIN_ID),
            "MERITGRID_RPC_URL": ",".join(member.rpc_url for member in members),
            "MERITGRID_MQTT__GATEWAY_PORT": str(self.entries.get("gateways' broker", self.ports["broker"])),
        }
        oracle = {"MERITGRID_MQTT__PORT": str(self.entries.get("oracle's broker", self.ports["broker"]))}
        if self.mosquitto is not None:
            own |= self.mosquitto.settings()
            oracle |= self.mosquitto.oracle_settings()
        return Processes(self.layout, self.ports, shared | own, self.agents, {"oracle": oracle}, self.runners)

    def services(self) -> dict[str, Callable[[], ProcessSpec]]:
        """How what must be up before gateways can enrol is started: market and broker."""
        processes = self.processes()
        if self.mosquitto is None:
            return {name: partial(processes.spec, name) for name in ("market", "broker")}
        return {
            "market": partial(processes.spec, "market"),
            "broker": self.mosquitto.spec,
            "guard": partial(processes.spec, "guard"),
        }


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
    households = households_of(scenario, options.willing_percent, faults=False)
    ports = {name: free_port() for name in ("market", "broker")}
    return RehearsalStage(
        options=options,
        layout=layout,
        network=NetworkLayout(layout.folder / "network"),
        ports=ports,
        server=PostgresqlServer(layout.folder / "database", free_port()) if options.production else None,
        mosquitto=MosquittoBroker.create(layout.broker, ports["broker"]) if options.production else None,
        supervisor=Supervisor(layout.logs),
        day=day,
        scenario=scenario,
        households=households,
        agents=hosts_of(layout, households, options.agents),
    )


def _played(options: RehearsalOptions, day: Scenario, first_interval: int) -> Scenario:
    steps_an_hour = 3600 // day.step_s
    hours = range(options.first_hour * steps_an_hour, options.last_hour * steps_an_hour)
    return compressed(day, list(islice(cycle(hours), options.intervals)), first_interval, options.unit_s)


@asynccontextmanager
async def opened(
    options: RehearsalOptions, told: Told, between: Callable[[RehearsalStage], Awaitable[None]] | None = None
) -> AsyncIterator[RehearsalStage]:
    """A stage whose processes run; it is torn down in any case, and its folder stays.

    between: awaited when network and database run and nothing else does: it may set `entries` and `runners`.
    """
    stage = new_stage(options)
    try:
        await _lay_ground(stage, told)
        if between is not None:
            await between(stage)
        await _set_up(stage, told)
        yield stage
    finally:
        await stage.supervisor.stop_all()
        if stage.validators is not None:
            await asyncio.to_thread(stage.validators.stop)


async def _lay_ground(stage: RehearsalStage, told: Told) -> None:
    told("creating the network")
    await asyncio.to_thread(_start_network, stage)
    if stage.server is not None:
        told("starting the database")
        await asyncio.to_thread(stage.server.create)
        await stage.supervisor.start(stage.server.spec())


async def _set_up(stage: RehearsalStage, told: Told) -> None:
    told("deploying the contracts")
    await asyncio.to_thread(_deploy, stage)
    await asyncio.to_thread(migrate, stage.database_url)
    told("registering participants")
    codes = await asyncio.to_thread(_register, stage)
    told("starting market and broker")
    await stage.supervisor.start_all([start() for start in stage.services().values()])
    await asyncio.to_thread(enrol_gateways, stage.layout, codes, stage.market_url, told, _ENROLLED_AT_ONCE)
    stage.scenario = write_scenario(_moved(stage), stage.layout.scenario)
    stage.households = households_of(stage.scenario, stage.options.willing_percent, faults=False)
    told("starting oracle, desks and agents")
    processes = stage.processes()
    await stage.supervisor.start_all([processes.spec(name) for name in processes.names()])


def _start_network(stage: RehearsalStage) -> None:
    keys, programs = stage.layout.keys, Programs()
    create_network(stage.network, [keys.address("operator")], [keys.address("relayer")], programs=programs)
    stage.validators = Validators(stage.network, programs.node)
    stage.validators.start()
    await_health(list(stage.validators))


def _deploy(stage: RehearsalStage) -> None:
    deploy_contracts(stage.layout, connect(stage.rpc_url, PROFILE), stage.options.unit_s)


def _register(stage: RehearsalStage) -> dict[int, EnrolmentCode]:
    now_s = int(time.time())
    engine = open_engine(stage.database_url)
    try:
        seated_from = next_interval(now_s, stage.options.unit_s) + _SEATED_AFTER_UNITS * stage.options.unit_s
        registrar = Registrar(stage.contracts(), engine, stage.layout.keys, now_s, seated_from)
        registrar.register(stage.scenario.name, stage.households)
        open_oracles_account(stage.layout, engine, now_s)
        configure_gateways(stage.layout, stage.households)
        return registrar.open_enrolments([household.index for household in stage.households])
    finally:
        engine.dispose()


def _moved(stage: RehearsalStage) -> Scenario:
    """The scenario from the first interval on whose first moment is still far enough ahead."""
    calendar = stage.calendar
    moment = calendar.next_moment(int(time.time()) + _AHEAD_S, Moment.BASELINES_ANCHORED)
    first_interval = moment - calendar.at(Moment.BASELINES_ANCHORED, 0)
    return _played(stage.options, stage.day, first_interval)


async def play(stage: RehearsalStage, told: Told) -> None:
    """Wait until every award and every command of the played intervals has ended.

    Raises:
        ProcessFailed: a process ended by itself.
        RehearsalStalled: the reading deadline of the last interval is over, and an award or a command has not ended.
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
    evidence = stage.evidence()
    return [*check_awards_end(evidence), *commands_not_ended(evidence)]
