"""Gateways that are known to the broker by certificate: enrolled over the API, let in by a real Mosquitto, shut out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateway_agent.broker_identity import Request, lifetime_of
from gateway_agent.configuration import BROKER_FILE, Broker, load_enrolled
from gateway_agent.enrolment import enrol, signed_enrolment
from gateway_agent.identity import load_or_create_identity
from gateway_agent.link import Link, Publish
from gateway_agent.metrics import Metrics
from gateway_agent.renewal import Holder, Renewal
from market.backoff import Backoff
from market.domain.enrolment_code import EnrolmentCode
from market.domain.messages import access_request
from market.server import broker_of
from market.services.certificates import GatewayCertificates, rounds_of
from market.settings import Settings
from market.store.database import read_scope
from market.store.work import GatewayCertificate
from oracle.broker.guard import Guard
from tests.broker.mosquitto import Mosquitto
from tests.chain.world import U, nanogrid
from tests.cli.conftest import Room, RoomBroker, call
from tests.production.conftest import PRODUCTION

pytestmark = pytest.mark.processes


@pytest.fixture
def mosquitto(tmp_path: Path, free_ports: Callable[[], int]) -> Iterator[Mosquitto]:
    (tmp_path / "broker").mkdir()
    broker = Mosquitto.in_folder(tmp_path / "broker", free_ports())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def room_broker(mosquitto: Mosquitto, tmp_path: Path) -> RoomBroker:
    """What production's settings of the market tell a gateway, with this broker's places in them."""
    text = (PRODUCTION / "environment" / "market.env").read_text(encoding="utf-8")
    places = {
        "/etc/meritgrid/enrolment-ca.pem": str(mosquitto.files.ca_file),
        "MERITGRID_MQTT__PORT=8883": f"MERITGRID_MQTT__PORT={mosquitto.files.port}",
        "broker.example": "127.0.0.1",
    }
    for example, place in places.items():
        assert example in text
        text = text.replace(example, place)
    (tmp_path / "market.env").write_text(text)
    address = broker_of(Settings(_env_file=tmp_path / "market.env"))  # type: ignore[call-arg]
    return RoomBroker(address, GatewayCertificates(mosquitto.authority))


def new_code(room: Room) -> EnrolmentCode:
    made = EnrolmentCode.new(nanogrid(0))
    opened = room.world.contracts.settlement.functions.openEnrolment(nanogrid(0), made.address, room.world.now_s + U)
    room.world.send("operator", opened)
    room.market.index()
    return made


@pytest.fixture
def folder(room: Room, tmp_path: Path) -> Path:
    """The folder of a gateway that has enrolled."""
    folder = tmp_path / "gateway"
    folder.mkdir()
    with httpx.Client(timeout=30) as client:
        enrol(folder, new_code(room).text, room.url, client)
    return folder


def enrolled_broker(folder: Path) -> Broker:
    return load_enrolled(folder).mqtt.model_copy(update={"certificate_file": folder / BROKER_FILE})


def serials(room: Room, *, revoked: bool) -> set[str]:
    with room.market.reading() as session:
        return {row.serial for row in session.query(GatewayCertificate) if (row.revoked_at is not None) == revoked}


def certificate_in(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / BROKER_FILE).read_bytes())


class Line:
    """A gateway's own line to the broker, which says nothing but its status."""

    def __init__(self, folder: Path) -> None:
        enrolled = load_enrolled(folder)
        self.changes: asyncio.Queue[bool] = asyncio.Queue()
        self.link = Link(
            enrolled_broker(folder),
            enrolled.gateway,
            status=lambda online: b"online" if online else b"offline",
            received=self._nothing,
            talk=self._silence,
            changed=self.changes.put_nowait,
            backoff=Backoff(0.2, 1.0),
        )

    async def _nothing(self, topic: str, payload: bytes) -> None: ...

    async def _silence(self, publish: Publish) -> None:
        await asyncio.Event().wait()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.link.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def becomes(self, connected: bool, within_s: float = 10.0) -> None:
        assert await asyncio.wait_for(self.changes.get(), within_s) is connected


async def test_a_gateway_enrols_and_speaks_to_a_broker_that_asks_for_its_certificate(folder: Path) -> None:
    assert (folder / BROKER_FILE).stat().st_mode & 0o777 == 0o600
    assert load_enrolled(folder).mqtt.password is None
    async with Line(folder) as line:
        await line.becomes(connected=True)


async def test_unseating_a_gateway_ends_its_line_and_it_does_not_come_back(
    room: Room, folder: Path, mosquitto: Mosquitto
) -> None:
    certificates = room.market.certificates
    assert certificates is not None
    rounds = rounds_of(certificates, room.market.reading, room.market.sessions, room.market.index)
    guard = Guard(room.world.engine, mosquitto.files.folder, "127.0.0.1", mosquitto.files.port)
    async with Line(folder) as line:
        await line.becomes(connected=True)
        rounds.run()
        assert not await guard.step()
        unseated = room.world.contracts.settlement.functions.setGateway(nanogrid(0), "0x" + "0" * 40)
        room.world.send("operator", unseated)
        rounds.run()
        assert await guard.step()
        await line.becomes(connected=False)
        with pytest.raises(TimeoutError):
            await line.becomes(connected=True, within_s=3)
    refused = await asyncio.to_thread(call, "gateway", "certificate", "--data", folder)
    assert refused.code == 2
    assert "serves no nanogrid" in refused.err


