"""Deadlines to the second: somebody stands at the very moment at which a rule changes its mind, and calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from market.domain.products import Kind, Phase
from market.domain.states import OfferStatus
from tests.stateful.actors import REFEREE, STRANGER
from tests.stateful.model.auction import OfferBook
from tests.stateful.model.requests import NO_REQUEST
from tests.stateful.moves import auctions, clearing, ends, offices
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import PARAMETERS

Edge = tuple[int, Callable[[Turn], object]]
"""Last moment before a change [epoch s], and the call that it changes."""
ANYONE = STRANGER.address
RED_FINAL_HUNDREDTHS = 100


def stand_on_an_edge(turn: Turn) -> None:
    """At the last second of the old rule, then at the first of the new one."""
    coming = sorted((edge for edge in _edges(turn) if edge[0] >= turn.now), key=lambda edge: edge[0])
    if not coming:
        return
    moment, call = turn.one_of(coming[:6])
    turn.player.jump(moment)
    call(turn)
    turn.player.jump(moment + 1)
    call(turn)


def _edges(turn: Turn) -> Iterator[Edge]:
    for book in turn.model.auction.offers.values():
        yield from _edges_of(turn, book)
    yield from _openings(turn)
    calendar = turn.model.calendar
    for id_, request in turn.model.auction.requests.items():
        for interval in request.available:
            reclaim = partial(_call, "MeritOrderAuction", "reclaimRequest", id_, interval)
            yield calendar.reclaimable_at(interval), reclaim
    for place, hold in turn.model.settlement.holds.items():
        if not hold.ended_at:
            yield hold.decide_by, partial(_call, "Settlement", "lapseHold", *place)
            yield hold.decide_by, partial(_decide, place)
    for (node, interval), light in turn.model.signals.lights.items():
        if light.phase is Phase.RED:
            end_red = partial(auctions.set_signal, node=node, interval=interval, phase=Phase.GREEN)
            yield calendar.before(interval, RED_FINAL_HUNDREDTHS), end_red
            yield interval - 1, end_red
            yield calendar.end_of(interval) - 1, partial(_command_anybody, node, interval)
    for nanogrid, bond in turn.model.settlement.ledger.bonds.items():
        if bond.unbonding:
            yield bond.available_at - 1, partial(_call, "Settlement", "withdrawBond", nanogrid)
    for nanogrid, seat in turn.model.registry.seats.items():
        if seat.announced[1]:
            yield seat.announced[1] - 1, partial(offices.complete_transfer, nanogrid=nanogrid)


def _openings(turn: Turn) -> Iterator[Edge]:
    """When intervals that have their baselines come within the horizon of offers."""
    for portfolio, interval, kind in turn.model.metering.baselines:
        if kind == Kind.ACTIVE and portfolio in turn.model.registry.portfolios:
            open_early = partial(auctions.open_offer, portfolio=portfolio, interval=interval, request=NO_REQUEST)
            yield interval - PARAMETERS.offer_horizon_s - 1, open_early


def _edges_of(turn: Turn, book: OfferBook) -> Iterator[Edge]:
    calendar, closure, interval = turn.model.calendar, book.terms.gate_closure, book.terms.interval
    expire = partial(_call, "MeritOrderAuction", "expireOffer", book.id)
    if book.status is OfferStatus.OPEN:
        yield closure - 1, partial(auctions.post_bids, book=book)
        yield closure - 1, partial(clearing.clear, book=book)
        yield calendar.clearing_deadline(closure), partial(clearing.clear, book=book)
        yield calendar.clearing_deadline(closure), expire
        yield interval - 1, expire
    elif book.status is OfferStatus.CLEARED:
        yield calendar.clearing_deadline(closure), partial(clearing.give_verdict, book=book)
        yield calendar.clearing_again_deadline(closure) - 1, partial(clearing.clear, book=book)
        yield turn.model.auction.final_at(book) - 1, partial(clearing.finalise, book=book)
        yield interval - 1, partial(clearing.finalise, book=book)
        yield interval - 1, expire
    elif book.status is OfferStatus.FINAL and book.awards:
        yield calendar.end_of(interval) - 1, partial(ends.settle, book=book)
        yield calendar.reading_deadline(interval), partial(ends.announce_reading, book=book)
        yield from _ends_of(turn, book)


def _ends_of(turn: Turn, book: OfferBook) -> Iterator[Edge]:
    """When awards may end without a reading, or by one that was announced."""
    expire, settle = partial(ends.expire_awards, book=book), partial(ends.settle, book=book, sender=ANYONE)
    yield turn.model.calendar.reading_deadline(book.terms.interval) - 1, expire
    for ordinal, award in enumerate(book.awards):
        nanogrid = book.terms.portfolio << 16 | award.index
        yield turn.model.awards.reading_deadline(nanogrid, book.terms.interval) - 1, expire
        hold = turn.model.settlement.holds.get((book.id, ordinal))
        if hold and hold.ended_at:
            yield hold.ended_at + PARAMETERS.reading_deadline_s - 1, expire
        announced = turn.model.metering.announced.get((nanogrid, book.terms.interval))
        if announced:
            yield announced.announced_at + PARAMETERS.hold_window_s - 1, settle


def _call(contract: str, function: str, *arguments_and_turn: object) -> None:
    *arguments, turn = arguments_and_turn
    assert isinstance(turn, Turn)
    turn.do(ANYONE, contract, function, *arguments)


def _decide(place: tuple[bytes, int], turn: Turn) -> None:
    turn.do(turn.who(REFEREE), "Settlement", "decideHold", *place, turn.happens(0.5))


def _command_anybody(node: int, interval: int, turn: Turn) -> None:
    portfolios = [number for number, each in turn.model.registry.portfolios.items() if each.node == node]
    seats = [nanogrid for nanogrid in turn.model.registry.seats if nanogrid >> 16 in portfolios]
    if seats:
        ends.command(turn, turn.one_of(seats), interval)
