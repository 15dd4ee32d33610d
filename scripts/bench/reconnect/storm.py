"""The measurement: the broker goes and comes back; when is each gateway back, and is every reading stored."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import aiomqtt
from sqlalchemy import Engine, func, select

from market.processes import ending_with_parent
from market.services.certificates import GatewayCertificates
from market.services.enrolment_ca import EnrolmentCa
from market.store.database import migrate, open_engine, read_scope
from market.store.facts import Reading
from oracle.broker.mosquitto import BrokerFolder, find_program, write_folder
from oracle.messages import Channel, Liveness, parse_topic, topic_for
from scripts.bench.reconnect.fleet import UNIT_S, Fleet, install
from scripts.demo.supervisor import free_port

_OBSERVER = "observer"
_WITHIN_S = 180.0


class StormFailed(Exception):
    """Gateways or readings did not come back in time."""


@dataclass(frozen=True)
class Return:
    """One return of the broker. down_s: how long it was away. back_s: of each gateway, seconds from the broker's start
    to its birth message at another client; stored_s: from there until all readings of the time away were stored;
    connections: how many TCP connections the broker was asked for meanwhile."""

    down_s: float
    back_s: tuple[float, ...]
    stored_s: float
    connections: int

    @property
    def median_s(self) -> float:
        return statistics.median(self.back_s)

    @property
    def p99_s(self) -> float:
        return sorted(self.back_s)[len(self.back_s) * 99 // 100]

    @property
    def busiest_second(self) -> int:
        """How many came back within the busiest second."""
        return max(Counter(int(at) for at in self.back_s).values())


@dataclass(frozen=True)
class Outcome:
    """What a storm showed. readings: stored in all; waiting: signed, and without a receipt when the agents were ended;
    lost: signed, and neither; doubled: stored more than once."""

    gateways: int
    returns: tuple[Return, ...]
    readings: int
    waiting: int
    lost: int
    doubled: int


@dataclass
class Observer:
    """Another client of the broker: when each gateway last said that it is online."""

    broker: BrokerFolder
    seen_at: dict[str, float] = field(default_factory=dict)
    since_s: int = 0
    """Births of before [epoch s] do not count: they are retained."""

    async def run(self) -> None:
        context = ssl.create_default_context(cafile=self.broker.ca_file)
        context.load_cert_chain(*self.broker.services[_OBSERVER])
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", self.broker.port, tls_context=context, timeout=5) as client:
                    await client.subscribe(topic_for("+", Channel.STATUS), qos=1)
                    async for message in client.messages:
                        self._note(str(message.topic), json.loads(bytes(message.payload)))
            await asyncio.sleep(0.02)

    def _note(self, topic: str, status: dict[str, object]) -> None:
        gateway, _ = parse_topic(topic)
        if status["state"] == Liveness.ONLINE and int(str(status["at"])) >= self.since_s:
            self.seen_at.setdefault(gateway, time.monotonic())

    async def sees(self, names: frozenset[str]) -> None:
        """Wait until all have been seen. StormFailed."""
        deadline = time.monotonic() + _WITHIN_S
        while not names <= self.seen_at.keys():
            if time.monotonic() > deadline:
                raise StormFailed(f"{len(names - self.seen_at.keys())} of {len(names)} gateways are not back")
            await asyncio.sleep(0.05)


@dataclass
class Storm:
    """Broker, oracle's ingest and gateways in a folder."""

    folder: Path
    broker: BrokerFolder
    engine: Engine
    fleet: Fleet
    observer: Observer
    mosquitto: Popen[bytes]

    @property
    def log_file(self) -> Path:
        return self.folder / "mosquitto.log"

    def start_broker(self) -> None:
        self.mosquitto = _start([find_program(), "-c", str(self.broker.configuration)], self.log_file)

    async def away(self, down_s: float, number: signal.Signals) -> Return:
        """End the broker by a signal, start it again after so many seconds, wait for everybody."""
        self.mosquitto.send_signal(number)
        await asyncio.to_thread(self.mosquitto.wait, 30)
        await asyncio.sleep(down_s)
        connections = self._connections()
        self.observer.since_s, started = int(time.time()), time.monotonic()
        self.observer.seen_at.clear()
        last = self.observer.since_s // UNIT_S * UNIT_S - UNIT_S  # the last interval that ended before
        self.start_broker()
        await self.observer.sees(self.fleet.names)
        await self.stored(last)
        stored_s, back = time.monotonic() - started, [at - started for at in self.observer.seen_at.values()]
        return Return(down_s, tuple(sorted(back)), stored_s, self._connections() - connections)

    def _connections(self) -> int:
        return self.log_file.read_text().count("New connection from")

    async def stored(self, interval: int) -> None:
        """Wait until every gateway's reading of an interval is stored. StormFailed."""
        deadline = time.monotonic() + _WITHIN_S
        while (missing := len(self.fleet.names) - await asyncio.to_thread(self._stored_of, interval)) > 0:
            if time.monotonic() > deadline:
                raise StormFailed(f"{missing} readings of the interval {interval} are not stored")
            await asyncio.sleep(0.1)

    def _stored_of(self, interval: int) -> int:
        with read_scope(self.engine) as session:
            return session.scalar(select(func.count()).where(Reading.interval == interval)) or 0

    def outcome(self, returns: Sequence[Return]) -> Outcome:
        """Compare what gateways have signed with what is stored; the gateways must have ended."""
        with read_scope(self.engine) as session:
            rows = session.execute(select(Reading.gateway, Reading.sequence)).all()
        stored = Counter((gateway, sequence) for gateway, sequence in rows)
        waiting = lost = 0
        for gateway, (signed, unreceipted) in self.fleet.signed().items():
            waiting += unreceipted
            lost += sum((gateway, sequence) not in stored for sequence in range(1, signed - unreceipted + 1))
        doubled = sum(count - 1 for count in stored.values())
        return Outcome(len(self.fleet.names), tuple(returns), len(rows), waiting, lost, doubled)


