"""Lists page by page: `limit` items from the one that `after` names; `next` is the `after` of the following page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, TypeVarTuple

from fastapi import Depends, Query
from sqlalchemy import Row, Select
from sqlalchemy.orm import Session

Columns = TypeVarTuple("Columns")


@dataclass(frozen=True)
class Paging:
    """Which part of a list that only grows at its end. after: how many items came before."""

    limit: Annotated[int, Query(ge=1, le=1000)] = 500
    after: Annotated[int, Query(ge=0, lt=2**31, description="`next` of the page before")] = 0

    def select(
        self, session: Session, query: Select[*Columns], documents: Callable[[Sequence[Row[*Columns]]], list[Any]]
    ) -> dict[str, Any]:
        """The page of an ordered query, whose other rows stay in the database."""
        # One more than is shown says whether there is a next page.
        rows = session.execute(query.offset(self.after).limit(self.limit + 1)).all()
        return {"items": documents(rows[: self.limit]), "next": self._next(len(rows))}

    def page(self, items: Iterable[Any]) -> dict[str, Any]:
        """The page of a list that is short, or made of one row."""
        found = list(islice(items, self.after, self.after + self.limit + 1))
        return {"items": found[: self.limit], "next": self._next(len(found))}

    def _next(self, found: int) -> int | None:
        return self.after + self.limit if found > self.limit else None


Page = Annotated[Paging, Depends()]
