"""keccak256 with the fastest back end at hand (eth_hash; the back end is pycryptodome unless configured)."""

from __future__ import annotations

from eth_hash.auto import keccak as _keccak


def keccak256(data: bytes) -> bytes:
    """keccak256 of `data`, 32 bytes."""
    return bytes(_keccak(data))


def hash_pair(left: bytes, right: bytes) -> bytes:
    """keccak256 of the two sorted nodes, as OpenZeppelin's `Hashes.commutativeKeccak256`."""
    return keccak256(left + right if left < right else right + left)
