"""Trees: every leaf proves itself, nothing else does, and appending one by one gives the same root."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.domain.hashing import hash_pair, keccak256
from market.domain.records import AwardRecord, pack_awards
from market.domain.trees import (
    append_leaf,
    award_range,
    award_root,
    baseline_leaf,
    baseline_root,
    baseline_values,
    baseline_vector,
    leaf_hash,
    path_length,
    proof_of_leaf,
    proof_of_range,
    reading_leaf,
    root_of_leaves,
    root_of_range,
    verify,
)

LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


@settings(deadline=None)
@given(LEAVES)
def test_every_leaf_is_proved_against_the_root(leaves: list[bytes]) -> None:
    root = root_of_leaves(leaves)
    for at, leaf in enumerate(leaves):
        proof = proof_of_leaf(leaves, at)
        assert verify(root, leaf, proof)
        assert not verify(root, keccak256(leaf), proof)
        assert len(proof) == path_length(at, len(leaves))


def test_the_root_folds_the_peaks_from_the_smallest() -> None:
    a, b, c, d, e, f, g = (bytes([value]) * 32 for value in range(1, 8))
    four = hash_pair(hash_pair(a, b), hash_pair(c, d))
    assert root_of_leaves([a, b, c, d, e, f, g]) == hash_pair(four, hash_pair(hash_pair(e, f), g))
    assert root_of_leaves([a]) == a
    assert root_of_leaves([]) == bytes(32)


@given(LEAVES)
def test_peaks_are_one_for_each_bit_of_the_count(leaves: list[bytes]) -> None:
    peaks: tuple[bytes, ...] = ()
    for count, leaf in enumerate(leaves):
        peaks = append_leaf(peaks, count, leaf)
        assert len(peaks) == (count + 1).bit_count()


@settings(deadline=None)
@given(st.integers(0, 40))
def test_awards_stand_eight_to_a_leaf_and_each_leaf_has_its_proof(count: int) -> None:
    awards = [AwardRecord(1 + at, 1 + at, at, at) for at in range(count)]
    root = award_root(awards)
    leaves = [award_range(awards, ordinal, ordinal) for ordinal in range(0, len(awards), 8)]
    assert b"".join(leaf.awards for leaf in leaves) == pack_awards(awards)
    assert award_root(pack_awards(awards)) == root
    for leaf in leaves:
        assert verify(root, leaf_hash(leaf.first_leaf, leaf.awards), leaf.proof)


@settings(deadline=None)
@given(LEAVES, st.data())
def test_a_range_is_proved_at_its_place_only(contents: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(index, content) for index, content in enumerate(contents)]
    root, count = root_of_leaves(leaves), len(leaves)
    first = data.draw(st.integers(0, count - 1), label="first")
    end = data.draw(st.integers(first + 1, count), label="end")
    nodes = leaves[first:end]
    proof = proof_of_range(leaves, first, len(nodes))
    assert root_of_range(first, nodes, count, proof) == root
    assert root_of_range(first, nodes, count, (*proof, bytes(32))) is None
    assert root_of_range(first, nodes, count, proof[:-1]) is None or not proof
    for place in range(count + 1):
        if place != first:
            moved = [leaf_hash(place + at, content) for at, content in enumerate(contents[first:end])]
            assert root_of_range(place, moved, count, proof) != root
    assert root_of_range(first, [*nodes[:-1], bytes(32)], count, proof) != root
    assert root_of_range(first, [], count, proof) is None


def test_what_is_not_there_has_no_proof() -> None:
    for first, count in ((-1, 1), (0, 0), (0, 4), (3, 1), (2, 2)):
        with pytest.raises(IndexError):
            proof_of_range([bytes(32)] * 3, first, count)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=70))
def test_a_nanogrids_baseline_is_proved_by_its_leaf(values: list[int]) -> None:
    vector = baseline_vector(values)
    root = baseline_root(values)
    assert baseline_values(vector) == values
    assert baseline_root(vector) == root
    for index, value in enumerate(values):
        leaf = baseline_leaf(values, index)
        assert len(leaf.values) == 32
        assert verify(root, leaf_hash(leaf.leaf_index, leaf.values), leaf.proof)
        assert baseline_values(leaf.values)[index % 8] == value


def test_a_readings_leaf_is_salted() -> None:
    digest = keccak256(b"reading")
    assert reading_leaf(bytes(32), digest) == keccak256(bytes(32) + keccak256(digest))
    assert reading_leaf(b"\1" * 32, digest) != reading_leaf(bytes(32), digest)
