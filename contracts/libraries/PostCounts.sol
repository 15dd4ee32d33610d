// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice How often each nanogrid posted in an offer. One bit for each post that it may make: the first word of 256 nanogrid indices
/// says who has posted, the second who has posted again, the third who has posted a third time. First posts, most of all, touch one
/// bit and so as few words as can be: what a batch of bids in random order costs for each word is the only part of posting that grows
/// with the portfolio.
library PostCounts {
    uint256 internal constant INDICES_PER_WORD = 256;
    /// @notice Words for the same indices, which stand one after the other.
    uint256 internal constant DEPTH = 3;

    /// @notice Place of the word of those who have posted more than `revision` times.
    function placeOf(uint16 index, uint256 revision) internal pure returns (uint256) {
        return groupOf(index) * DEPTH + revision;
    }

    /// @notice Number of the 256 indices that share words.
    function groupOf(uint16 index) internal pure returns (uint256) {
        return index / INDICES_PER_WORD;
    }

    function isIn(uint256 word, uint16 index) internal pure returns (bool) {
        return bitOf(word, index) == 1;
    }

    function bitOf(uint256 word, uint16 index) internal pure returns (uint256) {
        return (word >> (index % INDICES_PER_WORD)) & 1;
    }

    /// @notice Posts of `index` in the words of an offer, 0 for an index beyond them.
    function postsOf(uint256[] memory words, uint16 index) internal pure returns (uint256 posts) {
        uint256 first = placeOf(index, 0);
        while (posts < DEPTH && first + posts < words.length && isIn(words[first + posts], index)) ++posts;
    }
}
