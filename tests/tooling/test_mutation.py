"""Mutants are what they claim to be, and no survivor of the last run goes without an argument."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.build_contracts import ROOT, load_settings
from scripts.mutation.__main__ import REPORT, drawn
from scripts.mutation.bounded import run_bounded
from scripts.mutation.compiler import Compiler
from scripts.mutation.errors import BaselineFails
from scripts.mutation.mutants import Mutant, mutants_of
from scripts.mutation.sources import all_mutants, syntax_trees, taken_in_by
from scripts.mutation.suites import BROWNIE_FILES, COLLECTED_FILES, DEPLOYED, narrowed, steps_of
from scripts.mutation.survivors import key_of, read_arguments, unargued

LEAST_SCORE = 0.9
NAME = "contracts/Counter.sol"
TEXT = """// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;
contract Counter {
    uint256 public count;
    error Full();
    modifier open() { if (count >= 9) revert Full(); _; }
    function add(bool twice) external open { count += twice ? 2 : 1; } // µ: not one byte
}
"""


@pytest.fixture(scope="module")
def trees() -> dict[str, Any]:
    return syntax_trees()


@pytest.fixture(scope="module")
def mutants(trees: dict[str, Any]) -> dict[str, list[Mutant]]:
    return all_mutants(trees)


def test_a_mutant_is_one_fault_in_one_place() -> None:
    request = {
        "language": "Solidity",
        "sources": {NAME: {"content": TEXT}},
        "settings": {"outputSelection": {"*": {"": ["ast"]}}},
    }
    compiler = load_settings(ROOT / "brownie-config.yaml").solc_path
    answer = subprocess.run(
        [str(compiler), "--standard-json"], input=json.dumps(request), capture_output=True, text=True, check=True
    )
    tree = json.loads(answer.stdout)["sources"][NAME]["ast"]
    made = mutants_of(NAME, TEXT.encode(), tree)
    faults = {(mutant.function, mutant.operator, mutant.original, mutant.replacement) for mutant in made}
    assert faults == {
        ("open", "operator", ">=", ">"),
        ("open", "operator", ">=", "<"),
        ("open", "literal", "9", "8"),
        ("open", "literal", "9", "10"),
        ("open", "check removed", "revert Full();", "{}"),
        ("add", "modifier removed", "open", ""),
        ("add", "statement removed", "count += twice ? 2 : 1;", "{}"),
        ("add", "operator", "+=", "-="),
        ("add", "condition negated", "twice", "!(twice)"),
        ("add", "literal", "2", "1"),
        ("add", "literal", "2", "3"),
        ("add", "literal", "1", "0"),
        ("add", "literal", "1", "2"),
    }
    for mutant in made:
        changed = mutant.applied(TEXT.encode()).decode()
        assert len(changed) == len(TEXT) - len(mutant.original) + len(mutant.replacement)
        assert changed != TEXT


def test_a_larger_sample_holds_the_smaller(mutants: dict[str, list[Mutant]]) -> None:
    each = mutants["contracts/Settlement.sol"]
    assert drawn(each, 20, 4)[:10] == drawn(each, 10, 4)
    assert drawn(each, 10, 4) != drawn(each, 10, 5)
    assert sorted(mutant.start for mutant in drawn(each, 0, 4)) == [mutant.start for mutant in each]


def test_every_source_is_judged_by_tests_that_exist(trees: dict[str, Any], mutants: dict[str, list[Mutant]]) -> None:
    takers = taken_in_by(trees)
    for source in mutants:
        steps = steps_of(source, takers)
        assert {unit for step in steps for unit in step.units} & {*DEPLOYED}, f"no deployed contract has {source}"
        for test in (test for step in steps for test in step.tests):
            assert (ROOT / test).is_file() or (ROOT / "tests" / "halmos" / "proofs" / f"{test}.sol").is_file()


def test_steps_narrow_to_the_tests_that_were_added(trees: dict[str, Any]) -> None:
    added = {"tests/attacks/test_events.py", "tests/brownie/test_settlement_holds.py"}
    steps = [narrowed(step, added) for step in steps_of("contracts/Settlement.sol", taken_in_by(trees))]
    assert {test for step in steps for test in step.tests} == added
    assert sum(bool(step.tests) for step in steps) == len(added)


def test_no_test_of_attacks_or_of_brownie_is_left_out() -> None:
    attacks = {path for path in COLLECTED_FILES if path.startswith("tests/attacks/")}
    assert attacks == {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/attacks").glob("test_*.py")}
    brownie = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/brownie").glob("test_*.py")}
    assert brownie - {*BROWNIE_FILES} == {"tests/brownie/test_build.py"}  # it compares sources with artifacts


def test_every_argument_names_a_mutant_of_the_present_sources(mutants: dict[str, list[Mutant]]) -> None:
    present = {key_of(mutant) for each in mutants.values() for mutant in each}
    assert [" | ".join(key) for key in read_arguments() if key not in present] == []


def test_every_survivor_of_the_last_run_is_argued_and_the_score_is_reached() -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    survivors = [survivor for source in report["sources"].values() for survivor in source["survivors"]]
    assert [survivor for survivor in survivors if not survivor["argument"]] == []
    assert report["total"]["score"] >= LEAST_SCORE


def test_a_survivor_without_an_argument_is_named(mutants: dict[str, list[Mutant]], tmp_path: Path) -> None:
    one, other = mutants["contracts/SettlementToken.sol"][:2]
    table = tmp_path / "survivors.toml"
    source, function, fault = key_of(one)
    fields = {"source": source, "function": function, "fault": fault, "verdict": "equivalent", "why": "It is."}
    entry = "[[survivor]]\n" + "".join(f"{name} = {json.dumps(text)}\n" for name, text in fields.items())
    table.write_text(entry, encoding="utf-8")
    assert unargued([one, other], read_arguments(table)) == [" | ".join(key_of(other))]
    table.write_text(entry.replace("It is.", " "), encoding="utf-8")
    with pytest.raises(ValueError, match="a reason"):
        read_arguments(table)


def test_a_text_that_does_not_compile_is_no_missing_source() -> None:
    source = "contracts/libraries/Products.sol"
    compiler = Compiler.start(ROOT)
    try:
        assert compiler.compile([source], {source: "library Products { function }"}) is None
        with pytest.raises(BaselineFails, match=r"Nowhere\.sol"):
            compiler.compile([source], {source: 'import "./Nowhere.sol"; library Products {}'})
    finally:
        compiler.process.close()


def test_a_step_that_takes_too_long_leaves_no_process(tmp_path: Path) -> None:
    grandchild = tmp_path / "pid"
    command = ["bash", "-c", f"sleep 600 & echo $! > {grandchild}; wait"]
    with pytest.raises(subprocess.TimeoutExpired):
        run_bounded(command, tmp_path, os.environ, timeout_s=1)
    status = Path("/proc") / grandchild.read_text(encoding="utf-8").strip() / "status"
    deadline = time.monotonic() + 10
    while _lives(status):
        assert time.monotonic() < deadline, "what a killed command had started lives on"
        time.sleep(0.02)


def _lives(status: Path) -> bool:
    try:
        return "State:\tZ" not in status.read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
