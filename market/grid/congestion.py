"""Congestion: which limits a grid state breaks, what moves them, and how much energy brings all inside.

Load convention: a change of + 1 W at a bus is more withdrawal or less injection there.
Source of the default limits: the market's parameters (YELLOW above 100 % of rating or outside ±10 % of nominal
voltage; back to GREEN below 95 % and inside ±9.5 % for two intervals).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from scipy.optimize import brentq

from market.domain.products import Direction
from market.grid.powerflow import GridState, Injections, PowerFlow, with_changes

QUARTER_HOUR_S: Final = 900
PERTURBATION_W: Final = 1000.0
"""Change by which sensitivities are taken. [W]"""
_ROOT_TOLERANCE_W: Final = 20.0
_DOUBLINGS: Final = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a node. Loading in % of rating; voltage bands as a share of nominal; clear_*: back to GREEN."""

    loading_percent: float = 100.0
    voltage_band: float = 0.10
    clear_loading_percent: float = 95.0
    clear_voltage_band: float = 0.095
    clear_intervals: int = 2

    def tightened(self, margin_percent: float) -> Limits:
        """The same limits nearer by a margin: percentage points of loading, and the like share of the band."""
        return Limits(
            self.loading_percent - margin_percent,
            self.voltage_band * (1 - margin_percent / 100),
            self.clear_loading_percent,
            self.clear_voltage_band,
            self.clear_intervals,
        )

    @property
    def to_clear(self) -> Limits:
        """The narrower limits that a state has to keep before the node turns GREEN again."""
        return Limits(self.clear_loading_percent, self.clear_voltage_band, self.clear_loading_percent,
                      self.clear_voltage_band, self.clear_intervals)  # fmt: skip


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken limit. element: "transformer:0", "line:7" (value and limit in % of rating) or "bus:5" (p.u.)."""

    element: str
    value: float
    limit: float

    @property
    def is_voltage(self) -> bool:
        """Whether the voltage of a bus is meant, not the loading of an element."""
        return self.element.startswith("bus:")


@dataclass(frozen=True, slots=True)
class Need:
    """What brings a congested state just inside its limits.

    direction, power_w [W], energy_wh [Wh of the interval, rounded up], violation: the worst one; change_w: bus →
    change of power that was assumed [W]; state: the grid with it. solved: whether any change in this direction
    does it; within_available: whether the stated flexibility is enough (None when none was stated).
    """

    direction: Direction
    power_w: int
    energy_wh: int
    violation: Violation
    change_w: Mapping[int, float]
    state: GridState
    solved: bool
    within_available: bool | None


class NotConvergedError(RuntimeError):
    """The power flow of the state to be judged has no solution: nothing can be derived from it."""


def excess(state: GridState, limits: Limits = DEFAULT_LIMITS) -> dict[str, float]:
    """Element → how far it is beyond its limit, as a share of the limit (of the band for voltage); < 0 inside.

    Raises NotConvergedError.
    """
    if not state.converged:
        raise NotConvergedError("the power flow did not converge")
    beyond = {key: value / limits.loading_percent - 1 for key, value in state.loading_percent.items()}
    beyond |= {f"bus:{bus}": abs(vm - 1) / limits.voltage_band - 1 for bus, vm in state.vm_pu.items()}
    return beyond


def violations(state: GridState, limits: Limits = DEFAULT_LIMITS) -> tuple[Violation, ...]:
    """Broken limits, worst first. Raises NotConvergedError."""
    broken = sorted(((-by, key) for key, by in excess(state, limits).items() if by > 0), key=lambda item: item[0])
    return tuple(_violation(key, state, limits) for _, key in broken)


def is_clear(state: GridState, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether the state keeps the narrower limits of the hysteresis; False when it did not converge."""
    return state.converged and not violations(state, limits.to_clear)


def measure(state: GridState, element: str) -> float:
    """Loading [%] of a transformer or line, or distance of a bus's voltage from nominal [p.u.]."""
    if element.startswith("bus:"):
        return abs(state.vm_pu[int(element.removeprefix("bus:"))] - 1)
    return state.loading_percent[element]


def sensitivities(
    power_flow: PowerFlow, injections: Injections, element: str, buses: Iterable[int], step_w: float = PERTURBATION_W
) -> dict[int, float]:
    """Bus → change of the element's measure for each + 1 kW drawn there [% or p.u. per kW], by perturbation.

    Raises NotConvergedError.
    """
    before = measure(_converged(power_flow.solve(injections)), element)
    changes = {}
    for bus in buses:
        state = _converged(power_flow.solve(with_changes(injections, {bus: step_w})))
        changes[bus] = (measure(state, element) - before) / (step_w / 1000)
    return changes


def relieving_direction(effects: Mapping[int, float]) -> Direction:
    """Direction that lowers an element's measure, from its sensitivities at all buses together."""
    return Direction.DOWN if sum(effects.values()) < 0 else Direction.UP


