"""How an event becomes rows: the register of the handlers, and what they share while events are applied in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from market.chain.bindings import Event
from market.store.models import Account, LedgerEntry, LedgerKind, Nanogrid, Purse

ZERO_HASH: Final = "0x" + 64 * "0"
ZERO_ADDRESS: Final = "0x" + 40 * "0"
RECORD_BYTES: Final = 12


@dataclass
class Projecting:
    """One run over events in the chain's order, within one transaction of the database."""

    session: Session
    time_unit_s: int
    """Length of an interval. [s]"""
    previous: Event | None = None
    """The event before, of whichever contract."""
    funded: int | None = None
    """The nanogrid whose bond is being funded: debts that are paid right after are paid from the funding."""

    def apply(self, event: Event) -> None:
        """Write what an event means; one that nothing follows from is passed over."""
        if event.name != "SeatDebtChanged":
            self.funded = None
        handler = _HANDLERS.get((event.contract, event.name))
        if handler is not None:
            handler(self, event)
        self.previous = event

    def nanogrid(self, nanogrid: int) -> Nanogrid:
        """The row of a registered nanogrid."""
        return self.session.get_one(Nanogrid, nanogrid)

    def account(self, account: str) -> Account:
        """The row of an account; new ones have nothing."""
        row = self.session.get(Account, account)
        if row is None:
            row = Account(account=account, balance_ueur=0, debt_ueur=0)
            self.session.add(row)
        return row

    def book_account(
        self, event: Event, part: int, account: str, kind: LedgerKind, amount_ueur: int, **about: Any
    ) -> None:
        """Change an account's balance, with a line of its statement; nothing for an amount of 0."""
        if amount_ueur:
            self.account(account).balance_ueur += amount_ueur
            self._enter(event, part, Purse.ACCOUNT, kind, amount_ueur, account=account, **about)

    def book_seat(
        self, event: Event, part: int, nanogrid: int, kind: LedgerKind, amount_ueur: int, **about: Any
    ) -> None:
        """Change a seat's balance."""
        if amount_ueur:
            self.nanogrid(nanogrid).balance_ueur += amount_ueur
            self._enter(event, part, Purse.SEAT, kind, amount_ueur, nanogrid=nanogrid, **about)

    def book_bond(self, event: Event, part: int, nanogrid: int, kind: LedgerKind, amount_ueur: int) -> None:
        """Change a seat's bond; what it lacks is taken from the part that is being unbonded."""
        if amount_ueur:
            seat = self.nanogrid(nanogrid)
            lacking_ueur = max(0, -(seat.bond_ueur + amount_ueur))
            seat.bond_ueur += amount_ueur + lacking_ueur
            seat.unbonding_ueur -= lacking_ueur
            self._enter(event, part, Purse.BOND, kind, amount_ueur, nanogrid=nanogrid)

    def _enter(self, event: Event, part: int, purse: Purse, kind: LedgerKind, amount_ueur: int, **about: Any) -> None:
        self.session.add(
            LedgerEntry(
                block=event.block,
                log_index=event.log_index,
                part=part,
                purse=purse,
                kind=kind,
                amount_ueur=amount_ueur,
                at=event.block_time,
                transaction=event.transaction,
                **about,
            )
        )


Handler = Callable[[Projecting, Event], None]
_HANDLERS: dict[tuple[str, str], Handler] = {}


def on(contract: str, name: str) -> Callable[[Handler], Handler]:
    """Register the handler of a contract's event."""

    def register(handler: Handler) -> Handler:
        if (contract, name) in _HANDLERS:
            raise ValueError(f"{contract}.{name} has a handler already")
        _HANDLERS[contract, name] = handler
        return handler

    return register


def handled_events() -> frozenset[tuple[str, str]]:
    """(contract, event) of all handlers."""
    return frozenset(_HANDLERS)


def given(value: str) -> str | None:
    """A hash or address; None for the zero one."""
    return None if value in (ZERO_HASH, ZERO_ADDRESS) else value
