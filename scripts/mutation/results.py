"""What earlier runs judged: build/mutation/results.jsonl, one line for each judgement, the last of a mutant counts."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.mutation.mutants import Mutant
from scripts.mutation.workspace import Judgement, Verdict

KILLERS_FIRST = 12


class Results:
    """The judgements, in memory and in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._by_name: dict[str, dict[str, Any]] = {}
        for line in lines:
            self._keep(json.loads(line))

    @property
    def by_name(self) -> Mapping[str, Mapping[str, Any]]:
        """Judgements by the mutants' names."""
        return self._by_name

    def needs_judging(self, mutant: Mutant, slowly: bool, again: bool) -> bool:
        """Whether the mutant was not judged, or survived and is now to be judged slowly; again: whether it survived."""
        known = self._by_name.get(mutant.name)
        survived = known is not None and known["verdict"] == Verdict.SURVIVED
        if again or known is None:
            return survived or not again
        return bool(survived and slowly and not known["slowly"])

    def _keep(self, result: dict[str, Any]) -> None:
        before = self._by_name.get(result["name"], {"verdict": "", "survived_at_first": False})
        survived = before["survived_at_first"] or Verdict.SURVIVED in (before["verdict"], result["verdict"])
        self._by_name[result["name"]] = result | {"survived_at_first": survived}

    def add(self, mutant: Mutant, judgement: Judgement, slowly: bool, duration_s: float) -> None:
        """Writes one judgement down."""
        result = {"name": mutant.name, **asdict(mutant), **asdict(judgement)}
        result |= {"slowly": slowly, "duration_s": round(duration_s, 1)}
        with self._lock:
            self._keep(result)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result, ensure_ascii=False) + "\n")

    def likely_killers(self, mutant: Mutant) -> list[str]:
        """Tests that noticed faults before: in the same function, then in the same source, then anywhere."""
        with self._lock:
            killed = [result for result in self._by_name.values() if result["by"]]
        ranks: Counter[str] = Counter()
        for result in killed:
            same_source = result["source"] == mutant.source
            near = same_source and result["function"] == mutant.function
            ranks[result["by"]] += 1_000_000 if near else 1_000 if same_source else 1
        return [test for test, _ in ranks.most_common(KILLERS_FIRST)]
