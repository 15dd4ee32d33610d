"""A day of a real grid as nanogrids: who stands where with which devices, what happens and what was forecast.

One nanogrid for each load of the extract. A PV plant or hybrid storage belongs to the largest load of its bus.
Everything follows from the extract, the date and the seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import Any, Final

from gateway_agent.drivers.simulated.plant import (
    Battery,
    Energies,
    Plant,
    PlantState,
    ProfileValues,
    Pv,
    ShiftableLoad,
    advance,
    initial_state,
)
from gateway_agent.drivers.simulated.profile import Series, SimulatedNanogrid
from market.domain.units import nanogrid_id
from market.grid.congestion import DEFAULT_LIMITS, Limits
from market.grid.forecasts import NodeForecast, PointForecast
from market.grid.network import load_network
from market.grid.powerflow import GridState, Injection, PowerFlow
from scripts.demo.extract import STEPS_PER_DAY, DayProfiles, Extract, ExtractDay, ExtractLoad, read_profiles
from scripts.demo.forecast_error import CLOUDS, ONE_LOAD, ONE_PLANT, error_factors

PORTFOLIO: Final = 1
"""The one portfolio of a demonstration."""
LEAD_IN_INTERVALS: Final = 5
"""Intervals before midnight in which the market already prepares the day; the first values hold then."""
FORECAST_STEPS: Final = 5
"""How long ahead the power of a connection point is forecast: what its plant has done until then is known."""
FIRST_SOC_PERMILLE: Final = (100, 300)
"""State of charge at midnight, drawn evenly: batteries have served the evening. [per mille]"""
SHIFTABLE_PERMILLE: Final = {"HLS": 800, "Soil": 700, "Air": 700, "APLS": 800, "H": 150, "L": 150, "G": 100}
"""Shiftable share by the beginning of the load's profile: charging points, heat pumps, households, farms, trade."""
SHIFTABLE_HOURS: Final = 2
"""Longest time for which the shiftable part is held back or taken ahead at its full power. [h]"""
CLONE_SCALE: Final = (0.5, 1.1)
CLONE_SHIFT_STEPS: Final = 4


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
    """Choices of the user. day: default the first day of the extract; households: number of nanogrids, default one
    for each load; transformer_kva: default the day's suggestion, else the grid's own [kVA]."""

    day: date | None = None
    seed: int = 1
    households: int | None = None
    transformer_kva: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A day to be played. nanogrids: indices 0 … n - 1; passive: connection points outside the market, numbered on
    from there, their plants without dispatch. States hold at `first_interval` [epoch s]."""

    name: str
    day: date
    label: str
    seed: int
    grid: Path
    transformer_kva: float
    first_interval: int
    step_s: int
    nanogrids: tuple[SimulatedNanogrid, ...]
    passive: tuple[SimulatedNanogrid, ...]

    @property
    def points(self) -> tuple[SimulatedNanogrid, ...]:
        """All connection points by their number."""
        return self.nanogrids + self.passive

    @property
    def intervals(self) -> tuple[int, ...]:
        """The intervals that are described [epoch s]."""
        steps = len(self.points[0].actual.load_w)
        return tuple(self.first_interval + step * self.step_s for step in range(steps))

    @property
    def start_s(self) -> int:
        """Moment from which the market has to run to play the first interval [epoch s]."""
        return self.first_interval - LEAD_IN_INTERVALS * self.step_s


@dataclass(frozen=True, slots=True)
class DayRun:
    """Power of each connection point (by number) and the grid's state, one for each interval."""

    intervals: tuple[int, ...]
    net: Mapping[int, tuple[Injection, ...]]
    states: tuple[GridState, ...]


def build_scenario(extract: Extract, options: ScenarioOptions) -> Scenario:
    """The scenario of an extract. Raises ExtractError for a day that it has not, ValueError for bad options."""
    day = extract.day(options.day)
    points = _points(extract, day, read_profiles(extract, day), options.seed)
    nanogrids, passive = _with_households(points, options.households, options.seed)
    return Scenario(
        name=extract.name,
        day=day.date,
        label=day.label,
        seed=options.seed,
        grid=extract.grid_path,
        transformer_kva=options.transformer_kva or day.transformer_kva or extract.transformer_kva,
        first_interval=day.start_s,
        step_s=extract.step_s,
        nanogrids=nanogrids,
        passive=passive,
    )


