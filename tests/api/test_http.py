"""What every route keeps: sign-in, keys with scopes and an end, retries, problems, pages, a described interface."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from market.api.app import create_app
from market.api.description import EXAMPLES
from market.chain.bindings import Contracts
from market.chain.profiles import connect, rpc
from market.desks.desk import Desk, document_hash
from market.desks.market_client import MarketClient, MarketProblem, MarketUnavailable, siwe_text
from market.domain.messages import Signal
from market.domain.products import Phase
from market.domain.signing import address_of
from market.services.access import Scope
from market.services.backlog import STANDSTILL_S
from market.services.stream import TOPICS
from market.store.work import Transaction, TransactionState
from tests.api.conftest import Caller
from tests.chain.world import KEYS, U, nanogrid, owner_key
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 8 * U
OWNER = address_of(owner_key(0))


JSON = {"Content-Type": "application/json"}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal, which must have this status and code."""
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["status"]) == (status, status), document
    assert document["type"].rsplit("/", 1)[1] == code
    assert document["title"]
    assert document["detail"]
    return document


# SIGN-IN


def signed_in(http: httpx.Client, change: Any = lambda text: text, key: bytes | None = None) -> httpx.Response:
    challenge = http.post("/v1/auth/nonce").json()
    text = change(siwe_text(challenge, OWNER))
    signature = Account.sign_message(encode_defunct(text=text), key or owner_key(0)).signature.hex()
    return http.post("/v1/auth/siwe", json={"message": text, "signature": "0x" + signature})


def test_a_wallet_signs_in_once_with_a_nonce(http: httpx.Client) -> None:
    challenge = http.post("/v1/auth/nonce").json()
    text = siwe_text(challenge, OWNER)
    body = {
        "message": text,
        "signature": "0x" + Account.sign_message(encode_defunct(text=text), owner_key(0)).signature.hex(),
    }
    assert http.post("/v1/auth/siwe", json=body).json()["roles"] == ["PROSUMER"]
    problem(http.post("/v1/auth/siwe", json=body), 401, "not-signed-in")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (lambda text: text.replace("Chain ID: ", "Chain ID: 9"), 422, "validation-failed"),
        (lambda text: text.replace("127.0.0.1", "phishing.example", 1), 401, "not-signed-in"),
        (lambda text: text.replace("Nonce: ", "Nonce: abc"), 401, "not-signed-in"),
        (lambda text: "Let me in", 422, "validation-failed"),
    ],
    ids=["another chain", "another site", "a nonce that nobody gave", "no such message"],
)
def test_a_message_that_is_for_something_else_signs_nobody_in(
    http: httpx.Client, change: Any, status: int, code: str
) -> None:
    problem(signed_in(http, change), status, code)


def test_a_message_signed_by_another_key_signs_nobody_in(http: httpx.Client) -> None:
    problem(signed_in(http, key=owner_key(1)), 401, "not-signed-in")


def test_a_session_ends(room: Room, http: httpx.Client) -> None:
    token = signed_in(http).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert http.get("/v1/nanogrids", headers=headers).status_code == 200
    room.world.at(TEST_EPOCH + 13 * 3600)
    refused = http.get("/v1/nanogrids", headers=headers)
    problem(refused, 401, "not-signed-in")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


# API KEYS


def test_a_key_does_what_its_scopes_say_until_it_is_revoked(room: Room, caller: Caller) -> None:
    owner = caller("owner-0")
    made = owner.post("/v1/api-keys", {"label": "reader", "scopes": ["read"]})
    with MarketClient(room.url, api_key=made["key"]) as key:
        assert [row["nanogrid"] for row in key.items("/v1/nanogrids")] == [nanogrid(0)]
        wish = {"label": "x", "scopes": ["read"]}
        for path, body in ((f"/v1/nanogrids/{nanogrid(0)}/payout", {}), ("/v1/api-keys", wish)):
            with pytest.raises(MarketProblem) as refused:
                key.post(path, body)
            assert refused.value.code == "not-allowed"
        owner.delete(f"/v1/api-keys/{made['id']}")
        with pytest.raises(MarketProblem) as revoked:
            key.get("/v1/nanogrids")
        assert revoked.value.status == 401
    assert [row["revoked_at"] is not None for row in owner.items("/v1/api-keys")] == [True]


