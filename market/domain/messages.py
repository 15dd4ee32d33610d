"""Every EIP-712 message of the protocol, grouped by the contract that checks it.

Source: docs/protocol.md, "Typed data"; the structs of contracts/interfaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final

from market.domain.hashing import keccak256
from market.domain.typed_data import Message


@dataclass(frozen=True, slots=True)
class Delegation(Message):
    """Seats a delegate that signs the bids of a nanogrid within limits; signer 0 revokes. Prices in micro-euro per kWh,
    quantity in Wh (varh), cover in euro cents, expiry in days since 1970-01-01 UTC.

    Signer: seat's owner.
    """

    TYPE: ClassVar[str] = (
        "Delegation(uint48 nanogrid,address signer,uint16 expiryDay,"
        "uint32 lowestPriceUeurKwh,uint24 largestQuantity,uint24 coverCents,uint32 nonce)"
    )
    CONTRACT: ClassVar[str] = "ParticipantRegistry"

    nanogrid: int
    signer: str
    expiry_day: int
    lowest_price_ueur_kwh: int
    largest_quantity: int
    cover_cents: int
    nonce: int


@dataclass(frozen=True, slots=True)
class SeatTransfer(Message):
    """Gives a nanogrid to another owner, with its bond and with what is not settled yet; the operator carries it.

    Signer: seat's owner.
    """

    TYPE: ClassVar[str] = "SeatTransfer(uint48 nanogrid,address owner,uint32 nonce)"
    CONTRACT: ClassVar[str] = "ParticipantRegistry"

    nanogrid: int
    owner: str
    nonce: int


@dataclass(frozen=True, slots=True)
class SeatTransferVeto(Message):
    """Ends a transfer of a nanogrid that the operator announced.

    Signer: seat's owner.
    """

    TYPE: ClassVar[str] = "SeatTransferVeto(uint48 nanogrid,uint32 nonce)"
    CONTRACT: ClassVar[str] = "ParticipantRegistry"

    nanogrid: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Signal(Message):
    """Sets the traffic light of a node for an interval; reason = keccak256 of the published reason.

    Signer: node's DSO.
    """

    TYPE: ClassVar[str] = "Signal(uint32 node,uint32 interval,uint8 phase,uint8 kind,bytes32 reason,uint64 sequence)"
    CONTRACT: ClassVar[str] = "GridSignals"

    node: int
    interval: int
    phase: int
    kind: int
    reason: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class Verdict(Message):
    """Rejects awards of a cleared offer; rejected = bitmap over the posting order, reasons = keccak256 of them.

    Signer: node's DSO.
    """

    TYPE: ClassVar[str] = "Verdict(bytes32 offer,bytes rejected,bytes32 reasons)"
    CONTRACT: ClassVar[str] = "GridSignals"

    offer: bytes
    rejected: bytes
    reasons: bytes


@dataclass(frozen=True, slots=True)
class Command(Message):
    """A RED command: change the energy of the interval by `quantity` [Wh] in `direction` against the baseline.

    Signer: node's DSO.
    """

    TYPE: ClassVar[str] = (
        "Command(uint48 nanogrid,uint32 interval,uint8 product,uint8 direction,uint24 quantity,bytes32 reason)"
    )
    CONTRACT: ClassVar[str] = "GridSignals"

    nanogrid: int
    interval: int
    product: int
    direction: int
    quantity: int
    reason: bytes


@dataclass(frozen=True, slots=True)
class TsoValidation(Message):
    """Accepts or refuses a TSO's request at a node.

    Signer: node's DSO.
    """

    TYPE: ClassVar[str] = "TsoValidation(bytes32 request,uint32 node,bool accepted,bytes32 reason)"
    CONTRACT: ClassVar[str] = "GridSignals"

    request: bytes
    node: int
    accepted: bool
    reason: bytes


@dataclass(frozen=True, slots=True)
class CapacityContract(Message):
    """Reserves a nanogrid for months from `first_month` (year * 12 + month - 1, UTC) on; power in W, price in
    micro-euro per kW and hour.

    Signer: node's DSO.
    """

    TYPE: ClassVar[str] = (
        "CapacityContract(uint48 nanogrid,uint8 product,uint16 firstMonth,uint16 months,"
        "uint32 powerW,uint32 availabilityPriceUeurKwH,uint64 salt)"
    )
    CONTRACT: ClassVar[str] = "CapacityRegister"

    nanogrid: int
    product: int
    first_month: int
    months: int
    power_w: int
    availability_price_ueur_kw_h: int
    salt: int


@dataclass(frozen=True, slots=True)
class Forfeit(Message):
    """Withholds a month's availability pay of a capacity contract.

    Signer: node's DSO.
    """

    TYPE: ClassVar[str] = "Forfeit(bytes32 id,uint16 month)"
    CONTRACT: ClassVar[str] = "CapacityRegister"

    id: bytes
    month: int


@dataclass(frozen=True, slots=True)
class Request(Message):
    """A DSO's need at a node for consecutive intervals: quantities in Wh (varh), price in micro-euro per kWh.

    Its digest is its id.

    Signer: node's DSO.
    """

    TYPE: ClassVar[str] = (
        "Request(uint32 node,uint32 firstInterval,uint8 product,uint8 direction,"
        "uint32 priceUeurKwh,uint40[] quantities,uint64 salt)"
    )
    CONTRACT: ClassVar[str] = "MeritOrderAuction"

    node: int
    first_interval: int
    product: int
    direction: int
    price_ueur_kwh: int
    quantities: tuple[int, ...]
    salt: int


@dataclass(frozen=True, slots=True)
class Offer(Message):
    """An aggregator's invitation that opens an auction: quantity in Wh (varh), limit in micro-euro per kWh, gate
    closure in epoch seconds; request 0 for INTERNAL. Its digest is its id.

    Signer: portfolio's aggregator.
    """

    TYPE: ClassVar[str] = (
        "Offer(uint32 portfolio,bytes32 request,uint32 interval,uint8 side,"
        "uint8 direction,uint8 product,uint40 quantity,uint32 limitPriceUeurKwh,uint32 gateClosure,uint64 salt)"
    )
    CONTRACT: ClassVar[str] = "MeritOrderAuction"

    portfolio: int
    request: bytes
    interval: int
    side: int
    direction: int
    product: int
    quantity: int
    limit_price_ueur_kwh: int
    gate_closure: int
    salt: int


@dataclass(frozen=True, slots=True)
class Cancellation(Message):
    """Cancels an offer that has no bids.

    Signer: portfolio's aggregator.
    """

    TYPE: ClassVar[str] = "Cancellation(bytes32 offer)"
    CONTRACT: ClassVar[str] = "MeritOrderAuction"

    offer: bytes


@dataclass(frozen=True, slots=True)
class Bid(Message):
    """A nanogrid's answer to an offer: price in micro-euro per kWh, quantity and minimum in Wh (varh).

    Signer: seat's signer.
    """

    TYPE: ClassVar[str] = (
        "Bid(bytes32 offer,uint16 index,uint32 priceUeurKwh,uint24 quantity,uint24 minimum,uint8 revision)"
    )
    CONTRACT: ClassVar[str] = "MeritOrderAuction"

    offer: bytes
    index: int
    price_ueur_kwh: int
    quantity: int
    minimum: int
    revision: int


@dataclass(frozen=True, slots=True)
class Reading(Message):
    """A meter record of one interval, net at the connection point, + = withdrawal.

    Signer: gateway.
    """

    TYPE: ClassVar[str] = (
        "Reading(uint48 nanogrid,uint32 interval,int32 activeEnergyWh,int32 reactiveEnergyVarh,uint32 sequence)"
    )
    CONTRACT: ClassVar[str] = "Settlement"

    nanogrid: int
    interval: int
    active_energy_wh: int
    reactive_energy_varh: int
    sequence: int

    def announcement_hash(self) -> str:
        """By which an announced reading is known: keccak256 of its fields, a word of 32 bytes each."""
        words = (value.to_bytes(32, "big", signed=True) for value in self.arguments())
        return "0x" + keccak256(b"".join(words)).hex()


@dataclass(frozen=True, slots=True)
class Enrolment(Message):
    """Binds a gateway's key to a nanogrid; signed by the one-time code's key and by the gateway's.

    Signer: one-time code's key, and the gateway.
    """

    TYPE: ClassVar[str] = "Enrolment(uint48 nanogrid,address gateway)"
    CONTRACT: ClassVar[str] = "Settlement"

    nanogrid: int
    gateway: str


@dataclass(frozen=True, slots=True)
class Withdrawal(Message):
    """Pays an account out [micro-euro].

    Signer: account.
    """

    TYPE: ClassVar[str] = "Withdrawal(address account,uint256 amountUeur,uint32 nonce)"
    CONTRACT: ClassVar[str] = "Settlement"

    account: str
    amount_ueur: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Permit(Message):
    """Lets `spender` take tokens of `owner` [micro-euro] until `deadline` [epoch s] (ERC-2612).

    Signer: owner.
    """

    TYPE: ClassVar[str] = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    CONTRACT: ClassVar[str] = "SettlementToken"

    owner: str
    spender: str
    value: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Unbonding(Message):
    """Starts the release of a part of a nanogrid's bond [micro-euro].

    Signer: seat's owner.
    """

    TYPE: ClassVar[str] = "Unbonding(uint48 nanogrid,uint96 amountUeur,uint32 nonce)"
    CONTRACT: ClassVar[str] = "Settlement"

    nanogrid: int
    amount_ueur: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Hold(Message):
    """Stops an award's payment until the referee decides; reason = keccak256 of the published reason.

    Signer: aggregator, DSO or verifier.
    """

    TYPE: ClassVar[str] = "Hold(bytes32 offer,uint32 ordinal,bytes32 reason)"
    CONTRACT: ClassVar[str] = "Settlement"

    offer: bytes
    ordinal: int
    reason: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement(Message):
    """A gateway's answer to a dispatch; state as in S2 InstructionStatus, at in epoch seconds.

    Signer: gateway.
    """

    TYPE: ClassVar[str] = "Acknowledgement(bytes32 dispatch,uint8 state,uint32 at,bytes32 reason)"
    CONTRACT: ClassVar[str] = "Settlement"

    dispatch: bytes
    state: int
    at: int
    reason: bytes


@dataclass(frozen=True, slots=True)
class Dispatch(Message):
    """The order to follow an award or a command: targets at the connection point in load convention [W, var], lease end
    in epoch seconds.

    Signer: oracle, or the DSO for a command.
    """

    TYPE: ClassVar[str] = (
        "Dispatch(bytes32 dispatch,uint48 nanogrid,uint32 interval,int32 targetW,int32 targetVar,uint32 leaseEnd)"
    )
    CONTRACT: ClassVar[str] = "Settlement"

    dispatch: bytes
    nanogrid: int
    interval: int
    target_w: int
    target_var: int
    lease_end: int


@dataclass(frozen=True, slots=True)
class Envelope(Message):
    """Seal of a whole payload: whose topic it is on (gateway), which channel and message (kind = keccak256 of
    `channel`), and keccak256 of its canonical JSON without the signature. Never sent on chain.

    Signer: oracle (receipts, dispatch, plan) or gateway (status; enrolment, whose content is keccak256 of the market's
    nonce).
    """

    TYPE: ClassVar[str] = "Envelope(address gateway,bytes32 kind,bytes32 content)"
    CONTRACT: ClassVar[str] = "Settlement"

    gateway: str
    kind: bytes
    content: bytes


def access_request(gateway: str, nonce: str) -> Envelope:
    """What a gateway signs to be given its access to API and broker: the market's one-time nonce."""
    return Envelope(gateway, keccak256(b"enrolment"), keccak256(nonce.encode()))


