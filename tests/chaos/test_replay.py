"""What is said again is what the gateway has said, each twice, in another order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from gateway_agent.buffer import Buffer
from market.domain.gateway_key import GatewayKey
from market.domain.hashing import keccak256
from oracle.messages import (
    GENESIS_HASH,
    Channel,
    ReadingBatch,
    SignedAcknowledgement,
    SignedReading,
    parse,
    topic_for,
)
from scripts.chaos.replay import Said, said_again
from tests.gateway_agent.world import NANOGRID, SETTLEMENT, T0, UNIT_S, dispatch_id

KEY = GatewayKey.of(keccak256(b"gateway of the replay's tests"))
GATEWAY = KEY.address.lower()
STATES = ("ACCEPTED", "STARTED", "SUCCEEDED")
LATER = "a dispatch whose acknowledgement the broker has not taken yet"


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[Buffer]:
    """Three readings, one dispatch that is over, one whose acknowledgement is still to be sent."""
    buffer = Buffer(tmp_path / "buffer.sqlite")
    with buffer.transaction() as moment:
        for sequence in (1, 2, 3):
            moment.add_reading(reading(sequence), SETTLEMENT)
        for state in STATES:
            moment.add_acknowledgement(acknowledgement("over", state))
    for number, _ in buffer.unsent_acknowledgements():
        buffer.acknowledged(number)
    with buffer.transaction() as moment:
        moment.add_acknowledgement(acknowledgement(LATER, "ACCEPTED"))
    yield buffer
    buffer.close()


def reading(sequence: int) -> SignedReading:
    fields = {"interval": T0 + sequence * UNIT_S, "active_energy_wh": 1, "reactive_energy_varh": 0}
    return SignedReading(
        nanogrid=NANOGRID, sequence=sequence, previous_hash=GENESIS_HASH, signature="0x" + "00" * 64, **fields
    )


def acknowledgement(dispatch: str, state: str) -> SignedAcknowledgement:
    fields = {"nanogrid": NANOGRID, "dispatch": dispatch_id(dispatch), "state": state, "at": T0}
    return SignedAcknowledgement.signed(KEY, SETTLEMENT, **fields)


def on(channel: Channel, said: list[Said]) -> list[bytes]:
    return [payload for topic, payload in said if topic == topic_for(GATEWAY, channel)]


def test_readings_and_sent_acknowledgements_come_twice_as_they_were(buffer: Buffer) -> None:
    said = said_again(GATEWAY, buffer, Random(1))
    assert Counter(on(Channel.READINGS, said)) == {
        ReadingBatch(readings=(reading(sequence),)).payload(): 2 for sequence in (1, 2, 3)
    }
    assert Counter(on(Channel.ACKS, said)) == {acknowledgement("over", state).payload(): 2 for state in STATES}
    assert len(said) == 12
    assert all(parse(topic, payload).gateway == GATEWAY for topic, payload in said)


def test_a_state_that_is_over_comes_after_the_one_that_followed_it(buffer: Buffer) -> None:
    """In some order of several: the oracle must not go back."""
    over, ended = (acknowledgement("over", state).payload() for state in ("ACCEPTED", "SUCCEEDED"))
    orders = [on(Channel.ACKS, said_again(GATEWAY, buffer, Random(seed))) for seed in range(8)]
    assert any(order.index(ended) < len(order) - 1 - order[::-1].index(over) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
