"""What the checker looks at: the chain's events and balances, and what the gateways kept of their own readings.

Nothing of the market's database is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3 import Web3
from web3.contract import Contract
from web3.types import EventData

from market.domain.products import Direction, Side
from market.domain.records import AwardRecord, unpack_awards
from market.domain.settled_records import AwardResult, ordinal_of, unpack_results
from market.domain.settlement import AwardTerms, settle_as_recorded
from market.domain.trees import baseline_root, baseline_values, baseline_vector, leaf_hash, path_length, verify
from market.domain.units import RECORDS_PER_LEAF

BLOCKS_A_QUERY = 2_000
TERMS_AWARD_COUNT = 96
"""Where the number of awards stands in an offer's terms: contracts/libraries/OfferTerms.sol."""


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded event: its place, the contract that emitted it, its name and arguments."""

    block: int
    log_index: int
    transaction: str
    contract: str
    name: str
    arguments: Mapping[str, Any]
    at: int = 0
    """Time of its block [epoch s]."""


@dataclass(frozen=True, slots=True)
class OwnReading:
    """A reading as its gateway kept it: net energy of the interval [Wh, varh], load convention, and its signature."""

    nanogrid: int
    interval: int
    active_energy_wh: int
    reactive_energy_varh: int
    sequence: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class ShownBaselines:
    """Baselines that a settling transaction gave to the contract: values from an index on [Wh or varh].

    proof: of the one leaf that they are; None: they are the whole vector.
    """

    transaction: str
    first_index: int
    values: tuple[int, ...]
    proof: tuple[bytes, ...] | None = None

    def value_of(self, index: int) -> int | None:
        """Value of a nanogrid index; None when it is not among them."""
        place = index - self.first_index
        return self.values[place] if 0 <= place < len(self.values) else None

    def are_of(self, root: bytes) -> bool:
        """Whether they belong to the vector with this root."""
        if self.proof is None:
            return baseline_root(self.values) == root
        leaf = leaf_hash(self.first_index // RECORDS_PER_LEAF, baseline_vector(self.values))
        return verify(root, leaf, self.proof)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the checker judges by. Amounts in micro-euro.

    token_balances: address -> balance, of every address that a transfer names; owed: what Settlement says that it owes;
    escrows: escrow id -> what is still locked; request_prices: request -> price [micro-euro per kWh];
    interval_over: whether the last interval's reading deadline has passed, so that every award must have ended.
    """

    chain_id: int
    settlement: str
    time_unit_s: int
    reading_deadline_s: int
    events: tuple[Event, ...]
    token_supply: int
    token_balances: Mapping[str, int]
    owed: int
    escrows: Mapping[str, int]
    readings: tuple[OwnReading, ...]
    baselines: tuple[ShownBaselines, ...] = ()

    def named(self, *names: str) -> list[Event]:
        """The events of these names, in the chain's order."""
        return [event for event in self.events if event.name in names]


def collect(web3: Web3, contracts: Mapping[str, Contract], readings: Iterable[OwnReading]) -> Evidence:
    """Read the evidence from a chain. `contracts`: all seven by name."""
    told = tuple(sorted(_events(web3, contracts.values()), key=lambda event: (event.block, event.log_index)))
    events = (*told, *ends_of_awards(told))
    token, settlement = contracts["SettlementToken"], contracts["Settlement"]
    holders = {
        address
        for event in events
        if event.name == "Transfer"
        for address in (event.arguments["from"], event.arguments["to"])
    }
    escrow_ids = {
        escrow_id
        for event in events
        if event.name in {"EscrowLocked", "EscrowMoved", "EscrowReleased"}
        for field in ("id", "from", "to")
        if (escrow_id := event.arguments.get(field)) is not None
    }
    return Evidence(
        chain_id=web3.eth.chain_id,
        settlement=settlement.address,
        time_unit_s=contracts["ParticipantRegistry"].functions.timeUnitS().call(),
        reading_deadline_s=settlement.functions.readingDeadlineS().call(),
        events=events,
        token_supply=token.functions.totalSupply().call(),
        token_balances={holder: token.functions.balanceOf(holder).call() for holder in holders if int(holder, 16)},
        owed=settlement.functions.totalOwed().call(),
        escrows={_hex(escrow_id): settlement.functions.escrowOf(escrow_id).call() for escrow_id in escrow_ids},
        readings=tuple(readings),
        baselines=tuple(_shown_baselines(web3, settlement, events)),
    )


