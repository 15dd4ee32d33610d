"""The market on a chain that cannot check P-256 keys: it says so, and the code stays good for another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway_agent.enrolment import signed_enrolment
from gateway_agent.identity import load_or_create_identity
from market.chain.embedded import EmbeddedChain, start_anvil
from market.domain.enrolment_code import EnrolmentCode
from market.domain.gateway_key import KeyKind
from scripts.demo.supervisor import free_port
from tests.api.test_enrolment import code, nonce, settlement
from tests.cli.conftest import Room
from tests.conftest import TEST_EPOCH

__all__ = ["code"]


@pytest.fixture
def anvil() -> Iterator[EmbeddedChain]:
    """A node of the rules before Osaka, without the precompile."""
    with start_anvil(free_port(), timestamp=TEST_EPOCH, hardfork="prague") as chain:
        yield chain


def test_a_p256_gateway_is_refused_and_the_code_stays_good(
    room: Room, http: httpx.Client, code: EnrolmentCode, tmp_path: Path
) -> None:
    p256, other = (load_or_create_identity(tmp_path / f"{kind}.key", kind) for kind in (KeyKind.P256, None))
    refused = http.post("/v1/enrolments", json=signed_enrolment(code, p256, settlement(room), nonce(http)))
    problem = refused.json()
    assert (refused.status_code, problem["type"].rsplit("/", 1)[1]) == (409, "missing-precompile")
    assert problem["detail"].startswith("The chain cannot check signatures of P-256 keys")
    taken = http.post("/v1/enrolments", json=signed_enrolment(code, other, settlement(room), nonce(http)))
    assert (taken.status_code, taken.json()["gateway"]) == (200, other.address)
