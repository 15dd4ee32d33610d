"""The embedded broker: who is let in, who may write and read what, over TLS, and what a restart keeps."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.domain.typed_data import checksum_address
from market.settings import MqttSettings, Settings, SettingsError
from market.store.database import session_scope
from market.store.projections import Nanogrid
from market.store.work import BrokerCredential
from oracle.broker.credentials import Access, new_service_account, password_hash, revoke_service_account
from oracle.broker.server import configuration
from oracle.messages import MAX_PAYLOAD_BYTES, Channel, topic_for
from tests.broker.conftest import Authority, RunningBroker, StartBroker, make_authority
from tests.cli.conftest import call

pytestmark = pytest.mark.processes

GATEWAYS = [address_of(keccak256(f"gateway {index} of the broker".encode())).lower() for index in range(2)]
NOW_S = 1_780_000_000


def enrolled(broker: RunningBroker) -> None:
    """Accounts for both gateways, which serve nanogrids 0 and 1, with their own address as password."""
    with session_scope(broker.engine) as session:
        for index, gateway in enumerate(GATEWAYS):
            session.add(
                Nanogrid(
                    nanogrid=index, portfolio=0, node=1, index=index, owner=gateway, rated_power_w=1,
                    emergency_price_ueur_kwh=1, active_from=0, gateway=checksum_address(gateway), registered_at=NOW_S,
                )
            )  # fmt: skip
            session.add(
                BrokerCredential(
                    username=gateway, password_sha256=password_hash(gateway), kind="GATEWAY",
                    gateway=checksum_address(gateway), nanogrid=index, created_at=NOW_S, revoked_at=None,
                )
            )  # fmt: skip


def client(broker: RunningBroker, username: str, password: str | None = None, **other: Any) -> aiomqtt.Client:
    identifier = other.pop("identifier", f"{username}-{id(object())}")
    return aiomqtt.Client(
        "127.0.0.1", broker.port, username=username, password=password or username, identifier=identifier, timeout=5,
        **other,
    )  # fmt: skip


async def heard(listener: aiomqtt.Client, within_s: float = 5.0) -> tuple[str, bytes]:
    message = await asyncio.wait_for(anext(aiter(listener.messages)), within_s)
    return str(message.topic), bytes(message.payload)  # type: ignore[arg-type]


async def test_only_known_names_with_their_password_are_let_in(start_broker: StartBroker) -> None:
    broker = start_broker()
    enrolled(broker)
    async with client(broker, GATEWAYS[0]):
        pass
    for username, password in ((GATEWAYS[0], "wrong"), ("nobody", "x"), (GATEWAYS[0], GATEWAYS[1])):
        with pytest.raises(aiomqtt.MqttError):
            async with client(broker, username, password):
                pass


async def test_a_gateway_writes_and_reads_on_its_own_topics_only(start_broker: StartBroker) -> None:
    broker = start_broker()
    enrolled(broker)
    password = new_service_account(broker.engine, "oracle", NOW_S)
    own, other = GATEWAYS
    async with client(broker, "oracle", password) as oracle, client(broker, own) as gateway:
        for channel in (Channel.READINGS, Channel.ACKS, Channel.STATUS):
            await oracle.subscribe(topic_for("+", channel), qos=1)
        # Not its own topic, not its own direction, no topic of ours: nothing of it arrives. What it may say does.
        for topic in (topic_for(other, Channel.READINGS), topic_for(own, Channel.DISPATCH), "meritgrid/v1/other"):
            await gateway.publish(topic, b"forbidden", qos=1)
        await gateway.publish(topic_for(own, Channel.READINGS), b"allowed", qos=1)
        assert await heard(oracle) == (topic_for(own, Channel.READINGS), b"allowed")
        for topic in (topic_for("+", Channel.DISPATCH), topic_for(other, Channel.DISPATCH), "#"):
            await gateway.subscribe(topic, qos=1)
        await gateway.subscribe(topic_for(own, Channel.DISPATCH), qos=1)
        await oracle.publish(topic_for(other, Channel.DISPATCH), b"for the other", qos=1)
        await oracle.publish(topic_for(own, Channel.DISPATCH), b"for me", qos=1)
        assert await heard(gateway) == (topic_for(own, Channel.DISPATCH), b"for me")


async def test_a_gateway_is_handed_nothing_that_is_retained_for_others(start_broker: StartBroker) -> None:
    broker = start_broker()
    enrolled(broker)
    password = new_service_account(broker.engine, "oracle", NOW_S)
    own, other = GATEWAYS
    async with client(broker, "oracle", password) as oracle, client(broker, own) as gateway:
        await oracle.subscribe(topic_for("+", Channel.STATUS), qos=1)
        await gateway.subscribe(topic_for(own, Channel.DISPATCH), qos=1)
        await gateway.publish(topic_for(own, Channel.STATUS), b"status", qos=1, retain=True)
        await oracle.publish(topic_for(own, Channel.DISPATCH), b"dispatch", qos=1, retain=True)
        await heard(oracle)
        async with client(broker, other) as stranger:
            with pytest.raises(TimeoutError):
                await heard(stranger, within_s=1)
    async with client(broker, own) as again:
        await again.subscribe(topic_for(own, Channel.DISPATCH), qos=1)
        assert await heard(again) == (topic_for(own, Channel.DISPATCH), b"dispatch")


async def test_a_last_will_needs_the_right_to_publish(start_broker: StartBroker) -> None:
    broker = start_broker()
    enrolled(broker)
    own, other = GATEWAYS
    for topic in (topic_for(other, Channel.STATUS), topic_for(other, Channel.DISPATCH), topic_for(own, Channel.PLAN)):
        with pytest.raises(aiomqtt.MqttError):
            async with client(broker, own, will=aiomqtt.Will(topic, b"forged", qos=1, retain=True)):
                pass
    async with client(broker, own, will=aiomqtt.Will(topic_for(own, Channel.STATUS), b"gone", qos=1, retain=True)):
        pass


async def test_a_gateway_that_was_replaced_is_not_let_in_again(start_broker: StartBroker) -> None:
    broker = start_broker()
    enrolled(broker)
    with session_scope(broker.engine) as session:
        session.get_one(Nanogrid, 0).gateway = checksum_address(GATEWAYS[1])
    with pytest.raises(aiomqtt.MqttError):
        async with client(broker, GATEWAYS[0]):
            pass


async def test_nobody_can_silence_another_by_its_client_id(start_broker: StartBroker) -> None:
    """Neither without a password nor with one's own."""
    broker = start_broker()
    enrolled(broker)
    password = new_service_account(broker.engine, "oracle", NOW_S)
    async with client(broker, "oracle", password, identifier="meritgrid-oracle", clean_session=False) as oracle:
        await oracle.subscribe(topic_for("+", Channel.READINGS), qos=1)
        for clean in (True, False):
            with pytest.raises(aiomqtt.MqttError):
                async with client(broker, "oracle", "guess", identifier="meritgrid-oracle", clean_session=clean):
                    pass
            async with client(broker, GATEWAYS[1], identifier="meritgrid-oracle", clean_session=clean):
                pass
        async with client(broker, GATEWAYS[0]) as gateway:
            await gateway.publish(topic_for(GATEWAYS[0], Channel.READINGS), b"still heard", qos=1)
        assert await heard(oracle) == (topic_for(GATEWAYS[0], Channel.READINGS), b"still heard")


