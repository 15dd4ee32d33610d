"""A copy of the repository in which one mutant at a time stands and is judged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import solcx

from scripts.build_contracts import ROOT, load_settings
from scripts.mutation.mutants import Mutant
from scripts.mutation.suites import Suite

ENVIRONMENTS = ("node_modules", ".venv", ".venv-analysis", ".venv-brownie")
COMMAND_TIMEOUT_S = 900
OUTPUTS = ["evm.bytecode.object", "evm.deployedBytecode.object"]


class Verdict(StrEnum):
    """How a mutant ended. Only killed and survived ones count."""

    KILLED = "killed"
    SURVIVED = "survived"
    INVALID = "invalid"
    EQUIVALENT = "equivalent"


class BaselineFails(Exception):
    """The tests fail without any fault: nothing can be said about mutants."""


@dataclass(frozen=True)
class Judgement:
    """A mutant's end, and the command that noticed it (empty: none)."""

    verdict: Verdict
    by: str = ""


Bytecodes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Workspace:
    """A private copy: tests run in it while others run in theirs."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Workspace:
        """Copies what git tracks or would track; the environments are shared by links."""
        shutil.rmtree(root, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        for name in filter(None, listed.split("\0")):
            source = ROOT / name
            if source.is_file() and not name.startswith(ENVIRONMENTS):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, root / name)
        for name in ENVIRONMENTS:
            (root / name).symlink_to((ROOT / name).resolve())
        return cls(root)

    def baseline(self, suites: Sequence[Suite]) -> list[Bytecodes]:
        """The bytecode of each suite without a fault.

        Raises:
            BaselineFails: a test fails without one.
        """
        baselines = []
        for suite in suites:
            compiled = self._compile(suite)
            if compiled is None:
                raise BaselineFails("the contracts do not compile")
            self._place(compiled)
            if by := self._noticed_by(suite):
                raise BaselineFails(f"{by} fails without any fault")
            baselines.append(compiled)
        return baselines

    def judge(self, mutant: Mutant, suites: Sequence[Suite], baselines: Sequence[Bytecodes]) -> Judgement:
        """Puts the fault in, runs one suite after the other until something fails, and takes the fault out."""
        path = self.root / mutant.source
        text = path.read_bytes()
        path.write_bytes(mutant.applied(text))
        verdict = Verdict.EQUIVALENT
        try:
            for suite, baseline in zip(suites, baselines, strict=True):
                compiled = self._compile(suite)
                if compiled is None:
                    return Judgement(Verdict.INVALID)
                if compiled == baseline:
                    continue
                verdict = Verdict.SURVIVED
                self._place(compiled)
                if by := self._noticed_by(suite):
                    return Judgement(Verdict.KILLED, by)
            return Judgement(verdict)
        finally:
            path.write_bytes(text)
            for baseline in baselines:
                self._place(baseline)

    def _compile(self, suite: Suite) -> Bytecodes | None:
        settings = load_settings(self.root / "brownie-config.yaml")
        try:
            output = solcx.compile_standard(
                {
                    "language": "Solidity",
                    "sources": {unit: {"content": (self.root / unit).read_text("utf-8")} for unit in suite.units},
                    "settings": {
                        **settings.standard_json(),
                        "remappings": list(settings.remappings),
                        "outputSelection": {unit: {Path(unit).stem: OUTPUTS} for unit in suite.units},
                    },
                },
                solc_binary=settings.solc_path,
                base_path=self.root,
            )
        except solcx.exceptions.SolcError:
            return None
        return {unit: output["contracts"][unit][Path(unit).stem]["evm"] for unit in suite.units}

    def _place(self, compiled: Bytecodes) -> None:
        """Writes the contracts' artifacts, which the tests under pytest create them from."""
        for unit, evm in compiled.items():
            path = self.root / "contracts" / "artifacts" / f"{Path(unit).stem}.json"
            if path.exists():
                artifact = json.loads(path.read_text(encoding="utf-8"))
                artifact["bytecode"] = "0x" + evm["bytecode"]["object"]
                artifact["deployedBytecode"] = "0x" + evm["deployedBytecode"]["object"]
                path.write_text(json.dumps(artifact, indent=2) + "\n", encoding="utf-8")

    def _noticed_by(self, suite: Suite) -> str:
        """The first command that fails or does not end in time; empty when all pass."""
        with tempfile.TemporaryDirectory(prefix="meritgrid-mutation-") as home:
            environment = {**os.environ, "PYTHONPATH": str(self.root), "HOME": home}
            for name, command in self._commands(suite):
                try:
                    done = subprocess.run(
                        command, cwd=self.root, env=environment, timeout=COMMAND_TIMEOUT_S,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                    )  # fmt: skip
                except subprocess.TimeoutExpired:
                    return f"{name} (timeout)"
                if done.returncode != 0:
                    return name
        return ""

    def _commands(self, suite: Suite) -> Iterator[tuple[str, list[str]]]:
        python = str(self.root / ".venv" / "bin" / "python")
        for proof in suite.proofs:
            yield proof, [python, "-m", "scripts.analysis.halmos_proofs", "--match-contract", f"^{proof}$"]
        for path in suite.properties:
            yield path, [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", path]
        for path in suite.brownie:
            yield path, ["scripts/brownie/brownie", "test", path, "--network", "anvil-ci", "-x"]
