"""The market as a state machine: Hypothesis chooses who does what, and when."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from market.domain.states import OfferStatus
from tests.stateful.comparison import compare_everything, compare_totals
from tests.stateful.model.market import MarketModel
from tests.stateful.moves import auctions, clearing, clock, days, edges, ends, money, offices
from tests.stateful.moves.turn import Turn
from tests.stateful.player import Player
from tests.stateful.teardown import withdraw_everything

SEEDS = st.integers(0, 2**32 - 1)
STEPS_BETWEEN_COMPARISONS = 20
"""Of everything; what the contracts say of each call, and the totals, are compared at once."""
Move = Callable[[Turn], Any]
Condition = Callable[[MarketModel], object]


def has(*statuses: OfferStatus) -> Condition:
    """There is an offer in one of the states."""
    return lambda model: any(book.status in statuses for book in model.auction.offers.values())


def has_award(model: MarketModel) -> bool:
    return any(book.status is OfferStatus.FINAL and book.awards for book in model.auction.offers.values())


def has_hold(model: MarketModel) -> bool:
    return any(not hold.ended_at for hold in model.settlement.holds.values())


def has_command(model: MarketModel) -> bool:
    return any(not payment.settled for payment in model.settlement.commands.values())


OPEN, CLEARED = OfferStatus.OPEN, OfferStatus.CLEARED
CONDITIONS: dict[Move, Condition] = {
    auctions.reclaim_request: lambda model: model.auction.requests,
    auctions.cancel_offer: has(OPEN),
    auctions.expire_offer: has(OPEN, CLEARED),
    auctions.post_bids: has(OPEN),
    clearing.clear: has(OPEN, CLEARED),
    clearing.forge_claim: has(OPEN, CLEARED),
    clearing.give_verdict: has(CLEARED),
    clearing.finalise: has(CLEARED),
    ends.settle: has_award,
    ends.settle_award: has_award,
    ends.expire_awards: has_award,
    ends.announce_reading: has_award,
    ends.annul_readings: has_award,
    ends.place_hold: has_award,
    ends.end_a_hold: has_hold,
    ends.end_a_command: has_command,
    money.pay_out: lambda model: model.settlement.ledger.seats.total(),
}
"""When a move may succeed; the others may at any time."""


def turn_of(*moves: Move) -> Callable[[Callable[[Any], None]], Any]:
    """Makes a rule in which a party makes one of its moves, mostly one that may succeed."""

    def as_rule(described: Callable[[Any], None]) -> Any:
        @wraps(described, assigned=("__name__", "__doc__"))
        def made(machine: MarketMachine, seed: int) -> None:
            # Hypothesis repeats seeds that it likes; the step beside it makes each turn another.
            turn = Turn(machine.player, Random(seed << 16 | machine.steps))
            likely = [move for move in moves if CONDITIONS.get(move, bool)(turn.model)]
            with machine.player.tally.noting_faults():
                turn.one_of(likely if likely and turn.happens(0.95) else moves)(turn)

        del made.__wrapped__  # type: ignore[attr-defined]  # its arguments are not the rule's
        return rule(seed=SEEDS)(made)

    return as_rule


class MarketMachine(RuleBasedStateMachine):
    """Starts from a stage that is set already; at the end everybody takes everything out."""

    stage: Player
    """Set before the run."""

    def __init__(self) -> None:
        super().__init__()
        with self.stage.tally.noting_faults():
            self.snapshot = self.stage.node.snapshot()
        self.player = replace(self.stage, model=copy.deepcopy(self.stage.model), said=deque(maxlen=40))
        self.steps = 0

    @turn_of(*[clock.pass_time] * 9, clock.wait_long)
    def time_passes(self) -> None:
        """To the edges of deadlines, or long."""

    @turn_of(days.play_an_auction)
    def an_auction_is_played(self) -> None:
        """In the order of the calendar, up to some point."""

    @turn_of(days.play_an_auction)
    def another_auction_is_played(self) -> None:
        """So that auctions come often."""

    @turn_of(edges.stand_on_an_edge)
    def somebody_stands_on_an_edge(self) -> None:
        """Of a deadline, a second before it and a second after."""

    @turn_of(
        auctions.set_signal,
        auctions.request_something,
        clearing.give_verdict,
        ends.command_somebody,
        offices.answer_tso,
        money.reserve_capacity,
    )
    def a_dso_decides(self) -> None:
        """On the phase, on what it needs, on what it was given."""

    @turn_of(auctions.open_something, auctions.open_something, auctions.cancel_offer)
    def an_aggregator_decides(self) -> None:
        """What to offer."""

    @turn_of(
        auctions.post_bids, offices.set_delegate, money.start_unbonding, money.withdraw_bond, offices.refresh_seats
    )
    def an_owner_acts(self) -> None:
        """With its seat."""

    @turn_of(auctions.anchor_baselines, ends.anchor_readings, ends.settle, ends.settle_award)
    def the_oracle_acts(self) -> None:
        """Before and after an interval."""

    @turn_of(clearing.clear, clearing.forge_claim, clearing.finalise)
    def the_result_is_sought(self) -> None:
        """By right claims and by wrong ones."""

    @turn_of(ends.announce_reading, ends.announce_reading, ends.annul_readings)
    def a_gateway_speaks(self) -> None:
        """Without the oracle, or with two tongues."""

    @turn_of(ends.place_hold, ends.end_a_hold)
    def a_hold_is_fought_over(self) -> None:
        """Placed, decided, lapsed."""

    @turn_of(
        auctions.expire_offer,
        auctions.reclaim_request,
        ends.settle,
        ends.settle_award,
        ends.expire_awards,
        ends.end_a_command,
        money.pay_out,
        money.end_a_month,
    )
    def anybody_helps(self) -> None:
        """What needs no office."""

    @turn_of(money.move_tokens, money.move_tokens, money.deposit, money.withdraw, money.fund_bond)
    def money_moves(self) -> None:
        """In and out, and from one to the other."""

    @turn_of(offices.take_office, *[offices.hand_over] * 3)
    def the_operator_governs(self) -> None:
        """Who may what."""

    @turn_of(offices.change_the_grid, offices.change_the_grid, offices.change_a_seat, offices.seat_a_gateway)
    def the_operator_registers(self) -> None:
        """Who is where."""

    @turn_of(offices.say_it_again, offices.say_it_again, offices.knock_at_closed_doors)
    def somebody_tries_it_on(self) -> None:
        """Calls that were made already, and calls that only contracts may make."""

    @invariant()
    def the_books_are_covered(self) -> None:
        self.steps += 1
        with self.player.tally.noting_faults():
            compare_totals(self.player)
            if self.steps % STEPS_BETWEEN_COMPARISONS == 0:
                compare_everything(self.player)

    def teardown(self) -> None:
        with self.player.tally.noting_faults():
            try:
                if not self.player.is_broken:
                    self.let_everybody_leave()
            finally:
                self.player.node.revert(self.snapshot)

    def let_everybody_leave(self) -> None:
        """Nobody's tokens are stuck, whatever happened before."""
        compare_everything(self.player)
        withdraw_everything(self.player)
        compare_totals(self.player)
        compare_everything(self.player)
