"""Products, sides, directions and phases: the codes of the chain and the table of the local services.

Source: source document 002, table 11.2-1 and Annex A (the five services); docs/protocol.md (the codes).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final


class Side(IntEnum):
    """What the aggregator does in the auction; with too much PV it BUYS the direction DOWN."""

    BUY = 0
    SELL = 1


class Direction(IntEnum):
    """Direction of flexibility at the connection point."""

    UP = 0
    """More injection or less withdrawal."""
    DOWN = 1
    """Less injection or more withdrawal."""

    @property
    def sign(self) -> int:
        """s of the settlement: +1 for UP, -1 for DOWN; delivered = (baseline - metered) x s."""
        return 1 if self is Direction.UP else -1

    @property
    def load_sign(self) -> int:
        """Sign of the change of the load-convention value that delivers this direction: -1 for UP, +1 for DOWN."""
        return -self.sign


class Phase(IntEnum):
    """Traffic light of a node for an interval."""

    GREEN = 0
    YELLOW = 1
    RED = 2


class SignalKind(IntEnum):
    """What a signal was derived from."""

    FORECAST = 0
    ACTUAL = 1


class Kind(IntEnum):
    """Kind of energy that a product moves."""

    ACTIVE = 0
    REACTIVE = 1


class Product(IntEnum):
    """Codes of the products on the chain."""

    CM_REALTIME = 1
    CM_CAPACITY = 2
    VC_REALTIME = 3
    VC_CAPACITY_Q = 4
    VC_EMERGENCY_P = 5
    INTERNAL = 6

    @property
    def kind(self) -> Kind:
        """Active or reactive energy."""
        return PRODUCTS[self].kind

    @property
    def is_auctioned(self) -> bool:
        """Whether offers of this product can be opened."""
        return self in AUCTIONED

    @property
    def answers_request(self) -> bool:
        """Whether its offers answer a DSO's request (INTERNAL ones have none)."""
        return self in REQUESTED


class Remuneration(StrEnum):
    """How a product is paid."""

    CAPACITY_PRICE = "capacity price, at programming"
    PAY_AS_BID = "pay as bid"
    PAY_AS_BID_FOR_EXECUTION = "pay as bid for the time of execution"


class Procurement(StrEnum):
    """How a product is bought."""

    TENDER = "tender, with a cap"
    AUCTION = "auction, with a cap"
    DIRECT = "directly by the DSO"
    COMMUNITY = "auction within the community"


class SystemState(StrEnum):
    """States of the grid in which a product may be used."""

    NORMAL = "normal"
    ALERT = "alert"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class ProductTerms:
    """One row of the table of services. `quantity_unit` is the unit of the quantity as the source names it."""

    product: Product
    name: str
    kind: Kind
    is_capacity: bool
    quantity_unit: str
    supply: str
    system_states: frozenset[SystemState]
    remuneration: Remuneration
    both_directions: bool
    activated_by_aggregator: bool
    procurement: Procurement
    is_aggregable: bool = True
    perimeter: str = "secondary substations"


_NORMAL = frozenset({SystemState.NORMAL, SystemState.ALERT})
_EMERGENCY = frozenset({SystemState.EMERGENCY})
_SRP = "scheduled (SRP)"
_CRP = "conditional (CRP)"

PRODUCTS: Final[Mapping[Product, ProductTerms]] = MappingProxyType(
    {
        terms.product: terms
        for terms in (
            ProductTerms(
                Product.CM_CAPACITY, "Congestion Management Capacity", Kind.ACTIVE, True, "W per h", _SRP, _NORMAL,
                Remuneration.CAPACITY_PRICE, True, True, Procurement.TENDER,
            ),
            ProductTerms(
                Product.CM_REALTIME, "Congestion Management Real Time", Kind.ACTIVE, False, "W per h", _CRP, _NORMAL,
                Remuneration.PAY_AS_BID_FOR_EXECUTION, False, True, Procurement.AUCTION,
            ),
            ProductTerms(
                Product.VC_CAPACITY_Q, "Voltage Control – Capacity Reactive Power", Kind.REACTIVE, True, "var per h",
                _SRP, _NORMAL, Remuneration.CAPACITY_PRICE, True, True, Procurement.TENDER,
            ),
            ProductTerms(
                Product.VC_REALTIME, "Voltage Control – Real Time", Kind.REACTIVE, False, "var h", _CRP, _NORMAL,
                Remuneration.PAY_AS_BID, False, True, Procurement.AUCTION,
            ),
            ProductTerms(
                Product.VC_EMERGENCY_P, "Voltage Control – Active Power, emergency", Kind.ACTIVE, False, "W per h",
                _CRP, _EMERGENCY, Remuneration.PAY_AS_BID, False, False, Procurement.DIRECT,
            ),
            ProductTerms(
                Product.INTERNAL, "The community's own flexibility", Kind.ACTIVE, False, "W per h", _CRP, _NORMAL,
                Remuneration.PAY_AS_BID, False, True, Procurement.COMMUNITY,
            ),
        )
    }
)  # fmt: skip
"""The five local services of the source document, and INTERNAL."""

REQUESTED: Final = frozenset({Product.CM_REALTIME, Product.VC_REALTIME})
AUCTIONED: Final = REQUESTED | {Product.INTERNAL}
COMMAND_PRODUCT: Final = Product.VC_EMERGENCY_P
"""Product of a RED command."""
