"""What the operator, the referee and the governance key decide, as calls of the contracts.

These keys send transactions of their own (they are never at the market): an action is prepared here, signed where
the key is, and carried by market.services.operator.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from web3.contract.contract import ContractFunction

from market.chain.bindings import Contracts
from market.domain.errors import ValidationFailed, Violation
from market.domain.hashing import keccak256
from market.domain.intervals import is_interval
from market.domain.messages import SeatTransfer
from market.domain.products import Product
from market.domain.signing import Signature
from market.domain.typed_data import checksum_address
from market.services.roles import Role


def _interval(value: int) -> int:
    if not is_interval(value, 1):
        raise ValueError("must be the start of an interval in epoch seconds, below 2^32")
    return value


def _uint(bits: int) -> object:
    return Field(ge=0, lt=2**bits)


AddressOf = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(checksum_address)]
NodeId = Annotated[int, _uint(32)]
PortfolioId = Annotated[int, _uint(32)]
NanogridId = Annotated[int, _uint(48)]
AmountUeur = Annotated[int, Field(gt=0, lt=2**96)]
SignatureOf = Annotated[str, Field(pattern=r"^0x[0-9a-f]{130}$")]
Bytes32 = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
IntervalStart = Annotated[int, AfterValidator(_interval)]
GrantedRole = Literal[
    Role.OPERATOR, Role.ORACLE, Role.REFEREE, Role.DSO, Role.TSO, Role.AGGREGATOR, Role.AUDITOR, Role.PROSUMER
]
Reference = Annotated[
    str, Field(min_length=1, max_length=140, description="Of the bank transfer; its keccak256 goes on the chain")
]


class Action(BaseModel):
    """An action: its name and its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def call(self, contracts: Contracts) -> ContractFunction:
        """The call that does it."""


class GrantRole(Action):
    action: Literal["grant_role"]
    role: GrantedRole
    account: AddressOf

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.grantRole(role_id(self.role), self.account)


class RevokeRole(Action):
    action: Literal["revoke_role"]
    role: GrantedRole
    account: AddressOf

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.revokeRole(role_id(self.role), self.account)


class BeginAdminTransfer(Action):
    """First of the two steps that hand the governance over."""

    action: Literal["begin_admin_transfer"]
    account: AddressOf

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.beginDefaultAdminTransfer(self.account)


class AcceptAdminTransfer(Action):
    """Second step, by the new key, after the delay."""

    action: Literal["accept_admin_transfer"]

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.acceptDefaultAdminTransfer()


class CancelAdminTransfer(Action):
    action: Literal["cancel_admin_transfer"]

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.cancelDefaultAdminTransfer()


class RegisterNode(Action):
    action: Literal["register_node"]
    node: NodeId
    dso: AddressOf
    name: Name

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.registerNode(self.node, self.dso, self.name)


class SetNodeDso(Action):
    """Another DSO, or a new key of the same one."""

    action: Literal["set_node_dso"]
    node: NodeId
    dso: AddressOf

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.setNodeDso(self.node, self.dso)


class RegisterPortfolio(Action):
    action: Literal["register_portfolio"]
    portfolio: PortfolioId
    node: NodeId
    aggregator: AddressOf
    name: Name

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.registerPortfolio(self.portfolio, self.node, self.aggregator, self.name)


class SetPortfolioAggregator(Action):
    """Another aggregator, or a new key of the same one."""

    action: Literal["set_portfolio_aggregator"]
    portfolio: PortfolioId
    aggregator: AddressOf

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.setPortfolioAggregator(self.portfolio, self.aggregator)


class RegisterNanogrid(Action):
    """A new seat; its id is in the answer."""

    action: Literal["register_nanogrid"]
    portfolio: PortfolioId
    owner: AddressOf
    rated_power_w: Annotated[int, Field(gt=0, lt=2**32)]
    emergency_price_ueur_kwh: Annotated[int, Field(ge=0, lt=2**29)]
    active_from: IntervalStart

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.registerSeat(
            self.portfolio, self.owner, self.rated_power_w, self.emergency_price_ueur_kwh, self.active_from
        )


class CloseNanogrid(Action):
    action: Literal["close_nanogrid"]
    nanogrid: NanogridId
    active_until: IntervalStart

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.closeSeat(self.nanogrid, self.active_until)


