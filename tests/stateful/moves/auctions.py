"""Signals, baselines, requests, offers and bids."""

from __future__ import annotations

from market.domain.messages import Bid, Cancellation, Offer, Request, Signal
from market.domain.products import Phase, Product, Side, SignalKind
from market.domain.states import OfferStatus
from market.domain.trees import baseline_root
from market.domain.typed_data import Message
from market.domain.units import NO_BASELINE
from tests.stateful.actors import BY_ADDRESS, DELEGATES, ORACLE, OWNERS, RELAYER, STRANGER, Actor, garbled, malleable
from tests.stateful.model.auction import OfferBook
from tests.stateful.model.requests import NO_REQUEST
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import U

LIMIT_UEUR_KWH = 400_000
SELL_LIMIT_UEUR_KWH = 50_000
PRICES = (60_000, 100_000, 250_000, 250_000, 300_000, 400_000)
BASELINE_VALUES = 16
"""More than there are seats; seats that register later have none."""


def baselines(portfolio: int, interval: int, kind: int) -> list[int]:
    """The vector that the oracle anchors [Wh or varh]: anybody can compute it again. Some nanogrids have none."""
    values = [
        (portfolio * 7919 + interval // U * 104_729 + kind * 31 + at * 1299) % 9000 - 4500
        for at in range(BASELINE_VALUES)
    ]
    return [NO_BASELINE if value % 37 == 0 else value for value in values]


def anchor_baselines(turn: Turn, portfolio: int | None = None, interval: int | None = None) -> bool:
    portfolio = turn.mostly(3, [4, 4, 5]) if portfolio is None else portfolio
    interval = turn.interval() if interval is None else interval
    kinds = turn.mostly((0, 1), [(0,), (1,)])
    anchors = [
        (portfolio, interval, kind, BASELINE_VALUES, baseline_root(baselines(portfolio, interval, kind)))
        for kind in kinds
    ]
    return turn.do(turn.who(ORACLE), "MeteringOracle", "anchorBaselines", anchors)


def set_signal(turn: Turn, node: int | None = None, interval: int | None = None, phase: int | None = None) -> bool:
    node = turn.node() if node is None else node
    interval = turn.interval() if interval is None else interval
    phase = turn.chance.choice([0, 1, 1, 1, 2, 2]) if phase is None else phase
    kind = turn.mostly(int(SignalKind.FORECAST), [1, 1, 1, 2], 0.25)
    last = turn.model.signals.light(node, interval).sequences.get(kind, 0)
    signal = Signal(node, interval, turn.mostly(phase, [3], 0.02), kind, bytes(32), turn.mostly(last + 1, [last]))
    sender, signature = turn.decided(turn.dso_of(node), signal)
    return turn.do(sender, "GridSignals", "setSignal", signal.arguments(), signature)


def publish_request(turn: Turn, node: int, interval: int, product: int) -> bytes | None:
    """Its id, where it was published."""
    quantities = tuple(
        turn.mostly(turn.one_of([2000, 5000, 9000]), [0, 1]) for _ in range(turn.chance.choice([1, 1, 1, 2]))
    )
    direction = turn.mostly(turn.chance.randrange(2), [2], 0.02)
    price = turn.mostly(LIMIT_UEUR_KWH, [399_999, 1, 0, 2**29], 0.1)
    request = Request(node, interval, product, direction, price, quantities, turn.mostly(turn.salt(), [1, 2], 0.1))
    sender, signature = turn.decided(turn.dso_of(node), request)
    published = turn.do(sender, "MeritOrderAuction", "publishRequest", request.arguments(), signature)
    return turn.model.context.digest(request) if published else None


def request_something(turn: Turn) -> None:
    node, interval = turn.node(), turn.interval()
    if turn.happens(0.8):
        set_signal(turn, node, interval, Phase.YELLOW)
    publish_request(turn, node, interval, turn.mostly(turn.one_of([1, 3]), [2, 6, 7], 0.05))


def reclaim_request(turn: Turn) -> None:
    requests = turn.model.auction.requests
    id_ = turn.mostly(turn.one_of(list(requests)), [NO_REQUEST]) if requests else NO_REQUEST
    intervals = list(requests[id_].available) if id_ in requests else [turn.interval()]
    turn.do(
        STRANGER.address,
        "MeritOrderAuction",
        "reclaimRequest",
        id_,
        turn.mostly(turn.one_of(intervals), [turn.interval()]),
    )


def open_offer(turn: Turn, portfolio: int, interval: int, request: bytes, side: int = Side.BUY) -> OfferBook | None:
    """The offer, where it was opened."""
    asked = turn.model.auction.requests.get(request)
    available = asked.available[interval] if asked else 6000
    most = turn.one_of([available, available, available // 2 + 1, 700])
    quantity = turn.mostly(most, [0, available + 1, 10**6], 0.08)
    product = int(Product.INTERNAL) if asked is None else asked.terms.product
    direction = turn.chance.randrange(2) if asked is None else asked.terms.direction
    hundredths = 345 if request == NO_REQUEST else 140
    latest = turn.model.calendar.before(interval, hundredths)
    usual_limit = SELL_LIMIT_UEUR_KWH if side == Side.SELL else asked.terms.price_ueur_kwh if asked else LIMIT_UEUR_KWH
    offer = Offer(
        portfolio,
        request,
        interval,
        turn.mostly(side, [1, 2], 0.02),
        turn.mostly(direction, [0, 1, 2], 0.03),
        turn.mostly(product, [1, 3, 5, 6], 0.03),
        quantity,
        turn.mostly(usual_limit, [usual_limit + 1, 0, 2**29], 0.05),
        turn.mostly(latest, [latest + 1, latest - 1, max(0, turn.now + U // 2 - 1), turn.now + U // 2], 0.12),
        turn.mostly(turn.salt(), [1], 0.05),
    )
    sender, signature = turn.decided(turn.aggregator_of(portfolio), offer)
    opened = turn.do(sender, "MeritOrderAuction", "openOffer", offer.arguments(), signature)
    return turn.model.auction.offers[turn.model.context.digest(offer)] if opened else None


def open_something(turn: Turn) -> None:
    """An offer for a request that is still open, or an INTERNAL one."""
    requests = turn.model.auction.requests
    portfolio = turn.mostly(3, [4, 5, 6], 0.3)
    if requests and turn.happens(0.6):
        id_ = turn.mostly(turn.one_of(list(requests)[-4:]), [b"\1" * 32], 0.05)
        intervals = list(requests[id_].available) if id_ in requests else []
        open_offer(turn, portfolio, turn.one_of(intervals) if intervals else turn.interval(), id_)
        return
    anchored = [place[1] for place in turn.model.metering.baselines if place[0] == portfolio and place[1] > turn.now]
    interval = turn.one_of(anchored) if anchored and turn.happens(0.9) else turn.interval()
    open_offer(turn, portfolio, interval, NO_REQUEST, turn.chance.randrange(2))


def cancel_offer(turn: Turn, book: OfferBook | None = None) -> None:
    book = book or turn.offer(OfferStatus.OPEN)
    id_ = book.id if book else NO_REQUEST
    sender, signature = turn.decided(turn.aggregator_of(book.terms.portfolio if book else 3), Cancellation(id_))
    turn.do(sender, "MeritOrderAuction", "cancelOffer", id_, signature)


def expire_offer(turn: Turn) -> None:
    book = turn.offer(OfferStatus.OPEN, OfferStatus.CLEARED)
    turn.do(
        STRANGER.address,
        "MeritOrderAuction",
        "expireOffer",
        turn.mostly(book.id if book else NO_REQUEST, [NO_REQUEST], 0.05),
    )


# BIDS


def post_bids(turn: Turn, book: OfferBook | None = None) -> bool:
    """A batch of some seats' bids, revisions and withdrawals; some of them bad."""
    book = book or turn.offer(OfferStatus.OPEN)
    if book is None:
        return turn.do(STRANGER.address, "MeritOrderAuction", "postBids", NO_REQUEST, bytes(76))
    seats = turn.model.registry.portfolios[book.terms.portfolio].seat_count
    indices = [turn.chance.randrange(seats) for _ in range(turn.chance.choice([1, 3, 8, 14]))]
    if turn.happens(0.5):
        indices = list(dict.fromkeys([*range(seats)][:: turn.chance.choice([1, 1, -1])]))
    posted: dict[int, int] = {}
    wires = []
    for index in indices:
        revision = book.posts[index] + posted.get(index, 0)
        posted[index] = posted.get(index, 0) + 1
        wires.append(_wire(turn, book, index, revision))
    bids = b"".join(wires)
    bids = turn.mostly(bids, [b"", bids[:-1]], 0.02)
    return turn.do(RELAYER.address, "MeritOrderAuction", "postBids", book.id, bids)


def _wire(turn: Turn, book: OfferBook, index: int, revision: int) -> bytes:
    limit, is_sale = book.terms.limit_price_ueur_kwh, book.terms.side == Side.SELL
    price = turn.chance.choice(PRICES)
    price = turn.mostly(min(price, limit) if not is_sale else max(price, limit), [price, limit - 1, limit + 1, 0], 0.06)
    price = max(0, min(price, 2**29 - 1))
    quantity = turn.chance.choice([1, 300, 300, 700, 1000, 2000, 5500])
    if revision == 2 or (revision == 1 and turn.happens(0.4)):
        quantity = turn.mostly(0, [5], 0.1)
    quantity = turn.mostly(quantity, [5501, 0], 0.03)
    minimum = turn.chance.choice([0, 0, 1, quantity, quantity // 2])
    minimum = turn.mostly(minimum, [quantity + 1], 0.02)
    revision = turn.mostly(min(revision, 3), [0, 1, 2, 3], 0.05)
    word = ((((price << 3 | revision) << 24 | quantity) << 24 | minimum) << 16) | index
    index_of_record = turn.mostly(index, [99], 0.01)
    record = (word >> 16 << 16 | index_of_record).to_bytes(12, "big")
    bid = Bid(book.id, index_of_record, price, quantity, minimum, revision)
    return record + _bid_signature(turn, book, index_of_record, revision, bid)


def _bid_signature(turn: Turn, book: OfferBook, index: int, revision: int, bid: Message) -> bytes:
    seat = turn.model.registry.seats.get(book.terms.portfolio << 16 | index)
    signer: Actor = BY_ADDRESS[seat.signer.address] if seat else STRANGER
    if seat and (revision == 2 or turn.happens(0.1)):
        signer = turn.mostly(BY_ADDRESS[seat.owner], [signer], 0.2)
    signer = turn.mostly(signer, [STRANGER, *DELEGATES, *OWNERS], 0.04)
    signature = signer.sign_compact(turn.model.context.digest(bid))
    return turn.mostly(signature, [garbled(signature, turn.chance), malleable(signature)[:64]], 0.03)
