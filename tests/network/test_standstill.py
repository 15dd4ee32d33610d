"""A whole market whose chain stands still: it says so, takes bids and shows what it has, loses nothing, and goes on by
itself when one of two dead validators is back. Its process is the product's, the network is this file's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from market.chain.deployment import CONTRACT_NAMES, DeploymentParameters, write_deployment
from market.chain.profiles import rpc
from market.desks.desk import Desk, document_hash
from market.desks.market_client import MarketClient, MarketUnavailable
from market.domain.messages import Bid, BidReceipt, Offer, Request, Signal
from market.domain.products import Direction, Phase, Product, Side
from market.domain.signing import recover_message, sign_message
from market.services.backlog import STANDSTILL_S
from market.settings import ChainProfile, write_private_key
from scripts.chaos.evidence import posted_bids
from scripts.demo.checker.evidence import collect
from scripts.network.layout import CHAIN_ID
from tests.chain.world import (
    EUR,
    KEYS,
    NANOGRIDS,
    NODE,
    PORTFOLIO,
    REQUEST_PRICE_UEUR_KWH,
    nanogrid,
    owner_key,
)
from tests.network.world import STOPPED, NetworkWorld
from tests.networks import RPC_AT, Network, running_network
from tests.waiting import until

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]

UNIT_S: Final = 60
"""Market time unit: between the last bid and the gate's closure there must be time for a block."""
PARAMETERS: Final = DeploymentParameters(
    admin_delay_s=60,
    time_unit_s=UNIT_S,
    reading_deadline_s=4 * UNIT_S,
    hold_window_s=UNIT_S,
    hold_term_s=4 * UNIT_S,
    hold_bond_ueur=5 * EUR,
    unbonding_s=96 * UNIT_S,
)
GATE_AHEAD_S: Final = 150
"""From the opening of the offer to its gate closure: the chain dies and is back before it."""
BLOCK_WITHIN_S: Final = 75
"""From a validator's start to the first block."""
SEEN_WITHIN_S: Final = 15
"""From there until the market says so: it looks every five seconds, whatever its calendar is."""
QUANTITY: Final = 2000
DEAD, BACK = STOPPED
"""Both are killed; the second one comes back."""


