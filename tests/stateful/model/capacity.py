"""The model of CapacityRegister: who is reserved in which months, and what it is paid for that."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from market.domain.messages import CapacityContract, Forfeit
from market.domain.products import Product
from tests.stateful.model.refusal import Context, Refused
from tests.stateful.model.registry import RegistryModel

if TYPE_CHECKING:
    from tests.stateful.model.settlement import SettlementModel

RESERVES = {Product.CM_CAPACITY: Product.CM_REALTIME, Product.VC_CAPACITY_Q: Product.VC_REALTIME}


def month_of(at_s: int) -> int:
    """Number of the month of UTC that contains a moment [epoch s]: year x 12 + month - 1."""
    moment = datetime.fromtimestamp(at_s, UTC)
    return moment.year * 12 + moment.month - 1


def start_of_month(month: int) -> int:
    """First second of a month [epoch s]."""
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC).timestamp())


@dataclass
class CapacityModel:
    context: Context
    registry: RegistryModel
    settlement: SettlementModel = field(init=False)
    contracts: dict[bytes, CapacityContract] = field(default_factory=dict)
    closed: set[tuple[bytes, int]] = field(default_factory=set)
    reserved: set[tuple[int, int, int]] = field(default_factory=set)

    def is_reserved(self, nanogrid: int, product: int, interval: int) -> bool:
        return (nanogrid, product, month_of(interval)) in self.reserved

    def register_contract(self, sender: str, terms: tuple[Any, ...], signature: bytes) -> None:
        given = CapacityContract(*terms)
        self.registry.existing(given.nanogrid)
        if given.product not in RESERVES:
            raise Refused("InvalidProduct", given.product)
        if given.months == 0:
            raise Refused("NoMonths")
        if self.context.now >= start_of_month(given.first_month):
            raise Refused("MonthAlreadyBegun", given.first_month)
        id_ = self.context.digest(given)
        dso = self._require_dso(sender, given.nanogrid, given, signature)
        if id_ in self.contracts:
            raise Refused("ContractExists", id_)
        product = RESERVES[Product(given.product)]
        months = range(given.first_month, given.first_month + given.months)
        for month in months:
            if (given.nanogrid, product, month) in self.reserved:
                raise Refused("AlreadyReserved", given.nanogrid, given.product, month)
        self.contracts[id_] = given
        self.reserved |= {(given.nanogrid, product, month) for month in months}
        self.context.emit("CapacityContractRegistered", id_, *terms[:6], dso)

    def pay_availability(self, sender: str, id_: bytes, month: int) -> None:
        terms = self._open_month(id_, month)
        if self.context.now < start_of_month(month + 1):
            raise Refused("MonthNotOver", month)
        hours = (start_of_month(month + 1) - start_of_month(month)) // 3600
        amount = terms.power_w * terms.availability_price_ueur_kw_h * hours // 1000
        dso = self.registry.nodes[self.registry.node_of(terms.nanogrid >> 16)]
        self.settlement.ledger.require_balance(dso, amount)
        self.closed.add((id_, month))
        self.context.emit("AvailabilityPaid", id_, month, amount)
        self.settlement.ledger.debit_account(dso, amount)
        self.settlement.ledger.credit_seat(terms.nanogrid, amount)

    def forfeit_availability(self, sender: str, id_: bytes, month: int, signature: bytes) -> None:
        terms = self._open_month(id_, month)
        self._require_dso(sender, terms.nanogrid, Forfeit(id_, month), signature)
        self.closed.add((id_, month))
        self.context.emit("AvailabilityForfeited", id_, month)

    def _open_month(self, id_: bytes, month: int) -> CapacityContract:
        if id_ not in self.contracts:
            raise Refused("UnknownContract", id_)
        terms = self.contracts[id_]
        if not terms.first_month <= month < terms.first_month + terms.months:
            raise Refused("MonthNotInContract", id_, month)
        if (id_, month) in self.closed:
            raise Refused("AlreadyPaid", id_, month)
        return terms

    def _require_dso(self, sender: str, nanogrid: int, message: CapacityContract | Forfeit, signature: bytes) -> str:
        signer = self.context.signer(sender, message, signature)
        node = self.registry.node_of(nanogrid >> 16)
        if not self.registry.is_dso(node, signer):
            raise Refused("NotDsoOfNode", node, signer)
        return signer
