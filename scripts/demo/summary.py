"""The table at the end of a demonstration."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from scripts.demo.report import DayReport
from scripts.demo.run import DayResult

_UEUR_PER_EUR = 1_000_000


def print_result(console: Console, result: DayResult) -> None:
    """Figures of the day, the grid with and without the market, and what the checker found."""
    report = result.report
    console.print(_figures(report))
    console.print(_grid(report))
    checks = Table(title="Independent checker", show_header=False)
    for name, findings in result.findings.items():
        checks.add_row("[green]holds[/]" if not findings else "[red]FAILS[/]", name)
        for finding in findings[:5]:
            checks.add_row("", f"[red]{finding}[/]")
    console.print(checks)
    console.print(f"Set-up {result.set_up_s:.0f} s, day {result.day_s:.0f} s.")


def _figures(report: DayReport) -> Table:
    table = Table(
        title=f"{report.grid}, {report.day}, seed {report.seed}, {report.transformer_kva:g} kVA", show_header=False
    )
    phases = ", ".join(f"{count} {phase}" for phase, count in report.intervals_by_phase.items())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.awards_by_outcome.items()))
    rows = {
        "intervals by forecast": phases,
        "RED by what was measured": f"{report.intervals_actually_red}",
        "requests, offers, bids": f"{report.requests}, {report.offers}, {report.bids} ({report.bids_skipped} skipped)",
        "awards by outcome": outcomes or "none",
        "partial, rejected by the DSO": f"{report.partial_awards}, {report.awards_rejected}",
        "RED commands": f"{report.commands} ({_kwh(report.commanded_wh)})",
        "energy asked, awarded, delivered": ", ".join(
            map(_kwh, (report.energy_asked_wh, report.energy_awarded_wh, report.energy_delivered_wh))
        ),
        "money escrowed": _eur(report.escrowed_ueur),
        "paid to prosumers": f"{_eur(report.paid_ueur)} (and {_eur(report.command_pay_ueur)} for commands)",
        "the aggregator's margin": _eur(report.margin_ueur),
        "refunded to the DSO": _eur(report.refunded_ueur),
        "penalties": _eur(report.penalties_ueur),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _grid(report: DayReport) -> Table:
    table = Table("the grid", "without the market", "with the market")
    before, after = report.without_market, report.with_market
    table.add_row("overload of the transformer", f"{before.overload_kwh:.2f} kWh", f"{after.overload_kwh:.2f} kWh")
    table.add_row("overloaded intervals", str(before.overloaded_intervals), str(after.overloaded_intervals))
    table.add_row(
        "highest loading", f"{before.highest_loading_percent:.1f} %", f"{after.highest_loading_percent:.1f} %"
    )
    table.add_row("worst voltage", f"{before.worst_voltage_pu:.4f} p.u.", f"{after.worst_voltage_pu:.4f} p.u.")
    return table


def _eur(amount_ueur: int) -> str:
    return f"{amount_ueur / _UEUR_PER_EUR:.6f} EUR"


def _kwh(energy_wh: int) -> str:
    return f"{energy_wh / 1000:.1f} kWh"
