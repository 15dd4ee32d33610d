"""What stops the judging."""

from __future__ import annotations


class BaselineFails(Exception):
    """The tests fail without any fault, or cannot be run: nothing can be said about mutants."""