async def test_enrolling_again_revokes_what_was_before(room: Room, folder: Path) -> None:
    before = serials(room, revoked=False)
    with httpx.Client(timeout=30) as client:
        await asyncio.to_thread(enrol, folder, new_code(room).text, room.url, client)
    assert serials(room, revoked=True) == before
    async with Line(folder) as line:
        await line.becomes(connected=True)


async def test_the_agent_renews_in_time_with_a_fresh_key_and_the_line_goes_on(room: Room, folder: Path) -> None:
    before = certificate_in(folder)
    metrics = Metrics()
    async with Line(folder) as line, httpx.AsyncClient(timeout=30) as client:
        await line.becomes(connected=True)
        # Due from the first moment on: a renewal takes place, and the next is due at once again.
        renewal = asyncio.create_task(Renewal(Holder.of(folder), client, metrics, part=0.0).run())
        async with asyncio.timeout(20):
            while metrics.value("certificates_renewed_total") < 2:  # noqa: ASYNC110 - counted by another task
                await asyncio.sleep(0.05)
        renewal.cancel()
        assert line.changes.empty(), "the line stands"
    after = certificate_in(folder)
    assert after.public_key() != before.public_key()
    assert lifetime_of(folder / BROKER_FILE)[1] >= before.not_valid_after_utc
    assert not serials(room, revoked=True), "the former one holds until its end"
    async with Line(folder) as line:
        await line.becomes(connected=True)


async def test_a_gateway_whose_certificate_is_lost_gets_another(room: Room, folder: Path) -> None:
    (folder / BROKER_FILE).unlink()
    metrics = Metrics()
    async with httpx.AsyncClient(timeout=30) as client, Line(folder) as line:
        renewal = asyncio.create_task(Renewal(Holder.of(folder), client, metrics).run())
        await line.becomes(connected=True)
        renewal.cancel()


def test_the_command_renews_at_once(folder: Path) -> None:
    before = certificate_in(folder).serial_number
    done = call("gateway", "certificate", "--data", folder, "--json")
    assert done.code == 0, done.err
    assert certificate_in(folder).serial_number != before


def csr(gateway: str) -> str:
    return Request.new(gateway).pem


def forged(gateway: str) -> str:
    """A request whose signature is not of the key in it."""
    raw = bytearray(x509.load_pem_x509_csr(csr(gateway).encode()).public_bytes(serialization.Encoding.DER))
    raw[-1] ^= 1
    body = base64.encodebytes(bytes(raw)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("request_of", "rule"),
    [
        (lambda own: None, "is missing"),
        (lambda own: "nonsense", "in PEM"),
        (lambda own: csr("0x" + "1" * 40), "common name"),
        (lambda own: forged(own), "signed by its own key"),
    ],
    ids=["none", "nonsense", "another's name", "not signed by its key"],
)
def test_a_request_that_cannot_be_signed_costs_no_code(
    room: Room, http: httpx.Client, tmp_path: Path, request_of: Any, rule: str
) -> None:
    identity, code = load_or_create_identity(tmp_path / "own.key"), new_code(room)
    nonce = str(http.post("/v1/auth/nonce").json()["nonce"])
    body = signed_enrolment(code, identity, room.market.domain("Settlement"), nonce)
    answer = http.post("/v1/enrolments", json=body | {"certificate_request": request_of(identity.address)})
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["pointer"] == "/certificate_request"
    assert re.search(rule, error["rule"])
    good = body | {"certificate_request": csr(identity.address)}
    assert http.post("/v1/enrolments", json=good).status_code == 200


def test_a_stranger_gets_no_certificate_in_a_gateway_s_name(
    room: Room, http: httpx.Client, folder: Path, tmp_path: Path
) -> None:
    own, stranger = load_or_create_identity(folder / "gateway.key"), load_or_create_identity(tmp_path / "other.key")
    for signer, gateway, status in ((stranger, own, 422), (stranger, stranger, 403)):
        nonce = str(http.post("/v1/auth/nonce").json()["nonce"])
        asked = access_request(gateway.address, nonce)
        body = {
            "gateway": gateway.address,
            "nonce": nonce,
            "access_signature": "0x" + signer.sign_message(asked, room.market.domain("Settlement")).hex(),
            "certificate_request": csr(gateway.address),
        }
        assert http.post("/v1/enrolments/certificate", json=body).status_code == status


def test_a_certificate_names_the_gateway_and_nothing_else(room: Room, folder: Path, mosquitto: Mosquitto) -> None:
    certificate = certificate_in(folder)
    certificate.verify_directly_issued_by(mosquitto.authority.certificate)
    assert certificate.subject.rfc4514_string() == f"CN={load_enrolled(folder).gateway.lower()}"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with read_scope(room.world.engine) as session:
        assert session.get(GatewayCertificate, f"{certificate.serial_number:x}") is not None
