"""Judges mutants of the contracts and writes docs/benchmarks/mutation.json.

    python -m scripts.mutation contracts/libraries/BidRecord.sol --jobs 2
    python -m scripts.mutation contracts/Settlement.sol --sample 60 --seed 4

Results are kept in build/mutation/results.jsonl by source text and fault: an interrupted run goes on where it stopped,
and a source that changed is judged anew.
"""

from __future__ import annotations

import json
import random
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from queue import SimpleQueue
from typing import Annotated, Any

import typer
from rich.console import Console

from scripts.analysis.compiler_input import syntax_tree_input
from scripts.build_contracts import ROOT, load_settings
from scripts.mutation.mutants import Mutant, mutants_of
from scripts.mutation.report import write_report
from scripts.mutation.suites import SUITES, suites_of
from scripts.mutation.workspace import Judgement, Verdict, Workspace

RESULTS = ROOT / "build" / "mutation" / "results.jsonl"
REPORT = ROOT / "docs" / "benchmarks" / "mutation.json"

console = Console()
_writing = threading.Lock()


def syntax_trees() -> dict[str, Any]:
    """The contracts' syntax trees by path."""
    compiler = load_settings(ROOT / "brownie-config.yaml").solc_path
    answer = subprocess.run(
        [str(compiler), "--standard-json"],
        input=json.dumps(syntax_tree_input(ROOT)), capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return {path: unit["ast"] for path, unit in json.loads(answer.stdout)["sources"].items()}


def read_results() -> dict[str, dict[str, Any]]:
    """What earlier runs judged, by the mutants' names."""
    if not RESULTS.exists():
        return {}
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    return {result["name"]: result for result in map(json.loads, lines)}


def record(mutant: Mutant, judgement: Judgement) -> None:
    """Adds one judgement to the results."""
    result = {"name": mutant.name, **asdict(mutant), "verdict": judgement.verdict, "by": judgement.by}
    with _writing, RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result, ensure_ascii=False) + "\n")
    if judgement.verdict is Verdict.SURVIVED:
        fault = f"{mutant.original!r} → {mutant.replacement!r}"
        console.print(f"{mutant.source}:{mutant.line} survived: {fault}", markup=False, highlight=False)


def judge_all(source: str, mutants: Sequence[Mutant], workspaces: SimpleQueue[Workspace], jobs: int) -> None:
    """Judges the mutants of one source in as many workspaces as there are jobs."""
    suites = suites_of(source)
    places = [workspaces.get() for _ in range(jobs)]
    with ThreadPoolExecutor(
        jobs
    ) as pool:  # in each: where the tests fail without a fault, every mutant would seem killed
        baselines = next(iter(list(pool.map(lambda place: place.baseline(suites), places))))
    for place in places:
        workspaces.put(place)

    def judge(mutant: Mutant) -> None:
        workspace = workspaces.get()
        try:
            record(mutant, workspace.judge(mutant, suites, baselines))
        finally:
            workspaces.put(workspace)

    with ThreadPoolExecutor(jobs) as pool:
        for future in [pool.submit(judge, mutant) for mutant in mutants]:
            future.result()


def main(
    sources: Annotated[list[str] | None, typer.Argument(help="Sources; without any, all that have a suite.")] = None,
    sample: Annotated[int, typer.Option(help="Judge so many of each source, drawn at random; 0: all.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 4,
    jobs: Annotated[int, typer.Option(help="Mutants judged at the same time.")] = 2,
) -> None:
    """Judge mutants and write the report."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    trees = syntax_trees()
    workspaces: SimpleQueue[Workspace] = SimpleQueue()
    for number in range(jobs):
        workspaces.put(Workspace.create(RESULTS.parent / f"workspace-{number}"))
    ours = [path for path in trees if path.startswith("contracts/")]
    everything = {path: mutants_of(path, (ROOT / path).read_bytes(), trees[path]) for path in ours}
    everything = {path: mutants for path, mutants in everything.items() if mutants}
    if unjudged := everything.keys() - SUITES.keys():
        raise typer.BadParameter(f"no suite judges {', '.join(sorted(unjudged))}: see scripts/mutation/suites.py")
    for source in sources or SUITES:
        drawn = everything[source]
        if 0 < sample < len(drawn):
            drawn = random.Random(f"{seed} {source}").sample(drawn, sample)
        known = read_results()
        todo = [mutant for mutant in drawn if mutant.name not in known]
        console.print(f"{source}: {len(drawn)} of {len(everything[source])} mutants, {len(todo)} to judge")
        if todo:
            judge_all(source, todo, workspaces, jobs)
    write_report(REPORT, everything, read_results())


if __name__ == "__main__":
    typer.run(main)
