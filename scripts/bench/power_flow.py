"""How long a power flow of each grid of the repository takes: `python -m scripts.bench.power_flow`.

Every bus feeds 4 kW in, or draws 3 kW, in turn; the network is built once, as a desk does it.
"""

from __future__ import annotations

import statistics
import time
from typing import Final

from market.grid.network import load_network
from market.grid.powerflow import Injection, PowerFlow
from scripts.bench.figures import ROOT, Row, write_rows

SOLVES: Final = 500
GRIDS: Final = ROOT / "scripts" / "demo" / "grids"
INJECTIONS: Final = (Injection(-4_000, 500), Injection(3_000, 800))
HOW: Final = "python -m scripts.bench.power_flow: one process, median and 99th percentile"


def milliseconds(grid: str) -> list[float]:
    """Of each solve of a grid.

    Raises:
        SystemExit: it has no solution.
    """
    network = load_network(GRIDS / grid / "grid.json")
    power_flow = PowerFlow(network)
    taken = []
    for number in range(SOLVES):
        injections = {bus: INJECTIONS[number % len(INJECTIONS)] for bus in network.buses}
        started = time.perf_counter()
        state = power_flow.solve(injections)
        taken.append((time.perf_counter() - started) * 1000)
        if not state.converged:
            raise SystemExit(f"{grid} has no solution at {INJECTIONS[number % len(INJECTIONS)]} a bus")
    return taken


def main() -> None:
    """Measure, and write docs/benchmarks/power_flow.json."""
    rows = []
    for grid in sorted(folder.name for folder in GRIDS.iterdir() if folder.is_dir()):
        taken = milliseconds(grid)
        figures = {
            "power_flow_median": statistics.median(taken),
            "power_flow_p99": statistics.quantiles(taken, n=100)[98],
        }
        rows += [Row(f"{name}:{grid}", SOLVES, round(value, 2), "ms", HOW) for name, value in figures.items()]
    write_rows("power_flow.json", rows)


if __name__ == "__main__":
    main()
