"""`python -m scripts.chaos`: what `make chaos` runs."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table

from scripts.build_contracts import ROOT
from scripts.chaos.options import ChaosOptions
from scripts.chaos.picture import draw
from scripts.chaos.run import ChaosResult, run_chaos

console = Console(highlight=False)
err = Console(stderr=True, highlight=False)
RESULTS = ROOT / "docs" / "benchmarks" / "chaos.json"
PICTURE = ROOT / "docs" / "pictures" / "chaos.png"


def main(
    minutes: Annotated[float, typer.Option(help="Of faults.")] = 5.0,
    seed: Annotated[int, typer.Option(help="Of faults and load.")] = 1,
    density: Annotated[float, typer.Option(help="Frequency of the faults against the normal one.")] = 1.0,
    agents: Annotated[int, typer.Option(help="Processes that host the gateways.")] = 3,
    write: Annotated[bool, typer.Option("--write", help="Write docs/benchmarks/chaos.json and its picture.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder and its logs also where all holds.")] = False,
) -> None:
    """Let the parts of a whole market die, hang and lose each other under load; fail where anything was lost."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Everybody may enter it: the database's account is another.
    folder = Path(tempfile.mkdtemp(prefix="meritgrid-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    begun_s = time.monotonic()

    def told(what: str) -> None:
        err.print(f"{time.monotonic() - begun_s:6.0f} s  {what}", soft_wrap=True)

    try:
        result = asyncio.run(run_chaos(ChaosOptions(folder, minutes, seed, density, agents=agents), told))
        keep = keep or not result.holds  # a finding without its logs cannot be explained
    except BaseException:
        keep = True
        raise
    finally:
        if keep:
            err.print(f"everything is in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if write:
        RESULTS.write_text(json.dumps(result.document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draw(result.document(), PICTURE)
    show(result)
    if not result.holds:
        raise typer.Exit(1)


def show(result: ChaosResult) -> None:
    """A table of the faults, and what was found."""
    document = result.document()
    table = Table("fault", "times", "back after, median [s]", "longest [s]")
    for kind, times in result.faults.items():
        recovered = result.recovered.get(kind, {})
        table.add_row(kind, str(times), str(recovered.get("median", "")), str(recovered.get("max", "")))
    console.print(table)
    console.print(f"load: {', '.join(f'{count} {name}' for name, count in document['load'].items())}")
    for finding in [*document["findings"], *document["not_back"]]:
        console.print(f"✗ {finding}", style="red", markup=False, soft_wrap=True)
    console.print(
        f"{document['kills_in_all']} kills, {document['lost']} lost, {document['doubled']} doubled, "
        f"{document['unaccounted']} unaccounted for"
    )


app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
app.command()(main)

if __name__ == "__main__":
    app()
