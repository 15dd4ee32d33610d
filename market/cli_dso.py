"""`meritgrid signal`, `meritgrid request` and `meritgrid red`: what a DSO decides by hand, beside its desk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from market.cli_choices import (
    AnyInterval,
    AnyNode,
    DirectionName,
    First,
    Interval,
    Last,
    NodeId,
    PhaseName,
    RequestProduct,
    Salt,
    SignalKindName,
)
from market.cli_session import (
    LOCAL_MARKET,
    Access,
    AsJson,
    MarketUrl,
    name_of,
    session,
    show_list,
    with_access,
)
from market.desks.desk import Desk, document_hash
from market.desks.market_client import MarketClient
from market.domain.intervals import iso
from market.domain.messages import Command, Request, Signal
from market.domain.products import COMMAND_PRODUCT, Direction, Phase, Product, SignalKind

signal = typer.Typer(help="The traffic light of a node: set it, or read its history.", no_args_is_help=True)
request = typer.Typer(help="A DSO's published need, with its money in escrow.", no_args_is_help=True)
red = typer.Typer(help="Direct commands of the DSO to nanogrids of a node that is RED.", no_args_is_help=True)

_SHOWN_BEFORE, _SHOWN_AFTER = 8, 8

Reason = Annotated[str, typer.Option(help="Why, in a sentence. It is published.")]
ReasonFile = Annotated[
    Path | None,
    typer.Option("--reason-file", help="JSON object to publish as the reason (element, loading_percent, …)."),
]


def _reason(text: str, path: Path | None) -> dict[str, Any]:
    if path is None:
        return {"text": text}
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds no JSON object")
    return document | ({"text": text} if text else {})


@signal.command("set")
@with_access
def set_signal(
    access: Access,
    node: NodeId,
    interval: Interval,
    phase: Annotated[PhaseName, typer.Option(case_sensitive=False, help="The light.")],
    reason: Reason = "",
    reason_file: ReasonFile = None,
    kind: Annotated[
        SignalKindName, typer.Option(case_sensitive=False, help="By forecast, or by actual values.")
    ] = SignalKindName.FORECAST,
    sequence: Annotated[
        int | None, typer.Option(help="Number of the signal; default: one above the last that the market has.")
    ] = None,
) -> None:
    """Set a node's light for an interval, signed with the DSO's key.

    The reason is published, and the chain keeps its hash. RED of an interval that has been final since one time unit
    before its start stays.

    Example: meritgrid signal set --node 1 --interval 2026-05-20T10:00Z --phase YELLOW --reason "Transformer at 141 %"
    --key-file dso.key
    """
    with access.signing() as desk:
        published = _reason(reason, reason_file)
        kind_code = SignalKind[kind.value]
        message = Signal(
            node=node,
            interval=interval,
            phase=Phase[phase.value],
            kind=kind_code,
            reason=document_hash(published),
            sequence=_next_sequence(desk, node, interval, kind_code) if sequence is None else sequence,
        )
        answer = desk.decide(f"/v1/nodes/{node}/signals", message, reason=published)
    access.say(answer, f"Node {node} is {phase.value} for {iso(interval)} (transaction {answer['transaction']}).")


def _next_sequence(desk: Desk, node: int, interval: int, kind: SignalKind) -> int:
    rows = desk.client.items(f"/v1/nodes/{node}/signals", first=interval, last=interval, kind=int(kind))
    return max((int(row["sequence"]) for row in rows), default=0) + 1


@signal.command("list")
def list_signals(
    node: NodeId,
    first: First = None,
    last: Last = None,
    market: MarketUrl = LOCAL_MARKET,
    as_json: AsJson = False,
) -> None:
    """Show a node's light with its reasons; by default two hours before and after now.

    Needs no key: signals are public. The highest sequence of a kind is the one that counts.

    Example: meritgrid signal list --node 1 --first 2026-05-20T08:00Z --last 2026-05-20T16:00Z
    """
    with session(market, as_json=as_json) as client:
        first, last = _window(client, first, last)
        rows = list(client.items(f"/v1/nodes/{node}/signals", first=first, last=last))
    if not as_json:
        rows = [
            row
            | {
                "phase": name_of(Phase, row["phase"]),
                "kind": name_of(SignalKind, row["kind"]),
                "reason": _reason_text(row),
            }
            for row in rows
        ]
    show_list(rows, ("interval", "phase", "kind", "sequence", "reason", "at"), as_json, f"Signals of node {node}")


def _reason_text(row: Mapping[str, Any]) -> str:
    """The reason as a person wrote it; else the hash that stands on the chain."""
    return str((row["reason"] or {}).get("text", row["reason_hash"]))


def _window(client: MarketClient, first: int | None, last: int | None) -> tuple[int, int]:
    if first is not None and last is not None:
        return first, last
    facts = client.get("/v1/market")
    unit_s = int(facts["time_unit_s"])
    now = int(facts["now"]) // unit_s * unit_s
    return (
        now - _SHOWN_BEFORE * unit_s if first is None else first,
        now + _SHOWN_AFTER * unit_s if last is None else last,
    )


@request.command("publish")
@with_access
def publish_request(
    access: Access,
    node: NodeId,
    interval: Interval,
    direction: Annotated[DirectionName, typer.Option(case_sensitive=False, help=str(DirectionName.__doc__))],
    quantity: Annotated[
        list[int],
        typer.Option(help="Energy of the interval [Wh or varh]; given again, of the intervals that follow."),
    ],
    price: Annotated[int, typer.Option(help="Price for delivered energy [micro-euro per kWh or kvarh].")],
    product: Annotated[
        RequestProduct, typer.Option(case_sensitive=False, help="Congestion (active) or voltage (reactive energy).")
    ] = RequestProduct.CM_REALTIME,
    salt: Salt = 0,
) -> None:
    """Publish a DSO's need; quantity times price goes from its account into escrow at once.

    The node has to be YELLOW for the intervals. What no offer takes comes back. The same request sent twice is one.

    Example: meritgrid request publish --node 1 --interval 2026-05-20T10:00Z --direction DOWN --quantity 9000
    --quantity 7500 --price 300000 --key-file dso.key
    """
    with access.signing() as desk:
        message = Request(
            node=node,
            first_interval=interval,
            product=Product[product.value],
            direction=Direction[direction.value],
            price_ueur_kwh=price,
            quantities=tuple(quantity),
            salt=salt,
        )
        answer = desk.decide("/v1/requests", message)
    access.say(answer, f"Request {answer['id']} is published (transaction {answer['transaction']}).")


@request.command("list")
def list_requests(
    node: AnyNode = None,
    first: First = None,
    last: Last = None,
    market: MarketUrl = LOCAL_MARKET,
    as_json: AsJson = False,
) -> None:
    """Show requests and what of them is still available. Needs no key.

    Example: meritgrid request list --node 1 --first 2026-05-20T08:00Z
    """
    with session(market, as_json=as_json) as client:
        rows = list(client.items("/v1/requests", node=node, first=first, last=last))
    if not as_json:
        rows = [
            row
            | part
            | {"direction": name_of(Direction, row["direction"]), "product": name_of(Product, row["product"])}
            for row in rows
            for part in row["intervals"]
        ]
        rows.sort(key=lambda row: (row["interval"], row["id"]))
    columns = ("interval", "node", "direction", "product", "quantity", "available", "price_ueur_kwh", "id")
    show_list(rows, columns, as_json, "Requests")


@red.command("command")
@with_access
def give_command(
    access: Access,
    nanogrid: Annotated[int, typer.Option(help="The nanogrid's id.")],
    interval: Interval,
    direction: Annotated[DirectionName, typer.Option(case_sensitive=False, help=str(DirectionName.__doc__))],
    quantity: Annotated[int, typer.Option(help="Change of the interval's energy against the baseline [Wh].")],
    reason: Reason = "RED: direct command",
    reason_file: ReasonFile = None,
) -> None:
    """Command a nanogrid directly. Its node has to be RED for the interval.

    A command replaces a live award without penalty and is paid at the nanogrid's emergency price from the DSO's
    deposit. It is recorded even when the deposit is short.

    Example: meritgrid red command --nanogrid 65543 --interval 2026-05-20T10:00Z --direction DOWN --quantity 1200
    --key-file dso.key
    """
    with access.signing() as desk:
        published = _reason(reason, reason_file)
        message = Command(
            nanogrid=nanogrid,
            interval=interval,
            product=COMMAND_PRODUCT,
            direction=Direction[direction.value],
            quantity=quantity,
            reason=document_hash(published),
        )
        answer = desk.decide("/v1/commands", message, reason=published)
    access.say(answer, f"Nanogrid {nanogrid} is commanded for {iso(interval)} ({answer['transaction']}).")


@red.command("list")
@with_access
def list_commands(
    access: Access,
    node: NodeId,
    interval: AnyInterval = None,
) -> None:
    """Show the commands at a node that concern the key's owner, why they were given and what became of them.

    Example: meritgrid red list --node 1 --key-file dso.key
    """
    with access.client() as client:
        rows = list(client.items("/v1/commands", node=node, interval=interval))
    if not access.as_json:
        rows = [row | {"direction": name_of(Direction, row["direction"]), "reason": _reason_text(row)} for row in rows]
    columns = ("interval", "nanogrid", "direction", "quantity", "reason", "delivered", "paid_ueur", "unpaid_ueur")
    access.show_list(rows, columns, f"Commands at node {node}")
