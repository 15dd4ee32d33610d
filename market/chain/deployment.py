"""How the seven contracts are deployed: the plan, which is pure, the deployment through web3, and its file.

The contracts know each other by immutable addresses, in a circle: the plan predicts each address from the deployer's
nonce, so the deployer must send nothing else meanwhile. Brownie (scripts/deploy.py) creates by the same plan.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3 import Web3
from web3.types import Nonce, TxParams
from web3.utils.address import get_create_address

from market.paths import DATA_DIR, deployment_file
from market.plain_words import in_words

CREATION_GAS: Final = 12_000_000
"""Gas limit of each creation: Settlement, which creates its judge, takes about 8 million; EIP-7825 allows 2^24."""
RECEIPT_TIMEOUT_S: Final = 120.0
_EARLIEST_OFFER_UNITS: Final = 4
"""INTERNAL offers close 3.45 market time units before their interval and open half a unit before that."""
_ENVIRONMENT_PREFIX: Final = "MERITGRID_DEPLOY_"


class DeploymentError(Exception):
    """A deployment cannot be made, read or written; the text says why and what helps."""


@dataclass(frozen=True, slots=True)
class DeploymentParameters:
    """What is fixed for good when the contracts are deployed.

    operator: governance key at first and operator, None for the deployer; admin_delay_s: between the two steps of a
    change of the governance key; time_unit_s: length of an interval; reading_deadline_s: after an interval's start,
    without a reading an award expires; hold_window_s: from the announcement of a reading to its settlement by anyone;
    hold_term_s: the referee's time to decide; hold_bond_ueur: what a hold costs [micro-euro]; unbonding_s: from the
    start of an unbonding to its payment. All times in s. Defaults: the design's table of parameters.

    Raises ValueError where they contradict each other.
    """

    operator: str | None = None
    admin_delay_s: int = 86_400
    time_unit_s: int = 900
    reading_deadline_s: int = 86_400
    hold_window_s: int = 86_400
    hold_term_s: int = 7 * 86_400
    hold_bond_ueur: int = 10_000_000
    unbonding_s: int = 14 * 86_400

    def __post_init__(self) -> None:
        for name in ("time_unit_s", "reading_deadline_s", "hold_window_s", "hold_term_s", "unbonding_s"):
            if not 0 < getattr(self, name) < 2**32:
                raise ValueError(f"{name} must be between 1 and {2**32 - 1}, not {getattr(self, name)}")
        if not 0 <= self.hold_bond_ueur < 2**96 or not 0 <= self.admin_delay_s < 2**48:
            raise ValueError("hold_bond_ueur or admin_delay_s is out of range")
        if self.reading_deadline_s <= self.time_unit_s:
            raise ValueError("reading_deadline_s must be longer than the interval itself (time_unit_s)")
        if self.offer_horizon_s < _EARLIEST_OFFER_UNITS * self.time_unit_s:
            needed_s = self.unbonding_s - self.offer_horizon_s + _EARLIEST_OFFER_UNITS * self.time_unit_s
            raise ValueError(
                f"unbonding_s must be at least {needed_s}, not {self.unbonding_s}: a bond taken out when an "
                f"offer opens, {_EARLIEST_OFFER_UNITS} time units ahead, must be there when its awards end"
            )

    @property
    def longest_settlement_s(self) -> int:
        """From an interval's start: announced at the deadline, held at the end of its window, decided at the end of
        the term, and each of the two moved the deadline once more. [s]"""
        return 3 * self.reading_deadline_s + self.hold_window_s + self.hold_term_s

    @property
    def offer_horizon_s(self) -> int:
        """How long before its interval an offer may open, so that a bond that is taken out at once outlasts its awards
        by a reading deadline, for whoever ends them; the contract holds every offer to it. [s]"""
        return self.unbonding_s - self.longest_settlement_s - self.reading_deadline_s

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DeploymentParameters:
        """Parameters of a JSON object, by the names of docs/protocol.md; numbers may be strings.

        Raises DeploymentError that names what is unknown or no number.
        """
        names = {_protocol_name(each.name): each.name for each in fields(cls)}
        if unknown := sorted(set(values) - set(names)):
            raise DeploymentError(f"unknown parameters: {', '.join(unknown)}; there are {', '.join(sorted(names))}")
        try:
            arguments: dict[str, Any] = {
                names[name]: value if name == "operator" else int(value) for name, value in values.items()
            }
            return cls(**arguments)
        except (TypeError, ValueError) as problem:
            raise DeploymentError(f"wrong parameters: {problem}") from problem

    def to_mapping(self) -> dict[str, Any]:
        """The JSON object of `from_mapping`."""
        return {_protocol_name(name): value for name, value in asdict(self).items()}


def _protocol_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def parameters_from(environment: Mapping[str, str] | None = None) -> DeploymentParameters:
    """Parameters of the JSON file that MERITGRID_DEPLOY_PARAMETERS names, over them variables such as
    MERITGRID_DEPLOY_TIME_UNIT_S, over the defaults."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    if file := environment.get(f"{_ENVIRONMENT_PREFIX}PARAMETERS"):
        values |= _read_json(Path(file))
    for each in fields(DeploymentParameters):
        if given := environment.get(_ENVIRONMENT_PREFIX + each.name.upper()):
            values[_protocol_name(each.name)] = given
    return DeploymentParameters.from_mapping(values)


