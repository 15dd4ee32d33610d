"""The contracts' libraries and the market's core compute the same calendar, months, products and trees."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3.contract import Contract

from market.chain.embedded import EmbeddedChain
from market.domain.calendar import Calendar
from market.domain.errors import BadSignature
from market.domain.gateway_key import GatewayKey, KeyKind, gateway_of
from market.domain.hashing import keccak256
from market.domain.products import PRODUCTS, Product
from market.domain.trees import (
    award_range,
    award_root,
    baseline_leaf,
    baseline_leaf_contents,
    baseline_root,
    baseline_vector,
    hash_pair,
    leaf_hash,
    path_length,
    proof_of_leaf,
    proof_of_range,
    root_of_leaves,
    verify,
)
from tests.contracts_properties.harness import create_harness
from tests.contracts_properties.plain_twins import twins

# A call of the node takes milliseconds, and one node serves all examples: both on purpose.
ON_A_NODE = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TIME_UNITS = st.one_of(st.just(900), st.integers(1, 3600))
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_FIELD = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
EDGES = (0, 1, P256_ORDER // 2, P256_ORDER // 2 + 1, P256_ORDER - 1, P256_ORDER, P256_FIELD, *P256_GENERATOR)
DIGESTS = st.binary(min_size=32, max_size=32)
GATEWAYS = st.builds(GatewayKey.of, st.binary(max_size=32).map(keccak256), st.sampled_from(KeyKind))
BASELINES = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=200)
AWARD_FLATS = st.integers(0, 70).flatmap(lambda count: st.binary(min_size=12 * count, max_size=12 * count))


@pytest.fixture(scope="module", params=[{}, twins()], ids=["product", "plain twins"])
def harness(module_anvil: EmbeddedChain, request: pytest.FixtureRequest) -> Contract:
    return create_harness(module_anvil, Path(__file__).with_name("LibrariesHarness.sol"), request.param)


@ON_A_NODE
@given(interval=st.integers(2**20, 2**32 - 1), time_unit_s=TIME_UNITS, hundredths=st.integers(0, 1000))
def test_deadlines_are_rounded_down_once(harness: Contract, interval: int, time_unit_s: int, hundredths: int) -> None:
    calendar = Calendar(time_unit_s, reading_deadline_s=10 * time_unit_s)
    assert harness.functions.before(interval, time_unit_s, hundredths).call() == calendar.before(interval, hundredths)
    after = harness.functions.afterwards(interval, time_unit_s, hundredths).call()
    assert after == interval + calendar.span_s(hundredths)
    assert harness.functions.isInterval(interval, time_unit_s).call() == calendar.is_interval(interval)


@pytest.mark.parametrize(("moment", "before"), [(0, 0), (1349, 0), (1350, 0), (1351, 1)])
def test_nothing_is_before_the_epoch(harness: Contract, moment: int, before: int) -> None:
    """1350 s are one and a half quarter hours."""
    assert harness.functions.before(moment, 900, 150).call() == before


@ON_A_NODE
@given(timestamp=st.integers(0, 2**32 - 1))
def test_months_are_those_of_utc(harness: Contract, timestamp: int) -> None:
    moment = datetime.fromtimestamp(timestamp, UTC)
    first = moment.replace(day=1, hour=0, minute=0, second=0)
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    assert harness.functions.month(timestamp).call() == [
        moment.year * 12 + moment.month - 1,
        int(first.timestamp()),
        (following - first).total_seconds() / 3600,
    ]


def test_every_day_until_2106_is_in_its_month(harness: Contract) -> None:
    epoch, days, portion = date(1970, 1, 1).toordinal(), 2**32 // 86_400, 5_000
    for first in range(0, days, portion):
        count = min(portion, days - first)
        dates = [date.fromordinal(epoch + first + day) for day in range(count)]
        expected = [day.year * 12 + day.month - 1 for day in dates for _ in ("first second", "last second")]
        assert harness.functions.monthsOfDays(first, count).call() == expected


@pytest.mark.parametrize("year", [1970, 1999, 2000, 2001, *range(2096, 2106)])
def test_every_month_around_a_century_begins_and_lasts_as_in_utc(harness: Contract, year: int) -> None:
    """2000 has a leap day, 2100 has none, which shifts the months that random moments hardly ever meet."""
    for month in range(1, 13):
        first = datetime(year, month, 1, tzinfo=UTC)
        hours = monthrange(year, month)[1] * 24
        expected = [year * 12 + month - 1, int(first.timestamp()), hours]
        assert harness.functions.month(int(first.timestamp())).call() == expected


@pytest.mark.parametrize("code", range(9))
def test_products_are_those_of_the_table(harness: Contract, code: int) -> None:
    known = code in set(Product)
    kind = int(PRODUCTS[Product(code)].kind) if known else 0
    answers = known and Product(code).answers_request
    assert harness.functions.product(code).call() == [known, kind, answers]


@ON_A_NODE
@given(awards=AWARD_FLATS)
def test_roots_of_awards_agree(harness: Contract, awards: bytes) -> None:
    assert harness.functions.rootOfAwards(awards).call() == award_root(awards)


@ON_A_NODE
@given(values=BASELINES.filter(bool))
def test_a_whole_vector_of_baselines_is_its_own_proof(harness: Contract, values: list[int]) -> None:
    flat = baseline_vector(values)
    leaves = -(-len(flat) // 32)
    whole = (baseline_root(values), 0, flat.ljust(32 * leaves, b"\0"), 32, leaves, [])
    assert harness.functions.verify(*whole).call()


@ON_A_NODE
@given(values=BASELINES.filter(bool), data=st.data())
def test_a_baselines_proof_verifies_at_its_place_only(
    harness: Contract, values: list[int], data: st.DataObject
) -> None:
    count = len(baseline_leaf_contents(values))
    leaf = baseline_leaf(values, data.draw(st.integers(0, len(values) - 1)))
    root, proof = baseline_root(values), list(leaf.proof)

    def verifies(place: int, shown: list[bytes]) -> bool:
        return bool(harness.functions.verify(root, place, leaf.values, 32, count, shown).call())

    assert verifies(leaf.leaf_index, proof)
    assert not verifies(data.draw(st.integers(0, count + 1).filter(lambda index: index != leaf.leaf_index)), proof)
    assert not verifies(leaf.leaf_index, [*proof, bytes(32)])


@ON_A_NODE
@given(awards=AWARD_FLATS.filter(bool), data=st.data())
def test_consecutive_awards_are_proved_by_their_own_proof_only(
    harness: Contract, awards: bytes, data: st.DataObject
) -> None:
    leaves = -(-len(awards) // 96)
    last = data.draw(st.integers(0, len(awards) // 12 - 1), label="last")
    shown = award_range(awards, data.draw(st.integers(0, last), label="first"), last)
    root, proof = award_root(awards), list(shown.proof)

    def verifies(first: int, content: bytes, given: list[bytes], count: int = leaves) -> bool:
        return bool(harness.functions.verify(root, first, content, 96, count, given).call())

    assert verifies(shown.first_leaf, shown.awards, proof)
    assert not verifies(shown.first_leaf + 1, shown.awards, proof)
    assert not verifies(shown.first_leaf, shown.awards[:-12], proof)
    assert not verifies(shown.first_leaf, shown.awards, [*proof, bytes(32)])
    for left_out in range(len(proof)):
        assert not verifies(shown.first_leaf, shown.awards, proof[:left_out] + proof[left_out + 1 :])
    changed = bytearray(shown.awards)
    changed[data.draw(st.integers(0, len(changed) - 1), label="changed")] ^= 1
    assert not verifies(shown.first_leaf, bytes(changed), proof)


@ON_A_NODE
@given(leaves=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70, unique=True), data=st.data())
def test_one_leaf_is_proved_at_its_place_as_a_range_of_one_is(
    harness: Contract, leaves: list[bytes], data: st.DataObject
) -> None:
    count, at = len(leaves), data.draw(st.integers(0, len(leaves) - 1))
    root, proof = root_of_leaves(leaves), list(proof_of_leaf(leaves, at))
    assert proof == list(proof_of_range(leaves, at, 1))

    def verifies(index: int, leaf: bytes, shown: list[bytes], among: int = count) -> bool:
        return bool(harness.functions.verifyLeaf(root, index, leaf, among, shown).call())

    assert verifies(at, leaves[at], proof)
    assert not verifies(at, leaves[at - 1], proof) or count == 1
    assert not verifies(at, leaves[at], [*proof, root])
    assert not verifies(at, leaves[at], proof[1:]) or not proof
    assert not verifies(count, leaves[at], proof)
    if proof:  # an inner node is no leaf: how long the proof must be follows from the place
        assert not verifies(at, hash_pair(leaves[at], proof[0]), proof[1:])


@ON_A_NODE
@given(count=st.integers(1, 2**32), data=st.data())
def test_the_length_of_a_proof_follows_from_the_place(harness: Contract, count: int, data: st.DataObject) -> None:
    index = data.draw(st.one_of(st.integers(0, count - 1), st.integers(max(0, count - 20), count - 1)))
    assert harness.functions.pathLength(index, count).call() == path_length(index, count)


def test_an_inner_node_is_no_leaf(harness: Contract) -> None:
    """In a tree of three leaves the pair of the first two lies as deep as the third. With four bytes before a leaf's
    records, that pair was the third leaf's five awards, if it only began with the third leaf's number."""
    first, second, third = (2).to_bytes(4, "big") + bytes(28), b"\x01" * 32, b"\x02" * 32
    assert hash_pair(first, second) == keccak256(first + second)
    root, proof = root_of_leaves([first, second, third]), [third]
    assert not harness.functions.verify(root, 2, (first + second)[4:], 96, 3, proof).call()
    assert not verify(root, leaf_hash(2, (first + second)[4:]), tuple(proof))


def test_no_leaf_of_whole_records_is_as_long_as_a_pair_of_nodes() -> None:
    assert 64 not in {5 + 12 * records for records in range(9)} | {5 + 32}


def test_without_awards_nothing_is_proved(harness: Contract) -> None:
    for content in (b"", bytes(12), bytes(96)):
        assert not harness.functions.verify(bytes(32), 0, content, 96, 0, []).call()


@ON_A_NODE
@given(count=st.integers(1, 600), ended=st.sets(st.integers(0, 599), max_size=40), asked=st.integers(0, 599))
def test_awards_have_their_marks_until_they_end(harness: Contract, count: int, ended: set[int], asked: int) -> None:
    for word in range((count + 255) // 256):
        ordinals = range(256 * word, 256 * word + 256)
        marks = harness.functions.marksLeft(count, word, [each for each in ended if each in ordinals]).call()
        for ordinal in ordinals:
            has_mark = ordinal < count and ordinal not in ended
            assert marks >> ordinal % 256 & 1 == has_mark
            if ordinal in (asked, asked + 1, ordinals[-1]):
                assert harness.functions.isMarked(marks, ordinal).call() == [word, has_mark]


@pytest.mark.parametrize("alone", [0, 1, 2, 127, 128, 254, 255])
def test_an_award_is_asked_after_by_its_own_mark_and_by_no_neighbours(harness: Contract, alone: int) -> None:
    for ordinal in {alone ^ 1 << bit for bit in range(8)} | {alone}:
        for of_word in (ordinal, 256 + ordinal):
            assert harness.functions.isMarked(1 << alone, of_word).call() == [of_word // 256, ordinal == alone]


# SIGNATURES OF GATEWAYS


def gateway_or_nobody(digest: bytes, signature: bytes) -> str:
    """The Python reference's answer, as the contract gives it."""
    try:
        return gateway_of(digest, signature)
    except BadSignature:
        return "0x" + "00" * 20


