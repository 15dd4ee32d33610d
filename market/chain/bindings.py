"""The contracts as Python sees them: artifacts, calls, decoded errors and events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from web3 import Web3
from web3.contract.contract import Contract, ContractFunction
from web3.types import TxParams

from market.chain.deployment import Deployment, read_deployment
from market.chain.profiles import PROFILES, Profile, RpcError, connect_from, rpc
from market.domain.calendar import Calendar
from market.domain.errors import MeritgridError, contract_error
from market.domain.hashing import keccak256
from market.domain.typed_data import Domain, Message, checksum_address
from market.settings import Settings, SettingsError

_SELECTOR_BYTES: Final = 4
_SOURCE_ARTIFACTS: Final = Path(__file__).resolve().parents[2] / "contracts" / "artifacts"
_PACKAGED_ARTIFACTS: Final = Path(__file__).resolve().parent / "artifacts"


class ArtifactMissing(Exception):
    """The compiled form of a contract is not installed."""


def artifacts_folder() -> Path:
    """Folder of the artifacts: the source tree's, else those that were installed with the package."""
    return _SOURCE_ARTIFACTS if _SOURCE_ARTIFACTS.is_dir() else _PACKAGED_ARTIFACTS


@cache
def artifact(name: str) -> Mapping[str, Any]:
    """The artifact of a contract or interface: `abi`, `bytecode` and how it was compiled.

    Raises:
        ArtifactMissing: there is none of that name.
    """
    path = artifacts_folder() / f"{name}.json"
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactMissing(f"the artifact {path} is missing: {error.strerror}") from error
    return loaded


def _type_of(parameter: Mapping[str, Any]) -> str:
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(map(_type_of, parameter['components']))}){kind.removeprefix('tuple')}"


def _signature(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}({','.join(map(_type_of, entry['inputs']))})"


def _plain(kind: str, value: Any) -> Any:
    """A decoded value as JSON can hold it: addresses in EIP-55 form, bytes as 0x hex, arrays as lists."""
    if kind.endswith("]"):
        inner = kind[: kind.rindex("[")]
        return [_plain(inner, item) for item in value]
    if kind == "address":
        return checksum_address(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value


def _named(parameter: Mapping[str, Any], value: Any) -> Any:
    """As `_plain`, with structs as dicts by the names of their members."""
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return _plain(kind, value)
    if kind.endswith("]"):
        inner = {**parameter, "type": kind[: kind.rindex("[")]}
        return [_named(inner, item) for item in value]
    members = zip(parameter["components"], value, strict=True)
    return {component["name"]: _named(component, member) for component, member in members}


# ERRORS


@cache
def _error_entries() -> Mapping[bytes, Mapping[str, Any]]:
    """All custom errors by selector: a revert may come from any contract behind the one that was called."""
    entries: dict[bytes, Mapping[str, Any]] = {}
    for path in sorted(artifacts_folder().glob("*.json")):
        for entry in artifact(path.stem)["abi"]:
            if entry["type"] == "error":
                entries[keccak256(_signature(entry).encode())[:_SELECTOR_BYTES]] = entry
    for name, kind in (("Error", "string"), ("Panic", "uint256")):
        entry = {"type": "error", "name": name, "inputs": [{"name": "reason", "type": kind}]}
        entries[keccak256(_signature(entry).encode())[:_SELECTOR_BYTES]] = entry
    return entries


def decode_error(data: bytes | str | None) -> MeritgridError:
    """The error that a contract's revert data stands for; its arguments are the error's fields."""
    raw = bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) else data or b""
    entry = _error_entries().get(raw[:_SELECTOR_BYTES])
    if entry is None:
        return MeritgridError(
            "call-reverted",
            "The chain refused the call",
            f"The chain refused the call without an error that is known (0x{raw.hex()}).",
            {"data": "0x" + raw.hex()},
        )
    kinds = [_type_of(parameter) for parameter in entry["inputs"]]
    try:
        values = abi_decode(kinds, raw[_SELECTOR_BYTES:])
    except DecodingError:
        values = ()
    arguments = {
        parameter["name"] or f"argument_{place}": _plain(kind, value)
        for place, (parameter, kind, value) in enumerate(zip(entry["inputs"], kinds, values, strict=False))
    }
    return contract_error(entry["name"], arguments)


