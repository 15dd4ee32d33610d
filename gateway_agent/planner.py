"""The bidding policy: which offers a nanogrid answers, with how much and for how much. Pure.

A bid has one price, a nanogrid several kinds of devices: kinds are taken in increasing order of their price floors, as
long as the floor is below the limit price, and the set is chosen that promises the largest gain over its floors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from gateway_agent.drivers import DeviceFlexibility, FlexibilityForecast
from market.domain.products import Direction, Kind, Product, Side
from market.domain.units import MAX_QUANTITY, UEUR_PER_CENT

_PENALTY_NUMERATOR: Final = 3
_PENALTY_DENOMINATOR: Final = 2_000
"""quantity [Wh] x price [ueur/kWh] x 3 / 2000 <= cover [ueur]: what a whole failure would cost."""


@dataclass(frozen=True, slots=True)
class OpenOffer:
    """An offer that takes bids. quantity [Wh or varh], limit price [micro-euro per kWh], closing times [epoch s]."""

    id: str
    interval: int
    side: Side
    direction: Direction
    product: Product
    quantity: int
    limit_price_ueur_kwh: int
    api_closes_at: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The owner's wishes and the limits of the bidding key; fields as in `[bidding]` of gateway.toml."""

    price_floor_ueur_kwh: Mapping[str, int] = field(default_factory=dict)
    value_ueur_kwh: Mapping[str, int] = field(default_factory=dict)
    markup_permille: int = 300
    confidence_permille: int = 900
    reserve_soc_permille: int = 100
    minimum_wh: int = 0
    smallest_quantity_wh: int = 10
    lowest_price_ueur_kwh: int = 0
    largest_quantity_wh: int = MAX_QUANTITY
    cover_ueur: int | None = None
    opt_out: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Planned:
    """A bid to sign; pledges: kind of device -> (Wh up, Wh down) that it counts on."""

    price_ueur_kwh: int
    quantity: int
    minimum: int
    pledges: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Declined:
    """Why an offer is not answered."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Part:
    """What a kind of device can give [Wh] and the price from which on it does."""

    kind: str
    quantity: int
    price_ueur_kwh: int


def policy_of(bidding: Mapping[str, object], cover_cents: int | None) -> Policy:
    """The policy of the fields of `[bidding]`."""
    names = set(Policy.__dataclass_fields__) - {"cover_ueur", "opt_out"}
    chosen = {name: value for name, value in bidding.items() if name in names}
    days = bidding.get("opt_out")
    return Policy(
        **chosen,  # type: ignore[arg-type]
        cover_ueur=None if cover_cents is None else cover_cents * UEUR_PER_CENT,
        opt_out=frozenset(days) if isinstance(days, tuple) else frozenset(),
    )


def plan_bid(
    offer: OpenOffer,
    forecast: FlexibilityForecast,
    policy: Policy,
    local_day: date,
    pledged: Mapping[str, tuple[int, int]],
) -> Planned | Declined:
    """The bid for an offer, or why there is none.

    local_day: of the offer's interval; pledged: what earlier bids whose interval has not ended count on, by kind.
    """
    if local_day in policy.opt_out:
        return Declined(f"opted out for {local_day}")
    if offer.product.kind is not Kind.ACTIVE:
        return Declined("this policy sells active energy only")
    parts = list(_parts(offer, forecast.devices, policy, pledged))
    if not parts:
        return Declined("no device is flexible at this price")
    return _choose(offer, parts, policy)


def usable_wh(device: DeviceFlexibility, direction: Direction, reserve_permille: int, pledged_wh: int = 0) -> int:
    """What a device can give in a direction [Wh] when the owner's reserve and earlier pledges stay untouched."""
    if direction is Direction.UP:
        possible, left = device.up_wh, device.left_up_wh
        if left is not None and device.capacity_wh is not None:
            left -= device.capacity_wh * reserve_permille // 1000
    else:
        possible, left = device.down_wh, device.left_down_wh
    return max(0, possible if left is None else min(possible, left - pledged_wh))


def _parts(
    offer: OpenOffer, devices: Iterable[DeviceFlexibility], policy: Policy, pledged: Mapping[str, tuple[int, int]]
) -> Iterable[_Part]:
    prices = policy.price_floor_ueur_kwh if offer.side is Side.BUY else policy.value_ueur_kwh
    for device in devices:
        if device.kind not in prices:
            continue
        price = max(prices[device.kind], policy.lowest_price_ueur_kwh, 1)
        fits = price <= offer.limit_price_ueur_kwh if offer.side is Side.BUY else price >= offer.limit_price_ueur_kwh
        before_wh = pledged.get(device.kind, (0, 0))[offer.direction]
        quantity = usable_wh(device, offer.direction, policy.reserve_soc_permille, before_wh)
        quantity = quantity * policy.confidence_permille // 1000
        if fits and quantity > 0:
            yield _Part(device.kind, quantity, price)


def _choose(offer: OpenOffer, parts: list[_Part], policy: Policy) -> Planned | Declined:
    buys = offer.side is Side.BUY
    parts.sort(key=lambda part: part.price_ueur_kwh if buys else -part.price_ueur_kwh)
    best: tuple[int, Planned] | None = None
    for count in range(1, len(parts) + 1):
        chosen = parts[:count]
        last = chosen[-1].price_ueur_kwh
        price = last + (offer.limit_price_ueur_kwh - last) * policy.markup_permille // 1000
        bid = _limited(offer, chosen, price, policy)
        gain = sum(
            (price - part.price_ueur_kwh if buys else part.price_ueur_kwh - price) * sum(bid.pledges[part.kind])
            for part in chosen
            if part.kind in bid.pledges
        )
        if bid.quantity >= policy.smallest_quantity_wh and (best is None or gain > best[0]):
            best = (gain, bid)
    return best[1] if best else Declined(f"less than {policy.smallest_quantity_wh} Wh to offer")


def _limited(offer: OpenOffer, chosen: list[_Part], price: int, policy: Policy) -> Planned:
    most = min(offer.quantity, policy.largest_quantity_wh, MAX_QUANTITY)
    if policy.cover_ueur is not None:
        most = min(most, policy.cover_ueur * _PENALTY_DENOMINATOR // (price * _PENALTY_NUMERATOR))
    left = most
    pledges: dict[str, tuple[int, int]] = {}
    for part in chosen:
        quantity = min(left, part.quantity)
        left -= quantity
        if quantity:
            pledges[part.kind] = (quantity, 0) if offer.direction is Direction.UP else (0, quantity)
    quantity = most - left
    return Planned(price, quantity, min(policy.minimum_wh, quantity), pledges)


def pledges_of(bids: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    """Sums by kind of device [Wh up, Wh down] of several bids' pledges."""
    total: dict[str, tuple[int, int]] = {}
    for bid in bids:
        for kind, (up, down) in bid.items():
            before_up, before_down = total.get(kind, (0, 0))
            total[kind] = (before_up + up, before_down + down)
    return total
