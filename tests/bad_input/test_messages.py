"""Wrong readings and dispatches through the real broker, to the real oracle and the real agents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import pytest_asyncio
from sqlalchemy import Engine, create_engine, func, select

from gateway_agent.buffer import Buffer
from gateway_agent.configuration import BUFFER_FILE, ENROLMENT_FILE, KEY_FILE
from gateway_agent.identity import load_identity
from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.domain.typed_data import Domain
from market.store.database import open_engine, read_scope
from market.store.facts import Acknowledgement, Quarantined
from oracle.messages import (
    Channel,
    DispatchKind,
    DispatchOrder,
    DispatchSnapshot,
    ReadingBatch,
    Receipt,
    ReceiptOutcome,
    Receipts,
    SignedReading,
    topic_for,
)
from scripts.demo.options import DemoOptions
from scripts.demo.run import opened
from scripts.demo.stage import Stage
from tests.bad_input.state import state_of, tables_of
from tests.cli.conftest import call
from tests.gateway_agent.world import eventually
from tests.oracle.conftest import Meter

pytestmark = [
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]

U = 900
STRANGER_KEY = keccak256(b"a stranger")
VICTIM, REVOKED = 3, 5
"""Indices of the nanogrids that the wrong messages are about."""


@dataclass
class Scene:
    """A running day that stands still, and a pen for each gateway."""

    stage: Stage
    engine: Engine

    @property
    def now(self) -> int:
        return int(self.stage.authority.now)

    @property
    def settlement(self) -> Domain:
        deployment = self.stage.contracts().deployment
        return Domain(deployment.chain_id, deployment.addresses["Settlement"])

    def folder(self, index: int) -> Path:
        return self.stage.layout.gateway(index)

    def enrolment(self, index: int) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder(index) / ENROLMENT_FILE).read_text())
        return document

    def meter(self, index: int) -> Meter:
        """The gateway's own key and chain, as they stand."""
        key = load_identity(self.folder(index) / KEY_FILE)
        buffer = Buffer(self.folder(index) / BUFFER_FILE)
        try:
            head = buffer.head()
        finally:
            buffer.close()
        return Meter(index, self.settlement, head.sequence, head.entry_hash, key, portfolio=1)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Nothing is different afterwards but the quarantine and the event log of what was refused."""
        before = state_of(self.engine, self.stage.contracts())
        yield
        after = state_of(self.engine, self.stage.contracts())
        assert {name for name in before if before[name] != after[name]} - {"quarantine"} == set()

    @asynccontextmanager
    async def connected(self, username: str, password: str) -> AsyncIterator[aiomqtt.Client]:
        port = self.stage.ports["broker"]
        client = aiomqtt.Client("127.0.0.1", port, username=username, password=password, identifier=f"wrong-{username}")
        async with client:
            yield client

    @asynccontextmanager
    async def gateway(self, index: int) -> AsyncIterator[aiomqtt.Client]:
        """A second connection with a gateway's credentials, which hears its receipts."""
        mqtt = self.enrolment(index)["mqtt"]
        async with self.connected(mqtt["username"], mqtt["password"]) as client:
            await client.subscribe(topic_for(mqtt["username"], Channel.RECEIPTS), qos=1)
            yield client

    async def send(self, index: int, payload: bytes) -> Receipt:
        """Publish on a gateway's topic of readings; the oracle's sealed answer."""
        async with self.gateway(index) as client:
            return await self.ask(client, index, payload)

    async def ask(self, client: aiomqtt.Client, index: int, payload: bytes) -> Receipt:
        gateway = self.enrolment(index)["mqtt"]["username"]
        await client.publish(topic_for(gateway, Channel.READINGS), payload, qos=1)
        receipts = Receipts.model_validate_json(
            await asyncio.wait_for(_next_on(client, topic_for(gateway, Channel.RECEIPTS)), 10)
        )
        assert receipts.sealed_by(self.settlement) == self.stage.layout.keys.address("oracle")
        [receipt] = receipts.receipts
        return receipt

    def quarantined(self) -> list[str]:
        with read_scope(self.engine) as session:
            return list(session.scalars(select(Quarantined.reason).order_by(Quarantined.id)))


async def _next_on(client: aiomqtt.Client, topic: str) -> bytes:
    """The next message of a topic; the broker may tell a new connection other retained ones too."""
    async for message in client.messages:
        if str(message.topic) == topic:
            return bytes(message.payload)  # type: ignore[arg-type]
    raise AssertionError("the connection ended")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    async with opened(DemoOptions(folder, first_hour=9, last_hour=11, faults=False), lambda *_: None) as stage:
        moment = stage.first_interval + 4 * U + 450
        stage.authority.stop_at(moment)
        await stage.authority.reached(moment)
        engine = open_engine(f"sqlite:///{stage.layout.database}")
        yield Scene(stage, engine)
        engine.dispose()