# EVENTS


@dataclass(frozen=True)
class Event:
    """One event of one of the contracts. Arguments are as JSON can hold them, by their Solidity names."""

    contract: str
    name: str
    arguments: Mapping[str, Any]
    block: int
    log_index: int
    block_time: int
    transaction: str

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


@dataclass(frozen=True)
class _EventLayout:
    name: str
    indexed: tuple[tuple[str, str], ...]
    plain_names: tuple[str, ...]
    plain_types: tuple[str, ...]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _EventLayout:
        indexed = tuple((item["name"], _type_of(item)) for item in entry["inputs"] if item["indexed"])
        plain = [(item["name"], _type_of(item)) for item in entry["inputs"] if not item["indexed"]]
        return cls(entry["name"], indexed, tuple(name for name, _ in plain), tuple(kind for _, kind in plain))


@cache
def _event_layouts(contract: str) -> Mapping[bytes, _EventLayout]:
    return {
        keccak256(_signature(entry).encode()): _EventLayout.of(entry)
        for entry in artifact(contract)["abi"]
        if entry["type"] == "event" and not entry["anonymous"]
    }


def _quantity(value: str | int) -> int:
    return value if isinstance(value, int) else int(value, 16)


def decode_log(contract: str, log: Mapping[str, Any], block_time: int | None = None) -> Event | None:
    """The event of a log as JSON-RPC gives it; None for one that the contract's ABI does not have.

    Args:
        contract: name of the contract whose address the log bears.
        log: the raw log.
        block_time: time of its block where the node does not say it in the log (`blockTimestamp`). [epoch s]
    """
    topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
    layout = _event_layouts(contract).get(topics[0]) if topics else None
    if layout is None:
        return None
    arguments: dict[str, Any] = {}
    for (name, kind), topic in zip(layout.indexed, topics[1:], strict=True):
        arguments[name] = _plain(kind, abi_decode([kind], topic)[0])
    values = abi_decode(layout.plain_types, bytes.fromhex(log["data"][2:]))
    for name, kind, value in zip(layout.plain_names, layout.plain_types, values, strict=True):
        arguments[name] = _plain(kind, value)
    time_s = block_time if block_time is not None else _quantity(log["blockTimestamp"])
    return Event(
        contract=contract,
        name=layout.name,
        arguments=arguments,
        block=_quantity(log["blockNumber"]),
        log_index=_quantity(log["logIndex"]),
        block_time=time_s,
        transaction=log["transactionHash"],
    )


# CONTRACTS


