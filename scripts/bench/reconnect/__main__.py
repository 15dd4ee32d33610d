"""`python -m scripts.bench.reconnect` writes docs/benchmarks/reconnect.json."""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Final

from scripts.bench.figures import Row, write_rows
from scripts.bench.reconnect.storm import Outcome, Return, play

GATEWAYS: Final = 1_000
ABSENCES: Final = {
    "after_a_restart": (0.0, signal.SIGTERM),
    "after_a_kill": (0.0, signal.SIGKILL),
    "after_30_s": (30.0, signal.SIGKILL),
}
"""How long the broker is away [s], and by which signal it goes."""


def main() -> None:
    """Measure once. Fails when a reading is lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=GATEWAYS)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/reconnect.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meritgrid-reconnect-") as folder:
        outcome = asyncio.run(play(Path(folder), options.gateways, tuple(ABSENCES.values())))
    rows = rows_of(outcome)
    for row in rows:
        print(f"{row.figure:50} {row.value:>10} {row.unit}")  # noqa: T201 - what the command is for
    if outcome.lost or outcome.doubled:
        raise SystemExit(f"{outcome.lost} readings lost, {outcome.doubled} doubled")
    if options.write:
        write_rows("reconnect.json", rows)


def rows_of(outcome: Outcome) -> list[Row]:
    """The figures of a run."""
    n = outcome.gateways
    how = (
        f"python -m scripts.bench.reconnect: {n} gateways in four processes, a certificate each, each "
        "with a reading of the time away; Mosquitto, the oracle's line and ingest, SQLite, all on one machine; one run"
    )
    rows = [
        Row(f"{figure}_{name}", n, value, unit, how)
        for name, back in zip(ABSENCES, outcome.returns, strict=True)
        for figure, (value, unit) in _figures(back).items()
    ]
    totals = {
        "readings_stored": outcome.readings,
        "readings_waiting_at_the_end": outcome.waiting,
        "readings_lost": outcome.lost,
        "readings_doubled": outcome.doubled,
    }
    return rows + [Row(figure, n, value, "readings", how) for figure, value in totals.items()]


def _figures(back: Return) -> dict[str, tuple[float, str]]:
    return {
        "seconds_to_be_back_median": (round(back.median_s, 2), "s"),
        "seconds_to_be_back_p99": (round(back.p99_s, 2), "s"),
        "seconds_until_all_are_back": (round(back.back_s[-1], 2), "s"),
        "gateways_back_in_the_busiest_second": (back.busiest_second, "gateways"),
        "connections_taken": (back.connections, "connections"),
        "seconds_until_all_readings_are_stored": (round(back.stored_s, 2), "s"),
    }


if __name__ == "__main__":
    main()
