"""MeritOrderAuction: opening, cancelling and expiring offers, and their escrow."""

import pytest
from auction_room import (
    CANCELLED,
    CM_CAPACITY,
    CM_REALTIME,
    EXPIRED,
    FINAL,
    GREEN,
    INTERNAL,
    LIMIT_PRICE,
    NO_REQUEST,
    OFFERED,
    OPEN,
    RATED_WH,
    RED,
    REQUEST_PRICE,
    REQUESTED,
    SELL,
    UP,
    VC_REALTIME,
    YELLOW,
    Room,
    fund,
)
from brownie import reverts
from stage import EUR, NODE, PORTFOLIO, U, role_id, thrown

from market.domain.messages import Cancellation

OFFER_ESCROW = OFFERED * REQUEST_PRICE // 1000


@pytest.fixture(scope="module")
def funded(stage):
    fund(stage)
    return stage


@pytest.fixture
def room(funded):
    return Room(funded)


def refused(room, error, sender=None, **changes):
    offer = room.offer(**changes)
    with reverts(error):
        room.auction.openOffer(offer.arguments(), b"", {"from": sender or room.stage.aggregator})
    assert room.status(room.id_of(offer)) == 0


# OPENING


def test_a_signed_offer_takes_its_part_of_the_requests_money(room):
    stage, request = room.stage, room.ready()
    offer = room.offer()
    transaction = stage.auction.openOffer(
        offer.arguments(), stage.sign(stage.aggregator, offer), {"from": stage.stranger}
    )
    id_ = room.id_of(offer)
    assert bytes(transaction.events["OfferOpened"]["offer"]) == id_
    assert stage.settlement.escrowOf(id_) == OFFER_ESCROW
    assert room.request_escrow(request) == REQUESTED * REQUEST_PRICE // 1000 - OFFER_ESCROW
    assert stage.auction.availableOf(request, stage.interval) == REQUESTED - OFFERED
    assert bytes(stage.auction.pendingOffer(PORTFOLIO, stage.interval, 0)) == id_
    terms, state = stage.auction.offerOf(id_), stage.auction.stateOf(id_)
    assert bytes(terms["request"]) == request
    assert terms["quantity"] == OFFERED
    assert state["status"] == OPEN
    assert state["openedAt"] == transaction.timestamp
    assert state["escrowUeur"] == OFFER_ESCROW
    assert state["aggregator"] == stage.aggregator


def test_an_internal_purchase_is_escrowed_by_the_aggregator(room):
    id_ = room.opened_internally()
    escrow = OFFERED * LIMIT_PRICE // 1000
    assert room.stage.settlement.escrowOf(id_) == escrow
    assert room.stage.settlement.balanceOf(room.stage.aggregator) == 1000 * EUR - escrow


def test_an_internal_sale_needs_no_escrow(room):
    id_ = room.opened_internally(side=SELL)
    assert room.stage.settlement.escrowOf(id_) == 0
    assert room.stage.settlement.balanceOf(room.stage.aggregator) == 1000 * EUR


def test_an_internal_purchase_needs_its_money(room):
    stage = room.stage
    room.anchor()
    needed = OFFERED * (2**29 - 1) // 1000
    stage.settlement.withdraw((stage.aggregator, 999 * EUR, 0), b"", {"from": stage.aggregator})
    refused(
        room,
        thrown("InsufficientBalance", stage.aggregator, EUR, needed),
        request=NO_REQUEST,
        limit_price_ueur_kwh=2**29 - 1,
    )


def test_only_the_portfolios_aggregator_opens(room):
    room.ready()
    refused(room, thrown("NotAggregatorOfPortfolio", PORTFOLIO, room.stage.stranger), sender=room.stage.stranger)


def test_an_aggregator_that_lost_its_role_opens_nothing(room):
    stage = room.stage
    room.ready()
    stage.registry.revokeRole(role_id("AGGREGATOR"), stage.aggregator, {"from": stage.operator})
    refused(room, thrown("NotAggregatorOfPortfolio", PORTFOLIO, stage.aggregator))


def test_an_offer_is_opened_once(room):
    id_ = room.opened()
    with reverts(thrown("OfferExists", id_)):
        room.open()


