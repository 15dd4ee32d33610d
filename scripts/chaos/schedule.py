"""Which fault strikes whom, when, and for how long: drawn with a seed, before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class Kind(StrEnum):
    """A kind of fault."""

    KILL = "kill"
    """SIGKILL, and started again."""
    FREEZE = "freeze"
    """SIGSTOP for a while, longer than the others wait."""
    CUT = "cut"
    """Connections are closed and refused."""
    STALL = "stall"
    """Connections stay, and nothing passes."""
    SLOW = "slow"
    """Everything comes late."""
    DISK_FULL = "disk full"
    CLOCK = "clock"
    """The clock is wrong for a while."""
    REPLAY = "replay"
    """Old messages come again, in another order."""
    QUEUE_LOST = "queue lost"
    """SIGKILL, and what it had kept is gone."""
    TWO_DOWN = "two down"
    """Two validators are killed and stay down for a while."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one target. at_s: after the beginning; lasts_s: until it is mended. [s]"""

    at_s: float
    kind: Kind
    target: str
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Group:
    """Targets of which one at a time is disturbed.

    kinds: weight of each kind; mean_gap_s: between two faults of the group, beside how long they last.
    """

    targets: Sequence[str]
    kinds: Mapping[Kind, float]
    mean_gap_s: float


REST_S: Final = 6.0
"""Between the end of a fault and the next of its group, at least: time to come back. [s]"""


def schedule(
    seed: int, duration_s: float, groups: Iterable[Group], lasting_s: Mapping[Kind, tuple[float, float]]
) -> list[Fault]:
    """The faults of a run in the order of their beginning; all are mended at its end.

    lasting_s: shortest and longest time of each kind [s]. A larger duration begins with the same faults.
    """
    faults: list[Fault] = []
    for group in groups:
        random = Random(f"{seed} {' '.join(group.targets)}")
        at_s = random.expovariate(1 / group.mean_gap_s)
        while at_s < duration_s:
            kind = random.choices(list(group.kinds), list(group.kinds.values()))[0]
            fault = Fault(
                round(at_s, 2), kind, random.choice(group.targets), round(random.uniform(*lasting_s[kind]), 2)
            )
            if fault.at_s + fault.lasts_s < duration_s:
                faults.append(fault)
            at_s += fault.lasts_s + REST_S + random.expovariate(1 / group.mean_gap_s)
    return sorted(faults, key=lambda fault: fault.at_s)