@dataclass(frozen=True, slots=True)
class BidReceipt(Message):
    """The relayer has received a bid, at epoch seconds.

    Signer: relayer.
    """

    TYPE: ClassVar[str] = "BidReceipt(bytes32 bidDigest,bytes32 offer,uint64 receivedAt)"
    CONTRACT: ClassVar[str] = "MeritOrderAuction"

    bid_digest: bytes
    offer: bytes
    received_at: int


@dataclass(frozen=True, slots=True)
class BidRefusal(Message):
    """A bid that has a receipt was not posted; reason: its name in ASCII, filled up with zero bytes.

    Signer: relayer.
    """

    TYPE: ClassVar[str] = "BidRefusal(bytes32 bidDigest,bytes32 offer,bytes32 reason,uint64 decidedAt)"
    CONTRACT: ClassVar[str] = "MeritOrderAuction"

    bid_digest: bytes
    offer: bytes
    reason: bytes
    decided_at: int


MESSAGES: Final[Mapping[str, type[Message]]] = MappingProxyType(
    {
        message.__name__: message
        for message in (
            Delegation,
            SeatTransfer,
            SeatTransferVeto,
            Signal,
            Verdict,
            Command,
            TsoValidation,
            CapacityContract,
            Forfeit,
            Request,
            Offer,
            Cancellation,
            Bid,
            Reading,
            Enrolment,
            Withdrawal,
            Permit,
            Unbonding,
            Hold,
            Acknowledgement,
            Dispatch,
            Envelope,
            BidReceipt,
            BidRefusal,
        )
    }
)
"""Name of the struct -> its message."""
