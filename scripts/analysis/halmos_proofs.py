"""Proves the properties of tests/halmos with halmos; anything but a proof, a timeout too, is a failure.

Arguments are passed on to halmos: `python -m scripts.analysis.halmos_proofs --match-contract BidRecordProofs`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripts.build_contracts import ROOT, load_settings

TIMEOUT_MS = 120_000
"""For one query of a solver."""


def find_forge() -> Path:
    """The binary of npm's package: halmos has it compile the proofs."""
    return next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin"))


def main(arguments: list[str]) -> int:
    """Runs halmos. Returns its exit code."""
    analysis = ROOT / ".venv-analysis" / "bin"
    scratch = ROOT / "build" / "halmos" / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    portfolio = f"{analysis / 'python'} {ROOT / 'scripts' / 'analysis' / 'smt_portfolio.py'}"
    command = [
        str(analysis / "halmos"),
        *("--root", str(ROOT / "tests" / "halmos"), "--forge-build-out", "../../build/halmos/out"),
        *("--solver-command", portfolio, "--solver-timeout-assertion", str(TIMEOUT_MS), "--solver-threads", "2"),
        *("--panic-error-codes", "*", "--no-status", *arguments),
    ]
    environment = {
        **os.environ,
        "FOUNDRY_SOLC": str(load_settings(ROOT / "brownie-config.yaml").solc_path),
        "PATH": f"{find_forge()}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(scratch),  # halmos leaves the queries that it could not decide
    }
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
