"""Enrolment: a one-time code binds this gateway's key to its nanogrid; the market's answer is kept in a secret file.

It may be repeated after a failure with the same code and key: the market answers the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from gateway_agent.broker_identity import Request
from gateway_agent.configuration import (
    BROKER_FILE,
    ENROLMENT_FILE,
    KEY_FILE,
    BadConfiguration,
    Enrolled,
    problems_of,
)
from gateway_agent.identity import load_or_create_identity, write_secret
from market.domain.enrolment_code import EnrolmentCode
from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.messages import Enrolment, access_request
from market.domain.problems import problem_document
from market.domain.signing import sign_message
from market.domain.typed_data import Domain


class EnrolmentRefused(Exception):
    """The market did not enrol this gateway; the text has the market's title, detail and all its errors.

    problem: the market's problem document, or one that stands for an answer that has none.
    """

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(problem_text(response))
        self.problem: dict[str, Any] = problem_document("enrolment-refused", "The gateway is not enrolled", str(self))
        if _is_json(response):
            self.problem = self.problem | response.json()


def enrol(folder: Path, code_text: str, market_url: str, client: httpx.Client, kind: KeyKind | None = None) -> Enrolled:
    """Enrols the gateway of a folder, makes its key if need be (of this kind), and writes enrolment.json.

    Raises MalformedCode, UnsafeFile, EnrolmentRefused, BadConfiguration (an answer that cannot be used), httpx errors.
    """
    code = EnrolmentCode.parse(code_text)
    identity = load_or_create_identity(folder / KEY_FILE, kind)
    market = answer_of(client.get(f"{market_url}/v1/market"))
    settlement = Domain(int(market["chain_id"]), str(market["contracts"]["settlement"]))
    nonce = str(answer_of(client.post(f"{market_url}/v1/auth/nonce"))["nonce"])
    # Of a key made now: nothing is lost with it where the answer gets lost, and another try makes another.
    request = Request.new(identity.address)
    body = signed_enrolment(code, identity, settlement, nonce) | {"certificate_request": request.pem}
    headers = {"Idempotency-Key": f"enrolment-{code.address}-{identity.address}"}
    answer = answer_of(client.post(f"{market_url}/v1/enrolments", json=body, headers=headers))
    document = {**answer, "market_url": market_url}
    try:
        enrolled = Enrolled.model_validate(document)
    except ValidationError as problem:
        raise BadConfiguration(problems_of("the market's answer", problem)) from None
    if enrolled.gateway.lower() != identity.address.lower() or enrolled.nanogrid != code.nanogrid:
        raise BadConfiguration("the market's answer is for another gateway or nanogrid")
    if enrolled.mqtt.authentication == "certificate":
        request.keep(folder / BROKER_FILE, str(answer["mqtt"].get("certificate")))
    write_secret(folder / ENROLMENT_FILE, json.dumps(document, indent=2) + "\n")
    return enrolled


def signed_enrolment(code: EnrolmentCode, identity: GatewayKey, settlement: Domain, nonce: str) -> dict[str, Any]:
    """Body of POST /v1/enrolments: the Enrolment message signed by the code's key and by the gateway's, and the
    market's nonce by the gateway's, since what is on the chain is anybody's to repeat."""
    message = Enrolment(code.nanogrid, identity.address)
    asked = access_request(identity.address, nonce)
    return {
        "nanogrid": code.nanogrid,
        "gateway": identity.address,
        "code_signature": sign_message(code.private_key, message, settlement).hex(),
        "gateway_signature": _hex(identity.sign_message(message, settlement)),
        "nonce": nonce,
        "access_signature": _hex(identity.sign_message(asked, settlement)),
    }


def _hex(signature: bytes) -> str:
    return "0x" + signature.hex()


def answer_of(response: httpx.Response) -> dict[str, Any]:
    """The market's answer; EnrolmentRefused where it is an error."""
    if response.is_error:
        raise EnrolmentRefused(response)
    document: dict[str, Any] = response.json()
    return document


def problem_text(response: httpx.Response) -> str:
    """What an RFC 9457 problem says, for people; the plain text of any other answer."""
    if not _is_json(response):
        return f"{response.status_code}: {response.text[:300]}"
    problem = response.json()
    lines = [f"{problem.get('title', 'Refused')} ({response.status_code}): {problem.get('detail', '')}"]
    lines += [f"  {error.get('pointer')}: {error.get('rule')}" for error in problem.get("errors", ())]
    return "\n".join(lines)


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("content-type", "")
