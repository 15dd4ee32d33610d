"""Baselines: what everything is measured against is what the oracle anchored before anybody could bid."""

from __future__ import annotations

from collections.abc import Iterator

from market.domain.products import Kind, Product
from market.domain.settlement import Outcome
from market.domain.units import index_of, portfolio_of
from scripts.demo.checker.evidence import Event, Evidence


def check_baselines(evidence: Evidence) -> Iterator[str]:
    """The baseline of each settlement is the nanogrid's in the vector whose root was anchored for the interval."""
    anchored = {
        (event.arguments["portfolio"], event.arguments["interval"], Kind(event.arguments["kind"])): event
        for event in evidence.named("BaselineAnchored")
    }
    offers = {event.arguments["offer"]: event.arguments for event in evidence.named("OfferOpened")}
    for event in evidence.named("AwardSettled", "CommandSettled"):
        end = event.arguments
        is_award = event.name == "AwardSettled"
        if end["baseline"] == end["metered"] == 0 or (is_award and Outcome(end["outcome"]) is Outcome.ANNULLED):
            continue  # it ended without a reading, for which the other checks want the reason
        interval = offers[end["offer"]]["interval"] if is_award else end["interval"]
        kind = Product(offers[end["offer"]]["product"]).kind if is_award else Kind.ACTIVE
        anchor = anchored.get((portfolio_of(end["nanogrid"]), interval, kind))
        proved = None if anchor is None else _proved(evidence, event, anchor)
        if proved != end["baseline"]:
            what = "none is proved by its transaction" if proved is None else f"{proved} was anchored"
            yield f"nanogrid {end['nanogrid']}, interval {interval}: settled against {end['baseline']}, {what}"


def _proved(evidence: Evidence, settled: Event, anchor: Event) -> int | None:
    """The nanogrid's value in the anchored vector, as the settling transaction showed it."""
    root = bytes.fromhex(anchor.arguments["root"][2:])
    for shown in evidence.baselines:
        value = shown.value_of(index_of(settled.arguments["nanogrid"]))
        if shown.transaction == settled.transaction and value is not None and shown.are_of(root):
            return value
    return None
