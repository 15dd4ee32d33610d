"""Bids over the market's API: fetch open offers, plan, sign, keep, send, keep the receipt.

A bid is stored before it is sent, and sent again as it is until the market has answered, so that a crash at any moment
leads to the same bid.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import httpx
import structlog
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from gateway_agent.buffer import Buffer, PlacedBid
from gateway_agent.checkpoints import BidderPoint
from gateway_agent.enrolment import problem_text
from gateway_agent.planner import OpenOffer, Planned
from gateway_agent.signer import Signer
from market import checkpoints
from market.domain.errors import MeritgridError
from market.domain.messages import Bid, BidReceipt
from market.domain.products import Direction, Product, Side
from market.domain.signing import recover_message
from market.domain.typed_data import Domain

log = structlog.get_logger(__name__)

_RETRIED: Final = frozenset({429, 500, 502, 503, 504})
_LONGEST_PAUSE_S: Final = 2.0


def _member(enumeration: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        return enumeration[value] if isinstance(value, str) and value in enumeration.__members__ else value

    return convert


class _OfferDocument(BaseModel):
    """What of an offer's JSON the gateway needs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    interval: int
    side: Annotated[Side, BeforeValidator(_member(Side))]
    direction: Annotated[Direction, BeforeValidator(_member(Direction))]
    product: Annotated[Product, BeforeValidator(_member(Product))]
    quantity: int
    limit_price_ueur_kwh: int
    api_closes_at: int


class MarketUnreachable(Exception):
    """The market did not answer within the patience, or answered with a fault of its own."""


class MarketRefused(Exception):
    """The market refused a call; the text is its problem document."""


@dataclass(frozen=True)
class MarketApi:
    """The market's API as one gateway uses it. patience_s: how long a call is repeated while there is no answer [s]."""

    client: httpx.AsyncClient
    url: str
    api_key: str
    patience_s: float = 60.0

    async def open_offers(self, nanogrid: int) -> list[OpenOffer]:
        """Offers that take bids of a nanogrid. MarketUnreachable, MarketRefused."""
        offers: list[OpenOffer] = []
        after: Any = None
        while True:
            query = {"status": "OPEN", "nanogrid": nanogrid} | ({} if after is None else {"after": after})
            page = await self._call("GET", "/v1/offers", params=query)
            offers += _offers(page)
            after = page.get("next")
            if after is None:
                return offers

    async def send_bid(self, bid: PlacedBid, index: int) -> dict[str, Any]:
        """The market's answer to one bid: {digest, accepted, receipt, problem}. MarketUnreachable, MarketRefused."""
        body = {
            "index": index,
            "price_ueur_kwh": bid.price_ueur_kwh,
            "quantity": bid.quantity,
            "minimum": bid.minimum,
            "revision": bid.revision,
            "signature": bid.signature,
        }
        headers = {"Idempotency-Key": f"bid-{bid.digest}"}
        answer = await self._call("POST", f"/v1/offers/{bid.offer}/bids", json={"bids": [body]}, headers=headers)
        result: dict[str, Any] = answer["results"][0]
        return result

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.api_key}", **request.pop("headers", {})}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience_s
        pause_s = 0.05
        while True:
            try:
                response = await self.client.request(method, self.url + path, headers=headers, **request)
                fault = f"{response.status_code}" if response.status_code in _RETRIED else ""
            except httpx.TransportError as problem:
                response, fault = None, repr(problem)
            if response is not None and not fault:
                break
            if loop.time() + pause_s > deadline:
                raise MarketUnreachable(f"{method} {path}: {fault}")
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if response.is_error:
            raise MarketRefused(problem_text(response))
        document: dict[str, Any] = response.json()
        return document


def _offers(page: dict[str, Any]) -> list[OpenOffer]:
    try:
        documents = [_OfferDocument.model_validate(item) for item in page["items"]]
    except (KeyError, ValidationError) as problem:
        raise MarketUnreachable(f"the market's list of offers cannot be read: {problem}") from None
    return [OpenOffer(**{name: getattr(each, name) for name in _OfferDocument.model_fields}) for each in documents]


def sign_bid(signer: Signer, offer: OpenOffer, index: int, planned: Planned) -> PlacedBid:
    """The first bid of a nanogrid on an offer, signed."""
    message = Bid(bytes.fromhex(offer.id[2:]), index, planned.price_ueur_kwh, planned.quantity, planned.minimum, 0)
    digest, signature = signer.bid(message)
    return PlacedBid(
        offer=offer.id,
        revision=0,
        interval=offer.interval,
        price_ueur_kwh=planned.price_ueur_kwh,
        quantity=planned.quantity,
        minimum=planned.minimum,
        pledges=planned.pledges,
        digest=digest,
        signature=signature,
    )


async def send_bids(
    api: MarketApi, buffer: Buffer, bids: Sequence[PlacedBid], index: int, auction: Domain, relayer: str | None
) -> list[PlacedBid]:
    """Send stored bids and store the answers; returns them with their new state."""
    answered = []
    for bid in bids:
        try:
            answer = await api.send_bid(bid, index)
            checkpoints.passed(BidderPoint.ANSWERED)
        except MarketRefused as problem:
            answer = {"accepted": False, "problem": str(problem)}
        if answer.get("accepted") and not is_receipt_of(answer.get("receipt"), bid, auction, relayer):
            log.warning("a bid's receipt is not the relayer's", offer=bid.offer)
            answer["receipt_valid"] = False
        done = replace(bid, state="ACCEPTED" if answer.get("accepted") else "REFUSED", answer=json.dumps(answer))
        with buffer.transaction() as moment:
            moment.save_bid(done)
        checkpoints.passed(BidderPoint.KEPT)
        answered.append(done)
    return answered


def is_receipt_of(receipt: dict[str, Any] | None, bid: PlacedBid, auction: Domain, relayer: str | None) -> bool:
    """Whether a receipt is signed by the relayer (where its address is known) for this very bid."""
    if receipt is None:
        return False
    try:
        message = BidReceipt(
            bytes.fromhex(str(receipt["bid_digest"])[2:]),
            bytes.fromhex(str(receipt["offer"])[2:]),
            int(receipt["received_at"]),
        )
        signer = recover_message(message, auction, bytes.fromhex(str(receipt["signature"])[2:]))
    except (KeyError, TypeError, ValueError, MeritgridError):
        return False
    is_same = "0x" + message.bid_digest.hex() == bid.digest and "0x" + message.offer.hex() == bid.offer
    return is_same and (relayer is None or signer.lower() == relayer.lower())


class OfferBoard:
    """Open offers as the gateways of one process see them: a portfolio's offers are fetched once for all of them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[int, list[OpenOffer]]] = {}
        self._lock = asyncio.Lock()

    async def open_offers(self, api: MarketApi, portfolio: int, nanogrid: int, now: int) -> list[OpenOffer]:
        """Offers open at `now` [epoch s] for a portfolio. MarketUnreachable, MarketRefused."""
        async with self._lock:
            fetched_at, offers = self._known.get((api.url, portfolio), (-1, []))
            if fetched_at != now:
                offers = await api.open_offers(nanogrid)
                self._known[api.url, portfolio] = (now, offers)
            return offers
