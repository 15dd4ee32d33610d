#!/usr/bin/env python3
"""Answers an SMT query with whichever solver is first: halmos calls it (--solver-command) with the query's file.

yices turns bit vectors into single bits and decides nearly all queries in milliseconds, but not products and quotients
of unknowns; z3's integer translation proves most of those. Its counterexamples are not taken, for it gives no model.
Runs in .venv-analysis, which brings both.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.prefix) / "bin"
BY_BITS = [str(BIN / "yices-smt2"), "--smt2-model-format"]
BY_INTEGERS = [str(BIN / "z3"), "smt.bv.solver=2", "tactic.default_tactic=smt"]
SOLVERS = [BY_BITS, [*BY_INTEGERS, "sat.smt=true"], [*BY_INTEGERS, "sat.euf=true"]]
HEAD_START_S = 0.5
POLL_S = 0.02


def answer(query: str) -> str:
    """What the first solver says that decides the query; empty when none does."""
    running = [_start(SOLVERS[0], query)]
    started = time.monotonic()
    try:
        while running:
            if len(running) == 1 and time.monotonic() - started > HEAD_START_S and SOLVERS[1:]:
                running += [_start(solver, query) for solver in SOLVERS[1:]]
                started = float("inf")
            for process in [each for each in running if each.poll() is not None]:
                running.remove(process)
                said = process.communicate()[0]
                if said.startswith("unsat") or (said.startswith("sat") and process.args == [*BY_BITS, query]):
                    return said
            time.sleep(POLL_S)
    finally:
        for process in running:
            process.kill()
    return ""


def _start(solver: list[str], query: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*solver, query], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


if __name__ == "__main__":
    print(answer(sys.argv[1]), end="")  # noqa: T201