@dataclass
class StandstillMarket:
    """A market that serves on a network, and its participants."""

    network: Network
    world: NetworkWorld
    url: str
    http: httpx.Client

    def desk(self, key: bytes) -> Desk:
        """Whoever holds a key, calling once: nobody asks again in its place."""
        return Desk(MarketClient(self.url, private_key="0x" + key.hex(), patience_s=0, timeout_s=60), key)

    def bid(self, offer: str, index: int) -> Bid:
        """Nanogrid `index` bids, and has a receipt that the market's relayer signed."""
        owner = self.desk(owner_key(index))
        bid = Bid(bytes.fromhex(offer[2:]), index, 100_000 + index, 500, 0, 0)
        fields = {"index": index, "price_ueur_kwh": bid.price_ueur_kwh, "quantity": 500, "minimum": 0, "revision": 0}
        domain = owner.facts.domain(bid)
        signature = sign_message(owner_key(index), bid, domain).hex()
        answer = owner.client.post(f"/v1/offers/{offer}/bids", {"bids": [fields | {"signature": signature}]})
        [result] = answer["results"]
        assert result["accepted"], result["problem"]
        receipt = result["receipt"]
        said = BidReceipt(bid.digest(domain), bid.offer, receipt["received_at"])
        assert recover_message(said, domain, bytes.fromhex(receipt["signature"][2:])) == self.world.address("relayer")
        return bid

    def ready(self) -> httpx.Response:
        return self.http.get("/health/ready")

    def overview(self) -> dict[str, Any]:
        """What the market's page shows."""
        shown: dict[str, Any] = self.http.get(f"/v1/nodes/{NODE}/overview").raise_for_status().json()
        return shown

    def offer(self, offer: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.http.get(f"/v1/offers/{offer}").raise_for_status().json()
        return shown

    def height(self) -> int:
        return int(rpc(self.world.contracts.web3, "eth_blockNumber"), 16)


@contextmanager
def serving(network: Network, world: NetworkWorld, folder: Path, port: int) -> Iterator[str]:
    """The market's own process on a world's contracts and database."""
    write_deployment(folder / "deployment.json", world.contracts.deployment)
    write_private_key(folder / "relayer.key", KEYS["relayer"])
    settings = {
        "MERITGRID_DATA_DIR": str(folder),
        "MERITGRID_DATABASE_URL": world.engine.url.render_as_string(hide_password=False),
        "MERITGRID_CHAIN_PROFILE": ChainProfile.NETWORK.value,
        "MERITGRID_CHAIN_ID": str(CHAIN_ID),
        "MERITGRID_RPC_URL": ",".join(network.member(name).rpc_url for name in (RPC_AT, "auditor")),
        "MERITGRID_DEPLOYMENT_FILE": str(folder / "deployment.json"),
        "MERITGRID_RELAYER_KEY__FILE": str(folder / "relayer.key"),
        "MERITGRID_API__PORT": str(port),
        "MERITGRID_API__BASE_URL": (url := f"http://127.0.0.1:{port}"),
    }
    with (folder / "market.log").open("wb") as log:
        market = subprocess.Popen(
            [sys.executable, "-m", "market.cli", "market", "serve"],
            env={**os.environ, **settings},
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        try:
            yield url
        finally:
            market.terminate()
            market.wait(timeout=60)


@pytest.fixture
def market(tmp_path: Path, free_port: int) -> Iterator[StandstillMarket]:
    """A market with participants, money, and a request that offers may answer."""
    with running_network() as network:
        database = f"sqlite:///{tmp_path / 'market.sqlite'}"
        world = NetworkWorld.build(network, database, ChainProfile.NETWORK, PARAMETERS)
        world.register(world.next_interval(100))
        world.reconcile()
        world.fund()
        with serving(network, world, tmp_path, free_port) as url, httpx.Client(base_url=url, timeout=30) as http:
            stage = StandstillMarket(network, world, url, http)
            until(lambda: answers(stage), 60, f"the market does not serve; see {tmp_path / 'market.log'}")
            yield stage
        world.engine.dispose()


def answers(market: StandstillMarket) -> bool:
    try:
        return market.ready().status_code == 200
    except httpx.TransportError:
        return False


def opened_offer(market: StandstillMarket, interval: int) -> str:
    """The DSO asks for flexibility, and the aggregator opens an offer."""
    dso, aggregator = market.desk(KEYS["dso"]), market.desk(KEYS["aggregator"])
    market.world.anchor(interval, [0] * NANOGRIDS)
    set_light(dso, interval, 1)
    what = (Product.CM_REALTIME, Direction.DOWN)
    request = Request(NODE, interval, *what, REQUEST_PRICE_UEUR_KWH, (QUANTITY,), 1)
    asked = bytes.fromhex(dso.decide("/v1/requests", request)["id"][2:])
    gate_closure = int(time.time()) + GATE_AHEAD_S
    offer = Offer(
        PORTFOLIO, asked, interval, Side.BUY, Direction.DOWN, Product.CM_REALTIME, QUANTITY, REQUEST_PRICE_UEUR_KWH,
        gate_closure, 1,
    )  # fmt: skip
    return str(aggregator.decide("/v1/offers", offer)["id"])


def set_light(dso: Desk, interval: int, sequence: int) -> None:
    reason = {"why": "a test of what a standstill does"}
    signal = Signal(NODE, interval, Phase.YELLOW, 0, document_hash(reason), sequence)
    dso.decide(f"/v1/nodes/{NODE}/signals", signal, reason=reason)


def refusal_of_a_light(dso: Desk, interval: int) -> MarketUnavailable:
    """What the DSO is told that sets a light while the chain stands still."""
    with pytest.raises(MarketUnavailable) as told:
        set_light(dso, interval, 2)
    return told.value


def test_a_market_whose_chain_stands_still_says_so_loses_nothing_and_goes_on_by_itself(
    market: StandstillMarket,
) -> None:
    interval = market.world.next_interval(415)
    offer = opened_offer(market, interval)
    bids = [market.bid(offer, 0)]
    assert market.overview()["standstill_since"] is None

    for name in (DEAD, BACK):
        market.network.validators[name].kill()
    time.sleep(1)
    before = market.height()
    dso = market.desk(KEYS["dso"])
    with ThreadPoolExecutor(1) as elsewhere:
        answer = elsewhere.submit(refusal_of_a_light, dso, interval + UNIT_S)
        bids.append(market.bid(offer, 1))
        assert market.ready().status_code == 200, "a slow block is no standstill"
        until(lambda: market.ready().status_code == 503, STANDSTILL_S + 10, "the market does not say so")
        said = market.ready().json()
        assert said["status"] == "not ready"
        assert list(said["missing"]) == ["chain"]
        assert "Trading stands still; what is sent waits, and goes on by itself" in said["missing"]["chain"]
        shown = market.overview()
        assert 0 <= shown["now"] - STANDSTILL_S - shown["standstill_since"] < 10
        bids.append(market.bid(offer, 2))
        for path in ("/", "/health/live", "/v1/market", "/v1/offers", f"/v1/nodes/{NODE}", "/metrics"):
            assert market.http.get(path).status_code == 200, path
        assert market.offer(offer)["state"] == "OPEN"
        told = answer.result().response
    assert told.json()["type"].endswith("/not-mined-yet")
    assert "It is kept and goes on" in told.json()["detail"]
    assert market.height() == before, "two of five are down"

    market.network.validators[BACK].start()
    until(lambda: market.height() > before, BLOCK_WITHIN_S, "no block, although one of the two is back")
    until(lambda: market.ready().status_code == 200, SEEN_WITHIN_S, "the market does not say that trading goes on")
    assert market.overview()["standstill_since"] is None

    until(lambda: market.offer(offer)["state"] in ("CLEARED", "FINAL"), GATE_AHEAD_S + UNIT_S, "not cleared")
    contracts = market.world.contracts
    evidence = collect(contracts.web3, {name: contracts.named(name) for name in CONTRACT_NAMES}, [])
    assert posted_bids(evidence) == {
        (offer, nanogrid(bid.index), bid.revision, bid.price_ueur_kwh, bid.quantity, bid.minimum) for bid in bids
    }, "each bid with a receipt is on the chain, and nothing else"
    lights = [event.arguments["sequence"] for event in evidence.named("SignalSet")]
    assert lights == [1, 2], "what the DSO was told to be kept happened, once"
    assert market.network.validators[DEAD].pid is None
