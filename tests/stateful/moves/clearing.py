"""Clearing by claims, right and forged, verdicts, and final results."""

from __future__ import annotations

from dataclasses import replace

from market.domain.claim_check import Progress, check_chunk
from market.domain.merit_order import Claim, claim_of, clear_greedy
from market.domain.messages import Verdict
from market.domain.products import Side
from market.domain.records import AwardRecord, PostedBid, pack_awards, pack_bids, rejected_bitmap, rejected_positions
from market.domain.states import OfferStatus
from market.domain.units import NO_MARGINAL
from tests.stateful.actors import STRANGER
from tests.stateful.model.auction import OfferBook
from tests.stateful.model.requests import NO_REQUEST
from tests.stateful.moves.turn import Turn


def _rejected(turn: Turn, book: OfferBook) -> bytes:
    """The verdict's bitmap where it is to be applied."""
    verdict = turn.model.signals.verdicts.get(book.id)
    applies = book.status is OfferStatus.CLEARED and verdict is not None and not book.cleared_again
    return verdict.bitmap if applies and verdict else b""


def clear(turn: Turn, book: OfferBook | None = None) -> bool:
    """The right claim, in one transaction or in chunks."""
    book = book or turn.offer(OfferStatus.OPEN, OfferStatus.CLEARED)
    if book is None:
        return _clear(turn, NO_REQUEST, Claim(NO_MARGINAL, 0), b"", b"")
    rejected = turn.mostly(_rejected(turn, book), [b"\1", b""], 0.05)
    claim = turn.model.auction.right_claim(book, rejected)
    cuts = (
        sorted(turn.chance.sample(range(1, len(book.bids)), min(2, len(book.bids) - 1))) if len(book.bids) > 2 else []
    )
    if turn.happens(0.5):
        cuts = []
    progress: Progress | None = None
    for first, end in zip([0, *cuts], [*cuts, len(book.bids)], strict=True):
        chunk = book.bids[first:end]
        if not _clear(turn, book.id, claim, pack_bids(chunk), rejected, progress):
            return False
        if turn.happens(0.15):
            forge_claim(turn, book)
        positions = rejected_positions(rejected)
        progress, _ = check_chunk(Side(book.terms.side), claim, chunk, book.posts, positions, progress)
    return True


def forge_claim(turn: Turn, book: OfferBook | None = None) -> None:
    """Wrong claims, wrong records, wrong progress: none may pass, unless it gives the very same awards."""
    book = book or turn.offer(OfferStatus.OPEN, OfferStatus.CLEARED)
    if book is None or not book.bids:
        return
    rejected = _rejected(turn, book)
    true = turn.model.auction.right_claim(book, rejected)
    for _ in range(turn.chance.choice([1, 3, 6])):
        claim, records, progress = true, list(book.bids), None
        forgery = turn.chance.randrange(7)
        if forgery == 0:
            records = _other_records(turn, book)
        elif forgery == 1 and book.reached:
            reached_claim, _, reached = turn.one_of(sorted(book.reached, key=repr))
            progress = turn.one_of(
                [reached, replace(reached, better=reached.better + 1), replace(reached, seen=reached.seen ^ 1)]
            )
            claim = turn.one_of([true, reached_claim])
            records = book.bids[reached.position :]
        elif forgery > 4 and _awards(book, rejected):
            claim = _without_an_award(turn, book, rejected)
        else:
            claim = _other_claim(turn, book, true)
        _clear(turn, book.id, claim, pack_bids(records), rejected, progress)


def _awards(book: OfferBook, rejected: bytes) -> tuple[AwardRecord, ...]:
    return clear_greedy(book.terms.quantity, Side(book.terms.side), book.bids, rejected_positions(rejected)).awards


