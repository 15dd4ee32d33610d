"""The embedded MQTT broker for small set-ups: amqtt with the market's credentials."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import ssl
from typing import Any

import structlog

from market.settings import MqttSettings, Settings, SettingsError, read_secret
from oracle.broker import door

log = structlog.get_logger(__name__)

_PLUGINS = "oracle.broker.plugins"


def configuration(settings: Settings, *, insecure: bool = False) -> dict[str, Any]:
    """amqtt's configuration: one listener at the settings' address, with TLS where they say so.

    insecure: passwords may cross a network in clear text.

    Raises:
        SettingsError: TLS without a certificate, its key readable by others, or clear text beyond this machine.
    """
    mqtt = settings.mqtt
    listener: dict[str, Any] = {"type": "tcp", "bind": f"{mqtt.host}:{mqtt.port}", "max_connections": 0}
    if mqtt.tls:
        listener |= _tls(mqtt)
    elif not insecure and not _is_loopback(mqtt.host):
        raise SettingsError(
            f"{mqtt.host} is reached from other machines, and without TLS passwords would cross the network in clear "
            "text: set MERITGRID_MQTT__TLS=true, __CERT_FILE and __CERT_KEY_FILE, or run with --insecure"
        )
    return {
        "listeners": {"default": listener},
        "plugins": {
            f"{_PLUGINS}.CredentialsPlugin": {"database_url": settings.database},
            f"{_PLUGINS}.OwnTopicsPlugin": {},
        },
    }


def _tls(mqtt: MqttSettings) -> dict[str, Any]:
    if mqtt.cert_file is None or mqtt.cert_key_file is None:
        raise SettingsError("TLS needs MERITGRID_MQTT__CERT_FILE and MERITGRID_MQTT__CERT_KEY_FILE")
    read_secret(mqtt.cert_key_file)  # says what is wrong with it
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(mqtt.cert_file, mqtt.cert_key_file)
    except OSError as problem:
        raise SettingsError(
            f"{mqtt.cert_file} and {mqtt.cert_key_file} are no certificate and key: {problem}"
        ) from problem
    return {"ssl": True, "certfile": str(mqtt.cert_file), "keyfile": str(mqtt.cert_key_file)}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def serve(settings: Settings, *, insecure: bool = False) -> None:
    """Run the broker until SIGTERM or SIGINT. Raises SettingsError."""
    door.put_in_place()
    broker = door.Broker(configuration(settings, insecure=insecure))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await broker.start()
    log.info("broker listens", host=settings.mqtt.host, port=settings.mqtt.port)
    await stop.wait()
    await broker.shutdown()
