"""What a gateway still has to send: readings until their receipt, acknowledgements until the broker has them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from gateway_agent.buffer import WAITING, Buffer
from gateway_agent.checkpoints import GatewayPoint
from gateway_agent.link import Publish
from market import checkpoints
from oracle.messages import READINGS_THAT_FIT, Channel, ReadingBatch

_RESEND_AFTER_S: Final = 3.0
_LONGEST_PAUSE_S: Final = 120.0


class Outbox:
    """Sends from the buffer while there is a connection; readings are sent again, after growing pauses, when no receipt
    comes. The oracle takes them in order of their sequence only, so every message begins with the oldest."""

    def __init__(self, buffer: Buffer, resend_after_s: float = _RESEND_AFTER_S) -> None:
        self._buffer = buffer
        self._resend_after_s = resend_after_s
        self._wake = asyncio.Event()
        self._pause_s = resend_after_s
        self._sent: tuple[str, ...] = ()
        self._sent_at = 0.0
        self._status: bytes | None = None

    def wake(self) -> None:
        """There may be something new to send."""
        self._wake.set()

    def say(self, status: bytes) -> None:
        """Send a new status, the latest only."""
        self._status = status
        self._wake.set()

    def is_empty(self) -> bool:
        """Whether every reading has its receipt and every acknowledgement is with the broker."""
        return self._buffer.counts()[WAITING] == 0 and not self._buffer.unsent_acknowledgements(1)

    async def talk(self, publish: Publish) -> None:
        """Send what there is, again and again, until this task is cancelled."""
        self._sent = ()  # what went over an earlier connection may be lost
        while True:
            self._wake.clear()
            await self._send_acknowledgements(publish)
            await self._send_readings(publish)
            if self._status is not None:
                status, self._status = self._status, None
                await publish(Channel.STATUS, status, True)
            # Not `wait_for`, which may forget that it was cancelled (until Python 3.12).
            with suppress(TimeoutError):
                async with asyncio.timeout(self._resend_after_s):
                    await self._wake.wait()

    async def _send_acknowledgements(self, publish: Publish) -> None:
        while found := self._buffer.unsent_acknowledgements():
            for number, payload in found:
                await publish(Channel.ACKS, payload, False)
                checkpoints.passed(GatewayPoint.ACKNOWLEDGED)
                self._buffer.acknowledged(number)
                checkpoints.passed(GatewayPoint.ACKNOWLEDGEMENT_MARKED)

    async def _send_readings(self, publish: Publish) -> None:
        waiting = self._buffer.waiting(READINGS_THAT_FIT)
        digests = tuple(digest for digest, _ in waiting)
        now = asyncio.get_running_loop().time()
        if digests[:1] != self._sent[:1]:
            self._pause_s = self._resend_after_s
        is_fresh = bool(set(digests) - set(self._sent))
        is_overdue = now - self._sent_at >= self._pause_s
        if not waiting or not (is_fresh or is_overdue):
            return
        if not is_fresh:
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._sent, self._sent_at = digests, now
        await publish(Channel.READINGS, ReadingBatch(readings=tuple(each for _, each in waiting)).payload(), False)
        checkpoints.passed(GatewayPoint.READINGS_SENT)
