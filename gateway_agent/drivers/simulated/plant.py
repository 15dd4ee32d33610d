"""Physics of a simulated nanogrid: photovoltaics, battery, shiftable and fixed load behind one connection point.

Pure functions over frozen dataclasses, standard library only. All sums are integers, so that nothing is lost to
rounding: energy inside is in joule (W x s), and the meter carries what is left of a Wh to the next span.
Load convention at the connection point: + is withdrawal, - is injection, for W and var.

How the devices behave over a span
    Without a target: PV feeds all that it has; the shiftable load follows its profile and gives back what it owes
    or was given; the battery serves self-consumption (charges from surplus, discharges into deficit).
    With a target net power the devices leave that default, each as far as its limits allow, in this order:
    DOWN (more withdrawal, less injection): battery, shiftable load, PV curtailment; UP: battery, shiftable load.
    What the target asks beyond the limits is not delivered.

Limits of the model: power is the mean of the span; a battery has no self-discharge and no minimum power; PV and
battery feed at unity power factor unless a reactive target is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import isqrt
from typing import Any, Final

J_PER_WH: Final = 3600
DEVICE_KINDS: Final = ("battery", "shiftable", "pv")
"""Kinds of devices that can be moved, in the order in which a target uses them."""


@dataclass(frozen=True, slots=True)
class Pv:
    """A curtailable PV plant. `power_w` is its inverter's rating [W and VA]; 0: none."""

    power_w: int = 0


@dataclass(frozen=True, slots=True)
class Battery:
    """A battery behind an inverter.

    power_w: largest AC power in both directions, the inverter's rating too [W and VA].
    energy_wh: usable capacity [Wh]. Efficiencies are per direction [per mille]: of 1 kWh drawn 0.95 kWh is stored,
    of 1 kWh stored 0.95 kWh is delivered (0.9025 for a round trip).
    """

    power_w: int = 0
    energy_wh: int = 0
    charge_permille: int = 950
    discharge_permille: int = 950


@dataclass(frozen=True, slots=True)
class ShiftableLoad:
    """The part of the load whose time can be moved (heat pump, boiler, car), its energy given back later.

    share_permille: share of the profile's load that it makes up, and that can be held back.
    power_w: its rating [W]: how far it can be raised. energy_wh: largest energy owed or taken ahead [Wh].
    give_back_s: time within which a shift is given back evenly, as far as power allows [s].
    """

    share_permille: int = 0
    power_w: int = 0
    energy_wh: int = 0
    give_back_s: int = 4 * 3600


@dataclass(frozen=True, slots=True)
class Plant:
    """What stands behind one connection point. The rest of the profile's load is fixed."""

    pv: Pv = Pv()
    battery: Battery = Battery()
    shiftable: ShiftableLoad = ShiftableLoad()

    def to_json(self) -> dict[str, dict[str, int]]:
        """Plain data for JSON."""
        return {kind: asdict(getattr(self, kind)) for kind in ("pv", "battery", "shiftable")}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plant:
        """The plant of `to_json`; unknown or missing fields raise TypeError."""
        return cls(Pv(**data["pv"]), Battery(**data["battery"]), ShiftableLoad(**data["shiftable"]))


@dataclass(frozen=True, slots=True)
class PlantState:
    """What a plant remembers between spans.

    stored_j: energy in the battery [J]. owed_j: + consumption held back that is still to come, - consumption taken
    ahead [J]; owed_s: time left to give it back [s]. meter_j, meter_vars: what the meter carries [J, var s].
    """

    stored_j: int = 0
    owed_j: int = 0
    owed_s: int = 0
    meter_j: int = 0
    meter_vars: int = 0

    def to_json(self) -> dict[str, int]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PlantState:
        """The state of `to_json`; unknown fields raise TypeError."""
        return cls(**{name: int(value) for name, value in data.items()})


@dataclass(frozen=True, slots=True)
class ProfileValues:
    """What weather and people ask for during a span: load [W], its reactive power [var], PV available [W]."""

    load_w: int = 0
    load_var: int = 0
    pv_available_w: int = 0


@dataclass(frozen=True, slots=True)
class Energies:
    """What flowed during a span. At the meter in whole Wh and varh (load convention), inside in J.

    net_j = profile_load_j + shifted_j + charged_j - discharged_j - pv_j, always.
    lost_j is the battery's loss; curtailed_j what PV could have fed; shifted_j the change of the shiftable load
    against its profile (+ more), give-back included.
    """

    span_s: int
    active_wh: int
    reactive_varh: int
    net_j: int
    profile_load_j: int
    shifted_j: int
    pv_j: int
    curtailed_j: int
    charged_j: int
    discharged_j: int
    lost_j: int

    @property
    def net_w(self) -> int:
        """Mean net power of the span [W], rounded toward zero."""
        return int(self.net_j / self.span_s)


