// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Two marks for each award of an offer, 128 awards a word: that it is settled, and that there is or was a hold on it.
/// @dev Beside each other, so that an award without a hold costs no further slot.
library AwardMarks {
    uint256 private constant _AWARDS_PER_WORD = 128;
    uint256 private constant _SETTLED = 1;
    uint256 private constant _HELD = 2;

    function wordOf(uint256 ordinal) internal pure returns (uint256) {
        return ordinal / _AWARDS_PER_WORD;
    }

    function isSettled(uint256 word, uint256 ordinal) internal pure returns (bool) {
        return word & _SETTLED << _placeOf(ordinal) != 0;
    }

    function isHeld(uint256 word, uint256 ordinal) internal pure returns (bool) {
        return word & _HELD << _placeOf(ordinal) != 0;
    }

    function withSettled(uint256 word, uint256 ordinal) internal pure returns (uint256) {
        return word | _SETTLED << _placeOf(ordinal);
    }

    function withHeld(uint256 word, uint256 ordinal) internal pure returns (uint256) {
        return word | _HELD << _placeOf(ordinal);
    }

    function _placeOf(uint256 ordinal) private pure returns (uint256) {
        return ordinal % _AWARDS_PER_WORD * 2;
    }
}
