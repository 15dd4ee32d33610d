"""What runs in a process of its own: a module of the product, and a death (SIGKILL) when it passes a checkpoint."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path

from market import checkpoints


@dataclass(frozen=True)
class Kill:
    """Where a process dies: the nth time that it passes a point about something."""

    point: StrEnum
    nth: int = 1
    about: str = ""

    def __str__(self) -> str:
        about = [self.about] if self.about else []
        return "-".join([self.name, *about, *([str(self.nth)] if self.nth > 1 else [])])

    @property
    def name(self) -> str:
        return f"{type(self.point).__name__}.{self.point.name}"


def die_at(kill: Kill, reached: Path) -> None:
    """Have this process die there, after it has written the point's name into a file."""
    one_at_a_time = threading.Lock()
    passings = 0

    def follow(point: StrEnum, about: str) -> None:
        nonlocal passings
        with one_at_a_time:
            if point is not kill.point or kill.about not in about:
                return
            passings += 1
            if passings == kill.nth:
                reached.write_text(kill.name)
                os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.follow(follow)


def run(
    command: Sequence[str],
    folder: Path,
    log: Path,
    environment: Mapping[str, str],
    constants: Mapping[str, int],
    kill: Kill | None,
    reached: Path,
) -> None:
    """Run a module as a program (`command`: its name and arguments).

    constants: module:NAME → value, for sizes that would need thousands of rows to be reached.
    """
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(environment)
    os.chdir(folder)
    for place, value in constants.items():
        module, _, name = place.partition(":")
        setattr(import_module(module), name, value)
    if kill is not None:
        die_at(kill, reached)
    sys.argv = list(command)
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
