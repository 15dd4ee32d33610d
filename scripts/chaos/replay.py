"""Messages of the past, sent again: each twice, in another order, by somebody with the gateway's access."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Final

import aiomqtt
import structlog
from sqlalchemy.exc import OperationalError

from gateway_agent.buffer import Buffer
from gateway_agent.configuration import BUFFER_FILE, load_enrolled
from oracle.messages import Channel, ReadingBatch, topic_for
from scripts.rehearsal.stage import RehearsalStage

log = structlog.get_logger(__name__)

_GATEWAYS: Final = 4
_MOST_OF_A_KIND: Final = 8
"""Readings, and acknowledgements, of one gateway."""

Said = tuple[str, bytes]
"""Topic and payload."""


async def replay(stage: RehearsalStage, random: Random) -> int:
    """Publish old readings and acknowledgements of some gateways again; returns how many. Of a broker that is down, or
    a gateway whose disk is full, nothing is asked."""
    sent = 0
    for household in random.sample(stage.households, min(_GATEWAYS, len(stage.households))):
        try:
            sent += await asyncio.wait_for(_replay_one(stage, household.index, random), 20)
        except (aiomqtt.MqttError, OSError, TimeoutError, OperationalError) as problem:
            log.info("nothing replayed", gateway=household.index, problem=str(problem))
    return sent


async def _replay_one(stage: RehearsalStage, index: int, random: Random) -> int:
    again = await asyncio.to_thread(_said_by, stage.layout.gateway(index), random)
    async with stage.broker_client(index) as client:
        for topic, payload in again:
            await client.publish(topic, payload, qos=1)
    return len(again)


def _said_by(folder: Path, random: Random) -> list[Said]:
    buffer = Buffer(folder / BUFFER_FILE)
    try:
        return said_again(load_enrolled(folder).gateway, buffer, random)
    finally:
        buffer.close()


def said_again(gateway: str, buffer: Buffer, random: Random) -> list[Said]:
    """Some of a gateway's readings, and of the acknowledgements that it has sent: each twice, in any order."""
    said = {
        Channel.READINGS: [ReadingBatch(readings=(reading,)).payload() for reading in buffer.all_readings()],
        Channel.ACKS: buffer.sent_acknowledgements(),
    }
    again = [
        (topic_for(gateway, channel), payload)
        for channel, payloads in said.items()
        for payload in 2 * random.sample(payloads, min(_MOST_OF_A_KIND, len(payloads)))
    ]
    random.shuffle(again)
    return again
