"""The model of Settlement's books: balances of accounts and seats, bonds, debts and escrows, in micro-euro.

How much each party gets is market.domain.settlement's to say; here is only what that does to the books.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

from market.domain.settlement import collect_penalty, cover_cents, credit_seat
from tests.stateful.model.refusal import ZERO_ADDRESS, Context, Refused
from tests.stateful.model.registry import RegistryModel

DEBTS_PER_DEPOSIT = 32
SUSPENDED_BY_DEBT = b"DEBT".ljust(32, b"\0")


@dataclass
class Account:
    balance: int = 0
    nonce: int = 0
    debts: deque[list[int]] = field(default_factory=deque)
    """[nanogrid, amount] of each part that is unpaid, oldest first."""

    @property
    def debt(self) -> int:
        return sum(amount for _, amount in self.debts)


@dataclass
class Bond:
    amount: int = 0
    unbonding: int = 0
    unbonding_to: str = ZERO_ADDRESS
    available_at: int = 0
    nonce: int = 0


@dataclass
class LedgerModel:
    context: Context
    registry: RegistryModel
    accounts: defaultdict[str, Account] = field(default_factory=lambda: defaultdict(Account))
    seats: Counter[int] = field(default_factory=Counter)
    seat_debts: defaultdict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    bonds: defaultdict[int, Bond] = field(default_factory=lambda: defaultdict(Bond))
    escrows: Counter[bytes] = field(default_factory=Counter)

    @property
    def owed(self) -> int:
        """All that the contract owes."""
        bonded = sum(bond.amount + bond.unbonding for bond in self.bonds.values())
        in_accounts = sum(account.balance for account in self.accounts.values())
        return in_accounts + self.seats.total() + bonded + self.escrows.total()

    # ACCOUNTS

    def credit_account(self, account: str, amount: int) -> None:
        self.accounts[account].balance += amount

    def require_balance(self, account: str, amount: int) -> None:
        balance = self.accounts[account].balance
        if amount > balance:
            raise Refused("InsufficientBalance", account, balance, amount)

    def require_no_debt(self, account: str) -> None:
        if self.accounts[account].debt:
            raise Refused("AccountInDebt", account, self.accounts[account].debt)

    def debit_account(self, account: str, amount: int) -> None:
        self.require_balance(account, amount)
        self.accounts[account].balance -= amount

    def add_account_debt(self, account: str, nanogrid: int, amount: int) -> None:
        self.accounts[account].debts.append([nanogrid, amount])
        self.context.emit("AccountDebtChanged", account, self.accounts[account].debt)

    def pay_account_debts(self, account: str) -> None:
        """The oldest parts first, 32 at most."""
        debtor = self.accounts[account]
        if not debtor.debts:
            return
        for _ in range(DEBTS_PER_DEPOSIT):
            if not debtor.balance or not debtor.debts:
                break
            nanogrid, amount = debtor.debts[0]
            paid = min(debtor.balance, amount)
            debtor.balance -= paid
            debtor.debts[0][1] -= paid
            if paid == amount:
                debtor.debts.popleft()
            self.context.emit("AccountDebtPaid", account, nanogrid, paid)
            self.credit_seat(nanogrid, paid)
        self.context.emit("AccountDebtChanged", account, debtor.debt)

    # SEATS

    def seat_debt(self, nanogrid: int) -> int:
        return sum(self.seat_debts[nanogrid].values())

    def credit_seat(self, nanogrid: int, amount: int) -> None:
        """Debts are paid first."""
        on_debt, credited = credit_seat(amount, self.seat_debt(nanogrid))
        self.pay_seat_debts(nanogrid, on_debt)
        self.seats[nanogrid] += credited

    def pay_seat_debts(self, nanogrid: int, amount: int) -> int:
        """The creditor who came last first; what is left."""
        debts = self.seat_debts[nanogrid]
        while amount and debts:
            creditor = next(reversed(debts))
            paid = min(amount, debts[creditor])
            amount -= paid
            debts[creditor] -= paid
            self.context.emit("SeatDebtChanged", nanogrid, creditor, debts[creditor])
            if not debts[creditor]:
                del debts[creditor]
            self.credit_account(creditor, paid)
        return amount

    def take_from_seat(self, nanogrid: int, amount: int) -> None:
        assert 0 <= amount <= self.seats[nanogrid]
        self.seats[nanogrid] -= amount

    # BONDS

    def liable(self, nanogrid: int) -> int:
        """What answers for a penalty: the bond, and what is being unbonded."""
        return self.bonds[nanogrid].amount + self.bonds[nanogrid].unbonding

    def charge_bond(self, nanogrid: int, creditor: str, amount: int) -> None:
        """Takes from the bond first, then from what is being unbonded; the cover follows."""
        if not amount:
            return
        bond = self.bonds[nanogrid]
        from_bond = min(amount, bond.amount)
        bond.amount -= from_bond
        bond.unbonding -= amount - from_bond
        assert bond.unbonding >= 0
        self.context.emit("BondCharged", nanogrid, creditor, amount)
        self.update_cover(nanogrid)

    def charge(self, nanogrid: int, creditor: str, due: int) -> int:
        """What a seat owes: its bond pays, the rest becomes a debt and suspends the seat. What the bond paid."""
        collected = collect_penalty(due, self.liable(nanogrid))
        self.charge_bond(nanogrid, creditor, collected.from_bond_ueur)
        if collected.debt_ueur:
            debts = self.seat_debts[nanogrid]
            debts[creditor] = debts.get(creditor, 0) + collected.debt_ueur
            self.context.emit("SeatDebtChanged", nanogrid, creditor, debts[creditor])
            self.registry.suspend(nanogrid, SUSPENDED_BY_DEBT)
        return collected.from_bond_ueur

    def update_cover(self, nanogrid: int) -> None:
        self.registry.cover(nanogrid, cover_cents(self.bonds[nanogrid].amount))

    # ESCROWS

    def lock(self, id_: bytes, account: str, amount: int) -> None:
        self.debit_account(account, amount)
        self.escrows[id_] += amount
        self.context.emit("EscrowLocked", id_, account, amount)

    def move_escrow(self, source: bytes, to: bytes, amount: int) -> None:
        self.take_escrow(source, amount)
        self.escrows[to] += amount
        self.context.emit("EscrowMoved", source, to, amount)

    def release(self, id_: bytes, account: str, amount: int) -> None:
        self.take_escrow(id_, amount)
        self.credit_account(account, amount)
        self.context.emit("EscrowReleased", id_, account, amount)

    def take_escrow(self, id_: bytes, amount: int) -> None:
        assert 0 <= amount <= self.escrows[id_], "an escrow paid more than it held"
        self.escrows[id_] -= amount
