"""How fast the permissioned network is: `python -m scripts.bench.network` writes network.json and draws it.

Five validators on this machine in a temporary folder, the product's own contracts, sender and batches. Measured with
all five and with one killed, by the same key through the node of another.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from sqlalchemy import Engine
from web3.contract.contract import ContractFunction

from market.chain.bindings import Contracts
from market.chain.deployment import DeploymentParameters, deploy
from market.chain.profiles import PROFILES, connect
from market.chain.sender import TransactionSender
from market.domain.hashing import keccak256
from market.domain.messages import Bid, Offer, Request, Signal
from market.domain.products import Direction, Phase, Product, Side
from market.domain.records import BidRecord, WireBid, pack_wire_bids
from market.domain.signing import address_of, sign_message
from market.domain.trees import baseline_root
from market.domain.typed_data import Message
from market.domain.units import nanogrid_id
from market.settings import ChainProfile
from market.store.database import migrate, open_engine
from scripts.bench.figures import ROOT, Row, write_rows
from scripts.bench.network_picture import draw
from scripts.network.build import Programs, build
from scripts.network.creation import create_network
from scripts.network.layout import Layout
from scripts.network.validators import Validators, await_health

UNIT_S: Final = 60
SEATS: Final = 1_600
BATCH: Final = 200
"""Bids in one transaction, about 2 million gas."""
TRANSACTIONS: Final = 100
DOWN: Final = "dso-1"
_AHEAD_UNITS: Final = 60
_SENT_AT_ONCE: Final = 400
_NODE, _PORTFOLIO = 1, 1
_PRICE_UEUR_KWH: Final = 400_000
_BOND_UEUR: Final = 5_000_000
_NETWORK: Final = PROFILES[ChainProfile.NETWORK]
_ROLES: Final = ("operator", "relayer", "oracle", "dso", "aggregator")
_KEYS: Final = {name: keccak256(f"network bench {name}".encode()) for name in _ROLES}
"""They are worth nothing outside the chain that the bench makes."""


@dataclass
class Market:
    """A market with one portfolio of SEATS seats, and offers that wait for bids."""

    contracts: Contracts
    engine: Engine

    @cached_property
    def operator(self) -> TransactionSender:
        return self._sender("operator")

    @cached_property
    def relayer(self) -> TransactionSender:
        return self._sender("relayer")

    def _sender(self, name: str) -> TransactionSender:
        return TransactionSender(self.contracts, self.engine, _KEYS[name])

    def send(self, sender: TransactionSender, functions: Sequence[ContractFunction], name: str) -> None:
        """Have them executed, several at once."""
        for first in range(0, len(functions), _SENT_AT_ONCE):
            part = functions[first : first + _SENT_AT_ONCE]
            sender.send_all([(each, name, f"{name}:{first + place}") for place, each in enumerate(part)])

    def register(self, first_interval: int) -> None:
        registry, token = self.contracts.registry.functions, self.contracts.token.functions
        settlement = self.contracts.settlement
        roles = [
            (keccak256(name.upper().encode()), address_of(_KEYS[name])) for name in ("oracle", "dso", "aggregator")
        ]
        self.send(self.operator, [registry.grantRole(*role) for role in roles], "role")
        # The oracle's transactions are the relayer's here: one sender is what is measured.
        self.send(self.operator, [registry.grantRole(roles[0][0], self.relayer.address)], "relayer-as-oracle")
        self.send(self.operator, [registry.registerNode(_NODE, address_of(_KEYS["dso"]), "Substation")], "node")
        portfolio = registry.registerPortfolio(_PORTFOLIO, _NODE, address_of(_KEYS["aggregator"]), "Community")
        self.send(self.operator, [portfolio], "portfolio")
        seats = [(_PORTFOLIO, address_of(owner_key(index)), 20_000, 300_000, first_interval) for index in range(SEATS)]
        self.send(self.operator, [registry.registerSeat(*seat) for seat in seats], "seat")
        money_ueur = 10**12
        self.send(self.operator, [token.mint(self.operator.address, money_ueur, keccak256(b"bank"))], "mint")
        self.send(self.operator, [token.approve(settlement.address, money_ueur)], "approve")
        deposit = settlement.functions.deposit(address_of(_KEYS["dso"]), money_ueur // 2)
        self.send(self.operator, [deposit], "deposit")
        nanogrids = [nanogrid_id(_PORTFOLIO, index) for index in range(SEATS)]
        fund = settlement.functions.fundBond
        self.send(self.operator, [fund(nanogrid, _BOND_UEUR) for nanogrid in nanogrids], "bond")

    def open_offers(self, intervals: Sequence[int]) -> list[bytes]:
        """An offer that answers a request, in each of some intervals that follow each other."""
        auction = self.contracts.auction.functions
        root = baseline_root([0] * SEATS)
        anchors = [(_PORTFOLIO, interval, 0, SEATS, root) for interval in intervals]
        self.send(self.relayer, [self.contracts.metering.functions.anchorBaselines(anchors)], "anchor")
        for number, interval in enumerate(intervals, 1):
            signal = Signal(_NODE, interval, Phase.YELLOW, 0, bytes(32), number)
            self._decide(self.contracts.signals.functions.setSignal, signal, "dso")
        quantities = tuple(1_000 for _ in intervals)
        request = Request(_NODE, intervals[0], Product.CM_REALTIME, Direction.DOWN, _PRICE_UEUR_KWH, quantities, 0)
        self._decide(auction.publishRequest, request, "dso")
        return [self._open(request.digest(self.contracts.domain_of(request)), interval) for interval in intervals]

    def _open(self, request: bytes, interval: int) -> bytes:
        offer = Offer(
            portfolio=_PORTFOLIO,
            request=request,
            interval=interval,
            side=Side.BUY,
            direction=Direction.DOWN,
            product=Product.CM_REALTIME,
            quantity=1_000,
            limit_price_ueur_kwh=_PRICE_UEUR_KWH,
            gate_closure=interval - 140 * UNIT_S // 100,
            salt=0,
        )
        self._decide(self.contracts.auction.functions.openOffer, offer, "aggregator")
        return offer.digest(self.contracts.domain_of(offer))

    def _decide(self, function: Any, message: Any, by: str) -> None:
        signature = self._sign(_KEYS[by], message)
        self.send(
            self.relayer, [function(message.arguments(), signature)], f"{function.fn_name}:{signature.hex()[:40]}"
        )

    def _sign(self, key: bytes, message: Message) -> bytes:
        return sign_message(key, message, self.contracts.domain_of(message)).to_bytes()

    def bids(self, offer: bytes) -> list[ContractFunction]:
        """One bid of each seat, signed by its owner, in batches."""
        wire = [self._wire(offer, index) for index in range(SEATS)]
        post = self.contracts.auction.functions.postBids
        return [post(offer, pack_wire_bids(wire[first : first + BATCH])) for first in range(0, SEATS, BATCH)]

    def _wire(self, offer: bytes, index: int) -> WireBid:
        record = BidRecord(100_000 + index, 200, 0, index)
        bid = Bid(offer, index, record.price_ueur_kwh, record.quantity, record.minimum, record.revision)
        return WireBid(record, sign_message(owner_key(index), bid, self.contracts.domain_of(bid)).compact())


def owner_key(index: int) -> bytes:
    """Key of a seat's owner."""
    return keccak256(f"network bench owner {index}".encode())


