"""How long each step takes without a fault, measured once for each state of the repository."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.build_contracts import ROOT
from scripts.mutation.suites import BROWNIE_FILES, Kind, Step
from scripts.mutation.workspace import Workspace, tracked

MATTERS = ("contracts/", "market/", "scripts/", "tests/")


class Baselines:
    """Durations by step, in a file. A step whose tests fail without a fault would seem to notice every fault."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        digest = hashlib.sha256()
        for name in sorted(tracked()):
            if name.startswith(MATTERS) and not name.startswith("scripts/mutation/"):
                digest.update(name.encode() + (ROOT / name).read_bytes())
        self._state = digest.hexdigest()
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self._durations: dict[str, float] = kept.get(self._state, {})

    def of(self, workspace: Workspace, steps: Sequence[Step]) -> dict[Step, float]:
        """The steps' durations [s]; measures those that are not known.

        Raises:
            BaselineFails: a test fails without a fault.
        """
        with self._lock:
            for step in steps:
                if step.key not in self._durations:
                    whole = replace(step, tests=BROWNIE_FILES) if step.kind is Kind.BROWNIE else step
                    self._durations[step.key] = workspace.baseline(whole)
                    self._path.write_text(json.dumps({self._state: self._durations}, indent=2), encoding="utf-8")
            return {step: self._durations[step.key] for step in steps}
