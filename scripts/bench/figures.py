"""Files of figures: a JSON list of {"figure", "n", "value", "unit", "machine", "date", "how"}."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "docs" / "benchmarks"


def machine() -> str:
    """What the measurement had: the cores that it may use, not those that there are."""
    return f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.machine()}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. n: size of what was measured; how: command, and what the figure means where its name does not say."""

    figure: str
    n: int
    value: float
    unit: str
    how: str


def write(name: str, n: int, how: str, values: Mapping[str, tuple[float, str]]) -> None:
    """Write a file of figures, all of one measurement. values: figure → value and unit."""
    write_rows(name, (Row(figure, n, value, unit, how) for figure, (value, unit) in values.items()))


def write_rows(name: str, rows: Iterable[Row]) -> None:
    """Write a file of figures of several sizes or measurements, all of today and this machine."""
    _write(name, _documents(rows))


def replace_rows(name: str, rows: Iterable[Row]) -> None:
    """Write figures into a file in place of those of their names; all others stay, and say their own day."""
    path, documents = FOLDER / name, _documents(rows)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    replaced = {each["figure"] for each in documents}
    _write(name, [each for each in kept if each["figure"] not in replaced] + documents)


def _documents(rows: Iterable[Row]) -> list[dict[str, Any]]:
    where = {"machine": machine(), "date": datetime.now(UTC).date().isoformat()}
    documents = []
    for row in rows:
        fields = asdict(row)
        how = fields.pop("how")
        documents.append(fields | where | {"how": how})
    return documents


def _write(name: str, documents: list[dict[str, Any]]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).write_text(json.dumps(documents, indent=1) + "\n")
