"""A signed message is used again: for another offer, on another chain, in another deployment, or a second time."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_utils import keccak

from market.chain.bindings import artifact
from market.chain.deployment import DeploymentParameters, deploy
from market.domain.errors import BidRejection
from market.domain.messages import Delegation, Unbonding, Withdrawal
from market.domain.products import Phase
from market.domain.records import BidRecord
from market.domain.signing import sign_message
from market.domain.typed_data import DOMAIN_NAME, DOMAIN_VERSION, Domain, Message
from tests.attacks.arena import EUR, NO_REASON, Arena, Outcome, gateway_key, nanogrid
from tests.contracts_properties.auction_house import DEPLOYER_KEY, NODE, PORTFOLIO, U, owner_key

BID = BidRecord(100_000, 400, 0, 7)


def domain(arena: Arena, contract: str) -> Domain:
    return Domain(arena.web3.eth.chain_id, arena.deployment.addresses[contract])


@pytest.mark.parametrize("name", sorted({message.CONTRACT for message in Message.__subclasses__()}))
def test_a_contract_says_which_domain_its_messages_are_signed_for(arena: Arena, name: str) -> None:
    """A wallet asks (EIP-5267), and shows its user where a signature will count: here, and nowhere else."""
    contract = arena.web3.eth.contract(address=domain(arena, name).contract, abi=artifact(name)["abi"])
    name_version_chain_and_contract = bytes([0b01111])
    no_salt, no_extensions = bytes(32), []
    assert contract.functions.eip712Domain().call() == [
        name_version_chain_and_contract,
        DOMAIN_NAME,
        DOMAIN_VERSION,
        arena.web3.eth.chain_id,
        contract.address,
        no_salt,
        no_extensions,
    ]


def test_a_bid_replayed_in_another_offer_is_skipped(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.honest_offer()
    other = arena.terms(salt=2).digest(arena.domain)
    receipt = arena.send(arena.posting(offer, arena.wired(other, BID)), arena.attacker)
    assert arena.skips(receipt) == [BidRejection.BAD_SIGNATURE]
    assert arena.conclude(offer) == honest_outcome


def test_a_bid_of_a_cancelled_offer_is_worth_nothing_in_the_next(arena: Arena) -> None:
    offer = arena.opened()
    wire = arena.wired(offer, BID)
    arena.send(arena.auction.functions.cancelOffer(offer, b""), arena.aggregator)
    arena.refuse(arena.opening(), arena.aggregator, "OfferExists", offer="0x" + offer.hex())
    following = arena.open_offer(salt=2)
    assert arena.skips(arena.send(arena.posting(following, wire), arena.attacker)) == [BidRejection.BAD_SIGNATURE]


@pytest.mark.parametrize(("chain_id", "contract"), [(1, "MeritOrderAuction"), (31337, "Settlement")])
def test_a_bid_for_another_chain_or_contract_is_skipped(
    arena: Arena, honest_outcome: Outcome, chain_id: int, contract: str
) -> None:
    offer = arena.honest_offer()
    foreign = Domain(chain_id, arena.deployment.addresses[contract])
    wire = arena.wire_by(owner_key(7), offer, BID, domain=foreign)
    assert arena.skips(arena.send(arena.posting(offer, wire), arena.attacker)) == [BidRejection.BAD_SIGNATURE]
    assert arena.conclude(offer) == honest_outcome


def test_a_reading_for_another_chain_is_no_reading(arena: Arena, honest_outcome: Outcome) -> None:
    offer = arena.final()
    arena.at(arena.interval + U)
    submission = arena.submission(offer, arena.delivery(offer))
    foreign = Domain(1, arena.deployment.addresses["Settlement"])
    reading = submission.readings[0][1]
    signature = sign_message(gateway_key(1), reading, foreign).compact()
    announcing = arena.metering.functions.announceReading(reading.arguments(), signature)
    arena.refuse(announcing, arena.attacker, "BadReadingSignature", nanogrid=reading.nanogrid, interval=arena.interval)
    assert arena.conclude(offer) == honest_outcome


def test_nothing_signed_for_one_deployment_holds_in_the_next(arena: Arena) -> None:
    """A second deployment on the same chain, by the same operator, with the same DSO, portfolio and seat."""
    offer = arena.honest_offer()
    signed_bid = arena.wired(offer, BID)
    withdrawal = Withdrawal(arena.owner(7), EUR, 0)
    signed_withdrawal = sign_message(owner_key(7), withdrawal, domain(arena, "Settlement")).to_bytes()

    parameters = DeploymentParameters(time_unit_s=U, reading_deadline_s=4 * U)
    following = Arena(arena.chain, arena.web3, deploy(arena.web3, Account.from_key(DEPLOYER_KEY), parameters))
    functions = following.registry.functions
    for role, account in (("ORACLE", following.oracle), ("DSO", following.dso), ("AGGREGATOR", following.aggregator)):
        following.send(functions.grantRole(keccak(text=role), account), following.operator)
    following.send(functions.registerNode(NODE, following.dso, "node"), following.operator)
    following.send(functions.registerPortfolio(PORTFOLIO, NODE, following.aggregator, "again"), following.operator)
    assert following.terms().digest(following.domain) != arena.terms().digest(arena.domain)
    refused = following.posting(offer, signed_bid)
    following.refuse(refused, following.attacker, "UnknownOffer", offer="0x" + offer.hex())
    withdrawing = following.settlement.functions.withdraw(withdrawal.arguments(), signed_withdrawal)
    assert following.refusal(withdrawing, following.attacker).name == "NotAccount"


# A SECOND TIME


def test_a_withdrawal_is_carried_once(arena: Arena) -> None:
    arena.send(arena.token.functions.mint(arena.operator, EUR * 10, NO_REASON), arena.operator)
    arena.send(arena.token.functions.approve(arena.settlement.address, EUR * 10), arena.operator)
    account = arena.owner(7)
    arena.send(arena.settlement.functions.deposit(account, 10 * EUR), arena.operator)
    withdrawal = Withdrawal(account, 2 * EUR, 0)
    signature = sign_message(owner_key(7), withdrawal, domain(arena, "Settlement")).to_bytes()
    carrying = arena.settlement.functions.withdraw(withdrawal.arguments(), signature)
    arena.send(carrying, arena.relayer)
    arena.refuse(carrying, arena.attacker, "StaleNonce", given=0, expected=1)
    assert arena.balance(account) == 8 * EUR
    assert arena.token.functions.balanceOf(account).call() == 2 * EUR
    arena.assert_solvent()


def test_an_unbonding_is_carried_once(arena: Arena) -> None:
    before = arena.bond(7)
    unbonding = Unbonding(nanogrid(7), EUR, 0)
    signature = sign_message(owner_key(7), unbonding, domain(arena, "Settlement")).to_bytes()
    carrying = arena.settlement.functions.startUnbonding(unbonding.arguments(), signature)
    arena.send(carrying, arena.relayer)
    arena.refuse(carrying, arena.attacker, "StaleNonce", given=0, expected=1)
    assert arena.bond(7) == before - EUR


def test_a_revoked_delegation_is_not_seated_again(arena: Arena) -> None:
    seat = nanogrid(7)
    seating = Delegation(seat, arena.delegate, 60_000, 0, 1000, 100, 0)
    revoking = Delegation(seat, "0x" + "00" * 20, 0, 0, 0, 0, 1)
    calls = [
        arena.registry.functions.setDelegate(message.arguments(), _signed(arena, message))
        for message in (seating, revoking)
    ]
    for call in calls:
        arena.send(call, arena.relayer)
    arena.refuse(calls[0], arena.attacker, "StaleNonce", nanogrid=seat, given=0, expected=2)
    assert arena.registry.functions.signerOf(seat).call().signer == arena.owner(7)


def _signed(arena: Arena, message: Message) -> bytes:
    return sign_message(owner_key(7), message, domain(arena, message.CONTRACT)).to_bytes()


def test_an_old_signal_is_not_set_again(arena: Arena) -> None:
    yellow = (NODE, arena.interval, Phase.YELLOW, 0, NO_REASON, 1)
    arena.send(arena.signals.functions.setSignal(yellow, b""), arena.dso)
    arena.send(arena.signals.functions.setSignal((NODE, arena.interval, Phase.GREEN, 0, NO_REASON, 2), b""), arena.dso)
    replayed = arena.signals.functions.setSignal(yellow, b"")
    arena.refuse(replayed, arena.dso, "StaleSequence", given=1, last=2)
    assert arena.signals.functions.phaseOf(NODE, arena.interval).call() == Phase.GREEN


def test_a_request_is_published_once(arena: Arena) -> None:
    """Published again it would lock the DSO's money again."""
    request = arena.ready()
    before = arena.balance(arena.dso)
    arena.refuse(arena.publishing(), arena.dso, "RequestExists", request="0x" + request.hex())
    assert arena.balance(arena.dso) == before