def test_a_key_without_read_reads_nothing_and_one_that_has_ended_does_nothing(room: Room, caller: Caller) -> None:
    owner = caller("owner-0")
    blind = owner.post("/v1/api-keys", {"label": "bidder", "scopes": ["bids"]})
    ending = owner.post("/v1/api-keys", {"label": "short", "scopes": ["read"], "expires_at": TEST_EPOCH + U})
    with MarketClient(room.url, api_key=blind["key"]) as key, pytest.raises(MarketProblem, match="no scope 'read'"):
        key.get("/v1/nanogrids")
    with MarketClient(room.url, api_key=ending["key"]) as key:
        assert key.get("/v1/nanogrids")["items"]
        room.world.at(TEST_EPOCH + U)
        with pytest.raises(MarketProblem) as ended:
            key.get("/v1/nanogrids")
        assert ended.value.status == 401


def test_wrong_key_wishes_are_all_named_at_once(caller: Caller) -> None:
    with pytest.raises(MarketProblem) as refused:
        caller("owner-0").post("/v1/api-keys", {"label": "x", "scopes": ["fly", "read"], "expires_at": 5})
    assert {error["pointer"] for error in refused.value.problem["errors"]} == {"/scopes/0", "/expires_at"}


# RETRIES


def test_the_same_post_sent_twice_is_done_once_and_answered_the_same(room: Room, caller: Caller) -> None:
    operator, body = caller("operator"), {"action": "set_paused", "node": 7, "paused": True}
    prepared = operator.post("/v1/operator/transactions/prepare", body)
    raw = bytes(Account.sign_transaction(prepared, KEYS["operator"]).raw_transaction)
    signed = {"raw_transaction": "0x" + raw.hex()}
    first = operator.post("/v1/operator/transactions", signed, idempotency_key="one")
    assert operator.post("/v1/operator/transactions", signed, idempotency_key="one") == first
    assert operator.post("/v1/operator/transactions", signed, idempotency_key="two") == first, "harmless by itself"


def test_a_key_of_a_retry_does_not_serve_another_body_nor_another_caller(caller: Caller) -> None:
    keys = "/v1/operator/transactions"
    pause = {"action": "set_paused", "node": 7, "paused": True}
    operator = caller("operator")
    raw = [
        "0x"
        + bytes(
            Account.sign_transaction(
                operator.post(f"{keys}/prepare", pause) | {"nonce": nonce}, KEYS["operator"]
            ).raw_transaction
        ).hex()
        for nonce in (operator.post(f"{keys}/prepare", pause)["nonce"], 10**6)
    ]
    operator.post(keys, {"raw_transaction": raw[0]}, idempotency_key="one")
    with pytest.raises(MarketProblem) as reused:
        operator.post(keys, {"raw_transaction": raw[1]}, idempotency_key="one")
    assert reused.value.code == "idempotency-key-reused"
    with pytest.raises(MarketProblem) as anothers:
        caller("dso").post(keys, {"raw_transaction": raw[0]}, idempotency_key="one")
    assert anothers.value.status == 403


def test_a_transaction_that_the_chain_does_not_take_is_said_so(caller: Caller) -> None:
    operator = caller("operator")
    prepared = operator.post("/v1/operator/transactions/prepare", {"action": "set_paused", "node": 7, "paused": True})
    used = Account.sign_transaction(prepared | {"nonce": 0}, KEYS["operator"]).raw_transaction
    with pytest.raises(MarketProblem) as refused:
        operator.post("/v1/operator/transactions", {"raw_transaction": "0x" + bytes(used).hex()})
    assert (refused.value.status, refused.value.code) == (409, "transaction-not-taken")


def live_keys(owner: MarketClient) -> list[int]:
    return [row["id"] for row in owner.items("/v1/api-keys") if row["revoked_at"] is None]


