"""Who may use the broker, by the market's table of credentials: gateways under their own name, services everywhere."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from market.store.database import read_scope
from market.store.work import BrokerCredential
from oracle.messages import Channel, topic_for

_TO_ORACLE: Final = frozenset({Channel.READINGS, Channel.ACKS, Channel.STATUS})
_TO_GATEWAY: Final = frozenset({Channel.RECEIPTS, Channel.DISPATCH, Channel.PLAN})
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
        return topic in {topic_for(self.gateway, channel) for channel in _TO_ORACLE}

    def may_read(self, topic: str) -> bool:
        """A gateway reads what goes to it; a service all of ours, by wildcards too."""
        if self.gateway is None:
            return _OURS.fullmatch(topic) is not None
        return topic in {topic_for(self.gateway, channel) for channel in _TO_GATEWAY}


def let_in(engine: Engine, username: str | None, password: str | None) -> Access | None:
    """The access of a client, or None when name or password are wrong or revoked."""
    if not username or not password:
        return None
    with read_scope(engine) as session:
        known = session.get(BrokerCredential, username)
    if known is None or known.revoked_at is not None:
        return None
    if not hmac.compare_digest(known.password_sha256, password_hash(password)):
        return None
    return Access(username, known.gateway.lower() if known.gateway else None)
