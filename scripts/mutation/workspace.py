"""A copy of the repository in which one mutant at a time stands and is judged.

The faulty code is compiled in memory. It is put into contracts/artifacts and into Brownie's build, which both then take
for the product's; the source on the disk is faulty only for the tests that compile it themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from scripts.build_contracts import ROOT
from scripts.mutation.bounded import run_bounded
from scripts.mutation.compiler import Bytecodes, Compiler
from scripts.mutation.errors import BaselineFails
from scripts.mutation.lines import LineProcess
from scripts.mutation.mutants import Mutant
from scripts.mutation.suites import COLLECTED_FILES, Kind, Step

ENVIRONMENTS = ("node_modules", ".venv", ".venv-analysis", ".venv-brownie")
BASELINE_TIMEOUT_S = 1800.0
TIMEOUT_FACTOR = 5.0
LEAST_TIMEOUT_S = 120.0
"""A fault that makes a step last five times as long as without it is noticed: whoever runs the tests would look."""
NO_NODE = "while starting:"
"""In what market/chain/embedded.py says of a node that ends at once."""


class Verdict(StrEnum):
    """How a mutant ended. Only killed and survived ones count."""

    KILLED = "killed"
    SURVIVED = "survived"
    INVALID = "invalid"
    EQUIVALENT = "equivalent"


@dataclass(frozen=True)
class Judgement:
    """A mutant's end, the step and the test that noticed it and what it said (empty: none)."""

    verdict: Verdict
    step: str = ""
    by: str = ""
    reason: str = ""


