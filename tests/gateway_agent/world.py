"""A broker, enrolled gateways with simulated plants, and a small oracle: real parts over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from gateway_agent.buffer import Buffer
from gateway_agent.configuration import BUFFER_FILE, ENROLMENT_FILE, KEY_FILE, SETTINGS_FILE
from gateway_agent.drivers.simulated.plant import Battery, Plant, Pv, ShiftableLoad, initial_state
from gateway_agent.drivers.simulated.profile import Series, SimulatedNanogrid, write_nanogrid
from gateway_agent.identity import load_or_create_identity, write_secret
from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.domain.typed_data import Domain
from oracle.messages import (
    Channel,
    DispatchKind,
    DispatchOrder,
    DispatchSnapshot,
    Liveness,
    MessageRefused,
    ReadingBatch,
    Receipt,
    ReceiptOutcome,
    Receipts,
    SignedAcknowledgement,
    SignedReading,
    Status,
    parse,
    topic_for,
)

UNIT_S = 900
T0 = 1_780_000_200
NANOGRID = 7 << 16 | 3
SETTLEMENT = Domain(31337, "0x" + "5e" * 20)
SIGNALS = Domain(31337, "0x" + "51" * 20)
AUCTION = Domain(31337, "0x" + "a0" * 20)
ORACLE_KEY = keccak256(b"oracle of the tests")
DSO_KEY = keccak256(b"DSO of the tests")
RELAYER_KEY = keccak256(b"relayer of the tests")

PLANT = Plant(
    pv=Pv(power_w=5_000),
    battery=Battery(power_w=2_000, energy_wh=6_000),
    shiftable=ShiftableLoad(share_permille=200, power_w=1_000, energy_wh=1_000),
)


def nanogrid_file(path: Path, steps: int = 200) -> None:
    """A day with a little of everything, different in each step."""
    load_w = tuple(600 + 37 * (step * 7 % 23) for step in range(steps))
    load_var = tuple(100 + step % 5 for step in range(steps))
    pv_w = tuple(max(0, 3_000 - 60 * abs(step - 40)) for step in range(steps))
    actual = Series(T0, UNIT_S, load_w, load_var, pv_w)
    forecast = Series(T0, UNIT_S, load_w, load_var, tuple(value * 9 // 10 for value in pv_w))
    nanogrid = SimulatedNanogrid(3, "test", 1, 11_000, PLANT, initial_state(PLANT, 500), actual, forecast)
    write_nanogrid(nanogrid, path)


@dataclass
class Installed:
    """A gateway's folder, ready to run."""

    folder: Path
    identity: GatewayKey

    @property
    def gateway(self) -> str:
        return self.identity.address.lower()


def own_readings(installed: Installed) -> list[SignedReading]:
    """What a gateway that does not run has signed; its chain is whole."""
    buffer = Buffer(installed.folder / BUFFER_FILE)
    try:
        assert buffer.broken_link(SETTLEMENT) is None
        return buffer.all_readings()
    finally:
        buffer.close()


def install(
    folder: Path,
    broker_port: int,
    *,
    nanogrid: int = NANOGRID,
    toml: str = "",
    kind: KeyKind = KeyKind.SECP256K1,
    **enrolled: Any,
) -> Installed:
    """Write the folder of an enrolled gateway with a simulated plant."""
    folder.mkdir(parents=True, exist_ok=True)
    nanogrid_file(folder / "plant.json")
    identity = load_or_create_identity(folder / KEY_FILE, kind)
    if "[driver]" not in toml:
        toml += '\n[driver]\nfamily = "simulated"\nprofile = "plant.json"\n'
    (folder / SETTINGS_FILE).write_text(toml)
    document = {
        "market_url": "http://127.0.0.1:9",
        "nanogrid": nanogrid,
        "gateway": identity.address,
        "portfolio": nanogrid >> 16,
        "index": nanogrid & 0xFFFF,
        "node": 1,
        "chain_id": 31337,
        "contracts": {"settlement": SETTLEMENT.contract, "auction": AUCTION.contract, "signals": SIGNALS.contract},
        "oracle": address_of(ORACLE_KEY),
        "dso": address_of(DSO_KEY),
        "relayer": address_of(RELAYER_KEY),
        "time_unit_s": UNIT_S,
        "mqtt": {"host": "127.0.0.1", "port": broker_port, "username": identity.address.lower(), "password": "p"},
        "api_key": "mg_test",
        **enrolled,
    }
    write_secret(folder / ENROLMENT_FILE, json.dumps(document))
    return Installed(folder, identity)


def order(dispatch: str, interval: int, change_wh: int = -200, baseline_wh: int = 0, **fields: Any) -> DispatchOrder:
    """An award's dispatch, signed by the oracle of the tests."""
    values: dict[str, Any] = {
        "id": dispatch_id(dispatch),
        "kind": DispatchKind.AWARD,
        "nanogrid": NANOGRID,
        "interval": interval,
        "baseline_wh": baseline_wh,
        "change_wh": change_wh,
        "target_w": (baseline_wh + change_wh) * 3600 // UNIT_S,
        "lease_end": interval + UNIT_S + UNIT_S // 15,
    }
    key = fields.pop("key", ORACLE_KEY)
    return DispatchOrder.signed(key, SETTLEMENT, **(values | fields))


