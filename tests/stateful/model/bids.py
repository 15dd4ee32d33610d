"""The model of how posted bids are judged, one by one, the cheapest questions first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market.domain.errors import BidRejection
from market.domain.messages import Bid
from market.domain.products import Side
from market.domain.records import BidRecord, PostedBid
from market.domain.settlement import is_covered
from market.domain.units import MAX_POSTS, RECORD_BYTES, WIRE_BID_BYTES
from tests.stateful.model.capacity import CapacityModel
from tests.stateful.model.refusal import Context
from tests.stateful.model.registry import RegistryModel

if TYPE_CHECKING:
    from tests.stateful.model.auction import OfferBook

LAST_REVISION = MAX_POSTS - 1


@dataclass(frozen=True)
class PostedRecord:
    """The fields of a record as somebody posted it, in range or not."""

    word: int

    @classmethod
    def of(cls, wire: bytes) -> PostedRecord:
        return cls(int.from_bytes(wire[:RECORD_BYTES], "big"))

    @property
    def price(self) -> int:
        return self.word >> 67

    @property
    def revision(self) -> int:
        return self.word >> 64 & 3

    @property
    def quantity(self) -> int:
        return self.word >> 40 & 2**24 - 1

    @property
    def minimum(self) -> int:
        return self.word >> 16 & 2**24 - 1

    @property
    def index(self) -> int:
        return self.word & 2**16 - 1


@dataclass
class BidJudge:
    context: Context
    registry: RegistryModel
    capacity: CapacityModel

    def only_withdrawals(self, bids: bytes) -> bool:
        """Whether a batch may be posted while the product is paused."""
        return all(not PostedRecord.of(bids[at:]).quantity for at in range(0, len(bids), WIRE_BID_BYTES))

    def take(self, book: OfferBook, wire: bytes, winners: set[tuple[int, int, int]]) -> None:
        """Adds one bid to an offer, or notes why it is skipped."""
        record = PostedRecord.of(wire)
        reason = self._judge(book, record, wire[RECORD_BYTES:], winners)
        if reason is not BidRejection.NONE:
            self.context.emit("BidSkipped", book.id, record.word, reason)
            return
        terms = book.terms
        nanogrid = terms.portfolio << 16 | record.index
        reserved = self.capacity.is_reserved(nanogrid, terms.product, terms.interval)
        accepted = BidRecord(record.price, record.quantity, record.minimum, record.index, record.revision, reserved)
        book.bids.append(PostedBid(accepted, len(book.bids)))
        book.posts[record.index] += 1

    def _judge(
        self, book: OfferBook, record: PostedRecord, signature: bytes, winners: set[tuple[int, int, int]]
    ) -> BidRejection:
        reason = self._judge_record(book, record)
        if reason is not BidRejection.NONE:
            return reason
        terms = book.terms
        nanogrid = terms.portfolio << 16 | record.index
        if not self.registry.is_active(nanogrid, terms.interval):
            return BidRejection.SEAT_NOT_ACTIVE
        if (nanogrid, terms.interval, int(book.kind)) in winners:
            return BidRejection.ALREADY_SOLD
        bid = Bid(book.id, record.index, record.price, record.quantity, record.minimum, record.revision)
        signer = self.context.compact_signer(bid, signature)
        return self._judge_signer(book, record, nanogrid, signer) if signer else BidRejection.BAD_SIGNATURE

    def _judge_record(self, book: OfferBook, record: PostedRecord) -> BidRejection:
        if not record.price:
            return BidRejection.PRICE_OUT_OF_RANGE
        if record.minimum > record.quantity:
            return BidRejection.MINIMUM_ABOVE_QUANTITY
        if record.revision > LAST_REVISION or record.revision != book.posts[record.index]:
            return BidRejection.WRONG_REVISION
        if not record.quantity:
            return BidRejection.QUANTITY_OUT_OF_RANGE if record.revision == 0 else BidRejection.NONE
        if record.revision == LAST_REVISION:
            return BidRejection.QUANTITY_OUT_OF_RANGE
        limit = book.terms.limit_price_ueur_kwh
        beyond = record.price > limit if book.terms.side == Side.BUY else record.price < limit
        return BidRejection.PRICE_BEYOND_LIMIT if beyond else BidRejection.NONE

    def _judge_signer(self, book: OfferBook, record: PostedRecord, nanogrid: int, recovered: str) -> BidRejection:
        seat = self.registry.seats[nanogrid]
        seated = seat.signer
        if record.revision == LAST_REVISION and recovered != seat.owner:
            is_seated = recovered == seated.address
            return BidRejection.OWNER_SIGNATURE_REQUIRED if is_seated else BidRejection.BAD_SIGNATURE
        if recovered == seat.owner and (record.revision == LAST_REVISION or recovered != seated.address):
            return self._exposure(record, self.registry.swing(seat), seat.cover_cents)
        if recovered != seated.address:
            return BidRejection.BAD_SIGNATURE
        if self.registry.is_expired(seated):
            return BidRejection.DELEGATE_EXPIRED
        if not record.quantity:
            return BidRejection.NONE
        if book.terms.side == Side.BUY and record.price < seated.lowest_price:
            return BidRejection.PRICE_BELOW_DELEGATE_LIMIT
        return self._exposure(record, seated.largest_quantity, seated.cover_cents)

    def _exposure(self, record: PostedRecord, largest: int, cover_cents: int) -> BidRejection:
        if record.quantity > largest:
            return BidRejection.QUANTITY_OUT_OF_RANGE
        covered = is_covered(record.quantity, record.price, cover_cents)
        return BidRejection.NONE if covered else BidRejection.BEYOND_COVER
