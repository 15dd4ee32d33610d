"""The validators' processes: started, asked for their health, ended, killed. A node and its virtual machine are one
process group."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from market.processes import ending_with_parent
from scripts.network.layout import Layout, Member, NetworkError

START_WITHIN_S: Final = 90.0
_STOP_WITHIN_S: Final = 20.0
_HEALTH_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.2


class Validator:
    """One validator's node."""

    def __init__(self, layout: Layout, member: Member, node: Path) -> None:
        """`node`: the program."""
        self.member = member
        self._layout = layout
        self._node = node
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the node, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log(self) -> Path:
        return self._layout.validator(self.member.name) / "output.log"

    def start(self) -> None:
        """Start the node; it answers some seconds later (`await_health`)."""
        if self.pid is not None:
            return
        command = [str(self._node), "--config-file", str(self._layout.node_config(self.member.name))]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                ending_with_parent(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_healthy(self) -> bool:
        """Whether the node says that all its chains are up and its peers are reached."""
        address = urlsplit(self.member.uri)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=_HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/ext/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """End node and virtual machine as a crash would."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP node and virtual machine: they are there and do nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # Only while its number is surely its own: after its end it may be another group's.
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def ask_to_stop(self) -> None:
        """SIGTERM; the node ends its virtual machine."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """End the node in order; killed where it takes too long."""
        self.ask_to_stop()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_WITHIN_S)
        self.kill()


class Validators:
    """All validators of a network, as children of this process."""

    def __init__(self, layout: Layout, node: Path) -> None:
        self._layout = layout
        self._node = node
        self._by_name: dict[str, Validator] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in whom the launcher has added, and end whom it has removed."""
        members = {member.name: member for member in self._layout.members()}
        for name in self._by_name.keys() - members.keys():
            self._by_name.pop(name).stop()
        for name, member in members.items():
            if name not in self._by_name:
                self._by_name[name] = Validator(self._layout, member, self._node)

    def __getitem__(self, name: str) -> Validator:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Validator]:
        return iter(self._by_name.values())

    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def start(self) -> None:
        for validator in self._by_name.values():
            validator.start()

    def stop(self) -> None:
        """End all, side by side."""
        for validator in self._by_name.values():
            validator.ask_to_stop()
        for validator in self._by_name.values():
            validator.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def await_health(validators: Sequence[Validator], within_s: float = START_WITHIN_S) -> None:
    """Wait until all of them are in good health.

    Raises:
        NetworkError: one has ended, or is not in good health in time.
    """
    deadline = time.monotonic() + within_s
    waiting = list(validators)
    while True:
        waiting = [each for each in waiting if not each.is_healthy()]
        if not waiting:
            return
        for each in waiting:
            if each.pid is None:
                raise NetworkError(f"validator {each.member.name} has ended; {each.log} ends:\n{_tail(each.log)}")
        if time.monotonic() > deadline:
            names = ", ".join(each.member.name for each in waiting)
            raise NetworkError(f"not in good health after {within_s:.0f} s: {names} ({waiting[0].log})")
        time.sleep(_POLL_S)


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
