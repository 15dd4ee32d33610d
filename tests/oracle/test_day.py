"""An interval as the oracle lives it: nominate in time, dispatch until acknowledged, settle once, end what is late."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from market.domain import settlement_batches
from market.domain.messages import Command, Hold
from market.domain.products import Direction, Kind, Phase, Product
from market.domain.records import BidRecord
from market.domain.settled_records import READING_BYTES
from market.domain.settlement import Outcome
from market.domain.settlement_batches import load_of_reading, settling
from market.domain.signing import address_of
from market.domain.trees import award_range, baseline_vector
from market.domain.units import NO_BASELINE, RECORD_BYTES, SIGNATURE_BYTES
from market.store.books import BaselineAnchor, ReadingRoot
from market.store.database import read_scope, session_scope
from market.store.facts import Baseline, GatewayStatus, SignedDecision
from market.store.projections import Award, GridCommand, Nanogrid
from market.store.work import Dispatch, Notice, OutboxState, Transaction, TransactionState
from oracle import dispatching, nominate, settle
from oracle.forecast import ForecastUnusable, NanogridForecast, read_forecast
from oracle.messages import (
    Channel,
    DispatchKind,
    DispatchSnapshot,
    Plan,
    SignedAcknowledgement,
    StateName,
    topic_for,
)
from oracle.outgoing import Outgoing
from tests.chain.world import (
    EMERGENCY_PRICE_UEUR_KWH,
    KEYS,
    NANOGRIDS,
    NO_REASON,
    NODE,
    PORTFOLIO,
    U,
    before,
    gateway_key,
    nanogrid,
)
from tests.conftest import TEST_EPOCH
from tests.oracle.conftest import Desk

T = TEST_EPOCH + 10 * U
INJECTION_W = 8000
BASELINE_WH = -2000
FORECAST = NanogridForecast(
    T - 10 * U,
    U,
    {nanogrid(index): [-INJECTION_W] * 60 for index in range(NANOGRIDS)},
    {nanogrid(index): [0] * 60 for index in range(NANOGRIDS)},
)
BIDS = [BidRecord(100_000, 900, 0, 0), BidRecord(120_000, 1000, 0, 1), BidRecord(150_000, 700, 0, 2)]


def plan_of(outgoing: list[Outgoing]) -> Plan:
    """That of the first gateway."""
    topic = topic_for(address_of(gateway_key(0)), Channel.PLAN)
    return next(Plan.model_validate_json(each.payload) for each in outgoing if each.topic == topic)


def nominated(desk: Desk, interval: int = T) -> list[Outgoing]:
    desk.world.at(before(interval, 410))
    outgoing = nominate.nominate(desk.oracle, FORECAST, interval)
    desk.world.baselines[interval] = [BASELINE_WH] * NANOGRIDS
    return outgoing


def auction(desk: Desk, interval: int = T, sequence: int = 1) -> str:
    """A final offer of 2,200 Wh: 0 and 1 win all, 2 wins a part."""
    world = desk.world
    nominated(desk, interval)
    world.at(before(interval, 300))
    world.signal(interval, Phase.YELLOW, sequence)
    request = world.request(interval, [2200])
    world.at(before(interval, 275))
    offer = world.offer(interval, 2200, request)
    world.at(before(interval, 145))
    world.post(offer, [world.wire(offer, bid) for bid in BIDS])
    world.at(before(interval, 120))
    awards = world.clear(offer)
    world.at(before(interval, 93))
    world.finalise(offer, awards)
    desk.oracle.index()
    return "0x" + offer.hex()


def deliver(desk: Desk, changes_wh: dict[int, int], interval: int = T) -> None:
    """Readings of the interval: the baseline and so many Wh less injection."""
    desk.world.at(max(desk.world.now_s, interval + U + U // 3))
    for index, change_wh in changes_wh.items():
        meter = desk.meter(index)
        [receipt] = desk.take(meter, meter.read(interval, BASELINE_WH + change_wh))
        assert receipt.reason == ""


def awards_of(desk: Desk, offer: str) -> dict[int, Award]:
    with read_scope(desk.oracle.engine) as session:
        return {award.index: award for award in session.scalars(select(Award).where(Award.offer == offer))}


def outcomes(desk: Desk, offer: str) -> dict[int, Outcome | None]:
    return {
        index: None if award.outcome is None else Outcome(award.outcome)
        for index, award in awards_of(desk, offer).items()
    }


def sent(desk: Desk, purpose: str) -> int:
    with read_scope(desk.oracle.engine) as session:
        return len(session.scalars(select(Transaction.id).where(Transaction.purpose == purpose)).all())


def notices(desk: Desk, topic: str, about: int) -> list[str]:
    """What those whom a nanogrid concerns have heard."""
    with read_scope(desk.oracle.engine) as session:
        query = select(Notice.event).where(Notice.topic == topic, Notice.nanogrid == about).order_by(Notice.id)
        return list(session.scalars(query))


# NOMINATE


def test_baselines_are_written_down_anchored_and_told_to_each_gateway(desk: Desk) -> None:
    outgoing = nominated(desk)
    with read_scope(desk.oracle.engine) as session:
        written = session.get_one(Baseline, (PORTFOLIO, T, 0))
        anchored = session.get_one(BaselineAnchor, (PORTFOLIO, T, 0))
        assert (list(written.values), written.root) == ([BASELINE_WH] * NANOGRIDS, anchored.root)
    plans = {message.topic: Plan.model_validate_json(message.payload) for message in outgoing}
    assert set(plans) == {topic_for(address_of(gateway_key(index)), Channel.PLAN) for index in range(NANOGRIDS)}
    assert all(message.retain for message in outgoing)
    assert {entry.baseline_wh for plan in plans.values() for entry in plan.entries} == {BASELINE_WH}
    assert {plan.sealed_by(desk.oracle.settlement) for plan in plans.values()} == {address_of(KEYS["oracle"])}


def test_nominating_again_sends_nothing_again_and_tells_the_same(desk: Desk) -> None:
    first = nominated(desk)
    again = nominate.nominate(desk.oracle, FORECAST, T)
    assert [message.payload for message in again] == [message.payload for message in first]
    assert sent(desk, "anchorBaselines") == 1


def test_a_plan_that_is_made_late_does_not_take_the_place_of_a_newer_one(desk: Desk) -> None:
    """A step that failed is tried again at later moments, and a restart runs those of the last few intervals again."""
    nominated(desk)
    desk.world.at(before(T + U, 410))
    newer = plan_of(nominate.nominate(desk.oracle, FORECAST, T + U))
    again = plan_of(nominate.nominate(desk.oracle, FORECAST, T))
    assert [entry.interval for entry in newer.entries] == [T, T + U]
    assert again.entries == newer.entries
    assert again.order >= newer.order


def test_what_was_written_stays_when_the_forecast_changes_before_it_is_anchored_again(desk: Desk) -> None:
    nominated(desk)
    other = NanogridForecast(T - 10 * U, U, {nanogrid(0): [0] * 60}, {})
    nominate.nominate(desk.oracle, other, T)
    with read_scope(desk.oracle.engine) as session:
        assert session.get_one(Baseline, (PORTFOLIO, T, 0)).values == [BASELINE_WH] * NANOGRIDS


def test_baselines_that_come_too_late_are_not_anchored_and_nobody_is_told(desk: Desk) -> None:
    desk.world.at(before(T, 140) + 1)
    assert nominate.nominate(desk.oracle, FORECAST, T) == []
    with read_scope(desk.oracle.engine) as session:
        assert session.get(BaselineAnchor, (PORTFOLIO, T, 0)) is None


def test_an_interval_after_the_forecasts_end_is_not_nominated(desk: Desk) -> None:
    assert nominate.nominate(desk.oracle, FORECAST, T + 50 * U) == []


def test_what_the_forecast_does_not_know_gets_no_baseline(desk: Desk) -> None:
    registry = desk.world.contracts.registry.functions
    desk.world.send("operator", registry.registerPortfolio(PORTFOLIO + 1, NODE, desk.world.address("aggregator"), "x"))
    for portfolio in (PORTFOLIO + 1, PORTFOLIO):
        seat = (portfolio, address_of(gateway_key(9)), 10_000, EMERGENCY_PRICE_UEUR_KWH, T)
        desk.world.send("operator", registry.registerSeat(*seat))
    forecast = NanogridForecast(T, U, {nanogrid(index): [-INJECTION_W] for index in (0, 1, 3)}, {})
    desk.world.at(before(T, 410))
    nominate.nominate(desk.oracle, forecast, T)
    with read_scope(desk.oracle.engine) as session:
        row = session.get_one(Baseline, (PORTFOLIO, T, 0))
        assert row.values == [BASELINE_WH, BASELINE_WH, None, BASELINE_WH], "ends with the last that is forecast"
        assert row.vector == [BASELINE_WH, BASELINE_WH, NO_BASELINE, BASELINE_WH]
        assert session.get_one(BaselineAnchor, (PORTFOLIO, T, 0)).count == 4
        assert session.get(Baseline, (PORTFOLIO + 1, T, 0)) is None, "not the other portfolio's values"


def test_a_forecast_file_of_another_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "forecast.json"
    file.write_text('{"format": 1, "first_interval": 0, "step_s": 900, "points": []}')
    with pytest.raises(ForecastUnusable, match="format 1, not 2"):
        read_forecast(file)


# DISPATCH


def snapshot_of(outgoing: list[Outgoing], index: int) -> DispatchSnapshot:
    topic = topic_for(address_of(gateway_key(index)), Channel.DISPATCH)
    return DispatchSnapshot.model_validate_json(next(each.payload for each in outgoing if each.topic == topic))


def test_final_awards_become_signed_orders_once(desk: Desk) -> None:
    offer = auction(desk)
    desk.world.at(before(T, 90))
    gateways = dispatching.write_dispatches(desk.oracle, T)
    assert gateways == dispatching.write_dispatches(desk.oracle, T)
    assert gateways == {address_of(gateway_key(index)) for index in range(3)}
    outgoing = dispatching.snapshots(desk.oracle, gateways)
    [order] = snapshot_of(outgoing, 2).dispatches
    assert (order.kind, order.offer, order.nanogrid, order.interval) == (DispatchKind.AWARD, offer, nanogrid(2), T)
    assert (order.baseline_wh, order.change_wh) == (BASELINE_WH, 300), "DOWN: less injection is a higher net load"
    assert order.target_w == (BASELINE_WH + 300) * 4
    assert order.lease_end == T + U + U // 15
    assert order.signer(desk.oracle.settlement) == address_of(KEYS["oracle"])


def test_an_order_is_told_until_the_gateway_itself_has_ended_it(desk: Desk) -> None:
    auction(desk)
    desk.world.at(before(T, 90))
    gateways = dispatching.write_dispatches(desk.oracle, T)
    first = snapshot_of(dispatching.snapshots(desk.oracle, gateways), 0)
    [order] = first.dispatches
    assert order.acknowledged_state == "NEW"

    def acknowledge(state: str) -> None:
        message = SignedAcknowledgement.signed(
            gateway_key(0), desk.oracle.settlement, nanogrid=nanogrid(0), dispatch=order.id, state=state, at=T
        )
        desk.ingest.take(topic_for(address_of(gateway_key(0)), Channel.ACKS), message.payload())

    acknowledge("ACCEPTED")
    second = snapshot_of(dispatching.snapshots(desk.oracle, gateways), 0)
    assert [each.acknowledged_state for each in second.dispatches] == ["ACCEPTED"]
    assert second.revision > first.revision
    acknowledge("STARTED")
    acknowledge("SUCCEEDED")
    assert snapshot_of(dispatching.snapshots(desk.oracle, gateways), 0).dispatches == ()


def test_a_snapshot_is_newer_than_all_before_it_also_when_the_clock_was_set_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gateways ignore what is numbered below what they have: all of an hour's orders would not have counted."""
    auction(desk)
    desk.world.at(before(T, 90))
    gateways = dispatching.write_dispatches(desk.oracle, T)
    first = dispatching.snapshots(desk.oracle, gateways)
    ahead_ns = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: ahead_ns)
    second = dispatching.snapshots(desk.oracle, gateways)
    monkeypatch.undo()
    third = dispatching.snapshots(desk.oracle, gateways)
    revisions = [snapshot_of(each, index).revision for each in (first, second, third) for index in range(3)]
    orders = [each.order for outgoing in (first, second, third) for each in outgoing]
    assert revisions[3] >= ahead_ns
    assert sorted(set(revisions)) == sorted(revisions)
    assert max(revisions[:3]) < min(revisions[3:6]) <= max(revisions[3:6]) < min(revisions[6:])
    assert sorted(orders) == sorted(revisions)


