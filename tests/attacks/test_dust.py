"""Rounding as a source of money: no sequence of trades gains a micro-euro, on the chain and in the arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from market.domain.products import Direction, Phase, Side
from market.domain.records import BidRecord
from market.domain.settlement import AwardTerms, amount_ueur, settle_award, settle_missing
from tests.attacks.arena import Arena, nanogrid
from tests.contracts_properties.auction_house import REQUEST_PRICE_UEUR_KWH, U

HIGHEST_PRICE = REQUEST_PRICE_UEUR_KWH
prices = st.one_of(st.integers(1, 2000), st.integers(1, 400_000))
quantities = st.one_of(st.integers(1, 50), st.integers(1, 2**24 - 1))


# IN THE ARITHMETIC


@settings(max_examples=1000)
@given(prices, st.lists(quantities, min_size=2, max_size=8))
def test_splitting_a_delivery_gains_nothing(price: int, parts: list[int]) -> None:
    """Each part is rounded down, toward the payer: many small awards are never paid more than one of their sum."""
    assert sum(amount_ueur(part, price) for part in parts) <= amount_ueur(sum(parts), price)


@settings(max_examples=1000)
@given(st.data())
def test_an_award_gives_out_what_was_put_in(data: st.DataObject) -> None:
    """Paid, margin and refund are the reserve, whatever is delivered at whatever prices."""
    awarded, bid = data.draw(quantities), data.draw(prices)
    request = data.draw(st.one_of(st.none(), st.integers(bid, HIGHEST_PRICE)))
    direction = data.draw(st.sampled_from(Direction))
    terms = AwardTerms(Side.BUY, direction, awarded, bid, request)
    baseline, metered = data.draw(st.integers(-(2**31), 2**31 - 1)), data.draw(st.integers(-(2**31), 2**31 - 1))
    for result in (settle_award(terms, baseline, metered), settle_missing(terms)):
        assert min(result.paid_ueur, result.margin_ueur, result.refunded_ueur, result.penalty_ueur) >= 0
        assert result.paid_ueur + result.margin_ueur + result.refunded_ueur == result.reserve_ueur
        assert result.paid_ueur * 1000 <= result.delivered * bid


@settings(max_examples=1000)
@given(quantities, prices, st.data())
def test_delivering_less_never_earns_more(awarded: int, price: int, data: st.DataObject) -> None:
    """Pay less penalty grows with every Wh delivered: no rounding makes it worth while to hold one back."""
    terms = AwardTerms(Side.BUY, Direction.DOWN, awarded, price)
    less = data.draw(st.integers(0, awarded - 1))
    nets = []
    for delivered in (less, less + 1):
        result = settle_award(terms, 0, delivered)
        nets.append(result.paid_ueur - result.penalty_ueur)
    assert nets[0] <= nets[1]


# ON THE CHAIN


@dataclass(frozen=True)
class Trade:
    """One bid of an auction and what is delivered of its award."""

    price: int
    quantity: int
    delivered: int


@st.composite
def auctions(draw: st.DrawFn) -> tuple[Side, list[Trade], int]:
    """A side, bids of small amounts, and the quantity of the offer."""
    trades = [
        Trade(draw(st.integers(1, 2000)), quantity, draw(st.integers(-2, quantity + 2)))
        for quantity in draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    ]
    return draw(st.sampled_from(Side)), trades, draw(st.integers(1, sum(trade.quantity for trade in trades)))


def everything(arena: Arena, count: int) -> int:
    """All money of those who trade, and what they hold in tokens. [micro-euro]"""
    seats = sum(arena.seat_balance(index) + arena.bond(index) for index in range(1, count + 1))
    tokens = sum(arena.token.functions.balanceOf(arena.owner(index)).call() for index in range(1, count + 1))
    return seats + tokens + arena.balance(arena.aggregator)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(auctions(), min_size=1, max_size=3))
def test_no_sequence_of_trades_gains_a_micro_euro(arena: Arena, played: list[tuple[Side, list[Trade], int]]) -> None:
    """Aggregator and homes together trade back and forth, BUY and SELL, in dust: their sum stays the same to the last
    micro-euro, none of them gains what another did not pay, and the contract holds what it owes."""
    with arena.taken_back():
        first, count = arena.interval, max(len(trades) for _, trades, _ in played)
        before, held = everything(arena, count), tokens_held(arena)
        for place, (side, trades, quantity) in enumerate(played):
            arena.interval = first + place * 8 * U
            play(arena, side, trades, quantity)
            assert everything(arena, count) == before
        seats = range(1, count + 1)
        for index in seats:
            if arena.seat_balance(index):
                arena.send(arena.settlement.functions.payOut(nanogrid(index)), arena.anyone)
        assert everything(arena, count) == before
        paid_out = sum(arena.token.functions.balanceOf(arena.owner(index)).call() for index in seats)
        assert held - tokens_held(arena) == paid_out
        arena.assert_solvent()


def tokens_held(arena: Arena) -> int:
    """By the contract. [micro-euro]"""
    return int(arena.token.functions.balanceOf(arena.settlement.address).call())


def awarded(arena: Arena, side: Side, trades: list[Trade], quantity: int) -> bytes:
    """One INTERNAL auction until its interval is over; seats from 1 on bid. The offer's id."""
    limit = 2000 if side is Side.BUY else 1
    offer = arena.opened_internally(side=side, quantity=quantity, limit_price_ueur_kwh=limit)
    bids = [BidRecord(trade.price, trade.quantity, 0, index) for index, trade in enumerate(trades, 1)]
    arena.send(arena.posting(offer, arena.wired(offer, *bids)), arena.relayer)
    arena.at_before(345)
    arena.send(arena.rightly(offer), arena.relayer)
    arena.finalise(offer)
    arena.at(arena.interval + U)
    return offer


