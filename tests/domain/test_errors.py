"""Errors: every custom error, bid rejection and skip of the interfaces has its code and a sentence that fits."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from string import Formatter

import pytest

from market.domain.errors import (
    BID_REJECTIONS,
    CONTRACT_ERRORS,
    LIBRARY_ERRORS,
    SKIPS,
    BidRejection,
    Category,
    MeritgridError,
    Skip,
    ValidationFailed,
    Violation,
    bid_refused,
    contract_error,
)

INTERFACES = "\n".join(
    path.read_text() for path in (Path(__file__).parents[2] / "contracts" / "interfaces").glob("*.sol")
)


def declared_errors() -> dict[str, list[set[str]]]:
    found: dict[str, list[set[str]]] = defaultdict(list)
    for name, arguments in re.findall(r"^\s*error (\w+)\(([^)]*)\)", INTERFACES, re.MULTILINE):
        found[name].append({argument.split()[-1] for argument in arguments.split(",") if argument.strip()})
    return found


def members(enum: str) -> list[str]:
    body = re.search(rf"enum {enum} \{{([^}}]*)\}}", INTERFACES)
    assert body is not None
    return [member.strip() for member in body[1].split(",")]


def test_every_custom_error_of_the_interfaces_has_a_text_and_no_other_has() -> None:
    assert set(CONTRACT_ERRORS) == set(declared_errors())


@pytest.mark.parametrize("name", sorted(CONTRACT_ERRORS))
def test_a_sentence_names_only_arguments_that_every_such_error_has(name: str) -> None:
    named = {field for _, field, _, _ in Formatter().parse(CONTRACT_ERRORS[name].sentence) if field}
    for arguments in declared_errors()[name]:
        assert named <= arguments


def test_codes_are_stable_words_and_never_shared() -> None:
    codes = [text.code for table in (CONTRACT_ERRORS, LIBRARY_ERRORS) for text in table.values()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code) for code in codes)
    assert CONTRACT_ERRORS["FalseClaim"].code == "false-claim"
    assert LIBRARY_ERRORS["ERC20InsufficientBalance"].code == "erc20-insufficient-balance"


def test_rejections_and_skips_are_those_of_the_interfaces_and_each_has_a_text() -> None:
    assert [member.name for member in BidRejection] == members("BidRejection")
    assert [member.name for member in Skip] == members("Skip")
    assert set(BID_REJECTIONS) == set(BidRejection) - {BidRejection.NONE}
    assert set(SKIPS) == set(Skip) - {Skip.NONE}


def test_a_contracts_error_tells_its_arguments() -> None:
    error = contract_error("GateClosed", {"offer": b"\1" * 32, "gateClosure": 900})
    assert isinstance(error, MeritgridError)
    assert (error.code, error.title, error.category) == ("gate-closed", "Gate closed", Category.STATE)
    assert str(error) == f"The gate of offer 0x{'01' * 32} closed at 900."
    assert error.fields["gateClosure"] == 900


def test_an_unknown_error_keeps_its_name() -> None:
    error = contract_error("SomethingNew", {"why": "{braces}"})
    assert (error.code, error.name) == ("something-new", "SomethingNew")
    assert "{braces}" in error.sentence


def test_a_bids_refusal_carries_its_reason() -> None:
    error = bid_refused(BidRejection.BEYOND_COVER, index=3)
    assert (error.code, error.reason, error.fields) == ("beyond-cover", BidRejection.BEYOND_COVER, {"index": 3})


def test_a_failed_validation_carries_all_violations() -> None:
    error = ValidationFailed([Violation("/a", 1, "must be 2"), Violation("/b", None, "is missing")])
    assert [violation.pointer for violation in error.violations] == ["/a", "/b"]
    assert "/a = 1: must be 2" in str(error)
