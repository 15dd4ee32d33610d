"""The market of a registered and funded world, for a page without a played day."""

from tests.cli.conftest import room, room_broker, room_database_url

__all__ = ["room", "room_broker", "room_database_url"]
