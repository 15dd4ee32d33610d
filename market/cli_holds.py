"""`meritgrid hold`: stop an award's payment, and the referee's decision on it."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from market.cli_choices import OfferId
from market.cli_session import (
    LOCAL_MARKET,
    AsJson,
    KeyFile,
    MarketUrl,
    PasswordFile,
    hash_of,
    say,
    show_list,
    signing_session,
)
from market.desks.desk import document_hash
from market.domain.messages import Hold

hold = typer.Typer(help="Stop an award's payment; decide on it.", no_args_is_help=True)

Ordinal = Annotated[int, typer.Argument(metavar="ORDINAL", help="The award's number in its offer (offer awards).")]


@hold.command("place")
def place_hold(
    offer: OfferId,
    ordinal: Ordinal,
    reason: Annotated[str, typer.Option(help="Why; published as it is.")],
    market: MarketUrl = LOCAL_MARKET,
    key_file: KeyFile = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop an award's payment until the referee decides. For the aggregator, the DSO and the verifier.

    It costs the hold bond, which the prosumer gets unless the hold is upheld. Once for each award.

    Example: meritgrid hold place 0x… 3 --reason "The meter was replaced at noon" --key-file aggregator.key
    """
    with signing_session(market, key_file, as_json, password_file) as desk:
        published = {"text": reason}
        message = Hold(bytes.fromhex(offer[2:]), ordinal, document_hash(published))
        answer = desk.decide("/v1/holds", message, reason=published)
    say(answer, as_json, f"Award {ordinal} is on hold (transaction {answer['transaction']}).")


@hold.command("decide")
def decide_hold(
    offer: OfferId,
    ordinal: Ordinal,
    upheld: Annotated[
        bool,
        typer.Option(
            "--uphold/--reject", help="Uphold: the award is annulled. Reject: it is paid.", show_default=False
        ),
    ],
    market: MarketUrl = LOCAL_MARKET,
    key_file: KeyFile = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Decide on a hold within its term, with the referee's key.

    Example: meritgrid hold decide 0x… 3 --reject --key-file referee.key
    """
    from market.desks.operator import transact
    from market.services.operator_actions import action_of

    with signing_session(market, key_file, as_json, password_file) as desk:
        arguments = {"offer": offer, "ordinal": ordinal, "upheld": upheld}
        answer = transact(desk, action_of({"action": "decide_hold", **arguments}))
    decided = "upheld" if upheld else "rejected"
    say(answer, as_json, f"The hold on award {ordinal} is {decided} (transaction {answer['transaction']}).")


@hold.command("lapse")
def lapse_hold(
    offer: OfferId,
    ordinal: Ordinal,
    market: MarketUrl = LOCAL_MARKET,
    key_file: KeyFile = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """End a hold whose term is over without a decision, in the prosumer's favour. Anyone may.

    Example: meritgrid hold lapse 0x… 3 --key-file owner.key
    """
    with signing_session(market, key_file, as_json, password_file) as desk:
        answer = desk.client.post(f"/v1/holds/{offer}/{ordinal}/lapse", {}, idempotency_key=str(uuid.uuid4()))
    say(answer, as_json, f"The hold on award {ordinal} has lapsed (transaction {answer['transaction']}).")


@hold.command("list")
def list_holds(
    offer: Annotated[str | None, typer.Option(parser=hash_of, metavar="OFFER", help="Only this offer's.")] = None,
    is_open: Annotated[bool | None, typer.Option("--open/--decided", help="Only these.")] = None,
    market: MarketUrl = LOCAL_MARKET,
    key_file: KeyFile = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Show holds that concern the key's owner.

    Example: meritgrid hold list --open --key-file referee.key
    """
    with signing_session(market, key_file, as_json, password_file) as desk:
        rows = list(desk.client.items("/v1/holds", offer=offer, is_open=is_open))
    columns = ("offer", "ordinal", "nanogrid", "interval", "holder", "reason", "decide_by", "upheld")
    show_list(rows, columns, as_json, "Holds")
