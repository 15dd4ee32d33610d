"""The operator, who registers and redeems: it burns nobody's tokens, and does not leave with what is in escrow."""

from __future__ import annotations

import pytest
from eth_utils import keccak
from web3.contract.contract import ContractFunction

from market.chain.bindings import artifact
from market.chain.deployment import CONTRACT_NAMES
from market.domain.messages import SeatTransfer, SeatTransferVeto, Unbonding, Withdrawal
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from tests.attacks.arena import EUR, NO_REASON, Arena, Outcome, gateway_key, nanogrid
from tests.contracts_properties.auction_house import NODE, PORTFOLIO, U, owner_key

DELEGATECALL, CALLCODE, SELFDESTRUCT = 0xF4, 0xF2, 0xFF
PUSH1, PUSH32 = 0x60, 0x7F


# TOKENS OF OTHERS


def give(arena: Arena, account: str, amount_ueur: int) -> None:
    arena.send(arena.token.functions.mint(account, amount_ueur, NO_REASON), arena.operator)


def test_an_operator_burns_only_its_own_tokens(arena: Arena) -> None:
    give(arena, arena.owner(7), 5 * EUR)
    own = arena.token.functions.balanceOf(arena.operator).call()
    arena.refuse(
        arena.token.functions.burn(own + 1, NO_REASON),
        arena.operator,
        "ERC20InsufficientBalance",
        sender=arena.operator,
        balance=own,
        needed=own + 1,
    )
    assert arena.token.functions.balanceOf(arena.owner(7)).call() == 5 * EUR


def test_an_operator_moves_nobodys_tokens(arena: Arena) -> None:
    give(arena, arena.owner(7), 5 * EUR)
    arena.refuse(
        arena.token.functions.transferFrom(arena.owner(7), arena.operator, 1),
        arena.operator,
        "ERC20InsufficientAllowance",
        spender=arena.operator,
        allowance=0,
        needed=1,
    )
    assert arena.token.functions.balanceOf(arena.owner(7)).call() == 5 * EUR


def test_the_token_has_no_function_that_burns_or_moves_for_others() -> None:
    changing = {
        entry["name"]
        for entry in artifact("SettlementToken")["abi"]
        if entry["type"] == "function" and entry["stateMutability"] == "nonpayable"
    }
    assert changing == {"mint", "burn", "transfer", "transferFrom", "approve", "permit"}


# ESCROW AND BALANCES


def theft(arena: Arena, offer: bytes) -> list[tuple[ContractFunction, str]]:
    """Every function that moves escrow or balances, called by the operator, and the error that refuses it."""
    functions = arena.settlement.functions
    return [
        (functions.release(offer, arena.operator, 1), "OnlyAuction"),
        (functions.moveEscrow(offer, NO_REASON, 1), "OnlyAuction"),
        (functions.openAwards(offer), "OnlyAuction"),
        (functions.lock(NO_REASON, arena.dso, 1), "OnlyAuction"),
        (functions.reserveForCommand(nanogrid(1), arena.interval, arena.dso, 1), "OnlyModule"),
        (functions.payAvailability(arena.dso, nanogrid(1), 1), "OnlyModule"),
        (functions.unseatGateway(nanogrid(1)), "OnlyModule"),
        (functions.withdraw((arena.dso, 1, 0), b""), "NotAccount"),
        (functions.withdraw((arena.dso, 1, 0), bytes(65)), "NotAccount"),
        (functions.startUnbonding((nanogrid(1), 1, 0), b""), "NotSeatOwner"),
        (arena.registry.functions.setCover(nanogrid(1), 0), "OnlySettlement"),
        (arena.registry.functions.suspendSeat(nanogrid(1), NO_REASON), "OnlySettlement"),
    ]


