"""The owners of a demonstration: what each wants, drawn by the seed, and the faults of the day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from gateway_agent.drivers.simulated.profile import SimulatedNanogrid
from market.domain.settlement import bond_for_cover_ueur, exposure_ueur
from market.domain.units import UEUR_PER_CENT
from scripts.demo.scenario import Scenario

REQUEST_PRICE_UEUR_KWH: Final = 300_000
"""What the DSO pays for a kWh; twice the marginal price of most households."""
EMERGENCY_PRICE_UEUR_KWH: Final = 150_000
LOWEST_PRICE_UEUR_KWH: Final = 10_000
FLOORS_UEUR_KWH: Final = {"shiftable": (40_000, 120_000), "battery": (60_000, 140_000), "pv": (80_000, 200_000)}
"""Kind of device → range of the owners' price floors [micro-euro per kWh]."""
SECONDS_PER_HOUR: Final = 3600
OWNER_SIGNS_EVERY: Final = 7
"""Every so many owners sign their bids with their own key, without a delegate."""
OUTAGE_HOURS: Final = (11.25, 13.0)
STUBBORN_HOURS: Final = (11.0, 14.0)


@dataclass(frozen=True, slots=True)
class Household:
    """One nanogrid with its owner's choices.

    bond_ueur: for a cover of the largest bid that its connection allows; outages, stubborn: windows [epoch s].
    """

    nanogrid: SimulatedNanogrid
    largest_quantity_wh: int
    cover_cents: int
    floors_ueur_kwh: dict[str, int]
    willing: bool
    signs_by_hand: bool
    outages: tuple[tuple[int, int], ...]
    stubborn: tuple[tuple[int, int], ...]

    @property
    def index(self) -> int:
        return self.nanogrid.index

    @property
    def bond_ueur(self) -> int:
        return bond_for_cover_ueur(self.cover_cents)

    @property
    def key_name(self) -> str:
        """Name of the key that signs the bids."""
        return f"owner-{self.index}" if self.signs_by_hand else f"delegate-{self.index}"

    def gateway_toml(self, profile: Path, key_file: Path) -> str:
        """The gateway's configuration."""
        bidding = [
            f"enabled = {'true' if self.willing else 'false'}",
            f'key_file = "{key_file}"',
            f'signer = "{"owner" if self.signs_by_hand else "delegate"}"',
            f"lowest_price_ueur_kwh = {LOWEST_PRICE_UEUR_KWH}",
            f"largest_quantity_wh = {self.largest_quantity_wh}",
            f"cover_cents = {self.cover_cents}",
            "confidence_permille = 900",
        ]
        floors = [f"{kind} = {price}" for kind, price in sorted(self.floors_ueur_kwh.items())]
        lines = [
            f"outages = {_windows(self.outages)}",
            "",
            "[driver]",
            'family = "simulated"',
            f'profile = "{profile}"',
            f"stubborn = {_windows(self.stubborn)}",
            "",
            "[bidding]",
            *bidding,
            "",
            "[bidding.price_floor_ueur_kwh]",
            *floors,
        ]
        return "\n".join(lines) + "\n"


def _windows(windows: tuple[tuple[int, int], ...]) -> str:
    return "[" + ", ".join(f"[{start}, {end}]" for start, end in windows) + "]"


def households_of(scenario: Scenario, willing_percent: int, faults: bool) -> list[Household]:
    """The owners of a scenario's nanogrids, by its seed."""
    random = Random(f"{scenario.seed}:owners")
    order = list(range(len(scenario.nanogrids)))
    random.shuffle(order)
    willing = set(order[: round(len(order) * willing_percent / 100)])
    households = [_household(scenario, nanogrid, nanogrid.index in willing) for nanogrid in scenario.nanogrids]
    return _with_faults(scenario, households) if faults else households


def _with_faults(scenario: Scenario, households: list[Household]) -> list[Household]:
    """One gateway loses its uplink and one device is stubborn: of the smaller ones with PV those who ask least, so that
    they have won what they fail to deliver."""
    with_pv = sorted(
        (household for household in households if household.nanogrid.plant.pv.power_w),
        key=lambda household: household.nanogrid.plant.pv.power_w,
    )
    smaller = with_pv[: max(2, len(with_pv) // 2)]
    if len(smaller) < 2:
        return households
    offline, stubborn = sorted(smaller, key=lambda household: max(household.floors_ueur_kwh.values()))[:2]
    faulty = {
        offline.index: replace(offline, outages=(_window(scenario, OUTAGE_HOURS),)),
        stubborn.index: replace(stubborn, stubborn=(_window(scenario, STUBBORN_HOURS),)),
    }
    return [faulty.get(household.index, household) for household in households]


def _household(scenario: Scenario, nanogrid: SimulatedNanogrid, willing: bool) -> Household:
    random = Random(f"{scenario.seed}:owner:{nanogrid.index}")
    largest_wh = max(1, nanogrid.rated_power_w * scenario.step_s // SECONDS_PER_HOUR)
    cover_cents = -(-exposure_ueur(largest_wh, REQUEST_PRICE_UEUR_KWH) // UEUR_PER_CENT) + 1
    devices: dict[str, Any] = {
        "shiftable": nanogrid.plant.shiftable.power_w,
        "battery": nanogrid.plant.battery.power_w,
        "pv": nanogrid.plant.pv.power_w,
    }
    return Household(
        nanogrid=nanogrid,
        largest_quantity_wh=largest_wh,
        cover_cents=cover_cents,
        floors_ueur_kwh={kind: random.randint(*FLOORS_UEUR_KWH[kind]) for kind, power_w in devices.items() if power_w},
        willing=willing,
        signs_by_hand=nanogrid.index % OWNER_SIGNS_EVERY == 0,
        outages=(),
        stubborn=(),
    )


def _window(scenario: Scenario, hours: tuple[float, float]) -> tuple[int, int]:
    first, last = (scenario.first_interval + round(hour * SECONDS_PER_HOUR) for hour in hours)
    return first, last
