"""Errors of ISettlement."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from web3.contract.contract import ContractFunction

from market.domain.messages import Enrolment
from market.domain.products import Phase
from market.domain.signing import sign_message
from market.domain.trees import baseline_vector
from tests.attacks.arena import EUR, NO_REASON, NO_REQUEST, Arena, nanogrid, new_key
from tests.attacks.refusals import Refused, reaches, refused
from tests.attacks.refusals.signals import commanding
from tests.attacks.submission import settle_call
from tests.contracts_properties.auction_house import SEATS, U

UNKNOWN = b"\xee" * 32
SKIP_NOT_ANNOUNCED = 4
NO_LEAF = (0, b"", [])
settlement = partial(reaches, "ISettlement")


def owned_by_aggregator(arena: Arena, index: int) -> None:
    """The seat has an owner whose account the node signs for."""
    arena.send(arena.giving(index, arena.aggregator), arena.operator)


# MODULES


@settlement("OnlyAuction")
def _(arena: Arena) -> Refused:
    return refused(arena.settlement.functions.lock(NO_REASON, arena.dso, 1), arena.operator, caller=arena.operator)


@settlement("OnlyModule")
def _(arena: Arena) -> Refused:
    return refused(arena.settlement.functions.unseatGateway(nanogrid(1)), arena.operator, caller=arena.operator)


# GATEWAYS


def enrolling(arena: Arena, code_key: bytes) -> ContractFunction:
    key, gateway = new_key("a new gateway")
    message = Enrolment(nanogrid(7), gateway)
    signatures = [sign_message(each, message, arena.settlement_domain).to_bytes() for each in (code_key, key)]
    return arena.settlement.functions.enrolGateway(nanogrid(7), gateway, *signatures)


@settlement("EnrolmentUnknown")
def _(arena: Arena) -> Refused:
    key, code = new_key("a code that nobody opened")
    return refused(enrolling(arena, key), arena.anyone, nanogrid=nanogrid(7), code=code)


@settlement("EnrolmentExpired")
def _(arena: Arena) -> Refused:
    key, code = new_key("a code")
    expired_at = arena.now + 10
    arena.send(arena.settlement.functions.openEnrolment(nanogrid(7), code, expired_at), arena.operator)
    arena.at(expired_at + 1)
    return refused(enrolling(arena, key), arena.anyone, nanogrid=nanogrid(7), expiredAt=expired_at)


@settlement("GatewayInUse")
def _(arena: Arena) -> Refused:
    call = arena.settlement.functions.setGateway(nanogrid(7), arena.gateway(1))
    return refused(call, arena.operator, gateway=arena.gateway(1), nanogrid=nanogrid(1))


# ACCOUNTS AND BONDS


def withdrawing(arena: Arena, amount_ueur: int, nonce: int = 0) -> ContractFunction:
    return arena.settlement.functions.withdraw((arena.dso, amount_ueur, nonce), b"")


@settlement("InsufficientBalance")
def _(arena: Arena) -> Refused:
    balance = arena.balance(arena.dso)
    said = {"account": arena.dso, "balanceUeur": balance, "neededUeur": balance + 1}
    return refused(withdrawing(arena, balance + 1), arena.dso, **said)


@settlement("NotAccount")
def _(arena: Arena) -> Refused:
    return refused(withdrawing(arena, 1), arena.attacker, account=arena.dso, signer=arena.attacker)


@settlement("StaleNonce")
def _(arena: Arena) -> Refused:
    return refused(withdrawing(arena, 1, nonce=3), arena.dso, given=3, expected=0)


@settlement("NothingToWithdraw")
def _(arena: Arena) -> Refused:
    return refused(arena.settlement.functions.payOut(nanogrid(1)), arena.anyone)


@settlement("AccountInDebt")
def _(arena: Arena) -> Refused:
    """A command that the DSO's deposit did not reach for is settled: the rest is owed."""
    all_of_it = arena.balance(arena.dso)
    arena.send(withdrawing(arena, all_of_it), arena.dso)
    commanded(arena)
    arena.send(command_settling(arena), arena.oracle)
    debt = arena.settlement.functions.debtOf(arena.dso).call()
    assert debt == 100 * 300_000 // 1000
    return refused(withdrawing(arena, 1, nonce=1), arena.dso, account=arena.dso, debtUeur=debt)