def test_one_offer_that_is_not_final_per_portfolio_interval_and_kind(room):
    stage, id_ = room.stage, room.opened()
    refused(room, thrown("OfferPending", PORTFOLIO, stage.interval, 0, id_), salt=2)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"side": 2}, thrown("InvalidSide", 2)),
        ({"direction": 2}, thrown("InvalidDirection", 2)),
        ({"side": SELL}, thrown("SellNeedsInternal")),
        ({"product": INTERNAL}, thrown("InvalidProduct", INTERNAL)),
        ({"product": CM_CAPACITY}, thrown("InvalidProduct", CM_CAPACITY)),
        ({"limit_price_ueur_kwh": 0}, thrown("PriceOutOfRange", 0)),
        ({"limit_price_ueur_kwh": 2**29}, thrown("PriceOutOfRange", 2**29)),
        ({"limit_price_ueur_kwh": REQUEST_PRICE + 1}, thrown("LimitAboveRequest", REQUEST_PRICE + 1, REQUEST_PRICE)),
        ({"interval": 901}, thrown("NotAnInterval", 901)),
        ({"quantity": 0}, thrown("EmptyQuantity")),
        ({"quantity": REQUESTED + 1}, thrown("QuantityBeyondRequest", REQUESTED + 1, REQUESTED)),
        ({"quantity": RATED_WH + 1}, thrown("QuantityBeyondPortfolio", RATED_WH + 1, RATED_WH)),
        ({"request": b"\x05" * 32}, thrown("UnknownRequest", b"\x05" * 32)),
    ],
)
def test_a_misshapen_offer_is_refused(room, changes, error):
    room.ready()
    refused(room, error, **changes)


@pytest.mark.parametrize("changes", [{"direction": UP}, {"product": VC_REALTIME}])
def test_an_offer_must_be_what_its_request_asks_for(room, changes):
    request = room.ready()
    refused(room, thrown("RequestMismatch", request), **changes)


def test_internal_offers_have_their_own_product(room):
    room.anchor()
    refused(room, thrown("InvalidProduct", CM_REALTIME), request=NO_REQUEST, product=CM_REALTIME)


def test_an_interval_that_the_request_does_not_name_has_nothing_to_accept(room):
    stage = room.stage
    room.ready()
    room.signal(YELLOW, stage.interval + U)
    refused(
        room,
        thrown("QuantityBeyondRequest", OFFERED, 0),
        interval=stage.interval + U,
    )


def test_a_node_that_turned_green_takes_no_answer(room):
    room.ready()
    room.signal(GREEN)
    refused(room, thrown("NodeNotYellow", NODE, room.stage.interval, GREEN))


@pytest.mark.parametrize("internal", [False, True])
def test_a_node_on_red_takes_no_offer(room, internal):
    if internal:
        room.anchor()
    else:
        room.ready()
    room.signal(RED)
    refused(room, thrown("NodeIsRed", NODE, room.stage.interval), **({"request": NO_REQUEST} if internal else {}))


def test_a_paused_node_takes_no_offer(room):
    room.ready()
    room.stage.registry.setPaused(NODE, CM_REALTIME, True, {"from": room.stage.operator})
    refused(room, thrown("Paused", NODE, CM_REALTIME))


# BASELINES AND CALENDAR


@pytest.mark.parametrize("internal", [False, True])
def test_an_offer_needs_anchored_baselines(room, internal):
    stage = room.stage
    stage.at(stage.before(410 if internal else 300))
    if not internal:
        room.signal(YELLOW)
        room.publish()
    refused(
        room,
        thrown("BaselineNotAnchored", PORTFOLIO, stage.interval, 0),
        **({"request": NO_REQUEST} if internal else {}),
    )


@pytest.mark.parametrize("delay", [0, 1])
def test_baselines_must_be_older_than_the_request(room, delay):
    stage = room.stage
    stage.at(stage.before(300))
    room.signal(YELLOW)
    room.publish()
    stage.at(stage.before(300) + delay)
    anchor = (PORTFOLIO, stage.interval, 0, 3, b"\x01" * 32)
    stage.metering.anchorBaselines([anchor], {"from": stage.oracle})
    at = stage.before(300)
    refused(room, thrown("BaselineAnchoredTooLate", PORTFOLIO, stage.interval, at + delay, at))


def test_a_closure_leaves_the_bidders_half_a_unit(room):
    stage = room.stage
    room.ready()
    earliest = stage.before(275) + U // 2
    refused(room, thrown("ClosureTooEarly", earliest - 1, earliest), gate_closure=earliest - 1)
    room.open(gate_closure=earliest)


def test_a_closure_leaves_time_to_clear(room):
    room.ready()
    latest = room.stage.before(140)
    refused(room, thrown("ClosureTooLate", latest + 1, latest), gate_closure=latest + 1)