def _without_an_award(turn: Turn, book: OfferBook, rejected: bytes) -> Claim:
    """Right in all but one thing: a bid that should win is passed over, often the very one that fits exactly."""
    side, positions = Side(book.terms.side), rejected_positions(rejected)
    awards = _awards(book, rejected)
    victim = turn.one_of([turn.one_of(awards), max(awards, key=lambda award: book.bids[award.position].rank(side))])
    rest = claim_of(clear_greedy(book.terms.quantity, side, book.bids, positions | {victim.position}))
    passed = {*rest.passed_over, book.bids[victim.position].rank(side)}
    return replace(rest, passed_over=tuple(sorted(passed)))


def _other_claim(turn: Turn, book: OfferBook, true: Claim) -> Claim:
    ranks = sorted(bid.rank(Side(book.terms.side)) for bid in book.bids)
    passed = list(true.passed_over)
    change = turn.chance.randrange(6)
    if change == 0:
        return replace(true, marginal=turn.one_of([*ranks, NO_MARGINAL]))
    if change == 1:
        quantity = true.marginal_quantity + turn.one_of([-1, 1, 5])
        return replace(true, marginal_quantity=max(0, min(quantity, 2**24 - 1)))
    if change == 2:
        passed = sorted({*passed, turn.one_of(ranks)})
    elif change == 3 and passed:
        passed.remove(turn.one_of(passed))
    elif change == 4:
        passed = turn.one_of([list(range(17)), [ranks[0], ranks[0]], ranks[:3][::-1], ranks[:16]])
    else:
        marginal = turn.one_of(ranks)
        better = [rank for rank in ranks if rank < marginal]
        passed = sorted(turn.chance.sample(better, min(len(better), turn.chance.randrange(4))))
        return Claim(marginal, turn.chance.choice([0, 1, 300, true.marginal_quantity]), tuple(passed))
    return replace(true, passed_over=tuple(passed[:18]))


def _other_records(turn: Turn, book: OfferBook) -> list[PostedBid]:
    """Omitted, reordered, posted again, or changed."""
    records, at = list(book.bids), turn.chance.randrange(len(book.bids))
    change = turn.chance.randrange(4)
    if change == 0:
        records.pop(at)
    elif change == 1:
        turn.chance.shuffle(records)
    elif change == 2:
        records.append(records[at])
    else:
        record = records[at].record
        records[at] = replace(records[at], record=replace(record, reserved=not record.reserved))
    return records


def _clear(
    turn: Turn, offer: bytes, claim: Claim, records: bytes, rejected: bytes, progress: Progress | None = None
) -> bool:
    claimed = (claim.marginal, claim.marginal_quantity, list(claim.passed_over))
    records = turn.mostly(records, [records[:-1]], 0.01)
    return turn.do(STRANGER.address, "MeritOrderAuction", "clear", offer, claimed, records, rejected, progress)


def give_verdict(turn: Turn, book: OfferBook | None = None) -> bool:
    book = book or turn.offer(OfferStatus.CLEARED)
    id_, positions = NO_REQUEST, []
    if book:
        id_, positions = book.id, [award.position for award in book.awards]
    rejected = rejected_bitmap(turn.chance.sample(positions, min(len(positions), turn.chance.randrange(4))))
    verdict = Verdict(id_, turn.mostly(rejected, [rejected + bytes(2), bytes(40)], 0.05), bytes(32))
    node = turn.model.registry.node_of(book.terms.portfolio) if book else 7
    sender, signature = turn.decided(turn.dso_of(node), verdict)
    return turn.do(sender, "GridSignals", "giveVerdict", verdict.arguments(), signature)


def finalise(turn: Turn, book: OfferBook | None = None) -> bool:
    book = book or turn.offer(OfferStatus.CLEARED)
    if book is None:
        return turn.do(STRANGER.address, "MeritOrderAuction", "finalise", NO_REQUEST, b"", b"")
    awards = pack_awards(book.awards)
    awards = turn.mostly(awards, [awards[12:], awards + awards[:12], awards[1:]], 0.05)
    rejected = turn.mostly(_rejected(turn, book), [b"", b"\1"], 0.04)
    return turn.do(STRANGER.address, "MeritOrderAuction", "finalise", book.id, awards, rejected)
