"""Which tests must notice a fault in which source, in steps: the quickest first, the longest only for what survives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

LIBRARIES = "contracts/libraries"
PROPERTIES = "tests/contracts_properties"
DEPLOYED = (
    "contracts/MeritOrderAuction.sol",
    "contracts/Settlement.sol",
    "contracts/ParticipantRegistry.sol",
    "contracts/GridSignals.sol",
    "contracts/CapacityRegister.sol",
    "contracts/MeteringOracle.sol",
    "contracts/SettlementToken.sol",
    "contracts/ClaimChecker.sol",
    "contracts/SettlementJudge.sol",
)
"""The two last are created by the auction and by Settlement, whose creation code holds theirs."""
QUICK_EXAMPLES = 60
"""Of each Hypothesis test in its quick step."""
QUICK_EXAMPLES_OF_ATTACKS = 10
"""Each is a whole story of trades."""


class Kind(StrEnum):
    """How a step's tests are run."""

    COLLECTED = "collected"
    """By a pytest that has collected them already; against the artifacts."""
    BROWNIE = "brownie"
    """By Brownie; against its build."""
    PYTEST = "pytest"
    """By a pytest of their own, with the fault in the source too."""
    PROOFS = "proofs"
    """By halmos, with the fault in the source."""


@dataclass(frozen=True)
class Step:
    """Tests that are run together, the first failure ending them.

    Attributes:
        name: for the results.
        units: Solidity files, each with a contract of its own name, that take the source in. Where a fault leaves all
            their bytecode as it was, the step is not run.
        tests: files that pytest or Brownie runs, or the contract of tests/halmos.
        examples: at most so many of each Hypothesis test; 0: as many as it says.
        slow: run only for what all quick steps let pass.
        decisive: what it runs and lets pass is judged further only with the slow steps.
    """

    name: str
    kind: Kind
    units: tuple[str, ...]
    tests: tuple[str, ...]
    examples: int = 0
    slow: bool = False
    decisive: bool = False


_HARNESSES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ClaimCheckHarness": (
        f"{PROPERTIES}/test_claim_check.py",
        ("BidRecord", "ClaimCheck", "PostCounts", "RecordBuffer", "Sweep"),
    ),
    "LibrariesHarness": (
        f"{PROPERTIES}/test_libraries.py",
        ("AwardMarks", "Calendar", "GatewaySignature", "Months", "Products", "VectorProof", "VectorTree"),
    ),
    "SettlementMathHarness": (
        f"{PROPERTIES}/test_settlement_math.py",
        ("AwardEnd", "SettlementMath"),
    ),
}
HARNESS_TESTS = tuple(tests for tests, _ in _HARNESSES.values())
_PROOFS = ("AwardEnd", "BidRecord", "Calendar", "PostCounts", "SettlementMath")


