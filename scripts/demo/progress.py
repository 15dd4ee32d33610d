"""How far a demonstration is, for whoever watches it: bars on a terminal, lines where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress


@dataclass(frozen=True, slots=True)
class Step:
    """Where a demonstration is. done of total: steps of the set-up, or simulated seconds of the day.

    detail: how far the step itself is; at: the simulated local time, once that runs.
    """

    name: str
    done: int
    total: int
    detail: str = ""
    at: datetime | None = None

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total


Progress = Callable[[Step], None]


class Bars:
    """One bar for the set-up and one for the day, with its time; on a terminal."""

    def __init__(self, console: Console) -> None:
        self._bars = RichProgress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            console=console,
        )  # fmt: skip
        self._set_up = self._bars.add_task("setting up", total=None)
        self._day: TaskID | None = None

    def __call__(self, step: Step) -> None:
        if step.at is None:
            text = f"setting up: {step.name} {step.detail}".rstrip()
            self._bars.update(self._set_up, description=text, completed=step.done, total=step.total)
            return
        if self._day is None:
            self._bars.update(self._set_up, description="set up", completed=1, total=1)
            self._day = self._bars.add_task(step.name)
        text = f"{step.name}: {step.at:%a %d %b %H:%M}"
        self._bars.update(self._day, description=text, completed=step.done, total=step.total)

    def stop(self) -> None:
        self._bars.stop()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Lines:
    """A line for each step of the set-up and for each simulated hour; in a log, or through a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[str, int | None] | None = None

    def __call__(self, step: Step) -> None:
        kind = (step.name, None if step.at is None else step.at.hour)
        if kind == self._last:
            return
        self._last = kind
        text = f"setting up, {step.done + 1} of {step.total}: {step.name}"
        if step.at is not None:
            text = f"{step.name}: {step.at:%a %d %b %H:%M}, {step.percent} %"
        self._console.print(text, soft_wrap=True, highlight=False)

    def stop(self) -> None:
        """Nothing is left to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def shown_on(console: Console) -> Bars | Lines:
    """Bars where somebody watches, lines where it is written down."""
    return Bars(console) if console.is_terminal else Lines(console)
