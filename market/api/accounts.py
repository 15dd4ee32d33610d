"""Accounts: balance, deposits, withdrawals, statements."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator

from market.api.bodies import Number, Permit, SignedMessage
from market.api.context import Caller, CurrentMarket
from market.api.examples import signed_example
from market.api.paging import Page
from market.domain.messages import Withdrawal
from market.domain.typed_data import checksum_address
from market.services import accounts

router = APIRouter(prefix="/accounts", tags=["accounts"])

AccountOf = Annotated[str, Path(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(checksum_address)]
_WITHDRAWAL = Withdrawal("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", 2_500_000, 0)
_CSV = (
    ",".join(accounts.STATEMENT_COLUMNS)
    + "\r\n2026-05-20T10:00:00Z,AWARD_PAID,SEAT,65543,2026-05-20T09:30:00Z,0xab…,3,0.150000,12.400000,0xcd…\r\n"
)


@router.get("/{account}")
def show_account(market: CurrentMarket, caller: Caller, account: AccountOf) -> dict[str, Any]:
    """Balance, debt, tokens, and the nonces that the next signatures need."""
    with market.reading() as session:
        return accounts.account_document(market, session, caller, account)


@router.post("/{account}/deposits", status_code=201)
def deposit(market: CurrentMarket, caller: Caller, account: AccountOf, body: Permit) -> dict[str, Any]:
    """Move the account's tokens into its balance by an ERC-2612 permit for Settlement; debts are paid first."""
    return accounts.deposit(market, caller, account, body.permit()).document()


@router.post("/{account}/withdrawals", status_code=201)
def withdraw(
    market: CurrentMarket,
    caller: Caller,
    account: AccountOf,
    body: Annotated[SignedMessage, signed_example(_WITHDRAWAL)],
) -> dict[str, Any]:
    """Pay a part of the balance out to the account's address as tokens."""
    return accounts.withdraw(market, caller, account, body.message, body.signature).document()


@router.get(
    "/{account}/statement",
    response_model=None,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": _CSV}}}},
)
def show_statement(
    market: CurrentMarket,
    page: Page,
    caller: Caller,
    account: AccountOf,
    first: Annotated[Number | None, Query(description="From this moment on [epoch s]")] = None,
    last: Annotated[Number | None, Query(description="Up to this moment [epoch s]")] = None,
    format_: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> dict[str, Any] | Response:
    """Every change of the account's balance and of its nanogrids' balances and bonds, with the balance after it."""
    with market.reading() as session:
        query = accounts.statement(session, caller, account, first, last)
        if format_ == "json":
            return page.select(session, query, lambda rows: [line.document() for line in accounts.lines_of(rows)])
        lines = accounts.lines_of(session.execute(query))
        headers = {"Content-Disposition": f'attachment; filename="statement-{account}.csv"'}
        return Response(accounts.statement_csv(lines), media_type="text/csv; charset=utf-8", headers=headers)
