"""Alembic's entry: the connection comes from market.store.database.migrate; there is no alembic.ini."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import JSON

from market.store.base import Unsigned64
from market.store.models import Base


def render_item(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """How our own column types stand in a migration: as what the database has."""
    if kind == "type" and isinstance(item, Unsigned64):
        return "sa.BigInteger()"
    if kind == "type" and isinstance(item, JSON):
        autogen_context.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite cannot alter tables in place
    compare_type=True,
    render_item=render_item,
)
with context.begin_transaction():
    context.run_migrations()
