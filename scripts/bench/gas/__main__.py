"""`python -m scripts.bench.gas`: measures what the contracts cost, writes figures and picture, or the snapshot."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from market.chain.embedded import EmbeddedChainError
from scripts.bench.figures import ROOT, write_rows
from scripts.bench.gas.node import GasBenchError
from scripts.bench.gas.picture import draw
from scripts.bench.gas.plan import SEED, measure_all, measure_snapshot
from scripts.bench.gas.progress import conditions, console, told
from scripts.bench.gas.snapshot import SNAPSHOT, write_snapshot

PICTURE: Final = ROOT / "docs" / "pictures" / "gas.png"


def how() -> str:
    """What the figures hold for: command, compiler, EVM, fork, seed."""
    return f"python -m scripts.bench.gas: {conditions(SEED)}"


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
