"""How every route that changes something is probed: with a call that is right in all but perhaps its caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_defunct

from gateway_agent.broker_identity import Request as CertificateRequest
from gateway_agent.enrolment import signed_enrolment
from market.chain.bindings import encode_call
from market.desks.desk import document_hash
from market.desks.market_client import siwe_text
from market.domain.enrolment_code import EnrolmentCode
from market.domain.gateway_key import GatewayKey
from market.domain.messages import (
    Cancellation,
    Delegation,
    Hold,
    Permit,
    Request,
    SeatTransferVeto,
    Signal,
    Unbonding,
    Verdict,
    Withdrawal,
    access_request,
)
from market.domain.products import Direction, Phase, Product
from market.domain.records import rejected_bitmap
from market.domain.signing import address_of
from market.services.operator_actions import action_of
from tests.chain.world import EUR, before
from tests.security.probes import Case, Probe, done, is_done
from tests.security.town import (
    BIDDING,
    HELD,
    HOLDABLE,
    LAPSING,
    LATER,
    NOW,
    OFFERABLE,
    REASON,
    RED,
    VERDICT,
    key_of,
)

Body = Mapping[str, Any]


def _decision(path: str, message: Callable[[Case], Any], **documents: Body) -> Probe:
    """A decision that the caller signs; the path's names are those of `_place`."""
    return done(
        lambda case: _place(case, path), lambda case: case.town.signed(message(case), case.caller.key, **documents)
    )


def _place(case: Case, path: str) -> str:
    spot = case.spot
    return path.format(node=spot.quarter.node, nanogrid=spot.nanogrid, account=case.account)


def _offer(case: Case, interval: int) -> bytes:
    return bytes.fromhex(case.spot.quarter.offers[interval][2:])


def _nonce(case: Case, contract: str, function: str, *arguments: Any) -> int:
    contracts = case.town.room.world.contracts
    return int(contracts.call(getattr(getattr(contracts, contract).functions, function)(*arguments)))


# OF A DSO


def _signal(case: Case) -> Signal:
    return Signal(case.spot.quarter.node, LATER, Phase.YELLOW, 0, document_hash(REASON), 1)


def _request(case: Case) -> Request:
    return Request(case.spot.quarter.node, OFFERABLE, Product.CM_REALTIME, Direction.DOWN, 400_000, (1000,), 7)


def _verdict(case: Case) -> Verdict:
    return Verdict(_offer(case, VERDICT), rejected_bitmap([0]), document_hash(REASON))


# OF AN AGGREGATOR


def _new_offer(case: Case) -> Any:
    return case.town.offer_message(case.spot.quarter, OFFERABLE, before(OFFERABLE, 140))


def _cancellation(case: Case) -> Body:
    message = Cancellation(_offer(case, BIDDING))
    return {"signature": case.town.hex_signature(message, case.caller.key)}


# OF OWNERS


def _bid(case: Case) -> bool:
    """A bid has an answer of its own within the call's."""
    offer = case.spot.quarter.offers[BIDDING]
    document = case.town.bid_document(offer, case.spot.index, case.caller.key)
    answer = case.post(f"/v1/offers/{offer}/bids", {"bids": [document]})
    if not is_done(answer):
        return False
    [result] = answer.json()["results"]
    problem = result["problem"]
    assert result["accepted"] or problem["status"] == 403 or problem["type"].endswith("/bad-signature"), problem
    return bool(result["accepted"])


