"""A small market on a real chain: contracts, actors with keys, one node, one portfolio, four nanogrids.

Every transaction goes through the product's own sender; decisions are signed by those who take them and carried by
the relayer.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Any, Protocol, Self

from eth_account import Account
from sqlalchemy import Engine
from web3.contract.contract import ContractFunction

from market.chain.bindings import Contracts
from market.chain.deployment import Deployment, DeploymentParameters, deploy
from market.chain.embedded import request, set_block_time
from market.chain.indexer import Indexer
from market.chain.profiles import PROFILES, connect, rpc
from market.chain.receipts import Receipt
from market.chain.sender import TransactionSender
from market.domain.hashing import keccak256
from market.domain.merit_order import claim_of, clear_greedy
from market.domain.messages import Bid, Offer, Reading, Request, SeatTransfer, Signal
from market.domain.products import Direction, Phase, Product, Side
from market.domain.records import BidRecord, WireBid, pack_awards, pack_bids, pack_wire_bids, unpack_awards, unpack_bids
from market.domain.settled_records import SettlementReading, pack_readings
from market.domain.signing import address_of, sign_message
from market.domain.trees import award_range, baseline_root, baseline_vector
from market.domain.typed_data import Message
from market.settings import ChainProfile
from market.store.database import migrate, open_engine, session_scope
from market.store.models import Offer as OfferRow
from market.store.models import PostedBid as PostedRow
from tests.clock import TEST_EPOCH

U = 900
NODE, PORTFOLIO = 7, 3
NANOGRIDS = 4
EUR = 1_000_000
SWING_WH = 10_000
"""What a nanogrid can move within an interval, from full feed-in to full load."""
EMERGENCY_PRICE_UEUR_KWH = 300_000
REQUEST_PRICE_UEUR_KWH = 400_000
NO_REASON = bytes(32)
EMPTY_PROGRESS = (bytes(32), 0, 0, [], 0, [], 0, b"", [])
ACTORS = ("operator", "oracle", "referee", "dso", "aggregator", "relayer", "stranger")
Account.enable_unaudited_hdwallet_features()
_MNEMONIC = "test test test test test test test test test test test junk"
KEYS = {
    name: bytes(Account.from_mnemonic(_MNEMONIC, account_path=f"m/44'/60'/0'/0/{place}").key)
    for place, name in enumerate(ACTORS)
}


def actors_of(cast: str) -> dict[str, bytes]:
    """Keys of another set of actors."""
    return {name: keccak256(f"{cast} {name}".encode()) for name in ACTORS}


PARAMETERS = DeploymentParameters(
    admin_delay_s=3600,
    time_unit_s=U,
    reading_deadline_s=4 * U,
    hold_window_s=2 * U,
    hold_term_s=3 * U,
    hold_bond_ueur=5 * EUR,
    unbonding_s=40 * U,
)

Part = Iterator[int]
"""Something that happens by and by: it yields the times that it waits for [epoch s]."""


def owner_key(index: int) -> bytes:
    return keccak256(f"owner {index}".encode())


def gateway_key(index: int) -> bytes:
    return keccak256(f"gateway {index}".encode())


def nanogrid(index: int) -> int:
    return PORTFOLIO << 16 | index


def before(interval: int, hundredths: int) -> int:
    """interval - u x hundredths / 100."""
    return interval - U * hundredths // 100


class Chain(Protocol):
    """A chain that answers at an address."""

    @property
    def rpc_url(self) -> str: ...


@dataclass
class World:
    """The market and its clock, which stands still unless it is moved."""

    chain: Chain
    contracts: Contracts
    engine: Engine
    indexer: Indexer
    keys: Mapping[str, bytes] = field(default_factory=lambda: KEYS)
    now_s: int = TEST_EPOCH
    nobody: str = field(default_factory=lambda: str(Account.create().address))
    """An address of which the chain knows nothing yet."""
    baselines: dict[int, list[int]] = field(default_factory=dict)
    _counter: Any = field(default_factory=lambda: itertools.count(1))
    _senders: dict[str, TransactionSender] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        chain: Chain,
        database_url: str,
        chain_profile: ChainProfile = ChainProfile.EMBEDDED,
        parameters: DeploymentParameters = PARAMETERS,
        keys: Mapping[str, bytes] = KEYS,
    ) -> Self:
        """Deployed and migrated; nobody is registered yet."""
        web3 = connect(chain.rpc_url, PROFILES[chain_profile])
        deployment = deploy(web3, Account.from_key(keys["operator"]), parameters)
        return cls.on(chain, database_url, deployment, chain_profile, keys)

    @classmethod
    def on(
        cls,
        chain: Chain,
        database_url: str,
        deployment: Deployment,
        chain_profile: ChainProfile,
        keys: Mapping[str, bytes],
    ) -> Self:
        """On contracts that are deployed already, with an empty database."""
        profile = PROFILES[chain_profile]
        migrate(database_url)
        engine = open_engine(database_url)
        contracts = Contracts(connect(chain.rpc_url, profile), deployment, profile)
        return cls(chain, contracts, engine, Indexer(contracts, engine), keys)

    # TIME

    @property
    def unit_s(self) -> int:
        """Length of an interval."""
        return self.contracts.deployment.parameters.time_unit_s

    def now(self) -> int:
        """The market's time."""
        return self.now_s

    def at(self, moment_s: int) -> None:
        """Move the clock, never back."""
        self.now_s = moment_s
        set_block_time(self.chain.rpc_url, moment_s)

    def before(self, interval: int, hundredths: int) -> int:
        """interval - u x hundredths / 100."""
        return interval - self.unit_s * hundredths // 100

    def next_interval(self, ahead_hundredths: int, after_s: int = 0) -> int:
        """The first interval from whose start so many hundredths of a unit are still to come, now and at `after_s`."""
        earliest = max(self.now(), after_s) + self.unit_s * ahead_hundredths // 100 + 1
        return -(-earliest // self.unit_s) * self.unit_s

    def play(self, parts: Sequence[Part]) -> None:
        """Have several things happen side by side, in the order of their times."""
        waiting = [(self.now_s, place, part) for place, part in enumerate(parts)]
        heapify(waiting)
        while waiting:
            moment_s, place, part = waiting[0]
            if moment_s > self.now_s:
                self.at(moment_s)
            following_s = next(part, None)
            if following_s is None:
                heappop(waiting)
            else:
                heapreplace(waiting, (following_s, place, part))

    def block_time(self, number: int) -> int:
        """When a block was made [epoch s]."""
        return int(rpc(self.contracts.web3, "eth_getBlockByNumber", hex(number), False)["timestamp"], 16)

    # WHAT ELSE MAY HAPPEN TO A CHAIN

    @contextmanager
    def standing_still(self, for_s: float) -> Iterator[None]:
        """The chain takes transactions and makes no block for so long, then goes on by itself."""
        self._stand_still()
        going_on = threading.Timer(for_s, self._go_on)
        going_on.start()
        try:
            yield
        finally:
            going_on.join()

    def _stand_still(self) -> None:
        request(self.chain.rpc_url, "evm_setAutomine", False)

    def _go_on(self) -> None:
        request(self.chain.rpc_url, "evm_setAutomine", True)
        request(self.chain.rpc_url, "evm_mine")  # what has come meanwhile waits for a block

    # SENDING AND SIGNING

    def sender(self, name: str) -> TransactionSender:
        if name not in self._senders:
            self._senders[name] = TransactionSender(self.contracts, self.engine, self.keys[name], now=self.now)
        return self._senders[name]

    def address(self, name: str) -> str:
        return address_of(self.keys[name])

    def send(self, name: str, function: ContractFunction) -> Receipt:
        """One transaction of an actor, with a purpose of its own."""
        return self.sender(name).send(function, f"{name}: {function.fn_name}", f"test-{next(self._counter)}")

    def send_all(self, name: str, functions: Sequence[ContractFunction]) -> list[Receipt]:
        """Several transactions of an actor that do not need each other."""
        calls = [(function, f"{name}: {function.fn_name}", f"test-{next(self._counter)}") for function in functions]
        return self.sender(name).send_all(calls)

    def sign(self, key: bytes, message: Message) -> bytes:
        return sign_message(key, message, self.contracts.domain_of(message)).to_bytes()

    def decide(self, function: Any, message: Message, by: str) -> Receipt:
        """Carry a decision that an actor has signed."""
        return self.send("relayer", function(message.arguments(), self.sign(self.keys[by], message)))

    def give_nanogrid(self, index: int, key: bytes, owner: str) -> Receipt:
        """The operator carries what the old owner, whose key it is, has signed."""
        registry = self.contracts.registry.functions
        nonce = self.contracts.call(registry.ownerNonce(nanogrid(index)))
        transfer = SeatTransfer(nanogrid(index), owner, nonce)
        return self.send("operator", registry.changeSeatOwner(transfer.arguments(), self.sign(key, transfer)))

    # SET-UP

    @property
    def rated_power_w(self) -> int:
        """By which a nanogrid can move SWING_WH."""
        return SWING_WH * 3600 // (2 * self.unit_s)

    def register(self, active_from: int = TEST_EPOCH + U) -> None:
        registry, settlement = self.contracts.registry.functions, self.contracts.settlement.functions
        roles = ("ORACLE", "REFEREE", "DSO", "AGGREGATOR")
        self.send_all(
            "operator", [registry.grantRole(keccak256(role.encode()), self.address(role.lower())) for role in roles]
        )
        self.send("operator", registry.registerNode(NODE, self.address("dso"), "Substation 7"))
        self.send("operator", registry.registerPortfolio(PORTFOLIO, NODE, self.address("aggregator"), "Community"))
        seats = [
            (PORTFOLIO, address_of(owner_key(index)), self.rated_power_w, EMERGENCY_PRICE_UEUR_KWH, active_from)
            for index in range(NANOGRIDS)
        ]
        self.send_all("operator", [registry.registerSeat(*seat) for seat in seats])
        gateways = [(nanogrid(index), address_of(gateway_key(index))) for index in range(NANOGRIDS)]
        self.send_all("operator", [settlement.setGateway(*gateway) for gateway in gateways])

    def fund(
        self, dso_ueur: int = 1000 * EUR, bond_ueur: int = 80 * EUR, bonds_ueur: Mapping[int, int] | None = None
    ) -> None:
        """Deposits and bonds; bonds_ueur: of the nanogrids by their index that have another than the rest."""
        settlement, token = self.contracts.settlement, self.contracts.token.functions
        bonds = dict.fromkeys(range(NANOGRIDS), bond_ueur) | dict(bonds_ueur or {})
        needed = dso_ueur + 1000 * EUR + sum(bonds.values())
        self.send("operator", token.mint(self.address("operator"), needed, keccak256(b"bank")))
        self.send("operator", token.approve(settlement.address, needed))
        deposits = {"dso": dso_ueur, "aggregator": 1000 * EUR}
        given = [settlement.functions.deposit(self.address(name), ueur) for name, ueur in deposits.items()]
        given += [settlement.functions.fundBond(nanogrid(index), ueur) for index, ueur in bonds.items()]
        self.send_all("operator", given)

    # AN AUCTION

    def anchor(self, interval: int, values: Sequence[int]) -> None:
        self.anchor_all([interval], values)

    def anchor_all(self, intervals: Sequence[int], values: Sequence[int]) -> None:
        """The same baselines for several intervals."""
        self.baselines |= {interval: list(values) for interval in intervals}
        root = baseline_root(values)
        anchors = [(PORTFOLIO, interval, 0, len(values), root) for interval in intervals]
        self.send("oracle", self.contracts.metering.functions.anchorBaselines(anchors))

    def signal(self, interval: int, phase: Phase, sequence: int) -> None:
        message = Signal(NODE, interval, phase, 0, NO_REASON, sequence)
        self.decide(self.contracts.signals.functions.setSignal, message, "dso")

    def request(self, first: int, quantities: Sequence[int]) -> bytes:
        message = Request(
            NODE, first, Product.CM_REALTIME, Direction.DOWN, REQUEST_PRICE_UEUR_KWH, tuple(quantities), self.now()
        )
        self.decide(self.contracts.auction.functions.publishRequest, message, "dso")
        return message.digest(self.contracts.domain_of(message))

    def offer(
        self,
        interval: int,
        quantity: int,
        request: bytes = bytes(32),
        side: Side = Side.BUY,
        limit_price_ueur_kwh: int = REQUEST_PRICE_UEUR_KWH,
    ) -> bytes:
        internal = request == bytes(32)
        message = Offer(
            portfolio=PORTFOLIO,
            request=request,
            interval=interval,
            side=side,
            direction=Direction.DOWN,
            product=Product.INTERNAL if internal else Product.CM_REALTIME,
            quantity=quantity,
            limit_price_ueur_kwh=1 if side is Side.SELL else limit_price_ueur_kwh,
            gate_closure=self.before(interval, 345 if internal else 140),
            salt=self.now(),
        )
        self.decide(self.contracts.auction.functions.openOffer, message, "aggregator")
        return message.digest(self.contracts.domain_of(message))

    def open_offer(self, interval: int, quantity: int = 2000) -> bytes:
        """An offer that answers a request, opened at T - 2.75u; all baselines are 0."""
        self.at(self.before(interval, 410))
        self.anchor(interval, [0] * NANOGRIDS)
        self.at(self.before(interval, 300))
        self.signal(interval, Phase.YELLOW, 1)
        request = self.request(interval, [quantity])
        self.at(self.before(interval, 275))
        return self.offer(interval, quantity, request)

    def wire(self, offer: bytes, record: BidRecord, key: bytes | None = None) -> WireBid:
        bid = Bid(offer, record.index, record.price_ueur_kwh, record.quantity, record.minimum, record.revision)
        signer = key or owner_key(record.index)
        return WireBid(record, sign_message(signer, bid, self.contracts.domain_of(bid)).compact())

    def post(self, offer: bytes, bids: Sequence[WireBid]) -> None:
        self.send("relayer", self.contracts.auction.functions.postBids(offer, pack_wire_bids(bids)))

    def clear(self, offer: bytes) -> bytes:
        """Clear by what the projections know, and return the packed awards."""
        self.indexer.index_now()
        with session_scope(self.engine) as session:
            row = session.get_one(OfferRow, "0x" + offer.hex())
            posted = session.query(PostedRow).filter_by(offer=row.offer).order_by(PostedRow.position).all()
            bids = unpack_bids(b"".join(bid.record for bid in posted))
            side, quantity = Side(row.side), row.quantity
        clearing = clear_greedy(quantity, side, bids)
        claim = claim_of(clearing)
        claimed = (claim.marginal, claim.marginal_quantity, list(claim.passed_over))
        function = self.contracts.auction.functions.clear(offer, claimed, pack_bids(bids), b"", EMPTY_PROGRESS)
        self.send("relayer", function)
        return pack_awards(clearing.awards)

    def finalise(self, offer: bytes, awards: bytes) -> None:
        self.send("relayer", self.contracts.auction.functions.finalise(offer, awards, b""))

    def settle(self, offer: bytes, interval: int, awards: bytes, metered_wh: Mapping[int, int]) -> Receipt:
        """Settle the awards of the nanogrid indices that have a reading."""
        winners = [award.index for award in unpack_awards(awards)]
        readings = [
            self.reading(index, interval, metered_wh[index], ordinal)
            for ordinal, index in enumerate(winners)
            if index in metered_wh
        ]
        settlement = self.contracts.settlement.functions
        function = settlement.settle(
            offer,
            settlement.bindingOf(offer).call(),
            baseline_vector(self.baselines[interval]),
            award_range(awards, 0, len(winners) - 1).argument(),
            pack_readings(readings),
        )
        return self.send("oracle", function)

    def reading(self, index: int, interval: int, active_energy_wh: int, ordinal: int = 0) -> SettlementReading:
        """A gateway's signed reading for the award with that ordinal."""
        message = Reading(nanogrid(index), interval, active_energy_wh, 0, interval)
        signature = sign_message(gateway_key(index), message, self.contracts.domain_of(message)).compact()
        return SettlementReading(ordinal, active_energy_wh, 0, interval, signature)
