"""The packed forms of a settlement: readings as `settle` takes them, results as AwardsSettled tells them.

Source: docs/protocol.md, "Settlement". Energies in Wh (varh), load convention.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from market.domain.settlement import Outcome
from market.domain.units import P256_SIGNATURE_BYTES, SIGNATURE_BYTES, require_range

READING_BYTES: Final = 15
"""Of a reading without its signature."""
RESULT_BYTES: Final = 15
ANNOUNCED: Final = bytes(SIGNATURE_BYTES)
"""In place of a signature."""
MAX_ORDINAL: Final = 2**23 - 1
_P256_FLAG: Final = 2**23


@dataclass(frozen=True, slots=True)
class SettlementReading:
    """A gateway's signed reading for the award with an ordinal: the contract's `AwardReading`.

    signature: 64 bytes (secp256k1, compact) or 128 (P-256: r, s, x, y); `ANNOUNCED` for one that was announced, which
    counts even when the gateway's key has changed since.
    """

    ordinal: int
    active_energy_wh: int
    reactive_energy_varh: int
    sequence: int
    signature: bytes

    def pack(self) -> bytes:
        """79 bytes, or 143 with a P-256 signature; ValueError for a signature of another length."""
        ordinal = require_range("ordinal", self.ordinal, 0, MAX_ORDINAL)
        if len(self.signature) == P256_SIGNATURE_BYTES:
            ordinal |= _P256_FLAG
        elif len(self.signature) != SIGNATURE_BYTES:
            raise ValueError(f"a gateway's signature has {SIGNATURE_BYTES} or {P256_SIGNATURE_BYTES} bytes")
        return b"".join(
            (
                ordinal.to_bytes(3, "big"),
                self.active_energy_wh.to_bytes(4, "big", signed=True),
                self.reactive_energy_varh.to_bytes(4, "big", signed=True),
                self.sequence.to_bytes(4, "big"),
                self.signature,
            )
        )

    def pack_alone(self) -> bytes:
        """As `settleAward` takes it: 15 bytes of one that was announced."""
        packed = self.pack()
        return packed[:READING_BYTES] if self.signature == ANNOUNCED else packed

    def argument(self) -> tuple[int, int, int, int, bytes]:
        """As `settleCommand` takes it."""
        return self.ordinal, self.active_energy_wh, self.reactive_energy_varh, self.sequence, self.signature


def ordinal_of(packed: bytes) -> int:
    """The ordinal of a packed reading."""
    return int.from_bytes(packed[:3], "big") % _P256_FLAG


def pack_readings(readings: Iterable[SettlementReading]) -> bytes:
    """The argument of `settle`."""
    return b"".join(reading.pack() for reading in readings)


@dataclass(frozen=True, slots=True)
class AwardResult:
    """How an award ended: an entry of AwardsSettled. Baseline and metered are 0 where no reading counted."""

    ordinal: int
    outcome: Outcome
    delivered: int
    baseline: int
    metered: int

    @classmethod
    def unpack(cls, result: bytes) -> AwardResult:
        """The result of 15 bytes."""
        return cls(
            ordinal=int.from_bytes(result[:3], "big"),
            outcome=Outcome(result[3]),
            delivered=int.from_bytes(result[4:7], "big"),
            baseline=int.from_bytes(result[7:11], "big", signed=True),
            metered=int.from_bytes(result[11:15], "big", signed=True),
        )

    def pack(self) -> bytes:
        """15 bytes."""
        energies = self.baseline.to_bytes(4, "big", signed=True) + self.metered.to_bytes(4, "big", signed=True)
        return (self.ordinal << 32 | self.outcome << 24 | self.delivered).to_bytes(7, "big") + energies


def unpack_results(results: bytes) -> list[AwardResult]:
    """The results of an AwardsSettled; ValueError when the length is no multiple of 15."""
    if len(results) % RESULT_BYTES:
        raise ValueError(f"{len(results)} bytes are no whole number of results")
    return [AwardResult.unpack(results[at : at + RESULT_BYTES]) for at in range(0, len(results), RESULT_BYTES)]
