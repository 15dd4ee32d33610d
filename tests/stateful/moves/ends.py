"""Readings, settlement, expiry, holds, and RED commands. How calls carry awards is known here and in model/awards."""

from __future__ import annotations

from market.domain.messages import Command, Hold, Reading
from market.domain.products import Direction, Kind, Phase
from market.domain.states import OfferStatus
from market.domain.trees import award_leaves, baseline_leaf, baseline_vector
from market.domain.units import RECORDS_PER_LEAF
from tests.stateful.actors import AGGREGATORS, BY_ADDRESS, DSOS, GATEWAYS, ORACLE, REFEREE, STRANGER, garbled
from tests.stateful.model.auction import OfferBook
from tests.stateful.model.awards import AwardReading
from tests.stateful.model.proofs import Leaf
from tests.stateful.model.requests import NO_REQUEST
from tests.stateful.moves.auctions import BASELINE_VALUES, baselines, set_signal
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import U

NO_LEAF: Leaf = (0, b"", ())
CHANGES = (0, 1, 269, 270, 271, 500, 700, 900, 1000, 2000, 6000)
"""What a nanogrid may deliver: nothing, a little, just what is tolerated of an award of 300, all [Wh or varh]."""
NO_READING: AwardReading = (0, 0, 0, 0, 0, bytes(32), bytes(32))


def _leaves(book: OfferBook) -> list[Leaf]:
    return [(leaf.leaf_index, leaf.awards, leaf.proof) for leaf in award_leaves(book.awards)]


def _reading(turn: Turn, nanogrid: int, interval: int) -> Reading:
    """What the gateway measured: mostly about what was awarded, in the direction asked."""
    announced = turn.model.metering.announced.get((nanogrid, interval))
    if announced and turn.happens(0.85):
        return announced.reading
    energies = []
    for kind in (0, 1):
        index = nanogrid & 0xFFFF
        base = baselines(nanogrid >> 16, interval, kind)[index] if index < BASELINE_VALUES else 0
        energies.append(base + turn.one_of(CHANGES) * turn.one_of([-1, 1]))
    return Reading(nanogrid, interval, *energies, turn.chance.choice([1, 1, 2]))


def _signed(turn: Turn, reading: Reading, rarely: float = 0.06) -> bytes:
    """64 bytes by the gateway that is seated now, or by another key."""
    gateway = BY_ADDRESS.get(turn.model.settlement.gateways.get(reading.nanogrid, ""), STRANGER)
    signature = turn.mostly(gateway, [STRANGER, *GATEWAYS], rarely).sign_compact(turn.model.context.digest(reading))
    return turn.mostly(signature, [garbled(signature, turn.chance)], 0.02)


def _award_reading(turn: Turn, book: OfferBook, leaf: int, ordinal: int) -> AwardReading:
    award = book.awards[ordinal]
    reading = _reading(turn, book.terms.portfolio << 16 | award.index, book.terms.interval)
    signature = _signed(turn, reading)
    energies = (reading.active_energy_wh, reading.reactive_energy_varh, reading.sequence)
    return (leaf, ordinal % RECORDS_PER_LEAF, *energies, signature[:32], signature[32:])


def _forged(turn: Turn, leaf: Leaf) -> Leaf:
    """Another place, another award, another proof."""
    index, content, proof = leaf
    return turn.one_of(
        [
            (index + 1, content, proof),
            (index, content[:-1] + bytes((content[-1] ^ 1,)), proof),
            (index, content, (*proof, bytes(32))),
            (index, content, proof[1:]),
            (index, b"", proof),
            (index, content * 2, proof),
        ]
    )


# SETTLING


