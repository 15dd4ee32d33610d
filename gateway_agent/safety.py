"""Rules of safe control: what a gateway does to a wanted power before a device sees it, and what it does not sign.

Limits are applied in the order hardware rating, fuse or grid limit, state of charge and battery, ramp, minimum dwell,
award: each may only narrow what the ones before it leave. Power at the connection point [W], load convention.
Source: the gateway's research page on field protocols, "Rules of safe control".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PLAUSIBLE_PERMILLE: Final = 1500
"""Energy above this share of the connection's rating is not signed."""
_S_PER_H: Final = 3600


@dataclass(frozen=True, slots=True)
class PowerRange:
    """Powers from low_w to high_w [W], both allowed."""

    low_w: int
    high_w: int

    def __post_init__(self) -> None:
        if self.low_w > self.high_w:
            raise ValueError(f"an empty range of power: {self.low_w} … {self.high_w} W")

    def clamp(self, power_w: int) -> int:
        """The nearest allowed power [W]."""
        return max(self.low_w, min(self.high_w, power_w))

    def narrowed(self, weaker: PowerRange) -> PowerRange:
        """What both allow; where they have nothing in common, this range's point that is nearest to the weaker one."""
        return PowerRange(self.clamp(weaker.low_w), self.clamp(weaker.high_w))


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that hold at one moment; None: no such limit.

    ramp: what the ramp rate allows from the present set-point on; dwell: the present set-point while it must be held.
    """

    hardware: PowerRange
    fuse: PowerRange | None = None
    storage: PowerRange | None = None
    ramp: PowerRange | None = None
    dwell: PowerRange | None = None

    def in_order(self) -> tuple[tuple[str, PowerRange], ...]:
        """The limits there are, strongest first, with the names that the owner reads."""
        named = (
            ("hardware rating", self.hardware),
            ("fuse or grid limit", self.fuse),
            ("state of charge", self.storage),
            ("ramp", self.ramp),
            ("minimum dwell", self.dwell),
        )
        return tuple((name, found) for name, found in named if found is not None)


@dataclass(frozen=True, slots=True)
class Clamped:
    """The power to set [W] and the limits that moved it away from what was wanted, strongest first."""

    power_w: int
    limited_by: tuple[str, ...] = ()


def clamp(wanted_w: int, limits: Limits) -> Clamped:
    """The power nearest to the wanted one that the limits allow."""
    allowed = limits.hardware
    limited_by: list[str] = []
    for name, found in limits.in_order():
        before = allowed.clamp(wanted_w)
        allowed = allowed.narrowed(found)
        if allowed.clamp(wanted_w) != before or (not limited_by and before != wanted_w):
            limited_by.append(name)
    return Clamped(allowed.clamp(wanted_w), tuple(limited_by))


def symmetric(power_w: int) -> PowerRange:
    """From -power_w to +power_w."""
    return PowerRange(-power_w, power_w)


def ramp_range(present_w: int | None, elapsed_s: int, ramp_w_per_s: int | None) -> PowerRange | None:
    """What a ramp rate [W/s] allows `elapsed_s` after the present set-point was set; None without one."""
    if present_w is None or ramp_w_per_s is None:
        return None
    step_w = ramp_w_per_s * max(1, elapsed_s)
    return PowerRange(present_w - step_w, present_w + step_w)


def dwell_range(present_w: int | None, elapsed_s: int, dwell_s: int | None) -> PowerRange | None:
    """The present set-point alone while it is younger than `dwell_s`; None when it may change."""
    if present_w is None or dwell_s is None or elapsed_s >= dwell_s:
        return None
    return PowerRange(present_w, present_w)


def is_plausible(active_energy_wh: int, reactive_energy_varh: int, span_s: int, connection_w: int) -> bool:
    """Whether a meter at a connection of that rating can have counted this in `span_s`; rating 0: nothing is known."""
    most_wh = connection_w * span_s * PLAUSIBLE_PERMILLE // (1000 * _S_PER_H)
    return connection_w == 0 or (abs(active_energy_wh) <= most_wh and abs(reactive_energy_varh) <= most_wh)
