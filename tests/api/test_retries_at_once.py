"""Retries that come at the same moment, on both kinds of databases: they keep calls apart in different ways."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.conftest import Caller
from tests.api.test_http import live_keys
from tests.cli.conftest import Room

AT_ONCE = 6


@pytest.fixture
def room_database_url(database_url: str) -> str:
    return database_url


def test_many_retries_at_once_leave_one_api_key_live(room: Room, caller: Caller) -> None:
    owner = caller("owner-0")
    owner.sign_in()
    headers = {"Authorization": f"Bearer {owner.token}", "Idempotency-Key": "one"}

    def make() -> int:
        wish = {"label": "x", "scopes": ["read"]}
        return httpx.post(f"{room.url}/v1/api-keys", json=wish, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(AT_ONCE) as at_once:
        answers = [made.result() for made in [at_once.submit(make) for _ in range(AT_ONCE)]]
    assert (set(answers), len(live_keys(owner))) == ({201}, 1)
