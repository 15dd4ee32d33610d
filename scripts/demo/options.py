"""What a user of the demonstration chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

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
        if self.transformer_kva is not None and self.transformer_kva <= 0:
            raise ValueError(f"the transformer's rating must be positive, not {self.transformer_kva} kVA")
        if self.speed is not None and self.speed <= 0:
            raise ValueError(f"the speed must be positive, not {self.speed}")

    def to_json(self) -> dict[str, Any]:
        """What decides the day, for the folder's manifest: all but the folder itself and the speed."""
        document = asdict(self) | {"day": None if self.day is None else self.day.isoformat()}
        return {name: value for name, value in document.items() if name not in {"data_folder", "speed"}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], data_folder: Path, speed: float | None = None) -> DemoOptions:
        """The options of a manifest. Raises ValueError, TypeError."""
        day = document["day"]
        chosen = {**document, "day": None if day is None else date.fromisoformat(day)}
        return cls(data_folder, speed=speed, **chosen)
