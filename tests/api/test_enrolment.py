"""A gateway enrols once with its code; what is public on the chain afterwards gives nobody its access."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_agent.enrolment import signed_enrolment
from gateway_agent.identity import load_or_create_identity
from market.desks.market_client import MarketClient
from market.domain.enrolment_code import EnrolmentCode
from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.messages import Enrolment, access_request
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from tests.chain.world import U, nanogrid, owner_key
from tests.cli.conftest import Room


@pytest.fixture
def code(room: Room) -> EnrolmentCode:
    """A code that the operator has opened for nanogrid 0."""
    made = EnrolmentCode.new(nanogrid(0))
    opened = room.world.contracts.settlement.functions.openEnrolment(nanogrid(0), made.address, room.world.now_s + U)
    room.world.send("operator", opened)
    room.market.index()
    return made


def settlement(room: Room) -> Domain:
    return room.market.domain("Settlement")


def nonce(http: httpx.Client) -> str:
    return str(http.post("/v1/auth/nonce").json()["nonce"])


def enrolled(room: Room, http: httpx.Client, code: EnrolmentCode, identity: GatewayKey) -> dict[str, Any]:
    body = signed_enrolment(code, identity, settlement(room), nonce(http))
    answer = http.post("/v1/enrolments", json=body)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parametrize("kind", KeyKind)
def test_a_gateway_enrols_and_may_ask_again_when_the_answer_was_lost(
    room: Room, http: httpx.Client, code: EnrolmentCode, tmp_path: Path, kind: KeyKind
) -> None:
    identity = load_or_create_identity(tmp_path / "gateway.key", kind)
    first, second = (enrolled(room, http, code, identity) for _ in range(2))
    assert first["nanogrid"] == second["nanogrid"] == nanogrid(0)
    for answer, status in ((first, 401), (second, 200)):
        read = http.get(f"/v1/nanogrids/{nanogrid(0)}", headers={"Authorization": f"Bearer {answer['api_key']}"})
        assert read.status_code == status


@pytest.mark.parametrize("signature", ["gateway_signature", "access_signature"])
def test_a_p256_gateway_is_not_enrolled_by_another_p256_key(
    room: Room, http: httpx.Client, code: EnrolmentCode, tmp_path: Path, signature: str
) -> None:
    own, other = (load_or_create_identity(tmp_path / f"{name}.key", KeyKind.P256) for name in ("own", "other"))
    body = signed_enrolment(code, own, settlement(room), nonce(http))
    forged = other.sign_message(Enrolment(nanogrid(0), own.address), settlement(room))
    answer = http.post("/v1/enrolments", json=body | {signature: "0x" + forged.hex()})
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (422, "bad-signature")


@pytest.mark.parametrize("forged_by", ["stranger", "nobody"])
def test_signatures_from_the_chain_give_a_stranger_nothing(
    room: Room, http: httpx.Client, code: EnrolmentCode, tmp_path: Path, forged_by: str
) -> None:
    identity = load_or_create_identity(tmp_path / "gateway.key")
    own = enrolled(room, http, code, identity)
    message = Enrolment(nanogrid(0), identity.address)
    public = {
        "nanogrid": nanogrid(0),
        "gateway": identity.address,
        "code_signature": sign_message(code.private_key, message, settlement(room)).hex(),
        "gateway_signature": sign_message(identity.private_key, message, settlement(room)).hex(),
    }
    fresh = nonce(http)
    asked = access_request(identity.address, fresh)
    signature = sign_message(owner_key(9), asked, settlement(room)).hex()
    stolen = public | {"nonce": fresh, "access_signature": signature}
    if forged_by == "nobody":
        stolen["access_signature"] = public["gateway_signature"]
    assert http.post("/v1/enrolments", json=stolen).status_code in {400, 422, 403}
    with MarketClient(room.url, api_key=own["api_key"]) as key:
        assert key.get(f"/v1/nanogrids/{nanogrid(0)}")["nanogrid"] == nanogrid(0), "the gateway's own access stands"


def test_a_gateway_that_was_replaced_takes_nothing_from_its_successor_with_its_used_code(
    room: Room, http: httpx.Client, code: EnrolmentCode, tmp_path: Path
) -> None:
    first, second = (load_or_create_identity(tmp_path / f"gateway-{number}.key") for number in (1, 2))
    enrolled(room, http, code, first)
    other = EnrolmentCode.new(nanogrid(0))
    opened = room.world.contracts.settlement.functions.openEnrolment(nanogrid(0), other.address, room.world.now_s + U)
    room.world.send("operator", opened)
    room.market.index()
    present = enrolled(room, http, other, second)
    again = http.post("/v1/enrolments", json=signed_enrolment(code, first, settlement(room), nonce(http)))
    assert (again.status_code, again.json()["type"].rsplit("/", 1)[1]) == (403, "enrolment-unknown")
    with MarketClient(room.url, api_key=present["api_key"]) as key:
        assert key.get(f"/v1/nanogrids/{nanogrid(0)}")["nanogrid"] == nanogrid(0)


def test_a_nonce_serves_once(room: Room, http: httpx.Client, code: EnrolmentCode, tmp_path: Path) -> None:
    identity = load_or_create_identity(tmp_path / "gateway.key")
    body = signed_enrolment(code, identity, settlement(room), nonce(http))
    assert http.post("/v1/enrolments", json=body).status_code == 200
    again = http.post("/v1/enrolments", json=body)
    assert (again.status_code, again.json()["type"].rsplit("/", 1)[1]) == (401, "not-signed-in")
