// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BidRecord} from "contracts/libraries/BidRecord.sol";
import {PostCounts} from "contracts/libraries/PostCounts.sol";
import {PostingLane} from "contracts/libraries/PostingLane.sol";
import {RecordBuffer} from "contracts/libraries/RecordBuffer.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice A post is counted for its nanogrid and for no other.
contract PostCountsProofs is Symbolic {
    function check_a_post_has_a_bit_of_its_own(uint16 index, uint8 revision, uint16 other, uint8 revisionOfOther)
        external
        pure
    {
        vm.assume(revision < PostCounts.DEPTH && revisionOfOther < PostCounts.DEPTH);
        uint256 place = PostCounts.placeOf(index, revision);
        bool sameBit = place == PostCounts.placeOf(other, revisionOfOther)
            && PostCounts.isIn(1 << (index % PostCounts.INDICES_PER_WORD), other);
        assert(sameBit == (index == other && revision == revisionOfOther));
        assert(place < 768); // 2^16 indices, 256 a word, three words each
    }

    /// @dev It is the bit of the post after it.
    function check_a_superseded_post_has_a_bit_of_its_own(uint16 index, uint8 revision, uint16 other, uint8 revisionOfOther)
        external
        pure
    {
        vm.assume(revision < PostCounts.SUPERSEDED_DEPTH && revisionOfOther < PostCounts.SUPERSEDED_DEPTH);
        uint256 place = PostCounts.placeOfSuperseded(index, revision);
        bool sameBit = place == PostCounts.placeOfSuperseded(other, revisionOfOther)
            && PostCounts.isIn(1 << (index % PostCounts.INDICES_PER_WORD), other);
        assert(sameBit == (index == other && revision == revisionOfOther));
        assert(place < 512); // 2^16 indices, 256 a word, two words each
        assert(PostCounts.placeOfPosts(place) == PostCounts.placeOf(index, uint256(revision) + 1));
    }

    function check_a_first_post_is_counted_once(PostingLane.Seats memory seats, uint96 word) external pure {
        _countedOnce(seats, word, 0);
    }

    function check_a_second_post_is_counted_once(PostingLane.Seats memory seats, uint96 word) external pure {
        _countedOnce(seats, word, 1);
    }

    function check_a_third_post_is_counted_once(PostingLane.Seats memory seats, uint96 word) external pure {
        _countedOnce(seats, word, 2);
    }

    function check_a_fourth_post_is_never_next(PostingLane.Seats memory seats, uint96 word) external pure {
        assert(!PostingLane.isNext(seats, _withRevision(word, 3)));
    }

    function check_a_first_post_is_no_other_nanogrids(PostingLane.Seats memory seats, uint96 word, uint16 other)
        external
        pure
    {
        _notCountedForAnother(seats, word, 0, other);
    }

    function check_a_second_post_is_no_other_nanogrids(PostingLane.Seats memory seats, uint96 word, uint16 other)
        external
        pure
    {
        _notCountedForAnother(seats, word, 1, other);
    }

    function check_a_third_post_is_no_other_nanogrids(PostingLane.Seats memory seats, uint96 word, uint16 other)
        external
        pure
    {
        _notCountedForAnother(seats, word, 2, other);
    }

    function _notCountedForAnother(PostingLane.Seats memory seats, uint96 word, uint96 revision, uint16 other)
        private
        pure
    {
        BidRecord bid = _withRevision(word, revision);
        vm.assume(PostCounts.groupOf(bid.index()) == PostCounts.groupOf(other) && bid.index() != other);
        uint256 before = _postsOf(seats, other);
        PostingLane.take(_lane(), seats, bid);
        assert(_postsOf(seats, other) == before);
    }

    function _countedOnce(PostingLane.Seats memory seats, uint96 word, uint96 revision) private pure {
        BidRecord bid = _withRevision(word, revision);
        vm.assume(_isNested(seats) && PostingLane.isNext(seats, bid));
        assert(_postsOf(seats, bid.index()) == revision);
        PostingLane.take(_lane(), seats, bid);
        assert(_postsOf(seats, bid.index()) == revision + 1);
        assert(!PostingLane.isNext(seats, bid));
        assert(_isNested(seats));
        assert(revision == 2 || PostingLane.isNext(seats, _withRevision(word, revision + 1)));
    }

    /// @dev Whoever has posted three times has posted twice, and who has posted twice has posted: at first nobody has.
    function _isNested(PostingLane.Seats memory seats) private pure returns (bool) {
        return seats.thrice & ~seats.twice == 0 && seats.twice & ~seats.once == 0;
    }

    /// @dev Each revision by itself: it decides where in memory a post is counted.
    function _withRevision(uint96 word, uint96 revision) private pure returns (BidRecord) {
        return BidRecord.wrap((word & ~(uint96(3) << 64)) | (revision << 64));
    }

    function _lane() private pure returns (PostingLane.State memory lane) {
        lane.accepted = RecordBuffer.make("", 1);
    }

    function _postsOf(PostingLane.Seats memory seats, uint16 index) private pure returns (uint256) {
        return PostCounts.bitOf(seats.once, index) + PostCounts.bitOf(seats.twice, index)
            + PostCounts.bitOf(seats.thrice, index);
    }
}
