"""ParticipantRegistry: who takes part, in which role, and who signs for a nanogrid."""

from datetime import UTC, datetime

import pytest
from brownie import reverts, web3
from stage import (
    EMERGENCY_PRICE_UEUR_KWH,
    EUR,
    NO_SIGNATURE,
    NODE,
    PORTFOLIO,
    RATED_POWER_W,
    ZERO,
    U,
    role_id,
    thrown,
)

from market.domain.messages import Delegation

LARGEST_WH = 2 * RATED_POWER_W * U // 3600
NEVER = 2**32 - 1


def delegation(stage, **changes):
    fields = {
        "nanogrid": stage.seat(0),
        "signer": stage.delegate.address,
        "expiry_day": 40_000,
        "lowest_price_ueur_kwh": 50_000,
        "largest_quantity": 800,
        "cover_cents": 20,
        "nonce": 0,
    }
    return Delegation(**(fields | changes))


# ROLES


def test_the_operator_is_admin_of_the_markets_roles_and_governance_of_the_operators(stage):
    for role in ("ORACLE", "REFEREE", "DSO", "TSO", "AGGREGATOR", "AUDITOR", "PROSUMER"):
        assert stage.registry.getRoleAdmin(role_id(role)) == "0x" + role_id("OPERATOR").hex()
    assert stage.registry.getRoleAdmin(role_id("OPERATOR")) == "0x" + bytes(32).hex()
    assert stage.registry.defaultAdmin() == stage.operator


def test_governance_changes_hands_in_two_steps_only(stage):
    stage.registry.beginDefaultAdminTransfer(stage.stranger, {"from": stage.operator})
    _, schedule = stage.registry.pendingDefaultAdmin()
    with reverts(thrown("AccessControlEnforcedDefaultAdminDelay", schedule)):
        stage.registry.acceptDefaultAdminTransfer({"from": stage.stranger})
    stage.at(schedule + 1)
    stage.registry.acceptDefaultAdminTransfer({"from": stage.stranger})
    assert stage.registry.defaultAdmin() == stage.stranger


@pytest.mark.parametrize(
    "call",
    [
        lambda stage, sender: stage.registry.registerNode(8, stage.dso, "", sender),
        lambda stage, sender: stage.registry.setNodeDso(NODE, stage.other_dso, sender),
        lambda stage, sender: stage.registry.setPaused(NODE, 0, True, sender),
        lambda stage, sender: stage.registry.registerPortfolio(8, NODE, stage.aggregator, "", sender),
        lambda stage, sender: stage.registry.setPortfolioAggregator(PORTFOLIO, stage.aggregator, sender),
        lambda stage, sender: stage.registry.registerSeat(PORTFOLIO, stage.stranger, 1, 1, NEVER, sender),
        lambda stage, sender: stage.registry.closeSeat(stage.seat(0), NEVER - 1, sender),
        lambda stage, sender: stage.registry.reinstateSeat(stage.seat(0), sender),
        lambda stage, sender: stage.registry.changeSeatOwner((stage.seat(0), stage.stranger, 0), NO_SIGNATURE, sender),
        lambda stage, sender: stage.registry.announceSeatTransfer(stage.seat(0), stage.stranger, sender),
        lambda stage, sender: stage.registry.completeSeatTransfer(stage.seat(0), sender),
        lambda stage, sender: stage.registry.grantRole(role_id("ORACLE"), stage.stranger, sender),
    ],
)
def test_only_the_operator_registers(stage, call):
    with reverts(thrown("RoleMissing", stage.stranger, role_id("OPERATOR"))):
        call(stage, {"from": stage.stranger})


# NODES AND PORTFOLIOS


def test_a_node_belongs_to_an_account_with_the_role_of_a_dso(stage):
    with reverts(thrown("RoleMissing", stage.stranger, role_id("DSO"))):
        stage.registry.registerNode(8, stage.stranger, "", {"from": stage.operator})
    with reverts(thrown("RoleMissing", stage.stranger, role_id("DSO"))):
        stage.registry.setNodeDso(NODE, stage.stranger, {"from": stage.operator})
    transaction = stage.registry.setNodeDso(NODE, stage.other_dso, {"from": stage.operator})
    assert transaction.events["NodeDsoChanged"] == {"node": NODE, "dso": stage.other_dso}
    assert tuple(stage.registry.nodeOf(NODE)) == (stage.other_dso, True)


def test_a_node_is_registered_once(stage):
    with reverts(thrown("NodeExists", NODE)):
        stage.registry.registerNode(NODE, stage.dso, "", {"from": stage.operator})


