"""How long each step takes without a fault, measured once for each state of what it runs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from scripts.build_contracts import ROOT
from scripts.mutation.suites import BROWNIE_FILES, Kind, Step
from scripts.mutation.workspace import Workspace, tracked

PRODUCT = ("contracts/", "market/", "scripts/")
OURS = "scripts/mutation/"


class Baselines:
    """Durations by step, in a file. A step whose tests fail without a fault would seem to notice every fault."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._product = [name for name in tracked() if name.startswith(PRODUCT) and not name.startswith(OURS)]
        self._durations: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def of(self, workspace: Workspace, step: Step) -> float:
        """How long a step takes in a workspace without a fault, measured when nobody has [s].

        Raises:
            BaselineFails: a test fails without a fault.
        """
        # Brownie's files are measured all at once, but for one alone: they come in too many combinations.
        is_mixed = step.kind is Kind.BROWNIE and len(step.tests) > 1
        whole = replace(step, tests=BROWNIE_FILES) if is_mixed else step
        key = self._key(whole)
        with self._locks[key]:
            if key not in self._durations:
                self._durations[key] = workspace.baseline(whole)
                with self._writing:
                    self._path.write_text(json.dumps(self._durations, indent=2), encoding="utf-8")
            return self._durations[key]

    def _key(self, step: Step) -> str:
        return f"{step.kind} {step.examples} {' '.join(step.tests)} {_digest({*self._product, *_read_by(step)})}"


def _read_by(step: Step) -> set[str]:
    """The step's tests and all of the tests' own modules that they import; Brownie's import by name alone."""
    found = {test for test in step.tests if (ROOT / test).is_file()}
    found |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "brownie").glob("[!t]*.py")}
    waiting = [*found]
    while waiting:
        text = (ROOT / waiting.pop()).read_text(encoding="utf-8")
        for module in re.findall(r"^from (tests[\w.]+) import", text, flags=re.MULTILINE):
            name = f"{module.replace('.', '/')}.py"
            if name not in found and (ROOT / name).is_file():
                found.add(name)
                waiting.append(name)
    return found


def _digest(names: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()[:16]
