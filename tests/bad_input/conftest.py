"""A market on a real chain, and its whole state to compare before and after: storage, balances, every table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from market.chain.bindings import encode_call
from market.desks.market_client import MarketClient, MarketProblem
from market.domain.hashing import keccak256
from market.domain.messages import Bid, Delegation, Offer, Request
from market.domain.products import Direction, Phase, Product, Side
from market.domain.records import BidRecord, WireBid, pack_wire_bids
from market.domain.signing import address_of, sign_message
from market.domain.typed_data import Message
from market.services import rounds
from tests.bad_input.state import State, state_of, storage_of
from tests.chain.world import (
    EMERGENCY_PRICE_UEUR_KWH,
    NODE,
    PORTFOLIO,
    REQUEST_PRICE_UEUR_KWH,
    U,
    before,
    nanogrid,
    owner_key,
)
from tests.cli.conftest import Room, room, room_broker, room_database_url
from tests.conftest import TEST_EPOCH

__all__ = ["room", "room_broker", "room_database_url"]

T = TEST_EPOCH + 10 * U
FOREIGN_NODE, FOREIGN_PORTFOLIO = 8, 4
FOREIGN_OWNER = keccak256(b"an owner at another node")
DELEGATE = keccak256(b"a delegate")
DELEGATE_LIMITS = {"lowest_price_ueur_kwh": 90_000, "largest_quantity": 600, "cover_cents": 100}


@dataclass
class House:
    """The room with everybody's pen: what anybody could send to the market or to the contracts."""

    room: Room

    @property
    def world(self) -> Any:
        return self.room.world

    # STATE

    def state(self) -> State:
        return state_of(self.world.engine, self.world.contracts)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Whatever is done inside leaves every storage slot and every row as they were."""
        self.room.market.index()
        as_it_was = self.state()
        assert as_it_was["storage"]["ParticipantRegistry"], "an empty picture would prove nothing"
        yield
        self.room.market.index()
        assert {name for name, now in self.state().items() if now != as_it_was[name]} == set()

    # SENDING

    def client(self, key: bytes) -> MarketClient:
        client = MarketClient(self.room.url, private_key="0x" + key.hex(), patience_s=5)
        client.sign_in()
        return client

    def refusal(self, key: bytes, path: str, body: Mapping[str, Any]) -> str:
        """Code of the problem that the API answers with, while nothing changes."""
        with self.client(key) as client, self.unchanged():
            with pytest.raises(MarketProblem) as refused:
                client.post(path, body)
            assert refused.value.problem["detail"]
            return refused.value.code

    def bid_refusal(self, bid: Bid, signature: bytes, offer: str | None = None) -> str:
        """The same for one bid of a batch, which has a problem of its own."""
        document = {
            "index": bid.index, "price_ueur_kwh": bid.price_ueur_kwh, "quantity": bid.quantity,
            "minimum": bid.minimum, "revision": bid.revision, "signature": "0x" + signature.hex(),
        }  # fmt: skip
        path = f"/v1/offers/{offer or '0x' + bid.offer.hex()}/bids"
        with self.client(owner_key(0)) as client, self.unchanged():
            [result] = client.post(path, {"bids": [document]})["results"]
        assert (result["accepted"], result["receipt"]) == (False, None)
        assert result["problem"]["detail"]
        return str(result["problem"]["type"].rsplit("/", 1)[1])

    def contract_refusal(self, function: Any, by: str = "relayer") -> str:
        """Name of the error with which a contract refuses, mined: nothing but the sender's gas changes."""
        web3 = self.world.contracts.web3
        with self.unchanged():
            sender = self.world.address(by)
            web3.provider.make_request("anvil_impersonateAccount", [sender])
            call = {"from": sender, "to": function.address, "data": encode_call(function), "gas": 10**6}
            sent = web3.eth.send_transaction(call | {"maxFeePerGas": 0, "maxPriorityFeePerGas": 0})
            assert web3.eth.wait_for_transaction_receipt(sent)["status"] == 0
            web3.provider.make_request("anvil_stopImpersonatingAccount", [sender])
        with pytest.raises(Exception) as refused:  # noqa: PT011 - its name is the assertion
            self.world.sender(by).check(function)
        return str(getattr(refused.value, "name", refused.value))

    def skip_reason(self, bid: Bid, signature: bytes) -> int:
        """Why the contract skips a bid that is posted directly, past the market; no storage changes."""
        auction = self.world.contracts.auction
        storage = storage_of(self.world.contracts)
        wire = pack_wire_bids([WireBid(record_of(bid), signature)])
        receipt = self.world.send("stranger", auction.functions.postBids(bid.offer, wire))
        assert storage_of(self.world.contracts) == storage
        self.room.market.index()
        [skipped] = [event for event in receipt.events if event.name == "BidSkipped"]
        return int(skipped.arguments["reason"])

    def post_refusal(self, bid: Bid, signature: bytes) -> str:
        """Name of the error with which the contract refuses the whole batch."""
        wire = pack_wire_bids([WireBid(record_of(bid), signature)])
        return self.contract_refusal(self.world.contracts.auction.functions.postBids(bid.offer, wire), by="stranger")

    # MESSAGES

    def bid(self, offer: str, index: int = 0, **fields: int) -> Bid:
        values = {"price_ueur_kwh": 100_000, "quantity": 500, "minimum": 0, "revision": 0} | fields
        return Bid(bytes.fromhex(offer[2:]), index, **values)

    def sign(self, message: Message, key: bytes) -> bytes:
        return sign_message(key, message, self.world.contracts.domain_of(message)).compact()

    def signed(self, message: Message, key: bytes) -> dict[str, Any]:
        signature = sign_message(key, message, self.world.contracts.domain_of(message)).hex()
        return {"message": message.to_json(), "signature": signature}

    def offer_message(self, request: bytes, **fields: Any) -> Offer:
        values = {
            "portfolio": PORTFOLIO, "request": request, "interval": T, "side": Side.BUY, "direction": Direction.DOWN,
            "product": Product.CM_REALTIME, "quantity": 1000, "limit_price_ueur_kwh": 300_000,
            "gate_closure": before(T, 140), "salt": 1,
        }  # fmt: skip
        return Offer(**(values | fields))

    def request_message(self, **fields: Any) -> Request:
        values = {
            "node": NODE, "first_interval": T, "product": Product.CM_REALTIME, "direction": Direction.DOWN,
            "price_ueur_kwh": REQUEST_PRICE_UEUR_KWH, "quantities": (2000,), "salt": 1,
        }  # fmt: skip
        return Request(**(values | fields))

    # HISTORY

    def anchored(self) -> None:
        """The baselines of T."""
        self.world.at(before(T, 410))
        self.world.anchor(T, [0, 0, 0, 0])

    def yellow(self) -> bytes:
        """Baselines, a YELLOW light and a request of 2,000 Wh for T; the request's id."""
        if T not in self.world.baselines:
            self.anchored()
        self.world.at(before(T, 300))
        self.world.signal(T, Phase.YELLOW, 1)
        request: bytes = self.world.request(T, [2000])
        self.room.market.index()
        return request

    def open_offer(self) -> str:
        """An open offer that answers a request, at the moment when gateways bid."""
        request = self.yellow()
        self.world.at(before(T, 275))
        offer = self.world.offer(T, 1000, request, limit_price_ueur_kwh=300_000)
        self.world.at(before(T, 250))
        self.room.market.index()
        return "0x" + offer.hex()

    def sold_internally(self, index: int) -> None:
        """Nanogrid `index` has won T in an INTERNAL offer that is final."""
        self.anchored()
        self.world.at(before(T, 400))
        offer = self.world.offer(T, 500, limit_price_ueur_kwh=200_000)
        self.world.at(before(T, 350))
        self.world.post(offer, [self.world.wire(offer, BidRecord(100_000, 500, 0, index))])
        for moment in (325, 300):
            self.world.at(before(T, moment))
            rounds.run_due(self.room.market)

    def delegate(self, signer: str = address_of(DELEGATE), **limits: int) -> None:
        """Seat a delegate for nanogrid 0; signer 0 revokes it."""
        values = {"expiry_day": self.world.now_s // 86_400 + 30, "nonce": 0} | DELEGATE_LIMITS | limits
        message = Delegation(nanogrid(0), signer, **values)
        signature = sign_message(owner_key(0), message, self.world.contracts.domain_of(message)).to_bytes()
        self.world.send("relayer", self.world.contracts.registry.functions.setDelegate(message.arguments(), signature))
        self.room.market.index()


def record_of(bid: Bid) -> BidRecord:
    """The bid as posted, also where the domain would not build such a record."""
    record = BidRecord(1, bid.quantity, 0, bid.index, bid.revision)
    for name in ("price_ueur_kwh", "minimum"):
        object.__setattr__(record, name, getattr(bid, name))
    return record


@pytest.fixture
def house(room: Room) -> House:
    """The room, and a second node with its own DSO, portfolio and nanogrid."""
    world, registry = room.world, room.world.contracts.registry.functions
    stranger = world.address("stranger")
    world.send("operator", registry.grantRole(keccak256(b"DSO"), stranger))
    world.send("operator", registry.registerNode(FOREIGN_NODE, stranger, "Substation 8"))
    world.send(
        "operator", registry.registerPortfolio(FOREIGN_PORTFOLIO, FOREIGN_NODE, world.address("aggregator"), "Others")
    )
    seat = (FOREIGN_PORTFOLIO, address_of(FOREIGN_OWNER), 20_000, EMERGENCY_PRICE_UEUR_KWH, TEST_EPOCH + U)
    world.send("operator", registry.registerSeat(*seat))
    room.market.index()
    return House(room)


@pytest.fixture
def http(room: Room) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=room.url, timeout=30) as client:
        yield client
