"""Random batches of wire bids: good ones, bad ones of every kind, and such as stand on the edge between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, TypeVar

from coincurve import PublicKey

from market.domain.hashing import keccak256
from market.domain.messages import Bid, Offer
from market.domain.products import Side
from market.domain.signing import sign_message
from market.domain.typed_data import Domain, checksum_address
from tests.contracts_properties.auction_house import owner_key
from tests.contracts_properties.lockstep import (
    COVER_CENTS,
    DELEGATE_COVER_CENTS,
    DELEGATE_KEY,
    DELEGATE_LARGEST,
    DELEGATE_LOWEST,
    DELEGATED,
    LARGEST_QUANTITY,
    PLAYED,
    SEATS,
)

Choice = TypeVar("Choice")
MAX_PRICE, MAX_QUANTITY = 2**29 - 1, 2**24 - 1
GENERATOR_X: Final = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
QUANTITY_EDGES: Final = (
    *(DELEGATE_LARGEST, DELEGATE_LARGEST + 1),
    *(LARGEST_QUANTITY, LARGEST_QUANTITY + 1),
    MAX_QUANTITY,
)
EXPOSURE_EDGES: Final = tuple(cents * 10_000 for cents in (COVER_CENTS, DELEGATE_COVER_CENTS))
"""[micro-euro]"""
BYSTANDER: Final = 200
"""A seat without a bond."""


@dataclass(frozen=True)
class Fields:
    """A record's fields, also such as no record may have."""

    price: int
    quantity: int
    minimum: int
    index: int
    revision: int
    not_reserved: int = 0

    def pack(self) -> bytes:
        word = self.price << 67 | self.not_reserved << 66 | self.revision << 64
        return (word | self.quantity << 40 | self.minimum << 16 | self.index).to_bytes(12, "big")


