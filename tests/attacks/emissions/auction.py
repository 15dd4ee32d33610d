"""Events of IMeritOrderAuction."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from eth_abi.abi import encode
from eth_utils import keccak

from market.domain.claim_check import check_chunk
from market.domain.errors import BidRejection
from market.domain.merit_order import claim_of, posts_by_index
from market.domain.products import Phase, Side
from market.domain.records import PostedBid, fold_chain, pack_awards, pack_bids, rejected_bitmap
from market.domain.settlement import accepted_escrow_ueur, request_escrow_ueur
from market.domain.trees import award_root
from tests.attacks.arena import HONEST_BIDS, LIMIT_PRICE, NO_REASON, OFFERED, REQUEST_PRICE, REQUESTED, Arena
from tests.attacks.emissions import Emitted, emits, emitted
from tests.attacks.refusals.auction import yellow
from tests.contracts_properties.auction_house import NO_SIGNATURE, NODE, PORTFOLIO, U, is_reserved

REALTIME, DOWN, BUY = 1, 1, 0
auction = partial(emits, "IMeritOrderAuction")


# REQUESTS


@auction("RequestPublished")
def _(arena: Arena) -> Emitted:
    yellow(arena)
    quantities = (REQUESTED, 0, 1)
    arena.signal(Phase.YELLOW, interval=arena.interval + 2 * U)
    escrow = sum(request_escrow_ueur(quantity, REQUEST_PRICE) for quantity in quantities)
    told = {
        "request": arena.request(quantities=quantities).digest(arena.domain),
        "node": NODE,
        "dso": arena.dso,
        "firstInterval": arena.interval,
        "product": REALTIME,
        "direction": DOWN,
        "priceUeurKwh": REQUEST_PRICE,
        "quantities": [*quantities],
        "escrowUeur": escrow,
    }
    return emitted(arena.publishing(quantities=quantities), arena.dso, **told)


@auction("RequestReclaimed")
def _(arena: Arena) -> Emitted:
    request = arena.ready()
    arena.at_before(140)
    call = arena.auction.functions.reclaimRequest(request, arena.interval)
    escrow = request_escrow_ueur(REQUESTED, REQUEST_PRICE)
    return emitted(call, arena.anyone, request=request, interval=arena.interval, amountUeur=escrow)


# OFFERS


@auction("OfferOpened")
def _(arena: Arena) -> Emitted:
    request = arena.ready()
    told = {
        "offer": arena.terms().digest(arena.domain),
        "portfolio": PORTFOLIO,
        "request": request,
        "interval": arena.interval,
        "side": BUY,
        "direction": DOWN,
        "product": REALTIME,
        "quantity": OFFERED,
        "limitPriceUeurKwh": LIMIT_PRICE,
        "gateClosure": arena.before(140, arena.interval),
    }
    return emitted(arena.opening(), arena.aggregator, **told)


@auction("OfferCancelled")
def _(arena: Arena) -> Emitted:
    offer = arena.opened()
    return emitted(arena.auction.functions.cancelOffer(offer, NO_SIGNATURE), arena.aggregator, offer=offer)


@auction("OfferExpired")
def _(arena: Arena) -> Emitted:
    offer = arena.opened()
    arena.at(arena.interval)
    return emitted(arena.auction.functions.expireOffer(offer), arena.anyone, offer=offer)


# BIDS


def as_posted(first_position: int = 0) -> list[PostedBid]:
    """The honest bids with what the contract notes of them: who is reserved, and the posting order."""
    noted = [replace(bid, reserved=is_reserved(bid.index)) for bid in HONEST_BIDS]
    return [PostedBid(bid, position) for position, bid in enumerate(noted, first_position)]


@auction("BidsPosted")
def _(arena: Arena) -> Emitted:
    offer = arena.opened()
    records = pack_bids(as_posted())
    call = arena.posting(offer, arena.wired(offer, *HONEST_BIDS))
    return emitted(call, arena.relayer, offer=offer, firstPosition=0, records=records, chain=fold_chain(records))


@auction("BidsPosted", "on a second batch")
def _(arena: Arena) -> Emitted:
    offer = arena.opened()
    first, *others = HONEST_BIDS
    arena.send(arena.posting(offer, arena.wired(offer, first)), arena.relayer)
    records = pack_bids(as_posted()[1:])
    chain = fold_chain(pack_bids(as_posted()))
    call = arena.posting(offer, arena.wired(offer, *others))
    return emitted(call, arena.relayer, offer=offer, firstPosition=1, records=records, chain=chain)


@auction("BidSkipped")
def _(arena: Arena) -> Emitted:
    offer = arena.opened()
    bid = replace(HONEST_BIDS[0], price_ueur_kwh=LIMIT_PRICE + 1)
    record = int.from_bytes(bid.pack(signed=True), "big")
    call = arena.posting(offer, arena.wired(offer, bid))
    return emitted(call, arena.relayer, offer=offer, record=record, reason=BidRejection.PRICE_BEYOND_LIMIT)


# RESULTS


@auction("ClearingProgressed")
def _(arena: Arena) -> Emitted:
    offer = arena.honest_offer()
    arena.at_before(140)
    bids = arena.posted(offer)
    claim = claim_of(arena.clearing(offer))
    key = keccak(
        encode(
            ["(uint64,uint64,uint64[])", "bytes32"],
            [(claim.marginal, claim.marginal_quantity, claim.passed_over), keccak(b"")],
        )
    )
    assert check_chunk(Side.BUY, claim, bids[:2], posts_by_index(bids))[0].position == 2
    return emitted(arena.clear(offer, claim, pack_bids(bids[:2])), arena.anyone, offer=offer, claim=key, position=2)


def partly_rejected(arena: Arena) -> bytes:
    """The honest offer, cleared; the DSO rejects its first award."""
    offer = arena.cleared()
    verdict = (offer, rejected_bitmap([0]), NO_REASON)
    arena.send(arena.signals.functions.giveVerdict(verdict, NO_SIGNATURE), arena.dso)
    return offer


def cleared(arena: Arena, offer: bytes, rejected: frozenset[int] = frozenset()) -> dict[str, object]:
    """What is told of the clearing that the reference comes to."""
    clearing = arena.clearing(offer, rejected)
    return {
        "offer": offer,
        "awardsRoot": award_root(clearing.awards),
        "awardCount": len(clearing.awards),
        "awarded": sum(award.quantity for award in clearing.awards),
        "marginal": claim_of(clearing).marginal,
        "again": bool(rejected),
    }


@auction("Cleared")
def _(arena: Arena) -> Emitted:
    offer = arena.honest_offer()
    arena.at_before(140)
    return emitted(arena.rightly(offer), arena.relayer, **cleared(arena, offer))


@auction("Cleared", "on a clearing after a verdict")
def _(arena: Arena) -> Emitted:
    offer = partly_rejected(arena)
    again = arena.rightly(offer, rejected={0}, bitmap=rejected_bitmap([0]))
    return emitted(again, arena.relayer, **cleared(arena, offer, frozenset({0})))


@auction("Finalised")
def _(arena: Arena) -> Emitted:
    offer = arena.cleared()
    arena.at(arena.auction.functions.finalAt(offer).call())
    awards = arena.clearing(offer).awards
    assert sum(award.quantity for award in awards) == OFFERED
    told = {"offer": offer, "awardsRoot": award_root(awards), "awards": pack_awards(awards)}
    escrow = accepted_escrow_ueur(OFFERED, REQUEST_PRICE)
    return emitted(arena.finalising(offer), arena.relayer, **told, escrowUeur=escrow, freedUeur=0)


@auction("Finalised", "on a rejection that nobody cleared again")
def _(arena: Arena) -> Emitted:
    offer = partly_rejected(arena)
    arena.at(arena.auction.functions.finalAt(offer).call())
    standing = arena.clearing(offer).awards[1:]
    reserve = sum(accepted_escrow_ueur(award.quantity, REQUEST_PRICE) for award in standing)
    freed = accepted_escrow_ueur(OFFERED, REQUEST_PRICE) - reserve
    told = {"offer": offer, "awardsRoot": award_root(standing), "awards": pack_awards(standing)}
    finalising = arena.finalising(offer, rejected_bitmap([0]))
    return emitted(finalising, arena.relayer, **told, escrowUeur=reserve, freedUeur=freed)
