"""The Merkle trees of awards, baselines and readings: a list of peaks, nodes of sorted pairs.

Leaves are appended to a list of perfect subtrees, one for each 1-bit of their number, largest first; the root folds
the peaks from the smallest. OpenZeppelin's MerkleProof verifies the proofs. Source: docs/protocol.md, "Award tree".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from market.domain.hashing import hash_pair, keccak256
from market.domain.records import AwardRecord, pack_awards
from market.domain.units import RECORD_BYTES, RECORDS_PER_LEAF, require_range

EMPTY_ROOT: Final = bytes(32)
_LEAF_AWARDS_BYTES: Final = RECORD_BYTES * RECORDS_PER_LEAF
_VALUE_BYTES: Final = 4
_LEAF_VALUES_BYTES: Final = _VALUE_BYTES * RECORDS_PER_LEAF
_INT32_MIN: Final = -(2**31)
_INT32_MAX: Final = 2**31 - 1

Peaks = tuple[bytes, ...]


def append_leaf(peaks: Peaks, count: int, leaf: bytes) -> Peaks:
    """The peaks after one more leaf; `count` leaves were there before."""
    node, rest = leaf, list(peaks)
    while count & 1:
        node = hash_pair(rest.pop(), node)
        count >>= 1
    return (*rest, node)


def root_of_peaks(peaks: Peaks) -> bytes:
    """The root that folds the peaks from the smallest; 32 zero bytes without any."""
    if not peaks:
        return EMPTY_ROOT
    node = peaks[-1]
    for peak in reversed(peaks[:-1]):
        node = hash_pair(peak, node)
    return node


def peaks_of(leaves: Iterable[bytes]) -> Peaks:
    """The peaks of a run of leaves."""
    peaks: Peaks = ()
    for count, leaf in enumerate(leaves):
        peaks = append_leaf(peaks, count, leaf)
    return peaks


def root_of_leaves(leaves: Iterable[bytes]) -> bytes:
    """The root over a run of leaves."""
    return root_of_peaks(peaks_of(leaves))


def proof_of_leaf(leaves: Sequence[bytes], leaf_index: int) -> tuple[bytes, ...]:
    """Siblings from the leaf to the root. IndexError for a leaf that is not there."""
    if not 0 <= leaf_index < len(leaves):
        raise IndexError(f"leaf {leaf_index} of {len(leaves)}")
    proof: list[bytes] = []
    start = 0
    left_peaks: list[bytes] = []
    for bit in reversed(range(len(leaves).bit_length())):
        size = len(leaves) & 1 << bit
        if not size:
            continue
        if leaf_index >= start + size:
            left_peaks.append(_perfect_root(leaves[start : start + size]))
            start += size
            continue
        proof = _perfect_proof(leaves[start : start + size], leaf_index - start)
        if start + size < len(leaves):
            proof.append(root_of_leaves(leaves[start + size :]))
        break
    return (*proof, *reversed(left_peaks))


def verify(root: bytes, leaf: bytes, proof: Iterable[bytes]) -> bool:
    """Whether the proof leads from the leaf to the root, as OpenZeppelin's MerkleProof checks it."""
    node = leaf
    for sibling in proof:
        node = hash_pair(node, sibling)
    return node == root


def _next_level(level: Sequence[bytes]) -> list[bytes]:
    return [hash_pair(level[at], level[at + 1]) for at in range(0, len(level), 2)]


def _perfect_root(leaves: Sequence[bytes]) -> bytes:
    level = leaves
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def _perfect_proof(leaves: Sequence[bytes], at: int) -> list[bytes]:
    level, proof = leaves, []
    while len(level) > 1:
        proof.append(level[at ^ 1])
        level, at = _next_level(level), at >> 1
    return proof


@dataclass(frozen=True, slots=True)
class AwardLeaf:
    """One leaf of an offer's awards (at most eight records) and its proof: the contract's `AwardLeaf`."""

    leaf_index: int
    awards: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BaselineLeaf:
    """Eight values of a baseline vector (32 bytes) and their proof: the contract's `BaselineLeaf`."""

    leaf_index: int
    values: bytes
    proof: tuple[bytes, ...]


