"""`meritgrid account` and `meritgrid delegate`: money of accounts and nanogrids, and the key that bids for an owner."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from market.cli_api_keys import api_key
from market.cli_choices import AmountOption, First, Last, NanogridOption, address_of, euro
from market.cli_session import (
    Access,
    AsJson,
    KeyFile,
    PasswordFile,
    in_euro,
    key_of,
    moment,
    refusals,
    say,
    with_access,
)
from market.desks.desk import Desk
from market.desks.market_client import Json
from market.domain.intervals import iso
from market.domain.messages import Delegation, Permit, SeatTransfer, SeatTransferVeto, Unbonding, Withdrawal
from market.domain.signing import address_of as address_of_key
from market.domain.signing import new_private_key
from market.domain.units import UEUR_PER_CENT
from market.settings import write_private_key

account = typer.Typer(help="Money and keys: balance, deposits, bonds, statements, API keys.", no_args_is_help=True)
account.add_typer(api_key, name="api-key")
delegate = typer.Typer(help="The key that bids for a nanogrid within its owner's limits.", no_args_is_help=True)

_DAY_S = 86_400
_PERMIT_LIFETIME_S = 3600
_NOBODY = "0x" + "00" * 20


@account.command("new-key")
def make_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the key goes; must be new.")],
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a new private key in a file that only you can read, and show its address. Needs no market.

    With a password file it becomes an encrypted keystore. Keep a copy somewhere safe: nobody can restore it.

    Example: meritgrid account new-key owner.key
    """
    with refusals(as_json):
        key = new_private_key()
        write_private_key(file, key, password_file)
    say({"address": address_of_key(key), "file": str(file)}, as_json, f"{address_of_key(key)} ({file})")


@account.command("address")
def show_address(key_file: KeyFile = None, password_file: PasswordFile = None, as_json: AsJson = False) -> None:
    """Show the address of a key: what others register it by. Needs no market.

    Example: meritgrid account address --key-file owner.key
    """
    with refusals(as_json):
        address = address_of_key(key_of(key_file, password_file))
    say({"address": address}, as_json, address)


@account.command("show")
@with_access
def show_account(
    access: Access,
) -> None:
    """Show the balance of the key's account, its tokens and its nanogrids' money.

    Example: meritgrid account show --key-file owner.key
    """
    with access.signing() as desk:
        document = desk.client.get(f"/v1/accounts/{desk.client.address}")
        nanogrids = [desk.client.get(f"/v1/nanogrids/{nanogrid}") for nanogrid in document["nanogrids"]]
    if access.as_json:
        access.show(document | {"nanogrids": nanogrids}, "Account")
        return
    access.show({name: value for name, value in document.items() if name != "nanogrids"}, "Account")
    columns = ("nanogrid", "balance_ueur", "bond_ueur", "unbonding_ueur", "debt_ueur", "cover_cents", "suspended")
    access.show_list(nanogrids, columns, "Nanogrids")


@account.command("deposit")
@with_access
def deposit(
    access: Access,
    amount: AmountOption,
) -> None:
    """Move tokens of the key's wallet into its account: what requests, INTERNAL offers and commands are paid from.

    Debts are paid first.

    Example: meritgrid account deposit --amount 500.00 --key-file dso.key
    """
    with access.signing() as desk:
        answer = desk.client.post(f"/v1/accounts/{desk.client.address}/deposits", _permit(desk, amount))
    access.say(answer, f"{in_euro(amount)} are deposited (transaction {answer['transaction']}).")


@account.command("withdraw")
@with_access
def withdraw(
    access: Access,
    amount: AmountOption,
) -> None:
    """Pay a part of the account's balance out to its wallet as tokens; the operator pays real money for them.

    Example: meritgrid account withdraw --amount 80.00 --key-file dso.key
    """
    with access.signing() as desk:
        address = desk.client.address
        nonce = int(desk.client.get(f"/v1/accounts/{address}")["withdrawal_nonce"])
        answer = desk.decide(f"/v1/accounts/{address}/withdrawals", Withdrawal(address, amount, nonce))
    access.say(answer, f"{in_euro(amount)} are in the wallet (transaction {answer['transaction']}).")


