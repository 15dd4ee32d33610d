// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice How often each nanogrid posted in an offer, 2 bits each: 128 nanogrid indices in a word.
library PostCounts {
    uint256 internal constant INDICES_PER_WORD = 128;

    // slither-disable-next-line divide-before-multiply -- the largest word is a multiple of 3
    uint256 private constant _UPPER_BITS = type(uint256).max / 3 * 2; // of each count

    /// @notice Posts of `index` in the words of an offer, 0 for an index beyond them.
    function postsOf(uint256[] memory words, uint16 index) internal pure returns (uint8) {
        uint256 word = wordOf(index);
        return word < words.length ? inWord(words[word], index) : 0;
    }

    function wordOf(uint16 index) internal pure returns (uint256) {
        return index / INDICES_PER_WORD;
    }

    function inWord(uint256 word, uint16 index) internal pure returns (uint8) {
        return uint8((word >> _shift(index)) & 3);
    }

    /// @notice The word after one more post of `index`; the caller keeps a count from passing 3.
    function increment(uint256 word, uint16 index) internal pure returns (uint256) {
        return word + (1 << _shift(index));
    }

    /// @notice Whether nobody posted more than once.
    function noneRevised(uint256[] memory words) internal pure returns (bool) {
        uint256 all = 0;
        for (uint256 i = 0; i < words.length; ++i) all |= words[i];
        return all & _UPPER_BITS == 0;
    }

    function _shift(uint16 index) private pure returns (uint256) {
        unchecked {
            return (index % INDICES_PER_WORD) * 2;
        }
    }
}
