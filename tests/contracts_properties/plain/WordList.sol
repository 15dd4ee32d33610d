// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Plain twin of contracts/libraries/WordList.sol, byte by byte: shows that no word is written beside its place, or cut.
library WordList {
    function make(uint256 words) internal pure returns (bytes memory) {
        return new bytes(words * 32);
    }

    function count(bytes memory list) internal pure returns (uint256) {
        return list.length / 32;
    }

    function at(bytes memory list, uint256 place) internal pure returns (uint256 word) {
        for (uint256 i = 0; i < 32; ++i) {
            word = word * 256 + uint8(list[place * 32 + i]);
        }
    }

    /// @notice The bit of an index in a bitmap, 256 a word. The caller keeps within the list.
    function hasBit(bytes memory list, uint256 index) internal pure returns (bool) {
        return at(list, index >> 8) >> (index & 0xff) & 1 == 1;
    }

    function put(bytes memory list, uint256 place, uint256 word) internal pure {
        bytes32 written = bytes32(word);
        for (uint256 i = 0; i < 32; ++i) {
            list[place * 32 + i] = written[i];
        }
    }

    function cut(bytes memory list, uint256 words) internal pure {
        uint256 length = words * 32;
        require(length <= list.length, "nothing to cut");
        assembly ("memory-safe") {
            mstore(list, length) // Solidity cannot change the length of what is in memory
        }
    }
}
