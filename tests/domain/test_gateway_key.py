"""A gateway signs with a key of either curve, and nobody else's signature is taken for its own."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from market.domain.errors import BadSignature
from market.domain.gateway_key import GatewayKey, KeyKind, gateway_of, kind_of
from market.domain.hashing import keccak256
from market.domain.settled_records import SettlementReading
from market.domain.signing import Signature, recover
from market.domain.units import P256_SIGNATURE_BYTES

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = bytes.fromhex(
    "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"
    "4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"
)
DIGEST = keccak256(b"a reading")
KEYS = st.builds(
    GatewayKey.of, st.integers(1, ORDER // 2).map(lambda number: number.to_bytes(32, "big")), st.sampled_from(KeyKind)
)
DIGESTS = st.binary(min_size=32, max_size=32)
P256 = GatewayKey.of(keccak256(b"a gateway"), KeyKind.P256)


def parts(signature: bytes) -> list[bytes]:
    """r, s, x, y."""
    return [signature[at : at + 32] for at in range(0, P256_SIGNATURE_BYTES, 32)]


@given(KEYS, DIGESTS)
def test_what_a_gateway_signs_is_its_own(key: GatewayKey, digest: bytes) -> None:
    signature = key.sign(digest)
    assert kind_of(signature) is key.kind
    assert gateway_of(digest, signature) == key.address
    assert key.sign(digest) == signature


@given(KEYS, DIGESTS)
def test_a_signature_survives_the_wire_of_settle(key: GatewayKey, digest: bytes) -> None:
    packed = SettlementReading(7, -400, 3, 9, key.sign(digest)).pack()
    is_p256 = packed[0] >> 7 == 1
    assert is_p256 == (key.kind is KeyKind.P256)
    assert int.from_bytes(packed[:3], "big") & 0x7FFFFF == 7
    assert gateway_of(digest, packed[15:]) == key.address


@given(KEYS, DIGESTS, st.data())
def test_another_digest_is_not_signed(key: GatewayKey, digest: bytes, data: st.DataObject) -> None:
    other = data.draw(DIGESTS.filter(lambda each: each != digest))
    with contextlib.suppress(BadSignature):  # of a P-256 signature nobody comes out, of the other mostly somebody else
        assert gateway_of(other, key.sign(digest)) != key.address


def test_the_address_is_that_of_the_uncompressed_key() -> None:
    """As Ethereum derives it, without the leading 04; the key 1 has the generator."""
    key = GatewayKey.of((1).to_bytes(32, "big"), KeyKind.P256)
    assert key.address.lower() == "0x" + keccak256(GENERATOR)[-20:].hex()
    assert key.sign(DIGEST)[64:] == GENERATOR


def test_a_secp256k1_signature_is_the_compact_one() -> None:
    key = GatewayKey.new(KeyKind.SECP256K1)
    assert recover(DIGEST, Signature.from_bytes(key.sign(DIGEST))) == key.address


@given(DIGESTS)
def test_p256_signatures_have_the_low_s(digest: bytes) -> None:
    assert int.from_bytes(parts(P256.sign(digest))[1], "big") <= ORDER // 2


def high(r: bytes, s: bytes, x: bytes, y: bytes) -> bytes:
    """Valid on the curve, and refused: it would be a second signature of the same message."""
    return r + (ORDER - int.from_bytes(s, "big")).to_bytes(32, "big") + x + y


FORGED = {
    "the high s": high,
    "x and y swapped": lambda r, s, x, y: r + s + y + x,
    "a point beside the curve": lambda r, s, x, y: r + s + x + (int.from_bytes(y, "big") ^ 1).to_bytes(32, "big"),
    "the point of another key": lambda r, s, x, y: r + s + GENERATOR,
    "the opposite point": lambda r, s, x, y: (
        r + s + x + (2**256 - 2**224 + 2**192 + 2**96 - 1 - int.from_bytes(y, "big")).to_bytes(32, "big")
    ),
    "no point": lambda r, s, x, y: r + s + bytes(64),
    "coordinates beyond the field": lambda r, s, x, y: r + s + b"\xff" * 64,
    "r of zero": lambda r, s, x, y: bytes(32) + s + x + y,
    "s of zero": lambda r, s, x, y: r + bytes(32) + x + y,
    "r of the order": lambda r, s, x, y: ORDER.to_bytes(32, "big") + s + x + y,
    "nothing": lambda r, s, x, y: bytes(128),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_p256_signature_is_nobodys(forged: object) -> None:
    assert callable(forged)
    with pytest.raises(BadSignature):
        gateway_of(DIGEST, forged(*parts(P256.sign(DIGEST))))


@pytest.mark.parametrize("length", [0, 63, 65, 127, 129])
def test_a_signature_of_another_length_is_nobodys(length: int) -> None:
    with pytest.raises(BadSignature, match=f"64 or 128 bytes, not {length}"):
        gateway_of(DIGEST, bytes(length))


# KEYS AS THEY ARE KEPT


def test_a_p256_key_is_read_as_it_was_kept() -> None:
    assert GatewayKey.from_pem(P256.to_pem()) == P256
    assert P256.private_key.hex() not in repr(P256)


def test_a_secp256k1_key_is_not_kept_as_pem() -> None:
    with pytest.raises(ValueError, match="only P-256"):
        GatewayKey.new(KeyKind.SECP256K1).to_pem()


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


@pytest.mark.parametrize(
    "text",
    [
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(ec.generate_private_key(ec.SECP256R1()), b"a password"),
        "-----BEGIN PRIVATE KEY-----\nnothing\n-----END PRIVATE KEY-----\n",
    ],
    ids=["P-384", "secp256k1", "Ed25519", "behind a password", "none"],
)
def test_another_pem_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        GatewayKey.from_pem(text)


@pytest.mark.parametrize("kind", KeyKind)
@pytest.mark.parametrize("number", [0, 2**256 - 1])
def test_a_number_beyond_the_curve_is_no_key(kind: KeyKind, number: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        GatewayKey.of(number.to_bytes(32, "big"), kind)