def test_a_retry_for_an_api_key_gives_another_text_and_leaves_one_key_live(room: Room, caller: Caller) -> None:
    owner, wish = caller("owner-0"), {"label": "x", "scopes": ["read"]}
    first = owner.post("/v1/api-keys", wish, idempotency_key="one")
    second = owner.post("/v1/api-keys", wish, idempotency_key="one")
    assert live_keys(owner) == [second["id"]]
    works = {made["id"]: MarketClient(room.url, api_key=made["key"]) for made in (first, second)}
    with works[second["id"]] as live, works[first["id"]] as revoked:
        assert live.get("/v1/nanogrids")["items"]
        with pytest.raises(MarketProblem, match="revoked"):
            revoked.get("/v1/nanogrids")
    with pytest.raises(MarketProblem) as reused:
        owner.post("/v1/api-keys", wish | {"scopes": ["bids"]}, idempotency_key="one")
    assert reused.value.code == "idempotency-key-reused"
    assert live_keys(owner) == [second["id"]], "a refused call revokes nothing"


def test_an_api_key_takes_the_place_of_no_other_calls_key(caller: Caller) -> None:
    owner, neighbour, wish = caller("owner-0"), caller("owner-1"), {"label": "x", "scopes": ["read"]}
    made = [owner.post("/v1/api-keys", wish, idempotency_key=key)["id"] for key in ("one", "two")]
    neighbours = neighbour.post("/v1/api-keys", wish, idempotency_key="one")["id"]
    assert (live_keys(owner), live_keys(neighbour)) == (made, [neighbours])


def test_nobody_gets_the_nonce_of_another_by_the_same_idempotency_key(http: httpx.Client) -> None:
    nonces = {http.post("/v1/auth/nonce", headers={"Idempotency-Key": "1"}).json()["nonce"] for _ in range(2)}
    assert len(nonces) == 2


def test_a_chain_that_is_slow_is_said_so_and_the_same_post_ends_well_later(
    room: Room, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.chain.sender.RECEIPT_WITHIN_S", 0.3)
    reason = {"text": "a test"}
    signal = Signal(7, T, Phase.YELLOW, 0, document_hash(reason), 1)
    impatient = MarketClient(room.url, private_key="0x" + KEYS["dso"].hex(), patience_s=0)
    web3 = room.world.contracts.web3
    rpc(web3, "evm_setAutomine", False)
    with impatient, pytest.raises(MarketUnavailable) as slow:
        Desk(impatient, KEYS["dso"]).decide("/v1/nodes/7/signals", signal, reason=reason)
    problem(slow.value.response, 503, "not-mined-yet")
    rpc(web3, "evm_setAutomine", True)
    rpc(web3, "evm_mine")
    Desk(caller("dso"), KEYS["dso"]).decide("/v1/nodes/7/signals", signal, reason=reason)
    [signal_now] = caller("dso").items("/v1/nodes/7/signals", first=T, last=T)
    assert signal_now["phase"] == 1


@pytest.mark.parametrize("number", [10**30, -1])
def test_numbers_beyond_a_databases_range_are_refused_on_every_route(
    http: httpx.Client, caller: Caller, number: int
) -> None:
    signed_in = caller("dso")
    signed_in.sign_in()
    headers = {"Authorization": f"Bearer {signed_in.token}"}
    asked = 0
    for path, operations in http.get("/openapi.json").json()["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", []):
            schemas = [parameter["schema"], *parameter["schema"].get("anyOf", [])]
            if not any(schema.get("type") == "integer" for schema in schemas) or path == "/v1/stream":
                continue
            known = {"offer": "0x" + "ab" * 32, "node": 7, "nanogrid": nanogrid(0), "interval": T}
            place = {name: known.get(name, 1) for name in re.findall(r"{(\w+)}", path)} | {parameter["name"]: number}
            query = {name: value for name, value in (known | {parameter["name"]: number}).items() if name not in place}
            query |= {} if "{" + parameter["name"] + "}" in path else {parameter["name"]: number}
            answer = http.get(path.format(**place), params=query, headers=headers)
            assert answer.status_code == 422, (path, parameter["name"], answer.text)
            asked += 1
    assert asked > 25


@pytest.mark.parametrize("signature", ["0x" + "ff" * 65, "0x" + "00" * 65])
def test_a_signature_of_nobody_signs_nobody_in(http: httpx.Client, signature: str) -> None:
    text = siwe_text(http.post("/v1/auth/nonce").json(), OWNER)
    problem(http.post("/v1/auth/siwe", json={"message": text, "signature": signature}), 401, "not-signed-in")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/operator/transactions", {"raw_transaction": "0xabc"}),
        ("/v1/operator/transactions", {"raw_transaction": "0xc9010203808080808080"}),
        ("/v1/requests/0x" + "ab" * 32 + "/reclaim", {"interval": 2**70}),
        ("/v1/api-keys", {"label": "GATEWAY", "scopes": ["read"]}),
        ("/v1/api-keys", {"label": "x" * 33, "scopes": ["read"]}),
        ("/v1/api-keys", {"label": "x", "scopes": ["read"], "nanogrid": 10**30}),
    ],
)
def test_odd_bodies_are_refused_by_name(http: httpx.Client, caller: Caller, path: str, body: dict[str, Any]) -> None:
    operator = caller("operator")
    operator.sign_in()
    answer = http.post(path, json=body, headers={"Authorization": f"Bearer {operator.token}"})
    problem(answer, 422, "validation-failed")


