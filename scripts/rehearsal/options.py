"""What a rehearsal plays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scripts.demo.options import DEFAULT_GRID


@dataclass(frozen=True)
class RehearsalOptions:
    """A part of a real day, each quarter of an hour of which takes one short market time unit.

    folder: for everything of it; unit_s: the market time unit [s]; first_hour, last_hour: the part of the day, which is
    played again and again until there are as many `intervals`; households: nanogrids, None for one for each load;
    agents: processes that host the gateways; willing_percent: share of the owners whose gateways bid; production:
    PostgreSQL and Mosquitto instead of the embedded defaults.
    """

    folder: Path
    intervals: int = 3
    unit_s: int = 60
    grid: str = DEFAULT_GRID
    seed: int = 7
    first_hour: int = 12
    last_hour: int = 15
    households: int | None = None
    agents: int = 2
    willing_percent: int = 100
    production: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.first_hour < self.last_hour <= 24:
            raise ValueError(f"hours must be 0 ≤ first < last ≤ 24, not {self.first_hour} and {self.last_hour}")
        if self.intervals < 1:
            raise ValueError(f"at least one interval is played, not {self.intervals}")
        if self.unit_s < 30:
            raise ValueError(f"a step of an auction takes some blocks: unit_s is at least 30, not {self.unit_s}")
        if self.agents < 1:
            raise ValueError(f"at least one agent process is needed, not {self.agents}")
