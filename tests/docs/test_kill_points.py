"""The handbook says of every point at which a process may be killed what is on disk there, and what follows."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from gateway_agent.checkpoints import BidderPoint, GatewayPoint
from market.checkpoints import BidPoint, IndexerPoint, SenderPoint
from oracle.checkpoints import IngestPoint, OutboxPoint

ROOT = Path(__file__).resolve().parents[2]
POINTS: tuple[type[StrEnum], ...] = (
    SenderPoint, IndexerPoint, BidPoint, BidderPoint, GatewayPoint, IngestPoint, OutboxPoint,
)  # fmt: skip


def test_the_operations_page_has_a_row_for_every_point_and_for_nothing_else() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+Point\.\w+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(f"{each.__name__}.{point.name}" for each in POINTS for point in each)


def test_every_point_is_passed_somewhere() -> None:
    sources = [path for name in ("market", "oracle", "gateway_agent") for path in (ROOT / name).rglob("*.py")]
    passed = re.findall(r"checkpoints\.passed\((\w+\.\w+)", "\n".join(path.read_text("utf-8") for path in sources))
    assert set(passed) == {f"{each.__name__}.{point.name}" for each in POINTS for point in each}
