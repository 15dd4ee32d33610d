"""CapacityRegister: who is reserved when, and the pay for availability."""

from datetime import UTC, datetime

import pytest
from brownie import reverts
from stage import EUR, NO_SIGNATURE, NODE, PORTFOLIO, role_id, thrown

from market.domain.messages import CapacityContract, Forfeit

CM_REALTIME, CM_CAPACITY, VC_REALTIME, VC_CAPACITY_Q, VC_EMERGENCY_P, INTERNAL = range(1, 7)
POWER_W = 3000
PRICE_UEUR_KW_H = 4000


def month_of(epoch_s):
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return moment.year * 12 + moment.month - 1


def start_of(month):
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())


def capacity_contract(stage, **changes):
    fields = {
        "nanogrid": stage.seat(1),
        "product": CM_CAPACITY,
        "first_month": month_of(stage.start) + 1,
        "months": 12,
        "power_w": POWER_W,
        "availability_price_ueur_kw_h": PRICE_UEUR_KW_H,
        "salt": 1,
    }
    return CapacityContract(**(fields | changes))


def register(stage, **changes):
    message = capacity_contract(stage, **changes)
    stage.capacity_register.registerContract(message.arguments(), NO_SIGNATURE, {"from": stage.dso})
    return message.digest(stage.domain(message))


# RESERVATIONS


def test_a_signed_contract_reserves_each_of_its_months(stage):
    message = capacity_contract(stage)
    transaction = stage.capacity_register.registerContract(
        message.arguments(), stage.sign(stage.dso, message), {"from": stage.stranger}
    )
    contract_id = message.digest(stage.domain(message))
    assert bytes(transaction.events["CapacityContractRegistered"]["id"]) == contract_id
    terms, dso = stage.capacity_register.contractOf(contract_id)
    assert (tuple(terms), dso) == (message.arguments(), stage.dso)
    first = message.first_month
    reserved = [
        stage.capacity_register.isReserved(stage.seat(1), CM_REALTIME, start_of(month))
        for month in (first - 1, first, first + 11, first + 12)
    ]
    assert reserved == [False, True, True, False]


@pytest.mark.parametrize(("capacity", "auctioned"), [(CM_CAPACITY, CM_REALTIME), (VC_CAPACITY_Q, VC_REALTIME)])
def test_a_capacity_product_reserves_for_its_real_time_product_only(stage, capacity, auctioned):
    register(stage, product=capacity)
    month = month_of(stage.start) + 1
    for product in range(1, 7):
        expected = 1 << 1 if product in (capacity, auctioned) else 0
        assert stage.capacity_register.reservedWord(PORTFOLIO, product, month, 0) == expected
        for of_month, held in ((month - 1, 0), (month, expected), (month + 12, 0)):
            reservation = stage.capacity_register.reservationOf(PORTFOLIO, product, start_of(of_month))
            assert stage.capacity_register.reservedIn(reservation, 0) == held
            assert stage.capacity_register.reservedIn(reservation, 1) == 0


def test_a_month_that_has_begun_is_frozen(stage):
    month = month_of(stage.start)
    for first_month in (month, month - 1):
        with reverts(thrown("MonthAlreadyBegun", first_month)):
            register(stage, first_month=first_month)
    stage.at(start_of(month + 1))
    with reverts(thrown("MonthAlreadyBegun", month + 1)):
        register(stage)


@pytest.mark.parametrize("first_month", [0, 1, 1970 * 12 - 1, 1970 * 12])
def test_a_month_of_before_the_epoch_has_begun_and_is_no_arithmetic_panic(stage, first_month):
    with reverts(thrown("MonthAlreadyBegun", first_month)):
        register(stage, first_month=first_month)


def test_a_contract_is_registered_once_and_a_month_reserved_once(stage):
    contract_id = register(stage)
    with reverts(thrown("ContractExists", contract_id)):
        register(stage)
    last = month_of(stage.start) + 12
    with reverts(thrown("AlreadyReserved", stage.seat(1), CM_CAPACITY, last)):
        register(stage, salt=2, first_month=last)
    register(stage, salt=2, first_month=last + 1)


