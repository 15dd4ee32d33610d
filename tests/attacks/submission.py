"""How readings are submitted: the one place of these tests that knows the arguments of `settle` and `settleAward`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from web3.contract import Contract
from web3.contract.contract import ContractFunction

from market.domain.messages import Reading
from market.domain.records import AwardRecord
from market.domain.settled_records import SettlementReading, pack_readings
from market.domain.trees import award_proof, award_range, baseline_leaf, baseline_vector

Binding = tuple[int, str, str, int, bytes, bytes]
"""What Settlement binds an offer's settlement to: terms, payer, aggregator, number of baselines, both roots."""


@dataclass(frozen=True)
class Submission:
    """Readings for awards of an offer: (ordinal, reading, compact signature)."""

    offer: bytes
    baselines: Sequence[int]
    awards: Sequence[AwardRecord]
    readings: Sequence[tuple[int, Reading, bytes]]


def settle_call(settlement: Contract, submission: Submission, binding: Binding | None = None) -> ContractFunction:
    """The call of `settle`, by the offer's binding or another one."""
    ordinals = [ordinal for ordinal, _, _ in submission.readings]
    shown = award_range(submission.awards, min(ordinals), max(ordinals))
    readings = pack_readings(
        SettlementReading(ordinal, reading.active_energy_wh, reading.reactive_energy_varh, reading.sequence, signature)
        for ordinal, reading, signature in submission.readings
    )
    vector = baseline_vector(submission.baselines)
    binding = binding or settlement.functions.bindingOf(submission.offer).call()
    return settlement.functions.settle(
        submission.offer, binding, vector, (shown.first_leaf, shown.awards, shown.proof), readings
    )


def settle_alone_call(settlement: Contract, submission: Submission) -> ContractFunction:
    """The call of `settleAward` by the first of the readings."""
    ordinal, reading, signature = submission.readings[0]
    shown = award_range(submission.awards, ordinal, ordinal)
    baseline = baseline_leaf(submission.baselines, submission.awards[ordinal].index)
    energies = reading.active_energy_wh, reading.reactive_energy_varh
    packed = SettlementReading(ordinal, *energies, reading.sequence, signature).pack_alone()
    binding = settlement.functions.bindingOf(submission.offer).call()
    proof = award_proof(shown, baseline)
    return settlement.functions.settleAward(submission.offer, binding, baseline.values, shown.awards, packed, proof)
