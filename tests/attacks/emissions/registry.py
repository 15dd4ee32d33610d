"""Events of IParticipantRegistry and ISettlementToken."""

from __future__ import annotations

from functools import partial

from web3.contract.contract import ContractFunction

from market.domain.messages import Delegation, SeatTransferVeto
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from tests.attacks.arena import EUR, NO_REASON, Arena, gateway_key, nanogrid
from tests.attacks.emissions import Emitted, emits, emitted
from tests.attacks.refusals.registry import NOBODY, delegating, owned_by_aggregator, seating
from tests.contracts_properties.auction_house import (
    COVER_CENTS,
    NO_SIGNATURE,
    NODE,
    PORTFOLIO,
    RATED_POWER_W,
    SEATS,
    U,
    owner_key,
)

LAST_DAY = 2**16 - 1
LARGEST = min(2 * RATED_POWER_W * U // 3600, 2**24 - 1)
REFERENCE = b"\7" * 32
registry = partial(emits, "IParticipantRegistry")
token = partial(emits, "ISettlementToken")


# NODES AND PORTFOLIOS


@registry("NodeRegistered")
def _(arena: Arena) -> Emitted:
    call = arena.registry.functions.registerNode(8, arena.dso, "Substation 8")
    return emitted(call, arena.operator, node=8, dso=arena.dso, name="Substation 8")


@registry("NodeDsoChanged")
def _(arena: Arena) -> Emitted:
    arena.send(arena.registry.functions.grantRole(arena.web3.keccak(text="DSO"), arena.rival), arena.operator)
    return emitted(arena.registry.functions.setNodeDso(NODE, arena.rival), arena.operator, node=NODE, dso=arena.rival)


@registry("PortfolioRegistered")
def _(arena: Arena) -> Emitted:
    call = arena.registry.functions.registerPortfolio(9, NODE, arena.rival, "Village")
    return emitted(call, arena.operator, portfolio=9, node=NODE, aggregator=arena.rival, name="Village")


@registry("PortfolioAggregatorChanged")
def _(arena: Arena) -> Emitted:
    call = arena.registry.functions.setPortfolioAggregator(PORTFOLIO, arena.rival)
    return emitted(call, arena.operator, portfolio=PORTFOLIO, aggregator=arena.rival)


@registry("PauseChanged")
def _(arena: Arena) -> Emitted:
    call = arena.registry.functions.setPaused(NODE, 3, True)
    return emitted(call, arena.operator, node=NODE, product=3, paused=True)


@registry("PauseChanged", "on the end of a pause")
def _(arena: Arena) -> Emitted:
    arena.send(arena.registry.functions.setPaused(NODE, 3, True), arena.operator)
    call = arena.registry.functions.setPaused(NODE, 3, False)
    return emitted(call, arena.operator, node=NODE, product=3, paused=False)


# SEATS


@registry("SeatRegistered")
def _(arena: Arena) -> Emitted:
    call = seating(arena, rated=5001, price=77)
    seat = {"owner": arena.owner(50), "ratedPowerW": 5001, "emergencyPriceUeurKwh": 77, "activeFrom": arena.interval}
    return emitted(call, arena.operator, nanogrid=nanogrid(SEATS), **seat)


@registry("SeatClosed")
def _(arena: Arena) -> Emitted:
    call = arena.registry.functions.closeSeat(nanogrid(7), arena.interval)
    return emitted(call, arena.operator, nanogrid=nanogrid(7), activeUntil=arena.interval)


@registry("SeatSuspended", "on two readings that differ")
def _(arena: Arena) -> Emitted:
    call = arena.annulling(arena.reading(1, 5), arena.reading(1, 6), gateway_key(1))
    return emitted(call, arena.anyone, nanogrid=nanogrid(1), reason=b"READINGS_ANNULLED".ljust(32, b"\0"))


@registry("SeatReinstated")
def _(arena: Arena) -> Emitted:
    arena.send(arena.annulling(arena.reading(1, 5), arena.reading(1, 6), gateway_key(1)), arena.anyone)
    return emitted(arena.registry.functions.reinstateSeat(nanogrid(1)), arena.operator, nanogrid=nanogrid(1))


# CHANGES OF OWNER


@registry("SeatOwnerChanged")
def _(arena: Arena) -> Emitted:
    return emitted(arena.giving(7, arena.rival), arena.operator, nanogrid=nanogrid(7), owner=arena.rival)


def announcing(arena: Arena) -> ContractFunction:
    return arena.registry.functions.announceSeatTransfer(nanogrid(7), arena.rival)


@registry("SeatTransferAnnounced")
def _(arena: Arena) -> Emitted:
    arena.at(arena.interval)
    possible_from = arena.interval + 2 * arena.settlement.functions.unbondingS().call()
    said = {"nanogrid": nanogrid(7), "owner": arena.rival, "possibleFrom": possible_from}
    return emitted(announcing(arena), arena.operator, **said)


@registry("SeatTransferVetoed")
def _(arena: Arena) -> Emitted:
    arena.send(announcing(arena), arena.operator)
    veto = SeatTransferVeto(nanogrid(7), 0)
    domain = Domain(arena.web3.eth.chain_id, arena.registry.address)
    signature = sign_message(owner_key(7), veto, domain).to_bytes()
    call = arena.registry.functions.vetoSeatTransfer(veto.arguments(), signature)
    return emitted(call, arena.anyone, nanogrid=nanogrid(7), owner=arena.rival)


# SIGNERS


def of_owner(index: int, owner: str, cover_cents: int, largest_quantity: int = LARGEST) -> dict[str, object]:
    """An owner signs without an end, at any price, within its seat's whole cover."""
    return {
        "nanogrid": nanogrid(index),
        "signer": owner,
        "expiryDay": LAST_DAY,
        "lowestPriceUeurKwh": 0,
        "largestQuantity": largest_quantity,
        "coverCents": cover_cents,
    }


@registry("SignerChanged", "on registration")
def _(arena: Arena) -> Emitted:
    swing = 2 * 5000 * U // 3600
    return emitted(seating(arena), arena.operator, **of_owner(SEATS, arena.owner(50), 0, swing))


@registry("SignerChanged", "on a new owner")
def _(arena: Arena) -> Emitted:
    return emitted(arena.giving(7, arena.rival), arena.operator, **of_owner(7, arena.rival, COVER_CENTS))


@registry("SignerChanged", "on a delegation")
def _(arena: Arena) -> Emitted:
    owned_by_aggregator(arena)
    delegation = Delegation(nanogrid(7), arena.delegate, 60_000, 17, 1000, 100, 1)
    call = arena.registry.functions.setDelegate(delegation.arguments(), NO_SIGNATURE)
    limits = {"expiryDay": 60_000, "lowestPriceUeurKwh": 17, "largestQuantity": 1000, "coverCents": 100}
    return emitted(call, arena.aggregator, nanogrid=nanogrid(7), signer=arena.delegate, **limits)


@registry("SignerChanged", "on a revocation")
def _(arena: Arena) -> Emitted:
    owned_by_aggregator(arena)
    arena.send(delegating(arena, nonce=1), arena.aggregator)
    revocation = Delegation(nanogrid(7), NOBODY, 0, 0, 0, 0, 2)
    call = arena.registry.functions.setDelegate(revocation.arguments(), NO_SIGNATURE)
    return emitted(call, arena.aggregator, **of_owner(7, arena.aggregator, COVER_CENTS))


@registry("CoverChanged")
def _(arena: Arena) -> Emitted:
    owned_by_aggregator(arena)
    unbonding = (nanogrid(7), arena.bond(7) - 8 * EUR, 0)
    call = arena.settlement.functions.startUnbonding(unbonding, NO_SIGNATURE)
    return emitted(call, arena.aggregator, nanogrid=nanogrid(7), coverCents=EUR // 10_000)


# TOKEN


@token("Minted")
def _(arena: Arena) -> Emitted:
    call = arena.token.functions.mint(arena.rival, EUR, REFERENCE)
    return emitted(call, arena.operator, to=arena.rival, amountUeur=EUR, reference_=REFERENCE)


@token("Burned")
def _(arena: Arena) -> Emitted:
    arena.send(arena.token.functions.mint(arena.operator, EUR, NO_REASON), arena.operator)
    return emitted(arena.token.functions.burn(EUR, REFERENCE), arena.operator, amountUeur=EUR, reference_=REFERENCE)
