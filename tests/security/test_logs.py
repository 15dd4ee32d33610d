"""Logs hold no key, token, password or code, and nothing of what a household measured, at whatever level."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import create_engine, text

from gateway_agent.enrolment import signed_enrolment
from gateway_agent.identity import load_or_create_identity
from market.api.app import create_app
from market.desks.market_client import MarketClient
from market.domain.enrolment_code import EnrolmentCode
from market.observability import set_up_logging
from market.redaction import HIDDEN, redacted
from market.settings import LogSettings
from scripts.demo.options import DemoOptions
from scripts.demo.run import opened, play_day
from tests.chain.world import KEYS, U, nanogrid, owner_key
from tests.cli.conftest import Room, room, room_broker, room_database_url

__all__ = ["room", "room_broker", "room_database_url"]

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_LEAST_TELLING = 100
"""Numbers below stand everywhere."""


def forms(key: bytes) -> set[str]:
    """How a secret of 32 bytes may be written."""
    return {
        key.hex(),
        base64.b64encode(key).decode(),
        base64.urlsafe_b64encode(key).decode(),
        repr(key)[2:-1],
        str(list(key)),
    }


def found_in(log: str, secrets: Iterable[str]) -> set[str]:
    """Secrets that stand in a log, in whatever case."""
    lower = log.lower()
    return {secret for secret in secrets if secret.lower() in lower}


# A DAY OF ALL PROCESSES


def secrets_of_files(folder: Path) -> set[str]:
    """Every key and password below a folder, as it may be written."""
    found: set[str] = set()
    for path in folder.rglob("*"):
        if path.suffix in {".key", ".password"} and path.is_file():
            found |= _secrets_of(path.read_text(encoding="utf-8").strip())
        if path.name == "enrolment.json":
            document = json.loads(path.read_text(encoding="utf-8"))
            found |= {document["api_key"], document["mqtt"]["password"]}
    return found


def _secrets_of(content: str) -> set[str]:
    if content.startswith("-----"):
        key = load_pem_private_key(content.encode(), None)
        scalar = key.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
        return forms(scalar) | set(content.splitlines()[1:-1])
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", content):
        return forms(bytes.fromhex(content.removeprefix("0x")))
    return {content}


def known_tokens(database: Path, log: str) -> set[str]:
    """Words of a log whose hash is that of a session or an API key."""
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        hashes = set(connection.scalars(text("SELECT token_hash FROM wallet_sessions")))
        hashes |= set(connection.scalars(text("SELECT key_hash FROM api_keys")))
    engine.dispose()
    assert len(hashes) > 5
    words = {prefix + word for word in _TOKEN.findall(log) for prefix in ("", "mg_")}
    return {word for word in words if "0x" + hashlib.sha256(word.encode()).hexdigest() in hashes}


def measurements_told(database: Path, log: str) -> list[str]:
    """Lines that name a nanogrid and an energy that it has measured."""
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT nanogrid, active_energy_wh FROM readings")).all()
    engine.dispose()
    assert len(rows) > 100
    measured: dict[str, set[str]] = {}
    for number, energy_wh in rows:
        if abs(energy_wh) >= _LEAST_TELLING:
            measured.setdefault(str(number), set()).add(str(abs(energy_wh)))
    told = []
    for line in log.splitlines():
        words = set(re.findall(r"\d+", line))
        if any(words & measured[number] for number in words & measured.keys()):
            told.append(line)
    return told


@pytest.mark.alone
@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_log_line_of_an_evening_holds_a_secret_or_what_a_household_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process at its most talkative: enrolments, bids, readings, settlements, a faulty gateway."""
    monkeypatch.setenv("MERITGRID_LOG__LEVEL", "DEBUG")
    monkeypatch.setenv("MERITGRID_LOG_LEVEL", "DEBUG")

    async def play() -> tuple[Path, Path, str]:
        options = DemoOptions(tmp_path, first_hour=11, last_hour=13)
        async with opened(options, lambda _step: None) as stage:
            await play_day(stage, lambda _step: None)
            return stage.layout.logs, stage.layout.database, stage.token

    logs, database, clock_token = asyncio.run(play())
    written = {path.stem: path.read_text(encoding="utf-8", errors="replace") for path in logs.iterdir()}
    assert all(written[process] for process in ("market", "oracle", "aggregator", "agent-1")), written.keys()
    log = "\n".join(written.values())
    secrets = secrets_of_files(tmp_path) | {clock_token}
    assert len(secrets) > 100
    assert found_in(log, secrets) == set()
    assert known_tokens(database, log) == set()
    assert measurements_told(database, log) == []


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    key = owner_key(0)
    (tmp_path / "a.key").write_text(key.hex())
    (tmp_path / "b.password").write_text("correct horse")
    secrets = secrets_of_files(tmp_path)
    for line in (f"key=0x{key.hex().upper()}", f"key {key!r}", "password is correct horse"):
        assert found_in(line, secrets)
    assert not found_in("nothing", secrets)


