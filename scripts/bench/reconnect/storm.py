"""The measurement: the broker goes and comes back; when is each gateway back, and is every reading stored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Final

from sqlalchemy import Engine, func, select

from market.processes import ending_with_parent
from market.services.certificates import GatewayCertificates
from market.services.enrolment_ca import EnrolmentCa
from market.store.database import migrate, open_engine, read_scope
from market.store.facts import Reading
from oracle.broker.mosquitto import BrokerFolder, find_program, write_folder
from scripts.bench.reconnect.fleet import Fleet, install
from scripts.demo.supervisor import free_port

_WITHIN_S: Final = 300.0
_LOOK_EVERY_S: Final = 0.02
_LET_IN: Final = re.compile(r"New client connected from \S+ as (0x[0-9a-f]{40}) ")


class StormFailed(Exception):
    """Gateways or readings did not come back in time."""


@dataclass(frozen=True)
class Return:
    """One return of the broker. down_s: how long it was away. back_s: of each gateway, seconds from the broker's start
    until it was let in; stored_s: until all readings of the time away were stored;
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
class Arrivals:
    """Reads the broker's log as it is written: when each gateway was let in last, and how many connections there were.

    The log's own times are of whole seconds."""

    log_file: Path
    let_in_at: dict[str, float] = field(default_factory=dict)
    connections: int = 0

    async def follow(self) -> None:
        """Until this task is cancelled."""
        with self.log_file.open() as log:
            rest = ""
            while True:
                *lines, rest = (rest + log.read()).split("\n")
                for line in lines:
                    self._note(line, time.monotonic())
                await asyncio.sleep(_LOOK_EVERY_S)

    def _note(self, line: str, at: float) -> None:
        self.connections += "New connection from" in line
        if (client := _LET_IN.search(line)) is not None:
            self.let_in_at.setdefault(client[1], at)

    async def of(self, names: frozenset[str]) -> None:
        """Wait until all have been let in. StormFailed."""
        deadline = time.monotonic() + _WITHIN_S
        while not names <= self.let_in_at.keys():
            if time.monotonic() > deadline:
                raise StormFailed(f"{len(names - self.let_in_at.keys())} of {len(names)} gateways are not back")
            await asyncio.sleep(_LOOK_EVERY_S)


@dataclass
class Storm:
    """Broker, oracle's ingest and gateways in a folder."""

    folder: Path
    broker: BrokerFolder
    engine: Engine
    fleet: Fleet
    arrivals: Arrivals
    mosquitto: Popen[bytes]
    swarms: list[Popen[bytes]]
    signed: int = 0

    async def away(self, down_s: float, number: signal.Signals) -> Return:
        """End the broker by a signal, have everybody sign a reading, start it again after so many seconds, and wait for
        everybody and for all readings."""
        self.mosquitto.send_signal(number)
        await asyncio.to_thread(self.mosquitto.wait, 30)
        self.sign()
        await asyncio.sleep(down_s)
        connections, started = self.arrivals.connections, time.monotonic()
        self.arrivals.let_in_at.clear()
        self.mosquitto = _start_broker(self.broker, self.arrivals.log_file)
        await self.arrivals.of(self.fleet.names)
        await self.stored()
        back = sorted(at - started for at in self.arrivals.let_in_at.values())
        return Return(down_s, tuple(back), time.monotonic() - started, self.arrivals.connections - connections)

    def sign(self) -> None:
        """Have every gateway sign one more reading."""
        for swarm in self.swarms:
            swarm.send_signal(signal.SIGUSR1)
        self.signed += len(self.fleet.names)

    async def stored(self) -> None:
        """Wait until every reading that was signed is stored. StormFailed."""
        deadline = time.monotonic() + _WITHIN_S
        while (missing := self.signed - await asyncio.to_thread(self._stored)) > 0:
            if time.monotonic() > deadline:
                raise StormFailed(f"{missing} of {self.signed} readings are not stored")
            await asyncio.sleep(0.1)

    def _stored(self) -> int:
        with read_scope(self.engine) as session:
            return session.scalar(select(func.count()).select_from(Reading)) or 0

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
    broker = write_folder(folder / "mosquitto", free_port(), authority)
    url = f"sqlite:///{folder / 'market.sqlite'}"
    await asyncio.to_thread(migrate, url)
    engine = open_engine(url)
    fleet = await asyncio.to_thread(install, folder, gateways, broker, GatewayCertificates(authority), engine)
    arrivals = Arrivals(folder / "mosquitto.log")
    mosquitto = _start_broker(broker, arrivals.log_file)
    watching = asyncio.create_task(arrivals.follow())
    with _ended([_start_ingest(folder, broker, url)]), _ended(fleet.start(processes, folder)) as swarms:
        storm = Storm(folder, broker, engine, fleet, arrivals, mosquitto, swarms)
        try:
            await arrivals.of(fleet.names)
            storm.sign()
            await storm.stored()
            returns = [await storm.away(*absence) for absence in absences]
            for swarm in swarms:
                swarm.terminate()
            for swarm in swarms:
                await asyncio.to_thread(swarm.wait, 60)
        finally:
            watching.cancel()
            storm.mosquitto.terminate()
            await asyncio.to_thread(storm.mosquitto.wait, 30)
    outcome = storm.outcome(returns)
    engine.dispose()
    return outcome


def _start_broker(broker: BrokerFolder, log_file: Path) -> Popen[bytes]:
    return _start([find_program(), "-c", str(broker.configuration)], log_file)


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
