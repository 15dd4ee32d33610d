"""Readings, settlement, expiry, holds, and RED commands. How calls carry awards is known here and in model/awards."""

from __future__ import annotations

from dataclasses import replace

from market.domain.messages import Command, Hold, Reading
from market.domain.products import Direction, Kind, Phase
from market.domain.settled_records import ANNOUNCED, SettlementReading, pack_readings
from market.domain.states import OfferStatus
from market.domain.trees import award_range, baseline_leaf, baseline_vector
from market.domain.units import NO_BASELINE, P256_SIGNATURE_BYTES, RECORD_BYTES
from tests.stateful.actors import AGGREGATORS, BY_ADDRESS, DSOS, GATEWAYS, ORACLE, REFEREE, STRANGER, garbled
from tests.stateful.model.auction import OfferBook
from tests.stateful.model.awards import BaselineLeaf, Range
from tests.stateful.model.bindings import Binding, binding_of
from tests.stateful.model.refusal import ZERO_ADDRESS
from tests.stateful.model.requests import NO_REQUEST
from tests.stateful.moves.auctions import BASELINE_VALUES, baselines, set_signal
from tests.stateful.moves.turn import Turn
from tests.stateful.stage import U

NO_AWARDS: Range = (0, bytes(RECORD_BYTES), ())
CHANGES = (0, 1, 269, 270, 271, 500, 700, 900, 1000, 2000, 6000)
"""What a nanogrid may deliver: nothing, a little, just what is tolerated of an award of 300, all [Wh or varh]."""
NOT_FINAL = Binding(0, ZERO_ADDRESS, ZERO_ADDRESS, 0, bytes(32), bytes(32))


def _range(turn: Turn, book: OfferBook, first: int, last: int, rarely: float = 0.04) -> Range:
    """The awards from one ordinal to another with their proof, rarely a forged one."""
    given = award_range(book.awards, first, last).argument()
    return turn.mostly(given, _forgeries(*given), rarely)


def _forgeries(first: int, content: bytes, proof: list[bytes]) -> list[Range]:
    """Another place, another award, another proof, other leaves."""
    return [
        (first + 1, content, proof),
        (first, content[:-1] + bytes((content[-1] ^ 1,)), proof),
        (first, content, [*proof, bytes(32)]),
        (first, content, proof[1:]),
        (first, content[RECORD_BYTES:], proof),
        (first, content[1:], proof),
        (first, content * 2, proof),
    ]


def _usual(nanogrid: int, interval: int, kind: Kind) -> int:
    """What the gateway measures where nobody asks for a change: the baseline, or 0 where it has none."""
    index = nanogrid & 0xFFFF
    base = baselines(nanogrid >> 16, interval, kind)[index] if index < BASELINE_VALUES else NO_BASELINE
    return 0 if base == NO_BASELINE else base


def _reading(turn: Turn, nanogrid: int, interval: int) -> Reading:
    """What the gateway measured: mostly about what was awarded, in the direction asked."""
    announced = turn.model.metering.announced.get((nanogrid, interval))
    if announced and turn.happens(0.85):
        return announced.reading
    energies = [_usual(nanogrid, interval, kind) + turn.one_of(CHANGES) * turn.one_of([-1, 1]) for kind in Kind]
    return Reading(nanogrid, interval, *energies, turn.chance.choice([1, 1, 2]))


def _signed(turn: Turn, reading: Reading, rarely: float = 0.06) -> bytes:
    """By the gateway that is seated now, or by another key; 64 bytes, or 128 of a P-256 key."""
    gateway = BY_ADDRESS.get(turn.model.settlement.gateways.get(reading.nanogrid, ""), STRANGER)
    signature = turn.mostly(gateway, [STRANGER, *GATEWAYS], rarely).sign_compact(turn.model.context.digest(reading))
    return turn.mostly(signature, [garbled(signature, turn.chance)], 0.02)


