"""Two markets at the same addresses, the product's and the one of the plain twins, that are asked the same.

Whatever is sent to both must be answered alike: events, errors, and all that is stored afterwards, by the contracts'
storage roots.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from web3.contract.contract import ContractFunction

from market.chain.embedded import EmbeddedChain, EmbeddedChainError
from market.domain.error_texts import BidRejection
from market.domain.merit_order import claim_of, clear_greedy
from market.domain.messages import Delegation, Offer, Request
from market.domain.products import Product, Side
from market.domain.records import BidRecord, PostedBid, pack_awards, pack_bids
from market.domain.signing import address_of, sign_message
from market.domain.typed_data import Domain, Message
from tests.contracts_properties.auction_house import (
    ANY_BASELINES,
    FIRST_INTERVAL,
    GAS,
    NO_SIGNATURE,
    NODE,
    PORTFOLIO,
    AuctionHouse,
    U,
    owner_key,
)

SEATS: Final = 260
"""Two words of each kind."""
RATED_POWER_W: Final = 20_000
LARGEST_QUANTITY: Final = 2 * RATED_POWER_W * U // 3600
COVER_CENTS: Final = 98
BOND_UEUR: Final = COVER_CENTS * 10_000 * 8
DELEGATE_KEY: Final = owner_key(1000)
DELEGATE_LOWEST, DELEGATE_LARGEST, DELEGATE_COVER_CENTS = 50_000, 800, 60
TODAY: Final = FIRST_INTERVAL // 86_400
RECEIPT_TIMEOUT_S: Final = 30
QUANTITY: Final = 4000
LIMITS: Final = {Side.BUY: 300_000, Side.SELL: 100_000}
SUSPENDED, NEVER_REFRESHED, LEFT, LEAVING, NOT_YET, SOLD = 3, 254, 126, 127, 128, 129
DELEGATED: Final = {1: TODAY + 100, 2: TODAY - 1, 5: TODAY, 255: TODAY + 100}
"""Index -> last day of its delegate."""
PLAYED: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 126, 127, 128, 129, 130, 254, 255, 256, 259)
"""Every kind of seat, on both sides of every word's edge; they have bonds."""


