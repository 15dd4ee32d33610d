"""A market that attacks are tried on: the auctions' house with gateways, a referee, a rival and attackers.

One story is the honest one (`honest_offer`, then `conclude`). An attack happens somewhere within it, and the outcome
must be what it is without the attack. What anybody can know is read from the chain: bids are those of BidsPosted.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from eth_account import Account
from eth_typing import ChecksumAddress
from eth_utils import keccak
from web3.contract.contract import ContractFunction
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD
from web3.types import TxReceipt

from market.chain.bindings import decode_error
from market.domain.errors import ContractRefused
from market.domain.gateway_key import GatewayKey
from market.domain.merit_order import Clearing, claim_of, clear_greedy
from market.domain.messages import Bid, Offer, Reading, Request, SeatTransfer
from market.domain.products import Direction, Phase, Product, Side
from market.domain.records import BidRecord, PostedBid, WireBid, pack_awards, pack_bids, pack_wire_bids, unpack_bids
from market.domain.settled_records import SettlementReading
from market.domain.signing import address_of, sign_message
from market.domain.trees import AwardRange, award_range, baseline_leaf, baseline_root
from market.domain.typed_data import Domain, Message
from tests.attacks.submission import Binding, Submission, settle_call
from tests.contracts_properties.auction_house import (
    FIRST_INTERVAL,
    GAS,
    NO_SIGNATURE,
    NODE,
    PORTFOLIO,
    SEATS,
    AuctionHouse,
    U,
    owner_key,
)

EUR = 1_000_000
RIVALS_PORTFOLIO = 4
REQUEST_PRICE, LIMIT_PRICE = 400_000, 300_000
REQUESTED, OFFERED = 2000, 1000
NO_REQUEST = bytes(32)
NO_REASON = bytes(32)
EMERGENCY_PRICE = 300_000
HONEST_BIDS = (
    BidRecord(100_000, 400, 0, 1),
    BidRecord(200_000, 900, 100, 2),
    BidRecord(250_000, 500, 0, 3),
)
"""On 1000 Wh: 1 wins whole, 2 the rest of 600 Wh, 3 (reserved, but dearer) nothing."""

SigningKey = GatewayKey | bytes
"""Of a gateway; bytes: a secp256k1 key."""


def gateway_key(index: int) -> bytes:
    """Private key of a seat's gateway."""
    return keccak(text=f"gateway {index}")


def nanogrid(index: int, portfolio: int = PORTFOLIO) -> int:
    """Id of a nanogrid."""
    return portfolio << 16 | index


@dataclass(frozen=True)
class Outcome:
    """What an auction comes to: who is awarded how much [Wh], and the money of everybody in it [micro-euro]."""

    awards: Mapping[int, int]
    money: Mapping[str, int]


