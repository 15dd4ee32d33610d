"""The gateway's line to the broker: connects, comes back with growing pauses and jitter, hands messages over.

A session is kept by the broker (clean_session false); the last will says OFFLINE. `cut` is the wish to be offline.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import aiomqtt
import structlog

from gateway_agent.configuration import Broker
from market.backoff import Backoff
from market.tasks import ended
from oracle.messages import Channel, topic_for

log = structlog.get_logger(__name__)

Publish = Callable[[Channel, bytes, bool], Awaitable[None]]
"""Publish at QoS 1 on a channel, retained or not; returns when the broker has it."""

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_KEEPALIVE_S: Final = 30
_TIMEOUT_S: Final = 10.0
_INCOMING: Final = (Channel.RECEIPTS, Channel.DISPATCH, Channel.PLAN)


class Link:
    """One gateway's connection.

    status(online): payload of the status to publish; received: called for each message, one after the other;
    talk: runs while connected and sends what there is to send; changed: called when the connection comes or goes.
    """

    def __init__(
        self,
        broker: Broker,
        gateway: str,
        *,
        status: Callable[[bool], bytes],
        received: Callable[[str, bytes], Awaitable[None]],
        talk: Callable[[Publish], Awaitable[None]],
        changed: Callable[[bool], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._broker = broker
        self._gateway = gateway.lower()
        self._status = status
        self._received = received
        self._talk = talk
        self._changed = changed
        self._backoff = backoff or Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._unwanted = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._handling = False

    @property
    def is_connected(self) -> bool:
        """Whether the broker has the birth message of this connection."""
        return self._client is not None

    @property
    def is_wanted(self) -> bool:
        """Whether there should be a connection."""
        return self._wanted.is_set()

    @property
    def is_drained(self) -> bool:
        """Whether all that came in has been handled."""
        return not self._handling and (self._client is None or len(self._client.messages) == 0)

    async def cut(self, is_cut: bool) -> None:
        """Go offline and stay so, or come back. Going offline returns when the connection is closed."""
        if is_cut:
            self._wanted.clear()
            self._unwanted.set()
            while self.is_connected:  # noqa: ASYNC110 - the end of the connection is in another task
                await asyncio.sleep(0.005)
        else:
            self._unwanted.clear()
            self._wanted.set()

    async def run(self) -> None:
        """Keep the connection until this task is cancelled; then say goodbye."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            connected_at = None
            try:
                async with self._new_client() as client:
                    await self._greet(client)
                    connected_at = loop.time()
                    await self._converse(client)
            except (aiomqtt.MqttError, OSError) as problem:
                log.info("no connection to the broker", gateway=self._gateway, problem=str(problem))
            finally:
                self._set_client(None)
            if connected_at is not None:
                self._backoff.held(loop.time() - connected_at)
            if self._wanted.is_set():
                await asyncio.sleep(self._backoff.next_s())

    def _new_client(self) -> aiomqtt.Client:
        broker = self._broker
        return aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=f"meritgrid-gw-{self._gateway}",
            clean_session=False,
            keepalive=_KEEPALIVE_S,
            timeout=_TIMEOUT_S,
            tls_context=tls_context(broker) if broker.tls else None,
            will=aiomqtt.Will(self._topic(Channel.STATUS), self._status(False), qos=1, retain=True),
        )

    def _topic(self, channel: Channel) -> str:
        return topic_for(self._gateway, channel)

    async def _greet(self, client: aiomqtt.Client) -> None:
        # Retained messages follow the subscription, and precede the answer to the birth message.
        await client.subscribe([(self._topic(channel), 1) for channel in _INCOMING])
        await client.publish(self._topic(Channel.STATUS), self._status(True), qos=1, retain=True)
        self._set_client(client)

    async def _converse(self, client: aiomqtt.Client) -> None:
        async def publish(channel: Channel, payload: bytes, retain: bool) -> None:
            await client.publish(self._topic(channel), payload, qos=1, retain=retain)

        tasks = [
            asyncio.create_task(self._listen(client)),
            asyncio.ensure_future(self._talk(publish)),
            asyncio.create_task(self._unwanted.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await ended(*tasks)
            # A goodbye that we can still say; where the line is dead the last will says it.
            with contextlib.suppress(aiomqtt.MqttError):
                await client.publish(self._topic(Channel.STATUS), self._status(False), qos=1, retain=True, timeout=1)

    async def _listen(self, client: aiomqtt.Client) -> None:
        expected = {self._topic(channel) for channel in _INCOMING}
        async for message in client.messages:
            if str(message.topic) not in expected:
                continue  # some brokers hand a session's own last will back to it
            payload = message.payload if isinstance(message.payload, bytes) else b""
            self._handling = True
            try:
                await self._received(str(message.topic), payload)
            finally:
                self._handling = False
                self._changed(True)

    def _set_client(self, client: aiomqtt.Client | None) -> None:
        before, self._client = self._client, client
        if (before is None) != (client is None):
            self._changed(client is not None)


def tls_context(broker: Broker) -> ssl.SSLContext:
    """How a gateway speaks TLS; read anew for each connection: certificates are renewed meanwhile. OSError where a file
    cannot be used."""
    text = None if broker.tls_ca_file is not None else broker.trusted
    context = ssl.create_default_context(cafile=broker.tls_ca_file, cadata=text)
    if broker.certificate_file is not None:
        context.load_cert_chain(broker.certificate_file)
    return context