@account.command("statement")
@with_access
def show_statement(
    access: Access,
    first: First = None,
    last: Last = None,
    to: Annotated[
        Path | None, typer.Option("--to", dir_okay=False, help="Write it as CSV into this file, which must be new.")
    ] = None,
) -> None:
    """Show every change of the account's money and its nanogrids', with the balance after it; or save it as CSV.

    Example: meritgrid account statement --first 2026-05-01T00:00+02:00 --to may.csv --key-file owner.key
    """
    with access.signing() as desk:
        path = f"/v1/accounts/{desk.client.address}/statement"
        if to is None:
            rows = list(desk.client.items(path, first=first, last=last))
        else:
            text = str(desk.client.get(path, first=first, last=last, format="csv")["text"])
            with to.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
    if to is not None:
        access.say({"file": str(to)}, f"The statement is in {to}.")
        return
    columns = ("at", "kind", "purse", "nanogrid", "interval", "amount_ueur", "balance_ueur")
    access.show_list(rows, columns, "Statement")


@account.command("settlements")
@with_access
def list_settlements(
    access: Access,
    nanogrid: Annotated[int | None, typer.Option(help="Only this nanogrid.")] = None,
    first: First = None,
    last: Last = None,
) -> None:
    """Show how awards were settled, and with what computation.

    Example: meritgrid account settlements --nanogrid 65543 --first 2026-05-20T08:00Z --key-file owner.key
    """
    with access.signing() as desk:
        rows = list(desk.client.items("/v1/settlements", nanogrid=nanogrid, first=first, last=last))
    columns = ("interval", "nanogrid", "awarded", "delivered", "outcome", "paid_ueur", "penalty_ueur")
    access.show_list(rows, columns, "Settlements")
    if not access.as_json:
        for row in rows:
            typer.echo(f"\n{iso(row['interval'])}, nanogrid {row['nanogrid']}: {_computation(row['computation'])}")


@account.command("pay-out")
@with_access
def pay_out(
    access: Access,
    nanogrid: NanogridOption,
) -> None:
    """Pay what a nanogrid has earned out to its owner's wallet.

    Example: meritgrid account pay-out --nanogrid 65543 --key-file owner.key
    """
    with access.signing() as desk:
        answer = _once(desk, f"/v1/nanogrids/{nanogrid}/payout")
    access.say(answer, f"The balance of nanogrid {nanogrid} is paid out (transaction {answer['transaction']}).")


@account.command("fund-bond")
@with_access
def fund_bond(
    access: Access,
    nanogrid: NanogridOption,
    amount: AmountOption,
) -> None:
    """Add tokens of the owner's wallet to a nanogrid's bond; an eighth of the bond is its cover.

    Example: meritgrid account fund-bond --nanogrid 65543 --amount 40.00 --key-file owner.key
    """
    with access.signing() as desk:
        body = _permit(desk, amount) | {"from": desk.client.address}
        answer = desk.client.post(f"/v1/nanogrids/{nanogrid}/bond", body)
    access.say(answer, f"{in_euro(amount)} more secure nanogrid {nanogrid} (transaction {answer['transaction']}).")


@account.command("unbond")
@with_access
def start_unbonding(
    access: Access,
    nanogrid: NanogridOption,
    amount: AmountOption,
) -> None:
    """Start the release of a part of a bond. The cover falls at once; the money may be withdrawn after the period.

    Example: meritgrid account unbond --nanogrid 65543 --amount 16.00 --key-file owner.key
    """
    with access.signing() as desk:
        nonce = int(desk.client.get(f"/v1/nanogrids/{nanogrid}")["unbonding_nonce"])
        answer = desk.decide(f"/v1/nanogrids/{nanogrid}/unbonding", Unbonding(nanogrid, amount, nonce))
        available_at = desk.client.get(f"/v1/nanogrids/{nanogrid}")["unbonding_available_at"]
    access.say(answer, f"{in_euro(amount)} are free at {iso(available_at)}: withdraw them then.")


@account.command("withdraw-bond")
@with_access
def withdraw_bond(
    access: Access,
    nanogrid: NanogridOption,
) -> None:
    """Pay the released part of a bond out to the owner's wallet, once its period is over.

    Example: meritgrid account withdraw-bond --nanogrid 65543 --key-file owner.key
    """
    with access.signing() as desk:
        answer = _once(desk, f"/v1/nanogrids/{nanogrid}/bond/withdrawal")
    access.say(answer, f"The released part is in the wallet (transaction {answer['transaction']}).")


@account.command("sign-transfer")
@with_access
def sign_transfer(
    access: Access,
    nanogrid: NanogridOption,
    to: Annotated[str, typer.Option(parser=address_of, metavar="ADDRESS", help="The new owner's wallet.")],
) -> None:
    """Sign that a nanogrid shall be another's, with its bond and with what is not settled yet. Nothing is sent.

    Give the signature to the operator, who carries it out. Any later decision about the nanogrid makes it void.

    Example: meritgrid account sign-transfer --nanogrid 65543 --to 0x… --key-file owner.key
    """
    with access.signing() as desk:
        nonce = int(desk.client.get(f"/v1/nanogrids/{nanogrid}")["owner_nonce"])
        signature = desk.sign(SeatTransfer(nanogrid, to, nonce))
    access.say({"nanogrid": nanogrid, "owner": to, "nonce": nonce, "signature": signature}, signature)


