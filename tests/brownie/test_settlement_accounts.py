"""Settlement's books: gateways and enrolment, accounts, bonds, escrow, withdrawals."""

import pytest
from brownie import reverts
from eth_account import Account
from stage import EUR, NO_SIGNATURE, PARAMETERS, ZERO, U, role_id, thrown
from trade import assert_books_balance, set_red

from market.domain.messages import Enrolment, Unbonding, Withdrawal

CODE = Account.from_key("0x" + 64 * "1")
PERMIT = {
    "Permit": [
        {"name": "owner", "type": "address"},
        {"name": "spender", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ]
}


# GATEWAYS


def enrol(stage, index=0, gateway=None, code=CODE, nanogrid=None):
    gateway = gateway or stage.delegate
    message = Enrolment(stage.seat(index) if nanogrid is None else nanogrid, gateway.address)
    signatures = stage.sign(Signer(code), message), stage.sign(gateway, message)
    return stage.settlement.enrolGateway(*message.arguments(), *signatures, {"from": stage.stranger})


class Signer:
    """What the stage signs with, of a key that is no account of the node."""

    def __init__(self, account):
        self.private_key = account.key


def open_enrolment(stage, expires_in=U):
    return stage.settlement.openEnrolment(
        stage.seat(0), CODE.address, stage.start + expires_in, {"from": stage.operator}
    )


def test_the_operator_sets_a_gateway(stage):
    transaction = stage.settlement.setGateway(stage.seat(0), stage.delegate, {"from": stage.operator})
    assert transaction.events["GatewayChanged"]["gateway"] == stage.delegate
    assert stage.settlement.gatewayOf(stage.seat(0)) == stage.delegate
    stage.settlement.setGateway(stage.seat(0), ZERO, {"from": stage.operator})
    assert stage.settlement.gatewayOf(stage.seat(0)) == ZERO


def test_only_the_operator_sets_gateways_and_opens_enrolments(stage):
    refused = thrown("RoleMissing", stage.stranger, bytes(role_id("OPERATOR")))
    with reverts(refused):
        stage.settlement.setGateway(stage.seat(0), stage.delegate, {"from": stage.stranger})
    with reverts(refused):
        stage.settlement.openEnrolment(stage.seat(0), CODE.address, stage.start, {"from": stage.stranger})


def test_a_gateway_serves_one_nanogrid(stage):
    with reverts(thrown("GatewayInUse", stage.gateways[1], stage.seat(1))):
        stage.settlement.setGateway(stage.seat(0), stage.gateways[1], {"from": stage.operator})
    stage.settlement.setGateway(stage.seat(1), stage.delegate, {"from": stage.operator})
    stage.settlement.setGateway(stage.seat(0), stage.gateways[1], {"from": stage.operator})
    assert stage.settlement.gatewayOf(stage.seat(0)) == stage.gateways[1]


def test_an_unknown_nanogrid_gets_neither_gateway_nor_bond(stage):
    stage.mint(stage.stranger, EUR)
    with reverts(thrown("UnknownSeat", stage.seat(9))):
        stage.settlement.setGateway(stage.seat(9), stage.delegate, {"from": stage.operator})
    with reverts(thrown("UnknownSeat", stage.seat(9))):
        stage.settlement.openEnrolment(stage.seat(9), CODE.address, stage.start, {"from": stage.operator})
    with reverts(thrown("UnknownSeat", stage.seat(9))):
        stage.settlement.fundBond(stage.seat(9), EUR, {"from": stage.stranger})


def test_a_gateway_enrols_itself_once_by_its_code(stage):
    open_enrolment(stage)
    enrol(stage)
    assert stage.settlement.gatewayOf(stage.seat(0)) == stage.delegate
    with reverts(thrown("EnrolmentUnknown", stage.seat(0), CODE.address)):
        enrol(stage, gateway=stage.stranger)


def test_a_code_is_good_for_its_nanogrid_and_its_time(stage):
    open_enrolment(stage)
    with reverts(thrown("EnrolmentUnknown", stage.seat(1), CODE.address)):
        enrol(stage, index=1)
    other = Account.from_key("0x" + 64 * "2")
    with reverts(thrown("EnrolmentUnknown", stage.seat(0), other.address)):
        enrol(stage, code=other)
    stage.at(stage.start + U + 1)
    with reverts(thrown("EnrolmentExpired", stage.seat(0), stage.start + U)):
        enrol(stage)


def test_an_enrolment_needs_the_gateways_own_signature(stage):
    open_enrolment(stage)
    message = Enrolment(stage.seat(0), stage.delegate.address)
    signatures = stage.sign(Signer(CODE), message), stage.sign(stage.stranger, message)
    with reverts(thrown("NotAccount", stage.delegate, stage.stranger)):
        stage.settlement.enrolGateway(*message.arguments(), *signatures, {"from": stage.stranger})


def test_only_metering_unseats_a_gateway(stage):
    with reverts(thrown("OnlyModule", stage.operator)):
        stage.settlement.unseatGateway(stage.seat(0), {"from": stage.operator})


# DEPOSITS


def permit(stage, account, amount, nonce=0, deadline=2**32):
    """ERC-2612 signature of the token for Settlement."""
    domain = {
        "name": stage.token.name(),
        "version": "1",
        "chainId": stage.domain(Withdrawal(ZERO, 0, 0)).chain_id,
        "verifyingContract": stage.token.address,
    }
    message = {
        "owner": account.address,
        "spender": stage.settlement.address,
        "value": amount,
        "nonce": nonce,
        "deadline": deadline,
    }
    signed = Account.sign_typed_data(account.private_key, domain, PERMIT, message)
    return deadline, signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def test_a_deposit_fills_an_account(stage):
    stage.mint(stage.stranger, 10 * EUR)
    transaction = stage.settlement.deposit(stage.dso, 4 * EUR, {"from": stage.stranger})
    event = transaction.events["Deposited"]
    assert (event["account"], event["amountUeur"], event["from"]) == (stage.dso, 4 * EUR, stage.stranger)
    assert stage.settlement.balanceOf(stage.dso) == 4 * EUR == stage.settlement.totalOwed()
    assert stage.token.balanceOf(stage.settlement) == 4 * EUR


def test_more_than_the_books_can_hold_is_refused_by_name_and_is_no_arithmetic_panic(stage):
    stage.fund_bond(0, EUR)
    stage.mint(stage.stranger, EUR)
    stage.settlement.deposit(stage.stranger, EUR, {"from": stage.stranger})
    most = 2**96 - 1
    too_much = thrown("SafeCastOverflowedUintDowncast", 96, most + EUR)
    with reverts(too_much):
        stage.settlement.deposit(stage.stranger, most, {"from": stage.stranger})
    with reverts(too_much):
        stage.settlement.fundBond(stage.seat(0), most, {"from": stage.stranger})


def test_nobody_deposits_for_the_zero_address(stage):
    stage.mint(stage.stranger, EUR)
    with reverts(thrown("ZeroAddress")):
        stage.settlement.deposit(ZERO, EUR, {"from": stage.stranger})


def test_a_permit_lets_anyone_carry_a_deposit(stage):
    stage.token.mint(stage.dso, 10 * EUR, bytes(32), {"from": stage.operator})
    signature = permit(stage, stage.dso, 4 * EUR)
    stage.settlement.depositWithPermit(stage.dso, 4 * EUR, *signature, {"from": stage.stranger})
    assert stage.settlement.balanceOf(stage.dso) == 4 * EUR


def test_a_permit_that_was_sent_before_us_does_not_stop_the_deposit(stage):
    stage.token.mint(stage.dso, 10 * EUR, bytes(32), {"from": stage.operator})
    signature = permit(stage, stage.dso, 4 * EUR)
    stage.token.permit(stage.dso, stage.settlement, 4 * EUR, *signature, {"from": stage.stranger})
    stage.settlement.depositWithPermit(stage.dso, 4 * EUR, *signature, {"from": stage.stranger})
    assert stage.settlement.balanceOf(stage.dso) == 4 * EUR


def test_a_deposit_without_allowance_changes_nothing(stage):
    stage.token.mint(stage.dso, 10 * EUR, bytes(32), {"from": stage.operator})
    signature = permit(stage, stage.dso, 4 * EUR)
    with reverts(thrown("ERC20InsufficientAllowance", stage.settlement, 0, 5 * EUR)):
        stage.settlement.depositWithPermit(stage.dso, 5 * EUR, *signature, {"from": stage.stranger})
    assert stage.settlement.totalOwed() == stage.settlement.balanceOf(stage.dso) == 0


# WITHDRAWALS


def withdraw(stage, signer=None, sender=None, **changes):
    message = Withdrawal(**({"account": stage.dso.address, "amount_ueur": 3 * EUR, "nonce": 0} | changes))
    signature = stage.sign(signer, message) if signer else NO_SIGNATURE
    return stage.settlement.withdraw(message.arguments(), signature, {"from": sender or stage.stranger})


def test_an_account_withdraws_by_its_signature_or_itself(stage):
    stage.deposit(stage.dso, 10 * EUR)
    withdraw(stage, signer=stage.dso)
    withdraw(stage, sender=stage.dso, nonce=1)
    assert stage.token.balanceOf(stage.dso) == 6 * EUR
    assert stage.settlement.balanceOf(stage.dso) == 4 * EUR == stage.settlement.totalOwed()
    assert stage.settlement.nonceOf(stage.dso) == 2


def test_a_withdrawal_is_the_accounts_own_and_once(stage):
    stage.deposit(stage.dso, 10 * EUR)
    with reverts(thrown("NotAccount", stage.dso, stage.stranger)):
        withdraw(stage, signer=stage.stranger)
    with reverts(thrown("NotAccount", stage.dso, stage.stranger)):
        withdraw(stage)
    with reverts(thrown("NotAccount", ZERO, ZERO)):
        broken = Withdrawal(ZERO, EUR, 0).arguments()
        stage.settlement.withdraw(broken, bytes(65), {"from": stage.stranger})
    withdraw(stage, signer=stage.dso)
    with reverts(thrown("StaleNonce", 0, 1)):
        withdraw(stage, signer=stage.dso)


def test_nobody_withdraws_more_than_the_balance_or_nothing(stage):
    stage.deposit(stage.dso, EUR)
    with reverts(thrown("InsufficientBalance", stage.dso, EUR, 3 * EUR)):
        withdraw(stage, sender=stage.dso)
    with reverts(thrown("NothingToWithdraw")):
        withdraw(stage, sender=stage.dso, amount_ueur=0)
    with reverts(thrown("NothingToWithdraw")):
        stage.settlement.payOut(stage.seat(0), {"from": stage.stranger})
    with reverts(thrown("NothingToWithdraw")):
        stage.settlement.withdrawBond(stage.seat(0), {"from": stage.stranger})


# BONDS


def test_an_eighth_of_the_bond_covers_bids_in_whole_cents(stage):
    stage.fund_bond(0, 20 * EUR + 79_999)
    assert stage.settlement.bondOf(stage.seat(0))[0] == 20 * EUR + 79_999
    assert stage.registry.seatOf(stage.seat(0))[5] == 250
    assert_books_balance(stage)


def test_a_permit_lets_anyone_carry_the_owners_bond(stage):
    owner = stage.owners[0]
    stage.token.mint(owner, 10 * EUR, bytes(32), {"from": stage.operator})
    signature = permit(stage, owner, 10 * EUR)
    stage.settlement.fundBondWithPermit(stage.seat(0), owner, 10 * EUR, *signature, {"from": stage.stranger})
    assert stage.settlement.bondOf(stage.seat(0))[0] == 10 * EUR


def test_a_permit_does_not_fund_somebody_elses_bond(stage):
    # A permit names amount and spender, not what for: carried to another's seat it would be theft.
    owner = stage.owners[0]
    stage.token.mint(owner, 10 * EUR, bytes(32), {"from": stage.operator})
    signature = permit(stage, owner, 10 * EUR)
    with reverts(thrown("NotSeatOwner", stage.seat(1), owner)):
        stage.settlement.fundBondWithPermit(stage.seat(1), owner, 10 * EUR, *signature, {"from": stage.stranger})
    stage.settlement.fundBondWithPermit(stage.seat(1), owner, 10 * EUR, *signature, {"from": owner})
    assert stage.settlement.bondOf(stage.seat(1))[0] == 10 * EUR


def unbond(stage, amount=8 * EUR, nonce=0, signer=None, sender=None):
    message = Unbonding(stage.seat(0), amount, nonce)
    signature = stage.sign(signer, message) if signer else NO_SIGNATURE
    return stage.settlement.startUnbonding(message.arguments(), signature, {"from": sender or stage.stranger})


def test_unbonding_lowers_the_cover_at_once_and_pays_after_its_time(stage):
    stage.fund_bond(0, 20 * EUR)
    unbond(stage, signer=stage.owners[0])
    available_at = stage.start + PARAMETERS.unbonding_s
    assert list(stage.settlement.bondOf(stage.seat(0))) == [12 * EUR, 8 * EUR, available_at]
    assert stage.registry.seatOf(stage.seat(0))[5] == 150
    stage.at(available_at - 1)
    with reverts(thrown("UnbondingPending", stage.seat(0), available_at)):
        stage.settlement.withdrawBond(stage.seat(0), {"from": stage.stranger})
    stage.at(available_at)
    stage.settlement.withdrawBond(stage.seat(0), {"from": stage.stranger})
    assert stage.token.balanceOf(stage.owners[0]) == 8 * EUR
    assert_books_balance(stage)


def test_unbonding_is_the_owners_and_once_and_within_the_bond(stage):
    stage.fund_bond(0, 20 * EUR)
    with reverts(thrown("NotSeatOwner", stage.seat(0), stage.owners[1])):
        unbond(stage, signer=stage.owners[1])
    with reverts(thrown("InsufficientBond", stage.seat(0), 20 * EUR, 21 * EUR)):
        unbond(stage, amount=21 * EUR, sender=stage.owners[0])
    unbond(stage, signer=stage.owners[0])
    with reverts(thrown("StaleNonce", 0, 1)):
        unbond(stage, signer=stage.owners[0])


# ESCROW: ONLY THE MODULES


def test_escrow_is_the_auctions_alone(stage):
    for call, arguments in (
        (stage.settlement.lock, (bytes(32), stage.dso, 1)),
        (stage.settlement.moveEscrow, (bytes(32), bytes(32), 1)),
        (stage.settlement.release, (bytes(32), stage.dso, 1)),
        (stage.settlement.openAwards, (bytes(32),)),
    ):
        with reverts(thrown("OnlyAuction", stage.operator)):
            call(*arguments, {"from": stage.operator})


def test_commands_and_availability_are_their_modules_alone(stage):
    with reverts(thrown("OnlyModule", stage.operator)):
        stage.settlement.reserveForCommand(stage.seat(0), stage.interval, stage.dso, 1, {"from": stage.operator})
    with reverts(thrown("OnlyModule", stage.operator)):
        stage.settlement.payAvailability(stage.dso, stage.seat(0), 1, {"from": stage.operator})


@pytest.mark.parametrize("deposit_ueur", [0, 89_999])
def test_a_request_beyond_the_deposit_is_refused(stage, deposit_ueur):
    if deposit_ueur:
        stage.deposit(stage.dso, deposit_ueur)
    stage.at(stage.before(300))
    stage.signals.setSignal((7, stage.interval, 1, 0, bytes(32), 1), NO_SIGNATURE, {"from": stage.dso})
    request = (7, stage.interval, 1, 1, 200_000, [450], 0)
    with reverts(thrown("InsufficientBalance", stage.dso, deposit_ueur, 90_000)):
        stage.auction.publishRequest(request, NO_SIGNATURE, {"from": stage.dso})


def test_a_reserve_for_a_command_is_locked_under_its_id(stage):
    stage.deposit(stage.dso, EUR)
    set_red(stage, sequence=1)
    command = (stage.seat(0), stage.interval, 5, 1, 500, bytes(32))
    transaction = stage.signals.giveCommand(command, NO_SIGNATURE, {"from": stage.dso})
    id_ = stage.settlement.commandEscrowId(stage.seat(0), stage.interval)
    assert transaction.events["EscrowLocked"]["id"] == id_
    assert stage.settlement.escrowOf(id_) == 150_000
    assert_books_balance(stage, commands=[(stage.seat(0), stage.interval)])
