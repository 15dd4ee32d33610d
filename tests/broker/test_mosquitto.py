"""Mosquitto with the product's own folder: who is let in, who may write and read what, and what it does not take."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from market.services.enrolment_ca import EnrolmentCa
from market.settings import SettingsError
from oracle.broker.limits import MAX_PACKET_BYTES, TO_GATEWAY, TO_ORACLE
from oracle.broker.mosquitto import CONTROL_TOPIC, Limits, write_folder, write_service
from oracle.messages import MAX_PAYLOAD_BYTES, Channel, topic_for
from tests.broker.mosquitto import GATEWAYS, Mosquitto, heard, to_be_cut

pytestmark = pytest.mark.processes


async def test_nobody_is_let_in_without_a_certificate_of_the_authority(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with mosquitto.client(GATEWAYS[0]):
        pass
    with pytest.raises(aiomqtt.MqttError):
        async with mosquitto.client(None, username=GATEWAYS[0], password="x"):
            pass
    (tmp_path / "strangers").mkdir()
    stranger = EnrolmentCa.create(tmp_path / "strangers" / "ca.pem", tmp_path / "strangers" / "ca.key")
    context = ssl.create_default_context(cafile=mosquitto.files.ca_file)
    context.load_cert_chain(*write_service(stranger, tmp_path / "strangers", "oracle"))
    with pytest.raises(aiomqtt.MqttError):
        async with mosquitto.client("oracle", tls_context=context):
            pass
    with pytest.raises(aiomqtt.MqttError):
        async with aiomqtt.Client("127.0.0.1", mosquitto.files.port, timeout=3):  # clear text
            pass


async def test_a_gateway_does_not_pass_as_the_broker(mosquitto: Mosquitto) -> None:
    """Its certificate is a client's: whoever has one cannot stand in the broker's place."""
    certificate, key = mosquitto.identity(GATEWAYS[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def nothing(*_: object) -> None: ...

    impostor = await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=context)
    trusted = ssl.create_default_context(cafile=mosquitto.files.ca_file)
    trusted.check_hostname = False
    async with impostor:
        with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
            await asyncio.open_connection("127.0.0.1", impostor.sockets[0].getsockname()[1], ssl=trusted)


async def test_each_writes_and_reads_exactly_what_the_limits_say(mosquitto: Mosquitto) -> None:
    own, other, _ = GATEWAYS
    async with mosquitto.client("oracle") as oracle, mosquitto.client(own) as gateway:
        await oracle.subscribe("meritgrid/#", qos=1)
        await gateway.subscribe("#", qos=1)
        for channel in Channel:
            for address in (own, other):
                await gateway.publish(topic_for(address, channel), channel.encode(), qos=1)
        await gateway.publish("meritgrid/v1/other", b"x", qos=1)
        await gateway.publish(topic_for(own, Channel.STATUS), b"last", qos=1)
        expected = [(topic_for(own, channel), channel.encode()) for channel in Channel if channel in TO_ORACLE]
        assert await heard(oracle, 4) == [*expected, (topic_for(own, Channel.STATUS), b"last")]
        for channel in Channel:
            for address in (other, own):
                await oracle.publish(topic_for(address, channel), channel.encode(), qos=1)
        expected = [(topic_for(own, channel), channel.encode()) for channel in Channel if channel in TO_GATEWAY]
        assert await heard(gateway, 3) == expected
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(gateway.messages)), 0.5)


async def test_a_last_will_needs_the_right_to_publish(mosquitto: Mosquitto) -> None:
    """It is published only under its author's own name."""
    async with mosquitto.client("oracle") as oracle:
        await oracle.subscribe(topic_for("+", Channel.STATUS), qos=1)
        for address in (GATEWAYS[1], GATEWAYS[0]):
            will = aiomqtt.Will(topic_for(address, Channel.STATUS), address.encode(), qos=1, retain=True)
            async with to_be_cut(mosquitto.client(GATEWAYS[0], will=will)) as gateway:
                line = gateway._client.socket()
                assert isinstance(line, socket.socket)
                line.shutdown(socket.SHUT_RDWR)
                await asyncio.sleep(0.3)
        assert await heard(oracle) == [(topic_for(GATEWAYS[0], Channel.STATUS), GATEWAYS[0].encode())]


async def test_nobody_can_take_another_s_session_by_its_client_id(mosquitto: Mosquitto) -> None:
    async with (
        mosquitto.client("oracle", identifier="meritgrid-oracle", clean_session=False) as oracle,
        mosquitto.client(GATEWAYS[0]) as gateway,
    ):
        await oracle.subscribe(topic_for("+", Channel.READINGS), qos=1)
        for identifier in ("meritgrid-oracle", "oracle", "oracle-1"):
            async with mosquitto.client(GATEWAYS[1], identifier=identifier, clean_session=True):
                pass
        await gateway.publish(topic_for(GATEWAYS[0], Channel.READINGS), b"still heard", qos=1)
        assert await heard(oracle) == [(topic_for(GATEWAYS[0], Channel.READINGS), b"still heard")]


