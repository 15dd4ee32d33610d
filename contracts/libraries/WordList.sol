// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Words one after the other in bytes, which pass between contracts by copying: an array of words is encoded and decoded word
/// by word, and read with a check for each, which costs a settlement 6 % of its gas.
/// @dev Its plain twin, which tests hold it to: tests/contracts_properties/plain/WordList.sol.
library WordList {
    function make(uint256 words) internal pure returns (bytes memory) {
        return new bytes(words << 5);
    }

    function count(bytes memory list) internal pure returns (uint256) {
        return list.length >> 5;
    }

    /// @notice The word at a place. The caller keeps within the list.
    function at(bytes memory list, uint256 place) internal pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(add(list, 32), shl(5, place)))
        }
    }

    /// @notice The bit of an index in a bitmap, 256 a word. The caller keeps within the list.
    function hasBit(bytes memory list, uint256 index) internal pure returns (bool) {
        return at(list, index >> 8) >> (index & 0xff) & 1 == 1;
    }

    /// @notice Writes the word at a place. The caller keeps within the list.
    function put(bytes memory list, uint256 place, uint256 word) internal pure {
        assembly ("memory-safe") {
            mstore(add(add(list, 32), shl(5, place)), word)
        }
    }

    /// @notice Leaves out what is behind the first `words`. The caller keeps within the list.
    function cut(bytes memory list, uint256 words) internal pure {
        assembly ("memory-safe") {
            mstore(list, shl(5, words))
        }
    }
}
