"""When a gateway bids: at the calendar's moments, once for each interval, with what its driver expects."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import structlog

from gateway_agent.bidding import MarketApi, MarketRefused, MarketUnreachable, OfferBoard, send_bids, sign_bid
from gateway_agent.buffer import PlacedBid
from gateway_agent.checkpoints import BidderPoint
from gateway_agent.drivers import DriverError, FlexibilityForecast
from gateway_agent.metrics import Metrics
from gateway_agent.parts import Parts
from gateway_agent.planner import Declined, OpenOffer, Policy, plan_bid, pledges_of, policy_of
from market import checkpoints
from market.domain.calendar import Calendar, Moment
from market.domain.intervals import day_of

log = structlog.get_logger(__name__)

_SESSIONS = (("bid", False), ("bid_internal", True))
"""Name of the mark in the buffer, and whether the offers are INTERNAL."""


class Bidder:
    """Bids of one gateway. Does nothing where the owner's configuration does not bid."""

    def __init__(self, parts: Parts, api: MarketApi, board: OfferBoard, metrics: Metrics) -> None:
        self._parts = parts
        self._api = api
        self._board = board
        self._metrics = metrics
        self._calendar = Calendar(parts.enrolled.time_unit_s, 10 * parts.enrolled.time_unit_s)
        bidding = parts.settings.bidding
        self._is_bidding = bidding.enabled and parts.signer.bidder is not None
        self._policy = policy_of(bidding.model_dump(), bidding.cover_cents)

    def next_wake(self, now: int) -> int | None:
        """The next moment to bid at, after `now`; None when this gateway does not bid."""
        if not self._is_bidding:
            return None
        return min(self._moment(self._next(now, internal), internal) for _, internal in _SESSIONS)

    async def run_due(self, now: int, is_online: bool) -> None:
        """Bid for the intervals whose moment has come and is not marked done; one that is closed is passed by."""
        if not self._is_bidding:
            return
        for mark, internal in _SESSIONS:
            last = self._next(now, internal) - self._calendar.time_unit_s
            done = self._parts.buffer.value(mark)
            first = last if done is None else max(done + self._calendar.time_unit_s, last)
            for interval in range(first, last + 1, self._calendar.time_unit_s):
                is_open = now < self._calendar.at(Moment.API_CLOSES, interval, internal=internal)
                if is_open and not (is_online and await self._bid(interval, now)):
                    break
                with self._parts.buffer.transaction() as moment:
                    moment.set_value(mark, interval)

    def _moment(self, interval: int, internal: bool) -> int:
        return self._calendar.at(Moment.GATEWAYS_BID, interval, internal=internal)

    def _next(self, now: int, internal: bool) -> int:
        """First interval whose moment to bid is after `now`."""
        unit_s = self._calendar.time_unit_s
        interval = self._calendar.interval_of(now)
        while self._moment(interval, internal) <= now:
            interval += unit_s
        return interval

    async def _bid(self, interval: int, now: int) -> bool:
        """Answer the open offers of an interval; False when the market could not be reached."""
        parts, enrolled = self._parts, self._parts.enrolled
        try:
            offers = await self._board.open_offers(self._api, enrolled.portfolio, enrolled.nanogrid, now)
            bids = [bid for offer in offers if offer.interval == interval if (bid := await self._signed(offer, now))]
            done = await send_bids(self._api, parts.buffer, bids, enrolled.index, enrolled.auction, enrolled.relayer)
        except MarketUnreachable as problem:
            log.warning("no bid: the market cannot be reached", nanogrid=enrolled.nanogrid, problem=str(problem))
            return False
        except MarketRefused as problem:
            log.error("no bid: the market refused", nanogrid=enrolled.nanogrid, problem=str(problem))
            with parts.buffer.transaction() as moment:
                moment.note(now, "market-refused", problem=str(problem)[:500])
            return True
        for bid in done:
            self._metrics.count("bids_sent_total", outcome=bid.state)
            if bid.state != "ACCEPTED":
                log.warning("bid refused", nanogrid=enrolled.nanogrid, offer=bid.offer, answer=bid.answer[:500])
        return True

    async def _signed(self, offer: OpenOffer, now: int) -> PlacedBid | None:
        """The stored bid on an offer that has no answer yet, made now when there is none; None when nothing is sent."""
        buffer = self._parts.buffer
        placed = buffer.bid_of(offer.id)
        if placed is not None:
            return placed if placed.state == "SIGNED" else None
        forecast = await self._forecast(offer.interval, now)
        if forecast is None:
            return None
        running = self._calendar.interval_of(now)
        pledged = pledges_of(bid.pledges for bid in buffer.bids_from(running) if bid.state != "REFUSED")
        planned = plan_bid(offer, forecast, self._owner_policy(), day_of(offer.interval).day, pledged)
        if isinstance(planned, Declined):
            self._metrics.count("offers_declined_total")
            with buffer.transaction() as moment:
                moment.note(now, "offer-declined", offer=offer.id, reason=planned.reason)
            return None
        bid = sign_bid(self._parts.signer, offer, self._parts.enrolled.index, planned)
        with buffer.transaction() as moment:
            moment.save_bid(bid)
        checkpoints.passed(BidderPoint.SIGNED)
        return bid

    async def _forecast(self, interval: int, now: int) -> FlexibilityForecast | None:
        try:
            return await self._parts.driver.flexibility(interval, self._calendar.time_unit_s, now)
        except DriverError as problem:
            self._metrics.count("driver_errors_total")
            log.warning("no forecast", nanogrid=self._parts.enrolled.nanogrid, problem=str(problem))
            return None

    def _owner_policy(self) -> Policy:
        """The configured policy with the days that the owner opted out of since."""
        return with_opt_out(self._policy, self._parts.buffer.value("opt_out"))


def with_opt_out(policy: Policy, days: list[str] | None) -> Policy:
    """The policy without bids on further local days (ISO dates)."""
    return replace(policy, opt_out=policy.opt_out | {date.fromisoformat(day) for day in days or ()})
