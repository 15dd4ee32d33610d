"""`meritgrid offer`: an aggregator's auctions, and their results for everybody whom they concern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from market.cli_choices import (
    AnyInterval,
    AnyNode,
    DirectionName,
    Interval,
    OfferId,
    OfferStatusName,
    Salt,
    SideName,
)
from market.cli_session import (
    LOCAL_MARKET,
    Access,
    AsJson,
    MarketUrl,
    hash_of,
    moment,
    name_of,
    session,
    show,
    show_list,
    with_access,
)
from market.desks.desk import Desk
from market.desks.market_client import Json
from market.domain.intervals import iso
from market.domain.messages import Cancellation, Offer
from market.domain.products import Direction, Product, Side

offer = typer.Typer(help="Auctions among an aggregator's nanogrids, and their results.", no_args_is_help=True)

_NO_REQUEST = bytes(32)


@offer.command("open")
@with_access
def open_offer(
    access: Access,
    portfolio: Annotated[int, typer.Option(help="The aggregator's portfolio.")],
    interval: Interval,
    limit_price: Annotated[
        int, typer.Option(help="BUY: highest, SELL: lowest price that can win [micro-euro per kWh or kvarh].")
    ],
    request: Annotated[
        str | None, typer.Option(parser=hash_of, metavar="REQUEST", help="The request it answers; none: INTERNAL.")
    ] = None,
    quantity: Annotated[
        int | None, typer.Option(help="Energy [Wh or varh]; default: what is left of the request.")
    ] = None,
    direction: Annotated[
        DirectionName | None, typer.Option(case_sensitive=False, help="For INTERNAL: UP or DOWN.")
    ] = None,
    side: Annotated[SideName, typer.Option(case_sensitive=False, help="SELL is for INTERNAL only.")] = SideName.BUY,
    gate_closure: Annotated[
        int | None,
        typer.Option(parser=moment, metavar="MOMENT", help="When the gate closes; default: the calendar's latest."),
    ] = None,
    salt: Salt = 0,
) -> None:
    """Open an auction, signed with the aggregator's key.

    It answers a DSO's request, whose direction and product it takes, or is INTERNAL. The baselines of the interval
    have to be anchored before, and an INTERNAL BUY takes its escrow from the aggregator's account.

    Example: meritgrid offer open --portfolio 1 --interval 2026-05-20T10:00Z --request 0x… --limit-price 255000
    --key-file aggregator.key
    """
    with access.signing() as desk:
        terms = _terms(desk, interval, request, quantity, direction)
        closes_at = desk.calendar.latest_gate_closure(interval, internal=request is None)
        message = Offer(
            portfolio=portfolio,
            request=_NO_REQUEST if request is None else bytes.fromhex(request[2:]),
            interval=interval,
            side=Side[side.value],
            direction=terms.direction,
            product=terms.product,
            quantity=terms.quantity,
            limit_price_ueur_kwh=limit_price,
            gate_closure=closes_at if gate_closure is None else gate_closure,
            salt=salt,
        )
        answer = desk.decide("/v1/offers", message)
    access.say(answer, f"Offer {answer['id']} is open until {iso(message.gate_closure)}.")


@dataclass(frozen=True, slots=True)
class _Terms:
    direction: Direction
    product: Product
    quantity: int


def _terms(
    desk: Desk, interval: int, request: str | None, quantity: int | None, direction: DirectionName | None
) -> _Terms:
    """What is bought: by the request, or for INTERNAL as the options say."""
    if request is None:
        if quantity is None or direction is None:
            raise ValueError("An INTERNAL offer needs --quantity and --direction; another one names its --request.")
        return _Terms(Direction[direction.value], Product.INTERNAL, quantity)
    asked = desk.client.get(f"/v1/requests/{request}")
    left = next((int(row["available"]) for row in asked["intervals"] if row["interval"] == interval), None)
    if left is None:
        raise ValueError(f"Request {request} is not for the interval {iso(interval)}.")
    return _Terms(Direction(asked["direction"]), Product(asked["product"]), left if quantity is None else quantity)


@offer.command("list")
def list_offers(
    status: Annotated[OfferStatusName | None, typer.Option(case_sensitive=False, help="Only in this state.")] = None,
    node: AnyNode = None,
    portfolio: Annotated[int | None, typer.Option(help="Only of this portfolio.")] = None,
    nanogrid: Annotated[int | None, typer.Option(help="Only those in which this nanogrid may bid.")] = None,
    interval: AnyInterval = None,
    market: MarketUrl = LOCAL_MARKET,
    as_json: AsJson = False,
) -> None:
    """Show offers. Needs no key.

    Example: meritgrid offer list --status OPEN --nanogrid 65543
    """
    with session(market, as_json=as_json) as client:
        rows = list(
            client.items(
                "/v1/offers",
                status=None if status is None else status.value,
                node=node,
                portfolio=portfolio,
                nanogrid=nanogrid,
                interval=interval,
            )
        )
    if not as_json:
        rows = sorted((_named(row) for row in rows), key=lambda row: (row["interval"], row["id"]))
    columns = ("interval", "state", "side", "direction", "quantity", "limit_price_ueur_kwh", "bid_count", "id")
    show_list(rows, columns, as_json, "Offers")


def _named(row: Json) -> Json:
    return row | {
        "side": name_of(Side, row["side"]),
        "direction": name_of(Direction, row["direction"]),
        "product": name_of(Product, row["product"]),
    }


@offer.command("show")
def show_offer(offer_id: OfferId, market: MarketUrl = LOCAL_MARKET, as_json: AsJson = False) -> None:
    """Show one offer: what is asked, until when, and how it ended. Needs no key.

    Example: meritgrid offer show 0x…
    """
    with session(market, as_json=as_json) as client:
        document = client.get(f"/v1/offers/{offer_id}")
    show(document if as_json else _named(document), as_json, "Offer")


@offer.command("cancel")
@with_access
def cancel_offer(
    access: Access,
    offer_id: OfferId,
) -> None:
    """Take an offer back while it has no bids.

    Example: meritgrid offer cancel 0x… --key-file aggregator.key
    """
    with access.signing() as desk:
        signature = desk.sign(Cancellation(bytes.fromhex(offer_id[2:])))
        answer = desk.client.post(f"/v1/offers/{offer_id}/cancellation", {"signature": signature})
    access.say(answer, f"Offer {offer_id} is cancelled (transaction {answer['transaction']}).")


@offer.command("position")
@with_access
def show_position(
    access: Access,
    offer_id: OfferId,
) -> None:
    """Show what an offer means for its aggregator: energy offered, awarded, delivered; revenue, cost, margin.

    Example: meritgrid offer position 0x… --key-file aggregator.key
    """
    with access.signing() as desk:
        document = desk.client.get(f"/v1/offers/{offer_id}/position")
    access.show(document, "Position")


@offer.command("merit-order")
def show_merit_order(offer_id: OfferId, market: MarketUrl = LOCAL_MARKET, as_json: AsJson = False) -> None:
    """Show the merit order of a cleared offer: the bids in their rank, where it was cut, and why. Needs no key.

    Example: meritgrid offer merit-order 0x…
    """
    with session(market, as_json=as_json) as client:
        document = client.get(f"/v1/offers/{offer_id}/merit-order")
    if as_json:
        show(document, as_json, "Merit order")
        return
    side, limit = name_of(Side, document["side"]), document["limit_price_ueur_kwh"]
    title = (
        f"{side} {document['quantity']} at a limit of {limit} micro-euro per kWh: {document['cut_quantity']} won, "
        f"marginal price {document['marginal_price_ueur_kwh']}"
    )
    columns = ("rank", "index", "price_ueur_kwh", "reserved", "quantity", "minimum", "awarded", "note")
    show_list(_ranked(document["bids"]), columns, as_json, title)


@offer.command("verdict")
def show_verdict(offer_id: OfferId, market: MarketUrl = LOCAL_MARKET, as_json: AsJson = False) -> None:
    """Show which awards of a cleared offer the DSO rejected, and why. Needs no key: its reasons are published.

    Example: meritgrid offer verdict 0x…
    """
    with session(market, as_json=as_json) as client:
        document = client.get(f"/v1/offers/{offer_id}/verdict")
    show(document, as_json, "Verdict")


def _ranked(steps: list[Json]) -> list[dict[str, Any]]:
    return [step | {"rank": rank, "note": _note(step)} for rank, step in enumerate(steps, 1)]


def _note(step: Json) -> str:
    if step["rejected"]:
        return "rejected by the DSO"
    if step["passed_over"]:
        return "minimum above what was left"
    if step["awarded"] == 0:
        return "nothing left"
    return "whole" if step["awarded"] == step["quantity"] else "partial"


@offer.command("awards")
@with_access
def list_awards(
    access: Access,
    offer_id: OfferId,
) -> None:
    """Show the awards of a cleared offer that concern the key's owner, and what they were settled with.

    Example: meritgrid offer awards 0x… --key-file owner.key
    """
    with access.signing() as desk:
        rows = list(desk.client.items(f"/v1/offers/{offer_id}/awards"))
    columns = ("ordinal", "nanogrid", "price_ueur_kwh", "quantity", "dispatch_state", "delivered", "outcome",
               "paid_ueur", "penalty_ueur")  # fmt: skip
    access.show_list(rows, columns, "Awards")
