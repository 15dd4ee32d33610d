"""The figures of mutation testing: per source how many mutants were judged, killed and survived, and which survived."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.mutation.mutants import Mutant
from scripts.mutation.survivors import Argument, Key, fault_of, key_of
from scripts.mutation.workspace import Verdict

WHAT = (
    "A seeded random sample of each source's mutants, not all of them: `judged` of `mutants`; `not_judged` names the"
    " sources of which none was. `survived_at_first` were killed only by tests that were added for them, or are still"
    " among the survivors; `score_at_first` is the score without those tests. `invalid` ones do not"
    " compile and `same_bytecode` ones compile to the same code: neither counts. `score` is killed / (killed + survived"
    " − argued_equivalent); `killed_share` is killed / (killed + survived)."
)


@dataclass(frozen=True)
class Run:
    """When and where the figures were made."""

    date: str
    seed: int
    cores: int


def figures(
    mutants: Sequence[Mutant], results: Mapping[str, Mapping[str, Any]], arguments: Mapping[Key, Argument]
) -> dict[str, Any]:
    """Of one source: counts, shares, and the survivors with their arguments."""
    judged = [mutant for mutant in mutants if mutant.name in results]
    counts = Counter(results[mutant.name]["verdict"] for mutant in judged)
    survivors = [mutant for mutant in judged if results[mutant.name]["verdict"] == Verdict.SURVIVED]
    argued = [arguments.get(key_of(mutant)) for mutant in survivors]
    equivalent = sum(argument is not None and argument.verdict == "equivalent" for argument in argued)
    return {
        "mutants": len(mutants),
        "judged": len(judged),
        "invalid": counts[Verdict.INVALID],
        "same_bytecode": counts[Verdict.EQUIVALENT],
        "survived_at_first": sum(results[mutant.name]["survived_at_first"] for mutant in judged),
        **_shares(counts[Verdict.KILLED], len(survivors), equivalent),
        "survivors": [
            {
                "line": mutant.line,
                "function": mutant.function,
                "fault": fault_of(mutant),
                "argument": f"{argument.verdict}: {argument.why}" if argument else None,
            }
            for mutant, argument in zip(survivors, argued, strict=True)
        ],
    }


def _shares(killed: int, survived: int, argued_equivalent: int) -> dict[str, Any]:
    def share(of: int) -> float | None:
        return round(killed / of, 4) if of else None

    return {
        "killed": killed,
        "survived": survived,
        "argued_equivalent": argued_equivalent,
        "killed_share": share(killed + survived),
        "score": share(killed + survived - argued_equivalent),
    }


def write_report(
    path: Path,
    run: Run,
    mutants: Mapping[str, Sequence[Mutant]],
    results: Mapping[str, Mapping[str, Any]],
    arguments: Mapping[Key, Argument],
) -> None:
    """Writes the figures of every source that was judged, and those of all together."""
    sources = {source: figures(each, results, arguments) for source, each in mutants.items()}
    not_judged = [source for source, each in sources.items() if not each["judged"]]
    in_all = sum(each["mutants"] for each in sources.values())
    sources = {source: each for source, each in sources.items() if each["judged"]}

    def total(name: str) -> int:
        return sum(each[name] for each in sources.values())

    counted = {"mutants": in_all}
    counted |= {name: total(name) for name in ("judged", "invalid", "same_bytecode", "survived_at_first")}
    shares = _shares(total("killed"), total("survived"), total("argued_equivalent"))
    at_first = total("killed") + total("survived") - total("survived_at_first")
    counting = total("killed") + total("survived") - total("argued_equivalent")
    shares["score_at_first"] = round(at_first / counting, 4) if counting else None
    report = {"what": WHAT, **asdict(run), "total": counted | shares, "not_judged": not_judged, "sources": sources}
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
