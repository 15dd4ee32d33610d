"""The projections say what the chain says, however they were come by."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import Engine, func, select

from market.chain.bindings import artifact, encode_call
from market.chain.deployment import CONTRACT_NAMES
from market.chain.embedded import CHAIN_ID, start_anvil
from market.chain.indexer import Indexer, handled_events
from market.chain.profiles import rpc_all
from market.chain.receipts import find_receipt
from market.domain.errors import BidRejection
from market.domain.products import Direction, Side
from market.domain.settlement import AwardTerms, Outcome, settle_award, settle_hold_upheld, settle_missing
from market.domain.states import OfferStatus
from market.settings import ChainProfile
from market.store.database import migrate, open_engine, read_scope
from market.store.models import (
    Account as AccountRow,
)
from market.store.models import (
    Award,
    FlexibilityRequest,
    GridCommand,
    Hold,
    LedgerEntry,
    Nanogrid,
    Offer,
    PostedBid,
    Purse,
    RequestInterval,
    RoleHolding,
    SkippedBid,
    TokenTransfer,
)
from scripts.demo.supervisor import free_port
from tests.chain.conftest import CHAINS_AND_DATABASES
from tests.chain.grounds import Ground
from tests.chain.rows import projections
from tests.chain.story import Story
from tests.chain.world import KEYS, World
from tests.clock import TEST_EPOCH
from tests.databases import database_of


@pytest.fixture(scope="module", params=CHAINS_AND_DATABASES)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The market's story; tests only read, or add what no other asks for."""
    chain, kind = request.param
    with ExitStack() as stack:
        if chain == "embedded":  # its clock goes on by months: one story on each chain
            anvil = stack.enter_context(start_anvil(free_port(), timestamp=TEST_EPOCH))
            ground = Ground(ChainProfile.EMBEDDED, CHAIN_ID, anvil, KEYS)
        else:
            ground = request.getfixturevalue("network_ground")
        story = Story(ground.world(stack.enter_context(database_of(kind, request, tmp_path_factory.mktemp("story")))))
        story.tell()
        yield story
        story.world.engine.dispose()


@pytest.fixture(scope="module")
def world(told: Story) -> World:
    return told.world


def view(world: World, name: str, *arguments: Any) -> Any:
    return world.contracts.call(world.contracts.settlement.functions[name](*arguments))


def test_every_event_that_says_something_is_taken_in() -> None:
    passed_over = {
        "Approval",
        "ClearingProgressed",
        "DefaultAdminDelayChangeCanceled",
        "DefaultAdminDelayChangeScheduled",
        "DefaultAdminTransferCanceled",
        "DefaultAdminTransferScheduled",
        "EIP712DomainChanged",
        "RoleAdminChanged",
    }
    events = {
        (name, entry["name"])
        for name in CONTRACT_NAMES
        for entry in artifact(name)["abi"]
        if entry["type"] == "event" and entry["name"] not in passed_over
    }
    assert events == handled_events()


def test_balances_bonds_and_debts_are_the_chains(world: World) -> None:
    with read_scope(world.engine) as session:
        accounts = session.scalars(select(AccountRow)).all()
        seats = session.scalars(select(Nanogrid)).all()
    assert len(accounts) >= 2
    for account in accounts:
        assert account.balance_ueur == view(world, "balanceOf", account.account), account.account
        assert account.debt_ueur == view(world, "debtOf", account.account)
    for seat in seats:
        bond_ueur, unbonding_ueur, _ = view(world, "bondOf", seat.nanogrid)
        assert seat.balance_ueur == view(world, "seatBalance", seat.nanogrid), seat.nanogrid
        assert (seat.bond_ueur, seat.unbonding_ueur) == (bond_ueur, unbonding_ueur)
        assert seat.debt_ueur == view(world, "seatDebt", seat.nanogrid)


def test_the_entries_of_a_purse_sum_up_to_its_balance(world: World) -> None:
    entries = select(func.sum(LedgerEntry.amount_ueur))
    with read_scope(world.engine) as session:
        for account in session.scalars(select(AccountRow)):
            of_account = entries.where(LedgerEntry.purse == Purse.ACCOUNT, LedgerEntry.account == account.account)
            assert session.scalar(of_account) == account.balance_ueur
        for seat in session.scalars(select(Nanogrid)):
            of_seat = entries.where(LedgerEntry.nanogrid == seat.nanogrid)
            assert (session.scalar(of_seat.where(LedgerEntry.purse == Purse.SEAT)) or 0) == seat.balance_ueur
            in_bond = session.scalar(of_seat.where(LedgerEntry.purse == Purse.BOND))
            assert in_bond == seat.bond_ueur + seat.unbonding_ueur