def need(
    power_flow: PowerFlow,
    injections: Injections,
    limits: Limits = DEFAULT_LIMITS,
    *,
    available_w: Mapping[Direction, Mapping[int, float]] | None = None,
    candidates: Iterable[int] | None = None,
    margin_percent: float = 1.0,
    span_s: int = QUARTER_HOUR_S,
) -> Need | None:
    """Flexibility that brings everything inside the limits less a margin; None when no limit is broken.

    available_w: for each direction bus → flexibility [W], by which the change is shared out; without it the change
    is shared evenly over the `candidates` (default: all buses). Only buses that relieve the worst element count.
    margin_percent: how far inside, in percentage points of loading. Raises NotConvergedError.
    """
    state = _converged(power_flow.solve(injections))
    broken = violations(state, limits)
    if not broken:
        return None
    worst = broken[0]
    effects = sensitivities(power_flow, injections, worst.element, candidates or power_flow.network.buses)
    direction = relieving_direction(effects)
    weights, total_w = _weights(effects, direction, None if available_w is None else available_w[direction])
    target = limits.tightened(margin_percent)
    sign = direction.load_sign

    def change(power_w: float) -> dict[int, float]:
        return {bus: sign * power_w * weight for bus, weight in weights.items()}

    def worst_excess(power_w: float) -> float:
        after = power_flow.solve(with_changes(injections, change(power_w)))
        return max(excess(after, target).values()) if after.converged else float("inf")

    power_w, solved = _least_power(worst_excess, weights, start_w=_first_guess(injections))
    return Need(
        direction=direction,
        power_w=power_w,
        energy_wh=ceil(power_w * span_s / 3600),
        violation=worst,
        change_w=change(power_w),
        state=power_flow.solve(with_changes(injections, change(power_w))),
        solved=solved,
        within_available=None if total_w is None else solved and power_w <= total_w,
    )


def least_root(function: Callable[[float], float], low_w: float, high_w: float) -> float:
    """Power between `low_w` (function > 0) and `high_w` (function <= 0) from which the function is not above 0."""
    root = float(brentq(function, low_w, high_w, xtol=_ROOT_TOLERANCE_W))
    while root < high_w and function(root) > 0:
        root = min(high_w, root + _ROOT_TOLERANCE_W)
    return root


def _least_power(function: Callable[[float], float], weights: Mapping[int, float], start_w: float) -> tuple[int, bool]:
    if not weights:
        return 0, False
    low_w, high_w, best_w, best = 0.0, start_w, 0.0, function(0.0)
    for _ in range(_DOUBLINGS):
        value = function(high_w)
        if value <= 0:
            return ceil(least_root(function, low_w, high_w)), True
        if value >= best:  # the limit of the other side is nearer now: look between
            break
        low_w, best_w, best, high_w = high_w, high_w, value, high_w * 2
    return _best_between(function, best_w / 2, high_w)


def _best_between(function: Callable[[float], float], low_w: float, high_w: float) -> tuple[int, bool]:
    """Where the worst excess is least, for a function that falls and then rises (golden section)."""
    ratio = 0.618
    while high_w - low_w > _ROOT_TOLERANCE_W:
        left_w, right_w = high_w - ratio * (high_w - low_w), low_w + ratio * (high_w - low_w)
        at_left = function(left_w)
        if at_left <= 0:
            return ceil(least_root(function, 0.0, left_w)), True
        if at_left < function(right_w):
            high_w = right_w
        else:
            low_w = left_w
    return ceil(high_w), False


def _weights(
    effects: Mapping[int, float], direction: Direction, available_w: Mapping[int, float] | None
) -> tuple[dict[int, float], float | None]:
    """Share of each bus that relieves the element, and the sum of what is available [W]."""
    helpful = [bus for bus, effect in effects.items() if effect * direction.load_sign < 0]
    if available_w is None:
        return {bus: 1 / len(helpful) for bus in helpful}, None
    offered = {bus: available_w.get(bus, 0.0) for bus in helpful}
    total_w = sum(offered.values())
    if total_w <= 0:
        return {bus: 1 / len(helpful) for bus in helpful}, 0.0
    return {bus: power_w / total_w for bus, power_w in offered.items() if power_w > 0}, total_w


def _first_guess(injections: Injections) -> float:
    return max(1000.0, abs(sum(injection.p_w for injection in injections.values())) / 8)


def _violation(element: str, state: GridState, limits: Limits) -> Violation:
    if not element.startswith("bus:"):
        return Violation(element, state.loading_percent[element], limits.loading_percent)
    vm_pu = state.vm_pu[int(element.removeprefix("bus:"))]
    return Violation(element, vm_pu, 1 + limits.voltage_band if vm_pu > 1 else 1 - limits.voltage_band)


def _converged(state: GridState) -> GridState:
    if not state.converged:
        raise NotConvergedError("the power flow did not converge")
    return state