def unbonding(arena: Arena, amount_ueur: int) -> ContractFunction:
    return arena.settlement.functions.startUnbonding((nanogrid(7), amount_ueur, 0), b"")


@settlement("NotSeatOwner")
def _(arena: Arena) -> Refused:
    return refused(unbonding(arena, 1), arena.attacker, nanogrid=nanogrid(7), signer=arena.attacker)


@settlement("InsufficientBond")
def _(arena: Arena) -> Refused:
    owned_by_aggregator(arena, 7)
    bond = arena.bond(7)
    said = {"nanogrid": nanogrid(7), "bondUeur": bond, "neededUeur": bond + 1}
    return refused(unbonding(arena, bond + 1), arena.aggregator, **said)


@settlement("UnbondingPending")
def _(arena: Arena) -> Refused:
    owned_by_aggregator(arena, 7)
    arena.send(unbonding(arena, EUR), arena.aggregator)
    available_at = arena.now + arena.settlement.functions.unbondingS().call()
    call = arena.settlement.functions.withdrawBond(nanogrid(7))
    return refused(call, arena.anyone, nanogrid=nanogrid(7), availableAt=available_at)


@settlement("OfferTooEarly")
def _(arena: Arena) -> Refused:
    earliest = arena.far_ahead()
    return refused(arena.opening(request=NO_REQUEST), arena.aggregator, interval=arena.interval, earliest=earliest)


# AWARDS


def over(arena: Arena) -> bytes:
    """The honest offer, final, its interval over."""
    offer = arena.final()
    arena.at(arena.interval + U)
    return offer


@settlement("OfferNotFinal")
def _(arena: Arena) -> Refused:
    offer = arena.cleared()
    return refused(arena.settling(offer, {1: 400}), arena.oracle, offer=offer)


@settlement("IntervalNotOver")
def _(arena: Arena) -> Refused:
    offer = arena.final()
    return refused(arena.settling(offer, {1: 400}), arena.oracle, interval=arena.interval)


@settlement("WrongAwardProof")
def _(arena: Arena) -> Refused:
    offer = over(arena)
    index, awards, proof = arena.award_leaf(offer, 0)
    call = arena.settlement.functions.expireAwards(offer, (index, awards[:12], proof))
    return refused(call, arena.anyone, offer=offer, firstLeaf=0)


@settlement("MalformedAwards")
def _(arena: Arena) -> Refused:
    offer = over(arena)
    call = arena.settlement.functions.expireAwards(offer, (0, bytes(13), []))
    return refused(call, arena.anyone, length=13)


@settlement("MalformedReadings")
def _(arena: Arena) -> Refused:
    offer = over(arena)
    cut = arena.award_reading(1, 400).pack()[:-1]
    vector = baseline_vector((0,) * SEATS)
    shown = arena.binding(offer), vector, arena.award_leaf(offer, 0), cut
    return refused(arena.settlement.functions.settle(offer, *shown), arena.oracle, length=len(cut))


@settlement("AwardNotGiven")
def _(arena: Arena) -> Refused:
    """There are two awards, and the reading is for a third."""
    offer = over(arena)
    (_, awards, _), (_, baselines, proof) = arena.award_leaf(offer, 0), arena.baseline_leaf(1)
    shown = arena.binding(offer), baselines, awards, arena.award_reading(1, 400, ordinal=2).pack(), proof
    return refused(arena.settlement.functions.settleAward(offer, *shown), arena.oracle, offer=offer, ordinal=2)


@settlement("WrongBinding")
def _(arena: Arena) -> Refused:
    """The aggregator would have the DSO's refund."""
    offer = over(arena)
    submission = arena.submission(offer, {1: 400})
    terms, _, *rest = arena.binding(offer)
    call = settle_call(arena.settlement, submission, (terms, arena.aggregator, *rest))
    return refused(call, arena.oracle, offer=offer)


@settlement("WrongBaselines")
def _(arena: Arena) -> Refused:
    offer = over(arena)
    call = arena.settling_on((1,) * SEATS, offer, {1: 400})
    return refused(call, arena.oracle, offer=offer)


# HOLDS


