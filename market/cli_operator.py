"""`meritgrid operator`: who takes part, gateways' codes, money in and out, pauses; with the operator's own key."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from market.cli_choices import AmountOption, NanogridOption, NodeId, address_of
from market.cli_session import (
    Access,
    in_euro,
    moment,
    with_access,
)
from market.domain.enrolment_code import EnrolmentCode
from market.domain.intervals import iso, next_interval

operator = typer.Typer(help="Participants, gateways' codes, money in and out, pauses.", no_args_is_help=True)
register = typer.Typer(help="Register nodes, portfolios and nanogrids.", no_args_is_help=True)
change = typer.Typer(
    help="Put another key or participant in a place: after a lost key, a sale, a change of contract.",
    no_args_is_help=True,
)
governance = typer.Typer(help="Hand the governance key over, in two steps with a delay.", no_args_is_help=True)
operator.add_typer(register, name="register")
operator.add_typer(change, name="change")
operator.add_typer(governance, name="governance")

Address = Annotated[str, typer.Argument(parser=address_of, metavar="ADDRESS")]
Account = Annotated[str, typer.Option("--account", parser=address_of, metavar="ADDRESS", help="Whose wallet.")]
Dso = Annotated[str, typer.Option("--dso", parser=address_of, metavar="ADDRESS", help="The DSO's wallet.")]
Aggregator = Annotated[
    str, typer.Option("--aggregator", parser=address_of, metavar="ADDRESS", help="The aggregator's wallet.")
]
Owner = Annotated[str, typer.Option("--owner", parser=address_of, metavar="ADDRESS", help="The owner's wallet.")]
PortfolioOption = Annotated[int, typer.Option("--portfolio", help="The portfolio's number.")]
NameOption = Annotated[str, typer.Option("--name", help="For people.")]
ProductOption = Annotated[int, typer.Option("--product", help="Code of the product; 0: all.")]
ReferenceOption = Annotated[str, typer.Option("--reference", help="Of the bank transfer behind it.")]

_NOBODY = "0x" + "00" * 20
_DAY_S = 86_400


class RoleName(StrEnum):
    """Roles that the operator gives."""

    OPERATOR = "OPERATOR"
    ORACLE = "ORACLE"
    REFEREE = "REFEREE"
    DSO = "DSO"
    TSO = "TSO"
    AGGREGATOR = "AGGREGATOR"
    AUDITOR = "AUDITOR"
    PROSUMER = "PROSUMER"


RoleArgument = Annotated[RoleName, typer.Argument(case_sensitive=False, help=str(RoleName.__doc__))]


def _act(access: Access, sentence: str, action: str, **arguments: object) -> None:
    """Carry an action out and say so."""
    from market.desks.operator import transact
    from market.services.operator_actions import action_of

    with access.signing() as desk:
        answer = transact(desk, action_of({"action": action, **arguments}))
    access.say(answer, f"{sentence} (transaction {answer['transaction']}).")


@operator.command("grant")
@with_access
def grant_role(
    access: Access,
    role: RoleArgument,
    account: Address,
) -> None:
    """Give a role to a wallet.

    Example: meritgrid operator grant DSO 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --key-file operator.key
    """
    done = f"{account} holds the role {role.value}"
    _act(access, done, "grant_role", role=role.value, account=account)


@operator.command("revoke")
@with_access
def revoke_role(
    access: Access,
    role: RoleArgument,
    account: Address,
) -> None:
    """Take a role from a wallet.

    Example: meritgrid operator revoke DSO 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --key-file operator.key
    """
    done = f"{account} no longer holds the role {role.value}"
    _act(access, done, "revoke_role", role=role.value, account=account)


@register.command("node")
@with_access
def register_node(
    access: Access,
    node: NodeId,
    dso: Dso,
    name: NameOption,
) -> None:
    """Register a secondary substation with its DSO, who needs the role DSO first.

    Example: meritgrid operator register node --node 1 --dso 0x… --name "Substation 1" --key-file operator.key
    """
    done = f"Node {node} is registered"
    _act(access, done, "register_node", node=node, dso=dso, name=name)


@register.command("portfolio")
@with_access
def register_portfolio(
    access: Access,
    portfolio: PortfolioOption,
    node: NodeId,
    aggregator: Aggregator,
    name: NameOption,
) -> None:
    """Register an aggregator's nanogrids at a node; it needs the role AGGREGATOR first.

    Example: meritgrid operator register portfolio --portfolio 1 --node 1 --aggregator 0x… --name "Community"
    --key-file operator.key
    """
    arguments = {"portfolio": portfolio, "node": node, "aggregator": aggregator, "name": name}
    done = f"Portfolio {portfolio} is registered"
    _act(access, done, "register_portfolio", **arguments)


@register.command("nanogrid")
@with_access
def register_nanogrid(
    access: Access,
    portfolio: PortfolioOption,
    owner: Owner,
    rated_power: Annotated[int, typer.Option(help="Rated power of its connection [W].")],
    emergency_price: Annotated[int, typer.Option(help="Agreed price of RED commands [micro-euro per kWh].")],
    active_from: Annotated[
        int | None,
        typer.Option(parser=moment, metavar="MOMENT", help="Start of its first interval; default: the next one."),
    ] = None,
) -> None:
    """Register a nanogrid; the contract gives it the next index of its portfolio, which makes its id.

    Example: meritgrid operator register nanogrid --portfolio 1 --owner 0x… --rated-power 11000
    --emergency-price 400000 --key-file operator.key
    """
    from market.desks.operator import transact
    from market.services.operator_actions import action_of

    with access.signing() as desk:
        now_s = int(desk.client.get("/v1/market")["now"])
        start = next_interval(now_s, desk.calendar.time_unit_s) if active_from is None else active_from
        arguments = {
            "portfolio": portfolio,
            "owner": owner,
            "rated_power_w": rated_power,
            "emergency_price_ueur_kwh": emergency_price,
            "active_from": start,
        }
        answer = transact(desk, action_of({"action": "register_nanogrid", **arguments}))
    registered = next(event for event in answer["events"] if event["event"] == "SeatRegistered")
    nanogrid = registered["arguments"]["nanogrid"]
    access.say(answer | {"nanogrid": nanogrid}, f"Nanogrid {nanogrid} takes part from {iso(start)} on.")


@operator.command("enrol-code")
@with_access
def enrol_code(
    access: Access,
    nanogrid: NanogridOption,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long the code is good.")] = 14,
) -> None:
    """Make a one-time code that binds a gateway to a nanogrid. It is shown this once; hand it to the installer.

    The chain learns only the address of the code's key. A new code does not end an older one: that ends by use or age.

    Example: meritgrid operator enrol-code --nanogrid 65543 --key-file operator.key
    """
    from market.desks.operator import transact
    from market.services.operator_actions import action_of

    code = EnrolmentCode.new(nanogrid)
    with access.signing() as desk:
        expires_at = int(desk.client.get("/v1/market")["now"]) + days * _DAY_S
        arguments = {"nanogrid": nanogrid, "code": code.address, "expires_at": expires_at}
        answer = transact(desk, action_of({"action": "open_enrolment", **arguments}))
    text = f"{code.text}\nThe gateway of nanogrid {nanogrid} is enrolled with it until {iso(expires_at)}."
    access.say(answer | {"code": code.text, "expires_at": expires_at}, text)


@operator.command("mint")
@with_access
def mint(
    access: Access,
    to: Annotated[str, typer.Option(parser=address_of, metavar="ADDRESS", help="Whose real money has arrived.")],
    amount: AmountOption,
    reference: ReferenceOption,
) -> None:
    """Give tokens (1 = 1 EUR) for real money that has arrived. The receiver deposits them itself.

    Example: meritgrid operator mint --to 0x… --amount 250.00 --reference "Bank 2026-05-20/17" --key-file operator.key
    """
    arguments = {"to": to, "amount_ueur": amount, "reference": reference}
    _act(access, f"{to} has {in_euro(amount)} more", "mint", **arguments)


@operator.command("burn")
@with_access
def burn(
    access: Access,
    amount: AmountOption,
    reference: ReferenceOption,
) -> None:
    """Destroy tokens of the operator's own for real money that it has paid out.

    Example: meritgrid operator burn --amount 80.00 --reference "Bank 2026-06-02/3" --key-file operator.key
    """
    arguments = {"amount_ueur": amount, "reference": reference}
    _act(access, f"{in_euro(amount)} are gone", "burn", **arguments)


@operator.command("pause")
@with_access
def pause(
    access: Access,
    node: NodeId,
    product: ProductOption = 0,
) -> None:
    """Stop new requests, offers and bids at a node. Settlement and withdrawals go on.

    Example: meritgrid operator pause --node 1 --key-file operator.key
    """
    arguments = {"node": node, "product": product, "paused": True}
    _act(access, f"Node {node} is paused", "set_paused", **arguments)


@operator.command("resume")
@with_access
def resume(
    access: Access,
    node: NodeId,
    product: ProductOption = 0,
) -> None:
    """End a pause.

    Example: meritgrid operator resume --node 1 --key-file operator.key
    """
    arguments = {"node": node, "product": product, "paused": False}
    _act(access, f"Node {node} trades again", "set_paused", **arguments)


@operator.command("close")
@with_access
def close_nanogrid(
    access: Access,
    nanogrid: NanogridOption,
    until: Annotated[int, typer.Option(parser=moment, metavar="MOMENT", help="Start of the first one without it.")],
) -> None:
    """Let a nanogrid leave. Its money stays its owner's.

    Example: meritgrid operator close --nanogrid 65543 --until 2026-06-01T00:00+02:00 --key-file operator.key
    """
    arguments = {"nanogrid": nanogrid, "active_until": until}
    done = f"Nanogrid {nanogrid} takes part until {iso(until)}"
    _act(access, done, "close_nanogrid", **arguments)


@operator.command("reinstate")
@with_access
def reinstate_nanogrid(
    access: Access,
    nanogrid: NanogridOption,
) -> None:
    """End a nanogrid's suspension, once its debt is paid or its readings are explained.

    Example: meritgrid operator reinstate --nanogrid 65543 --key-file operator.key
    """
    done = f"Nanogrid {nanogrid} may bid again"
    _act(access, done, "reinstate_nanogrid", nanogrid=nanogrid)


@operator.command("participants")
@with_access
def list_participants(
    access: Access,
    role: Annotated[
        str | None, typer.Option(parser=str.upper, metavar="ROLE", help="Only who holds this role; default: all.")
    ] = None,
) -> None:
    """Show who holds which role since when, and who gave it. For the operator, the governance key and auditors.

    Example: meritgrid operator participants --role DSO --key-file operator.key
    """
    with access.signing() as desk:
        rows = list(desk.client.items("/v1/operator/participants", role=role))
    access.show_list(rows, ("role", "account", "granted_at", "granted_by"), "Participants")


@operator.command("nanogrids")
@with_access
def list_nanogrids(
    access: Access,
) -> None:
    """Show all nanogrids that concern the key's owner: for the operator, all.

    Example: meritgrid operator nanogrids --key-file operator.key
    """
    with access.signing() as desk:
        rows = list(desk.client.items("/v1/nanogrids"))
    columns = ("nanogrid", "node", "owner", "gateway", "rated_power_w", "suspended", "bond_ueur", "debt_ueur")
    access.show_list(rows, columns, "Nanogrids")


@change.command("dso")
@with_access
def change_dso(
    access: Access,
    node: NodeId,
    dso: Dso,
) -> None:
    """Give a node to another DSO or key, which needs the role DSO first.

    Example: meritgrid operator change dso --node 1 --dso 0x… --key-file operator.key
    """
    _act(access, f"Node {node} is {dso}'s", "set_node_dso", node=node, dso=dso)


@change.command("aggregator")
@with_access
def change_aggregator(
    access: Access,
    portfolio: PortfolioOption,
    aggregator: Aggregator,
) -> None:
    """Give a portfolio to another aggregator or key, which needs the role AGGREGATOR first.

    Example: meritgrid operator change aggregator --portfolio 1 --aggregator 0x… --key-file operator.key
    """
    arguments = {"portfolio": portfolio, "aggregator": aggregator}
    done = f"Portfolio {portfolio} is {aggregator}'s"
    _act(access, done, "set_portfolio_aggregator", **arguments)


@change.command("owner")
@with_access
def change_owner(
    access: Access,
    nanogrid: NanogridOption,
    owner: Owner,
    signature: Annotated[str, typer.Option(help="The old owner's, from `meritgrid account sign-transfer`.")],
) -> None:
    """Give a nanogrid to another owner or wallet, as the old owner has signed, who is paid its balance out.

    Bond and what is not settled yet go with it; what is being unbonded is the old owner's. A delegate is unseated.

    Example: meritgrid operator change owner --nanogrid 65543 --owner 0x… --signature 0x… --key-file operator.key
    """
    with access.signing() as desk:
        nonce = int(desk.client.get(f"/v1/nanogrids/{nanogrid}")["owner_nonce"])
    arguments = {"nanogrid": nanogrid, "owner": owner, "nonce": nonce, "signature": signature}
    _act(access, f"Nanogrid {nanogrid} is {owner}'s", "change_owner", **arguments)


@change.command("announce-owner")
@with_access
def announce_owner(
    access: Access,
    nanogrid: NanogridOption,
    owner: Owner,
) -> None:
    """Announce another owner where the old one cannot sign. It has twice the time of unbonding to object.

    Example: meritgrid operator change announce-owner --nanogrid 65543 --owner 0x… --key-file operator.key
    """
    from market.desks.operator import transact
    from market.services.operator_actions import action_of

    with access.signing() as desk:
        action = {"action": "announce_owner", "nanogrid": nanogrid, "owner": owner}
        answer = transact(desk, action_of(action))
    announced = next(event for event in answer["events"] if event["event"] == "SeatTransferAnnounced")
    possible_from = announced["arguments"]["possibleFrom"]
    access.say(
        answer, f"Nanogrid {nanogrid} can be given to {owner} at {iso(possible_from)}, unless its owner objects."
    )


@change.command("complete-owner")
@with_access
def complete_owner(
    access: Access,
    nanogrid: NanogridOption,
) -> None:
    """Give a nanogrid to its announced owner, once the old one's time to object is over.

    Example: meritgrid operator change complete-owner --nanogrid 65543 --key-file operator.key
    """
    _act(access, f"Nanogrid {nanogrid} has its announced owner", "complete_owner", nanogrid=nanogrid)


@change.command("gateway")
@with_access
def change_gateway(
    access: Access,
    nanogrid: NanogridOption,
    gateway: Annotated[
        str, typer.Option(parser=address_of, metavar="ADDRESS", help="Address of its key; default: none any more.")
    ] = _NOBODY,
) -> None:
    """Unseat a nanogrid's gateway at once (a stolen one), or seat another key. Usually a new one enrols by a code.

    An address does not tell the kind of its key: seat no P-256 gateway where the chain cannot check it.

    Example: meritgrid operator change gateway --nanogrid 65543 --key-file operator.key
    """
    arguments = {"nanogrid": nanogrid, "gateway": gateway}
    done = f"Nanogrid {nanogrid} has {'no gateway' if gateway == _NOBODY else f'the gateway {gateway}'}"
    _act(access, done, "set_gateway", **arguments)


@governance.command("begin")
@with_access
def begin_hand_over(
    access: Access,
    account: Account,
) -> None:
    """First step, with the present governance key: name the new one, which may accept after the delay.

    Example: meritgrid operator governance begin --account 0x… --key-file governance.key
    """
    done = f"{account} may accept the governance after the delay"
    _act(access, done, "begin_admin_transfer", account=account)


@governance.command("accept")
@with_access
def accept_hand_over(
    access: Access,
) -> None:
    """Second step, with the new key.

    Example: meritgrid operator governance accept --key-file new-governance.key
    """
    _act(access, "The governance is yours", "accept_admin_transfer")


@governance.command("cancel")
@with_access
def cancel_hand_over(
    access: Access,
) -> None:
    """Take the first step back, with the present governance key.

    Example: meritgrid operator governance cancel --key-file governance.key
    """
    _act(access, "The hand-over is cancelled", "cancel_admin_transfer")
