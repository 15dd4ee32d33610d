"""The families of devices that this gateway can drive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from gateway_agent.drivers import Driver
from gateway_agent.drivers.simulated.driver import SimulatedDriver

FAMILIES: Final[Mapping[str, Callable[[Mapping[str, Any], Path], Driver]]] = MappingProxyType(
    {SimulatedDriver.family: SimulatedDriver.from_options}
)
"""Family -> makes its driver from the options of `[driver]` and the folder that relative paths start from."""


def driver_of(options: Mapping[str, Any], folder: Path) -> Driver:
    """The driver of the table `[driver]`; ValueError names an unknown family or what is wrong with its options."""
    settings = dict(options)
    family = settings.pop("family", None)
    if family not in FAMILIES:
        raise ValueError(f"driver.family must be one of {', '.join(sorted(FAMILIES))}, not {family!r}")
    return FAMILIES[family](settings, folder)