async def test_a_message_that_is_far_too_long_ends_its_connection_and_disturbs_nobody_else(
    start_broker: StartBroker,
) -> None:
    broker = start_broker()
    enrolled(broker)
    password = new_service_account(broker.engine, "oracle", NOW_S)
    loud, quiet = GATEWAYS
    async with client(broker, "oracle", password) as oracle, client(broker, quiet) as other:
        await oracle.subscribe(topic_for("+", Channel.READINGS), qos=1)
        with pytest.raises(aiomqtt.MqttError):
            async with client(broker, loud) as gateway:
                await gateway.publish(topic_for(loud, Channel.READINGS), b"x" * 2**20, qos=1)
        # The line that was there goes on, and the one that was cut may come back; nothing of the long one arrives.
        await other.publish(topic_for(quiet, Channel.READINGS), b"still here", qos=1)
        assert await heard(oracle) == (topic_for(quiet, Channel.READINGS), b"still here")
        async with client(broker, loud) as gateway:
            await gateway.publish(topic_for(loud, Channel.READINGS), b"short again", qos=1)
        assert await heard(oracle) == (topic_for(loud, Channel.READINGS), b"short again")


async def test_a_message_that_is_somewhat_too_long_reaches_the_oracle_which_says_so(start_broker: StartBroker) -> None:
    broker = start_broker()
    enrolled(broker)
    password = new_service_account(broker.engine, "oracle", NOW_S)
    payload = b"x" * (MAX_PAYLOAD_BYTES + 4000)
    async with client(broker, "oracle", password) as oracle, client(broker, GATEWAYS[0]) as gateway:
        await oracle.subscribe(topic_for("+", Channel.READINGS), qos=1)
        await gateway.publish(topic_for(GATEWAYS[0], Channel.READINGS), payload, qos=1)
        assert await heard(oracle) == (topic_for(GATEWAYS[0], Channel.READINGS), payload)


