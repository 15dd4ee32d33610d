"""Every event is emitted once by its call and tells all that it should: whoever follows the chain has nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from web3.logs import DISCARD

from market.chain.bindings import artifact, artifacts_folder
from tests.attacks.arena import Arena
from tests.attacks.emissions import TABLE, Row, auction, registry, settlement, signals

ROWS = (auction, registry, settlement, signals)
"""Importing them enters their rows into the table."""
INTERFACES = sorted(path.stem for path in artifacts_folder().glob("I*.json") if path.stem[1].isupper())


def events_of(interface: str) -> dict[str, list[Any]]:
    """Event -> its fields, of an interface."""
    return {entry["name"]: entry["inputs"] for entry in artifact(interface)["abi"] if entry["type"] == "event"}


def test_every_event_of_the_interfaces_has_a_row_and_no_row_is_left() -> None:
    assert {place[:2] for place in TABLE} == {(name, event) for name in INTERFACES for event in events_of(name)}


@pytest.mark.parametrize(("place", "row"), TABLE.items(), ids=[" ".join(place).strip() for place in TABLE])
def test_an_event_is_emitted_once_and_tells_all(arena: Arena, place: tuple[str, str, str], row: Row) -> None:
    interface, event, _ = place
    told = row(arena)
    receipt = arena.send(told.call, told.caller)
    emitter = arena.web3.eth.contract(abi=artifact(interface)["abi"], decode_tuples=True)
    logs = emitter.events[event]().process_receipt(receipt, errors=DISCARD)
    assert [dict(log["args"]) for log in logs] == [told.fields]
    assert set(told.fields) == {field["name"] for field in events_of(interface)[event]}
    assert [log["address"] for log in logs] == [arena.deployment.addresses[interface[1:]]]