@dataclass(frozen=True, slots=True)
class Creation:
    """One contract of the plan: its name, the address that it will have, and its constructor's arguments."""

    name: str
    address: str
    arguments: tuple[Any, ...]


CONTRACT_NAMES: Final = (
    "ParticipantRegistry",
    "GridSignals",
    "CapacityRegister",
    "MeritOrderAuction",
    "MeteringOracle",
    "Settlement",
    "SettlementToken",
)
"""In the order of their creation."""


def plan(deployer: str, first_nonce: int, parameters: DeploymentParameters) -> tuple[Creation, ...]:
    """The seven creations in order; `first_nonce` is the deployer's next one."""
    addresses = predicted_addresses(deployer, first_nonce)
    registry, signals, register, auction, metering, settlement, token = (addresses[name] for name in CONTRACT_NAMES)
    settlement_parameters = (
        parameters.reading_deadline_s,
        parameters.hold_window_s,
        parameters.hold_term_s,
        parameters.hold_bond_ueur,
        parameters.unbonding_s,
    )
    operator = parameters.operator or deployer
    arguments: dict[str, tuple[Any, ...]] = {
        "ParticipantRegistry": (operator, parameters.admin_delay_s, parameters.time_unit_s, settlement),
        "GridSignals": (registry, auction, settlement),
        "CapacityRegister": (registry, settlement),
        "MeritOrderAuction": (registry, signals, register, metering, settlement),
        "MeteringOracle": (registry, settlement, parameters.reading_deadline_s),
        "Settlement": (registry, signals, register, auction, metering, token, settlement_parameters),
        "SettlementToken": (registry,),
    }
    return tuple(Creation(name, addresses[name], arguments[name]) for name in CONTRACT_NAMES)