@pytest.mark.parametrize("kind", [0x10, 0x30, 0x82], ids=["connect", "publish", "subscribe"])
def test_a_stranger_who_announces_a_long_packet_is_cut_off_at_once(start_broker: StartBroker, kind: int) -> None:
    broker = start_broker()
    with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as stranger:
        stranger.sendall(bytes([kind, 0x80, 0x80, 0x40]))  # 2^20 bytes are to follow; none does
        assert stranger.recv(1) == b""


async def test_a_revoked_account_is_not_let_in_again(start_broker: StartBroker) -> None:
    broker = start_broker()
    password = new_service_account(broker.engine, "oracle", NOW_S)
    async with client(broker, "oracle", password):
        pass
    revoke_service_account(broker.engine, "oracle", NOW_S + 1)
    with pytest.raises(aiomqtt.MqttError):
        async with client(broker, "oracle", password):
            pass


async def test_passwords_cross_the_line_under_tls_of_a_trusted_authority_only(
    start_broker: StartBroker, authority: Authority, tmp_path: Path
) -> None:
    broker = start_broker(tls=True, cert_file=authority.certificate, cert_key_file=authority.key)
    enrolled(broker)
    trusted = ssl.create_default_context(cafile=authority.ca)
    async with client(broker, GATEWAYS[0], tls_context=trusted) as gateway:
        await gateway.publish(topic_for(GATEWAYS[0], Channel.STATUS), b"{}", qos=1)
    stranger = make_authority(tmp_path / "strangers")
    with pytest.raises(aiomqtt.MqttError, match="certificate"):
        async with client(broker, GATEWAYS[0], tls_context=ssl.create_default_context(cafile=stranger.ca)):
            pass
    with pytest.raises(aiomqtt.MqttError):
        async with client(broker, GATEWAYS[0]):
            pass


def settings(tmp_path: Path, **mqtt: Any) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path / 'x.sqlite'}", mqtt=MqttSettings(**mqtt))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "broker.example", "::"])
def test_clear_text_beyond_this_machine_is_refused_unless_it_is_asked_for(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="clear text"):
        configuration(settings(tmp_path, host=host))
    assert configuration(settings(tmp_path, host=host), insecure=True)["listeners"]["default"]["bind"].startswith(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_clear_text_is_enough(tmp_path: Path, host: str) -> None:
    assert "ssl" not in configuration(settings(tmp_path, host=host))["listeners"]["default"]


def test_tls_without_its_files_or_with_a_key_that_others_read_is_refused(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(SettingsError, match="CERT_FILE"):
        configuration(settings(tmp_path, tls=True))
    given = {"tls": True, "cert_file": authority.certificate, "cert_key_file": authority.key}
    assert configuration(settings(tmp_path, **given))["listeners"]["default"]["ssl"] is True
    authority.key.chmod(0o644)
    with pytest.raises(SettingsError, match="mode 644"):
        configuration(settings(tmp_path, **given))


def test_the_command_makes_an_account_once_for_a_file_and_takes_it_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERITGRID_DATABASE_URL", f"sqlite:///{tmp_path / 'market.sqlite'}")
    file = tmp_path / "oracle.password"
    made = call("broker", "account", "--password-file", file, "--json")
    assert (made.code, made.document["name"]) == (0, "oracle")
    assert file.stat().st_mode & 0o777 == 0o600
    password = file.read_text().strip()
    assert password not in made.out
    again = call("broker", "account", "--password-file", file)
    assert again.code == 2, "a file with a password is not written over"
    assert file.read_text().strip() == password
    assert call("broker", "account", "--revoke").code == 0
    assert call("broker", "account", "--name", "nobody", "--revoke").code == 2


def test_a_service_may_use_our_topics_only() -> None:
    service = Access("oracle", None)
    assert service.may_publish(topic_for(GATEWAYS[0], Channel.DISPATCH))
    assert service.may_read(topic_for("+", Channel.READINGS))
    assert not service.may_publish("$SYS/broker")
    assert not service.may_read("#")
