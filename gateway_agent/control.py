"""Makes the devices follow what is to be executed: set-points under a lease, clamped in order, and back to safe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import structlog

from gateway_agent.configuration import LimitSettings
from gateway_agent.dispatch import Tracked
from gateway_agent.drivers import Driver, FlexibilityForecast, NoMeasurement, SetPoint
from gateway_agent.planner import usable_wh
from gateway_agent.safety import Clamped, Limits, PowerRange, clamp, dwell_range, ramp_range, symmetric
from market.domain.products import Direction

log = structlog.get_logger(__name__)

_S_PER_H: Final = 3600


@dataclass(frozen=True, slots=True)
class Applied:
    """The set-point that the devices have: of which dispatches, the clamped target, since when, until when."""

    dispatches: tuple[str, ...]
    target_w: int | None
    target_var: int | None
    since: int
    expires_at: int
    limited_by: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for the buffer."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any] | None) -> Applied | None:
        """The set-point of `to_json`."""
        if document is None:
            return None
        lists = {name: tuple(document[name]) for name in ("dispatches", "limited_by")}
        return cls(**(document | lists))


class Control:
    """Control of one nanogrid. `applied`: what the devices have, as far as this gateway knows."""

    def __init__(self, driver: Driver, limits: LimitSettings, reserve_permille: int, time_unit_s: int) -> None:
        self._driver = driver
        self._limits = limits
        self._reserve_permille = reserve_permille
        self._time_unit_s = time_unit_s
        self.applied: Applied | None = None
        self._is_certain = False

    def resume(self, applied: Applied | None) -> None:
        """After a start: what was applied before. The next `follow` applies or releases in any case."""
        self.applied = applied
        self._is_certain = False

    async def follow(self, orders: list[Tracked], now: int) -> bool:
        """Apply what is to be executed, or release; returns whether anything was done. DriverError."""
        ids = tuple(sorted(tracked.order.id for tracked in orders))
        present = self.applied
        if not orders:
            if present is None and self._is_certain:
                return False
            await self._driver.release(now)
            self.applied, self._is_certain = None, True
            return True
        if self._is_certain and present is not None and present.dispatches == ids:
            return False
        if present is not None and present.dispatches == ids:
            # After a restart: the very set-point, not one that is worked out anew from what is left of the interval.
            log.warning("a set-point is taken up again after a restart", dispatches=ids)
            await self._driver.apply(SetPoint(present.target_w, present.target_var, present.expires_at), now)
            self._is_certain = True
            return True
        await self._apply(ids, orders, now)
        return True

    async def _apply(self, ids: tuple[str, ...], orders: list[Tracked], now: int) -> None:
        active = [tracked.order for tracked in orders if tracked.order.energy == "ACTIVE"]
        reactive = [tracked.order for tracked in orders if tracked.order.energy == "REACTIVE"]
        expires_at = min(tracked.order.lease_end for tracked in orders)
        clamped = await self._clamped(active[0].target_w, active[0].interval, now) if active else None
        target_var = reactive[0].target_var if reactive else None
        target_w = clamped.power_w if clamped else None
        await self._driver.apply(SetPoint(target_w, target_var, expires_at), now)
        limited_by = clamped.limited_by if clamped else ()
        self.applied = Applied(ids, target_w, target_var, now, expires_at, limited_by)
        self._is_certain = True

    async def _clamped(self, wanted_w: int, interval: int, now: int) -> Clamped:
        limits, connection = self._limits, self._driver.capabilities().connection_w
        injection = limits.fuse_injection_w if limits.fuse_injection_w is not None else connection
        withdrawal = limits.fuse_withdrawal_w if limits.fuse_withdrawal_w is not None else connection
        present = self.applied if self._is_certain else None
        present_w = present.target_w if present else None
        elapsed_s = now - present.since if present else 0
        return clamp(
            wanted_w,
            Limits(
                hardware=symmetric(connection),
                fuse=PowerRange(-injection, withdrawal),
                storage=await self._storage_range(interval, now),
                ramp=ramp_range(present_w, elapsed_s, limits.ramp_w_per_s),
                dwell=dwell_range(present_w, elapsed_s, limits.dwell_s),
            ),
        )

    async def _storage_range(self, interval: int, now: int) -> PowerRange | None:
        try:
            forecast = await self._driver.flexibility(interval, self._time_unit_s, now)
        except NoMeasurement:
            return None
        return reachable(forecast, self._reserve_permille, interval + self._time_unit_s - max(now, interval))


def reachable(forecast: FlexibilityForecast, reserve_permille: int, span_s: int) -> PowerRange:
    """Net powers [W] that the devices can hold over `span_s` seconds with the owner's reserve untouched.

    Rounded outward by a Wh: what is beyond the devices' physics they refuse themselves.
    """
    up_wh = sum(usable_wh(device, Direction.UP, reserve_permille) for device in forecast.devices)
    down_wh = sum(usable_wh(device, Direction.DOWN, reserve_permille) for device in forecast.devices)
    low_wh, high_wh = forecast.default_wh - up_wh - 1, forecast.default_wh + down_wh + 1
    return PowerRange(low_wh * _S_PER_H // span_s, -(-high_wh * _S_PER_H // span_s))
