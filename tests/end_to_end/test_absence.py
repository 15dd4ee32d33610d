"""An agent that stays away beyond its lease: the day differs by what the Python reference says of its awards."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import aiomqtt
import pytest

from gateway_agent.configuration import load_enrolled
from market.domain.intervals import QUARTER_HOUR_S as U
from market.domain.products import Direction, Side
from market.domain.records import unpack_awards
from market.domain.settlement import AwardTerms, Outcome, settle_award
from oracle.messages import Channel, DispatchSnapshot, topic_for
from scripts.demo.checker.evidence import Event, Evidence
from scripts.demo.checker.verdict import check
from scripts.demo.run import collect_evidence, opened, play_day
from scripts.demo.stage import Stage, spec
from tests.end_to_end.conftest import AMOUNTS, CalmDay, part_of_the_day, quiet, settlements

pytestmark = [pytest.mark.alone, pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(900)]


def _chosen(calm: CalmDay) -> tuple[str, int, set[int]]:
    """The agent that delivered most in the last interval with awards, that interval, and its nanogrids."""
    evidence, hosts = calm.evidence, calm.hosts
    intervals = {event.arguments["offer"]: event.arguments["interval"] for event in evidence.named("OfferOpened")}
    ends = settlements(evidence)
    last = max(intervals[offer] for offer, _ in ends)
    delivered = Counter[str]()
    for (offer, nanogrid), end in ends.items():
        if intervals[offer] == last:
            delivered[hosts[nanogrid & 0xFFFF]] += end.arguments["delivered"]
    name, _ = delivered.most_common(1)[0]
    return name, last, {1 << 16 | index for index, host in hosts.items() if host == name}


def _amounts(end: Event) -> tuple[int, ...]:
    return tuple(end.arguments[name] for name in AMOUNTS)


async def _until(stage: Stage, moment: int) -> None:
    stage.authority.stop_at(moment)
    await stage.authority.reached(moment)


async def test_an_absence_beyond_the_lease_costs_what_the_reference_predicts(tmp_path: Path, calm_day: CalmDay) -> None:
    agent, last, nanogrids = _chosen(calm_day)
    async with opened(part_of_the_day(tmp_path), quiet) as stage:
        # In the middle of a dispatch; it comes back after that dispatch's lease and the whole next interval.
        await _until(stage, last - 2 * U // 5)
        stage.authority.away(agent)
        await stage.supervisor.kill(agent)
        await _until(stage, last + 3 * U // 2)
        stage.authority.wait_for(agent)
        await stage.supervisor.start(spec(stage, agent))
        await play_day(stage, quiet)
        absent = collect_evidence(stage)
        retained = [await _retained(stage, household.index) for household in stage.households]
    # What the broker hands a gateway that connects again has nothing in it that has ended.
    assert any(retained)
    assert [order for snapshot in retained if snapshot for order in snapshot.dispatches] == []
    calm = calm_day.evidence
    undisturbed, disturbed = settlements(calm), settlements(absent)
    assert undisturbed.keys() == disturbed.keys(), "the same awards in both days"
    missed = {key for key in disturbed if key in _of(absent, last) and key[1] in nanogrids}
    for key in undisturbed.keys() - missed:
        assert _amounts(undisturbed[key]) == _amounts(disturbed[key]), key

    predicted = {key: _reference(absent, key) for key in missed}
    assert {key: _amounts(disturbed[key]) for key in missed} == predicted
    assert any(Outcome(amounts[0]) is not Outcome.DELIVERED for amounts in predicted.values())
    for place, name in enumerate(AMOUNTS[1:], 1):
        difference = _total(absent, name) - _total(calm, name)
        assert difference == sum(predicted[key][place] - _amounts(undisturbed[key])[place] for key in missed), name
    assert not any(check(absent).values())


async def _retained(stage: Stage, index: int) -> DispatchSnapshot | None:
    """What the broker hands a gateway when it connects; None for one that never had a dispatch."""
    enrolled = load_enrolled(stage.layout.gateway(index))
    account = enrolled.mqtt
    async with aiomqtt.Client(
        account.host, account.port, username=account.username, password=account.password
    ) as client:
        await client.subscribe(topic_for(enrolled.gateway.lower(), Channel.DISPATCH), qos=1)
        try:
            message = await asyncio.wait_for(anext(aiter(client.messages)), 0.5)
        except TimeoutError:
            return None
    assert isinstance(message.payload, bytes)
    return DispatchSnapshot.model_validate_json(message.payload)


def _of(evidence: Evidence, interval: int) -> set[tuple[str, int]]:
    """The awards of an interval."""
    offers = {
        event.arguments["offer"] for event in evidence.named("OfferOpened") if event.arguments["interval"] == interval
    }
    return {key for key in settlements(evidence) if key[0] in offers}


def _total(evidence: Evidence, name: str) -> int:
    return sum(end.arguments[name] for end in evidence.named("AwardSettled"))


def _reference(evidence: Evidence, key: tuple[str, int]) -> tuple[int, ...]:
    """What the rules give for an award by what its gateway measured, from posted records and prices only."""
    offer_id, nanogrid = key
    [offer] = [event.arguments for event in evidence.named("OfferOpened") if event.arguments["offer"] == offer_id]
    [request] = [
        event.arguments
        for event in evidence.named("RequestPublished")
        if event.arguments["request"] == offer["request"]
    ]
    [final] = [event.arguments for event in evidence.named("Finalised") if event.arguments["offer"] == offer_id]
    [award] = [each for each in unpack_awards(bytes.fromhex(final["awards"][2:])) if each.index == nanogrid & 0xFFFF]
    [reading] = [each for each in evidence.readings if (each.nanogrid, each.interval) == (nanogrid, offer["interval"])]
    baseline = settlements(evidence)[key].arguments["baseline"]
    terms = AwardTerms(
        Side(offer["side"]), Direction(offer["direction"]), award.quantity, award.price_ueur_kwh,
        request["priceUeurKwh"],
    )  # fmt: skip
    end = settle_award(terms, baseline, reading.active_energy_wh)
    return (end.outcome, end.paid_ueur, end.margin_ueur, end.refunded_ueur, end.penalty_ueur)