def dispatch_id(name: str) -> str:
    return "0x" + keccak256(name.encode()).hex()


def snapshot(
    gateway: str, revision: int, orders: Sequence[DispatchOrder], key: bytes = ORACLE_KEY, issued_at: int = T0
) -> DispatchSnapshot:
    return DispatchSnapshot.sealed(
        key, SETTLEMENT, gateway=gateway, revision=revision, issued_at=issued_at, dispatches=tuple(orders)
    )


@dataclass
class Broker:
    """amqtt in a process of its own; may be killed and started again on the same port."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.folder / "broker.yaml"
        config.write_text(
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{self.port}\n"
            "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        )
        program = Path(sys.executable).with_name("amqtt")
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen([str(program), "-c", str(config)], stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "broker.log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class SmallOracle:
    """Stores readings, answers with receipts, publishes snapshots, collects acknowledgements and statuses.

    Where it has a clock it does as the real one does by it: a gateway that comes is sent its dispatches with the time,
    and a reading of an interval that is not over is refused, for good where that has not begun.
    """

    port: int
    answers: bool = True
    losing: int = 0
    """So many messages with readings get lost."""
    readings: dict[int, SignedReading] = field(default_factory=dict)
    received: list[SignedReading] = field(default_factory=list)
    acknowledgements: list[SignedAcknowledgement] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    refusing: Callable[[SignedReading], str] = lambda _: ""
    now: Callable[[], float] | None = None
    unit_s: int = UNIT_S
    orders: list[DispatchOrder] = field(default_factory=list)
    refused_early: list[SignedReading] = field(default_factory=list)
    placed: dict[int, SignedReading] = field(default_factory=dict)
    """Refused for good, by sequence: they keep their place."""
    _client: aiomqtt.Client | None = None

    async def run(self) -> None:
        while True:
            try:
                async with aiomqtt.Client("127.0.0.1", self.port, identifier="oracle", username="oracle") as client:
                    await client.subscribe(topic_for("+", Channel.READINGS), qos=1)
                    await client.subscribe(topic_for("+", Channel.ACKS), qos=1)
                    await client.subscribe(topic_for("+", Channel.STATUS), qos=1)
                    self._client = client
                    async for message in client.messages:
                        await self._take(client, str(message.topic), bytes(message.payload))  # type: ignore[arg-type]
            except aiomqtt.MqttError:
                self._client = None
                await asyncio.sleep(0.05)

    async def _take(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        try:
            found = parse(topic, payload)
        except MessageRefused as problem:
            raise AssertionError(f"{topic}: {problem}") from problem
        message = found.message
        if isinstance(message, SignedAcknowledgement):
            assert message.signer(SETTLEMENT).lower() == found.gateway
            self.acknowledgements.append(message)
        elif isinstance(message, Status):
            assert message.sealed_by(SETTLEMENT).lower() == found.gateway
            self.statuses.append(message)
            if self.now is not None and message.state is Liveness.ONLINE:
                answer = snapshot(found.gateway, time.time_ns(), self.orders, issued_at=int(self.now()))
                await client.publish(topic_for(found.gateway, Channel.DISPATCH), answer.payload(), qos=1, retain=True)
        elif isinstance(message, ReadingBatch) and self.losing:
            self.losing -= 1
        elif isinstance(message, ReadingBatch):
            receipts = tuple(self._receipt(reading, found.gateway) for reading in message.readings)
            if self.answers:
                answer = Receipts.sealed(ORACLE_KEY, SETTLEMENT, gateway=found.gateway, receipts=receipts)
                await client.publish(topic_for(found.gateway, Channel.RECEIPTS), answer.payload(), qos=1)

    def _receipt(self, reading: SignedReading, gateway: str) -> Receipt:
        assert reading.signer(SETTLEMENT).lower() == gateway
        self.received.append(reading)
        reason, code = self.refusing(reading), "revoked"
        if self.now is not None and reading.interval + self.unit_s > self.now():
            self.refused_early.append(reading)
            reason, code = "not over", "interval-not-over"
            if reading.interval > self.now():
                code, self.placed[reading.sequence] = "interval-not-begun", reading
        elif not reason and reading.sequence > len(self.readings) + len(self.placed) + 1:
            reason, code = "earlier readings are missing", "out-of-order"
        if reason:
            outcome = ReceiptOutcome.REFUSED
        elif reading.sequence in self.readings:
            assert self.readings[reading.sequence] == reading
            outcome = ReceiptOutcome.DUPLICATE
        else:
            outcome = ReceiptOutcome.STORED
            self.readings[reading.sequence] = reading
        return Receipt(
            subject=reading.digest(SETTLEMENT), outcome=outcome, sequence=reading.sequence, code=code, reason=reason
        )

    async def publish(self, gateway: str, payload: bytes, channel: Channel = Channel.DISPATCH) -> None:
        await eventually(lambda: self._client is not None)
        assert self._client is not None
        await self._client.publish(topic_for(gateway, channel), payload, qos=1, retain=channel is Channel.DISPATCH)

    def states_of(self, name: str) -> list[str]:
        """Acknowledged states of a dispatch, in order, each once."""
        found = [each.state for each in self.acknowledgements if each.dispatch == dispatch_id(name)]
        return list(dict.fromkeys(found))


async def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Returns when the condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        await asyncio.sleep(0.01)
