"""A whole auction in the order in which a market plays it, up to some point: what random calls would seldom reach."""

from __future__ import annotations

from collections.abc import Callable

from market.domain.messages import Unbonding
from market.domain.products import Phase, Side
from market.domain.states import OfferStatus
from tests.stateful.actors import ORACLE, STRANGER
from tests.stateful.model.auction import OfferBook
from tests.stateful.model.requests import NO_REQUEST
from tests.stateful.moves import auctions, clearing, ends, money, offices
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import PARAMETERS, U

CLEARED_AFTER = 20
FINAL_AFTER = 46
"""Hundredths of u after gate closure."""
STRAYS: tuple[Callable[[Turn], object], ...] = (
    auctions.cancel_offer,
    auctions.expire_offer,
    auctions.reclaim_request,
    auctions.post_bids,
    clearing.clear,
    clearing.forge_claim,
    clearing.give_verdict,
    clearing.finalise,
    ends.settle,
    ends.settle_award,
    ends.expire_awards,
    ends.place_hold,
)


def play_an_auction(turn: Turn) -> None:
    """From the baselines on; each step may be the last."""
    portfolio, is_internal = turn.mostly(3, [4, 4, 5], 0.3), turn.happens(0.35)
    lead = 410 if is_internal else 315
    interval = -(-(turn.now + U * lead // 100) // U) * U + U * turn.chance.choice([0, 0, 1])
    turn.player.jump(turn.model.calendar.before(interval, lead))
    if turn.happens(0.6):
        offices.restore_order(turn)
    while turn.happens(0.6):
        offices.set_delegate(turn)
    if turn.happens(0.95):
        auctions.anchor_baselines(turn, portfolio, interval)
    book = _open_internal(turn, portfolio, interval) if is_internal else _open_requested(turn, portfolio, interval)
    _play_to_the_end(turn, book)
    if is_internal and turn.happens(0.6):  # who has won already has nothing left to sell
        book = _open_requested(turn, portfolio, interval)
        _play_to_the_end(turn, book)
    if book and book.status is OfferStatus.FINAL:
        _after(turn, book)


def _play_to_the_end(turn: Turn, book: OfferBook | None) -> None:
    """Until it is final, or stopped before."""
    if book is None:
        return
    if turn.happens(0.1):
        auctions.cancel_offer(turn, book)
        return
    for _ in range(turn.chance.choice([1, 2, 2, 3, 4])):
        auctions.post_bids(turn, book)
        _stray(turn)
    if turn.happens(0.08):
        return
    calendar = turn.model.calendar
    turn.player.jump(book.terms.gate_closure)
    if turn.happens(0.4):
        clearing.forge_claim(turn, book)
    turn.player.jump(book.terms.gate_closure + calendar.span_s(CLEARED_AFTER))
    clearing.clear(turn, book)
    _stray(turn)
    if turn.happens(0.4) and clearing.give_verdict(turn, book) and turn.happens(0.6):
        clearing.clear(turn, book)
    if turn.happens(0.08):
        return
    turn.player.jump(book.terms.gate_closure + calendar.span_s(FINAL_AFTER))
    clearing.finalise(turn, book)
    _stray(turn)


def _stray(turn: Turn) -> None:
    """Somebody acts out of turn."""
    if turn.happens(0.2):
        turn.one_of(STRAYS)(turn)


def _open_internal(turn: Turn, portfolio: int, interval: int) -> OfferBook | None:
    return auctions.open_offer(turn, portfolio, interval, NO_REQUEST, turn.one_of(list(Side)))


def _open_requested(turn: Turn, portfolio: int, interval: int) -> OfferBook | None:
    node = turn.model.registry.node_of(portfolio)
    turn.player.jump(turn.model.calendar.before(interval, 300))
    auctions.set_signal(turn, node, interval, Phase.YELLOW)
    request = auctions.publish_request(turn, node, interval, turn.mostly(1, [3], 0.35))
    if request is None:
        return None
    if turn.happens(0.05):
        auctions.anchor_baselines(turn, portfolio, interval)  # too late
    if turn.happens(0.5):
        turn.player.jump(turn.model.calendar.before(interval, 275))
    return auctions.open_offer(turn, portfolio, interval, request)


def _after(turn: Turn, book: OfferBook) -> None:
    """What may come between a result and its payment; the rest is left to whoever comes next."""
    if not book.awards or turn.happens(0.3):
        return
    between = turn.one_of([_redden, _redden, _interrupt, _dispute, _announce, _lie, _leave, _measure, _measure])
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
    if turn.happens(0.5):
        money.empty_account(turn, turn.dso_of(node))
    for _ in range(turn.chance.choice([0, 1, 2, 3])):
        ends.command(turn, book.terms.portfolio << 16 | turn.one_of(book.awards).index, interval)
    if turn.happens(0.2):
        auctions.set_signal(turn, node, interval, Phase.YELLOW)
    _measure(turn, book)
    for place, payment in list(turn.model.settlement.commands.items())[-3:]:
        if not payment.settled:
            ends.end_a_command(turn, place)
    if turn.happens(0.5):
        money.deposit(turn)


def _interrupt(turn: Turn, book: OfferBook) -> None:
    """RED and commands when the awards have begun: their readings are announced, and pay both."""
    node, interval = turn.model.registry.node_of(book.terms.portfolio), book.terms.interval
    turn.player.jump(interval + U // 2)
    auctions.set_signal(turn, node, interval, Phase.RED)
    for award in book.awards:
        ends.command(turn, book.terms.portfolio << 16 | award.index, interval)
    _measure(turn, book)
    for _ in book.awards:
        ends.announce_reading(turn, book)
    ends.settle(turn, book, ORACLE.address)


def _dispute(turn: Turn, book: OfferBook) -> None:
    for _ in range(turn.chance.choice([1, 2, 3])):
        ends.place_hold(turn, book)
    _measure(turn, book)
    ends.settle(turn, book)
    for _ in range(3):
        ends.end_a_hold(turn)


def _announce(turn: Turn, book: OfferBook) -> None:
    """Without the oracle: gateways announce, and anybody settles after the hold window."""
    _measure(turn, book)
    for _ in range(turn.chance.choice([1, 3])):
        ends.announce_reading(turn, book)
    ends.settle(turn, book, STRANGER.address)
    turn.player.jump(turn.now + turn.mostly(PARAMETERS.hold_window_s, [U]))


def _lie(turn: Turn, book: OfferBook) -> None:
    """A gateway signs two readings."""
    _measure(turn, book)
    ends.annul_readings(turn, book)


def _leave(turn: Turn, book: OfferBook) -> None:
    """An owner takes its bond away while nobody settles: what it owes then is a debt."""
    award = turn.one_of(book.awards)
    nanogrid = book.terms.portfolio << 16 | award.index
    bond, owner = turn.model.settlement.ledger.bonds[nanogrid], turn.model.registry.seats[nanogrid].owner
    unbonding = Unbonding(nanogrid, bond.amount, bond.nonce)
    turn.do(owner, "Settlement", "startUnbonding", unbonding.arguments(), b"")
    turn.player.jump(bond.available_at)
    turn.do(STRANGER.address, "Settlement", "withdrawBond", nanogrid)
    ends.expire_awards(turn, book)
    if turn.happens(0.4):
        money.fund_bond(turn)
    else:
        _obey(turn, nanogrid)


def _obey(turn: Turn, nanogrid: int) -> None:
    """A command pays also whoever is in debt, but the creditors first."""
    offices.restore_order(turn)
    for _ in range(3):
        interval = turn.now // U * U + 3 * U
        auctions.anchor_baselines(turn, nanogrid >> 16, interval)
        ends.command(turn, nanogrid, interval)
        turn.player.jump(turn.model.calendar.end_of(interval))
        if (nanogrid, interval) in turn.model.settlement.commands:
            ends.end_a_command(turn, (nanogrid, interval))
