"""Measurements for docs/benchmarks: `python -m scripts.bench` plays the default day, writes figures and picture."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from scripts.bench.figures import ROOT, write
from scripts.demo.options import DemoOptions
from scripts.demo.progress import Step
from scripts.demo.run import DayResult, run_demo

ALLOWED_S = 180
"""What set-up and day may take each, on two cores [s]."""
PICTURE = ROOT / "docs" / "pictures" / "day.png"


def main() -> None:
    """Play the default day once."""
    with tempfile.TemporaryDirectory(prefix="meritgrid-bench-") as folder:
        result = asyncio.run(run_demo(DemoOptions(Path(folder)), _quiet))
        if not result.holds:
            raise SystemExit(f"the day's checks do not hold: {result.findings}")
        if max(result.set_up_s, result.day_s) > ALLOWED_S:
            raise SystemExit(f"set-up {result.set_up_s:.0f} s, day {result.day_s:.0f} s: each may take {ALLOWED_S} s")
        shutil.copy(Path(folder) / "report" / "day.png", PICTURE)
    report = result.report
    how = f"python -m scripts.bench: {report.grid}, {report.day}, seed {report.seed}, one run, packages installed"
    write("demo.json", report.nanogrids, how, figures(result))


def figures(result: DayResult) -> dict[str, tuple[float, str]]:
    """The day's figures, each with its unit."""
    report = result.report
    before, after = report.without_market, report.with_market
    outcomes = {f"awards_{name.lower()}": (count, "awards") for name, count in report.awards_by_outcome.items()}
    phases = {f"intervals_{name.lower()}": (count, "intervals") for name, count in report.intervals_by_phase.items()}
    return {
        "set_up_s": (round(result.set_up_s, 1), "s"),
        "day_s": (round(result.day_s, 1), "s"),
        **phases,
        "intervals_red_by_measurement": (report.intervals_actually_red, "intervals"),
        "requests": (report.requests, "requests"),
        "offers": (report.offers, "offers"),
        "bids": (report.bids, "bids"),
        **outcomes,
        "awards_partial": (report.partial_awards, "awards"),
        "awards_rejected": (report.awards_rejected, "awards"),
        "red_commands": (report.commands, "commands"),
        "energy_asked": (report.energy_asked_wh, "Wh"),
        "energy_awarded": (report.energy_awarded_wh, "Wh"),
        "energy_delivered": (report.energy_delivered_wh, "Wh"),
        "escrowed": (report.escrowed_ueur, "micro-euro"),
        "paid": (report.paid_ueur, "micro-euro"),
        "refunded": (report.refunded_ueur, "micro-euro"),
        "margin": (report.margin_ueur, "micro-euro"),
        "penalties": (report.penalties_ueur, "micro-euro"),
        "overload_without_market": (before.overload_kwh, "kWh"),
        "overload_with_market": (after.overload_kwh, "kWh"),
        "overloaded_intervals_without_market": (before.overloaded_intervals, "intervals"),
        "overloaded_intervals_with_market": (after.overloaded_intervals, "intervals"),
        "highest_loading_without_market": (before.highest_loading_percent, "%"),
        "highest_loading_with_market": (after.highest_loading_percent, "%"),
        "worst_voltage_without_market": (before.worst_voltage_pu, "p.u."),
        "worst_voltage_with_market": (after.worst_voltage_pu, "p.u."),
    }


def _quiet(_step: Step) -> None:
    return


if __name__ == "__main__":
    main()