def _award_reading(turn: Turn, book: OfferBook, ordinal: int) -> SettlementReading:
    award = book.awards[ordinal]
    reading = _reading(turn, book.terms.portfolio << 16 | award.index, book.terms.interval)
    energies = (reading.active_energy_wh, reading.reactive_energy_varh, reading.sequence)
    signature = turn.mostly(_signed(turn, reading), [bytes(P256_SIGNATURE_BYTES)], 0.02)
    return SettlementReading(ordinal, *energies, signature)


# SETTLING


def settle(turn: Turn, book: OfferBook | None = None, sender: str | None = None) -> bool:
    """Some or all awards of an offer in one batch, by the verifier or by anyone."""
    book = book or turn.offer(OfferStatus.FINAL)
    sender = sender or turn.mostly(ORACLE.address, [STRANGER.address], 0.35)
    if book is None or not book.awards:
        return turn.do(sender, "Settlement", "settle", book.id if book else NO_REQUEST, NOT_FINAL, b"", NO_AWARDS, b"")
    ordinals = [at for at in range(len(book.awards)) if turn.happens(0.7)] or [0]
    awards = _range(turn, book, ordinals[0], ordinals[-1])
    ordinals = turn.mostly(ordinals, [ordinals * 2, ordinals[::-1], [*ordinals, len(book.awards)], [0, *ordinals]])
    readings = [_award_reading(turn, book, min(at, len(book.awards) - 1)) for at in ordinals]
    packed = pack_readings(replace(each, ordinal=at) for each, at in zip(readings, ordinals, strict=True))
    packed = turn.mostly(packed, [packed[:-1], packed[:-64]], 0.02)
    vector = baseline_vector(baselines(book.terms.portfolio, book.terms.interval, book.kind))
    vector = turn.mostly(vector, [vector[:-4], vector[4:] + vector[:4]], 0.04)
    return turn.do(sender, "Settlement", "settle", book.id, _binding(turn, book), vector, awards, packed)


def _binding(turn: Turn, book: OfferBook) -> Binding:
    """What the settlement rests on, rarely with somebody else, another price or another root in it."""
    if book.status is not OfferStatus.FINAL:
        return NOT_FINAL
    given = binding_of(turn.model.settlement, book)
    others = [
        given._replace(payer=STRANGER.address),
        given._replace(aggregator=STRANGER.address),
        given._replace(terms=given.terms ^ 1 << 64),
        given._replace(awards_root=bytes(32)),
        given._replace(baseline_root=bytes(32)),
    ]
    return turn.mostly(given, others, 0.03)


def settle_award(turn: Turn) -> bool:
    book = turn.offer(OfferStatus.FINAL)
    sender = turn.mostly(ORACLE.address, [STRANGER.address], 0.5)
    if book is None or not book.awards:
        id_ = book.id if book else NO_REQUEST
        return turn.do(sender, "Settlement", "settleAward", id_, NOT_FINAL, bytes(32), b"", b"", [])
    ordinal = turn.chance.randrange(len(book.awards))
    reading = _award_reading(turn, book, ordinal)
    reading = turn.mostly(reading, [replace(reading, ordinal=ordinal + 8), replace(reading, signature=ANNOUNCED)], 0.04)
    packed = turn.mostly(reading.pack_alone(), [reading.pack()[:-1], reading.pack() + bytes(1)], 0.03)
    index = turn.mostly(book.awards[ordinal].index, [8, 0], 0.04)
    _, values, nodes = _baseline(turn, book.terms.portfolio, book.terms.interval, book.kind, index)
    _, awards, proof = _range(turn, book, ordinal, ordinal)
    shown = values, awards, packed, [*proof, *nodes]
    return turn.do(sender, "Settlement", "settleAward", book.id, _binding(turn, book), *shown)


def _baseline(turn: Turn, portfolio: int, interval: int, kind: int, index: int) -> BaselineLeaf:
    given = baseline_leaf(baselines(portfolio, interval, kind), min(index, BASELINE_VALUES - 1)).argument()
    return turn.mostly(given, [(given[0] ^ 1, *given[1:]), (*given[:2], [])], 0.03)


