"""Money in micro-euro: reading and writing amounts and prices as people do, without floats.

Escrow and pay roundings are in `settlement`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

from market.domain.units import UEUR_PER_EUR

_UEUR: Final = Decimal(UEUR_PER_EUR)


def eur(amount_ueur: int) -> Decimal:
    """Euro of an amount in micro-euro, with six decimals."""
    return (Decimal(amount_ueur) / _UEUR).quantize(Decimal("0.000001"))


def format_eur(amount_ueur: int, decimals: int = 6) -> str:
    """'-12.345600 EUR' of micro-euro. Fewer decimals round half to even, for display only."""
    return f"{eur(amount_ueur):,.{decimals}f} EUR".replace(",", "\N{NARROW NO-BREAK SPACE}")


def format_price(price_ueur_kwh: int) -> str:
    """'0.1234 EUR/kWh' of a price in micro-euro per kWh."""
    return f"{eur(price_ueur_kwh).normalize():f} EUR/kWh"


def parse_eur(text: str) -> int:
    """Micro-euro of '12.34' or '12.34 EUR'; ValueError for more than six decimals or anything else."""
    digits = text.strip().removesuffix("EUR").strip()
    try:
        amount = Decimal(digits) * _UEUR
    except InvalidOperation:
        raise ValueError(f"not an amount in euro: {text!r}") from None
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise ValueError(f"not a finite amount of whole micro-euro (six decimals): {text!r}")
    return int(amount)