@dataclass(frozen=True, slots=True)
class DeviceEnergy:
    """Energy by kind of device [Wh], each at least 0."""

    battery: int = 0
    shiftable: int = 0
    pv: int = 0

    @property
    def total(self) -> int:
        """Sum over the kinds [Wh]."""
        return self.battery + self.shiftable + self.pv


@dataclass(frozen=True, slots=True)
class Flexibility:
    """How far the devices could leave the default in a span, and the default's energy at the meter [Wh]."""

    default_wh: int
    up: DeviceEnergy
    down: DeviceEnergy


def initial_state(plant: Plant, soc_permille: int) -> PlantState:
    """State with the battery at `soc_permille` of its capacity and nothing owed."""
    return PlantState(stored_j=plant.battery.energy_wh * J_PER_WH * soc_permille // 1000)


def soc_permille(plant: Plant, state: PlantState) -> int:
    """State of charge [per mille of capacity]; 0 without a battery."""
    capacity_j = plant.battery.energy_wh * J_PER_WH
    return state.stored_j * 1000 // capacity_j if capacity_j else 0


def advance(
    plant: Plant,
    state: PlantState,
    values: ProfileValues,
    span_s: int,
    target_w: int | None = None,
    target_var: int | None = None,
) -> tuple[PlantState, Energies]:
    """State and energies after `span_s` seconds (any part of an interval) in which `values` hold.

    target_w: wanted net power at the connection point [W, + withdrawal]; None: the default behaviour.
    target_var: wanted net reactive power [var], met as far as the inverters' ratings allow; None: the load's own.
    Raises ValueError when the span is not positive or a profile value is negative.
    """
    _check(values, span_s)
    limits = _limits(plant, state, values, span_s)
    set_points = _default(plant, state, values, span_s, limits)
    if target_w is not None:
        set_points = _toward(target_w * span_s, values, span_s, limits, set_points)
    return _apply(plant, state, values, span_s, set_points, target_var)


def flexibility(plant: Plant, state: PlantState, values: ProfileValues, span_s: int) -> Flexibility:
    """What the devices could give in each direction during a span, beside the default [Wh, rounded down].

    A target within the sum is met exactly by `advance` if the profile comes true.
    """
    _check(values, span_s)
    limits = _limits(plant, state, values, span_s)
    at = _default(plant, state, values, span_s, limits)
    return Flexibility(
        default_wh=at.net_j(values, span_s) // J_PER_WH,
        up=DeviceEnergy(
            battery=(at.battery_j - limits.battery_low_j) // J_PER_WH,
            shiftable=(at.shift_j - limits.shift_low_j) // J_PER_WH,
        ),
        down=DeviceEnergy(
            battery=(limits.battery_high_j - at.battery_j) // J_PER_WH,
            shiftable=(limits.shift_high_j - at.shift_j) // J_PER_WH,
            pv=at.pv_j // J_PER_WH,
        ),
    )


def flexibility_ahead(
    plant: Plant,
    state: PlantState,
    forecast: Sequence[ProfileValues],
    span_s: int,
    targets_w: Sequence[int | None] = (),
) -> Flexibility:
    """Flexibility in the last span of `forecast`, after the spans before it with their targets (None: default).

    Raises ValueError when the forecast is empty.
    """
    if not forecast:
        raise ValueError("a forecast of at least one span is needed")
    for at, values in enumerate(forecast[:-1]):
        target_w = targets_w[at] if at < len(targets_w) else None
        state, _ = advance(plant, state, values, span_s, target_w)
    return flexibility(plant, state, forecast[-1], span_s)


@dataclass(frozen=True, slots=True)
class _Limits:
    """Least and greatest energy of each device in the span [J, + consumes]."""

    battery_low_j: int
    battery_high_j: int
    shift_low_j: int
    shift_high_j: int


@dataclass(frozen=True, slots=True)
class _SetPoints:
    """Energy of each device in the span [J]: battery + charges; shift + consumes more; pv feeds (>= 0)."""

    battery_j: int
    shift_j: int
    pv_j: int

    def net_j(self, values: ProfileValues, span_s: int) -> int:
        return values.load_w * span_s + self.shift_j + self.battery_j - self.pv_j


def _check(values: ProfileValues, span_s: int) -> None:
    if span_s <= 0:
        raise ValueError(f"a span must be positive, not {span_s} s")
    for name in ("load_w", "pv_available_w"):
        if getattr(values, name) < 0:
            raise ValueError(f"{name} must not be negative, it is {getattr(values, name)}")


def _limits(plant: Plant, state: PlantState, values: ProfileValues, span_s: int) -> _Limits:
    battery, shiftable = plant.battery, plant.shiftable
    most_j = battery.power_w * span_s
    room_j = max(0, battery.energy_wh * J_PER_WH - state.stored_j)
    charge_j = min(most_j, room_j * 1000 // battery.charge_permille)
    discharge_j = min(most_j, state.stored_j * battery.discharge_permille // 1000)
    running_j = values.load_w * span_s * shiftable.share_permille // 1000
    raise_j = max(0, shiftable.power_w * span_s - running_j)
    bound_j = shiftable.energy_wh * J_PER_WH
    # Owed energy may leave its bound only toward it: after a shift of x, owed' = owed - x.
    return _Limits(
        battery_low_j=-discharge_j,
        battery_high_j=charge_j,
        shift_low_j=-min(running_j, max(0, bound_j - state.owed_j)),
        shift_high_j=min(raise_j, max(0, bound_j + state.owed_j)),
    )


def _default(plant: Plant, state: PlantState, values: ProfileValues, span_s: int, limits: _Limits) -> _SetPoints:
    give_back_j = state.owed_j if state.owed_s <= span_s else int(state.owed_j * span_s / state.owed_s)
    shift_j = _clamp(give_back_j, limits.shift_low_j, limits.shift_high_j)
    pv_j = min(values.pv_available_w, plant.pv.power_w) * span_s
    surplus_j = pv_j - values.load_w * span_s - shift_j
    return _SetPoints(_clamp(surplus_j, limits.battery_low_j, limits.battery_high_j), shift_j, pv_j)


def _toward(target_j: int, values: ProfileValues, span_s: int, limits: _Limits, at: _SetPoints) -> _SetPoints:
    missing_j = target_j - at.net_j(values, span_s)
    battery_j = _clamp(at.battery_j + missing_j, limits.battery_low_j, limits.battery_high_j)
    missing_j -= battery_j - at.battery_j
    shift_j = _clamp(at.shift_j + missing_j, limits.shift_low_j, limits.shift_high_j)
    missing_j -= shift_j - at.shift_j
    return _SetPoints(battery_j, shift_j, _clamp(at.pv_j - missing_j, 0, at.pv_j))


def _apply(
    plant: Plant,
    state: PlantState,
    values: ProfileValues,
    span_s: int,
    at: _SetPoints,
    target_var: int | None,
) -> tuple[PlantState, Energies]:
    charged_j, discharged_j = max(0, at.battery_j), max(0, -at.battery_j)
    gained_j = charged_j * plant.battery.charge_permille // 1000
    # Rounded up: what leaves the cells is never less than what arrives divided by the efficiency.
    drawn_j = min(state.stored_j, -(-discharged_j * 1000 // plant.battery.discharge_permille))
    owed_j, owed_s = _owed_after(plant.shiftable, state, at.shift_j, span_s)
    net_j = at.net_j(values, span_s)
    net_vars = _reactive_var(plant, values, span_s, at, target_var) * span_s
    active_wh, meter_j = divmod(state.meter_j + net_j, J_PER_WH)
    reactive_varh, meter_vars = divmod(state.meter_vars + net_vars, J_PER_WH)
    after = PlantState(state.stored_j + gained_j - drawn_j, owed_j, owed_s, meter_j, meter_vars)
    return after, Energies(
        span_s=span_s,
        active_wh=active_wh,
        reactive_varh=reactive_varh,
        net_j=net_j,
        profile_load_j=values.load_w * span_s,
        shifted_j=at.shift_j,
        pv_j=at.pv_j,
        curtailed_j=min(values.pv_available_w, plant.pv.power_w) * span_s - at.pv_j,
        charged_j=charged_j,
        discharged_j=discharged_j,
        lost_j=charged_j - gained_j + drawn_j - discharged_j,
    )


def _owed_after(shiftable: ShiftableLoad, state: PlantState, shift_j: int, span_s: int) -> tuple[int, int]:
    owed_j = state.owed_j - shift_j
    if owed_j == 0:
        return 0, 0
    grew = abs(owed_j) > abs(state.owed_j) or (owed_j > 0) != (state.owed_j > 0)
    return owed_j, shiftable.give_back_s if grew else max(0, state.owed_s - span_s)


def _reactive_var(plant: Plant, values: ProfileValues, span_s: int, at: _SetPoints, target_var: int | None) -> int:
    """Net reactive power of the span [var]: the load's, moved toward the target by what the inverters have left."""
    if target_var is None:
        return values.load_var
    left_var = isqrt(max(0, plant.pv.power_w**2 - (at.pv_j // span_s) ** 2))
    left_var += isqrt(max(0, plant.battery.power_w**2 - (abs(at.battery_j) // span_s) ** 2))
    return _clamp(target_var, values.load_var - left_var, values.load_var + left_var)


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def joined(parts: Sequence[Energies]) -> Energies:
    """Energies of consecutive spans as those of one; ValueError when there are none."""
    if not parts:
        raise ValueError("no spans to join")
    return replace(parts[0], **{f.name: sum(getattr(part, f.name) for part in parts) for f in fields(Energies)})
