"""Files of figures: a JSON list of {"figure", "n", "value", "unit", "machine", "date", "how"}."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "docs" / "benchmarks"


def machine() -> str:
    """What the measurement had: the cores that it may use, not those that there are."""
    return f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.machine()}"


def write(name: str, n: int, how: str, values: Mapping[str, tuple[float, str]]) -> None:
    """Write a file of figures, all of one measurement. values: figure → value and unit."""
    common = {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), "how": how}
    rows = [
        {"figure": figure, "n": n, "value": value, "unit": unit} | common for figure, (value, unit) in values.items()
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).write_text(json.dumps(rows, indent=1) + "\n")