def test_what_is_not_registered_cannot_be_changed(stage):
    by_operator = {"from": stage.operator}
    with reverts(thrown("UnknownNode", 9)):
        stage.registry.setNodeDso(9, stage.dso, by_operator)
    with reverts(thrown("UnknownNode", 9)):
        stage.registry.setPaused(9, 0, True, by_operator)
    with reverts(thrown("UnknownNode", 9)):
        stage.registry.registerPortfolio(9, 9, stage.aggregator, "", by_operator)
    with reverts(thrown("UnknownPortfolio", 9)):
        stage.registry.setPortfolioAggregator(9, stage.aggregator, by_operator)
    with reverts(thrown("UnknownPortfolio", 9)):
        stage.registry.registerSeat(9, stage.stranger, 1, 1, NEVER, by_operator)
    for call in (stage.registry.reinstateSeat,):
        with reverts(thrown("UnknownSeat", stage.seat(9))):
            call(stage.seat(9), by_operator)
    with reverts(thrown("UnknownSeat", stage.seat(9))):
        stage.registry.closeSeat(stage.seat(9), NEVER - 1, by_operator)
    with reverts(thrown("UnknownSeat", stage.seat(9))):
        stage.registry.changeSeatOwner((stage.seat(9), stage.stranger, 0), NO_SIGNATURE, by_operator)
    with reverts(thrown("UnknownSeat", stage.seat(9))):
        stage.registry.announceSeatTransfer(stage.seat(9), stage.stranger, by_operator)
    with reverts(thrown("UnknownSeat", stage.seat(9))):
        stage.registry.setDelegate(delegation(stage, nanogrid=stage.seat(9)).arguments(), b"", {"from": stage.stranger})


def test_a_portfolio_is_one_aggregators_at_one_node(stage):
    with reverts(thrown("PortfolioExists", PORTFOLIO)):
        stage.registry.registerPortfolio(PORTFOLIO, NODE, stage.aggregator, "", {"from": stage.operator})
    with reverts(thrown("RoleMissing", stage.stranger, role_id("AGGREGATOR"))):
        stage.registry.registerPortfolio(9, NODE, stage.stranger, "", {"from": stage.operator})
    assert tuple(stage.registry.portfolioOf(PORTFOLIO)) == (NODE, 3, 3 * RATED_POWER_W, stage.aggregator)


def test_an_aggregator_can_change_its_key(stage):
    with reverts(thrown("RoleMissing", stage.stranger, role_id("AGGREGATOR"))):
        stage.registry.setPortfolioAggregator(PORTFOLIO, stage.stranger, {"from": stage.operator})
    stage.registry.grantRole(role_id("AGGREGATOR"), stage.stranger, {"from": stage.operator})
    transaction = stage.registry.setPortfolioAggregator(PORTFOLIO, stage.stranger, {"from": stage.operator})
    assert transaction.events["PortfolioAggregatorChanged"]["aggregator"] == stage.stranger
    assert stage.registry.portfolioOf(PORTFOLIO)[3] == stage.stranger


def test_a_pause_of_all_products_pauses_each(stage):
    stage.registry.setPaused(NODE, 3, True, {"from": stage.operator})
    assert stage.registry.isPaused(NODE, 3)
    assert not stage.registry.isPaused(NODE, 1)
    stage.registry.setPaused(NODE, 0, True, {"from": stage.operator})
    assert stage.registry.isPaused(NODE, 1)
    stage.registry.setPaused(NODE, 0, False, {"from": stage.operator})
    assert stage.registry.isPaused(NODE, 3)
    assert not stage.registry.isPaused(NODE, 1)


# SEATS


def test_a_seat_gets_the_next_index_and_its_owner_signs_for_it(stage):
    transaction = stage.register_seat(stage.stranger)
    nanogrid = stage.seat(3)
    assert transaction.events["SeatRegistered"]["nanogrid"] == nanogrid
    start = stage.start + U
    assert tuple(stage.registry.seatOf(nanogrid)) == (
        stage.stranger, start, NEVER, RATED_POWER_W, EMERGENCY_PRICE_UEUR_KWH, 0, False,
    )  # fmt: skip
    assert tuple(stage.registry.signerOf(nanogrid)) == (stage.stranger, 2**16 - 1, 0, LARGEST_WH, 0)
    assert stage.registry.hasRole(role_id("PROSUMER"), stage.stranger)
    assert not stage.registry.isSeatActive(nanogrid, start - U)
    assert stage.registry.isSeatActive(nanogrid, start)


