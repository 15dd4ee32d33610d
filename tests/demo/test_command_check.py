"""What the demonstration's checker holds a command's pay to: no less than it brought, no more than the DSO offered."""

from __future__ import annotations

from typing import Any

import pytest

from market.domain.products import Direction, Phase, SignalKind
from market.domain.records import AwardRecord, pack_awards
from scripts.demo.checker.awards import check_commands
from scripts.demo.checker.evidence import Event, Evidence, OwnReading

T = 1_800_000_000
PORTFOLIO, NODE, INDEX = 1, 3, 7
NANOGRID = PORTFOLIO << 16 | INDEX
REQUEST, NO_REQUEST, OFFER = "0x" + "22" * 32, "0x" + "00" * 32, "0x" + "11" * 32
EMERGENCY_UEUR_KWH, BID_UEUR_KWH = 300_000, 400_000
DELIVERED_WH, AWARDED_WH = 2_000, 500


def event(name: str, at: int = T - 60, **arguments: Any) -> Event:
    return Event(1, 0, "0x", "0x", name, arguments, at)


def findings(paid_ueur: int, request: str = REQUEST) -> list[str]:
    """Of a command of 2 kWh that was followed, beside an award of 500 Wh that it replaced."""
    award = AwardRecord(BID_UEUR_KWH, AWARDED_WH, 0, INDEX)
    events = (
        event("PortfolioRegistered", portfolio=PORTFOLIO, node=NODE),
        event("RequestPublished", request=REQUEST, priceUeurKwh=BID_UEUR_KWH),
        event(
            "OfferOpened", offer=OFFER, portfolio=PORTFOLIO, interval=T, side=0, direction=int(Direction.DOWN),
            product=1, quantity=AWARDED_WH, request=request,
        ),
        event("Finalised", offer=OFFER, awards="0x" + pack_awards([award]).hex()),
        event("SignalSet", node=NODE, interval=T, kind=int(SignalKind.FORECAST), phase=int(Phase.RED)),
        event(
            "CommandGiven", nanogrid=NANOGRID, interval=T, quantity=DELIVERED_WH, direction=int(Direction.DOWN),
            priceUeurKwh=EMERGENCY_UEUR_KWH,
        ),
        event(
            "CommandSettled", T + 900, nanogrid=NANOGRID, interval=T, baseline=0, metered=DELIVERED_WH,
            delivered=DELIVERED_WH, paidUeur=paid_ueur, unpaidUeur=0,
        ),
    )  # fmt: skip
    reading = OwnReading(NANOGRID, T, DELIVERED_WH * -Direction.DOWN.sign, 0, 1, b"")
    return list(check_commands(Evidence(1, "0x", 900, 3600, events, 0, {}, 0, {}, (reading,))))


def test_a_command_is_paid_the_emergency_price_and_the_awards_for_its_own_energy() -> None:
    assert findings(600_000) == [], "the award had ended before"
    assert findings(650_000) == [], "500 Wh of it at 0.40 EUR"


@pytest.mark.parametrize(("paid_ueur", "request_"), [(599_999, REQUEST), (650_001, REQUEST), (600_001, NO_REQUEST)])
def test_less_or_more_is_found_and_the_price_of_an_internal_award_counts_for_nothing(
    paid_ueur: int, request_: str
) -> None:
    [found] = findings(paid_ueur, request_)
    assert f"{paid_ueur} paid" in found