@contextmanager
def running_network(folder: Path) -> Iterator[Validators]:
    """Five validators in good health."""
    programs, layout = Programs(), Layout(folder)
    build(programs)
    create_network(layout, [address_of(_KEYS["operator"])], [address_of(_KEYS["relayer"])], programs=programs)
    with Validators(layout, programs.node) as validators:
        validators.start()
        await_health(list(validators))
        yield validators


def seconds_to_final(market: Market, name: str) -> list[float]:
    """From the call of the sender to the final receipt, one small transaction after the other. [s]"""
    taken = []
    for number in range(TRANSACTIONS):
        function = market.contracts.token.functions.approve(market.operator.address, number)
        started = time.monotonic()
        market.relayer.send(function, name, f"{name}:{number}")
        taken.append(time.monotonic() - started)
    return taken


def bids_per_second(market: Market, offer: bytes, name: str) -> float:
    """Bids over the time from the first batch's sending to the last one's final receipt.

    Raises:
        SystemExit: the contract did not take all of them.
    """
    calls = market.bids(offer)
    started = time.monotonic()
    market.send(market.relayer, calls, name)
    taken = time.monotonic() - started
    count = market.contracts.call(market.contracts.auction.functions.stateOf(offer))["bidCount"]
    if count != SEATS:
        raise SystemExit(f"of {SEATS} bids the contract took {count}")
    return SEATS / taken


def measure(market: Market, validators: Validators, how: str) -> list[Row]:
    """All figures, with five validators and with four."""
    first = (int(time.time()) // UNIT_S + _AHEAD_UNITS) * UNIT_S
    market.register(first)
    offers = market.open_offers([first, first + UNIT_S, first + 2 * UNIT_S])
    bids_per_second(market, offers[0], "unmeasured")  # a seat's first bid costs more than the later ones
    rows = []
    for offer, suffix in ((offers[1], ""), (offers[2], "_with_one_down")):
        if suffix:
            validators[DOWN].kill()
        seconds = seconds_to_final(market, f"final{suffix}")
        percentiles = statistics.quantiles(seconds, n=100, method="inclusive")
        rate = bids_per_second(market, offer, f"bids{suffix}")
        rows += [
            Row(f"seconds_to_final_median{suffix}", TRANSACTIONS, round(statistics.median(seconds), 2), "s", how),
            Row(f"seconds_to_final_p99{suffix}", TRANSACTIONS, round(percentiles[98], 2), "s", how),
            Row(f"bids_per_second_to_final{suffix}", SEATS, round(rate, 1), "bids/s", how),
        ]
    return rows


def main() -> None:
    """Measure once, and write docs/benchmarks/network.json and its picture."""
    how = (
        f"python -m scripts.bench.network: five validators on one machine; {TRANSACTIONS} small transactions one after "
        f"the other by the product's sender; {SEATS} bids in batches of {BATCH}, all sent at once by one relayer"
    )
    with tempfile.TemporaryDirectory(prefix="meritgrid-bench-") as folder, running_network(Path(folder)) as validators:
        web3 = connect(validators["operator"].member.rpc_url, _NETWORK)
        deployment = deploy(web3, Account.from_key(_KEYS["operator"]), DeploymentParameters(time_unit_s=UNIT_S))
        url = f"sqlite:///{folder}/market.sqlite"
        migrate(url)
        engine = open_engine(url)
        try:
            rows = measure(Market(Contracts(web3, deployment, _NETWORK), engine), validators, how)
        finally:
            engine.dispose()
    write_rows("network.json", rows)
    draw({row.figure: row.value for row in rows}, ROOT / "docs" / "pictures" / "network.png")


if __name__ == "__main__":
    main()
