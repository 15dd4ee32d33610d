"""Tokens, accounts, bonds, capacity pay."""

from __future__ import annotations

from market.domain.messages import CapacityContract, Forfeit, Permit, Unbonding, Withdrawal
from market.domain.products import Product
from tests.stateful.actors import AGGREGATORS, BY_ADDRESS, DSOS, HOLDERS_OF_MONEY, OPERATOR, RELAYER, STRANGER, Actor
from tests.stateful.model.capacity import month_of, start_of_month
from tests.stateful.model.refusal import ZERO_ADDRESS
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import EURO

NO_TOKENS = bytes(32)


def _amount(turn: Turn, most: int) -> int:
    return turn.chance.choice([0, 1, most, most // 2, most + 1, EURO, 5 * EURO])


def move_tokens(turn: Turn) -> None:
    """Mints, burns, transfers, approvals and permits of the token itself."""
    giver, taker = turn.one_of(HOLDERS_OF_MONEY), turn.one_of(HOLDERS_OF_MONEY)
    balance = turn.model.token.balances[giver.address]
    to = turn.mostly(taker.address, [ZERO_ADDRESS], 0.04)
    settlement = turn.model.settlement.address
    kind = turn.chance.randrange(6)
    if kind == 0:
        turn.do(turn.who(OPERATOR), "SettlementToken", "mint", to, 3 * EURO, NO_TOKENS)
    elif kind == 1:
        amount = _amount(turn, turn.model.token.balances[OPERATOR.address] // 100)
        turn.do(turn.who(OPERATOR), "SettlementToken", "burn", amount, NO_TOKENS)
    elif kind == 2:
        turn.do(giver.address, "SettlementToken", "transfer", to, turn.mostly(EURO, [balance + 1], 0.1))
    elif kind == 3:
        spender = turn.one_of([settlement, taker.address, taker.address])
        allowance = 2**255 if spender == settlement else 2 * EURO
        turn.do(giver.address, "SettlementToken", "approve", turn.mostly(spender, [ZERO_ADDRESS], 0.04), allowance)
    elif kind == 4:
        pairs = [pair for pair, allowed in turn.model.token.allowances.items() if allowed and pair[1] in BY_ADDRESS]
        if not pairs:
            turn.do(giver.address, "SettlementToken", "approve", taker.address, 2 * EURO)
        owner, spender = turn.one_of(pairs) if pairs else (giver.address, taker.address)
        turn.do(spender, "SettlementToken", "transferFrom", owner, to, turn.mostly(EURO, [balance + 1], 0.1))
    else:
        permit = _permit(turn, giver, turn.one_of([settlement, taker.address]), 5 * EURO)
        turn.do(RELAYER.address, "SettlementToken", "permit", *permit)


def _permit(turn: Turn, owner: Actor, spender: str, amount: int) -> tuple[object, ...]:
    nonce = turn.model.token.nonces[owner.address]
    deadline = turn.mostly(turn.now + 60, [turn.now, turn.now - 1])
    permit = Permit(owner.address, spender, amount, turn.mostly(nonce, [nonce + 1]), deadline)
    signature = owner.sign(turn.model.context.digest(permit))
    parts = (signature[64], signature[:32], signature[32:64])
    return (owner.address, spender, amount, deadline, *parts)


def deposit(turn: Turn) -> None:
    payer = turn.one_of(HOLDERS_OF_MONEY)
    debtors = [address for address, account in turn.model.settlement.ledger.accounts.items() if account.debt]
    account = turn.one_of([payer.address, DSOS[0].address, turn.one_of(AGGREGATORS).address, *debtors, *debtors])
    account = turn.mostly(account, [ZERO_ADDRESS], 0.03)
    amount = turn.chance.choice([0, 1, 2 * EURO, 40 * EURO, 10**10])
    if turn.happens(0.4):
        permit = _permit(turn, payer, turn.model.settlement.address, amount)
        turn.do(RELAYER.address, "Settlement", "depositWithPermit", payer.address, amount, *permit[3:])
    else:
        turn.do(payer.address, "Settlement", "deposit", account, amount)


def withdraw(turn: Turn) -> None:
    accounts = turn.model.settlement.ledger.accounts
    rich = [address for address, account in accounts.items() if account.balance or account.debt]
    owner = turn.mostly(turn.one_of(sorted(rich)), [STRANGER.address], 0.05) if rich else STRANGER.address
    account = accounts[owner]
    withdrawal = Withdrawal(
        owner, _amount(turn, account.balance), turn.mostly(account.nonce, [account.nonce + 1], 0.05)
    )
    sender, signature = turn.decided(owner, withdrawal)
    turn.do(sender, "Settlement", "withdraw", withdrawal.arguments(), signature)


def empty_account(turn: Turn, owner: str) -> None:
    """An account takes all out, perhaps just before it has to pay."""
    account = turn.model.settlement.ledger.accounts[owner]
    withdrawal = Withdrawal(owner, account.balance, account.nonce)
    turn.do(owner, "Settlement", "withdraw", withdrawal.arguments(), b"")


def pay_out(turn: Turn) -> None:
    rich = sorted(nanogrid for nanogrid, balance in turn.model.settlement.ledger.seats.items() if balance)
    nanogrid = turn.one_of(rich) if rich and turn.happens(0.8) else turn.nanogrid()
    turn.do(STRANGER.address, "Settlement", "payOut", nanogrid)


def fund_bond(turn: Turn) -> None:
    payer, nanogrid = turn.one_of(HOLDERS_OF_MONEY), turn.nanogrid()
    indebted = sorted(seat for seat, debts in turn.model.settlement.ledger.seat_debts.items() if debts)
    if indebted and turn.happens(0.5):
        nanogrid = turn.one_of(indebted)
    amount = turn.chance.choice([0, 1, EURO // 10, 3 * EURO, 20 * EURO])
    if turn.happens(0.5):
        turn.do(payer.address, "Settlement", "fundBond", nanogrid, amount)
        return
    seat = turn.model.registry.seats.get(nanogrid)
    payer = turn.mostly(BY_ADDRESS[seat.owner] if seat else payer, [payer])
    permit = _permit(turn, payer, turn.model.settlement.address, amount)
    sender = turn.one_of([RELAYER.address, payer.address])
    turn.do(sender, "Settlement", "fundBondWithPermit", nanogrid, payer.address, amount, *permit[3:])


def start_unbonding(turn: Turn) -> None:
    nanogrid = turn.nanogrid()
    bond = turn.model.settlement.ledger.bonds[nanogrid]
    seat = turn.model.registry.seats.get(nanogrid)
    unbonding = Unbonding(nanogrid, _amount(turn, bond.amount), turn.mostly(bond.nonce, [bond.nonce + 1], 0.05))
    sender, signature = turn.decided(seat.owner if seat else STRANGER.address, unbonding)
    turn.do(sender, "Settlement", "startUnbonding", unbonding.arguments(), signature)


def withdraw_bond(turn: Turn) -> None:
    waiting = sorted(nanogrid for nanogrid, bond in turn.model.settlement.ledger.bonds.items() if bond.unbonding)
    nanogrid = turn.one_of(waiting) if waiting and turn.happens(0.8) else turn.nanogrid()
    turn.do(STRANGER.address, "Settlement", "withdrawBond", nanogrid)


# CAPACITY


def reserve_capacity(turn: Turn) -> None:
    nanogrid, month = turn.nanogrid(), month_of(turn.now)
    contract = CapacityContract(
        nanogrid,
        turn.mostly(turn.one_of([Product.CM_CAPACITY, Product.VC_CAPACITY_Q]), [1, 9], 0.05),
        turn.mostly(month + 1, [month, month + 2], 0.2),
        turn.chance.choice([1, 1, 2, 3, 0]),
        turn.chance.choice([0, 1000, 3000]),
        turn.chance.choice([10, 400]),
        turn.chance.randrange(3),
    )
    dso = turn.dso_of(turn.model.registry.node_of(nanogrid >> 16))
    sender, signature = turn.decided(dso, contract)
    turn.do(sender, "CapacityRegister", "registerContract", contract.arguments(), signature)


def end_a_month(turn: Turn) -> None:
    """Pays a month's availability, or withholds it."""
    contracts = turn.model.capacity.contracts
    id_ = turn.mostly(turn.one_of(list(contracts)), [NO_TOKENS], 0.04)
    terms = contracts.get(id_)
    month = turn.mostly(terms.first_month if terms else 0, [month_of(turn.now) - 1, month_of(turn.now)], 0.3)
    if terms and turn.happens(0.15):
        turn.player.jump(start_of_month(terms.first_month + 1) - turn.one_of([0, 0, 1]))
    if turn.happens(0.6):
        turn.do(STRANGER.address, "CapacityRegister", "payAvailability", id_, month)
        return
    dso = turn.dso_of(turn.model.registry.node_of(terms.nanogrid >> 16) if terms else 7)
    sender, signature = turn.decided(dso, Forfeit(id_, month))
    turn.do(sender, "CapacityRegister", "forfeitAvailability", id_, month, signature)