def test_an_operator_reaches_no_escrow_and_no_balance(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    for call, error in theft(arena, offer):
        assert arena.refusal(call, arena.operator).name == error
    assert arena.conclude(offer) == honest_outcome


def test_an_operator_that_leaves_takes_no_escrow_along(arena: Arena, honest_outcome: Outcome) -> None:
    """It takes every role away, pauses the market and is silent, in the midst of a trade. The trade ends without it:
    anybody clears, readings are announced, and everybody withdraws."""
    offer = arena.honest_offer()
    registry = arena.registry.functions
    for role, account in (
        ("ORACLE", arena.oracle),
        ("REFEREE", arena.referee),
        ("DSO", arena.dso),
        ("AGGREGATOR", arena.aggregator),
    ):
        arena.send(registry.revokeRole(keccak(text=role), account), arena.operator)
    arena.send(registry.setPaused(NODE, 0, True), arena.operator)
    arena.at_before(140)
    arena.send(arena.rightly(offer), arena.anyone)
    arena.finalise(offer)
    arena.at(arena.interval + U)
    for index, energy in arena.delivery(offer).items():
        arena.send(arena.announcing(arena.reading(index, energy), gateway_key(index)), arena.anyone)
    arena.at(arena.now + arena.settlement.functions.holdWindowS().call())
    arena.send(arena.settling(offer, arena.delivery(offer)), arena.anyone)
    assert arena.money(offer) == honest_outcome.money
    withdraw_everything(arena)
    arena.assert_solvent()


def withdraw_everything(arena: Arena) -> None:
    """The winners' balances, the accounts of DSO and aggregator, and a bond: out to their owners."""
    functions, token = arena.settlement.functions, arena.token.functions
    for index in (1, 2):
        earned = arena.seat_balance(index)
        arena.send(functions.payOut(nanogrid(index)), arena.anyone)
        assert token.balanceOf(arena.owner(index)).call() == earned
    for account in (arena.dso, arena.aggregator):
        balance = arena.balance(account)
        arena.send(functions.withdraw((account, balance, 0), b""), account)
        assert token.balanceOf(account).call() == balance
    bond = arena.bond(3)
    message = (nanogrid(3), bond, 0)
    with arena.acting(arena.owner(3)) as owner:
        arena.send(functions.startUnbonding(message, b""), owner)
    arena.at(arena.now + functions.unbondingS().call())
    arena.send(functions.withdrawBond(nanogrid(3)), arena.anyone)
    assert token.balanceOf(arena.owner(3)).call() == bond


def test_an_operator_that_makes_itself_aggregator_gets_no_refund(arena: Arena) -> None:
    """An INTERNAL offer's escrow goes back to who paid it, whoever has the portfolio by then."""
    before = arena.balance(arena.aggregator)
    offer = arena.opened_internally()
    registry = arena.registry.functions
    arena.send(registry.grantRole(keccak(text="AGGREGATOR"), arena.operator), arena.operator)
    arena.send(registry.setPortfolioAggregator(PORTFOLIO, arena.operator), arena.operator)
    arena.send(arena.auction.functions.cancelOffer(offer, b""), arena.operator)
    assert arena.balance(arena.aggregator) == before
    assert arena.balance(arena.operator) == 0


def test_an_operator_that_makes_itself_dso_gets_no_request_back(arena: Arena) -> None:
    """A request's escrow goes back to who published it, whoever the node's DSO is by then."""
    before = arena.balance(arena.dso)
    request = arena.ready()
    registry = arena.registry.functions
    arena.send(registry.grantRole(keccak(text="DSO"), arena.operator), arena.operator)
    arena.send(registry.setNodeDso(NODE, arena.operator), arena.operator)
    arena.at_before(140)
    arena.send(arena.auction.functions.reclaimRequest(request, arena.interval), arena.operator)
    assert arena.balance(arena.dso) == before
    assert arena.balance(arena.operator) == 0


def test_a_change_of_owner_pays_the_old_one_first(arena: Arena) -> None:
    offer = arena.final()
    arena.conclude(offer)
    earned = arena.seat_balance(1)
    assert earned > 0
    arena.send(arena.giving(1, arena.owner(50)), arena.operator)
    assert arena.token.functions.balanceOf(arena.owner(1)).call() == earned
    assert arena.seat_balance(1) == 0


def test_an_operator_takes_no_seat_with_its_bond_and_awards(arena: Arena, honest_outcome: Outcome) -> None:
    """In the midst of a trade: neither with a signature of its own, nor with another's, nor by its word alone."""
    offer = arena.honest_offer()
    transfer = SeatTransfer(nanogrid(1), arena.operator, 0)
    domain = Domain(arena.web3.eth.chain_id, arena.registry.address)
    of_another = sign_message(owner_key(2), transfer, domain).to_bytes()
    change = arena.registry.functions.changeSeatOwner
    for signature in (b"", of_another):
        assert arena.refusal(change(transfer.arguments(), signature), arena.operator).name == "NotSeatOwner"
    arena.send(arena.registry.functions.announceSeatTransfer(nanogrid(1), arena.operator), arena.operator)
    completing = arena.registry.functions.completeSeatTransfer(nanogrid(1))
    assert arena.refusal(completing, arena.operator).name == "TransferNotPossibleYet"
    assert arena.conclude(offer) == honest_outcome


def test_an_announced_transfer_leaves_its_owner_the_time_to_take_all_out(arena: Arena) -> None:
    """Begun at the end of the first half, unbonding is over when the transfer is possible; the old owner is paid even
    after it."""
    functions, bond = arena.settlement.functions, arena.bond(1)
    arena.send(arena.registry.functions.announceSeatTransfer(nanogrid(1), arena.operator), arena.operator)
    _, possible_from = arena.registry.functions.announcedTransferOf(nanogrid(1)).call()
    arena.at(possible_from - functions.unbondingS().call())
    unbonding = Unbonding(nanogrid(1), bond, 0)
    signature = sign_message(owner_key(1), unbonding, arena.settlement_domain).to_bytes()
    arena.send(functions.startUnbonding(unbonding.arguments(), signature), arena.relayer)
    assert functions.bondOf(nanogrid(1)).call()[2] == possible_from
    arena.at(possible_from)
    arena.send(arena.registry.functions.completeSeatTransfer(nanogrid(1)), arena.operator)
    arena.send(functions.withdrawBond(nanogrid(1)), arena.anyone)
    assert arena.token.functions.balanceOf(arena.owner(1)).call() == bond
    assert arena.token.functions.balanceOf(arena.operator).call() == 0


def test_an_owner_ends_an_announced_transfer(arena: Arena) -> None:
    arena.send(arena.registry.functions.announceSeatTransfer(nanogrid(1), arena.operator), arena.operator)
    veto = SeatTransferVeto(nanogrid(1), 0)
    domain = Domain(arena.web3.eth.chain_id, arena.registry.address)
    signature = sign_message(owner_key(1), veto, domain).to_bytes()
    arena.send(arena.registry.functions.vetoSeatTransfer(veto.arguments(), signature), arena.relayer)
    arena.at(arena.now + 2 * arena.settlement.functions.unbondingS().call())
    completing = arena.registry.functions.completeSeatTransfer(nanogrid(1))
    arena.refuse(completing, arena.operator, "NoTransferAnnounced", nanogrid=nanogrid(1))


def test_an_operator_cannot_bid_for_a_home(arena: Arena, honest_outcome: Outcome) -> None:
    """Registered by the operator, but owned by the prosumer: the operator seats no delegate and signs no bid."""
    offer = arena.honest_offer()
    delegation = (nanogrid(7), arena.operator, 60_000, 0, 1000, 100, 0)
    seating = arena.registry.functions.setDelegate(delegation, b"")
    arena.refuse(seating, arena.operator, "NotSeatOwner", nanogrid=nanogrid(7), signer=arena.operator)
    assert arena.conclude(offer) == honest_outcome


def test_a_pause_blocks_no_withdrawal(arena: Arena) -> None:
    arena.send(arena.registry.functions.setPaused(NODE, 0, True), arena.operator)
    withdrawal = Withdrawal(arena.dso, EUR, 0)
    before = arena.balance(arena.dso)
    arena.send(arena.settlement.functions.withdraw(withdrawal.arguments(), b""), arena.dso)
    assert arena.balance(arena.dso) == before - EUR
    assert arena.token.functions.balanceOf(arena.dso).call() == EUR


# GOVERNANCE AND CODE


def test_the_governance_key_changes_hands_in_two_steps_only(arena: Arena) -> None:
    """A stolen operator's key makes no other one governance at once: a delay gives time to take it back."""
    registry = arena.registry.functions
    governance = bytes(32)
    assert (
        arena.refusal(registry.grantRole(governance, arena.attacker), arena.operator).name
        == "AccessControlEnforcedDefaultAdminRules"
    )
    arena.send(registry.beginDefaultAdminTransfer(arena.attacker), arena.operator)
    refusal = arena.refusal(registry.acceptDefaultAdminTransfer(), arena.attacker)
    assert refusal.name == "AccessControlEnforcedDefaultAdminDelay"
    arena.send(registry.cancelDefaultAdminTransfer(), arena.operator)
    arena.at(arena.now + 2 * 86_400)
    refusal = arena.refusal(registry.acceptDefaultAdminTransfer(), arena.attacker)
    assert refusal.name == "AccessControlInvalidDefaultAdmin"
    assert registry.defaultAdmin().call() == arena.operator


def opcodes(code: bytes) -> set[int]:
    """Instructions of a contract's code, without the data that is pushed."""
    found, place = set(), 0
    while place < len(code):
        instruction = code[place]
        found.add(instruction)
        place += 1 + (instruction - PUSH1 + 1 if PUSH1 <= instruction <= PUSH32 else 0)
    return found


def runtime(code: bytes) -> bytes:
    """Without the metadata at its end, whose length is in its last two bytes."""
    return code[: -int.from_bytes(code[-2:], "big") - 2]


@pytest.mark.parametrize("name", [*CONTRACT_NAMES, "SettlementJudge"])
def test_no_contract_can_be_replaced_or_destroyed(arena: Arena, name: str) -> None:
    """No proxy: no contract runs another's code as its own, and none can vanish."""
    addresses = {**arena.deployment.addresses, "SettlementJudge": arena.settlement.functions.judge().call()}
    code = bytes(arena.web3.eth.get_code(arena.web3.to_checksum_address(addresses[name])))
    assert len(code) > 1000
    assert not opcodes(runtime(code)) & {DELEGATECALL, CALLCODE, SELFDESTRUCT}


def test_a_withdrawal_needs_the_owners_key_and_goes_to_the_owner(arena: Arena) -> None:
    """Whoever carries it, the operator too: the tokens are the account's."""
    withdrawal = Withdrawal(arena.owner(7), EUR, 0)
    give(arena, arena.operator, EUR)
    arena.send(arena.token.functions.approve(arena.settlement.address, EUR), arena.operator)
    arena.send(arena.settlement.functions.deposit(arena.owner(7), EUR), arena.operator)
    signature = sign_message(owner_key(7), withdrawal, arena.settlement_domain).to_bytes()
    arena.send(arena.settlement.functions.withdraw(withdrawal.arguments(), signature), arena.operator)
    assert arena.token.functions.balanceOf(arena.owner(7)).call() == EUR
