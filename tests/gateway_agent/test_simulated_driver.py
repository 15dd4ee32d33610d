"""The simulated driver: dispatch changes what is measured, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway_agent.drivers import NoMeasurement, SetPoint
from gateway_agent.drivers.registry import driver_of
from gateway_agent.drivers.simulated.driver import SimulatedDriver
from gateway_agent.drivers.simulated.profile import read_nanogrid
from tests.gateway_agent.world import T0, UNIT_S, nanogrid_file


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    nanogrid_file(tmp_path / "plant.json")
    return tmp_path / "plant.json"


async def opened(profile: Path, stubborn: tuple[tuple[int, int], ...] = ()) -> SimulatedDriver:
    driver = SimulatedDriver(read_nanogrid(profile), stubborn)
    await driver.open(None, T0)
    return driver


async def energy_wh(driver: SimulatedDriver, start: int, end: int) -> int:
    before = (await driver.measure(start)).registers.active_wh
    return (await driver.measure(end)).registers.active_wh - before


async def test_how_often_one_looks_does_not_change_what_is_measured(profile: Path) -> None:
    often, once = await opened(profile), await opened(profile)
    set_points = {T0 + UNIT_S: SetPoint(-1_200, None, T0 + 2 * UNIT_S), T0 + 4 * UNIT_S: SetPoint(900, None, T0 + 4500)}
    for at in range(T0, T0 + 20 * UNIT_S + 1, 60):
        await often.measure(at)
        if at in set_points:
            for driver in (often, once):
                await driver.apply(set_points[at], at)
        elif at > T0 + UNIT_S:  # renewed at every look, as a gateway does that starts again and again
            await often.apply(set_points[max(start for start in set_points if start < at)], at)
        assert at % UNIT_S or await often.measure(at) == await once.measure(at)


async def test_a_set_point_that_has_expired_may_be_taken_back_at_any_time(profile: Path) -> None:
    soon, late = await opened(profile), await opened(profile)
    for driver in (soon, late):
        await driver.apply(SetPoint(-1_200, None, T0 + UNIT_S + 60), T0)
    await soon.release(T0 + UNIT_S + 60)
    await late.release(T0 + UNIT_S + 400)
    end = T0 + 2 * UNIT_S
    assert await soon.measure(end) == await late.measure(end)


async def test_a_driver_that_is_opened_again_within_an_interval_changes_nothing(profile: Path) -> None:
    straight, driver = await opened(profile), await opened(profile)
    for at in range(T0, T0 + 20 * UNIT_S, 7 * 60):
        await driver.measure(at)
        again = SimulatedDriver(read_nanogrid(profile))
        await again.open(json.loads(json.dumps(driver.state())), at)
        driver = again
    end = T0 + 20 * UNIT_S
    assert (await driver.measure(end)).registers == (await straight.measure(end)).registers


async def test_a_set_point_is_met_and_ends_with_its_lease(profile: Path) -> None:
    driver = await opened(profile)
    await driver.apply(SetPoint(-1_200, None, T0 + UNIT_S + 60), T0)
    assert abs(await energy_wh(driver, T0, T0 + UNIT_S) - -300) <= 1
    free = await opened(profile)
    assert abs(await energy_wh(driver, T0 + UNIT_S, T0 + UNIT_S + 60) - -20) <= 1
    assert await energy_wh(free, T0 + UNIT_S, T0 + UNIT_S + 60) != -20
    state = driver.state()["plant"]
    await driver.measure(T0 + 2 * UNIT_S)
    assert driver.state()["plant"] != state


async def test_a_stubborn_device_takes_set_points_and_ignores_them(profile: Path) -> None:
    stubborn = await opened(profile, ((T0, T0 + UNIT_S),))
    plain = await opened(profile)
    await stubborn.apply(SetPoint(-1_200, None, T0 + 2 * UNIT_S), T0)
    assert await energy_wh(stubborn, T0, T0 + UNIT_S) == await energy_wh(plain, T0, T0 + UNIT_S)
    assert abs(await energy_wh(stubborn, T0 + UNIT_S, T0 + 2 * UNIT_S) - -300) <= 1


async def test_a_stored_state_goes_on_where_it_was(profile: Path) -> None:
    driver, straight = await opened(profile), await opened(profile)
    for each in (driver, straight):
        await each.apply(SetPoint(-800, None, T0 + UNIT_S), T0)
        await each.measure(T0 + UNIT_S // 3)
    again = SimulatedDriver(read_nanogrid(profile))
    await again.open(json.loads(json.dumps(driver.state())), T0 + 3 * UNIT_S)
    assert await again.measure(T0 + 5 * UNIT_S) == await straight.measure(T0 + 5 * UNIT_S)


async def test_the_meter_keeps_no_past(profile: Path) -> None:
    driver = await opened(profile)
    await driver.measure(T0 + UNIT_S)
    with pytest.raises(NoMeasurement):
        await driver.measure(T0)


async def test_what_is_forecast_can_be_delivered_when_the_forecast_comes_true(profile: Path) -> None:
    nanogrid = read_nanogrid(profile)
    from dataclasses import replace

    true = replace(nanogrid, forecast=nanogrid.actual)
    for direction in (-1, 1):
        driver = SimulatedDriver(true)
        await driver.open(None, T0)
        await driver.measure(T0 + 450)
        start = T0 + 3 * UNIT_S
        found = await driver.flexibility(start, UNIT_S, T0 + 450)
        most_wh = sum(each.up_wh if direction < 0 else each.down_wh for each in found.devices)
        wanted_wh = found.default_wh + direction * most_wh
        await driver.apply(SetPoint(wanted_wh * 3600 // UNIT_S, None, start + UNIT_S), start)
        assert abs(await energy_wh(driver, start, start + UNIT_S) - wanted_wh) <= 2


async def test_looking_ahead_changes_nothing(profile: Path) -> None:
    driver = await opened(profile)
    before = driver.state()
    await driver.flexibility(T0 + 5 * UNIT_S, UNIT_S, T0)
    assert driver.state() == before


async def test_the_past_has_no_flexibility(profile: Path) -> None:
    driver = await opened(profile)
    with pytest.raises(NoMeasurement):
        await driver.flexibility(T0 - UNIT_S, UNIT_S, T0)


@pytest.mark.parametrize(
    "options", [{}, {"family": "unknown"}, {"family": "simulated"}, {"family": "simulated", "x": 1}]
)
def test_a_driver_that_is_not_described_rightly_is_refused(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="driver"):
        driver_of(options, tmp_path)
