"""Errors of IMeritOrderAuction."""

from __future__ import annotations

from functools import partial
from typing import Any

from eth_utils import keccak

from market.domain.merit_order import Claim, claim_of
from market.domain.products import Phase, Product, Side
from market.domain.records import pack_bids
from market.domain.units import NO_MARGINAL
from tests.attacks.arena import (
    HONEST_BIDS,
    NO_REASON,
    REQUEST_PRICE,
    REQUESTED,
    Arena,
)
from tests.attacks.refusals import Refused, reaches, refused
from tests.contracts_properties.auction_house import (
    NO_SIGNATURE,
    NODE,
    PORTFOLIO,
    RATED_POWER_W,
    SEATS,
    U,
)

UNKNOWN = b"\xee" * 32
OPEN = 1
RATED_WH = SEATS * RATED_POWER_W * U // 3600
auction = partial(reaches, "IMeritOrderAuction")


def yellow(arena: Arena) -> None:
    """T - 3u: baselines are there, and the node is YELLOW."""
    arena.at_before(410)
    arena.anchor()
    arena.at_before(300)
    arena.signal(Phase.YELLOW)


def requesting(arena: Arena, error_arguments: dict[str, Any], **changes: Any) -> Refused:
    """A request with something wrong in it."""
    yellow(arena)
    return refused(arena.publishing(**changes), arena.dso, **error_arguments)


def opening(arena: Arena, error_arguments: dict[str, Any], **changes: Any) -> Refused:
    """An offer with something wrong in it, that answers a request."""
    arena.ready()
    return refused(arena.opening(**changes), arena.aggregator, **error_arguments)


# REQUESTS


@auction("NotDsoOfNode")
def _(arena: Arena) -> Refused:
    return refused(arena.publishing(), arena.rival, node=NODE, signer=arena.rival)


@auction("RequestExists")
def _(arena: Arena) -> Refused:
    request = arena.ready()
    return refused(arena.publishing(), arena.dso, request=request)


@auction("NodeNotYellow")
def _(arena: Arena) -> Refused:
    return refused(arena.publishing(), arena.dso, node=NODE, interval=arena.interval, phase=0)


@auction("Paused")
def _(arena: Arena) -> Refused:
    yellow(arena)
    arena.send(arena.registry.functions.setPaused(NODE, 1, True), arena.operator)
    return refused(arena.publishing(), arena.dso, node=NODE, product=1)


@auction("NotAnInterval")
def _(arena: Arena) -> Refused:
    odd = arena.interval + 1
    return requesting(arena, {"interval": odd}, first_interval=odd)


@auction("PriceOutOfRange")
def _(arena: Arena) -> Refused:
    return requesting(arena, {"priceUeurKwh": 2**29}, price_ueur_kwh=2**29)


@auction("RequestTooLate")
def _(arena: Arena) -> Refused:
    yellow(arena)
    arena.at_before(189)
    return refused(arena.publishing(), arena.dso, interval=arena.interval)


@auction("EmptyQuantity")
def _(arena: Arena) -> Refused:
    return requesting(arena, {}, quantities=(0, 0))


@auction("UnknownRequest")
def _(arena: Arena) -> Refused:
    call = arena.auction.functions.reclaimRequest(UNKNOWN, arena.interval)
    return refused(call, arena.anyone, request=UNKNOWN)


@auction("RequestStillOpen")
def _(arena: Arena) -> Refused:
    request = arena.ready()
    call = arena.auction.functions.reclaimRequest(request, arena.interval)
    return refused(call, arena.anyone, request=request, interval=arena.interval)


@auction("NothingToReclaim")
def _(arena: Arena) -> Refused:
    request = arena.ready()
    arena.at_before(140)
    call = arena.auction.functions.reclaimRequest(request, arena.interval)
    arena.send(call, arena.anyone)
    return refused(call, arena.anyone, request=request, interval=arena.interval)


# OFFERS


@auction("NotAggregatorOfPortfolio")
def _(arena: Arena) -> Refused:
    return refused(arena.opening(), arena.rival, portfolio=PORTFOLIO, signer=arena.rival)


@auction("NodeIsRed")
def _(arena: Arena) -> Refused:
    arena.ready()
    arena.signal(Phase.RED)
    return refused(arena.opening(), arena.aggregator, node=NODE, interval=arena.interval)


@auction("InvalidProduct")
def _(arena: Arena) -> Refused:
    return opening(arena, {"product": 6}, product=6)


@auction("InvalidSide")
def _(arena: Arena) -> Refused:
    return opening(arena, {"side": 2}, side=2)


@auction("InvalidDirection")
def _(arena: Arena) -> Refused:
    return opening(arena, {"direction": 2}, direction=2)


@auction("SellNeedsInternal")
def _(arena: Arena) -> Refused:
    return opening(arena, {}, side=Side.SELL)


@auction("LimitAboveRequest")
def _(arena: Arena) -> Refused:
    above = REQUEST_PRICE + 1
    said = {"limitPriceUeurKwh": above, "requestPriceUeurKwh": REQUEST_PRICE}
    return opening(arena, said, limit_price_ueur_kwh=above)


@auction("RequestMismatch")
def _(arena: Arena) -> Refused:
    return opening(arena, {"request": arena.request().digest(arena.domain)}, product=Product.VC_REALTIME)


@auction("QuantityBeyondRequest")
def _(arena: Arena) -> Refused:
    return opening(arena, {"quantity": REQUESTED + 1, "available": REQUESTED}, quantity=REQUESTED + 1)


@auction("QuantityBeyondPortfolio")
def _(arena: Arena) -> Refused:
    return opening(arena, {"quantity": RATED_WH + 1, "rated": RATED_WH}, quantity=RATED_WH + 1)


