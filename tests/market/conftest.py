"""The market of a registered and funded world."""

from tests.cli.conftest import room, room_database_url

__all__ = ["room", "room_database_url"]
