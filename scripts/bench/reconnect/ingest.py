"""The oracle's ears alone, as a process: its line to the broker, ingest and database; its settings are the oracle's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from market.domain.calendar import Calendar
from market.observability import logging_as
from market.settings import Settings
from market.store.database import open_engine
from oracle.ingest import Ingest
from oracle.line import Line
from oracle.outgoing import Outgoing
from oracle.throttle import Throttle
from scripts.bench.reconnect.fleet import ORACLE_KEY, SETTLEMENT, UNIT_S


async def main() -> None:
    """Take readings in until it is ended."""
    settings = Settings()
    logging_as(settings.log, "oracle", as_json=False)
    throttle = Throttle(settings.mqtt.gateway_messages_per_s, settings.mqtt.gateway_message_burst)
    ingest = Ingest(
        open_engine(settings.database), SETTLEMENT, ORACLE_KEY, Calendar(UNIT_S), time.time, throttle=throttle
    )

    def nothing() -> Sequence[Outgoing]:
        return ()

    await Line(settings.mqtt, take=ingest.take, greeting=nothing).run()


if __name__ == "__main__":
    asyncio.run(main())
