"""The figures as a picture: gas per bid, per clearing and per settled award against the number of bids, log-log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from scripts.bench.figures import Row
from scripts.bench.gas.node import TRANSACTION_GAS

OURS: Final = "#12324f"
OURS_BESIDE: Final = "#5f86ab"
SLOTS: Final = "#b5651d"
LIST: Final = "#7a4fa0"
TARGET: Final = "#2f7d4f"
LIMIT: Final = "#a33b3b"


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure's line. label: at its end; above: points by which the label is moved up."""

    figure: str
    label: str
    colour: str
    dashed: bool = False
    above: float = 0


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must be at one size, and what is aimed at. [gas]"""

    n: int
    must: int
    aim: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the drawings."""

    title: str
    unit: str
    along: str
    curves: tuple[Curve, ...]
    targets: tuple[Target, ...]
    limit: int | None = None


PANELS: Final = (
    Panel(
        "A bid, posted and cleared",
        "gas per bid",
        "bids of one offer",
        (
            Curve("gas_post_and_clear_per_bid", "this design", OURS, above=7),
            Curve("gas_post_per_bid", "its posting alone", OURS_BESIDE, dashed=True, above=-7),
            Curve("stored_slots_gas_post_and_clear_per_bid", "stored slots,\nchecked permutation", SLOTS),
            Curve("hinted_list_gas_post_and_clear_per_bid", "hinted\nsorted list", LIST),
        ),
        (Target(1000, 9_300, 8_600),),
    ),
    Panel(
        "A clearing",
        "gas per clearing",
        "bids of one offer",
        (
            Curve("gas_clear", "this design", OURS, above=-3),
            Curve("stored_slots_gas_clear", "stored slots,\nchecked permutation", SLOTS, above=17),
            Curve("hinted_list_gas_clear", "hinted sorted list", LIST, above=-1),
        ),
        (Target(1000, 600_000, 450_000),),
        limit=TRANSACTION_GAS,
    ),
    Panel(
        "A settled award",
        "gas per award",
        "awards of one offer; alone: seats of the portfolio",
        (
            Curve("gas_settle_award_alone", "alone, by\nanyone", OURS_BESIDE, dashed=True),
            Curve("gas_settle_per_award", "in batches of\nup to 200", OURS_BESIDE, above=6),
            Curve("gas_settle_per_award_in_full_batches", "in full batches", OURS, above=-8),
        ),
        (Target(500, 12_500, 10_000), Target(1000, 85_000, 45_000)),
    ),
)
"""The panels, with the targets that the figures are held against."""


def draw(rows: Iterable[Row], path: Path) -> None:
    """Write the PNG."""
    figure = figure_of(list(rows))
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def figure_of(rows: Sequence[Row]) -> Figure:
    """The drawing itself."""
    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(16, 5.6), layout="constrained")
    for axes, panel in zip(panels, PANELS, strict=True):
        _draw_panel(axes, panel, rows)
    figure.suptitle(
        "Gas against the number of bids: random prices in random order, batches of 400, every slot cold", fontsize=13
    )
    return figure


def _draw_panel(axes: Axes, panel: Panel, rows: Sequence[Row]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    largest = 1
    for curve in panel.curves:
        points = sorted((row.n, row.value) for row in rows if row.figure == curve.figure)
        if not points:
            continue
        style = "--" if curve.dashed else "-"
        axes.plot(*zip(*points, strict=True), style, color=curve.colour, marker="o", markersize=3.5, linewidth=1.9)
        axes.annotate(
            curve.label, points[-1], (7, curve.above), textcoords="offset points",
            color=curve.colour, fontsize=9, va="center",
        )  # fmt: skip
        largest = max(largest, points[-1][0])
    for target in panel.targets:
        _draw_target(axes, target)
    if panel.limit is not None:
        axes.axhline(panel.limit, color=LIMIT, linewidth=1, linestyle=":")
        axes.annotate(
            f"one transaction: {panel.limit:,}", (9, panel.limit), (0, 4), textcoords="offset points",
            color=LIMIT, fontsize=9,
        )  # fmt: skip
    axes.set_xlim(8, largest * 9)  # room for the labels at the ends
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom / 1.4, top * 1.15)  # and for those of the targets
    axes.set_title(panel.title, fontsize=12)
    axes.set_xlabel(panel.along)
    axes.set_ylabel(panel.unit)
    _style(axes)


def _draw_target(axes: Axes, target: Target) -> None:
    """A bar from must down to aim at the target's size."""
    axes.plot([target.n] * 2, [target.must, target.aim], color=TARGET, linewidth=1.2)
    for value in (target.must, target.aim):
        axes.plot(target.n, value, marker="_", markersize=13, markeredgewidth=2, color=TARGET)
    axes.annotate(
        f"must ≤ {target.must:,}\naim ≤ {target.aim:,}", (target.n, target.aim), (5, -5), textcoords="offset points",
        color=TARGET, fontsize=8.5, va="top",
    )  # fmt: skip


def _style(axes: Axes) -> None:
    axes.grid(which="major", alpha=0.3)
    axes.grid(which="minor", alpha=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(FuncFormatter(_only_2_and_5))


def _only_2_and_5(value: float, _: int | None) -> str:
    digit = f"{value:.0e}"[0]
    return f"{value:,.0f}" if digit in "25" else ""
