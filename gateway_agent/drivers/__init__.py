"""What a family of devices has to offer to the gateway: the driver interface.

One folder per family (`drivers/<family>/`), with `driver.py` that defines a class and is listed in
`drivers.registry`. A driver speaks to the devices of one nanogrid and knows nothing of the market. Its author's rules:

- Load convention at the connection point everywhere: + is withdrawal, - is injection. Convert in the driver only, with
  a test of the round trip.
- A set-point is a lease: after `expires_at` the devices are in their safe state even if this process is dead. Where the
  device has a timeout of its own (a revert timer, a keep-alive), use it; renew at a third of it; read back.
- Missing is not zero: raise NoMeasurement rather than give 0 or an old value.
- Times are epoch seconds of the market's clock and are passed in; a driver never asks the system for the time of a
  measurement.
- `state` is stored by the gateway in the same transaction as the reading that it belongs to, and handed back to `open`
  after a restart: what was not stored did not happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]


class DriverError(Exception):
    """Base of what goes wrong in a driver."""


class DeviceUnreachable(DriverError):
    """The device does not answer."""


class NoMeasurement(DriverError):
    """The device cannot say what its meter showed at that moment."""


class SetPointRefused(DriverError):
    """The device does not take the set-point, or reads back another."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device behind the connection point. kind: battery, pv, shiftable, load, meter …; power [W], capacity [Wh]."""

    kind: str
    power_w: int = 0
    energy_wh: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the plant can do. connection_w: rating of the connection point [W]."""

    connection_w: int
    devices: tuple[Device, ...] = ()
    controls_active: bool = True
    controls_reactive: bool = False


@dataclass(frozen=True, slots=True)
class Registers:
    """Cumulative net registers of the meter at a moment [Wh, varh]; an interval's energy is a difference of two."""

    at: int
    active_wh: int
    reactive_varh: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the meter shows. Powers are the latest means [W, var]; soc_permille by storage."""

    registers: Registers
    active_power_w: int | None = None
    reactive_power_var: int | None = None
    soc_permille: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetPoint:
    """Wanted net power at the connection point until `expires_at` [epoch s]; None leaves that kind of power alone."""

    target_w: int | None
    target_var: int | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class DeviceFlexibility:
    """How far a kind of device could leave its default in one interval [Wh, each at least 0].

    left_up_wh, left_down_wh: what its store still allows in all, over as many intervals as it takes; None: no store.
    capacity_wh: of the store, for reserves.
    """

    kind: str
    up_wh: int
    down_wh: int
    left_up_wh: int | None = None
    left_down_wh: int | None = None
    capacity_wh: int | None = None


@dataclass(frozen=True, slots=True)
class FlexibilityForecast:
    """Expected default energy of an interval [Wh, load convention] and the flexibility beside it."""

    interval: int
    default_wh: int
    devices: tuple[DeviceFlexibility, ...] = ()


class Driver(Protocol):
    """Devices of one nanogrid. All methods may raise DriverError."""

    family: str

    def capabilities(self) -> Capabilities:
        """What the plant can do."""
        ...

    async def open(self, state: Json | None, at: int) -> None:
        """Connect. `state` is what was stored last, None at the very first start. No set-point is taken up again here:
        the gateway applies or releases one next."""
        ...

    async def measure(self, at: int) -> Measurement:
        """The meter at the moment `at`, never before the last one. NoMeasurement where it is unknown."""
        ...

    async def apply(self, set_point: SetPoint, at: int) -> None:
        """Follow a set-point from `at` until it expires; replaces the one before. SetPointRefused."""
        ...

    async def release(self, at: int) -> None:
        """Back to the safe state: the devices' own default behaviour."""
        ...

    async def flexibility(self, interval: int, span_s: int, at: int) -> FlexibilityForecast:
        """What could be given in the interval of `span_s` seconds, as seen at `at`; for what is left of the running one
        from what is measured now."""
        ...

    def state(self) -> Json:
        """What has to survive a restart, as plain JSON."""
        ...

    async def close(self) -> None:
        """Disconnect; a set-point stays until it expires."""
        ...
