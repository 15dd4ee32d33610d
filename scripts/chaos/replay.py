"""Messages of the past, sent again: each twice, in another order, by somebody with the gateway's access."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Final

import aiomqtt
import structlog

from gateway_agent.buffer import Buffer
from gateway_agent.configuration import BUFFER_FILE, load_enrolled
from oracle.messages import Channel, ReadingBatch, topic_for
from scripts.rehearsal.stage import RehearsalStage

log = structlog.get_logger(__name__)

_GATEWAYS: Final = 4
_READINGS: Final = 8


async def replay(stage: RehearsalStage, random: Random) -> int:
    """Publish old readings of some gateways again; returns how many. Of a broker that is down nothing is asked."""
    sent = 0
    for household in random.sample(stage.households, min(_GATEWAYS, len(stage.households))):
        try:
            sent += await asyncio.wait_for(_replay_one(stage, household.index, random), 20)
        except (aiomqtt.MqttError, OSError, TimeoutError) as problem:
            log.info("nothing replayed", gateway=household.index, problem=str(problem))
    return sent


async def _replay_one(stage: RehearsalStage, index: int, random: Random) -> int:
    folder = stage.layout.gateway(index)
    enrolled = load_enrolled(folder)
    buffer = Buffer(folder / BUFFER_FILE)
    try:
        readings = await asyncio.to_thread(buffer.all_readings)
    finally:
        buffer.close()
    again = 2 * random.sample(readings, min(_READINGS, len(readings)))
    random.shuffle(again)
    topic = topic_for(enrolled.gateway, Channel.READINGS)
    async with stage.broker_client(index) as client:
        for reading in again:
            await client.publish(topic, ReadingBatch(readings=(reading,)).payload(), qos=1)
    return len(again)
