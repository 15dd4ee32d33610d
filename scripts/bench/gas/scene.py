"""The market that is measured: seven contracts, their actors, and portfolios whose seats are registered and bonded.

Decisions are signed by those who take them and carried by a relayer, as in real use; everybody is registered by real
transactions beforehand. Every tenth seat has a capacity contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract import Contract

from market.chain.bindings import artifact
from market.chain.deployment import Deployment, DeploymentParameters, deploy
from market.chain.embedded import EmbeddedChain, start_anvil
from market.domain.gateway_key import GatewayKey, KeyKind
from market.domain.hashing import keccak256
from market.domain.messages import CapacityContract
from market.domain.products import Product
from market.domain.settlement import bond_for_cover_ueur, exposure_ueur
from market.domain.signing import Signature, address_of, sign_message
from market.domain.typed_data import Domain, Message
from market.domain.units import nanogrid_id
from scripts.bench.gas.node import SET_UP_BLOCK_GAS, Node, Sent, batches
from scripts.demo.supervisor import free_port

U: Final = 900
"""The market time unit. [s]"""
START: Final = 1_780_246_800
"""Where the clock stands at first: 2026-05-31T17:00:00Z, a multiple of u. [epoch seconds]"""
FIRST_MONTH: Final = 2026 * 12 + 5
FIRST_INTERVAL: Final = 1_780_275_600
"""2026-06-01T01:00:00Z, in the month that the capacity contracts begin with. [epoch seconds]"""
_ACTIVE_FROM: Final = START + 2 * U
_REFRESHED_AT_ONCE: Final = 50
MONTHS: Final = 3
RESERVED_EVERY: Final = 10
NODE: Final = 7
RATED_POWER_W: Final = 11_000
HIGHEST_PRICE_UEUR_KWH: Final = 400_000
REQUEST_PRICE_UEUR_KWH: Final = 450_000
LARGEST_QUANTITY_WH: Final = 2_500
COVER_CENTS: Final = -(-exposure_ueur(LARGEST_QUANTITY_WH, REQUEST_PRICE_UEUR_KWH) // 10_000)
BOND_UEUR: Final = bond_for_cover_ueur(COVER_CENTS)
_DEPLOYER_KEY: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # anvil's first account
_DEPOSIT_UEUR: Final = 10**15

Told = Callable[[str, int, int], None]
"""What is being set up, how much of it is done, of how much."""

Deploy = Callable[[Web3, LocalAccount, DeploymentParameters], Deployment]


@dataclass(frozen=True, slots=True)
class Portfolio:
    """One aggregator's seats. Its number is its id on the chain.

    with_gateways: their gateways' keys are seated, so that awards can be settled; with_delegates: each seat has one;
    has_bid_before: since the seats became active, which their first bid notes.
    """

    number: int
    seats: int
    with_gateways: bool = False
    with_delegates: bool = False
    has_bid_before: bool = True

    def nanogrid(self, index: int) -> int:
        """Id of one of its nanogrids."""
        return nanogrid_id(self.number, index)


def owner_key(index: int) -> bytes:
    """Private key of the owner of every portfolio's seat of that index."""
    return keccak256(f"owner {index}".encode())


def delegate_key(index: int) -> bytes:
    """Private key of a seat's delegate."""
    return keccak256(f"delegate {index}".encode())


def gateway_key(nanogrid: int) -> bytes:
    """Private key of a nanogrid's gateway."""
    return keccak256(f"gateway {nanogrid}".encode())


def p256_gateway(nanogrid: int) -> GatewayKey:
    """The key of a nanogrid's gateway that has one on P-256."""
    return GatewayKey.of(gateway_key(nanogrid), KeyKind.P256)


def is_reserved(index: int) -> bool:
    """Whether the seat has a capacity contract for CM_REALTIME."""
    return index % RESERVED_EVERY == 0