@ON_A_NODE
@given(key=GATEWAYS, digest=DIGESTS, data=st.data())
def test_a_gateway_is_who_the_reference_says_also_where_bits_are_flipped(
    harness: Contract, key: GatewayKey, digest: bytes, data: st.DataObject
) -> None:
    signature = key.sign(digest)
    assert harness.functions.gatewayOf(digest, signature).call() == key.address
    bit = data.draw(st.integers(0, 8 * len(signature) - 1))
    flipped = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(len(signature), "big")
    assert harness.functions.gatewayOf(digest, flipped).call() == gateway_or_nobody(digest, flipped)


@ON_A_NODE
@given(digest=DIGESTS, signature=st.one_of(st.binary(max_size=200), st.binary(min_size=128, max_size=128)))
def test_any_bytes_are_signed_by_whom_the_reference_says(harness: Contract, digest: bytes, signature: bytes) -> None:
    assert harness.functions.gatewayOf(digest, signature).call() == gateway_or_nobody(digest, signature)


@ON_A_NODE
@given(digest=DIGESTS, words=st.lists(st.sampled_from(EDGES), min_size=4, max_size=4))
def test_words_at_the_edges_are_signed_by_whom_the_reference_says(
    harness: Contract, digest: bytes, words: list[int]
) -> None:
    signature = b"".join(word.to_bytes(32, "big") for word in words)
    assert harness.functions.gatewayOf(digest, signature).call() == gateway_or_nobody(digest, signature)


@pytest.mark.parametrize("length", [*range(34), 63, 64, 128])
def test_a_signature_is_given_from_32_bytes_on_that_are_not_zero(harness: Contract, length: int) -> None:
    """What is none is not judged as a bad one: the award then ends by the reading that was announced."""
    assert harness.functions.isGiven(bytes([255]) * length).call() == (length >= 32)
    assert not harness.functions.isGiven(bytes(min(length, 32)) + bytes([255]) * (length - 32)).call()
    if length >= 32:
        for place in (0, 31):
            assert harness.functions.isGiven(bytes(place) + b"\x01" + bytes(length - place - 1)).call()


def test_every_run_of_leaves_of_a_small_tree_is_proved(harness: Contract) -> None:
    """On each level a run begins at a left or at a right node, and ends so: random trees seldom have all of them."""
    per_leaf = 96 // 12
    for leaves in range(1, 10):
        awards = keccak256(f"{leaves} leaves".encode()) * (leaves * 3)
        root = award_root(awards)
        for first in range(leaves):
            for last in range(first, leaves):
                shown = award_range(awards, first * per_leaf, last * per_leaf)
                assert harness.functions.verify(root, first, shown.awards, 96, leaves, [*shown.proof]).call()
