"""One campaign: forge plays random sequences of all calls against the compiled contracts, in tests/forge."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts.build_contracts import CompilerSettings, load_settings
from scripts.invariants.coverage import ROOT, Coverage, read_coverage

PROJECT: Final = ROOT / "tests" / "forge"
FORGE: Final = ROOT / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"
RESULTS: Final = ROOT / "build" / "forge"


class BrokenInvariantError(Exception):
    """Forge failed; the text is what it says: the broken rule and the shortest sequence of calls that breaks it."""


@dataclass(frozen=True)
class Campaign:
    """What was played.

    calls: turns of handlers, as forge counts them, each none, one or several calls of contracts; duration_s: without
    compiling.
    """

    seed: int
    runs: int
    depth: int
    calls: int
    reverts: int
    duration_s: float
    coverage: Coverage


def compiler() -> CompilerSettings:
    """How the contracts are compiled, and the compiler of the handlers too."""
    return load_settings(ROOT / "brownie-config.yaml")


def forge_settings() -> dict[str, Any]:
    """What tests/forge/foundry.toml states."""
    settings: dict[str, Any] = tomllib.loads((PROJECT / "foundry.toml").read_text(encoding="utf-8"))["profile"][
        "default"
    ]
    return settings


def play(seed: int, runs: int, depth: int, name: str = "campaign", timeout_s: float = 7200.0) -> Campaign:
    """Play `runs` runs of `depth` turns in each of the two markets.

    Raises:
        BrokenInvariantError: an invariant broke, or the handlers do not compile.
    """
    results = RESULTS / name
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    environment = {
        **os.environ,
        "FOUNDRY_SOLC": str(compiler().solc_path),
        "FOUNDRY_INVARIANT_RUNS": str(runs),
        "FOUNDRY_INVARIANT_DEPTH": str(depth),
        "FOUNDRY_INVARIANT_FAILURE_PERSIST_DIR": str(results / "failures"),
        "MERITGRID_INVARIANTS_FOLDER": str(results),
    }
    _run([FORGE, "build", "--root", "."], environment, timeout_s)
    started = time.monotonic()
    output = _run([FORGE, "test", "--root", ".", "--fuzz-seed", str(seed)], environment, timeout_s)
    duration_s = time.monotonic() - started
    runs_played, calls, reverts = (sum(column) for column in zip(*_counts(output), strict=True))
    return Campaign(
        seed=seed,
        runs=runs_played,
        depth=depth,
        calls=calls,
        reverts=reverts,
        duration_s=duration_s,
        coverage=read_coverage(results),
    )


def _counts(output: str) -> list[tuple[int, int, int]]:
    """Runs, calls and reverts of each market. Not by its JSON, which a failure fills with traces."""
    found = re.findall(r"\(runs: (\d+), calls: (\d+), reverts: (\d+)\)", output)
    return [(int(runs), int(calls), int(reverts)) for runs, calls, reverts in found]


def _run(command: list[str | Path], environment: dict[str, str], timeout_s: float) -> str:
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s
    )
    if done.returncode != 0:
        raise BrokenInvariantError(f"{done.stdout}\n{done.stderr}")
    return done.stdout