def ends_of_awards(events: Iterable[Event]) -> Iterator[Event]:
    """Each award's end as an event of its own, AwardSettled, with the amounts that follow from the published rules.

    The chain tells a batch's ends in one event, AwardsSettled, without amounts: the rules and the final awards, which
    are on the chain too, give them. What was booked by them shows in the escrows and in what Settlement owes.
    """
    offers: dict[str, Mapping[str, Any]] = {}
    prices: dict[str, int] = {}
    awards: dict[str, list[AwardRecord]] = {}
    upheld: set[tuple[str, int]] = set()
    for event in events:
        given = event.arguments
        if event.name == "RequestPublished":
            prices[given["request"]] = given["priceUeurKwh"]
        elif event.name == "OfferOpened":
            offers[given["offer"]] = given
        elif event.name == "Finalised":
            awards[given["offer"]] = unpack_awards(bytes.fromhex(given["awards"][2:]))
        elif event.name == "HoldDecided" and given["upheld"]:
            upheld.add((given["offer"], given["ordinal"]))
        elif event.name == "AwardsSettled":
            offer = offers[given["offer"]]
            for result in unpack_results(bytes.fromhex(given["results"][2:])):
                award = awards[given["offer"]][result.ordinal]
                terms = AwardTerms(
                    Side(offer["side"]),
                    Direction(offer["direction"]),
                    award.quantity,
                    award.price_ueur_kwh,
                    prices.get(offer["request"]),
                )
                is_upheld = (given["offer"], result.ordinal) in upheld
                nanogrid = offer["portfolio"] << 16 | award.index
                end = _end(given["offer"], result, nanogrid, terms, upheld=is_upheld)
                yield replace(event, name="AwardSettled", arguments=end)


def _end(offer: str, result: AwardResult, nanogrid: int, terms: AwardTerms, *, upheld: bool) -> dict[str, Any]:
    end = settle_as_recorded(terms, result.outcome, result.delivered, upheld=upheld)
    return {
        "offer": offer,
        "nanogrid": nanogrid,
        "ordinal": result.ordinal,
        "outcome": int(result.outcome),
        "awarded": terms.awarded,
        "delivered": result.delivered,
        "baseline": result.baseline,
        "metered": result.metered,
        "paidUeur": end.paid_ueur,
        "marginUeur": end.margin_ueur,
        "refundedUeur": end.refunded_ueur,
        "penaltyUeur": end.penalty_ueur,
    }


def _shown_baselines(web3: Web3, settlement: Contract, events: Iterable[Event]) -> Iterable[ShownBaselines]:
    """From the data of every transaction that settled something at the contract itself."""
    settled = {event.transaction for event in events if event.name in {"AwardsSettled", "CommandSettled"}}
    for transaction in sorted(settled):
        sent = web3.eth.get_transaction(HexBytes(transaction))
        if sent["to"] != settlement.address:
            continue
        function, given = settlement.decode_function_input(sent["input"])
        if function.fn_name == "settle":
            yield ShownBaselines(transaction, 0, tuple(baseline_values(given["baselines"])))
        elif function.fn_name == "settleAward":
            yield _shown_alone(transaction, given)
        elif function.fn_name == "settleCommand":
            leaf_index, content, proof = given["baseline"].values()
            first = leaf_index * RECORDS_PER_LEAF
            yield ShownBaselines(transaction, first, tuple(baseline_values(content)), tuple(proof))


def _shown_alone(transaction: str, given: Mapping[str, Any]) -> ShownBaselines:
    """One leaf, whose place follows from the award, and whose proof stands behind the award's."""
    leaf, at = divmod(ordinal_of(given["reading"]), RECORDS_PER_LEAF)
    award_count = given["binding"]["terms"] >> TERMS_AWARD_COUNT & 0xFFFF_FFFF
    nodes = path_length(leaf, -(-award_count // RECORDS_PER_LEAF))
    index = unpack_awards(given["awards"])[at].index
    first = index - index % RECORDS_PER_LEAF
    return ShownBaselines(transaction, first, tuple(baseline_values(given["baselines"])), tuple(given["proof"][nodes:]))


def _hex(value: bytes | str) -> str:
    return value if isinstance(value, str) else "0x" + value.hex()


def _plain(value: Any) -> Any:
    return _hex(bytes(value)) if isinstance(value, bytes) else value


def _events(web3: Web3, contracts: Iterable[Contract]) -> Iterable[Event]:
    by_address: dict[ChecksumAddress, Contract] = {contract.address: contract for contract in contracts}
    decoders = {
        (address, _topic(event_abi)): contract.events[event_abi["name"]]()
        for address, contract in by_address.items()
        for event_abi in contract.abi
        if event_abi["type"] == "event"
    }
    times: dict[int, int] = {}
    head = web3.eth.block_number
    for first in range(0, head + 1, BLOCKS_A_QUERY):
        last = min(head, first + BLOCKS_A_QUERY - 1)
        for entry in web3.eth.get_logs({"address": list(by_address), "fromBlock": first, "toBlock": last}):
            decoder = decoders[entry["address"], "0x" + entry["topics"][0].hex().removeprefix("0x")]
            block = entry["blockNumber"]
            if block not in times:
                times[block] = web3.eth.get_block(block)["timestamp"]
            yield _event(decoder.process_log(entry), times[block])


def _topic(event_abi: Any) -> str:
    types = ",".join(_canonical_type(argument) for argument in event_abi["inputs"])
    return "0x" + Web3.keccak(text=f"{event_abi['name']}({types})").hex().removeprefix("0x")


def _canonical_type(argument: Any) -> str:
    if not argument["type"].startswith("tuple"):
        return str(argument["type"])
    inner = ",".join(_canonical_type(component) for component in argument["components"])
    return f"({inner}){argument['type'].removeprefix('tuple')}"


def _event(data: EventData, at: int) -> Event:
    return Event(
        block=data["blockNumber"],
        log_index=data["logIndex"],
        transaction=data["transactionHash"].hex(),
        contract=data["address"],
        name=data["event"],
        arguments={name: _plain(value) for name, value in data["args"].items()},
        at=at,
    )