@settlement("NotHoldParty")
def _(arena: Arena) -> Refused:
    offer = arena.final()
    return refused(arena.holding(offer, 0), arena.rival, offer=offer, signer=arena.rival)


@settlement("HoldExists")
def _(arena: Arena) -> Refused:
    offer = arena.final()
    arena.send(arena.holding(offer, 0), arena.dso)
    return refused(arena.holding(offer, 0), arena.dso, offer=offer, ordinal=0)


@settlement("UnknownHold")
def _(arena: Arena) -> Refused:
    call = arena.settlement.functions.lapseHold(UNKNOWN, 3)
    return refused(call, arena.anyone, offer=UNKNOWN, ordinal=3)


@settlement("HoldTermOver")
def _(arena: Arena) -> Refused:
    offer = arena.final()
    arena.send(arena.holding(offer, 0), arena.dso)
    arena.at(arena.settlement.functions.holdOf(offer, 0).call()[1] + 1)
    call = arena.settlement.functions.decideHold(offer, 0, True)
    return refused(call, arena.referee, offer=offer, ordinal=0)


@settlement("HoldTermRunning")
def _(arena: Arena) -> Refused:
    offer = arena.final()
    arena.send(arena.holding(offer, 0), arena.dso)
    decide_by = arena.now + arena.settlement.functions.holdTermS().call()
    call = arena.settlement.functions.lapseHold(offer, 0)
    return refused(call, arena.anyone, offer=offer, ordinal=0, decideBy=decide_by)


@settlement("NotReferee")
def _(arena: Arena) -> Refused:
    call = arena.settlement.functions.decideHold(UNKNOWN, 0, True)
    return refused(call, arena.operator, caller=arena.operator)


@settlement("AlreadySettled")
def _(arena: Arena) -> Refused:
    offer = over(arena)
    arena.send(arena.settling(offer, {1: 400}), arena.oracle)
    return refused(arena.holding(offer, 0), arena.dso, offer=offer, ordinal=0)


# COMMANDS


def commanded(arena: Arena) -> None:
    """A command to seat 1, its interval over."""
    arena.at_before(410)
    arena.anchor()
    arena.signal(Phase.RED)
    arena.send(commanding(arena), arena.dso)
    arena.at(arena.interval + U)


def command_settling(arena: Arena, **changes: int) -> ContractFunction:
    """The command to seat 1, by its gateway's reading; `changes`: what is given otherwise than it was signed."""
    reading = replace(arena.award_reading(1, 400), **changes)
    return arena.settlement.functions.settleCommand(
        nanogrid(1), arena.interval, arena.baseline_leaf(1), reading.argument(), NO_REASON, NO_LEAF
    )


def said_of_command(arena: Arena) -> dict[str, int]:
    return {"nanogrid": nanogrid(1), "interval": arena.interval}


@settlement("UnknownCommand")
def _(arena: Arena) -> Refused:
    return refused(command_settling(arena), arena.oracle, **said_of_command(arena))


@settlement("CommandAlreadySettled")
def _(arena: Arena) -> Refused:
    commanded(arena)
    arena.send(command_settling(arena), arena.oracle)
    return refused(command_settling(arena), arena.oracle, **said_of_command(arena))


@settlement("CommandNotSettleable")
def _(arena: Arena) -> Refused:
    commanded(arena)
    return refused(command_settling(arena), arena.anyone, **said_of_command(arena), reason=SKIP_NOT_ANNOUNCED)


@settlement("BadReadingSignature")
def _(arena: Arena) -> Refused:
    commanded(arena)
    return refused(command_settling(arena, active_energy_wh=401), arena.oracle, **said_of_command(arena))


@settlement("ReplacedAwardMissing")
def _(arena: Arena) -> Refused:
    """The command replaces a live award, which its settlement must show."""
    arena.final()
    arena.signal(Phase.RED)
    arena.send(commanding(arena), arena.dso)
    arena.at(arena.interval + U)
    return refused(command_settling(arena), arena.oracle, **said_of_command(arena))


@settlement("DeadlineNotReached")
def _(arena: Arena) -> Refused:
    commanded(arena)
    call = arena.settlement.functions.expireCommand(nanogrid(1), arena.interval)
    return refused(call, arena.anyone, deadline=arena.interval + 4 * U)