def test_orders_that_nobody_acknowledges_are_marked_and_a_late_answer_still_counts(desk: Desk) -> None:
    auction(desk)
    desk.world.at(before(T, 90))
    gateways = dispatching.write_dispatches(desk.oracle, T)
    dispatching.snapshots(desk.oracle, gateways)
    desk.world.at(before(T, 50))
    dispatching.mark_unanswered(desk.oracle, T)
    with read_scope(desk.oracle.engine) as session:
        rows = session.scalars(select(Dispatch).order_by(Dispatch.nanogrid)).all()
    assert {row.state for row in rows} == {OutboxState.UNANSWERED}
    message = SignedAcknowledgement.signed(
        gateway_key(0), desk.oracle.settlement, nanogrid=nanogrid(0), dispatch=rows[0].id, state="ACCEPTED", at=T
    )
    desk.ingest.take(topic_for(address_of(gateway_key(0)), Channel.ACKS), message.payload())
    with read_scope(desk.oracle.engine) as session:
        assert session.get_one(Dispatch, rows[0].id).state == OutboxState.ACCEPTED
    assert notices(desk, "dispatches", nanogrid(0)) == ["NEW", "PUBLISHED", "UNANSWERED", "ACCEPTED"]
    assert notices(desk, "dispatches", nanogrid(1)) == ["NEW", "PUBLISHED", "UNANSWERED"]


