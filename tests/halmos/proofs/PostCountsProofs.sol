// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PostCounts} from "contracts/libraries/PostCounts.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice A post is counted for its nanogrid and for no other.
contract PostCountsProofs is Symbolic {
    function check_a_post_is_counted_once(uint256 word, uint16 index) external pure {
        uint8 before = PostCounts.inWord(word, index);
        vm.assume(before < 3);
        assert(PostCounts.inWord(PostCounts.increment(word, index), index) == before + 1);
    }

    function check_a_post_is_counted_for_no_other_nanogrid(uint256 word, uint16 index, uint16 other) external pure {
        vm.assume(PostCounts.wordOf(index) == PostCounts.wordOf(other) && index != other);
        vm.assume(PostCounts.inWord(word, index) < 3);
        assert(PostCounts.inWord(PostCounts.increment(word, index), other) == PostCounts.inWord(word, other));
    }

    function check_a_nanogrid_has_its_own_two_bits(uint16 index, uint16 other) external pure {
        vm.assume(index != other);
        bool sameWord = PostCounts.wordOf(index) == PostCounts.wordOf(other);
        assert(!sameWord || PostCounts.increment(0, index) != PostCounts.increment(0, other));
        assert(PostCounts.wordOf(index) < 512); // 2^16 indices, 128 a word
    }
}
