"""Time: the edges of every deadline, one by one, and now and then a long while."""

from __future__ import annotations

from market.domain.states import OfferStatus
from tests.stateful.model.capacity import month_of, start_of_month
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import PARAMETERS, U

CALENDAR_HUNDREDTHS = (410, 345, 300, 275, 190, 140, 100, 95)
SECOND = (-1, 0, 0, 0, 1)


def pass_time(turn: Turn) -> None:
    """To one of the next moments at which a rule changes its mind, or a second beside it."""
    moments = sorted({moment + turn.one_of(SECOND) for moment in _edges(turn)})
    coming = [moment for moment in moments if moment > turn.now]
    if coming:
        steps = turn.mostly(turn.chance.choice([0, 0, 0, 1, 1, 2, 4]), [9, 15], 0.05)
        turn.player.jump(coming[min(steps, len(coming) - 1)])


def wait_long(turn: Turn) -> None:
    """Hours, or over the end of the month."""
    month = start_of_month(month_of(turn.now) + 1)
    turn.player.jump(turn.one_of([turn.now + 2 * U, turn.now + 5 * U, turn.now + PARAMETERS.unbonding_s, month, month]))


def _edges(turn: Turn) -> list[int]:
    model, calendar = turn.model, turn.model.calendar
    this = turn.now // U * U
    moments = [calendar.before(this + U * step, part) for step in range(6) for part in CALENDAR_HUNDREDTHS]
    moments += [this + U * step for step in range(1, 6)]
    for book in model.auction.offers.values():
        closure = book.terms.gate_closure
        if book.status in (OfferStatus.OPEN, OfferStatus.CLEARED):
            moments += [closure, calendar.clearing_deadline(closure), calendar.clearing_again_deadline(closure)]
        elif book.status is OfferStatus.FINAL:
            moments.append(calendar.reading_deadline(book.terms.interval))
    for hold in model.settlement.holds.values():
        moments += [hold.decide_by, hold.decide_by + 1] if not hold.ended_at else []
        moments += [hold.ended_at + PARAMETERS.reading_deadline_s] if hold.ended_at else []
    for announced in model.metering.announced.values():
        moments.append(announced.announced_at + PARAMETERS.hold_window_s)
    moments += [bond.available_at for bond in model.settlement.ledger.bonds.values()]
    moments += [expires_at for _, expires_at in model.settlement.enrolments.values()]
    return moments
