"""The oracle's line to a real Mosquitto, by certificate: it hears, answers, and comes back when the broker does."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from market.backoff import Backoff
from market.settings import MqttSettings, SettingsError
from market.tasks import ended
from oracle.line import Line
from oracle.messages import Channel, topic_for
from oracle.outgoing import Outgoing
from tests.broker.mosquitto import GATEWAYS, Mosquitto, heard

pytestmark = pytest.mark.processes

OWN = GATEWAYS[0]


def settings(mosquitto: Mosquitto) -> MqttSettings:
    certificate, key = mosquitto.files.services["oracle"]
    return MqttSettings(
        port=mosquitto.files.port,
        tls=True,
        ca_file=mosquitto.files.ca_file,
        client_cert_file=certificate,
        client_key_file=key,
    )


@asynccontextmanager
async def running(line: Line) -> AsyncIterator[None]:
    task = asyncio.create_task(line.run())
    try:
        yield
    finally:
        await ended(task)


def echo(topic: str, payload: bytes) -> list[Outgoing]:
    return [Outgoing(topic_for(OWN, Channel.RECEIPTS), payload)]


async def connected(line: Line, *, is_connected: bool = True) -> None:
    async with asyncio.timeout(15):
        while line.connected.is_set() is not is_connected:  # noqa: ASYNC110 - another task sets and clears it
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_it_comes_back_with_the_broker_and_greets_again(mosquitto: Mosquitto, number: signal.Signals) -> None:
    greetings: list[int] = []

    def greeting() -> list[Outgoing]:
        greetings.append(1)
        return [Outgoing(topic_for(OWN, Channel.DISPATCH), b"snapshot", retain=True)]

    line = Line(settings(mosquitto), take=echo, greeting=greeting, backoff=Backoff(0.2, 1.0))
    async with running(line):
        await connected(line)
        mosquitto.stop(number)
        await connected(line, is_connected=False)
        mosquitto.start()
        await connected(line)
        async with mosquitto.client(OWN) as gateway:
            await gateway.subscribe(topic_for(OWN, Channel.RECEIPTS), qos=1)
            await gateway.publish(topic_for(OWN, Channel.READINGS), b"reading", qos=1)
            assert await heard(gateway) == [(topic_for(OWN, Channel.RECEIPTS), b"reading")]
    assert len(greetings) == 2


async def test_what_is_late_does_not_take_the_place_of_what_the_broker_has_retained_since(mosquitto: Mosquitto) -> None:
    """Two threads make snapshots; and one is tried again after the connection that greeted with a newer one."""
    topic = topic_for(OWN, Channel.DISPATCH)

    def greeting() -> list[Outgoing]:
        return [Outgoing(topic, b"greeting", retain=True, order=5)]

    line = Line(settings(mosquitto), take=echo, greeting=greeting)
    async with running(line):
        await connected(line)
        await line.publish([Outgoing(topic, b"older", retain=True, order=4)])
        await line.publish([Outgoing(topic, b"older elsewhere", retain=True, order=4)])
        async with mosquitto.client(OWN) as gateway:
            await gateway.subscribe(topic, qos=1)
            assert await heard(gateway) == [(topic, b"greeting")]
        await asyncio.gather(
            line.publish([Outgoing(topic, b"newest", retain=True, order=7)]),
            line.publish([Outgoing(topic, b"newer", retain=True, order=6)]),
        )
        async with mosquitto.client(GATEWAYS[1]) as other, mosquitto.client(OWN) as gateway:
            await other.subscribe(topic_for(GATEWAYS[1], Channel.DISPATCH), qos=1)
            await gateway.subscribe(topic, qos=1)
            assert await heard(gateway) == [(topic, b"newest")]


async def test_what_a_gateway_sends_while_the_oracle_is_away_waits_for_it(mosquitto: Mosquitto) -> None:
    taken: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def take(topic: str, payload: bytes) -> list[Outgoing]:
        loop.call_soon_threadsafe(taken.put_nowait, payload)
        return []

    async with running(first := Line(settings(mosquitto), take=take, greeting=list)):
        await connected(first)
    async with mosquitto.client(OWN) as gateway:
        await gateway.publish(topic_for(OWN, Channel.READINGS), b"meanwhile", qos=1)
    async with running(Line(settings(mosquitto), take=take, greeting=list)):
        assert await asyncio.wait_for(taken.get(), 10) == b"meanwhile"


async def test_of_two_only_the_one_that_is_wanted_is_there(mosquitto: Mosquitto) -> None:
    leader = {"is": "first"}
    lines = {
        name: Line(settings(mosquitto), take=echo, greeting=list, is_wanted=lambda name=name: leader["is"] == name)  # type: ignore[misc]
        for name in ("first", "second")
    }
    async with running(lines["first"]), running(lines["second"]):
        await connected(lines["first"])
        assert not lines["second"].connected.is_set()
        leader["is"] = "second"
        await connected(lines["second"])
        await connected(lines["first"], is_connected=False)


async def test_a_key_that_others_may_read_ends_it(mosquitto: Mosquitto, tmp_path: Path) -> None:
    mosquitto.files.services["oracle"][1].chmod(0o644)
    with pytest.raises(SettingsError, match="mode 644"):
        await Line(settings(mosquitto), take=echo, greeting=list).run()