def test_what_moved_between_purses_is_what_the_tokens_say(world: World) -> None:
    """Tokens that Settlement holds = what it owes, by the contract and by the transfers that were taken in."""
    settlement = world.contracts.settlement.address
    amount = func.coalesce(func.sum(TokenTransfer.amount_ueur), 0)
    with read_scope(world.engine) as session:
        came = session.scalar(select(amount).where(TokenTransfer.to_account == settlement))
        went = session.scalar(select(amount).where(TokenTransfer.from_account == settlement))
    held = world.contracts.call(world.contracts.token.functions.balanceOf(settlement))
    assert came - went == held == view(world, "totalOwed")


def test_seats_are_as_the_registry_has_them(world: World) -> None:
    with read_scope(world.engine) as session:
        seats = session.scalars(select(Nanogrid).order_by(Nanogrid.nanogrid)).all()
    assert [seat.index for seat in seats] == [0, 1, 2, 3]
    for seat in seats:
        on_chain = world.contracts.call(world.contracts.registry.functions.seatOf(seat.nanogrid))
        signer = world.contracts.call(world.contracts.registry.functions.signerOf(seat.nanogrid))
        assert (seat.owner, seat.suspended) == (on_chain["owner"], on_chain["suspended"])
        assert seat.cover_cents == on_chain["coverCents"]
        assert (seat.active_until or 2**32 - 1) == on_chain["activeUntil"]
        assert seat.gateway == view(world, "gatewayOf", seat.nanogrid)
        projected = (seat.signer, seat.signer_expiry_day, seat.lowest_price_ueur_kwh, seat.largest_quantity)
        limits = (signer["signer"], signer["expiryDay"], signer["lowestPriceUeurKwh"], signer["largestQuantity"])
        assert projected == limits
        assert seat.signer_cover_cents == signer["coverCents"]


def test_roles_are_those_held_now(world: World) -> None:
    with read_scope(world.engine) as session:
        held = {(role.account, role.role) for role in session.scalars(select(RoleHolding))}
    names = ("operator", "oracle", "dso", "aggregator")
    assert {(world.address(name), name.upper()) for name in names} <= held
    assert (world.address("referee"), "REFEREE") not in held


def test_offers_and_requests_are_as_the_auction_has_them(world: World) -> None:
    auction = world.contracts.auction.functions
    with read_scope(world.engine) as session:
        offers = session.scalars(select(Offer)).all()
        parts = session.scalars(select(RequestInterval)).all()
    assert {OfferStatus(offer.status) for offer in offers} == {OfferStatus.FINAL, OfferStatus.CANCELLED}
    for offer in offers:
        state = world.contracts.call(auction.stateOf(offer.offer))
        assert (offer.status, offer.bid_count, offer.chain) == (state["status"], state["bidCount"], state["chain"])
        assert offer.opened_at == state["openedAt"]
        if offer.status == OfferStatus.FINAL:
            assert (offer.award_count, offer.awards_root) == (state["awardCount"], state["awardsRoot"])
            assert (offer.cleared_at, offer.escrow_ueur) == (state["clearedAt"], state["escrowUeur"])
    assert len(parts) == 2
    assert all(part.reclaimed_ueur for part in parts)
    assert [part.accepted for part in sorted(parts, key=lambda part: part.interval)] == [2600, 0]


def test_bids_count_by_their_last_revision(told: Story, world: World) -> None:
    with read_scope(world.engine) as session:
        offer = session.scalars(select(Offer).where(Offer.interval == told.request_interval)).one()
        posted = session.scalars(select(PostedBid).where(PostedBid.offer == offer.offer)).all()
        skipped = session.scalars(select(SkippedBid).where(SkippedBid.offer == offer.offer)).all()
    counting = sorted((bid.position, bid.index, bid.quantity) for bid in posted if bid.counts)
    assert counting == [(1, 1, 1000), (3, 3, 700), (4, 0, 1000)]
    assert [(bid.index, bid.reason) for bid in skipped] == [(3, BidRejection.WRONG_REVISION)]
    assert offer.skipped_count == 1