def _delegation(case: Case) -> Delegation:
    nonce = _nonce(case, "registry", "ownerNonce", case.spot.nanogrid)
    return Delegation(case.spot.nanogrid, address_of(key_of("delegate")), NOW // 86_400 + 30, 80_000, 500, 60, nonce)


def _veto(case: Case) -> SeatTransferVeto:
    return SeatTransferVeto(case.spot.nanogrid, _nonce(case, "registry", "ownerNonce", case.spot.nanogrid))


def _unbonding(case: Case) -> Unbonding:
    nonce = _nonce(case, "settlement", "unbondingNonce", case.spot.nanogrid)
    return Unbonding(case.spot.nanogrid, EUR, nonce)


def _permit(case: Case) -> dict[str, Any]:
    """A permit over the caller's own tokens."""
    contracts, signer = case.town.room.world.contracts, address_of(case.caller.key)
    nonce = _nonce(case, "token", "nonces", signer)
    permit = Permit(signer, str(contracts.settlement.address), EUR, nonce, NOW + 3600)
    signature = case.town.hex_signature(permit, case.caller.key)
    return {"amount_ueur": EUR, "deadline": NOW + 3600, "signature": signature}


def _withdrawal(case: Case) -> Withdrawal:
    return Withdrawal(case.account, EUR, _nonce(case, "settlement", "nonceOf", case.account))


# OF THE OPERATOR AND THE REFEREE

Action = Callable[[Case], dict[str, Any]]


def _pause(case: Case) -> dict[str, Any]:
    return {"action": "set_paused", "node": case.spot.quarter.node, "paused": True}


def _grant(role: str) -> Action:
    return lambda case: {"action": "grant_role", "role": role, "account": case.account}


def _judge(case: Case) -> dict[str, Any]:
    offer = case.spot.quarter.offers[HELD]
    return {"action": "decide_hold", "offer": offer, "ordinal": case.spot.index, "upheld": True}


def _prepared(action: Action) -> Probe:
    return done(lambda _: "/v1/operator/transactions/prepare", action)


def _submitted(action: Action) -> Probe:
    """The transaction, made without the market's help and signed by the caller."""

    def body(case: Case) -> Body:
        contracts = case.town.room.world.contracts
        function = action_of(action(case)).call(contracts)
        sender = address_of(case.caller.key)
        transaction = {
            "type": 2, "chainId": contracts.deployment.chain_id, "to": function.address,
            "nonce": contracts.web3.eth.get_transaction_count(sender), "data": "0x" + encode_call(function).hex(),
            "value": 0, "gas": 1_000_000, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0,
        }  # fmt: skip
        raw = bytes(Account.sign_transaction(transaction, case.caller.key).raw_transaction)
        return {"raw_transaction": "0x" + raw.hex()}

    return done(lambda _: "/v1/operator/transactions", body)


# ACCESS


def _sign_in(case: Case) -> bool:
    """As an address, with the caller's own signature."""
    challenge = case.http.post("/v1/auth/nonce").json()
    address = address_of(case.caller.key) if case.spot.name == "own" else address_of(case.spot.owner)
    text = siwe_text(challenge, address)
    signature = Account.sign_message(encode_defunct(text=text), case.caller.key).signature.hex()
    return is_done(case.post("/v1/auth/siwe", {"message": text, "signature": "0x" + signature}))


def _enrolment(case: Case) -> bool:
    """With the code that the operator has opened for the near node's first nanogrid."""
    identity = GatewayKey.of(key_of(f"new gateway {case.caller.name}"))
    nonce = case.http.post("/v1/auth/nonce").json()["nonce"]
    domain = case.town.room.market.domain("Settlement")
    code = EnrolmentCode(case.spot.nanogrid, case.town.code.secret)
    wish = {"certificate_request": CertificateRequest.new(identity.address).pem}
    return is_done(case.post("/v1/enrolments", signed_enrolment(code, identity, domain, nonce) | wish))


def _certificate(case: Case) -> bool:
    """For the gateway of the spot, with the caller's own signature."""
    gateway = address_of(case.spot.quarter.gateways[case.spot.index])
    nonce = case.http.post("/v1/auth/nonce").json()["nonce"]
    body = {
        "gateway": gateway, "nonce": nonce, "certificate_request": CertificateRequest.new(gateway).pem,
        "access_signature": case.town.hex_signature(access_request(gateway, nonce), case.caller.key),
    }  # fmt: skip
    return is_done(case.post("/v1/enrolments/certificate", body))


def _revocation(case: Case) -> bool:
    own = case.spot.name == "own"
    key = case.caller.own_key if own else case.town.api_keys[address_of(case.spot.owner)]
    return is_done(case.http.delete(f"/v1/api-keys/{key or 0}", headers=case.caller.headers))


CHANGING: Final[dict[str, Probe]] = {
    "POST /v1/auth/nonce": done(lambda _: "/v1/auth/nonce"),
    "POST /v1/auth/siwe": _sign_in,
    "POST /v1/api-keys": done(lambda _: "/v1/api-keys", lambda _: {"label": "x", "scopes": ["read"]}),
    "POST /v1/api-keys (of a nanogrid)": done(
        lambda _: "/v1/api-keys", lambda case: {"label": "x", "scopes": ["read"], "nanogrid": case.spot.nanogrid}
    ),
    "DELETE /v1/api-keys/{key_id}": _revocation,
    "POST /v1/enrolments": _enrolment,
    "POST /v1/enrolments/certificate": _certificate,
    "POST /v1/nodes/{node}/signals": _decision("/v1/nodes/{node}/signals", _signal, reason=REASON),
    "POST /v1/requests": _decision("/v1/requests", _request),
    "POST /v1/requests/{request}/reclaim": done(
        lambda case: f"/v1/requests/{case.spot.quarter.requests[VERDICT]}/reclaim", lambda _: {"interval": VERDICT}
    ),
    "POST /v1/offers/{offer}/verdict": done(
        lambda case: f"/v1/offers/{case.spot.quarter.offers[VERDICT]}/verdict",
        lambda case: case.town.signed(_verdict(case), case.caller.key, reasons=REASON),
    ),
    "POST /v1/commands": _decision(
        "/v1/commands", lambda case: case.town.command_message(case.spot.nanogrid, RED), reason=REASON
    ),
    "POST /v1/offers": _decision("/v1/offers", _new_offer),
    "POST /v1/offers/{offer}/cancellation": done(
        lambda case: f"/v1/offers/{case.spot.quarter.offers[BIDDING]}/cancellation", _cancellation
    ),
    "POST /v1/holds": _decision(
        "/v1/holds", lambda case: Hold(_offer(case, HOLDABLE), case.spot.index, document_hash(REASON)), reason=REASON
    ),
    "POST /v1/holds/{offer}/{ordinal}/lapse": done(
        lambda case: f"/v1/holds/{case.spot.quarter.offers[LAPSING]}/{case.spot.index}/lapse"
    ),
    "POST /v1/offers/{offer}/bids": _bid,
    "POST /v1/nanogrids/{nanogrid}/delegation": _decision("/v1/nanogrids/{nanogrid}/delegation", _delegation),
    "POST /v1/nanogrids/{nanogrid}/transfer/veto": _decision("/v1/nanogrids/{nanogrid}/transfer/veto", _veto),
    "POST /v1/nanogrids/{nanogrid}/bond": done(
        lambda case: f"/v1/nanogrids/{case.spot.nanogrid}/bond",
        lambda case: _permit(case) | {"from": address_of(case.caller.key)},
    ),
    "POST /v1/nanogrids/{nanogrid}/unbonding": _decision("/v1/nanogrids/{nanogrid}/unbonding", _unbonding),
    "POST /v1/nanogrids/{nanogrid}/bond/withdrawal": done(
        lambda case: f"/v1/nanogrids/{case.spot.nanogrid}/bond/withdrawal"
    ),
    "POST /v1/nanogrids/{nanogrid}/payout": done(lambda case: f"/v1/nanogrids/{case.spot.nanogrid}/payout"),
    "POST /v1/accounts/{account}/deposits": done(lambda case: f"/v1/accounts/{case.account}/deposits", _permit),
    "POST /v1/accounts/{account}/withdrawals": _decision("/v1/accounts/{account}/withdrawals", _withdrawal),
    "POST /v1/operator/transactions/prepare (pause)": _prepared(_pause),
    "POST /v1/operator/transactions/prepare (grant AUDITOR)": _prepared(_grant("AUDITOR")),
    "POST /v1/operator/transactions/prepare (grant OPERATOR)": _prepared(_grant("OPERATOR")),
    "POST /v1/operator/transactions/prepare (decide a hold)": _prepared(_judge),
    "POST /v1/operator/transactions (pause)": _submitted(_pause),
    "POST /v1/operator/transactions (grant AUDITOR)": _submitted(_grant("AUDITOR")),
    "POST /v1/operator/transactions (grant OPERATOR)": _submitted(_grant("OPERATOR")),
    "POST /v1/operator/transactions (decide a hold)": _submitted(_judge),
}
