"""A DSO sets the light of its node, with its reason, through the market's service."""

from __future__ import annotations

from typing import Any

from market.desks.desk import document_hash
from market.domain.messages import Signal
from market.domain.products import Phase, SignalKind
from market.domain.traffic_light import Cause
from market.services import signals
from market.services.access import Principal
from tests.chain.world import KEYS, NODE
from tests.cli.conftest import Room


def set_light(
    room: Room,
    interval: int,
    phase: Phase,
    loading_percent: float | None = None,
    *,
    kind: SignalKind = SignalKind.FORECAST,
    sequence: int = 1,
    cause: Cause | None = None,
) -> None:
    reason: dict[str, Any] = {"text": f"{kind.name} {phase.name}"}
    if loading_percent is not None:
        reason["loading_percent"] = loading_percent
    if cause is not None:
        reason["cause"] = str(cause)
    signal = Signal(NODE, interval, phase, kind, document_hash(reason), sequence)
    signature = "0x" + room.world.sign(KEYS["dso"], signal).hex()
    dso = Principal(room.world.address("dso"))
    signals.set_signal(room.market, dso, NODE, signal.to_json(), signature, reason)
    room.market.index()