class Contracts:
    """The seven contracts of a deployment: `contracts.auction.functions.stateOf(offer)` is a bound call."""

    def __init__(self, web3: Web3, deployment: Deployment, profile: Profile) -> None:
        self.web3 = web3
        self.deployment = deployment
        self.profile = profile
        self._names = {address.lower(): name for name, address in deployment.addresses.items()}

    @property
    def calendar(self) -> Calendar:
        """The deployment's calendar."""
        parameters = self.deployment.parameters
        return Calendar(parameters.time_unit_s, parameters.reading_deadline_s)

    def named(self, name: str) -> Contract:
        """The contract of a name of market.chain.deployment.CONTRACT_NAMES."""
        return self.web3.eth.contract(
            address=Web3.to_checksum_address(self.deployment.addresses[name]), abi=artifact(name)["abi"]
        )

    @cached_property
    def registry(self) -> Contract:
        return self.named("ParticipantRegistry")

    @cached_property
    def signals(self) -> Contract:
        return self.named("GridSignals")

    @cached_property
    def capacity(self) -> Contract:
        return self.named("CapacityRegister")

    @cached_property
    def auction(self) -> Contract:
        return self.named("MeritOrderAuction")

    @cached_property
    def metering(self) -> Contract:
        return self.named("MeteringOracle")

    @cached_property
    def settlement(self) -> Contract:
        return self.named("Settlement")

    @cached_property
    def token(self) -> Contract:
        return self.named("SettlementToken")

    def domain_of(self, message: Message | type[Message]) -> Domain:
        """The EIP-712 domain in which a message is signed."""
        return Domain(self.deployment.chain_id, self.deployment.addresses[message.CONTRACT])

    def name_at(self, address: str) -> str | None:
        """Name of the contract at an address."""
        return self._names.get(address.lower())

    def decode(self, log: Mapping[str, Any], block_time: int | None = None) -> Event | None:
        """The event of a raw log of any of the contracts; None for a foreign one."""
        name = self.name_at(log["address"])
        return decode_log(name, log, block_time) if name is not None else None

    def call(self, function: ContractFunction, sender: str | None = None, at_s: int | None = None) -> Any:
        """Ask a view, or try a call without sending it: what the chain would return now.

        Args:
            function: the bound call.
            sender: who would call.
            at_s: time at which the block would be, for chains whose last block may be old. [epoch s]

        Returns:
            The one value, a tuple of several, or None; a struct is a dict by its Solidity names, bytes are 0x hex.

        Raises:
            MeritgridError: the contract refuses, with the decoded custom error.
        """
        raw = self.try_raw(str(function.address), encode_call(function), sender, at_s=at_s)
        outputs: Sequence[Mapping[str, Any]] = function.abi["outputs"]
        decoded = abi_decode([_type_of(output) for output in outputs], raw)
        values = tuple(_named(output, value) for output, value in zip(outputs, decoded, strict=True))
        if not values:
            return None
        return values[0] if len(values) == 1 else values

    def try_raw(
        self,
        to: str,
        data: bytes,
        sender: str | None = None,
        block: str = "latest",
        at_s: int | None = None,
        gas: int | None = None,
    ) -> bytes:
        """As `call`, with encoded bytes; `gas` is what the call may take, None: what the node allows.

        Raises:
            MeritgridError: the contract refuses, with the decoded custom error.
        """
        transaction = {"to": to, "data": "0x" + data.hex()}
        if sender is not None:
            transaction["from"] = sender
        if gas is not None:
            transaction["gas"] = hex(gas)
        overrides = [{}, {"time": hex(at_s)}] if at_s is not None and self.profile.overrides_time else []
        try:
            result: str = rpc(self.web3, "eth_call", transaction, block, *overrides)
        except RpcError as error:
            if error.data is None and "revert" not in error.message.lower():
                raise
            raise decode_error(error.data) from error
        return bytes.fromhex(result[2:])


def open_contracts(settings: Settings) -> Contracts:
    """The contracts of the settings' chain and deployment file.

    Raises:
        SettingsError: the chain does not answer or is another one, or the deployment is of another chain.
        DeploymentError: the deployment file is missing or malformed.
    """
    web3 = connect_from(settings)
    deployment = read_deployment(settings.deployment_path)
    if deployment.chain_id != settings.chain_id:
        raise SettingsError(f"{settings.deployment_path} is of chain {deployment.chain_id}, not {settings.chain_id}")
    return Contracts(web3, deployment, PROFILES[settings.chain_profile])


_ENCODING_ONLY: Final[TxParams] = {
    "gas": 0,
    "maxFeePerGas": Web3.to_wei(0, "wei"),
    "maxPriorityFeePerGas": Web3.to_wei(0, "wei"),
    "chainId": 0,
    "value": Web3.to_wei(0, "wei"),
}


def encode_call(function: ContractFunction) -> bytes:
    """Calldata of a bound call; asks the chain for nothing."""
    data = function.build_transaction(_ENCODING_ONLY)["data"]
    return bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) else bytes(data)
