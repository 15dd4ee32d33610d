"""Events of the MeteringOracle."""

from __future__ import annotations

from typing import Final

from market.chain.bindings import Event
from market.chain.indexer.projecting import Projecting, on
from market.domain.messages import Reading
from market.store.models import BaselineAnchor, ReadingNotice, ReadingRoot

_CONTRACT: Final = "MeteringOracle"


@on(_CONTRACT, "BaselineAnchored")
def _anchor_baseline(run: Projecting, event: Event) -> None:
    run.session.add(
        BaselineAnchor(
            portfolio=event["portfolio"],
            interval=event["interval"],
            kind=event["kind"],
            count=event["count"],
            root=event["root"],
            anchored_at=event.block_time,
            transaction=event.transaction,
        )
    )


@on(_CONTRACT, "ReadingsAnchored")
def _anchor_readings(run: Projecting, event: Event) -> None:
    run.session.add(
        ReadingRoot(
            block=event.block,
            log_index=event.log_index,
            interval=event["interval"],
            root=event["root"],
            count=event["count"],
            anchored_at=event.block_time,
        )
    )


def _notice(run: Projecting, event: Event) -> ReadingNotice:
    identity = (event["nanogrid"], event["interval"])
    notice = run.session.get(ReadingNotice, identity)
    if notice is None:
        notice = ReadingNotice(nanogrid=identity[0], interval=identity[1])
        run.session.add(notice)
    return notice


@on(_CONTRACT, "ReadingAnnounced")
def _announce_reading(run: Projecting, event: Event) -> None:
    notice = _notice(run, event)
    energies = event["activeEnergyWh"], event["reactiveEnergyVarh"]
    reading = Reading(event["nanogrid"], event["interval"], *energies, event["sequence"])
    notice.reading_hash = reading.announcement_hash()
    notice.announced_by, notice.announced_at = event["by"], event.block_time


@on(_CONTRACT, "ReadingsAnnulled")
def _annul_readings(run: Projecting, event: Event) -> None:
    notice = _notice(run, event)
    notice.annulled_by, notice.annulled_at = event["by"], event.block_time
