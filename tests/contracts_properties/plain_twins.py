"""The product's contracts compiled with plain twins in place of the libraries that hold assembly.

The twins lie in tests/contracts_properties/plain under the libraries' names; the compiler takes them under the
libraries' paths, so that everything else is the product's own. Each says what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import solcx
from eth_account import Account
from web3 import Web3

from market.chain.bindings import artifact
from market.chain.deployment import Deployment, DeploymentParameters, plan
from scripts.build_contracts import ROOT, load_settings, read_sources

PLAIN: Final = Path(__file__).with_name("plain")
AFFECTED: Final = ("MeritOrderAuction", "ParticipantRegistry", "MeteringOracle", "Settlement")
"""The others of a deployment use no library with assembly."""
CREATION_GAS: Final = 16_000_000


def twins() -> dict[str, str]:
    """Source path of the library that each twin stands for -> the twin."""
    return {
        f"contracts/libraries/{twin.name}": twin.read_text(encoding="utf-8") for twin in sorted(PLAIN.glob("*.sol"))
    }


@cache
def plain_bytecode() -> Mapping[str, str]:
    """Creation code of the affected contracts."""
    compiler = load_settings(ROOT / "brownie-config.yaml")
    sources = read_sources(ROOT) | twins()
    output = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {path: {"content": text} for path, text in sources.items()},
            "settings": {
                **compiler.standard_json(),
                "optimizer": {"enabled": True, "runs": 1},  # plain code is longer, and must keep within EIP-170
                "remappings": list(compiler.remappings),
                "outputSelection": {f"contracts/{name}.sol": {name: ["evm.bytecode.object"]} for name in AFFECTED},
            },
        },
        solc_binary=compiler.solc_path,
        base_path=ROOT,
    )
    return {name: output["contracts"][f"contracts/{name}.sol"][name]["evm"]["bytecode"]["object"] for name in AFFECTED}


def deploy_plain(web3: Web3, account: Any, parameters: DeploymentParameters) -> Deployment:
    """A deployment at the addresses that the product's own would have: the plan is the same."""
    first_block = web3.eth.block_number
    creations = plan(account.address, web3.eth.get_transaction_count(account.address), parameters)
    sender = web3.eth.accounts[0]
    assert sender == account.address == Account.from_key(account.key).address
    for creation in creations:
        product = artifact(creation.name)
        factory = web3.eth.contract(
            abi=product["abi"], bytecode=plain_bytecode().get(creation.name, product["bytecode"])
        )
        free = {"from": sender, "gasPrice": Web3.to_wei(0, "wei"), "gas": CREATION_GAS}
        receipt = web3.eth.wait_for_transaction_receipt(factory.constructor(*creation.arguments).transact(free))
        assert (receipt["status"], receipt["contractAddress"]) == (1, creation.address)
    return Deployment(
        web3.eth.chain_id,
        account.address,
        first_block,
        {creation.name: creation.address for creation in creations},
        parameters,
    )