async def play(
    folder: Path, gateways: int, absences: Sequence[tuple[float, signal.Signals]], processes: int = 4
) -> Outcome:
    """Have so many gateways run, take the broker away as often as `absences` says, and see what was stored."""
    authority = EnrolmentCa.create(folder / "ca.pem", folder / "ca.key")
    broker = write_folder(folder / "mosquitto", free_port(), authority, oracles=("oracle", _OBSERVER))
    url = f"sqlite:///{folder / 'market.sqlite'}"
    await asyncio.to_thread(migrate, url)
    engine = open_engine(url)
    fleet = await asyncio.to_thread(install, folder, gateways, broker, GatewayCertificates(authority), engine)
    observer = Observer(broker)
    mosquitto = _start([find_program(), "-c", str(broker.configuration)], folder / "mosquitto.log")
    storm = Storm(folder, broker, engine, fleet, observer, mosquitto)
    watching = asyncio.create_task(observer.run())
    with _ended([_start_ingest(folder, broker, url)]), _ended(fleet.start(processes, folder)) as running:
        try:
            await observer.sees(fleet.names)
            await storm.stored(_next_end())  # a gateway's first reading is of the interval that begins under its eyes
            returns = [await storm.away(*absence) for absence in absences]
            # One more interval in peace: what came late must have come by then.
            await storm.stored(_next_end() - UNIT_S)
        finally:
            watching.cancel()
            for swarm in running:
                swarm.terminate()
            for swarm in running:
                await asyncio.to_thread(swarm.wait, 60)
            storm.mosquitto.terminate()
            await asyncio.to_thread(storm.mosquitto.wait, 30)
    outcome = storm.outcome(returns)
    engine.dispose()
    return outcome


def _next_end() -> int:
    """The end of the interval that runs, or of the next where this one is over in a moment [epoch s]."""
    return (int(time.time()) + 2) // UNIT_S * UNIT_S + UNIT_S


def _start(command: list[str], log_file: Path, environment: dict[str, str] | None = None) -> Popen[bytes]:
    with log_file.open("ab") as log:
        return Popen(ending_with_parent(command), stdout=log, stderr=log, env=environment)


def _start_ingest(folder: Path, broker: BrokerFolder, url: str) -> Popen[bytes]:
    certificate, key = broker.services["oracle"]
    settings = {
        "MERITGRID_DATABASE_URL": url,
        "MERITGRID_MQTT__PORT": str(broker.port),
        "MERITGRID_MQTT__TLS": "true",
        "MERITGRID_MQTT__CA_FILE": str(broker.ca_file),
        "MERITGRID_MQTT__CLIENT_CERT_FILE": str(certificate),
        "MERITGRID_MQTT__CLIENT_KEY_FILE": str(key),
    }
    command = [sys.executable, "-m", "scripts.bench.reconnect.ingest"]
    return _start(command, folder / "oracle.log", os.environ | settings)


@contextlib.contextmanager
def _ended(processes: list[Popen[bytes]]) -> Iterator[list[Popen[bytes]]]:
    """Processes, ended by force at the end where they have not ended by themselves."""
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
