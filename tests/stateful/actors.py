"""Who takes part: everybody has a key of its own and may send transactions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from eth_account import Account

from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.hashing import keccak256
from market.domain.signing import Signature, address_of, sign
from tests.contracts_properties.auction_house import DEPLOYER_KEY

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True)
class Actor:
    """A party and its key."""

    name: str
    key: bytes
    address: str

    def sign(self, digest: bytes) -> bytes:
        """65 bytes."""
        return sign(self.key, digest).to_bytes()

    def sign_compact(self, digest: bytes) -> bytes:
        """64 bytes (EIP-2098)."""
        return sign(self.key, digest).compact()


class P256Gateway(Actor):
    """A gateway with a key on the other curve: all its signatures have 128 bytes."""

    def sign(self, digest: bytes) -> bytes:
        return GatewayKey.of(self.key, KeyKind.P256).sign(digest)

    def sign_compact(self, digest: bytes) -> bytes:
        return self.sign(digest)


def gateway(number: int) -> Actor:
    """Every fourth has a P-256 key."""
    one = actor(f"gateway {number}")
    if number % 4 != 3:
        return one
    return P256Gateway(one.name, one.key, GatewayKey.of(one.key, KeyKind.P256).address)


@cache
def actor(name: str) -> Actor:
    """The party of a name, always the same."""
    key = keccak256(name.encode())
    return Actor(name, key, address_of(key))


OPERATOR = Actor("operator", bytes.fromhex(DEPLOYER_KEY[2:]), Account.from_key(DEPLOYER_KEY).address)
SUCCESSOR, ORACLE, REFEREE = actor("successor"), actor("oracle"), actor("referee")
DSOS = (actor("dso 0"), actor("dso 1"), actor("dso 2"))
AGGREGATORS = (actor("aggregator 0"), actor("aggregator 1"))
OWNERS = tuple(actor(f"owner {number}") for number in range(6))
DELEGATES = tuple(actor(f"delegate {number}") for number in range(3))
GATEWAYS = tuple(gateway(number) for number in range(20))
CODE, RELAYER, STRANGER = actor("code"), actor("relayer"), actor("stranger")
HOLDERS_OF_MONEY = (OPERATOR, SUCCESSOR, *DSOS, *AGGREGATORS, *OWNERS, RELAYER)
EVERYBODY = (*HOLDERS_OF_MONEY, ORACLE, REFEREE, *DELEGATES, STRANGER)
BY_ADDRESS = {each.address: each for each in (*EVERYBODY, *GATEWAYS, CODE)}


def malleable(signature: bytes) -> bytes:
    """The other signature of the same digest, with the high s that must be refused."""
    given = Signature.from_bytes(signature)
    return given.r.to_bytes(32, "big") + (_ORDER - given.s).to_bytes(32, "big") + bytes((28 - given.parity,))


def garbled(signature: bytes, chance: Random) -> bytes:
    """A signature with one bit flipped."""
    at = chance.randrange(len(signature) * 8)
    return bytes(byte ^ (1 << at % 8 if place == at // 8 else 0) for place, byte in enumerate(signature))