# THE API AT ITS WORST


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """Everything that the process of this test logs at DEBUG, as the product's processes do."""
    set_up_logging(LogSettings(level="DEBUG"), "market")
    [handler] = logging.getLogger().handlers
    path = tmp_path / "market.log"
    with path.open("w", encoding="utf-8") as stream:
        handler.setStream(stream)  # type: ignore[attr-defined]
        yield path
        logging.getLogger().handlers[:] = []


def test_no_refusal_or_failure_of_the_api_logs_a_secret(room: Room, log_file: Path, tmp_path: Path) -> None:
    secrets = {form for key in [*KEYS.values(), *map(owner_key, range(4))] for form in forms(key)}
    owner = MarketClient(room.url, private_key="0x" + owner_key(0).hex(), patience_s=1)
    with owner:
        owner.sign_in()
        made = owner.post("/v1/api-keys", {"label": "x", "scopes": ["read"]})
        secrets |= {str(owner.token), made["key"]}
        secrets |= _enrolled(room, tmp_path)
        for token in (owner.token, made["key"], "mg_" + "w" * 43):
            headers = {"Authorization": f"Bearer {token}"}
            wrong: dict[str, Any] = {"password": token, "key": owner_key(1).hex()}
            for path in ("/v1/requests", f"/v1/nanogrids/{nanogrid(0)}/bond", "/v1/api-keys", "/v1/enrolments"):
                assert httpx.post(room.url + path, json=wrong, headers=headers).status_code in {401, 403, 422}
        asyncio.run(_failed(room, str(owner.token)))
    structlog.get_logger("market.test").info(
        "said on the way", authorization=f"Bearer {made['key']}", password=owner.token
    )
    log = log_file.read_text(encoding="utf-8")
    assert "request failed" in log
    assert "Traceback" in log
    assert "said on the way" in log
    assert found_in(log, secrets) == set()


def _enrolled(room: Room, folder: Path) -> set[str]:
    """What an enrolment must keep to itself."""
    code = EnrolmentCode.new(nanogrid(0))
    opening = room.world.contracts.settlement.functions.openEnrolment(nanogrid(0), code.address, room.world.now_s + U)
    room.world.send("operator", opening)
    room.market.index()
    identity = load_or_create_identity(folder / "gateway.key")
    nonce = httpx.post(f"{room.url}/v1/auth/nonce").json()["nonce"]
    body = signed_enrolment(code, identity, room.market.domain("Settlement"), nonce)
    answers = [httpx.post(f"{room.url}/v1/enrolments", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    document = answers[0].json()
    return {document["api_key"], document["mqtt"]["password"], code.text, *forms(code.private_key),
            *forms(identity.private_key)}  # fmt: skip


async def _failed(room: Room, token: str) -> None:
    """A call that breaks within the market, with everything at hand."""

    def break_down() -> None:
        raise RuntimeError(f"broke down over password={token}")

    app = create_app(replace(room.market, index=break_down))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=room.url) as http:
        path = f"/v1/nanogrids/{nanogrid(0)}/payout"
        answer = await http.post(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 500
    assert token not in answer.text


# THE FILTER

KEY = "mg_" + "aB3_-" * 8 + "xyz"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"sent {KEY} to it", f"sent {HIDDEN} to it"),
        ("sent Bearer abcdefghijk.lmn to it", f"sent Bearer {HIDDEN} to it"),
        ("password=hunter2 user=me", f"password={HIDDEN} user=me"),
        ('{"mqtt_password": "hunter 2", "node": 7}', f'{{"mqtt_password": "{HIDDEN}", "node": 7}}'),
        (r'{"event": "{\"token\": \"hunter2\"}"}', rf'{{"event": "{{\"token\": \"{HIDDEN}\"}}"}}'),
        ("postgresql+psycopg://meritgrid:hunter2@db/market", f"postgresql+psycopg://meritgrid:{HIDDEN}@db/market"),
        ("clock_token='x y'", f"clock_token='{HIDDEN}'"),
        (EnrolmentCode(1, bytes(16)).text, HIDDEN),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----", HIDDEN),
    ],
)
def test_the_filter_takes_out_what_looks_like_a_secret(line: str, kept: str) -> None:
    assert redacted(line) == kept


@pytest.mark.parametrize(
    "line",
    [
        "clearing again=False asked=1000 awarded=1000 bids=2 offer=0xb6e9c1720bf75543c076d3cae37e706a14c2de6f0c8007105",
        "request failed method=POST path=/v1/requests/0xd463bb7709a4b82a501564cb98b5c06c/reclaim",
        "no connection to the broker problem=[Errno 111] Connection refused",
        "http://127.0.0.1:8080/v1/market",
        "transfer of the token 0x5FbDB2315678afecb367f032d93F642f64180aa3 failed",
    ],
)
def test_the_filter_leaves_what_helps(line: str) -> None:
    assert redacted(line) == line
