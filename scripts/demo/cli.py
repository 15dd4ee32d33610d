"""`meritgrid demo`: one day of a real grid, from the traffic light to the payment."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from market.chain.embedded import EmbeddedChainError
from market.cli_refusals import refusal, starting
from market.domain.problems import problem_document
from scripts.demo.layout import PICTURE_FILE, REPORT_FILE, REPORT_FOLDER
from scripts.demo.manifest import MANIFEST_FILE, Manifest, read_manifest
from scripts.demo.options import DEFAULT_GRID, DemoOptions

console = Console()
err = Console(stderr=True)

OWN_REPORT_FOLDER = Path("demo-report")
"""Where the report of a day goes whose data folder is not kept."""
FAILED_EXIT = 1


def demo(
    context: typer.Context,
    grid: Annotated[str, typer.Option(help="Name of an installed grid, or folder of an exported one.")] = DEFAULT_GRID,
    date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day; default: the grid's first.")] = None,
    seed: Annotated[int, typer.Option(help="Of owners, faults and forecast errors.")] = 7,
    households: Annotated[int | None, typer.Option(help="Nanogrids; default: one for each load of the grid.")] = None,
    transformer_kva: Annotated[float | None, typer.Option(help="Another rating of the transformer [kVA].")] = None,
    speed: Annotated[
        float | None, typer.Option(help="Simulated seconds per second; default: as fast as it can.")
    ] = None,
    agents: Annotated[int, typer.Option(help="Processes that host the gateways.")] = 4,
    willing: Annotated[int, typer.Option(help="Share of the owners who let their gateway bid [%].")] = 100,
    faults: Annotated[bool, typer.Option(help="A gateway loses its uplink for a while, a device is stubborn.")] = True,
    hours: Annotated[str, typer.Option(help="Part of the day that is played, for example 10-14.")] = "0-24",
    once: Annotated[bool, typer.Option("--once", help="End by itself; exit code 0 only if every check holds.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the data folder.")] = False,
    data: Annotated[Path | None, typer.Option(help="The data folder; default: a temporary one.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Go on with the day of a folder, where it was stopped.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as one JSON document, no progress.")] = False,
) -> None:
    """Play one day of a real grid, with chain, broker, market, oracle, desks and gateway agents as processes.

    The day follows from power flow and bids alone. Afterwards an independent checker proves from the chain and the
    gateways' own buffers that no money and no energy appeared or vanished.

    Example: meritgrid demo --hours 10-14 --speed 120 --keep
    """
    folder = resume or data or Path(tempfile.mkdtemp(prefix="meritgrid-demo-"))
    is_kept = keep or data is not None or resume is not None
    try:
        with starting("The demonstration", as_json, ValueError, OSError):
            if resume is not None:
                _refuse_other_options(context)
                manifest = read_manifest(resume, speed)
                options = manifest.options
            else:
                manifest = None
                _refuse_used_folder(folder)
                first_hour, last_hour = _hours(hours)
                options = DemoOptions(
                    data_folder=folder.absolute(),
                    grid=grid,
                    day=date.date() if date is not None else None,
                    seed=seed,
                    households=households,
                    transformer_kva=transformer_kva,
                    speed=speed,
                    agents=agents,
                    willing_percent=willing,
                    faults=faults,
                    first_hour=first_hour,
                    last_hour=last_hour,
                )
            holds = _run(options, manifest, once=once, as_json=as_json)
    finally:
        _tidy(folder, is_kept)
    if not holds:
        raise typer.Exit(FAILED_EXIT)


def _tidy(folder: Path, is_kept: bool) -> None:
    """The report outlives the data folder, unless that is kept whole."""
    report = folder / REPORT_FOLDER
    if not is_kept:
        if (report / REPORT_FILE).exists():
            report = Path(shutil.copytree(report, OWN_REPORT_FOLDER, dirs_exist_ok=True))
        shutil.rmtree(folder, ignore_errors=True)
    if (report / REPORT_FILE).exists():
        err.print(f"{REPORT_FILE} and {PICTURE_FILE} are in {report}", soft_wrap=True)
    if is_kept and folder.exists():
        err.print(f"Everything is in {folder}; `meritgrid demo --resume {folder}` goes on with it.", soft_wrap=True)


def _refuse_other_options(context: typer.Context) -> None:
    """A day that goes on is the one that was begun. Raises ValueError."""
    given = {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    }
    others = sorted(given - {"resume", "speed", "once", "keep", "as_json"})
    if others:
        names = ", ".join("--" + name.replace("_", "-") for name in others)
        raise ValueError(f"a resumed day keeps the options that it was begun with: leave out {names}")


def _refuse_used_folder(folder: Path) -> None:
    if (folder / MANIFEST_FILE).exists():
        raise ValueError(f"{folder} holds a demonstration: --resume {folder} goes on with it, or name another folder")


def _hours(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError(f"hours are FIRST-LAST, for example 10-14, not {text!r}")
    return int(first), int(last)


def _run(options: DemoOptions, resumed: Manifest | None, *, once: bool, as_json: bool) -> bool:
    from market.observability import set_up_logging
    from market.settings import LogSettings
    from scripts.demo.progress import Lines, shown_on
    from scripts.demo.run import ClockStalled, DayResult, document_of, run_demo
    from scripts.demo.stage import Stage
    from scripts.demo.summary import print_result
    from scripts.demo.supervisor import ProcessFailed

    set_up_logging(LogSettings(level="WARNING"), "demo")
    progress = Lines(Console(quiet=True)) if as_json else shown_on(err)

    is_judged = False

    async def judged(stage: Stage, result: DayResult) -> None:
        nonlocal is_judged
        is_judged = True
        progress.stop()
        if as_json:
            typer.echo(json.dumps(document_of(result)))
        else:
            print_result(console, result)
        if once:
            return
        err.print(f"The page stays up at {stage.market_url} until Ctrl-C.")
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()

    def announced(stage: Stage) -> None:
        err.print(f"The day is on show at {stage.market_url}")

    try:
        with progress:
            result = asyncio.run(run_demo(options, progress, judged, resumed, announced))
    except (ProcessFailed, ClockStalled, EmbeddedChainError) as failure:
        # A day that was judged has its document on standard output already.
        document = problem_document("demonstration-failed", "The demonstration failed", str(failure))
        refusal(document, str(failure), as_json and not is_judged)
        return False
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(130)
    return result.holds
