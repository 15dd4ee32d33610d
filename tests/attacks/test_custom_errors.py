"""Every custom error is reached with its arguments, and Python has an exception and a sentence for each."""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from market.chain.bindings import artifact, artifacts_folder, decode_error
from market.domain.errors import CONTRACT_EXCEPTIONS, ContractRefused
from tests.attacks.arena import Arena
from tests.attacks.refusals import TABLE, Row, auction, registry, settlement, signals
from tests.attacks.refusals.libraries import LIBRARY_TABLE, NEVER, REACHED_ELSEWHERE

ROWS = (auction, registry, settlement, signals)
"""Importing them enters their rows into the table."""


def errors_of(name: str) -> dict[str, list[Any]]:
    """Error -> its parameters, of an artifact's ABI."""
    return {entry["name"]: entry["inputs"] for entry in artifact(name)["abi"] if entry["type"] == "error"}


ARTIFACTS = sorted(path.stem for path in artifacts_folder().glob("*.json"))
INTERFACES = [name for name in ARTIFACTS if name[0] == "I" and name[1].isupper()]


def test_every_custom_error_of_the_interfaces_has_a_row_and_no_row_is_left() -> None:
    assert set(TABLE) == {(interface, error) for interface in INTERFACES for error in errors_of(interface)}


@pytest.mark.parametrize(("place", "row"), TABLE.items(), ids=[".".join(place) for place in TABLE])
def test_a_custom_error_is_reached_with_its_arguments(arena: Arena, place: tuple[str, str], row: Row) -> None:
    interface, name = place
    refused = row(arena)
    error = arena.refusal(refused.call, refused.caller)
    assert (error.name, error.fields) == (name, refused.arguments)
    assert set(error.fields) == {parameter["name"] for parameter in errors_of(interface)[name]}
    assert type(error) is CONTRACT_EXCEPTIONS[name]
    assert type(error).__name__ == name
    assert "{" not in error.sentence


def test_every_error_of_openzeppelins_parts_has_a_row_or_cannot_be_reached() -> None:
    ours = {error for _, error in TABLE}
    rows = [*LIBRARY_TABLE, *REACHED_ELSEWHERE, *NEVER]
    assert sorted(rows) == sorted({error for name in ARTIFACTS for error in errors_of(name)} - ours)
    for file, test in REACHED_ELSEWHERE.values():
        assert f"def {test}(" in (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "row"), LIBRARY_TABLE.items(), ids=list(LIBRARY_TABLE))
def test_an_error_of_openzeppelins_parts_is_reached_with_its_arguments(arena: Arena, name: str, row: Row) -> None:
    refused = row(arena)
    error = arena.refusal(refused.call, refused.caller)
    assert (error.name, error.fields) == (name, refused.arguments)
    assert type(error) is CONTRACT_EXCEPTIONS[name]
    assert "{" not in error.sentence


@pytest.mark.parametrize("name", ARTIFACTS)
def test_python_has_an_exception_and_a_sentence_for_every_error_of_an_artifact(name: str) -> None:
    """Those of OpenZeppelin's parts too: whatever a contract can revert with."""
    for error, parameters in errors_of(name).items():
        exception = CONTRACT_EXCEPTIONS[error]
        assert issubclass(exception, ContractRefused)
        sentence = exception.TEXT.sentence
        assert sentence[0].isupper() or sentence[0] == "{"
        assert sentence.endswith(".")
        named = {field for _, field, _, _ in Formatter().parse(sentence) if field}
        assert named <= {parameter["name"] for parameter in parameters}


def test_an_error_that_nobody_declared_is_no_named_exception() -> None:
    assert type(decode_error("0x12345678")) not in CONTRACT_EXCEPTIONS.values()
