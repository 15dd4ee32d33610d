"""Errors of IGridSignals, IMeteringOracle and ICapacityRegister."""

from __future__ import annotations

from functools import partial
from typing import Any

from web3.contract.contract import ContractFunction

from market.domain.messages import CapacityContract
from market.domain.products import Phase, Product
from market.domain.typed_data import Domain
from tests.attacks.arena import NO_REASON, NO_REQUEST, Arena, gateway_key, nanogrid
from tests.attacks.refusals import Refused, reaches, refused
from tests.contracts_properties.auction_house import FIRST_MONTH, NO_SIGNATURE, NODE, PORTFOLIO, SEATS, U

UNREGISTERED = nanogrid(SEATS)
signals, metering = partial(reaches, "IGridSignals"), partial(reaches, "IMeteringOracle")
capacity = partial(reaches, "ICapacityRegister")


# IGRIDSIGNALS


def setting(arena: Arena, **changes: int) -> ContractFunction:
    fields = {"node": NODE, "interval": arena.interval, "phase": 1, "kind": 0, "reason": NO_REASON, "sequence": 1}
    return arena.signals.functions.setSignal(tuple((fields | changes).values()), NO_SIGNATURE)


def judging(arena: Arena, offer: bytes) -> ContractFunction:
    return arena.signals.functions.giveVerdict((offer, b"\1", NO_REASON), NO_SIGNATURE)


def commanding(arena: Arena, **changes: Any) -> ContractFunction:
    fields = {"nanogrid": nanogrid(1), "interval": arena.interval, "product": 5, "direction": 1, "quantity": 100}
    return arena.signals.functions.giveCommand((*(fields | changes).values(), NO_REASON), NO_SIGNATURE)


@signals("NotDsoOfNode")
def _(arena: Arena) -> Refused:
    return refused(setting(arena), arena.rival, node=NODE, signer=arena.rival)


@signals("NotAnInterval")
def _(arena: Arena) -> Refused:
    return refused(setting(arena, interval=arena.interval + 1), arena.dso, interval=arena.interval + 1)


@signals("InvalidPhase")
def _(arena: Arena) -> Refused:
    return refused(setting(arena, phase=3), arena.dso, phase=3)


@signals("InvalidKind")
def _(arena: Arena) -> Refused:
    return refused(setting(arena, kind=2), arena.dso, kind=2)


@signals("InvalidProduct")
def _(arena: Arena) -> Refused:
    return refused(commanding(arena, product=1), arena.dso, product=1)


@signals("StaleSequence")
def _(arena: Arena) -> Refused:
    arena.send(setting(arena, sequence=7), arena.dso)
    return refused(setting(arena, sequence=7), arena.dso, given=7, last=7)


@signals("VerdictTooLong")
def _(arena: Arena) -> Refused:
    """There are three posts, in one byte."""
    offer = arena.cleared()
    call = arena.signals.functions.giveVerdict((offer, b"\1\0", NO_REASON), NO_SIGNATURE)
    return refused(call, arena.dso, offer=offer, length=2, longest=1)


@signals("VerdictTooLate")
def _(arena: Arena) -> Refused:
    offer = arena.cleared()
    arena.at_before(99)
    return refused(judging(arena, offer), arena.dso, offer=offer, deadline=arena.interval - U)


@signals("VerdictAlreadyGiven")
def _(arena: Arena) -> Refused:
    offer = arena.cleared()
    arena.send(judging(arena, offer), arena.dso)
    return refused(judging(arena, offer), arena.dso, offer=offer)


@signals("OfferNotCleared")
def _(arena: Arena) -> Refused:
    offer = arena.opened()
    return refused(judging(arena, offer), arena.dso, offer=offer)


@signals("NodeNotRed")
def _(arena: Arena) -> Refused:
    return refused(commanding(arena), arena.dso, node=NODE, interval=arena.interval)


@signals("CommandExists")
def _(arena: Arena) -> Refused:
    arena.signal(Phase.RED)
    arena.send(commanding(arena), arena.dso)
    return refused(commanding(arena), arena.dso, nanogrid=nanogrid(1), interval=arena.interval)