def _attacks(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/attacks/test_{name}.py" for name in names)


_ATTACKS_ON_ALL = _attacks(
    *("custom_errors", "events", "deadlines", "signatures", "replay", "front_running", "gaming_the_auction")
)
_ATTACKS_ON_AUCTIONS = _attacks("relayer", "stolen_delegate", "forged_claims", "forged_records", "griefing")
_ATTACKS_ON_MONEY = _attacks(
    *(
        "forged_bindings",
        "inner_nodes",
        "p256_gateways",
        "lying_gateways",
        "bad_faith_holds",
        "flight_of_bonds",
        "late_commands",
        "command_prices",
        "no_baseline",
        "operator",
        "reentrancy",
        "dust",
    )
)
_LARGE = tuple(f"{PROPERTIES}/test_large_{what}.py" for what in ("portfolio", "offer"))
COLLECTED_FILES = (*HARNESS_TESTS, *_LARGE, *_ATTACKS_ON_ALL, *_ATTACKS_ON_AUCTIONS, *_ATTACKS_ON_MONEY)

_AUCTION = tuple(f"test_auction_{part}" for part in ("bids", "offers", "clearing", "requests"))
_SETTLEMENT = tuple(f"test_settlement_{part}" for part in ("awards", "accounts", "commands", "holds"))
_BROWNIE_FIRST: Mapping[str, tuple[str, ...]] = {
    "MeritOrderAuction": (*_AUCTION, "test_settlement_awards"),
    "Settlement": (*_SETTLEMENT, "test_reactive_settlement", "test_p256_gateways", "test_seat_transfers"),
    "ParticipantRegistry": ("test_participant_registry", "test_seat_transfers"),
    "GridSignals": ("test_grid_signals",),
    "CapacityRegister": ("test_capacity_register",),
    "MeteringOracle": ("test_metering_oracle", "test_p256_gateways"),
    "SettlementToken": ("test_settlement_token",),
}
BROWNIE_FILES = tuple(
    f"tests/brownie/{name}.py"
    for name in dict.fromkeys([*(name for names in _BROWNIE_FIRST.values() for name in names), "test_deployment"])
)
_SMALL = ("ParticipantRegistry", "GridSignals", "CapacityRegister", "MeteringOracle", "SettlementToken")


def steps_of(source: str, taken_in_by: Mapping[str, tuple[str, ...]]) -> tuple[Step, ...]:
    """The steps that judge a source, in their order.

    Args:
        source: its path.
        taken_in_by: the deployed contracts that take each source in, by their paths.
    """
    units = taken_in_by[source]
    return (*_by_harness(source), *_by_product(source, units), *_slow(source, units))


def narrowed(step: Step, only: Collection[str]) -> Step:
    """The step with no other tests than these."""
    return replace(step, tests=tuple(test for test in step.tests if test in only))


def _by_harness(source: str) -> Iterator[Step]:
    for harness, (tests, libraries) in _HARNESSES.items():
        if Path(source).stem in libraries and source.startswith(LIBRARIES):
            yield Step(
                harness, Kind.COLLECTED, (f"{PROPERTIES}/{harness}.sol",), (tests,), QUICK_EXAMPLES, decisive=True
            )


def _by_product(source: str, units: tuple[str, ...]) -> Iterator[Step]:
    names = [Path(unit).stem for unit in units]
    first = [f"tests/brownie/{name}.py" for contract in names for name in _BROWNIE_FIRST.get(contract, ())]
    rest = [name for name in BROWNIE_FILES if name not in first]
    near, far = _ATTACKS_ON_AUCTIONS, _ATTACKS_ON_MONEY
    if "Settlement" in names and "MeritOrderAuction" not in names:
        near, far = far, near
    attacks = Step("attacks", Kind.COLLECTED, units, (*_ATTACKS_ON_ALL, *near, *_LARGE), QUICK_EXAMPLES_OF_ATTACKS)
    own = Step("brownie: its own", Kind.BROWNIE, units, tuple(dict.fromkeys(first)))
    yield from (own, attacks) if Path(source).stem in _SMALL else (attacks, own)
    yield Step("attacks on others", Kind.COLLECTED, units, far, slow=True)
    yield Step("brownie: the others", Kind.BROWNIE, units, tuple(rest), slow=True)
    yield Step("forge", Kind.PYTEST, units, ("tests/forge/test_forge.py",), slow=True)
    yield Step("stateful", Kind.PYTEST, units, ("tests/stateful/test_market.py",), slow=True)


def _slow(source: str, units: tuple[str, ...]) -> Iterator[Step]:
    for step in _by_harness(source):
        yield Step(f"{step.name} at length", Kind.PYTEST, step.units, step.tests, slow=True)
    names = {Path(unit).stem for unit in units}
    if Path(source).stem in _PROOFS:
        yield Step("proofs", Kind.PROOFS, units, (f"{Path(source).stem}Proofs",), slow=True)
    if "MeritOrderAuction" in names or "ParticipantRegistry" in names:
        for name in ("test_plain_twins", "test_auctions_on_chain"):
            yield Step(name, Kind.PYTEST, units, (f"{PROPERTIES}/{name}.py",), slow=True)
    if "Settlement" in names or "MeteringOracle" in names:
        name = "test_settlement_on_chain"
        yield Step(name, Kind.PYTEST, units, (f"{PROPERTIES}/{name}.py",), slow=True)