def test_a_command_given_by_hand_after_the_moment_of_dispatch_is_dispatched_all_the_same(desk: Desk) -> None:
    nominated(desk)
    desk.world.at(before(T, 90))
    assert dispatching.write_dispatches(desk.oracle, T) == set()
    desk.world.at(before(T, 40))
    desk.world.signal(T, Phase.RED, 1)
    command(desk, 2)
    assert dispatching.write_changes(desk.oracle, T) == {address_of(gateway_key(2))}


def test_red_takes_awards_back_that_were_dispatched_before(desk: Desk) -> None:
    internal_award(desk, index=1, price_ueur_kwh=100_000)
    desk.world.at(before(T, 90))
    gateways = dispatching.write_dispatches(desk.oracle, T)
    assert len(snapshot_of(dispatching.snapshots(desk.oracle, gateways), 1).dispatches) == 1
    assert dispatching.write_changes(desk.oracle, T) == set(), "nothing has changed"
    desk.world.at(before(T, 60))
    desk.world.signal(T, Phase.RED, 1)
    assert dispatching.write_changes(desk.oracle, T) == gateways
    assert snapshot_of(dispatching.snapshots(desk.oracle, gateways), 1).dispatches == (), "missing means withdrawn"
    assert notices(desk, "dispatches", nanogrid(1)) == ["NEW", "PUBLISHED", "REVOKED"]