def test_a_reason_that_is_no_json_is_refused(http: httpx.Client, caller: Caller) -> None:
    signal = Signal(7, T, Phase.YELLOW, 0, bytes(32), 1)
    body = {"message": signal.to_json(), "signature": "0x" + "ab" * 65, "reason": {"value": 10**30}}
    dso = caller("dso")
    dso.sign_in()
    answer = http.post("/v1/nodes/7/signals", json=body, headers={"Authorization": f"Bearer {dso.token}"})
    problem(answer, 422, "validation-failed")


# PROBLEMS, PAGES, DESCRIPTION


def test_refusals_are_problem_documents(http: httpx.Client) -> None:
    problem(http.get("/v1/nowhere"), 404, "not-found")
    problem(http.delete("/v1/offers"), 405, "method-not-allowed")
    problem(http.get("/v1/nodes/999"), 404, "unknown-node")
    problem(http.get("/v1/nanogrids"), 401, "not-signed-in")
    problem(http.post("/v1/auth/siwe", content=b"{broken", headers=JSON), 400, "broken-json")
    problem(http.post("/v1/auth/siwe", content=b"x" * 2**20), 413, "body-too-large")
    problem(http.post("/v1/auth/siwe", content=b"a=b", headers={"Content-Type": "text/plain"}), 415, "wrong-media-type")
    both = problem(http.post("/v1/auth/siwe", json={"signature": "0x12", "extra": 1}), 422, "validation-failed")
    assert {error["pointer"] for error in both["errors"]} == {"/message", "/signature", "/extra"}
    problem(http.get("/v1/stream?topics=weather"), 422, "validation-failed")


def test_a_list_is_read_page_by_page(caller: Caller) -> None:
    dso = caller("dso")
    first = dso.get("/v1/nanogrids", limit=3)
    second = dso.get("/v1/nanogrids", limit=3, after=first["next"])
    assert [row["nanogrid"] for row in first["items"] + second["items"]] == [nanogrid(index) for index in range(4)]
    assert second["next"] is None


