"""What a user of the demonstration chooses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

DEFAULT_GRID = "1-LV-rural1--2-sw"


@dataclass(frozen=True)
class DemoOptions:
    """One day to play.

    grid: folder of an exported grid, or the name of one that is installed; day: local date, None for the grid's first;
    households: None for one per load; transformer_kva: rating instead of the day's own [kVA]; speed: simulated seconds
    per second, None as fast as possible; agents: processes that host the gateways; willing_percent: share of the owners
    whose gateways bid; faults: whether a gateway loses its uplink for a while and a device is stubborn; first_hour,
    last_hour: the part of the day that is played [h].
    """

    data_folder: Path
    grid: str = DEFAULT_GRID
    day: date | None = None
    seed: int = 7
    households: int | None = None
    transformer_kva: float | None = None
    speed: float | None = None
    agents: int = 4
    willing_percent: int = 100
    faults: bool = True
    first_hour: int = 0
    last_hour: int = 24

    def __post_init__(self) -> None:
        if not 0 <= self.first_hour < self.last_hour <= 24:
            raise ValueError(f"hours must be 0 ≤ first < last ≤ 24, not {self.first_hour} and {self.last_hour}")
        if not 0 <= self.willing_percent <= 100:
            raise ValueError(f"the willing share must be 0 … 100 %, not {self.willing_percent}")
        if self.agents < 1:
            raise ValueError(f"at least one agent process is needed, not {self.agents}")
        if self.speed is not None and self.speed <= 0:
            raise ValueError(f"the speed must be positive, not {self.speed}")
