"""The DSO's ex-ante check of a cleared result: which awards may not stand.

An award is rejected when it worsens the element for which the flexibility was asked, or when it takes part in
breaking a limit that was kept before (or in breaking one further).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from market.grid.congestion import (
    DEFAULT_LIMITS,
    Limits,
    Violation,
    excess,
    sensitivities,
    violations,
)
from market.grid.powerflow import GridState, Injections, PowerFlow, with_changes

NEGLIGIBLE_WORSENING: Final = 1e-3
"""An award that raises the element's measure by less is not said to worsen it. [% or 0.01 p.u.]"""


@dataclass(frozen=True, slots=True)
class AwardedChange:
    """An award as the grid sees it. position: in the posting order; delta_w: change at the bus [W, + more load]."""

    position: int
    bus: int
    delta_w: float


@dataclass(frozen=True, slots=True)
class ExAnteCheck:
    """Result: position → reason of each rejected award, and the grid before, with all and with what is left."""

    rejected: Mapping[int, str]
    before: GridState
    with_all: GridState
    after: GridState

    @property
    def accepted(self) -> bool:
        """Whether nothing was rejected."""
        return not self.rejected


def check_awards(
    power_flow: PowerFlow,
    baseline: Injections,
    awards: Sequence[AwardedChange],
    violated_element: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> ExAnteCheck:
    """Rejects what would worsen `violated_element` (default: the baseline's worst violation) or break another limit.

    Raises NotConvergedError when the baseline itself has no solution. Awards with which the grid has no solution
    are all rejected.
    """
    before = power_flow.solve(baseline)
    broken = violations(before, limits)
    if violated_element is None and broken:
        violated_element = broken[0].element
    rejected: dict[int, str] = {}
    if violated_element is not None:
        rejected |= _worsening(power_flow, baseline, awards, violated_element)
    with_all = _with(power_flow, baseline, awards, {})
    while True:
        after = _with(power_flow, baseline, awards, rejected)
        left = [award for award in awards if award.position not in rejected]
        if not after.converged:
            rejected |= {award.position: "with the awards together the power flow has no solution" for award in left}
            continue
        new = _new_violation(before, after, limits)
        if new is None or not left:
            return ExAnteCheck(rejected, before, with_all, after)
        culprit = _culprit(power_flow, baseline, left, new)
        if culprit is None:
            return ExAnteCheck(rejected, before, with_all, after)
        rejected[culprit.position] = _text(power_flow, new)


def _with(
    power_flow: PowerFlow, baseline: Injections, awards: Sequence[AwardedChange], rejected: Mapping[int, str]
) -> GridState:
    return power_flow.solve(with_changes(baseline, _by_bus(awards, rejected)))


def _by_bus(awards: Sequence[AwardedChange], rejected: Mapping[int, str]) -> dict[int, float]:
    change_w: dict[int, float] = {}
    for award in awards:
        if award.position not in rejected:
            change_w[award.bus] = change_w.get(award.bus, 0.0) + award.delta_w
    return change_w


def _worsening(
    power_flow: PowerFlow, baseline: Injections, awards: Sequence[AwardedChange], element: str
) -> dict[int, str]:
    effects = sensitivities(power_flow, baseline, element, sorted({award.bus for award in awards}))
    name = power_flow.network.elements[element]
    threshold = NEGLIGIBLE_WORSENING / 100 if element.startswith("bus:") else NEGLIGIBLE_WORSENING
    return {
        award.position: f"would worsen {name} ({element}), for which the flexibility is asked"
        for award in awards
        if effects[award.bus] * award.delta_w / 1000 > threshold
    }


def _new_violation(before: GridState, after: GridState, limits: Limits) -> Violation | None:
    """Worst limit that the awards broke or broke further."""
    was, is_now = excess(before, limits), excess(after, limits)
    for violation in violations(after, limits):
        if is_now[violation.element] > max(0.0, was[violation.element]) + 1e-6:
            return violation
    return None


def _culprit(
    power_flow: PowerFlow, baseline: Injections, left: Sequence[AwardedChange], new: Violation
) -> AwardedChange | None:
    """The award that adds most to the new violation; the later post on a tie. None when none adds to it."""
    at = with_changes(baseline, _by_bus(left, {}))
    effects = sensitivities(power_flow, at, new.element, sorted({award.bus for award in left}))
    adding = [(effects[award.bus] * award.delta_w, award.position, award) for award in left]
    most = max(adding, key=lambda item: item[:2])
    return most[2] if most[0] > 0 else None


def _text(power_flow: PowerFlow, new: Violation) -> str:
    name = power_flow.network.elements[new.element]
    if new.is_voltage:
        return f"the voltage of {name} ({new.element}) would be {new.value:.3f} p.u., its limit is {new.limit:.3f} p.u."
    return f"{name} ({new.element}) would be loaded to {new.value:.0f} %, its limit is {new.limit:.0f} %"