def test_a_withdrawal_is_waited_for_until_who_carries_the_award_says_that_it_is_over(desk: Desk) -> None:
    """In played time the delivery began before a slow gateway had heard of it."""
    internal_award(desk, index=1, price_ueur_kwh=100_000)
    gateway = address_of(gateway_key(1))
    with session_scope(desk.oracle.engine) as session:
        session.add(GatewayStatus(gateway=gateway, nanogrid=nanogrid(1), online=True, received_at=T))
    desk.world.at(before(T, 90))
    dispatching.snapshots(desk.oracle, dispatching.write_dispatches(desk.oracle, T))
    assert dispatching.waiting_for(desk.oracle, T) == {gateway}
    answered(desk, 1, "ACCEPTED")
    assert dispatching.waiting_for(desk.oracle, T) == set()
    desk.world.at(before(T, 60))
    desk.world.signal(T, Phase.RED, 1)
    dispatching.snapshots(desk.oracle, dispatching.write_changes(desk.oracle, T))
    assert dispatching.waiting_for(desk.oracle, T) == {gateway}
    answered(desk, 1, "REVOKED")
    assert dispatching.waiting_for(desk.oracle, T) == set()


def answered(desk: Desk, index: int, state: StateName) -> None:
    """The answer of a nanogrid's gateway to the only dispatch."""
    with read_scope(desk.oracle.engine) as session:
        dispatch = session.scalars(select(Dispatch.id)).one()
    message = SignedAcknowledgement.signed(
        gateway_key(index), desk.oracle.settlement, nanogrid=nanogrid(index), dispatch=dispatch, state=state, at=T
    )
    desk.ingest.take(topic_for(address_of(gateway_key(index)), Channel.ACKS), message.payload())


