"""Who may send transactions and deploy contracts: the chain's own lists, kept as the ParticipantRegistry says.

Subnet-EVM refuses at every node what is sent by an address that is not listed. The lists are contracts of the chain
itself (precompiles); whoever is their manager lists and delists, and hands out the coin that gas costs. `wanted_of` and
`changes` are pure; `AllowLists` asks the chain and sends.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any, Final

from web3 import Web3
from web3.contract.contract import Contract

from market.chain.bindings import Contracts
from market.chain.failover import one_node
from market.chain.profiles import rpc, rpc_all
from market.chain.sender import TransactionSender
from market.domain.hashing import keccak256
from market.domain.typed_data import checksum_address

COIN_WEI: Final = 10**15
"""What a listed account holds at least after a round [wei]: tens of millions of the largest transactions, at 1 wei."""
_LOW_COIN_WEI: Final = COIN_WEI // 10
"""Below this it is given as much again."""
_DEPLOYING_ROLES: Final = frozenset({"ADMIN", "OPERATOR"})
_COIN_EVERY_S: Final = 60.0
"""How often balances are looked at where no list changes [s]."""
_RANGE_BLOCKS: Final = 50_000


class Listing(IntEnum):
    """What an address is on a list, by the numbers of the chain."""

    NONE = 0
    ENABLED = 1
    ADMIN = 2
    MANAGER = 3


class ListName(StrEnum):
    """The two lists that follow the registry."""

    SENDERS = "senders"
    DEPLOYERS = "deployers"


ADDRESSES: Final[Mapping[ListName, str]] = {
    ListName.SENDERS: "0x0200000000000000000000000000000000000002",
    ListName.DEPLOYERS: "0x0200000000000000000000000000000000000000",
}
MINTER: Final = "0x0200000000000000000000000000000000000001"


@dataclass(frozen=True)
class Change:
    """An address that a list shall have (ENABLED) or no longer have (NONE)."""

    list: ListName
    account: str
    listing: Listing


@dataclass
class Listed:
    """What a list's own events say: the listing of each address that was ever changed, and how often it was."""

    listings: dict[str, Listing] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)

    def note(self, account: str, listing: Listing) -> None:
        self.listings[account] = listing
        self.times[account] += 1


Wanted = Mapping[ListName, frozenset[str]]


def wanted_of(holdings: Iterable[tuple[str, str]], owners: Iterable[str]) -> Wanted:
    """Who should be on which list.

    Args:
        holdings: (account, name of a role) of the ParticipantRegistry.
        owners: of nanogrids, closed ones too: their tokens are moved by nobody else.
    """
    held = list(holdings)
    return {
        ListName.SENDERS: frozenset(account for account, _ in held) | frozenset(owners),
        ListName.DEPLOYERS: frozenset(account for account, role in held if role in _DEPLOYING_ROLES),
    }


def changes(wanted: Wanted, listed: Mapping[ListName, Listed]) -> Iterator[Change]:
    """What makes the lists as wanted; who leaves goes first. Admins and managers of a list stand above it: they are
    never changed, and who is one at genesis is in no event."""
    for name, accounts in wanted.items():
        listings = listed[name].listings
        for account in sorted(listings.keys() - accounts):
            if listings[account] is Listing.ENABLED:
                yield Change(name, account, Listing.NONE)
    for name, accounts in wanted.items():
        listings = listed[name].listings
        for account in sorted(accounts):
            if listings.get(account, Listing.NONE) is Listing.NONE:
                yield Change(name, account, Listing.ENABLED)


def _method(name: str, inputs: Sequence[str], output: str | None = None, view: bool = False) -> dict[str, Any]:
    return {
        "type": "function",
        "name": name,
        "inputs": [{"name": f"a{place}", "type": kind} for place, kind in enumerate(inputs)],
        "outputs": [{"name": "", "type": output}] if output else [],
        "stateMutability": "view" if view else "nonpayable",
    }


_LIST_ABI: Final = [
    _method("setEnabled", ["address"]),
    _method("setNone", ["address"]),
    _method("readAllowList", ["address"], "uint256", view=True),
]
_MINTER_ABI: Final = [_method("mintNativeCoin", ["address", "uint256"])]
_ROLE_SET: Final = "0x" + keccak256(b"RoleSet(uint256,address,address,uint256)").hex()
_COIN_MINTED: Final = "0x" + keccak256(b"NativeCoinMinted(address,address,uint256)").hex()


