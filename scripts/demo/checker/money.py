"""Money: the token's supply, what Settlement holds and owes, and where every escrow went."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from scripts.demo.checker.evidence import Evidence


def check_supply(evidence: Evidence) -> Iterator[str]:
    """Minted − burned = supply = the sum of all balances, and each balance is the sum of its transfers."""
    minted = sum(event.arguments["amountUeur"] for event in evidence.named("Minted"))
    burned = sum(event.arguments["amountUeur"] for event in evidence.named("Burned"))
    if minted - burned != evidence.token_supply:
        yield f"minted {minted} − burned {burned} is not the token's supply {evidence.token_supply}"
    held = sum(evidence.token_balances.values())
    if held != evidence.token_supply:
        yield f"the holders have {held} in all, the token's supply is {evidence.token_supply}"
    flows: Counter[str] = Counter()
    for event in evidence.named("Transfer"):
        flows[event.arguments["from"]] -= event.arguments["value"]
        flows[event.arguments["to"]] += event.arguments["value"]
    for holder, balance in evidence.token_balances.items():
        if flows[holder] != balance:
            yield f"{holder} holds {balance}, its transfers add up to {flows[holder]}"


def check_vault(evidence: Evidence) -> Iterator[str]:
    """Settlement holds exactly what it owes, and each of its token transfers has the event that accounts for it."""
    held = evidence.token_balances.get(evidence.settlement, 0)
    if held != evidence.owed:
        yield f"Settlement holds {held} and owes {evidence.owed}"
    booked: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for event in evidence.named("Deposited", "BondFunded"):
        booked[event.transaction] += event.arguments["amountUeur"]
    for event in evidence.named("Withdrawn", "PaidOut", "BondWithdrawn"):
        booked[event.transaction] -= event.arguments["amountUeur"]
    for event in evidence.named("Transfer"):
        if event.arguments["to"] == evidence.settlement:
            moved[event.transaction] += event.arguments["value"]
        if event.arguments["from"] == evidence.settlement:
            moved[event.transaction] -= event.arguments["value"]
    for transaction in sorted(booked.keys() | moved.keys()):
        if booked[transaction] != moved[transaction]:
            yield (
                f"transaction {transaction} moved {moved[transaction]} into Settlement "
                f"and accounts for {booked[transaction]}"
            )


def check_escrow(evidence: Evidence) -> Iterator[str]:
    """Of each escrow: locked + moved in = moved out + released + paid + margin + refunded + still locked.

    A command's reserve is paid or refunded whole when it is settled.
    """
    balance: dict[str, int] = defaultdict(int)
    commands = _command_escrows(evidence)
    for event in evidence.named("EscrowLocked", "EscrowMoved", "EscrowReleased", "AwardSettled", "CommandSettled"):
        arguments = event.arguments
        if event.name == "CommandSettled":
            escrow, reserved_ueur = commands[arguments["nanogrid"], arguments["interval"]]
            balance[escrow] -= reserved_ueur
        elif event.name == "EscrowLocked":
            balance[arguments["id"]] += arguments["amountUeur"]
        elif event.name == "EscrowMoved":
            balance[arguments["from"]] -= arguments["amountUeur"]
            balance[arguments["to"]] += arguments["amountUeur"]
        elif event.name == "EscrowReleased":
            balance[arguments["id"]] -= arguments["amountUeur"]
        elif not _is_sale(evidence, arguments["offer"]):
            balance[arguments["offer"]] -= arguments["paidUeur"] + arguments["marginUeur"] + arguments["refundedUeur"]
    for escrow, left in sorted(balance.items()):
        if left != evidence.escrows.get(escrow, 0):
            yield f"escrow {escrow}: the events leave {left}, the contract holds {evidence.escrows.get(escrow, 0)}"


def _command_escrows(evidence: Evidence) -> dict[tuple[int, int], tuple[str, int]]:
    """(nanogrid, interval) of a command → its escrow, locked in the same transaction just before, and its reserve."""
    found: dict[tuple[int, int], tuple[str, int]] = {}
    locked: tuple[str, str] = ("", "")
    for event in evidence.named("EscrowLocked", "CommandGiven"):
        if event.name == "EscrowLocked":
            locked = (event.transaction, event.arguments["id"])
            continue
        reserved_ueur = event.arguments["reservedUeur"]
        escrow = locked[1] if reserved_ueur and locked[0] == event.transaction else ""
        found[event.arguments["nanogrid"], event.arguments["interval"]] = (escrow, reserved_ueur)
    return found


def check_nothing_locked(evidence: Evidence) -> Iterator[str]:
    """When everything has ended, no escrow is left."""
    for escrow, left in sorted(evidence.escrows.items()):
        if left:
            yield f"escrow {escrow} still holds {left}"


def _is_sale(evidence: Evidence, offer: str) -> bool:
    return any(
        event.arguments["offer"] == offer and event.arguments["side"] == 1 for event in evidence.named("OfferOpened")
    )
