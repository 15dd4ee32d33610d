"""No gateway takes more of the oracle than its share, and loses nothing by it but time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from market.store.database import read_scope
from market.store.facts import Reading
from oracle.answers import Answers
from oracle.messages import ReadingBatch, ReceiptOutcome
from oracle.outgoing import Outgoing
from oracle.throttle import Throttle
from tests.chain.world import U
from tests.conftest import TEST_EPOCH
from tests.oracle.conftest import Desk


@dataclass
class Seconds:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_is_taken_and_then_so_many_a_second() -> None:
    clock = Seconds()
    throttle = Throttle(per_s=2.0, burst=5, now_s=clock)
    assert [throttle.admits("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert throttle.admits("b"), "another gateway is not held up"
    clock.now_s += 1.0
    assert [throttle.admits("a") for _ in range(3)] == [True, True, False]
    clock.now_s += 3600
    assert [throttle.admits("a") for _ in range(6)] == [True] * 5 + [False], "no more is saved up than a burst"


def test_what_is_too_much_is_let_fall_said_once_and_taken_when_it_comes_again(desk: Desk) -> None:
    clock = Seconds()
    ingest = replace(desk.ingest, throttle=Throttle(per_s=1.0, burst=2, now_s=clock))
    meter = desk.meter(0)
    payload = ReadingBatch(readings=(meter.read(TEST_EPOCH - U),)).payload()
    assert len(ingest.take(meter.topic, payload)) == 1
    second = ReadingBatch(readings=(meter.read(TEST_EPOCH),)).payload()
    desk.world.at(TEST_EPOCH + U)
    ingest.take(meter.topic, payload)
    for _ in range(10):
        assert ingest.take(meter.topic, second) == [], "no receipt: the gateway keeps it"
    assert desk.quarantined() == ["too-many-messages"]
    clock.now_s += 1.0
    [answer] = ingest.take(meter.topic, second)
    assert ReceiptOutcome.STORED.value.encode() in answer.payload
    with read_scope(desk.oracle.engine) as session:
        assert session.query(Reading).count() == 2
    clock.now_s += 0.5
    ingest.take(meter.topic, second)
    assert desk.quarantined() == ["too-many-messages"], "said once a minute"


def test_quarantine_keeps_so_many_of_a_gateways_messages_and_each_that_keeps_its_place(desk: Desk) -> None:
    clock = Seconds()
    ingest = replace(desk.ingest, kept=Throttle(per_s=1 / 60, burst=2, now_s=clock))
    meter = desk.meter(0)
    early = ReadingBatch(readings=(meter.draft(TEST_EPOCH),)).payload()
    for _ in range(5):
        [refused] = ingest.take(meter.topic, early)
        assert b"interval-not-over" in refused.payload, "an answer comes to each"
    assert desk.quarantined() == ["interval-not-over"] * 2
    implausible = ReadingBatch(readings=(meter.read(TEST_EPOCH - U, active_energy_wh=10**6),)).payload()
    ingest.take(meter.topic, implausible)
    assert desk.quarantined() == ["interval-not-over"] * 2 + ["implausible-reading"]
    clock.now_s += 60
    for _ in range(2):
        ingest.take(meter.topic, early)
    assert desk.quarantined().count("interval-not-over") == 3


def test_a_repetition_gets_the_same_receipt_without_being_looked_at_again_but_a_refusal_is_looked_at(
    desk: Desk,
) -> None:
    meter = desk.meter(0)
    first = ReadingBatch(readings=(meter.read(TEST_EPOCH - U),)).payload()
    early = ReadingBatch(readings=(meter.read(TEST_EPOCH),)).payload()
    [answer] = desk.ingest.take(meter.topic, first)
    assert desk.ingest.take(meter.topic, first) == [answer], "byte for byte, STORED and not DUPLICATE"
    [refused] = desk.ingest.take(meter.topic, early)
    assert b"interval-not-over" in refused.payload
    desk.world.at(TEST_EPOCH + U)
    [taken] = desk.ingest.take(meter.topic, early)
    assert b"REFUSED" not in taken.payload


def test_an_answer_is_remembered_for_a_minute() -> None:
    clock = Seconds()
    answers = Answers(now_s=clock)
    answers.remember("topic", b"payload", [Outgoing("t", b"p")])
    assert answers.to("topic", b"other") == answers.to("other", b"payload") == []
    clock.now_s += 59
    assert answers.to("topic", b"payload") == [Outgoing("t", b"p")]
    clock.now_s += 1
    assert answers.to("topic", b"payload") == []
