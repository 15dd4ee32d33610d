"""`python -m scripts.invariants`: a long campaign; with --write its figures go to docs/benchmarks/invariants.json."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from scripts.bench.figures import FOLDER, machine
from scripts.invariants.campaign import BrokenInvariantError, Campaign, play

console = Console()


def main(
    runs: Annotated[int, typer.Option(help="Runs in each of the two markets, each on fresh contracts.")] = 2000,
    depth: Annotated[int, typer.Option(help="Turns in a run.")] = 250,
    seed: Annotated[int, typer.Option(help="Forge's seed.")] = 20261121,
    write: Annotated[bool, typer.Option(help="Write docs/benchmarks/invariants.json.")] = False,
) -> None:
    """Play random sequences of all calls; exit 1 with the shortest sequence when an invariant breaks."""
    try:
        with console.status("forge plays"):
            campaign = play(seed, runs, depth, name="long")
    except BrokenInvariantError as broken:
        console.print(str(broken), markup=False, highlight=False)
        raise typer.Exit(1) from broken
    report = figures(campaign)
    console.print_json(json.dumps(report))
    if write:
        (FOLDER / "invariants.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if campaign.coverage.gaps:
        console.print(f"never reached: {', '.join(campaign.coverage.gaps)}", style="red")
        raise typer.Exit(1)


def figures(campaign: Campaign) -> dict[str, object]:
    """The committed figures of a campaign: durations in s, the rest counts."""
    coverage = campaign.coverage
    options = f"--runs {campaign.runs // 2} --depth {campaign.depth} --seed {campaign.seed}"
    return {
        "how": f"python -m scripts.invariants {options}",
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "seed": campaign.seed,
        "runs": campaign.runs,
        "turns": campaign.calls,
        "turns_that_broke_a_rule": campaign.reverts,
        "duration_s": round(campaign.duration_s, 1),
        "contract_calls": coverage.contract_calls,
        "contract_calls_accepted": coverage.accepted.total(),
        "contract_calls_spoilt_on_purpose": coverage.spoilt.total(),
        "calls": {
            name: {"made": made, "accepted": coverage.accepted[name], "spoilt": coverage.spoilt[name]}
            for name, made in sorted(coverage.tried.items())
        },
        "reached": dict(sorted(coverage.reached.items())),
        "refusals": dict(sorted(coverage.errors.items())),
    }


if __name__ == "__main__":
    typer.run(main)
