"""The oracle's line to the broker: connects, comes back with growing pauses and jitter, hands messages over in order.

The broker keeps the session (clean_session false). A message is acknowledged to the broker when it is here, to its
gateway only after the commit: what is lost in between the gateway sends again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import aiomqtt
import structlog
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError

from market import checkpoints
from market.backoff import Backoff
from market.settings import MqttSettings, read_secret
from market.tasks import ended
from oracle.broker.limits import TO_ORACLE
from oracle.checkpoints import IngestPoint
from oracle.messages import topic_for
from oracle.outgoing import Outgoing

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_TIMEOUT_S: Final = 10.0
_ASK_EVERY_S: Final = 0.1
_MOST_WAITING: Final = 10_000
"""Messages that wait for being handled; what comes above is dropped."""

_CONNECTED = Gauge("meritgrid_broker_connected", "1 while the oracle is connected to the broker, else 0")


class Line:
    """One oracle's connection.

    take: handles a message (topic, payload) on a thread, and gives what is to be published upon it; greeting: what is
    published when the connection is there, since the broker may have forgotten everything; is_wanted: whether there
    should be a connection, since of several processes one has it.
    """

    def __init__(
        self,
        mqtt: MqttSettings,
        *,
        take: Callable[[str, bytes], Sequence[Outgoing]],
        greeting: Callable[[], Sequence[Outgoing]],
        is_wanted: Callable[[], bool] = lambda: True,
        backoff: Backoff | None = None,
    ) -> None:
        self._mqtt = mqtt
        self._take = take
        self._greeting = greeting
        self._is_wanted = is_wanted
        self._backoff = backoff or Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._client: aiomqtt.Client | None = None
        self._newest: dict[str, int] = {}
        self.connected = asyncio.Event()
        """Set while there is a connection that hears all gateways."""

    async def run(self) -> None:
        """Keep the connection until this task is cancelled. SettingsError: password or key file cannot be used."""
        loop = asyncio.get_running_loop()
        while True:
            await self._until(is_wanted=True)
            connected_at = None
            try:
                async with self._new_client() as client:
                    for channel in sorted(TO_ORACLE):
                        await client.subscribe(topic_for("+", channel), qos=1)
                    connected_at = loop.time()
                    self._client = client
                    self.connected.set()
                    _CONNECTED.set(1)
                    await self._publish_all(client, await asyncio.to_thread(self._greeting))
                    await self._listen_while_wanted(client)
            except (aiomqtt.MqttError, OSError) as problem:
                log.info("no connection to the broker", problem=str(problem))
            except SQLAlchemyError as problem:
                # Nothing was acknowledged to the gateways: they send it again.
                log.error("no connection to the database", problem=str(problem))
            finally:
                self._client = None
                self.connected.clear()
                _CONNECTED.set(0)
            if connected_at is not None:
                self._backoff.held(loop.time() - connected_at)
            await asyncio.sleep(self._backoff.next_s())

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Wait for a connection, publish, and return when the broker has it all. aiomqtt.MqttError: it broke off."""
        await self.connected.wait()
        if self._client is None:
            raise aiomqtt.MqttError("not connected")
        await self._publish_all(self._client, outgoing)

    def _new_client(self) -> aiomqtt.Client:
        mqtt = self._mqtt
        password = read_secret(mqtt.password_file) if mqtt.password_file is not None else None
        return aiomqtt.Client(
            mqtt.host,
            mqtt.port,
            username=mqtt.username,
            password=password,
            identifier="meritgrid-oracle",
            clean_session=False,
            timeout=_TIMEOUT_S,
            max_queued_incoming_messages=_MOST_WAITING,
            tls_params=_tls(mqtt) if mqtt.tls else None,
        )

    async def _until(self, *, is_wanted: bool) -> None:
        while self._is_wanted() is not is_wanted:  # noqa: ASYNC110 - a clock decides it, too
            await asyncio.sleep(_ASK_EVERY_S)

    async def _listen_while_wanted(self, client: aiomqtt.Client) -> None:
        listening = asyncio.create_task(self._listen(client))
        unwanted = asyncio.create_task(self._until(is_wanted=False))
        try:
            await asyncio.wait([listening, unwanted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await ended(listening, unwanted)
        if not listening.cancelled():
            listening.result()

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else str(message.payload).encode()
            outgoing = await asyncio.to_thread(self._take, str(message.topic), payload)
            await self._publish_all(client, outgoing)
            checkpoints.passed(IngestPoint.ANSWERED, str(message.topic))

    async def _publish_all(self, client: aiomqtt.Client, outgoing: Sequence[Outgoing]) -> None:
        for message in outgoing:
            if self._is_late(message):
                log.info("a newer message is with the broker", topic=message.topic)
                continue
            await client.publish(message.topic, message.payload, qos=1, retain=message.retain)

    def _is_late(self, message: Outgoing) -> bool:
        """Whether a newer one was published since this one was made, by another thread or before a connection broke: a
        gateway that comes later would find the older one retained. Called just before publishing, which keeps the
        order of the calls."""
        if not message.retain:
            return False
        is_late = message.order < self._newest.get(message.topic, 0)
        if not is_late:
            self._newest[message.topic] = message.order
        return is_late


def _tls(mqtt: MqttSettings) -> aiomqtt.TLSParameters:
    if mqtt.client_key_file is not None:
        read_secret(mqtt.client_key_file)  # says what is wrong with it
    return aiomqtt.TLSParameters(
        ca_certs=str(mqtt.ca_file) if mqtt.ca_file else None,
        certfile=str(mqtt.client_cert_file) if mqtt.client_cert_file else None,
        keyfile=str(mqtt.client_key_file) if mqtt.client_key_file else None,
    )
