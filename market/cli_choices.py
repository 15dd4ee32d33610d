"""The protocol's codes as words of the command line."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated

import typer

from market.cli_session import hash_of, moment
from market.domain.typed_data import checksum_address
from market.domain.units import UEUR_PER_EUR


class PhaseName(StrEnum):
    """Traffic light."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"
    RED = "RED"


class SignalKindName(StrEnum):
    """What a signal was derived from."""

    FORECAST = "FORECAST"
    ACTUAL = "ACTUAL"


class DirectionName(StrEnum):
    """UP: more injection or less withdrawal; DOWN: the opposite."""

    UP = "UP"
    DOWN = "DOWN"


class SideName(StrEnum):
    """What the aggregator does in its auction."""

    BUY = "BUY"
    SELL = "SELL"


class RequestProduct(StrEnum):
    """Products that a DSO buys by request."""

    CM_REALTIME = "CM_REALTIME"
    VC_REALTIME = "VC_REALTIME"


class OfferStatusName(StrEnum):
    """Where an offer stands on the chain."""

    OPEN = "OPEN"
    CLEARED = "CLEARED"
    FINAL = "FINAL"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


_MOMENT_HELP = "epoch seconds or ISO 8601 with an offset"
Interval = Annotated[
    int, typer.Option("--interval", parser=moment, metavar="MOMENT", help=f"Start of the interval: {_MOMENT_HELP}.")
]
AnyInterval = Annotated[
    int | None, typer.Option("--interval", parser=moment, metavar="MOMENT", help="Only this interval.")
]
First = Annotated[
    int | None, typer.Option("--first", parser=moment, metavar="MOMENT", help=f"From this interval on: {_MOMENT_HELP}.")
]
Last = Annotated[int | None, typer.Option("--last", parser=moment, metavar="MOMENT", help="Up to this interval.")]
NodeId = Annotated[int, typer.Option("--node", help="The node's number.")]
AnyNode = Annotated[int | None, typer.Option("--node", help="Only this node.")]
OfferId = Annotated[str, typer.Argument(parser=hash_of, metavar="OFFER", help="The offer's id.")]
Salt = Annotated[int, typer.Option(help="Any number; makes a second one like the first another one.")]


def address_of(text: str) -> str:
    """An address in EIP-55 form. Raises typer.BadParameter."""
    digits = text.removeprefix("0x")
    if len(digits) != 40 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise typer.BadParameter(f"{text!r} is no address: 0x and 40 hexadecimal digits")
    return checksum_address(f"0x{digits}")


def euro(text: str) -> int:
    """Micro-euro of '12.50'. Raises typer.BadParameter."""
    try:
        amount = Decimal(text) * UEUR_PER_EUR
    except InvalidOperation as problem:
        raise typer.BadParameter(f"{text!r} is no amount in euro, such as 12.50") from problem
    if not amount.is_finite() or amount <= 0 or amount != amount.to_integral_value():
        raise typer.BadParameter(f"{text!r} must be positive, with at most six decimals")
    return int(amount)


AmountOption = Annotated[int, typer.Option("--amount", parser=euro, metavar="EUR", help="Amount in euro: 12.50.")]
NanogridOption = Annotated[int, typer.Option("--nanogrid", help="The nanogrid's id.")]
