"""Bid and award records of 12 bytes, the chain of posted bids, the wire form of bids, and ranks.

Source: docs/protocol.md, "Bids", "Merit order", "Award tree".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from market.domain.hashing import keccak256
from market.domain.products import Side
from market.domain.units import (
    MAX_INDEX,
    MAX_POSITION,
    MAX_PRICE_UEUR_KWH,
    MAX_QUANTITY,
    MAX_REVISION,
    MIN_PRICE_UEUR_KWH,
    RECORD_BYTES,
    SIGNATURE_BYTES,
    WIRE_BID_BYTES,
    require_range,
)

EMPTY_CHAIN: Final = bytes(32)
_U24: Final = 2**24 - 1


@dataclass(frozen=True, slots=True)
class BidRecord:
    """price 29 | notReserved 1 | revision 2 | quantity 24 | minimum 24 | index 16, big endian.

    Prices in micro-euro per kWh (kvarh), quantity and minimum in Wh (varh). Quantity 0 is a withdrawal.
    Raises ValueError for a value out of its range or a minimum above the quantity.
    """

    price_ueur_kwh: int
    quantity: int
    minimum: int
    index: int
    revision: int = 0
    reserved: bool = False

    def __post_init__(self) -> None:
        require_range(
            "price_ueur_kwh",
            self.price_ueur_kwh,
            MIN_PRICE_UEUR_KWH,
            MAX_PRICE_UEUR_KWH,
        )
        require_range("quantity", self.quantity, 0, MAX_QUANTITY)
        require_range("minimum", self.minimum, 0, self.quantity)
        require_range("index", self.index, 0, MAX_INDEX)
        require_range("revision", self.revision, 0, MAX_REVISION)

    @property
    def is_withdrawal(self) -> bool:
        """Whether it takes the nanogrid's bid back."""
        return self.quantity == 0

    @property
    def least(self) -> int:
        """Smallest quantity that may be awarded: the minimum, where 0 counts as 1."""
        return max(1, self.minimum)

    def pack(self, *, signed: bool = False) -> bytes:
        """12 bytes; with `signed` the notReserved bit is 0, as posters send it."""
        not_reserved = 0 if signed or self.reserved else 1
        word = self.price_ueur_kwh << 1 | not_reserved
        word = word << 2 | self.revision
        word = word << 24 | self.quantity
        word = word << 24 | self.minimum
        return (word << 16 | self.index).to_bytes(RECORD_BYTES, "big")

    @classmethod
    def unpack(cls, record: bytes) -> BidRecord:
        """The record of 12 bytes; ValueError when the length or a value is out of range."""
        word = _word(record)
        return cls(
            price_ueur_kwh=word >> 67,
            reserved=not word >> 66 & 1,
            revision=word >> 64 & 3,
            quantity=word >> 40 & _U24,
            minimum=word >> 16 & _U24,
            index=word & MAX_INDEX,
        )


@dataclass(frozen=True, slots=True)
class AwardRecord:
    """price 29 | notReserved 1 | revision 2 | awarded quantity 24 | position 24 | index 16, big endian."""

    price_ueur_kwh: int
    quantity: int
    position: int
    index: int
    revision: int = 0
    reserved: bool = False

    def __post_init__(self) -> None:
        require_range(
            "price_ueur_kwh",
            self.price_ueur_kwh,
            MIN_PRICE_UEUR_KWH,
            MAX_PRICE_UEUR_KWH,
        )
        require_range("quantity", self.quantity, 1, MAX_QUANTITY)
        require_range("position", self.position, 0, MAX_POSITION)
        require_range("index", self.index, 0, MAX_INDEX)
        require_range("revision", self.revision, 0, MAX_REVISION)

    def pack(self) -> bytes:
        """12 bytes."""
        word = self.price_ueur_kwh << 1 | (not self.reserved)
        word = word << 2 | self.revision
        word = word << 24 | self.quantity
        word = word << 24 | self.position
        return (word << 16 | self.index).to_bytes(RECORD_BYTES, "big")

    @classmethod
    def unpack(cls, record: bytes) -> AwardRecord:
        """The award of 12 bytes; ValueError when the length or a value is out of range."""
        word = _word(record)
        return cls(
            price_ueur_kwh=word >> 67,
            reserved=not word >> 66 & 1,
            revision=word >> 64 & 3,
            quantity=word >> 40 & _U24,
            position=word >> 16 & _U24,
            index=word & MAX_INDEX,
        )


