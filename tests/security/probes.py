"""What is asked of every route: one call about an object, as a caller who would do it if it could.

Objects are of three kinds, seen from the near node's first nanogrid: its own, its neighbour's behind the same
transformer, and those of the far node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.security.principals import Caller
from tests.security.town import SETTLED, Quarter, Town

REFUSALS: Final = (401, 403, 404)


class Unclear(Exception):
    """A route neither did what was asked nor said that it is not the caller's to ask."""


@dataclass(frozen=True)
class Spot:
    """Where an object is."""

    name: str
    quarter: Quarter
    index: int

    @property
    def nanogrid(self) -> int:
        return self.quarter.nanogrid(self.index)

    @property
    def owner(self) -> bytes:
        return self.quarter.owners[self.index]

    @property
    def offer(self) -> str:
        """The settled offer, in which every nanogrid of the quarter has won."""
        return self.quarter.offers[SETTLED]


@dataclass(frozen=True)
class Case:
    """One call: everything that stands, who calls, and about what."""

    town: Town
    http: httpx.Client
    caller: Caller
    spot: Spot

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query, headers=self.caller.headers)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        return self.http.post(path, json=body, headers=self.caller.headers)

    @property
    def account(self) -> str:
        """The account of the spot: the caller's own, the neighbour's, or one at the far node."""
        from market.domain.signing import address_of

        return self.caller.account if self.spot.name == "own" else address_of(self.spot.owner)


Probe = Callable[[Case], bool]
"""Whether the caller got what it asked for. Raises Unclear."""


def is_done(response: httpx.Response) -> bool:
    """Whether an answer is a yes; a no must be one for want of rights."""
    if response.is_success:
        return True
    code = response.json()["type"].rsplit("/", 1)[1]
    if response.status_code in REFUSALS or code == "bad-signature":
        return False
    raise Unclear(f"{response.status_code} {response.text[:300]}")


def seen(path: Callable[[Case], str], **query: Any) -> Probe:
    """A route that shows one object."""
    return lambda case: is_done(case.get(path(case), **query))


def listed(path: Callable[[Case], str], key: str, value: Callable[[Case], Any], **query: Any) -> Probe:
    """A route that lists: allowed is whose object stands in the list."""

    def probe(case: Case) -> bool:
        response = case.get(path(case), **query)
        return is_done(response) and value(case) in [item[key] for item in response.json()["items"]]

    return probe


def done(path: Callable[[Case], str], body: Callable[[Case], Mapping[str, Any]] | None = None) -> Probe:
    """A route that does something."""
    return lambda case: is_done(case.post(path(case), None if body is None else body(case)))
