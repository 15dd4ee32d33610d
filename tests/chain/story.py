"""Days of a small market in which everything happens that moves money, for the indexer's tests."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select

from market.domain.hashing import keccak256
from market.domain.messages import CapacityContract, Command, Hold, SeatTransferVeto, Unbonding, Verdict, Withdrawal
from market.domain.products import Direction, Phase, Product, Side
from market.domain.records import BidRecord, rejected_bitmap
from market.domain.signing import address_of
from market.domain.trees import award_range, baseline_leaf
from market.store.database import read_scope
from market.store.models import CapacityContract as ContractRow
from tests.chain.world import EUR, KEYS, NANOGRIDS, NO_REASON, NODE, U, World, before, nanogrid, owner_key
from tests.conftest import TEST_EPOCH

T = TEST_EPOCH + 10 * U
"""The interval of the first auction."""
SALE = T + 6 * U
COMMANDED = SALE + 6 * U
DEBTS = COMMANDED + 20 * U
NO_LEAF = (0, b"", [])


def tell(world: World) -> None:
    """Everything, one part after the other."""
    world.register()
    world.fund()
    reserve_capacity(world)
    answer_a_request(world)
    sell_internally(world)
    command(world)
    run_into_debt(world)
    take_money_out(world)
    world.indexer.index_now()


def reserve_capacity(world: World) -> None:
    """Nanogrid 3 is reserved from June on."""
    contract = CapacityContract(nanogrid(3), Product.CM_CAPACITY, 2026 * 12 + 5, 1, 2000, 3, 1)
    world.decide(world.contracts.capacity.functions.registerContract, contract, "dso")


def answer_a_request(world: World) -> None:
    """Revisions, a withdrawal, skipped bids, a verdict, holds, and readings of all kinds."""
    world.at(before(T, 410))
    world.anchor(T, [0, 0, 0, 0])
    world.anchor(T + U, [0, 0, 0, 0])
    world.at(before(T, 300))
    world.signal(T, Phase.YELLOW, 1)
    world.signal(T + U, Phase.YELLOW, 2)
    request = world.request(T, [3000, 2000])
    world.at(before(T, 275))
    offer = world.offer(T, 2600, request)
    cancelled = world.offer(T + U, 500, request)
    cancel(world, cancelled)
    world.at(before(T, 145))
    bids = [
        BidRecord(100_000, 900, 0, 0),
        BidRecord(120_000, 1000, 0, 1),
        BidRecord(90_000, 800, 0, 2),
        BidRecord(80_000, 700, 0, 3),
        BidRecord(110_000, 1000, 0, 0, revision=1),
        BidRecord(90_000, 0, 0, 2, revision=1),
    ]
    wrong = [world.wire(offer, BidRecord(80_000, 700, 0, 3, revision=0), key=owner_key(0))]
    world.post(offer, [world.wire(offer, bid) for bid in bids[:4]] + wrong)
    world.post(offer, [world.wire(offer, bid) for bid in bids[4:]])
    world.at(before(T, 120))
    awards = world.clear(offer)
    verdict = Verdict(offer, rejected_bitmap([]), NO_REASON)
    world.decide(world.contracts.signals.functions.giveVerdict, verdict, "dso")
    world.finalise(offer, awards)
    world.at(before(T, 40))
    reclaim(world, request)
    world.at(T + U)
    hold(world, offer, awards, ordinal=0, by="dso")
    world.at(T + U + U // 3)
    world.settle(offer, T, awards, {0: 400, 1: 900, 3: 700})
    referee = world.contracts.settlement.functions
    world.send("referee", referee.decideHold(offer, 0, False))
    world.settle(offer, T, awards, {0: 400, 1: 900, 3: 700})


def cancel(world: World, offer: bytes) -> None:
    world.send("aggregator", world.contracts.auction.functions.cancelOffer(offer, b""))


def reclaim(world: World, request: bytes) -> None:
    """What no offer has accepted of both intervals goes back."""
    world.at(before(T + U, 100))
    for interval in (T, T + U):
        world.send("stranger", world.contracts.auction.functions.reclaimRequest(request, interval))


def hold(world: World, offer: bytes, awards: bytes, ordinal: int, by: str) -> None:
    message = Hold(offer, ordinal, NO_REASON)
    key = world.sign(KEYS[by], message)
    function = world.contracts.settlement.functions.placeHold
    given = award_range(awards, ordinal, ordinal).argument()
    world.send("relayer", function(message.arguments(), given, key))


def sell_internally(world: World) -> None:
    """The aggregator sells: the bidders pay, one from its balance and its bond, and one is held and annulled."""
    world.at(before(SALE, 410))
    world.anchor(SALE, [0, 0, 0, 0])
    offer = world.offer(SALE, 1500, side=Side.SELL)
    world.at(before(SALE, 360))
    bids = [BidRecord(200_000, 900, 0, 0), BidRecord(150_000, 900, 0, 3)]
    world.post(offer, [world.wire(offer, bid) for bid in bids])
    world.at(before(SALE, 345))
    awards = world.clear(offer)
    world.at(before(SALE, 305) + 1)  # a second after the last for the verdict
    world.finalise(offer, awards)
    world.at(SALE + U)
    hold(world, offer, awards, ordinal=1, by="aggregator")
    world.send("referee", world.contracts.settlement.functions.decideHold(offer, 1, True))
    world.settle(offer, SALE, awards, {0: 850})


def command(world: World) -> None:
    """RED: two commands, of which the DSO's deposit pays one and a part; its next deposit pays the rest."""
    settlement = world.contracts.settlement.functions
    world.at(before(COMMANDED, 410))
    world.anchor(COMMANDED, [0, 0, 0, 0])
    withdrawal = Withdrawal(
        world.address("dso"), world.contracts.call(settlement.balanceOf(world.address("dso"))) - EUR, 0
    )
    world.decide(settlement.withdraw, withdrawal, "dso")
    world.at(before(COMMANDED, 96))
    world.signal(COMMANDED, Phase.RED, 3)
    for index in (0, 1):
        message = Command(
            nanogrid(index), COMMANDED, Product.VC_EMERGENCY_P, Direction.DOWN, 2500 + 500 * index, NO_REASON
        )
        world.decide(world.contracts.signals.functions.giveCommand, message, "dso")
    world.at(COMMANDED + U)
    for index in (0, 1):
        given = baseline_leaf(world.baselines[COMMANDED], index).argument()
        reading = world.reading(index, COMMANDED, 2000).argument()
        world.send(
            "oracle",
            settlement.settleCommand(nanogrid(index), COMMANDED, given, reading, bytes(32), NO_LEAF),
        )
    token = world.contracts.token.functions
    world.send("dso", token.approve(world.contracts.settlement.address, 50 * EUR))
    world.send("dso", settlement.deposit(world.address("dso"), 50 * EUR))


