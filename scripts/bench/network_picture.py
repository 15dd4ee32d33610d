"""The network's figures as a picture: seconds to final and bids per second, with five validators and with one down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SUFFIXES: Final = {"five validators": "", "one of them down": "_with_one_down"}
FIVE: Final = "#12324f"
ONE_DOWN: Final = "#b5651d"
SECONDS: Final = {"median": "seconds_to_final_median", "99 of 100 within": "seconds_to_final_p99"}
BIDS: Final = {"1,600 bids in batches of 200": "bids_per_second_to_final"}


def draw(values: Mapping[str, float], path: Path) -> None:
    """Write the PNG. values: of network.json, by figure."""
    figure = figure_of(values)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def figure_of(values: Mapping[str, float]) -> Figure:
    """The drawing itself."""
    figure, (seconds, bids) = pyplot.subplots(1, 2, figsize=(10, 3.6), width_ratios=(2, 1), layout="constrained")
    _draw_panel(seconds, SECONDS, values, "From the sender's call to the final receipt", "seconds")
    _draw_panel(bids, BIDS, values, "All sent at once, until all are final", "bids per second")
    seconds.legend(loc="upper left", frameon=False)
    return figure


def _draw_panel(axes: Axes, figures: Mapping[str, str], values: Mapping[str, float], title: str, unit: str) -> None:
    for place, (label, colour) in enumerate(zip(SUFFIXES, (FIVE, ONE_DOWN), strict=True)):
        heights: Sequence[float] = [values[figure + SUFFIXES[label]] for figure in figures.values()]
        along = [number + 0.36 * place for number in range(len(figures))]
        bars = axes.bar(along, heights, 0.32, color=colour, label=label)
        axes.bar_label(bars, fmt="{:,.3g}", color=colour, fontsize=9)
    axes.set_xticks([number + 0.18 for number in range(len(figures))], list(figures))
    axes.set_title(title, fontsize=11)
    axes.set_ylabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)