def leaf_hash(leaf_index: int, content: bytes) -> bytes:
    """keccak256(uint32 index + content): a leaf of awards or of baselines."""
    return keccak256(leaf_index.to_bytes(4, "big") + content)


def award_leaf_contents(awards: Sequence[AwardRecord] | bytes) -> list[bytes]:
    """The records of each leaf, eight at a time (the last may be shorter)."""
    flat = awards if isinstance(awards, bytes) else pack_awards(awards)
    return [flat[at : at + _LEAF_AWARDS_BYTES] for at in range(0, len(flat), _LEAF_AWARDS_BYTES)]


def award_leaf_hashes(awards: Sequence[AwardRecord] | bytes) -> list[bytes]:
    """The leaves' hashes."""
    return [leaf_hash(index, content) for index, content in enumerate(award_leaf_contents(awards))]


def award_root(awards: Sequence[AwardRecord] | bytes) -> bytes:
    """Root over awards in posting order; 32 zero bytes without awards."""
    return root_of_leaves(award_leaf_hashes(awards))


def award_leaf(awards: Sequence[AwardRecord] | bytes, leaf_index: int) -> AwardLeaf:
    """The leaf that holds ordinals 8 x leaf_index …, with its proof."""
    hashes = award_leaf_hashes(awards)
    return AwardLeaf(
        leaf_index,
        award_leaf_contents(awards)[leaf_index],
        proof_of_leaf(hashes, leaf_index),
    )


def award_leaves(awards: Sequence[AwardRecord] | bytes) -> list[AwardLeaf]:
    """All leaves with their proofs."""
    hashes = award_leaf_hashes(awards)
    contents = award_leaf_contents(awards)
    return [AwardLeaf(index, content, proof_of_leaf(hashes, index)) for index, content in enumerate(contents)]


def baseline_vector(values: Iterable[int]) -> bytes:
    """The flat form at settlement: big-endian int32 [Wh or varh, load convention] by nanogrid index."""
    return b"".join(
        require_range("baseline", value, _INT32_MIN, _INT32_MAX).to_bytes(_VALUE_BYTES, "big", signed=True)
        for value in values
    )


def baseline_values(vector: bytes) -> list[int]:
    """Values of a flat vector; ValueError when its length is no multiple of 4."""
    if len(vector) % _VALUE_BYTES:
        raise ValueError(f"{len(vector)} bytes are no whole number of baselines")
    return [
        int.from_bytes(vector[at : at + _VALUE_BYTES], "big", signed=True) for at in range(0, len(vector), _VALUE_BYTES)
    ]


def baseline_leaf_contents(values: Sequence[int] | bytes) -> list[bytes]:
    """32 bytes of each leaf, zero padded."""
    flat = values if isinstance(values, bytes) else baseline_vector(values)
    return [
        flat[at : at + _LEAF_VALUES_BYTES].ljust(_LEAF_VALUES_BYTES, b"\0")
        for at in range(0, len(flat), _LEAF_VALUES_BYTES)
    ]


def baseline_root(values: Sequence[int] | bytes) -> bytes:
    """Root over a baseline vector; 32 zero bytes without values."""
    return root_of_leaves(leaf_hash(index, content) for index, content in enumerate(baseline_leaf_contents(values)))


def baseline_leaf(values: Sequence[int] | bytes, nanogrid_index: int) -> BaselineLeaf:
    """The leaf that holds the value of a nanogrid index, with its proof."""
    contents = baseline_leaf_contents(values)
    hashes = [leaf_hash(index, content) for index, content in enumerate(contents)]
    leaf_index = nanogrid_index // RECORDS_PER_LEAF
    proof = proof_of_leaf(hashes, leaf_index)
    return BaselineLeaf(leaf_index, contents[leaf_index], proof)


def reading_leaf(salt: bytes, reading_digest: bytes) -> bytes:
    """Salted leaf of a signed reading: keccak256(salt + keccak256(EIP-712 digest of the reading))."""
    if len(salt) != 32 or len(reading_digest) != 32:
        raise ValueError("salt and digest have 32 bytes each")
    return keccak256(salt + keccak256(reading_digest))


def readings_root(leaves: Sequence[bytes]) -> bytes:
    """Root over salted leaves of readings, in the given order."""
    return root_of_leaves(leaves)