class AllowLists:
    """The chain's lists, read from their events, and changed by the key of a sender that is their manager.

    Several processes may do the same at once: each change has a purpose of its own, which happens once.
    """

    def __init__(self, contracts: Contracts, sender: TransactionSender) -> None:
        self._contracts = contracts
        self._web3 = contracts.web3
        self._sender = sender
        self._next_block = 0
        self._listed = {name: Listed() for name in ListName}
        self._coins: Counter[str] = Counter()
        self._next_coin_s = 0.0

    def reconcile(self, wanted: Wanted) -> list[Change]:
        """Make the lists as wanted, and give coin to who has little; returns what was changed.

        Raises:
            MeritgridError: the key may not change a list. OSError, RpcError: the chain cannot be used now.
        """
        self._read_events()
        due = [change for change in changes(wanted, self._listed) if self._is_due(change)]
        self._sender.send_all([self._call_of(change) for change in due])
        if due or time.monotonic() >= self._next_coin_s:
            self._give_coin(sorted(wanted[ListName.SENDERS]))
            self._next_coin_s = time.monotonic() + _COIN_EVERY_S
        return due

    def listing(self, name: ListName, account: str) -> Listing:
        """What an address is on a list now."""
        listed: int = self._contracts.call(self.contract(name).functions.readAllowList(checksum_address(account)))
        return Listing(listed)

    def _is_due(self, change: Change) -> bool:
        """Whether the list itself, genesis included, is not so already, and the address stands not above it."""
        return {self.listing(change.list, change.account), change.listing} == {Listing.NONE, Listing.ENABLED}

    def _call_of(self, change: Change) -> tuple[Any, str, str]:
        functions = self.contract(change.list).functions
        enable = change.listing is Listing.ENABLED
        function = functions.setEnabled(change.account) if enable else functions.setNone(change.account)
        times = self._listed[change.list].times[change.account]
        what = "lists" if enable else "delists"
        purpose = f"{what} {change.account} ({change.list.value})"
        return function, purpose, f"allow-list:{change.list.value}:{change.account}:{times}"

    # COIN

    def _give_coin(self, accounts: Sequence[str]) -> None:
        low = [account for account, wei in zip(accounts, self._balances(accounts), strict=True) if wei < _LOW_COIN_WEI]
        mint = self._minter.functions.mintNativeCoin
        self._sender.send_all(
            [
                (mint(account, COIN_WEI), f"coin for {account}", f"coin:{account}:{self._coins[account]}")
                for account in low
            ]
        )

    def _balances(self, accounts: Sequence[str]) -> list[int]:
        found = rpc_all(self._web3, "eth_getBalance", [(account, "latest") for account in accounts])
        return [int(balance, 16) for balance in found]

    # READING

    def _read_events(self) -> None:
        """Take in the events of the lists up to the head; blocks are final, so none is taken back."""
        with one_node(self._web3):
            head = int(rpc(self._web3, "eth_blockNumber"), 16)
            while self._next_block <= head:
                last = min(head, self._next_block + _RANGE_BLOCKS - 1)
                query = {
                    "address": [*ADDRESSES.values(), MINTER],
                    "fromBlock": hex(self._next_block),
                    "toBlock": hex(last),
                }
                for entry in rpc(self._web3, "eth_getLogs", query):
                    self._note(entry)
                self._next_block = last + 1

    def _note(self, entry: Mapping[str, Any]) -> None:
        kind, first, second = entry["topics"][:3]
        account = checksum_address("0x" + second[-40:])
        if kind == _COIN_MINTED:
            self._coins[account] += 1
        elif kind == _ROLE_SET:
            for name, address in ADDRESSES.items():
                if entry["address"].lower() == address:
                    self._listed[name].note(account, Listing(int(first, 16)))

    def contract(self, name: ListName) -> Contract:
        """A list as a contract: `setEnabled`, `setNone`, `readAllowList`."""
        return self._web3.eth.contract(address=Web3.to_checksum_address(ADDRESSES[name]), abi=_LIST_ABI)

    @cached_property
    def _minter(self) -> Contract:
        return self._web3.eth.contract(address=Web3.to_checksum_address(MINTER), abi=_MINTER_ABI)
