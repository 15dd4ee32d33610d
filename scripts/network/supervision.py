"""The supervisor of a network: one process that starts its validators, starts again who falls, and stops them all.

While it runs it holds a lock on a file with its process id, so that nobody mistakes another process for it. Where it is
killed, the kernel ends the validators with it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import structlog

from scripts.network.build import ROOT, Programs
from scripts.network.layout import Layout, NetworkError
from scripts.network.validators import START_WITHIN_S, Validator, Validators

log = structlog.get_logger(__name__)

RESTART_AFTER_S: Final = 3.0
"""A validator that has ended is started again after so long."""
_STOP_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.5
_TERM_AND_INT: Final = (signal.SIGTERM, signal.SIGINT)


def supervise(layout: Layout, programs: Programs) -> None:
    """Run the validators until SIGTERM or SIGINT.

    Raises:
        NetworkError: another supervisor runs, or the validators do not come up.
    """
    for number in _TERM_AND_INT:
        signal.signal(number, _end)
    with _locked(layout), Validators(layout, programs.node) as validators:
        _come_up(validators)
        layout.ready.touch()
        try:
            _watch(validators)
        finally:
            layout.ready.unlink(missing_ok=True)


def _end(*_: object) -> None:
    for number in _TERM_AND_INT:
        signal.signal(number, signal.SIG_IGN)  # once is enough: the validators are ended in order
    raise SystemExit(0)


def _come_up(validators: Validators) -> None:
    """Start all; one that ends is tried again: an earlier supervisor's may still be on their way out."""
    validators.start()
    fallen: dict[str, float] = {}
    deadline = time.monotonic() + START_WITHIN_S
    while waiting := [validator for validator in validators if not validator.is_healthy()]:
        for validator in waiting:
            _keep_up(validator, fallen)
        if time.monotonic() > deadline:
            logs = ", ".join(str(validator.log) for validator in waiting)
            raise NetworkError(f"not in good health after {START_WITHIN_S:.0f} s: {logs}")
        time.sleep(_LOOK_EVERY_S)


def _watch(validators: Validators) -> None:
    fallen: dict[str, float] = {}
    while True:
        time.sleep(_LOOK_EVERY_S)
        validators.refresh()
        for validator in validators:
            _keep_up(validator, fallen)


def _keep_up(validator: Validator, fallen: dict[str, float]) -> None:
    name = validator.member.name
    if validator.pid is not None:
        fallen.pop(name, None)
    elif name not in fallen:
        log.warning("a validator has ended", validator=name, output=str(validator.log))
        fallen[name] = time.monotonic()
    elif time.monotonic() - fallen[name] >= RESTART_AFTER_S:
        validator.start()
        log.info("a validator is started again", validator=name, pid=validator.pid)


def start_supervised(layout: Layout, programs: Programs) -> None:
    """Start a supervisor that goes on when this process has ended, and wait until its validators are in good health.

    Raises:
        NetworkError: they do not come up; the text ends with the supervisor's last lines.
    """
    programs.require()
    if supervisor_pid(layout) is None:
        layout.ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "scripts.network", "supervise", "--folder", str(layout.folder.absolute())]
        with layout.supervisor_log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _await_ready(layout, process)
    else:
        _await_ready(layout, None)


def _await_ready(layout: Layout, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + START_WITHIN_S + _STOP_WITHIN_S
    while not layout.ready.exists():
        ended = supervisor_pid(layout) is None if process is None else process.poll() is not None
        if ended or time.monotonic() > deadline:
            end = "\n".join(layout.supervisor_log.read_text(encoding="utf-8").splitlines()[-15:])
            raise NetworkError(f"the network did not come up; {layout.supervisor_log} ends:\n{end}")
        time.sleep(0.1)


def stop_supervised(layout: Layout) -> bool:
    """End supervisor and validators, and wait until they are gone; False where none runs.

    Raises:
        NetworkError: the supervisor is still there after a minute.
    """
    pid = supervisor_pid(layout)
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_WITHIN_S
    while supervisor_pid(layout) is not None:
        if time.monotonic() > deadline:
            raise NetworkError(f"the supervisor (process {pid}) is still there after {_STOP_WITHIN_S:.0f} s")
        time.sleep(0.1)
    return True


def supervisor_pid(layout: Layout) -> int | None:
    """Process id of the supervisor that runs now."""
    try:
        file = layout.supervisor.open("r+", encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        if _lock(file):
            return None
        text = file.read().strip()
    return int(text) if text else None


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    with _open(layout.supervisor) as file:
        if not _lock(file):
            raise NetworkError(f"the network in {layout.folder} is running already")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _open(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