def test_red_just_before_the_interval_and_commands_within_it_reach_the_gateways(desk: Desk) -> None:
    internal_award(desk, index=1, price_ueur_kwh=100_000)
    desk.world.at(before(T, 90))
    gateways = dispatching.write_dispatches(desk.oracle, T)
    desk.world.at(before(T, 5))
    desk.world.signal(T, Phase.RED, 1)
    desk.world.at(T)
    assert dispatching.write_changes(desk.oracle, T) == gateways
    desk.world.at(T + U // 6)
    command(desk, 2)
    desk.world.at(T + U // 3)
    assert dispatching.write_changes(desk.oracle, T) == {address_of(gateway_key(2))}


def test_red_within_the_interval_takes_nothing_back(desk: Desk) -> None:
    internal_award(desk, index=1, price_ueur_kwh=100_000)
    for phase, sequence in ((Phase.RED, 1), (Phase.GREEN, 2)):
        desk.world.at(before(T, 200) + sequence)
        desk.world.signal(T, phase, sequence)
    desk.world.at(before(T, 90))
    assert dispatching.write_dispatches(desk.oracle, T)
    dispatching.snapshots(desk.oracle, {address_of(gateway_key(1))})
    # RED long before, taken back in time: the contract counts from the second time only.
    desk.world.at(T + 1)
    desk.world.signal(T, Phase.RED, 3)
    desk.world.at(T + U // 3)
    assert dispatching.write_changes(desk.oracle, T) == set(), "what was RED before counts, and this is paid"


def test_awards_at_a_node_that_is_red_already_are_not_dispatched_at_all(desk: Desk) -> None:
    internal_award(desk, index=1, price_ueur_kwh=100_000)
    desk.world.at(before(T, 92))
    desk.world.signal(T, Phase.RED, 1)
    desk.world.at(before(T, 90))
    assert dispatching.write_dispatches(desk.oracle, T) == set()


def test_the_command_on_the_chain_is_dispatched_and_not_another_signed_one(desk: Desk) -> None:
    nominated(desk)
    desk.world.at(before(T, 96))
    desk.world.signal(T, Phase.RED, 1)
    signed_only(desk, 0, 999)
    command(desk, 0, 600)
    gateways = dispatching.write_dispatches(desk.oracle, T)
    [order] = snapshot_of(dispatching.snapshots(desk.oracle, gateways), 0).dispatches
    assert order.command is not None
    assert order.command.quantity == 600


# SETTLE


def test_what_was_delivered_is_paid_and_the_readings_root_is_anchored(desk: Desk) -> None:
    offer = auction(desk)
    deliver(desk, {0: 900, 1: 400, 2: 0})
    settle.settle(desk.oracle, T)
    assert outcomes(desk, offer) == {0: Outcome.DELIVERED, 1: Outcome.SHORT, 2: Outcome.FAILED}
    assert [awards_of(desk, offer)[index].paid_ueur for index in range(3)] == [90_000, 48_000, 0]
    with read_scope(desk.oracle.engine) as session:
        [root] = session.scalars(select(ReadingRoot))
        assert (root.interval, root.count) == (T, 3)


def test_gateways_with_p256_keys_are_paid_beside_the_others(desk: Desk) -> None:
    """Dispatched, read, settled in one batch with a secp256k1 gateway's."""
    key = desk.seat_p256(1)
    offer = auction(desk)
    assert key.address in dispatching.write_dispatches(desk.oracle, T)
    deliver(desk, {0: 900, 1: 1000, 2: 300})
    settle.settle(desk.oracle, T)
    assert outcomes(desk, offer) == dict.fromkeys((0, 1, 2), Outcome.DELIVERED)
    assert sent(desk, "settle") == 1


def test_a_command_to_a_p256_gateway_is_paid(desk: Desk) -> None:
    desk.seat_p256(1)
    nominated(desk)
    desk.world.at(before(T, 96))
    desk.world.signal(T, Phase.RED, 1)
    command(desk, 1)
    deliver(desk, {1: 500})
    settle.settle(desk.oracle, T)
    with read_scope(desk.oracle.engine) as session:
        row = session.scalars(select(GridCommand)).one()
    assert (row.delivered, row.paid_ueur) == (500, 500 * 300_000 // 1000)


def test_an_award_that_a_late_command_interrupts_is_paid_with_the_command_by_one_announced_reading(desk: Desk) -> None:
    offer = auction(desk)
    desk.world.at(T + U - 3)
    desk.world.signal(T, Phase.RED, 2)
    command(desk, 0, 1200)
    deliver(desk, {0: 1000, 1: 1000, 2: 300})
    settle.settle(desk.oracle, T)
    assert outcomes(desk, offer) == {0: Outcome.REVOKED, 1: Outcome.DELIVERED, 2: Outcome.DELIVERED}
    assert [awards_of(desk, offer)[index].paid_ueur for index in (0, 1)] == [90_000, 120_000]
    with read_scope(desk.oracle.engine) as session:
        row = session.scalars(select(GridCommand)).one()
    assert (row.delivered, row.paid_ueur) == (1000, 1000 * 300_000 // 1000 - 90_000)
    settle.settle(desk.oracle, T)
    assert sent(desk, "announceReading") == 1


def test_readings_that_come_late_are_anchored_with_the_others(desk: Desk) -> None:
    auction(desk)
    deliver(desk, {0: 900})
    settle.settle(desk.oracle, T)
    deliver(desk, {1: 1000, 2: 300})
    settle.settle(desk.oracle, T + U)
    settle.settle(desk.oracle, T + U)
    with read_scope(desk.oracle.engine) as session:
        assert [root.count for root in session.scalars(select(ReadingRoot).order_by(ReadingRoot.block))] == [1, 3]


def test_a_nanogrid_without_baseline_stops_none_of_the_others(desk: Desk) -> None:
    offer = auction(desk)
    with session_scope(desk.oracle.engine) as session:
        row = session.get_one(Baseline, (PORTFOLIO, T, 0))
        row.values = [*row.values[:2], None, None]
    desk.world.at(before(T, 90))
    assert dispatching.write_dispatches(desk.oracle, T) == {address_of(gateway_key(index)) for index in (0, 1)}
    with session_scope(desk.oracle.engine) as session:
        row = session.get_one(Baseline, (PORTFOLIO, T, 0))
        row.values = [BASELINE_WH] * NANOGRIDS
    deliver(desk, {0: 900, 1: 1000})
    settle.settle(desk.oracle, T)
    assert [outcomes(desk, offer)[index] for index in (0, 1)] == [Outcome.DELIVERED] * 2


def test_settling_again_after_a_restart_pays_nobody_twice(desk: Desk) -> None:
    offer = auction(desk)
    deliver(desk, {0: 900, 1: 1000})
    settle.settle(desk.oracle, T)
    desk.oracle.sender.recover()
    settle.settle(desk.oracle, T)
    settle.settle(desk.oracle, T + U)
    assert sent(desk, "settle") == 1
    deliver(desk, {2: 300})
    settle.settle(desk.oracle, T + U)
    assert sent(desk, "settle") == 2
    assert set(outcomes(desk, offer).values()) == {Outcome.DELIVERED}


def test_awards_that_one_transaction_has_no_room_for_are_settled_in_batches(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = len(baseline_vector([0] * NANOGRIDS)) + 2 * (RECORD_BYTES + READING_BYTES + SIGNATURE_BYTES)
    monkeypatch.setattr(settlement_batches, "MAX_BATCH_BYTES", two)
    offer = auction(desk)
    deliver(desk, {0: 900, 1: 1000, 2: 300})
    settle.settle(desk.oracle, T)
    assert sent(desk, "settle") == 2
    assert set(outcomes(desk, offer).values()) == {Outcome.DELIVERED}


def test_awards_that_one_transaction_has_no_room_for_expire_in_batches(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement_batches, "MAX_BATCH_BYTES", 2 * RECORD_BYTES)
    offer = auction(desk)
    desk.world.at(T + 4 * U + 1)
    settle.expire(desk.oracle, T)
    assert sent(desk, "expireAwards") == 2
    assert set(outcomes(desk, offer).values()) == {Outcome.FAILED}


def owes(desk: Desk, _: str) -> None:
    with session_scope(desk.oracle.engine) as session:
        session.get_one(Nanogrid, nanogrid(1)).debt_ueur = 1


def was_on_hold(desk: Desk, offer: str) -> None:
    hold(desk, offer, 1)
    dismiss(desk, offer, 1)
    desk.oracle.index()


@pytest.mark.parametrize("happened", [owes, was_on_hold])
def test_what_pays_a_debt_or_was_on_hold_is_not_reckoned_as_a_plain_award(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, happened: Callable[[Desk, str], None]
) -> None:
    """900 credits that pay debts take 23 million gas; a transaction that took them as plain awards failed, always."""
    other, plain = settling(NANOGRIDS), load_of_reading(0, bytes(SIGNATURE_BYTES), is_plain=True)
    monkeypatch.setattr(settlement_batches, "MAX_BATCH_GAS", other.start_gas + 3 * (plain.gas + other.record_gas))
    offer = auction(desk)
    deliver(desk, {0: 900, 1: 1000, 2: 300})
    happened(desk, offer)
    settle.settle(desk.oracle, T)
    assert sent(desk, "settle") == 3
    assert set(outcomes(desk, offer).values()) == {Outcome.DELIVERED}


def test_a_batch_that_takes_more_gas_than_a_transaction_has_is_settled_in_halves(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had ended the job, and each later one, before any other offer was settled."""
    offer = auction(desk)
    deliver(desk, {0: 900, 1: 1000, 2: 300})
    contracts = desk.oracle.contracts
    monkeypatch.setattr(contracts, "profile", replace(contracts.profile, gas_limit=97_000))
    settle.settle(desk.oracle, T)
    with read_scope(desk.oracle.engine) as session:
        states = session.scalars(select(Transaction.state).where(Transaction.purpose == "settle")).all()
    assert TransactionState.FAILED in states
    assert set(outcomes(desk, offer).values()) == {Outcome.DELIVERED}


def test_a_reading_that_came_in_time_is_settled_before_its_award_could_expire(desk: Desk) -> None:
    offer = auction(desk)
    deliver(desk, {0: 900})
    settle.settle(desk.oracle, T)
    desk.world.at(T + 4 * U - 60)
    deliver(desk, {1: 1000})
    desk.world.at(T + 4 * U + 1)
    settle.expire(desk.oracle, T)
    assert outcomes(desk, offer) == {0: Outcome.DELIVERED, 1: Outcome.DELIVERED, 2: Outcome.FAILED}


def test_an_award_without_reading_ends_after_its_deadline_and_not_before(desk: Desk) -> None:
    offer = auction(desk)
    deliver(desk, {0: 900})
    settle.settle(desk.oracle, T)
    desk.world.at(T + 4 * U)
    settle.expire(desk.oracle, T)
    assert outcomes(desk, offer) == {0: Outcome.DELIVERED, 1: None, 2: None}
    desk.world.at(T + 4 * U + 1)
    settle.expire(desk.oracle, T)
    assert outcomes(desk, offer) == {0: Outcome.DELIVERED, 1: Outcome.FAILED, 2: Outcome.FAILED}


def mistake_baselines(desk: Desk, by_wh: int) -> None:
    """The store has another vector than what was anchored: the contract refuses what is shown."""
    with session_scope(desk.oracle.engine) as session:
        stored = session.get_one(Baseline, (PORTFOLIO, T, int(Kind.ACTIVE)))
        stored.values = [value + by_wh for value in stored.values]


def test_an_award_that_was_refused_for_now_is_settled_and_does_not_expire_meanwhile(desk: Desk) -> None:
    """Expired in the same run, its prosumer had paid a penalty for what it has delivered."""
    offer = auction(desk)
    deliver(desk, {0: 900})
    mistake_baselines(desk, 1)
    desk.world.at(T + 4 * U + 1)
    settle.expire(desk.oracle, T)
    assert set(outcomes(desk, offer).values()) == {None}, "an expiry takes whole leaves, the two others with it"
    mistake_baselines(desk, -1)
    desk.world.at(T + 5 * U + 1)
    settle.expire(desk.oracle, T)
    assert outcomes(desk, offer) == {0: Outcome.DELIVERED, 1: Outcome.FAILED, 2: Outcome.FAILED}


def test_an_award_that_is_refused_again_and_again_expires_four_time_units_after_its_deadline(desk: Desk) -> None:
    offer = auction(desk)
    deliver(desk, {0: 900})
    mistake_baselines(desk, 1)
    for now in (T + 4 * U + 1, T + 8 * U, T + 8 * U + 1):
        assert set(outcomes(desk, offer).values()) == {None}
        desk.world.at(now)
        settle.expire(desk.oracle, T)
    assert set(outcomes(desk, offer).values()) == {Outcome.FAILED}


def test_an_award_that_is_refused_after_its_hold_waits_from_the_holds_end(desk: Desk) -> None:
    offer = auction(desk)
    deliver(desk, {0: 900, 1: 1000, 2: 300})
    hold(desk, offer, 0)
    settle.settle(desk.oracle, T)
    released_at = T + 3 * U
    desk.world.at(released_at)
    dismiss(desk, offer, 0)
    mistake_baselines(desk, 1)
    for now, outcome in ((released_at + 8 * U, None), (released_at + 8 * U + 1, Outcome.FAILED)):
        desk.world.at(now)
        settle.expire(desk.oracle, T)
        assert outcomes(desk, offer)[0] is outcome


def test_an_oracle_that_was_away_for_long_ends_everything_at_its_next_round(desk: Desk) -> None:
    offer = auction(desk)
    deliver(desk, {0: 900})
    desk.world.at(T + 50 * U)
    settle.settle(desk.oracle, T + 48 * U)
    settle.expire(desk.oracle, T + 45 * U)
    assert outcomes(desk, offer) == {0: Outcome.DELIVERED, 1: Outcome.FAILED, 2: Outcome.FAILED}
    assert orders(desk) == {0: OutboxState.UNANSWERED, 1: OutboxState.UNANSWERED, 2: OutboxState.UNANSWERED}


def orders(desk: Desk) -> dict[int, OutboxState]:
    """State of the orders for awards, by ordinal."""
    with read_scope(desk.oracle.engine) as session:
        return {row.ordinal: OutboxState(row.state) for row in session.scalars(select(Dispatch)) if row.offer}


def test_an_award_that_may_still_be_dispatched_is_not_recorded_as_missed(desk: Desk) -> None:
    offer = auction(desk)
    end_s = desk.oracle.calendar.lease_end(T)
    for now, missed in ((end_s - 1, {}), (end_s, dict.fromkeys(range(3), OutboxState.UNANSWERED))):
        desk.world.at(now)
        settle.settle(desk.oracle, T)
        assert orders(desk) == missed
    assert set(outcomes(desk, offer).values()) == {None}, "it says nothing of what will be metered"


def test_an_order_that_was_written_and_never_sent_is_recorded_as_missed(desk: Desk) -> None:
    """The oracle died between the two, and was away for longer than it catches up."""
    auction(desk)
    dispatching.write_dispatches(desk.oracle, T)
    assert set(orders(desk).values()) == {OutboxState.NEW}
    desk.world.at(T + 8 * U)
    settle.settle(desk.oracle, T)
    assert set(orders(desk).values()) == {OutboxState.UNANSWERED}


def test_a_command_that_nobody_has_dispatched_is_recorded_as_missed(desk: Desk) -> None:
    nominated(desk)
    desk.world.at(before(T, 96))
    desk.world.signal(T, Phase.RED, 1)
    command(desk, 0)
    desk.world.at(T + 2 * U)
    settle.settle(desk.oracle, T)
    with read_scope(desk.oracle.engine) as session:
        assert session.scalars(select(Dispatch.state)).all() == [OutboxState.UNANSWERED]


def test_awards_that_red_has_revoked_are_not_recorded_as_missed(desk: Desk) -> None:
    auction(desk)
    desk.world.signal(T, Phase.RED, 2)
    desk.world.at(T + 2 * U)
    settle.settle(desk.oracle, T)
    assert orders(desk) == {}


def test_an_award_on_hold_waits_and_is_paid_when_the_referee_finds_for_the_prosumer(desk: Desk) -> None:
    offer = auction(desk)
    deliver(desk, {0: 900, 1: 1000, 2: 300})
    hold(desk, offer, 0)
    settle.settle(desk.oracle, T)
    assert outcomes(desk, offer) == {0: None, 1: Outcome.DELIVERED, 2: Outcome.DELIVERED}
    desk.world.at(T + 3 * U)
    dismiss(desk, offer, 0)
    desk.world.at(T + 4 * U + 1)
    settle.expire(desk.oracle, T)
    assert outcomes(desk, offer)[0] is Outcome.DELIVERED, "what has been measured does not expire after the hold"


def hold(desk: Desk, offer: str, ordinal: int) -> None:
    """The DSO holds an award."""
    world, awards = desk.world, awards_of(desk, offer).values()
    packed = b"".join(award.record for award in sorted(awards, key=lambda award: award.ordinal))
    message = Hold(bytes.fromhex(offer[2:]), ordinal, NO_REASON)
    place = world.contracts.settlement.functions.placeHold
    given = award_range(packed, ordinal, ordinal).argument()
    world.send("relayer", place(message.arguments(), given, world.sign(KEYS["dso"], message)))


def dismiss(desk: Desk, offer: str, ordinal: int) -> None:
    """The referee finds for the prosumer."""
    decide = desk.world.contracts.settlement.functions.decideHold
    desk.world.send("referee", decide(bytes.fromhex(offer[2:]), ordinal, False))


def command(desk: Desk, index: int, quantity: int = 600) -> None:
    """The DSO's command as the market receives it: the signed message is kept, the relayer carries it."""
    world = desk.world
    message = Command(nanogrid(index), T, Product.VC_EMERGENCY_P, Direction.DOWN, quantity, NO_REASON)
    world.decide(world.contracts.signals.functions.giveCommand, message, "dso")
    signed_only(desk, index, quantity)
    desk.oracle.index()


def signed_only(desk: Desk, index: int, quantity: int) -> None:
    """A command that is written down, and not on the chain (yet)."""
    world = desk.world
    message = Command(nanogrid(index), T, Product.VC_EMERGENCY_P, Direction.DOWN, quantity, NO_REASON)
    with session_scope(desk.oracle.engine) as session:
        session.add(
            SignedDecision(
                kind="Command", message=message.to_json(), signature=world.sign(KEYS["dso"], message),
                signer=world.address("dso"), subject=str(nanogrid(index)), received_at=world.now_s,
                digest="0x" + message.digest(world.contracts.domain_of(message)).hex(),
            )
        )  # fmt: skip


@pytest.mark.parametrize("has_award", [False, True])
def test_a_command_is_dispatched_with_its_proof_and_paid_at_the_emergency_price(desk: Desk, has_award: bool) -> None:
    """Beside an award of the same kind the contract wants to see that award; what an INTERNAL one costs counts not."""
    if has_award:
        internal_award(desk, index=0, price_ueur_kwh=400_000)
    else:
        nominated(desk)
    desk.world.at(before(T, 96))
    desk.world.signal(T, Phase.RED, 1)
    command(desk, 0)
    gateways = dispatching.write_dispatches(desk.oracle, T)
    orders = snapshot_of(dispatching.snapshots(desk.oracle, gateways), 0).dispatches
    [order] = [each for each in orders if each.kind is DispatchKind.COMMAND]
    assert order.command is not None
    assert order.command_signer(desk.oracle.contracts.domain_of(Command)) == address_of(KEYS["dso"])
    deliver(desk, {0: 600})
    settle.settle(desk.oracle, T)
    with read_scope(desk.oracle.engine) as session:
        [row] = session.scalars(select(GridCommand))
    assert (row.delivered, row.paid_ueur) == (600, 600 * EMERGENCY_PRICE_UEUR_KWH // 1000)


def internal_award(desk: Desk, index: int, price_ueur_kwh: int) -> str:
    world = desk.world
    nominated(desk)
    world.at(before(T, 400))
    offer = world.offer(T, 500, limit_price_ueur_kwh=500_000)
    world.at(before(T, 350))
    world.post(offer, [world.wire(offer, BidRecord(price_ueur_kwh, 500, 0, index))])
    world.at(before(T, 325))
    awards = world.clear(offer)
    world.at(before(T, 300))
    world.finalise(offer, awards)
    desk.oracle.index()
    return "0x" + offer.hex()


def test_a_command_without_reading_expires_and_its_reserve_goes_back(desk: Desk) -> None:
    nominated(desk)
    desk.world.at(before(T, 96))
    desk.world.signal(T, Phase.RED, 1)
    command(desk, 0)
    desk.world.at(T + 4 * U + 1)
    settle.expire(desk.oracle, T)
    with read_scope(desk.oracle.engine) as session:
        [row] = session.scalars(select(GridCommand))
    assert (row.settled_at, row.refunded_ueur) == (T + 4 * U + 1, row.reserved_ueur)


def test_a_command_that_was_refused_for_now_is_paid_and_does_not_expire_meanwhile(desk: Desk) -> None:
    nominated(desk)
    desk.world.at(before(T, 96))
    desk.world.signal(T, Phase.RED, 1)
    command(desk, 0)
    deliver(desk, {0: 600})
    mistake_baselines(desk, 1)
    desk.world.at(T + 4 * U + 1)
    settle.expire(desk.oracle, T)
    with read_scope(desk.oracle.engine) as session:
        assert session.scalars(select(GridCommand.settled_at)).one() is None
    mistake_baselines(desk, -1)
    desk.world.at(T + 8 * U)
    settle.expire(desk.oracle, T)
    with read_scope(desk.oracle.engine) as session:
        assert session.scalars(select(GridCommand.delivered)).one() == 600
