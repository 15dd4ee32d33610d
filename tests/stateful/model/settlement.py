"""The model of Settlement's doors: gateways, accounts, bonds, escrow, and the ends of commands and holds.

Awards are judged in `awards`, the books are kept in `ledger`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eth_abi.abi import encode

from market.chain.deployment import DeploymentParameters
from market.domain.calendar import Calendar
from market.domain.hashing import keccak256
from market.domain.messages import Enrolment, Hold, SeatTransfer, Unbonding, Withdrawal
from market.domain.products import Direction, Product, Side
from market.domain.records import AwardRecord
from market.domain.settlement import AwardTerms, Outcome, command_reserve_ueur
from tests.stateful.model.ledger import LedgerModel
from tests.stateful.model.refusal import ZERO_ADDRESS, Context, Refused
from tests.stateful.model.registry import OPERATOR, REFEREE, RegistryModel
from tests.stateful.model.token import TokenModel

if TYPE_CHECKING:
    from tests.stateful.model.auction import AuctionModel, OfferBook
    from tests.stateful.model.metering import MeteringModel
    from tests.stateful.model.signals import SignalsModel

SUSPENDED_BY_READINGS = b"READINGS_ANNULLED".ljust(32, b"\0")
HOLD_TYPE_HASH = Hold.TYPE_HASH


@dataclass
class HoldState:
    """A hold on an award; ended_at 0: still to be decided."""

    holder: str
    decide_by: int
    ended_at: int = 0


@dataclass
class CommandPayment:
    dso: str
    settled: bool = False


def command_escrow(nanogrid: int, interval: int) -> bytes:
    """Id of the escrow of a command's reserve."""
    return keccak256(encode(("uint48", "uint32"), (nanogrid, interval)))


def hold_escrow(offer: bytes, ordinal: int) -> bytes:
    """Id of the escrow of a hold's bond."""
    return keccak256(HOLD_TYPE_HASH + offer + ordinal.to_bytes(32, "big"))


