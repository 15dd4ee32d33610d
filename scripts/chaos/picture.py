"""A run as a picture: how long each part was away after each kind of fault, median and longest, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

MEDIAN: Final = "#12324f"
LONGEST: Final = "#b5651d"
SHORTEST_S: Final = 0.1
"""Whoever nobody has missed was back within this; a logarithmic axis has no 0."""


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Write the PNG of what chaos.json holds."""
    figure = figure_of(document)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def figure_of(document: Mapping[str, Any]) -> Figure:
    """The drawing itself: a line for each kind of fault, those that take longest at the top."""
    recovered: Mapping[str, Mapping[str, float]] = document["seconds_to_recover"]
    kinds = sorted(recovered, key=lambda kind: (recovered[kind]["median"], recovered[kind]["max"]))
    medians = [max(recovered[kind]["median"], SHORTEST_S) for kind in kinds]
    longest = [max(recovered[kind]["max"], SHORTEST_S) for kind in kinds]
    figure, axes = pyplot.subplots(figsize=(10, 1.8 + 0.27 * len(kinds)), layout="constrained")
    places = range(len(kinds))
    axes.hlines(places, medians, longest, color=MEDIAN, linewidth=1, alpha=0.4)
    axes.plot(longest, places, "|", color=LONGEST, markersize=10, markeredgewidth=2, label="longest")
    axes.plot(medians, places, "o", color=MEDIAN, markersize=5, label="median")
    axes.set_yticks(places, [f"{kind} ({recovered[kind]['n']:,})" for kind in kinds])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(_seconds))
    axes.set_xlabel("seconds until it works again, other faults going on meanwhile")
    axes.grid(axis="x", which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    axes.set_title(
        f"{document['kills_in_all']:,} kills in {document['minutes_of_faults']:g} minutes of faults: "
        f"{document['lost']} lost, {document['doubled']} doubled, {document['unaccounted']} unaccounted for",
        fontsize=12,
    )
    return figure


def _seconds(value: float, _: int | None) -> str:
    return f"≤ {value:g}" if value <= SHORTEST_S else f"{value:g}"