def predicted_addresses(deployer: str, first_nonce: int) -> dict[str, str]:
    """Contract name -> checksummed address of its CREATE."""
    sender = Web3.to_checksum_address(deployer)
    return {
        name: str(get_create_address(sender, first_nonce + place))  # type: ignore[arg-type]
        for place, name in enumerate(CONTRACT_NAMES)
    }


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contracts are: the content of a deployment file.

    first_block: the block before which there is no event of theirs.
    """

    chain_id: int
    deployer: str
    first_block: int
    addresses: dict[str, str]
    parameters: DeploymentParameters = field(default_factory=DeploymentParameters)

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "chain_id": self.chain_id,
            "deployer": self.deployer,
            "first_block": self.first_block,
            "addresses": self.addresses,
            "parameters": self.parameters.to_mapping(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Deployment:
        """The deployment of a file's content. DeploymentError when a contract's address or a field is missing."""
        try:
            addresses = {name: Web3.to_checksum_address(document["addresses"][name]) for name in CONTRACT_NAMES}
            return cls(
                chain_id=int(document["chain_id"]),
                deployer=Web3.to_checksum_address(document["deployer"]),
                first_block=int(document["first_block"]),
                addresses={name: str(address) for name, address in addresses.items()},
                parameters=DeploymentParameters.from_mapping(document["parameters"]),
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise DeploymentError(f"this is no deployment: {problem!r}") from problem


def deployment_path(chain_id: int, environment: Mapping[str, str] | None = None) -> Path:
    """MERITGRID_DEPLOYMENT_FILE, else the chain's file in the market's data folder: where the market looks for it."""
    environment = os.environ if environment is None else environment
    named = environment.get("MERITGRID_DEPLOYMENT_FILE")
    return Path(named) if named else deployment_file(Path(environment.get("MERITGRID_DATA_DIR") or DATA_DIR), chain_id)


def read_deployment(path: Path) -> Deployment:
    """The deployment that a file holds. DeploymentError when there is none."""
    return Deployment.from_json(_read_json(path))


def write_deployment(path: Path, deployment: Deployment, *, replace: bool = False) -> None:
    """Writes the file. DeploymentError when it holds another deployment, unless `replace`."""
    if not replace and path.exists() and read_deployment(path) != deployment:
        raise DeploymentError(f"{path} holds another deployment; move it away, or ask to replace it")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.write_text(json.dumps(deployment.to_json(), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)


def is_deployed(web3: Web3, deployment: Deployment) -> bool:
    """Whether the chain is the deployment's, and has code at each of its addresses."""
    return web3.eth.chain_id == deployment.chain_id and all(
        web3.eth.get_code(Web3.to_checksum_address(address)) for address in deployment.addresses.values()
    )


def deploy(web3: Web3, account: LocalAccount, parameters: DeploymentParameters) -> Deployment:
    """Creates the contracts from the committed artifacts: all are sent before the first is awaited.

    Args:
        web3: the chain.
        account: the deployer; it must send nothing else meanwhile, and pays where gas costs.
        parameters: what is fixed for good.

    Raises:
        ArtifactMissing: the contracts were not compiled.
        DeploymentError: a creation failed or got another address than planned.
    """
    first_block = web3.eth.block_number
    nonce = web3.eth.get_transaction_count(account.address)
    creations = plan(account.address, nonce, parameters)
    common: TxParams = {
        "from": account.address,
        "gas": CREATION_GAS,
        "gasPrice": web3.eth.gas_price,
        "chainId": web3.eth.chain_id,
    }
    sent = [
        _send_creation(web3, account, creation, {**common, "nonce": Nonce(nonce + place)})
        for place, creation in enumerate(creations)
    ]
    for creation, digest in zip(creations, sent, strict=True):
        _await_creation(web3, creation, digest)
    return Deployment(
        chain_id=common["chainId"],
        deployer=account.address,
        first_block=first_block,
        addresses={creation.name: creation.address for creation in creations},
        parameters=parameters,
    )


def _send_creation(web3: Web3, account: LocalAccount, creation: Creation, terms: TxParams) -> HexBytes:
    # Late: Brownie's environment, which creates by its own compiler, lacks what the bindings need.
    from market.chain.bindings import artifact

    compiled = artifact(creation.name)
    contract = web3.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"])
    transaction = contract.constructor(*creation.arguments).build_transaction(terms)
    signed = account.sign_transaction(dict(transaction))
    return web3.eth.send_raw_transaction(signed.raw_transaction)


def _await_creation(web3: Web3, creation: Creation, digest: HexBytes) -> None:
    receipt = web3.eth.wait_for_transaction_receipt(digest, timeout=RECEIPT_TIMEOUT_S, poll_latency=0.02)
    if receipt["status"] != 1:
        raise DeploymentError(f"the creation of {creation.name} failed in {receipt['transactionHash'].to_0x_hex()}")
    if receipt["contractAddress"] != creation.address:
        raise DeploymentError(f"{creation.name} is at {receipt['contractAddress']}, not at {creation.address}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DeploymentError(f"{path} cannot be read: {in_words(problem)}") from problem
    if not isinstance(document, dict):
        raise DeploymentError(f"{path} holds no JSON object")
    return document
