"""Events of ISettlement."""

from __future__ import annotations

from functools import partial

from eth_utils import keccak
from web3.contract.contract import ContractFunction

from market.domain.errors import Skip
from market.domain.products import Direction, Phase, Side
from market.domain.settled_records import AwardResult
from market.domain.settlement import (
    AwardTerms,
    Outcome,
    accepted_escrow_ueur,
    request_escrow_ueur,
    settle_award,
    settle_missing,
)
from tests.attacks.arena import (
    EUR,
    NO_REQUEST,
    OFFERED,
    REQUEST_PRICE,
    REQUESTED,
    Arena,
    gateway_key,
    nanogrid,
    new_key,
)
from tests.attacks.emissions import Emitted, emits, emitted
from tests.attacks.refusals.settlement import (
    command_settling,
    commanded,
    enrolling,
    over,
    owned_by_aggregator,
    unbonding,
    withdrawing,
)
from tests.contracts_properties.auction_house import NO_SIGNATURE, U

REASON = b"\7" * 32
NOBODY = "0x" + "00" * 20
COMMANDED_UEUR = 30_000
"""Reserve of the command to seat 1: 100 Wh at the emergency price of 0.30 euro."""
settlement = partial(emits, "ISettlement")


# GATEWAYS


@settlement("EnrolmentOpened")
def _(arena: Arena) -> Emitted:
    _, code = new_key("a code")
    call = arena.settlement.functions.openEnrolment(nanogrid(7), code, arena.interval)
    return emitted(call, arena.operator, nanogrid=nanogrid(7), code=code, expiresAt=arena.interval)


@settlement("GatewayChanged", "on an enrolment")
def _(arena: Arena) -> Emitted:
    key, code = new_key("a code")
    arena.send(arena.settlement.functions.openEnrolment(nanogrid(7), code, arena.interval), arena.operator)
    _, gateway = new_key("a new gateway")
    return emitted(enrolling(arena, key), arena.anyone, nanogrid=nanogrid(7), gateway=gateway)


@settlement("GatewayChanged", "on two readings that differ")
def _(arena: Arena) -> Emitted:
    call = arena.annulling(arena.reading(1, 5), arena.reading(1, 6), gateway_key(1))
    return emitted(call, arena.anyone, nanogrid=nanogrid(1), gateway=NOBODY)


# ACCOUNTS


def given(arena: Arena, amount_ueur: int) -> None:
    """The rival has so many tokens and lets Settlement take them."""
    arena.send(arena.token.functions.mint(arena.rival, amount_ueur, REASON), arena.operator)
    arena.send(arena.token.functions.approve(arena.settlement.address, amount_ueur), arena.rival)


@settlement("Deposited")
def _(arena: Arena) -> Emitted:
    given(arena, EUR)
    told = {"account": arena.dso, "amountUeur": EUR, "from": arena.rival}
    return emitted(arena.settlement.functions.deposit(arena.dso, EUR), arena.rival, **told)


@settlement("Withdrawn")
def _(arena: Arena) -> Emitted:
    return emitted(withdrawing(arena, EUR), arena.dso, account=arena.dso, amountUeur=EUR)


@settlement("PaidOut")
def _(arena: Arena) -> Emitted:
    offer = over(arena)
    arena.send(arena.settling(offer, {1: 400}), arena.oracle)
    paid = settle_award(terms(arena, offer, 0), 0, 400).paid_ueur
    call = arena.settlement.functions.payOut(nanogrid(1))
    return emitted(call, arena.anyone, nanogrid=nanogrid(1), owner=arena.owner(1), amountUeur=paid)


# BONDS


@settlement("BondFunded")
def _(arena: Arena) -> Emitted:
    given(arena, EUR)
    told = {"nanogrid": nanogrid(7), "amountUeur": EUR, "from": arena.rival}
    return emitted(arena.settlement.functions.fundBond(nanogrid(7), EUR), arena.rival, **told)


@settlement("UnbondingStarted")
def _(arena: Arena) -> Emitted:
    owned_by_aggregator(arena, 7)
    arena.at(arena.interval)
    available_at = arena.interval + arena.settlement.functions.unbondingS().call()
    told = {"nanogrid": nanogrid(7), "amountUeur": EUR, "availableAt": available_at}
    return emitted(unbonding(arena, EUR), arena.aggregator, **told)


@settlement("BondWithdrawn")
def _(arena: Arena) -> Emitted:
    owned_by_aggregator(arena, 7)
    arena.send(unbonding(arena, EUR), arena.aggregator)
    arena.at(arena.settlement.functions.bondOf(nanogrid(7)).call()[2])
    call = arena.settlement.functions.withdrawBond(nanogrid(7))
    return emitted(call, arena.anyone, nanogrid=nanogrid(7), owner=arena.aggregator, amountUeur=EUR)


@settlement("BondCharged")
def _(arena: Arena) -> Emitted:
    offer = over(arena)
    penalty = settle_award(terms(arena, offer, 0), 0, 100).penalty_ueur
    call = arena.settling(offer, {1: 100})
    return emitted(call, arena.oracle, nanogrid=nanogrid(1), creditor=arena.dso, amountUeur=penalty)


