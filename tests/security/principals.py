"""Who calls: one of every kind, signed in or with an API key, and what is its own."""

from __future__ import annotations

from dataclasses import dataclass

from market.desks.market_client import MarketClient
from market.domain.hashing import keccak256
from market.domain.signing import address_of
from market.services.access import GATEWAY_ROLE, Scope, new_api_key
from tests.chain.world import EUR, KEYS
from tests.security.town import Town, key_of

GRANTED = ("OPERATOR", "ORACLE", "REFEREE", "TSO", "AUDITOR")
"""Roles that a wallet of its own gets here, beside those of the two quarters."""


@dataclass(frozen=True)
class Caller:
    """A kind of caller. key: what it signs with; address: whom the market takes it for; account: whose money it holds;
    own_key: id of an API key of its own, None for whoever has no wallet to make one with."""

    name: str
    key: bytes
    address: str
    token: str | None
    account: str
    own_key: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def callers_of(town: Town) -> dict[str, Caller]:
    """Callers by name, in the order of the table's columns. All wallets hold money, tokens and an API key."""
    wallets = wallet_keys(town)
    _grant(town)
    _fund(town, [*wallets.values(), *town.near.owners, *town.far.owners])
    nobody = key_of("nobody")
    callers = {"nobody": Caller("nobody", nobody, address_of(nobody), None, address_of(nobody))}
    callers |= {name: _signed_in(town, name, key) for name, key in wallets.items()}
    for key in (town.near.owners[1], town.far.owners[0]):
        other = _signed_in(town, "another owner", key)
        town.api_keys[other.address] = other.own_key or 0
    owner, nanogrid = callers["owner"], town.near.nanogrid(0)
    gateway = town.near.gateways[0]
    keys = {
        "reading key": (owner.key, owner.address, "reader", [Scope.READ], None),
        "home's key": (owner.key, owner.address, "home", [Scope.READ, Scope.BIDS], nanogrid),
        "gateway": (gateway, address_of(gateway), GATEWAY_ROLE, [Scope.READ, Scope.BIDS], nanogrid),
    }
    for name, (key, subject, label, scopes, only) in keys.items():
        with town.room.market.sessions() as session:
            row, text = new_api_key(session, subject, label, scopes, town.room.market.now_s(), only)
            callers[name] = Caller(name, key, subject, text, owner.address, row.id)
    return callers


def wallet_keys(town: Town) -> dict[str, bytes]:
    """Keys of those who sign in by wallet. The governance key is the deployer's, which has given OPERATOR away."""
    return {
        "stranger": key_of("stranger"),
        "owner": town.near.owners[0],
        "delegate": key_of(f"delegate {town.near.nanogrid(0)}"),
        "aggregator": town.near.aggregator,
        "DSO": town.near.dso,
        "TSO": key_of("TSO"),
        "operator": key_of("OPERATOR"),
        "governance": KEYS["operator"],
        "auditor": key_of("AUDITOR"),
        "oracle": key_of("ORACLE"),
        "referee": key_of("REFEREE"),
    }


def _grant(town: Town) -> None:
    world = town.room.world
    registry = world.contracts.registry.functions
    for role in GRANTED:
        world.send("operator", registry.grantRole(keccak256(role.encode()), address_of(key_of(role))))


def _fund(town: Town, keys: list[bytes]) -> None:
    world = town.room.world
    registry, settlement = world.contracts.registry.functions, world.contracts.settlement
    token = world.contracts.token.functions
    world.send("operator", token.mint(world.address("operator"), 1000 * EUR, keccak256(b"bank 3")))
    world.send("operator", token.approve(settlement.address, 1000 * EUR))
    for key in keys:
        world.send("operator", token.mint(address_of(key), 20 * EUR, keccak256(b"bank 4")))
        world.send("operator", settlement.functions.deposit(address_of(key), 20 * EUR))
    world.send("operator", registry.revokeRole(keccak256(b"OPERATOR"), world.address("operator")))
    town.room.market.index()


def _signed_in(town: Town, name: str, key: bytes) -> Caller:
    with MarketClient(town.room.url, private_key="0x" + key.hex(), patience_s=5) as client:
        client.sign_in()
        made = client.post("/v1/api-keys", {"label": "of its own", "scopes": ["read"]})
        return Caller(name, key, client.address, client.token, client.address, made["id"])