@signals("CommandTooLate")
def _(arena: Arena) -> Refused:
    arena.signal(Phase.RED)
    arena.at(arena.interval + U)
    return refused(commanding(arena), arena.dso, nanogrid=nanogrid(1), interval=arena.interval)


@signals("InvalidDirection")
def _(arena: Arena) -> Refused:
    return refused(commanding(arena, direction=2), arena.dso, direction=2)


@signals("SeatNotActive")
def _(arena: Arena) -> Refused:
    early = arena.interval - U
    return refused(commanding(arena, interval=early), arena.dso, nanogrid=nanogrid(1), interval=early)


@signals("RedIsFinal")
def _(arena: Arena) -> Refused:
    arena.signal(Phase.RED)
    arena.at_before(99)
    green = setting(arena, phase=0, sequence=10_000)
    return refused(green, arena.dso, node=NODE, interval=arena.interval)


@signals("ValidationExists")
def _(arena: Arena) -> Refused:
    request = b"\7" * 32
    answering = arena.signals.functions.validateTsoRequest(request, NODE, True, NO_REASON, NO_SIGNATURE)
    arena.send(answering, arena.dso)
    return refused(answering, arena.dso, request=request, node=NODE)


@signals("EmptyQuantity")
def _(arena: Arena) -> Refused:
    return refused(commanding(arena, quantity=0), arena.dso)


# IMETERINGORACLE


def anchoring(arena: Arena, interval: int | None = None) -> ContractFunction:
    anchor = (PORTFOLIO, interval or arena.interval, 0, SEATS, NO_REASON)
    return arena.metering.functions.anchorBaselines([anchor])


def announcing(arena: Arena, key_of: int = 1) -> ContractFunction:
    return arena.announcing(arena.reading(1, 100), gateway_key(key_of))


@metering("AlreadyAnchored")
def _(arena: Arena) -> Refused:
    arena.anchor()
    return refused(anchoring(arena), arena.oracle, portfolio=PORTFOLIO, interval=arena.interval, kind=0)


@metering("BaselineNotAnchored")
def _(arena: Arena) -> Refused:
    arena.at_before(400)
    call = arena.opening(request=NO_REQUEST)
    return refused(call, arena.aggregator, portfolio=PORTFOLIO, interval=arena.interval, kind=0)


@metering("BaselineAnchoredTooLate")
def _(arena: Arena) -> Refused:
    arena.at_before(300)
    arena.signal(Phase.YELLOW)
    arena.send(arena.publishing(), arena.dso)
    arena.anchor()
    said = {"anchoredAt": arena.now, "knownSince": arena.now}
    return refused(arena.opening(), arena.aggregator, portfolio=PORTFOLIO, interval=arena.interval, **said)


@metering("AnchoredTooLate")
def _(arena: Arena) -> Refused:
    arena.at_before(139)
    deadline = arena.before(140, arena.interval)
    return refused(anchoring(arena), arena.oracle, interval=arena.interval, deadline=deadline)


@metering("NotAnInterval")
def _(arena: Arena) -> Refused:
    return refused(anchoring(arena, arena.interval + 1), arena.oracle, interval=arena.interval + 1)


@metering("NotOracle")
def _(arena: Arena) -> Refused:
    return refused(anchoring(arena), arena.attacker, caller=arena.attacker)


@metering("BadReadingSignature")
def _(arena: Arena) -> Refused:
    arena.at(arena.interval + U)
    return refused(announcing(arena, key_of=2), arena.anyone, nanogrid=nanogrid(1), interval=arena.interval)


@metering("ReadingAlreadyAnnounced")
def _(arena: Arena) -> Refused:
    arena.at(arena.interval + U)
    arena.send(announcing(arena), arena.anyone)
    return refused(announcing(arena), arena.anyone, nanogrid=nanogrid(1), interval=arena.interval)


