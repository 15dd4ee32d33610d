"""Whatever is lost or doubled is found: each kind by itself, in evidence that is else in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from market.domain.messages import BidRefusal
from market.domain.products import Phase, SignalKind
from market.domain.records import AwardRecord, BidRecord, pack_awards
from market.domain.signing import address_of, sign_message
from market.domain.typed_data import Domain
from market.store.facts import BidReceived
from scripts.chaos.bidder import Promise
from scripts.chaos.evidence import ChaosEvidence, Kept, Row, Told, is_refused
from scripts.chaos.judge import judge
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
SKIPPED = event("BidSkipped", offer=OFFER, record=int.from_bytes(BID.pack(signed=True), "big"), reason=1)
AUCTION = Domain(1, "0x" + "44" * 20)
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


PROMISED = Told((PROMISE,), (), ())


def test_a_promised_bid_that_is_on_the_chain_is_not_lost() -> None:
    assert judge(evidence_of(OPENED, POSTED, told=PROMISED)).lost == ()


@pytest.mark.parametrize("change", [{"quantity": 501}, {"price_ueur_kwh": 1}, {"revision": 1}, {"nanogrid": 5}])
def test_another_bid_on_the_chain_does_not_keep_the_promise(change: dict[str, int]) -> None:
    told = Told((replace(PROMISE, **change),), (), ())
    [found] = judge(evidence_of(OPENED, POSTED, told=told)).lost
    assert DIGEST in found


@pytest.mark.parametrize(
    ("state", "is_signed", "is_lost"),
    [
        ("LATE", True, False),
        ("LATE", False, True),
        ("SKIPPED", False, True),  # the chain itself would say why
        ("RECEIVED", False, True),
        ("POSTED", False, True),
    ],
)
def test_a_promised_bid_that_is_not_on_the_chain_needs_a_signed_reason(
    state: str, is_signed: bool, is_lost: bool
) -> None:
    verdict = judge(evidence_of(OPENED, told=PROMISED, reasons={DIGEST: (state, is_signed)}))
    assert bool(verdict.lost) is is_lost


def test_a_bid_that_the_chain_skipped_is_not_lost_whatever_the_database_says() -> None:
    assert judge(evidence_of(OPENED, SKIPPED, told=PROMISED)).lost == ()
    told = Told((replace(PROMISE, revision=1),), (), ())
    assert judge(evidence_of(OPENED, SKIPPED, told=told)).lost != ()


def test_a_record_that_no_bid_can_have_keeps_no_promise() -> None:
    nonsense = event("BidSkipped", offer=OFFER, record=INDEX, reason=1)
    [found] = judge(evidence_of(OPENED, nonsense, told=PROMISED)).lost
    assert DIGEST in found


def test_a_refusal_of_a_bid_that_is_on_the_chain_is_found() -> None:
    [found] = judge(evidence_of(OPENED, POSTED, told=PROMISED, reasons={DIGEST: ("LATE", True)})).lost
    assert "is on the chain, and the relayer has signed that it is not" in found


def test_a_refusal_counts_when_the_relayer_has_signed_it_with_its_reason() -> None:
    refusal = BidRefusal(bytes.fromhex(DIGEST[2:]), bytes.fromhex(OFFER[2:]), b"GATE_CLOSED".ljust(32, b"\0"), 7)
    relayer, other = b"\1" * 32, b"\2" * 32

    def late(key: bytes, **changed: Any) -> BidReceived:
        signature = sign_message(key, refusal, AUCTION).to_bytes()
        fields = {"digest": DIGEST, "offer": OFFER, "reason": "GATE_CLOSED", "refused_at": 7}
        return BidReceived(**fields | {"refusal_signature": signature} | changed)

    def counts(bid: BidReceived) -> bool:
        return is_refused(bid, address_of(relayer), AUCTION)

    assert counts(late(relayer))
    assert not counts(late(other))
    assert not counts(late(relayer, reason="NODE_IS_RED"))
    assert not counts(late(relayer, reason=None))
    assert not counts(late(relayer, refusal_signature=None))
    assert not counts(late(relayer, refusal_signature=bytes(65)))


def test_a_reading_with_a_receipt_must_be_stored_as_it_was() -> None:
    told = Told((), ((NANOGRID, INTERVAL, READING),), ())
    assert judge(evidence_of(told=told, readings=[(NANOGRID, INTERVAL, READING)])).holds
    [found] = judge(evidence_of(told=told, readings=[(NANOGRID, INTERVAL, DIGEST)])).lost
    assert READING in found


def test_a_reading_that_is_stored_twice_is_doubled() -> None:
    readings = [(NANOGRID, INTERVAL, READING), (NANOGRID, INTERVAL, DIGEST)]
    [found] = judge(evidence_of(readings=readings)).doubled
    assert f"interval {INTERVAL}" in found


def test_a_final_award_without_a_dispatch_is_lost() -> None:
    award = (OFFER, 0)
    assert judge(evidence_of(OPENED, POSTED, FINALISED, dispatches={award: ("ABORTED",)})).lost == ()
    [found] = judge(evidence_of(OPENED, POSTED, FINALISED)).lost
    assert found == f"award 0 of offer {OFFER} has no dispatch"


def test_an_award_that_red_revoked_before_its_interval_needs_no_dispatch() -> None:
    registered = event("PortfolioRegistered", portfolio=PORTFOLIO, node=3)

    def lost(at: int, node: int = 3) -> tuple[str, ...]:
        red = {"node": node, "interval": INTERVAL, "kind": int(SignalKind.FORECAST), "phase": int(Phase.RED)}
        said = Event(1, 0, "0x", "0x", "SignalSet", red, at)
        return judge(evidence_of(registered, OPENED, POSTED, FINALISED, said)).lost

    assert lost(INTERVAL - 1) == ()
    assert lost(INTERVAL) != (), "what had begun is carried out"
    assert lost(INTERVAL - 1, node=4) != ()


def test_an_award_whose_dispatch_was_never_sent_nor_given_up_is_lost() -> None:
    [found] = judge(evidence_of(OPENED, POSTED, FINALISED, dispatches={(OFFER, 0): ("NEW",)})).lost
    assert "neither sent nor given up" in found
    for state in ("PUBLISHED", "UNANSWERED", "SUCCEEDED"):
        assert judge(evidence_of(OPENED, POSTED, FINALISED, dispatches={(OFFER, 0): (state,)})).lost == ()


def test_an_award_that_is_begun_twice_is_doubled() -> None:
    begun = (OFFER, NANOGRID)
    assert judge(evidence_of(told=Told((), (), (begun,)))).doubled == ()
    [found] = judge(evidence_of(told=Told((), (), (begun, begun)))).doubled
    assert found == f"nanogrid {NANOGRID} has begun offer {OFFER} 2 times"


def test_two_dispatches_for_one_award_are_doubled() -> None:
    [found] = judge(evidence_of(dispatches={(OFFER, 0): ("SUCCEEDED", "STARTED")})).doubled
    assert "has 2 dispatches" in found


def test_a_row_that_the_chain_does_not_give_is_not_accounted_for() -> None:
    [found] = judge(evidence_of(differing={"accounts": [("0x1", 5)]})).unaccounted
    assert "accounts" in found


def test_what_the_checker_of_the_money_finds_is_not_accounted_for() -> None:
    evidence = evidence_of()
    short = replace(evidence, chain=replace(evidence.chain, owed=1))
    assert judge(evidence).unaccounted == ()
    assert judge(short).unaccounted != ()
