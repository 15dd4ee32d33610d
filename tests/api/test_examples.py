"""The described answers are real ones: routes answer what their examples show, from the light to the settlement."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from market.api.app import create_app
from market.api.description import EXAMPLES
from market.domain.states import DispatchState
from market.store.facts import Acknowledgement
from market.store.work import Dispatch
from tests.api.conftest import Caller
from tests.api.test_stream import dispatch, reading
from tests.api.test_verdict import cleared, reject_first
from tests.chain.world import NODE, nanogrid
from tests.cli.conftest import Room, Run, meritgrid
from tests.cli.test_money import settled_award
from tests.cli.test_trading import T

__all__ = ["cleared", "meritgrid"]

Recorded = dict[str, Any]


@pytest.fixture
def recorded(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """What the routes answer to all callers of this test: route → its first answer that shows an item, cut to one."""
    paths = list(create_app(room.market).openapi()["paths"])
    answers: Recorded = {}
    send: Callable[..., httpx.Response] = httpx.Client.request

    def request(client: httpx.Client, method: str, url: str, **arguments: Any) -> httpx.Response:
        response = send(client, method, url, **arguments)
        if response.is_success and "application/json" in response.headers["content-type"]:
            name, answer = _name(paths, method, response.url.path), _cut(response.json())
            if answers.get(name, {"items": []}).get("items") == []:
                answers[name] = answer
        return response

    monkeypatch.setattr(httpx.Client, "request", request)
    return answers


def _name(paths: list[str], method: str, path: str) -> str:
    fitting = [each for each in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path)]
    return f"{method} {min(fitting, key=lambda each: each.count('{'))}"


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cut(each) for name, each in value.items()}
    return [_cut(each) for each in value[:1]] if isinstance(value, list) else value


def misfits(example: Any, answer: Any, at: str = "") -> list[str]:
    """Where an example shows another form than the answer has. What is null in one of them may be anything."""
    if isinstance(example, dict) and isinstance(answer, dict):
        names = example.keys() ^ answer.keys()
        inner = [misfits(example[name], answer[name], f"{at}/{name}") for name in example.keys() & answer.keys()]
        return sorted(f"{at}/{name}" for name in names) + [each for found in inner for each in found]
    if isinstance(example, list) and isinstance(answer, list):
        return [each for pair in zip(example, answer, strict=False) for each in misfits(*pair, f"{at}/0")]
    return [] if None in (example, answer) or type(example) is type(answer) else [at]


def hold_to_the_examples(recorded: Recorded, routes: set[str], tmp_path: Path) -> None:
    """Fails where examples and answers differ; what the examples should be is then in a file."""
    answers = {route: recorded[route] for route in sorted(routes)}
    file = tmp_path / "examples.json"
    file.write_text(json.dumps(answers, indent=1), encoding="utf-8")
    wrong = {route: misfits(EXAMPLES.get(route, {}), answer) for route, answer in answers.items()}
    assert {route: found for route, found in wrong.items() if found} == {}, f"the answers are in {file}"


def answered(room: Room, row: Dispatch) -> None:
    """The gateway has accepted a dispatch."""
    answer = Acknowledgement(
        dispatch=row.id, gateway=row.gateway, nanogrid=row.nanogrid, state=int(DispatchState.ACCEPTED), at=T,
        reason=None, signature=b"\xab" * 64, received_at=T,
    )  # fmt: skip
    with room.market.sessions() as session:
        session.add(answer)


OF_A_SETTLED_DAY = {
    "GET /v1/market", "GET /v1/nodes", "GET /v1/nodes/{node}", "GET /v1/nodes/{node}/overview",
    "GET /v1/nodes/{node}/signals", "GET /v1/nodes/{node}/readings", "GET /v1/nodes/{node}/nanogrids",
    "POST /v1/nodes/{node}/signals", "POST /v1/requests", "GET /v1/requests", "GET /v1/requests/{request}",
    "GET /v1/requests/{request}/position", "POST /v1/offers", "GET /v1/offers", "GET /v1/offers/{offer}",
    "GET /v1/offers/{offer}/position", "POST /v1/offers/{offer}/bids", "GET /v1/offers/{offer}/bids",
    "GET /v1/offers/{offer}/bids/{digest}/explanation", "GET /v1/offers/{offer}/merit-order",
    "GET /v1/offers/{offer}/awards", "GET /v1/settlements", "GET /v1/nanogrids", "GET /v1/nanogrids/{nanogrid}",
    "GET /v1/nanogrids/{nanogrid}/readings", "GET /v1/dispatches", "GET /v1/accounts/{account}",
    "GET /v1/accounts/{account}/statement", "POST /v1/auth/nonce", "POST /v1/auth/siwe", "POST /v1/api-keys",
    "GET /v1/api-keys", "DELETE /v1/api-keys/{key_id}", "GET /v1/operator/participants",
    "POST /v1/operator/transactions/prepare", "POST /v1/operator/transactions",
}  # fmt: skip
OF_A_REJECTED_RESULT = {
    "POST /v1/offers/{offer}/verdict", "GET /v1/offers/{offer}/verdict", "POST /v1/commands", "GET /v1/commands",
}  # fmt: skip


def test_the_examples_of_a_settled_day_are_what_the_routes_answer(
    room: Room, caller: Caller, meritgrid: Run, recorded: Recorded, tmp_path: Path
) -> None:
    offer = settled_award(room, meritgrid)
    answered(room, dispatch(room))
    reading(room)
    dso, owner, aggregator, operator = (caller(name) for name in ("dso", "owner-1", "aggregator", "operator"))
    for path in ("", f"/{NODE}", f"/{NODE}/overview", f"/{NODE}/nanogrids"):
        dso.get(f"/v1/nodes{path}")
    dso.get(f"/v1/nodes/{NODE}/signals", first=T, last=T)
    dso.get(f"/v1/nodes/{NODE}/readings", interval=T)
    dso.get("/v1/dispatches", node=NODE)
    for path in ("/v1/nanogrids", f"/v1/nanogrids/{nanogrid(0)}", f"/v1/nanogrids/{nanogrid(0)}/readings"):
        dso.get(path)
    [request] = dso.get("/v1/requests")["items"]
    aggregator.get(f"/v1/requests/{request['id']}")
    aggregator.get(f"/v1/requests/{request['id']}/position")
    for path in ("", f"/{offer}", f"/{offer}/position", f"/{offer}/merit-order"):
        aggregator.get(f"/v1/offers{path}")
    [bid] = owner.get(f"/v1/offers/{offer}/bids")["items"]
    owner.get(f"/v1/offers/{offer}/bids/{bid['digest']}/explanation")
    owner.get(f"/v1/offers/{offer}/awards")
    owner.get("/v1/settlements")
    owner.get(f"/v1/accounts/{owner.address}")
    owner.get(f"/v1/accounts/{owner.address}/statement")
    made = owner.post("/v1/api-keys", {"label": "home automation", "scopes": ["read", "bids"]})
    owner.get("/v1/api-keys")
    owner.delete(f"/v1/api-keys/{made['id']}")
    operator.get("/v1/operator/participants")
    pause = meritgrid("operator", "pause", "--node", NODE, "--market", room.url, "--key-file", room.key("operator"))
    assert pause.code == 0, pause.err
    hold_to_the_examples(recorded, OF_A_SETTLED_DAY, tmp_path)


def test_the_examples_of_a_verdict_and_a_command_are_what_the_routes_answer(
    room: Room, caller: Caller, meritgrid: Run, cleared: tuple[bytes, list[str]], recorded: Recorded, tmp_path: Path
) -> None:
    offer, _ = cleared
    reject_first(caller, offer)
    caller("").get(f"/v1/offers/0x{offer.hex()}/verdict")
    dso = ("--market", room.url, "--key-file", room.key("dso"))
    meritgrid("signal", "set", "--node", NODE, "--interval", T, "--phase", "RED", "--reason", "No bids", *dso)
    order = ("--nanogrid", nanogrid(1), "--interval", T, "--direction", "DOWN", "--quantity", 500)
    assert meritgrid("red", "command", *order, *dso).code == 0
    assert meritgrid("red", "list", "--node", NODE, *dso).code == 0
    hold_to_the_examples(recorded, OF_A_REJECTED_RESULT, tmp_path)


def test_every_example_is_one_of_these() -> None:
    assert EXAMPLES.keys() == OF_A_SETTLED_DAY | OF_A_REJECTED_RESULT


def test_an_example_that_has_rotted_is_found() -> None:
    example = {"id": 1, "items": [{"name": "a", "gone": 1}], "null": None}
    answer = {"id": "1", "items": [{"name": "a", "new": 1}, {}], "null": 3}
    assert sorted(misfits(example, answer)) == ["/id", "/items/0/gone", "/items/0/new"]