@dataclass
class SettlementModel:
    context: Context
    registry: RegistryModel
    token: TokenModel
    calendar: Calendar
    parameters: DeploymentParameters
    address: str
    modules: dict[str, str]
    ledger: LedgerModel
    auction: AuctionModel = field(init=False)
    signals: SignalsModel = field(init=False)
    metering: MeteringModel = field(init=False)
    gateways: dict[int, str] = field(default_factory=dict)
    seat_of_gateway: dict[str, int] = field(default_factory=dict)
    enrolments: dict[int, tuple[str, int]] = field(default_factory=dict)
    commands: dict[tuple[int, int], CommandPayment] = field(default_factory=dict)
    settled: dict[tuple[bytes, int], Outcome] = field(default_factory=dict)
    holds: dict[tuple[bytes, int], HoldState] = field(default_factory=dict)
    paid: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """What a nanogrid was paid for an interval and kind, by an award and a command. [micro-euro]"""
    worth: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """The most that one of them is worth by itself. [micro-euro]"""

    def terms_of(self, book: OfferBook, award: AwardRecord) -> AwardTerms:
        """What an award's end depends on."""
        request = self.auction.requests.get(book.terms.request)
        price = request.terms.price_ueur_kwh if request else None
        return AwardTerms(
            Side(book.terms.side), Direction(book.terms.direction), award.quantity, award.price_ueur_kwh, price
        )

    def payer_of(self, book: OfferBook) -> str:
        """Who pays for an offer's energy: the request's DSO, or the aggregator itself."""
        request = self.auction.requests.get(book.terms.request)
        return request.dso if request else book.aggregator

    def note_payment(self, nanogrid: int, interval: int, kind: int, amount: int, worth: int) -> None:
        """An award, or a command beside it, is paid. worth: what it would be paid were it alone [micro-euro].

        The two together are never paid more than one of them is worth: no interval is paid twice.
        """
        place = (nanogrid, interval, kind)
        self.paid[place] += amount
        self.worth[place] = max(self.worth[place], worth)
        assert self.paid[place] <= self.worth[place], "an interval of a nanogrid was paid twice"

    # GATEWAYS

    def set_gateway(self, sender: str, nanogrid: int, gateway: str) -> None:
        self._require_operator(sender)
        self._seat_gateway(nanogrid, gateway)

    def open_enrolment(self, sender: str, nanogrid: int, code: str, expires_at: int) -> None:
        self._require_operator(sender)
        self.registry.existing(nanogrid)
        if code == ZERO_ADDRESS:
            raise Refused("ZeroAddress")
        self.enrolments[nanogrid] = (code, expires_at)
        self.context.emit("EnrolmentOpened", nanogrid, code, expires_at)

    def enrol_gateway(
        self, sender: str, nanogrid: int, gateway: str, code_signature: bytes, gateway_signature: bytes
    ) -> None:
        message = Enrolment(nanogrid, gateway)
        code, expires_at = self.enrolments.get(nanogrid, (ZERO_ADDRESS, 0))
        signer = self.context.signer_or_nobody(sender, message, code_signature)
        if code == ZERO_ADDRESS or signer != code:
            raise Refused("EnrolmentUnknown", nanogrid, signer)
        if self.context.now > expires_at:
            raise Refused("EnrolmentExpired", nanogrid, expires_at)
        owner = self.context.gateway_or_nobody(sender, message, gateway_signature)
        if gateway == ZERO_ADDRESS or owner != gateway:
            raise Refused("NotAccount", gateway, owner)
        self._require_free(gateway)
        del self.enrolments[nanogrid]
        self._seat_gateway(nanogrid, gateway)

    def unseat_gateway(self, sender: str, nanogrid: int) -> None:
        self._require_module("MeteringOracle", sender)
        self.unseat(nanogrid)

    def unseat(self, nanogrid: int) -> None:
        self._seat_gateway(nanogrid, ZERO_ADDRESS)
        self.registry.suspend(nanogrid, SUSPENDED_BY_READINGS)

    def _seat_gateway(self, nanogrid: int, gateway: str) -> None:
        self.registry.existing(nanogrid)
        self._require_free(gateway)
        if gateway != ZERO_ADDRESS:
            self.seat_of_gateway[gateway] = nanogrid
        self.gateways[nanogrid] = gateway
        self.context.emit("GatewayChanged", nanogrid, gateway)

    def _require_free(self, gateway: str) -> None:
        other = self.seat_of_gateway.get(gateway, 0)
        if gateway != ZERO_ADDRESS and self.gateways.get(other) == gateway:
            raise Refused("GatewayInUse", gateway, other)

    # ACCOUNTS

    def deposit(self, sender: str, account: str, amount: int) -> None:
        self._deposit(account, amount, sender)

    def deposit_with_permit(
        self, sender: str, account: str, amount: int, deadline: int, v: int, r: bytes, s: bytes
    ) -> None:
        with self._permitted(account, amount, (deadline, v, r, s)):
            self._deposit(account, amount, account)

    def _deposit(self, account: str, amount: int, source: str) -> None:
        if account == ZERO_ADDRESS:
            raise Refused("ZeroAddress")
        self.token.require_transferable(self.address, source, amount)
        self.ledger.credit_account(account, amount)
        self.context.emit("Deposited", account, amount, source)
        self.ledger.pay_account_debts(account)
        self._take_tokens(source, amount)

    def withdraw(self, sender: str, withdrawal: tuple[Any, ...], signature: bytes) -> None:
        given = Withdrawal(*withdrawal)
        signer = self.context.signer_or_nobody(sender, given, signature)
        if signer == ZERO_ADDRESS or signer != given.account:
            raise Refused("NotAccount", given.account, signer)
        account = self.ledger.accounts[given.account]
        if given.nonce != account.nonce:
            raise Refused("StaleNonce", given.nonce, account.nonce)
        self.ledger.require_no_debt(given.account)
        if not given.amount_ueur:
            raise Refused("NothingToWithdraw")
        self.ledger.debit_account(given.account, given.amount_ueur)
        account.nonce += 1
        self.context.emit("Withdrawn", given.account, given.amount_ueur)
        self.token.move(self.address, given.account, given.amount_ueur)

    def pay_out(self, sender: str, nanogrid: int) -> None:
        owner = self.registry.existing(nanogrid).owner
        amount = self.ledger.seats[nanogrid]
        if not amount:
            raise Refused("NothingToWithdraw")
        self.ledger.take_from_seat(nanogrid, amount)
        self.context.emit("PaidOut", nanogrid, owner, amount)
        self.token.move(self.address, owner, amount)

    def change_seat_owner(self, sender: str, transfer: tuple[Any, ...], signature: bytes) -> None:
        """A call of the registry's, which pays the old owner out first."""
        self.registry.require_role(OPERATOR, sender)
        given = SeatTransfer(*transfer)
        self.registry.owners_word(sender, given, signature)
        if given.owner == ZERO_ADDRESS:
            raise Refused("ZeroAddress")
        self._change_owner(sender, given.nanogrid, given.owner)

    def complete_seat_transfer(self, sender: str, nanogrid: int) -> None:
        """The same as announced."""
        self.registry.require_role(OPERATOR, sender)
        owner, possible_from = self.registry.announced_for(nanogrid)
        if self.context.now < possible_from:
            raise Refused("TransferNotPossibleYet", nanogrid, possible_from)
        self._change_owner(sender, nanogrid, owner)

    def _change_owner(self, sender: str, nanogrid: int, owner: str) -> None:
        if self.ledger.seats[nanogrid]:
            self.pay_out(sender, nanogrid)
        self.registry.change_owner(nanogrid, owner)

    # BONDS

    def fund_bond(self, sender: str, nanogrid: int, amount: int) -> None:
        self._fund_bond(nanogrid, amount, sender)

    def fund_bond_with_permit(
        self, sender: str, nanogrid: int, source: str, amount: int, deadline: int, v: int, r: bytes, s: bytes
    ) -> None:
        if source != sender and source != self.registry.existing(nanogrid).owner:
            raise Refused("NotSeatOwner", nanogrid, source)
        self.registry.existing(nanogrid)
        with self._permitted(source, amount, (deadline, v, r, s)):
            self._fund_bond(nanogrid, amount, source)

    def _fund_bond(self, nanogrid: int, amount: int, source: str) -> None:
        self.registry.existing(nanogrid)
        self.token.require_transferable(self.address, source, amount)
        self.context.emit("BondFunded", nanogrid, amount, source)
        self.ledger.bonds[nanogrid].amount += self.ledger.pay_seat_debts(nanogrid, amount)
        self.ledger.update_cover(nanogrid)
        self._take_tokens(source, amount)

    def start_unbonding(self, sender: str, unbonding: tuple[Any, ...], signature: bytes) -> None:
        given = Unbonding(*unbonding)
        signer = self.context.signer_or_nobody(sender, given, signature)
        if signer != self.registry.existing(given.nanogrid).owner:
            raise Refused("NotSeatOwner", given.nanogrid, signer)
        bond = self.ledger.bonds[given.nanogrid]
        if given.nonce != bond.nonce:
            raise Refused("StaleNonce", given.nonce, bond.nonce)
        if bond.unbonding and bond.unbonding_to != signer:
            raise Refused("UnbondingPending", given.nanogrid, bond.available_at)
        if given.amount_ueur > bond.amount:
            raise Refused("InsufficientBond", given.nanogrid, bond.amount, given.amount_ueur)
        bond.nonce += 1
        bond.amount -= given.amount_ueur
        bond.unbonding += given.amount_ueur
        bond.unbonding_to = signer
        bond.available_at = self.context.now + self.parameters.unbonding_s
        self.context.emit("UnbondingStarted", given.nanogrid, given.amount_ueur, bond.available_at)
        self.ledger.update_cover(given.nanogrid)

    def require_within_horizon(self, interval: int) -> None:
        earliest = interval - self.parameters.offer_horizon_s
        if self.context.now < earliest:
            raise Refused("OfferTooEarly", interval, earliest)

    def withdraw_bond(self, sender: str, nanogrid: int) -> None:
        bond = self.ledger.bonds[nanogrid]
        if not bond.unbonding:
            raise Refused("NothingToWithdraw")
        if self.context.now < bond.available_at:
            raise Refused("UnbondingPending", nanogrid, bond.available_at)
        owner = bond.unbonding_to
        amount, bond.unbonding = bond.unbonding, 0
        self.context.emit("BondWithdrawn", nanogrid, owner, amount)
        self.token.move(self.address, owner, amount)

    # ESCROW: THE MODULES' DOORS, CLOSED TO EVERYBODY ELSE

    def lock(self, sender: str, *_: Any) -> None:
        raise Refused("OnlyAuction", sender)

    def move_escrow(self, sender: str, *_: Any) -> None:
        raise Refused("OnlyAuction", sender)

    def open_awards(self, sender: str, *_: Any) -> None:
        raise Refused("OnlyAuction", sender)

    def release(self, sender: str, *_: Any) -> None:
        raise Refused("OnlyAuction", sender)

    def reserve_for_command(self, sender: str, *_: Any) -> None:
        raise Refused("OnlyModule", sender)

    def pay_availability(self, sender: str, *_: Any) -> None:
        raise Refused("OnlyModule", sender)

    def reserve(self, nanogrid: int, interval: int, dso: str, amount: int) -> int:
        """The reserve of a command, as far as the DSO's balance reaches."""
        balance = self.ledger.accounts[dso].balance
        reserved = command_reserve_ueur(1000, amount, balance)
        self.commands[nanogrid, interval] = CommandPayment(dso)
        self.ledger.lock(command_escrow(nanogrid, interval), dso, reserved)
        return reserved

    # SHARED

    def command_kind(self, nanogrid: int, interval: int) -> int:
        return Product(self.signals.commands[nanogrid, interval].product).kind

    def require_referee(self, sender: str) -> None:
        if not self.registry.has_role(REFEREE, sender):
            raise Refused("NotReferee", sender)

    def _require_operator(self, sender: str) -> None:
        self.registry.require_role(OPERATOR, sender)

    def _require_module(self, name: str, sender: str) -> None:
        if sender != self.modules[name]:
            raise Refused("OnlyModule", sender)

    @contextmanager
    def _permitted(self, owner: str, amount: int, permit: tuple[int, int, bytes, bytes]) -> Iterator[None]:
        """A permit that does not hold stops nothing: the allowance decides. A refused call leaves no permit behind."""
        place = (owner, self.address)
        before = self.token.allowances[place], self.token.nonces[owner]
        with suppress(Refused):
            self.token.permit(self.address, *place, amount, *permit)
        try:
            yield
        except Refused:
            self.token.allowances[place], self.token.nonces[owner] = before
            raise

    def _take_tokens(self, source: str, amount: int) -> None:
        self.token.spend(self.address, source, amount)
        self.token.move(source, self.address, amount)