def run_into_debt(world: World) -> None:
    """Nanogrid 2 never delivers: its bond is used up, it owes, it is suspended, and a new bond pays the debt first."""
    settlement = world.contracts.settlement.functions
    count = 12
    auctions = []
    for place in range(count):
        interval = DEBTS + 2 * place * U
        world.at(before(interval, 410))
        world.anchor(interval, [0] * NANOGRIDS)
        offer = world.offer(interval, 4000, limit_price_ueur_kwh=1_500_000)
        world.post(offer, [world.wire(offer, BidRecord(1_400_000, 4000, 0, 2))])
        world.at(before(interval, 345))
        awards = world.clear(offer)
        world.at(before(interval, 305) + 1)
        world.finalise(offer, awards)
        auctions.append((offer, awards))
        if place == 2:
            unbond(world, 2, 10 * EUR)
    world.at(DEBTS + (2 * count + 5) * U)
    for offer, awards in auctions:
        given = award_range(awards, 0, 0).argument()
        world.send("stranger", settlement.expireAwards(offer, given))
        world.send("stranger", settlement.expireAwards(offer, given))  # skipped: it is settled
    assert world.contracts.call(settlement.seatDebt(nanogrid(2))) > 0
    token = world.contracts.token.functions
    world.send("operator", token.mint(world.address("operator"), 200 * EUR, keccak256(b"bank 2")))
    world.send("operator", token.approve(world.contracts.settlement.address, 200 * EUR))
    world.send("operator", settlement.fundBond(nanogrid(2), 100 * EUR))
    world.send("operator", world.contracts.registry.functions.reinstateSeat(nanogrid(2)))


def unbond(world: World, index: int, amount_ueur: int) -> None:
    message = Unbonding(nanogrid(index), amount_ueur, 0)
    signature = world.sign(owner_key(index), message)
    world.send("relayer", world.contracts.settlement.functions.startUnbonding(message.arguments(), signature))


def take_money_out(world: World) -> None:
    """A month later: availability, a seat's balance, a bond, a new owner and a burn."""
    settlement, registry = world.contracts.settlement.functions, world.contracts.registry.functions
    unbond(world, 1, 30 * EUR)
    world.at(int(datetime(2026, 7, 2, tzinfo=UTC).timestamp()))
    (contract,) = world_contracts(world)
    world.send("stranger", world.contracts.capacity.functions.payAvailability(contract, 2026 * 12 + 5))
    world.send("stranger", settlement.payOut(nanogrid(1)))
    world.send("stranger", settlement.withdrawBond(nanogrid(1)))
    world.give_nanogrid(3, owner_key(3), address_of(owner_key(9)))
    world.send("operator", registry.announceSeatTransfer(nanogrid(1), world.address("stranger")))
    world.send("operator", registry.announceSeatTransfer(nanogrid(2), world.address("stranger")))
    veto = SeatTransferVeto(nanogrid(2), 0)
    world.send("stranger", registry.vetoSeatTransfer(veto.arguments(), world.sign(owner_key(2), veto)))
    world.send("operator", registry.closeSeat(nanogrid(0), world.now_s // U * U + 8 * U))
    world.send("operator", registry.setPaused(NODE, 0, True))
    world.send("operator", registry.revokeRole(keccak256(b"REFEREE"), world.address("referee")))
    world.send("operator", world.contracts.token.functions.burn(1, keccak256(b"bank 3")))


def world_contracts(world: World) -> list[bytes]:
    """Ids of the capacity contracts, by their events."""
    world.indexer.index_now()
    with read_scope(world.engine) as session:
        return [bytes.fromhex(id_[2:]) for id_ in session.scalars(select(ContractRow.id))]
