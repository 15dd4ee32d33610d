"""Each offer is served by its own gate, whenever the market looks: early, late, again, and after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import select

from market.domain.calendar import Moment
from market.domain.errors import ContractRefused
from market.domain.messages import Bid, BidRefusal, Cancellation
from market.domain.messages import Offer as OfferMessage
from market.domain.products import Direction, Phase, Product, Side
from market.domain.signing import recover_message, sign_message
from market.domain.states import OfferStatus
from market.server import schedule_of
from market.services import bids, clearing, rounds
from market.services.access import Principal
from market.services.bids import OfferClosed
from market.store.facts import BidReceived, BidState
from market.store.projections import Offer, RequestInterval
from tests.chain.world import PORTFOLIO, REQUEST_PRICE_UEUR_KWH, U, before, owner_key
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 8 * U
CALENDAR_GATE = before(T, 140)
EARLY_GATE = before(T, 210)


@pytest.fixture
def open_offer(room: Room) -> Callable[[int], str]:
    """Opens an offer that answers a request, at T - 2.75u, with a gate closure of one's choice."""

    def opened(gate_closure: int) -> str:
        world = room.world
        world.at(before(T, 410))
        world.anchor(T, [0, 0, 0, 0])
        world.at(before(T, 300))
        world.signal(T, Phase.YELLOW, 1)
        request = world.request(T, [2000])
        world.at(before(T, 275))
        message = OfferMessage(
            PORTFOLIO, request, T, Side.BUY, Direction.DOWN, Product.CM_REALTIME, 2000, REQUEST_PRICE_UEUR_KWH,
            gate_closure, 1,
        )  # fmt: skip
        world.decide(world.contracts.auction.functions.openOffer, message, "aggregator")
        room.market.index()
        return "0x" + message.digest(room.market.domain(message)).hex()

    return opened


def receive(room: Room, offer: str, index: int) -> None:
    bid = Bid(bytes.fromhex(offer[2:]), index, 100_000 + index, 500, 0, 0)
    signature = sign_message(owner_key(index), bid, room.market.domain(bid)).hex()
    fields = {"index": index, "price_ueur_kwh": bid.price_ueur_kwh, "quantity": 500, "minimum": 0, "revision": 0}
    [result] = bids.receive(room.market, Principal("0x0"), offer, [fields | {"signature": signature}])
    assert result.refusal is None, result.refusal


def states(room: Room) -> list[str]:
    with room.market.reading() as session:
        return list(session.scalars(select(BidReceived.state).order_by(BidReceived.index)))


def status(room: Room, offer: str) -> OfferStatus:
    with room.market.reading() as session:
        return OfferStatus(session.get_one(Offer, offer).status)


def test_a_round_before_the_moment_neither_posts_nor_ends_anything(
    room: Room, open_offer: Callable[[int], str]
) -> None:
    """What a market does that was killed while bids came in, and starts again: nothing, yet."""
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    rounds.run_due(room.market)
    receive(room, offer, 1)
    assert states(room) == [BidState.RECEIVED, BidState.RECEIVED]
    room.world.at(before(T, 145))
    rounds.run_due(room.market)
    assert states(room) == [BidState.POSTED, BidState.POSTED]