@dataclass(frozen=True, slots=True)
class PostedBid:
    """An accepted bid and its place in the posting order of its offer (from 0)."""

    record: BidRecord
    position: int

    def __post_init__(self) -> None:
        require_range("position", self.position, 0, MAX_POSITION)

    def rank(self, side: Side) -> int:
        """Rank in the merit order; lower is better."""
        return rank(self.record, self.position, side)

    def award(self, quantity: int) -> AwardRecord:
        """The award of `quantity` [Wh or varh] to this bid."""
        record = self.record
        return AwardRecord(
            record.price_ueur_kwh,
            quantity,
            self.position,
            record.index,
            record.revision,
            record.reserved,
        )


def rank(record: BidRecord, position: int, side: Side) -> int:
    """uint64: key << 33 | notReserved << 32 | position; the key is the price (BUY) or 2^29 - 1 - price (SELL)."""
    key = record.price_ueur_kwh if side is Side.BUY else MAX_PRICE_UEUR_KWH - record.price_ueur_kwh
    return key << 33 | (not record.reserved) << 32 | position


def price_of_rank(rank_: int, side: Side) -> int:
    """Price [micro-euro per kWh] in a rank."""
    key = rank_ >> 33
    return key if side is Side.BUY else MAX_PRICE_UEUR_KWH - key


def position_of_rank(rank_: int) -> int:
    """Posting position in a rank."""
    return rank_ & 2**32 - 1


def split_records(records: bytes) -> Iterator[bytes]:
    """The 12-byte records of a run of them; ValueError when the length is no multiple of 12."""
    if len(records) % RECORD_BYTES:
        raise ValueError(f"{len(records)} bytes are no whole number of records")
    return (records[at : at + RECORD_BYTES] for at in range(0, len(records), RECORD_BYTES))


def unpack_bids(records: bytes, first_position: int = 0) -> list[PostedBid]:
    """Posted bids of a run of records in posting order."""
    return [
        PostedBid(BidRecord.unpack(record), position)
        for position, record in enumerate(split_records(records), first_position)
    ]


def pack_bids(bids: Iterable[PostedBid]) -> bytes:
    """The records of posted bids as the chain replays them."""
    return b"".join(bid.record.pack() for bid in bids)


def unpack_awards(records: bytes) -> list[AwardRecord]:
    """Awards of a run of 12-byte records."""
    return [AwardRecord.unpack(record) for record in split_records(records)]


def pack_awards(awards: Iterable[AwardRecord]) -> bytes:
    """The records of awards, one after the other."""
    return b"".join(award.pack() for award in awards)


def fold_chain(records: bytes, chain: bytes = EMPTY_CHAIN) -> bytes:
    """The offer's chain after a run of records: chain = keccak256(chain + record), one by one."""
    for record in split_records(records):
        chain = keccak256(chain + record)
    return chain


@dataclass(frozen=True, slots=True)
class WireBid:
    """A bid as it is posted: the record (its notReserved bit 0) and the compact signature (EIP-2098), 76 bytes."""

    record: BidRecord
    signature: bytes

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise ValueError(f"a compact signature has {SIGNATURE_BYTES} bytes, not {len(self.signature)}")

    def pack(self) -> bytes:
        """76 bytes."""
        return self.record.pack(signed=True) + self.signature

    @classmethod
    def unpack(cls, wire: bytes) -> WireBid:
        """The bid of 76 bytes. Its record reads as reserved: who is reserved is the contract's to say."""
        if len(wire) != WIRE_BID_BYTES:
            raise ValueError(f"a bid on the wire has {WIRE_BID_BYTES} bytes, not {len(wire)}")
        return cls(BidRecord.unpack(wire[:RECORD_BYTES]), wire[RECORD_BYTES:])


def pack_wire_bids(bids: Iterable[WireBid]) -> bytes:
    """The argument of `postBids`."""
    return b"".join(bid.pack() for bid in bids)


def split_wire_bids(wire: bytes) -> list[WireBid]:
    """The bids of `postBids`; ValueError when the length is no multiple of 76."""
    if len(wire) % WIRE_BID_BYTES:
        raise ValueError(f"{len(wire)} bytes are no whole number of bids")
    return [WireBid.unpack(wire[at : at + WIRE_BID_BYTES]) for at in range(0, len(wire), WIRE_BID_BYTES)]


def rejected_bitmap(positions: Iterable[int]) -> bytes:
    """Bitmap over the posting order: byte p/8, bit p%8 (least significant first); shortest form."""
    bits = 0
    for position in positions:
        bits |= 1 << require_range("position", position, 0, MAX_POSITION)
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def rejected_positions(bitmap: bytes) -> frozenset[int]:
    """Positions whose bit is set in a verdict's bitmap."""
    return frozenset(at * 8 + bit for at, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1)


def _word(record: bytes) -> int:
    if len(record) != RECORD_BYTES:
        raise ValueError(f"a record has {RECORD_BYTES} bytes, not {len(record)}")
    return int.from_bytes(record, "big")
