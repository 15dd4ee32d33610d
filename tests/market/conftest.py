"""The market of a registered and funded world."""

from tests.cli.conftest import room

__all__ = ["room"]
