"""What the market answers is what its description says: methods, statuses, and the fields of signed messages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from market.domain.errors import ValidationFailed
from market.domain.messages import MESSAGES
from tests.api.conftest import Caller
from tests.api.test_http import problem
from tests.chain.world import U
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 8 * U


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/offers", "GET, POST"), ("/v1/api-keys/1", "DELETE"), ("/v1/nodes/7/signals", "GET, POST"), ("/", "GET")],
)
def test_a_method_that_there_is_not_is_answered_with_all_that_there_are(
    http: httpx.Client, path: str, allowed: str
) -> None:
    refused = http.put(path)
    problem(refused, 405, "method-not-allowed")
    assert sorted(refused.headers["Allow"].split(", "))[:2] == allowed.split(", ")


def test_an_interval_beyond_what_the_contracts_keep_is_refused_and_breaks_nothing(room: Room, caller: Caller) -> None:
    request = "0x" + room.world.open_offer(T).hex()
    room.market.index()
    owner = caller("owner-0")
    owner.sign_in()
    answer = httpx.post(
        f"{room.url}/v1/requests/{request}/reclaim",
        json={"interval": 2**32},
        headers={"Authorization": f"Bearer {owner.token}"},
    )
    problem(answer, 422, "validation-failed")


@pytest.mark.parametrize("route", ["merit-order", "awards"])
def test_that_an_offer_is_not_cleared_yet_is_a_described_answer(
    room: Room, http: httpx.Client, caller: Caller, route: str
) -> None:
    offer = "0x" + room.world.open_offer(T).hex()
    room.market.index()
    owner = caller("owner-0")
    owner.sign_in()
    answer = http.get(f"/v1/offers/{offer}/{route}", headers={"Authorization": f"Bearer {owner.token}"})
    problem(answer, 409, "not-cleared")
    described = http.get("/openapi.json").json()["paths"][f"/v1/offers/{{offer}}/{route}"]["get"]
    assert set(described["responses"]["409"]["content"]) == {"application/problem+json"}


def test_every_signed_decision_is_described_by_the_fields_of_its_message(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    bodies = [
        methods["post"]["requestBody"]["content"]["application/json"]
        for methods in description["paths"].values()
        if "requestBody" in methods.get("post", {})
    ]
    decisions: list[Any] = [body for body in bodies if "message" in body["schema"].get("properties", {})]
    assert len(decisions) == 10
    for body in decisions:
        name = body["schema"]["properties"]["message"]["$ref"].rpartition("/")[2]
        schema, example = description["components"]["schemas"][name], body["examples"][name]["value"]["message"]
        assert example.keys() == schema["properties"].keys() == set(schema["required"])
        for field, limits in schema["properties"].items():
            if limits["type"] == "integer":
                MESSAGES[name].from_json(example | {field: limits["maximum"]})
                with pytest.raises(ValidationFailed):
                    MESSAGES[name].from_json(example | {field: limits["maximum"] + 1})
