// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BidRecord, BidRecords} from "./BidRecord.sol";
import {PostCounts} from "./PostCounts.sol";

/// @notice Plain twin of contracts/libraries/Sweep.sol: it folds the records into the chain and stops at every one that counts, so that
/// each is weighed by ClaimCheck itself. Shows that the sweep awards nothing that the claim's rules would not, and leaves nothing out.
/// @dev For records that the offer's chain holds; others the sweep may read otherwise, for the chain refuses them in the end.
library Sweep {
    struct State {
        bytes32 chain;
        bytes records;
        uint256 offset;
        uint256 firstPosition;
        uint256 position;
        uint256 whole;
        uint256[] superseded;
        bytes awards;
        bytes rejected;
    }

    /// @dev Ranks do not matter here.
    function bound(State memory, uint256, uint256, uint256) internal pure {}

    function aim(State memory state, uint256 position, bytes calldata records, bytes calldata rejected) internal pure {
        state.firstPosition = position;
        state.records = records;
        state.rejected = rejected;
    }

    /// @dev Rejected records are among those that `next` leaves out.
    function passRejected(State memory) internal pure returns (bool) {
        return false;
    }

    function next(State memory state) internal pure returns (BidRecord) {
        while (state.offset < state.records.length) {
            BidRecord bid = BidRecords.readMemory(state.records, state.offset);
            state.position = state.firstPosition + state.offset / BidRecords.BYTES;
            state.offset += BidRecords.BYTES;
            state.chain = bid.fold(state.chain);
            if (_counts(state, bid)) return bid;
        }
        return BidRecord.wrap(0);
    }

    /// @dev "A record counts when its revision is the last one posted by that nanogrid (posts - 1), its quantity is not 0 and its position
    /// is not rejected."
    function _counts(State memory state, BidRecord bid) private pure returns (bool) {
        if (bid.quantity() == 0) return false;
        if (_isSuperseded(state.superseded, bid)) return false;
        uint256 place = state.position / 8;
        if (place >= state.rejected.length) return true;
        return (uint8(state.rejected[place]) >> (state.position % 8)) % 2 == 0;
    }

    /// @dev Whether the nanogrid has posted again: not where there are no words, and never after a third post.
    function _isSuperseded(uint256[] memory words, BidRecord bid) private pure returns (bool) {
        if (bid.revision() >= PostCounts.SUPERSEDED_DEPTH) return false;
        uint256 place = PostCounts.placeOfSuperseded(bid.index(), bid.revision());
        return place < words.length && PostCounts.isIn(words[place], bid.index());
    }
}
