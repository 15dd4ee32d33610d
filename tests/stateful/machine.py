"""The market as a state machine: Hypothesis chooses who does what, and when."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from market.domain.states import OfferStatus
from tests.stateful.comparison import compare_everything, compare_states, compare_totals
from tests.stateful.model.market import MarketModel
from tests.stateful.moves import auctions, clearing, clock, days, ends, money, offices
from tests.stateful.moves.turn import Turn
from tests.stateful.player import Player
from tests.stateful.teardown import withdraw_everything

SEEDS = st.integers(0, 2**32 - 1)
STEPS_BETWEEN_COMPARISONS = 8
Move = Callable[[Turn], Any]
Condition = Callable[[MarketModel], object]


def turn_of(move: Move, when: Condition | None = None) -> Any:
    """A rule in which one party makes its move, as long as there is something to make it on."""

    def made(machine: MarketMachine, seed: int) -> None:
        # Hypothesis repeats seeds that it likes; the step beside it makes each turn another.
        move(Turn(machine.player, Random(seed << 16 | machine.steps)))

    made.__name__ = move.__name__
    found = rule(seed=SEEDS)(made)
    return found if when is None else precondition(lambda machine: when(machine.player.model))(found)


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
MOVES: tuple[Move, ...] = (
    auctions.reclaim_request,
    auctions.cancel_offer,
    auctions.expire_offer,
    auctions.post_bids,
    clearing.clear,
    clearing.give_verdict,
    clearing.finalise,
    ends.settle,
    ends.settle_one,
    ends.expire_awards,
    ends.announce_reading,
    ends.annul_readings,
    ends.place_hold,
    ends.end_a_hold,
    ends.end_a_command,
    money.pay_out,
)
"""Those that the rules below make only where they may succeed."""


class MarketMachine(RuleBasedStateMachine):
    """Starts from a stage that is set already; at the end everybody takes everything out."""

    stage: Player
    """Set before the run."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = self.stage.node.snapshot()
        self.player = replace(self.stage, model=copy.deepcopy(self.stage.model))
        self.steps = 0

    @rule(seed=SEEDS)
    def something_on_nothing(self, seed: int) -> None:
        """Any move at all, whether or not there is anything to make it on."""
        turn = Turn(self.player, Random(seed << 16 | self.steps))
        turn.one_of(MOVES)(turn)

    pass_time = turn_of(clock.pass_time)
    pass_more_time = turn_of(clock.pass_time)
    wait_long = turn_of(clock.wait_long)
    play_an_auction = turn_of(days.play_an_auction)
    play_another_auction = turn_of(days.play_an_auction)
    play_a_third_auction = turn_of(days.play_an_auction)

    anchor_baselines = turn_of(auctions.anchor_baselines)
    set_signal = turn_of(auctions.set_signal)
    request_something = turn_of(auctions.request_something)
    reclaim_request = turn_of(auctions.reclaim_request, lambda model: model.auction.requests)
    open_something = turn_of(auctions.open_something)
    cancel_offer = turn_of(auctions.cancel_offer, has(OPEN))
    expire_offer = turn_of(auctions.expire_offer, has(OPEN, CLEARED))
    post_bids = turn_of(auctions.post_bids, has(OPEN))

    clear = turn_of(clearing.clear, has(OPEN, CLEARED))
    forge_claim = turn_of(clearing.forge_claim, has(OPEN, CLEARED))
    give_verdict = turn_of(clearing.give_verdict, has(CLEARED))
    finalise = turn_of(clearing.finalise, has(CLEARED))

    settle = turn_of(ends.settle, has_award)
    settle_one = turn_of(ends.settle_one, has_award)
    expire_awards = turn_of(ends.expire_awards, has_award)
    announce_reading = turn_of(ends.announce_reading, has_award)
    annul_readings = turn_of(ends.annul_readings, has_award)
    anchor_readings = turn_of(ends.anchor_readings)
    place_hold = turn_of(ends.place_hold, has_award)
    end_a_hold = turn_of(ends.end_a_hold, has_hold)
    command_somebody = turn_of(ends.command_somebody)
    end_a_command = turn_of(ends.end_a_command, has_command)

    move_tokens = turn_of(money.move_tokens)
    deposit = turn_of(money.deposit)
    withdraw = turn_of(money.withdraw)
    pay_out = turn_of(money.pay_out, lambda model: model.settlement.ledger.seats.total())
    fund_bond = turn_of(money.fund_bond)
    start_unbonding = turn_of(money.start_unbonding)
    withdraw_bond = turn_of(money.withdraw_bond)
    reserve_capacity = turn_of(money.reserve_capacity)
    end_a_month = turn_of(money.end_a_month)

    take_office = turn_of(offices.take_office)
    hand_over = turn_of(offices.hand_over)
    change_the_grid = turn_of(offices.change_the_grid)
    change_a_seat = turn_of(offices.change_a_seat)
    set_delegate = turn_of(offices.set_delegate)
    seat_a_gateway = turn_of(offices.seat_a_gateway)
    answer_tso = turn_of(offices.answer_tso)
    knock_at_closed_doors = turn_of(offices.knock_at_closed_doors)

    @invariant()
    def the_books_are_covered(self) -> None:
        compare_totals(self.player)
        compare_states(self.player)
        self.steps += 1
        if self.steps % STEPS_BETWEEN_COMPARISONS == 0:
            compare_everything(self.player)

    def teardown(self) -> None:
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
