"""Widths, ranges and roundings of the market's integers.

Energy in Wh (reactive: varh), power in W, money in micro-euro (ueur), prices in micro-euro per kWh (kvarh).
Load convention at the connection point: + is withdrawal, - is injection.
"""

from __future__ import annotations

from typing import Final

PRICE_BITS: Final = 29
QUANTITY_BITS: Final = 24
INDEX_BITS: Final = 16
POSITION_BITS: Final = 24
REVISION_BITS: Final = 2

MIN_PRICE_UEUR_KWH: Final = 1
MAX_PRICE_UEUR_KWH: Final = 2**PRICE_BITS - 1
MAX_QUANTITY: Final = 2**QUANTITY_BITS - 1
MAX_OFFER_QUANTITY: Final = 2**40 - 1
MAX_INDEX: Final = 2**INDEX_BITS - 1
MAX_PORTFOLIO: Final = 2**32 - 1
MAX_POSITION: Final = 2**POSITION_BITS - 1
MAX_INTERVAL: Final = 2**32 - 1

MAX_POSTS: Final = 3
"""Posts of a nanogrid in one offer: a bid, a revision or withdrawal, a last withdrawal."""
MAX_REVISION: Final = MAX_POSTS - 1
MAX_PASSED_OVER: Final = 16
NO_MARGINAL: Final = 2**64 - 1
"""Marginal rank of a claim when every bid that counts was reached."""
NO_BASELINE: Final = -(2**31)
"""In a baseline vector in place of a nanogrid's value where it has none: what the contracts settle nothing against."""

RECORD_BYTES: Final = 12
SIGNATURE_BYTES: Final = 64
P256_SIGNATURE_BYTES: Final = 128
WIRE_BID_BYTES: Final = RECORD_BYTES + SIGNATURE_BYTES
RECORDS_PER_LEAF: Final = 8

TOLERATED_PER_MILLE: Final = 900
"""Share of an award that has to be delivered: 1000 less the tolerance of 10 %."""
PENALTY_PER_MILLE: Final = 1500
"""Penalty price as a share of the bid's price."""
BOND_COVERS: Final = 8
"""A bond is eight times the cover of one bid."""
MAX_COVER_CENTS: Final = 2**24 - 1
UEUR_PER_CENT: Final = 10_000
UEUR_PER_EUR: Final = 1_000_000


def require_range(name: str, value: int, low: int, high: int) -> int:
    """Returns `value` when low <= value <= high, else raises ValueError that names the field and its range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be an integer, not {type(value).__name__}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, not {value}")
    return value


def nanogrid_id(portfolio: int, index: int) -> int:
    """Id of a nanogrid (uint48): portfolio << 16 | index within the portfolio."""
    require_range("portfolio", portfolio, 0, MAX_PORTFOLIO)
    require_range("index", index, 0, MAX_INDEX)
    return portfolio << INDEX_BITS | index


def portfolio_of(nanogrid: int) -> int:
    """Portfolio of a nanogrid's id."""
    return nanogrid >> INDEX_BITS


def index_of(nanogrid: int) -> int:
    """Index of a nanogrid within its portfolio."""
    return nanogrid & MAX_INDEX
