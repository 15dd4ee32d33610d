"""A delegate's key is stolen: what the thief posts the owner takes back, and the thief cannot use up the posts."""

from __future__ import annotations

import pytest
from eth_typing import ChecksumAddress
from eth_utils import to_checksum_address

from market.domain.errors import BidRejection
from market.domain.messages import Delegation
from market.domain.records import BidRecord
from market.domain.signing import sign_message
from market.domain.typed_data import Domain
from tests.attacks.arena import Arena, Outcome, nanogrid, new_key
from tests.contracts_properties.auction_house import owner_key

VICTIM = 7
THIEF, THIEFS_ADDRESS = new_key("a delegate's key, stolen")
NOBODY = "0x" + "00" * 20
UNWANTED = BidRecord(1000, 900, 0, VICTIM)
UNWANTED_AGAIN = BidRecord(500, 800, 0, VICTIM, revision=1)
TAKEN_BACK = BidRecord(1, 0, 0, VICTIM, revision=2)


def delegate(arena: Arena, signer: str, nonce: int, **limits: int) -> None:
    """The owner seats a delegate, or (NOBODY) revokes it."""
    fields = {"expiry_day": 60_000, "lowest_price_ueur_kwh": 0, "largest_quantity": 1000, "cover_cents": 100}
    message = Delegation(nanogrid(VICTIM), signer, *(fields | limits).values(), nonce)
    domain = Domain(arena.web3.eth.chain_id, arena.deployment.addresses["ParticipantRegistry"])
    signature = sign_message(owner_key(VICTIM), message, domain).to_bytes()
    arena.send(arena.registry.functions.setDelegate(message.arguments(), signature), arena.relayer)


@pytest.fixture
def offer(arena: Arena) -> bytes:
    """The honest offer; the victim has a delegate, whose key the thief has."""
    delegate(arena, THIEFS_ADDRESS, 0)
    return arena.honest_offer()


def steal(arena: Arena, offer: bytes, *bids: BidRecord) -> list[int]:
    """The thief posts. Reasons for which it was refused."""
    wires = [arena.wire_by(THIEF, offer, bid) for bid in bids]
    return arena.skips(arena.send(arena.posting(offer, *wires), arena.attacker))


def test_what_a_stolen_delegate_posted_the_owner_withdraws(arena: Arena, offer: bytes, honest_outcome: Outcome) -> None:
    assert steal(arena, offer, UNWANTED, UNWANTED_AGAIN) == []
    delegate(arena, NOBODY, 1)
    arena.send(arena.posting(offer, arena.wired(offer, TAKEN_BACK)), arena.relayer)
    assert arena.conclude(offer) == honest_outcome


def test_a_stolen_delegate_cannot_use_up_the_owners_last_post(
    arena: Arena, offer: bytes, honest_outcome: Outcome
) -> None:
    assert steal(arena, offer, UNWANTED, UNWANTED_AGAIN) == []
    bid_again = BidRecord(500, 800, 0, VICTIM, revision=2)
    refused = steal(arena, offer, TAKEN_BACK, bid_again)
    assert refused == [BidRejection.OWNER_SIGNATURE_REQUIRED, BidRejection.QUANTITY_OUT_OF_RANGE]
    arena.send(arena.posting(offer, arena.wired(offer, TAKEN_BACK)), arena.relayer)
    assert arena.conclude(offer) == honest_outcome


def test_a_revoked_delegate_posts_nothing_more(arena: Arena, offer: bytes, honest_outcome: Outcome) -> None:
    delegate(arena, NOBODY, 1)
    assert steal(arena, offer, UNWANTED) == [BidRejection.BAD_SIGNATURE]
    assert arena.conclude(offer) == honest_outcome


def test_the_owner_withdraws_without_revoking_first(arena: Arena, offer: bytes, honest_outcome: Outcome) -> None:
    """The owner's own signature counts beside the seated delegate's."""
    assert steal(arena, offer, UNWANTED) == []
    withdrawal = BidRecord(1, 0, 0, VICTIM, revision=1)
    arena.send(arena.posting(offer, arena.wired(offer, withdrawal)), arena.relayer)
    assert steal(arena, offer, BidRecord(1, 0, 0, VICTIM, revision=2)) == [BidRejection.OWNER_SIGNATURE_REQUIRED]
    assert arena.conclude(offer) == honest_outcome


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"lowest_price_ueur_kwh": 1001}, BidRejection.PRICE_BELOW_DELEGATE_LIMIT),
        ({"largest_quantity": 899}, BidRejection.QUANTITY_OUT_OF_RANGE),
        ({"cover_cents": 0}, BidRejection.BEYOND_COVER),
        ({"expiry_day": 20_000}, BidRejection.DELEGATE_EXPIRED),
    ],
)
def test_a_stolen_delegate_is_held_to_its_limits(
    arena: Arena, honest_outcome: Outcome, limits: dict[str, int], reason: BidRejection
) -> None:
    delegate(arena, THIEFS_ADDRESS, 0, **limits)
    offer = arena.honest_offer()
    assert steal(arena, offer, UNWANTED) == [reason]
    assert arena.conclude(offer) == honest_outcome


def test_a_stolen_delegate_reaches_no_money(arena: Arena, honest_outcome: Outcome) -> None:
    """It signs bids and nothing else: no pay-out elsewhere, no unbonding, no other delegate."""
    delegate(arena, THIEFS_ADDRESS, 0)
    bond = arena.bond(VICTIM)
    domain = Domain(arena.web3.eth.chain_id, arena.deployment.addresses["ParticipantRegistry"])
    itself = Delegation(nanogrid(VICTIM), THIEFS_ADDRESS, 65_000, 0, 2**24 - 1, 2**24 - 1, 1)
    seating = arena.registry.functions.setDelegate(itself.arguments(), sign_message(THIEF, itself, domain).to_bytes())
    arena.refuse(seating, arena.attacker, "NotSeatOwner", nanogrid=nanogrid(VICTIM), signer=THIEFS_ADDRESS)
    with arena.acting(THIEFS_ADDRESS) as thief:
        _refuse_unbonding(arena, thief)
    assert arena.bond(VICTIM) == bond
    assert arena.conclude(arena.honest_offer()) == honest_outcome


def _refuse_unbonding(arena: Arena, thief: ChecksumAddress) -> None:
    starting = arena.settlement.functions.startUnbonding((nanogrid(VICTIM), 1, 0), b"")
    arena.refuse(starting, thief, "NotSeatOwner", nanogrid=nanogrid(VICTIM), signer=to_checksum_address(thief))