@account.command("veto-transfer")
@with_access
def veto_transfer(
    access: Access,
    nanogrid: NanogridOption,
) -> None:
    """Object to a change of owner that the operator has announced: it ends at once.

    Example: meritgrid account veto-transfer --nanogrid 65543 --key-file owner.key
    """
    with access.signing() as desk:
        path = f"/v1/nanogrids/{nanogrid}"
        answer = desk.decide(
            f"{path}/transfer/veto", SeatTransferVeto(nanogrid, int(desk.client.get(path)["owner_nonce"]))
        )
    access.say(answer, f"Nanogrid {nanogrid} stays yours (transaction {answer['transaction']}).")


@delegate.command("set")
@with_access
def set_delegate(
    access: Access,
    nanogrid: NanogridOption,
    signer: Annotated[
        str, typer.Option(parser=address_of, metavar="ADDRESS", help="Address of the key that shall bid.")
    ],
    lowest_price: Annotated[int, typer.Option(help="Lowest price that it may bid [micro-euro per kWh].")],
    largest_quantity: Annotated[int, typer.Option(help="Largest quantity of one bid [Wh or varh].")],
    cover: Annotated[
        int, typer.Option(parser=euro, metavar="EUR", help="Largest penalty that one bid may risk; whole cents.")
    ],
    until: Annotated[
        int | None, typer.Option(parser=moment, metavar="MOMENT", help="Its last day (UTC); default: in 30 days.")
    ] = None,
) -> None:
    """Seat a key that bids for a nanogrid within limits, signed with the owner's key. It replaces the one before.

    Example: meritgrid delegate set --nanogrid 65543 --signer 0x… --lowest-price 80000 --largest-quantity 2500
    --cover 0.60 --key-file owner.key
    """
    if cover % UEUR_PER_CENT:
        raise typer.BadParameter("must be whole cents", param_hint="--cover")
    with access.signing() as desk:
        last = int(desk.client.get("/v1/market")["now"]) + 30 * _DAY_S if until is None else until
        limits = (last // _DAY_S, lowest_price, largest_quantity, cover // UEUR_PER_CENT)
        answer = _delegate(desk, nanogrid, signer, limits)
    access.say(answer, f"{signer} bids for nanogrid {nanogrid} (transaction {answer['transaction']}).")


@delegate.command("revoke")
@with_access
def revoke_delegate(
    access: Access,
    nanogrid: NanogridOption,
) -> None:
    """Unseat a nanogrid's delegate at once: only the owner's own key bids from now on.

    Example: meritgrid delegate revoke --nanogrid 65543 --key-file owner.key
    """
    with access.signing() as desk:
        answer = _delegate(desk, nanogrid, _NOBODY, (0, 0, 0, 0))
    access.say(answer, f"Only the owner bids for nanogrid {nanogrid} (transaction {answer['transaction']}).")


def _delegate(desk: Desk, nanogrid: int, signer: str, limits: tuple[int, int, int, int]) -> Json:
    nonce = int(desk.client.get(f"/v1/nanogrids/{nanogrid}")["owner_nonce"])
    return desk.decide(f"/v1/nanogrids/{nanogrid}/delegation", Delegation(nanogrid, signer, *limits, nonce))


def _permit(desk: Desk, amount_ueur: int) -> Json:
    """A signed ERC-2612 permit for Settlement over tokens of the key's wallet."""
    address = desk.client.address
    facts = desk.client.get("/v1/market")
    deadline = int(facts["now"]) + _PERMIT_LIFETIME_S
    permit = Permit(
        owner=address,
        spender=desk.facts.contracts["settlement"],
        value=amount_ueur,
        nonce=int(desk.client.get(f"/v1/accounts/{address}")["permit_nonce"]),
        deadline=deadline,
    )
    return {"amount_ueur": amount_ueur, "deadline": deadline, "signature": desk.sign(permit)}


def _once(desk: Desk, path: str) -> Json:
    """A call without content: each run of the command is one of its own, its retries are not."""
    return desk.client.post(path, {}, idempotency_key=str(uuid.uuid4()))


def _computation(computation: Json) -> str:
    """The steps of a computation, one in a line."""
    lines = [
        f"  {step['name']}: {step['calculation']} = {step['value']} {step['unit']}" for step in computation["steps"]
    ]
    return "\n".join([computation["cause"], *lines])
