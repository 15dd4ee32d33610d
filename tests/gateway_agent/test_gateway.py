"""A gateway at work over a real broker: readings, receipts, dispatch, outages, and messages that are not in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway_agent.buffer import Buffer
from gateway_agent.configuration import BUFFER_FILE
from gateway_agent.gateway import Gateway
from gateway_agent.metrics import Metrics
from gateway_agent.parts import Parts
from market.domain.gateway_key import KeyKind, kind_of
from oracle.messages import Channel, Liveness, Plan, PlanEntry, Receipt, ReceiptOutcome, Receipts
from tests.gateway_agent.world import (
    NANOGRID,
    ORACLE_KEY,
    SETTLEMENT,
    T0,
    UNIT_S,
    Broker,
    Installed,
    SmallOracle,
    dispatch_id,
    eventually,
    install,
    order,
    snapshot,
)

STRANGER_KEY = bytes(31) + b"\x07"


class HandClock:
    """A clock that the test moves."""

    def __init__(self, now: int) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def steady(self) -> float:
        return self.time

    async def sleep_until(self, at_s: float) -> None:
        while self.time < at_s:  # noqa: ASYNC110 - the test moves the time
            await asyncio.sleep(0.01)

    def wait_until(self, at_s: float) -> None:
        raise NotImplementedError


class AtWork:
    """A running gateway and its clock."""

    def __init__(self, installed: Installed) -> None:
        self.clock = HandClock(T0)
        self.metrics = Metrics()
        self.gateway = Gateway(Parts.from_folder(installed.folder), self.clock, self.metrics)
        self.address = installed.gateway
        self.buffer = self.gateway.parts.buffer

    async def at(self, moment: int) -> None:
        """Move the clock and do what is due."""
        self.clock.time = moment
        await self.gateway.run_due(moment)
        await self.gateway.settle(5)


@asynccontextmanager
async def at_work(installed: Installed) -> AsyncIterator[AtWork]:
    found = AtWork(installed)
    await found.gateway.start()
    line = asyncio.create_task(found.gateway.link.run())
    try:
        await found.gateway.settle(10)
        yield found
    finally:
        line.cancel()
        await asyncio.gather(line, return_exceptions=True)
        await found.gateway.close()


@pytest.mark.parametrize("kind", KeyKind)
async def test_each_interval_gives_one_reading_and_it_leaves_with_its_receipt(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle, kind: KeyKind
) -> None:
    async with at_work(install(tmp_path / "gw", broker.port, kind=kind)) as found:
        for step in range(5):
            await found.at(T0 + step * UNIT_S)
        assert sorted(small_oracle.readings) == [1, 2, 3, 4]
        assert [each.interval for each in small_oracle.readings.values()] == [T0 + step * UNIT_S for step in range(4)]
        assert found.buffer.counts() == {"WAITING": 0, "CONFIRMED": 4, "REFUSED": 0}
        assert found.buffer.broken_link(SETTLEMENT) is None
        assert {kind_of(bytes.fromhex(each.signature[2:])) for each in small_oracle.readings.values()} == {kind}


async def test_a_first_start_within_an_interval_signs_nothing_for_it(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    installed = install(tmp_path / "gw", broker.port)
    found = AtWork(installed)
    found.clock.time = T0 + 7
    await found.gateway.start()
    for at in (T0 + 7, T0 + UNIT_S, T0 + 2 * UNIT_S):
        found.clock.time = at
        await found.gateway.run_due(at)
    assert [each.interval for each in found.buffer.all_readings()] == [T0 + UNIT_S]
    await found.gateway.close()


async def test_birth_and_goodbye(tmp_path: Path, broker: Broker, small_oracle: SmallOracle) -> None:
    async with at_work(install(tmp_path / "gw", broker.port)):
        await eventually(lambda: [each.state for each in small_oracle.statuses] == [Liveness.ONLINE])
        assert small_oracle.statuses[0].plant.devices == ("battery", "pv", "shiftable")
    await eventually(lambda: small_oracle.statuses[-1].state is Liveness.OFFLINE)


async def test_an_award_is_acknowledged_executed_and_measured(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    start = T0 + 2 * UNIT_S
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        await small_oracle.publish(found.address, snapshot(found.address, 1, [order("a", start, -300)]).payload())
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED"])
        for step in (1, 2, 3, 4):
            await found.at(T0 + step * UNIT_S)
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED", "STARTED", "SUCCEEDED"])
        energies = [each.active_energy_wh for each in small_oracle.readings.values()]
        # The target is met to the Wh, and only in its interval.
        assert abs(energies[2] - -300) <= 1
        assert energies[3] != energies[2]


async def test_a_dispatch_that_has_ended_long_ago_never_comes_back_as_new(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        award = order("a", T0 + UNIT_S, -300)
        await small_oracle.publish(found.address, snapshot(found.address, 1, [award]).payload())
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED"])
        for step in range(1, 20):
            await found.at(T0 + step * UNIT_S)
        ended = ["ACCEPTED", "STARTED", "SUCCEEDED"]
        await eventually(lambda: small_oracle.states_of("a") == ended)
        after = order("b", T0 + 20 * UNIT_S)
        await small_oracle.publish(found.address, snapshot(found.address, 2, [award, after]).payload())
        await eventually(lambda: small_oracle.states_of("b") == ["ACCEPTED"])
        assert small_oracle.states_of("a") == ended


async def test_a_forged_snapshot_changes_nothing(tmp_path: Path, broker: Broker, small_oracle: SmallOracle) -> None:
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        forged = snapshot(found.address, 1, [order("a", T0 + UNIT_S)], key=STRANGER_KEY)
        await small_oracle.publish(found.address, forged.payload())
        await eventually(lambda: found.metrics.value("messages_refused_total", reason="not-for-us") == 1)
        for payload in (b"{", b"x" * 20_000):
            await small_oracle.publish(found.address, payload)
        await eventually(lambda: found.metrics.value("messages_refused_total", reason="message-malformed") == 1)
        await eventually(lambda: found.metrics.value("messages_refused_total", reason="message-too-large") == 1)
        assert found.buffer.dispatches() == {}
        assert small_oracle.acknowledgements == []


async def test_a_bad_order_in_a_good_snapshot_is_rejected_and_the_good_one_followed(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    start = T0 + UNIT_S
    orders = [
        order("forged", start, key=STRANGER_KEY),
        order("other", start, nanogrid=1),
        order("late", T0 - UNIT_S),
        order("good", start),
    ]
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        await small_oracle.publish(found.address, snapshot(found.address, 1, orders).payload())
        await eventually(lambda: small_oracle.states_of("good") == ["ACCEPTED"])
        assert [small_oracle.states_of(name) for name in ("forged", "other", "late")] == [["REJECTED"]] * 3


async def test_an_older_snapshot_that_comes_again_revokes_nothing(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        newer = snapshot(found.address, 5, [order("a", T0 + UNIT_S)])
        await small_oracle.publish(found.address, newer.payload())
        await small_oracle.publish(found.address, snapshot(found.address, 4, []).payload())
        await small_oracle.publish(found.address, b"")
        await small_oracle.publish(found.address, newer.payload())
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED"])
        await asyncio.sleep(0.3)
        assert small_oracle.states_of("a") == ["ACCEPTED"]


async def test_an_acknowledgement_is_repeated_until_the_oracle_has_stored_it(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        await small_oracle.publish(found.address, snapshot(found.address, 1, [order("a", T0 + UNIT_S)]).payload())
        await eventually(lambda: len(small_oracle.acknowledgements) >= 1)
        heard = len(small_oracle.acknowledgements)
        await asyncio.sleep(2.1)
        again = order("a", T0 + UNIT_S, acknowledged_state="NEW")
        await small_oracle.publish(found.address, snapshot(found.address, 2, [again]).payload())
        await eventually(lambda: len(small_oracle.acknowledgements) > heard)
        heard = len(small_oracle.acknowledgements)
        await asyncio.sleep(2.1)
        stored = order("a", T0 + UNIT_S, acknowledged_state="ACCEPTED")
        await small_oracle.publish(found.address, snapshot(found.address, 3, [stored]).payload())
        await asyncio.sleep(0.3)
        assert len(small_oracle.acknowledgements) == heard


async def test_readings_survive_a_broker_that_is_away(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        await found.at(T0 + UNIT_S)
        broker.kill()
        await eventually(lambda: not found.gateway.link.is_connected)
        for step in range(2, 50):
            found.clock.time = T0 + step * UNIT_S
            await found.gateway.run_due(found.clock.time)
        assert found.buffer.counts()["WAITING"] == 48
        broker.start()
        await eventually(lambda: sorted(small_oracle.readings) == list(range(1, 50)), 40)
        await eventually(lambda: found.buffer.counts()["WAITING"] == 0)


async def test_a_reading_is_sent_again_until_there_is_a_receipt(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    small_oracle.answers = False
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        found.clock.time = T0 + UNIT_S
        await found.gateway.run_due(T0 + UNIT_S)
        await eventually(lambda: len(small_oracle.received) >= 1)
        small_oracle.answers = True
        await eventually(lambda: found.buffer.counts()["CONFIRMED"] == 1)
        assert len(small_oracle.received) >= 2
        assert len(small_oracle.readings) == 1


async def test_readings_reach_the_oracle_in_order_though_a_message_is_lost(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    small_oracle.losing = 1
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        for step in (1, 2):
            found.clock.time = T0 + step * UNIT_S
            await found.gateway.run_due(found.clock.time)
            await asyncio.sleep(0.2)
        await eventually(lambda: sorted(small_oracle.readings) == [1, 2])
        assert found.buffer.counts()["REFUSED"] == 0


async def test_a_refusal_that_will_pass_leaves_the_reading_waiting(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    small_oracle.answers = False
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        found.clock.time = T0 + UNIT_S
        await found.gateway.run_due(T0 + UNIT_S)
        await eventually(lambda: len(small_oracle.received) == 1)
        digest = found.buffer.waiting()[0][0]
        receipt = Receipt(subject=digest, outcome=ReceiptOutcome.REFUSED, code="out-of-order", reason="wait")
        sealed = Receipts.sealed(ORACLE_KEY, SETTLEMENT, gateway=found.address, receipts=(receipt,))
        await small_oracle.publish(found.address, sealed.payload(), Channel.RECEIPTS)
        await asyncio.sleep(0.3)
        assert found.buffer.counts()["WAITING"] == 1
        small_oracle.answers = True
        await eventually(lambda: found.buffer.counts()["CONFIRMED"] == 1)


async def test_a_refused_reading_is_kept_and_not_sent_again(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    small_oracle.refusing = lambda _: "the gateway is revoked"
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        await found.at(T0 + UNIT_S)
        assert found.buffer.counts() == {"WAITING": 0, "CONFIRMED": 0, "REFUSED": 1}
        assert len(found.buffer.all_readings()) == 1


async def test_receipts_that_the_oracle_did_not_seal_confirm_nothing(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    small_oracle.answers = False
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        await found.at(T0)
        found.clock.time = T0 + UNIT_S
        await found.gateway.run_due(T0 + UNIT_S)
        digest = found.buffer.waiting()[0][0]
        receipt = Receipt(subject=digest, outcome=ReceiptOutcome.STORED)
        forged = Receipts.sealed(STRANGER_KEY, SETTLEMENT, gateway=found.address, receipts=(receipt,))
        await small_oracle.publish(found.address, forged.payload(), Channel.RECEIPTS)
        await eventually(lambda: found.metrics.value("messages_refused_total", reason="not-for-us") == 1)
        assert found.buffer.counts()["WAITING"] == 1


async def test_an_outage_of_the_uplink_delays_readings_and_misses_the_dispatch(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    start = T0 + 2 * UNIT_S
    toml = f"outages = [[{T0 + UNIT_S // 2}, {T0 + 4 * UNIT_S - 10}]]\n"
    async with at_work(install(tmp_path / "gw", broker.port, toml=toml)) as found:
        await found.at(T0)
        assert found.gateway.next_wake(T0) == T0 + UNIT_S // 2
        await found.at(T0 + UNIT_S // 2)
        assert not found.gateway.link.is_connected
        await eventually(lambda: small_oracle.statuses[-1].state is Liveness.OFFLINE)
        await small_oracle.publish(found.address, snapshot(found.address, 1, [order("a", start)]).payload())
        for step in (1, 2, 3):
            await found.at(T0 + step * UNIT_S)
        assert small_oracle.readings == {}
        await found.at(T0 + 4 * UNIT_S - 10)
        assert sorted(small_oracle.readings) == [1, 2, 3]
        await eventually(lambda: small_oracle.states_of("a") == ["REJECTED"])
        assert small_oracle.acknowledgements[-1].reason.startswith("late:")


async def test_a_connection_lost_beyond_the_grace_aborts(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    start = T0 + UNIT_S
    toml = f"outages = [[{start + 10}, {start + 2 * UNIT_S}]]\n[limits]\ngrace_s = 120\n"
    async with at_work(install(tmp_path / "gw", broker.port, toml=toml)) as found:
        await found.at(T0)
        await small_oracle.publish(found.address, snapshot(found.address, 1, [order("a", start)]).payload())
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED"])
        await found.at(start)
        await found.at(start + 10)
        assert found.gateway.next_wake(start + 10) == start + 10 + 121
        await found.at(start + 10 + 121)
        assert found.buffer.dispatches()[dispatch_id("a")].state.name == "ABORTED"
        assert found.buffer.value("applied") is None


async def test_the_owners_stop_releases_the_devices(tmp_path: Path, broker: Broker, small_oracle: SmallOracle) -> None:
    start = T0 + UNIT_S
    installed = install(tmp_path / "gw", broker.port)
    async with at_work(installed) as found:
        await found.at(T0)
        await small_oracle.publish(found.address, snapshot(found.address, 1, [order("a", start)]).payload())
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED"])
        await found.at(start)
        assert found.buffer.value("applied") is not None
        obeying = asyncio.create_task(found.gateway.keep_watch())
        await asyncio.sleep(0)
        owner = Buffer(installed.folder / BUFFER_FILE)
        with owner.transaction() as moment:
            moment.set_value("stopped", True)
        owner.close()
        found.clock.time = start + 30
        await eventually(lambda: found.buffer.value("applied") is None)
        obeying.cancel()
        await eventually(lambda: small_oracle.states_of("a")[-1] == "ABORTED")


async def test_missed_intervals_are_read_and_nothing_is_controlled_in_the_past(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    installed = install(tmp_path / "gw", broker.port)
    start = T0 + UNIT_S
    async with at_work(installed) as found:
        await found.at(T0)
        await small_oracle.publish(found.address, snapshot(found.address, 1, [order("a", start, -300)]).payload())
        await eventually(lambda: small_oracle.states_of("a") == ["ACCEPTED"])
    async with at_work(installed) as found:
        await found.at(T0 + 4 * UNIT_S)
        await eventually(lambda: sorted(small_oracle.readings) == [1, 2, 3, 4])
        assert small_oracle.states_of("a") == ["ACCEPTED", "ABORTED"]
        assert abs(small_oracle.readings[2].active_energy_wh - -300) > 20


async def test_an_older_plan_that_comes_late_does_not_replace_a_newer_one(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    installed = install(tmp_path / "gw", broker.port)

    def plan(issued_at: int, baseline_wh: int) -> bytes:
        entry = PlanEntry(interval=T0, baseline_wh=baseline_wh)
        fields = {"nanogrid": NANOGRID, "issued_at": issued_at, "entries": (entry,)}
        return Plan.sealed(ORACLE_KEY, SETTLEMENT, gateway=installed.gateway, **fields).payload()

    async with at_work(installed) as found:
        await small_oracle.publish(found.address, plan(T0 + 10, -120), Channel.PLAN)
        await small_oracle.publish(found.address, plan(T0 + 9, -999), Channel.PLAN)
        await eventually(lambda: found.metrics.value("messages_outdated_total", channel="plan") == 1)
        assert found.buffer.baseline_wh(T0) == -120
    async with at_work(installed) as found:  # a restart does not forget which was the newest
        await small_oracle.publish(found.address, plan(T0 + 9, -999), Channel.PLAN)
        await eventually(lambda: found.metrics.value("messages_outdated_total", channel="plan") == 1)
        await small_oracle.publish(found.address, plan(T0 + 11, -130), Channel.PLAN)
        await eventually(lambda: found.buffer.baseline_wh(T0) == -130)


async def test_what_a_version_without_dated_plans_has_kept_goes_on_to_count(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    installed = install(tmp_path / "gw", broker.port)
    kept = Buffer(installed.folder / BUFFER_FILE)
    with kept.transaction() as moment:
        moment.set_value("revision", 5)
        moment.save_plan([PlanEntry(interval=T0, baseline_wh=-1)])
    kept.close()
    async with at_work(installed) as found:
        await small_oracle.publish(found.address, snapshot(found.address, 4, [order("a", T0 + UNIT_S)]).payload())
        await eventually(lambda: found.metrics.value("messages_outdated_total", channel="dispatch") == 1)
        assert found.buffer.dispatches() == {}
        entries = (PlanEntry(interval=T0, baseline_wh=-2),)
        fields = {"nanogrid": NANOGRID, "issued_at": 1, "entries": entries}
        plan = Plan.sealed(ORACLE_KEY, SETTLEMENT, gateway=found.address, **fields)
        await small_oracle.publish(found.address, plan.payload(), Channel.PLAN)
        await eventually(lambda: found.buffer.baseline_wh(T0) == -2)


async def test_an_order_that_was_withdrawn_never_comes_back_by_a_late_copy_of_its_snapshot(
    tmp_path: Path, broker: Broker, small_oracle: SmallOracle
) -> None:
    """Also where the copy is the first that this gateway sees of the order, and after a restart."""
    installed = install(tmp_path / "gw", broker.port)
    known, unknown = order("known", T0 + UNIT_S), order("unknown", T0 + 2 * UNIT_S)
    first, second = (
        snapshot(installed.gateway, 1, [known]).payload(),
        snapshot(installed.gateway, 2, [known, unknown]).payload(),
    )
    async with at_work(installed) as found:
        await found.at(T0)
        await small_oracle.publish(found.address, first)
        await eventually(lambda: small_oracle.states_of("known") == ["ACCEPTED"])
        await small_oracle.publish(found.address, snapshot(found.address, 3, []).payload())
        await eventually(lambda: small_oracle.states_of("known") == ["ACCEPTED", "REVOKED"])
        for late in (second, first):
            await small_oracle.publish(found.address, late)
        await eventually(lambda: found.metrics.value("messages_outdated_total", channel="dispatch") == 2)
    async with at_work(installed) as found:
        await small_oracle.publish(found.address, second)
        await eventually(lambda: found.metrics.value("messages_outdated_total", channel="dispatch") >= 1)
        for step in (1, 2, 3):
            await found.at(T0 + step * UNIT_S)
        assert found.buffer.value("applied") is None
        assert {id_: each.state.name for id_, each in found.buffer.dispatches().items()} == {known.id: "REVOKED"}
        assert small_oracle.states_of("unknown") == []


async def test_a_plan_of_the_oracle_is_kept(tmp_path: Path, broker: Broker, small_oracle: SmallOracle) -> None:
    async with at_work(install(tmp_path / "gw", broker.port)) as found:
        entry = PlanEntry(interval=T0, baseline_wh=-120)
        plan = Plan.sealed(
            ORACLE_KEY, SETTLEMENT, gateway=found.address, nanogrid=NANOGRID, issued_at=T0, entries=(entry,)
        )
        await small_oracle.publish(found.address, plan.payload(), Channel.PLAN)
        await eventually(lambda: found.buffer.baseline_wh(T0) == -120)
