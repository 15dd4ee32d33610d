"""Compiles the contracts of the benchmark as the product's are, and creates them on a node."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import solcx
from eth_account.signers.local import LocalAccount
from web3.contract import Contract

from scripts.bench.gas.node import Node
from scripts.build_contracts import ROOT, CompilerSettings, load_settings

FOLDER: Final = Path(__file__).parent / "contracts"


def settings() -> CompilerSettings:
    """The product's."""
    return load_settings(ROOT / "brownie-config.yaml")


@cache
def compiled() -> dict[str, Any]:
    """The contracts by name, with `abi` and `evm`."""
    compiler = settings()
    sources = {path.relative_to(ROOT).as_posix(): path for path in sorted(FOLDER.glob("*.sol"))}
    output = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {name: {"content": path.read_text(encoding="utf-8")} for name, path in sources.items()},
            "settings": {
                **compiler.standard_json(),
                "remappings": list(compiler.remappings),
                "outputSelection": {name: {"*": ["abi", "evm.bytecode.object"]} for name in sources},
            },
        },
        solc_binary=compiler.solc_path,
        base_path=ROOT,
    )
    return {path.stem: output["contracts"][name][path.stem] for name, path in sources.items()}


def create(node: Node, name: str, creator: LocalAccount) -> Contract:
    """A contract of the benchmark on the node."""
    contract = compiled()[name]
    return node.create(creator, contract["abi"], contract["evm"]["bytecode"]["object"])