def test_a_seat_begins_in_the_future_and_has_an_owner(stage):
    with reverts(thrown("IntervalNotInFuture", stage.start)):
        stage.registry.registerSeat(PORTFOLIO, stage.stranger, 1, 1, stage.start, {"from": stage.operator})
    with reverts(thrown("ZeroAddress")):
        stage.registry.registerSeat(PORTFOLIO, ZERO, 1, 1, NEVER, {"from": stage.operator})


def test_a_closed_seat_counts_no_more_and_is_closed_once(stage):
    until = stage.interval
    stage.registry.closeSeat(stage.seat(0), until, {"from": stage.operator})
    assert stage.registry.isSeatActive(stage.seat(0), until - U)
    assert not stage.registry.isSeatActive(stage.seat(0), until)
    assert stage.registry.portfolioOf(PORTFOLIO)[2] == 2 * RATED_POWER_W
    with reverts(thrown("SeatAlreadyClosed", stage.seat(0), until)):
        stage.registry.closeSeat(stage.seat(0), until + U, {"from": stage.operator})
    with reverts(thrown("IntervalNotInFuture", stage.start)):
        stage.registry.closeSeat(stage.seat(1), stage.start, {"from": stage.operator})


def test_a_portfolio_has_65535_indices(stage):
    # Too many to register one by one: the count is written into the storage, in the slot found by its content.
    registry = stage.registry.address
    words = {slot: int(web3.eth.get_storage_at(registry, slot).hex(), 16) for slot in map(portfolio_slot, range(32))}
    slot, word = next((slot, word) for slot, word in words.items() if word)
    assert word & 2**48 - 1 == 3 << 32 | NODE  # seatCount and node
    full = (word | 0xFFFF << 32).to_bytes(32, "big")
    web3.provider.make_request("anvil_setStorageAt", [registry, hex(slot), "0x" + full.hex()])
    with reverts(thrown("PortfolioFull", PORTFOLIO)):
        stage.register_seat(stage.stranger)


def portfolio_slot(base):
    return int.from_bytes(web3.keccak(PORTFOLIO.to_bytes(32, "big") + base.to_bytes(32, "big")), "big")


def test_the_old_owner_is_paid_what_the_seat_earned(stage):
    month = capacity_month(stage)
    contract = (stage.seat(0), 2, month, 1, 1000, 1000, 1)
    transaction = stage.capacity_register.registerContract(contract, NO_SIGNATURE, {"from": stage.dso})
    stage.deposit(stage.dso, 1000 * EUR)
    stage.at(stage.start + 70 * 86_400)
    stage.capacity_register.payAvailability(transaction.return_value, month, {"from": stage.stranger})
    earned = stage.settlement.seatBalance(stage.seat(0))
    stage.transfer()
    assert stage.token.balanceOf(stage.owners[0]) == earned > 0
    assert stage.settlement.seatBalance(stage.seat(0)) == 0


def capacity_month(stage):
    """The month after the one in which the stage begins."""
    begin = datetime.fromtimestamp(stage.start, UTC)
    return begin.year * 12 + begin.month


def test_a_new_owner_starts_without_balance_and_without_delegate(stage):
    stage.fund_bond(0, 2 * EUR)
    stage.registry.setDelegate(delegation(stage).arguments(), NO_SIGNATURE, {"from": stage.owners[0]})
    stage.transfer(nonce=1)
    assert stage.registry.seatOf(stage.seat(0))[0] == stage.stranger
    assert tuple(stage.registry.signerOf(stage.seat(0))) == (stage.stranger, 2**16 - 1, 0, LARGEST_WH, 25)
    assert stage.registry.ownerNonce(stage.seat(0)) == 2


def test_only_settlement_sets_covers_and_suspends(stage):
    for sender in (stage.stranger, stage.operator):
        with reverts(thrown("OnlySettlement", sender)):
            stage.registry.setCover(stage.seat(0), 1, {"from": sender})
        with reverts(thrown("OnlySettlement", sender)):
            stage.registry.suspendSeat(stage.seat(0), bytes(32), {"from": sender})


# DELEGATES


def test_an_owner_seats_a_delegate_within_its_cover_by_a_message_that_anyone_may_carry(stage):
    stage.fund_bond(0, 2 * EUR)
    message = delegation(stage)
    stage.registry.setDelegate(message.arguments(), stage.sign(stage.owners[0], message), {"from": stage.stranger})
    assert tuple(stage.registry.signerOf(stage.seat(0))) == (stage.delegate, 40_000, 50_000, 800, 20)
    with reverts(thrown("StaleNonce", stage.seat(0), 0, 1)):
        stage.registry.setDelegate(message.arguments(), stage.sign(stage.owners[0], message), {"from": stage.stranger})


