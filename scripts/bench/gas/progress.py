"""How a measurement of gas says what it is doing, and what its figures hold for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from market.chain.embedded import HARDFORK
from scripts.bench.gas.compile import settings
from scripts.bench.gas.scene import Told

console = Console()


def conditions(seed: int) -> str:
    """Compiler, EVM, fork, seed."""
    compiler = settings()
    return (
        f"solc {compiler.version}, {'via-IR, ' if compiler.via_ir else ''}"
        f"optimiser {compiler.optimizer_runs} runs, EVM {compiler.evm_version}; anvil with {HARDFORK} "
        f"(EIP-7623, EIP-7825), seed {seed}"
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