# ESCROWS


def request_escrow(arena: Arena, request: bytes) -> bytes:
    """Under what id a request's interval is escrowed."""
    return keccak(request + arena.interval.to_bytes(32, "big"))


@settlement("EscrowLocked", "on a request")
def _(arena: Arena) -> Emitted:
    arena.at_before(300)
    arena.signal(Phase.YELLOW)
    id_ = request_escrow(arena, arena.request().digest(arena.domain))
    amount = request_escrow_ueur(REQUESTED, REQUEST_PRICE)
    return emitted(arena.publishing(), arena.dso, id=id_, account=arena.dso, amountUeur=amount)


@settlement("EscrowLocked", "on an INTERNAL offer")
def _(arena: Arena) -> Emitted:
    arena.at_before(410)
    arena.anchor()
    arena.at_before(400)
    offered = arena.terms(request=NO_REQUEST)
    amount = accepted_escrow_ueur(offered.quantity, offered.limit_price_ueur_kwh)
    told = {"id": offered.digest(arena.domain), "account": arena.aggregator, "amountUeur": amount}
    return emitted(arena.opening(request=NO_REQUEST), arena.aggregator, **told)


@settlement("EscrowMoved")
def _(arena: Arena) -> Emitted:
    request = arena.ready()
    amount = accepted_escrow_ueur(OFFERED, REQUEST_PRICE)
    told = {"from": request_escrow(arena, request), "to": arena.terms().digest(arena.domain), "amountUeur": amount}
    return emitted(arena.opening(), arena.aggregator, **told)


@settlement("EscrowMoved", "back to the request")
def _(arena: Arena) -> Emitted:
    offer = arena.opened()
    id_ = request_escrow(arena, arena.request().digest(arena.domain))
    call = arena.auction.functions.cancelOffer(offer, NO_SIGNATURE)
    amount = accepted_escrow_ueur(OFFERED, REQUEST_PRICE)
    return emitted(call, arena.aggregator, **{"from": offer, "to": id_, "amountUeur": amount})


@settlement("EscrowReleased")
def _(arena: Arena) -> Emitted:
    request = arena.ready()
    arena.at_before(140)
    call = arena.auction.functions.reclaimRequest(request, arena.interval)
    told = {"id": request_escrow(arena, request), "account": arena.dso}
    return emitted(call, arena.anyone, **told, amountUeur=request_escrow_ueur(REQUESTED, REQUEST_PRICE))


# AWARDS


def terms(arena: Arena, offer: bytes, ordinal: int) -> AwardTerms:
    """What the reference settles an award of the honest offer by."""
    award = arena.clearing(offer).awards[ordinal]
    return AwardTerms(Side.BUY, Direction.DOWN, award.quantity, award.price_ueur_kwh, REQUEST_PRICE)


def result(ordinal: int, outcome: Outcome, delivered: int) -> bytes:
    """The entry of an award with a baseline of 0 Wh (DOWN)."""
    return AwardResult(ordinal, outcome, delivered, 0, delivered).pack()


@settlement("AwardsSettled")
def _(arena: Arena) -> Emitted:
    offer = over(arena)
    results = result(0, Outcome.DELIVERED, 400) + result(1, Outcome.SHORT, 100)
    return emitted(arena.settling(offer, {1: 400, 2: 100}), arena.oracle, offer=offer, results=results)


@settlement("AwardSkipped", "on a signature that is not the gateway's")
def _(arena: Arena) -> Emitted:
    offer = over(arena)
    call = arena.settling(offer, {2: 600}, keys={2: gateway_key(1)})
    return emitted(call, arena.oracle, offer=offer, ordinal=1, reason=Skip.BAD_SIGNATURE)


@settlement("AwardSkipped", "on an award that has ended")
def _(arena: Arena) -> Emitted:
    offer = over(arena)
    arena.send(arena.settling(offer, {2: 600}), arena.oracle)
    call = arena.settling(offer, {2: 600})
    return emitted(call, arena.oracle, offer=offer, ordinal=1, reason=Skip.ALREADY_SETTLED)


# DEBTS OF SEATS


def bondless(arena: Arena) -> tuple[bytes, int]:
    """A final offer whose first winner has drawn its bond out since, its reading missing; and the penalty for that."""
    offer = over(arena)
    penalty = settle_missing(terms(arena, offer, 0)).penalty_ueur
    arena.send(arena.settling(offer, {2: 600}), arena.oracle)
    arena.send(arena.giving(1, arena.rival), arena.operator)
    unbonding = (nanogrid(1), arena.bond(1), 0)
    arena.send(arena.settlement.functions.startUnbonding(unbonding, NO_SIGNATURE), arena.rival)
    arena.at(arena.settlement.functions.bondOf(nanogrid(1)).call()[2])
    arena.send(arena.settlement.functions.withdrawBond(nanogrid(1)), arena.anyone)
    return offer, penalty


