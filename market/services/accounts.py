"""Accounts: balance, deposit by permit, withdrawal, and the statement of everything that moved."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from market.domain.intervals import iso
from market.domain.messages import Withdrawal
from market.domain.signing import Signature
from market.domain.units import UEUR_PER_EUR
from market.services.access import Principal, Scope
from market.services.decisions import Carried, audit, carry, parse, wire_signature
from market.services.market import Market, purpose_key
from market.services.roles import require_account, require_account_sight, roles_of
from market.store.books import Account, LedgerEntry, Purse
from market.store.projections import Nanogrid

STATEMENT_COLUMNS: Final = (
    "at", "kind", "purse", "nanogrid", "interval", "reference", "ordinal", "amount_eur", "balance_eur", "transaction",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TokenPermit:
    """An ERC-2612 permit for Settlement over `amount_ueur`, signed by the holder of the tokens."""

    amount_ueur: int
    deadline: int
    signature: str

    def arguments(self) -> tuple[int, int, int, bytes, bytes]:
        """Amount, deadline, v, r and s, as the contracts take them. Raises BadSignature."""
        wire = Signature.from_hex(self.signature).to_bytes()
        return self.amount_ueur, self.deadline, wire[64], wire[:32], wire[32:64]


def account_document(market: Market, session: Session, principal: Principal, account: str) -> dict[str, Any]:
    """What an account holds in Settlement and in tokens, and what its next signatures need.

    Raises:
        NotAllowed: the account is not the caller's.
    """
    require_account_sight(session, principal, account)
    row = session.get(Account, account)
    chain = market.contracts
    return {
        "account": account,
        "roles": roles_of(session, account),
        "balance_ueur": 0 if row is None else row.balance_ueur,
        "debt_ueur": 0 if row is None else row.debt_ueur,
        "token_balance_ueur": chain.call(chain.token.functions.balanceOf(account)),
        "withdrawal_nonce": chain.call(chain.settlement.functions.nonceOf(account)),
        "permit_nonce": chain.call(chain.token.functions.nonces(account)),
        "nanogrids": list(
            session.scalars(select(Nanogrid.nanogrid).where(Nanogrid.owner == account).order_by(Nanogrid.nanogrid))
        ),
    }


def deposit(market: Market, principal: Principal, account: str, permit: TokenPermit) -> Carried:
    """Move tokens of an account into its balance; debts are paid first."""
    require_account(principal, account)
    function = market.contracts.settlement.functions.depositWithPermit(account, *permit.arguments())
    return carry_permit(market, principal, function, "deposit", account, permit)


def carry_permit(
    market: Market, principal: Principal, function: Any, cause: str, subject: object, permit: TokenPermit
) -> Carried:
    """Send a call that rests on a permit, once; a permit that is used up is refused by the token.

    Raises:
        ContractRefused: signature, nonce, deadline or balance are wrong; nothing has been written.
    """
    key = purpose_key(cause, subject, permit.amount_ueur, permit.deadline, permit.signature)
    receipt = market.relay(function, f"{cause}:{key}")
    with market.sessions() as session:
        audit(session, market.now_s(), principal.address, cause, "account", subject, amount_ueur=permit.amount_ueur)
    return Carried(f"0x{key}", receipt.transaction_hash, receipt.block)


def withdraw(market: Market, principal: Principal, account: str, message: Mapping[str, Any], signature: str) -> Carried:
    """Pay a part of an account's balance out to its address as tokens."""
    require_account(principal, account)
    withdrawal = parse(Withdrawal, message, account=account)
    function = market.contracts.settlement.functions.withdraw(withdrawal.arguments(), wire_signature(signature))
    return carry(market, principal, withdrawal, signature, function, subject=account, scope=Scope.ACCOUNT)


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One change of one balance, with the balance after it."""

    entry: LedgerEntry
    balance_ueur: int

    def document(self) -> dict[str, Any]:
        entry = self.entry
        return {
            "at": entry.at,
            "kind": entry.kind,
            "purse": entry.purse,
            "nanogrid": entry.nanogrid,
            "interval": entry.interval,
            "reference": entry.reference,
            "ordinal": entry.ordinal,
            "amount_ueur": entry.amount_ueur,
            "balance_ueur": self.balance_ueur,
            "transaction": entry.transaction,
        }


def statement(
    session: Session, principal: Principal, account: str, first_s: int | None = None, last_s: int | None = None
) -> Select[LedgerEntry, int]:
    """Query for every change of an account's balance and of the balances and bonds of its nanogrids, oldest first,
    each with the balance after it [micro-euro].

    first_s, last_s: only lines from … to [epoch s]; balances count what was before all the same.

    Raises:
        NotAllowed: the account is not the caller's.
    """
    require_account_sight(session, principal, account)
    place = (LedgerEntry.block, LedgerEntry.log_index, LedgerEntry.part)
    of_purse = case((LedgerEntry.purse == Purse.ACCOUNT, None), else_=LedgerEntry.nanogrid)
    balance = func.sum(LedgerEntry.amount_ueur).over(partition_by=(LedgerEntry.purse, of_purse), order_by=place)
    lines = select(LedgerEntry, balance.label("balance_ueur")).where(_of_account(account)).subquery()
    entry = aliased(LedgerEntry, lines)
    query = select(entry, lines.c.balance_ueur).where(_not_of_former_owners(entry))
    if last_s is not None:
        query = query.where(entry.at <= last_s)
    if first_s is not None:
        query = query.where(entry.at >= first_s)
    return query.order_by(entry.block, entry.log_index, entry.part)


def lines_of(rows: Iterable[Row[LedgerEntry, int]]) -> list[StatementLine]:
    """The lines that a statement's query found."""
    return [StatementLine(entry, int(balance_ueur)) for entry, balance_ueur in rows]


def _of_account(account: str) -> ColumnElement[bool]:
    own = select(Nanogrid.nanogrid).where(Nanogrid.owner == account)
    return or_(
        (LedgerEntry.purse == Purse.ACCOUNT) & (LedgerEntry.account == account),
        LedgerEntry.purse.in_([Purse.SEAT, Purse.BOND]) & LedgerEntry.nanogrid.in_(own),
    )


def _not_of_former_owners(entry: type[LedgerEntry]) -> ColumnElement[bool]:
    since = select(Nanogrid.owned_since).where(Nanogrid.nanogrid == entry.nanogrid).scalar_subquery()
    return (entry.purse == Purse.ACCOUNT) | (entry.at > since)


def statement_csv(lines: Iterable[StatementLine]) -> str:
    """A statement as CSV (RFC 4180): times in ISO 8601 UTC, amounts in euro with all six decimals."""
    text = io.StringIO()
    writer = csv.DictWriter(text, STATEMENT_COLUMNS)
    writer.writeheader()
    for line in lines:
        row = line.document()
        interval = row["interval"]
        writer.writerow(
            {
                **{name: row.get(name) for name in STATEMENT_COLUMNS},
                "at": iso(row["at"]),
                "interval": None if interval is None else iso(interval),
                "amount_eur": euro(row["amount_ueur"]),
                "balance_eur": euro(row["balance_ueur"]),
            }
        )
    return text.getvalue()


def euro(amount_ueur: int) -> str:
    """Micro-euro as euro with six decimals, exactly."""
    return f"{Decimal(amount_ueur) / UEUR_PER_EUR:.6f}"
