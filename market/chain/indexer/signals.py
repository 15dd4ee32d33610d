"""Events of GridSignals."""

from __future__ import annotations

from typing import Final

from market.chain.bindings import Event
from market.chain.indexer.projecting import Projecting, on
from market.store.models import GridCommand, GridSignal, GridVerdict, Offer, TsoValidation

_CONTRACT: Final = "GridSignals"


@on(_CONTRACT, "SignalSet")
def _set_signal(run: Projecting, event: Event) -> None:
    run.session.add(
        GridSignal(
            node=event["node"],
            interval=event["interval"],
            kind=event["kind"],
            sequence=event["sequence"],
            phase=event["phase"],
            reason=event["reason"],
            author=event["author"],
            set_at=event.block_time,
        )
    )


@on(_CONTRACT, "VerdictGiven")
def _give_verdict(run: Projecting, event: Event) -> None:
    run.session.add(
        GridVerdict(
            offer=event["offer"],
            rejected=bytes.fromhex(event["rejected"][2:]),
            reasons=event["reasons"],
            author=event["author"],
            given_at=event.block_time,
        )
    )
    run.session.get_one(Offer, event["offer"]).verdict_at = event.block_time


@on(_CONTRACT, "CommandGiven")
def _give_command(run: Projecting, event: Event) -> None:
    run.session.add(
        GridCommand(
            nanogrid=event["nanogrid"],
            interval=event["interval"],
            product=event["product"],
            direction=event["direction"],
            quantity=event["quantity"],
            price_ueur_kwh=event["priceUeurKwh"],
            reserved_ueur=event["reservedUeur"],
            # The event before is the lock of the reserve, from the deposit of the DSO that pays.
            dso=_payer(run, event),
            reason=event["reason"],
            given_at=event.block_time,
            transaction=event.transaction,
        )
    )


def _payer(run: Projecting, event: Event) -> str:
    locked = run.previous
    if locked is None or locked.name != "EscrowLocked" or locked.transaction != event.transaction:
        raise ValueError(f"the command of transaction {event.transaction} has no reserve")
    account: str = locked["account"]
    return account


@on(_CONTRACT, "TsoRequestValidated")
def _validate_tso_request(run: Projecting, event: Event) -> None:
    validation = run.session.get(TsoValidation, (event["request"], event["node"]))
    if validation is None:
        validation = TsoValidation(request=event["request"], node=event["node"])
        run.session.add(validation)
    validation.accepted, validation.reason = event["accepted"], event["reason"]
    validation.validated_at = event.block_time
