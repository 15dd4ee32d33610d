"""What a run is judged by: what clients were told, what the chain holds, what the database holds. Nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, select
from sqlalchemy.orm import Session

from gateway_agent import buffer_schema
from gateway_agent.configuration import BUFFER_FILE
from market.domain.errors import BadSignature
from market.domain.messages import BidRefusal
from market.domain.records import BidRecord, unpack_bids
from market.domain.signing import recover_message
from market.domain.typed_data import Domain
from market.domain.units import RECORD_BYTES, nanogrid_id
from market.store.base import projection_tables
from market.store.facts import BidReceived, Reading
from market.store.work import Dispatch
from scripts.chaos.bidder import Promise, promises_in
from scripts.demo.checker.awards import Offer, awards_of, offers_of, posted_records, red_times
from scripts.demo.checker.evidence import Evidence
from scripts.demo.layout import Layout
from scripts.demo.scenario import PORTFOLIO

INDEXERS_MEMORY: Final = "indexed_blocks"
"""Hashes of the blocks at which the indexer has stopped to look: others, where it looked at other moments."""
_WORD_BYTES: Final = 32
Row = tuple[Any, ...]
Content = tuple[str, int, int, int, int, int]
"""Of a bid: offer, nanogrid, revision, price, quantity, minimum."""
Award = tuple[str, int]
"""Offer and ordinal."""


@dataclass(frozen=True)
class Told:
    """What the gateways of a run keep: bids with a receipt, readings with a receipt, dispatches that they began.

    readings: (nanogrid, interval, digest); begun: (offer, nanogrid), one for each award's beginning.
    """

    promises: tuple[Promise, ...]
    readings: tuple[tuple[int, int, str], ...]
    begun: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Kept:
    """What the database keeps.

    reasons: bid's digest → (state, whether it has a refusal that the relayer has signed); readings: (nanogrid,
    interval, digest); dispatches: award → states of its dispatches.
    """

    reasons: Mapping[str, tuple[str, bool]]
    readings: tuple[tuple[int, int, str], ...]
    dispatches: Mapping[Award, tuple[str, ...]]


@dataclass(frozen=True)
class ChaosEvidence:
    """All of it. differing: table → rows in which the live database and the one rebuilt from the chain differ."""

    chain: Evidence
    told: Told
    kept: Kept
    differing: Mapping[str, Sequence[Row]]


def told_by(layout: Layout, indices: Iterable[int], promises_log: Path) -> Told:
    """What the clients keep in their own files."""
    promises, readings, begun = promises_in(promises_log), [], []
    for index in indices:
        engine = create_engine(f"sqlite:///{layout.gateway(index) / BUFFER_FILE}")
        try:
            with engine.connect() as connection:
                bids = connection.execute(
                    select(buffer_schema.bids).where(buffer_schema.bids.c.state == "ACCEPTED")
                ).all()
                promises += [_promise(row, index) for row in bids]
                confirmed = select(buffer_schema.readings).where(buffer_schema.readings.c.state == "CONFIRMED")
                readings += [(row.nanogrid, row.interval, row.digest) for row in connection.execute(confirmed)]
                begun += list(_beginnings(connection))
        finally:
            engine.dispose()
    return Told(tuple(promises), tuple(readings), tuple(begun))


def _promise(row: Any, index: int) -> Promise:
    receipt = json.loads(row.answer)["receipt"]
    nanogrid = nanogrid_id(PORTFOLIO, index)
    return Promise(
        row.offer, nanogrid, row.price_ueur_kwh, row.quantity, row.minimum, row.revision, row.digest, receipt
    )


def _beginnings(connection: Connection) -> Iterator[tuple[str, int]]:
    """Of each dispatch of an award that the gateway has begun: the award's offer, and the nanogrid."""
    acknowledged = buffer_schema.acknowledgements.c
    begun = select(acknowledged.dispatch).where(acknowledged.state == "STARTED")
    dispatches = select(buffer_schema.dispatches).where(buffer_schema.dispatches.c.id.in_(begun))
    for row in connection.execute(dispatches):
        order = json.loads(row.document)
        if order["offer"] is not None:
            yield order["offer"], order["nanogrid"]


