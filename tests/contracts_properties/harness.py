"""Contracts of the tests that lay bare a library of ours: compiled like the product's, deployed on a test node."""

from __future__ import annotations

from pathlib import Path

import solcx
from web3 import Web3
from web3.contract import Contract

from market.chain.embedded import EmbeddedChain
from scripts.build_contracts import ROOT, load_settings


def deploy_harness(name: str, chain: EmbeddedChain) -> Contract:
    """The contract of <name>.sol beside this file."""
    source = Path(__file__).with_name(f"{name}.sol").relative_to(ROOT).as_posix()
    compiler = load_settings(ROOT / "brownie-config.yaml")
    output = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {source: {"content": (ROOT / source).read_text(encoding="utf-8")}},
            "settings": {
                **compiler.standard_json(),
                "remappings": list(compiler.remappings),
                "outputSelection": {source: {"*": ["abi", "evm.bytecode.object"]}},
            },
        },
        solc_binary=compiler.solc_path,
        base_path=ROOT,
    )
    compiled = output["contracts"][source][name]
    web3 = Web3(Web3.HTTPProvider(chain.rpc_url))
    factory = web3.eth.contract(abi=compiled["abi"], bytecode=compiled["evm"]["bytecode"]["object"])
    created = factory.constructor().transact({"from": web3.eth.accounts[0], "gasPrice": web3.to_wei(0, "wei")})
    receipt = web3.eth.wait_for_transaction_receipt(created, poll_latency=0.02)
    return web3.eth.contract(address=receipt["contractAddress"], abi=compiled["abi"])
