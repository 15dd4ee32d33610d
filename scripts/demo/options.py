"""What a user of the demonstration chooses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

GRIDS_FOLDER = Path(__file__).parent / "grids"
DEFAULT_GRID = "1-LV-rural1--2-sw"


@dataclass(frozen=True)
class DemoOptions:
    """One day to play.

    grid: folder of an exported grid; day: local date, None for the grid's first; households: None for one per load;
    transformer_kva: rating instead of the grid's own; speed: simulated seconds per second, None as fast as possible;
    willing_percent: share of the owners whose gateways bid; faults: whether a gateway loses its uplink for a while and
    a device is stubborn; first_hour, last_hour: the part of the local day that is played [h].
    """

    grid: Path
    day: date | None
    seed: int
    households: int | None
    transformer_kva: float | None
    speed: float | None
    keep: bool
    resume: bool
    once: bool
    data_folder: Path | None
    agents: int = 4
    willing_percent: int = 100
    faults: bool = True
    first_hour: int = 0
    last_hour: int = 24


def grid_folder(name: str) -> Path:
    """The folder of a grid: a path, or the name of one that is installed.

    Raises:
        FileNotFoundError: there is neither.
    """
    for candidate in (Path(name), GRIDS_FOLDER / name):
        if (candidate / "grid.json").exists():
            return candidate
    installed = ", ".join(sorted(path.parent.name for path in GRIDS_FOLDER.glob("*/grid.json")))
    raise FileNotFoundError(f"no grid at {name}; installed are: {installed}; others are made by extract_simbench.py")
