"""The market that the contracts' tests play on: all seven contracts, one node, one portfolio, three nanogrids.

Only market's core and its deployment plan are imported: this runs in Brownie's environment.
"""

from brownie import accounts, chain, network, project, web3
from eth_account import Account
from p256 import P256Gateway

from market.chain.deployment import DeploymentParameters
from market.chain.embedded import set_block_time
from market.domain.messages import SeatTransfer
from market.domain.typed_data import Domain
from scripts.deploy import deploy

MNEMONIC = "test test test test test test test test test test test junk"
"""Of the node's funded accounts: the actors need their keys to sign."""
U = 900
NODE = 7
PORTFOLIO = 3
RATED_POWER_W = 5000
EMERGENCY_PRICE_UEUR_KWH = 300_000
EUR = 1_000_000
NO_SIGNATURE = b""
PARAMETERS = DeploymentParameters(
    admin_delay_s=3600,
    time_unit_s=U,
    reading_deadline_s=4 * U,
    hold_window_s=2 * U,
    hold_term_s=3 * U,
    hold_bond_ueur=5 * EUR,
    unbonding_s=40 * U,
)
ZERO = "0x" + 40 * "0"


class Stage:
    """Contracts, actors and clock.

    interval: one that starts ten units after the stage was set up; every time below is in epoch seconds.
    """

    def __init__(self):
        actors = accounts.from_mnemonic(MNEMONIC, count=20)
        self.operator, self.oracle, self.referee, self.dso, self.other_dso, self.aggregator = actors[:6]
        self.owners, self.gateways, self.delegate, self.stranger = actors[6:9], actors[9:12], actors[12], actors[13]
        self.start = chain.time() // U * U + U
        self.interval = self.start + 10 * U
        self.at(self.start)
        self._deploy()
        self._register()

    def _deploy(self):
        self.deployment = deploy(self.operator, PARAMETERS)
        containers = project.get_loaded_projects()[0]
        contracts = {name: containers[name].at(address) for name, address in self.deployment.addresses.items()}
        self.registry = contracts["ParticipantRegistry"]
        self.signals = contracts["GridSignals"]
        self.capacity_register = contracts["CapacityRegister"]
        self.auction = contracts["MeritOrderAuction"]
        self.metering = contracts["MeteringOracle"]
        self.settlement = contracts["Settlement"]
        self.token = contracts["SettlementToken"]

    def _register(self):
        by_operator = {"from": self.operator}
        for role, account in (
            ("ORACLE", self.oracle),
            ("REFEREE", self.referee),
            ("DSO", self.dso),
            ("DSO", self.other_dso),
            ("AGGREGATOR", self.aggregator),
        ):
            self.registry.grantRole(role_id(role), account, by_operator)
        self.registry.registerNode(NODE, self.dso, "Substation 7", by_operator)
        self.registry.registerPortfolio(PORTFOLIO, NODE, self.aggregator, "Community", by_operator)
        for owner, gateway in zip(self.owners, self.gateways, strict=True):
            self.register_seat(owner)
            self.settlement.setGateway(self.seat(self.owners.index(owner)), gateway, by_operator)

    # NANOGRIDS AND MONEY

    def seat(self, index):
        """Id of the portfolio's nanogrid of that index."""
        return PORTFOLIO << 16 | index

    def register_seat(self, owner):
        return self.registry.registerSeat(
            PORTFOLIO, owner, RATED_POWER_W, EMERGENCY_PRICE_UEUR_KWH, self.start + U, {"from": self.operator}
        )

    def mint(self, account, amount_ueur):
        """Gives tokens, and lets Settlement take them."""
        self.token.mint(account, amount_ueur, bytes(32), {"from": self.operator})
        self.token.approve(self.settlement, amount_ueur, {"from": account})

    def deposit(self, account, amount_ueur):
        """Fills an account's balance within Settlement."""
        self.mint(account, amount_ueur)
        self.settlement.deposit(account, amount_ueur, {"from": account})

    def fund_bond(self, index, amount_ueur):
        """Funds a seat's bond; its cover is an eighth of it."""
        self.mint(self.owners[index], amount_ueur)
        self.settlement.fundBond(self.seat(index), amount_ueur, {"from": self.owners[index]})

    def transfer(self, owner=None, nonce=0, signer=None):
        """Seat 0 is given to another (the stranger), as its owner has signed."""
        message = SeatTransfer(self.seat(0), str(owner or self.stranger), nonce)
        signature = self.sign(signer or self.owners[0], message)
        return self.registry.changeSeatOwner(message.arguments(), signature, {"from": self.operator})

    # TIME

    def at(self, moment):
        """Moves the clock, which stands still otherwise; never back."""
        set_block_time(network.web3.provider.endpoint_uri, moment)

    def before(self, hundredths, interval=None):
        """interval − u·hundredths/100."""
        return (interval or self.interval) - U * hundredths // 100

    # SIGNATURES

    def domain(self, message):
        """EIP-712 domain of the contract that checks a message."""
        return Domain(chain.id, self.deployment.addresses[message.CONTRACT])

    def sign(self, account, message):
        """65 bytes: r, s, v."""
        return bytes(Account.unsafe_sign_hash(message.digest(self.domain(message)), account.private_key).signature)

    def sign_as_gateway(self, account, message):
        """64 bytes: r and vs (EIP-2098); or the 128 of a P-256 key."""
        if isinstance(account, P256Gateway):
            return account.sign(message.digest(self.domain(message)))
        return b"".join(self.sign_compact(account, message))

    def sign_compact(self, account, message):
        """r and vs (EIP-2098), 32 bytes each."""
        signature = self.sign(account, message)
        vs = int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255
        return signature[:32], vs.to_bytes(32, "big")


def role_id(name):
    """Id of a role: keccak256 of its name."""
    return web3.keccak(text=name)


def thrown(name, *arguments):
    """What brownie.reverts expects of a custom error: its name and all its arguments."""
    return f"{name}: {', '.join(str(_decoded(argument)) for argument in arguments)}"


def _decoded(argument):
    if hasattr(argument, "address"):
        argument = argument.address
    if isinstance(argument, str) and argument.startswith("0x"):
        return argument.lower()
    return bytes(argument) if isinstance(argument, (bytes, bytearray)) else argument
