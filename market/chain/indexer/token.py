"""Events of the SettlementToken."""

from __future__ import annotations

from typing import Final

from market.chain.bindings import Event
from market.chain.indexer.projecting import Projecting, given, on
from market.store.models import TokenIssue, TokenTransfer

_CONTRACT: Final = "SettlementToken"


@on(_CONTRACT, "Transfer")
def _transfer(run: Projecting, event: Event) -> None:
    run.session.add(
        TokenTransfer(
            block=event.block,
            log_index=event.log_index,
            from_account=given(event["from"]),
            to_account=given(event["to"]),
            amount_ueur=event["value"],
            at=event.block_time,
            transaction=event.transaction,
        )
    )


@on(_CONTRACT, "Minted")
def _mint(run: Projecting, event: Event) -> None:
    _issue(run, event, event["to"], event["amountUeur"])


@on(_CONTRACT, "Burned")
def _burn(run: Projecting, event: Event) -> None:
    _issue(run, event, None, -event["amountUeur"])


def _issue(run: Projecting, event: Event, account: str | None, amount_ueur: int) -> None:
    run.session.add(
        TokenIssue(
            block=event.block,
            log_index=event.log_index,
            account=account,
            amount_ueur=amount_ueur,
            reference=event["reference_"],
            at=event.block_time,
            transaction=event.transaction,
        )
    )