class ReinstateNanogrid(Action):
    action: Literal["reinstate_nanogrid"]
    nanogrid: NanogridId

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.reinstateSeat(self.nanogrid)


class ChangeOwner(Action):
    """Another owner, or a new wallet of the same one, by the old one's signed SeatTransfer; it is paid out first."""

    action: Literal["change_owner"]
    nanogrid: NanogridId
    owner: AddressOf
    nonce: Annotated[int, _uint(32)]
    signature: SignatureOf

    def call(self, contracts: Contracts) -> ContractFunction:
        transfer = SeatTransfer(self.nanogrid, self.owner, self.nonce)
        signature = Signature.from_hex(self.signature).to_bytes()
        return contracts.registry.functions.changeSeatOwner(transfer.arguments(), signature)


class AnnounceOwner(Action):
    """Another owner where the old one cannot sign (lost key, death); it has the time to object."""

    action: Literal["announce_owner"]
    nanogrid: NanogridId
    owner: AddressOf

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.announceSeatTransfer(self.nanogrid, self.owner)


class CompleteOwner(Action):
    """The announced owner, once the old one's time to object is over."""

    action: Literal["complete_owner"]
    nanogrid: NanogridId

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.completeSeatTransfer(self.nanogrid)


class OpenEnrolment(Action):
    """A one-time code for a gateway; `code` is the address of the code's key, never the code itself."""

    action: Literal["open_enrolment"]
    nanogrid: NanogridId
    code: AddressOf
    expires_at: Annotated[int, _uint(40)]

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.settlement.functions.openEnrolment(self.nanogrid, self.code, self.expires_at)


class SetGateway(Action):
    """A gateway's key without a code, or none (address 0). Its address does not tell whether it is a P-256 key, which
    the chain may be unable to check: only an enrolment does."""

    action: Literal["set_gateway"]
    nanogrid: NanogridId
    gateway: AddressOf

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.settlement.functions.setGateway(self.nanogrid, self.gateway)


class SetPaused(Action):
    """Stops or resumes new requests, offers and bids at a node for a product (0: all)."""

    action: Literal["set_paused"]
    node: NodeId
    product: Annotated[int, Field(ge=0, le=max(Product))] = 0
    paused: bool

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.registry.functions.setPaused(self.node, self.product, self.paused)


class Mint(Action):
    """Tokens for real money that has arrived."""

    action: Literal["mint"]
    to: AddressOf
    amount_ueur: AmountUeur
    reference: Reference

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.token.functions.mint(self.to, self.amount_ueur, keccak256(self.reference.encode()))


class Burn(Action):
    """Tokens of the operator, for real money that it has paid out."""

    action: Literal["burn"]
    amount_ueur: AmountUeur
    reference: Reference

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.token.functions.burn(self.amount_ueur, keccak256(self.reference.encode()))


class DecideHold(Action):
    """The referee's decision."""

    action: Literal["decide_hold"]
    offer: Bytes32
    ordinal: Annotated[int, _uint(32)]
    upheld: bool

    def call(self, contracts: Contracts) -> ContractFunction:
        return contracts.settlement.functions.decideHold(bytes.fromhex(self.offer[2:]), self.ordinal, self.upheld)


AnyAction = Annotated[
    GrantRole
    | RevokeRole
    | BeginAdminTransfer
    | AcceptAdminTransfer
    | CancelAdminTransfer
    | RegisterNode
    | SetNodeDso
    | RegisterPortfolio
    | SetPortfolioAggregator
    | RegisterNanogrid
    | CloseNanogrid
    | ReinstateNanogrid
    | ChangeOwner
    | AnnounceOwner
    | CompleteOwner
    | OpenEnrolment
    | SetGateway
    | SetPaused
    | Mint
    | Burn
    | DecideHold,
    Field(discriminator="action"),
]


def role_id(role: Role) -> bytes:
    """How the registry names a role."""
    return keccak256(role.value.encode())


_ANY: Final[TypeAdapter[AnyAction]] = TypeAdapter(AnyAction)


def action_of(document: Mapping[str, object]) -> Action:
    """The action of a JSON document. Raises ValidationFailed with everything that is wrong."""
    try:
        return _ANY.validate_python(document)
    except ValidationError as problem:
        raise ValidationFailed(
            Violation("/" + "/".join(str(part) for part in each["loc"][1:]), each.get("input"), each["msg"])
            for each in problem.errors()
        ) from problem
