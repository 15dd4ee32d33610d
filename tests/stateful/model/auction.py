"""The model of MeritOrderAuction: requests, offers, posted bids, clearing by a claim, final awards and winners."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from market.domain.claim_check import Progress, broken_rule, check_chunk, check_shape
from market.domain.errors import ClaimRefused
from market.domain.merit_order import Claim, claim_of, clear_greedy, without_rejected
from market.domain.messages import Cancellation, Offer
from market.domain.products import REQUESTED, Direction, Kind, Phase, Product, Side
from market.domain.records import (
    AwardRecord,
    PostedBid,
    fold_chain,
    pack_awards,
    pack_bids,
    rejected_positions,
    unpack_bids,
)
from market.domain.settlement import accepted_escrow_ueur, amount_ueur
from market.domain.states import OfferStatus
from market.domain.traffic_light import Action
from market.domain.trees import award_root
from market.domain.units import RECORD_BYTES
from tests.stateful.model.bids import WIRE_BID_BYTES, BidJudge
from tests.stateful.model.metering import MeteringModel
from tests.stateful.model.refusal import Refused
from tests.stateful.model.registry import AGGREGATOR
from tests.stateful.model.requests import NO_REQUEST, RequestsModel, request_escrow


@dataclass
class OfferBook:
    """An offer with all that became of it."""

    id: bytes
    terms: Offer
    aggregator: str
    escrow: int
    opened_at: int
    sold_before: bool
    status: OfferStatus = OfferStatus.OPEN
    bids: list[PostedBid] = field(default_factory=list)
    posts: Counter[int] = field(default_factory=Counter)
    awards: tuple[AwardRecord, ...] = ()
    cleared_at: int = 0
    cleared_again: bool = False
    reached: set[tuple[Claim, bytes, Progress]] = field(default_factory=set)

    @property
    def chain(self) -> bytes:
        return fold_chain(pack_bids(self.bids))

    @property
    def kind(self) -> Kind:
        return Product(self.terms.product).kind

    @property
    def session(self) -> tuple[int, int, int]:
        """What a nanogrid can sell once: portfolio, interval and kind."""
        return self.terms.portfolio, self.terms.interval, self.kind

    @property
    def is_internal(self) -> bool:
        return self.terms.request == NO_REQUEST


@dataclass(kw_only=True)
class AuctionModel(RequestsModel):
    metering: MeteringModel
    bid_judge: BidJudge
    offers: dict[bytes, OfferBook] = field(default_factory=dict)
    pending: dict[tuple[int, int, int], bytes] = field(default_factory=dict)
    winners: set[tuple[int, int, int]] = field(default_factory=set)
    """(nanogrid, interval, kind)."""

    # OFFERS

    def open_offer(self, sender: str, offer: tuple[Any, ...], signature: bytes) -> None:
        given = Offer(*offer)
        id_ = self.context.digest(given)
        if id_ in self.offers:
            raise Refused("OfferExists", id_)
        signer = self.context.signer(sender, given, signature)
        self._require_aggregator(given.portfolio, signer)
        self._require_sound(given)
        needed_by = self.context.now if given.request == NO_REQUEST else self._require_answers(given)
        self._require_baseline(given, needed_by)
        self._require_closure(given)
        self.settlement.require_within_horizon(given.interval)
        session = (given.portfolio, given.interval, Product(given.product).kind)
        if session in self.pending:
            raise Refused("OfferPending", *session, self.pending[session])
        sold = any((nanogrid >> 16, *sold_at) == session for nanogrid, *sold_at in self.winners)
        book = OfferBook(id_, given, signer, self._escrow_needed(given), self.context.now, sold)
        ledger = self.settlement.ledger
        if book.is_internal and book.escrow:
            ledger.require_no_debt(signer)
            ledger.require_balance(signer, book.escrow)
        self.offers[id_] = book
        self.pending[book.session] = id_
        shown = (given.interval, given.side, given.direction, given.product, given.quantity)
        shown += (given.limit_price_ueur_kwh, given.gate_closure)
        self.context.emit("OfferOpened", id_, given.portfolio, given.request, *shown)
        if not book.is_internal:
            self.requests[given.request].available[given.interval] -= given.quantity
        if not book.escrow:
            return
        if book.is_internal:
            ledger.lock(id_, signer, book.escrow)
        else:
            ledger.move_escrow(request_escrow(given.request, given.interval), id_, book.escrow)

    def _require_sound(self, given: Offer) -> None:
        is_internal = given.request == NO_REQUEST
        portfolio = self.registry.portfolios[given.portfolio]
        if given.side > Side.SELL:
            raise Refused("InvalidSide", given.side)
        if given.direction > Direction.DOWN:
            raise Refused("InvalidDirection", given.direction)
        if not is_internal and given.side == Side.SELL:
            raise Refused("SellNeedsInternal")
        if given.product not in ({Product.INTERNAL} if is_internal else REQUESTED):
            raise Refused("InvalidProduct", given.product)
        self._require_price(given.limit_price_ueur_kwh)
        self._require_interval(given.interval)
        self._require_not_paused(portfolio.node, given.product)
        self._require_not_red(portfolio.node, given.interval)
        if not given.quantity:
            raise Refused("EmptyQuantity")
        rated = portfolio.rated_power_w * self.calendar.time_unit_s // 3600
        if given.quantity > rated:
            raise Refused("QuantityBeyondPortfolio", given.quantity, rated)

    def _require_answers(self, given: Offer) -> int:
        """When the request was published [epoch s]."""
        published = self._existing_request(given.request)
        terms, node = published.terms, self.registry.node_of(given.portfolio)
        if (terms.node, terms.product, terms.direction) != (node, given.product, given.direction):
            raise Refused("RequestMismatch", given.request)
        self._require_phase_allows(Action.OPEN_REQUESTED_OFFER, node, given.interval)
        if given.limit_price_ueur_kwh > terms.price_ueur_kwh:
            raise Refused("LimitAboveRequest", given.limit_price_ueur_kwh, terms.price_ueur_kwh)
        available = published.available[given.interval]
        if given.quantity > available:
            raise Refused("QuantityBeyondRequest", given.quantity, available)
        return published.published_at

    def _require_baseline(self, given: Offer, needed_by: int) -> None:
        kind = Product(given.product).kind
        anchor = self.metering.baselines.get((given.portfolio, given.interval, kind))
        if anchor is None:
            raise Refused("BaselineNotAnchored", given.portfolio, given.interval, kind)
        if given.request != NO_REQUEST and anchor.anchored_at >= needed_by:
            raise Refused("BaselineAnchoredTooLate", given.portfolio, given.interval, anchor.anchored_at, needed_by)

    def _require_closure(self, given: Offer) -> None:
        earliest = self.calendar.earliest_gate_closure(self.context.now)
        if given.gate_closure < earliest:
            raise Refused("ClosureTooEarly", given.gate_closure, earliest)
        latest = self.calendar.latest_gate_closure(given.interval, internal=given.request == NO_REQUEST)
        if given.gate_closure > latest:
            raise Refused("ClosureTooLate", given.gate_closure, latest)

    def _escrow_needed(self, given: Offer) -> int:
        if given.side == Side.SELL:
            return 0
        if given.request == NO_REQUEST:
            return amount_ueur(given.quantity, given.limit_price_ueur_kwh)
        return accepted_escrow_ueur(given.quantity, self.requests[given.request].terms.price_ueur_kwh)

    def cancel_offer(self, sender: str, offer: bytes, signature: bytes) -> None:
        book = self._require_status(offer, OfferStatus.OPEN)
        signer = self.context.signer(sender, Cancellation(offer), signature)
        self._require_aggregator(book.terms.portfolio, signer)
        if book.bids:
            raise Refused("OfferHasBids", offer, len(book.bids))
        self.context.emit("OfferCancelled", offer)
        self._end_without_result(book, OfferStatus.CANCELLED)

    def expire_offer(self, sender: str, offer: bytes) -> None:
        if offer not in self.offers:
            raise Refused("UnknownOffer", offer)
        book = self.offers[offer]
        if book.status not in (OfferStatus.OPEN, OfferStatus.CLEARED):
            raise Refused("WrongStatus", offer, book.status)
        terms, now = book.terms, self.context.now
        missed = book.status is OfferStatus.OPEN and now > self.calendar.clearing_deadline(terms.gate_closure)
        red = self.signals.phase(self.registry.node_of(terms.portfolio), terms.interval) is Phase.RED
        if not (now >= terms.interval or missed or red):
            raise Refused("NotExpirable", offer)
        self.context.emit("OfferExpired", offer)
        self._end_without_result(book, OfferStatus.EXPIRED)

    def _end_without_result(self, book: OfferBook, end: OfferStatus) -> None:
        amount, book.escrow, book.status = book.escrow, 0, end
        del self.pending[book.session]
        self._free(book, book.terms.quantity, amount)

    def _free(self, book: OfferBook, quantity: int, amount: int) -> None:
        terms = book.terms
        if not book.is_internal:
            self.requests[terms.request].available[terms.interval] += quantity
        if not amount:
            return
        if book.is_internal:
            self.settlement.ledger.release(book.id, book.aggregator, amount)
        else:
            self.settlement.ledger.move_escrow(book.id, request_escrow(terms.request, terms.interval), amount)

    # BIDS

    def post_bids(self, sender: str, offer: bytes, bids: bytes) -> None:
        if not bids or len(bids) % WIRE_BID_BYTES:
            raise Refused("MalformedBids", len(bids))
        book = self._require_status(offer, OfferStatus.OPEN)
        node = self.registry.node_of(book.terms.portfolio)
        self._require_not_red(node, book.terms.interval)
        if self.context.now >= book.terms.gate_closure:
            raise Refused("GateClosed", offer, book.terms.gate_closure)
        if self.registry.is_paused(node, book.terms.product) and not self.bid_judge.only_withdrawals(bids):
            raise Refused("Paused", node, book.terms.product)
        first = len(book.bids)
        for wire in (bids[at : at + WIRE_BID_BYTES] for at in range(0, len(bids), WIRE_BID_BYTES)):
            self.bid_judge.take(book, wire, self.winners)
        if len(book.bids) > first:
            self.context.emit("BidsPosted", offer, first, pack_bids(book.bids[first:]), book.chain)

    # CLEARING

    def clear(
        self,
        sender: str,
        offer: bytes,
        claim: tuple[int, int, list[int]],
        records: bytes,
        rejected: bytes,
        progress: Progress | None,
    ) -> None:
        again = self._require_clearable(offer, rejected)
        book = self.offers[offer]
        if (not records and book.bids) or len(records) % RECORD_BYTES:
            raise Refused("MalformedRecords", len(records))
        claimed = Claim(claim[0], claim[1], tuple(claim[2]))
        try:
            check_shape(claimed)
            if progress is not None and (claimed, rejected, progress) not in book.reached:
                raise Refused("WrongProgress", offer)
            chunk = unpack_bids(records, progress.position if progress else 0)
            positions = rejected_positions(rejected)
            reached, _ = check_chunk(Side(book.terms.side), claimed, chunk, book.posts, positions, progress)
        except ClaimRefused as refusal:
            fields = [offer] if refusal.name == "FalseClaim" else []
            raise Refused(refusal.name, *fields, *refusal.fields.values()) from None
        if reached.position < len(book.bids):
            book.reached.add((claimed, rejected, reached))
            return
        self._require_right(book, claimed, reached)
        self._store_result(book, claimed, reached, positions, again)

    def _require_clearable(self, offer: bytes, rejected: bytes) -> bool:
        """Whether the offer is cleared again."""
        book = self.offers.get(offer)
        again = book is not None and book.status is OfferStatus.CLEARED and bool(rejected) and not book.cleared_again
        if not again:
            book = self._require_status(offer, OfferStatus.OPEN)
        assert book is not None
        self._require_not_red(self.registry.node_of(book.terms.portfolio), book.terms.interval)
        closure = book.terms.gate_closure
        if self.context.now < closure:
            raise Refused("GateOpen", offer, closure)
        calendar = self.calendar
        deadline = calendar.clearing_again_deadline(closure) if again else calendar.clearing_deadline(closure)
        if self.context.now > deadline or (again and self.context.now == deadline):
            raise Refused("ClearTooLate", offer, deadline)
        self._require_rejected(offer, rejected, by_verdict=again)
        return again

    def _require_rejected(self, offer: bytes, rejected: bytes, *, by_verdict: bool) -> None:
        verdict = self.signals.verdicts.get(offer)
        expected = verdict.bitmap if by_verdict and verdict else b""
        if rejected != expected:
            raise Refused("WrongRejected", offer)

    def _require_right(self, book: OfferBook, claim: Claim, reached: Progress) -> None:
        if reached.position > len(book.bids) or reached.chain != book.chain:
            raise Refused("WrongRecords", book.id, book.chain, reached.chain)
        rule = broken_rule(book.terms.quantity, claim, reached)
        if rule is not None:
            raise Refused("FalseClaim", book.id, rule)

    def _store_result(
        self, book: OfferBook, claim: Claim, reached: Progress, rejected: frozenset[int], again: bool
    ) -> None:
        clearing = clear_greedy(book.terms.quantity, Side(book.terms.side), book.bids, rejected)
        assert reached.awards_root == award_root(clearing.awards), "a claim passed that gives other awards"
        book.status, book.awards, book.cleared_at = OfferStatus.CLEARED, clearing.awards, self.context.now
        book.cleared_again = again
        root = award_root(book.awards)
        awarded = reached.better + claim.marginal_quantity
        assert awarded == clearing.awarded
        self.context.emit("Cleared", book.id, root, len(book.awards), awarded, claim.marginal, again)

    def right_claim(self, book: OfferBook, rejected: bytes = b"") -> Claim:
        """The canonical claim about what the bids of an offer give."""
        positions = rejected_positions(rejected)
        return claim_of(clear_greedy(book.terms.quantity, Side(book.terms.side), book.bids, positions))

    # RESULTS

    def final_at(self, book: OfferBook) -> int:
        verdict, closure = self.signals.verdicts.get(book.id), book.terms.gate_closure
        if verdict is None:
            return self.calendar.final_at(closure)
        if book.cleared_again:
            return book.cleared_at
        rejects = bool(verdict.bitmap)
        return self.calendar.final_at(closure, verdict_rejects=rejects) or verdict.given_at

    def finalise(self, sender: str, offer: bytes, awards: bytes, rejected: bytes) -> None:
        book = self._require_status(offer, OfferStatus.CLEARED)
        terms = book.terms
        self._require_not_red(self.registry.node_of(terms.portfolio), terms.interval)
        if self.context.now < self.final_at(book):
            raise Refused("NotFinalYet", offer, self.final_at(book))
        if self.context.now >= terms.interval:
            raise Refused("ClearTooLate", offer, terms.interval)
        self._require_rejected(offer, rejected, by_verdict=not book.cleared_again)
        if awards != pack_awards(book.awards):
            raise Refused("WrongAwards", offer, award_root(book.awards), award_root(awards))
        book.awards = without_rejected(book.awards, rejected_positions(rejected))
        reserve = sum(self.settlement.terms_of(book, award).reserve_ueur for award in book.awards)
        freed, book.escrow, book.status = book.escrow - reserve, reserve, OfferStatus.FINAL
        del self.pending[book.session]
        for award in book.awards:
            won = (terms.portfolio << 16 | award.index, terms.interval, int(book.kind))
            assert won not in self.winners, "a nanogrid won the same interval twice"
            self.winners.add(won)
        left = terms.quantity - sum(award.quantity for award in book.awards)
        self.context.emit("Finalised", offer, award_root(book.awards), pack_awards(book.awards), reserve, freed)
        self._free(book, left, freed)

    # SHARED RULES

    def _require_status(self, offer: bytes, wanted: OfferStatus) -> OfferBook:
        if offer not in self.offers:
            raise Refused("UnknownOffer", offer)
        if self.offers[offer].status is not wanted:
            raise Refused("WrongStatus", offer, self.offers[offer].status)
        return self.offers[offer]

    def _require_aggregator(self, portfolio: int, signer: str) -> None:
        found = self.registry.portfolios.get(portfolio)
        if found is None or signer != found.aggregator or not self.registry.has_role(AGGREGATOR, signer):
            raise Refused("NotAggregatorOfPortfolio", portfolio, signer)
