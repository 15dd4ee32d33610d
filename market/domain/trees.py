"""The Merkle trees of awards, baselines and readings: a list of peaks, nodes of sorted pairs.

Leaves are appended to a list of perfect subtrees, one for each 1-bit of their number, largest first; the root folds
the peaks from the smallest. OpenZeppelin's MerkleProof verifies the proofs. Source: docs/protocol.md, "Award tree".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    return proof_of_range(leaves, leaf_index, 1)


def proof_of_range(leaves: Sequence[bytes], first: int, count: int) -> tuple[bytes, ...]:
    """What folds `count` leaves from `first` on to the root. IndexError for leaves that are not there.

    Peak by peak from the smallest: of a peak that the range touches, level by level the sibling to the left and the one
    to the right, where the range does not hold them; behind those of the range's last peak all peaks to its right as
    one; each peak to the left of the range as one.
    """
    end = first + count
    if not 0 <= first < end <= len(leaves):
        raise IndexError(f"leaves {first} to {end} of {len(leaves)}")
    proof: list[bytes] = []
    for start, size in _peaks_from_the_smallest(len(leaves)):
        peak_end = start + size
        if start >= end:
            continue
        if peak_end <= first:
            proof.append(_perfect_root(leaves[start:peak_end]))
            continue
        proof += _siblings(leaves[start:peak_end], max(first - start, 0), min(end, peak_end) - start)
        if end <= peak_end < len(leaves):
            proof.append(root_of_leaves(leaves[peak_end:]))
    return tuple(proof)


def root_of_range(first: int, nodes: Sequence[bytes], count: int, proof: Sequence[bytes]) -> bytes | None:
    """The root of a tree of `count` leaves that holds `nodes` from `first` on: the twin of VectorProof.sol.

    None when the proof's length or the range does not fit.
    """
    end, left, root = first + len(nodes), iter(proof), EMPTY_ROOT
    if not 0 <= first < end <= count:
        return None
    try:
        for start, size in _peaks_from_the_smallest(count):
            peak_end = start + size
            if start >= end:
                continue
            if peak_end <= first:
                root = hash_pair(next(left), root)
                continue
            held = nodes[max(start - first, 0) : peak_end - first]
            peak = _fold_peak(held, max(first - start, 0), size, left)
            if peak_end < end:
                root = hash_pair(peak, root)
            else:
                root = peak if peak_end == count else hash_pair(peak, next(left))
    except StopIteration:
        return None
    return None if next(left, None) is not None else root


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


def _peaks_from_the_smallest(count: int) -> Iterator[tuple[int, int]]:
    """Start and size of each peak over a number of leaves."""
    while count:
        size = count & -count
        count -= size
        yield count, size


def _siblings(leaves: Sequence[bytes], start: int, end: int) -> list[bytes]:
    """Of one perfect subtree, the siblings of the leaves from `start` to before `end`."""
    level, proof = leaves, []
    while len(level) > 1:
        if start & 1:
            proof.append(level[start - 1])
        if end & 1:
            proof.append(level[end])
        level, start, end = _next_level(level), start >> 1, (end + 1) >> 1
    return proof


def _fold_peak(nodes: Sequence[bytes], start: int, size: int, proof: Iterator[bytes]) -> bytes:
    """The root of a perfect subtree of `size` leaves that holds `nodes` from `start` on."""
    while size > 1:
        before = [next(proof)] if start & 1 else []
        after = [next(proof)] if start + len(nodes) & 1 else []
        nodes, start, size = _next_level([*before, *nodes, *after]), start >> 1, size >> 1
    return nodes[0]


@dataclass(frozen=True, slots=True)
class AwardRange:
    """Consecutive whole leaves of an offer's awards (eight records each; the offer's last one may be shorter) and one
    proof for all of them: the contract's `AwardRange`."""

    first_leaf: int
    awards: bytes
    proof: tuple[bytes, ...]

    def argument(self) -> tuple[int, bytes, list[bytes]]:
        """As the contract's functions take it."""
        return self.first_leaf, self.awards, list(self.proof)


@dataclass(frozen=True, slots=True)
class BaselineLeaf:
    """Eight values of a baseline vector (32 bytes) and their proof: the contract's `BaselineLeaf`."""

    leaf_index: int
    values: bytes
    proof: tuple[bytes, ...]

    def argument(self) -> tuple[int, bytes, list[bytes]]:
        """As the contract's functions take it."""
        return self.leaf_index, self.values, list(self.proof)


def leaf_hash(leaf_index: int, content: bytes) -> bytes:
    """keccak256(uint40 index + content): a leaf of awards or of baselines."""
    return keccak256(leaf_index.to_bytes(5, "big") + content)


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


def award_range(awards: Sequence[AwardRecord] | bytes, first_ordinal: int, last_ordinal: int) -> AwardRange:
    """The leaves that hold the awards from one ordinal to another, both included, with their proof."""
    hashes = award_leaf_hashes(awards)
    first, last = first_ordinal // RECORDS_PER_LEAF, last_ordinal // RECORDS_PER_LEAF
    content = b"".join(award_leaf_contents(awards)[first : last + 1])
    return AwardRange(first, content, proof_of_range(hashes, first, last + 1 - first))


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


def path_length(leaf_index: int, leaf_count: int) -> int:
    """How many nodes prove a leaf: those up to its peak, all peaks to the right as one, each peak to the left."""
    require_range("leaf_index", leaf_index, 0, leaf_count - 1)
    height = (leaf_index ^ leaf_count).bit_length() - 1
    to_its_left, to_its_right = leaf_count >> height + 1, leaf_count & (1 << height) - 1
    return height + to_its_left.bit_count() + bool(to_its_right)


def award_proof(award: AwardRange, baseline: BaselineLeaf) -> list[bytes]:
    """The nodes that prove an award's leaf and its baseline's, as `settleAward` takes them."""
    return [*award.proof, *baseline.proof]


def reading_leaf(salt: bytes, reading_digest: bytes) -> bytes:
    """Salted leaf of a signed reading: keccak256(salt + keccak256(EIP-712 digest of the reading))."""
    if len(salt) != 32 or len(reading_digest) != 32:
        raise ValueError("salt and digest have 32 bytes each")
    return keccak256(salt + keccak256(reading_digest))


def readings_root(leaves: Sequence[bytes]) -> bytes:
    """Root over salted leaves of readings, in the given order."""
    return root_of_leaves(leaves)
