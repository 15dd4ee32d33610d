"""Two other designs of the same auction, written for the benchmark, on the same node with the same bids.

Both are given what favours them: an auction beside which nothing else happens (no escrow, no revisions, no verdict),
and for the list the exact place of each bid, which only a poster without competitors can know.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from market.domain.hashing import keccak256
from market.domain.messages import Bid
from market.domain.products import Side
from market.domain.records import AwardRecord, PostedBid, WireBid, pack_awards, pack_wire_bids
from market.domain.settlement import cover_cents
from market.domain.signing import address_of, sign_message
from market.domain.typed_data import Domain
from scripts.bench.gas.compile import create
from scripts.bench.gas.node import GasBenchError, Node, Sent, batches
from scripts.bench.gas.scene import BOND_UEUR, LARGEST_QUANTITY_WH, REQUEST_PRICE_UEUR_KWH, U, is_reserved, owner_key

_SEATS_AT_ONCE: Final = 500


Bids = Sequence[PostedBid]


@dataclass(frozen=True, slots=True)
class Design:
    """How one of the designs is called.

    name: of its figures; contract: of its source; beside_bids: what is posted with the bids, a piece for each;
    to_clear: what is brought to clear.
    """

    name: str
    contract: str
    beside_bids: Callable[[Side, Bids], Sequence[bytes]] | None = None
    to_clear: Callable[[Side, Bids], bytes] | None = None


def order_of(side: Side, bids: Bids) -> bytes:
    """Positions in the merit order, 2 bytes each."""
    return b"".join(bid.position.to_bytes(2, "big") for bid in sorted(bids, key=lambda bid: bid.rank(side)))


def exact_hints(side: Side, bids: Bids) -> list[bytes]:
    """For each bid the node just before it when it is posted: position + 1, or 0 for none."""
    nodes: list[tuple[int, int]] = []
    hints = []
    for bid in bids:
        node = (bid.rank(side), bid.position + 1)
        place = bisect(nodes, node)
        hints.append((nodes[place - 1][1] if place else 0).to_bytes(2, "big"))
        insort(nodes, node)
    return hints


STORED_SLOTS: Final = Design("stored_slots", "StoredSlots", to_clear=order_of)
HINTED_LIST: Final = Design("hinted_list", "HintedList", beside_bids=exact_hints)
DESIGNS: Final = (STORED_SLOTS, HINTED_LIST)


class Alternative:
    """A design on the node, with its seats registered."""

    def __init__(self, node: Node, design: Design, seats: int) -> None:
        self.node, self.design = node, design
        self.operator, self.relayer = node.account("operator of alternatives"), node.account("relayer")
        self.contract = create(node, design.contract, self.operator)
        self.domain = Domain(node.chain_id, self.contract.address)
        self._offers = 0
        for indices in batches(range(seats), _SEATS_AT_ONCE):
            words = [(address_of(owner_key(i)), LARGEST_QUANTITY_WH, cover_cents(BOND_UEUR)) for i in indices]
            node.send(self.operator, self.contract, "registerSeats", indices[0], words)
        for word in range(-(-seats // 256)):
            bits = sum(1 << bit for bit in range(256) if is_reserved(word * 256 + bit))
            node.send(self.operator, self.contract, "setReserved", word, bits)

    def open(self, side: Side, quantity: int, limit_price_ueur_kwh: int = REQUEST_PRICE_UEUR_KWH) -> bytes:
        """Opens an offer whose gate closes in a time unit; its id."""
        self._offers += 1
        offer = keccak256(f"offer {self._offers}".encode())
        self.closure = self.node.now() + U
        terms = (quantity, limit_price_ueur_kwh, self.closure, side is Side.SELL)
        self.node.send(self.operator, self.contract, "openOffer", offer, *terms)
        return offer

    def wire(self, offer: bytes, bid: PostedBid) -> WireBid:
        """A bid as its owner sends it."""
        record = bid.record
        message = Bid(offer, record.index, record.price_ueur_kwh, record.quantity, record.minimum, record.revision)
        return WireBid(record, sign_message(owner_key(record.index), message, self.domain).compact())

    def post(self, offer: bytes, side: Side, bids: Bids, batch: int) -> list[Sent]:
        """Posts signed bids in batches; GasBenchError when one is skipped."""
        beside = self.design.beside_bids and self.design.beside_bids(side, bids)
        sent = []
        for start in range(0, len(bids), batch):
            part = slice(start, start + batch)
            wire = pack_wire_bids(self.wire(offer, bid) for bid in bids[part])
            sent.append(self._send("postBids", offer, wire, *([b"".join(beside[part])] if beside else [])))
        taken = self.contract.functions.bidCount(offer).call()
        if taken != len(bids):
            raise GasBenchError(f"{self.design.name} took {taken} of {len(bids)} bids")
        return sent

    def clear(self, offer: bytes, side: Side, bids: Bids) -> Sent:
        """Clears an offer after its gate closure."""
        self.node.at(max(self.closure, self.node.now()))
        claim = [self.design.to_clear(side, bids)] if self.design.to_clear else []
        return self._send("clear", offer, *claim)

    def awards_hash(self, offer: bytes) -> bytes:
        """What the contract keeps of its awards."""
        return bytes(self.contract.functions.awardsHash(offer).call())

    def _send(self, call: str, *arguments: object) -> Sent:
        return self.node.send(self.relayer, self.contract, call, *arguments)


def expected_hash(awards: Sequence[AwardRecord], bids: Bids, side: Side) -> bytes:
    """What an alternative keeps of the awards of the reference: their hash in the merit order."""
    rank = {bid.position: bid.rank(side) for bid in bids}
    return keccak256(pack_awards(sorted(awards, key=lambda award: rank[award.position])))
