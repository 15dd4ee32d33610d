"""The one clock: the system's, or the simulated one of a demonstration, served by `market.clock_authority`.

Simulated time is that of discrete events. Every process is one participant with one main sleeper: it is busy from its
wake until it sleeps again. While an expected participant is busy or down, time stands still; when all of them sleep,
the authority advances to the earliest moment that anybody waits for. It first tells everybody the new time and waits
until they know it, then wakes those who are due, so that no process reads an older time than the one that calls it.

Wire: lines of JSON over TCP. Client: first {"name", "token", "until"}, then {"until": seconds or null} and, as answer
to the time, {"at": seconds}. Authority: {"now": seconds}, {"wake": seconds}, {"error": text}.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

_log = logging.getLogger(__name__)
MAX_LINE_BYTES: Final = 1024
_SLOWEST_RECONNECT_S: Final = 1.0
_FIRST_RECONNECT_S: Final = 0.02


class Clock(Protocol):
    """Tells the time [epoch s, UTC] and waits for it."""

    def now(self) -> float:
        """The current time [epoch s]."""
        ...

    def steady(self) -> float:
        """Seconds since some moment, by a clock that nobody sets: two of them differ by what has passed between."""
        ...

    async def sleep_until(self, at_s: float) -> None:
        """Returns at `at_s` [epoch s], at once when that is over."""
        ...

    def wait_until(self, at_s: float) -> None:
        """The same for threads."""
        ...


class ClockRefused(Exception):
    """The authority does not take this participant (wrong token or unexpected name), or cannot be reached."""


class SystemClock:
    """The system's time. Waits in short steps, so that a clock that is set forward is noticed.

    `sleep_until` returns early when the clock is set back: who waited asks anew what is due next, instead of sleeping
    on for as long as it was set back.
    """

    _STEP_S: Final = 30.0
    _SLEEP_STEP_S: Final = 1.0
    _SET_BACK_S: Final = 2.0

    def now(self) -> float:
        return time.time()

    def steady(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)  # goes on while the machine is suspended

    async def sleep_until(self, at_s: float) -> None:
        began = time.time() - self.steady()
        while (left := at_s - time.time()) > 0:
            if time.time() - self.steady() < began - self._SET_BACK_S:
                return
            await asyncio.sleep(min(left, self._SLEEP_STEP_S))

    def wait_until(self, at_s: float) -> None:
        while (left := at_s - time.time()) > 0:
            time.sleep(min(left, self._STEP_S))


class LatestTime:
    """The time by a clock that may be set back: by the latest that it has shown here, and what has passed since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_s = clock.now() - clock.steady()

    def now(self) -> float:
        """The least that it can be now [epoch s], unless the clock was ahead."""
        steady_s = self._clock.steady()
        self._ahead_s = max(self._ahead_s, self._clock.now() - steady_s)
        return steady_s + self._ahead_s


def clock_from(setting: str, name: str = "", token: str = "") -> Clock:
    """The clock of a settings string: 'system', or 'simulated:host:port' with the participant's name and token."""
    if setting == "system":
        return SystemClock()
    kind, _, address = setting.partition(":")
    host, _, port = address.rpartition(":")
    if kind != "simulated" or not host or not port.isdecimal():
        raise ValueError(f"a clock is 'system' or 'simulated:host:port', not {setting!r}")
    return SimulatedClock(host, int(port), name, token)


