"""What the desks share: the market's description, signed decisions, and the running of their jobs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from market.clock import Clock, ClockRefused, SimulatedClock
from market.desks.market_client import Json, MarketClient
from market.domain.calendar import Calendar
from market.domain.hashing import keccak256
from market.domain.signing import sign_message
from market.domain.typed_data import CONTRACT_KEYS, Domain, Message
from market.jobs import Job, Schedule


def document_hash(document: Mapping[str, Any]) -> bytes:
    """keccak256 of a document's canonical JSON (sorted keys, no spaces, UTF-8): what a decision names as its reason."""
    return keccak256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


@dataclass(frozen=True)
class MarketFacts:
    """What GET /v1/market says once and for all."""

    chain_id: int
    contracts: Mapping[str, str]
    calendar: Calendar

    @classmethod
    def of(cls, document: Json) -> MarketFacts:
        return cls(
            chain_id=int(document["chain_id"]),
            contracts=dict(document["contracts"]),
            calendar=Calendar(
                time_unit_s=int(document["time_unit_s"]),
                reading_deadline_s=int(document["parameters"]["reading_deadline_s"]),
            ),
        )

    def domain(self, message: Message | type[Message]) -> Domain:
        """The EIP-712 domain in which a message is signed."""
        return Domain(self.chain_id, self.contracts[CONTRACT_KEYS[message.CONTRACT]])


class Desk:
    """A role's automation: signs with the role's own key and posts through the public API like anybody else."""

    def __init__(self, client: MarketClient, private_key: bytes) -> None:
        self.client = client
        self.private_key = private_key
        self.facts = MarketFacts.of(client.get("/v1/market"))

    @property
    def calendar(self) -> Calendar:
        return self.facts.calendar

    def digest(self, message: Message) -> bytes:
        """The message's digest; for requests and offers also the id on the chain."""
        return message.digest(self.facts.domain(message))

    def sign(self, message: Message) -> str:
        return sign_message(self.private_key, message, self.facts.domain(message)).hex()

    def decide(self, path: str, message: Message, **documents: Json) -> Json:
        """Sign a decision and post it with the documents that explain it. Raises MarketProblem."""
        return self.client.post(path, {"message": message.to_json(), "signature": self.sign(message), **documents})


def run_desk(desk: Desk, jobs: Sequence[Job], clock: Clock, ready_file: Path | None = None) -> None:
    """Run a desk's jobs until SIGTERM or SIGINT; `ready_file` is written when the first jobs are done."""
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        if isinstance(clock, SimulatedClock):
            clock.leave()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)

    def ready() -> None:
        if ready_file is not None and not ready_file.exists():
            ready_file.touch()

    try:
        Schedule(desk.calendar.time_unit_s, jobs).run(clock, stop, ready)
    except ClockRefused:
        if not stop.is_set():
            raise
