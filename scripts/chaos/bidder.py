"""A prosumer who bids by hand: signs, sends until there is an answer, and keeps a log of what was acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
import structlog

from gateway_agent.bidding import MarketApi, MarketRefused, MarketUnreachable
from gateway_agent.buffer import PlacedBid
from gateway_agent.configuration import Enrolled, load_enrolled
from gateway_agent.planner import OpenOffer
from market.domain.messages import Bid
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from scripts.demo.households import FLOORS_UEUR_KWH, Household
from scripts.demo.layout import Layout

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 5.0
_PATIENCE_S: Final = 30.0
_REVISED: Final = 0.5
"""Share of the bids that are revised once."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A bid and the relayer's receipt for it, as its bidder has them."""

    offer: str
    nanogrid: int
    price_ueur_kwh: int
    quantity: int
    minimum: int
    revision: int
    digest: str
    receipt: dict[str, Any]


class HandBidder:
    """Owners who bid themselves on every offer, one after the other, with their own keys."""

    def __init__(self, layout: Layout, owners: Sequence[Household], log_file: Path, seed: int) -> None:
        self._layout = layout
        self._owners = [(owner, load_enrolled(layout.gateway(owner.index))) for owner in owners]
        self._log_file = log_file
        self._random = Random(f"{seed} bidders")
        self._sent: set[tuple[str, int, int]] = set()
        self._signed: dict[tuple[str, int, int], PlacedBid] = {}
        self.refused = 0

    async def run(self) -> None:
        """Bid until this task is cancelled."""
        async with httpx.AsyncClient(timeout=20.0) as client:
            while True:
                for owner, enrolled in self._owners:
                    try:
                        await self._bid(client, owner, enrolled)
                    except MarketUnreachable as problem:
                        log.info("no bid: the market cannot be reached", problem=str(problem))
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _bid(self, client: httpx.AsyncClient, owner: Household, enrolled: Enrolled) -> None:
        api = MarketApi(client, enrolled.market_url, enrolled.api_key, _PATIENCE_S)
        for offer in await api.open_offers(enrolled.nanogrid):
            for revision in (0, 1):
                if (offer.id, owner.index, revision) in self._sent or (revision and self._random.random() > _REVISED):
                    continue
                try:
                    await self._send(api, owner, enrolled, offer, revision)
                except MarketRefused as problem:
                    self.refused += 1
                    log.info("bid refused", offer=offer.id, problem=str(problem))
                self._sent.add((offer.id, owner.index, revision))

    async def _send(
        self, api: MarketApi, owner: Household, enrolled: Enrolled, offer: OpenOffer, revision: int
    ) -> None:
        key = (offer.id, owner.index, revision)
        if key not in self._signed:  # one that had no answer is sent again as it is
            self._signed[key] = self._sign(owner, enrolled.auction, offer, revision)
        bid = self._signed[key]
        answer = await api.send_bid(bid, owner.index)
        if answer.get("accepted"):
            amounts = (bid.price_ueur_kwh, bid.quantity, bid.minimum)
            self._keep(Promise(offer.id, enrolled.nanogrid, *amounts, revision, bid.digest, answer["receipt"]))
        else:
            self.refused += 1

    def _sign(self, owner: Household, auction: Domain, offer: OpenOffer, revision: int) -> PlacedBid:
        price = min(self._random.randint(*FLOORS_UEUR_KWH["pv"]), offer.limit_price_ueur_kwh)
        quantity = self._random.randint(1, max(1, owner.largest_quantity_wh // 4))
        message = Bid(bytes.fromhex(offer.id[2:]), owner.index, price, quantity, 0, revision)
        return PlacedBid(
            offer=offer.id,
            revision=revision,
            interval=offer.interval,
            price_ueur_kwh=price,
            quantity=quantity,
            minimum=0,
            pledges={},
            digest="0x" + message.digest(auction).hex(),
            signature=sign_message(self._layout.keys.key(f"owner-{owner.index}"), message, auction).hex(),
        )

    def _keep(self, promise: Promise) -> None:
        with self._log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(promise)) + "\n")
            file.flush()
            os.fsync(file.fileno())


def promises_in(log_file: Path) -> list[Promise]:
    """What a log holds; nothing where there is none."""
    if not log_file.exists():
        return []
    return [Promise(**json.loads(line)) for line in log_file.read_text(encoding="utf-8").splitlines()]
