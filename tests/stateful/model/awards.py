"""The model of how awards, commands and holds end. How calls carry awards and proofs is known here alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from market.domain.errors import Skip
from market.domain.messages import Hold, Reading
from market.domain.products import Direction, Kind, Side
from market.domain.records import AwardRecord, pack_awards
from market.domain.settled_records import READING_BYTES, AwardResult
from market.domain.settlement import (
    AwardSettlement,
    AwardTerms,
    command_due_ueur,
    interrupted,
    settle_annulled,
    settle_award,
    settle_command,
    settle_hold_upheld,
    settle_missing,
    settle_revoked,
)
from market.domain.states import OfferStatus
from market.domain.trees import award_range, award_root, baseline_root, baseline_values, leaf_hash, root_of_range
from market.domain.units import NO_BASELINE, P256_SIGNATURE_BYTES, RECORD_BYTES, RECORDS_PER_LEAF, SIGNATURE_BYTES
from tests.stateful.model.bindings import STATUS_AT, Binding, require_bound
from tests.stateful.model.refusal import ZERO_ADDRESS, Context, Refused
from tests.stateful.model.registry import ORACLE
from tests.stateful.model.settlement import HoldState, SettlementModel, command_escrow, hold_escrow

if TYPE_CHECKING:
    from tests.stateful.model.auction import OfferBook

NO_OFFER = bytes(32)
VALUE_BYTES = 4
LEAF_BYTES = RECORD_BYTES * RECORDS_PER_LEAF
P256_FLAG = 2**23

Range = tuple[int, bytes, Sequence[bytes]]
"""AwardRange: first leaf, awards, proof."""
BaselineLeaf = tuple[int, bytes, Sequence[bytes]]
"""Leaf, values, proof."""
AwardReading = tuple[int, int, int, int, bytes]
"""Ordinal, active energy, reactive energy, sequence, signature."""


@dataclass
class Judgement:
    """How an award would end, if nothing keeps it from that."""

    ordinal: int
    award: AwardRecord
    end: AwardSettlement | None = None
    skip: Skip = Skip.NONE
    is_missing: bool = False


def split_readings(packed: bytes) -> Iterator[AwardReading]:
    """The readings of `settle`, one after the other; refused at the last one where that is not whole."""
    at = 0
    while at < len(packed):
        ordinal = int.from_bytes(packed[at : at + 3], "big")
        active, reactive = (int.from_bytes(packed[at + by : at + by + 4], "big", signed=True) for by in (3, 7))
        sequence = int.from_bytes(packed[at + 11 : at + READING_BYTES], "big")
        end = at + READING_BYTES + (P256_SIGNATURE_BYTES if ordinal & P256_FLAG else SIGNATURE_BYTES)
        if end > len(packed):
            raise Refused("MalformedReadings", len(packed))
        yield (ordinal % P256_FLAG, active, reactive, sequence, packed[at + READING_BYTES : end])
        at = end


def only_reading(packed: bytes) -> AwardReading:
    """The reading of `settleAward`, which needs no signature."""
    if len(packed) == READING_BYTES:  # of either kind: the flag says how long a signature would be
        packed = bytes((packed[0] & 0x7F,)) + packed[1:] + bytes(SIGNATURE_BYTES)
    readings = list(split_readings(packed))
    if len(readings) != 1:
        raise Refused("MalformedReadings", len(packed))
    return readings[0]


@dataclass
class AwardsModel:
    """The calls of Settlement that end something."""

    context: Context
    settlement: SettlementModel

    # AWARDS

    def settle(
        self, sender: str, offer: bytes, binding: Binding, baselines: bytes, awards: Range, readings: bytes
    ) -> None:
        book = self._final(offer, binding)
        self._require_over(book.terms.interval)
        self._require_baselines(book, binding, baselines)
        self._require_range(book, awards, binding)
        judgements = []
        for reading in split_readings(readings):
            judgement = self._award_at(book, awards, reading[0])
            judgements.append(judgement)
            index = judgement.award.index
            if (index + 1) * VALUE_BYTES > len(baselines):
                raise Refused("WrongBaselines", offer)
            value = self._given(offer, baseline_values(baselines)[index])
            self._judge_reading(sender, book, judgement, reading, value)
        require_bound(self.settlement, book, binding)
        self._book(book, judgements)

    def settle_award(
        self,
        sender: str,
        offer: bytes,
        binding: Binding,
        baselines: bytes,
        awards: bytes,
        packed: bytes,
        proof: Sequence[bytes],
    ) -> None:
        book = self._final(offer, binding)
        self._require_over(book.terms.interval)
        reading = only_reading(packed)
        if reading[0] >= len(book.awards):
            raise Refused("AwardNotGiven", offer, reading[0])
        leaf, nodes = reading[0] // RECORDS_PER_LEAF, award_range(book.awards, reading[0], reading[0]).proof
        if len(awards) % RECORD_BYTES:
            raise Refused("MalformedAwards", len(awards))
        if len(awards) == 0 or len(awards) > LEAF_BYTES or len(proof) < len(nodes):
            raise Refused("WrongAwardProof", offer, leaf)
        self._require_range(book, (leaf, awards, proof[: len(nodes)]), binding)
        judgement = Judgement(reading[0], book.awards[reading[0]])
        index = judgement.award.index
        baseline = (index // RECORDS_PER_LEAF, baselines, proof[len(nodes) :])
        value = self._proven_baseline(offer, book.session, index, baseline)
        if binding.baseline_root != self.settlement.metering.baselines[book.session].root:
            raise Refused("WrongBaselines", offer)
        self._judge_reading(sender, book, judgement, reading, value)
        require_bound(self.settlement, book, binding)
        self._book(book, [judgement])

    def expire_awards(self, sender: str, offer: bytes, awards: Range) -> None:
        book = self._final(offer)
        self._require_range(book, awards)
        first = awards[0] * RECORDS_PER_LEAF
        ordinals = range(first, first + len(awards[1]) // RECORD_BYTES)
        judgements = [self._award_at(book, awards, ordinal) for ordinal in ordinals]
        for judgement in judgements:
            self._judge_missing(book, judgement)
        self._book(book, judgements)

    def _final(self, offer: bytes, binding: Binding | None = None) -> OfferBook:
        book = self.settlement.auction.offers.get(offer)
        says_so = binding is None or binding.terms >> STATUS_AT == OfferStatus.FINAL
        if book is None or book.status is not OfferStatus.FINAL or not says_so:
            raise Refused("OfferNotFinal", offer)
        return book

    def _require_over(self, interval: int) -> None:
        if self.context.now < self.settlement.calendar.end_of(interval):
            raise Refused("IntervalNotOver", interval)

    @staticmethod
    def _require_baselines(book: OfferBook, binding: Binding, baselines: bytes) -> None:
        fits = binding.baseline_count and len(baselines) == binding.baseline_count * VALUE_BYTES
        if not fits or baseline_root(baselines) != binding.baseline_root:
            raise Refused("WrongBaselines", book.id)

    @staticmethod
    def _require_range(book: OfferBook, given: Range, binding: Binding | None = None) -> None:
        """The awards stand at their place, in whole leaves; only one proof proves that."""
        first, content, proof = given
        size = len(content)
        if size == 0 or size % RECORD_BYTES:
            raise Refused("MalformedAwards", size)
        flat, start = pack_awards(book.awards), first * LEAF_BYTES
        is_whole = size % LEAF_BYTES == 0 or start + size == len(flat)
        if not is_whole or flat[start : start + size] != content:
            raise Refused("WrongAwardProof", book.id, first)
        if binding and binding.awards_root != award_root(book.awards):
            raise Refused("WrongAwardProof", book.id, first)
        first_ordinal = first * RECORDS_PER_LEAF
        if tuple(proof) != award_range(flat, first_ordinal, first_ordinal + size // RECORD_BYTES - 1).proof:
            raise Refused("WrongAwardProof", book.id, first)

    @staticmethod
    def _award_at(book: OfferBook, given: Range, ordinal: int) -> Judgement:
        first = given[0] * RECORDS_PER_LEAF
        if not first <= ordinal < first + len(given[1]) // RECORD_BYTES:
            raise Refused("AwardNotGiven", book.id, ordinal)
        return Judgement(ordinal, book.awards[ordinal])

    def _proven_baseline(self, offer: bytes, session: tuple[int, int, int], index: int, leaf: BaselineLeaf) -> int:
        anchor = self.settlement.metering.baselines.get(session)
        count = anchor.count if anchor else 0
        in_place = index < count and leaf[0] == index // RECORDS_PER_LEAF
        nodes, leaves = [leaf_hash(leaf[0], leaf[1])], -(-count // RECORDS_PER_LEAF)
        if not in_place or anchor is None or root_of_range(leaf[0], nodes, leaves, leaf[2]) != anchor.root:
            raise Refused("WrongBaselines", offer)
        return self._given(offer, baseline_values(leaf[1])[index % RECORDS_PER_LEAF])

    @staticmethod
    def _given(offer: bytes, baseline: int) -> int:
        """Nothing is settled against a baseline that a nanogrid does not have."""
        if baseline == NO_BASELINE:
            raise Refused("WrongBaselines", offer)
        return baseline

    # JUDGING

    def _judge_reading(
        self, sender: str, book: OfferBook, judgement: Judgement, reading: AwardReading, baseline: int
    ) -> None:
        if self._ends_without_reading(book, judgement):
            return
        given = Reading(self._nanogrid(book, judgement.award), book.terms.interval, *reading[1:4])
        is_interrupted = self._is_interrupted(given.nanogrid, given.interval)
        judgement.skip = self._check(sender, given, reading[4], must_be_announced=is_interrupted)
        terms = self.settlement.terms_of(book, judgement.award)
        end = settle_award(terms, baseline, self._metered(book.kind, given))
        judgement.end = interrupted(end) if is_interrupted else end

    def _judge_missing(self, book: OfferBook, judgement: Judgement) -> None:
        if self._ends_without_reading(book, judgement):
            return
        judgement.is_missing = True
        end = settle_missing(self.settlement.terms_of(book, judgement.award))
        nanogrid = self._nanogrid(book, judgement.award)
        judgement.end = interrupted(end) if self._is_interrupted(nanogrid, book.terms.interval) else end
        if self.context.now < self.reading_deadline(nanogrid, book.terms.interval):
            judgement.skip = Skip.DEADLINE_NOT_REACHED

    def _ends_without_reading(self, book: OfferBook, judgement: Judgement) -> bool:
        """RED before the interval, which stands since it has begun or by a command, or readings that differ."""
        terms, interval = self.settlement.terms_of(book, judgement.award), book.terms.interval
        nanogrid = self._nanogrid(book, judgement.award)
        stands = interval <= self.context.now or (nanogrid, interval) in self.settlement.signals.commands
        if 0 < self._red_since(nanogrid, interval) < interval and stands:
            judgement.end = settle_revoked(terms)
        elif (nanogrid, interval) in self.settlement.metering.annulled:
            judgement.end = settle_annulled(terms)
        return judgement.end is not None

    def _is_interrupted(self, nanogrid: int, interval: int) -> bool:
        """A command beside awards that had begun before RED."""
        is_commanded = (nanogrid, interval) in self.settlement.signals.commands
        return is_commanded and self._red_since(nanogrid, interval) >= interval

    def _red_since(self, nanogrid: int, interval: int) -> int:
        return self.settlement.signals.light(self.settlement.registry.node_of(nanogrid >> 16), interval).red_since

    def _check(self, sender: str, given: Reading, signature: bytes, *, must_be_announced: bool) -> Skip:
        """Whether a reading counts: a verifier's by its signature, any other, or one without, by its announcement."""
        is_verifier = self.settlement.registry.has_role(ORACLE, sender)
        if is_verifier and any(signature[:32]) and not must_be_announced:
            signer = self.context.gateway_signer(given, signature)
            is_gateways = signer is not None and signer == self.settlement.gateways.get(given.nanogrid)
            return Skip.NONE if is_gateways else Skip.BAD_SIGNATURE
        announced = self.settlement.metering.announced.get((given.nanogrid, given.interval))
        if announced is None or announced.reading != given:
            return Skip.NOT_ANNOUNCED
        waited = self.context.now >= announced.announced_at + self.settlement.parameters.hold_window_s
        return Skip.NONE if is_verifier or waited else Skip.HOLD_WINDOW_OPEN

    def reading_deadline(self, nanogrid: int, interval: int) -> int:
        """From then on an award without a reading expires [epoch s]."""
        parameters = self.settlement.parameters
        deadline = self.settlement.calendar.reading_deadline(interval)
        announced = self.settlement.metering.announced.get((nanogrid, interval))
        if announced is None or self.context.now < deadline:
            return deadline
        return max(deadline, announced.announced_at + parameters.hold_window_s + parameters.reading_deadline_s)

    @staticmethod
    def _nanogrid(book: OfferBook, award: AwardRecord) -> int:
        return book.terms.portfolio << 16 | award.index

    @staticmethod
    def _metered(kind: int, given: Reading) -> int:
        return given.active_energy_wh if kind == Kind.ACTIVE else given.reactive_energy_varh

    # BOOKING

    def _book(self, book: OfferBook, judgements: Iterable[Judgement]) -> None:
        results = b""
        for judgement in judgements:
            skip = self._skip(book, judgement)
            if skip is Skip.NONE:
                results += self._end(book, judgement).pack()
            else:
                self.context.emit("AwardSkipped", book.id, judgement.ordinal, skip)
        if results:
            self.context.emit("AwardsSettled", book.id, results)

    def _skip(self, book: OfferBook, judgement: Judgement) -> Skip:
        place = (book.id, judgement.ordinal)
        if place in self.settlement.settled:
            return Skip.ALREADY_SETTLED
        hold = self.settlement.holds.get(place)
        if hold and not hold.ended_at:
            return Skip.ON_HOLD
        restarted = hold.ended_at + self.settlement.parameters.reading_deadline_s if hold else 0
        if judgement.is_missing and self.context.now < restarted:
            return Skip.DEADLINE_NOT_REACHED
        return judgement.skip

    def _end(self, book: OfferBook, judgement: Judgement) -> AwardResult:
        end, ledger = judgement.end, self.settlement.ledger
        assert end is not None
        nanogrid = self._nanogrid(book, judgement.award)
        self.settlement.settled[book.id, judgement.ordinal] = end.outcome
        payer = self.settlement.payer_of(book)
        ledger.take_escrow(book.id, end.reserve_ueur)
        if book.terms.side == Side.BUY:
            assert end.reserve_ueur == end.paid_ueur + end.margin_ueur + end.refunded_ueur
            ledger.credit_seat(nanogrid, end.paid_ueur)
            self.settlement.note_payment(nanogrid, book.terms.interval, int(book.kind), end.paid_ueur, end.paid_ueur)
        else:
            from_balance = min(end.paid_ueur, ledger.seats[nanogrid])
            ledger.take_from_seat(nanogrid, from_balance)
            from_bond = ledger.charge(nanogrid, book.aggregator, end.paid_ueur - from_balance)
            ledger.credit_account(book.aggregator, from_balance + from_bond)
        penalty = ledger.charge(nanogrid, payer, end.penalty_ueur)
        ledger.credit_account(payer, end.refunded_ueur + penalty)
        ledger.credit_account(book.aggregator, end.margin_ueur)
        return AwardResult(judgement.ordinal, end.outcome, end.delivered, end.baseline or 0, end.metered or 0)

    # COMMANDS

    def settle_command(
        self,
        sender: str,
        nanogrid: int,
        interval: int,
        baseline: BaselineLeaf,
        reading: AwardReading,
        award_offer: bytes,
        award: Range,
    ) -> None:
        self._require_open_command(nanogrid, interval)
        self._require_over(interval)
        given = Reading(nanogrid, interval, *reading[1:4])
        kind = self.settlement.command_kind(nanogrid, interval)
        is_annulled = (nanogrid, interval) in self.settlement.metering.annulled
        has_begun = (nanogrid, interval, kind) in self.settlement.auction.winners and self._is_interrupted(
            nanogrid, interval
        )
        skip = self._check(sender, given, reading[4], must_be_announced=has_begun)
        skip = Skip.ANNULLED_READING if is_annulled else skip
        if skip is Skip.BAD_SIGNATURE:
            raise Refused("BadReadingSignature", nanogrid, interval)
        if skip is not Skip.NONE:
            raise Refused("CommandNotSettleable", nanogrid, interval, skip)
        index = nanogrid & 0xFFFF
        value = self._proven_baseline(award_offer, (nanogrid >> 16, interval, kind), index, baseline)
        beside = self._award_beside(nanogrid, interval, kind, award_offer, award, reading[0])
        self._end_command(nanogrid, interval, beside, value, self._metered(kind, given))

    def expire_command(self, sender: str, nanogrid: int, interval: int) -> None:
        self._require_open_command(nanogrid, interval)
        deadline = self.reading_deadline(nanogrid, interval)
        is_annulled = (nanogrid, interval) in self.settlement.metering.annulled
        if not is_annulled and self.context.now < deadline:
            raise Refused("DeadlineNotReached", deadline)
        self._end_command(nanogrid, interval, None, 0, 0)

    def _require_open_command(self, nanogrid: int, interval: int) -> None:
        payment = self.settlement.commands.get((nanogrid, interval))
        if payment is None:
            raise Refused("UnknownCommand", nanogrid, interval)
        if payment.settled:
            raise Refused("CommandAlreadySettled", nanogrid, interval)

    def _award_beside(
        self, nanogrid: int, interval: int, kind: int, offer: bytes, given: Range, ordinal: int
    ) -> AwardTerms | None:
        """The award of the command's kind, which must be shown where there is one."""
        if (nanogrid, interval, kind) not in self.settlement.auction.winners:
            return None
        if offer == NO_OFFER:
            raise Refused("ReplacedAwardMissing", nanogrid, interval)
        book = self._final(offer)
        self._require_range(book, given)
        award = self._award_at(book, given, ordinal).award
        if (self._nanogrid(book, award), book.terms.interval, book.kind) != (nanogrid, interval, kind):
            raise Refused("ReplacedAwardMissing", nanogrid, interval)
        return self.settlement.terms_of(book, award)

    def _end_command(
        self, nanogrid: int, interval: int, beside: AwardTerms | None, baseline: int, metered: int
    ) -> None:
        ledger, payment = self.settlement.ledger, self.settlement.commands[nanogrid, interval]
        command = self.settlement.signals.commands[nanogrid, interval]
        payment.settled = True
        id_ = command_escrow(nanogrid, interval)
        reserve, balance = ledger.escrows[id_], ledger.accounts[payment.dso].balance
        direction = Direction(command.direction)
        emergency = self.settlement.registry.seats[nanogrid].emergency_price
        has_begun = self._is_interrupted(nanogrid, interval)
        end = settle_command(
            command.quantity, direction, emergency, reserve, balance, baseline, metered, beside, has_begun=has_begun
        )
        ledger.take_escrow(id_, reserve)
        ledger.credit_account(payment.dso, end.refunded_ueur)
        ledger.debit_account(payment.dso, end.from_balance_ueur)
        if end.unpaid_ueur:
            ledger.add_account_debt(payment.dso, nanogrid, end.unpaid_ueur)
        ledger.credit_seat(nanogrid, end.paid_ueur)
        kind = self.settlement.command_kind(nanogrid, interval)
        worth = command_due_ueur(end.delivered, emergency, beside)
        self.settlement.note_payment(nanogrid, interval, kind, end.paid_ueur + end.unpaid_ueur, worth)
        energies = (end.delivered, baseline, metered)
        money = (end.paid_ueur, end.refunded_ueur, end.unpaid_ueur)
        self.context.emit("CommandSettled", nanogrid, interval, *energies, *money)

    # HOLDS

    def place_hold(self, sender: str, hold: tuple[bytes, int, bytes], award: Range, signature: bytes) -> None:
        given = Hold(*hold)
        signer = self.context.signer_or_nobody(sender, given, signature)
        book, place = self._final(given.offer), (given.offer, given.ordinal)
        self._require_range(book, award)
        self._award_at(book, award, given.ordinal)
        registry = self.settlement.registry
        node_dso = registry.nodes[registry.node_of(book.terms.portfolio)]
        parties = {book.aggregator, self.settlement.payer_of(book), node_dso} - {ZERO_ADDRESS}
        if signer not in parties and not registry.has_role(ORACLE, signer):
            raise Refused("NotHoldParty", given.offer, signer)
        if place in self.settlement.settled:
            raise Refused("AlreadySettled", *place)
        if place in self.settlement.holds:
            raise Refused("HoldExists", *place)
        bond = self.settlement.parameters.hold_bond_ueur
        self.settlement.ledger.require_balance(signer, bond)
        decide_by = self.context.now + self.settlement.parameters.hold_term_s
        self.settlement.holds[place] = HoldState(signer, decide_by)
        self.settlement.ledger.lock(hold_escrow(*place), signer, bond)
        self.context.emit("HoldPlaced", *place, signer, given.reason, decide_by)

    def decide_hold(self, sender: str, offer: bytes, ordinal: int, upheld: bool) -> None:
        self.settlement.require_referee(sender)
        if self.context.now > self._active_hold(offer, ordinal).decide_by:
            raise Refused("HoldTermOver", offer, ordinal)
        self._end_hold(offer, ordinal, upheld=upheld, lapsed=False)

    def lapse_hold(self, sender: str, offer: bytes, ordinal: int) -> None:
        decide_by = self._active_hold(offer, ordinal).decide_by
        if self.context.now <= decide_by:
            raise Refused("HoldTermRunning", offer, ordinal, decide_by)
        self._end_hold(offer, ordinal, upheld=False, lapsed=True)

    def _active_hold(self, offer: bytes, ordinal: int) -> HoldState:
        hold = self.settlement.holds.get((offer, ordinal))
        if hold is None or hold.ended_at:
            raise Refused("UnknownHold", offer, ordinal)
        return hold

    def _end_hold(self, offer: bytes, ordinal: int, *, upheld: bool, lapsed: bool) -> None:
        hold, book = self.settlement.holds[offer, ordinal], self.settlement.auction.offers[offer]
        hold.ended_at = self.context.now
        self.context.emit("HoldDecided", offer, ordinal, upheld, lapsed)
        award, ledger = book.awards[ordinal], self.settlement.ledger
        nanogrid, bond = self._nanogrid(book, award), self.settlement.parameters.hold_bond_ueur
        ledger.take_escrow(hold_escrow(offer, ordinal), bond)
        if not upheld:
            ledger.credit_seat(nanogrid, bond)
            return
        charged = min(bond, ledger.liable(nanogrid))
        ledger.charge_bond(nanogrid, hold.holder, charged)
        ledger.credit_account(hold.holder, bond + charged)
        self._book(book, [Judgement(ordinal, award, settle_hold_upheld(self.settlement.terms_of(book, award)))])