async def test_a_gateway_cannot_command_the_broker(mosquitto: Mosquitto) -> None:
    kick = f'{{"commands": [{{"command": "createClient", "username": "{GATEWAYS[1]}"}}]}}'
    async with mosquitto.client(GATEWAYS[0]) as gateway, mosquitto.client(GATEWAYS[1]) as other:
        await gateway.publish(CONTROL_TOPIC, kick, qos=1)
        await gateway.publish(CONTROL_TOPIC, kick.replace("createClient", "deleteClient"), qos=1)
        await other.publish(topic_for(GATEWAYS[1], Channel.STATUS), b"still here", qos=1)
    assert GATEWAYS[1] not in (mosquitto.files.folder / "data" / "dynamic-security.json").read_text()


async def test_a_packet_that_is_far_too_long_ends_its_connection_one_that_is_somewhat_too_long_reaches_the_oracle(
    mosquitto: Mosquitto,
) -> None:
    loud, quiet, _ = GATEWAYS
    somewhat = b"x" * (MAX_PAYLOAD_BYTES + 4000)
    async with mosquitto.client("oracle") as oracle, mosquitto.client(quiet) as other:
        await oracle.subscribe(topic_for("+", Channel.READINGS), qos=1)
        with pytest.raises(aiomqtt.MqttError):
            async with mosquitto.client(loud) as gateway:
                await gateway.publish(topic_for(loud, Channel.READINGS), b"x" * (MAX_PACKET_BYTES + 1), qos=1)
        await other.publish(topic_for(quiet, Channel.READINGS), somewhat, qos=1)
        assert await heard(oracle) == [(topic_for(quiet, Channel.READINGS), somewhat)]


async def test_what_waits_for_a_client_survives_a_restart(mosquitto: Mosquitto) -> None:
    own = topic_for(GATEWAYS[0], Channel.RECEIPTS)
    async with mosquitto.client(GATEWAYS[0], clean_session=False) as gateway:
        await gateway.subscribe(own, qos=1)
    async with mosquitto.client("oracle") as oracle:
        await oracle.publish(own, b"receipt", qos=1)
    mosquitto.stop()
    mosquitto.start()
    async with mosquitto.client(GATEWAYS[0], clean_session=False) as gateway:
        assert await heard(gateway) == [(own, b"receipt")]


async def test_what_waits_for_a_client_is_bounded_and_the_first_of_it_is_kept(tmp_path: Path, free_port: int) -> None:
    """Who is away for long fills no broker; what is dropped comes again, for whoever sent it has no receipt."""
    limits = Limits(max_inflight=5, max_queued=10)
    own, other = (topic_for(name, Channel.RECEIPTS) for name in GATEWAYS[:2])
    sent = [f"receipt {number}".encode() for number in range(40)]
    with running(tmp_path, free_port, limits) as mosquitto:
        async with mosquitto.client(GATEWAYS[0], clean_session=False) as gateway:
            await gateway.subscribe(own, qos=1)
        async with mosquitto.client("oracle") as oracle, mosquitto.client(GATEWAYS[1]) as quiet:
            await quiet.subscribe(other, qos=1)
            for payload in sent:
                await oracle.publish(own, payload, qos=1)
            await oracle.publish(other, b"to somebody else", qos=1)
            assert await heard(quiet) == [(other, b"to somebody else")]
            async with mosquitto.client(GATEWAYS[0], clean_session=False) as gateway:
                await oracle.publish(own, b"the next one", qos=1)
                kept = [payload for _, payload in await heard_until(gateway, b"the next one")]
    assert 10 <= len(kept) - 1 <= 15
    assert kept[:-1] == sent[: len(kept) - 1]


@contextlib.contextmanager
def running(folder: Path, port: int, limits: Limits) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto.in_folder(folder, port, limits=limits)
    mosquitto.start()
    try:
        yield mosquitto
    finally:
        mosquitto.stop()


async def heard_until(listener: aiomqtt.Client, last: bytes) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    while not found or found[-1][1] != last:
        found += await heard(listener)
    return found


@pytest.mark.parametrize("name", ["0x" + "a" * 40, "Oracle", "a b", "+", "#", "", "x" * 64])
def test_a_service_has_a_name_that_no_gateway_can_have(tmp_path: Path, name: str) -> None:
    authority = EnrolmentCa.create(tmp_path / "ca.pem", tmp_path / "ca.key")
    with pytest.raises(SettingsError, match="service's name"):
        write_folder(tmp_path / "mosquitto", 8883, authority, oracles=[name])
    assert not (tmp_path / "mosquitto").exists()


def test_keys_are_their_owner_s_alone_and_a_folder_is_not_written_over(tmp_path: Path) -> None:
    authority = EnrolmentCa.create(tmp_path / "ca.pem", tmp_path / "ca.key")
    files = write_folder(tmp_path / "mosquitto", 8883, authority)
    keys = [tmp_path / "ca.key", *files.folder.rglob("*.key")]
    assert len(keys) == 4
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert not (files.folder / "ca.key").exists()
    with pytest.raises(FileExistsError):
        write_folder(tmp_path / "mosquitto", 8883, authority)
    with pytest.raises(FileExistsError):
        EnrolmentCa.create(tmp_path / "ca.pem", tmp_path / "other.key")
