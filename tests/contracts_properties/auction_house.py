"""A market on a node, made for many auctions: one portfolio whose seats sign for themselves, covered for any bid.

Decisions are sent by those who take them (empty signatures); bids are signed by the seats' owners.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from eth_account import Account
from eth_typing import ChecksumAddress
from eth_utils import keccak
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction
from web3.types import TxReceipt

from market.chain.bindings import artifact
from market.chain.deployment import Deployment, DeploymentParameters, deploy
from market.chain.embedded import EmbeddedChain, set_block_time
from market.domain.claim_check import Progress
from market.domain.merit_order import Claim
from market.domain.messages import Bid, Offer, Request
from market.domain.products import Product, Side
from market.domain.records import BidRecord, WireBid, pack_wire_bids
from market.domain.signing import address_of, sign_message
from market.domain.typed_data import Domain

U = 900
NODE = 7
PORTFOLIO = 3
SEATS = 41
RATED_POWER_W = 2**25  # so that any quantity of a record is within the seat's limits
COVER_CENTS = 2**24 - 1
BOND_UEUR = COVER_CENTS * 10_000 * 8
REQUEST_PRICE_UEUR_KWH = 2**29 - 1
FIRST_MONTH = 2026 * 12 + 5  # June 2026, which begins after the node's first time
FIRST_INTERVAL = 1_780_275_600  # 2026-06-01T01:00:00Z
SPACING = 8 * U  # between the auctions' intervals, so that their calendars do not overlap
GAS = 16_000_000
DEPLOYER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # the node's first funded account
NO_SIGNATURE = b""
ANY_BASELINES = keccak(text="baselines")
Deploy = Callable[[Web3, Any, DeploymentParameters], Deployment]
EMPTY_PROGRESS = (bytes(32), 0, 0, [], 0, [], 0, b"", [])


def progress_argument(progress: Progress | None) -> tuple[object, ...]:
    """Where a clearing in chunks stands, as `clear` takes it; None before the first chunk."""
    return EMPTY_PROGRESS if progress is None else progress.argument()


def owner_key(index: int) -> bytes:
    """Private key of a seat's owner."""
    return keccak(text=f"owner {index}")


def is_reserved(index: int) -> bool:
    """Whether the seat has a capacity contract for CM_REALTIME."""
    return index % 3 == 0