class Scene:
    """The contracts and the actors on a node."""

    def __init__(self, node: Node, deploy: Deploy = deploy) -> None:
        self.node = node
        deployer = Account.from_key(_DEPLOYER_KEY)
        self.operator = node.account("operator")
        parameters = DeploymentParameters(operator=self.operator.address, time_unit_s=U)
        deployment = deploy(node.web3, deployer, parameters)
        self.parameters, self.addresses = parameters, deployment.addresses
        contracts = {name: self._contract(name) for name in self.addresses}
        self.registry, self.signals = contracts["ParticipantRegistry"], contracts["GridSignals"]
        self.capacity_register, self.auction = contracts["CapacityRegister"], contracts["MeritOrderAuction"]
        self.metering, self.settlement = contracts["MeteringOracle"], contracts["Settlement"]
        self.token = contracts["SettlementToken"]
        self.oracle, self.referee = node.account("oracle"), node.account("referee")
        self.dso, self.aggregator = node.account("DSO"), node.account("aggregator")
        self.relayer, self.anyone = node.account("relayer"), node.account("anyone")

    @classmethod
    def build(cls, chain: EmbeddedChain, portfolios: Sequence[Portfolio], told: Told) -> Self:
        """Deploys, registers and funds everything."""
        return cls.prepared(Node(chain), portfolios, told)

    @classmethod
    def prepared(cls, node: Node, portfolios: Sequence[Portfolio], told: Told, deploy: Deploy = deploy) -> Self:
        """The same on a node. deploy: the product's, or another of the same contracts."""
        scene = cls(node, deploy)
        scene._appoint()
        scene._register(portfolios, told)
        return scene

    def domain(self, message: type[Message]) -> Domain:
        """The EIP-712 domain of the contract that checks a message."""
        return Domain(self.node.chain_id, self.addresses[message.CONTRACT])

    def sign(self, key: bytes, message: Message) -> Signature:
        """A signature over a message."""
        return sign_message(key, message, self.domain(type(message)))

    def relay(self, contract: Contract, call: str, message: Message, signer_key: bytes) -> Sent:
        """Carries a decision: the call takes the message and its signature."""
        return self.node.send(
            self.relayer, contract, call, message.arguments(), self.sign(signer_key, message).to_bytes()
        )

    def id_of(self, message: Message) -> bytes:
        """A request's or an offer's id."""
        return message.digest(self.domain(type(message)))

    def _contract(self, name: str) -> Contract:
        address = Web3.to_checksum_address(self.addresses[name])
        return self.node.web3.eth.contract(address=address, abi=artifact(name)["abi"], decode_tuples=True)

    # SET-UP

    def _operate(self, contract: Contract, call: str, *arguments: Any) -> None:
        self.node.send(self.operator, contract, call, *arguments)

    def _appoint(self) -> None:
        roles = {"ORACLE": self.oracle, "REFEREE": self.referee, "DSO": self.dso, "AGGREGATOR": self.aggregator}
        for role, account in roles.items():
            self._operate(self.registry, "grantRole", keccak256(role.encode()), account.address)
        self._operate(self.registry, "registerNode", NODE, self.dso.address, "node")
        self._operate(self.token, "mint", self.operator.address, 10**18, bytes(32))
        self._operate(self.token, "approve", self.settlement.address, 10**18)
        for account in (self.dso, self.aggregator):
            self._operate(self.settlement, "deposit", account.address, _DEPOSIT_UEUR)

    def _register(self, portfolios: Sequence[Portfolio], told: Told) -> None:
        total = sum(portfolio.seats for portfolio in portfolios)
        addresses = [address_of(owner_key(index)) for index in range(max(each.seats for each in portfolios))]
        done = 0
        for portfolio in portfolios:
            told("registering seats", done, total)
            named = f"portfolio {portfolio.number}"
            self._operate(self.registry, "registerPortfolio", portfolio.number, NODE, self.aggregator.address, named)
            for start in range(0, portfolio.seats, 1000):
                self._register_seats(portfolio, range(start, min(start + 1000, portfolio.seats)), addresses)
                told("registering seats", done + start, total)
            done += portfolio.seats
        self.node.at(_ACTIVE_FROM)
        for portfolio in portfolios:
            if portfolio.has_bid_before:
                self._note_active(portfolio)
        told("registering seats", total, total)

    def _note_active(self, portfolio: Portfolio) -> None:
        """What each seat's first bid does otherwise, once."""
        seats = [portfolio.nanogrid(index) for index in range(portfolio.seats)]
        self.node.send_all(
            self.anyone, self.registry, "refreshSeats", [([*part],) for part in batches(seats, _REFRESHED_AT_ONCE)]
        )

    def _register_seats(self, portfolio: Portfolio, indices: range, owners: Sequence[str]) -> None:
        send_all = self.node.send_all
        seats = [(portfolio.number, owners[index], RATED_POWER_W, 300_000, _ACTIVE_FROM) for index in indices]
        send_all(self.operator, self.registry, "registerSeat", seats)
        nanogrids = [portfolio.nanogrid(index) for index in indices]
        send_all(self.operator, self.settlement, "fundBond", [(nanogrid, BOND_UEUR) for nanogrid in nanogrids])
        if portfolio.with_gateways:
            gateways = [(nanogrid, address_of(gateway_key(nanogrid))) for nanogrid in nanogrids]
            send_all(self.operator, self.settlement, "setGateway", gateways)
        contracts = [
            CapacityContract(portfolio.nanogrid(index), Product.CM_CAPACITY, FIRST_MONTH, MONTHS, 5_000, 10, 0)
            for index in indices
            if is_reserved(index)
        ]
        signed = [(each.arguments(), self.sign(self.dso.key, each).to_bytes()) for each in contracts]
        send_all(self.operator, self.capacity_register, "registerContract", signed)


def start_node(*, limited: bool = True) -> EmbeddedChain:
    """The market's own node, with blocks large enough for the set-up; what a transaction may take stays as it is.

    limited: see start_anvil.
    """
    return start_anvil(free_port(), timestamp=START, block_gas_limit=SET_UP_BLOCK_GAS, states_kept=1, limited=limited)