def test_only_the_nodes_dso_contracts(stage):
    message = capacity_contract(stage)
    with reverts(thrown("NotDsoOfNode", NODE, stage.other_dso)):
        stage.capacity_register.registerContract(
            message.arguments(), stage.sign(stage.other_dso, message), {"from": stage.dso}
        )
    stage.registry.revokeRole(role_id("DSO"), stage.dso, {"from": stage.operator})
    with reverts(thrown("NotDsoOfNode", NODE, stage.dso)):
        register(stage)


@pytest.mark.parametrize("product", [0, CM_REALTIME, VC_REALTIME, VC_EMERGENCY_P, INTERNAL, 7])
def test_only_capacity_products_are_contracted(stage, product):
    with reverts(thrown("InvalidProduct", product)):
        register(stage, product=product)


def test_a_contract_needs_a_seat_and_a_month(stage):
    with reverts(thrown("UnknownSeat", stage.seat(9))):
        register(stage, nanogrid=stage.seat(9))
    with reverts(thrown("NoMonths")):
        register(stage, months=0)


# AVAILABILITY


def test_a_month_is_paid_when_it_is_over_and_once(stage):
    contract_id = register(stage)
    month = month_of(stage.start) + 1
    stage.deposit(stage.dso, 100_000 * EUR)
    stage.at(start_of(month + 1) - 1)
    with reverts(thrown("MonthNotOver", month)):
        stage.capacity_register.payAvailability(contract_id, month, {"from": stage.stranger})
    stage.at(start_of(month + 1))
    stage.capacity_register.payAvailability(contract_id, month, {"from": stage.stranger})
    hours = (start_of(month + 1) - start_of(month)) // 3600
    assert stage.settlement.seatBalance(stage.seat(1)) == POWER_W * PRICE_UEUR_KW_H * hours // 1000
    with reverts(thrown("AlreadyPaid", contract_id, month)):
        stage.capacity_register.payAvailability(contract_id, month, {"from": stage.stranger})


def test_a_month_that_the_deposit_does_not_reach_can_be_paid_later(stage):
    contract_id = register(stage)
    month = month_of(stage.start) + 1
    stage.at(start_of(month + 1))
    hours = (start_of(month + 1) - start_of(month)) // 3600
    amount = POWER_W * PRICE_UEUR_KW_H * hours // 1000
    with reverts(thrown("InsufficientBalance", stage.dso, 0, amount)):
        stage.capacity_register.payAvailability(contract_id, month, {"from": stage.stranger})
    stage.deposit(stage.dso, amount)
    stage.capacity_register.payAvailability(contract_id, month, {"from": stage.stranger})
    assert stage.settlement.balanceOf(stage.dso) == 0


def test_a_forfeited_month_is_not_paid(stage):
    contract_id = register(stage)
    month = month_of(stage.start) + 1
    message = Forfeit(contract_id, month)
    with reverts(thrown("NotDsoOfNode", NODE, stage.stranger)):
        stage.capacity_register.forfeitAvailability(contract_id, month, NO_SIGNATURE, {"from": stage.stranger})
    stage.capacity_register.forfeitAvailability(
        contract_id, month, stage.sign(stage.dso, message), {"from": stage.stranger}
    )
    stage.at(start_of(month + 1))
    with reverts(thrown("AlreadyPaid", contract_id, month)):
        stage.capacity_register.payAvailability(contract_id, month, {"from": stage.stranger})


def test_only_months_of_a_contract_are_paid(stage):
    contract_id = register(stage)
    first = month_of(stage.start) + 1
    for month in (first - 1, first + 12):
        with reverts(thrown("MonthNotInContract", contract_id, month)):
            stage.capacity_register.payAvailability(contract_id, month, {"from": stage.stranger})
    with reverts(thrown("UnknownContract", bytes(32))):
        stage.capacity_register.payAvailability(bytes(32), first, {"from": stage.stranger})