# READINGS


def batch(reading: SignedReading) -> bytes:
    return ReadingBatch(readings=(reading,)).payload()


def unsigned(scene: Scene, meter: Meter) -> bytes:
    reading = meter.draft(scene.now // U * U)
    return batch(reading.model_copy(update={"signature": "0x" + "00" * 64}))


def without_signature(scene: Scene, meter: Meter) -> bytes:
    document = json.loads(batch(meter.draft(scene.now // U * U)))
    del document["readings"][0]["signature"]
    return json.dumps(document).encode()


READINGS: dict[str, tuple[Any, str]] = {
    "unsigned": (unsigned, "bad-signature"),
    "without a signature": (without_signature, "message-malformed"),
    "signed by another": (
        lambda scene, meter: batch(meter.draft(scene.now // U * U - U, key=STRANGER_KEY)),
        "bad-signature",
    ),
    "of another's nanogrid": (
        lambda scene, meter: batch(meter.draft(scene.now // U * U - U, nanogrid=(1 << 16) + 1)),
        "unknown-gateway",
    ),
    "replayed under an old sequence": (
        lambda scene, meter: batch(meter.draft(scene.now // U * U - 40 * U, sequence=1)),
        "replayed-reading",
    ),
    "out of order": (
        lambda scene, meter: batch(meter.draft(scene.now // U * U - 40 * U, sequence=meter.sequence + 2)),
        "out-of-order",
    ),
    "of an interval in the future": (
        lambda scene, meter: batch(meter.draft(scene.now // U * U + U)),
        "interval-not-begun",
    ),
    "physically impossible": (
        lambda scene, meter: batch(meter.draft(scene.now // U * U - 40 * U, 10**6, sequence=meter.sequence + 1)),
        "implausible-reading",
    ),
    "another one of an interval that is there": (
        lambda scene, meter: batch(meter.draft(scene.now // U * U - U, 12_345 % 97)),
        "contradicting-reading",
    ),
    "no JSON": (lambda *_: b"{broken", "message-malformed"),
    "too large": (lambda *_: b"x" * 20_000, "message-too-large"),
}


@pytest.mark.parametrize("what", READINGS)
async def test_a_wrong_reading_is_refused_by_its_name_and_changes_nothing(scene: Scene, what: str) -> None:
    make, code = READINGS[what]
    # Each case has a gateway of its own: a reading that is refused in its place is not refused twice.
    index = 8 + list(READINGS).index(what)
    payload = make(scene, scene.meter(index))
    with scene.unchanged():
        receipt = await scene.send(index, payload)
    assert (receipt.outcome, receipt.code) == (ReceiptOutcome.REFUSED, code)
    assert receipt.reason
    assert scene.quarantined()[-1] == code


async def test_a_reading_that_is_replayed_as_it_was_is_known_and_stored_once(scene: Scene) -> None:
    buffer = Buffer(scene.folder(VICTIM) / BUFFER_FILE)
    try:
        stored = buffer.all_readings()[0]
    finally:
        buffer.close()
    with scene.unchanged():
        receipt = await scene.send(VICTIM, batch(stored))
    # As it was answered a moment ago, or known from the database.
    assert receipt.outcome in {ReceiptOutcome.STORED, ReceiptOutcome.DUPLICATE}


async def test_a_gateway_that_was_replaced_is_refused_on_the_line_that_it_still_has(scene: Scene) -> None:
    meter = scene.meter(REVOKED)
    payload = batch(meter.draft(scene.now // U * U - U))
    async with scene.gateway(REVOKED) as client:
        replaced = await asyncio.to_thread(
            call, "operator", "change", "gateway", "--nanogrid", (1 << 16) + REVOKED,
            "--gateway", address_of(STRANGER_KEY),
            "--market", scene.stage.market_url, "--key-file", scene.stage.layout.keys.path("operator"),
        )  # fmt: skip
        assert replaced.code == 0, replaced.err
        with scene.unchanged():
            receipt = await scene.ask(client, REVOKED, payload)
    assert (receipt.outcome, receipt.code) == (ReceiptOutcome.REFUSED, "unknown-gateway")


async def test_a_gateway_may_not_write_on_anothers_topic(scene: Scene) -> None:
    mqtt = scene.enrolment(VICTIM)["mqtt"]
    other = scene.meter(VICTIM + 1)
    seen = scene.quarantined()
    with scene.unchanged():
        async with scene.connected(mqtt["username"], mqtt["password"]) as client:
            await client.publish(other.topic, b"{broken", qos=1)
            await asyncio.sleep(1)
    assert scene.quarantined() == seen, "the broker has not passed it on"


# DISPATCH


def order(scene: Scene, name: str, key: bytes, **fields: Any) -> DispatchOrder:
    interval = fields.pop("interval", scene.now // U * U + 2 * U)
    values = {
        "id": "0x" + keccak256(name.encode()).hex(),
        "kind": DispatchKind.AWARD,
        "nanogrid": (1 << 16) + VICTIM,
        "interval": interval,
        "baseline_wh": 0,
        "change_wh": -200,
        "target_w": -800,
        "lease_end": interval + U + U // 15,
    }
    return DispatchOrder.signed(key, scene.settlement, **(values | fields))


def buffered(scene: Scene) -> dict[str, list[str]]:
    """The victim's buffer, without the journal for its owner."""
    engine = create_engine(f"sqlite:///{scene.folder(VICTIM) / BUFFER_FILE}")
    try:
        return tables_of(engine, frozenset({"journal"}))
    finally:
        engine.dispose()


def journal(scene: Scene) -> int:
    engine = create_engine(f"sqlite:///{scene.folder(VICTIM) / BUFFER_FILE}")
    try:
        return len(tables_of(engine)["journal"])
    finally:
        engine.dispose()


async def publish_dispatch(scene: Scene, payload: bytes) -> None:
    """As the oracle's account at the broker: the last line of defence is the gateway."""
    password = (scene.stage.layout.folder / "keys" / "oracle-broker.password").read_text().strip()
    gateway = scene.enrolment(VICTIM)["mqtt"]["username"]
    async with scene.connected("oracle", password) as client:
        await client.publish(topic_for(gateway, Channel.DISPATCH), payload, qos=1)


def snapshot(scene: Scene, *orders: DispatchOrder, key: bytes, gateway: int = VICTIM) -> bytes:
    return DispatchSnapshot.sealed(
        key, scene.settlement, gateway=scene.enrolment(gateway)["mqtt"]["username"], revision=2**62,
        issued_at=scene.now, dispatches=orders,
    ).payload()  # fmt: skip


async def test_a_dispatch_that_the_oracle_did_not_seal_changes_nothing(scene: Scene) -> None:
    known, noted = buffered(scene), journal(scene)
    forged = snapshot(scene, order(scene, "forged", STRANGER_KEY), key=STRANGER_KEY)
    with scene.unchanged():
        await publish_dispatch(scene, forged)
        await eventually(lambda: journal(scene) > noted)
    assert buffered(scene) == known


async def test_a_snapshot_for_another_gateway_changes_nothing(scene: Scene) -> None:
    known, noted = buffered(scene), journal(scene)
    oracle = scene.stage.layout.keys.key("oracle")
    with scene.unchanged():
        await publish_dispatch(scene, snapshot(scene, order(scene, "other", oracle), key=oracle, gateway=VICTIM + 1))
        await eventually(lambda: journal(scene) > noted)
    assert buffered(scene) == known


async def test_wrong_orders_under_the_oracles_own_seal_are_rejected_by_their_names(scene: Scene) -> None:
    """Even who holds the oracle's seal cannot have a gateway follow an order of another, too late or not its own."""
    oracle = scene.stage.layout.keys.key("oracle")
    wrong = {
        "wrong-signer": order(scene, "forged order", STRANGER_KEY),
        "late": order(scene, "late order", oracle, interval=scene.now // U * U - U),
        "other-nanogrid": order(scene, "not its own", oracle, nanogrid=(1 << 16) + VICTIM + 1),
    }
    before = buffered(scene)
    with scene.unchanged():
        await publish_dispatch(scene, snapshot(scene, *wrong.values(), key=oracle))
        await eventually(lambda: buffered(scene)["dispatches"] != before["dispatches"])
    after = buffered(scene)
    for code, each in wrong.items():
        [row] = [row for row in after["dispatches"] if each.id in row]
        assert f"{code}:" in row
    untouched = set(before) - {"dispatches", "acknowledgements", "values"}
    assert {name for name in untouched if before[name] != after[name]} == set()
    values = {"revision"}
    assert {row for row in before["values"] if not any(name in row for name in values)} <= set(after["values"])
    with read_scope(scene.engine) as session:
        assert session.scalar(select(func.count()).where(Acknowledgement.dispatch == wrong["late"].id)) == 0