def expire_awards(turn: Turn, book: OfferBook | None = None) -> bool:
    book = book or turn.offer(OfferStatus.FINAL)
    if book is None or not book.awards:
        return turn.do(STRANGER.address, "Settlement", "expireAwards", book.id if book else NO_REQUEST, NO_AWARDS)
    last = len(book.awards) - 1
    first, last = turn.mostly((0, last), [(0, 0), (last, last)], 0.2)
    return turn.do(STRANGER.address, "Settlement", "expireAwards", book.id, _range(turn, book, first, last))


# READINGS


def announce_reading(turn: Turn, book: OfferBook | None = None) -> None:
    nanogrid, interval = _measured(turn, book)
    reading = _reading(turn, nanogrid, interval)
    signature = _signed(turn, reading)
    turn.do(STRANGER.address, "MeteringOracle", "announceReading", reading.arguments(), signature)


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
        shown += [reading.arguments(), _signed(turn, reading)]
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
        turn.do(STRANGER.address, "Settlement", "placeHold", (NO_REQUEST, 0, bytes(32)), NO_AWARDS, b"")
        return
    ordinal = turn.chance.randrange(len(book.awards))
    hold = Hold(book.id, turn.mostly(ordinal, [len(book.awards), ordinal + 8], 0.05), bytes(32))
    party = turn.one_of([*AGGREGATORS, *DSOS, ORACLE])
    sender, signature = turn.decided(turn.mostly(book.aggregator, [party.address], 0.3), hold)
    award = _range(turn, book, ordinal, ordinal)
    turn.do(sender, "Settlement", "placeHold", hold.arguments(), award, signature)


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
    offer, award, ordinal = _replaced(turn, nanogrid, interval)
    if offer != NO_REQUEST and turn.happens(0.5):  # where the award had begun, only an announced one counts
        given = _signed(turn, reading)
        turn.do(STRANGER.address, "MeteringOracle", "announceReading", reading.arguments(), given)
        book = turn.model.auction.offers.get(offer)
        if book is not None and turn.happens(0.5):
            settle(turn, book, ORACLE.address)
    signature = _signed(turn, reading)
    energies = (reading.active_energy_wh, reading.reactive_energy_varh, reading.sequence)
    shown = (ordinal, *energies, signature)
    baseline = _baseline(turn, nanogrid >> 16, interval, Kind.ACTIVE, nanogrid & 0xFFFF)
    sender = turn.mostly(ORACLE.address, [STRANGER.address], 0.15)
    turn.do(sender, "Settlement", "settleCommand", nanogrid, interval, baseline, shown, offer, award)


def _command_reading(turn: Turn, nanogrid: int, interval: int) -> Reading:
    """Mostly the command is obeyed."""
    given = turn.model.signals.commands.get((nanogrid, interval))
    announced = turn.model.metering.announced.get((nanogrid, interval))
    if given is None or announced or turn.happens(0.3):
        return _reading(turn, nanogrid, interval)
    base = _usual(nanogrid, interval, Kind.ACTIVE)
    return Reading(nanogrid, interval, base - given.quantity * Direction(given.direction).sign, 0, 1)


def _replaced(turn: Turn, nanogrid: int, interval: int) -> tuple[bytes, Range, int]:
    """The award that a command replaced, where there is one: its offer, its leaf, its ordinal."""
    place = (nanogrid >> 16, interval)
    for book in turn.model.auction.offers.values():
        if book.status is not OfferStatus.FINAL or (book.terms.portfolio, book.terms.interval) != place:
            continue
        for ordinal, award in enumerate(book.awards):
            if award.index == nanogrid & 0xFFFF and turn.happens(0.9):
                id_ = turn.mostly(book.id, [NO_REQUEST], 0.05)
                return id_, _range(turn, book, ordinal, ordinal), turn.mostly(ordinal, [0, 7], 0.05)
    return NO_REQUEST, NO_AWARDS, 0
