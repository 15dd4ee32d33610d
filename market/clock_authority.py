"""The authority over simulated time: a server of the demonstration that every process's `SimulatedClock` asks.

The rules of time and the messages are described in `market.clock`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from market.clock import MAX_LINE_BYTES, line_of

_log = logging.getLogger(__name__)


@dataclass
class _Participant:
    """What the authority knows of one: busy while `until` is None; `known_s` is the last time that it acknowledged."""

    name: str
    writer: asyncio.StreamWriter | None = None
    until: float | None = None
    known_s: float = -math.inf
    is_away: bool = False

    def sleeps_beyond(self, now_s: float) -> bool:
        """Whether it waits for a later moment; one that is due but does not know it yet counts as busy."""
        return self.writer is not None and self.until is not None and self.until > now_s

    def send(self, message: dict[str, Any]) -> None:
        if self.writer is not None and not self.writer.is_closing():
            self.writer.write(line_of(message))


OnAdvance = Callable[[float], Awaitable[None]]


@dataclass
class ClockAuthority:
    """Serves simulated time to the expected participants.

    start_s: first time [epoch s]; token: shared secret; speed: simulated seconds per real second, None as fast as
    possible; on_advance: awaited with the new time before anybody learns of it (it sets the chain's block time).
    """

    start_s: float
    token: str
    host: str = "127.0.0.1"
    port: int = 0
    speed: float | None = None
    on_advance: OnAdvance | None = None
    _participants: dict[str, _Participant] = field(default_factory=dict, init=False)
    _stop_s: float = field(default=math.inf, init=False)
    _is_paused: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._now = self.start_s
        self._advanced_at: float | None = None
        self._is_telling = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._progress = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._loop_task: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def now(self) -> float:
        """The simulated time [epoch s]."""
        return self._now

    @property
    def waiting_for(self) -> list[str]:
        """Names of the participants that hold the time: busy, or down and not away."""
        return [one.name for one in self._participants.values() if not one.is_away and not one.sleeps_beyond(self._now)]

    def expect(self, names: Iterable[str]) -> None:
        """Participants that time waits for from now on."""
        for name in names:
            self._participants.setdefault(name, _Participant(name))
        self._changed.set()

    def away(self, name: str) -> None:
        """Time no longer waits for this participant until it connects again."""
        self._participants[name].is_away = True
        self._changed.set()

    def wait_for(self, name: str) -> None:
        """Time waits again for a participant that was away, from before it connects."""
        self._participants[name].is_away = False
        self._changed.set()

    def pause(self) -> None:
        """Time stands still until `resume`."""
        self._is_paused = True

    def resume(self) -> None:
        """Ends a pause."""
        self._is_paused = False
        self._changed.set()

    def stop_at(self, at_s: float) -> None:
        """Time ends there."""
        self._stop_s = at_s
        self._changed.set()

    async def start(self) -> int:
        """Starts to serve; returns the port."""
        self._server = await asyncio.start_server(self._accept, self.host, self.port, limit=MAX_LINE_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        self._loop_task = asyncio.create_task(self._advance_for_ever())
        return self.port

    async def stop(self) -> None:
        """Stops to serve and closes all connections."""
        if self._server is not None:
            self._server.close()
        tasks = [task for task in (self._loop_task, *self._connections) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._failure = self._failure or RuntimeError("the clock authority is stopped")
        await self._tell()

    async def reached(self, at_s: float) -> None:
        """Returns when the time is `at_s` or later and everybody sleeps again (what is due then has been done)."""
        async with self._progress:
            await self._progress.wait_for(lambda: self._failure or (self._now >= at_s and self._all_asleep()))
        if self._failure is not None:
            raise self._failure

    def _all_asleep(self) -> bool:
        counted = [one for one in self._participants.values() if not one.is_away]
        return bool(counted) and all(one.sleeps_beyond(self._now) for one in counted)

    def _next_s(self) -> float | None:
        if self._is_paused or self._now >= self._stop_s or not self._all_asleep():
            return None
        moments = [
            one.until for one in self._participants.values() if one.until is not None and one.sleeps_beyond(self._now)
        ]
        return min(*moments, self._stop_s) if moments else None

    async def _advance_for_ever(self) -> None:
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                async with self._progress:
                    self._progress.notify_all()
                at_s = self._next_s()
                if at_s is not None and await self._is_paced(at_s):
                    await self._advance(at_s)
        except Exception as problem:  # noqa: BLE001 - whatever on_advance raises is the observer's to see
            # `reached` raises it to the demonstration; time stands still from here on.
            _log.exception("the clock authority fails at %s", self._now)
            self._failure = problem
            await self._tell()

    async def _is_paced(self, at_s: float) -> bool:
        """Waits for the pace; False when something changed meanwhile, so that the advance has to be thought over."""
        loop = asyncio.get_running_loop()
        if self.speed is None or self._advanced_at is None:
            return True
        pause_s = self._advanced_at + (at_s - self._now) / self.speed - loop.time()
        if pause_s <= 0:
            return True
        try:
            await asyncio.wait_for(self._changed.wait(), pause_s)
        except TimeoutError:
            return True
        return False

    async def _advance(self, at_s: float) -> None:
        if self.on_advance is not None:
            await self.on_advance(at_s)
        self._now, self._is_telling = at_s, True
        self._advanced_at = asyncio.get_running_loop().time()
        for one in self._participants.values():
            one.send({"now": at_s})
        async with self._progress:
            await self._progress.wait_for(self._all_know)
        self._is_telling = False
        for one in self._participants.values():
            self._wake_if_due(one)
        self._changed.set()

    def _all_know(self) -> bool:
        connected = [one for one in self._participants.values() if one.writer is not None and not one.is_away]
        return all(one.known_s >= self._now for one in connected)

    def _wake_if_due(self, one: _Participant) -> None:
        if one.until is not None and one.until <= self._now:
            one.until = None
            one.send({"wake": self._now})

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        participant: _Participant | None = None
        try:
            participant = self._admit(json.loads(await reader.readline()), writer)
            while line := await reader.readline():
                self._hear(participant, json.loads(line))
                await self._tell()
        except ConnectionError as problem:
            _log.info("a connection of the clock broke: %s", problem)
        except (ValueError, TypeError, KeyError) as problem:
            _log.warning("the clock closes a connection: %s", problem)
            with suppress(ConnectionError):
                writer.write(line_of({"error": str(problem)}))
                await writer.drain()
        finally:
            if task is not None:
                self._connections.discard(task)
            if participant is not None and participant.writer is writer:
                participant.writer, participant.until = None, None
                await self._tell()
            writer.close()

    async def _tell(self) -> None:
        self._changed.set()
        async with self._progress:
            self._progress.notify_all()

    def _admit(self, greeting: Any, writer: asyncio.StreamWriter) -> _Participant:
        if not hmac.compare_digest(str(greeting["token"]).encode(), self.token.encode()):
            raise ValueError("wrong token")
        participant = self._participants.get(str(greeting["name"]))
        if participant is None:
            raise ValueError("unexpected name")
        if participant.writer is not None:
            participant.writer.close()
        participant.writer, participant.is_away, participant.known_s = writer, False, -math.inf
        participant.until = _moment(greeting["until"])
        participant.send({"now": self._now})
        self._changed.set()
        return participant

    def _hear(self, participant: _Participant, message: Any) -> None:
        if not isinstance(message, dict):
            raise ValueError("a message is a JSON object")
        if "at" in message:
            participant.known_s = float(message["at"])
        elif message.get("leave") is True:
            participant.is_away = True
        else:
            participant.until = _moment(message["until"])
        if participant.known_s >= self._now and not self._is_telling:
            # Also one that was due while it was down, or asks for a moment that is over.
            self._wake_if_due(participant)


def _moment(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("until is not a moment")
    return value
