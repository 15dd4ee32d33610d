"""`python -m scripts.bench.gas.assembly`: what the assembly of each library saves, into docs/benchmarks/assembly.json.

The same auctions are measured on the product's contracts and, library by library, on contracts where its plain twin
stands for it; all other libraries stay as they are. Twins are written to be plain and not to be cheap: what a figure
says is what leaving that library's assembly out would cost with the code that the tests hold it to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Final

import typer

from market.chain.deployment import deploy
from market.chain.embedded import EmbeddedChainError
from scripts.bench.figures import Row, replace_rows
from scripts.bench.gas import single, sizes
from scripts.bench.gas.node import GasBenchError, Node
from scripts.bench.gas.plan import SEED, Step, run
from scripts.bench.gas.progress import conditions, console, told
from scripts.bench.gas.scene import Deploy, Portfolio, Scene, Told, start_node
from scripts.bench.gas.sizes import Study
from scripts.bench.gas.twins import AFFECTED, CREATED, Compiled, compile_with, deploy_code, stand_in
from scripts.build_contracts import CODE_SIZE_LIMIT_BYTES, ROOT

FILE: Final = "assembly.json"
FIGURES: Final = (
    "gas_post_per_bid",
    "gas_post_per_revised_bid",
    "gas_clear",
    "gas_clear_passing_over_16",
    "gas_clear_again",
    "gas_finalise",
    "gas_announce_reading",
    "gas_settle_per_award",
    "gas_settle_per_award_with_penalty",
    "gas_settle_per_award_p256",
    "gas_settle_award_alone",
    "gas_sell_settle_per_award",
    "gas_expire_per_award",
)
"""What users pay for often: of what is measured, what is kept."""
COMPILED_AT_ONCE: Final = 2
_ENOUGH_GAS: Final = 200_000_000
"""Twins that go byte by byte take more than a transaction may. [gas]"""
_THOUSAND: Final = Portfolio(1000, 1000, with_gateways=True)
_FIVE_HUNDRED: Final = Portfolio(500, 500, with_gateways=True)
_HUNDRED: Final = Portfolio(100, 100, with_gateways=True)
_NEVER_CREDITED: Final = Portfolio(30_100, 100, with_gateways=True)
_PORTFOLIOS: Final = (_THOUSAND, _FIVE_HUNDRED, _HUNDRED, _NEVER_CREDITED)

Measured = Mapping[tuple[str, int], Row]
"""Figure and size -> what was measured."""


def libraries() -> tuple[str, ...]:
    """The libraries that hold assembly."""
    sources = sorted((ROOT / "contracts" / "libraries").glob("*.sol"))
    return tuple(path.stem for path in sources if "assembly (" in path.read_text(encoding="utf-8"))


def main(
    only: Annotated[
        list[str] | None, typer.Argument(help="Libraries; the rows of others stay. All by default.")
    ] = None,
) -> None:
    """Measure what the assembly of each library saves."""
    how = f"python -m scripts.bench.gas.assembly: {conditions(SEED)}"
    try:
        with told() as tell:
            for rows in rows_of(only or libraries(), how, tell):
                replace_rows(FILE, rows)
    except (GasBenchError, EmbeddedChainError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    console.print(f"docs/benchmarks/{FILE} is written")


def rows_of(names: Sequence[str], how: str, tell: Told) -> Iterator[list[Row]]:
    """Each library's rows: about ten minutes for all, of which compiling takes most."""
    with ThreadPoolExecutor(COMPILED_AT_ONCE) as compilers:
        compiling = {name: compilers.submit(compile_with, stand_in(name)) for name in names}
        usual = measure(deploy, tell)
        for name, compiled in compiling.items():
            tell(f"compiling without the assembly of {name}", 0, 1)
            yield list(rows_without(name, compiled.result(), usual, how, tell))


def rows_without(name: str, compiled: Mapping[str, Compiled], usual: Measured, how: str, tell: Told) -> Iterator[Row]:
    """By how much each figure gets dearer without a library's assembly, and how long the longest code gets."""
    code = {contract: compiled[contract].creation for contract in AFFECTED}
    plain = measure(partial(deploy_code, code), tell)
    yield from dearer_rows(name, usual, plain, how)
    longest = max((*AFFECTED, *CREATED), key=lambda contract: compiled[contract].size_bytes)
    size = compiled[longest].size_bytes
    note = f"{longest} with the plain twin of {name}, where EIP-170 allows {CODE_SIZE_LIMIT_BYTES:,}; {how}"
    yield Row(f"longest_code_without_{name}", 1, size, "byte", note)


def dearer_rows(name: str, usual: Measured, plain: Measured, how: str) -> Iterator[Row]:
    """Per cent by which figures with a plain twin are above the product's. GasBenchError where one side lacks one."""
    if usual.keys() != plain.keys():
        raise GasBenchError(f"without {name} other figures were measured: {sorted(usual.keys() ^ plain.keys())}")
    for (figure, n), row in usual.items():
        value = plain[figure, n].value
        note = f"{row.value:,.0f} {row.unit} with the assembly of {name}, {value:,.0f} with its plain twin; {row.how}"
        yield Row(f"{figure}_without_{name}", n, round(100 * (value / row.value - 1), 1), "%", f"{note}; {how}")


def measure(deploy: Deploy, tell: Told) -> Measured:
    """The figures of one deployment."""
    with start_node(limited=False) as chain:
        study = Study(Scene.prepared(Node(chain, _ENOUGH_GAS), _PORTFOLIOS, tell, deploy), SEED, "")
        rows = run(steps(study), tell)
    return {(row.figure, row.n): row for row in rows if row.figure in FIGURES}


def steps(study: Study) -> list[Step]:
    """A compact set of what scripts.bench.gas measures."""
    return [
        ("settling", partial(sizes.settlement_rows, study, _FIVE_HUNDRED)),
        ("auction", partial(sizes.auction_rows, study, _THOUSAND)),
        ("claims", partial(single.claim_rows, study, _THOUSAND)),
        ("verdicts", partial(single.verdict_rows, study, _THOUSAND)),
        ("kinds of bids", partial(single.posting_rows, study, _HUNDRED)),
        ("SELL", partial(single.sell_rows, study, _HUNDRED)),
        ("expiry", partial(single.expiry_rows, study, _HUNDRED)),
        ("penalties", partial(single.settling_rows, study, _NEVER_CREDITED)),
        ("P-256 keys", partial(single.p256_rows, study, _NEVER_CREDITED)),
    ]


if __name__ == "__main__":
    typer.run(main)
