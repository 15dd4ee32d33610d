"""A whole auction in the order in which a market plays it, up to some point: what random calls would seldom reach."""

from __future__ import annotations

from market.domain.products import Phase, Side
from tests.stateful.model.auction import NO_REQUEST, OfferBook
from tests.stateful.moves import auctions, clearing, ends
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import PARAMETERS, U

CLEARED_AFTER = 20
FINAL_AFTER = 46
"""Hundredths of u after gate closure."""


def play_an_auction(turn: Turn) -> None:
    """From the baselines on; each step may be the last."""
    portfolio, is_internal = turn.mostly(3, [4, 5]), turn.happens(0.35)
    lead = 410 if is_internal else 315
    interval = -(-(turn.now + U * lead // 100) // U) * U + U * turn.chance.choice([0, 0, 1])
    calendar = turn.model.calendar
    turn.player.jump(calendar.before(interval, lead))
    auctions.anchor_baselines(turn, portfolio, interval)
    book = _open_internal(turn, portfolio, interval) if is_internal else _open_requested(turn, portfolio, interval)
    if book is None:
        return
    if turn.happens(0.12):
        auctions.cancel_offer(turn, book)
        return
    for _ in range(turn.chance.choice([1, 1, 2, 3])):
        auctions.post_bids(turn, book)
    if turn.happens(0.08):
        return
    turn.player.jump(book.terms.gate_closure)
    if turn.happens(0.3):
        clearing.forge_claim(turn)
    turn.player.jump(book.terms.gate_closure + calendar.span_s(CLEARED_AFTER))
    clearing.clear(turn, book)
    if turn.happens(0.4) and clearing.give_verdict(turn, book) and turn.happens(0.6):
        clearing.clear(turn, book)
    if turn.happens(0.08):
        return
    turn.player.jump(book.terms.gate_closure + calendar.span_s(FINAL_AFTER))
    clearing.finalise(turn, book)
    _after(turn, book)


def _open_internal(turn: Turn, portfolio: int, interval: int) -> OfferBook | None:
    return auctions.open_offer(turn, portfolio, interval, NO_REQUEST, turn.one_of(list(Side)))


def _open_requested(turn: Turn, portfolio: int, interval: int) -> OfferBook | None:
    node = turn.model.registry.node_of(portfolio)
    turn.player.jump(turn.model.calendar.before(interval, 300))
    auctions.set_signal(turn, node, interval, Phase.YELLOW)
    request = auctions.publish_request(turn, node, interval, turn.mostly(1, [3], 0.35))
    if request is None:
        return None
    if turn.happens(0.5):
        turn.player.jump(turn.model.calendar.before(interval, 275))
    return auctions.open_offer(turn, portfolio, interval, request)


def _after(turn: Turn, book: OfferBook) -> None:
    """What may come between a result and its payment; the rest is left to whoever comes next."""
    if not book.awards or turn.happens(0.3):
        return
    between = turn.one_of([_redden, _dispute, _announce, _lie, _measure, _measure])
    between(turn, book)
    if turn.happens(0.6):
        ends.settle(turn, book)
    if turn.happens(0.3):
        turn.player.jump(turn.model.calendar.reading_deadline(book.terms.interval))
        ends.expire_awards(turn, book)


def _measure(turn: Turn, book: OfferBook) -> None:
    turn.player.jump(turn.model.calendar.end_of(book.terms.interval))


def _redden(turn: Turn, book: OfferBook) -> None:
    """RED before the interval or within it, and commands beside the awards."""
    node, interval = turn.model.registry.node_of(book.terms.portfolio), book.terms.interval
    turn.player.jump(turn.mostly(turn.now, [interval, interval + U // 2], 0.4))
    auctions.set_signal(turn, node, interval, Phase.RED)
    for _ in range(turn.chance.randrange(3)):
        ends.command(turn, book.terms.portfolio << 16 | turn.one_of(book.awards).index, interval)
    if turn.happens(0.2):
        auctions.set_signal(turn, node, interval, Phase.YELLOW)
    _measure(turn, book)
    for _ in range(2):
        ends.end_a_command(turn)


def _dispute(turn: Turn, book: OfferBook) -> None:
    for _ in range(turn.chance.choice([1, 2, 3])):
        ends.place_hold(turn, book)
    _measure(turn, book)
    ends.settle(turn, book)
    for _ in range(2):
        ends.end_a_hold(turn)


def _announce(turn: Turn, book: OfferBook) -> None:
    """Without the oracle: gateways announce, and anybody settles after the hold window."""
    _measure(turn, book)
    for _ in range(turn.chance.choice([1, 3])):
        ends.announce_reading(turn, book)
    turn.player.jump(turn.now + turn.mostly(PARAMETERS.hold_window_s, [U]))


def _lie(turn: Turn, book: OfferBook) -> None:
    """A gateway signs two readings."""
    _measure(turn, book)
    ends.annul_readings(turn, book)
