"""The day as a picture: loading with and without the market, marginal price, phases as coloured bands."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import dates, pyplot

from scripts.demo.report import DayReport

_BANDS: Final = {"YELLOW": "#f2b705", "RED": "#cf3d3d"}
_LOCAL: Final = timezone(timedelta(hours=1))
_STEP: Final = timedelta(minutes=15)
_UEUR_PER_CENT: Final = 10_000


def draw(report: DayReport, path: Path) -> None:
    """Write the PNG."""
    moments = [datetime.fromtimestamp(row["interval"], UTC).astimezone(_LOCAL) for row in report.series]
    edges = [*moments, moments[-1] + _STEP]
    figure, (loading, price) = pyplot.subplots(
        2, 1, figsize=(11, 6.4), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    for axes in (loading, price):
        for start, row in zip(moments, report.series, strict=True):
            if row["phase"] in _BANDS:
                axes.axvspan(start, start + _STEP, color=_BANDS[row["phase"]], alpha=0.28, linewidth=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    without = [row["loading_without_percent"] for row in report.series]
    with_market = [row["loading_with_percent"] for row in report.series]
    loading.stairs(without, edges, color="#9aa9a5", linewidth=1.8, label="without the market")
    loading.stairs(with_market, edges, color="#12324f", linewidth=2.2, label="with the market")
    loading.axhline(100, color="#cf3d3d", linestyle="--", linewidth=1.1)
    loading.set_ylabel(f"transformer loading [% of {report.transformer_kva:g} kVA]")
    loading.set_ylim(bottom=0)
    loading.legend(loc="upper left", frameon=False)
    before, after = report.without_market.overload_kwh, report.with_market.overload_kwh
    loading.set_title(
        f"{report.grid}, {report.day}, seed {report.seed}: "
        f"overload {before:.1f} kWh without the market, {after:.1f} kWh with it"
    )
    price.stairs([_cents(row["marginal_price_ueur_kwh"]) for row in report.series], edges, color="#8a4fbf", linewidth=2)
    price.set_ylabel("marginal price\n[cent/kWh]")
    price.set_ylim(bottom=0)
    price.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=_LOCAL))  # type: ignore[no-untyped-call]
    price.set_xlabel("time of day (UTC+1); bands: YELLOW and RED")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _cents(price_ueur_kwh: int | None) -> float:
    return math.nan if price_ueur_kwh is None else price_ueur_kwh / _UEUR_PER_CENT