def settle(turn: Turn, book: OfferBook | None = None, sender: str | None = None) -> bool:
    """Some or all awards of an offer in one batch, by the verifier or by anyone."""
    book = book or turn.offer(OfferStatus.FINAL)
    sender = sender or turn.mostly(ORACLE.address, [STRANGER.address], 0.35)
    if book is None or not book.awards:
        return turn.do(sender, "Settlement", "settle", book.id if book else NO_REQUEST, b"", [], [])
    leaves = _leaves(book)
    ordinals = [at for at in range(len(book.awards)) if turn.happens(0.7)]
    readings = [_award_reading(turn, book, at // RECORDS_PER_LEAF, at) for at in turn.mostly(ordinals, [ordinals * 2])]
    if turn.happens(0.03):
        readings.append((*turn.one_of([(9, 0), (0, 8)]), *NO_READING[2:]))
    if turn.happens(0.05):
        at = turn.chance.randrange(len(leaves))
        leaves[at] = _forged(turn, leaves[at])
    vector = baseline_vector(baselines(book.terms.portfolio, book.terms.interval, book.kind))
    vector = turn.mostly(vector, [vector[:-4], vector[4:] + vector[:4]], 0.04)
    return turn.do(sender, "Settlement", "settle", book.id, vector, leaves, readings)


def settle_one(turn: Turn) -> bool:
    book = turn.offer(OfferStatus.FINAL)
    sender = turn.mostly(ORACLE.address, [STRANGER.address], 0.5)
    if book is None or not book.awards:
        id_ = book.id if book else NO_REQUEST
        return turn.do(sender, "Settlement", "settleOne", id_, (0, bytes(32), ()), (0, bytes(12), ()), NO_READING)
    ordinal = turn.chance.randrange(len(book.awards))
    leaf = _leaves(book)[ordinal // RECORDS_PER_LEAF]
    reading = turn.mostly(_award_reading(turn, book, 0, ordinal), [(0, 7, *NO_READING[2:])], 0.02)
    index = turn.mostly(book.awards[ordinal].index, [8, 0], 0.04)
    baseline = _baseline(turn, book.terms.portfolio, book.terms.interval, book.kind, index)
    return turn.do(
        sender, "Settlement", "settleOne", book.id, baseline, turn.mostly(leaf, [_forged(turn, leaf)], 0.05), reading
    )


def _baseline(turn: Turn, portfolio: int, interval: int, kind: int, index: int) -> Leaf:
    leaf = baseline_leaf(baselines(portfolio, interval, kind), min(index, BASELINE_VALUES - 1))
    given: Leaf = (leaf.leaf_index, leaf.values, leaf.proof)
    return turn.mostly(given, [(leaf.leaf_index ^ 1, leaf.values, leaf.proof), (*given[:2], ())], 0.03)


def expire_awards(turn: Turn, book: OfferBook | None = None) -> bool:
    book = book or turn.offer(OfferStatus.FINAL)
    if book is None or not book.awards:
        return turn.do(STRANGER.address, "Settlement", "expireAwards", book.id if book else NO_REQUEST, [])
    leaves = _leaves(book)
    leaves = turn.mostly(leaves, [leaves[:1], [leaves[0], leaves[0]], [_forged(turn, leaves[0])]], 0.15)
    return turn.do(STRANGER.address, "Settlement", "expireAwards", book.id, leaves)


# READINGS


def announce_reading(turn: Turn, book: OfferBook | None = None) -> None:
    nanogrid, interval = _measured(turn, book)
    reading = _reading(turn, nanogrid, interval)
    signature = _signed(turn, reading)
    turn.do(STRANGER.address, "MeteringOracle", "announceReading", reading.arguments(), signature[:32], signature[32:])


def annul_readings(turn: Turn, book: OfferBook | None = None) -> None:
    nanogrid, interval = _measured(turn, book)
    first = Reading(nanogrid, interval, 1, 1, 1)
    second = turn.mostly(
        turn.one_of([Reading(nanogrid, interval, 2, 1, 1), Reading(nanogrid, interval, 1, 2, 1)]),
        [Reading(nanogrid, interval, 1, 1, 2), Reading(nanogrid, interval ^ 1, 2, 1, 1)],
        0.15,
    )
    shown: list[object] = []
    for reading in (first, second):
        signature = _signed(turn, reading)
        shown += [reading.arguments(), (signature[:32], signature[32:])]
    turn.do(STRANGER.address, "MeteringOracle", "annulReadings", *shown)


def anchor_readings(turn: Turn) -> None:
    turn.do(turn.who(ORACLE), "MeteringOracle", "anchorReadings", turn.interval(), bytes(32), 5)


def _is_measured(turn: Turn, book: OfferBook) -> bool:
    """Whether its readings may still come."""
    calendar, interval = turn.model.calendar, book.terms.interval
    in_time = calendar.end_of(interval) <= turn.now <= calendar.reading_deadline(interval)
    return in_time and book.status is OfferStatus.FINAL and bool(book.awards)


def _measured(turn: Turn, book: OfferBook | None) -> tuple[int, int]:
    """A nanogrid and an interval, mostly of an award or a command."""
    commands = list(turn.model.signals.commands)
    if commands and book is None and turn.happens(0.3):
        return turn.one_of(commands[-4:])
    measured = [book for book in turn.model.auction.offers.values() if _is_measured(turn, book)]
    book = book or (turn.one_of(measured) if measured and turn.happens(0.8) else turn.offer(OfferStatus.FINAL))
    if book is None or not book.awards or turn.happens(0.1):
        return turn.nanogrid(), turn.interval()
    return book.terms.portfolio << 16 | turn.one_of(book.awards).index, book.terms.interval


# HOLDS


def place_hold(turn: Turn, book: OfferBook | None = None) -> None:
    book = book or turn.offer(OfferStatus.FINAL)
    if book is None or not book.awards:
        turn.do(STRANGER.address, "Settlement", "placeHold", (NO_REQUEST, 0, bytes(32)), (0, bytes(12), ()), b"")
        return
    ordinal = turn.chance.randrange(len(book.awards))
    leaf = _leaves(book)[ordinal // RECORDS_PER_LEAF]
    hold = Hold(book.id, turn.mostly(ordinal, [len(book.awards), ordinal + 8], 0.05), bytes(32))
    party = turn.one_of([*AGGREGATORS, *DSOS, ORACLE])
    sender, signature = turn.decided(turn.mostly(book.aggregator, [party.address], 0.3), hold)
    leaf = turn.mostly(leaf, [_forged(turn, leaf)], 0.03)
    turn.do(sender, "Settlement", "placeHold", hold.arguments(), leaf, signature)


def end_a_hold(turn: Turn) -> None:
    holds = turn.model.settlement.holds
    active = [place for place, hold in holds.items() if not hold.ended_at]
    place = turn.one_of(active[-3:]) if active and turn.happens(0.93) else (NO_REQUEST, 0)
    if turn.happens(0.75):
        turn.do(turn.who(REFEREE), "Settlement", "decideHold", *place, turn.happens(0.6))
    else:
        turn.do(STRANGER.address, "Settlement", "lapseHold", *place)


# COMMANDS


def command_somebody(turn: Turn) -> None:
    """RED, and a nanogrid is told what to do; mostly one that has won."""
    won = sorted(each for each in turn.model.auction.winners if each[1] >= turn.now - U)
    if won and turn.happens(0.6):
        command(turn, *turn.one_of(won)[:2])
    else:
        command(turn, turn.nanogrid(), turn.now // U * U + U * turn.chance.choice([0, 0, 1, 1, 2]))


def command(turn: Turn, nanogrid: int, interval: int) -> None:
    node = turn.model.registry.node_of(nanogrid >> 16)
    if turn.happens(0.8):
        set_signal(turn, node, interval, Phase.RED)
    given = Command(
        nanogrid,
        interval,
        turn.mostly(5, [1], 0.03),
        turn.mostly(turn.chance.randrange(2), [2], 0.03),
        turn.mostly(turn.one_of([1, 700, 2000, 40_000]), [0]),
        bytes(32),
    )
    sender, signature = turn.decided(turn.dso_of(node), given)
    turn.do(sender, "GridSignals", "giveCommand", given.arguments(), signature)


def end_a_command(turn: Turn, place: tuple[int, int] | None = None) -> None:
    commands = turn.model.settlement.commands
    open_ones = [place for place, payment in commands.items() if not payment.settled]
    over = [place for place in open_ones if turn.model.calendar.end_of(place[1]) <= turn.now]
    open_ones = turn.mostly(over or open_ones, [open_ones])
    if place is None:
        place = turn.one_of(open_ones) if open_ones else (turn.nanogrid(), turn.interval())
    nanogrid, interval = place
    if turn.happens(0.15):
        turn.do(STRANGER.address, "Settlement", "expireCommand", nanogrid, interval)
        return
    reading = _command_reading(turn, nanogrid, interval)
    offer, leaf, slot = _replaced(turn, nanogrid, interval)
    signature = _signed(turn, reading)
    energies = (reading.active_energy_wh, reading.reactive_energy_varh, reading.sequence)
    shown = (0, slot, *energies, signature[:32], signature[32:])
    baseline = _baseline(turn, nanogrid >> 16, interval, Kind.ACTIVE, nanogrid & 0xFFFF)
    sender = turn.mostly(ORACLE.address, [STRANGER.address], 0.15)
    turn.do(sender, "Settlement", "settleCommand", nanogrid, interval, baseline, shown, offer, leaf)


def _command_reading(turn: Turn, nanogrid: int, interval: int) -> Reading:
    """Mostly the command is obeyed."""
    given = turn.model.signals.commands.get((nanogrid, interval))
    announced = turn.model.metering.announced.get((nanogrid, interval))
    index = nanogrid & 0xFFFF
    if given is None or announced or index >= BASELINE_VALUES or turn.happens(0.3):
        return _reading(turn, nanogrid, interval)
    base = baselines(nanogrid >> 16, interval, Kind.ACTIVE)[index]
    return Reading(nanogrid, interval, base - given.quantity * Direction(given.direction).sign, 0, 1)


def _replaced(turn: Turn, nanogrid: int, interval: int) -> tuple[bytes, Leaf, int]:
    """The award that a command replaced, where there is one: its offer, its leaf, its slot."""
    for book in turn.model.auction.offers.values():
        if book.status is not OfferStatus.FINAL or (book.terms.portfolio, book.terms.interval) != (
            nanogrid >> 16,
            interval,
        ):
            continue
        for ordinal, award in enumerate(book.awards):
            if award.index == nanogrid & 0xFFFF and turn.happens(0.9):
                slot = turn.mostly(ordinal % RECORDS_PER_LEAF, [0, 7], 0.05)
                leaf = _leaves(book)[ordinal // RECORDS_PER_LEAF]
                return turn.mostly(book.id, [NO_REQUEST], 0.05), leaf, slot
    return NO_REQUEST, NO_LEAF, 0