@pytest.mark.parametrize("revoked_by", ["signer 0", "the owner itself"])
def test_an_owner_revokes_its_delegate(stage, revoked_by):
    stage.fund_bond(0, 2 * EUR)
    owner = {"from": stage.owners[0]}
    stage.registry.setDelegate(delegation(stage).arguments(), NO_SIGNATURE, owner)
    signer = ZERO if revoked_by == "signer 0" else stage.owners[0].address
    revocation = delegation(stage, signer=signer, nonce=1)
    stage.registry.setDelegate(revocation.arguments(), NO_SIGNATURE, owner)
    assert tuple(stage.registry.signerOf(stage.seat(0))) == (stage.owners[0], 2**16 - 1, 0, LARGEST_WH, 25)


def test_nobody_else_seats_a_delegate(stage):
    message = delegation(stage, cover_cents=0)
    with reverts(thrown("NotSeatOwner", stage.seat(0), stage.owners[1])):
        stage.registry.setDelegate(message.arguments(), stage.sign(stage.owners[1], message), {"from": stage.stranger})
    with reverts(thrown("NotSeatOwner", stage.seat(0), stage.stranger)):
        stage.registry.setDelegate(message.arguments(), NO_SIGNATURE, {"from": stage.stranger})


def test_a_malleable_or_short_signature_is_refused(stage):
    message = delegation(stage, cover_cents=0)
    signature = stage.sign(stage.owners[0], message)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    mirrored = signature[:32] + high_s + bytes((55 - signature[64],))
    with reverts(thrown("ECDSAInvalidSignatureS", high_s)):
        stage.registry.setDelegate(message.arguments(), mirrored, {"from": stage.stranger})
    with reverts(thrown("ECDSAInvalidSignatureLength", 64)):
        stage.registry.setDelegate(message.arguments(), signature[:64], {"from": stage.stranger})


def test_a_delegate_is_held_to_the_seats_cover_and_swing(stage):
    stage.fund_bond(0, 2 * EUR)
    owner = {"from": stage.owners[0]}
    with reverts(thrown("LimitsTooWide", stage.seat(0), 26, 25)):
        stage.registry.setDelegate(delegation(stage, cover_cents=26).arguments(), NO_SIGNATURE, owner)
    stage.registry.setDelegate(delegation(stage, largest_quantity=2**24 - 1).arguments(), NO_SIGNATURE, owner)
    assert stage.registry.signerOf(stage.seat(0))[3] == LARGEST_WH


def test_the_cover_follows_the_bond_and_a_delegates_never_rises_by_itself(stage):
    owner = {"from": stage.owners[0]}
    stage.fund_bond(0, 2 * EUR)
    assert stage.registry.signerOf(stage.seat(0))[4] == 25  # an eighth of 2 euro, in cents
    stage.registry.setDelegate(delegation(stage).arguments(), NO_SIGNATURE, owner)
    stage.settlement.startUnbonding((stage.seat(0), 1 * EUR, 0), NO_SIGNATURE, owner)
    assert stage.registry.signerOf(stage.seat(0))[4] == 12
    assert stage.registry.seatOf(stage.seat(0))[5] == 12
    stage.fund_bond(0, 8 * EUR)
    assert stage.registry.signerOf(stage.seat(0))[4] == 12
    assert stage.registry.seatOf(stage.seat(0))[5] == 112


def test_a_lowest_price_that_no_bid_can_have_is_refused(stage):
    message = delegation(stage, cover_cents=0, lowest_price_ueur_kwh=2**29)
    with reverts(thrown("PriceLimitOutOfRange", stage.seat(0), 2**29)):
        stage.registry.setDelegate(message.arguments(), NO_SIGNATURE, {"from": stage.owners[0]})


def signers_slot(stage):
    record = bytes(10) + (stage.seat(0) & 0xFFFF).to_bytes(2, "big")
    return int.from_bytes(bytes(stage.registry.seatSignersOf(PORTFOLIO, record, 12)), "big")


def test_the_signers_slot_says_whether_the_seat_is_active_for_good(stage):
    unbounded = 1 << 253
    stage.at(stage.interval)
    stage.registry.refreshSeats([stage.seat(0)], {"from": stage.stranger})
    assert signers_slot(stage) & unbounded
    stage.registry.closeSeat(stage.seat(0), stage.interval + 200 * U, {"from": stage.operator})
    assert not signers_slot(stage) & unbounded


def test_a_seat_that_nobody_registered_cannot_be_refreshed(stage):
    with reverts(thrown("UnknownSeat", PORTFOLIO << 16 | 999)):
        stage.registry.refreshSeats([PORTFOLIO << 16 | 999], {"from": stage.stranger})
