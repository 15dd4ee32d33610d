"""Enrolment of a gateway by a one-time code: bound to its nanogrid on the chain, given its access to broker and API.

The code's key has signed for this gateway, so that nobody who carries the message can put another in its place. A
repeated call with the same code and gateway gives new access in place of the old, in case the answer was lost.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from market.domain.errors import BadSignature, Category, MeritgridError, ValidationFailed, Violation
from market.domain.gateway_key import gateway_of_message
from market.domain.messages import Enrolment, access_request
from market.domain.signing import Signature, recover_message
from market.domain.typed_data import CONTRACT_KEYS, checksum_address
from market.domain.units import P256_SIGNATURE_BYTES
from market.services.access import GATEWAY_ROLE, NotAllowed, Scope, new_api_key, use_nonce
from market.services.certificates import ENROLLED_ANEW
from market.services.decisions import audit
from market.services.enrolment_ca import requested_key
from market.services.market import Market
from market.store.books import GatewayEnrolmentOpened
from market.store.projections import Nanogrid, Node, RoleHolding
from market.store.work import ApiKey, BrokerCredential

_PASSWORD_BYTES: Final = 32


class CertificatesUnknown(MeritgridError):
    """A certificate is asked for, and the broker lets gateways in by password."""

    def __init__(self) -> None:
        sentence = "This market's broker lets gateways in by password: there are no certificates to renew."
        super().__init__("no-certificates", "No certificates here", sentence, {}, Category.INVALID)


class EnrolmentUnknown(MeritgridError):
    """The operator has opened no such enrolment."""

    def __init__(self, nanogrid: int) -> None:
        sentence = f"The code is not one that the operator has opened for nanogrid {nanogrid}. Ask for a new one."
        super().__init__("enrolment-unknown", "Unknown enrolment code", sentence, {}, Category.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class EnrolmentRequest:
    """What a gateway sends. Code's and gateway's signatures over Enrolment are public once they are on the chain;
    `access_signature` over the market's one-time nonce shows that it is the gateway that asks now. In 0x hex: the
    gateway's of 64 or 65 bytes, or of the 128 of a P-256 key."""

    nanogrid: int
    gateway: str
    code_signature: str
    gateway_signature: str
    nonce: str
    access_signature: str
    certificate_request: str | None = None


@dataclass(frozen=True, slots=True)
class RenewalRequest:
    """What a gateway sends for another certificate: its signature over the market's nonce, a request for its key."""

    gateway: str
    nonce: str
    access_signature: str
    certificate_request: str


def enrol(market: Market, request: EnrolmentRequest) -> dict[str, Any]:
    """Bind a gateway to its nanogrid and give it its configuration.

    Raises:
        BadSignature: the gateway has not signed. EnrolmentUnknown: no such code is open.
        NotSignedIn: the nonce is unknown, used or expired.
        ContractRefused: the code is used up or expired, the gateway serves another nanogrid, or its key is a P-256 key,
            which this chain cannot check.
        ValidationFailed: the broker asks for certificates, and the request for one is missing or unusable.
    """
    broker_key = _broker_key(market, request)
    nanogrid, code_signature = request.nanogrid, Signature.from_hex(request.code_signature)
    gateway_signature = _gateway_signature(request.gateway_signature)
    message = Enrolment(nanogrid, checksum_address(request.gateway))
    domain = market.domain(message)
    if gateway_of_message(message, domain, gateway_signature) != message.gateway:
        raise BadSignature("The gateway's own key has not signed this enrolment.")
    _require_access(market, message.gateway, request.nonce, request.access_signature)
    code = recover_message(message, domain, code_signature)
    with market.sessions() as session:
        use_nonce(session, request.nonce, market.now_s())
    market.index()
    if not _is_bound(market, nanogrid, message.gateway, code):
        function = market.contracts.settlement.functions.enrolGateway(
            nanogrid, message.gateway, code_signature.to_bytes(), _on_chain(gateway_signature)
        )
        market.relay(function, f"enrol:{nanogrid}:{message.gateway}:{code}")
        market.index()
        if not _is_bound(market, nanogrid, message.gateway, code):
            # The code was used long ago, by this gateway, and another one has taken its place since.
            raise EnrolmentUnknown(nanogrid)
    with market.sessions() as session:
        return _access(market, session, nanogrid, message.gateway, broker_key)


def renew_certificate(market: Market, request: RenewalRequest) -> dict[str, Any]:
    """Give the gateway of a nanogrid another certificate.

    Raises:
        BadSignature: the gateway has not signed. NotSignedIn: the nonce is unknown, used or expired.
        NotAllowed: it serves no nanogrid (any more). CertificatesUnknown: the broker asks for no certificates.
        ValidationFailed: the request is unusable.
    """
    gateway = checksum_address(request.gateway)
    if market.certificates is None:
        raise CertificatesUnknown
    key = requested_key(request.certificate_request, gateway.lower())
    _require_access(market, gateway, request.nonce, request.access_signature)
    market.index()
    with market.sessions() as session:
        use_nonce(session, request.nonce, market.now_s())
        nanogrid = session.scalar(select(Nanogrid.nanogrid).where(Nanogrid.gateway == gateway))
        if nanogrid is None:
            raise NotAllowed(f"The gateway {gateway} serves no nanogrid (any more). Enrol it with a new code.")
        certificate = market.certificates.issue(session, gateway, nanogrid, key)
        audit(session, market.now_s(), gateway, "certificate renewed", "nanogrid", nanogrid)
    return _broker_answer(market, gateway, certificate)