def as_published(
    extract: Extract, day: ExtractDay, transformer_kva: float, storages_w: Mapping[int, Sequence[float]]
) -> DayRun:
    """The day of the published series alone, with nothing simulated.

    storages_w: index of a storage → what it draws in each step [W]; those that are missing stand at 0, with neither
    their PV nor their battery.
    """
    profiles = read_profiles(extract, day)
    drawn: dict[int, tuple[Injection, ...]] = {}
    bus_of: dict[int, int] = {}
    for load in extract.loads:
        rows = zip(profiles.load_w[load.index], profiles.load_var[load.index], strict=True)
        drawn[len(drawn)] = tuple(Injection(p_w, q_var) for p_w, q_var in rows)
        bus_of[len(bus_of)] = load.bus
    for plant in extract.plants:
        drawn[len(drawn)] = tuple(Injection(-p_w) for p_w in profiles.pv_w[plant.index])
        bus_of[len(bus_of)] = plant.bus
    for storage in (each for each in extract.storages if each.index in storages_w):
        drawn[len(drawn)] = tuple(Injection(p_w) for p_w in storages_w[storage.index])
        bus_of[len(bus_of)] = storage.bus
    power_flow = PowerFlow(load_network(extract.grid_path, transformer_kva))
    intervals = tuple(day.start_s + step * extract.step_s for step in range(STEPS_PER_DAY))
    return DayRun(intervals, drawn, grid_states(power_flow, bus_of, drawn))


def state_at(point: SimulatedNanogrid, moment_s: int) -> PlantState:
    """The plant at an interval [epoch s] without any dispatch; its initial state is that before the lead-in."""
    state = point.initial_state
    start_s = point.actual.first_interval - LEAD_IN_INTERVALS * point.actual.step_s
    for begin_s in range(start_s, moment_s, point.actual.step_s):
        state, _ = advance(point.plant, state, point.actual.at(begin_s), point.actual.step_s)
    return state


def play(point: SimulatedNanogrid, series: Series) -> tuple[Energies, ...]:
    """Energies of a connection point for each step of a series, without any dispatch."""
    state = state_at(point, series.first_interval)
    played = []
    for step in range(len(series.load_w)):
        state, energies = advance(point.plant, state, _values(series, step), series.step_s)
        played.append(energies)
    return tuple(played)


def without_market(scenario: Scenario, power_flow: PowerFlow | None = None) -> DayRun:
    """The same day in which no dispatch is sent."""
    power_flow = power_flow or PowerFlow(load_network(scenario.grid, scenario.transformer_kva))
    net = {point.index: _net(point, point.actual) for point in scenario.points}
    bus_of = {point.index: point.bus for point in scenario.points}
    return DayRun(scenario.intervals, net, grid_states(power_flow, bus_of, net))


def node_forecast(scenario: Scenario) -> NodeForecast:
    """Forecast of every connection point FORECAST_STEPS ahead, as if nobody were dispatched."""
    points = []
    for number, point in enumerate(scenario.points):
        net = _forecast_net(point)
        points.append(
            PointForecast(
                bus=point.bus,
                nanogrid=nanogrid_id(PORTFOLIO, point.index) if number < len(scenario.nanogrids) else None,
                p_w=tuple(round(injection.p_w) for injection in net),
                q_var=tuple(round(injection.q_var) for injection in net),
            )
        )
    return NodeForecast(
        scenario.name, scenario.grid, scenario.transformer_kva, scenario.first_interval, scenario.step_s, tuple(points)
    )


def grid_states(
    power_flow: PowerFlow, bus_of: Mapping[int, int], net: Mapping[int, Sequence[Injection]]
) -> tuple[GridState, ...]:
    """State of the grid for each interval, from the power of the connection points (by number)."""
    states = []
    for row in zip(*(net[number] for number in bus_of), strict=True):
        drawn: dict[int, Injection] = {}
        for bus, injection in zip(bus_of.values(), row, strict=True):
            drawn[bus] = drawn.get(bus, Injection()) + injection
        states.append(power_flow.solve(drawn))
    return tuple(states)


