"""The market process: its parts put together, its calendar, and its HTTP server."""

from __future__ import annotations

import threading
from dataclasses import asdict
from functools import partial
from pathlib import Path

import structlog
from sqlalchemy import Engine

from market.api.app import create_app
from market.api.connections import http_server
from market.chain.bindings import open_contracts
from market.chain.indexer import Indexer, Progress
from market.chain.sender import TransactionSender
from market.clock import Clock, ClockRefused, SimulatedClock
from market.jobs import Duty, Job, Rounds, Schedule
from market.services import abandoned, certificates, permissions, rounds
from market.services.certificates import GatewayCertificates
from market.services.enrolment_ca import EnrolmentCa
from market.services.market import Market
from market.settings import MqttSettings, Settings, SettingsError, load_private_key
from market.store.database import MIGRATION_LOCK, lock, migrate, open_engine, read_scope, session_scope
from market.store.leadership import MARKET_LEADER, Leadership
from market.store.partitions import add_month_partitions

log = structlog.get_logger(__name__)


def open_market(settings: Settings, clock: Clock) -> Market:
    """The market of the settings: database migrated, chain reached, unfinished transactions finished.

    Raises:
        SettingsError, DeploymentUnreadable: what is missing.
    """
    migrate(settings.database)
    engine = open_engine(settings.database)
    contracts = open_contracts(settings)
    key = load_private_key(settings.relayer_key)
    relayer = TransactionSender(contracts, engine, key, now=clock.now)
    indexer = Indexer(contracts, engine, settings.confirmations)
    market = Market(
        sessions=partial(session_scope, engine),
        reading=partial(read_scope, engine),
        contracts=contracts,
        relayer=relayer,
        relayer_key=key,
        index=indexer.index_now,
        clock=clock,
        calendar=contracts.calendar,
        parameters=asdict(contracts.deployment.parameters),
        broker=broker_of(settings),
        public_url=settings.api.base_url,
        time_zone=settings.time_zone,
        certificates=_certificates_of(settings.mqtt),
    )
    _take_up(market)
    return market


def broker_of(settings: Settings) -> dict[str, object]:
    """How gateways reach the broker."""
    mqtt = settings.mqtt
    return {
        "host": mqtt.gateway_host or mqtt.host,
        "port": mqtt.gateway_port or mqtt.port,
        "tls": mqtt.tls,
        "trusted": _text_of(mqtt.ca_file) if mqtt.tls and mqtt.ca_file is not None else None,
    }


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as problem:
        raise SettingsError(f"MERITGRID_MQTT__CA_FILE: {file} cannot be read: {problem.strerror}") from problem


def _certificates_of(mqtt: MqttSettings) -> GatewayCertificates | None:
    """What signs gateways' certificates, where the settings name an enrolment authority. Raises SettingsError."""
    if mqtt.enrolment_ca_file is None and mqtt.enrolment_ca_key_file is None:
        return None
    if mqtt.enrolment_ca_file is None or mqtt.enrolment_ca_key_file is None:
        raise SettingsError("MERITGRID_MQTT__ENROLMENT_CA_FILE and __ENROLMENT_CA_KEY_FILE go together; one is missing")
    if not mqtt.tls:
        raise SettingsError(
            "certificates need TLS: set MERITGRID_MQTT__TLS=true, or no MERITGRID_MQTT__ENROLMENT_CA_FILE"
        )
    return GatewayCertificates(EnrolmentCa.load(mqtt.enrolment_ca_file, mqtt.enrolment_ca_key_file))


def reindex(settings: Settings, progress: Progress | None = None) -> int:
    """Empty everything that is projected from the chain and build it again; returns the last block."""
    migrate(settings.database)
    engine: Engine = open_engine(settings.database)
    return Indexer(open_contracts(settings), engine, settings.confirmations).reindex(progress)


def schedule_of(market: Market) -> Schedule:
    """What the market does when: partitions ahead of their months; rounds over the offers, by each offer's own gate."""
    partitions = Job("partitions", 0, partial(_add_partitions, market))
    work = Rounds("offers", partial(rounds.run_due, market), partial(rounds.next_moment, market))
    return Schedule(market.calendar.time_unit_s, [partitions], work)


def schedules_of(market: Market, clock: Clock) -> dict[str, Schedule]:
    """The calendar by its name, and beside it what must not wait while a round over the offers waits for the chain: the
    lists of a chain that has some, certificates, transactions that nobody waits for."""
    beside: dict[str, Rounds | None] = {"transactions": abandoned.rounds_of(market.relayer, clock)}
    if market.contracts.profile.lists_senders:
        beside["permissions"] = permissions.rounds_of(market)
    if market.certificates is not None:
        beside["certificates"] = certificates.rounds_of(
            market.certificates, market.reading, market.sessions, market.index
        )
    unit_s = market.calendar.time_unit_s
    own = {name: Schedule(unit_s, [], work) for name, work in beside.items() if work is not None}
    return {"calendar": schedule_of(market), **own}


def _add_partitions(market: Market, _: int) -> None:
    with market.sessions() as session:
        lock(session, MIGRATION_LOCK)  # a process that starts may be at the same
        for name in add_month_partitions(session.connection(), market.now_s()):
            log.info("partition of the readings made", name=name)


def serve(settings: Settings) -> None:
    """Serve the API until a signal ends the process, and run the calendar where no other process does."""
    clock = settings.open_clock("market")
    market = open_market(settings, clock)
    leadership = Leadership(open_engine(settings.database), MARKET_LEADER, "market")
    duty = Duty(leadership, partial(_take_up, market))
    stop = threading.Event()
    threads = [
        threading.Thread(target=_run_calendar, args=(schedule, clock, stop, duty), name=name, daemon=True)
        for name, schedule in schedules_of(market, clock).items()
    ]
    server = http_server(create_app(market, settings.api), settings.api)
    leadership.start()
    for thread in threads:
        thread.start()
    try:
        server.run()
    finally:
        stop.set()
        if isinstance(clock, SimulatedClock):
            clock.leave()
        for thread in threads:
            thread.join(timeout=10)
        leadership.close()


def _take_up(market: Market) -> None:
    """Finish what another process may have begun."""
    market.relayer.recover()
    market.index()


def _run_calendar(schedule: Schedule, clock: Clock, stop: threading.Event, duty: Duty) -> None:
    try:
        schedule.run(clock, stop, duty=duty)
    except ClockRefused as refusal:
        if not stop.is_set():
            log.error("the clock refused", why=str(refusal))
