"""Signatures over digests: secp256k1 through coincurve, low s only, in the 65-byte and the compact form.

Source: EIP-2 (low s), EIP-2098 (compact form: r, then s with the parity in its top bit).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from coincurve import PrivateKey, PublicKey

from market.domain.errors import BadSignature
from market.domain.hashing import keccak256
from market.domain.typed_data import Domain, Message, checksum_address

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF_ORDER: Final = _ORDER // 2
_PARITY: Final = 1 << 255
_V_OFFSET: Final = 27


@dataclass(frozen=True, slots=True)
class Signature:
    """A recoverable signature: r, s (low) and the parity of the point's y (0 or 1)."""

    r: int
    s: int
    parity: int

    def __post_init__(self) -> None:
        if not 0 < self.r < _ORDER or not 0 < self.s <= _HALF_ORDER or self.parity not in (0, 1):
            raise BadSignature("r, s or the parity is out of range (s must be the low one)")

    def to_bytes(self) -> bytes:
        """65 bytes: r, s, v (27 or 28)."""
        return self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big") + bytes((_V_OFFSET + self.parity,))

    def compact(self) -> bytes:
        """64 bytes of EIP-2098: r, then s with the parity in its top bit."""
        return self.r.to_bytes(32, "big") + (self.s | _PARITY * self.parity).to_bytes(32, "big")

    @property
    def vs(self) -> bytes:
        """The second half of the compact form."""
        return self.compact()[32:]

    @classmethod
    def from_bytes(cls, signature: bytes) -> Signature:
        """The signature of 65 (r, s, v = 27 or 28) or 64 bytes (EIP-2098); BadSignature for anything else."""
        if len(signature) not in (64, 65):
            raise BadSignature(f"a signature has 64 or 65 bytes, not {len(signature)}")
        r, s = (
            int.from_bytes(signature[:32], "big"),
            int.from_bytes(signature[32:64], "big"),
        )
        if len(signature) == 64:
            return cls(r, s & ~_PARITY, s >> 255)
        return cls(r, s, signature[64] - _V_OFFSET)

    @classmethod
    def from_hex(cls, text: str) -> Signature:
        """The signature of a 0x hex string."""
        try:
            return cls.from_bytes(bytes.fromhex(text.removeprefix("0x")))
        except ValueError:
            raise BadSignature("the signature is not hexadecimal") from None

    def hex(self) -> str:
        """0x and 65 bytes in hexadecimal."""
        return "0x" + self.to_bytes().hex()


def new_private_key() -> bytes:
    """A fresh private key, 32 bytes."""
    return PrivateKey(secrets.token_bytes(32)).secret


def address_of(private_key: bytes) -> str:
    """Address (EIP-55) of a private key of 32 bytes."""
    return _address(PrivateKey(private_key).public_key)


def sign(private_key: bytes, digest: bytes) -> Signature:
    """Signs a digest of 32 bytes, deterministically (RFC 6979)."""
    raw = PrivateKey(private_key).sign_recoverable(digest, hasher=None)
    return Signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64])


def sign_message(private_key: bytes, message: Message, domain: Domain) -> Signature:
    """Signs an EIP-712 message."""
    return sign(private_key, message.digest(domain))


def recover(digest: bytes, signature: Signature | bytes) -> str:
    """Address that signed a digest; BadSignature where none can be recovered."""
    parsed = signature if isinstance(signature, Signature) else Signature.from_bytes(signature)
    raw = parsed.r.to_bytes(32, "big") + parsed.s.to_bytes(32, "big") + bytes((parsed.parity,))
    try:
        return _address(PublicKey.from_signature_and_message(raw, digest, hasher=None))
    except Exception as problem:  # coincurve raises a bare Exception for a point that is not on the curve
        raise BadSignature("no address can be recovered from the signature") from problem


def recover_message(message: Message, domain: Domain, signature: Signature | bytes) -> str:
    """Address that signed an EIP-712 message."""
    return recover(message.digest(domain), signature)


def address_of_point(point: bytes) -> str:
    """Address (EIP-55) of a public key: x and y, 64 bytes."""
    return checksum_address("0x" + keccak256(point)[-20:].hex())


def _address(public_key: PublicKey) -> str:
    return address_of_point(public_key.format(compressed=False)[1:])