@pytest.mark.parametrize("gate", [CALENDAR_GATE, EARLY_GATE])
def test_an_offer_goes_from_bids_to_result_by_its_own_gate(
    room: Room, open_offer: Callable[[int], str], gate: int
) -> None:
    offer = open_offer(gate)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    seen = []
    while (now_s := rounds.next_moment(room.market, room.world.now_s)) < T:
        room.world.at(now_s)
        rounds.run_due(room.market)
        rounds.run_due(room.market)
        if not seen or seen[-1][1:] != (states(room), status(room, offer)):
            seen.append((now_s - gate, states(room), status(room, offer)))
    assert seen[-3:] == [
        (-U * 5 // 100, [BidState.POSTED], OfferStatus.OPEN),
        (U * 20 // 100, [BidState.POSTED], OfferStatus.CLEARED),
        (U * 47 // 100, [BidState.POSTED], OfferStatus.FINAL),
    ]


def test_bids_that_the_chain_never_saw_are_late_with_a_reason(room: Room, open_offer: Callable[[int], str]) -> None:
    """The market was away while the gate closed."""
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    room.world.at(before(T, 119))
    rounds.run_due(room.market)
    assert states(room) == [BidState.LATE]
    with room.market.reading() as session:
        [bid] = session.scalars(select(BidReceived)).all()
        assert bid.reason == "GATE_CLOSED"
        refusal = bids.refusal_of(room.market, bid)
    assert refusal is not None
    said = BidRefusal(
        bytes.fromhex(bid.digest[2:]), bytes.fromhex(offer[2:]), b"GATE_CLOSED".ljust(32, b"\0"), before(T, 119)
    )
    signature = bytes.fromhex(refusal["signature"][2:])
    assert recover_message(said, room.market.domain(said), signature) == room.market.relayer.address
    assert status(room, offer) is OfferStatus.CLEARED, "without bids there is nothing to award"


def test_a_bid_is_not_refused_while_the_chain_may_have_it_and_the_node_in_use_is_behind(
    room: Room, open_offer: Callable[[int], str]
) -> None:
    """A signed refusal of a bid that is on the chain, and wins there, was possible."""
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    behind = replace(room.market, index=lambda: None)
    room.world.at(before(T, 145))
    bids.post(behind, offer)
    room.world.at(before(T, 119))
    rounds.run_due(behind)
    assert states(room) == [BidState.RECEIVED]
    rounds.run_due(room.market)
    assert states(room) == [BidState.POSTED]
    assert status(room, offer) is OfferStatus.CLEARED


def test_bids_of_a_cancelled_offer_do_not_wait_for_ever(room: Room, open_offer: Callable[[int], str]) -> None:
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    cancellation = Cancellation(bytes.fromhex(offer[2:]))
    room.world.decide(
        lambda _, signature: room.world.contracts.auction.functions.cancelOffer(cancellation.offer, signature),
        cancellation,
        "aggregator",
    )
    rounds.run_due(room.market)
    assert states(room) == [BidState.LATE]
    with room.market.reading() as session:
        assert session.scalars(select(BidReceived.reason)).all() == ["OFFER_CANCELLED"]


def test_a_bid_whose_answer_was_lost_has_its_receipt_also_when_the_api_has_closed(
    room: Room, open_offer: Callable[[int], str]
) -> None:
    """The market died after the commit and came back late: its bidder was told that the bid had not been taken."""
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    room.world.at(before(T, 145))
    receive(room, offer, 0)
    with pytest.raises(OfferClosed):
        receive(room, offer, 1)
    rounds.run_due(room.market)
    assert states(room) == [BidState.POSTED]
    room.world.at(before(T, 119))
    rounds.run_due(room.market)
    receive(room, offer, 0)
    assert status(room, offer) is OfferStatus.CLEARED


def test_guessing_a_sealed_bid_tells_nothing(room: Room, open_offer: Callable[[int], str]) -> None:
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    bid = Bid(bytes.fromhex(offer[2:]), 0, 100_000, 500, 0, 0)
    guess = {"index": 0, "price_ueur_kwh": bid.price_ueur_kwh, "quantity": 500, "minimum": 0, "revision": 0}
    codes = set()
    for price in (100_000, 100_001):
        wrong = Bid(bid.offer, 0, price, 500, 0, 0)
        signature = sign_message(owner_key(9), wrong, room.market.domain(wrong)).hex()
        fields = guess | {"price_ueur_kwh": price, "signature": signature}
        [result] = bids.receive(room.market, Principal("0x1"), offer, [fields])
        assert result.receipt is None
        assert result.refusal is not None
        codes.add(result.refusal.code)
    assert codes == {"bad-signature"}


def test_what_is_on_the_chain_is_not_late_though_the_market_died_before_noting_it(
    room: Room, open_offer: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    room.world.at(before(T, 145))
    with monkeypatch.context() as killed:
        killed.setattr(bids, "record_posted", lambda *_: None)
        rounds.run_due(room.market)
    assert states(room) == [BidState.RECEIVED]
    room.world.at(before(T, 120))
    rounds.run_due(room.market)
    assert states(room) == [BidState.POSTED]


def test_the_api_closes_a_tenth_of_a_unit_before_an_offers_own_gate(
    room: Room, open_offer: Callable[[int], str]
) -> None:
    offer = open_offer(EARLY_GATE)
    room.world.at(EARLY_GATE - U // 10)
    receive(room, offer, 0)
    room.world.at(EARLY_GATE - U // 10 + 1)
    with pytest.raises(OfferClosed):
        receive(room, offer, 1)


def test_after_a_long_absence_offers_expire_and_what_was_not_used_goes_back(
    room: Room, open_offer: Callable[[int], str]
) -> None:
    offer = open_offer(CALENDAR_GATE)
    room.world.at(T + 40 * U)
    rounds.run_due(room.market)
    assert status(room, offer) is OfferStatus.EXPIRED
    with room.market.reading() as session:
        [part] = session.scalars(select(RequestInterval))
    assert part.reclaimed_ueur == 2000 * REQUEST_PRICE_UEUR_KWH // 1000


def test_the_process_wakes_for_every_moment_of_the_calendar_and_for_an_offers_own(
    room: Room, open_offer: Callable[[int], str]
) -> None:
    open_offer(EARLY_GATE)
    schedule = schedule_of(room.market)
    wakes, now_s = [], before(T, 275)
    while (now_s := schedule.next_moment(now_s)) <= T:
        wakes.append(now_s)
    calendar = room.market.calendar
    steps = (Moment.BIDS_POSTED, Moment.CLEARED, Moment.CLEARED_AGAIN, Moment.FINALISED, Moment.DELIVERY_STARTS)
    expected = {calendar.at(step, T + k * U, internal=flag) for step in steps for k in range(-2, 5) for flag in (0, 1)}
    own = {calendar.for_gate(step, EARLY_GATE) for step in steps[:-1]}
    assert set(wakes) == {each for each in expected | own if before(T, 275) < each <= T}


def test_what_comes_back_after_an_early_reclaim_is_reclaimed_too(room: Room, open_offer: Callable[[int], str]) -> None:
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 250))
    receive(room, offer, 0)
    with room.market.reading() as session:
        request = str(session.get_one(Offer, offer).request)
    room.world.at(before(T, 180))
    with pytest.raises(ContractRefused):
        clearing.reclaim_interval(room.market, request, T)
    for moment in (145, 120, 93):
        room.world.at(before(T, moment))
        rounds.run_due(room.market)
    first = clearing.reclaim_interval(room.market, request, T)
    assert first.events, "1,500 Wh were not awarded and came back"
    room.world.at(T)
    rounds.run_due(room.market)
    again = clearing.reclaim_interval(room.market, request, T)
    assert again.transaction_hash == first.transaction_hash, "nothing has come since"
    with room.market.reading() as session:
        assert session.scalars(select(RequestInterval.reclaimed_ueur)).one() == 1500 * REQUEST_PRICE_UEUR_KWH // 1000


def test_one_offers_trouble_stops_no_other(
    room: Room, open_offer: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = open_offer(CALENDAR_GATE)
    room.world.at(before(T, 145))
    done: list[str] = []

    def step(_: object, each: str) -> None:
        done.append(each)
        if len(done) == 1:
            raise OSError("no chain")

    steps = [replace(rounds._STEPS[0], action=step), replace(rounds._STEPS[0], action=step)]
    monkeypatch.setattr(rounds, "_STEPS", tuple(steps))
    with pytest.raises(OSError, match="no chain"):
        rounds.run_due(room.market)
    assert done == [offer, offer]