def play(arena: Arena, side: Side, trades: list[Trade], quantity: int) -> None:
    """One such auction to its settlement."""
    offer = awarded(arena, side, trades, quantity)
    awards = arena.delivery(offer)
    metered = {index: trades[index - 1].delivered for index in awards}
    arena.send(arena.settling(offer, metered), arena.oracle)
    assert arena.settlement.functions.escrowOf(offer).call() == 0


def test_a_request_split_into_offers_costs_no_more_than_its_escrow(arena: Arena) -> None:
    """Each offer takes a rounded-down part of an escrow that was rounded up: the rest goes back, to the micro-euro."""
    before = arena.balance(arena.dso) + arena.balance(arena.aggregator)
    arena.at_before(410)
    arena.anchor()
    arena.at_before(300)
    arena.signal(Phase.YELLOW)
    odd = {"price_ueur_kwh": 333, "quantities": (7,)}
    request = arena.request(**odd).digest(arena.domain)
    arena.send(arena.publishing(**odd), arena.dso)
    arena.at_before(275)
    for salt in (1, 2, 3):
        terms = {"request": request, "quantity": 2, "limit_price_ueur_kwh": 333, "salt": salt}
        offer = arena.open_offer(**terms)
        arena.send(arena.auction.functions.cancelOffer(offer, b""), arena.aggregator)
    assert arena.auction.functions.availableOf(request, arena.interval).call() == 7
    arena.at(arena.before(190, arena.interval) + 1)
    arena.send(arena.auction.functions.reclaimRequest(request, arena.interval), arena.anyone)
    assert arena.balance(arena.dso) + arena.balance(arena.aggregator) == before


def test_a_trade_of_one_watt_hour_rounds_toward_the_payer(arena: Arena) -> None:
    """1 Wh at 999 micro-euro per kWh is less than a micro-euro: nothing is reserved, paid or kept."""
    before = arena.balance(arena.aggregator)
    play(arena, Side.BUY, [Trade(999, 1, 1)], 1)
    assert arena.seat_balance(1) == 0
    assert arena.balance(arena.aggregator) == before
    arena.assert_solvent()


def test_the_smallest_amount_is_paid_and_is_paid_out_once(arena: Arena) -> None:
    """1 Wh at 1000 micro-euro per kWh: one micro-euro, as good as any other."""
    play(arena, Side.BUY, [Trade(1000, 1, 1)], 1)
    assert arena.seat_balance(1) == 1
    paying_out = arena.settlement.functions.payOut(nanogrid(1))
    arena.send(paying_out, arena.anyone)
    assert arena.token.functions.balanceOf(arena.owner(1)).call() == 1
    arena.refuse(paying_out, arena.anyone, "NothingToWithdraw")
    arena.assert_solvent()


def test_the_smallest_amount_is_paid_back(arena: Arena) -> None:
    before = everything(arena, 1)
    play(arena, Side.BUY, [Trade(1000, 1, 1)], 1)
    assert arena.seat_balance(1) == 1
    arena.interval += 8 * U
    play(arena, Side.SELL, [Trade(1000, 1, 1)], 1)
    assert arena.seat_balance(1) == 0
    assert everything(arena, 1) == before
    arena.assert_solvent()


def test_the_smallest_amount_is_paid_after_a_hold_too(arena: Arena) -> None:
    """Then the award is booked by itself, and not among those that end as most do."""
    offer = awarded(arena, Side.BUY, [Trade(1000, 1, 1)], 1)
    arena.send(arena.holding(offer, 0), arena.aggregator)
    arena.send(arena.settlement.functions.decideHold(offer, 0, False), arena.referee)
    for_the_wait = arena.seat_balance(1)
    arena.send(arena.settling(offer, {1: 1}), arena.oracle)
    assert arena.seat_balance(1) == for_the_wait + 1
    arena.assert_solvent()


@pytest.mark.parametrize("side", Side)
def test_an_auction_in_dust_leaves_no_dust(arena: Arena, side: Side) -> None:
    before = everything(arena, 3)
    play(arena, side, [Trade(1999, 33, 32), Trade(7, 1, 1), Trade(1500, 21, 0)], 50)
    assert everything(arena, 3) == before
    arena.assert_solvent()
