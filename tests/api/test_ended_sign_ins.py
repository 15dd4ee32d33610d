"""What sign-ins leave behind goes with them: anybody may ask for nonces, so that they must not pile up."""

from __future__ import annotations

import httpx
from sqlalchemy import func, select

from market.services import rounds
from market.services.access import NONCE_LIFETIME_S, SESSION_LIFETIME_S
from market.store.work import SignInNonce, WalletSession
from tests.api.conftest import Caller
from tests.cli.conftest import Room


def kept(room: Room) -> tuple[int, int]:
    """How many nonces and sessions the database holds."""
    with room.market.reading() as session:
        return tuple(
            session.scalar(select(func.count()).select_from(table)) or 0 for table in (SignInNonce, WalletSession)
        )


def test_nonces_and_sessions_that_are_over_are_forgotten_and_others_are_not(
    room: Room, caller: Caller, http: httpx.Client
) -> None:
    caller("owner-0").sign_in()
    for _ in range(5):
        http.post("/v1/auth/nonce")
    rounds.run_due(room.market)
    assert kept(room) == (6, 1)
    room.world.at(room.world.now_s + NONCE_LIFETIME_S + 1)
    rounds.run_due(room.market)
    assert kept(room) == (0, 1)
    room.world.at(room.world.now_s + SESSION_LIFETIME_S)
    rounds.run_due(room.market)
    assert kept(room) == (0, 0)
