"""Base of all tables: column types, the naming of constraints, and the mark of what can be rebuilt from the chain.

Every time is in epoch seconds UTC, every amount in micro-euro; both are 64-bit integers. 32-byte values are lower-case
0x hex, addresses are in EIP-55 form.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

from sqlalchemy import JSON, BigInteger, Dialect, Integer, LargeBinary, MetaData, SmallInteger, String, Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

_NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite counts only in columns that are exactly INTEGER PRIMARY KEY.
_COUNTED: Final = BigInteger().with_variant(Integer, "sqlite")


class Unsigned64(TypeDecorator[int]):
    """A uint64 that an outsider chooses, in a signed column: shifted by 2^63, so that it sorts as it should."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else value - 2**63

    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else value + 2**63


RowId = Annotated[int, mapped_column(_COUNTED, primary_key=True, autoincrement=True)]
Hash32 = Annotated[str, mapped_column(String(66))]
"""32 bytes as 0x and 64 hex digits."""
Address = Annotated[str, mapped_column(String(42))]
SerialNumber = Annotated[str, mapped_column(String(40))]
"""Of an X.509 certificate: at most 20 bytes in hexadecimal."""
BigInt = Annotated[int, mapped_column(BigInteger)]
UInt64 = Annotated[int, mapped_column(Unsigned64)]
SmallInt = Annotated[int, mapped_column(SmallInteger)]
Name = Annotated[str, mapped_column(String(200))]
Code = Annotated[str, mapped_column(String(32))]
Raw = Annotated[bytes, mapped_column(LargeBinary)]
JsonValue = Annotated[Any, mapped_column(JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"))]


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=_NAMES)


class Projection(Base):
    """Base of the tables that are derived from the chain's events alone: `reindex` empties and rebuilds them."""

    __abstract__ = True


def projection_tables() -> tuple[Table, ...]:
    """The tables that can be rebuilt, parents first."""
    rebuildable = {cast(Table, model.__table__) for model in Projection.__subclasses__()}
    return tuple(table for table in Base.metadata.sorted_tables if table in rebuildable)