def test_every_route_is_described_and_every_body_has_an_example(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    undescribed, without_example = [], []
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            if not route.get("summary"):
                undescribed.append((method, path))
            body = route.get("requestBody")
            if body is not None and not _has_example(body["content"]["application/json"], description):
                without_example.append((method, path))
    assert (undescribed, without_example) == ([], [])
    assert all(path.startswith("/v1/") for path in description["paths"])


def test_every_route_describes_the_problems_that_it_answers_with(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    assert "HTTPValidationError" not in str(description), "what is never sent"
    for name, route in routes_of(description).items():
        problems = {status: each for status, each in route["responses"].items() if not status.startswith("2")}
        assert "503" in problems, name
        for status, each in problems.items():
            assert each["content"] == {"application/problem+json": {"schema": {"$ref": PROBLEM}}}, (name, status)
        if route.get("security"):
            assert {"401", "403"} <= problems.keys(), name
        if route.get("requestBody"):
            assert {"400", "404", "409", "413", "415", "422"} <= problems.keys(), name


def test_the_problems_that_are_sent_are_those_that_are_described(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    shape, routes = description["components"]["schemas"]["Problem"], routes_of(description)
    for name, path, body, status in (
        ("GET /v1/nodes/{node}", "/v1/nodes/999", None, 404),
        ("GET /v1/nodes/{node}", "/v1/nodes/x", None, 422),
        ("GET /v1/nanogrids", "/v1/nanogrids", None, 401),
        ("POST /v1/auth/siwe", "/v1/auth/siwe", b"{broken", 400),
        ("POST /v1/auth/siwe", "/v1/auth/siwe", b"{}", 422),
    ):
        method = name.split()[0]
        sent = http.request(method, path, content=body, headers=JSON if body else {})
        document = sent.json()
        assert (sent.status_code, str(status) in routes[name]["responses"]) == (status, True)
        assert set(shape["required"]) <= document.keys() <= shape["properties"].keys()
        entry = shape["properties"]["errors"]["items"]
        assert all(set(entry["required"]) == error.keys() for error in document.get("errors", []))


def test_every_post_describes_the_idempotency_key(http: httpx.Client) -> None:
    for name, route in routes_of(http.get("/openapi.json").json()).items():
        headers = [each["name"] for each in route.get("parameters", []) if each["in"] == "header"]
        assert headers.count("Idempotency-Key") == (1 if name.startswith("POST") else 0), name


def test_scopes_media_types_and_answers_are_shown(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    routes, schemas = routes_of(description), description["components"]["schemas"]
    assert schemas["NewApiKey"]["properties"]["scopes"]["items"]["enum"] == [scope.value for scope in Scope]
    statement = routes["GET /v1/accounts/{account}/statement"]["responses"]["200"]["content"]
    assert statement.keys() == {"application/json", "text/csv"}
    assert routes["GET /v1/stream"]["responses"]["200"]["content"].keys() == {"text/event-stream"}
    for name, example in EXAMPLES.items():
        [answer] = [each for status, each in routes[name]["responses"].items() if status.startswith("2")]
        assert answer["content"]["application/json"]["example"] == example, name


PROBLEM = "#/components/schemas/Problem"


def routes_of(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Method and path → what is described of it."""
    return {
        f"{method.upper()} {path}": route
        for path, methods in description["paths"].items()
        for method, route in methods.items()
    }


def _has_example(content: dict[str, Any], description: dict[str, Any]) -> bool:
    if content.get("examples") or content.get("example"):
        return True
    schema = description["components"]["schemas"][content["schema"]["$ref"].rsplit("/", 1)[1]]
    return bool(schema.get("example") or schema.get("examples"))


def test_health_and_metrics_are_there_for_whoever_watches(http: httpx.Client) -> None:
    assert http.get("/health/live").json() == {"status": "live"}
    assert http.get("/health/ready").status_code == 200
    assert "meritgrid_indexed_block" in http.get("/metrics").text


async def test_ready_says_what_is_missing(room: Room) -> None:
    chain = room.world.contracts
    nobody = Contracts(connect("http://127.0.0.1:1", chain.profile), chain.deployment, chain.profile)
    transport = httpx.ASGITransport(create_app(replace(room.market, contracts=nobody)))
    async with httpx.AsyncClient(transport=transport, base_url=room.url) as alone:
        answer = await alone.get("/health/ready")
    assert (answer.status_code, list(answer.json()["missing"])) == (503, ["chain"])


class Away(Exception):
    """What a driver says of its server."""


AWAY: dict[str, Exception] = {
    "no connection": OperationalError("SELECT token_hash", {"token": "secret"}, Away("connection failed")),
    "no connection of the pool": PoolTimeout("QueuePool limit reached"),
    "no chain": ConnectionRefusedError("connection refused"),
}


@pytest.mark.parametrize("method", ["GET", "POST", "POST once"])
@pytest.mark.parametrize("why", AWAY)
async def test_a_call_that_database_or_chain_break_off_is_to_be_sent_again(room: Room, why: str, method: str) -> None:
    """It was answered as a fault of the market's (500), which no client sends again, with a page of log each."""

    def away() -> Any:
        raise AWAY[why]

    # No exception is let through: the server would log it as one of its own.
    transport = httpx.ASGITransport(create_app(replace(room.market, sessions=away, reading=away)))
    once = {"Idempotency-Key": "a"} if method == "POST once" else {}
    async with httpx.AsyncClient(transport=transport, base_url=room.url) as alone:
        path = "/v1/offers" if method == "GET" else "/v1/auth/nonce"
        answer = await alone.request(method.split(maxsplit=1)[0], path, headers=once)
        unhurt = await alone.get("/health/live")
    document = problem(answer, 503, "no-answer")
    assert "secret" not in answer.text
    assert "Send it again" in document["detail"]
    assert unhurt.status_code == 200


@pytest.mark.parametrize(("waits_s", "code"), [(STANDSTILL_S - 1, 200), (STANDSTILL_S, 503)])
def test_a_chain_that_takes_nothing_in_is_said_to_stand_still(
    room: Room, http: httpx.Client, waits_s: int, code: int
) -> None:
    with room.market.sessions() as session:
        session.add(
            Transaction(
                sender="0x" + "01" * 20, nonce=0, chain_id=31337, to="0x" + "02" * 20, data=b"", raw=b"",
                hash="0x" + "03" * 32, gas_limit=1, max_fee_wei=1, state=TransactionState.PREPARED, purpose="test",
                purpose_key="waits", created_at=room.market.now_s() - waits_s,
            )
        )  # fmt: skip
    answer = http.get("/health/ready")
    assert answer.status_code == code
    if code != 200:
        assert f"a transaction has waited for {waits_s} s. Trading stands still" in answer.json()["missing"]["chain"]


def test_every_event_of_the_contracts_belongs_to_one_topic() -> None:
    interfaces = (Path(__file__).resolve().parents[2] / "contracts" / "interfaces").glob("I*.sol")
    events = {name for path in interfaces for name in re.findall(r"\bevent (\w+)\(", path.read_text(encoding="utf-8"))}
    told = [event for names in TOPICS.values() for event in names]
    assert sorted(told) == sorted(events | {"RoleGranted", "RoleRevoked"})


def test_the_stream_tells_what_happens_and_goes_on_where_it_was_left(room: Room, http: httpx.Client) -> None:
    pause = room.world.contracts.registry.functions.registerNode(40, room.world.address("dso"), "Forty")
    seen = []
    with http.stream("GET", "/v1/stream?topics=participants", timeout=20) as events:
        room.world.send("operator", pause)
        room.market.index()
        for line in events.iter_lines():
            seen.append(line)
            if line.startswith("data:"):
                break
    assert any("NodeRegistered" in line for line in seen)
    last = next(line.removeprefix("id:").strip() for line in seen if line.startswith("id:"))
    room.world.send(
        "operator", room.world.contracts.registry.functions.registerNode(41, room.world.address("dso"), "x")
    )
    room.market.index()
    with http.stream("GET", "/v1/stream?topics=participants", headers={"Last-Event-ID": last}, timeout=20) as events:
        data = next(line for line in events.iter_lines() if line.startswith("data:"))
    assert '"subject":"41"' in data


def test_lists_that_the_offer_bounds_have_pages_too(room: Room, caller: Caller) -> None:
    dso = caller("dso")
    first = dso.get("/v1/nodes/7/nanogrids", limit=3)
    assert (len(first["items"]), first["next"]) == (3, 3)
    second = dso.get("/v1/nodes/7/nanogrids", limit=3, after=first["next"])
    assert ([row["index"] for row in second["items"]], second["next"]) == ([3], None)
    assert len(list(dso.items("/v1/nodes/7/nanogrids", limit=1))) == 4
    with pytest.raises(MarketProblem) as refused:
        dso.get("/v1/nodes/7/nanogrids", limit=0)
    assert refused.value.problem["errors"][0]["pointer"].endswith("limit")
