"""The traffic light of a node: phase from loading and voltage, with hysteresis, and what each phase allows.

Loading in percent of rating, voltage per unit of nominal; plain numbers, from whatever power flow or measurement.
Source: design page of the domain, "Grid signals" and "Default calendar and parameters".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from market.domain.products import Phase, Product, SignalKind


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a node's light. Broken above/outside the first pair; calm below/inside the second."""

    loading_percent: float = 100.0
    voltage_band: float = 0.10
    calm_loading_percent: float = 95.0
    calm_voltage_band: float = 0.095
    calm_intervals: int = 2
    """Consecutive calm intervals until GREEN again."""
    actual_broken_s: float = 180.0
    """Actual values broken for so long make RED."""

    def __post_init__(self) -> None:
        if self.calm_loading_percent > self.loading_percent or self.calm_voltage_band > self.voltage_band:
            raise ValueError("the calm limits must not be wider than the limits themselves")


@dataclass(frozen=True, slots=True)
class GridFacts:
    """Worst values of a node in one interval, by forecast or measured."""

    loading_percent: float
    lowest_voltage_pu: float = 1.0
    highest_voltage_pu: float = 1.0

    def is_broken(self, limits: Limits) -> bool:
        """Loading above 100 % of rating, or voltage outside +-10 % of nominal (default limits)."""
        return self._is_outside(limits.loading_percent, limits.voltage_band)

    def is_calm(self, limits: Limits) -> bool:
        """Loading below 95 % of rating and voltage inside +-9.5 % (default limits)."""
        is_outside = self._is_outside(limits.calm_loading_percent, limits.calm_voltage_band)
        return not is_outside and self.loading_percent < limits.calm_loading_percent

    def _is_outside(self, loading_percent: float, band: float) -> bool:
        return (
            self.loading_percent > loading_percent
            or self.lowest_voltage_pu < 1 - band
            or self.highest_voltage_pu > 1 + band
        )


class Cause(StrEnum):
    """Why a phase is what it is."""

    WITHIN_LIMITS = "within limits"
    FORECAST_BROKEN = "forecast breaks a limit"
    NOT_CALM_YET = "forecast is not calm for long enough"
    STILL_BROKEN_AFTER_MARKET = "forecast breaks a limit after the cleared result"
    ACTUAL_BROKEN = "actual values break a limit"


@dataclass(frozen=True, slots=True)
class Light:
    """Phase of one interval, its cause, and how many consecutive calm intervals (this one included) led to it."""

    phase: Phase
    cause: Cause
    calm_intervals: int = 0


START: Final = Light(Phase.GREEN, Cause.WITHIN_LIMITS)
"""Before anybody has spoken: GREEN, shown as "not assessed"."""


def light_by_forecast(previous: Light, forecast: GridFacts, limits: Limits | None = None) -> Light:
    """Phase of the next interval by its forecast, before the market: GREEN or YELLOW.

    previous: the light of the interval before (RED counts like YELLOW for the hysteresis).
    """
    limits = limits or Limits()
    calm = previous.calm_intervals + 1 if forecast.is_calm(limits) else 0
    if forecast.is_broken(limits):
        return Light(Phase.YELLOW, Cause.FORECAST_BROKEN)
    if previous.phase is Phase.GREEN or calm >= limits.calm_intervals:
        return Light(Phase.GREEN, Cause.WITHIN_LIMITS, calm)
    return Light(Phase.YELLOW, Cause.NOT_CALM_YET, calm)


def light_after_market(light: Light, after_market: GridFacts, limits: Limits | None = None) -> Light:
    """Phase once the cleared result is known: RED where the forecast with it still breaks a limit."""
    if light.phase is not Phase.RED and after_market.is_broken(limits or Limits()):
        return Light(Phase.RED, Cause.STILL_BROKEN_AFTER_MARKET)
    return light


def light_by_actual(light: Light, broken_for_s: float, limits: Limits | None = None) -> Light:
    """Phase by actual values that have broken a limit without a break for `broken_for_s` seconds."""
    if light.phase is not Phase.RED and broken_for_s >= (limits or Limits()).actual_broken_s:
        return Light(Phase.RED, Cause.ACTUAL_BROKEN)
    return light


class Action(StrEnum):
    """What participants may do in a phase."""

    OPEN_INTERNAL_OFFER = "open internal offers"
    PUBLISH_PROFILES = "publish profiles, margins and offers"
    VALIDATE_TSO_REQUEST = "validate TSO requests"
    PUBLISH_REQUEST = "publish requests"
    OPEN_REQUESTED_OFFER = "open offers that answer requests"
    COMMAND = "command nanogrids directly"


_GREEN: Final = frozenset({Action.OPEN_INTERNAL_OFFER, Action.PUBLISH_PROFILES, Action.VALIDATE_TSO_REQUEST})

ALLOWED: Final[Mapping[Phase, frozenset[Action]]] = MappingProxyType(
    {
        Phase.GREEN: _GREEN,
        Phase.YELLOW: _GREEN | {Action.PUBLISH_REQUEST, Action.OPEN_REQUESTED_OFFER},
        Phase.RED: frozenset({Action.COMMAND}),
    }
)
"""Phase -> what it allows."""


def allows(phase: Phase, action: Action) -> bool:
    """Whether a phase allows an action."""
    return action in ALLOWED[phase]


def allows_offer(phase: Phase, product: Product) -> bool:
    """Whether offers of a product may be opened in a phase."""
    if product is Product.INTERNAL:
        return allows(phase, Action.OPEN_INTERNAL_OFFER)
    return product.answers_request and allows(phase, Action.OPEN_REQUESTED_OFFER)


def red_since(settings: Iterable[tuple[SignalKind, Phase, int]], interval: int) -> int | None:
    """Since when a node is RED for an interval [epoch s], as the contract keeps it; None when it never was, or when RED
    was taken back before the interval began. What was RED before it began revokes its awards.

    Args:
        settings: kind, phase and time of each signal for the interval, in the order in which they were set.
        interval: its start [epoch s].
    """
    phases = {SignalKind.FORECAST: Phase.GREEN, SignalKind.ACTUAL: Phase.GREEN}
    since: int | None = None
    for kind, phase, at in settings:
        was_red = Phase.RED in phases.values()
        phases[kind] = phase
        is_red_now = Phase.RED in phases.values()
        if is_red_now and since is None:
            since = at
        if was_red and not is_red_now and at < interval:
            since = None
    return since
