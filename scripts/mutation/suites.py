"""Which tests must notice a fault in which source, the fastest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LIBRARIES = "contracts/libraries"
PROPERTIES = "tests/contracts_properties"


@dataclass(frozen=True)
class Suite:
    """How a source's mutants are judged.

    Attributes:
        units: Solidity files, each with a contract of its own name, that take the source in. Where a mutant leaves
            their bytecode as it was, the suite is not run.
        proofs: contracts of tests/halmos, by name.
        properties: files of tests that pytest runs.
        brownie: files of tests that Brownie runs.
        then: the contracts whose suites judge what this one did not notice.
    """

    units: tuple[str, ...]
    proofs: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    brownie: tuple[str, ...] = ()
    then: tuple[str, ...] = ()


_CLAIM_CHECK = (f"{PROPERTIES}/ClaimCheckHarness.sol", (f"{PROPERTIES}/test_claim_check.py",))
_LIBRARIES = (f"{PROPERTIES}/LibrariesHarness.sol", (f"{PROPERTIES}/test_libraries.py",))
_MATH = (f"{PROPERTIES}/SettlementMathHarness.sol", (f"{PROPERTIES}/test_settlement_math.py",))

_AUCTION_TESTS = tuple(f"tests/brownie/test_auction_{part}.py" for part in ("bids", "clearing", "offers", "requests"))
_SETTLEMENT_TESTS = tuple(
    f"tests/brownie/test_settlement_{part}.py" for part in ("awards", "accounts", "commands", "holds")
)

SUITES: Mapping[str, Suite] = {
    f"{LIBRARIES}/BidRecord.sol": Suite(
        (_CLAIM_CHECK[0],),
        ("BidRecordProofs",),
        _CLAIM_CHECK[1],
        then=("contracts/MeritOrderAuction.sol", "contracts/SettlementJudge.sol"),
    ),
    f"{LIBRARIES}/ClaimCheck.sol": Suite((_CLAIM_CHECK[0],), (), _CLAIM_CHECK[1], then=("contracts/ClaimChecker.sol",)),
    f"{LIBRARIES}/PostCounts.sol": Suite(
        (_CLAIM_CHECK[0],), ("PostCountsProofs",), _CLAIM_CHECK[1], then=("contracts/MeritOrderAuction.sol",)
    ),
    f"{LIBRARIES}/RecordBuffer.sol": Suite(
        (_CLAIM_CHECK[0],), (), _CLAIM_CHECK[1], then=("contracts/MeritOrderAuction.sol",)
    ),
    f"{LIBRARIES}/Calendar.sol": Suite(
        (_LIBRARIES[0],), ("CalendarProofs",), _LIBRARIES[1], then=("contracts/MeritOrderAuction.sol",)
    ),
    f"{LIBRARIES}/Months.sol": Suite((_LIBRARIES[0],), (), _LIBRARIES[1], then=("contracts/MeritOrderAuction.sol",)),
    f"{LIBRARIES}/Products.sol": Suite(
        (_LIBRARIES[0],),
        (),
        _LIBRARIES[1],
        then=(
            "contracts/MeritOrderAuction.sol",
            "contracts/SettlementJudge.sol",
            "contracts/GridSignals.sol",
            "contracts/CapacityRegister.sol",
        ),
    ),
    f"{LIBRARIES}/VectorTree.sol": Suite(
        (_LIBRARIES[0],), (), _LIBRARIES[1], then=("contracts/MeritOrderAuction.sol", "contracts/SettlementJudge.sol")
    ),
    f"{LIBRARIES}/VectorProof.sol": Suite((_LIBRARIES[0],), (), _LIBRARIES[1], then=("contracts/SettlementJudge.sol",)),
    f"{LIBRARIES}/SettlementMath.sol": Suite((_MATH[0],), (), _MATH[1], then=("contracts/SettlementJudge.sol",)),
    **{
        f"{LIBRARIES}/{name}.sol": Suite(
            ("contracts/SettlementJudge.sol", "contracts/Settlement.sol"), (), (), _SETTLEMENT_TESTS
        )
        for name in (
            "AwardEnd",
            "AwardMarks",
            "GatewayReading",
            "OfferTerms",
            "PurchaseRun",
            "ReadingDigest",
            "ReadingRun",
            "SeatBooks",
            "WordList",
        )
    },
    f"{LIBRARIES}/GatewaySignature.sol": Suite(
        ("contracts/SettlementJudge.sol", "contracts/Settlement.sol"),
        (),
        (),
        ("tests/brownie/test_p256_gateways.py", *_SETTLEMENT_TESTS),
    ),
    f"{LIBRARIES}/Ledger.sol": Suite(("contracts/Settlement.sol",), (), (), _SETTLEMENT_TESTS),
    f"{LIBRARIES}/Sweep.sol": Suite((_CLAIM_CHECK[0],), (), _CLAIM_CHECK[1], then=("contracts/ClaimChecker.sol",)),
    f"{LIBRARIES}/PostingLane.sol": Suite(("contracts/MeritOrderAuction.sol",), (), (), _AUCTION_TESTS),
    f"{LIBRARIES}/SeatSigner.sol": Suite(
        ("contracts/ParticipantRegistry.sol",),
        (),
        (),
        ("tests/brownie/test_participant_registry.py",),
        then=("contracts/MeritOrderAuction.sol",),
    ),
    "contracts/ClaimChecker.sol": Suite(
        ("contracts/ClaimChecker.sol",), (), (), ("tests/brownie/test_auction_clearing.py",)
    ),
    "contracts/MeritOrderAuction.sol": Suite(("contracts/MeritOrderAuction.sol",), (), (), _AUCTION_TESTS),
    "contracts/Settlement.sol": Suite(("contracts/Settlement.sol",), (), (), _SETTLEMENT_TESTS),
    "contracts/SettlementJudge.sol": Suite(("contracts/SettlementJudge.sol",), (), (), _SETTLEMENT_TESTS),
    "contracts/ParticipantRegistry.sol": Suite(
        ("contracts/ParticipantRegistry.sol",), (), (), ("tests/brownie/test_participant_registry.py",)
    ),
    "contracts/GridSignals.sol": Suite(("contracts/GridSignals.sol",), (), (), ("tests/brownie/test_grid_signals.py",)),
    "contracts/CapacityRegister.sol": Suite(
        ("contracts/CapacityRegister.sol",), (), (), ("tests/brownie/test_capacity_register.py",)
    ),
    "contracts/MeteringOracle.sol": Suite(
        ("contracts/MeteringOracle.sol",), (), (), ("tests/brownie/test_metering_oracle.py",)
    ),
    "contracts/SettlementToken.sol": Suite(
        ("contracts/SettlementToken.sol",), (), (), ("tests/brownie/test_settlement_token.py",)
    ),
}


def suites_of(source: str) -> tuple[Suite, ...]:
    """The suites that judge a source, in their order."""
    first = SUITES[source]
    return (first, *(SUITES[contract] for contract in first.then))