def test_an_internal_closure_is_before_requests(room):
    room.anchor()
    latest = room.stage.before(345)
    refused(room, thrown("ClosureTooLate", latest + 1, latest), request=NO_REQUEST, gate_closure=latest + 1)


# CANCELLING


def test_a_cancelled_offer_gives_all_back(room):
    stage, id_ = room.stage, room.opened()
    message = Cancellation(id_)
    stage.auction.cancelOffer(id_, stage.sign(stage.aggregator, message), {"from": stage.stranger})
    request = room.id_of(room.request())
    assert room.status(id_) == CANCELLED
    assert stage.settlement.escrowOf(id_) == 0
    assert room.request_escrow(request) == REQUESTED * REQUEST_PRICE // 1000
    assert stage.auction.availableOf(request, stage.interval) == REQUESTED
    room.open(salt=2)


def test_only_the_aggregator_cancels(room):
    id_ = room.opened()
    with reverts(thrown("NotAggregatorOfPortfolio", PORTFOLIO, room.stage.stranger)):
        room.auction.cancelOffer(id_, b"", {"from": room.stage.stranger})


def test_an_offer_with_bids_is_not_cancelled(room):
    id_ = room.opened()
    room.bid(id_, 0)
    with reverts(thrown("OfferHasBids", id_, 1)):
        room.auction.cancelOffer(id_, b"", {"from": room.stage.aggregator})


def test_an_ended_offer_is_not_cancelled_again(room):
    id_ = room.opened()
    room.auction.cancelOffer(id_, b"", {"from": room.stage.aggregator})
    with reverts(thrown("WrongStatus", id_, CANCELLED)):
        room.auction.cancelOffer(id_, b"", {"from": room.stage.aggregator})


def test_an_internal_offers_money_goes_back_to_who_escrowed_it(room):
    stage = room.stage
    id_ = room.opened_internally()
    stage.registry.grantRole(role_id("AGGREGATOR"), stage.stranger, {"from": stage.operator})
    stage.registry.setPortfolioAggregator(PORTFOLIO, stage.stranger, {"from": stage.operator})
    stage.auction.cancelOffer(id_, b"", {"from": stage.stranger})
    assert stage.settlement.balanceOf(stage.aggregator) == 1000 * EUR


# EXPIRY


def test_an_offer_that_nobody_cleared_expires_after_the_deadline(room):
    stage, id_ = room.stage, room.opened()
    room.bid(id_, 0)
    deadline = stage.before(140) + U * 40 // 100
    stage.at(deadline)
    with reverts(thrown("NotExpirable", id_)):
        stage.auction.expireOffer(id_, {"from": stage.stranger})
    stage.at(deadline + 1)
    stage.auction.expireOffer(id_, {"from": stage.stranger})
    assert room.status(id_) == EXPIRED
    assert stage.settlement.escrowOf(id_) == 0
    assert int.from_bytes(stage.auction.pendingOffer(PORTFOLIO, stage.interval, 0), "big") == 0


def test_an_offer_expires_on_red(room):
    id_ = room.opened()
    with reverts(thrown("NotExpirable", id_)):
        room.auction.expireOffer(id_, {"from": room.stage.stranger})
    room.signal(RED)
    room.auction.expireOffer(id_, {"from": room.stage.stranger})
    assert room.status(id_) == EXPIRED


def test_a_cleared_offer_expires_on_red_or_when_delivery_would_begin(room):
    id_ = room.cleared()
    stage = room.stage
    stage.at(stage.interval - 1)
    with reverts(thrown("NotExpirable", id_)):
        stage.auction.expireOffer(id_, {"from": stage.stranger})
    stage.at(stage.interval)
    stage.auction.expireOffer(id_, {"from": stage.stranger})
    assert room.status(id_) == EXPIRED
    assert room.request_escrow(room.id_of(room.request())) == REQUESTED * REQUEST_PRICE // 1000


def test_a_final_offer_does_not_expire(room):
    id_ = room.cleared()
    room.stage.at(room.stage.before(100) + 1)
    room.finalise(id_)
    room.stage.at(room.stage.interval)
    with reverts(thrown("WrongStatus", id_, FINAL)):
        room.auction.expireOffer(id_, {"from": room.stage.stranger})


def test_an_unknown_offer_is_named(room):
    unknown = b"\x05" * 32
    with reverts(thrown("UnknownOffer", unknown)):
        room.auction.expireOffer(unknown, {"from": room.stage.stranger})
    with reverts(thrown("UnknownOffer", unknown)):
        room.auction.cancelOffer(unknown, b"", {"from": room.stage.aggregator})