def test_awards_ended_as_the_reference_says(told: Story, world: World) -> None:
    baseline = 0
    with read_scope(world.engine) as session:
        for award in session.scalars(select(Award)):
            offer = session.get_one(Offer, award.offer)
            request = session.get(FlexibilityRequest, offer.request) if offer.request else None
            terms = AwardTerms(
                Side(offer.side),
                Direction(offer.direction),
                award.quantity,
                award.price_ueur_kwh,
                request.price_ueur_kwh if request else None,
            )
            hold = session.scalars(select(Hold).where(Hold.offer == award.offer, Hold.ordinal == award.ordinal)).first()
            if hold is not None and hold.upheld:
                expected = settle_hold_upheld(terms)
            elif offer.interval == told.debt_interval:
                expected = settle_missing(terms)
            else:
                assert award.metered is not None
                expected = settle_award(terms, baseline, award.metered)
            amounts = (award.paid_ueur, award.margin_ueur, award.refunded_ueur, award.penalty_ueur)
            assert award.outcome == expected.outcome
            assert amounts == (
                expected.paid_ueur,
                expected.margin_ueur,
                expected.refunded_ueur,
                expected.penalty_ueur,
            )
        outcomes = set(session.scalars(select(Award.outcome)))
    assert {Outcome.DELIVERED, Outcome.SHORT, Outcome.FAILED, Outcome.ANNULLED} <= outcomes


def test_a_command_is_paid_from_reserve_balance_and_the_next_deposit(world: World) -> None:
    with read_scope(world.engine) as session:
        commands = session.scalars(select(GridCommand).order_by(GridCommand.nanogrid)).all()
    assert [command.dso for command in commands] == [world.address("dso")] * 2
    assert [command.paid_ueur + command.unpaid_ueur for command in commands] == [600_000, 600_000]
    assert commands[1].unpaid_ueur > 0


def test_rebuilding_from_the_chain_gives_the_same_rows(world: World) -> None:
    kept = projections(world.engine)
    world.indexer.reindex()
    assert projections(world.engine) == kept


@pytest.mark.parametrize("blocks", [1, 7, 5000])
def test_ranges_may_be_cut_anywhere(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    monkeypatch.setattr("market.chain.indexer.indexer.RANGE_BLOCKS", blocks)
    url = f"sqlite:///{tmp_path / 'other.sqlite'}"
    migrate(url)
    engine = open_engine(url)
    Indexer(world.contracts, engine).index_now()
    assert projections(engine) == projections(world.engine)
    engine.dispose()


def test_two_indexers_at_once_do_each_range_once(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.chain.indexer.indexer.RANGE_BLOCKS", 20)
    migrate(database_url)
    engines = [open_engine(database_url) for _ in range(3)]
    failures: list[BaseException] = []

    def index(engine: Engine) -> None:
        try:
            for _ in range(3):
                Indexer(world.contracts, engine).index_now()
        except BaseException as failure:  # noqa: BLE001 - a thread's failure must reach the test
            failures.append(failure)

    threads = [threading.Thread(target=index, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert projections(engines[0]) == projections(world.engine)
    for engine in engines:
        engine.dispose()


def test_indexing_again_changes_nothing(world: World) -> None:
    kept = projections(world.engine)
    assert world.indexer.index_now() == world.indexer.index_now()
    assert projections(world.engine) == kept


def test_events_by_the_thousand_are_taken_in_at_once(world: World) -> None:
    web3, count, operator = world.contracts.web3, 1500, Account.from_key(world.keys["operator"])
    world.indexer.index_now()
    nonce = web3.eth.get_transaction_count(operator.address)
    transfer = {
        "to": world.contracts.token.address,
        "data": encode_call(world.contracts.token.functions.transfer(world.nobody, 1)),
        "value": 0,
        "gas": 100_000,
        "maxFeePerGas": 10**9,
        "maxPriorityFeePerGas": world.contracts.profile.priority_fee_wei,
        "type": 2,
        "chainId": world.contracts.deployment.chain_id,
    }
    signed = [operator.sign_transaction({**transfer, "nonce": nonce + place}) for place in range(count)]
    hashes = rpc_all(web3, "eth_sendRawTransaction", [["0x" + each.raw_transaction.hex()] for each in signed])
    deadline_s = time.monotonic() + 180
    while find_receipt(web3, hashes[-1:]) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    world.indexer.index_now()
    with read_scope(world.engine) as session:
        taken_in = select(func.count()).select_from(TokenTransfer).where(TokenTransfer.to_account == world.nobody)
        assert session.scalar(taken_in) == count


def test_the_story_has_what_it_is_to_show(told: Story, world: World) -> None:
    with read_scope(world.engine) as session:
        kinds = set(session.scalars(select(LedgerEntry.kind)))
    expected = {
        "DEPOSIT", "WITHDRAWAL", "PAY_OUT", "ESCROW_LOCKED", "ESCROW_RELEASED", "AWARD_PAID", "MARGIN", "REFUND",
        "PENALTY", "SALE", "COMMAND_PAID", "COMMAND_CHARGED", "HOLD_BOND", "DEBT_PAID", "BOND_FUNDED", "BOND_WITHDRAWN",
    }  # fmt: skip
    if told.can_wait_for_months:
        expected.add("AVAILABILITY")
    assert expected <= kinds