def congestion_figures(run: DayRun, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Figures of a day: highest loading and its element, intervals above rating, voltages. Rounded for a table."""
    solved = [state for state in run.states if state.converged]
    worst = max((state.worst_element or ("", 0.0) for state in solved), key=lambda item: item[1])
    voltages = [vm for state in solved for vm in state.vm_pu.values()]
    above = [state for state in solved if max(state.loading_percent.values()) > limits.loading_percent]
    outside = [s for s in solved if max(abs(vm - 1) for vm in s.vm_pu.values()) > limits.voltage_band]
    return {
        "highest_loading_percent": round(worst[1], 1),
        "highest_loading_element": worst[0],
        "intervals_above_rating": len(above),
        "intervals_outside_voltage": len(outside),
        "intervals_not_converged": len(run.states) - len(solved),
        "lowest_vm_pu": round(min(voltages), 4),
        "highest_vm_pu": round(max(voltages), 4),
        "largest_import_w": round(max(state.transformer_p_w for state in solved)),
        "largest_export_w": round(max(-state.transformer_p_w for state in solved)),
    }


def _forecast_net(point: SimulatedNanogrid) -> tuple[Injection, ...]:
    """For each step: the plant as it is FORECAST_STEPS before, then its default behaviour on the forecast series."""
    span_s = point.actual.step_s
    before = [state_at(point, point.actual.first_interval)]
    for step in range(len(point.actual.load_w) - 1):
        before.append(advance(point.plant, before[-1], _values(point.actual, step), span_s)[0])
    forecast = []
    for step, q_var in enumerate(point.forecast.load_var):
        known = max(0, step - FORECAST_STEPS)
        state = before[known]
        for ahead in range(known, step):
            state, _ = advance(point.plant, state, _values(point.forecast, ahead), span_s)
        _, energies = advance(point.plant, state, _values(point.forecast, step), span_s)
        forecast.append(Injection(energies.net_j / span_s, q_var))
    return tuple(forecast)


def _values(series: Series, step: int) -> ProfileValues:
    return ProfileValues(series.load_w[step], series.load_var[step], series.pv_available_w[step])


def _net(point: SimulatedNanogrid, series: Series) -> tuple[Injection, ...]:
    steps = zip(play(point, series), series.load_var, strict=True)
    return tuple(Injection(energies.net_j / energies.span_s, q_var) for energies, q_var in steps)


def _points(extract: Extract, day: ExtractDay, profiles: DayProfiles, seed: int) -> list[SimulatedNanogrid]:
    """One connection point for each load; plants at a bus without any load become a point of their own."""
    largest: dict[int, ExtractLoad] = {}
    for load in extract.loads:
        if load.bus not in largest or load.rated_va > largest[load.bus].rated_va:
            largest[load.bus] = load
    with_plant = {plant.bus for plant in extract.plants} | {storage.bus for storage in extract.storages}
    points: list[SimulatedNanogrid] = []
    for load in extract.loads:
        buses = (load.bus,) if largest[load.bus] is load else ()
        series = (profiles.load_w[load.index], profiles.load_var[load.index])
        points.append(_point(extract, day, profiles, seed, len(points), load, buses, series))
    nothing = (0,) * STEPS_PER_DAY
    for bus in sorted(with_plant - set(largest)):
        load = ExtractLoad(-1, f"generation at bus {bus}", bus, 0, "")
        points.append(_point(extract, day, profiles, seed, len(points), load, (bus,), (nothing, nothing)))
    return points


def _point(
    extract: Extract,
    day: ExtractDay,
    profiles: DayProfiles,
    seed: int,
    number: int,
    load: ExtractLoad,
    plant_buses: tuple[int, ...],
    load_series: tuple[tuple[int, ...], tuple[int, ...]],
) -> SimulatedNanogrid:
    plants = [plant for plant in extract.plants if plant.bus in plant_buses]
    storages = [storage for storage in extract.storages if storage.bus in plant_buses]
    pv_w = _sums([*(profiles.pv_w[p.index] for p in plants), *(profiles.storage_pv_w[s.index] for s in storages)])
    plant = Plant(
        pv=Pv(sum(p.power_w for p in plants) + sum(s.pv_power_w for s in storages)),
        battery=Battery(
            sum(s.power_w for s in storages),
            sum(s.energy_wh for s in storages),
            min((s.charge_permille for s in storages), default=1000),
            min((s.discharge_permille for s in storages), default=1000),
        ),
        shiftable=_shiftable(load),
    )
    soc_permille = Random(f"{seed}:soc:{number}").randint(*FIRST_SOC_PERMILLE)
    actual = Series(day.start_s, extract.step_s, load_series[0], load_series[1], pv_w)
    return SimulatedNanogrid(
        index=number,
        name=load.name,
        bus=load.bus,
        rated_power_w=load.rated_va + plant.pv.power_w + plant.battery.power_w,
        plant=plant,
        initial_state=initial_state(plant, soc_permille),
        actual=actual,
        forecast=_forecast(actual, seed, number),
    )


def _shiftable(load: ExtractLoad) -> ShiftableLoad:
    prefixes = (prefix for prefix in SHIFTABLE_PERMILLE if load.profile.startswith(prefix))
    permille = SHIFTABLE_PERMILLE.get(next(prefixes, ""), 0)
    power_w = load.rated_va * permille // 1000
    return ShiftableLoad(permille, power_w, power_w * SHIFTABLE_HOURS)


def _forecast(actual: Series, seed: int, number: int) -> Series:
    steps = len(actual.load_w)
    clouds = error_factors(CLOUDS, steps, f"{seed}:clouds")
    own = error_factors(ONE_PLANT, steps, f"{seed}:pv:{number}")
    load = error_factors(ONE_LOAD, steps, f"{seed}:load:{number}")
    return Series(
        actual.first_interval,
        actual.step_s,
        tuple(round(w * e) for w, e in zip(actual.load_w, load, strict=True)),
        tuple(round(var * e) for var, e in zip(actual.load_var, load, strict=True)),
        tuple(round(w * c * e) for w, c, e in zip(actual.pv_available_w, clouds, own, strict=True)),
    )


def _with_households(
    points: list[SimulatedNanogrid], households: int | None, seed: int
) -> tuple[tuple[SimulatedNanogrid, ...], tuple[SimulatedNanogrid, ...]]:
    """Nanogrids and passive points: seeded ones are left out of the market, or loads are cloned bus by bus."""
    count = len(points) if households is None else households
    if count < 1:
        raise ValueError(f"at least one household is needed, not {count}")
    if count <= len(points):
        kept = sorted(Random(f"{seed}:households").sample(range(len(points)), count))
        left = [number for number in range(len(points)) if number not in set(kept)]
        renumbered = [_renumbered(points[number], index) for index, number in enumerate([*kept, *left])]
        return tuple(renumbered[:count]), tuple(renumbered[count:])
    buses = sorted({point.bus for point in points})
    clones = [_clone(points, len(points) + k, buses[k % len(buses)], seed) for k in range(count - len(points))]
    return (*points, *clones), ()


def _renumbered(point: SimulatedNanogrid, index: int) -> SimulatedNanogrid:
    return SimulatedNanogrid(
        index, point.name, point.bus, point.rated_power_w, point.plant, point.initial_state, point.actual,
        point.forecast,
    )  # fmt: skip


def _clone(points: Sequence[SimulatedNanogrid], number: int, bus: int, seed: int) -> SimulatedNanogrid:
    """A further household: a seeded load of the grid, scaled and moved by up to an hour, without PV and battery."""
    random = Random(f"{seed}:clone:{number}")
    source = random.choice([point for point in points if any(point.actual.load_w)])
    scale = random.uniform(*CLONE_SCALE)
    steps = random.randint(-CLONE_SHIFT_STEPS, CLONE_SHIFT_STEPS)
    shiftable = source.plant.shiftable
    power_w = round(shiftable.power_w * scale)
    actual = Series(
        source.actual.first_interval,
        source.actual.step_s,
        _scaled(source.actual.load_w, scale, steps),
        _scaled(source.actual.load_var, scale, steps),
        (0,) * len(source.actual.load_w),
    )
    plant = Plant(shiftable=ShiftableLoad(shiftable.share_permille, power_w, power_w * SHIFTABLE_HOURS))
    return SimulatedNanogrid(
        index=number,
        name=f"{source.name}, clone {number}",
        bus=bus,
        rated_power_w=max(1, round(_rated_load_va(source) * scale)),
        plant=plant,
        initial_state=PlantState(),
        actual=actual,
        forecast=_forecast(actual, seed, number),
    )


def _rated_load_va(point: SimulatedNanogrid) -> int:
    return point.rated_power_w - point.plant.pv.power_w - point.plant.battery.power_w


def _scaled(values: Sequence[int], scale: float, steps: int) -> tuple[int, ...]:
    return tuple(round(value * scale) for value in (*values[-steps:], *values[:-steps]))


def _sums(series: Iterable[Sequence[int]]) -> tuple[int, ...]:
    columns = list(series)
    return tuple(sum(row) for row in zip(*columns, strict=True)) if columns else (0,) * STEPS_PER_DAY
