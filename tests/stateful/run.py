"""Plays the market until so many calls are made, and reports what they reached.

python -m tests.stateful.run --calls 1000000 --seed 1 --write
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from market.chain.embedded import start_anvil
from scripts.bench.figures import machine
from scripts.demo.supervisor import free_port
from tests.stateful.machine import MarketMachine
from tests.stateful.player import Player, Tally
from tests.stateful.stage import START, build

REPORT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "stateful.json"
EXAMPLES_PER_ROUND = 5
STEPS_PER_EXAMPLE = 200
DEFAULT_SEED = 20261122


@dataclass(frozen=True)
class Run:
    """What a run was, and what it reached."""

    tally: Tally
    asked: int
    seed: int
    examples: int
    seconds: float

    def report(self) -> dict[str, Any]:
        """For docs/benchmarks: another run with the same seed gives the same, its time apart."""
        tally = self.tally
        kinds = sorted({*tally.accepted, *(call for call, _ in tally.refused)})
        return {
            "how": f"python -m tests.stateful.run --calls {self.asked} --seed {self.seed}",
            "machine": machine(),
            "date": datetime.now(UTC).date().isoformat(),
            "calls": tally.calls,
            "accepted": tally.accepted.total(),
            "refused": tally.refused.total(),
            "seed": self.seed,
            "examples": self.examples,
            "seconds": round(self.seconds),
            "calls_per_second": round(tally.calls / self.seconds),
            "calls_by_kind": {
                kind: {"accepted": tally.accepted[kind], "refused": tally.refusals_of(kind)} for kind in kinds
            },
            "reached": dict(sorted(tally.reached.items())),
            "errors": dict(sorted(tally.errors.items())),
            "events": dict(sorted(tally.events.items())),
        }


def play(calls: int, first_seed: int, *, shrink: bool = False) -> Run:
    """Rounds of examples, each with the next seed, until there are so many calls.

    shrink: whether a failing example is reduced, which takes minutes.
    """
    started = time.monotonic()
    with start_anvil(free_port(), timestamp=START) as chain:
        stage = build(chain)
        rounds = 0
        while stage.tally.calls < calls:
            try:
                _play_round(stage, first_seed + rounds, shrink=shrink)
            except Exception as failure:
                failure.add_note(
                    f"seed {first_seed + rounds}; what went wrong first:\n{''.join(stage.tally.faults[:1])}"
                )
                raise
            rounds += 1
            print(f"\r{stage.tally.calls} calls", end="", file=sys.stderr, flush=True)  # noqa: T201
    return Run(stage.tally, calls, first_seed, rounds * EXAMPLES_PER_ROUND, time.monotonic() - started)


def _play_round(stage: Player, round_seed: int, *, shrink: bool) -> None:
    machine = type("MarketMachine", (MarketMachine,), {"stage": stage})
    run_state_machine_as_test(
        seed(round_seed)(machine),
        settings=settings(
            max_examples=EXAMPLES_PER_ROUND,
            stateful_step_count=STEPS_PER_EXAMPLE,
            phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    parser.add_argument("--shrink", action="store_true", help="reduce a failing example, which takes minutes")
    given = parser.parse_args()
    report = play(given.calls, given.seed, shrink=given.shrink).report()
    shown = json.dumps(report, indent=2) + "\n"
    if given.write:
        REPORT.write_text(shown, encoding="utf-8")
    print(shown)  # noqa: T201


if __name__ == "__main__":
    main()
