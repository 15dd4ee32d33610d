"""A gateway with a P-256 key, by pycryptodome: Brownie's environment has not the library that the product uses."""

from Crypto.PublicKey import ECC

from market.domain.hashing import keccak256
from market.domain.typed_data import checksum_address

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
GENERATOR = ECC.construct(curve="P-256", d=1).pointQ


class P256Gateway:
    """Key and address; `name` is what the key follows from."""

    def __init__(self, name):
        self.number = int.from_bytes(keccak256(name.encode()), "big") % ORDER
        point = GENERATOR * self.number
        self.point = (int(point.x), int(point.y))
        self.address = checksum_address("0x" + keccak256(words(*self.point))[-20:].hex())

    def parts(self, digest):
        """r, s, x, y of the signature over a digest; s is the low one."""
        secret = int.from_bytes(keccak256(digest + words(self.number)), "big") % ORDER
        r = int((GENERATOR * secret).x) % ORDER
        s = pow(secret, -1, ORDER) * (int.from_bytes(digest, "big") + r * self.number) % ORDER
        return r, min(s, ORDER - s), *self.point

    def sign(self, digest):
        """128 bytes."""
        return words(*self.parts(digest))


def words(*values):
    """Of 32 bytes, big endian."""
    return b"".join(value.to_bytes(32, "big") for value in values)
