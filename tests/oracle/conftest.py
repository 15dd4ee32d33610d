"""An oracle over a real chain and a real database, and meters that sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.messages import Reading
from market.domain.signing import address_of
from market.domain.typed_data import Domain
from market.domain.units import nanogrid_id
from market.store.database import read_scope
from market.store.facts import Quarantined
from oracle.context import Oracle
from oracle.ingest import Ingest
from oracle.messages import (
    GENESIS_HASH,
    Channel,
    Quality,
    ReadingBatch,
    Receipt,
    Receipts,
    SignedReading,
    topic_for,
)
from tests.chain.world import KEYS, PORTFOLIO, World, gateway_key
from tests.cli.conftest import WorldClock
from tests.conftest import TEST_EPOCH


def as_gateway(key: bytes | GatewayKey) -> GatewayKey:
    """Bytes stand for a secp256k1 key."""
    return key if isinstance(key, GatewayKey) else GatewayKey.of(key)


@dataclass
class Meter:
    """A gateway's meter: signs one reading after the other, each linked to the one before."""

    index: int
    domain: Domain
    sequence: int = 0
    head: str = GENESIS_HASH
    key: bytes | GatewayKey = field(default=b"", repr=False)
    portfolio: int = PORTFOLIO

    def __post_init__(self) -> None:
        self.key = self.key or gateway_key(self.index)

    @property
    def gateway(self) -> str:
        return as_gateway(self.key).address.lower()

    @property
    def topic(self) -> str:
        return topic_for(self.gateway, Channel.READINGS)

    def read(self, interval: int, active_energy_wh: int = 500, **other: Any) -> SignedReading:
        """The next reading; the meter goes on from it."""
        reading = self.draft(interval, active_energy_wh, **other)
        self.sequence, self.head = reading.sequence, reading.entry_hash(self.domain)
        return reading

    def draft(self, interval: int, active_energy_wh: int = 500, **other: Any) -> SignedReading:
        """A reading that the meter does not count: with another sequence, nanogrid or link where these are given."""
        message = Reading(
            other.get("nanogrid", nanogrid_id(self.portfolio, self.index)),
            interval,
            active_energy_wh,
            other.get("reactive_energy_varh", 0),
            other.get("sequence", self.sequence + 1),
        )
        signature = as_gateway(other.get("key", self.key)).sign_message(message, self.domain)
        return SignedReading(
            nanogrid=message.nanogrid,
            interval=message.interval,
            active_energy_wh=message.active_energy_wh,
            reactive_energy_varh=message.reactive_energy_varh,
            sequence=message.sequence,
            previous_hash=other.get("previous_hash", self.head),
            quality=Quality.MEASURED,
            signature="0x" + signature.hex(),
        )


@dataclass
class Desk:
    """The oracle of a registered and funded world."""

    world: World
    oracle: Oracle
    ingest: Ingest
    moved: list[str]
    p256: dict[int, GatewayKey] = field(default_factory=dict)

    def meter(self, index: int) -> Meter:
        return Meter(index, self.oracle.settlement, key=self.p256.get(index, gateway_key(index)))

    def seat_p256(self, index: int) -> GatewayKey:
        """A gateway with a P-256 key takes a nanogrid over."""
        key = self.p256[index] = GatewayKey.of(gateway_key(index), KeyKind.P256)
        function = self.world.contracts.settlement.functions.setGateway(nanogrid_id(PORTFOLIO, index), key.address)
        self.world.send("operator", function)
        self.oracle.index()
        return key

    def take(self, meter: Meter, *readings: SignedReading) -> list[Receipt]:
        """Hand readings in on the meter's topic, as the broker does, and open the answer."""
        return self.receipts(meter, ReadingBatch(readings=readings).payload())

    def receipts(self, meter: Meter, payload: bytes) -> list[Receipt]:
        [answer] = self.ingest.take(meter.topic, payload)
        assert answer.topic == topic_for(meter.gateway, Channel.RECEIPTS)
        sealed = Receipts.model_validate_json(answer.payload)
        assert sealed.sealed_by(self.oracle.settlement) == address_of(self.oracle.key)
        return list(sealed.receipts)

    def quarantined(self) -> list[str]:
        """Reasons, in the order of arrival."""
        with read_scope(self.oracle.engine) as session:
            return list(session.scalars(select(Quarantined.reason).order_by(Quarantined.id)))


@pytest.fixture
def desk(anvil: Any, migrated_database_url: str) -> Iterator[Desk]:
    """Four nanogrids with gateways, money and bonds, on both kinds of databases."""
    world = World.build(anvil, migrated_database_url)
    world.at(TEST_EPOCH)
    world.register()
    world.fund()
    world.indexer.index_now()
    contracts, clock = world.contracts, WorldClock(world)
    oracle = Oracle(
        world.engine, contracts, world.sender("oracle"), KEYS["oracle"], world.indexer.index_now, clock,
        contracts.calendar,
    )  # fmt: skip
    moved: list[str] = []
    ingest = Ingest(world.engine, oracle.settlement, oracle.key, oracle.calendar, clock.now, moved.append)
    yield Desk(world, oracle, ingest, moved)
    world.engine.dispose()
