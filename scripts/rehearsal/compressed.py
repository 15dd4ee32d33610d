"""A part of a scenario's day in other intervals: powers stay, time is compressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway_agent.drivers.simulated.profile import Series, SimulatedNanogrid
from scripts.demo.scenario import Scenario, state_at


def compressed(scenario: Scenario, steps: Sequence[int], first_interval: int, step_s: int) -> Scenario:
    """The scenario's steps of these numbers as consecutive intervals.

    steps: at least one, repetitions allowed; the plants start as they are before the first of them.
    first_interval: its start [epoch s], a multiple of step_s. step_s: length of an interval [s].

    Raises:
        ValueError: first_interval is not on the grid of step_s.
    """
    if first_interval % step_s:
        raise ValueError(f"first_interval must be a multiple of step_s ({step_s}), not {first_interval}")
    start_s = scenario.first_interval + steps[0] * scenario.step_s

    def cut(series: Series) -> Series:
        return Series(
            first_interval,
            step_s,
            tuple(series.load_w[step] for step in steps),
            tuple(series.load_var[step] for step in steps),
            tuple(series.pv_available_w[step] for step in steps),
        )

    def moved(point: SimulatedNanogrid) -> SimulatedNanogrid:
        state = state_at(point, start_s)
        return replace(point, initial_state=state, actual=cut(point.actual), forecast=cut(point.forecast))

    return replace(
        scenario,
        first_interval=first_interval,
        step_s=step_s,
        nanogrids=tuple(map(moved, scenario.nanogrids)),
        passive=tuple(map(moved, scenario.passive)),
    )
