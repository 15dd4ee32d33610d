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
from contextlib import suppress
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

_POWER_W: Final = 900
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
        self._opening: Registers | None = None
        self._outbox = Outbox(self._buffer)
        self.link = Link(
            enrolled.mqtt.model_copy(update={"certificate_file": folder / BROKER_FILE}),
            enrolled.gateway,
            status=self._status,
            received=self._received,
            talk=self._outbox.talk,
            changed=lambda _: None,
        )

    def measure(self, at: int) -> None:
        """Read the meter at a boundary [epoch s], and sign the reading of the interval that ends there."""
        unit_s = self._enrolled.time_unit_s
        closing = Registers(at, at // unit_s * _POWER_W * unit_s // 3600, 0)
        reading = next_reading(self._buffer, self._signer, self._opening, closing, unit_s, _CONNECTION_W)
        self._opening = closing
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
    """Run the gateways of some folders until SIGTERM."""
    swarm = [Metered(folder) for folder in folders]
    unit_s = load_enrolled(folders[0]).time_unit_s
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    lines = [asyncio.create_task(each.link.run()) for each in swarm]
    boundary = int(time.time()) // unit_s * unit_s + unit_s
    while not ended.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(max(boundary - time.time(), 0)):
                await ended.wait()
            break
        for each in swarm:
            each.measure(boundary)
            await asyncio.sleep(0)
        boundary += unit_s
    for line in lines:
        line.cancel()
    await asyncio.gather(*lines, return_exceptions=True)
    for each in swarm:
        each.close()


if __name__ == "__main__":
    asyncio.run(run([Path(folder) for folder in json.loads(Path(sys.argv[1]).read_text())]))
