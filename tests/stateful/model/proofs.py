"""Leaves of awards and of baselines, and whether they are proven at their place (docs/protocol.md, "Award tree")."""

from __future__ import annotations

from collections.abc import Sequence

from market.domain.trees import leaf_hash, verify

Leaf = tuple[int, bytes, Sequence[bytes]]
"""AwardLeaf and BaselineLeaf: index, content, proof."""


def proof_length(index: int, count: int) -> int:
    """Siblings of a leaf: the height of its peak, one for each peak to its left, one for all to its right."""
    first = 0
    for bit in reversed(range(count.bit_length())):
        if not count >> bit & 1:
            continue
        if index < first + (1 << bit):
            return bit + (count >> bit + 1).bit_count() + (count & (1 << bit) - 1 != 0)
        first += 1 << bit
    raise IndexError(index)


def is_proven(leaf: Leaf, root: bytes, count: int) -> bool:
    index, content, proof = leaf
    if index >= count or len(proof) != proof_length(index, count):
        return False
    return verify(root, leaf_hash(index, content), proof)
