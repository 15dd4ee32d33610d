"""A process of many gateways: each with the product's own link, outbox, buffer and signer, and a meter that counts on.

An agent of the product serves a few gateways and steers their devices; for hundreds in one process that is left out.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway_agent import SOFTWARE_VERSION
from gateway_agent.buffer import Buffer
from gateway_agent.configuration import BROKER_FILE, BUFFER_FILE, KEY_FILE, load_enrolled
from gateway_agent.drivers import Registers
from gateway_agent.identity import load_identity
from gateway_agent.inbox import Inbox
from gateway_agent.link import Link
from gateway_agent.metering import next_reading
from gateway_agent.outbox import Outbox
from gateway_agent.signer import Signer
from oracle.messages import Liveness, PlantSummary, Receipts

_POWER_W: Final = 3600
_CONNECTION_W: Final = 11_000


class Metered:
    """One gateway: measures at the boundaries, sends until it has receipts."""

    def __init__(self, folder: Path) -> None:
        self._enrolled = load_enrolled(folder)
        enrolled = self._enrolled
        self._signer = Signer(
            load_identity(folder / KEY_FILE), enrolled.nanogrid, enrolled.settlement, enrolled.auction
        )
        self._inbox = Inbox(enrolled.gateway, enrolled.nanogrid, enrolled.oracle, enrolled.settlement)
        self._buffer = Buffer(folder / BUFFER_FILE)
        self._outbox = Outbox(self._buffer)
        self.link = Link(
            enrolled.mqtt.model_copy(update={"certificate_file": folder / BROKER_FILE}),
            enrolled.gateway,
            status=self._status,
            received=self._received,
            talk=self._outbox.talk,
            changed=lambda _: None,
        )

    def measure(self) -> None:
        """Sign the reading of the interval that ended last."""
        unit_s = self._enrolled.time_unit_s
        end = int(time.time()) // unit_s * unit_s
        opening, closing = (Registers(at, at * _POWER_W // 3600, 0) for at in (end - unit_s, end))
        reading = next_reading(self._buffer, self._signer, opening, closing, unit_s, _CONNECTION_W)
        if reading is not None:
            with self._buffer.transaction() as moment:
                moment.add_reading(reading, self._enrolled.settlement)
            self._outbox.wake()

    def close(self) -> None:
        self._buffer.close()

    async def _received(self, topic: str, payload: bytes) -> None:
        message = self._inbox.open(topic, payload)
        if isinstance(message, Receipts):
            with self._buffer.transaction() as moment:
                moment.confirm(message.receipts)
            self._outbox.wake()

    def _status(self, is_online: bool) -> bytes:
        state = Liveness.ONLINE if is_online else Liveness.OFFLINE
        nothing = PlantSummary(
            active_power_w=None, reactive_power_var=None, devices=(), readings_waiting=0, readings_refused=0
        )
        return self._signer.status(state, int(time.time()), SOFTWARE_VERSION, 0, {}, nothing).payload()


async def run(folders: Sequence[Path]) -> None:
    """Run the gateways of some folders until SIGTERM; at each SIGUSR1 every one of them signs a reading."""
    swarm = [Metered(folder) for folder in folders]
    ended, measuring = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, measuring.set)
    lines = [asyncio.create_task(each.link.run()) for each in swarm]
    meters = asyncio.create_task(_measure(swarm, measuring))
    await asyncio.wait([meters, asyncio.create_task(ended.wait()), *lines], return_when=asyncio.FIRST_COMPLETED)
    for task in (meters, *lines):
        task.cancel()
    await asyncio.gather(meters, *lines, return_exceptions=True)
    for each in swarm:
        each.close()


async def _measure(swarm: Sequence[Metered], measuring: asyncio.Event) -> None:
    while True:
        await measuring.wait()
        measuring.clear()
        for each in swarm:
            each.measure()
            await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(run([Path(folder) for folder in json.loads(Path(sys.argv[1]).read_text())]))