class SeatHouse(AuctionHouse):
    """A portfolio with seats of every kind."""

    def _register(self) -> None:
        registry, operator = self.registry.functions, self.operator
        for role, account in (("ORACLE", self.oracle), ("DSO", self.dso), ("AGGREGATOR", self.aggregator)):
            self.send(registry.grantRole(self.web3.keccak(text=role), account), operator)
        self.send(registry.registerNode(NODE, self.dso, "node"), operator)
        self.send(registry.registerPortfolio(PORTFOLIO, NODE, self.aggregator, "portfolio"), operator)
        for index in range(SEATS):
            active_from = FIRST_INTERVAL + U if index == NOT_YET else FIRST_INTERVAL - 20 * U
            seat = (PORTFOLIO, address_of(owner_key(index)), RATED_POWER_W, 300_000, active_from)
            self.send(registry.registerSeat(*seat), operator)
        for index in PLAYED[::3]:
            contract = (PORTFOLIO << 16 | index, Product.CM_CAPACITY, 2026 * 12 + 5, 2, 1000, 10, 0)
            self.send(self.capacity_register.functions.registerContract(contract, NO_SIGNATURE), self.dso)

    def _fund(self) -> None:
        token, settlement, registry = self.token.functions, self.settlement.functions, self.registry.functions
        needed = len(PLAYED) * BOND_UEUR + 2 * 10**12
        self.send(token.mint(self.operator, needed, bytes(32)), self.operator)
        self.send(token.approve(self.settlement.address, needed), self.operator)
        for account in (self.dso, self.aggregator):
            self.send(settlement.deposit(account, 10**12), self.operator)
        for index in PLAYED:
            self.send(settlement.fundBond(PORTFOLIO << 16 | index, BOND_UEUR), self.operator)
        for index, last_day in DELEGATED.items():
            limits = (last_day, DELEGATE_LOWEST, DELEGATE_LARGEST, DELEGATE_COVER_CENTS, 0)
            delegation = Delegation(PORTFOLIO << 16 | index, address_of(DELEGATE_KEY), *limits)
            signature = self.signed(owner_key(index), delegation)
            self.send(registry.setDelegate(delegation.arguments(), signature), self.anyone)
        self.at(FIRST_INTERVAL - 15 * U)
        refreshed = [PORTFOLIO << 16 | index for index in PLAYED if index != NEVER_REFRESHED]
        self.send(registry.refreshSeats(refreshed), self.anyone)
        self.send(registry.closeSeat(PORTFOLIO << 16 | LEFT, FIRST_INTERVAL), self.operator)
        self.send(registry.closeSeat(PORTFOLIO << 16 | LEAVING, FIRST_INTERVAL + U), self.operator)
        self.chain.request("anvil_impersonateAccount", self.settlement.address)
        suspension = registry.suspendSeat(PORTFOLIO << 16 | SUSPENDED, bytes(32))
        self.send(suspension, self.web3.to_checksum_address(self.settlement.address))

    # ONE INTERVAL: AN INTERNAL PURCHASE, THEN ONE OF THE OFFERS TO PLAY WITH

    def sell_once(self, winners: Sequence[int] = (SOLD,)) -> None:
        """Some seats win the interval in an INTERNAL offer long before."""
        self.at(self.before(700, FIRST_INTERVAL))
        self.send(
            self.metering.functions.anchorBaselines([(PORTFOLIO, FIRST_INTERVAL, 0, SEATS, ANY_BASELINES)]), self.oracle
        )
        offer = self._offer(Side.BUY, bytes(32), 630)
        self.send(self.auction.functions.openOffer(offer.arguments(), NO_SIGNATURE), self.aggregator)
        id_ = offer.digest(self.domain)
        bids = [
            PostedBid(BidRecord(1000, 10, 0, index, reserved=False), position) for position, index in enumerate(winners)
        ]
        self.post(id_, [bid.record for bid in bids])
        self.at(offer.gate_closure)
        clearing = clear_greedy(offer.quantity, Side.BUY, bids)
        self.send(self.clear(id_, claim_of(clearing), pack_bids(bids)), self.anyone)
        self.at(self.auction.functions.finalAt(id_).call())
        self.send(self.auction.functions.finalise(id_, pack_awards(clearing.awards), b""), self.anyone)

    def open_for(self, side: Side) -> Offer:
        """BUY answers a request, SELL is INTERNAL; it stands shortly before its gate closure."""
        request = bytes(32)
        if side is Side.BUY:
            request = self._requested()
        self.at(self.before(275 if side is Side.BUY else 400, FIRST_INTERVAL))
        offer = self._offer(side, request, 140 if side is Side.BUY else 345)
        self.send(self.auction.functions.openOffer(offer.arguments(), NO_SIGNATURE), self.aggregator)
        self.at(offer.gate_closure - U // 20)
        return offer

    def _requested(self) -> bytes:
        self.at(self.before(300, FIRST_INTERVAL))
        self.send(self.signals.functions.setSignal((NODE, FIRST_INTERVAL, 1, 0, bytes(32), 1), NO_SIGNATURE), self.dso)
        request = Request(NODE, FIRST_INTERVAL, Product.CM_REALTIME, 1, LIMITS[Side.BUY], (QUANTITY,), 0)
        self.send(self.auction.functions.publishRequest(request.arguments(), NO_SIGNATURE), self.dso)
        return request.digest(self.domain)

    def _offer(self, side: Side, request: bytes, closure_hundredths: int) -> Offer:
        return Offer(
            portfolio=PORTFOLIO,
            request=request,
            interval=FIRST_INTERVAL,
            side=side,
            direction=1,
            product=Product.CM_REALTIME if request != bytes(32) else Product.INTERNAL,
            quantity=QUANTITY,
            limit_price_ueur_kwh=LIMITS[side],
            gate_closure=self.before(closure_hundredths, FIRST_INTERVAL),
            salt=0,
        )

    def gas_of(self, function: ContractFunction) -> int:
        """What a transaction of anybody would use."""
        data = function._encode_transaction_data()
        call = {"from": self.anyone, "to": function.address, "data": data}
        return int(self.chain.request("eth_estimateGas", call), 16)

    def reasons(self, events: Sequence[Event]) -> Iterator[str]:
        """What became of the bids of a batch, by name."""
        skipped, posted = (
            "0x" + self.web3.keccak(text=text).hex().removeprefix("0x")
            for text in ("BidSkipped(bytes32,uint96,uint8)", "BidsPosted(bytes32,uint32,bytes,bytes32)")
        )
        for _, topics, data in events:
            if topics[0] == skipped:
                yield BidRejection(int(data[-64:], 16)).name
            elif topics[0] == posted:
                yield "accepted"

    def signed(self, key: bytes, message: Message) -> bytes:
        domain = Domain(self.web3.eth.chain_id, self.deployment.addresses[message.CONTRACT])
        return sign_message(key, message, domain).to_bytes()


Event = tuple[str, tuple[str, ...], str]
"""Contract, topics, data."""


@dataclass
class Answer:
    """What came of a call: its events, or how it was refused; and the gas that it used."""

    events: tuple[Event, ...] = ()
    refusal: str | None = None
    gas: int = field(default=0, compare=False)


@dataclass
class Lockstep:
    """Both markets."""

    product: SeatHouse
    plain: SeatHouse
    marks: dict[str, tuple[str, str]] = field(default_factory=dict)

    def both(self, act: Callable[[SeatHouse], Any]) -> Any:
        """Something that both do; what the product's does is the answer."""
        act(self.plain)
        return act(self.product)

    def send(self, function: ContractFunction, sender: str) -> Answer:
        """A transaction of both, answered and remembered alike."""
        data = function._encode_transaction_data()
        call = {"from": sender, "to": function.address, "data": data, "gas": hex(GAS), "gasPrice": "0x0"}
        answers = [_sent(house.chain, call) for house in (self.product, self.plain)]
        assert answers[0] == answers[1]
        assert self._root(self.product) == self._root(self.plain)
        return answers[0]

    def try_(self, function: ContractFunction, sender: str) -> tuple[str | None, str | None]:
        """What both would answer: (data, None) or (None, refusal)."""
        call = {"from": sender, "to": function.address, "data": function._encode_transaction_data(), "gas": hex(2**27)}
        answers = [_called(house.chain, call) for house in (self.product, self.plain)]
        assert answers[0] == answers[1]
        return answers[0]

    def _root(self, house: SeatHouse) -> str:
        return str(house.chain.request("eth_getProof", house.auction.address, [], "latest")["storageHash"])

    # SCENES TO COME BACK TO

    def mark(self, name: str) -> None:
        self.marks[name] = (
            self.product.chain.request("evm_snapshot"),
            self.plain.chain.request("evm_snapshot"),
        )

    def back_to(self, name: str) -> None:
        for house, mark in zip((self.product, self.plain), self.marks[name], strict=True):
            assert house.chain.request("evm_revert", mark)
        self.mark(name)


def _sent(chain: EmbeddedChain, call: dict[str, Any]) -> Answer:
    digest = chain.request("eth_sendTransaction", call)
    end = time.monotonic() + RECEIPT_TIMEOUT_S
    while (receipt := chain.request("eth_getTransactionReceipt", digest)) is None:
        assert time.monotonic() < end, "a transaction was not mined"
        time.sleep(0.001)
    gas = int(receipt["gasUsed"], 16)
    if receipt["status"] != "0x1":
        return Answer(refusal=_called(chain, call)[1], gas=gas)
    events = tuple((log["address"], tuple(log["topics"]), log["data"]) for log in receipt["logs"])
    return Answer(events, gas=gas)


def _called(chain: EmbeddedChain, call: dict[str, Any]) -> tuple[str | None, str | None]:
    try:
        return str(chain.request("eth_call", call, "latest")), None
    except EmbeddedChainError as refusal:
        return None, str(refusal)
