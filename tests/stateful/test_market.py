"""Random sequences of every call by every role, with time jumps: contracts and reference model agree on each, the money
is always covered, and in the end everybody gets everything out. `make stateful CALLS=1000000` is the long run."""

from __future__ import annotations

import os

import pytest

from market.domain.errors import BidRejection, Skip
from market.domain.settlement import Outcome
from market.domain.states import OfferStatus
from tests.stateful.contracts import Contracts
from tests.stateful.run import DEFAULT_SEED, play

CALLS = int(os.environ.get("MERITGRID_STATEFUL_CALLS", "20000"))
SEED = int(os.environ.get("MERITGRID_STATEFUL_SEED", str(DEFAULT_SEED)))
CLOSED_DOORS = {
    "ParticipantRegistry.setCover",
    "ParticipantRegistry.suspendSeat",
    "Settlement.lock",
    "Settlement.moveEscrow",
    "Settlement.openAwards",
    "Settlement.payAvailability",
    "Settlement.release",
    "Settlement.reserveForCommand",
    "Settlement.unseatGateway",
}
"""Calls of the contracts among each other, which nobody else may make."""
NEVER_SKIPPED = {Skip.NONE, Skip.ANNULLED_READING, Skip.REPLACED_BY_COMMAND}
"""Reasons that only refuse a command, or that the protocol keeps for later."""


@pytest.mark.slow
@pytest.mark.timeout(60 + CALLS // 20)
def test_the_contracts_do_what_the_reference_says_under_any_sequence_of_calls() -> None:
    tally = play(CALLS, SEED).tally
    assert tally.calls >= CALLS
    assert set(+tally.accepted) == Contracts({}).mutating() - CLOSED_DOORS
    assert all(tally.refusals_of(door) for door in CLOSED_DOORS)
    wanted = {f"outcome {outcome.name}" for outcome in Outcome if outcome is not Outcome.NONE}
    wanted |= {f"status {status.name}" for status in OfferStatus if status is not OfferStatus.NONE}
    wanted |= {f"rejection {reason.name}" for reason in BidRejection if reason is not BidRejection.NONE}
    wanted |= {f"skip {skip.name}" for skip in Skip if skip not in NEVER_SKIPPED}
    wanted |= {"interrupted and paid"}
    assert wanted <= set(+tally.reached)
    assert set(tally.events) == Contracts({}).predicted()
