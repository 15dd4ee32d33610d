"""The independent checker finds a changed award, a missing reading and an added transfer in a real day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from market.chain.sender import TransactionSender
from market.domain.gateway_key import KeyKind, kind_of
from market.domain.settlement import Outcome
from market.store.database import migrate, open_engine, read_scope
from market.store.facts import BidReceived, SignedDecision
from scripts.demo.checker.evidence import Event, Evidence
from scripts.demo.checker.verdict import check
from scripts.demo.options import DemoOptions
from scripts.demo.run import collect_evidence, findings_of, opened, play_day
from scripts.demo.stage import Stage

pytestmark = [pytest.mark.alone, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


def _transfer_to_settlement(stage: Stage, folder: Path) -> None:
    """The operator mints a micro-euro and moves it into Settlement without any deposit."""
    url = f"sqlite:///{folder / 'intruder.sqlite'}"
    migrate(url)
    contracts = stage.contracts()
    operator = TransactionSender(contracts, open_engine(url), stage.layout.keys.key("operator"))
    token = contracts.token.functions
    operator.send(token.mint(operator.address, 1, bytes(32)), "mint", "mint")
    operator.send(token.transfer(contracts.settlement.address, 1), "transfer", "transfer")


def _require_nothing_staged(stage: Stage, set_up_until: int) -> None:
    """After set-up only the parties act: relayer and oracle send, DSO and aggregator decide, owners' keys bid."""
    web3, keys = stage.contracts().web3, stage.layout.keys
    senders = {
        sent["from"]
        for number in range(set_up_until + 1, web3.eth.block_number + 1)
        for sent in web3.eth.get_block(number, full_transactions=True)["transactions"]
        if isinstance(sent, Mapping)
    }
    assert senders == {keys.address("relayer"), keys.address("oracle")}
    engine = open_engine(f"sqlite:///{stage.layout.database}")
    with read_scope(engine) as session:
        decided = {(row.kind, row.signer) for row in session.scalars(select(SignedDecision))}
        bidders = {(row.index, row.signer) for row in session.scalars(select(BidReceived))}
    engine.dispose()
    assert decided == {
        ("Signal", keys.address("dso")), ("Request", keys.address("dso")), ("Offer", keys.address("aggregator"))
    }  # fmt: skip
    by_hand = {each.index for each in stage.households if each.signs_by_hand}
    assert bidders == {(each.index, keys.address(each.key_name)) for each in stage.households} & bidders
    assert {index for index, _ in bidders} & by_hand, "some owners sign with their own key"
    assert {index for index, _ in bidders} - by_hand, "the others' delegates do"


def _require_causes(stage: Stage, evidence: Evidence) -> None:
    """The gateway without uplink and the stubborn device have won, and have not delivered."""
    [offline] = [each.index for each in stage.households if each.outages]
    [stubborn] = [each.index for each in stage.households if each.stubborn]
    intervals = {event.arguments["offer"]: event.arguments["interval"] for event in evidence.named("OfferOpened")}
    # Awards that failed: index and whether the deadline for readings was over when they ended.
    failed = {
        (end.arguments["nanogrid"] & 0xFFFF, end.at >= intervals[end.arguments["offer"]] + evidence.reading_deadline_s)
        for end in evidence.named("AwardSettled")
        if end.arguments["outcome"] == int(Outcome.FAILED)
    }
    assert (offline, True) in failed, "no reading in time"
    assert (stubborn, False) in failed, "measured in time, and not done"


def _require_both_curves(evidence: Evidence) -> None:
    """Gateways with keys on either curve have enrolled, measured, and been paid for their delivery."""
    paid = {end.arguments["nanogrid"] for end in evidence.named("AwardSettled") if end.arguments["paidUeur"] > 0}
    kinds = {kind_of(reading.signature) for reading in evidence.readings if reading.nanogrid in paid}
    assert kinds == set(KeyKind)


def _failing(evidence: Evidence) -> set[str]:
    return {name for name, findings in check(evidence).items() if findings}


def _with_settlement(evidence: Evidence, change: Callable[[Event], Event]) -> Evidence:
    first = evidence.named("AwardSettled")[0]
    return replace(evidence, events=tuple(change(event) if event is first else event for event in evidence.events))


def _pay_one_more(event: Event) -> Event:
    return replace(event, arguments={**event.arguments, "paidUeur": event.arguments["paidUeur"] + 1})


def _award_one_more(event: Event) -> Event:
    return replace(event, arguments={**event.arguments, "awarded": event.arguments["awarded"] + 1})


def _another_baseline(event: Event) -> Event:
    """Of energy that has not flowed, with amounts that fit it."""
    changed = {name: event.arguments[name] + 1 for name in ("baseline", "metered")}
    return replace(event, arguments={**event.arguments, **changed})


async def test_evidence_that_was_tampered_with_fails(tmp_path: Path) -> None:
    async with opened(DemoOptions(tmp_path / "day", first_hour=11, last_hour=13), lambda *_: None) as stage:
        set_up_until = stage.contracts().web3.eth.block_number
        await play_day(stage, lambda *_: None)
        honest = await asyncio.to_thread(collect_evidence, stage)
        await asyncio.to_thread(_require_nothing_staged, stage, set_up_until)
        _require_causes(stage, honest)
        _require_both_curves(honest)
        await asyncio.to_thread(_transfer_to_settlement, stage, tmp_path)
        with_transfer = await asyncio.to_thread(collect_evidence, stage)
    assert _failing(honest) == set()
    assert "Settlement holds exactly what it owes" in _failing(with_transfer)

    assert "every award ends once" in _failing(_with_settlement(honest, _award_one_more))
    paid_more = _failing(_with_settlement(honest, _pay_one_more))
    assert {"escrow = paid + margin + refunded", "settlements follow from baselines and signed readings"} <= paid_more

    delivered = next(event for event in honest.named("AwardSettled") if event.arguments["delivered"] > 0)
    settled = {event.arguments["offer"]: event.arguments["interval"] for event in honest.named("OfferOpened")}
    missing = (delivered.arguments["nanogrid"], settled[delivered.arguments["offer"]])
    without = tuple(reading for reading in honest.readings if (reading.nanogrid, reading.interval) != missing)
    assert "settlements follow from baselines and signed readings" in _failing(replace(honest, readings=without))
    intervals = [each for each in stage.scenario.intervals if stage.first_interval <= each < stage.end]
    _, findings = findings_of(stage.scenario, intervals, replace(honest, readings=without))
    assert len(findings["every gateway has measured every interval"]) == 1

    assert "baselines are those that were anchored" in _failing(_with_settlement(honest, _another_baseline))

    without_end = tuple(event for event in honest.events if event is not delivered)
    assert "every award ends once" in _failing(replace(honest, events=without_end))
