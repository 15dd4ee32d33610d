"""The contracts' sources: their syntax trees, which deployed contracts take each in, and their mutants."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from scripts.analysis.compiler_input import syntax_tree_input
from scripts.build_contracts import ROOT, load_settings
from scripts.mutation.mutants import Mutant, mutants_of
from scripts.mutation.suites import DEPLOYED


def syntax_trees() -> dict[str, Any]:
    """The contracts' syntax trees by path."""
    compiler = load_settings(ROOT / "brownie-config.yaml").solc_path
    answer = subprocess.run(
        [str(compiler), "--standard-json"],
        input=json.dumps(syntax_tree_input(ROOT)), capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return {path: unit["ast"] for path, unit in json.loads(answer.stdout)["sources"].items()}


def taken_in_by(trees: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Source -> the deployed contracts that are it or import it, directly or not."""
    imports = {
        path: [node["absolutePath"] for node in tree["nodes"] if node["nodeType"] == "ImportDirective"]
        for path, tree in trees.items()
    }

    def reached(path: str, known: set[str]) -> set[str]:
        for other in {path, *imports[path]} - known:
            known.add(other)
            reached(other, known)
        return known

    closures = {contract: reached(contract, set()) for contract in DEPLOYED}
    return {source: tuple(contract for contract, closure in closures.items() if source in closure) for source in trees}


def all_mutants(trees: Mapping[str, Any]) -> dict[str, list[Mutant]]:
    """The mutants of each source that has any."""
    ours = [path for path in trees if path.startswith("contracts/")]
    mutants = {path: mutants_of(path, (ROOT / path).read_bytes(), trees[path]) for path in ours}
    return {path: each for path, each in mutants.items() if each}