@settlement("SeatDebtChanged", "on a penalty that the bond does not reach")
def _(arena: Arena) -> Emitted:
    offer, penalty = bondless(arena)
    return emitted(arena.expiring(offer), arena.anyone, nanogrid=nanogrid(1), creditor=arena.dso, debtUeur=penalty)


@settlement("SeatDebtChanged", "on a part of it that is paid")
def _(arena: Arena) -> Emitted:
    offer, penalty = bondless(arena)
    arena.send(arena.expiring(offer), arena.anyone)
    given(arena, penalty - 1)
    call = arena.settlement.functions.fundBond(nanogrid(1), penalty - 1)
    return emitted(call, arena.rival, nanogrid=nanogrid(1), creditor=arena.dso, debtUeur=1)


@emits("IParticipantRegistry", "SeatSuspended", "on a debt")
def _(arena: Arena) -> Emitted:
    offer, _ = bondless(arena)
    return emitted(arena.expiring(offer), arena.anyone, nanogrid=nanogrid(1), reason=b"DEBT".ljust(32, b"\0"))


# HOLDS


@settlement("HoldPlaced")
def _(arena: Arena) -> Emitted:
    offer = over(arena)
    call = arena.settlement.functions.placeHold((offer, 1, REASON), arena.award_leaf(offer, 1), NO_SIGNATURE)
    decide_by = arena.now + arena.settlement.functions.holdTermS().call()
    return emitted(call, arena.dso, offer=offer, ordinal=1, holder=arena.dso, reason=REASON, decideBy=decide_by)


@settlement("HoldDecided", "by the referee")
def _(arena: Arena) -> Emitted:
    offer = over(arena)
    arena.send(arena.holding(offer, 1), arena.dso)
    call = arena.settlement.functions.decideHold(offer, 1, True)
    return emitted(call, arena.referee, offer=offer, ordinal=1, upheld=True, lapsed=False)


@settlement("HoldDecided", "by nobody")
def _(arena: Arena) -> Emitted:
    offer = over(arena)
    arena.send(arena.holding(offer, 1), arena.dso)
    arena.at(arena.settlement.functions.holdOf(offer, 1).call()[1] + 1)
    call = arena.settlement.functions.lapseHold(offer, 1)
    return emitted(call, arena.anyone, offer=offer, ordinal=1, upheld=False, lapsed=True)


# COMMANDS


def told_of_command(arena: Arena, delivered: int, paid: int, refunded: int, unpaid: int) -> dict[str, int]:
    """What is told of the command to seat 1, whose baseline is 0 Wh."""
    amounts = {"paidUeur": paid, "refundedUeur": refunded, "unpaidUeur": unpaid}
    measured = {"delivered": min(delivered, 100), "baseline": 0, "metered": delivered}
    return {"nanogrid": nanogrid(1), "interval": arena.interval, **measured, **amounts}


@settlement("CommandSettled")
def _(arena: Arena) -> Emitted:
    commanded(arena)
    told = told_of_command(arena, 400, COMMANDED_UEUR, 0, 0)
    return emitted(command_settling(arena), arena.oracle, **told)


@settlement("CommandSettled", "without a reading")
def _(arena: Arena) -> Emitted:
    commanded(arena)
    arena.at(arena.interval + 4 * U)
    call = arena.settlement.functions.expireCommand(nanogrid(1), arena.interval)
    return emitted(call, arena.anyone, **told_of_command(arena, 0, 0, COMMANDED_UEUR, 0))


def pennyless(arena: Arena) -> None:
    """A command that the DSO had all but 1 micro-euro for."""
    arena.send(withdrawing(arena, arena.balance(arena.dso) - COMMANDED_UEUR + 1), arena.dso)
    commanded(arena)


@settlement("CommandSettled", "beyond the deposit")
def _(arena: Arena) -> Emitted:
    pennyless(arena)
    told = told_of_command(arena, 400, COMMANDED_UEUR - 1, 0, 1)
    return emitted(command_settling(arena), arena.oracle, **told)


@settlement("AccountDebtChanged", "on a command beyond the deposit")
def _(arena: Arena) -> Emitted:
    pennyless(arena)
    return emitted(command_settling(arena), arena.oracle, account=arena.dso, debtUeur=1)


def paying_debt(arena: Arena) -> ContractFunction:
    """The command is settled; a euro comes in."""
    pennyless(arena)
    arena.send(command_settling(arena), arena.oracle)
    given(arena, EUR)
    return arena.settlement.functions.deposit(arena.dso, EUR)


@settlement("AccountDebtPaid")
def _(arena: Arena) -> Emitted:
    return emitted(paying_debt(arena), arena.rival, account=arena.dso, nanogrid=nanogrid(1), amountUeur=1)


@settlement("AccountDebtChanged", "on a deposit")
def _(arena: Arena) -> Emitted:
    return emitted(paying_debt(arena), arena.rival, account=arena.dso, debtUeur=0)
