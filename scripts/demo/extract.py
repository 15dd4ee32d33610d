"""Extract of a low-voltage grid: folder with grid.json, profiles.csv.gz and extract.json. Reading, without pandas.

`extract_simbench.py` makes such folders from SimBench; any other source that writes the same files will do.

extract.json: name, source, utc_offset_h (all year), step_s, steps_per_day, transformer_kva, days, loads, plants,
storages as in the dataclasses below.
profiles.csv.gz: one row a step, columns `date,step`, then for each load `load:<i>:w` and `load:<i>:var`, for each PV
plant `pv:<i>` and for each storage the PV behind it `storage:<i>`, all integers in W or var, load and PV positive.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

EXTRACT_FORMAT: Final = 1
STEPS_PER_DAY: Final = 96
GRIDS_FOLDER: Final = Path(__file__).parent / "grids"
"""Extracts that come with the product."""


class ExtractError(ValueError):
    """An extract that cannot be used, or a day that it has not; the text says which it has."""


@dataclass(frozen=True, slots=True)
class ExtractDay:
    """A whole day. first_step: its first step in the source's year; start_s: its local midnight [epoch s].

    transformer_kva: rating that is suggested for this day [kVA]; None: the grid's own.
    """

    date: date
    label: str
    first_step: int
    start_s: int
    transformer_kva: float | None = None


@dataclass(frozen=True, slots=True)
class ExtractLoad:
    """A load. index: as in grid.json; profile: name of the source's profile (tells the kind of consumer)."""

    index: int
    name: str
    bus: int
    rated_va: int
    profile: str


@dataclass(frozen=True, slots=True)
class ExtractPlant:
    """A PV plant. index: of grid.json's sgen table; power_w: its rating [W]."""

    index: int
    name: str
    bus: int
    power_w: int


@dataclass(frozen=True, slots=True)
class ExtractStorage:
    """A hybrid plant: PV of `pv_power_w` [W] and a battery behind one connection. Efficiencies per direction."""

    index: int
    name: str
    bus: int
    pv_power_w: int
    power_w: int
    energy_wh: int
    charge_permille: int
    discharge_permille: int


@dataclass(frozen=True, slots=True)
class DayProfiles:
    """Series of a day, W and var: by index of load, PV plant and storage (its PV)."""

    load_w: dict[int, tuple[int, ...]]
    load_var: dict[int, tuple[int, ...]]
    pv_w: dict[int, tuple[int, ...]]
    storage_pv_w: dict[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Extract:
    """A grid and what is connected to it."""

    folder: Path
    name: str
    source: str
    utc_offset_h: int
    step_s: int
    transformer_kva: float
    days: tuple[ExtractDay, ...]
    loads: tuple[ExtractLoad, ...]
    plants: tuple[ExtractPlant, ...]
    storages: tuple[ExtractStorage, ...]

    @property
    def grid_path(self) -> Path:
        """The pandapower JSON."""
        return self.folder / "grid.json"

    def day(self, chosen: date | None = None) -> ExtractDay:
        """The day of that date (default: the first one). Raises ExtractError that names the days there are."""
        if chosen is None:
            return self.days[0]
        for day in self.days:
            if day.date == chosen:
                return day
        there_are = ", ".join(f"{day.date} ({day.label})" for day in self.days)
        raise ExtractError(f"{self.name} has no day {chosen}; it has {there_are}")


def extract_folder(grid: str) -> Path:
    """Folder of an extract, given as the name of one that comes with the product or as a path.

    Raises ExtractError that names the extracts there are.
    """
    for folder in (GRIDS_FOLDER / grid, Path(grid)):
        if (folder / "extract.json").is_file():
            return folder
    there_are = ", ".join(sorted(folder.name for folder in GRIDS_FOLDER.iterdir()))
    raise ExtractError(f"{grid} is neither a folder that extract_simbench made nor one of: {there_are}")


def day_start_s(day: date, utc_offset_h: int) -> int:
    """Local midnight of a day at a fixed offset from UTC [epoch s]."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=utc_offset_h)
    return int(midnight.timestamp())


def read_extract(folder: Path) -> Extract:
    """The extract in a folder. Raises ExtractError."""
    try:
        data = json.loads((folder / "extract.json").read_text(encoding="utf-8"))
        if data["format"] != EXTRACT_FORMAT:
            raise ExtractError(f"format {data['format']} of {folder} is not {EXTRACT_FORMAT}")
        return Extract(
            folder=folder,
            name=data["name"],
            source=data["source"],
            utc_offset_h=int(data["utc_offset_h"]),
            step_s=int(data["step_s"]),
            transformer_kva=float(data["transformer_kva"]),
            days=tuple(_day(item, int(data["utc_offset_h"])) for item in data["days"]),
            loads=tuple(ExtractLoad(**item) for item in data["loads"]),
            plants=tuple(ExtractPlant(**item) for item in data["plants"]),
            storages=tuple(ExtractStorage(**item) for item in data["storages"]),
        )
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ExtractError(f"{folder} holds no extract of a grid: {error!r}") from error


def _day(item: dict[str, Any], utc_offset_h: int) -> ExtractDay:
    chosen = date.fromisoformat(item["date"])
    return ExtractDay(
        date=chosen,
        label=item["label"],
        first_step=int(item["first_step"]),
        start_s=day_start_s(chosen, utc_offset_h),
        transformer_kva=item.get("transformer_kva"),
    )


def read_profiles(extract: Extract, day: ExtractDay) -> DayProfiles:
    """The series of a day of the extract. Raises ExtractError when it is not whole."""
    path = extract.folder / "profiles.csv.gz"
    try:
        text = gzip.decompress(path.read_bytes()).decode("ascii")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ExtractError(f"{path} cannot be read: {error}") from error
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["date"] == day.date.isoformat()]
    rows.sort(key=lambda row: int(row["step"]))
    if [int(row["step"]) for row in rows] != list(range(STEPS_PER_DAY)):
        raise ExtractError(f"{path} has not the {STEPS_PER_DAY} steps of {day.date}")

    def series(column: str) -> tuple[int, ...]:
        try:
            return tuple(int(row[column]) for row in rows)
        except (KeyError, ValueError) as error:
            raise ExtractError(f"{path}: column {column} is missing or no integers") from error

    return DayProfiles(
        load_w={load.index: series(f"load:{load.index}:w") for load in extract.loads},
        load_var={load.index: series(f"load:{load.index}:var") for load in extract.loads},
        pv_w={plant.index: series(f"pv:{plant.index}") for plant in extract.plants},
        storage_pv_w={storage.index: series(f"storage:{storage.index}") for storage in extract.storages},
    )
