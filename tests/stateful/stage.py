"""A small market that every example starts from: nodes, portfolios, seats with bonds, money in the accounts."""

from __future__ import annotations

from eth_account import Account
from web3 import Web3

from market.chain.deployment import DeploymentParameters, deploy
from market.chain.embedded import EmbeddedChain
from market.domain.products import Product
from tests.contracts_properties.auction_house import DEPLOYER_KEY
from tests.stateful.actors import (
    AGGREGATORS,
    DSOS,
    GATEWAYS,
    HOLDERS_OF_MONEY,
    OPERATOR,
    ORACLE,
    OWNERS,
    REFEREE,
    STRANGER,
    SUCCESSOR,
)
from tests.stateful.contracts import Contracts
from tests.stateful.model import registry as roles
from tests.stateful.model.capacity import month_of
from tests.stateful.model.market import MarketModel
from tests.stateful.model.token import UNLIMITED
from tests.stateful.node import Node
from tests.stateful.player import Player, Tally

START = 1_780_250_400
"""Six hours before June 2026 begins: capacity contracts are made for the next month. [epoch s]"""
U = 900
EURO = 1_000_000
HOUR = 3600
PARAMETERS = DeploymentParameters(
    time_unit_s=U,
    reading_deadline_s=4 * U,
    hold_window_s=HOUR,
    hold_term_s=2 * HOUR,
    hold_bond_ueur=20 * EURO,
    unbonding_s=7 * HOUR + 9 * U // 2,  # offers open up to four and a half units before their interval
)
NODES = {7: DSOS[0], 8: DSOS[1]}
PORTFOLIOS = {3: (7, AGGREGATORS[0], 11), 4: (8, AGGREGATORS[1], 4), 5: (7, AGGREGATORS[1], 2)}
"""portfolio -> node, aggregator, number of seats; eleven seats fill more than one leaf of awards."""
BONDS_EURO = (16, 16, 40, 16, 3, 16, 0, 40, 16, 24, 16)
DEPOSITS_EURO = {DSOS[0]: 400, DSOS[1]: 4, AGGREGATORS[0]: 300, AGGREGATORS[1]: 60, ORACLE: 50}
RATED_POWER_W = 11_000
EMERGENCY_PRICE_UEUR_KWH = 300_000


def build(chain: EmbeddedChain) -> Player:
    """Deploys the contracts and sets the stage, each call of it compared with the model too."""
    node = Node(chain)
    web3 = Web3(Web3.HTTPProvider(chain.rpc_url))
    deployment = deploy(web3, Account.from_key(DEPLOYER_KEY), PARAMETERS)
    now = web3.eth.get_block("latest")["timestamp"]
    model = MarketModel.of(deployment, OPERATOR.address, now)
    player = Player(node, Contracts(deployment.addresses), deployment, model, Tally())
    _give_offices(player)
    _give_money(player)
    _register(player)
    _open_the_market(player)
    return player


def _give_offices(player: Player) -> None:
    offices = [(roles.ORACLE, ORACLE), (roles.REFEREE, REFEREE), (roles.OPERATOR, SUCCESSOR)]
    offices += [(roles.DSO, dso) for dso in DSOS] + [(roles.AGGREGATOR, each) for each in AGGREGATORS]
    for role, holder in offices:
        player.must(OPERATOR.address, "ParticipantRegistry", "grantRole", role, holder.address)
    for node, dso in NODES.items():
        player.must(OPERATOR.address, "ParticipantRegistry", "registerNode", node, dso.address, f"node {node}")
    for portfolio, (node, aggregator, _) in PORTFOLIOS.items():
        arguments = (portfolio, node, aggregator.address, "portfolio")
        player.must(OPERATOR.address, "ParticipantRegistry", "registerPortfolio", *arguments)


def _give_money(player: Player) -> None:
    settlement = player.deployment.addresses["Settlement"]
    for holder in (*HOLDERS_OF_MONEY, ORACLE):
        player.must(OPERATOR.address, "SettlementToken", "mint", holder.address, 1000 * EURO, bytes(32))
        player.must(holder.address, "SettlementToken", "approve", settlement, UNLIMITED)
    for holder, euros in DEPOSITS_EURO.items():
        player.must(holder.address, "Settlement", "deposit", holder.address, euros * EURO)


def _open_the_market(player: Player) -> None:
    """The seats are active, and bids of most of them are judged by one slot."""
    player.jump(player.now // U * U + U)
    seats = [nanogrid for nanogrid in player.model.registry.seats if nanogrid % 5]
    player.must(STRANGER.address, "ParticipantRegistry", "refreshSeats", seats)


def _register(player: Player) -> None:
    first = player.now // U * U + U
    gateways = iter(GATEWAYS)
    for portfolio, (node, _, seats) in PORTFOLIOS.items():
        for index in range(seats):
            nanogrid = portfolio << 16 | index
            owner = OWNERS[(portfolio + index) % len(OWNERS)]
            seat = (portfolio, owner.address, RATED_POWER_W, EMERGENCY_PRICE_UEUR_KWH, first)
            player.must(OPERATOR.address, "ParticipantRegistry", "registerSeat", *seat)
            player.must(OPERATOR.address, "Settlement", "setGateway", nanogrid, next(gateways).address)
            if bond := BONDS_EURO[index % len(BONDS_EURO)]:
                player.must(OPERATOR.address, "Settlement", "fundBond", nanogrid, bond * EURO)
            if index % 4 == 1:
                months = (month_of(player.now) + 1, 2)
                terms = (nanogrid, Product.CM_CAPACITY, *months, 1000, 10, 0)
                player.must(NODES[node].address, "CapacityRegister", "registerContract", terms, b"")
