"""Lists page by page: `limit` items from the one that `after` names; `next` is the `after` of the following page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from fastapi import Depends, Query


@dataclass(frozen=True)
class Paging:
    """Which part of a list that only grows at its end. after: how many items came before."""

    limit: Annotated[int, Query(ge=1, le=1000)] = 500
    after: Annotated[int, Query(ge=0, lt=2**31, description="`next` of the page before")] = 0

    def page(self, items: Iterable[Any]) -> dict[str, Any]:
        """The page of a list."""
        found = list(islice(items, self.after, self.after + self.limit + 1))
        more = len(found) > self.limit
        return {"items": found[: self.limit], "next": self.after + self.limit if more else None}


Page = Annotated[Paging, Depends()]
