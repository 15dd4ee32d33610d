"""The product's contracts compiled with plain twins in place of libraries that hold assembly, and put on a node.

The twins lie in tests/contracts_properties/plain under the libraries' names; the compiler takes them under the
libraries' paths, so that everything else is the product's own. Each says what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import solcx
from web3 import Web3
from web3.types import TxParams

from market.chain.bindings import artifact
from market.chain.deployment import Deployment, DeploymentError, DeploymentParameters, plan
from scripts.build_contracts import ROOT, load_settings, read_sources

PLAIN: Final = ROOT / "tests" / "contracts_properties" / "plain"
AFFECTED: Final = ("MeritOrderAuction", "ParticipantRegistry", "MeteringOracle", "Settlement")
"""Contracts of a deployment that use libraries with assembly, or create one that does (CREATED)."""
CREATED: Final = ("ClaimChecker", "SettlementJudge")
CREATION_GAS: Final = 16_000_000
_ALONE: Final = {
    # The others' loops write whole words, where twins write bytes.
    "AwardEnd": {"new bytes(awards * RESULT_BYTES)": "new bytes(awards * RESULT_BYTES + 32)"},
    "RecordBuffer": {"records * RECORD_BYTES)": "records * RECORD_BYTES + 32)"},
    # A function that only returns would be dissolved in its caller, whose stack would then be too deep. Never so: the
    # first ordinal has 24 bits.
    "ReadingRun": {
        "function judge(Batch memory, bytes calldata, bytes calldata,": (
            "function judge(Batch memory run, bytes calldata, bytes calldata readings,"
        ),
        "return (offset, count);": (
            "for (; run.firstOrdinal > type(uint32).max && offset < readings.length; ++offset) ++count;\n"
            "        return (offset, count);"
        ),
    },
}
"""What a twin lacks where it stands for its library alone: parts of it -> what takes their place."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A contract's creation code, and the length of the code that it leaves. [byte]"""

    creation: str
    size_bytes: int


def twins() -> dict[str, str]:
    """Source path of the library that each twin stands for -> the twin."""
    return {path_of(twin.stem): twin.read_text(encoding="utf-8") for twin in sorted(PLAIN.glob("*.sol"))}


def path_of(library: str) -> str:
    """Source path of a library."""
    return f"contracts/libraries/{library}.sol"


def stand_in(library: str) -> dict[str, str]:
    """A twin that stands for its library alone, beside the other libraries' assembly, as `compile_with` takes it.

    ValueError where the twin is no longer what is known of it.
    """
    path = path_of(library)
    text = twins()[path]
    for part, replacement in _ALONE.get(library, {}).items():
        if text.count(part) != 1:
            raise ValueError(f"the twin of {library} must have {part!r} once")
        text = text.replace(part, replacement)
    return {path: text}


def compile_with(stand_ins: Mapping[str, str], optimizer_runs: int | None = None) -> dict[str, Compiled]:
    """The affected contracts, and those that they create, with other sources under some paths.

    optimizer_runs: None for the product's.
    """
    compiler = load_settings(ROOT / "brownie-config.yaml")
    settings = compiler.standard_json()
    if optimizer_runs is not None:
        settings["optimizer"] = {"enabled": True, "runs": optimizer_runs}
    names = (*AFFECTED, *CREATED)
    wanted = ["evm.bytecode.object", "evm.deployedBytecode.object"]
    sources = {**read_sources(ROOT), **stand_ins}
    output = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": {path: {"content": text} for path, text in sources.items()},
            "settings": {
                **settings,
                "remappings": list(compiler.remappings),
                "outputSelection": {f"contracts/{name}.sol": {name: wanted} for name in names},
            },
        },
        solc_binary=compiler.solc_path,
        base_path=ROOT,
    )
    made = {name: output["contracts"][f"contracts/{name}.sol"][name]["evm"] for name in names}
    return {
        name: Compiled(evm["bytecode"]["object"], len(evm["deployedBytecode"]["object"]) // 2)
        for name, evm in made.items()
    }


def deploy_code(
    creation_code: Mapping[str, str], web3: Web3, account: Any, parameters: DeploymentParameters
) -> Deployment:
    """A deployment at the addresses that the product's own would have: the plan is the same.

    creation_code: of the contracts that are not the product's; account: the node's first, which it signs for itself.
    """
    first_block = web3.eth.block_number
    creations = plan(account.address, web3.eth.get_transaction_count(account.address), parameters)
    sender = web3.eth.accounts[0]
    if sender != account.address:
        raise ValueError(f"the deployer must be the node's first account {sender}, not {account.address}")
    for creation in creations:
        product = artifact(creation.name)
        factory = web3.eth.contract(abi=product["abi"], bytecode=creation_code.get(creation.name, product["bytecode"]))
        free: TxParams = {"from": sender, "gasPrice": Web3.to_wei(0, "wei"), "gas": CREATION_GAS}
        receipt = web3.eth.wait_for_transaction_receipt(factory.constructor(*creation.arguments).transact(free))
        if (receipt["status"], receipt["contractAddress"]) != (1, creation.address):
            raise DeploymentError(f"the creation of {creation.name} failed")
    return Deployment(
        web3.eth.chain_id,
        account.address,
        first_block,
        {creation.name: creation.address for creation in creations},
        parameters,
    )
