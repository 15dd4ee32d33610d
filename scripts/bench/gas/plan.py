"""What is measured: the whole of docs/benchmarks/gas.json, and the compact set of the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from scripts.bench.figures import Row
from scripts.bench.gas import single, sizes
from scripts.bench.gas.alternatives import DESIGNS, Alternative, Design
from scripts.bench.gas.auction import BATCH
from scripts.bench.gas.bids import random_bids
from scripts.bench.gas.growth import fit, fit_with_groups, touched_groups
from scripts.bench.gas.node import TRANSACTION_GAS, Node
from scripts.bench.gas.scene import Portfolio, Scene, Told, start_node
from scripts.bench.gas.seat_reading import seat_reading_rows
from scripts.bench.gas.sizes import Study, row_of

SEED: Final = 7
SIZES: Final = (10, 50, 100, 500, 1000, 2000, 4000, 10_000)
SMALL: Final = (10, 50, 100, 500, 1000)
"""Sizes that share a node."""
IN_CHUNKS: Final = 20_000
_DELEGATED: Final = Portfolio(30_100, 100, with_gateways=True)
_NEW: Final = Portfolio(30_200, 100, has_bid_before=False)

Step = tuple[str, Callable[[], Iterator[Row]]]


def measure_all(how: str, told: Told) -> list[Row]:
    """Every figure: a few minutes. Large portfolios have nodes of their own: a node copies its state at each block."""
    rows = _measure(
        [Portfolio(n, n, with_gateways=True) for n in SMALL] + [_DELEGATED, _NEW], _steps_of_small, how, told
    )
    for n in sorted(set(SIZES) - set(SMALL)):
        rows += _measure([Portfolio(n, n, with_gateways=True)], _steps_of_large, how, told)
    rows += _measure([Portfolio(IN_CHUNKS, IN_CHUNKS)], _steps_of_largest, how, told)
    for design in DESIGNS:
        rows += _measure_alternative(design, how, told)
    with start_node() as chain:
        rows += seat_reading_rows(Node(chain), SEED, how, 1000, 400)
    return rows + list(growth_rows(how, rows))


def _measure(
    portfolios: list[Portfolio], steps: Callable[[Study, list[Portfolio]], list[Step]], how: str, told: Told
) -> list[Row]:
    with start_node() as chain:
        study = Study(Scene.build(chain, portfolios, told), SEED, how)
        return run(steps(study, portfolios), told)


def _steps_of_small(study: Study, portfolios: list[Portfolio]) -> list[Step]:
    sized = {portfolio.seats: portfolio for portfolio in portfolios if portfolio not in {_DELEGATED, _NEW}}
    return [
        *((f"settling, n = {n}", partial(sizes.settlement_rows, study, each)) for n, each in sized.items()),
        *((f"auction, n = {n}", partial(sizes.auction_rows, study, each)) for n, each in sized.items()),
        *((f"full batches, n = {n}", partial(sizes.full_batch_rows, study, each)) for n, each in sized.items()),
        ("expiry between", partial(sizes.expiry_between_rows, study, sized[1000])),
        ("half awarded", partial(single.half_awarded_rows, study, sized[1000], 500)),
        ("claims", partial(single.claim_rows, study, sized[1000])),
        ("a revision", partial(single.revision_rows, study, sized[1000])),
        ("verdicts", partial(single.verdict_rows, study, sized[1000])),
        *_single_steps(study, sized[100]),
    ]


def _steps_of_large(study: Study, portfolios: list[Portfolio]) -> list[Step]:
    return [
        *((f"settling, n = {each.seats}", partial(sizes.settlement_rows, study, each)) for each in portfolios),
        *((f"auction, n = {each.seats}", partial(sizes.auction_rows, study, each)) for each in portfolios),
        *((f"full batches, n = {each.seats}", partial(sizes.full_batch_rows, study, each)) for each in portfolios),
    ]


def _steps_of_largest(study: Study, portfolios: list[Portfolio]) -> list[Step]:
    return [
        ("in chunks", partial(sizes.chunked_rows, study, portfolios[0])),
        ("the largest clearing", partial(sizes.largest_clearing_rows, study, portfolios[0])),
    ]


def _measure_alternative(design: Design, how: str, told: Told) -> list[Row]:
    with start_node() as chain:
        told(f"registering for {design.name}", 0, len(SIZES))
        alternative = Alternative(Node(chain), design, max(SIZES))
        sized = partial(sizes.alternative_rows, alternative, SEED, how)
        return run([(f"{design.name}, n = {n}", partial(sized, n)) for n in SIZES], told)


def measure_snapshot(told: Told) -> dict[str, float]:
    """The compact set: figure and size → gas."""
    sizes_of_bounds = [Portfolio(n, n, with_gateways=True) for n in (100, 500, 1000)]
    portfolios = [*sizes_of_bounds, _DELEGATED, _NEW]
    rows = _measure(portfolios, _steps_of_snapshot, "", told)
    return {f"{row.figure}, n = {row.n}": row.value for row in rows if row.unit.startswith("gas")}


def _steps_of_snapshot(study: Study, portfolios: list[Portfolio]) -> list[Step]:
    hundred, five_hundred, thousand, *_ = portfolios
    return [
        ("settling, n = 500", partial(sizes.settlement_rows, study, five_hundred)),
        ("auction, n = 100", partial(sizes.auction_rows, study, hundred)),
        ("auction, n = 1000", partial(sizes.auction_rows, study, thousand)),
        ("claims", partial(single.claim_rows, study, thousand)),
        ("a revision", partial(single.revision_rows, study, thousand)),
        ("verdicts", partial(single.verdict_rows, study, hundred)),
        *_single_steps(study, hundred),
    ]


def _single_steps(study: Study, portfolio: Portfolio) -> list[Step]:
    return [
        ("registration", partial(single.registration_rows, study)),
        ("decisions", partial(single.decision_rows, study, portfolio)),
        ("kinds of bids", partial(single.posting_rows, study, portfolio)),
        ("delegates", partial(single.delegate_rows, study, _DELEGATED)),
        ("first bids", partial(single.first_bid_rows, study, _NEW)),
        ("first and later credits", partial(single.settling_rows, study, _DELEGATED)),
        ("holds", partial(single.hold_rows, study, portfolio)),
        ("SELL", partial(single.sell_rows, study, portfolio)),
        ("withdrawals", partial(single.money_rows, study, _DELEGATED)),
        ("expiry", partial(single.expiry_rows, study, portfolio)),
        ("gateways with P-256 keys", partial(single.p256_rows, study, _DELEGATED)),
    ]


def run(steps: list[Step], told: Told) -> list[Row]:
    """The rows of the steps, one after the other."""
    rows: list[Row] = []
    for done, (name, measure) in enumerate(steps):
        told(name, done, len(steps))
        rows += measure()
    told(steps[-1][0], len(steps), len(steps))
    return rows


def growth_rows(how: str, rows: list[Row]) -> Iterator[Row]:
    """The lines through what must grow in proportion to the number of bids."""
    for prefix in ("", *(f"{design.name}_" for design in DESIGNS)):
        name = f"{prefix}gas_clear"
        points = [(row.n, row.value) for row in rows if row.figure == name and row.n in SIZES]
        yield from _line_rows(how, name, points)
        if prefix:
            line = fit(points)
            fitting, note = line.largest_below(TRANSACTION_GAS), "where its line meets what a transaction may take"
            yield row_of(how, f"{prefix}bids_cleared_in_one_transaction", fitting, fitting, "bids", note)
    posts = [(row.n, row.value * row.n) for row in rows if row.figure == "gas_post_per_bid" and row.n in SIZES]
    yield from _line_rows(how, "gas_post", posts)
    settled = "gas_settle_per_award_in_full_batches"
    settlements = [(row.n, row.value * row.n) for row in rows if row.figure == settled and row.n in SIZES]
    yield from _line_rows(how, "gas_settle_in_full_batches", settlements)
    yield from _group_rows(how, posts)


def _group_rows(how: str, posts: list[tuple[int, float]]) -> Iterator[Row]:
    """Posting held to what it must be: bids, and for each batch the groups of 256 nanogrids that it touches."""
    orders = {n: [bid.record.index for bid in random_bids(n, SEED)] for n, _ in posts}
    law = fit_with_groups([(n, touched_groups(orders[n], BATCH), value) for n, value in posts])
    largest = max(orders)
    note = f"gas_post = start + slope x bids + per_group x groups of 256 nanogrids touched by each batch of {BATCH}"
    yield row_of(how, "gas_post_with_groups_start", largest, law.start, "gas", note)
    yield row_of(how, "gas_post_with_groups_slope", largest, law.slope, "gas/bid", note)
    yield row_of(how, "gas_post_with_groups_per_group", largest, law.per_group, "gas/group", note)
    yield row_of(how, "gas_post_with_groups_worst_deviation", largest, 100 * law.worst, "%", note)


def _line_rows(how: str, name: str, points: list[tuple[int, float]]) -> Iterator[Row]:
    line, largest = fit(points), max(n for n, _ in points)
    note = f"line through {name} at {', '.join(str(n) for n, _ in points)} bids, least squares of relative deviations"
    yield row_of(how, f"{name}_slope", largest, line.slope, "gas/bid", note)
    yield row_of(how, f"{name}_start", largest, line.start, "gas", note)
    yield row_of(how, f"{name}_worst_deviation", largest, 100 * line.worst, "%", note)
