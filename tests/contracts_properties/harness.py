"""Compiles a test's own contract around libraries of the product, and creates it on a node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import solcx
from web3 import Web3
from web3.contract import Contract

from market.chain.embedded import EmbeddedChain
from scripts.build_contracts import ROOT, load_settings


def compile_harness(source: Path, replaced: Mapping[str, str] | None = None) -> tuple[Any, str]:
    """ABI and bytecode of the contract of a Solidity file, which bears the file's name; compiled as the product is.

    replaced: path of a library -> the source that stands for it.
    """
    compiler = load_settings(ROOT / "brownie-config.yaml")
    path = source.relative_to(ROOT).as_posix()
    output = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {
                name: {"content": text}
                for name, text in {path: source.read_text(encoding="utf-8"), **(replaced or {})}.items()
            },
            "settings": {
                **compiler.standard_json(),
                "remappings": list(compiler.remappings),
                "outputSelection": {path: {"*": ["abi", "evm.bytecode.object"]}},
            },
        },
        solc_binary=compiler.solc_path,
        base_path=ROOT,
    )
    compiled = output["contracts"][path][source.stem]
    return compiled["abi"], compiled["evm"]["bytecode"]["object"]


def create_harness(chain: EmbeddedChain, source: Path, replaced: Mapping[str, str] | None = None) -> Contract:
    """That contract, on a node."""
    abi, bytecode = compile_harness(source, replaced)
    web3 = Web3(Web3.HTTPProvider(chain.rpc_url))
    factory = web3.eth.contract(abi=abi, bytecode=bytecode)
    created = factory.constructor().transact({"from": web3.eth.accounts[0], "gasPrice": Web3.to_wei(0, "wei")})
    receipt = web3.eth.wait_for_transaction_receipt(created, poll_latency=0.02)
    return web3.eth.contract(address=receipt["contractAddress"], abi=abi)
