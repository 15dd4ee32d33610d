"""All checks together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from scripts.demo.checker import awards, baselines, money
from scripts.demo.checker.evidence import Evidence

Check = Callable[[Evidence], Iterator[str]]

CHECKS: Final[dict[str, Check]] = {
    "token supply = what users and contracts hold": money.check_supply,
    "Settlement holds exactly what it owes": money.check_vault,
    "escrow = paid + margin + refunded": money.check_escrow,
    "no escrow is left": money.check_nothing_locked,
    "awards follow the merit order": awards.check_merit_order,
    "every award ends once": awards.check_awards_end,
    "settlements follow from baselines and signed readings": awards.check_settlements,
    "baselines are those that were anchored": baselines.check_baselines,
    "every command ends once, by its reading": awards.check_commands,
    "no delivery is sold twice": awards.check_sold_once,
}
"""What is proved -> the check."""


def check(evidence: Evidence) -> dict[str, list[str]]:
    """Every check's findings; empty lists where it holds."""
    return {name: list(run(evidence)) for name, run in CHECKS.items()}
