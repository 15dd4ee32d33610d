"""The embedded MQTT broker for small set-ups: amqtt with the market's credentials."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import structlog
from amqtt.broker import Broker

from market.settings import Settings

log = structlog.get_logger(__name__)

_PLUGINS = "oracle.broker.plugins"


def configuration(settings: Settings) -> dict[str, Any]:
    """amqtt's configuration for the settings' port, TLS left to a broker in production."""
    return {
        "listeners": {
            "default": {"type": "tcp", "bind": f"{settings.mqtt.host}:{settings.mqtt.port}", "max_connections": 0}
        },
        "plugins": {
            f"{_PLUGINS}.CredentialsPlugin": {"database_url": settings.database},
            f"{_PLUGINS}.OwnTopicsPlugin": {},
        },
    }


async def serve(settings: Settings) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    broker = Broker(configuration(settings))
    await broker.start()
    log.info("broker listens", host=settings.mqtt.host, port=settings.mqtt.port)
    await stop.wait()
    await broker.shutdown()
