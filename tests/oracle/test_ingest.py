"""Readings, acknowledgements and statuses: written down before they are answered, or quarantined with their reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from sqlalchemy import event, func, select

from gateway_agent.buffer import PASSING_REFUSALS
from market.clock import LatestTime
from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.hashing import keccak256
from market.domain.products import Phase
from market.domain.signing import address_of
from market.domain.states import DispatchState
from market.store.database import read_scope, session_scope
from market.store.facts import Acknowledgement, GatewayStatus, Quarantined, Reading
from market.store.projections import Nanogrid
from market.store.work import Dispatch, Notice, OutboxState
from oracle.answers import Answers
from oracle.messages import (
    MAX_PAYLOAD_BYTES,
    Channel,
    Liveness,
    MessageRefused,
    ReadingBatch,
    ReceiptOutcome,
    SignedAcknowledgement,
    Status,
    parse,
    topic_for,
)
from tests.chain.world import U, gateway_key, nanogrid
from tests.clock import SettableClock
from tests.conftest import TEST_EPOCH
from tests.domain.test_gateway_key import FORGED, parts
from tests.oracle.conftest import Desk, Meter

T = TEST_EPOCH + U
STORED, DUPLICATE, REFUSED = ReceiptOutcome.STORED, ReceiptOutcome.DUPLICATE, ReceiptOutcome.REFUSED


@pytest.fixture
def late(desk: Desk) -> Desk:
    """Ten intervals later: there is something to read."""
    desk.world.at(T + 10 * U)
    return desk


def stored(desk: Desk) -> list[tuple[int, int]]:
    with read_scope(desk.oracle.engine) as session:
        rows = session.scalars(select(Reading).order_by(Reading.nanogrid, Reading.sequence))
        return [(row.nanogrid, row.interval) for row in rows]


def test_readings_are_stored_once_and_each_is_answered(late: Desk) -> None:
    meter = late.meter(1)
    readings = [meter.read(T), meter.read(T + U)]
    assert [receipt.outcome for receipt in late.take(meter, *readings)] == [STORED, STORED]
    restarted = replace(late, ingest=replace(late.ingest, answers=Answers()))
    assert [receipt.outcome for receipt in restarted.take(meter, *readings)] == [DUPLICATE, DUPLICATE]
    assert stored(late) == [(nanogrid(1), T), (nanogrid(1), T + U)]
    with read_scope(late.oracle.engine) as session:
        told = session.execute(select(Notice.topic, Notice.nanogrid, Notice.interval).order_by(Notice.id)).all()
    assert told == [("readings", nanogrid(1), T), ("readings", nanogrid(1), T + U)], "streams hear of each once"
    assert late.quarantined() == []


def test_a_receipt_names_what_it_answers(late: Desk) -> None:
    meter = late.meter(2)
    reading = meter.read(T)
    [receipt] = late.take(meter, reading)
    assert (receipt.subject, receipt.nanogrid) == (reading.digest(late.oracle.settlement), nanogrid(2))
    assert (receipt.interval, receipt.sequence) == (T, 1)


def test_nothing_is_answered_that_could_not_be_written(late: Desk) -> None:
    meter = late.meter(1)

    def disk_full(*_: Any) -> None:
        raise OSError("disk full")

    event.listen(late.oracle.engine, "commit", disk_full)
    with pytest.raises(OSError, match="disk full"):
        late.take(meter, meter.draft(T))
    event.remove(late.oracle.engine, "commit", disk_full)
    assert stored(late) == []
    assert late.take(meter, meter.draft(T))[0].outcome is STORED


WRONG: dict[str, Any] = {
    "bad-signature": lambda meter: meter.draft(T, key=gateway_key(2)),
    "unknown-gateway": lambda meter: meter.draft(T, nanogrid=nanogrid(2)),
    "interval-not-over": lambda meter: meter.draft(T + 10 * U),
    "interval-not-begun": lambda meter: meter.draft(T + 11 * U),
    "not-an-interval": lambda meter: meter.draft(T + 1),
    "implausible-reading": lambda meter: meter.draft(T, 2 * 20_000 // 4 + 101),
    "replayed-reading": lambda meter: meter.draft(T + U, sequence=1),
    "out-of-order": lambda meter: meter.draft(T + U, sequence=7),
    "broken-hash-chain": lambda meter: meter.draft(T + U, previous_hash="0x" + "11" * 32),
}


@pytest.mark.parametrize("code", WRONG)
def test_a_wrong_reading_is_refused_by_its_reason_and_stored_nowhere(late: Desk, code: str) -> None:
    meter = late.meter(1)
    assert late.take(meter, meter.read(T - U))[0].outcome is STORED
    [receipt] = late.take(meter, WRONG[code](meter))
    assert (receipt.outcome, receipt.code) == (REFUSED, code)
    assert receipt.reason
    assert stored(late) == [(nanogrid(1), T - U)]
    assert late.quarantined() == [code]


def test_reactive_energy_must_be_plausible_too(late: Desk) -> None:
    meter = late.meter(1)
    [receipt] = late.take(meter, meter.draft(T, reactive_energy_varh=-(2 * 20_000 // 4 + 101)))
    assert (receipt.code, "reactive" in receipt.reason) == ("implausible-reading", True)


def test_the_largest_plausible_reading_is_taken(late: Desk) -> None:
    meter = late.meter(1)
    assert late.take(meter, meter.draft(T, -(2 * 20_000 // 4 + 100)))[0].outcome is STORED


def test_another_reading_of_the_same_interval_is_evidence_and_the_first_one_stays(late: Desk) -> None:
    meter = late.meter(1)
    first = meter.read(T, 500)
    late.take(meter, first)
    [receipt] = late.take(meter, meter.read(T, 900))
    assert (receipt.outcome, receipt.code) == (REFUSED, "contradicting-reading")
    with read_scope(late.oracle.engine) as session:
        assert session.scalars(select(Reading.active_energy_wh)).all() == [500]
        kept = session.scalars(select(Quarantined.payload)).one()
    assert json.loads(kept)["active_energy_wh"] == 900


@pytest.mark.parametrize(
    "code", ["implausible-reading", "not-an-interval", "contradicting-reading", "interval-not-begun"]
)
def test_a_refused_reading_keeps_its_place_so_that_the_next_ones_are_taken(late: Desk, code: str) -> None:
    meter = late.meter(1)
    late.take(meter, meter.read(T))
    wrong = {
        "implausible-reading": (T + U, 99_999),
        "not-an-interval": (T + U + 1, 500),
        "contradicting-reading": (T, 501),
        "interval-not-begun": (T + 11 * U, 500),
    }
    [refused] = late.take(meter, meter.read(*wrong[code]))
    assert refused.code == code
    assert [receipt.outcome for receipt in late.take(meter, meter.read(T + 2 * U), meter.read(T + 3 * U))] == [
        STORED,
        STORED,
    ]


def test_a_reading_that_comes_too_early_is_taken_when_it_comes_again(late: Desk) -> None:
    meter = late.meter(1)
    early = meter.read(T + 10 * U)
    behind = meter.read(T + 11 * U)
    assert [receipt.code for receipt in late.take(meter, early, behind)] == ["interval-not-over", "out-of-order"]
    late.world.at(T + 12 * U)
    assert [receipt.outcome for receipt in late.take(meter, early, behind)] == [STORED, STORED]


def test_a_reading_that_came_before_its_interval_had_begun_is_never_taken(late: Desk) -> None:
    """Its gateway's clock was ahead: nobody has measured what it says."""
    meter = late.meter(1)
    ahead = [meter.read(T + each * U) for each in (11, 12, 100_000)]
    assert [receipt.code for receipt in late.take(meter, *ahead)] == ["interval-not-begun"] * 3
    late.world.at(T + 13 * U)
    assert [receipt.code for receipt in late.take(meter, *ahead)] == ["replayed-reading"] * 3
    assert "interval-not-begun" not in PASSING_REFUSALS
    # Its chain goes on behind them, and the very intervals may be read again.
    assert late.take(meter, meter.read(T + 11 * U))[0].outcome is STORED
    assert stored(late) == [(nanogrid(1), T + 11 * U)]


