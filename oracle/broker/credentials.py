"""Who may use the broker, by the market's table of credentials: gateways under their own name, services everywhere."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from market.services.access import serves
from market.store.database import read_scope, session_scope
from market.store.work import BrokerCredential
from oracle.broker.limits import TO_GATEWAY, TO_ORACLE
from oracle.messages import topic_for

_OURS: Final = re.compile(r"meritgrid/v1/gw/([+]|0x[0-9a-f]{40})/([+]|[a-z]+)")


def password_hash(password: str) -> str:
    """SHA-256 of a password as it is kept: passwords are random and long, so that a slow hash adds nothing."""
    return "0x" + hashlib.sha256(password.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Access:
    """A client that has been let in. gateway: its address in lower case, None for a service."""

    username: str
    gateway: str | None

    def may_publish(self, topic: str) -> bool:
        """A gateway publishes what goes to the oracle, under its own address; a service all of ours."""
        if self.gateway is None:
            return _OURS.fullmatch(topic) is not None
        return topic in {topic_for(self.gateway, channel) for channel in TO_ORACLE}

    def may_read(self, topic: str) -> bool:
        """A gateway reads what goes to it; a service all of ours, by wildcards too."""
        if self.gateway is None:
            return _OURS.fullmatch(topic) is not None
        return topic in {topic_for(self.gateway, channel) for channel in TO_GATEWAY}


def let_in(engine: Engine, username: str | None, password: str | None) -> Access | None:
    """The access of a client, or None when name or password are wrong or revoked."""
    if not username or not password:
        return None
    with read_scope(engine) as session:
        known = session.get(BrokerCredential, username)
        is_seated = known is None or known.gateway is None or serves(session, known.gateway, known.nanogrid)
    if known is None or known.revoked_at is not None:
        return None
    if not hmac.compare_digest(known.password_sha256, password_hash(password)):
        return None
    if not is_seated:
        return None
    return Access(username, known.gateway.lower() if known.gateway else None)


def new_service_account(engine: Engine, username: str, now_s: int) -> str:
    """Make a service's account, or give it another password; returns the password, which is kept nowhere else.

    Raises:
        ValueError: a gateway has that name.
    """
    password = secrets.token_urlsafe(32)
    with session_scope(engine) as session:
        _require_service(session, username)
        session.merge(
            BrokerCredential(
                username=username,
                password_sha256=password_hash(password),
                kind="SERVICE",
                gateway=None,
                nanogrid=None,
                created_at=now_s,
                revoked_at=None,
            )
        )
    return password


def revoke_service_account(engine: Engine, username: str, now_s: int) -> None:
    """From now on nobody is let in under this name. Raises ValueError when there is no such account."""
    with session_scope(engine) as session:
        account = _require_service(session, username)
        if account is None:
            raise ValueError(f"there is no account {username!r}")
        account.revoked_at = now_s


def _require_service(session: Session, username: str) -> BrokerCredential | None:
    known = session.get(BrokerCredential, username)
    if known is not None and known.kind != "SERVICE":
        raise ValueError(f"{username} is a gateway's account; it is changed by enrolling the gateway")
    return known
