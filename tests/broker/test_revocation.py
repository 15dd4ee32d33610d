"""A revoked gateway loses its connection within seconds and does not come back; everybody else stays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine

from market.domain.typed_data import checksum_address
from market.services.certificates import GatewayCertificates, latest_list, rounds_of
from market.services.enrolment_ca import EnrolmentCa, pem_of_key
from market.store.database import migrate, open_engine, read_scope, session_scope
from market.store.projections import Nanogrid
from market.tasks import ended
from oracle.broker.guard import BrokerRefused, Guard
from oracle.broker.mosquitto import REVOKED_FILE
from oracle.messages import Channel, topic_for
from tests.broker.mosquitto import GATEWAYS, Mosquitto, to_be_cut

pytestmark = pytest.mark.processes

WITHIN_S = 5.0
"""From the revocation to the end of the connection, with the guard's look twice a second."""
NOW_S = 1_780_000_000


class Issuer:
    """A market's certificates over a database, and gateways that have some."""

    def __init__(self, mosquitto: Mosquitto, engine: Engine) -> None:
        self.mosquitto, self.engine = mosquitto, engine
        self.certificates = GatewayCertificates(mosquitto.authority)

    def issue(self, index: int) -> None:
        """A certificate for a gateway, which the clients of `mosquitto` use from now on."""
        key = ec.generate_private_key(ec.SECP256R1())
        with session_scope(self.engine) as session:
            pem = self.certificates.issue(session, checksum_address(GATEWAYS[index]), index, key.public_key())
        (self.mosquitto.root / f"{GATEWAYS[index]}.key").write_text(pem_of_key(key))
        (self.mosquitto.root / f"{GATEWAYS[index]}.pem").write_text(pem)

    def revoke(self, index: int) -> None:
        with session_scope(self.engine) as session:
            assert self.certificates.revoke_of_gateway(session, checksum_address(GATEWAYS[index])) == 1

    def seat(self, index: int, gateway: str | None) -> None:
        """Who serves a nanogrid, as the projections have it from the chain."""
        with session_scope(self.engine) as session:
            session.merge(
                Nanogrid(
                    nanogrid=index, portfolio=0, node=1, index=index, owner=GATEWAYS[0], rated_power_w=1,
                    emergency_price_ueur_kwh=1, active_from=0, gateway=gateway, registered_at=NOW_S,
                )
            )  # fmt: skip


@pytest.fixture
def issuer(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Issuer]:
    """Both gateways have certificates."""
    url = f"sqlite:///{tmp_path / 'market.sqlite'}"
    migrate(url)
    made = Issuer(mosquitto, open_engine(url))
    for index in range(2):
        made.issue(index)
    yield made
    made.engine.dispose()


@asynccontextmanager
async def guarding(issuer: Issuer) -> AsyncIterator[Guard]:
    guard = Guard(issuer.engine, issuer.mosquitto.files.folder, "127.0.0.1", issuer.mosquitto.files.port)
    task = asyncio.create_task(guard.run())
    try:
        yield guard
    finally:
        await ended(task)


async def lost(client: aiomqtt.Client, within_s: float = WITHIN_S) -> float:
    """Waits until a client has lost its connection; after how long [s]."""
    started = time.monotonic()
    with pytest.raises(aiomqtt.MqttError):
        await asyncio.wait_for(anext(aiter(client.messages)), within_s)
    return time.monotonic() - started


async def is_let_in(mosquitto: Mosquitto, index: int) -> bool:
    try:
        async with mosquitto.client(GATEWAYS[index]) as client:
            await client.publish(topic_for(GATEWAYS[index], Channel.STATUS), b"x", qos=1)
    except aiomqtt.MqttError:
        return False
    return True


async def test_a_revoked_gateway_is_cut_off_and_does_not_come_back(issuer: Issuer) -> None:
    mosquitto = issuer.mosquitto
    async with guarding(issuer), mosquitto.client(GATEWAYS[1]) as other:
        async with to_be_cut(mosquitto.client(GATEWAYS[0])) as revoked:
            issuer.revoke(0)
            assert await lost(revoked) < WITHIN_S
        assert not await is_let_in(mosquitto, 0)
        await other.publish(topic_for(GATEWAYS[1], Channel.STATUS), b"still here", qos=1)
        # It may come back by enrolment, and the one that stands in between is not revoked with it.
        issuer.issue(0)
        assert await is_let_in(mosquitto, 0)


async def test_a_gateway_that_came_back_by_enrolment_is_cut_off_again_when_it_is_revoked_again(issuer: Issuer) -> None:
    async with guarding(issuer):
        for _ in range(3):
            async with to_be_cut(issuer.mosquitto.client(GATEWAYS[0])) as revoked:
                issuer.revoke(0)
                await lost(revoked)
            issuer.issue(0)


