"""The market of a registered and funded world, on both kinds of databases."""

import pytest

from tests.cli.conftest import room, room_broker

__all__ = ["room", "room_broker"]


@pytest.fixture
def room_database_url(migrated_database_url: str) -> str:
    """Both kinds: they sort, count and keep processes apart in different ways."""
    return migrated_database_url
