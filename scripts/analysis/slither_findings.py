"""Runs every detector of slither over the contracts and fails on a finding of high or medium impact.

A finding that is meant is answered where it stands:

    // slither-disable-next-line detector -- why it is no fault here

A suppression without a reason fails, and so does one that suppresses nothing any more. Findings of lower impact are
counted; --all prints them. Runs in .venv-analysis on what scripts.analysis.compiler_input wrote:

    python scripts/analysis/slither_findings.py build/analysis/contracts.json
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crytic_compile import CompilationUnit, CryticCompile
from crytic_compile.compiler.compiler import CompilerVersion
from crytic_compile.platform.solc_standard_json import (
    SolcStandardJson,
    parse_standard_json_output,
    run_solc_standard_json,
)
from slither import Slither
from slither.detectors import all_detectors
from slither.detectors.abstract_detector import AbstractDetector

ROOT = Path(__file__).resolve().parent.parent.parent
REFUSED = ("High", "Medium")
EXCLUDED = {
    "incorrect-equality": "meant for conditions that a transfer of ether or tokens, or a block's very second, could "
    "break; it follows time through every structure and reports any comparison of a price, a count or an enumeration "
    "beside it. No contract here compares a balance of tokens or ether at all, and times only with 0, for absence.",
}
"""Detectors that are left out as a whole, and why."""
SUPPRESSION = re.compile(r"//\s*slither-disable-(?:next-line|start)\b(?P<rest>.*)")
REASONED = re.compile(r"\s+[a-z0-9,-]+ -- \S.*")


class SyntaxTrees(SolcStandardJson):  # type: ignore[misc]  # slither brings no types
    """Compiles to syntax trees without bytecode, which no detector reads and which takes ten times as long."""

    def compile(self, crytic_compile: CryticCompile, **_: Any) -> None:
        """Fills the compilation with what the locked compiler gives."""
        compiler = next((ROOT / "scripts" / "solc").glob("solc-v*"))
        version = CompilerVersion(compiler="solc", version=compiler.name.removeprefix("solc-v"), optimized=True)
        unit = CompilationUnit(crytic_compile, "contracts")
        unit.compiler_version = version
        output = run_solc_standard_json(self.to_dict(), version, solc_disable_warnings=True, solc=str(compiler))
        for contracts in output["contracts"].values():
            for contract in contracts.values():
                contract["evm"] = {code: {"object": "", "sourceMap": ""} for code in ("bytecode", "deployedBytecode")}
        parse_standard_json_output(output, unit)


def analyse(compiler_input: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Findings that nobody answered, and suppressions that suppress nothing."""
    slither = Slither(CryticCompile(SyntaxTrees(compiler_input)), filter_paths=["node_modules"])
    for _, detector in inspect.getmembers(all_detectors, inspect.isclass):
        if issubclass(detector, AbstractDetector) and getattr(detector, "ARGUMENT", "") not in EXCLUDED:
            slither.register_detector(detector)
    findings = [finding for found in slither.run_detectors() for finding in found or []]
    unused = [
        f"{Path(each['file']).relative_to(ROOT)}:{each['line']}: suppresses no {', '.join(each['unused_detectors'])}"
        for each in slither.get_unused_ignore_comments()
        if "node_modules" not in each["file"]
    ]
    return findings, unused


def unreasoned(compiler_input: dict[str, Any]) -> Iterator[str]:
    """Suppressions that do not say why."""
    for path, source in compiler_input["sources"].items():
        for number, line in enumerate(source["content"].splitlines(), start=1):
            comment = SUPPRESSION.search(line)
            if comment and not REASONED.fullmatch(comment["rest"]):
                yield f"{path}:{number}: a suppression needs ` -- ` and its reason"


def main() -> int:
    """Print what was found. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="standard JSON input of the compiler")
    parser.add_argument("--all", action="store_true", help="print the findings of low impact too")
    options = parser.parse_args()

    compiler_input = json.loads(options.input.read_text(encoding="utf-8"))
    findings, faults = analyse(compiler_input)
    faults += unreasoned(compiler_input)
    refused = [finding for finding in findings if finding["impact"] in REFUSED]
    for finding in findings if options.all else refused:
        print(f"{finding['impact']} {finding['check']}: {finding['description'].strip()}\n")  # noqa: T201
    for fault in faults:
        print(fault)  # noqa: T201
    counts = Counter(finding["impact"] for finding in findings)
    shown = ", ".join(f"{counts[impact]} {impact.lower()}" for impact in (*REFUSED, "Low", "Informational"))
    print(f"slither: {shown}")  # noqa: T201
    return 1 if refused or faults else 0


if __name__ == "__main__":
    sys.exit(main())
