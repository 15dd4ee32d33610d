"""Bodies that are no JSON, too large or of another type are refused before anything reads them."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.bad_input.conftest import House
from tests.chain.world import KEYS

pytestmark = pytest.mark.slow

JSON = "application/json"


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"{broken", JSON, 400, "broken-json"),
        (b"", JSON, 422, "validation-failed"),
        (b"[]", JSON, 422, "validation-failed"),
        (b"\xff\xfe{}", JSON, 400, "broken-json"),
        (b"x" * 2**20, JSON, 413, "body-too-large"),
        (
            json.dumps({"message": {"a": "x" * 2**20}, "signature": "0x" + "00" * 65}).encode(),
            JSON,
            413,
            "body-too-large",
        ),
        (b"a=b", "application/x-www-form-urlencoded", 415, "wrong-media-type"),
        (b"<a/>", "text/xml", 415, "wrong-media-type"),
        (b"{}", "", 415, "wrong-media-type"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/requests", "/v1/offers", "/v1/offers/0x" + "ab" * 32 + "/bids"])
def test_a_body_that_cannot_be_read_is_refused_by_its_name(
    house: House, path: str, content: bytes, media_type: str, status: int, code: str
) -> None:
    with house.client(KEYS["dso"]) as signed_in, httpx.Client(base_url=house.room.url, timeout=30) as http:
        headers = {"Authorization": f"Bearer {signed_in.token}"} | ({"Content-Type": media_type} if media_type else {})
        with house.unchanged():
            answer = http.post(path, content=content, headers=headers)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (status, code)
    assert answer.json()["detail"]
