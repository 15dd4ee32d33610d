"""`meritgrid hold`: stop an award's payment, and the referee's decision on it."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from market.cli_choices import OfferId
from market.cli_session import (
    Access,
    hash_of,
    with_access,
)
from market.desks.desk import document_hash
from market.domain.messages import Hold

hold = typer.Typer(help="Stop an award's payment; decide on it.", no_args_is_help=True)

Ordinal = Annotated[int, typer.Argument(metavar="ORDINAL", help="The award's number in its offer (offer awards).")]


@hold.command("place")
@with_access
def place_hold(
    access: Access,
    offer: OfferId,
    ordinal: Ordinal,
    reason: Annotated[str, typer.Option(help="Why; published as it is.")],
) -> None:
    """Stop an award's payment until the referee decides. For the aggregator, the DSO and the verifier.

    It costs the hold bond, which the prosumer gets unless the hold is upheld. Once for each award.

    Example: meritgrid hold place 0x… 3 --reason "The meter was replaced at noon" --key-file aggregator.key
    """
    with access.signing() as desk:
        published = {"text": reason}
        message = Hold(bytes.fromhex(offer[2:]), ordinal, document_hash(published))
        answer = desk.decide("/v1/holds", message, reason=published)
    access.say(answer, f"Award {ordinal} is on hold (transaction {answer['transaction']}).")


@hold.command("decide")
@with_access
def decide_hold(
    access: Access,
    offer: OfferId,
    ordinal: Ordinal,
    upheld: Annotated[
        bool,
        typer.Option(
            "--uphold/--reject", help="Uphold: the award is annulled. Reject: it is paid.", show_default=False
        ),
    ],
) -> None:
    """Decide on a hold within its term, with the referee's key.

    Example: meritgrid hold decide 0x… 3 --reject --key-file referee.key
    """
    from market.desks.operator import transact
    from market.services.operator_actions import action_of

    with access.signing() as desk:
        arguments = {"offer": offer, "ordinal": ordinal, "upheld": upheld}
        answer = transact(desk, action_of({"action": "decide_hold", **arguments}))
    decided = "upheld" if upheld else "rejected"
    access.say(answer, f"The hold on award {ordinal} is {decided} (transaction {answer['transaction']}).")


@hold.command("lapse")
@with_access
def lapse_hold(
    access: Access,
    offer: OfferId,
    ordinal: Ordinal,
) -> None:
    """End a hold whose term is over without a decision, in the prosumer's favour. Anyone may.

    Example: meritgrid hold lapse 0x… 3 --key-file owner.key
    """
    with access.signing() as desk:
        answer = desk.client.post(f"/v1/holds/{offer}/{ordinal}/lapse", {}, idempotency_key=str(uuid.uuid4()))
    access.say(answer, f"The hold on award {ordinal} has lapsed (transaction {answer['transaction']}).")


@hold.command("list")
@with_access
def list_holds(
    access: Access,
    offer: Annotated[str | None, typer.Option(parser=hash_of, metavar="OFFER", help="Only this offer's.")] = None,
    is_open: Annotated[bool | None, typer.Option("--open/--decided", help="Only these.")] = None,
) -> None:
    """Show holds that concern the key's owner.

    Example: meritgrid hold list --open --key-file referee.key
    """
    with access.signing() as desk:
        rows = list(desk.client.items("/v1/holds", offer=offer, is_open=is_open))
    columns = ("offer", "ordinal", "nanogrid", "interval", "holder", "reason", "decide_by", "upheld")
    access.show_list(rows, columns, "Holds")
