"""Who stands at the broker's door is asked for the password before its client id means anything.

amqtt takes over or drops the session of a client id before it authenticates, so that a stranger could silence anybody
whose client id it knows. Here a CONNECT is authenticated first, and a client id belongs to its user alone.
"""

from __future__ import annotations

from typing import Any

import amqtt.broker
from amqtt.errors import MQTTError
from amqtt.mqtt.connack import NOT_AUTHORIZED, ConnackPacket
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler


class DoorKeeper(BrokerProtocolHandler):  # type: ignore[misc]
    """amqtt's handler of a connection, which lets nobody in unasked."""

    @classmethod
    async def init_from_connect(cls, reader: Any, writer: Any, plugins_manager: Any, loop: Any = None) -> Any:
        """Handler and session of a client that has shown its password. Raises MQTTError."""
        handler, session = await super().init_from_connect(reader, writer, plugins_manager, loop)
        answers = await plugins_manager.map_plugin_auth(session=session)
        said = [answer for answer in (answers or {}).values() if answer is not None]
        if not said or not all(said):
            await ConnackPacket.build(0, NOT_AUTHORIZED).to_stream(writer)
            await writer.close()
            raise MQTTError(f"{session.username!r} is not let in")
        session.client_id = f"{session.username}/{session.client_id}"
        return handler, session


def put_in_place() -> None:
    """Have amqtt's brokers of this process use it."""
    amqtt.broker.BrokerProtocolHandler = DoorKeeper