def _require_access(market: Market, gateway: str, nonce: str, signature: str) -> None:
    """Raises BadSignature where it is not the gateway that asks now."""
    asked = access_request(gateway, nonce)
    if gateway_of_message(asked, market.domain(asked), _gateway_signature(signature)) != gateway:
        raise BadSignature("The gateway's own key has not signed the nonce.")


def _broker_key(market: Market, request: EnrolmentRequest) -> ec.EllipticCurvePublicKey | None:
    """The key that the gateway wants a certificate for; None where the broker asks for passwords."""
    if market.certificates is None:
        return None
    if request.certificate_request is None:
        rule = "is missing: the broker asks for certificates; enrol with an agent of this version or later"
        raise ValidationFailed([Violation("/certificate_request", None, rule)])
    return requested_key(request.certificate_request, request.gateway.lower())


def _gateway_signature(text: str) -> bytes:
    """64 or 128 bytes; BadSignature."""
    signature = bytes.fromhex(text.removeprefix("0x"))
    return signature if len(signature) == P256_SIGNATURE_BYTES else Signature.from_bytes(signature).compact()


def _on_chain(gateway_signature: bytes) -> bytes:
    """As `enrolGateway` takes it."""
    is_p256 = len(gateway_signature) == P256_SIGNATURE_BYTES
    return gateway_signature if is_p256 else Signature.from_bytes(gateway_signature).to_bytes()


def _is_bound(market: Market, nanogrid: int, gateway: str, code: str) -> bool:
    """Whether this code has bound this gateway already. Raises EnrolmentUnknown."""
    with market.reading() as session:
        opened = session.scalar(
            select(GatewayEnrolmentOpened.nanogrid).where(
                GatewayEnrolmentOpened.nanogrid == nanogrid, GatewayEnrolmentOpened.code_address == code
            )
        )
        row = session.get(Nanogrid, nanogrid)
        if opened is None or row is None:
            raise EnrolmentUnknown(nanogrid)
        return row.gateway == gateway


def _access(
    market: Market, session: Session, nanogrid: int, gateway: str, broker_key: ec.EllipticCurvePublicKey | None
) -> dict[str, Any]:
    now_s = market.now_s()
    row = session.get_one(Nanogrid, nanogrid)
    node = session.get_one(Node, row.node)
    session.execute(
        update(ApiKey)
        .where(ApiKey.nanogrid == nanogrid, ApiKey.role == GATEWAY_ROLE, ApiKey.revoked_at.is_(None))
        .values(revoked_at=now_s)
    )
    _, api_key = new_api_key(session, gateway, GATEWAY_ROLE, [Scope.READ, Scope.BIDS], now_s, nanogrid)
    if market.certificates is not None and broker_key is not None:
        market.certificates.revoke_of_nanogrid(session, nanogrid, ENROLLED_ANEW)
        certificate = market.certificates.issue(session, gateway, nanogrid, broker_key)
        broker = _broker_answer(market, gateway, certificate)
    else:
        broker = {**_broker_answer(market, gateway, None), "password": _new_password(session, nanogrid, gateway, now_s)}
    audit(session, now_s, gateway, "gateway enrolled", "nanogrid", nanogrid)
    return {
        "nanogrid": nanogrid,
        "gateway": gateway,
        "portfolio": row.portfolio,
        "index": row.index,
        "node": row.node,
        "chain_id": market.chain_id,
        "contracts": {key: market.addresses[name] for name, key in CONTRACT_KEYS.items()},
        "oracle": session.scalars(select(RoleHolding.account).where(RoleHolding.role == "ORACLE")).first(),
        "dso": node.dso,
        "relayer": market.relayer.address,
        "time_unit_s": market.calendar.time_unit_s,
        "mqtt": broker,
        "api_key": api_key,
    }


def _new_password(session: Session, nanogrid: int, gateway: str, now_s: int) -> str:
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    session.merge(
        BrokerCredential(
            username=gateway.lower(),
            password_sha256="0x" + hashlib.sha256(password.encode()).hexdigest(),
            kind=GATEWAY_ROLE,
            gateway=gateway,
            nanogrid=nanogrid,
            created_at=now_s,
            revoked_at=None,
        )
    )
    return password


def _broker_answer(market: Market, gateway: str, certificate: str | None) -> dict[str, Any]:
    """How the gateway reaches the broker, and by what it is known there."""
    known_by = {"authentication": "password"} if certificate is None else {"authentication": "certificate"}
    return {**market.broker, "username": gateway.lower(), **known_by, "certificate": certificate}
