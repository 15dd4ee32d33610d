"""A token that calls back in the middle of a transfer: every way of tokens in or out is tried with every other.

The market is deployed with ReentrantToken.sol in the place of its own token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eth_utils import keccak
from web3 import Web3
from web3.contract import Contract
from web3.contract.contract import ContractFunction

from market.chain.bindings import artifact, decode_error, encode_call
from market.chain.deployment import Deployment, DeploymentParameters, plan
from market.chain.embedded import EmbeddedChain
from market.domain.errors import ContractRefused
from market.domain.messages import Unbonding
from market.domain.signing import sign_message
from tests.attacks.arena import EUR, Arena, nanogrid
from tests.contracts_properties.auction_house import GAS, U, owner_key
from tests.contracts_properties.harness import compile_harness

PARAMETERS = DeploymentParameters(time_unit_s=U, reading_deadline_s=4 * U)
NO_PERMIT = (2**63, 27, bytes(32), bytes(32))
Way = Callable[[Arena], ContractFunction]


def deploy_with(chain: EmbeddedChain, source: Path) -> tuple[Deployment, Contract]:
    """The market's plan, with the contract of a test's own file as its token."""
    web3 = Web3(Web3.HTTPProvider(chain.rpc_url))
    deployer = web3.eth.accounts[0]
    abi, bytecode = compile_harness(source)
    creations = plan(deployer, web3.eth.get_transaction_count(deployer), PARAMETERS)
    for creation in creations:
        if creation.name == "SettlementToken":
            created = web3.eth.contract(abi=abi, bytecode=bytecode).constructor()
        else:
            compiled = artifact(creation.name)
            created = web3.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"]).constructor(
                *creation.arguments
            )
        digest = created.transact({"from": deployer, "gas": GAS, "gasPrice": Web3.to_wei(0, "wei")})
        receipt = web3.eth.wait_for_transaction_receipt(digest, poll_latency=0.002)
        assert receipt["contractAddress"] == creation.address
    addresses = {creation.name: creation.address for creation in creations}
    deployment = Deployment(web3.eth.chain_id, deployer, 0, addresses, PARAMETERS)
    return deployment, web3.eth.contract(address=Web3.to_checksum_address(addresses["SettlementToken"]), abi=abi)


class CorruptArena(Arena):
    """The arena whose token calls back. It has an account, and seats 1 and 2 have something to be paid out."""

    malicious: Contract

    def corrupt(self, token: Contract) -> None:
        self.malicious = token
        self._register()
        self._fund()
        self.prepare()
        functions = self.settlement.functions
        self.send(self.token.functions.mint(self.operator, 100 * EUR, bytes(32)), self.operator)
        self.send(self.token.functions.approve(self.settlement.address, 2**255), self.operator)
        self.send(functions.deposit(token.address, 50 * EUR), self.operator)
        for index in (1, 2):
            unbonding = Unbonding(nanogrid(index), EUR, 0)
            signature = sign_message(owner_key(index), unbonding, self.settlement_domain).to_bytes()
            self.send(functions.startUnbonding(unbonding.arguments(), signature), self.relayer)
        self.conclude(self.honest_offer())
        self.at(self.interval + PARAMETERS.unbonding_s)

    def state(self) -> tuple[int, ...]:
        """All that a way in or out changes."""
        functions, token = self.settlement.functions, self.malicious
        return (
            functions.totalOwed().call(),
            token.functions.balanceOf(self.settlement.address).call(),
            self.balance(token.address),
            token.functions.balanceOf(token.address).call(),
            *(self.seat_balance(index) for index in (1, 2)),
            *(functions.bondOf(nanogrid(index)).call()[field] for index in (1, 2) for field in (0, 1)),
            *(token.functions.balanceOf(self.owner(index)).call() for index in (1, 2)),
        )


@pytest.fixture(scope="module")
def corrupted(module_anvil: EmbeddedChain) -> CorruptArena:
    deployment, token = deploy_with(module_anvil, Path(__file__).with_name("ReentrantToken.sol"))
    arena = CorruptArena(module_anvil, Web3(Web3.HTTPProvider(module_anvil.rpc_url)), deployment)
    arena.corrupt(token)
    return arena


@pytest.fixture
def corrupt(corrupted: CorruptArena) -> Iterator[CorruptArena]:
    with corrupted.taken_back():
        yield corrupted


WAYS: dict[str, Way] = {
    "withdraw": lambda arena: arena.settlement.functions.withdraw((arena.token.address, EUR, 0), b""),
    "payOut": lambda arena: arena.settlement.functions.payOut(nanogrid(1)),
    "withdrawBond": lambda arena: arena.settlement.functions.withdrawBond(nanogrid(1)),
    "deposit": lambda arena: arena.settlement.functions.deposit(arena.token.address, 0),
    "depositWithPermit": lambda arena: arena.settlement.functions.depositWithPermit(arena.token.address, 0, *NO_PERMIT),
    "fundBond": lambda arena: arena.settlement.functions.fundBond(nanogrid(1), 0),
    "fundBondWithPermit": lambda arena: arena.settlement.functions.fundBondWithPermit(
        nanogrid(1), arena.token.address, 0, *NO_PERMIT
    ),
}
"""Every function of Settlement that moves tokens; the token may call each of them."""


def test_the_ways_are_all_that_move_tokens(corrupt: CorruptArena) -> None:
    source = (Path(__file__).parents[2] / "contracts" / "Settlement.sol").read_text(encoding="utf-8")
    assert source.count("nonReentrant") == len(WAYS)


@pytest.mark.parametrize("again", WAYS)
@pytest.mark.parametrize("way", WAYS)
def test_a_reentrant_token_gains_nothing(corrupt: CorruptArena, way: str, again: str) -> None:
    def go() -> tuple[int, ...]:
        with corrupt.acting(corrupt.malicious.address) as token:
            corrupt.send(WAYS[way](corrupt), token)
        return corrupt.state()

    with corrupt.taken_back():
        honestly = go()
    armed = corrupt.malicious.functions.arm(corrupt.settlement.address, encode_call(WAYS[again](corrupt)))
    corrupt.send(armed, corrupt.attacker)
    assert go() == honestly
    answers = corrupt.malicious.functions
    assert answers.tried().call()
    assert not answers.succeeded().call()
    error = decode_error(answers.answer().call())
    assert isinstance(error, ContractRefused)
    assert error.name == "ReentrancyGuardReentrantCall"
    corrupt.assert_solvent()


def test_a_change_of_owner_is_not_reentered_while_it_pays_out(corrupt: CorruptArena) -> None:
    """The registry calls payOut before it writes the new owner: the token cannot make it pay twice."""
    earned = corrupt.seat_balance(1)
    paying = corrupt.settlement.functions.payOut(nanogrid(1))
    corrupt.send(corrupt.malicious.functions.arm(corrupt.settlement.address, encode_call(paying)), corrupt.attacker)
    corrupt.send(corrupt.giving(1, corrupt.attacker), corrupt.operator)
    assert corrupt.malicious.functions.tried().call()
    assert not corrupt.malicious.functions.succeeded().call()
    assert corrupt.malicious.functions.balanceOf(corrupt.owner(1)).call() == earned
    assert corrupt.seat_balance(1) == 0
    corrupt.assert_solvent()


def test_what_may_be_called_meanwhile_finds_the_books_written(corrupt: CorruptArena) -> None:
    """An unbonding carried in the middle of a pay-out: both happen, each once."""
    before, earned = corrupt.bond(1), corrupt.seat_balance(1)
    unbonding = Unbonding(nanogrid(1), EUR, 1)
    signature = sign_message(owner_key(1), unbonding, corrupt.settlement_domain).to_bytes()
    starting = corrupt.settlement.functions.startUnbonding(unbonding.arguments(), signature)
    corrupt.send(corrupt.malicious.functions.arm(corrupt.settlement.address, encode_call(starting)), corrupt.attacker)
    corrupt.send(corrupt.settlement.functions.payOut(nanogrid(1)), corrupt.anyone)
    assert corrupt.malicious.functions.succeeded().call()
    assert corrupt.bond(1) == before - EUR
    assert corrupt.malicious.functions.balanceOf(corrupt.owner(1)).call() == earned
    corrupt.assert_solvent()


def test_a_role_of_the_tokens_own_gives_it_no_escrow(corrupt: CorruptArena) -> None:
    """Even as an operator the token reaches no escrow in the middle of a transfer."""
    granting = corrupt.registry.functions.grantRole(keccak(text="OPERATOR"), corrupt.malicious.address)
    corrupt.send(granting, corrupt.operator)
    releasing = corrupt.settlement.functions.release(bytes(32), corrupt.attacker, EUR)
    corrupt.send(corrupt.malicious.functions.arm(corrupt.settlement.address, encode_call(releasing)), corrupt.attacker)
    corrupt.send(corrupt.settlement.functions.payOut(nanogrid(1)), corrupt.anyone)
    error = decode_error(corrupt.malicious.functions.answer().call())
    assert isinstance(error, ContractRefused)
    assert error.name == "OnlyAuction"
    corrupt.assert_solvent()