@auction("ClosureTooEarly")
def _(arena: Arena) -> Refused:
    arena.ready()
    call = arena.opening(gate_closure=arena.now + 1)
    return refused(call, arena.aggregator, gateClosure=arena.now + 1, earliest=arena.now + U // 2)


@auction("ClosureTooLate")
def _(arena: Arena) -> Refused:
    latest = arena.before(140, arena.interval)
    return opening(arena, {"gateClosure": latest + 1, "latest": latest}, gate_closure=latest + 1)


@auction("OfferExists")
def _(arena: Arena) -> Refused:
    offer = arena.opened()
    return refused(arena.opening(), arena.aggregator, offer=offer)


@auction("OfferPending")
def _(arena: Arena) -> Refused:
    offer = arena.opened()
    said = {"portfolio": PORTFOLIO, "interval": arena.interval, "kind": 0, "offer": offer}
    return refused(arena.opening(salt=2), arena.aggregator, **said)


@auction("UnknownOffer")
def _(arena: Arena) -> Refused:
    return refused(arena.auction.functions.expireOffer(UNKNOWN), arena.anyone, offer=UNKNOWN)


@auction("WrongStatus")
def _(arena: Arena) -> Refused:
    offer = arena.opened()
    call = arena.auction.functions.finalise(offer, b"", b"")
    return refused(call, arena.anyone, offer=offer, status=OPEN)


@auction("OfferHasBids")
def _(arena: Arena) -> Refused:
    offer = arena.honest_offer()
    call = arena.auction.functions.cancelOffer(offer, NO_SIGNATURE)
    return refused(call, arena.aggregator, offer=offer, bidCount=len(HONEST_BIDS))


@auction("NotExpirable")
def _(arena: Arena) -> Refused:
    offer = arena.opened()
    return refused(arena.auction.functions.expireOffer(offer), arena.anyone, offer=offer)


# BIDS


@auction("GateClosed")
def _(arena: Arena) -> Refused:
    offer = arena.opened()
    arena.at_before(140)
    call = arena.posting(offer, arena.wired(offer, HONEST_BIDS[0]))
    return refused(call, arena.anyone, offer=offer, gateClosure=arena.now)


@auction("MalformedBids")
def _(arena: Arena) -> Refused:
    return refused(arena.posting(arena.opened(), bytes(77)), arena.anyone, length=77)


# CLEARING


def at_closure(arena: Arena) -> tuple[bytes, bytes]:
    """The honest offer and its records."""
    offer = arena.honest_offer()
    arena.at_before(140)
    return offer, pack_bids(arena.posted(offer))


@auction("GateOpen")
def _(arena: Arena) -> Refused:
    offer = arena.honest_offer()
    return refused(arena.rightly(offer), arena.anyone, offer=offer, gateClosure=arena.before(140, arena.interval))


@auction("ClearTooLate")
def _(arena: Arena) -> Refused:
    offer = arena.honest_offer()
    arena.at_before(99)
    return refused(arena.rightly(offer), arena.anyone, offer=offer, deadline=arena.interval - U)


@auction("MalformedRecords")
def _(arena: Arena) -> Refused:
    offer, records = at_closure(arena)
    call = arena.clear(offer, Claim(NO_MARGINAL, 0), records[:-1])
    return refused(call, arena.anyone, length=len(records) - 1)


@auction("TooManyPassedOver")
def _(arena: Arena) -> Refused:
    offer, records = at_closure(arena)
    return refused(arena.clear(offer, Claim(NO_MARGINAL, 0, tuple(range(17))), records), arena.anyone, count=17)


@auction("PassedOverNotSorted")
def _(arena: Arena) -> Refused:
    offer, records = at_closure(arena)
    return refused(arena.clear(offer, Claim(NO_MARGINAL, 0, (1, 2, 2)), records), arena.anyone, place=2)


@auction("WrongProgress")
def _(arena: Arena) -> Refused:
    offer, records = at_closure(arena)
    progress = (NO_REASON, 1, 0, [], 0, [0], 0, b"", [])
    return refused(arena.clear(offer, Claim(NO_MARGINAL, 0), records, b"", progress), arena.anyone, offer=offer)


@auction("WrongRecords")
def _(arena: Arena) -> Refused:
    offer, records = at_closure(arena)
    swapped = records[12:24] + records[:12] + records[24:]
    claim = claim_of(arena.clearing(offer))
    said = {"expected": chain_of(records), "given": chain_of(swapped)}
    return refused(arena.clear(offer, claim, swapped), arena.anyone, offer=offer, **said)


def chain_of(records: bytes) -> bytes:
    chain = bytes(32)
    for at in range(0, len(records), 12):
        chain = keccak(chain + records[at : at + 12])
    return chain


@auction("FalseClaim")
def _(arena: Arena) -> Refused:
    offer, records = at_closure(arena)
    return refused(arena.clear(offer, Claim(NO_MARGINAL, 0), records), arena.anyone, offer=offer, rule=3)


# RESULTS


@auction("WrongRejected")
def _(arena: Arena) -> Refused:
    offer = arena.cleared()
    arena.at(arena.interval - U + 1)
    return refused(arena.finalising(offer, b"\1"), arena.anyone, offer=offer)


@auction("NotFinalYet")
def _(arena: Arena) -> Refused:
    offer = arena.cleared()
    return refused(arena.finalising(offer), arena.anyone, offer=offer, finalAt=arena.interval - U + 1)


@auction("WrongAwards")
def _(arena: Arena) -> Refused:
    offer = arena.cleared()
    arena.at(arena.interval - U + 1)
    root = arena.auction.functions.stateOf(offer).call().awardsRoot
    call = arena.auction.functions.finalise(offer, b"", b"")
    return refused(call, arena.anyone, offer=offer, expected=root, given=NO_REASON)
