"""Starts, watches, kills and restarts the processes of a demonstration; leaves none behind.

Every process is started in a session of its own, so that the terminal's Ctrl-C reaches only the supervisor, which then
stops the others in the reverse order of their start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from market.processes import ending_with_parent

log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[bool]]


class ProcessFailed(Exception):
    """A process ended, or did not become ready, when it should run. The message ends with the tail of its log."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. `ready` is asked again and again until it says yes; None means ready at once.

    may_end: when it ends by itself, that is no failure; stop_by: the signal that ends it in order.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Probe | None = None
    ready_within_s: float = 180.0
    stop_within_s: float = 15.0
    may_end: bool = False
    stop_by: signal.Signals = signal.SIGTERM


@dataclass
class _Running:
    spec: ProcessSpec
    process: asyncio.subprocess.Process


class Supervisor:
    """Runs processes with their logs in `log_folder`; `failed` is set when one of them ends by itself."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._log_folder.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, _Running] = {}
        self._stopping: set[str] = set()
        self._starting: set[asyncio.Task[asyncio.subprocess.Process]] = set()
        self._watchers: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def pids(self) -> dict[str, int]:
        """Process ids by name, of what runs now."""
        return {name: running.process.pid for name, running in self._running.items()}

    async def start(self, spec: ProcessSpec) -> None:
        """Start a process and wait until it is ready.

        Raises:
            ProcessFailed: it ended, or was not ready in time.
        """
        spawning = asyncio.create_task(self._spawn(spec))
        self._starting.add(spawning)
        spawning.add_done_callback(self._starting.discard)
        # Shielded: a start that is cancelled half-way would leave a process that nobody stops.
        process = await asyncio.shield(spawning)
        await self._wait_ready(spec, process)
        watcher = asyncio.create_task(self._watch(spec, process))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _spawn(self, spec: ProcessSpec) -> asyncio.subprocess.Process:
        with self._log_path(spec.name).open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *ending_with_parent(spec.command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **spec.environment},
                start_new_session=True,
            )
        self._stopping.discard(spec.name)
        self._running[spec.name] = _Running(spec, process)
        log.info("process started", process=spec.name, pid=process.pid)
        return process

    async def start_all(self, specs: Sequence[ProcessSpec]) -> None:
        """Start several processes side by side."""
        await asyncio.gather(*(self.start(spec) for spec in specs))

    async def kill(self, name: str) -> None:
        """SIGKILL a process, as a crash would end it, and wait until it is gone."""
        running = self._running[name]
        self._stopping.add(name)
        _signal_group(running.process.pid, signal.SIGKILL)
        await running.process.wait()
        self._running.pop(name, None)

    async def restart(self, name: str) -> None:
        """SIGKILL a process and start it again with the same command."""
        spec = self._running[name].spec
        await self.kill(name)
        await self.start(spec)

    def freeze(self, name: str) -> None:
        """SIGSTOP a process: it is there and does nothing. Nothing where it does not run."""
        self._signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT a process that is frozen. Nothing where it does not run."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        running = self._running.get(name)
        if running is not None and running.process.returncode is None:
            _signal_group(running.process.pid, number)

    async def until_ended(self, name: str) -> None:
        """Wait for a process that ends by itself (`may_end`)."""
        running = self._running.get(name)
        if running is not None:
            await running.process.wait()
            self._running.pop(name, None)

    async def stop(self, name: str) -> None:
        """Stop a process: by its signal, and SIGKILL where that does not end it in time."""
        running = self._running.get(name)
        if running is None:
            return
        self._stopping.add(name)
        _signal_group(running.process.pid, running.spec.stop_by)
        try:
            await asyncio.wait_for(running.process.wait(), running.spec.stop_within_s)
        except TimeoutError:
            log.warning("process did not stop in time, killing it", process=name)
            _signal_group(running.process.pid, signal.SIGKILL)
            await running.process.wait()
        self._running.pop(name, None)

    async def stop_all(self) -> None:
        """Stop everything, the last started first, those too whose start was given up."""
        await asyncio.gather(*self._starting, return_exceptions=True)
        for name in reversed(list(self._running)):
            await self.stop(name)
        for watcher in list(self._watchers):
            watcher.cancel()

    def log_tail(self, name: str, lines: int = 25) -> str:
        path = self._log_path(name)
        if not path.exists():
            return ""
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])

    def _log_path(self, name: str) -> Path:
        return self._log_folder / f"{name}.log"

    async def _wait_ready(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        if spec.ready is None:
            return
        deadline = asyncio.get_running_loop().time() + spec.ready_within_s
        while not await spec.ready():
            if process.returncode is not None:
                raise ProcessFailed(
                    f"{spec.name} ended with code {process.returncode} while starting; its log ends:\n"
                    + self.log_tail(spec.name)
                )
            if asyncio.get_running_loop().time() > deadline:
                raise ProcessFailed(
                    f"{spec.name} was not ready within {spec.ready_within_s:g} s; its log ends:\n"
                    + self.log_tail(spec.name)
                )
            await asyncio.sleep(0.1)

    async def _watch(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if spec.may_end or spec.name in self._stopping or self.failed.done():
            return
        self.failed.set_result(f"{spec.name} ended with code {code}; its log ends:\n{self.log_tail(spec.name)}")


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


_PORTS: Final = range(20_000, 32_000)
"""Below those that the kernel gives to outgoing connections, or one of these could take a port before its server."""


_CLAIMS: Final[deque[int]] = deque(maxlen=128)
"""Descriptors of the claims of this process, the oldest first: by then who wanted that port listens, or never will."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on, nor was given lately: a server that is starting does
    not listen yet, and of two nodes with one port the first would answer for the other."""
    while True:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            claim = _claim(port)
            if len(_CLAIMS) == _CLAIMS.maxlen:
                os.close(_CLAIMS.popleft())
            _CLAIMS.append(claim)
            return port


def _claim(port: int) -> int:
    """Hold a name for a port until this process ends or closes what is returned.

    A name of Linux's abstract sockets: it lives beside the ports themselves (in the network's namespace, whatever the
    processes' folders are), leaves no file, and goes with its process however that ends.

    Raises:
        OSError: the port is claimed already.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as name:
        name.bind(f"\0meritgrid-port-{port}")
        return name.detach()


def tcp_probe(port: int) -> Probe:
    """Ready when something accepts connections on the loopback port."""

    async def probe() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    return probe


def http_probe(port: int, path: str) -> Probe:
    """Ready when a GET on the loopback port answers 200."""

    async def probe() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            status = await asyncio.wait_for(reader.readline(), 5)
            writer.close()
            await writer.wait_closed()
        except (OSError, TimeoutError):
            return False
        return b" 200 " in status

    return probe


def file_probe(path: Path) -> Probe:
    """Ready when a file exists (a process without a port writes one when it is ready)."""

    async def probe() -> bool:
        return path.exists()

    return probe
