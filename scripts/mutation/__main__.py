"""Judges mutants of the contracts and writes docs/benchmarks/mutation.json.

    python -m scripts.mutation contracts/libraries/BidRecord.sol --jobs 2
    python -m scripts.mutation --sample 20                 # of each source, the quick tests only
    python -m scripts.mutation --sample 20 --slowly        # and what survived them by all tests that there are
    python -m scripts.mutation --share 0.03 --seed 5       # of each source in proportion to its mutants

A sample is drawn with a seed, and a larger one of the same seed holds the smaller. Results are kept in
build/mutation/results.jsonl by the function's text and the fault: an interrupted run goes on where it stopped, and a
function that changed is judged anew. Fails where a survivor has no argument in scripts/mutation/survivors.toml.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated

import typer
from rich.console import Console

from scripts.build_contracts import ROOT
from scripts.mutation.baselines import Baselines
from scripts.mutation.mutants import Mutant
from scripts.mutation.report import Run, write_report
from scripts.mutation.results import Results
from scripts.mutation.sources import all_mutants, syntax_trees, taken_in_by
from scripts.mutation.suites import Step, narrowed, steps_of
from scripts.mutation.survivors import read_arguments, unargued
from scripts.mutation.workspace import Verdict, Workspace

FOLDER = ROOT / "build" / "mutation"
REPORT = ROOT / "docs" / "benchmarks" / "mutation.json"

console = Console()


def drawn(mutants: Sequence[Mutant], sample: int, seed: int) -> list[Mutant]:
    """The first of all mutants of a source in a random order; all for a sample of 0."""
    shuffled = list(mutants)
    random.Random(f"{seed} {mutants[0].source}").shuffle(shuffled)
    return shuffled[: sample or None]


def judge_all(
    todo: Sequence[tuple[Mutant, Sequence[Step]]],
    workspaces: SimpleQueue[Workspace],
    results: Results,
    slowly: bool,
    jobs: int,
) -> None:
    """Judges mutants in as many workspaces as there are jobs."""
    baselines = Baselines(FOLDER / "baselines.json")

    def judge(mutant: Mutant, steps: Sequence[Step]) -> None:
        workspace = workspaces.get()
        try:
            started = time.monotonic()
            judgement = workspace.judge(mutant, steps, results.likely_killers(mutant), baselines.of)
            results.add(mutant, judgement, slowly, time.monotonic() - started)
        finally:
            workspaces.put(workspace)
        how = f"{judgement.verdict} {judgement.by}".strip()
        fault = f"{mutant.original!r} → {mutant.replacement!r}"
        console.print(f"{mutant.source}:{mutant.line} {fault}: {how}", markup=False, highlight=False, soft_wrap=True)

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(judge, mutant, steps) for mutant, steps in todo]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _to_judge(
    chosen: Mapping[str, Sequence[Mutant]], results: Results, slowly: bool, again: bool, only: Sequence[str]
) -> list[tuple[Mutant, Sequence[Step]]]:
    takers = taken_in_by(syntax_trees())
    todo: list[tuple[Mutant, Sequence[Step]]] = []
    for source, mutants in chosen.items():
        steps = [step for step in steps_of(source, takers) if slowly or not step.slow]
        if only:
            steps = [step for step in map(partial(narrowed, only=only), steps) if step.tests]
            if not steps:
                continue
        todo += [(mutant, steps) for mutant in mutants if results.needs_judging(mutant, slowly, again)]
    return todo


def main(
    sources: Annotated[list[str] | None, typer.Argument(help="Sources; without any, all.")] = None,
    sample: Annotated[int, typer.Option(help="Judge so many of each source, drawn at random; 0: all.")] = 0,
    share: Annotated[float, typer.Option(min=0, max=1, help="Judge that share of each source, one at least.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 4,
    jobs: Annotated[int, typer.Option(help="Mutants judged at the same time.")] = 2,
    slowly: Annotated[bool, typer.Option(help="Let the longest tests judge what survived the others, too.")] = False,
    again: Annotated[bool, typer.Option(help="Judge the survivors again and nothing else: tests were added.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="With --again: files of tests that were added.")] = None,
    report: Annotated[Path, typer.Option(help="Where to write the figures.")] = REPORT,
) -> None:
    """Judge mutants and write the report."""
    if only and not again:
        raise typer.BadParameter("--only is for --again: what few tests let pass says nothing of a mutant")
    results = Results(FOLDER / "results.jsonl")
    if sample and share:
        raise typer.BadParameter("--sample and --share are two ways to say how many")
    everything = all_mutants(syntax_trees())
    chosen = {
        source: drawn(everything[source], max(1, round(share * len(everything[source]))) if share else sample, seed)
        for source in sources or everything
    }
    todo = _to_judge(chosen, results, slowly, again, only or ())
    console.print(f"{len(todo)} to judge of {sum(map(len, chosen.values()))}")
    if todo:
        workspaces: SimpleQueue[Workspace] = SimpleQueue()
        places = [Workspace.create(FOLDER / f"workspace-{number}") for number in range(jobs)]
        for place in places:
            workspaces.put(place)
        try:
            judge_all(todo, workspaces, results, slowly, jobs)
        finally:
            for place in places:
                place.close()
    arguments = read_arguments()
    run = Run(datetime.now(UTC).date().isoformat(), seed, os.cpu_count() or 1)
    write_report(report, run, everything, results.by_name, arguments)
    survived = [
        mutant
        for mutants in everything.values()
        for mutant in mutants
        if results.by_name.get(mutant.name, {}).get("verdict") == Verdict.SURVIVED
    ]
    if missing := unargued(survived, arguments):
        console.print(
            "Survivors without an argument in scripts/mutation/survivors.toml:", *missing, sep="\n", markup=False
        )
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
