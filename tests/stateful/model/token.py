"""The model of SettlementToken: an ERC-20 with permit, minted and burned by the operator."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from market.domain.messages import Permit
from tests.stateful.model.refusal import ZERO_ADDRESS, Context, Refused
from tests.stateful.model.registry import OPERATOR, RegistryModel

UNLIMITED = 2**256 - 1


@dataclass
class TokenModel:
    context: Context
    registry: RegistryModel
    balances: Counter[str] = field(default_factory=Counter)
    allowances: Counter[tuple[str, str]] = field(default_factory=Counter)
    nonces: Counter[str] = field(default_factory=Counter)

    def mint(self, sender: str, to: str, amount: int, reference: bytes) -> None:
        self._require_operator(sender)
        if to == ZERO_ADDRESS:
            raise Refused("ERC20InvalidReceiver", to)
        self.balances[to] += amount
        self.context.emit("Minted", to, amount, reference)

    def burn(self, sender: str, amount: int, reference: bytes) -> None:
        self._require_operator(sender)
        self._require_balance(sender, amount)
        self.balances[sender] -= amount
        self.context.emit("Burned", amount, reference)

    def _require_operator(self, sender: str) -> None:
        if not self.registry.has_role(OPERATOR, sender):
            raise Refused("NotOperator", sender)

    def transfer(self, sender: str, to: str, amount: int) -> None:
        if to == ZERO_ADDRESS:
            raise Refused("ERC20InvalidReceiver", to)
        self._require_balance(sender, amount)
        self.move(sender, to, amount)

    def approve(self, sender: str, spender: str, amount: int) -> None:
        if spender == ZERO_ADDRESS:
            raise Refused("ERC20InvalidSpender", spender)
        self.allowances[sender, spender] = amount

    def transfer_from(self, sender: str, owner: str, to: str, amount: int) -> None:
        self._require_allowance(sender, owner, amount)
        if to == ZERO_ADDRESS:
            raise Refused("ERC20InvalidReceiver", to)
        self._require_balance(owner, amount)
        self.spend(sender, owner, amount)
        self.move(owner, to, amount)

    def permit(
        self, sender: str, owner: str, spender: str, value: int, deadline: int, v: int, r: bytes, s: bytes
    ) -> None:
        if self.context.now > deadline:
            raise Refused("ERC2612ExpiredSignature", deadline)
        given = Permit(owner, spender, value, self.nonces[owner], deadline)
        signer = self.context.signer(sender, given, r + s + bytes((v,)))
        if signer != owner:
            raise Refused("ERC2612InvalidSigner", signer, owner)
        self.nonces[owner] += 1
        self.allowances[owner, spender] = value

    def require_transferable(self, spender: str, owner: str, amount: int) -> None:
        """Refused as `transferFrom` would."""
        self._require_allowance(spender, owner, amount)
        self._require_balance(owner, amount)

    def spend(self, spender: str, owner: str, amount: int) -> None:
        if self.allowances[owner, spender] != UNLIMITED:
            self.allowances[owner, spender] -= amount

    def move(self, owner: str, to: str, amount: int) -> None:
        self.balances[owner] -= amount
        self.balances[to] += amount

    def _require_allowance(self, spender: str, owner: str, amount: int) -> None:
        allowance = self.allowances[owner, spender]
        if amount > allowance:
            raise Refused("ERC20InsufficientAllowance", spender, allowance, amount)

    def _require_balance(self, account: str, amount: int) -> None:
        if amount > self.balances[account]:
            raise Refused("ERC20InsufficientBalance", account, self.balances[account], amount)