def test_while_the_oracles_clock_is_behind_the_chains_no_reading_is_refused_for_good(late: Desk) -> None:
    late.world.at(T + 20 * U)
    late.world.signal(T + 24 * U, Phase.GREEN, 1)
    late.oracle.index()
    behind = replace(late, ingest=replace(late.ingest, now=lambda: T + 10 * U))
    meter = late.meter(1)
    readings = [meter.read(T + each * U) for each in (18, 19)]
    assert behind.take(meter, *readings)[0].code == "interval-not-over"
    assert [receipt.outcome for receipt in late.take(meter, *readings)] == [STORED, STORED]


def test_where_nothing_happens_on_the_chain_an_oracle_whose_clock_is_set_back_refuses_no_reading_for_good(
    late: Desk,
) -> None:
    """It had refused every reading of every gateway for as long as its clock was behind, and nobody measured again."""
    clock = SettableClock(T + 10 * U)
    late.world.at(T + 20 * U)
    behind = replace(late, ingest=replace(late.ingest, now=clock.now, latest=LatestTime(clock).now))
    clock.set_by(-10 * U)
    clock.passed_s = 10 * U
    assert clock.now() == T + 10 * U
    meter = late.meter(1)
    readings = [meter.read(T + each * U) for each in (18, 19)]
    assert behind.take(meter, *readings)[0].code == "interval-not-over"
    another = late.meter(2)
    assert behind.take(another, another.read(T + 21 * U))[0].code == "interval-not-begun"
    assert [receipt.outcome for receipt in late.take(meter, *readings)] == [STORED, STORED]