async def test_a_gateway_that_lost_its_seat_is_shut_out_by_itself(issuer: Issuer) -> None:
    issuer.seat(0, checksum_address(GATEWAYS[0]))
    issuer.seat(1, checksum_address(GATEWAYS[1]))
    reading, sessions = partial(read_scope, issuer.engine), partial(session_scope, issuer.engine)
    rounds = rounds_of(issuer.certificates, reading, sessions, lambda: None)
    async with guarding(issuer), to_be_cut(issuer.mosquitto.client(GATEWAYS[1])) as replaced:
        rounds.run()
        with read_scope(issuer.engine) as session:
            assert latest_list(session) is None, "nobody has lost a seat yet"
        async with to_be_cut(issuer.mosquitto.client(GATEWAYS[0])) as unseated:
            issuer.seat(0, None)
            issuer.seat(1, checksum_address(GATEWAYS[2]))
            rounds.run()
            await asyncio.gather(lost(unseated), lost(replaced))
        assert [await is_let_in(issuer.mosquitto, index) for index in range(2)] == [False, False]


def test_a_nanogrid_that_is_not_projected_yet_is_no_reason_to_revoke(issuer: Issuer) -> None:
    with session_scope(issuer.engine) as session:
        assert not issuer.certificates.has_replaced(session)
        assert issuer.certificates.revoke_replaced(session) == 0


async def test_revocations_within_one_second_all_count(issuer: Issuer) -> None:
    """OpenSSL goes by the list with the later time, to the second: lists of one second would hide each other."""
    guard = Guard(issuer.engine, issuer.mosquitto.files.folder, "127.0.0.1", issuer.mosquitto.files.port)
    times = []
    for index in (0, 1, 0, 1):
        issuer.revoke(index)
        assert await guard.step()
        listed = x509.load_pem_x509_crl((issuer.mosquitto.files.folder / REVOKED_FILE).read_bytes())
        times.append(listed.last_update_utc)
        assert not await is_let_in(issuer.mosquitto, index)
        issuer.issue(index)
        assert await is_let_in(issuer.mosquitto, index)
    assert times == sorted(set(times))


async def test_what_was_revoked_while_guard_or_broker_were_away_counts_when_they_are_back(issuer: Issuer) -> None:
    mosquitto = issuer.mosquitto
    async with to_be_cut(mosquitto.client(GATEWAYS[0])) as revoked:
        issuer.revoke(0)
        # A guard that died between writing the list and ending the connections.
        with read_scope(issuer.engine) as session:
            written = latest_list(session)
            assert written is not None
            (mosquitto.files.folder / REVOKED_FILE).write_text(written.pem)
        async with guarding(issuer):
            await lost(revoked)
            mosquitto.stop()
            issuer.revoke(1)
            await asyncio.sleep(1.5)
            mosquitto.start()
            assert [await is_let_in(mosquitto, index) for index in range(2)] == [False, False]


async def test_a_list_of_another_authority_is_not_given_to_the_broker(issuer: Issuer, tmp_path: Path) -> None:
    """It would let nobody in any more."""
    (tmp_path / "other").mkdir()
    other = EnrolmentCa.create(tmp_path / "other" / "ca.pem", tmp_path / "other" / "ca.key")
    issuer.certificates = GatewayCertificates(other)
    issuer.revoke(0)
    guard = Guard(issuer.engine, issuer.mosquitto.files.folder, "127.0.0.1", issuer.mosquitto.files.port)
    with pytest.raises(BrokerRefused, match="not signed by the authority"):
        await guard.step()
    issuer.mosquitto.reload()
    assert await is_let_in(issuer.mosquitto, 1)


@dataclass
class Commands:
    """`meritgrid broker …` with the settings of an issuer's market."""

    environment: dict[str, str]
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "market.cli", "broker", *arguments]
        return subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    async def run(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        _, said = await asyncio.to_thread(process.communicate)
        return process.returncode, said


@pytest.mark.slow
async def test_the_commands_do_all_of_it(mosquitto: Mosquitto, issuer: Issuer, tmp_path: Path) -> None:
    environment = os.environ | {
        "MERITGRID_DATABASE_URL": str(issuer.engine.url),
        "MERITGRID_MQTT__PORT": str(mosquitto.files.port),
        "MERITGRID_MQTT__ENROLMENT_CA_FILE": str(tmp_path / "ca.pem"),
        "MERITGRID_MQTT__ENROLMENT_CA_KEY_FILE": str(tmp_path / "ca.key"),
    }
    commands = Commands(environment, tmp_path)
    guard = commands.start("guard", "--folder", str(mosquitto.files.folder))
    try:
        assert guard.stderr is not None
        said = ""
        while "guard stands by" not in said:
            said += await asyncio.to_thread(guard.stderr.readline)
            assert guard.poll() is None, said
        async with to_be_cut(mosquitto.client(GATEWAYS[0])) as revoked:
            assert await commands.run("revoke", "--gateway", GATEWAYS[0]) == (0, "")
            await lost(revoked)
        assert not await is_let_in(mosquitto, 0)
        code, why = await commands.run("revoke", "--gateway", GATEWAYS[0])
        assert code == 2
        assert "no certificate that is not revoked" in why
    finally:
        guard.terminate()
        _, rest = await asyncio.to_thread(guard.communicate, timeout=15)
    assert guard.returncode == 0, rest