@dataclass
class AuctionHouse:
    """The contracts, their actors and the next free interval."""

    chain: EmbeddedChain
    web3: Web3
    deployment: Deployment
    next_interval: int = FIRST_INTERVAL

    def __post_init__(self) -> None:
        names = self.deployment.addresses
        contracts = {name: self._contract(name) for name in names}
        self.registry, self.signals = contracts["ParticipantRegistry"], contracts["GridSignals"]
        self.capacity_register, self.auction = contracts["CapacityRegister"], contracts["MeritOrderAuction"]
        self.metering, self.settlement = contracts["MeteringOracle"], contracts["Settlement"]
        self.token = contracts["SettlementToken"]
        self.operator, self.oracle, self.dso, self.aggregator, self.anyone = self.web3.eth.accounts[:5]
        self.domain = Domain(self.web3.eth.chain_id, names["MeritOrderAuction"])

    @classmethod
    def build(cls, chain: EmbeddedChain, deploy: Deploy = deploy) -> Self:
        """Deploys, registers and funds everything."""
        web3 = Web3(Web3.HTTPProvider(chain.rpc_url))
        parameters = DeploymentParameters(time_unit_s=U, reading_deadline_s=4 * U)
        house = cls(chain, web3, deploy(web3, Account.from_key(DEPLOYER_KEY), parameters))
        house._register()
        house._fund()
        return house

    def _contract(self, name: str) -> Contract:
        address = Web3.to_checksum_address(self.deployment.addresses[name])
        return self.web3.eth.contract(address=address, abi=artifact(name)["abi"], decode_tuples=True)

    def _register(self) -> None:
        functions = self.registry.functions
        for role, account in (("ORACLE", self.oracle), ("DSO", self.dso), ("AGGREGATOR", self.aggregator)):
            self.send(functions.grantRole(keccak(text=role), account), self.operator)
        self.send(functions.registerNode(NODE, self.dso, "node"), self.operator)
        self.send(functions.registerPortfolio(PORTFOLIO, NODE, self.aggregator, "portfolio"), self.operator)
        for index in range(SEATS):
            seat = (PORTFOLIO, address_of(owner_key(index)), RATED_POWER_W, 300_000, FIRST_INTERVAL)
            self.send(functions.registerSeat(*seat), self.operator)
            if is_reserved(index):
                contract = (PORTFOLIO << 16 | index, Product.CM_CAPACITY, FIRST_MONTH, 2, 1000, 10, 0)
                self.send(self.capacity_register.functions.registerContract(contract, NO_SIGNATURE), self.dso)

    def _fund(self) -> None:
        needed = SEATS * BOND_UEUR + 2 * 10**18
        self.send(self.token.functions.mint(self.operator, needed, bytes(32)), self.operator)
        self.send(self.token.functions.approve(self.settlement.address, needed), self.operator)
        for account in (self.dso, self.aggregator):
            self.send(self.settlement.functions.deposit(account, 10**18), self.operator)
        for index in range(SEATS):
            self.send(self.settlement.functions.fundBond(PORTFOLIO << 16 | index, BOND_UEUR), self.operator)

    # TRANSACTIONS AND TIME

    def send(self, function: ContractFunction, sender: ChecksumAddress) -> TxReceipt:
        """Sends a call that must succeed."""
        digest = function.transact({"from": sender, "gas": GAS, "gasPrice": Web3.to_wei(0, "wei")})
        receipt = self.web3.eth.wait_for_transaction_receipt(digest, poll_latency=0.002)
        if receipt["status"] != 1:
            function.call({"from": sender, "gas": GAS})  # raises the custom error
            raise AssertionError(f"{function.fn_name} failed without a reason")
        return receipt

    def at(self, moment: int) -> None:
        """Moves the clock, never back."""
        set_block_time(self.chain.rpc_url, moment)

    def before(self, hundredths: int, interval: int) -> int:
        """interval - u x hundredths / 100."""
        return interval - U * hundredths // 100

    # ONE AUCTION

    def open(
        self, side: Side, quantity: int, direction: int = 1, baselines_root: bytes = ANY_BASELINES
    ) -> tuple[bytes, Offer]:
        """Opens an offer in an interval of its own: SELL is INTERNAL, BUY answers a request. Its id and its terms."""
        interval = self.next_interval
        self.next_interval += SPACING
        self.at(self.before(410, interval))
        anchor = (PORTFOLIO, interval, 0, SEATS, baselines_root)
        self.send(self.metering.functions.anchorBaselines([anchor]), self.oracle)
        request = self._request(interval, quantity, direction) if side is Side.BUY else bytes(32)
        is_buy = side is Side.BUY
        offer = Offer(
            portfolio=PORTFOLIO,
            request=request,
            interval=interval,
            side=side,
            direction=direction,
            product=Product.CM_REALTIME if is_buy else Product.INTERNAL,
            quantity=quantity,
            limit_price_ueur_kwh=REQUEST_PRICE_UEUR_KWH if is_buy else 1,
            gate_closure=self.before(140 if is_buy else 345, interval),
            salt=0,
        )
        self.at(self.before(275 if is_buy else 400, interval))
        self.send(self.auction.functions.openOffer(offer.arguments(), NO_SIGNATURE), self.aggregator)
        return offer.digest(self.domain), offer

    def _request(self, interval: int, quantity: int, direction: int) -> bytes:
        self.at(self.before(300, interval))
        yellow = (NODE, interval, 1, 0, bytes(32), 1)
        self.send(self.signals.functions.setSignal(yellow, NO_SIGNATURE), self.dso)
        request = Request(NODE, interval, Product.CM_REALTIME, direction, REQUEST_PRICE_UEUR_KWH, (quantity,), 0)
        self.send(self.auction.functions.publishRequest(request.arguments(), NO_SIGNATURE), self.dso)
        return request.digest(self.domain)

    def wire(self, offer: bytes, record: BidRecord) -> WireBid:
        """The bid as its seat's owner signs it."""
        bid = Bid(offer, record.index, record.price_ueur_kwh, record.quantity, record.minimum, record.revision)
        return WireBid(record, sign_message(owner_key(record.index), bid, self.domain).compact())

    def post(self, offer: bytes, records: Sequence[BidRecord]) -> TxReceipt:
        """Posts bids in one batch."""
        wire = pack_wire_bids(self.wire(offer, record) for record in records)
        return self.send(self.auction.functions.postBids(offer, wire), self.anyone)

    def clear(
        self, offer: bytes, claim: Claim, records: bytes, rejected: bytes = b"", progress: Any = EMPTY_PROGRESS
    ) -> ContractFunction:
        """The call of `clear`, to be sent or only tried."""
        claimed = (claim.marginal, claim.marginal_quantity, list(claim.passed_over))
        return self.auction.functions.clear(offer, claimed, records, rejected, progress)
