"""What the market's database holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, select

from market.store.database import read_scope
from market.store.models import Transaction, projection_tables
from tests.chain.world import World


def transactions(world: World) -> list[Transaction]:
    """The senders' transactions in the order in which they were stored."""
    with read_scope(world.engine) as session:
        return list(session.scalars(select(Transaction).order_by(Transaction.id)))


def projections(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """All projected rows but where the indexer stands, which depends on how its ranges were cut."""
    with engine.connect() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in projection_tables()
            if table.name not in ("indexed_blocks", "indexer_cursor")
        }
