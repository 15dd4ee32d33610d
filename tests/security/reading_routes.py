"""How every route that only shows something is probed."""

from __future__ import annotations

from typing import Final

import httpx

from market.domain.signing import address_of
from tests.security.probes import Case, Probe, is_done, listed, seen
from tests.security.town import COMMANDED, EARLY, NOW, SETTLED

_STREAM_S: Final = 0.5


def fixed(path: str) -> Probe:
    """A route that is about no object."""
    return seen(lambda case: path)


def _of_node(suffix: str = "", **query: object) -> Probe:
    return seen(lambda case: f"/v1/nodes/{case.spot.quarter.node}{suffix}", **query)


def _of_nanogrid(suffix: str = "", **query: object) -> Probe:
    return seen(lambda case: f"/v1/nanogrids/{case.spot.nanogrid}{suffix}", **query)


def _of_offer(suffix: str = "") -> Probe:
    return seen(lambda case: f"/v1/offers/{case.spot.offer}{suffix}")


def _node_list(path: str, **query: object) -> Probe:
    """A list of what happens to a node's nanogrids."""

    def probe(case: Case) -> bool:
        asked = {"node": case.spot.quarter.node, **query}
        return listed(lambda _: path, "nanogrid", lambda each: each.spot.nanogrid, **asked)(case)

    return probe


def _aggregators_position_of_a_request(case: Case) -> bool:
    """Whoever has no offers that answer a request is told sums of nothing."""
    request = case.spot.quarter.requests[SETTLED]
    answer = case.get(f"/v1/requests/{request}/position")
    return is_done(answer) and answer.json()["offers"] != []


def _stream(case: Case) -> bool:
    """Whether a notice of the nanogrid is heard: what has happened is told at once."""
    query = {"topics": "dispatches", "nanogrid": case.spot.nanogrid}
    headers = case.caller.headers | {"Last-Event-ID": "0.0.0"}
    try:
        with case.http.stream("GET", "/v1/stream", params=query, headers=headers, timeout=_STREAM_S) as answer:
            return answer.is_success and any(line.startswith("event: dispatches") for line in answer.iter_lines())
    except httpx.ReadTimeout:
        return False


def _bids(interval: int) -> Probe:
    return listed(
        lambda case: f"/v1/offers/{case.spot.quarter.offers[interval]}/bids",
        "nanogrid",
        lambda case: case.spot.nanogrid,
    )


def _own_keys(case: Case) -> bool:
    """Keys of the caller itself are its own, the neighbour's and those at the far node are made by these."""
    answer = case.get("/v1/api-keys")
    if not is_done(answer):
        return False
    ids = [item["id"] for item in answer.json()["items"]]
    wanted = case.caller.own_key if case.spot.name == "own" else case.town.api_keys[address_of(case.spot.owner)]
    return wanted in ids


PAGES: Final = ("/", "/static/{path}", "/health/live", "/health/ready", "/metrics", "/docs", "/docs/oauth2-redirect",
                "/redoc", "/openapi.json")  # fmt: skip
"""Beside the API: the page, health and metrics, the description."""

READING: Final[dict[str, Probe]] = {
    **{f"GET {path}": fixed(path.replace("{path}", "market.js")) for path in PAGES},
    "GET /v1/market": fixed("/v1/market"),
    "GET /v1/nodes": fixed("/v1/nodes"),
    "GET /v1/nodes/{node}": _of_node(),
    "GET /v1/nodes/{node}/overview": _of_node("/overview"),
    "GET /v1/nodes/{node}/signals": _of_node("/signals", first=SETTLED, last=SETTLED),
    "GET /v1/nodes/{node}/baselines": _of_node("/baselines", interval=SETTLED),
    "GET /v1/nodes/{node}/readings": _of_node("/readings", interval=SETTLED),
    "GET /v1/nodes/{node}/nanogrids": _of_node("/nanogrids"),
    "GET /v1/requests": listed(
        lambda _: "/v1/requests", "id", lambda case: case.spot.quarter.requests[SETTLED], limit=500
    ),
    "GET /v1/requests/{request}": seen(lambda case: f"/v1/requests/{case.spot.quarter.requests[SETTLED]}"),
    "GET /v1/requests/{request}/position": _aggregators_position_of_a_request,
    "GET /v1/offers": listed(lambda _: "/v1/offers", "id", lambda case: case.spot.offer),
    "GET /v1/offers/{offer}": _of_offer(),
    "GET /v1/offers/{offer}/position": _of_offer("/position"),
    "GET /v1/offers/{offer}/merit-order": _of_offer("/merit-order"),
    "GET /v1/offers/{offer}/verdict": _of_offer("/verdict"),
    "GET /v1/offers/{offer}/bids": _bids(SETTLED),
    "GET /v1/offers/{offer}/bids (gate open)": _bids(EARLY),
    "GET /v1/offers/{offer}/bids/{digest}/explanation": seen(
        lambda case: (
            f"/v1/offers/{case.spot.offer}/bids/{case.spot.quarter.digests[SETTLED, case.spot.index]}/explanation"
        )
    ),
    "GET /v1/offers/{offer}/awards": listed(
        lambda case: f"/v1/offers/{case.spot.offer}/awards", "nanogrid", lambda case: case.spot.nanogrid
    ),
    "GET /v1/commands": _node_list("/v1/commands", interval=COMMANDED),
    "GET /v1/dispatches": _node_list("/v1/dispatches"),
    "GET /v1/nanogrids": listed(lambda _: "/v1/nanogrids", "nanogrid", lambda case: case.spot.nanogrid),
    "GET /v1/nanogrids/{nanogrid}": _of_nanogrid(),
    "GET /v1/nanogrids/{nanogrid}/readings": _of_nanogrid("/readings"),
    "GET /v1/settlements": listed(lambda _: "/v1/settlements", "nanogrid", lambda case: case.spot.nanogrid),
    "GET /v1/settlements/commands": listed(
        lambda _: "/v1/settlements/commands", "nanogrid", lambda case: case.spot.nanogrid
    ),
    "GET /v1/holds": listed(lambda _: "/v1/holds", "nanogrid", lambda case: case.spot.nanogrid),
    "GET /v1/accounts/{account}": seen(lambda case: f"/v1/accounts/{case.account}"),
    "GET /v1/accounts/{account}/statement": seen(
        lambda case: f"/v1/accounts/{case.account}/statement", first=0, last=NOW
    ),
    "GET /v1/api-keys": _own_keys,
    "GET /v1/operator/participants": fixed("/v1/operator/participants"),
    "GET /v1/stream": _stream,
}