@dataclass
class Poster:
    """Makes batches for an offer, and remembers how often it has posted for each seat."""

    chance: Random
    offer: Offer
    domain: Domain
    tried: Counter[int] = field(default_factory=Counter)
    favourites: Sequence[int] = ()

    def __post_init__(self) -> None:
        """Now all seats post, now a few of them again and again."""
        if self.chance.random() < 0.5:
            self.favourites = self.chance.sample(PLAYED, 4)

    @property
    def offer_id(self) -> bytes:
        return self.offer.digest(self.domain)

    def batch(self, size: int) -> bytes:
        """76 bytes a bid; rarely not a whole number of them."""
        wire = b"".join(self._bid() for _ in range(size))
        return wire[:-1] if self.chance.random() < 0.02 else wire

    def ordinary(self) -> bytes:
        """First bids of seats that sign for themselves, without anything wrong."""
        owners = (0, 4, 6, 7, 8, 9, 130, 256, 259)
        limit = self.offer.limit_price_ueur_kwh
        return b"".join(
            self.first_bid(owner_key(record.index), record)
            for record in (Fields(limit, 100 + index, 0, index, 0) for index in owners)
        )

    def first_bid(self, key: bytes, fields: Fields) -> bytes:
        """A bid as it is, signed with a key."""
        return fields.pack() + self._signature(key, fields, self.offer_id)

    def bid_signed_by_nobody(self, index: int, s: int) -> tuple[bytes, str]:
        """A bid with a signature that no key made, and the address that is recovered from it."""
        fields = Fields(self.offer.limit_price_ueur_kwh, 10, 0, index, 0)
        message = Bid(self.offer_id, fields.index, fields.price, fields.quantity, fields.minimum, fields.revision)
        compact = GENERATOR_X.to_bytes(32, "big") + s.to_bytes(32, "big")
        raw = compact + b"\x00"
        key = PublicKey.from_signature_and_message(raw, message.digest(self.domain), hasher=None)
        address = keccak256(key.format(compressed=False)[1:])[-20:]
        return fields.pack() + compact, checksum_address("0x" + address.hex())

    def withdrawals(self) -> bytes:
        """Of all that has been posted and may be withdrawn."""
        return b"".join(
            self._signed(Fields(1, 0, 0, index, count), index) for index, count in self.tried.items() if count < 3
        )

    def _bid(self) -> bytes:
        index = self._mostly(
            self.chance.choice(self.favourites or PLAYED), [SEATS, SEATS + 1, 2**16 - 1, 383, 384, BYSTANDER], 0.05
        )
        good = self._good(index)
        fields = good
        while self.chance.random() < 0.35:  # one thing wrong, or on the edge; rarely several
            fields = self._spoilt(fields)
        wire = self._signed(fields, index)
        if fields == good:
            self.tried[index] += 1
        return wire

    def _good(self, index: int) -> Fields:
        revision = min(self.tried[index], 3)
        low = DELEGATE_LOWEST if index in DELEGATED else 1
        limit = self.offer.limit_price_ueur_kwh
        price = (
            self.chance.randint(low, limit) if self.offer.side == Side.BUY else self.chance.randint(limit, 2 * limit)
        )
        quantity = self.chance.randint(1, DELEGATE_LARGEST)
        if revision >= 2 or (revision == 1 and self.chance.random() < 0.4):
            return Fields(price, 0, 0, index, revision)
        return Fields(price, quantity, self._mostly(0, [1, quantity // 2, quantity], 0.4), index, revision)

    def _spoilt(self, fields: Fields) -> Fields:
        limit, price, quantity = self.offer.limit_price_ueur_kwh, max(fields.price, 1), fields.quantity
        edges: dict[str, list[int]] = {
            "price": [0, 1, limit - 1, limit, limit + 1, DELEGATE_LOWEST - 1, DELEGATE_LOWEST, MAX_PRICE],
            "quantity": [
                0,
                1,
                *QUANTITY_EDGES,
                *(edge for ueur in EXPOSURE_EDGES for edge in _quantities_at(ueur, price)),
            ],
            "minimum": [0, 1, max(quantity - 1, 0), quantity, min(quantity + 1, MAX_QUANTITY), MAX_QUANTITY],
            "revision": [0, 1, 2, 3],
            "not_reserved": [1],
        }
        name = self.chance.choice([*edges])
        return replace(fields, **{name: self.chance.choice(edges[name])})

    # SIGNATURES

    def _signed(self, fields: Fields, index: int) -> bytes:
        by_delegate = 0.0 if index not in DELEGATED else 0.3 if fields.revision == 2 else 0.6
        key = DELEGATE_KEY if self.chance.random() < by_delegate else owner_key(index)
        key = self._mostly(key, [DELEGATE_KEY, owner_key(index + 1), owner_key(index)], 0.08)
        offer = self._mostly(self.offer_id, [bytes(32)], 0.02)
        signature = self._signature(key, fields, offer)
        return fields.pack() + (self._garbled(signature) if self.chance.random() < 0.06 else signature)

    def _signature(self, key: bytes, fields: Fields, offer: bytes) -> bytes:
        message = Bid(offer, fields.index, fields.price, fields.quantity, fields.minimum, fields.revision)
        return sign_message(key, message, self.domain).compact()

    def _garbled(self, signature: bytes) -> bytes:
        """High s, the other parity, nothing at all, r beyond the curve, any bit."""
        r, vs = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        parity, s = vs >> 255, vs & (2**255 - 1)
        high = (CURVE_ORDER - s) | (1 - parity) << 255
        others = [(r, high % 2**256), (r, vs ^ 1 << 255), (0, 0), (CURVE_ORDER, vs), (r, 0), (r ^ 1, vs)]
        r, vs = self.chance.choice(others)
        return r.to_bytes(32, "big") + vs.to_bytes(32, "big")

    def _mostly(self, usual: Choice, others: list[Choice], rarely: float) -> Choice:
        return self.chance.choice(others) if self.chance.random() < rarely else usual


def _quantities_at(exposure_ueur: int, price: int) -> list[int]:
    """The largest quantity whose exposure, rounded down, is within it, and one more."""
    largest = ((exposure_ueur + 1) * 2000 - 1) // (3 * price)
    return [min(largest, MAX_QUANTITY), min(largest + 1, MAX_QUANTITY)]
