"""How many awards one transaction of a settlement takes.

A batch bears the portfolio's whole baseline vector, and all award records from its first award to its last one, also
those between that are none of its own. So it takes as many awards as there is room for: then settling grows in
proportion to awards. And awards that lie far apart come in batches of their own where one would take too much.

Gas is bounded from above, a tenth and more below what a transaction may take: 16,777,216 gas (EIP-7825), 131,072 bytes.
Plain awards by figures of docs/benchmarks/gas.json, all others by the dearest there are, which tests/gas measures: what
is left of a bond does not pay the penalty, and the rest is the seat's first debt and suspends it. An outage that
empties many bonds makes a whole offer of these.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from market.domain.settled_records import READING_BYTES
from market.domain.units import RECORD_BYTES, RECORDS_PER_LEAF, SIGNATURE_BYTES

MAX_BATCH_GAS: Final = 14_000_000
MAX_BATCH_BYTES: Final = 120_000
"""Of vector, award records and readings; proofs, binding and signature have what remains."""

_START_GAS: Final = 250_000
_VALUE_BYTES: Final = 4
_VALUE_GAS: Final = 100
_PASSED_RECORD_GAS: Final = 300
_PLAIN_GAS: Final = 13_000
_OTHER_GAS: Final = 110_000
_EXPIRED_GAS: Final = 85_000
_SKIPPED_GAS: Final = 20_000
"""Where the node went RED after the interval had begun: each is asked for its command, too."""


@dataclass(frozen=True, slots=True)
class Load:
    """What an award that is to be ended adds to its transaction [gas; bytes], its record apart."""

    ordinal: int
    gas: int
    length_bytes: int


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction takes without awards, and for each award record from its first to its last [gas; bytes]."""

    start_gas: int
    start_bytes: int
    record_gas: int


def settling(values: int) -> Call:
    """`settle` in a portfolio of so many baseline values."""
    return Call(_START_GAS + values * _VALUE_GAS, values * _VALUE_BYTES, _PASSED_RECORD_GAS)


EXPIRING: Final = Call(_START_GAS, 0, _SKIPPED_GAS)
"""`expireAwards`: whatever lies between its awards is judged, and skipped, with them."""


def load_of_reading(ordinal: int, signature: bytes, is_plain: bool) -> Load:
    """A reading for `settle`. is_plain: it delivers a BUY award without penalty, no command can exist, the award was
    never on hold and its seat owes nothing, so that the contract books it in its tight loop. A P-256 signature leaves
    that loop, too."""
    is_plain = is_plain and len(signature) == SIGNATURE_BYTES
    return Load(ordinal, _PLAIN_GAS if is_plain else _OTHER_GAS, READING_BYTES + len(signature))


def load_of_expiry(ordinal: int) -> Load:
    """An award for `expireAwards`."""
    return Load(ordinal, _EXPIRED_GAS, 0)


def batches(call: Call, loads: Sequence[Load]) -> list[list[int]]:
    """Cuts awards, in ascending ordinals, into the ordinals of transactions: each takes all that it has room for, and
    one at least."""
    cut: list[list[int]] = []
    gas = length_bytes = 0
    for load in loads:
        gas, length_bytes = gas + load.gas, length_bytes + load.length_bytes
        if not cut or not _has_room(call, gas, length_bytes, load.ordinal - cut[-1][0] + 1):
            cut.append([])
            gas, length_bytes = load.gas, load.length_bytes
        cut[-1].append(load.ordinal)
    return cut


def batches_of_expiry(due: Sequence[int], unsettled: Collection[int]) -> list[list[int]]:
    """Cuts what is due, in ascending ordinals, into transactions of `expireAwards`. That ends whatever has no mark of
    its end in the leaves that it is shown: leaves with an award that is still to be settled stay out of each."""
    kept = sorted({_leaf_of(ordinal) for ordinal in unsettled})
    stretches = groupby(
        (ordinal for ordinal in due if _leaf_of(ordinal) not in kept), lambda ordinal: bisect(kept, _leaf_of(ordinal))
    )
    return [batch for _, stretch in stretches for batch in batches(EXPIRING, list(map(load_of_expiry, stretch)))]


def _leaf_of(ordinal: int) -> int:
    return ordinal // RECORDS_PER_LEAF


def _has_room(call: Call, gas: int, length_bytes: int, records: int) -> bool:
    return (
        call.start_gas + gas + records * call.record_gas <= MAX_BATCH_GAS
        and call.start_bytes + length_bytes + records * RECORD_BYTES <= MAX_BATCH_BYTES
    )
