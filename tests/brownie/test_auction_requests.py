"""MeritOrderAuction: requests and their escrow."""

import pytest
from auction_room import CM_CAPACITY, CM_REALTIME, GREEN, OFFERED, RED, REQUEST_PRICE, REQUESTED, YELLOW, Room, fund
from brownie import reverts
from stage import EUR, NODE, U, thrown


@pytest.fixture(scope="module")
def funded(stage):
    fund(stage)
    return stage


@pytest.fixture
def room(funded):
    room = Room(funded)
    room.anchor()
    room.at(300)
    room.signal(YELLOW)
    return room


def refused(room, error, request=None, sender=None):
    balance = room.stage.settlement.balanceOf(room.stage.dso)
    with reverts(error):
        room.publish(request, sender)
    assert room.stage.settlement.balanceOf(room.stage.dso) == balance


def test_a_signed_request_escrows_each_intervals_money(room):
    stage = room.stage
    room.signal(YELLOW, stage.interval + 2 * U)
    request = room.request(quantities=(REQUESTED, 0, 1))
    transaction = stage.auction.publishRequest(
        request.arguments(), stage.sign(stage.dso, request), {"from": stage.stranger}
    )
    id_ = room.id_of(request)
    first, third = REQUESTED * REQUEST_PRICE // 1000, -(-REQUEST_PRICE // 1000)
    assert transaction.events["RequestPublished"]["escrowUeur"] == first + third
    assert room.request_escrow(id_) == first
    assert room.request_escrow(id_, stage.interval + U) == 0
    assert room.request_escrow(id_, stage.interval + 2 * U) == third
    assert stage.settlement.balanceOf(stage.dso) == 1000 * EUR - first - third
    assert stage.auction.availableOf(id_, stage.interval) == REQUESTED
    terms, dso, published_at = stage.auction.requestOf(id_)
    assert (terms["node"], terms["priceUeurKwh"], list(terms["quantities"])) == (NODE, REQUEST_PRICE, [REQUESTED, 0, 1])
    assert dso == stage.dso
    assert published_at == stage.before(300)


def test_an_intervals_escrow_is_rounded_up(room):
    id_ = room.publish(room.request(price_ueur_kwh=333, quantities=(1,)))
    assert room.request_escrow(id_) == 1


def test_only_the_nodes_dso_publishes(room):
    refused(room, thrown("NotDsoOfNode", NODE, room.stage.other_dso), sender=room.stage.other_dso)


def test_a_dso_that_lost_its_role_publishes_nothing(room):
    stage = room.stage
    stage.registry.revokeRole(stage.registry.DSO_ROLE(), stage.dso, {"from": stage.operator})
    refused(room, thrown("NotDsoOfNode", NODE, stage.dso))


def test_a_request_needs_its_money(room):
    stage = room.stage
    needed = 10_000_000 * REQUEST_PRICE // 1000
    refused(
        room,
        thrown("InsufficientBalance", stage.dso, 1000 * EUR, needed),
        room.request(quantities=(10_000_000,)),
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"product": CM_CAPACITY}, thrown("InvalidProduct", CM_CAPACITY)),
        ({"product": 6}, thrown("InvalidProduct", 6)),
        ({"direction": 2}, thrown("InvalidDirection", 2)),
        ({"price_ueur_kwh": 0}, thrown("PriceOutOfRange", 0)),
        ({"price_ueur_kwh": 2**29}, thrown("PriceOutOfRange", 2**29)),
        ({"first_interval": 901}, thrown("NotAnInterval", 901)),
        ({"quantities": ()}, thrown("EmptyQuantity")),
        ({"quantities": (0, 0)}, thrown("EmptyQuantity")),
    ],
)
def test_a_misshapen_request_is_refused(room, changes, error):
    refused(room, error, room.request(**changes))


def test_a_request_is_published_once(room):
    id_ = room.publish()
    refused(room, thrown("RequestExists", id_))


@pytest.mark.parametrize("phase", [GREEN, RED])
def test_a_request_needs_yellow(room, phase):
    room.signal(phase)
    refused(room, thrown("NodeNotYellow", NODE, room.stage.interval, phase))


def test_each_interval_with_a_need_must_be_yellow(room):
    later = room.stage.interval + U
    refused(room, thrown("NodeNotYellow", NODE, later, GREEN), room.request(quantities=(1, 1)))


@pytest.mark.parametrize("product", [0, CM_REALTIME])
def test_a_paused_node_takes_no_request(room, product):
    room.stage.registry.setPaused(NODE, product, True, {"from": room.stage.operator})
    refused(room, thrown("Paused", NODE, CM_REALTIME))


def test_a_request_that_nobody_could_answer_is_too_late(room):
    room.stage.at(room.stage.before(190) + 1)
    refused(room, thrown("RequestTooLate", room.stage.interval))


def test_what_nobody_accepted_goes_back_to_the_dso(room):
    stage = room.stage
    id_ = room.publish()
    room.open()
    stage.at(stage.before(190))
    with reverts(thrown("RequestStillOpen", id_, stage.interval)):
        stage.auction.reclaimRequest(id_, stage.interval, {"from": stage.stranger})
    stage.at(stage.before(190) + 1)
    stage.auction.reclaimRequest(id_, stage.interval, {"from": stage.stranger})
    held = OFFERED * REQUEST_PRICE // 1000
    assert stage.settlement.balanceOf(stage.dso) == 1000 * EUR - held
    assert stage.auction.availableOf(id_, stage.interval) == 0
    with reverts(thrown("NothingToReclaim", id_, stage.interval)):
        stage.auction.reclaimRequest(id_, stage.interval, {"from": stage.stranger})


def test_what_an_offer_gives_back_later_is_reclaimed_too(room):
    stage = room.stage
    id_ = room.publish()
    offer = room.open()
    stage.at(stage.interval)
    stage.auction.expireOffer(offer, {"from": stage.stranger})
    stage.auction.reclaimRequest(id_, stage.interval, {"from": stage.stranger})
    assert stage.settlement.balanceOf(stage.dso) == 1000 * EUR


def test_an_unknown_request_has_nothing_to_reclaim(room):
    with reverts(thrown("UnknownRequest", b"\x05" * 32)):
        room.auction.reclaimRequest(b"\x05" * 32, room.stage.interval, {"from": room.stage.stranger})


def test_a_signature_of_another_message_is_another_signer(room):
    stage = room.stage
    signature = stage.sign(stage.dso, room.request(salt=2))
    with reverts():
        stage.auction.publishRequest(room.request().arguments(), signature, {"from": stage.stranger})
    assert room.request_escrow(room.id_of(room.request())) == 0
