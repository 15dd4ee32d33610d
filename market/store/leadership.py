"""Which of several processes over one PostgreSQL acts: the one that holds an advisory lock of its server.

The lock belongs to a connection of its own, so that the server frees it when the process dies. A process that hangs, or
that the network has cut off, says nothing on that connection: the server ends the connection after `FREED_AFTER_S`, and
the process itself counts on the lock for the shorter `SURE_FOR_S` only after the last answer. So the next one begins
when the one before is sure to have been told not to go on. Whatever the old one still has under way then meets the same
rows and the same purposes of transactions as the new one, and has no second effect.

On SQLite there is one process of each kind, and it acts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Gauge
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from market.store.database import VANISHED_SERVER

log = structlog.get_logger(__name__)

_LEADER = Gauge("meritgrid_leader", "1 while this process is the one that acts, 0 while it stands by", ["role"])

FREED_AFTER_S: Final = 10
"""So long after the last word of a connection its server ends it."""
SURE_FOR_S: Final = 8
"""So long after the server's last answer a process counts on its lock."""
_ASK_EVERY_S: Final = 0.5
_CONNECT_WITHIN_S: Final = 5

# Keys of the locks; market.store.database has the others.
MARKET_LEADER: Final = 0x4D47524C
ORACLE_LEADER: Final = 0x4D475241


class Leadership:
    """Whether this process is the one of its role that acts. `start` begins to ask for it, `close` gives it back."""

    def __init__(self, engine: Engine, key: int, role: str) -> None:
        """`engine` is of the common database; `key` names the lock; `role` is for people."""
        self._role = role
        self._key = key
        self._gauge = _LEADER.labels(role)
        self._listeners: list[Callable[[], None]] = []
        self._closing = threading.Event()
        self._answered = threading.Event()
        self._sure_until_s = 0.0
        self._thread: threading.Thread | None = None
        self._engine = _lock_engine(engine, role) if engine.dialect.name == "postgresql" else None

    def is_held(self) -> bool:
        """Whether this process acts now."""
        if self._engine is None:
            return not self._closing.is_set()
        return time.monotonic() < self._sure_until_s

    def on_gain(self, listener: Callable[[], None]) -> None:
        """Have a function called, on another thread, whenever this process begins to act."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Begin to ask for the lock; returns when the first answer is there, or is long in coming."""
        if self._engine is None:
            self._gauge.set(1)
            return
        self._thread = threading.Thread(
            target=self._keep, args=(self._engine,), name=f"leadership-{self._role}", daemon=True
        )
        self._thread.start()
        self._answered.wait(_CONNECT_WITHIN_S)

    def close(self) -> None:
        """Give the lock back, for another process to act at once."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(2 * _CONNECT_WITHIN_S)

    def _keep(self, engine: Engine) -> None:
        while not self._closing.is_set():
            try:
                with engine.connect() as connection:
                    connection.execute(text(f"SET idle_session_timeout = '{FREED_AFTER_S}s'"))
                    self._ask(connection)
            except SQLAlchemyError as problem:
                log.warning("no connection for the lock of the one that acts", role=self._role, problem=str(problem))
            finally:
                self._lose()
            self._closing.wait(_ASK_EVERY_S)
        engine.dispose()

    def _ask(self, connection: Connection) -> None:
        """Ask for the lock until it is there, and from then on whether the connection that holds it still lives."""
        has_it = False
        while not self._closing.is_set():
            asked_s = time.monotonic()
            if has_it:
                connection.execute(text("SELECT 1"))
            else:
                has_it = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}))
            if has_it:
                self._gain(asked_s + SURE_FOR_S)
            self._answered.set()
            self._closing.wait(_ASK_EVERY_S)

    def _gain(self, sure_until_s: float) -> None:
        is_new = not self.is_held()  # also after a pause in which it could not count on the lock
        self._sure_until_s = sure_until_s
        if is_new:
            self._gauge.set(1)
            log.info("this process acts from now on", role=self._role)
            for listener in self._listeners:
                listener()

    def _lose(self) -> None:
        if self._sure_until_s:
            log.info("this process acts no more", role=self._role, closing=self._closing.is_set())
        self._sure_until_s = 0.0
        self._gauge.set(0)


def _lock_engine(engine: Engine, role: str) -> Engine:
    arguments = VANISHED_SERVER | {
        "connect_timeout": _CONNECT_WITHIN_S,
        "tcp_user_timeout": 1000 * SURE_FOR_S,
        "application_name": f"meritgrid {role}, leader",
    }
    return create_engine(engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments)
