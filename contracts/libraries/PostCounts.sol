// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice How often each nanogrid posted in an offer. One bit for each post that it may make: the first word of 256 nanogrid indices
/// says who has posted, the second who has posted again, the third who has posted a third time. First posts, most of all, touch one
/// bit and so as few words as can be: what a batch of bids in random order costs for each word is the only part of posting that grows
/// with the portfolio.
/// A post is superseded when its nanogrid has posted once more than the post's revision says. So whoever clears needs the second and
/// the third word only: the words of superseded first and second posts. A third post is the last.
library PostCounts {
    uint256 internal constant INDICES_PER_WORD = 256;
    /// @notice Words for the same indices, which stand one after the other.
    uint256 internal constant DEPTH = 3;
    /// @notice Words of superseded posts for the same indices, one after the other too.
    uint256 internal constant SUPERSEDED_DEPTH = DEPTH - 1;

    /// @notice Place of the word of those who have posted more than `revision` times.
    function placeOf(uint16 index, uint256 revision) internal pure returns (uint256) {
        unchecked {
            return groupOf(index) * DEPTH + revision;
        }
    }

    /// @notice Place, among the words of superseded posts, of the word of those whose post of that revision is superseded.
    /// @param revision Not the last: nothing supersedes a third post
    function placeOfSuperseded(uint16 index, uint256 revision) internal pure returns (uint256) {
        unchecked {
            return groupOf(index) * SUPERSEDED_DEPTH + revision;
        }
    }

    /// @notice Place, among all words, of the one at `place` among those of superseded posts: each first word of three is left out.
    function placeOfPosts(uint256 place) internal pure returns (uint256) {
        unchecked {
            return (place * DEPTH) / SUPERSEDED_DEPTH + 1;
        }
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

    /// @notice All bits that are set in any of the words.
    function union(uint256[] memory words) internal pure returns (uint256 all) {
        for (uint256 i = 0; i < words.length; ++i) {
            all |= words[i];
        }
    }
}
