"""Events of the CapacityRegister."""

from __future__ import annotations

from typing import Final

from market.chain.bindings import Event
from market.chain.indexer.projecting import Projecting, on
from market.store.models import AvailabilityMonth, CapacityContract, LedgerKind, Node

_CONTRACT: Final = "CapacityRegister"


@on(_CONTRACT, "CapacityContractRegistered")
def _register_contract(run: Projecting, event: Event) -> None:
    run.session.add(
        CapacityContract(
            id=event["id"],
            nanogrid=event["nanogrid"],
            product=event["product"],
            first_month=event["firstMonth"],
            months=event["months"],
            power_w=event["powerW"],
            availability_price_ueur_kw_h=event["availabilityPriceUeurKwH"],
            dso=event["dso"],
            registered_at=event.block_time,
        )
    )


@on(_CONTRACT, "AvailabilityPaid")
def _pay_availability(run: Projecting, event: Event) -> None:
    contract = run.session.get_one(CapacityContract, event["id"])
    amount_ueur: int = event["amountUeur"]
    run.session.add(
        AvailabilityMonth(
            id=contract.id, month=event["month"], paid_ueur=amount_ueur, forfeited=False, at=event.block_time
        )
    )
    about = {"reference": contract.id, "nanogrid": contract.nanogrid}
    # As the contract: the node's DSO of today has taken the contracts over.
    dso = run.session.get_one(Node, run.nanogrid(contract.nanogrid).node).dso
    run.book_account(event, 0, dso, LedgerKind.AVAILABILITY, -amount_ueur, **about)
    run.book_seat(event, 1, contract.nanogrid, LedgerKind.AVAILABILITY, amount_ueur, reference=contract.id)


@on(_CONTRACT, "AvailabilityForfeited")
def _forfeit_availability(run: Projecting, event: Event) -> None:
    run.session.add(AvailabilityMonth(id=event["id"], month=event["month"], forfeited=True, at=event.block_time))