def test_a_status_of_a_clock_that_is_ahead_is_counted(late: Desk) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("meritgrid_statuses_ahead_total") or 0.0

    before, key = count(), gateway_key(1)
    for off_s in (-U, 0, U // 15, U // 15 + 1):
        at = T + 10 * U + off_s
        status = Status.sealed(
            key, late.oracle.settlement, gateway=late.meter(1).gateway, nanogrid=nanogrid(1), state=Liveness.ONLINE,
            at=at, software_version="1",
        )  # fmt: skip
        late.ingest.take(topic_for(late.meter(1).gateway, Channel.STATUS), status.payload())
    assert count() - before == 1


def test_readings_wait_while_the_seats_are_not_known(late: Desk) -> None:
    """As while the projections are built anew: the gateway sends them again, and its chain has no hole."""
    meter = late.meter(1)
    reading = meter.read(T)
    with session_scope(late.oracle.engine) as session:
        seat = session.get_one(Nanogrid, nanogrid(1))
        known, seat.gateway = seat.gateway, None
    [receipt] = late.take(meter, reading)
    assert receipt.code in PASSING_REFUSALS
    with session_scope(late.oracle.engine) as session:
        session.get_one(Nanogrid, nanogrid(1)).gateway = known
    assert [each.outcome for each in late.take(meter, reading, meter.read(T + U))] == [STORED, STORED]


def test_a_forged_reading_takes_no_place(late: Desk) -> None:
    meter = late.meter(1)
    late.take(meter, meter.draft(T, key=gateway_key(2)))
    assert late.take(meter, meter.read(T))[0].outcome is STORED


def test_a_gateway_that_is_replaced_is_refused_from_then_on(late: Desk) -> None:
    meter = late.meter(1)
    late.take(meter, meter.read(T))
    new_key = keccak256(b"another gateway")
    settlement = late.world.contracts.settlement.functions
    late.world.send("operator", settlement.setGateway(nanogrid(1), address_of(new_key)))
    late.oracle.index()
    assert late.take(meter, meter.read(T + U))[0].code == "unknown-gateway"
    successor = Meter(1, late.oracle.settlement, key=new_key)
    assert late.take(successor, successor.read(T + U))[0].outcome is STORED


def test_one_wrong_reading_stops_none_of_the_others_of_its_batch(late: Desk) -> None:
    meter = late.meter(1)
    batch = [meter.read(T), meter.read(T + U, 99_999), meter.read(T + 2 * U)]
    assert [receipt.outcome for receipt in late.take(meter, *batch)] == [STORED, REFUSED, STORED]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{broken", "message-malformed"),
        (b'{"version": 2, "readings": []}', "message-malformed"),
        (b'"' + b"x" * MAX_PAYLOAD_BYTES + b'"', "message-too-large"),
    ],
)
def test_a_payload_that_cannot_be_read_is_kept_and_answered_by_its_hash(late: Desk, payload: bytes, code: str) -> None:
    meter = late.meter(1)
    [receipt] = late.receipts(meter, payload)
    assert (receipt.outcome, receipt.code) == (REFUSED, code)
    assert receipt.subject == "0x" + keccak256(payload).hex()
    with read_scope(late.oracle.engine) as session:
        kept = session.scalars(select(Quarantined)).one()
    assert (kept.reason, kept.payload) == (code, payload[:MAX_PAYLOAD_BYTES])


