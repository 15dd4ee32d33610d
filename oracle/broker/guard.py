"""Stands beside Mosquitto and shuts revoked gateways out within seconds.

The market signs a new list of revoked certificates with each revocation. The guard takes it from the database to the
broker's folder, has the broker read it (SIGHUP), so that a revoked gateway is not let in again, and then ends the
connections that such gateways have: Mosquitto looks at a certificate only when a connection is made.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiomqtt
import structlog
from cryptography import x509
from prometheus_client import Counter, Gauge
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from market.backoff import Backoff
from market.services.certificates import latest_list
from market.settings import SettingsError, read_secret
from market.store.database import read_scope
from market.store.work import GatewayCertificate
from market.tasks import ended
from oracle.broker.mosquitto import CA_FILE, CONTROL_TOPIC, GUARD, PID_FILE, REVOKED_FILE, no_brokers_folder

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
_ANSWER_WITHIN_S: Final = 10.0
_NAMES_AT_ONCE: Final = 100
"""Of a message to the broker, which is far below the largest packet then."""

_BEHIND = Gauge("meritgrid_revocations_waiting", "1 while the broker does not have the market's latest list of revoked")
_ENDED = Counter("meritgrid_connections_ended_total", "Clients whose connections were ended since they are revoked")


class BrokerRefused(Exception):
    """The broker did not end the connections of revoked clients, or its list cannot be used."""


@dataclass(frozen=True)
class Revoked:
    """A list of the authority, and whom it shuts out. clients: serial number of a certificate → its client's name."""

    number: int
    pem: str
    clients: dict[str, str]


class Guard:
    """The guard of one broker's folder. host, port: where the broker listens."""

    def __init__(self, engine: Engine, folder: Path, host: str, port: int) -> None:
        self._engine = engine
        self._folder = folder
        self._host = host
        self._port = port
        self._enforced: int | None = None
        self._shut_out: frozenset[str] = frozenset()  # by serial number: a client may be revoked again
        self._authority = _authority_of(folder)
        for file in (self._key_file, self._certificate_file):
            if not file.exists():
                raise SettingsError(f"{file} is missing: make it with `meritgrid broker certificate --name {GUARD}`")
        read_secret(self._key_file)  # says what is wrong with it

    @property
    def _certificate_file(self) -> Path:
        return self._folder / "services" / f"{GUARD}.pem"

    @property
    def _key_file(self) -> Path:
        return self._folder / "services" / f"{GUARD}.key"

    async def run(self) -> None:
        """Enforce what has been revoked, until this task is cancelled."""
        backoff = Backoff(_LOOK_EVERY_S, _LONGEST_PAUSE_S)
        while True:
            try:
                await self.step()
            except (SQLAlchemyError, aiomqtt.MqttError, BrokerRefused, OSError) as problem:
                log.error("revocations wait", problem=f"{type(problem).__name__}: {problem}")
                await asyncio.sleep(backoff.next_s())
            else:
                backoff = Backoff(_LOOK_EVERY_S, _LONGEST_PAUSE_S)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def step(self) -> bool:
        """Enforce the latest list, if it is not in force yet; whether there was anything to do.

        After a start everybody on the list counts as connected still: who knows what was done before.

        Raises:
            SQLAlchemyError: no database. BrokerRefused, aiomqtt.MqttError, OSError: the broker or its folder.
        """
        revoked = await asyncio.to_thread(self._latest)
        if revoked is None or revoked.number == self._enforced:
            _BEHIND.set(0)
            return False
        _BEHIND.set(1)
        self._write(revoked)
        new = sorted({revoked.clients[serial] for serial in revoked.clients.keys() - self._shut_out})
        if self._reload():
            await self._end_connections(new)
        # Else there is no broker, and so no connection: it reads the list when it starts.
        self._enforced, self._shut_out = revoked.number, frozenset(revoked.clients)
        _BEHIND.set(0)
        log.info("revocations are in force", number=revoked.number, clients=new)
        return True

    def _latest(self) -> Revoked | None:
        with read_scope(self._engine) as session:
            row = latest_list(session)
            if row is None:
                return None
            rows = session.execute(
                select(GatewayCertificate.serial, GatewayCertificate.gateway).where(
                    GatewayCertificate.revoked_at.is_not(None), GatewayCertificate.expires_at >= int(time.time())
                )
            )
            return Revoked(row.number, row.pem, {serial: gateway.lower() for serial, gateway in rows})

    def _write(self, revoked: Revoked) -> None:
        made = x509.load_pem_x509_crl(revoked.pem.encode())
        if not made.is_signature_valid(self._authority):  # type: ignore[arg-type]
            # The broker would let nobody in any more.
            raise BrokerRefused(
                f"the list {revoked.number} is not signed by the authority in {self._folder / CA_FILE}: the market and "
                "the broker must have the same one"
            )
        path = self._folder / REVOKED_FILE
        draft = path.with_name(path.name + ".new")
        draft.write_text(revoked.pem, encoding="utf-8")
        draft.replace(path)

    def _reload(self) -> bool:
        """Have the broker read its files; whether it runs. PermissionError: it is another user's."""
        try:
            pid = int((self._folder / PID_FILE).read_text())
            if Path(f"/proc/{pid}/comm").read_text().strip() != "mosquitto":
                return False
            os.kill(pid, signal.SIGHUP)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return True

    async def _end_connections(self, names: Sequence[str]) -> None:
        """Have the broker drop whoever has one of these names. It has read the list by then: it sees to a signal before
        the many steps of a new connection."""
        if not names:
            return
        context = ssl.create_default_context(cafile=self._folder / CA_FILE)
        context.load_cert_chain(self._certificate_file, self._key_file)
        async with aiomqtt.Client(
            self._host, self._port, identifier=GUARD, tls_context=context, timeout=_ANSWER_WITHIN_S
        ) as client:
            await client.subscribe(f"{CONTROL_TOPIC}/response", qos=1)
            for start in range(0, len(names), _NAMES_AT_ONCE):
                await self._command(client, names[start : start + _NAMES_AT_ONCE])
        _ENDED.inc(len(names))

    async def _command(self, client: aiomqtt.Client, names: Sequence[str]) -> None:
        # The plugin ends the connections of a client that is deleted, if it knows it: it is made known just for that.
        commands = [
            {"command": command, "username": name} for name in names for command in ("createClient", "deleteClient")
        ]
        await client.publish(CONTROL_TOPIC, json.dumps({"commands": commands}), qos=1)
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                answer = await anext(aiter(client.messages))
        except TimeoutError:
            raise BrokerRefused("the broker's dynamic-security plugin does not answer") from None
        answers: list[dict[str, Any]] = json.loads(bytes(answer.payload))["responses"]
        failed = [each for each in answers if each["command"] == "deleteClient" and "error" in each]
        if failed:
            raise BrokerRefused(f"the broker does not end connections: {failed[0]['error']}")


def _authority_of(folder: Path) -> object:
    try:
        return x509.load_pem_x509_certificate((folder / CA_FILE).read_bytes()).public_key()
    except (OSError, ValueError) as problem:
        raise SettingsError(no_brokers_folder(folder, problem)) from problem


async def serve(guard: Guard) -> None:
    """Run the guard until SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("guard stands by")
    tasks = [asyncio.create_task(guard.run()), asyncio.create_task(stop.wait())]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await ended(*tasks)
    for task in done:
        task.result()
