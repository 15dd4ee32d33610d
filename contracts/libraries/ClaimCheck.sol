// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IMeritOrderAuction} from "../interfaces/IMeritOrderAuction.sol";
import {BidRecord, BidRecords} from "./BidRecord.sol";
import {RecordBuffer} from "./RecordBuffer.sol";
import {Sweep} from "./Sweep.sol";
import {VectorTree} from "./VectorTree.sol";

/// @notice Proves a claim about the merit order in one pass over the bids in posting order: nothing is sorted.
/// @dev Rules are numbered as in the protocol ("Merit order"); 0 stands for no rule broken. Pure over a `Progress` in
/// memory, so that a pass can be cut into chunks anywhere. The reference twin is market/domain/claim_check.py.
library ClaimCheck {
    uint256 internal constant MAX_PASSED_OVER = 16;
    uint64 internal constant NO_MARGINAL = type(uint64).max;

    uint256 private constant _MARGINAL_SEEN = 1 << MAX_PASSED_OVER;
    uint256 private constant _AWARD_BYTES = RecordBuffer.RECORD_BYTES;
    uint256 private constant _LEAF_BYTES = VectorTree.AWARD_LEAF_BYTES;

    /// @dev What a chunk adds to the progress.
    /// @param won Whole awards [Wh or varh] by how many passed-over ranks are better than them
    /// @param minima The progress's own
    /// @param awards Award records, after the progress's pending ones
    struct Tally {
        uint256[] won;
        uint24[] minima;
        uint256 seen;
        bytes awards;
        uint8 brokenRule;
    }

    /* THE PASS */

    /// @notice Refuses a claim that names more than 16 passed-over ranks, or not in strictly increasing order.
    function requireShape(IMeritOrderAuction.Claim memory claim) internal pure {
        uint64[] memory passed = claim.passedOver;
        if (passed.length > MAX_PASSED_OVER) revert IMeritOrderAuction.TooManyPassedOver(passed.length);
        for (uint256 i = 1; i < passed.length; ++i) {
            if (passed[i] <= passed[i - 1]) revert IMeritOrderAuction.PassedOverNotSorted(i);
        }
    }

    /// @notice The progress before the first record.
    function begin(uint256 passedCount) internal pure returns (IMeritOrderAuction.Progress memory progress) {
        progress.betterThanPassed = new uint64[](passedCount);
        progress.minima = new uint24[](passedCount + 1);
    }

    /// @notice Replays a chunk of records into `progress`.
    /// @param superseded Words of the offer's superseded posts (PostCounts), empty when nobody has posted twice
    /// @param records Whole records, the ones after `progress.position`
    /// @param rejected The verdict's bitmap by position, empty when there is none
    /// @return rule 4 when the marginal bid is claimed to win more than it bid, else 0
    function replay(
        IMeritOrderAuction.Progress memory progress,
        IMeritOrderAuction.Claim memory claim,
        IMeritOrderAuction.Side side,
        uint256[] memory superseded,
        bytes calldata records,
        bytes calldata rejected
    ) internal pure returns (uint8 rule) {
        Tally memory tally = _begin(progress, claim, records.length / BidRecords.BYTES);
        Sweep.State memory sweep = _sweepOf(progress, claim, side, superseded, tally.awards);
        Sweep.aim(sweep, progress.position, records, rejected);
        // Called in two places, so that the compiler keeps it a function with a stack of its own.
        BidRecord contested = Sweep.next(sweep);
        while (BidRecord.unwrap(contested) != 0 || Sweep.passRejected(sweep)) {
            if (BidRecord.unwrap(contested) != 0) {
                _weigh(tally, claim, contested, contested.rank(side, sweep.position), sweep.position);
            }
            contested = Sweep.next(sweep);
        }
        tally.won[0] += sweep.whole;
        progress.chain = sweep.chain;
        progress.position += uint32(records.length / BidRecords.BYTES);
        _end(progress, tally);
        return tally.brokenRule;
    }

    /// @notice The first rule that the claim breaks after the whole pass, 0 when it is right.
    /// @param quantity The offer's
    function brokenRule(
        IMeritOrderAuction.Progress memory progress,
        IMeritOrderAuction.Claim memory claim,
        uint256 quantity
    ) internal pure returns (uint8) {
        uint256 passedCount = claim.passedOver.length;
        bool hasMarginal = claim.marginal != NO_MARGINAL;
        uint256 expected = ((1 << passedCount) - 1) | (hasMarginal ? _MARGINAL_SEEN : 0);
        if (progress.seen != expected) return 1;
        if (passedCount > 0 && claim.passedOver[passedCount - 1] >= claim.marginal) return 1;
        for (uint256 i = 0; i < passedCount; ++i) {
            if (uint256(progress.minima[i]) + progress.betterThanPassed[i] <= quantity) return 2;
        }
        if (progress.better > quantity) return 3;
        if (!hasMarginal) return claim.marginalQuantity == 0 ? 0 : 6;
        uint256 left = quantity - progress.better;
        uint256 least = progress.minima[passedCount];
        if (claim.marginalQuantity > 0) {
            // A bid that wins whole wins at least its minimum: one comparison serves both cases of rule 4.
            return claim.marginalQuantity == left && claim.marginalQuantity >= least ? 0 : 4;
        }
        return passedCount == MAX_PASSED_OVER && left > 0 && least > left ? 0 : 5;
    }

    /// @notice Root of the awards collected so far; 0 when there are none.
    function awardsRoot(IMeritOrderAuction.Progress memory progress) internal pure returns (bytes32) {
        if (progress.pending.length == 0) return VectorTree.root(progress.peaks);
        uint32 leaves = progress.awardCount / uint32(_LEAF_BYTES / _AWARD_BYTES);
        bytes32 last = VectorTree.leaf(leaves, progress.pending);
        bytes32[] memory peaks = VectorTree.roomy(progress.peaks);
        VectorTree.append(peaks, leaves, last);
        return VectorTree.root(peaks);
    }

    /// @notice The award records that stand after a verdict that nobody cleared again, in their order.
    /// @param awards Whole award records
    /// @param rejected The verdict's bitmap by posting position
    function withoutRejected(bytes memory awards, bytes calldata rejected)
        internal
        pure
        returns (bytes memory standing)
    {
        standing = RecordBuffer.make("", awards.length / _AWARD_BYTES);
        for (uint256 offset = 0; offset < awards.length; offset += _AWARD_BYTES) {
            BidRecord award = BidRecords.readMemory(awards, offset);
            if (_isRejected(rejected, award.minimum())) continue; // an award's position stands in place of the minimum
            RecordBuffer.push(standing, BidRecord.unwrap(award));
        }
    }

    /* ONE BID */

    function _isRejected(bytes calldata rejected, uint256 position) private pure returns (bool) {
        uint256 place = position / 8;
        return place < rejected.length && (uint8(rejected[place]) >> (position % 8)) & 1 == 1;
    }

    /// @dev Ranks below all that the claim names win whole, ranks above all of them win nothing: for most bids no detail of the claim
    /// matters.
    function _sweepOf(
        IMeritOrderAuction.Progress memory progress,
        IMeritOrderAuction.Claim memory claim,
        IMeritOrderAuction.Side side,
        uint256[] memory superseded,
        bytes memory awards
    ) private pure returns (Sweep.State memory sweep) {
        (uint256 low, uint256 high) = (claim.marginal, claim.marginal);
        uint256 passedCount = claim.passedOver.length;
        if (passedCount != 0) {
            low = Math.min(low, claim.passedOver[0]);
            high = Math.max(high, claim.passedOver[passedCount - 1]);
        }
        Sweep.bound(sweep, low, high, BidRecords.priceMask(side));
        sweep.chain = progress.chain;
        sweep.superseded = superseded;
        sweep.awards = awards;
    }

    /// @dev Takes a bid that counts into the tally.
    function _weigh(
        Tally memory tally,
        IMeritOrderAuction.Claim memory claim,
        BidRecord bid,
        uint256 rank,
        uint256 position
    ) private pure {
        uint256 passedBetter = _passedBetterThan(claim.passedOver, rank);
        if (passedBetter != 0 && claim.passedOver[passedBetter - 1] == rank) {
            tally.seen |= 1 << (passedBetter - 1);
            tally.minima[passedBetter - 1] = bid.least();
        } else if (rank < claim.marginal) {
            uint24 quantity = bid.quantity();
            tally.won[passedBetter] += quantity;
            RecordBuffer.push(tally.awards, bid.wholeAward(position));
        } else if (rank == claim.marginal) {
            tally.seen |= _MARGINAL_SEEN;
            tally.minima[claim.passedOver.length] = bid.least();
            if (claim.marginalQuantity > bid.quantity()) tally.brokenRule = 4;
            if (claim.marginalQuantity != 0) RecordBuffer.push(tally.awards, bid.award(claim.marginalQuantity, position));
        }
    }

    /// @dev How many of the passed-over ranks are better than a rank or equal to it.
    function _passedBetterThan(uint64[] memory passedOver, uint256 rank) private pure returns (uint256 better) {
        better = passedOver.length;
        while (better != 0 && rank < passedOver[better - 1]) --better;
    }

    /* THE TALLY OF A CHUNK */

    function _begin(
        IMeritOrderAuction.Progress memory progress,
        IMeritOrderAuction.Claim memory claim,
        uint256 records
    ) private pure returns (Tally memory tally) {
        tally.won = new uint256[](claim.passedOver.length + 1);
        tally.minima = progress.minima;
        tally.seen = progress.seen;
        tally.awards = RecordBuffer.make(progress.pending, records);
    }

    /// @dev Books the chunk into the progress: what was won better than a passed-over rank is what was won behind fewer of them.
    function _end(IMeritOrderAuction.Progress memory progress, Tally memory tally) private pure {
        uint64[] memory betterThanPassed = progress.betterThanPassed;
        uint64 better = 0;
        for (uint256 i = 0; i < tally.won.length; ++i) {
            better += uint64(tally.won[i]);
            if (i < betterThanPassed.length) betterThanPassed[i] += better;
        }
        progress.better += better;
        progress.seen = uint32(tally.seen);
        _grow(progress, tally.awards);
    }

    /* AWARDS */

    /// @dev Moves full leaves of `awards` into the peaks and keeps the rest as pending.
    function _grow(IMeritOrderAuction.Progress memory progress, bytes memory awards) private pure {
        uint256 leaves = progress.awardCount / (_LEAF_BYTES / _AWARD_BYTES);
        progress.awardCount += uint32((awards.length - progress.pending.length) / _AWARD_BYTES);
        bytes32[] memory peaks = VectorTree.roomy(progress.peaks);
        uint256 offset = 0;
        for (; offset + _LEAF_BYTES <= awards.length; offset += _LEAF_BYTES) {
            VectorTree.append(peaks, leaves, VectorTree.leafAt(uint32(leaves), awards, offset, _LEAF_BYTES));
            ++leaves;
        }
        progress.peaks = peaks;
        progress.pending = RecordBuffer.tail(awards, offset);
    }
}
