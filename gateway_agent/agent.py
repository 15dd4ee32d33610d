"""One process that hosts several gateways: sleeps until the next moment of any of them, and serves MQTT meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog

from gateway_agent.bidder import Bidder
from gateway_agent.bidding import MarketApi, OfferBoard
from gateway_agent.gateway import Gateway
from gateway_agent.metrics import Metrics
from gateway_agent.parts import Parts
from gateway_agent.renewal import Holder, Renewal
from market.clock import Clock, SimulatedClock

log = structlog.get_logger(__name__)

RECEIPTS_WITHIN_S = 10.0
"""How long (real time) the agent stays busy for receipts of its readings before it sleeps on."""
FIRST_CONTACT_S = 30.0
HEARD_WITHIN_S = 3.0
"""How long a start waits for the oracle's word of the time, from which a wrong clock is known."""
SURE_WITHIN_S = 8.0
"""How long for another one, where the first does not tell."""
STOP_WITHIN_S = 12.0
"""After a signal to end, how long the goodbyes to broker and clock may take."""


@dataclass(frozen=True)
class _Hosted:
    gateway: Gateway
    bidder: Bidder


class Agent:
    """The gateways of one process. metrics_file: where the counters are written at each wake, if anywhere."""

    def __init__(self, folders: Sequence[Path], clock: Clock, metrics_file: Path | None = None) -> None:
        self._folders = tuple(folders)
        self._clock = clock
        self._metrics_file = metrics_file
        self.metrics = Metrics()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. BadConfiguration, UnsafeFile, DriverError at the start; ClockRefused."""
        async with httpx.AsyncClient(timeout=30.0) as client, contextlib.AsyncExitStack() as stack:
            board = OfferBoard()
            hosted = [await self._host(folder, client, board, stack) for folder in self._folders]
            if not isinstance(self._clock, SimulatedClock):
                for each in hosted:
                    each.gateway.hold()
            lines = [asyncio.create_task(each.gateway.link.run()) for each in hosted]
            lines += [asyncio.create_task(each.gateway.keep_watch()) for each in hosted]
            lines += [
                asyncio.create_task(Renewal(Holder.of(each.gateway.parts.folder), client, self.metrics).run())
                for each in hosted
                if each.gateway.parts.broker.certificate_file is not None
            ]
            try:
                await self._first_contact(hosted, stop)
                await _until_first([asyncio.create_task(self._work(hosted)), asyncio.create_task(stop.wait()), *lines])
            finally:
                for line in lines:
                    line.cancel()
                await asyncio.gather(*lines, return_exceptions=True)

    async def _host(
        self, folder: Path, client: httpx.AsyncClient, board: OfferBoard, stack: contextlib.AsyncExitStack
    ) -> _Hosted:
        parts = Parts.from_folder(folder)
        gateway = Gateway(parts, self._clock, self.metrics)
        stack.push_async_callback(gateway.close)
        await gateway.start()
        api = MarketApi(client, parts.enrolled.market_url, parts.enrolled.api_key)
        return _Hosted(gateway, Bidder(parts, api, board, self.metrics))

    async def _first_contact(self, hosted: Sequence[_Hosted], stop: asyncio.Event) -> None:
        """In simulated time nothing moves before the broker knows this process; in real time the oracle is given a
        moment to say what time it is, since nothing tells a clock that is wrong from the start otherwise."""
        if stop.is_set():
            return
        if isinstance(self._clock, SimulatedClock):
            await asyncio.gather(*(each.gateway.settle(FIRST_CONTACT_S) for each in hosted))
        else:
            await asyncio.gather(*(each.gateway.first_word(HEARD_WITHIN_S, SURE_WITHIN_S) for each in hosted))

    async def _work(self, hosted: Sequence[_Hosted]) -> None:
        while True:
            now = int(self._clock.now())
            await asyncio.gather(*(self._run_due(each, now) for each in hosted))
            await asyncio.gather(*(each.gateway.settle(self._patience_s(each)) for each in hosted))
            if self._metrics_file is not None:
                self.metrics.write(self._metrics_file)
            wakes = [each.gateway.next_wake(now) for each in hosted]
            wakes += [wake for each in hosted if (wake := each.bidder.next_wake(now)) is not None]
            await self._clock.sleep_until(min(wakes))

    async def _run_due(self, each: _Hosted, now: int) -> None:
        await each.gateway.run_due(now)
        # A cut uplink carries no bids either, and by a wrong clock their moments would be marked done.
        if not each.gateway.is_clock_wrong:
            await each.bidder.run_due(now, each.gateway.link.is_wanted)

    def _patience_s(self, each: _Hosted) -> float:
        """With a line to the broker, time for the receipts; without one, simulated time waits until it is back."""
        if each.gateway.link.is_connected or isinstance(self._clock, SimulatedClock):
            return RECEIPTS_WITHIN_S
        return 0.0


async def _until_first(tasks: Sequence[asyncio.Task[object]]) -> None:
    """Wait for the first task to end, cancel the others, raise what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    await asyncio.gather(*(task for task in tasks if task not in done), return_exceptions=True)
    for task in done:
        task.result()


async def run_agent(folders: Sequence[Path], clock: Clock, metrics_file: Path | None = None) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        # Whatever hangs on a peer that is gone must not keep the process: all that counts is on disk.
        loop.call_later(STOP_WITHIN_S, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    log.info("agent starts", gateways=len(folders))
    try:
        await Agent(folders, clock, metrics_file).run(stop)
    finally:
        if isinstance(clock, SimulatedClock):
            clock.close()
    log.info("agent stopped")
