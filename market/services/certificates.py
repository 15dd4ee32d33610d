"""Gateways' certificates for the broker: issued, and revoked as soon as a gateway serves its nanogrid no more.

A revocation is a new list of the authority, written in the same transaction. The broker's guard
(`meritgrid broker guard`) takes lists from the database to the broker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import Counter
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from market.jobs import Rounds
from market.services.enrolment_ca import GATEWAY_LIFETIME, EnrolmentCa, pem_of
from market.store.database import REVOCATION_LOCK, lock
from market.store.projections import Nanogrid
from market.store.work import GatewayCertificate, RevocationList

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1
"""How often it is looked for gateways that have been replaced or unseated [s]."""
ENROLLED_ANEW: Final = "enrolled-anew"
REPLACED: Final = "replaced"
BY_HAND: Final = "by-hand"

Sessions = Callable[[], AbstractContextManager[Session]]

_REVOKED = Counter("meritgrid_certificates_revoked_total", "Gateways' certificates revoked, by reason", ["reason"])


@dataclass(frozen=True)
class GatewayCertificates:
    """Signs and revokes with the enrolment authority's key."""

    authority: EnrolmentCa

    def issue(self, session: Session, gateway: str, nanogrid: int, key: ec.EllipticCurvePublicKey) -> str:
        """The certificate (PEM) by which the broker knows a gateway as its address in lower case."""
        certificate = self.authority.sign_client(key, gateway.lower(), GATEWAY_LIFETIME)
        session.add(
            GatewayCertificate(
                serial=f"{certificate.serial_number:x}",
                gateway=gateway,
                nanogrid=nanogrid,
                issued_at=int(time.time()),
                expires_at=int(certificate.not_valid_after_utc.timestamp()),
                revoked_at=None,
                reason=None,
            )
        )
        return pem_of(certificate)

    def revoke_of_gateway(self, session: Session, gateway: str, reason: str = BY_HAND) -> int:
        """Revoke all that a gateway has; how many there were."""
        return self._revoke(session, GatewayCertificate.gateway == gateway, reason)

    def revoke_of_nanogrid(self, session: Session, nanogrid: int, reason: str) -> int:
        """Revoke what all gateways of a nanogrid have, past ones too; how many there were."""
        return self._revoke(session, GatewayCertificate.nanogrid == nanogrid, reason)

    def revoke_replaced(self, session: Session) -> int:
        """Revoke what gateways have whose nanogrid is served by another one now, or by none; how many there were.

        A nanogrid that is not known is no reason: its projection may be about to be built again.
        """
        return self._revoke(session, GatewayCertificate.serial.in_(_replaced()), REPLACED)

    def has_replaced(self, session: Session) -> bool:
        """Whether `revoke_replaced` would find any."""
        which = GatewayCertificate.serial.in_(_replaced()), GatewayCertificate.revoked_at.is_(None)
        return session.scalar(select(GatewayCertificate.serial).where(*which).limit(1)) is not None

    def _revoke(self, session: Session, which: ColumnElement[bool], reason: str) -> int:
        lock(session, REVOCATION_LOCK)
        now_s = int(time.time())
        rows = session.scalars(select(GatewayCertificate).where(which, GatewayCertificate.revoked_at.is_(None))).all()
        for row in rows:
            row.revoked_at, row.reason = now_s, reason
            log.info("certificate revoked", gateway=row.gateway, nanogrid=row.nanogrid, serial=row.serial, why=reason)
        if rows:
            session.flush()
            self._publish_list(session, now_s)
            _REVOKED.labels(reason).inc(len(rows))
        return len(rows)

    def _publish_list(self, session: Session, now_s: int) -> None:
        """The next list: of all that are revoked and would hold still."""
        before = latest_list(session)
        revoked = session.execute(
            select(GatewayCertificate.serial, GatewayCertificate.revoked_at).where(
                GatewayCertificate.revoked_at.is_not(None), GatewayCertificate.expires_at >= now_s
            )
        ).all()
        number = 1 if before is None else before.number + 1
        after = None if before is None else x509.load_pem_x509_crl(before.pem.encode()).last_update_utc
        entries = [(int(serial, 16), datetime.fromtimestamp(at, UTC)) for serial, at in revoked if at is not None]
        made = self.authority.revocation_list(number, entries, after)
        session.add(RevocationList(number=number, pem=pem_of(made), issued_at=now_s))
        session.flush()


def _replaced() -> Select[str]:
    """Certificates of gateways that do not serve their nanogrid; a null differs from every gateway too."""
    return (
        select(GatewayCertificate.serial)
        .join(Nanogrid, Nanogrid.nanogrid == GatewayCertificate.nanogrid)
        .where(Nanogrid.gateway.is_distinct_from(GatewayCertificate.gateway))
    )


def latest_list(session: Session) -> RevocationList | None:
    """The list that counts; None while nothing has been revoked."""
    return session.scalar(select(RevocationList).order_by(RevocationList.number.desc()).limit(1))


def rounds_of(
    certificates: GatewayCertificates, reading: Sessions, sessions: Sessions, index: Callable[[], object]
) -> Rounds:
    """The rounds of the market's process: whoever the chain says serves a nanogrid no more is shut out."""

    def run() -> None:
        index()
        with reading() as session:
            if not certificates.has_replaced(session):
                return
        with sessions() as session:
            certificates.revoke_replaced(session)

    return Rounds("certificates", run, partial(int.__add__, LOOK_EVERY_S))
