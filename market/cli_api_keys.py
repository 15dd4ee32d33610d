"""`meritgrid account api-key`: keys with which an owner's own programs call the market without the wallet's key."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from market.cli_session import Access, moment, with_access

api_key = typer.Typer(help="Keys for programs: each does what its scopes allow, and no more.", no_args_is_help=True)


@api_key.command("new")
@with_access
def make_api_key(
    access: Access,
    label: Annotated[str, typer.Option(help="What it is for, as the list shows it.")],
    scope: Annotated[
        list[str], typer.Option(help="What it may be used for: read, bids, decisions, account. Several may be given.")
    ],
    nanogrid: Annotated[int | None, typer.Option(help="Only this nanogrid.")] = None,
    until: Annotated[
        int | None, typer.Option(parser=moment, metavar="MOMENT", help="It ends then; default: when it is revoked.")
    ] = None,
) -> None:
    """Make an API key for a program. It is shown this once: the market keeps its hash only.

    Example: meritgrid account api-key new --label "Home automation" --scope read --scope bids --key-file owner.key
    """
    body = {"label": label, "scopes": scope, "nanogrid": nanogrid, "expires_at": until}
    with access.signing() as desk:
        # Each run makes a key of its own, also with the label of another one.
        made = desk.client.post("/v1/api-keys", body, idempotency_key=str(uuid.uuid4()))
    access.say(made, f"{made['key']}\nThis is API key {made['id']}. Keep it now: it is not shown again.")


@api_key.command("list")
@with_access
def list_api_keys(
    access: Access,
) -> None:
    """Show one's API keys with their scopes and when each was last used; never the keys themselves.

    Example: meritgrid account api-key list --key-file owner.key
    """
    with access.signing() as desk:
        rows = list(desk.client.items("/v1/api-keys"))
    columns = ("id", "label", "scopes", "nanogrid", "created_at", "expires_at", "last_used_at", "revoked_at")
    access.show_list(rows, columns, "API keys")


@api_key.command("revoke")
@with_access
def revoke_api_key(
    access: Access,
    key_id: Annotated[int, typer.Argument(metavar="ID", help="Number of the key (see api-key list).")],
) -> None:
    """End an API key at once; a second time changes nothing.

    Example: meritgrid account api-key revoke 3 --key-file owner.key
    """
    with access.signing() as desk:
        revoked = desk.client.delete(f"/v1/api-keys/{key_id}")
    access.say(revoked, f"API key {key_id} is revoked.")
