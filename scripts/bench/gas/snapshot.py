"""The gas snapshot in the repository, and how a measurement is compared with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.bench.figures import ROOT

SNAPSHOT: Final = ROOT / "tests" / "gas" / "snapshot.json"
COMMAND: Final = "python -m scripts.bench.gas --snapshot"
ALLOWED: Final = 0.02
"""Share by which a figure may worsen without the snapshot being written anew."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A measurement beside the snapshot, one line of text for each figure that differs.

    worse: more than ALLOWED above it, or on one side only; better: more than ALLOWED below it.
    """

    worse: tuple[str, ...]
    better: tuple[str, ...]


def compare(snapshot: Mapping[str, float], measured: Mapping[str, float]) -> Comparison:
    """What has changed."""
    worse = [f"{name}: not measured any more" for name in snapshot if name not in measured]
    worse += [f"{name}: not in the snapshot" for name in measured if name not in snapshot]
    better = []
    for name in snapshot.keys() & measured.keys():
        before, now = snapshot[name], measured[name]
        line = f"{name}: {before:,.0f} → {now:,.0f} gas ({(now - before) / before:+.1%})"
        if now > before * (1 + ALLOWED):
            worse.append(line)
        elif now < before * (1 - ALLOWED):
            better.append(line)
    return Comparison(tuple(sorted(worse)), tuple(sorted(better)))


def read_snapshot(path: Path = SNAPSHOT) -> dict[str, float]:
    """Figure and size → gas."""
    read: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return read


def write_snapshot(figures: Mapping[str, float], path: Path = SNAPSHOT) -> None:
    """Writes the file, figures in the order of their names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(figures.items())), indent=1) + "\n", encoding="utf-8")