@dataclass
class Arena(AuctionHouse):
    """The house of one interval, with everybody who plays for or against it."""

    interval: int = FIRST_INTERVAL
    sequences: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        super().__post_init__()
        accounts = self.web3.eth.accounts
        self.referee, self.rival, self.relayer, self.attacker, self.delegate = accounts[5:10]
        self.settlement_domain = Domain(self.web3.eth.chain_id, self.deployment.addresses["Settlement"])

    def prepare(self) -> None:
        """Gateways for all seats, a referee, and a rival aggregator with a portfolio of its own at the node."""
        functions = self.registry.functions
        for role, account in (("REFEREE", self.referee), ("AGGREGATOR", self.rival)):
            self.send(functions.grantRole(keccak(text=role), account), self.operator)
        for index in range(SEATS):
            self.send(self.settlement.functions.setGateway(nanogrid(index), self.gateway(index)), self.operator)
        self.send(functions.registerPortfolio(RIVALS_PORTFOLIO, NODE, self.rival, "rival"), self.operator)
        self.send(functions.registerSeat(RIVALS_PORTFOLIO, self.owner(0), 5000, 0, FIRST_INTERVAL), self.operator)

    # WHO

    def owner(self, index: int) -> str:
        """Address of a seat's owner."""
        return address_of(owner_key(index))

    def gateway(self, index: int) -> str:
        """Address of a seat's gateway."""
        return address_of(gateway_key(index))

    @contextmanager
    def acting(self, address: str) -> Iterator[ChecksumAddress]:
        """Lets an account send whose key the node does not have: a contract, or an owner."""
        self.chain.request("anvil_impersonateAccount", address)
        self.chain.request("anvil_setBalance", address, hex(10**20))
        yield self.web3.to_checksum_address(address)
        self.chain.request("anvil_stopImpersonatingAccount", address)

    # WHEN

    def at_before(self, hundredths: int) -> None:
        """Moves the clock to interval - u x hundredths / 100."""
        self.at(self.before(hundredths, self.interval))

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """What happens within is taken back at its end, time included."""
        kept, interval = self.chain.request("evm_snapshot"), self.interval
        try:
            yield
        finally:
            self.interval = interval
            assert self.chain.request("evm_revert", kept)

    # ATTEMPTS

    def attempt(self, function: ContractFunction, sender: ChecksumAddress) -> TxReceipt:
        """Sends a call that may fail."""
        digest = function.transact({"from": sender, "gas": GAS, "gasPrice": self.web3.to_wei(0, "wei")})
        return self.web3.eth.wait_for_transaction_receipt(digest, poll_latency=0.002)

    def refusal(self, function: ContractFunction, sender: ChecksumAddress) -> ContractRefused:
        """The error with which a call fails, as Python decodes it. It is sent, too: a failed call changes nothing."""
        with pytest.raises(ContractCustomError) as raised:
            function.call({"from": sender, "gas": GAS})
        assert self.attempt(function, sender)["status"] == 0
        error = decode_error(str(raised.value.data))
        assert isinstance(error, ContractRefused)
        return error

    def refuse(self, function: ContractFunction, sender: ChecksumAddress, name: str, /, **arguments: Any) -> None:
        """Asserts that a call fails with this error and exactly these arguments."""
        refusal = self.refusal(function, sender)
        assert (refusal.name, refusal.fields) == (name, arguments)

    # THE WAY TO AN OFFER

    def anchor(self, values: Sequence[int] = (0,) * SEATS, kind: int = 0, portfolio: int = PORTFOLIO) -> None:
        anchor = (portfolio, self.interval, kind, len(values), baseline_root(values))
        self.send(self.metering.functions.anchorBaselines([anchor]), self.oracle)

    def signal(self, phase: Phase, kind: int = 0, interval: int | None = None) -> None:
        signal = (NODE, interval or self.interval, phase, kind, NO_REASON, next(self.sequences))
        self.send(self.signals.functions.setSignal(signal, NO_SIGNATURE), self.dso)

    def request(self, **changes: Any) -> Request:
        fields: dict[str, Any] = {
            "node": NODE,
            "first_interval": self.interval,
            "product": Product.CM_REALTIME,
            "direction": Direction.DOWN,
            "price_ueur_kwh": REQUEST_PRICE,
            "quantities": (REQUESTED,),
            "salt": 1,
        }
        return Request(**(fields | changes))

    def publishing(self, **changes: Any) -> ContractFunction:
        return self.auction.functions.publishRequest(self.request(**changes).arguments(), NO_SIGNATURE)

    def ready(self) -> bytes:
        """Baselines, YELLOW and the request in their time; T - 2.75u. The request's id."""
        self.at_before(410)
        self.anchor()
        self.at_before(300)
        self.signal(Phase.YELLOW)
        self.send(self.publishing(), self.dso)
        self.at_before(275)
        return self.request().digest(self.domain)

    def terms(self, **changes: Any) -> Offer:
        """Of an offer that answers the request or, with request = NO_REQUEST, an INTERNAL one."""
        internal = changes.get("request") == NO_REQUEST
        fields: dict[str, Any] = {
            "portfolio": PORTFOLIO,
            "request": self.request().digest(self.domain),
            "interval": self.interval,
            "side": Side.BUY,
            "direction": Direction.DOWN,
            "product": Product.INTERNAL if internal else Product.CM_REALTIME,
            "quantity": OFFERED,
            "limit_price_ueur_kwh": LIMIT_PRICE,
            "gate_closure": self.before(345 if internal else 140, self.interval),
            "salt": 1,
        }
        return Offer(**(fields | changes))

    def opening(self, **changes: Any) -> ContractFunction:
        return self.auction.functions.openOffer(self.terms(**changes).arguments(), NO_SIGNATURE)

    def open_offer(self, **changes: Any) -> bytes:
        self.send(self.opening(**changes), self.aggregator)
        return self.terms(**changes).digest(self.domain)

    def opened(self, **changes: Any) -> bytes:
        self.ready()
        return self.open_offer(**changes)

    def far_ahead(self) -> int:
        """Goes over to an interval beyond the horizon of offers, with its baselines. When offers for it may open."""
        horizon_s = int(self.settlement.functions.offerHorizonS().call())
        self.interval = (self.now + horizon_s) // U * U + 2 * U
        self.anchor()
        return self.interval - horizon_s

    def opened_internally(self, **changes: Any) -> bytes:
        self.at_before(410)
        self.anchor()
        self.at_before(400)
        return self.open_offer(request=NO_REQUEST, **changes)

    # BIDS

    def wire_by(
        self, key: bytes, offer: bytes, record: BidRecord, domain: Domain | None = None, **signed: Any
    ) -> bytes:
        """76 bytes of a bid that `key` signs; `signed`: fields of the message that differ from the record's."""
        fields = {
            "offer": offer,
            "index": record.index,
            "price_ueur_kwh": record.price_ueur_kwh,
            "quantity": record.quantity,
            "minimum": record.minimum,
            "revision": record.revision,
        }
        bid = Bid(**(fields | signed))
        return WireBid(record, sign_message(key, bid, domain or self.domain).compact()).pack()

    def wired(self, offer: bytes, *records: BidRecord) -> bytes:
        """Bids as their seats' owners sign them."""
        return pack_wire_bids(self.wire(offer, record) for record in records)

    def posting(self, offer: bytes, *wires: bytes) -> ContractFunction:
        return self.auction.functions.postBids(offer, b"".join(wires))

    def skips(self, receipt: TxReceipt) -> list[int]:
        """Reasons for which bids of a batch were skipped."""
        return [
            log["args"]["reason"] for log in self.auction.events.BidSkipped().process_receipt(receipt, errors=DISCARD)
        ]

    def posted(self, offer: bytes) -> list[PostedBid]:
        """The bids that stand on the chain, in posting order."""
        logs = self.auction.events.BidsPosted().get_logs(from_block=0, argument_filters={"offer": offer})
        return unpack_bids(b"".join(log["args"]["records"] for log in logs))

    def honest_offer(self) -> bytes:
        """An open offer on which the honest have bid."""
        offer = self.opened()
        self.send(self.posting(offer, self.wired(offer, *HONEST_BIDS)), self.relayer)
        return offer

    # CLEARING

    def clearing(self, offer: bytes, rejected: Collection[int] = frozenset()) -> Clearing:
        """The reference's result for what is posted."""
        terms = self.auction.functions.offerOf(offer).call()
        return clear_greedy(terms.quantity, Side(terms.side), self.posted(offer), rejected)

    def rightly(self, offer: bytes, rejected: Collection[int] = frozenset(), bitmap: bytes = b"") -> ContractFunction:
        """The right claim on all records."""
        claim = claim_of(self.clearing(offer, rejected))
        return self.clear(offer, claim, pack_bids(self.posted(offer)), bitmap)

    def cleared(self) -> bytes:
        """The honest offer, cleared at gate closure."""
        offer = self.honest_offer()
        self.at_before(140)
        self.send(self.rightly(offer), self.relayer)
        return offer

    def finalising(self, offer: bytes, rejected: bytes = b"") -> ContractFunction:
        return self.auction.functions.finalise(offer, pack_awards(self.clearing(offer).awards), rejected)

    def finalise(self, offer: bytes) -> None:
        self.at(max(self.auction.functions.finalAt(offer).call(), self.now))
        self.send(self.finalising(offer), self.relayer)

    def final(self) -> bytes:
        """The honest offer, its result final."""
        offer = self.cleared()
        self.finalise(offer)
        return offer

    # CHANGES OF OWNER

    def giving(self, index: int, owner: str, nonce: int = 0) -> ContractFunction:
        """The seat is another's, as its owner has signed; for the operator to send."""
        transfer = SeatTransfer(nanogrid(index), owner, nonce)
        domain = Domain(self.web3.eth.chain_id, self.registry.address)
        signature = sign_message(owner_key(index), transfer, domain).to_bytes()
        return self.registry.functions.changeSeatOwner(transfer.arguments(), signature)

    # READINGS

    def reading(self, index: int, active_wh: int, sequence: int = 1, reactive_varh: int = 0) -> Reading:
        return Reading(nanogrid(index), self.interval, active_wh, reactive_varh, sequence)

    def signed(self, key: SigningKey, message: Message) -> bytes:
        """A gateway's signature over a message of Settlement's domain."""
        gateway = key if isinstance(key, GatewayKey) else GatewayKey.of(key)
        return gateway.sign_message(message, self.settlement_domain)

    def announcing(self, reading: Reading, key: SigningKey) -> ContractFunction:
        return self.metering.functions.announceReading(reading.arguments(), self.signed(key, reading))

    def annulling(self, first: Reading, second: Reading, key: SigningKey) -> ContractFunction:
        return self.metering.functions.annulReadings(
            first.arguments(), self.signed(key, first), second.arguments(), self.signed(key, second)
        )

    def delivery(self, offer: bytes) -> dict[int, int]:
        """Index -> net energy that delivers its award in full against a baseline of 0 (DOWN). [Wh]"""
        return {award.index: award.quantity for award in self.clearing(offer).awards}

    def submission(
        self, offer: bytes, metered: Mapping[int, int], keys: Mapping[int, SigningKey] | None = None
    ) -> Submission:
        """Readings of nanogrid indices for the offer's awards, signed by their gateways."""
        awards = self.clearing(offer).awards
        readings = []
        for ordinal, award in enumerate(awards):
            if award.index in metered:
                reading = self.reading(award.index, metered[award.index])
                key = (keys or {}).get(award.index, gateway_key(award.index))
                readings.append((ordinal, reading, self.signed(key, reading)))
        return Submission(offer, (0,) * SEATS, awards, tuple(readings))

    def settling(self, offer: bytes, metered: Mapping[int, int], **keys: Any) -> ContractFunction:
        return settle_call(self.settlement, self.submission(offer, metered, **keys))

    def settling_on(self, baselines: Sequence[int], offer: bytes, metered: Mapping[int, int]) -> ContractFunction:
        """The same on other baselines than those that were anchored."""
        return settle_call(self.settlement, replace(self.submission(offer, metered), baselines=baselines))

    def binding(self, offer: bytes) -> Binding:
        """What a settlement of the offer rests on."""
        bound: Binding = tuple(self.settlement.functions.bindingOf(offer).call())
        return bound

    def award_reading(self, index: int, active_wh: int, ordinal: int = 0) -> SettlementReading:
        """A seat's reading for the award with an ordinal, as its gateway signs it."""
        reading = self.reading(index, active_wh)
        return SettlementReading(ordinal, active_wh, 0, reading.sequence, self.signed(gateway_key(index), reading))

    def skipped_awards(self, receipt: TxReceipt) -> list[int]:
        """Reasons for which awards of a settlement were skipped."""
        logs = self.settlement.events.AwardSkipped().process_receipt(receipt, errors=DISCARD)
        return [log["args"]["reason"] for log in logs]

    def award_leaf(self, offer: bytes, ordinal: int) -> tuple[int, bytes, tuple[bytes, ...]]:
        """The leaf that holds an award, as calls take it."""
        leaf: AwardRange = award_range(self.clearing(offer).awards, ordinal, ordinal)
        return leaf.first_leaf, leaf.awards, leaf.proof

    def baseline_leaf(self, index: int) -> tuple[int, bytes, tuple[bytes, ...]]:
        """The leaf that holds a seat's baseline of 0."""
        leaf = baseline_leaf((0,) * SEATS, index)
        return leaf.leaf_index, leaf.values, leaf.proof

    def holding(self, offer: bytes, ordinal: int) -> ContractFunction:
        return self.settlement.functions.placeHold(
            (offer, ordinal, NO_REASON), self.award_leaf(offer, ordinal), NO_SIGNATURE
        )

    def expiring(self, offer: bytes) -> ContractFunction:
        return self.settlement.functions.expireAwards(offer, self.award_leaf(offer, 0))

    # OUTCOMES

    def balance(self, account: str) -> int:
        """Of an account within Settlement. [micro-euro]"""
        return int(self.settlement.functions.balanceOf(account).call())

    def seat_balance(self, index: int) -> int:
        return int(self.settlement.functions.seatBalance(nanogrid(index)).call())

    def bond(self, index: int) -> int:
        return int(self.settlement.functions.bondOf(nanogrid(index)).call()[0])

    def money(self, offer: bytes) -> dict[str, int]:
        """Everybody's money who has to do with the honest offer, and that in its escrows. [micro-euro]"""
        functions = self.settlement.functions
        request = keccak(self.request().digest(self.domain) + self.interval.to_bytes(32, "big"))
        seats = {f"seat {index}": self.seat_balance(index) for index in (1, 2, 3)}
        bonds = {f"bond {index}": self.bond(index) for index in (1, 2, 3)}
        return {
            "dso": self.balance(self.dso),
            "aggregator": self.balance(self.aggregator),
            "offer's escrow": functions.escrowOf(offer).call(),
            "request's escrow": functions.escrowOf(request).call(),
            **seats,
            **bonds,
        }

    def conclude(self, offer: bytes, by: ChecksumAddress | None = None) -> Outcome:
        """From wherever the honest offer stands: clears, finalises, settles full deliveries. Its outcome."""
        status = self.auction.functions.stateOf(offer).call().status
        if status == 1:
            self.at_before(140)
            self.send(self.rightly(offer), self.relayer)
        if status <= 2:
            self.finalise(offer)
        self.at(max(self.interval + U, self.now))
        self.send(self.settling(offer, self.delivery(offer)), by or self.oracle)
        self.assert_solvent()
        return Outcome(self.delivery(offer), self.money(offer))

    @property
    def now(self) -> int:
        """Time of the last block. [epoch s]"""
        return int(self.web3.eth.get_block("latest")["timestamp"])

    def assert_solvent(self) -> None:
        """Tokens held are what is owed: no attack of these tests sends tokens to the contract by itself."""
        owed = self.settlement.functions.totalOwed().call()
        assert owed == self.token.functions.balanceOf(self.settlement.address).call()


def new_key(name: str) -> tuple[bytes, str]:
    """A private key that is nobody's of the market, and its address."""
    key = keccak(text=name)
    return key, str(Account.from_key(key).address)
