"""Enrolment and bidding over HTTP, against a small market that checks every signature."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Header, HTTPException, Request
from typer.testing import CliRunner

from gateway_agent.bidder import Bidder
from gateway_agent.bidding import MarketApi, OfferBoard, is_receipt_of
from gateway_agent.cli import app as gateway_app
from gateway_agent.configuration import ENROLMENT_FILE, KEY_FILE, SETTINGS_FILE, BadConfiguration, load_enrolled
from gateway_agent.enrolment import EnrolmentRefused, enrol
from gateway_agent.identity import UnsafeFile, load_identity, load_or_create_identity, write_secret
from gateway_agent.metrics import Metrics
from gateway_agent.parts import Parts
from market.domain.enrolment_code import EnrolmentCode, MalformedCode
from market.domain.gateway_key import KeyKind, gateway_of_message
from market.domain.messages import Bid, BidReceipt, Enrolment, access_request
from market.domain.products import Direction, Product, Side
from market.domain.signing import address_of, recover_message, sign_message
from tests.gateway_agent.world import (
    AUCTION,
    NANOGRID,
    RELAYER_KEY,
    SETTLEMENT,
    SIGNALS,
    T0,
    UNIT_S,
    dispatch_id,
    install,
    nanogrid_file,
)

DELEGATE_TOML = """
[bidding]
key_file = "delegate.key"
markup_permille = 500
reserve_soc_permille = 0
price_floor_ueur_kwh = { battery = 80000, pv = 60000 }
"""


@dataclass
class SmallMarket:
    """GET /v1/market, /v1/offers; POST /v1/enrolments, /v1/offers/{id}/bids."""

    port: int
    code: EnrolmentCode = field(default_factory=lambda: EnrolmentCode.new(NANOGRID))
    delegate: str = ""
    offers: list[dict[str, Any]] = field(default_factory=list)
    bids: list[dict[str, Any]] = field(default_factory=list)
    fetched: int = 0
    failures: int = 0
    used: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def application(self) -> FastAPI:
        app = FastAPI()

        @app.get("/v1/market")
        def market() -> dict[str, Any]:
            return {"chain_id": SETTLEMENT.chain_id, "contracts": {"settlement": SETTLEMENT.contract}, "more": 1}

        @app.post("/v1/auth/nonce")
        def nonce() -> dict[str, Any]:
            return {"nonce": "0123456789abcdef"}

        @app.post("/v1/enrolments")
        def enrolments(body: dict[str, Any]) -> dict[str, Any]:
            asked = access_request(body["gateway"], "0123456789abcdef")
            assert body["nonce"] == "0123456789abcdef"
            access = bytes.fromhex(body["access_signature"][2:])
            if gateway_of_message(asked, SETTLEMENT, access) != body["gateway"]:
                raise HTTPException(403, "the nonce's signature is wrong")
            message = Enrolment(body["nanogrid"], body["gateway"])
            code, gateway = (bytes.fromhex(body[f"{name}_signature"][2:]) for name in ("code", "gateway"))
            if recover_message(message, SETTLEMENT, code) != self.code.address:
                raise HTTPException(403, "the code's signature is wrong")
            if gateway_of_message(message, SETTLEMENT, gateway) != body["gateway"]:
                raise HTTPException(403, "the gateway's signature is wrong")
            self.used = True
            return {
                "nanogrid": body["nanogrid"],
                "gateway": body["gateway"],
                "portfolio": 7,
                "index": 3,
                "node": 1,
                "chain_id": SETTLEMENT.chain_id,
                "contracts": {
                    "settlement": SETTLEMENT.contract,
                    "auction": AUCTION.contract,
                    "signals": SIGNALS.contract,
                    "registry": "0x" + "00" * 20,
                },
                "oracle": "0x" + "01" * 20,
                "dso": "0x" + "02" * 20,
                "time_unit_s": UNIT_S,
                "mqtt": {"host": "broker", "port": 8883, "tls": True, "username": "u", "password": "p"},
                "api_key": "mg_1",
                "calendar": {"later": 1},
            }

        @app.get("/v1/offers")
        def offers(status: str, nanogrid: int, authorization: str = Header()) -> dict[str, Any]:
            assert (status, nanogrid, authorization) == ("OPEN", NANOGRID, "Bearer mg_test")
            self.fetched += 1
            return {"items": self.offers, "next": None}

        @app.post("/v1/offers/{offer}/bids")
        async def bids(offer: str, request: Request, idempotency_key: str = Header()) -> dict[str, Any]:
            if self.failures:
                self.failures -= 1
                raise HTTPException(503)
            [bid] = (await request.json())["bids"]
            fields = {name: bid[name] for name in ("index", "price_ueur_kwh", "quantity", "minimum", "revision")}
            message = Bid(offer=bytes.fromhex(offer[2:]), **fields)
            signer = recover_message(message, AUCTION, bytes.fromhex(bid["signature"][2:]))
            assert signer == self.delegate
            self.bids.append({"offer": offer, "idempotency_key": idempotency_key, **fields})
            digest = message.digest(AUCTION)
            receipt = BidReceipt(digest, message.offer, T0)
            return {
                "results": [
                    {
                        "digest": "0x" + digest.hex(),
                        "accepted": True,
                        "receipt": receipt.to_json() | {"signature": sign_message(RELAYER_KEY, receipt, AUCTION).hex()},
                        "problem": None,
                    }
                ]
            }

        return app


@pytest.fixture
def small_market(free_port: int) -> Iterator[SmallMarket]:
    found = SmallMarket(free_port)
    server = uvicorn.Server(uvicorn.Config(found.application(), port=free_port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield found
    server.should_exit = True
    thread.join(10)


def offer(name: str, interval: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": dispatch_id(name),
        "portfolio": 7,
        "interval": interval,
        "side": int(Side.BUY),
        "direction": int(Direction.DOWN),
        "product": int(Product.CM_REALTIME),
        "quantity": 5_000,
        "limit_price_ueur_kwh": 200_000,
        "gate_closure": interval - 1_260,
        "api_closes_at": interval - 1_350,
    } | fields


# ENROLMENT


def test_a_code_survives_being_typed() -> None:
    code = EnrolmentCode.new(NANOGRID)
    assert EnrolmentCode.parse(code.text.lower().replace("-", " ")) == code
    assert address_of(code.private_key) == code.address


@pytest.mark.parametrize("change", ["", "A", "1"])
def test_a_mistyped_code_is_refused(change: str) -> None:
    text = EnrolmentCode.new(NANOGRID).text
    wrong = "B" if text[10] != "B" else "C"
    mistyped = text[:10] + wrong + text[11:] if not change else text + change
    with pytest.raises(MalformedCode):
        EnrolmentCode.parse(mistyped)


@pytest.mark.parametrize("kind", [None, *KeyKind])
def test_enrolment_makes_a_key_binds_it_and_keeps_the_answer(
    tmp_path: Path, small_market: SmallMarket, kind: KeyKind | None
) -> None:
    with httpx.Client() as client:
        enrolled = enrol(tmp_path, small_market.code.text, small_market.url, client, kind)
    assert small_market.used
    assert load_enrolled(tmp_path) == enrolled
    assert enrolled.gateway == load_identity(tmp_path / KEY_FILE).address
    assert load_identity(tmp_path / KEY_FILE).kind is (kind or KeyKind.SECP256K1)
    for name in (KEY_FILE, ENROLMENT_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_code_of_another_key_is_refused_and_nothing_is_kept(tmp_path: Path, small_market: SmallMarket) -> None:
    other = EnrolmentCode.new(NANOGRID)
    with httpx.Client() as client, pytest.raises(EnrolmentRefused, match="403"):
        enrol(tmp_path, other.text, small_market.url, client)
    with pytest.raises(BadConfiguration, match="not enrolled"):
        load_enrolled(tmp_path)


def test_the_gateway_makes_the_key_that_bids_once_and_shows_its_address(tmp_path: Path) -> None:
    command = ["delegate-key", "--data", str(tmp_path), "--json"]
    first, again = (CliRunner().invoke(gateway_app, command) for _ in range(2))
    assert json.loads(first.stdout) == json.loads(again.stdout)
    assert json.loads(first.stdout)["address"] == load_identity(tmp_path / "delegate.key").address


@pytest.mark.parametrize("kind", KeyKind)
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, kind: KeyKind) -> None:
    path = tmp_path / KEY_FILE
    identity = load_or_create_identity(path, kind)
    assert load_or_create_identity(path) == identity
    assert identity.private_key.hex() not in repr(identity)
    path.chmod(0o640)
    with pytest.raises(UnsafeFile, match="mode 640"):
        load_identity(path)


@pytest.mark.parametrize(("kept", "wanted"), [tuple(KeyKind), tuple(KeyKind)[::-1]])
def test_a_key_of_another_kind_is_not_replaced(tmp_path: Path, kept: KeyKind, wanted: KeyKind) -> None:
    path = tmp_path / KEY_FILE
    identity = load_or_create_identity(path, kept)
    with pytest.raises(UnsafeFile, match=f"a key of the kind {kept}; it must be {wanted}"):
        load_or_create_identity(path, wanted)
    assert load_identity(path) == identity


def test_a_p256_key_is_a_file_that_other_programs_read_and_make(tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    key = load_or_create_identity(path, KeyKind.P256)
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    text = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    write_secret(path, text.decode())
    assert load_identity(path, KeyKind.P256) != key


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()], ids=lambda curve: str(curve.name))
def test_a_pem_file_of_another_curve_is_no_key(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    text = ec.generate_private_key(curve).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_secret(tmp_path / KEY_FILE, text.decode())
    with pytest.raises(UnsafeFile, match=r"gateway\.key does not hold .* no key of the curve P-256"):
        load_identity(tmp_path / KEY_FILE)


def test_a_p256_key_does_not_bid(tmp_path: Path) -> None:
    """The chain judges bids by ecrecover alone."""
    installed = install(tmp_path, 1, toml=DELEGATE_TOML)
    load_or_create_identity(installed.folder / "delegate.key", KeyKind.P256)
    with pytest.raises(UnsafeFile, match=r"delegate\.key holds a key of the kind p256; it must be secp256k1"):
        Parts.from_folder(installed.folder)


def test_the_command_line_makes_a_p256_key(tmp_path: Path, small_market: SmallMarket) -> None:
    nanogrid_file(tmp_path / "plant.json")
    (tmp_path / SETTINGS_FILE).write_text("[driver]\nfamily = 'simulated'\nprofile = 'plant.json'\n")
    arguments = ["enrol", "--market", small_market.url, "--data", str(tmp_path), "--code", small_market.code.text]
    done = CliRunner().invoke(gateway_app, [*arguments, "--key-kind", "p256", "--json"])
    assert done.exit_code == 0, done.output
    key = load_identity(tmp_path / KEY_FILE, KeyKind.P256)
    assert json.loads(done.stdout)["gateway"] == key.address
    again = CliRunner().invoke(gateway_app, [*arguments, "--key-kind", "secp256k1", "--json"])
    assert (again.exit_code, json.loads(again.stdout)["title"]) == (2, "A file cannot be used")
    unknown = CliRunner().invoke(gateway_app, [*arguments, "--key-kind", "p384"])
    assert unknown.exit_code == 2


def test_the_command_line_enrols_and_says_what_is_wrong(tmp_path: Path, small_market: SmallMarket) -> None:
    run = CliRunner().invoke
    arguments = ["enrol", "--market", small_market.url, "--data", str(tmp_path), "--code"]
    (tmp_path / SETTINGS_FILE).write_text("[driver]\nfamily = 'simulated'\nprofile = 'plant.json'\n")
    nanogrid_file(tmp_path / "plant.json")
    refused = run(gateway_app, [*arguments, "nonsense"])
    assert refused.exit_code == 2
    assert "code" in refused.output
    enrolled = run(gateway_app, [*arguments, small_market.code.text, "--json"])
    assert enrolled.exit_code == 0, enrolled.output
    status = run(gateway_app, ["status", "--data", str(tmp_path), "--json"])
    assert status.exit_code == 0, status.output
    assert '"sequence": 0' in status.output
    for command in (["opt-out", "--day", "2026-06-01"], ["stop"]):
        assert run(gateway_app, [*command, "--data", str(tmp_path)]).exit_code == 0
    status = run(gateway_app, ["status", "--data", str(tmp_path)])
    assert "2026-06-01" in status.output
    assert run(gateway_app, ["run", "--data", str(tmp_path / "none")]).exit_code == 2


WRONG_FILES = {
    "none": None,
    "no TOML": "[driver",
    "without a driver": "[limits]\ngrace_s = 60\n",
    "an unknown field": "colour = 'red'\n[driver]\nfamily = 'simulated'\nprofile = 'plant.json'\n",
    "an unknown family": "[driver]\nfamily = 'steam'\n",
    "a plant that is not there": "[driver]\nfamily = 'simulated'\nprofile = 'none.json'\n",
}


@pytest.mark.parametrize("what", WRONG_FILES)
def test_a_wrong_gateway_toml_costs_no_code(tmp_path: Path, small_market: SmallMarket, what: str) -> None:
    enrol_command = ["enrol", "--market", small_market.url, "--data", str(tmp_path), "--code", small_market.code.text]
    content = WRONG_FILES[what]
    if content is not None:
        (tmp_path / SETTINGS_FILE).write_text(content)
    nanogrid_file(tmp_path / "plant.json")
    refused = CliRunner().invoke(gateway_app, enrol_command)
    assert (refused.exit_code, small_market.used) == (2, False), refused.output
    (tmp_path / SETTINGS_FILE).write_text("[driver]\nfamily = 'simulated'\nprofile = 'plant.json'\n")
    assert CliRunner().invoke(gateway_app, enrol_command).exit_code == 0
    assert small_market.used


def test_the_files_of_the_installers_page_are_a_gateway_that_measures(
    tmp_path: Path, small_market: SmallMarket
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "gateways.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"^cat > (\S+) <<'END'\n(.*?)^END$", page, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(content)
    enrol_command = ["enrol", "--market", small_market.url, "--data", str(tmp_path), "--code", small_market.code.text]
    enrolled = CliRunner().invoke(gateway_app, enrol_command)
    assert enrolled.exit_code == 0, enrolled.output
    parts = Parts.from_folder(tmp_path)
    assert not parts.settings.bidding.enabled

    async def measured() -> tuple[int, int]:
        await parts.driver.open(None, T0)
        seen = await parts.driver.measure(T0 + UNIT_S)
        return seen.registers.active_wh, seen.registers.reactive_varh

    # As the page says: the battery takes what the roof gives above 600 W, and 100 var are drawn.
    assert asyncio.run(measured()) == (0, 100 * UNIT_S // 3600)


# BIDDING


@dataclass
class Bidding:
    """A bidding gateway without its line to the broker."""

    parts: Parts
    metrics: Metrics
    client: httpx.AsyncClient
    board: OfferBoard = field(default_factory=OfferBoard)

    async def run(self, now: int, url: str, is_online: bool = True) -> None:
        api = MarketApi(self.client, url, "mg_test", patience_s=2)
        await Bidder(self.parts, api, self.board, self.metrics).run_due(now, is_online)


@pytest.fixture
async def bidding(tmp_path: Path, small_market: SmallMarket) -> Any:
    folder = tmp_path / "gw"
    installed = install(folder, 1, toml=DELEGATE_TOML, market_url=small_market.url)
    small_market.delegate = load_or_create_identity(installed.folder / "delegate.key").address
    parts = Parts.from_folder(folder)
    await parts.driver.open(None, T0)
    async with httpx.AsyncClient() as client:
        yield Bidding(parts, Metrics(), client)
    parts.buffer.close()


INTERVAL = T0 + 4 * UNIT_S
MOMENT = INTERVAL - UNIT_S * 5 // 2


async def test_at_its_moment_a_gateway_bids_once(bidding: Bidding, small_market: SmallMarket) -> None:
    small_market.offers = [offer("a", INTERVAL), offer("b", INTERVAL + UNIT_S)]
    await bidding.run(MOMENT, small_market.url)
    await bidding.run(MOMENT, small_market.url)
    assert [bid["offer"] for bid in small_market.bids] == [dispatch_id("a")]
    placed = bidding.parts.buffer.bid_of(dispatch_id("a"))
    assert placed is not None
    assert placed.state == "ACCEPTED"
    assert small_market.bids[0]["idempotency_key"] == f"bid-{placed.digest}"
    assert 60_000 < placed.price_ueur_kwh <= 200_000


async def test_a_bid_that_was_signed_before_a_crash_is_sent_as_it_was(
    bidding: Bidding, small_market: SmallMarket
) -> None:
    small_market.offers = [offer("a", INTERVAL)]
    small_market.failures = 100
    await bidding.run(MOMENT, small_market.url)
    signed = bidding.parts.buffer.bid_of(dispatch_id("a"))
    assert signed is not None
    assert (signed.state, small_market.bids) == ("SIGNED", [])
    assert bidding.parts.buffer.value("bid") is None
    small_market.failures = 0
    await bidding.parts.driver.measure(MOMENT + 60)
    await bidding.run(MOMENT + 60, small_market.url)
    assert [bid["quantity"] for bid in small_market.bids] == [signed.quantity]
    sent = bidding.parts.buffer.bid_of(dispatch_id("a"))
    assert sent is not None
    assert (sent.state, sent.signature) == ("ACCEPTED", signed.signature)


async def test_a_passing_fault_of_the_market_is_waited_out(bidding: Bidding, small_market: SmallMarket) -> None:
    small_market.offers = [offer("a", INTERVAL)]
    small_market.failures = 2
    await bidding.run(MOMENT, small_market.url)
    assert len(small_market.bids) == 1


async def test_after_the_api_has_closed_nothing_is_sent(bidding: Bidding, small_market: SmallMarket) -> None:
    small_market.offers = [offer("a", INTERVAL)]
    await bidding.run(INTERVAL - UNIT_S * 3 // 2 - UNIT_S, small_market.url)
    small_market.bids.clear()
    small_market.offers = [offer("late", INTERVAL - UNIT_S)]
    await bidding.run(INTERVAL - UNIT_S * 3 // 2, small_market.url)
    assert dispatch_id("late") not in [bid["offer"] for bid in small_market.bids]


async def test_without_an_uplink_the_moment_stays_open(bidding: Bidding, small_market: SmallMarket) -> None:
    small_market.offers = [offer("a", INTERVAL)]
    await bidding.run(MOMENT, small_market.url, is_online=False)
    assert small_market.bids == []
    await bidding.run(MOMENT + 60, small_market.url)
    assert len(small_market.bids) == 1


async def test_the_gateways_of_a_process_fetch_a_portfolios_offers_once(small_market: SmallMarket) -> None:
    board = OfferBoard()
    async with httpx.AsyncClient() as client:
        api = MarketApi(client, small_market.url, "mg_test")
        await asyncio.gather(*(board.open_offers(api, 7, NANOGRID, T0) for _ in range(8)))
        assert small_market.fetched == 1
        await board.open_offers(api, 7, NANOGRID, T0 + 1)
        assert small_market.fetched == 2


async def test_a_receipt_counts_only_when_the_relayer_signed_it_for_this_bid(
    bidding: Bidding, small_market: SmallMarket
) -> None:
    small_market.offers = [offer("a", INTERVAL)]
    await bidding.run(MOMENT, small_market.url)
    placed = bidding.parts.buffer.bid_of(dispatch_id("a"))
    assert placed is not None
    receipt = BidReceipt(bytes.fromhex(placed.digest[2:]), bytes.fromhex(placed.offer[2:]), T0)
    good = receipt.to_json() | {"signature": sign_message(RELAYER_KEY, receipt, AUCTION).hex()}
    relayer = address_of(RELAYER_KEY)
    assert is_receipt_of(good, placed, AUCTION, relayer)
    assert not is_receipt_of(good, placed, AUCTION, "0x" + "01" * 20)
    assert not is_receipt_of(good | {"received_at": T0 + 1}, placed, AUCTION, relayer)
    assert not is_receipt_of(None, placed, AUCTION, relayer)
    assert not is_receipt_of({"signature": "0x"}, placed, AUCTION, relayer)