@metering("AnnouncedTooLate")
def _(arena: Arena) -> Refused:
    arena.at(arena.interval + 5 * U)
    return refused(announcing(arena), arena.anyone, nanogrid=nanogrid(1), interval=arena.interval)


@metering("IntervalNotOver")
def _(arena: Arena) -> Refused:
    call = arena.metering.functions.anchorReadings(arena.interval, NO_REASON, 0)
    return refused(call, arena.oracle, interval=arena.interval)


@metering("ReadingsAgree")
def _(arena: Arena) -> Refused:
    call = arena.annulling(arena.reading(1, 5), arena.reading(1, 5, sequence=2), gateway_key(1))
    return refused(call, arena.anyone, nanogrid=nanogrid(1), interval=arena.interval)


@metering("ReadingsOfDifferentIntervals")
def _(arena: Arena) -> Refused:
    call = arena.annulling(arena.reading(1, 5), arena.reading(2, 6), gateway_key(1))
    return refused(call, arena.anyone)


# ICAPACITYREGISTER

RESERVED = CapacityContract(nanogrid(0), Product.CM_CAPACITY, FIRST_MONTH, 2, 1000, 10, 0)
"""Registered when the market was prepared."""


def contracting(arena: Arena, **changes: int) -> ContractFunction:
    fields = {
        "nanogrid": nanogrid(7), "product": 2, "first": FIRST_MONTH, "months": 1, "power": 9, "price": 9, "salt": 9
    }  # fmt: skip
    return arena.capacity_register.functions.registerContract(tuple((fields | changes).values()), NO_SIGNATURE)


def reserved_id(arena: Arena) -> bytes:
    return RESERVED.digest(Domain(arena.web3.eth.chain_id, arena.capacity_register.address))


@capacity("MonthAlreadyBegun")
def _(arena: Arena) -> Refused:
    return refused(contracting(arena, first=FIRST_MONTH - 1), arena.dso, month=FIRST_MONTH - 1)


@capacity("MonthNotOver")
def _(arena: Arena) -> Refused:
    call = arena.capacity_register.functions.payAvailability(reserved_id(arena), FIRST_MONTH)
    return refused(call, arena.anyone, month=FIRST_MONTH)


@capacity("MonthNotInContract")
def _(arena: Arena) -> Refused:
    id_ = reserved_id(arena)
    call = arena.capacity_register.functions.payAvailability(id_, FIRST_MONTH + 2)
    return refused(call, arena.anyone, id=id_, month=FIRST_MONTH + 2)


@capacity("ContractExists")
def _(arena: Arena) -> Refused:
    call = arena.capacity_register.functions.registerContract(RESERVED.arguments(), NO_SIGNATURE)
    return refused(call, arena.dso, id=reserved_id(arena))


@capacity("UnknownContract")
def _(arena: Arena) -> Refused:
    call = arena.capacity_register.functions.payAvailability(NO_REASON, FIRST_MONTH)
    return refused(call, arena.anyone, id=NO_REASON)


@capacity("AlreadyPaid")
def _(arena: Arena) -> Refused:
    id_ = reserved_id(arena)
    forfeiting = arena.capacity_register.functions.forfeitAvailability(id_, FIRST_MONTH, NO_SIGNATURE)
    arena.send(forfeiting, arena.dso)
    return refused(forfeiting, arena.dso, id=id_, month=FIRST_MONTH)


@capacity("AlreadyReserved")
def _(arena: Arena) -> Refused:
    call = contracting(arena, nanogrid=nanogrid(0))
    return refused(call, arena.dso, nanogrid=nanogrid(0), product=2, month=FIRST_MONTH)


@capacity("InvalidProduct")
def _(arena: Arena) -> Refused:
    return refused(contracting(arena, product=1), arena.dso, product=1)


@capacity("NoMonths")
def _(arena: Arena) -> Refused:
    return refused(contracting(arena, months=0), arena.dso)


@capacity("NotDsoOfNode")
def _(arena: Arena) -> Refused:
    return refused(contracting(arena), arena.rival, node=NODE, signer=arena.rival)