def kept_in(engine: Engine, relayer: str, auction: Domain) -> Kept:
    """What the market's database keeps. relayer: whose refusals count; auction: domain in which they are signed."""
    with Session(engine) as session:
        bids = session.scalars(select(BidReceived)).all()
        readings = session.execute(select(Reading.nanogrid, Reading.interval, Reading.digest)).all()
        dispatches: dict[Award, tuple[str, ...]] = {}
        for each in session.scalars(select(Dispatch).where(Dispatch.offer.is_not(None))):
            award = (str(each.offer), int(each.ordinal or 0))
            dispatches[award] = (*dispatches.get(award, ()), each.state)
        return Kept(
            reasons={bid.digest: (bid.state, is_refused(bid, relayer, auction)) for bid in bids},
            readings=tuple((row[0], row[1], row[2]) for row in readings),
            dispatches=dispatches,
        )


def is_refused(bid: BidReceived, relayer: str, auction: Domain) -> bool:
    """Whether a bid has a refusal, with a reason, that the relayer has signed."""
    if not bid.reason or bid.refused_at is None or bid.refusal_signature is None:
        return False
    digest, offer = (bytes.fromhex(each[2:]) for each in (bid.digest, bid.offer))
    refusal = BidRefusal(digest, offer, bid.reason.encode().ljust(_WORD_BYTES, b"\0"), bid.refused_at)
    try:
        return recover_message(refusal, auction, bid.refusal_signature) == relayer
    except BadSignature:
        return False


def differing_rows(live: Engine, rebuilt: Engine) -> dict[str, list[Row]]:
    """Rows of what is projected from the chain that only one of two databases has, by table; no entry where equal."""
    found = {}
    for table in projection_tables():
        if table.name == INDEXERS_MEMORY:
            continue
        one, other = (set(_rows(engine, table)) for engine in (live, rebuilt))
        if one != other:
            found[table.name] = sorted(one ^ other, key=repr)
    return found


def _rows(engine: Engine, table: Table) -> list[Row]:
    with engine.connect() as connection:
        return [tuple(map(_hashable, row)) for row in connection.execute(select(table))]


def _hashable(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def posted_bids(chain: Evidence) -> set[Content]:
    """The contents of all bids that the chain took in."""
    offers = offers_of(chain)
    return {
        _content(offers[offer], bid.record)
        for offer, records in posted_records(chain).items()
        for bid in unpack_bids(records)
    }


def skipped_bids(chain: Evidence) -> set[Content]:
    """The contents of all bids that the chain was shown and skipped; its event says why."""
    offers, found = offers_of(chain), set()
    for event in chain.named("BidSkipped"):
        try:
            record = BidRecord.unpack(event.arguments["record"].to_bytes(RECORD_BYTES, "big"))
        except ValueError:  # it has no value that anybody could have been promised
            continue
        found.add(_content(offers[event.arguments["offer"]], record))
    return found


def _content(offer: Offer, bid: BidRecord) -> Content:
    nanogrid = nanogrid_id(offer.portfolio, bid.index)
    return offer.offer, nanogrid, bid.revision, bid.price_ueur_kwh, bid.quantity, bid.minimum


def final_awards(chain: Evidence) -> list[Award]:
    """Every award that is final."""
    return [
        (event.arguments["offer"], ordinal)
        for event in chain.named("Finalised")
        for ordinal, _ in enumerate(awards_of(event))
    ]


def taken_back_by_red(chain: Evidence) -> set[str]:
    """Offers whose node was RED before their interval began: nobody is dispatched or paid for their awards."""
    red = red_times(chain)
    return {
        offer.offer
        for offer in offers_of(chain).values()
        if red.get((offer.portfolio, offer.interval), offer.interval) < offer.interval
    }
