"""Who stands at the broker's door is asked for the password before its client id means anything.

amqtt takes over or drops the session of a client id before it authenticates, so that a stranger could silence anybody
whose client id it knows. Here a CONNECT is authenticated first, and a client id belongs to its user alone.

amqtt also takes in packets of any length, from strangers too. Here whoever announces one that is longer than any of our
messages could be loses the connection before its content is read; nobody else notices.

And amqtt publishes a last will without asking whether its author may, and hands out at every CONNECT what is retained
for anybody's subscription. Here a will needs the right to publish, and a client gets what it has subscribed to.
"""

from __future__ import annotations

from typing import Any

import amqtt.broker
import amqtt.mqtt.protocol.handler
from amqtt.contexts import Action
from amqtt.errors import MQTTError
from amqtt.mqtt.connack import NOT_AUTHORIZED, ConnackPacket
from amqtt.mqtt.connect import ConnectPacket
from amqtt.mqtt.packet import MQTTFixedHeader
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session

from oracle.broker.limits import MAX_PACKET_BYTES


class PacketTooLong(Exception):
    """A client announced a packet above the limit. No MQTTError: amqtt would skip the header and read on behind it."""


class BoundedHeader(MQTTFixedHeader):  # type: ignore[misc]
    """The first bytes of a packet, which say how long it is."""

    @classmethod
    async def from_stream(cls, reader: Any) -> Any:
        """The header, None at the end of the stream. Raises PacketTooLong."""
        header = await super().from_stream(reader)
        if header is not None and header.remaining_length > MAX_PACKET_BYTES:
            raise PacketTooLong(f"a packet of {header.remaining_length} bytes; at most {MAX_PACKET_BYTES} are taken")
        return header


class DoorKeeper(BrokerProtocolHandler):  # type: ignore[misc]
    """amqtt's handler of a connection, which lets nobody in unasked."""

    @classmethod
    async def init_from_connect(cls, reader: Any, writer: Any, plugins_manager: Any, loop: Any = None) -> Any:
        """Handler and session of a client that has shown its password. Raises MQTTError."""
        try:
            handler, session = await super().init_from_connect(reader, writer, plugins_manager, loop)
        except PacketTooLong as problem:
            raise MQTTError(str(problem)) from problem  # upon which amqtt ends the connection
        answers = await plugins_manager.map_plugin_auth(session=session)
        said = [answer for answer in (answers or {}).values() if answer is not None]
        if not said or not all(said) or not await _may_leave_its_will(session, plugins_manager):
            await ConnackPacket.build(0, NOT_AUTHORIZED).to_stream(writer)
            await writer.close()
            raise MQTTError(f"{session.username!r} is not let in")
        session.client_id = f"{session.username}/{session.client_id}"
        return handler, session


async def _may_leave_its_will(session: Session, plugins_manager: Any) -> bool:
    """Whether the client may publish what it wants published when it is gone."""
    if not session.will_flag:
        return True
    answers = await plugins_manager.map_plugin_topic(session=session, topic=session.will_topic, action=Action.PUBLISH)
    return all((answers or {}).values())


class Broker(amqtt.broker.Broker):  # type: ignore[misc]
    """amqtt's broker, which hands nobody another's retained messages."""

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        subscribers = {client.client_id for client, _ in self._subscriptions.get(subscription[0], ())}
        if session.client_id in subscribers:
            await super()._publish_retained_messages_for_subscription(subscription, session)


def put_in_place() -> None:
    """Have amqtt's brokers of this process use it."""
    amqtt.broker.BrokerProtocolHandler = DoorKeeper
    amqtt.mqtt.protocol.handler.MQTTFixedHeader = BoundedHeader
    ConnectPacket.FIXED_HEADER = BoundedHeader
