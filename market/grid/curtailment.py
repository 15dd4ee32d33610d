"""RED: the least energy of direct commands that brings a congested node inside its limits.

Connection points are used in the order in which they relieve the worst element per kW, each as far as it can be
curtailed, the last one in part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from market.domain.products import Direction
from market.grid.congestion import (
    DEFAULT_LIMITS,
    Limits,
    Violation,
    excess,
    least_root,
    relieving_direction,
    sensitivities,
    violations,
)
from market.grid.powerflow import GridState, Injections, PowerFlow, with_changes


@dataclass(frozen=True, slots=True)
class Curtailable:
    """A connection point that can be commanded: how far it can go down and up [W, both at least 0]."""

    point: int
    bus: int
    down_w: int = 0
    up_w: int = 0


@dataclass(frozen=True, slots=True)
class Curtailment:
    """Commands as point → change of power [W, load convention: DOWN is +], and whether they solve the violation."""

    direction: Direction
    delta_w: Mapping[int, int]
    violation: Violation
    solved: bool
    before: GridState
    after: GridState


def choose_commands(
    power_flow: PowerFlow,
    injections: Injections,
    points: Sequence[Curtailable],
    limits: Limits = DEFAULT_LIMITS,
    margin_percent: float = 0.5,
) -> Curtailment | None:
    """Commands that solve the violations of `injections`; None when there are none.

    When the points together cannot, the commands leave the least excess and `solved` is False.
    margin_percent: how far inside the limits, in percentage points of loading. Raises NotConvergedError.
    """
    before = power_flow.solve(injections)
    broken = violations(before, limits)
    if not broken:
        return None
    effects = sensitivities(power_flow, injections, broken[0].element, power_flow.network.buses)
    direction = relieving_direction(effects)
    steps = _steps(points, effects, direction)
    target = limits.tightened(margin_percent)

    def state_with(shares_w: Mapping[int, int]) -> GridState:
        return power_flow.solve(with_changes(injections, _by_bus(points, shares_w, direction)))

    def worst_excess(power_w: float) -> float:
        after = state_with(_share_out(steps, power_w))
        return max(excess(after, target).values()) if after.converged else float("inf")

    shares_w = _share_out(steps, _least_power(worst_excess, steps))
    after = state_with(shares_w)
    return Curtailment(
        direction=direction,
        delta_w={point: direction.load_sign * share_w for point, share_w in shares_w.items()},
        violation=broken[0],
        solved=after.converged and not violations(after, limits),
        before=before,
        after=after,
    )


def _steps(
    points: Sequence[Curtailable], effects: Mapping[int, float], direction: Direction
) -> list[tuple[Curtailable, int]]:
    """Points that relieve the element and what each can give [W], the most effective first."""
    offers = [(point, point.down_w if direction is Direction.DOWN else point.up_w) for point in points]
    useful = [(p, power_w) for p, power_w in offers if power_w > 0 and effects[p.bus] * direction.load_sign < 0]
    return sorted(useful, key=lambda step: (-abs(effects[step[0].bus]), step[0].point))


def _share_out(steps: Sequence[tuple[Curtailable, int]], power_w: float) -> dict[int, int]:
    """Point → power [W], filled in the order of the steps."""
    shares: dict[int, int] = {}
    left_w = ceil(power_w)
    for point, most_w in steps:
        if left_w <= 0:
            break
        shares[point.point] = min(most_w, left_w)
        left_w -= shares[point.point]
    return shares


def _least_power(worst_excess: Callable[[float], float], steps: Sequence[tuple[Curtailable, int]]) -> float:
    """Least power that solves it, found step by step (too much could break the limit of the other side); else the
    power at which the worst excess is least."""
    low_w, best = 0.0, (worst_excess(0.0), 0.0)
    for _, most_w in steps:
        high_w = low_w + most_w
        value = worst_excess(high_w)
        if value <= 0:
            return least_root(worst_excess, low_w, high_w)
        best = min(best, (value, high_w))
        low_w = high_w
    return best[1]


def _by_bus(points: Sequence[Curtailable], shares_w: Mapping[int, int], direction: Direction) -> dict[int, float]:
    change_w: dict[int, float] = {}
    for point in points:
        if point.point in shares_w:
            change_w[point.bus] = change_w.get(point.bus, 0.0) + direction.load_sign * shares_w[point.point]
    return change_w
