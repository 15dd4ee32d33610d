// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @notice Plain twin of contracts/libraries/VectorTree.sol: the encoder and OpenZeppelin make the hashes, byte by byte and node by node.
library VectorTree {
    uint256 internal constant AWARD_LEAF_BYTES = 96;
    uint256 internal constant BASELINE_LEAF_BYTES = 32;

    function leaf(uint32 index, bytes memory records) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint40(index), records));
    }

    function leafAt(uint32 index, bytes memory data, uint256 offset, uint256 length) internal pure returns (bytes32) {
        bytes memory records = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            records[i] = data[offset + i];
        }
        return leaf(index, records);
    }

    function roomy(bytes32[] memory peaks) internal pure returns (bytes32[] memory room) {
        room = new bytes32[](33);
        for (uint256 i = 0; i < peaks.length; ++i) {
            room[i] = peaks[i];
        }
        _setLength(room, peaks.length);
    }

    /// @dev A new leaf is a peak of one; the last two peaks are one as long as they are of the same size.
    function append(bytes32[] memory peaks, uint256 count, bytes32 newLeaf) internal pure {
        _setLength(peaks, peaks.length + 1);
        peaks[peaks.length - 1] = newLeaf;
        for (uint256 leaves = count + 1; leaves % 2 == 0; leaves /= 2) {
            uint256 last = peaks.length - 1;
            peaks[last - 1] = Hashes.commutativeKeccak256(peaks[last - 1], peaks[last]);
            _setLength(peaks, last);
        }
    }

    function root(bytes32[] memory peaks) internal pure returns (bytes32 node) {
        for (uint256 i = peaks.length; i > 0; --i) {
            node = i == peaks.length ? peaks[i - 1] : Hashes.commutativeKeccak256(peaks[i - 1], node);
        }
    }

    function rootOfAwards(bytes memory awards) internal pure returns (bytes32) {
        bytes32[] memory peaks = roomy(new bytes32[](0));
        for (uint32 i = 0; i * AWARD_LEAF_BYTES < awards.length; ++i) {
            uint256 left = awards.length - i * AWARD_LEAF_BYTES;
            append(peaks, i, leafAt(i, awards, i * AWARD_LEAF_BYTES, left < AWARD_LEAF_BYTES ? left : AWARD_LEAF_BYTES));
        }
        return root(peaks);
    }

    /// @dev Solidity cannot change the length of what is in memory.
    function _setLength(bytes32[] memory peaks, uint256 length) private pure {
        assembly ("memory-safe") {
            mstore(peaks, length)
        }
    }
}
