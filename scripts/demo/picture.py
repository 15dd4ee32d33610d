"""The day as a picture: loading with and without the market, marginal price, phases as coloured bands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import dates, pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scripts.demo.report import DayReport

BAND_COLOURS: Final = {"GREEN": "#e3f3e9", "YELLOW": "#fae9b6", "RED": "#f3c9c9"}
"""Of the light by forecast: opaque and pale, so that bands side by side show no seam."""
MEASURED_RED: Final = "#cf3d3d"
STRIP_SHARE: Final = 0.025
"""Height of the strip that marks what was measured RED, of the axes'."""
_LOCAL: Final = timezone(timedelta(hours=1))
_STEP: Final = timedelta(minutes=15)
_UEUR_PER_CENT: Final = 10_000

Rows = Sequence[dict[str, Any]]


def draw(report: DayReport, path: Path) -> None:
    """Write the PNG."""
    figure = figure_of(report)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def figure_of(report: DayReport) -> Figure:
    """The drawing itself: the loading above, the marginal price below."""
    figure, (loading, price) = pyplot.subplots(
        2, 1, figsize=(11, 6.8), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    for axes in (loading, price):
        for start, end, phase in _runs(report.series, "phase"):
            axes.axvspan(start, end, color=BAND_COLOURS[phase], linewidth=0, zorder=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    _draw_loading(loading, report)
    _draw_price(price, report.series)
    figure.legend(handles=[*loading.get_legend_handles_labels()[0], *_bands()], loc="outside lower center", ncols=4)
    return figure


def _draw_loading(axes: Axes, report: DayReport) -> None:
    rows = report.series
    for start, end, phase in _runs(rows, "measured_phase"):
        if phase == "RED":
            axes.axvspan(start, end, ymin=1 - STRIP_SHARE, color=MEASURED_RED, linewidth=0)
    without = [row["loading_without_percent"] for row in rows]
    with_market = [row["loading_with_percent"] for row in rows]
    axes.stairs(without, _edges(rows), baseline=None, color="#87958f", linewidth=1.8, label="without the market")
    axes.stairs(with_market, _edges(rows), baseline=None, color="#12324f", linewidth=2.2, label="with the market")
    axes.axhline(100, color=MEASURED_RED, linestyle="--", linewidth=1.1, label="limit")
    axes.set_ylabel(f"transformer loading [% of {report.transformer_kva:g} kVA]")
    axes.set_ylim(0, 1.1 * max(100.0, *without, *with_market))  # the strip stays above both lines
    before, after = report.without_market.overload_kwh, report.with_market.overload_kwh
    axes.set_title(
        f"{report.grid}, {report.day}, seed {report.seed}: "
        f"overload {before:.1f} kWh without the market, {after:.1f} kWh with it"
    )


def _draw_price(axes: Axes, rows: Rows) -> None:
    prices = [_cents(row["marginal_price_ueur_kwh"]) for row in rows]
    axes.stairs(prices, _edges(rows), baseline=None, color="#8a4fbf", linewidth=2)
    axes.set_ylabel("marginal price\n[cent/kWh]")
    axes.set_ylim(0, 1.2 * max((cents for cents in prices if not math.isnan(cents)), default=1.0))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=_LOCAL))  # type: ignore[no-untyped-call]
    axes.set_xlabel("time of day (UTC+1)")
    axes.set_xlim(_edges(rows)[0], _edges(rows)[-1])


def _bands() -> Iterator[Patch]:
    for phase, colour in BAND_COLOURS.items():
        yield Patch(color=colour, label=f"{phase} by forecast")
    yield Patch(color=MEASURED_RED, label="RED as measured")


def _runs(rows: Rows, column: str) -> Iterator[tuple[Any, Any, str]]:
    """Start, end and phase of intervals in a row that have the same phase; those without one are left out."""
    for phase, same in groupby(rows, key=lambda row: row[column]):
        run = list(same)
        if phase is not None:
            yield _moment(run[0]), _moment(run[-1]) + _STEP, str(phase)


def _edges(rows: Rows) -> list[Any]:
    return [*map(_moment, rows), _moment(rows[-1]) + _STEP]


def _moment(row: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(row["interval"], UTC).astimezone(_LOCAL)


def _cents(price_ueur_kwh: int | None) -> float:
    return math.nan if price_ueur_kwh is None else price_ueur_kwh / _UEUR_PER_CENT
