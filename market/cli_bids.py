"""`meritgrid bid`: a prosumer's bids. Signing needs the owner's (or the delegate's) key and no connection."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from market.cli_choices import OfferId
from market.cli_refusals import refusal
from market.cli_session import (
    Access,
    AsJson,
    KeyFile,
    PasswordFile,
    hash_of,
    key_of,
    refusals,
    session,
    show,
    with_access,
)
from market.desks.desk import MarketFacts
from market.desks.market_client import Json
from market.domain.messages import Bid
from market.domain.signing import address_of, sign_message
from market.domain.units import index_of

bid = typer.Typer(help="Bids of a nanogrid: sign, send, list, withdraw, and why one did not win.", no_args_is_help=True)

_LIVE: Final = frozenset({"RECEIVED", "POSTED"})

ForOffer = Annotated[str, typer.Option("--offer", parser=hash_of, metavar="OFFER", help="The offer's id.")]
NanogridId = Annotated[int, typer.Option(help="The nanogrid's id.")]


@bid.command("sign")
def sign_bid(
    facts: Annotated[
        str, typer.Option(help="What the market publishes at /v1/market: a file with it, or the market's URL.")
    ],
    offer: ForOffer,
    nanogrid: NanogridId,
    price: Annotated[int, typer.Option(help="Price for delivered energy [micro-euro per kWh or kvarh].")],
    quantity: Annotated[int, typer.Option(help="Energy of the interval [Wh or varh]; 0 in a revision withdraws.")],
    minimum: Annotated[int, typer.Option(help="Least energy that may be awarded [Wh or varh].")] = 0,
    revision: Annotated[int, typer.Option(help="0: the bid; 1: in its place; 2: only to withdraw, by the owner.")] = 0,
    to: Annotated[Path | None, typer.Option(help="Write the signed bid to this file, for `bid send`.")] = None,
    key_file: KeyFile = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign a bid without sending it. With a file of facts nothing is sent anywhere.

    Anybody may send what is signed; nobody can change it.

    Example: meritgrid bid sign --facts market.json --offer 0x… --nanogrid 65543 --price 96000 --quantity 1200
    --key-file owner.key --to bid.json
    """
    with refusals(as_json):
        key = key_of(key_file, password_file)
        message = Bid(
            offer=bytes.fromhex(offer[2:]),
            index=index_of(nanogrid),
            price_ueur_kwh=price,
            quantity=quantity,
            minimum=minimum,
            revision=revision,
        )
        document = signed_bid(message, key, MarketFacts.of(_facts(facts, as_json)), nanogrid)
        if to is not None:
            to.write_text(json.dumps(document) + "\n", encoding="utf-8")
    if as_json or to is None:
        show(document, as_json, "Signed bid")
    else:
        typer.echo(f"Signed by {document['signer']}, written to {to}: send it with meritgrid bid send {to}")


def _facts(source: str, as_json: bool) -> Json:
    if source.startswith(("http://", "https://")):
        with session(source, as_json=as_json) as client:
            return client.get("/v1/market")
    document: Json = json.loads(Path(source).read_text(encoding="utf-8"))
    if not isinstance(document, dict) or "contracts" not in document:
        raise ValueError(f"{source} does not hold what the market publishes at /v1/market")
    return document


def signed_bid(message: Bid, key: bytes, facts: MarketFacts, nanogrid: int) -> Json:
    """A bid with its signature, as `bid send` takes it."""
    domain = facts.domain(message)
    fields = message.to_json()
    return {
        "offer": fields.pop("offer"),
        "nanogrid": nanogrid,
        "signer": address_of(key),
        "digest": "0x" + message.digest(domain).hex(),
        "bid": fields | {"signature": sign_message(key, message, domain).hex()},
    }


@bid.command("send")
@with_access
def send_bid(
    access: Access,
    signed: Annotated[Path, typer.Argument(metavar="FILE", help="A bid of `bid sign`; - reads standard input.")],
) -> None:
    """Send a signed bid, and print the relayer's signed receipt: the promise that it is posted.

    Example: meritgrid bid send bid.json --key-file owner.key
    """
    with access.signing() as desk:
        document = _read_bid(signed)
        path = f"/v1/offers/{document['offer']}/bids"
        result = desk.client.post(path, {"bids": [document["bid"]]})["results"][0]
    _tell(access, result)


def _read_bid(path: Path) -> Json:
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    document: Any = json.loads(text)
    if not isinstance(document, dict) or not {"offer", "bid"} <= document.keys():
        raise ValueError(f"{path} holds no signed bid of `meritgrid bid sign`")
    return {"offer": hash_of(str(document["offer"])), "bid": document["bid"]}


def _tell(access: Access, result: Mapping[str, Any]) -> None:
    """The receipt, or the refusal with exit code 2."""
    if result["accepted"]:
        receipt = result["receipt"]
        access.say(result, f"Received: bid {receipt['bid_digest']}, receipt {receipt['signature']}")
        return
    problem = result["problem"]
    errors = [f"  {error['pointer']} = {error['value']!r}: {error['rule']}" for error in problem.get("errors", [])]
    raise refusal(problem, "\n".join([f"{problem['title']}: {problem.get('detail', '')}", *errors]), access.as_json)


@bid.command("list")
@with_access
def list_bids(
    access: Access,
    offer_id: OfferId,
) -> None:
    """Show one's bids in an offer; once the gate has closed, the aggregator and the DSO see all of them.

    Example: meritgrid bid list 0x… --key-file owner.key
    """
    with access.signing() as desk:
        rows = list(desk.client.items(f"/v1/offers/{offer_id}/bids"))
    columns = ("nanogrid", "revision", "price_ueur_kwh", "quantity", "minimum", "state", "reason", "digest")
    access.show_list(rows, columns, "Bids")


@bid.command("withdraw")
@with_access
def withdraw_bid(
    access: Access,
    offer: ForOffer,
    nanogrid: NanogridId,
) -> None:
    """Take the nanogrid's bid back while the market takes bids: sends a revision with quantity 0.

    A first revision may be withdrawn again, with the owner's own key.

    Example: meritgrid bid withdraw --offer 0x… --nanogrid 65543 --key-file owner.key
    """
    with access.signing() as desk:
        path = f"/v1/offers/{offer}/bids"
        live = [row for row in desk.client.items(path) if row["nanogrid"] == nanogrid and row["state"] in _LIVE]
        if not live:
            raise ValueError(f"Nanogrid {nanogrid} has no bid in offer {offer} that you may see.")
        last = max(live, key=lambda row: int(row["revision"]))
        message = Bid(
            offer=bytes.fromhex(offer[2:]),
            index=index_of(nanogrid),
            price_ueur_kwh=int(last["price_ueur_kwh"]),
            quantity=0,
            minimum=0,
            revision=int(last["revision"]) + 1,
        )
        fields = message.to_json()
        del fields["offer"]
        result = desk.client.post(path, {"bids": [fields | {"signature": desk.sign(message)}]})["results"][0]
    _tell(access, result)


@bid.command("why")
@with_access
def explain_bid(
    access: Access,
    offer_id: OfferId,
    digest: Annotated[str, typer.Argument(parser=hash_of, metavar="BID", help="The bid's digest (see bid list).")],
) -> None:
    """Say why a bid won or did not: its rank, the marginal price, and one sentence.

    Example: meritgrid bid why 0x… 0x… --key-file owner.key
    """
    with access.signing() as desk:
        document = desk.client.get(f"/v1/offers/{offer_id}/bids/{digest}/explanation")
    access.show(document, "Why")
