"""Driver of a simulated plant: plays a profile and the physics of its devices.

The plant is a world of its own: it goes on while the gateway is down, follows a set-point until that expires and then
its default. In a stubborn window it takes set-points and ignores them.

What happens does not depend on who looks: the plant is moved on over whole pieces, which end where its profile, its
set-point or a stubborn window changes; a measurement within a piece is worked out from the piece's start and not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from gateway_agent.drivers import (
    Capabilities,
    Device,
    DeviceFlexibility,
    FlexibilityForecast,
    Json,
    Measurement,
    NoMeasurement,
    Registers,
    SetPoint,
)
from gateway_agent.drivers.simulated.plant import (
    J_PER_WH,
    PlantState,
    ProfileValues,
    advance,
    flexibility,
    soc_permille,
)
from gateway_agent.drivers.simulated.profile import Series, SimulatedNanogrid, read_nanogrid

Window = tuple[int, int]
"""From, to [epoch s]; to is outside."""

_OPTIONS: Final = frozenset({"profile", "stubborn"})


class SimulatedDriver:
    """One simulated nanogrid. `stubborn`: windows in which set-points are taken and ignored."""

    family = "simulated"

    def __init__(self, nanogrid: SimulatedNanogrid, stubborn: Sequence[Window] = ()) -> None:
        self._nanogrid = nanogrid
        self._stubborn = tuple(stubborn)
        self._state = nanogrid.initial_state
        self._set_point: SetPoint | None = None
        self._registers: Registers | None = None
        self._power: tuple[int, int] | None = None
        self._seen_at = 0

    @classmethod
    def from_options(cls, options: Mapping[str, Any], folder: Path) -> Self:
        """The driver of `[driver]`: profile (file), stubborn (list of [from, to], epoch seconds)."""
        unknown = sorted(set(options) - _OPTIONS)
        if unknown or "profile" not in options:
            raise ValueError(f"[driver] of family simulated needs profile and may have stubborn; unknown: {unknown}")
        stubborn = [(int(start), int(end)) for start, end in options.get("stubborn", ())]
        return cls(read_nanogrid(folder / str(options["profile"])), stubborn)

    def capabilities(self) -> Capabilities:
        plant = self._nanogrid.plant
        devices = (
            Device("battery", plant.battery.power_w, plant.battery.energy_wh),
            Device("pv", plant.pv.power_w),
            Device("shiftable", plant.shiftable.power_w, plant.shiftable.energy_wh),
        )
        fitted = tuple(device for device in devices if device.power_w)
        return Capabilities(
            connection_w=self._nanogrid.rated_power_w,
            devices=fitted,
            controls_active=bool(fitted),
            controls_reactive=bool(plant.battery.power_w or plant.pv.power_w),
        )

    async def open(self, state: Json | None, at: int) -> None:
        if state is None:
            self._registers = Registers(at, 0, 0)
            return
        self._state = PlantState.from_json(state["plant"])
        self._registers = Registers(**state["registers"])
        self._set_point = SetPoint(**state["set_point"]) if state["set_point"] else None

    async def measure(self, at: int) -> Measurement:
        self._advance(at)
        plant = self._nanogrid.plant
        state, registers, power = self._moved_on(at)
        active_w, reactive_var = power if power is not None else (None, None)
        storages = {"battery": soc_permille(plant, state)} if plant.battery.energy_wh else {}
        return Measurement(registers, active_w, reactive_var, storages)

    async def apply(self, set_point: SetPoint, at: int) -> None:
        self._change(set_point, at)

    async def release(self, at: int) -> None:
        self._change(None, at)

    def _change(self, set_point: SetPoint | None, at: int) -> None:
        self._advance(at)
        before, state, registers = self._targets(at), *self._moved_on(at)[:2]
        self._set_point = set_point
        if self._targets(at) != before:  # a piece ends here; one that goes on as it was does not
            self._state, self._registers = state, registers

    async def flexibility(self, interval: int, span_s: int, at: int) -> FlexibilityForecast:
        """From the forecast; the part of the running interval that is left, from what is measured now."""
        plant, state, seen = self._nanogrid.plant, self._state, self._opened().at
        if interval + span_s <= max(seen, at):
            raise NoMeasurement(f"the interval {interval} is over")
        start = max(seen, interval, at if interval <= at else interval)
        for begin, end in _pieces(seen, start, self._nanogrid.forecast, self._edges()):
            target_w, target_var = self._targets(begin)
            state, _ = advance(plant, state, self._expected(begin, at), end - begin, target_w, target_var)
        found = flexibility(plant, state, self._expected(start, at), interval + span_s - start)
        stored_wh = state.stored_j * plant.battery.discharge_permille // 1000 // J_PER_WH
        room_j = plant.battery.energy_wh * J_PER_WH - state.stored_j
        owed_wh = state.owed_j // J_PER_WH
        devices = (
            DeviceFlexibility(
                kind="battery",
                up_wh=found.up.battery,
                down_wh=found.down.battery,
                left_up_wh=stored_wh,
                left_down_wh=room_j * 1000 // plant.battery.charge_permille // J_PER_WH,
                capacity_wh=plant.battery.energy_wh,
            ),
            DeviceFlexibility(
                kind="shiftable",
                up_wh=found.up.shiftable,
                down_wh=found.down.shiftable,
                left_up_wh=max(0, plant.shiftable.energy_wh - owed_wh),
                left_down_wh=max(0, plant.shiftable.energy_wh + owed_wh),
            ),
            DeviceFlexibility(kind="pv", up_wh=0, down_wh=found.down.pv),
        )
        return FlexibilityForecast(interval, found.default_wh, devices)

    def state(self) -> Json:
        return {
            "plant": self._state.to_json(),
            "registers": asdict(self._opened()),
            "set_point": asdict(self._set_point) if self._set_point else None,
        }

    async def close(self) -> None:
        """Nothing is held open."""

    def _opened(self) -> Registers:
        if self._registers is None:
            raise NoMeasurement("the driver is not open")
        return self._registers

    def _expected(self, moment: int, now: int) -> ProfileValues:
        nanogrid = self._nanogrid
        running = moment // nanogrid.actual.step_s == now // nanogrid.actual.step_s
        return (nanogrid.actual if running else nanogrid.forecast).at(moment)

    def _edges(self) -> set[int]:
        edges = {moment for window in self._stubborn for moment in window}
        return edges | ({self._set_point.expires_at} if self._set_point else set())

    def _advance(self, at: int) -> None:
        """Move the plant on over the pieces that are over at `at`."""
        registers = self._opened()
        if at < max(registers.at, self._seen_at):
            raise NoMeasurement(f"the meter is at {self._seen_at} already and keeps no value of {at}")
        self._seen_at = at
        *_, (present, _) = _pieces(registers.at, at + 1, self._nanogrid.actual, self._edges())
        if present > registers.at:  # the piece that runs at `at` began after the last one that was kept
            self._state, self._registers, self._power = self._moved_on(present)

    def _moved_on(self, at: int) -> tuple[PlantState, Registers, tuple[int, int] | None]:
        """State, meter and mean power [W, var] at a moment to come, or now."""
        registers, state, power = self._opened(), self._state, self._power
        active_wh, reactive_varh = registers.active_wh, registers.reactive_varh
        for start, end in _pieces(registers.at, at, self._nanogrid.actual, self._edges()):
            target_w, target_var = self._targets(start)
            state, energies = advance(
                self._nanogrid.plant, state, self._nanogrid.actual.at(start), end - start, target_w, target_var
            )
            active_wh += energies.active_wh
            reactive_varh += energies.reactive_varh
            power = (energies.net_w, energies.reactive_varh * J_PER_WH // (end - start))
        return state, Registers(at, active_wh, reactive_varh), power

    def _targets(self, moment: int) -> tuple[int | None, int | None]:
        set_point = self._set_point
        if set_point is None or moment >= set_point.expires_at:
            return None, None
        if any(start <= moment < end for start, end in self._stubborn):
            return None, None
        return set_point.target_w, set_point.target_var


def _pieces(start: int, end: int, series: Series, edges: set[int]) -> Iterator[Window]:
    """The span cut wherever profile or targets may change."""
    first_step = series.first_interval + -(-(start - series.first_interval) // series.step_s) * series.step_s
    steps = range(first_step, end, series.step_s)
    cuts = sorted({start, end, *(edge for edge in edges if start < edge < end), *(s for s in steps if start < s)})
    return pairwise(cuts)