class SimulatedClock:
    """Client of the authority. A thread of its own keeps the connection and the time; it reconnects with back-off.

    Only one main sleeper at a time (`sleep_until` or `wait_until`; a second one raises RuntimeError). `follow_until`
    waits without being counted. A process that ends without `leave` is down: time stands still until it is back.
    """

    def __init__(self, host: str, port: int, name: str, token: str, *, connect_timeout_s: float = 60.0) -> None:
        self._address = (host, port)
        self._name = name
        self._token = token
        self._connect_timeout_s = connect_timeout_s
        self._state = threading.Condition()
        self._now: float | None = None
        self._until: float | None = None
        self._woken = False
        self._is_interrupted = False
        self._left = False
        self._closed = False
        self._refusal: str | None = None
        self._socket: socket.socket | None = None
        self._listeners: set[Callable[[], None]] = set()
        self._thread = threading.Thread(target=self._keep_connected, name=f"clock-{name}", daemon=True)
        self._thread.start()

    def now(self) -> float:
        """The simulated time; before the first contact it waits for it (ClockRefused when there is none in time)."""
        with self._state:
            return self._wait_for_contact()

    def steady(self) -> float:
        """The simulated time, too: nobody sets it."""
        return self.now()

    def wait_until(self, at_s: float) -> None:
        if not self._fall_asleep(at_s):
            return
        try:
            with self._state:
                self._state.wait_for(lambda: self._is_interrupted or self._is_woken())
                self._is_interrupted = False
                self._raise_refusal()
        finally:
            self._get_up()

    def interrupt(self) -> None:
        """End a `wait_until` before its time, or the next one where nobody waits: there is something else to do now,
        and time stands still for it."""
        with self._state:
            self._is_interrupted = True
            self._state.notify_all()

    async def sleep_until(self, at_s: float) -> None:
        await self._contact()
        if not self._fall_asleep(at_s):
            await asyncio.sleep(0)
            return
        try:
            await self._until_true(self._is_woken)
        finally:
            self._get_up()

    async def follow_until(self, at_s: float) -> None:
        """Returns when the time has come, without holding or moving it."""
        await self._contact()
        await self._until_true(lambda: self._is_over() or (self._now is not None and self._now >= at_s))

    def leave(self) -> None:
        """Ends the participation: time no longer waits for this process."""
        self._send({"leave": True})
        self.close()

    def close(self) -> None:
        """Closes the connection; the authority counts this process as down."""
        with self._state:
            self._closed = True
            self._state.notify_all()
        self._call_listeners()
        connection = self._socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)

    def _is_over(self) -> bool:
        return self._closed or self._refusal is not None

    def _is_woken(self) -> bool:
        return self._woken or self._is_over()

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise ClockRefused(self._refusal)
        if self._closed:
            raise ClockRefused(f"the clock of {self._name} is closed")

    def _wait_for_contact(self) -> float:
        known = self._state.wait_for(lambda: self._now is not None or self._is_over(), self._connect_timeout_s)
        if not known:
            raise ClockRefused(f"no clock authority at {self._address[0]}:{self._address[1]}")
        if self._now is None:
            raise ClockRefused(self._refusal or f"the clock of {self._name} is closed")
        return self._now

    async def _contact(self) -> None:
        if self._now is None:
            await asyncio.to_thread(self.now)

    def _fall_asleep(self, at_s: float) -> bool:
        with self._state:
            now_s = self._wait_for_contact()
            self._raise_refusal()
            if at_s <= now_s:
                return False
            if self._until is not None:
                raise RuntimeError(f"the participant {self._name} sleeps already, until {self._until}")
            self._until, self._woken = at_s, False
        self._send({"until": at_s})
        return True

    def _get_up(self) -> None:
        with self._state:
            cancelled = not self._woken
            self._until, self._woken = None, False
        if cancelled:
            self._send({"until": None})

    async def _until_true(self, condition: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def listener() -> None:
            with suppress(RuntimeError):  # the loop may be closed while the process ends
                loop.call_soon_threadsafe(changed.set)

        with self._state:
            self._listeners.add(listener)
        try:
            while not condition():
                await changed.wait()
                changed.clear()
        finally:
            with self._state:
                self._listeners.discard(listener)
        self._raise_refusal()

    def _call_listeners(self) -> None:
        with self._state:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def _send(self, message: dict[str, Any]) -> None:
        connection = self._socket
        if connection is not None:
            with suppress(OSError):  # the thread notices the loss, reconnects and says the present state anew
                connection.sendall(line_of(message))

    def _keep_connected(self) -> None:
        pause_s = _FIRST_RECONNECT_S
        while not self._is_over():
            try:
                with socket.create_connection(self._address, timeout=10) as connection:
                    connection.settimeout(None)
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._greet(connection)
                    pause_s = _FIRST_RECONNECT_S
                    self._listen(connection)
            except (OSError, ValueError) as problem:
                _log.debug("the clock's connection of %s failed: %s", self._name, problem)
            finally:
                self._socket = None
            if not self._is_over():
                time.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, _SLOWEST_RECONNECT_S)

    def _greet(self, connection: socket.socket) -> None:
        with self._state:
            # Whoever falls asleep after this line finds the socket; whoever did before is in the greeting.
            self._socket = connection
            until = None if self._woken else self._until
        connection.sendall(line_of({"name": self._name, "token": self._token, "until": until}))

    def _listen(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            while line := lines.readline(MAX_LINE_BYTES):
                message = json.loads(line)
                with self._state:
                    if "error" in message:
                        self._refusal = str(message["error"])
                    if "now" in message:
                        self._now = message["now"]
                    if "wake" in message and self._until is not None and message["wake"] >= self._until:
                        self._woken = True
                    self._state.notify_all()
                if "now" in message:
                    connection.sendall(line_of({"at": message["now"]}))
                self._call_listeners()
                if self._refusal is not None:
                    return


def line_of(message: dict[str, Any]) -> bytes:
    """One message on the wire."""
    return json.dumps(message, allow_nan=False).encode() + b"\n"
