"""Calls of any content, as every caller: no server error, and no answer that the description does not name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from market.desks.desk import document_hash
from market.domain.messages import MESSAGES
from market.domain.typed_data import Message
from tests.security.fuzzing import ENDLESS, SEED, fuzz, known_names
from tests.security.principals import Caller, callers_of
from tests.security.test_authorisation import TABLE, described
from tests.security.town import REASON, Town

pytestmark = pytest.mark.slow

CALLERS: Final = tuple(next(iter(TABLE.values())))
EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "3"))
"""Calls to each route by each caller. `make fuzz-api EXAMPLES=100` makes more, and tries every boundary as each."""
IN_LENGTH: Final = EXAMPLES > 3
ALL_BOUNDARIES: Final = CALLERS if IN_LENGTH else ("nobody", "owner")

Description = Mapping[str, Any]


@dataclass
class Fuzzed:
    """A populated market, who calls it, and what it says of itself."""

    town: Town
    callers: Mapping[str, Caller]
    http: httpx.Client
    paths: Description


@pytest.fixture(scope="module")
def fuzzed(town: Town) -> Iterator[Fuzzed]:
    with httpx.Client(base_url=town.room.url, timeout=60) as http:
        yield Fuzzed(town, callers_of(town), http, http.get("/openapi.json").json()["paths"])


@pytest.mark.timeout(1800 if IN_LENGTH else 300)
@pytest.mark.parametrize("name", CALLERS)
def test_no_call_breaks_the_market_or_is_answered_otherwise_than_described(
    fuzzed: Fuzzed, name: str, tmp_path: Path
) -> None:
    phases = "examples,coverage,fuzzing" if name in ALL_BOUNDARIES else "examples,fuzzing"
    run = fuzz(fuzzed.town, fuzzed.callers[name], tmp_path, EXAMPLES, phases)
    assert run.returncode == 0, run.stdout + run.stderr


# SIGNED DECISIONS: schemathesis cannot sign


def decisions() -> dict[str, type[Message]]:
    """Routes that take a signed decision → the kind of its message."""
    found = {}
    for path, methods in described().openapi()["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        message = content.get("schema", {}).get("properties", {}).get("message", {})
        if "$ref" in message:
            found[path] = MESSAGES[message["$ref"].rpartition("/")[2]]
    return found


DECISIONS: Final = decisions()


def test_there_are_decisions_to_try() -> None:
    assert len(DECISIONS) >= 10


def values_of(town: Town, name: str, solidity_type: str) -> st.SearchStrategy[Any]:
    """Values of a message's field: any that its type has, and names of what there is."""
    if solidity_type.endswith("[]"):
        return st.lists(values_of(town, name, solidity_type[:-2]), max_size=5).map(tuple)
    known = known_names(town)
    if name in ("reason", "reasons"):
        return st.one_of(st.just(document_hash(REASON)), st.binary(min_size=32, max_size=32))
    if solidity_type in ("bytes", "bytes32"):
        size = 32 if solidity_type == "bytes32" else None
        real = [bytes.fromhex(str(each)[2:]) for key in ("offer", "request") for each in known[key]]
        anything = st.binary(min_size=size or 0, max_size=size or 64)
        return st.one_of(st.sampled_from(real), anything) if size else anything
    if solidity_type == "address":
        return st.sampled_from(known["account"])
    bits = int(re.sub(r"\D", "", solidity_type))
    place = {"nanogrid": "nanogrid", "node": "node", "portfolio": "portfolio"}.get(name, "interval")
    real_numbers = st.sampled_from([int(each) for each in known[place] if int(each) < 2**bits])
    small = st.integers(0, min(5000, 2**bits - 1))
    return st.one_of(real_numbers, small, st.integers(0, 2**bits - 1)) if bits > 31 else small


@pytest.mark.parametrize("path", DECISIONS)
def test_no_signed_decision_breaks_the_market(fuzzed: Fuzzed, path: str) -> None:
    kind, town, route = DECISIONS[path], fuzzed.town, fuzzed.paths[path]["post"]
    fields = {field.name: values_of(town, field.name, field.solidity_type) for field in kind.FIELDS}
    signers = [caller for caller in fuzzed.callers.values() if caller.token is not None]
    extra = {name: REASON for name in ("reason", "reasons") if name in _body_of(route)}

    @seed(SEED)
    @settings(max_examples=20 * EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(values=st.fixed_dictionaries(fields), caller=st.sampled_from(signers))
    def send(values: dict[str, Any], caller: Caller) -> None:
        message = kind(**values)
        places = {name: _shown(values[name]) for name in _names_in(path)}
        body = town.signed(message, caller.key, **extra)
        answer = fuzzed.http.post(path.format(**places), json=body, headers=caller.headers)
        assert str(answer.status_code) in route["responses"], answer.text
        assert answer.status_code < 500, answer.text

    send()


def _body_of(route: Description) -> Description:
    properties: Description = route["requestBody"]["content"]["application/json"]["schema"]["properties"]
    return properties


def _names_in(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _shown(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


# THE STREAM: its answers do not end


@pytest.mark.parametrize("name", CALLERS)
def test_no_question_to_the_stream_breaks_it(fuzzed: Fuzzed, name: str) -> None:
    route, headers = fuzzed.paths[ENDLESS]["get"], fuzzed.callers[name].headers
    anything = st.one_of(st.text(max_size=20), st.integers().map(str), st.sampled_from(["signals", "bids,readings"]))
    names = [parameter["name"] for parameter in route["parameters"] if parameter["in"] == "query"]

    @seed(SEED)
    @settings(max_examples=4 * EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(query=st.dictionaries(st.sampled_from(names), anything), place=st.one_of(st.none(), _CURSORS))
    def ask(query: dict[str, str], place: str | None) -> None:
        more = {} if place is None else {"Last-Event-ID": place}
        with fuzzed.http.stream("GET", ENDLESS, params=query, headers=headers | more) as answer:
            assert str(answer.status_code) in route["responses"]
            assert answer.status_code < 500
            kind = "text/event-stream" if answer.is_success else "application/problem+json"
            assert answer.headers["content-type"].startswith(kind)

    ask()


_CURSORS: Final = st.one_of(
    st.text(alphabet="0123456789.-abc", max_size=30),
    st.tuples(*[st.integers(0, 2**70)] * 3).map(lambda parts: ".".join(map(str, parts))),
)
