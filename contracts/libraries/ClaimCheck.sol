// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../interfaces/IMeritOrderAuction.sol";
import {BidRecord, BidRecords} from "./BidRecord.sol";
import {PostCounts} from "./PostCounts.sol";
import {RecordBuffer} from "./RecordBuffer.sol";
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

    /// @notice What a pass reads and does not change.
    /// @param posts Words of the offer's posts by nanogrid (PostCounts)
    struct Auction {
        IMeritOrderAuction.Side side;
        uint256[] posts;
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
    /// @param records Whole records, the ones after `progress.position`
    /// @param rejected The verdict's bitmap by position, empty when there is none
    /// @return rule 4 when the marginal bid is claimed to win more than it bid, else 0
    function replay(
        IMeritOrderAuction.Progress memory progress,
        IMeritOrderAuction.Claim memory claim,
        Auction memory auction,
        bytes calldata records,
        bytes calldata rejected
    ) internal pure returns (uint8 rule) {
        uint256 first = progress.position;
        uint256 count = records.length / BidRecords.BYTES;
        bytes memory awards = RecordBuffer.make(progress.pending, count);
        bytes32 chain = progress.chain;
        for (uint256 i = 0; i < count; ++i) {
            BidRecord bid = BidRecords.read(records, i * BidRecords.BYTES);
            chain = bid.fold(chain);
            if (!_counts(bid, auction.posts) || _isRejected(rejected, first + i)) continue;
            uint24 awarded = _weigh(progress, claim, bid, bid.rank(auction.side, first + i));
            if (awarded == 0) continue;
            if (awarded > bid.quantity()) return 4;
            RecordBuffer.push(awards, bid.award(awarded, first + i));
        }
        progress.chain = chain;
        progress.position = uint32(first + count);
        _grow(progress, awards);
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
        return VectorTree.root(VectorTree.append(progress.peaks, leaves, last));
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

    /// @dev A bid counts when it is the last post of its nanogrid and no withdrawal.
    function _counts(BidRecord bid, uint256[] memory posts) private pure returns (bool) {
        return bid.quantity() != 0 && uint256(bid.revision()) + 1 == PostCounts.postsOf(posts, bid.index());
    }

    function _isRejected(bytes calldata rejected, uint256 position) private pure returns (bool) {
        uint256 place = position / 8;
        return place < rejected.length && (uint8(rejected[place]) >> (position % 8)) & 1 == 1;
    }

    /// @dev Takes a bid that counts into the sums. Returns what it is awarded.
    function _weigh(
        IMeritOrderAuction.Progress memory progress,
        IMeritOrderAuction.Claim memory claim,
        BidRecord bid,
        uint64 rank
    ) private pure returns (uint24 awarded) {
        uint64[] memory passed = claim.passedOver;
        uint256 worse = passed.length; // passed-over ranks from here on are worse than this bid's
        while (worse > 0 && rank < passed[worse - 1]) --worse;
        if (worse > 0 && rank == passed[worse - 1]) {
            progress.seen |= uint32(1 << (worse - 1));
            progress.minima[worse - 1] = bid.least();
        } else if (rank < claim.marginal) {
            awarded = bid.quantity();
            progress.better += awarded;
            for (uint256 i = worse; i < passed.length; ++i) progress.betterThanPassed[i] += awarded;
        } else if (rank == claim.marginal) {
            progress.seen |= uint32(_MARGINAL_SEEN);
            progress.minima[passed.length] = bid.least();
            awarded = claim.marginalQuantity;
        }
    }

    /* AWARDS */

    /// @dev Moves full leaves of `awards` into the peaks and keeps the rest as pending.
    function _grow(IMeritOrderAuction.Progress memory progress, bytes memory awards) private pure {
        uint256 leaves = progress.awardCount / (_LEAF_BYTES / _AWARD_BYTES);
        progress.awardCount += uint32((awards.length - progress.pending.length) / _AWARD_BYTES);
        uint256 offset = 0;
        for (; offset + _LEAF_BYTES <= awards.length; offset += _LEAF_BYTES) {
            bytes32 leaf = VectorTree.leafAt(uint32(leaves), awards, offset, _LEAF_BYTES);
            progress.peaks = VectorTree.append(progress.peaks, leaves, leaf);
            ++leaves;
        }
        progress.pending = RecordBuffer.tail(awards, offset);
    }
}