def test_a_malformed_batch_names_all_that_is_wrong_with_it(late: Desk) -> None:
    meter = late.meter(1)
    document = json.loads(meter.draft(T).model_dump_json()) | {"sequence": 0, "active_energy_wh": 2**31, "more": 1}
    with pytest.raises(MessageRefused) as refused:
        parse(meter.topic, json.dumps({"version": 1, "readings": [document]}).encode())
    pointers = {violation.pointer for violation in refused.value.violations}
    assert pointers >= {"/readings/0/sequence", "/readings/0/active_energy_wh", "/readings/0/more"}


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=400), channel=st.sampled_from(Channel))
def test_no_payload_breaks_the_parser(payload: bytes, channel: Channel) -> None:
    topic = topic_for("0x" + "ab" * 20, channel)
    with pytest.raises(MessageRefused) as refused:
        parse(topic, payload)
    assert refused.value.violations


def test_a_message_on_no_topic_of_ours_is_kept_and_not_answered(late: Desk) -> None:
    assert late.ingest.take("meritgrid/v1/gw/somebody/readings", b"{}") == []
    assert late.quarantined() == ["unknown-topic"]


# KEYS OF THE CURVE P-256


def test_readings_of_a_p256_gateway_are_stored_with_their_signature(late: Desk) -> None:
    late.seat_p256(1)
    meter = late.meter(1)
    readings = [meter.read(T), meter.read(T + U)]
    assert [receipt.outcome for receipt in late.take(meter, *readings)] == [STORED, STORED]
    with read_scope(late.oracle.engine) as session:
        kept = session.scalars(select(Reading).order_by(Reading.sequence)).all()
    assert [row.gateway.lower() for row in kept] == 2 * [meter.gateway]
    assert [row.signature for row in kept] == [bytes.fromhex(each.signature[2:]) for each in readings]
    assert [len(row.signature) for row in kept] == [128, 128]


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_p256_reading_is_refused(late: Desk, forged: Callable[..., bytes]) -> None:
    late.seat_p256(1)
    meter = late.meter(1)
    reading = meter.read(T)
    signature = forged(*parts(bytes.fromhex(reading.signature[2:])))
    [receipt] = late.take(meter, reading.model_copy(update={"signature": "0x" + signature.hex()}))
    assert (receipt.outcome, receipt.code) == (REFUSED, "bad-signature")
    assert stored(late) == []


def test_a_p256_key_signs_no_reading_of_the_secp256k1_gateway(late: Desk) -> None:
    meter = late.meter(1)
    [receipt] = late.take(meter, meter.draft(T, key=GatewayKey.of(gateway_key(1), KeyKind.P256)))
    assert (receipt.outcome, receipt.code) == (REFUSED, "bad-signature")


def test_where_the_chain_cannot_check_p256_no_such_reading_stops_a_batch(late: Desk) -> None:
    """Refused in passing: it takes no place, and the gateway keeps it."""
    late.seat_p256(1)
    older = replace(late, ingest=replace(late.ingest, takes_p256=False))
    p256, other = older.meter(1), older.meter(2)
    reading = p256.read(T)
    [receipt] = older.take(p256, reading)
    assert (receipt.outcome, receipt.code) == (REFUSED, "unsupported-key")
    assert receipt.code in PASSING_REFUSALS
    assert [each.outcome for each in older.take(other, other.read(T))] == [STORED]
    assert [each.outcome for each in late.take(p256, reading)] == [STORED]


def test_a_p256_gateway_acknowledges_and_says_that_it_is_there(late: Desk) -> None:
    key = late.seat_p256(1)
    id_ = dispatch(late, gateway=key.address)
    fields = {"nanogrid": nanogrid(1), "dispatch": id_, "state": "ACCEPTED", "at": T}
    acknowledgement = SignedAcknowledgement.signed(key, late.oracle.settlement, **fields)
    online = status(late, key, gateway=key.address.lower())
    for channel, payload in ((Channel.ACKS, acknowledgement.payload()), (Channel.STATUS, online)):
        assert late.ingest.take(topic_for(key.address, channel), payload) == []
    assert (state_of(late, id_), late.quarantined()) == (OutboxState.ACCEPTED, [])


# ACKNOWLEDGEMENTS AND STATUSES


def dispatch(desk: Desk, index: int = 1, gateway: str = "") -> str:
    """A dispatch of a nanogrid in the outbox, published."""
    gateway = gateway or address_of(gateway_key(index))
    id_ = "0x" + keccak256(b"a dispatch").hex()
    with session_scope(desk.oracle.engine) as session:
        session.add(
            Dispatch(
                id=id_, kind="AWARD", nanogrid=nanogrid(index), gateway=gateway, interval=T,
                product=0, direction=1, quantity=100, baseline=500, change=-100, target_w=1600, target_var=0,
                lease_end=T + U + U // 15, signature=bytes(64), state=OutboxState.PUBLISHED, reason=None, offer=None,
                ordinal=None, decision=None, created_at=T, published_at=T, answered_at=None, started_at=None,
                ended_at=None,
            )
        )  # fmt: skip
    return id_


