// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A mark for each award of an offer, 256 awards a word.
library AwardMarks {
    function wordOf(uint256 ordinal) internal pure returns (uint256) {
        return ordinal >> 8;
    }

    function isMarked(uint256 word, uint256 ordinal) internal pure returns (bool) {
        return word >> (ordinal & 0xff) & 1 == 1;
    }

    function withoutMark(uint256 word, uint256 ordinal) internal pure returns (uint256) {
        return word & ~(1 << (ordinal & 0xff));
    }

    /// @notice The marks in a word when the first `count` awards have one. The word is not behind them.
    function firstOf(uint256 count, uint256 word) internal pure returns (uint256) {
        uint256 rest = count - (word << 8);
        return rest < 256 ? (1 << rest) - 1 : type(uint256).max;
    }
}
