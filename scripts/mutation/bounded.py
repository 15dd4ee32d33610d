"""A command that is given so much time and no more, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_bounded(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a session of its own, which it takes along when it ends or its time is up.

    Brownie's node would otherwise outlive a Brownie that is killed.

    Raises:
        subprocess.TimeoutExpired: it was killed, with all that it had started in its session.
    """
    with subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        try:
            output, _ = process.communicate(timeout=timeout_s)
        finally:
            _end_session(process.pid)
    return subprocess.CompletedProcess(command, process.returncode, output)


def _end_session(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # all have ended by themselves
