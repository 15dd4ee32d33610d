"""Keys and signatures of gateways: secp256k1, or P-256 where the chain can check it.

What contracts/libraries/GatewaySignature.sol accepts: 64 bytes of a secp256k1 key (EIP-2098), or 128 bytes of a P-256
key: r, s (the low one), and x and y of its public key. Either way the address is the last 20 bytes of keccak256(x, y).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from market.domain import signing
from market.domain.errors import BadSignature
from market.domain.typed_data import Domain, Message
from market.domain.units import P256_SIGNATURE_BYTES, SIGNATURE_BYTES

KEY_BYTES: Final = 32

_CURVE: Final = ec.SECP256R1()
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_DIGESTS: Final = utils.Prehashed(SHA256())  # 32 bytes that are hashed already, by whatever function
_WORD: Final = 32


class KeyKind(StrEnum):
    """The curve of a gateway's key."""

    SECP256K1 = "secp256k1"
    P256 = "p256"


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A private key: a number of 32 bytes, big endian, on the curve of its kind. ValueError where it is none."""

    kind: KeyKind
    private_key: bytes
    address: str
    """EIP-55."""

    def __repr__(self) -> str:
        return f"GatewayKey({self.kind}, {self.address})"

    @classmethod
    def of(cls, private_key: bytes, kind: KeyKind = KeyKind.SECP256K1) -> GatewayKey:
        """The key with its address."""
        if kind is KeyKind.SECP256K1:
            return cls(kind, private_key, signing.address_of(private_key))
        return cls(kind, private_key, signing.address_of_point(_point(_p256(private_key).public_key())))

    @classmethod
    def new(cls, kind: KeyKind) -> GatewayKey:
        """A fresh one."""
        if kind is KeyKind.SECP256K1:
            return cls.of(signing.new_private_key(), kind)
        return cls.of(_number(ec.generate_private_key(_CURVE).private_numbers().private_value), kind)

    @classmethod
    def from_pem(cls, text: str) -> GatewayKey:
        """The P-256 key of a PEM text without password; ValueError for anything else."""
        try:
            key = serialization.load_pem_private_key(text.encode(), password=None)
        except (TypeError, UnsupportedAlgorithm) as problem:  # the password's absence is a TypeError
            raise ValueError(str(problem)) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("it is no key of the curve P-256")
        return cls.of(_number(key.private_numbers().private_value), KeyKind.P256)

    def to_pem(self) -> str:
        """PKCS #8 without password; ValueError for a secp256k1 key."""
        if self.kind is not KeyKind.P256:
            raise ValueError("only P-256 keys are kept as PEM")
        text = _p256(self.private_key).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return text.decode()

    def sign(self, digest: bytes) -> bytes:
        """64 or 128 bytes over a digest of 32 bytes, the same for the same digest (RFC 6979)."""
        if self.kind is KeyKind.SECP256K1:
            return signing.sign(self.private_key, digest).compact()
        key = _p256(self.private_key)
        r, s = utils.decode_dss_signature(key.sign(digest, ec.ECDSA(_DIGESTS, deterministic_signing=True)))
        return _number(r) + _number(min(s, _ORDER - s)) + _point(key.public_key())

    def sign_message(self, message: Message, domain: Domain) -> bytes:
        """64 or 128 bytes over an EIP-712 message."""
        return self.sign(message.digest(domain))


def kind_of(signature: bytes) -> KeyKind:
    """By which kind of key a signature was made, as its length says; BadSignature for any other length."""
    if len(signature) == P256_SIGNATURE_BYTES:
        return KeyKind.P256
    if len(signature) == SIGNATURE_BYTES:
        return KeyKind.SECP256K1
    raise BadSignature(
        f"a gateway's signature has {SIGNATURE_BYTES} or {P256_SIGNATURE_BYTES} bytes, not {len(signature)}"
    )


def gateway_of(digest: bytes, signature: bytes) -> str:
    """Address (EIP-55) of the gateway that signed a digest; BadSignature where the signature is nobody's."""
    if kind_of(signature) is KeyKind.SECP256K1:
        return signing.recover(digest, signature)
    r, s, x, y = (int.from_bytes(signature[at : at + _WORD], "big") for at in range(0, P256_SIGNATURE_BYTES, _WORD))
    if not 0 < r < _ORDER or not 0 < s <= _ORDER // 2:
        raise BadSignature("r or s is out of range (s must be the low one)")
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, _CURVE).public_key()
    except ValueError:
        raise BadSignature("x and y are no point of the curve P-256") from None
    try:
        key.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(_DIGESTS))
    except InvalidSignature:
        raise BadSignature("the P-256 key with these x and y has not signed") from None
    return signing.address_of_point(_point(key))


def gateway_of_message(message: Message, domain: Domain, signature: bytes) -> str:
    """Address (EIP-55) of the gateway that signed an EIP-712 message; BadSignature."""
    return gateway_of(message.digest(domain), signature)


def _p256(private_key: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(private_key, "big"), _CURVE)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    numbers = key.public_numbers()
    return _number(numbers.x) + _number(numbers.y)


def _number(value: int) -> bytes:
    return value.to_bytes(_WORD, "big")
