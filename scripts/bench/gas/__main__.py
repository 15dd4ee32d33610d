"""`python -m scripts.bench.gas`: measures what the contracts cost, writes figures and picture, or the snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from market.chain.embedded import HARDFORK, EmbeddedChainError
from scripts.bench.figures import ROOT, write_rows
from scripts.bench.gas.compile import settings
from scripts.bench.gas.node import GasBenchError
from scripts.bench.gas.picture import draw
from scripts.bench.gas.plan import SEED, measure_all, measure_snapshot
from scripts.bench.gas.scene import Told
from scripts.bench.gas.snapshot import SNAPSHOT, write_snapshot

PICTURE: Final = ROOT / "docs" / "pictures" / "gas.png"
console = Console()


def how() -> str:
    """What the figures hold for: command, compiler, EVM, fork, seed."""
    compiler = settings()
    return (
        f"python -m scripts.bench.gas: solc {compiler.version}, {'via-IR, ' if compiler.via_ir else ''}"
        f"optimiser {compiler.optimizer_runs} runs, EVM {compiler.evm_version}; anvil with {HARDFORK} "
        f"(EIP-7623, EIP-7825), seed {SEED}"
    )


@contextmanager
def told() -> Iterator[Told]:
    """A bar on a terminal, a line for each step elsewhere."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("starting the node", total=None)
        last = ""

        def tell(name: str, done: int, total: int) -> None:
            nonlocal last
            bars.update(task, description=name, completed=done, total=total)
            if not console.is_terminal and name != last:
                console.print(f"{name} ({done} of {total})", highlight=False)
            last = name

        yield tell


def main(
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Write tests/gas/snapshot.json only.")] = False,
) -> None:
    """Measure gas on a node of its own."""
    try:
        with told() as tell:
            if snapshot:
                write_snapshot(measure_snapshot(tell))
                console.print(f"{SNAPSHOT.relative_to(ROOT)} is written")
                return
            rows = measure_all(how(), tell)
    except (GasBenchError, EmbeddedChainError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    write_rows("gas.json", rows)
    draw(rows, PICTURE)
    console.print(f"{len(rows)} figures in docs/benchmarks/gas.json, picture in {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    typer.run(main)
