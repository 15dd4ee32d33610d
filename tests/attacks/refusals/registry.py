"""Errors of IParticipantRegistry and ISettlementToken."""

from __future__ import annotations

from functools import partial
from typing import Any

from eth_utils import keccak
from web3.contract.contract import ContractFunction

from market.domain.messages import Delegation
from market.domain.units import MAX_PRICE_UEUR_KWH
from tests.attacks.arena import EUR, NO_REASON, Arena, nanogrid
from tests.attacks.refusals import Refused, reaches, refused
from tests.contracts_properties.auction_house import COVER_CENTS, NODE, PORTFOLIO, SEATS

NOWHERE, NOBODYS, UNREGISTERED = 99, 99, nanogrid(SEATS)
NOBODY = "0x" + "00" * 20
registry = partial(reaches, "IParticipantRegistry")


def delegating(
    arena: Arena, index: int = 7, cover_cents: int = 100, nonce: int = 0, lowest_price: int = 0
) -> ContractFunction:
    delegation = Delegation(nanogrid(index), arena.delegate, 60_000, lowest_price, 1000, cover_cents, nonce)
    return arena.registry.functions.setDelegate(delegation.arguments(), b"")


def seating(arena: Arena, portfolio: int = PORTFOLIO, **changes: Any) -> ContractFunction:
    fields = {"owner": arena.owner(50), "rated": 5000, "price": 0, "active_from": arena.interval} | changes
    return arena.registry.functions.registerSeat(portfolio, *fields.values())


@registry("NodeExists")
def _(arena: Arena) -> Refused:
    return refused(arena.registry.functions.registerNode(NODE, arena.dso, "again"), arena.operator, node=NODE)


@registry("UnknownNode")
def _(arena: Arena) -> Refused:
    return refused(arena.registry.functions.setPaused(NOWHERE, 0, True), arena.operator, node=NOWHERE)


@registry("PortfolioExists")
def _(arena: Arena) -> Refused:
    call = arena.registry.functions.registerPortfolio(PORTFOLIO, NODE, arena.aggregator, "again")
    return refused(call, arena.operator, portfolio=PORTFOLIO)


@registry("UnknownPortfolio")
def _(arena: Arena) -> Refused:
    return refused(seating(arena, NOBODYS), arena.operator, portfolio=NOBODYS)


@registry("PortfolioFull")
def _(arena: Arena) -> Refused:
    """Too many seats to register one by one: their number is written into the storage, in the slot found by it."""
    address, web3 = arena.registry.address, arena.web3
    slots = [keccak(PORTFOLIO.to_bytes(32, "big") + base.to_bytes(32, "big")) for base in range(32)]
    words = {
        slot: int.from_bytes(web3.eth.get_storage_at(address, int.from_bytes(slot, "big")), "big") for slot in slots
    }
    slot, word = next((slot, word) for slot, word in words.items() if word & 2**48 - 1 == SEATS << 32 | NODE)
    full = (word | 0xFFFF << 32).to_bytes(32, "big")
    arena.chain.request("anvil_setStorageAt", address, "0x" + slot.hex(), "0x" + full.hex())
    return refused(seating(arena), arena.operator, portfolio=PORTFOLIO)


@registry("UnknownSeat")
def _(arena: Arena) -> Refused:
    return refused(arena.registry.functions.reinstateSeat(UNREGISTERED), arena.operator, nanogrid=UNREGISTERED)


@registry("SeatAlreadyClosed")
def _(arena: Arena) -> Refused:
    closing = arena.registry.functions.closeSeat(nanogrid(7), arena.interval)
    arena.send(closing, arena.operator)
    return refused(closing, arena.operator, nanogrid=nanogrid(7), activeUntil=arena.interval)


@registry("ZeroAddress")
def _(arena: Arena) -> Refused:
    return refused(arena.giving(7, NOBODY), arena.operator)


@registry("RoleMissing")
def _(arena: Arena) -> Refused:
    call = arena.registry.functions.setNodeDso(NODE, arena.attacker)
    return refused(call, arena.operator, account=arena.attacker, role=keccak(text="DSO"))


@registry("NotSeatOwner")
def _(arena: Arena) -> Refused:
    return refused(delegating(arena), arena.attacker, nanogrid=nanogrid(7), signer=arena.attacker)


@registry("StaleNonce")
def _(arena: Arena) -> Refused:
    owned_by_aggregator(arena)
    stale = delegating(arena, nonce=5)
    return refused(stale, arena.aggregator, nanogrid=nanogrid(7), given=5, expected=1)


@registry("NoTransferAnnounced")
def _(arena: Arena) -> Refused:
    return refused(arena.registry.functions.completeSeatTransfer(nanogrid(7)), arena.operator, nanogrid=nanogrid(7))


@registry("TransferNotPossibleYet")
def _(arena: Arena) -> Refused:
    arena.send(arena.registry.functions.announceSeatTransfer(nanogrid(7), arena.operator), arena.operator)
    possible_from = arena.now + 2 * arena.settlement.functions.unbondingS().call()
    call = arena.registry.functions.completeSeatTransfer(nanogrid(7))
    return refused(call, arena.operator, nanogrid=nanogrid(7), possibleFrom=possible_from)


@registry("LimitsTooWide")
def _(arena: Arena) -> Refused:
    """The bond covers all that 24 bits hold: a part of it is unbonded first."""
    owned_by_aggregator(arena)
    unbonding = (nanogrid(7), arena.bond(7) - 8 * EUR, 0)
    arena.send(arena.settlement.functions.startUnbonding(unbonding, b""), arena.aggregator)
    wide = delegating(arena, cover_cents=COVER_CENTS, nonce=1)
    return refused(wide, arena.aggregator, nanogrid=nanogrid(7), coverCents=COVER_CENTS, allowedCents=EUR // 10_000)


@registry("PriceLimitOutOfRange")
def _(arena: Arena) -> Refused:
    owned_by_aggregator(arena)
    call = delegating(arena, nonce=1, lowest_price=MAX_PRICE_UEUR_KWH + 1)
    return refused(call, arena.aggregator, nanogrid=nanogrid(7), lowestPriceUeurKwh=MAX_PRICE_UEUR_KWH + 1)


@registry("IntervalNotInFuture")
def _(arena: Arena) -> Refused:
    return refused(seating(arena, active_from=arena.now), arena.operator, interval=arena.now)


@registry("OnlySettlement")
def _(arena: Arena) -> Refused:
    call = arena.registry.functions.suspendSeat(nanogrid(7), NO_REASON)
    return refused(call, arena.operator, caller=arena.operator)


def owned_by_aggregator(arena: Arena) -> None:
    """Seat 7 has an owner whose account the node signs for."""
    arena.send(arena.giving(7, arena.aggregator), arena.operator)


@reaches("ISettlementToken", "NotOperator")
def _(arena: Arena) -> Refused:
    call = arena.token.functions.mint(arena.attacker, EUR, NO_REASON)
    return refused(call, arena.attacker, caller=arena.attacker)
