"""The model of what a settlement rests on: fixed with the result, given by whoever settles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from market.domain.states import OfferStatus
from market.domain.trees import award_root
from tests.stateful.model.refusal import Refused

if TYPE_CHECKING:
    from tests.stateful.model.auction import OfferBook
    from tests.stateful.model.settlement import SettlementModel

STATUS_AT, SIDE_AT, DIRECTION_AT, PRODUCT_AT = 248, 240, 232, 224
PORTFOLIO_AT, NODE_AT, INTERVAL_AT, COUNT_AT, PRICE_AT = 192, 160, 128, 96, 64


class Binding(NamedTuple):
    """As the contract's functions take it. terms: a word of fields, most significant first."""

    terms: int
    payer: str
    aggregator: str
    baseline_count: int
    awards_root: bytes
    baseline_root: bytes


def binding_of(settlement: SettlementModel, book: OfferBook) -> Binding:
    """The only binding that settles an offer's awards."""
    terms, request = book.terms, settlement.auction.requests.get(book.terms.request)
    anchor = settlement.metering.baselines[terms.portfolio, terms.interval, book.kind]
    word = OfferStatus.FINAL << STATUS_AT | terms.side << SIDE_AT | terms.direction << DIRECTION_AT
    word |= terms.product << PRODUCT_AT | terms.portfolio << PORTFOLIO_AT | terms.interval << INTERVAL_AT
    word |= settlement.registry.node_of(terms.portfolio) << NODE_AT | len(book.awards) << COUNT_AT
    word |= (request.terms.price_ueur_kwh if request else 0) << PRICE_AT
    payer = settlement.payer_of(book)
    return Binding(word, payer, book.aggregator, anchor.count, award_root(book.awards), anchor.root)


def require_bound(settlement: SettlementModel, book: OfferBook, given: Binding) -> None:
    """Refused when it is not the offer's."""
    if given != binding_of(settlement, book):
        raise Refused("WrongBinding", book.id)
