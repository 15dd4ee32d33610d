"""The figures of mutation testing: per source how many mutants were judged, killed and survived, and which survived."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.mutation.mutants import Mutant
from scripts.mutation.workspace import Verdict


def figures(mutants: Sequence[Mutant], results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of one source: counts, the share that was killed of those that count, and the survivors."""
    judged = [results[mutant.name] for mutant in mutants if mutant.name in results]
    counts = Counter(result["verdict"] for result in judged)
    counting = counts[Verdict.KILLED] + counts[Verdict.SURVIVED]
    return {
        "mutants": len(mutants),
        "judged": len(judged),
        **{verdict.value: counts[verdict] for verdict in Verdict if verdict is not Verdict.SURVIVED},
        "killed_share": round(counts[Verdict.KILLED] / counting, 4) if counting else None,
        "survived": [
            {key: result[key] for key in ("line", "function", "operator", "original", "replacement")}
            for result in judged
            if result["verdict"] == Verdict.SURVIVED
        ],
    }


def write_report(path: Path, mutants: Mapping[str, Sequence[Mutant]], results: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the figures of every source that was judged, and those of all together."""
    sources = {source: figures(each, results) for source, each in mutants.items()}
    sources = {source: each for source, each in sources.items() if each["judged"]}
    killed = sum(each["killed"] for each in sources.values())
    survived = sum(len(each["survived"]) for each in sources.values())
    total = {
        "judged": sum(each["judged"] for each in sources.values()),
        "killed": killed,
        "survived": survived,
        "killed_share": round(killed / (killed + survived), 4) if killed + survived else None,
    }
    path.write_text(json.dumps({"total": total, "sources": sources}, indent=2, ensure_ascii=False) + "\n", "utf-8")