@dataclass
class Workspace:
    """A private copy: tests run in it while others run in theirs."""

    root: Path
    compiler: Compiler
    collected: LineProcess
    unfaulty: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def create(cls, root: Path) -> Workspace:
        """Copies what git tracks or would track; the environments are shared by links."""
        shutil.rmtree(root, ignore_errors=True)
        for name in tracked():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
        for name in ENVIRONMENTS:
            (root / name).symlink_to((ROOT / name).resolve())
        if (compiled := ROOT / "build" / "contracts").exists():  # so that Brownie has less to compile
            shutil.copytree(compiled, root / "build" / "contracts")
        subprocess.run(["scripts/brownie/brownie", "compile"], cwd=root, check=True, stdout=subprocess.DEVNULL)
        command = [str(root / ".venv" / "bin" / "python"), "-m", "scripts.mutation.collected", *COLLECTED_FILES]
        collected = LineProcess(command, root, _environment(root))
        workspace = cls(root, Compiler.start(root), collected)
        told = collected.read()
        if told["errors"] or not told["collected"]:
            raise BaselineFails(f"pytest cannot collect {', '.join(COLLECTED_FILES)}: {told}")
        return workspace

    def close(self) -> None:
        """Ends the compiler and the collected tests."""
        self.compiler.process.close()
        self.collected.close()

    def baseline(self, step: Step) -> float:
        """Runs a step without any fault. Returns how long it takes.

        Raises:
            BaselineFails: a test fails.
        """
        started = time.monotonic()
        failed, reason = self._run(step, (), BASELINE_TIMEOUT_S)
        if failed:
            raise BaselineFails(f"{step.name}: {failed} fails without any fault: {reason}")
        return time.monotonic() - started

    def judge(
        self,
        mutant: Mutant,
        steps: Sequence[Step],
        first: Sequence[str],
        duration_of: Callable[[Workspace, Step], float],
    ) -> Judgement:
        """Runs one step after the other with the fault until a test fails.

        Args:
            mutant: the fault.
            steps: in their order.
            first: tests to begin with, the likeliest to notice it first.
            duration_of: how long a step takes without a fault. [s]

        Raises:
            BaselineFails: something that no fault does went wrong: nothing can be said about the mutant.
        """
        text = mutant.applied((self.root / mutant.source).read_bytes()).decode()
        verdict = Verdict.EQUIVALENT
        compiled: dict[tuple[str, ...], Bytecodes | None] = {}
        for step in steps:
            if step.units not in compiled:
                compiled[step.units] = self.compiler.compile(step.units, {mutant.source: text})
            faulty = compiled[step.units]
            if faulty is None:
                return Judgement(Verdict.INVALID)
            if faulty == self._unfaulty(step.units):
                continue
            verdict = Verdict.SURVIVED
            timeout_s = max(LEAST_TIMEOUT_S, TIMEOUT_FACTOR * duration_of(self, step))
            with self._placed(faulty), self._written(mutant.source, text, step.kind):
                failed, reason = self._run(step, first, timeout_s)
            if NO_NODE in reason:
                raise BaselineFails(f"{step.name}: no fault of the contracts keeps the node from starting: {reason}")
            if failed:
                return Judgement(Verdict.KILLED, step.name, failed, reason)
            if step.decisive and not any(each.slow for each in steps):
                break
        return Judgement(verdict)

    def _unfaulty(self, units: Sequence[str]) -> Bytecodes:
        if missing := [unit for unit in units if unit not in self.unfaulty]:
            compiled = self.compiler.compile(missing, {})
            if compiled is None:
                raise BaselineFails(f"{', '.join(missing)} does not compile")
            self.unfaulty |= compiled
        return {unit: self.unfaulty[unit] for unit in units}

    @contextmanager
    def _placed(self, codes: Bytecodes) -> Iterator[None]:
        """The faulty code in place of the product's, as the tests under pytest and Brownie create it."""
        files = [
            path
            for unit in codes
            for folder in ("contracts/artifacts", "build/contracts")
            if (path := self.root / folder / f"{Path(unit).stem}.json").exists()
        ]
        kept = {path: path.read_bytes() for path in files}
        try:
            for unit, (creation, code) in codes.items():
                for path in files:
                    if path.stem == Path(unit).stem:
                        _put(path, creation, code)
            yield
        finally:
            for path, content in kept.items():
                path.write_bytes(content)

    @contextmanager
    def _written(self, source: str, text: str, kind: Kind) -> Iterator[None]:
        """The fault in the source on the disk, but for Brownie, which would compile everything anew for hours."""
        path = self.root / source
        kept = path.read_bytes()
        try:
            if kind is not Kind.BROWNIE:
                path.write_text(text, encoding="utf-8")
            yield
        finally:
            path.write_bytes(kept)

    # RUNNING A STEP

    def _run(self, step: Step, first: Sequence[str], timeout_s: float) -> tuple[str, str]:
        """The test that failed, or what else did, and what it said; empty when all pass."""
        if step.kind is Kind.COLLECTED:
            return self._run_collected(step, first, timeout_s)
        with tempfile.TemporaryDirectory(prefix="meritgrid-mutation-") as home:
            killer, order = Path(home) / "killer", Path(home) / "order"
            order.write_text("\n".join(first), encoding="utf-8")
            environment = _environment(self.root) | {
                "HOME": home,
                "PYTEST_ADDOPTS": "-x -p scripts.mutation.killers",
                "MERITGRID_MUTATION_ORDER": str(order),
                "MERITGRID_MUTATION_KILLER": str(killer),
            }
            try:
                done = run_bounded(self._command(step), self.root, environment, timeout_s)
            except subprocess.TimeoutExpired:
                return "timeout", f"more than {timeout_s:.0f} s"
            if killer.exists():
                failed, reason = killer.read_text(encoding="utf-8").splitlines()[:2]
                return failed, reason
            if done.returncode and step.kind is Kind.PROOFS:
                return step.tests[0], "not proven"
            if done.returncode:
                raise BaselineFails(f"{step.name} cannot be run: {done.stdout[-2000:]}")
        return "", ""

    def _run_collected(self, step: Step, first: Sequence[str], timeout_s: float) -> tuple[str, str]:
        request = {"files": step.tests, "first": list(first), "examples": step.examples, "timeout_s": timeout_s}
        answer = self.collected.ask(request)
        if not answer["failed"] and not answer["passed"]:
            raise BaselineFails(f"{step.name} cannot be run: {answer['reason'] or 'it has no tests'}")
        return answer["failed"], answer["reason"]

    def _command(self, step: Step) -> list[str]:
        python = str(self.root / ".venv" / "bin" / "python")
        if step.kind is Kind.PROOFS:
            return [python, "-m", "scripts.analysis.halmos_proofs", "--match-contract", f"^{step.tests[0]}$"]
        if step.kind is Kind.BROWNIE:
            return ["scripts/brownie/brownie", "test", *step.tests, "--network", "anvil-ci"]
        return [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *step.tests]


def tracked() -> list[str]:
    """Files that git tracks or would track, without the environments."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    names = [name for name in listed.split("\0") if name and not name.startswith(ENVIRONMENTS)]
    return [name for name in names if (ROOT / name).is_file()]


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}


def _put(path: Path, creation: str, code: str) -> None:
    """Another code in an artifact, or in a file of Brownie's build, which writes it without 0x."""
    content = json.loads(path.read_text(encoding="utf-8"))
    prefix = "0x" if content["bytecode"].startswith("0x") else ""
    content |= {"bytecode": prefix + creation, "deployedBytecode": prefix + code}
    path.write_text(json.dumps(content), encoding="utf-8")
