"""A clock at the edges: each deadline of the calendar one second before it, at it, and one second after it.

`EDGES` is the calendar as a table. What is possible is empty; else it is the error that refuses the call, or the reason
for which a bid or an award is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractCustomError

from market.chain.bindings import decode_error
from market.domain.errors import BidRejection, Skip
from market.domain.messages import Delegation, Enrolment, Permit, Unbonding
from market.domain.products import Phase, Product
from market.domain.records import BidRecord, rejected_bitmap
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from tests.attacks.arena import EUR, HONEST_BIDS, NO_REASON, NO_REQUEST, Arena, gateway_key, nanogrid, new_key
from tests.contracts_properties.auction_house import FIRST_MONTH, NO_SIGNATURE, NODE, PORTFOLIO, SEATS, U, owner_key

READING_DEADLINE = 4 * U
JUNE, AUGUST = 1_780_272_000, 1_785_542_400
"""First seconds of months of 2026, UTC."""


@dataclass(frozen=True)
class Due:
    """A call that is due at a moment, by an account."""

    moment: int
    call: Callable[[Arena], ContractFunction]
    sender: str


@dataclass(frozen=True)
class Edge:
    """What becomes of a call one second before its deadline, at it, and one second after it."""

    rule: str
    scene: Callable[[Arena], Due]
    before: str
    at: str
    after: str


def before(arena: Arena, hundredths: int) -> int:
    return arena.before(hundredths, arena.interval)


# SCENES, in the order of the calendar


def anchoring(arena: Arena) -> Due:
    anchor = (PORTFOLIO, arena.interval, 0, SEATS, bytes(32))
    call = arena.metering.functions.anchorBaselines([anchor])
    return Due(before(arena, 140), lambda _: call, arena.oracle)


def requesting(arena: Arena) -> Due:
    arena.at_before(300)
    arena.signal(Phase.YELLOW)
    return Due(before(arena, 140) - U // 2, lambda arena: arena.publishing(), arena.dso)


def opening(arena: Arena) -> Due:
    arena.ready()
    return Due(before(arena, 140) - U // 2, lambda arena: arena.opening(), arena.aggregator)


def opening_internally(arena: Arena) -> Due:
    arena.at_before(410)
    arena.anchor()
    return Due(before(arena, 345) - U // 2, lambda arena: arena.opening(request=NO_REQUEST), arena.aggregator)


def opening_far_ahead(arena: Arena) -> Due:
    return Due(arena.far_ahead(), lambda arena: arena.opening(request=NO_REQUEST), arena.aggregator)


def posting(arena: Arena) -> Due:
    offer = arena.opened()
    call = arena.posting(offer, arena.wired(offer, HONEST_BIDS[0]))
    return Due(before(arena, 140), lambda _: call, arena.relayer)


def posting_internally(arena: Arena) -> Due:
    offer = arena.opened_internally()
    call = arena.posting(offer, arena.wired(offer, HONEST_BIDS[0]))
    return Due(before(arena, 345), lambda _: call, arena.relayer)


def clearing_first(arena: Arena) -> Due:
    offer = arena.honest_offer()
    return Due(before(arena, 140), lambda arena: arena.rightly(offer), arena.relayer)


def clearing_last(arena: Arena) -> Due:
    offer = arena.honest_offer()
    return Due(before(arena, 100), lambda arena: arena.rightly(offer), arena.relayer)


def rejecting(arena: Arena) -> bytes:
    """The honest offer, cleared; the DSO rejects its first award."""
    offer = arena.cleared()
    verdict = (offer, rejected_bitmap([0]), NO_REASON)
    arena.send(arena.signals.functions.giveVerdict(verdict, NO_SIGNATURE), arena.dso)
    return offer


def verdict(arena: Arena) -> Due:
    offer = arena.cleared()
    call = arena.signals.functions.giveVerdict((offer, b"\1", NO_REASON), NO_SIGNATURE)
    return Due(before(arena, 100), lambda _: call, arena.dso)


def clearing_again(arena: Arena) -> Due:
    offer = rejecting(arena)
    again = arena.rightly(offer, rejected={0}, bitmap=rejected_bitmap([0]))
    return Due(before(arena, 95), lambda _: again, arena.relayer)


def finalising(arena: Arena) -> Due:
    offer = arena.cleared()
    return Due(before(arena, 100), lambda arena: arena.finalising(offer), arena.relayer)


def finalising_a_rejection(arena: Arena) -> Due:
    offer = rejecting(arena)
    return Due(before(arena, 95), lambda arena: arena.finalising(offer, rejected_bitmap([0])), arena.relayer)


def finalising_last(arena: Arena) -> Due:
    offer = arena.cleared()
    return Due(arena.interval, lambda arena: arena.finalising(offer), arena.relayer)


def expiring_an_open_offer(arena: Arena) -> Due:
    offer = arena.opened()
    return Due(before(arena, 100), lambda arena: arena.auction.functions.expireOffer(offer), arena.anyone)


def expiring_a_cleared_offer(arena: Arena) -> Due:
    offer = arena.cleared()
    return Due(arena.interval, lambda arena: arena.auction.functions.expireOffer(offer), arena.anyone)


def reclaiming(arena: Arena) -> Due:
    request = arena.ready()
    call = arena.auction.functions.reclaimRequest(request, arena.interval)
    return Due(before(arena, 140) - U // 2, lambda _: call, arena.anyone)


def taking_red_back(arena: Arena) -> Due:
    arena.signal(Phase.RED)
    green = (NODE, arena.interval, Phase.GREEN, 0, NO_REASON, 1000)
    return Due(before(arena, 100), lambda arena: arena.signals.functions.setSignal(green, NO_SIGNATURE), arena.dso)


def commanding(arena: Arena) -> Due:
    arena.signal(Phase.RED)
    command = (nanogrid(1), arena.interval, Product.VC_EMERGENCY_P, 1, 100, NO_REASON)
    call = arena.signals.functions.giveCommand(command, NO_SIGNATURE)
    return Due(arena.interval + U, lambda _: call, arena.dso)


def announcing_first(arena: Arena) -> Due:
    call = arena.announcing(arena.reading(1, 0), gateway_key(1))
    return Due(arena.interval + U, lambda _: call, arena.anyone)


def announcing_last(arena: Arena) -> Due:
    call = arena.announcing(arena.reading(1, 0), gateway_key(1))
    return Due(arena.interval + READING_DEADLINE, lambda _: call, arena.anyone)


def anchoring_readings(arena: Arena) -> Due:
    call = arena.metering.functions.anchorReadings(arena.interval, bytes(32), 0)
    return Due(arena.interval + U, lambda _: call, arena.oracle)


def settling(arena: Arena) -> Due:
    offer = arena.final()
    return Due(arena.interval + U, lambda arena: arena.settling(offer, arena.delivery(offer)), arena.oracle)


def settling_what_was_announced(arena: Arena) -> Due:
    offer = arena.final()
    arena.at(arena.interval + U)
    arena.send(arena.announcing(arena.reading(1, 400), gateway_key(1)), arena.anyone)
    window = arena.settlement.functions.holdWindowS().call()
    return Due(arena.now + window, lambda arena: arena.settling(offer, {1: 400}), arena.anyone)


def expiring_awards(arena: Arena) -> Due:
    offer = arena.final()
    return Due(arena.interval + READING_DEADLINE, lambda arena: arena.expiring(offer), arena.anyone)


def expiring_an_announced_award(arena: Arena) -> Due:
    """The other award expires first, so that only the announced one is left to judge."""
    offer = arena.final()
    arena.at(arena.interval + U)
    arena.send(arena.announcing(arena.reading(1, 400), gateway_key(1)), arena.anyone)
    announced_at = arena.now
    arena.send(arena.settling(offer, {2: 600}), arena.oracle)
    window = arena.settlement.functions.holdWindowS().call()
    return Due(announced_at + window + READING_DEADLINE, lambda arena: arena.expiring(offer), arena.anyone)


def expiring_after_a_hold(arena: Arena) -> Due:
    offer = arena.final()
    arena.at(arena.interval + U)
    arena.send(arena.settling(offer, {2: 600}), arena.oracle)
    arena.send(arena.holding(offer, 0), arena.dso)
    arena.at(arena.interval + 3 * U)
    arena.send(arena.settlement.functions.decideHold(offer, 0, False), arena.referee)
    return Due(arena.now + READING_DEADLINE, lambda arena: arena.expiring(offer), arena.anyone)


def expiring_a_command(arena: Arena) -> Due:
    due = commanding(arena)
    arena.send(due.call(arena), arena.dso)
    call = arena.settlement.functions.expireCommand(nanogrid(1), arena.interval)
    return Due(arena.interval + READING_DEADLINE, lambda _: call, arena.anyone)


def deciding_a_hold(arena: Arena) -> Due:
    offer = arena.final()
    arena.send(arena.holding(offer, 0), arena.dso)
    decide_by = arena.settlement.functions.holdOf(offer, 0).call()[1]
    return Due(decide_by, lambda arena: arena.settlement.functions.decideHold(offer, 0, True), arena.referee)


def lapsing_a_hold(arena: Arena) -> Due:
    due = deciding_a_hold(arena)
    offer = arena.terms().digest(arena.domain)
    return Due(due.moment, lambda arena: arena.settlement.functions.lapseHold(offer, 0), arena.anyone)


def withdrawing_a_bond(arena: Arena) -> Due:
    unbonding = Unbonding(nanogrid(7), EUR, 0)
    signature = sign_message(owner_key(7), unbonding, arena.settlement_domain).to_bytes()
    arena.send(arena.settlement.functions.startUnbonding(unbonding.arguments(), signature), arena.relayer)
    available_at = arena.settlement.functions.bondOf(nanogrid(7)).call()[2]
    return Due(available_at, lambda arena: arena.settlement.functions.withdrawBond(nanogrid(7)), arena.anyone)


def completing_a_transfer(arena: Arena) -> Due:
    arena.send(arena.registry.functions.announceSeatTransfer(nanogrid(7), arena.owner(50)), arena.operator)
    _, possible_from = arena.registry.functions.announcedTransferOf(nanogrid(7)).call()
    return Due(possible_from, lambda arena: arena.registry.functions.completeSeatTransfer(nanogrid(7)), arena.operator)


def enrolling(arena: Arena) -> Due:
    (code_key, code), (key, gateway) = new_key("a code"), new_key("a gateway")
    arena.send(arena.settlement.functions.openEnrolment(nanogrid(7), code, arena.interval), arena.operator)
    message = Enrolment(nanogrid(7), gateway)
    signatures = [sign_message(each, message, arena.settlement_domain).to_bytes() for each in (code_key, key)]
    call = arena.settlement.functions.enrolGateway(nanogrid(7), gateway, *signatures)
    return Due(arena.interval, lambda _: call, arena.anyone)


def permitting(arena: Arena) -> Due:
    permit = Permit(arena.owner(7), arena.attacker, EUR, 0, arena.interval)
    domain = Domain(arena.web3.eth.chain_id, arena.token.address)
    signed = sign_message(owner_key(7), permit, domain).to_bytes()
    call = arena.token.functions.permit(
        permit.owner, permit.spender, EUR, permit.deadline, signed[64], signed[:32], signed[32:64]
    )
    return Due(arena.interval, lambda _: call, arena.anyone)


def bidding_as_a_delegate(arena: Arena) -> Due:
    """Midnight, at which a delegation ends, lies within the bidding time."""
    key, address = new_key("a delegate")
    midnight = JUNE + 86_400
    message = Delegation(nanogrid(7), address, JUNE // 86_400, 0, 1000, 100, 0)
    domain = Domain(arena.web3.eth.chain_id, arena.registry.address)
    signature = sign_message(owner_key(7), message, domain).to_bytes()
    arena.send(arena.registry.functions.setDelegate(message.arguments(), signature), arena.relayer)
    arena.interval = midnight + 2 * U
    offer = arena.opened()
    wire = arena.wire_by(key, offer, BidRecord(100_000, 400, 0, 7))
    return Due(midnight, lambda arena: arena.posting(offer, wire), arena.relayer)


def registering_a_seat(arena: Arena) -> Due:
    seat = (PORTFOLIO, arena.owner(50), 5000, 0, arena.interval)
    return Due(arena.interval, lambda arena: arena.registry.functions.registerSeat(*seat), arena.operator)


def closing_a_seat(arena: Arena) -> Due:
    call = arena.registry.functions.closeSeat(nanogrid(7), arena.interval)
    return Due(arena.interval, lambda _: call, arena.operator)


def contracting_capacity(arena: Arena) -> Due:
    contract = (nanogrid(7), Product.CM_CAPACITY, FIRST_MONTH, 1, 1000, 10, 1)
    call = arena.capacity_register.functions.registerContract(contract, NO_SIGNATURE)
    return Due(JUNE, lambda _: call, arena.dso)


def paying_availability(arena: Arena) -> Due:
    contract = (nanogrid(7), Product.CM_CAPACITY, FIRST_MONTH + 1, 1, 1000, 10, 1)
    registering = arena.capacity_register.functions.registerContract(contract, NO_SIGNATURE)
    id_ = registering.call({"from": arena.dso})
    arena.send(registering, arena.dso)
    call = arena.capacity_register.functions.payAvailability(id_, FIRST_MONTH + 1)
    return Due(AUGUST, lambda _: call, arena.anyone)


EDGES = (
    Edge("baselines are anchored until T - 1.4u", anchoring, "", "", "AnchoredTooLate"),
    Edge("requests are published until T - 1.9u", requesting, "", "", "RequestTooLate"),
    Edge("offers open until T - 1.9u", opening, "", "", "ClosureTooEarly"),
    Edge("INTERNAL offers open until T - 3.95u", opening_internally, "", "", "ClosureTooEarly"),
    Edge("no offer opens before the horizon", opening_far_ahead, "OfferTooEarly", "", ""),
    Edge("the DSO reclaims after T - 1.9u", reclaiming, "RequestStillOpen", "RequestStillOpen", ""),
    Edge("bids are posted before gate closure", posting, "", "GateClosed", "GateClosed"),
    Edge("bids on INTERNAL are posted before its gate closure", posting_internally, "", "GateClosed", "GateClosed"),
    Edge("clearing begins at gate closure", clearing_first, "GateOpen", "", ""),
    Edge("clearing ends 0.4u after gate closure", clearing_last, "", "", "ClearTooLate"),
    Edge("the verdict is given until 0.4u after gate closure", verdict, "", "", "VerdictTooLate"),
    Edge("clearing again ends before 0.45u after gate closure", clearing_again, "", "ClearTooLate", "ClearTooLate"),
    Edge("the result is final after the last second for the verdict", finalising, "NotFinalYet", "NotFinalYet", ""),
    Edge("after a rejection from 0.45u after closure", finalising_a_rejection, "NotFinalYet", "", ""),
    Edge("and before T", finalising_last, "", "ClearTooLate", "ClearTooLate"),
    Edge("an open offer expires after 0.4u", expiring_an_open_offer, "NotExpirable", "NotExpirable", ""),
    Edge("a cleared offer expires from T on", expiring_a_cleared_offer, "NotExpirable", "", ""),
    Edge("RED is taken back until T - 1u", taking_red_back, "", "", "RedIsFinal"),
    Edge("commands are given before T + 1u", commanding, "", "CommandTooLate", "CommandTooLate"),
    Edge("readings are announced from T + 1u on", announcing_first, "IntervalNotOver", "", ""),
    Edge("and until the reading deadline", announcing_last, "", "", "AnnouncedTooLate"),
    Edge("readings are anchored from T + 1u on", anchoring_readings, "IntervalNotOver", "", ""),
    Edge("awards are settled from T + 1u on", settling, "IntervalNotOver", "", ""),
    Edge("others settle after the hold window", settling_what_was_announced, "HOLD_WINDOW_OPEN", "", ""),
    Edge("awards expire from the reading deadline on", expiring_awards, "DEADLINE_NOT_REACHED", "", ""),
    Edge("an announcement moves it", expiring_an_announced_award, "DEADLINE_NOT_REACHED", "", ""),
    Edge("a hold's end begins it anew", expiring_after_a_hold, "DEADLINE_NOT_REACHED", "", ""),
    Edge("commands expire from the reading deadline on", expiring_a_command, "DeadlineNotReached", "", ""),
    Edge("the referee decides within the term", deciding_a_hold, "", "", "HoldTermOver"),
    Edge("a hold lapses after its term", lapsing_a_hold, "HoldTermRunning", "HoldTermRunning", ""),
    Edge("a bond is paid when its unbonding is over", withdrawing_a_bond, "UnbondingPending", "", ""),
    Edge("a seat is given away as announced", completing_a_transfer, "TransferNotPossibleYet", "", ""),
    Edge("a code is good until it expires", enrolling, "", "", "EnrolmentExpired"),
    Edge("a permit is good until its deadline", permitting, "", "", "ERC2612ExpiredSignature"),
    Edge("a delegate signs on its last day", bidding_as_a_delegate, "", "DELEGATE_EXPIRED", "DELEGATE_EXPIRED"),
    Edge("a seat begins later than now", registering_a_seat, "", "IntervalNotInFuture", "IntervalNotInFuture"),
    Edge("a seat ends later than now", closing_a_seat, "", "IntervalNotInFuture", "IntervalNotInFuture"),
    Edge("a month is contracted before it begins", contracting_capacity, "", "MonthAlreadyBegun", "MonthAlreadyBegun"),
    Edge("a month is paid when it is over", paying_availability, "MonthNotOver", "", ""),
)


def answer(arena: Arena, due: Due) -> str:
    """What becomes of the call now: "" or why not."""
    function, sender = due.call(arena), arena.web3.to_checksum_address(due.sender)
    try:
        function.call({"from": sender})
    except ContractCustomError as refusal:
        return str(getattr(decode_error(str(refusal.data)), "name", refusal))
    receipt = arena.send(function, sender)
    skipped = [BidRejection(reason).name for reason in arena.skips(receipt)]
    skipped += [Skip(reason).name for reason in arena.skipped_awards(receipt)]
    return next((reason for reason in skipped if reason != "ALREADY_SETTLED"), "")


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.rule)
def test_a_deadline_holds_to_the_second(arena: Arena, edge: Edge) -> None:
    due = edge.scene(arena)
    answers = []
    for second in (-1, 0, 1):
        with arena.taken_back():
            arena.at(due.moment + second)
            answers.append(answer(arena, due))
    assert answers == [edge.before, edge.at, edge.after]
