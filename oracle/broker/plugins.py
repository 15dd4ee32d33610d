"""The embedded broker's door: who may connect, and who may publish and read what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session
from sqlalchemy import Engine

from market.store.database import open_engine
from oracle.broker.credentials import Access, let_in

_let_in: dict[str, Access] = {}


@lru_cache(maxsize=4)
def _engine(database_url: str) -> Engine:
    return open_engine(database_url)


class CredentialsPlugin(BaseAuthPlugin):  # type: ignore[misc]
    """Lets in whoever the market's table of credentials knows."""

    async def authenticate(self, *, session: Session) -> bool:
        access = let_in(_engine(self.config.database_url), session.username, session.password)
        if access is None:
            return False
        _let_in[access.username] = access
        return True

    @dataclass
    class Config:
        """database_url: the market's database."""

        database_url: str = ""


class OwnTopicsPlugin(BaseTopicPlugin):  # type: ignore[misc]
    """Keeps each client to its own topics."""

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        access = _let_in.get(session.username) if session is not None and session.username else None
        if access is None or topic is None:
            return False
        return access.may_publish(topic) if action == Action.PUBLISH else access.may_read(topic)

    @dataclass
    class Config:
        """Nothing to choose."""
