"""Whatever is lost or doubled is found: each kind by itself, in evidence that is else in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from market.domain.records import AwardRecord, BidRecord, pack_awards
from scripts.chaos.bidder import Promise
from scripts.chaos.evidence import ChaosEvidence, Kept, Row, Told
from scripts.chaos.judge import Verdict, judge
from scripts.demo.checker.evidence import Event, Evidence

OFFER = "0x" + "11" * 32
DIGEST = "0x" + "22" * 32
READING = "0x" + "33" * 32
PORTFOLIO, INDEX = 1, 7
NANOGRID = PORTFOLIO << 16 | INDEX
INTERVAL = 1_800_000_000
BID = BidRecord(100_000, 500, 0, INDEX)
AWARD = AwardRecord(100_000, 500, 0, INDEX)
PROMISE = Promise(OFFER, NANOGRID, 100_000, 500, 0, 0, DIGEST, {})


def event(name: str, **arguments: Any) -> Event:
    return Event(1, 0, "0x", "0x", name, arguments)


OPENED = event(
    "OfferOpened", offer=OFFER, portfolio=PORTFOLIO, interval=INTERVAL, side=0, direction=0, product=1, quantity=500,
    request="0x" + "00" * 32,
)  # fmt: skip
POSTED = event("BidsPosted", offer=OFFER, firstPosition=0, records="0x" + BID.pack().hex())
FINALISED = event("Finalised", offer=OFFER, awards="0x" + pack_awards([AWARD]).hex())


def evidence_of(
    *events: Event,
    told: Told | None = None,
    reasons: Mapping[str, tuple[str, bool]] | None = None,
    readings: Sequence[tuple[int, int, str]] = (),
    dispatches: Mapping[tuple[str, int], tuple[str, ...]] | None = None,
    differing: Mapping[str, Sequence[Row]] | None = None,
) -> ChaosEvidence:
    chain = Evidence(
        chain_id=1, settlement="0x", time_unit_s=60, reading_deadline_s=240, events=events, token_supply=0,
        token_balances={}, owed=0, escrows={}, readings=(),
    )  # fmt: skip
    kept = Kept(reasons or {}, tuple(readings), dispatches or {})
    return ChaosEvidence(chain, told or Told((), (), ()), kept, differing or {})


def judged(evidence: ChaosEvidence) -> Verdict:
    return judge(evidence)


PROMISED = Told((PROMISE,), (), ())


def test_a_promised_bid_that_is_on_the_chain_is_not_lost() -> None:
    assert judged(evidence_of(OPENED, POSTED, told=PROMISED)).lost == ()


@pytest.mark.parametrize("change", [{"quantity": 501}, {"price_ueur_kwh": 1}, {"revision": 1}, {"nanogrid": 5}])
def test_another_bid_on_the_chain_does_not_keep_the_promise(change: dict[str, int]) -> None:
    told = Told((replace(PROMISE, **change),), (), ())
    [found] = judged(evidence_of(OPENED, POSTED, told=told)).lost
    assert DIGEST in found


@pytest.mark.parametrize(
    ("state", "is_signed", "is_lost"),
    [
        ("LATE", True, False),
        ("LATE", False, True),
        ("SKIPPED", False, False),  # the chain itself says why
        ("RECEIVED", False, True),
        ("POSTED", False, True),
    ],
)
def test_a_promised_bid_that_is_not_on_the_chain_needs_a_signed_reason(
    state: str, is_signed: bool, is_lost: bool
) -> None:
    verdict = judged(evidence_of(OPENED, told=PROMISED, reasons={DIGEST: (state, is_signed)}))
    assert bool(verdict.lost) is is_lost


def test_a_reading_with_a_receipt_must_be_stored_as_it_was() -> None:
    told = Told((), ((NANOGRID, INTERVAL, READING),), ())
    assert judged(evidence_of(told=told, readings=[(NANOGRID, INTERVAL, READING)])).holds
    [found] = judged(evidence_of(told=told, readings=[(NANOGRID, INTERVAL, DIGEST)])).lost
    assert READING in found


def test_a_reading_that_is_stored_twice_is_doubled() -> None:
    readings = [(NANOGRID, INTERVAL, READING), (NANOGRID, INTERVAL, DIGEST)]
    [found] = judged(evidence_of(readings=readings)).doubled
    assert f"interval {INTERVAL}" in found


def test_a_final_award_without_a_dispatch_is_lost() -> None:
    award = (OFFER, 0)
    assert judged(evidence_of(OPENED, POSTED, FINALISED, dispatches={award: ("ABORTED",)})).lost == ()
    [found] = judged(evidence_of(OPENED, POSTED, FINALISED)).lost
    assert found == f"award 0 of offer {OFFER} has no dispatch"


def test_an_award_that_is_begun_twice_is_doubled() -> None:
    begun = (OFFER, NANOGRID)
    assert judged(evidence_of(told=Told((), (), (begun,)))).doubled == ()
    [found] = judged(evidence_of(told=Told((), (), (begun, begun)))).doubled
    assert found == f"nanogrid {NANOGRID} has begun offer {OFFER} 2 times"


def test_two_dispatches_for_one_award_are_doubled() -> None:
    [found] = judged(evidence_of(dispatches={(OFFER, 0): ("SUCCEEDED", "STARTED")})).doubled
    assert "has 2 dispatches" in found


def test_a_row_that_the_chain_does_not_give_is_not_accounted_for() -> None:
    [found] = judged(evidence_of(differing={"accounts": [("0x1", 5)]})).unaccounted
    assert "accounts" in found


def test_what_the_checker_of_the_money_finds_is_not_accounted_for() -> None:
    evidence = evidence_of()
    short = replace(evidence, chain=replace(evidence.chain, owed=1))
    assert judged(evidence).unaccounted == ()
    assert judged(short).unaccounted != ()