def acknowledge(desk: Desk, id_: str, state: str, index: int = 1, key: bytes | None = None, at: int = T) -> None:
    message = SignedAcknowledgement.signed(
        key or gateway_key(index), desk.oracle.settlement, nanogrid=nanogrid(index), dispatch=id_, state=state, at=at
    )
    gateway = address_of(gateway_key(index)).lower()
    assert desk.ingest.take(topic_for(gateway, Channel.ACKS), message.payload()) == []


def state_of(desk: Desk, id_: str) -> str:
    with read_scope(desk.oracle.engine) as session:
        return session.get_one(Dispatch, id_).state


def test_acknowledgements_move_a_dispatch_forward_and_never_back(late: Desk) -> None:
    id_ = dispatch(late)
    for state in ("ACCEPTED", "STARTED", "ACCEPTED", "SUCCEEDED", "STARTED"):
        acknowledge(late, id_, state)
    assert state_of(late, id_) == OutboxState.SUCCEEDED
    with read_scope(late.oracle.engine) as session:
        states = session.scalars(select(Acknowledgement.state).order_by(Acknowledgement.id)).all()
    assert states == [DispatchState.ACCEPTED, DispatchState.STARTED, DispatchState.SUCCEEDED]
    assert set(late.moved) == {address_of(gateway_key(1)).lower()}


@pytest.mark.parametrize(
    ("code", "arguments"),
    [("bad-signature", {"key": gateway_key(2)}), ("unknown-dispatch", {"index": 2})],
)
def test_an_acknowledgement_that_is_not_the_gateways_own_changes_nothing(
    late: Desk, code: str, arguments: dict[str, Any]
) -> None:
    id_ = dispatch(late)
    acknowledge(late, id_, "SUCCEEDED", **arguments)
    assert (state_of(late, id_), late.quarantined()) == (OutboxState.PUBLISHED, [code])


def status(desk: Desk, key: bytes | GatewayKey, of: int = 1, version: str = "1", gateway: str = "") -> bytes:
    """A status on the topic of gateway 1, or another, that names a nanogrid."""
    return Status.sealed(
        key,
        desk.oracle.settlement,
        gateway=gateway or address_of(gateway_key(1)).lower(),
        nanogrid=nanogrid(of),
        state=Liveness.ONLINE,
        at=T,
        software_version=version,
    ).payload()


@pytest.mark.parametrize(
    ("arguments", "refusals"),
    [
        ({"key": gateway_key(1)}, []),
        ({"key": gateway_key(2)}, ["bad-signature"]),
        ({"key": gateway_key(1), "of": 2}, ["unknown-gateway"]),
        # PostgreSQL keeps no NUL: it must be refused as a message, not fail as a database.
        ({"key": gateway_key(1), "version": "1\0"}, ["message-malformed"]),
    ],
)
def test_a_status_is_kept_when_the_gateway_of_the_nanogrid_sealed_it(
    late: Desk, arguments: dict[str, Any], refusals: list[str]
) -> None:
    topic = topic_for(address_of(gateway_key(1)).lower(), Channel.STATUS)
    late.ingest.take(topic, status(late, **arguments))
    with read_scope(late.oracle.engine) as session:
        kept = session.scalar(select(func.count()).select_from(GatewayStatus))
    assert (kept, late.quarantined()) == (0 if refusals else 1, refusals)


def test_oracles_that_hear_the_same_readings_at_once_store_each_once(late: Desk) -> None:
    """One that is about to be followed, and the one that follows it: both answer, and one of them has stored."""
    meters = [late.meter(index) for index in range(4)]
    batches = [(meter, ReadingBatch(readings=(meter.read(T), meter.read(T + U))).payload()) for meter in meters]
    start = Barrier(3)

    def hear(_: int) -> list[list[ReceiptOutcome]]:
        own = replace(late, ingest=replace(late.ingest, answers=Answers()))
        start.wait()
        return [[receipt.outcome for receipt in own.receipts(meter, payload)] for meter, payload in batches]

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(hear, range(3)))
    for told in zip(*answers, strict=True):
        assert sorted(told) == [
            [DUPLICATE] * 2, [DUPLICATE] * 2, [STORED] * 2
        ]  # fmt: skip
    assert len(stored(late)) == 8
    assert late.quarantined() == []
