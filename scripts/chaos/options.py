"""What a run of the fault test bed does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.chaos.schedule import Group, Kind
from scripts.rehearsal.stage import VALIDATORS

GATEWAYS_DISK: Final = "gateways' disk"
DATABASE_DISK: Final = "database's disk"
LINKS: Final = ("gateways' broker", "oracle's broker", "database link", "chain link")
VALIDATOR_OF: Final = {f"validator {name}": name for name in VALIDATORS}
"""Target -> the validator; the aggregator's is another target than its desk."""
SHORT_S: Final = {
    Kind.KILL: (0.0, 2.0),
    Kind.FREEZE: (15.0, 25.0),
    Kind.CUT: (3.0, 10.0),
    Kind.STALL: (10.0, 20.0),
    Kind.SLOW: (5.0, 15.0),
    Kind.DISK_FULL: (8.0, 12.0),
    Kind.CLOCK: (10.0, 20.0),
    Kind.REPLAY: (0.0, 0.0),
    Kind.QUEUE_LOST: (0.0, 2.0),
    Kind.TWO_DOWN: (15.0, 20.0),
}
"""How long each kind of fault lasts in a short run [s]."""
LONG_S: Final = SHORT_S | {
    Kind.FREEZE: (15.0, 75.0),
    Kind.CUT: (3.0, 60.0),
    Kind.STALL: (10.0, 75.0),
    Kind.TWO_DOWN: (20.0, 60.0),
}
"""The same in a long one: longer than every time-out of the product."""


@dataclass(frozen=True)
class ChaosOptions:
    """One run. minutes: of faults; density: faults' frequency against the normal one; seed: of faults and load."""

    folder: Path
    minutes: float
    seed: int = 1
    density: float = 1.0
    unit_s: int = 60
    agents: int = 3

    @property
    def command(self) -> str:
        """With which this run is played again."""
        return (
            f"python -m scripts.chaos --minutes {self.minutes:g} --seed {self.seed} --agents {self.agents} "
            f"--density {self.density:g}"
        )

    @property
    def intervals(self) -> int:
        """As many as begin while there are faults, and one after them."""
        return int(self.minutes * 60 // self.unit_s) + 2

    @property
    def is_long(self) -> bool:
        return self.minutes >= 20

    @property
    def agent_names(self) -> tuple[str, ...]:
        return tuple(f"agent-{number + 1}" for number in range(self.agents))


def groups_of(options: ChaosOptions) -> list[Group]:
    """Who is disturbed how, and how often: within a group one at a time."""

    def group(targets: tuple[str, ...], gap_s: float, **weights: float) -> Group:
        return Group(targets, {Kind[name.upper()]: weight for name, weight in weights.items()}, gap_s / options.density)

    return [
        group(("market",), 60, kill=8, freeze=1),
        group(("oracle",), 45, kill=8, freeze=1),
        group(("broker",), 45, kill=4, queue_lost=4, freeze=1),
        group(("database",), 60, kill=6, freeze=1),
        group(("guard",), 30, kill=1),
        group(("dso",), 180, kill=8, freeze=1),
        group(("aggregator",), 90, kill=8, freeze=1),
        *(group((agent,), 10, kill=10, freeze=1, clock=2) for agent in options.agent_names),
        group(tuple(VALIDATOR_OF), 8, kill=16, freeze=1, two_down=0.5),
        group(LINKS, 45, cut=2, stall=1, slow=1),
        group((GATEWAYS_DISK,), 240, disk_full=1),
        group((DATABASE_DISK,), 300, disk_full=1),
        group(("gateways' messages",), 60, replay=1),
    ]
