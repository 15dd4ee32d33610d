// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @notice Merkle trees over awards and baseline vectors, built by appending leaves to a list of peaks: one perfect subtree
/// for each 1-bit of the number of leaves, largest first. Nodes hash sorted pairs, so OpenZeppelin's MerkleProof verifies.
/// @dev Its plain twin, which tests hold it to: tests/contracts_properties/plain/VectorTree.sol.
library VectorTree {
    /// @notice A leaf of awards: at most eight records of 12 bytes.
    uint256 internal constant AWARD_LEAF_BYTES = 96;
    /// @notice A leaf of baselines: eight int32, zero padded.
    uint256 internal constant BASELINE_LEAF_BYTES = 32;

    uint256 private constant _MAX_PEAKS = 33;

    /// @notice keccak256(uint40 index ‖ records): no leaf is 64 bytes long, as the pair of an inner node is.
    function leaf(uint32 index, bytes memory records) internal pure returns (bytes32) {
        return leafAt(index, records, 0, records.length);
    }

    /// @notice The leaf over `length` bytes of `data` from `offset` on. The caller keeps it within `data`.
    function leafAt(uint32 index, bytes memory data, uint256 offset, uint256 length) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            // Free memory as scratch: it is not kept, so hashing many leaves does not grow the memory.
            let scratch := mload(0x40)
            mstore(scratch, shl(216, index))
            mcopy(add(scratch, 5), add(add(data, 32), offset), length)
            hash := keccak256(scratch, add(length, 5))
        }
    }

    /// @notice A copy of the peaks with room for as many as a tree of 2^32 leaves can have: `append` grows it in place.
    function roomy(bytes32[] memory peaks) internal pure returns (bytes32[] memory room) {
        uint256 length = peaks.length;
        room = new bytes32[](_MAX_PEAKS);
        for (uint256 i = 0; i < length; ++i) room[i] = peaks[i];
        assembly ("memory-safe") {
            mstore(room, length)
        }
    }

    /// @notice Appends a leaf to peaks made by `roomy`.
    /// @param count Leaves before it
    function append(bytes32[] memory peaks, uint256 count, bytes32 newLeaf) internal pure {
        bytes32 node = newLeaf;
        assembly ("memory-safe") {
            // The last peak stands at `end`, with room for one more behind it: there is a peak for each 1-bit of the count.
            let end := add(peaks, shl(5, mload(peaks)))
            for {} and(count, 1) { count := shr(1, count) } {
                let peak := mload(end)
                switch lt(peak, node)
                case 1 {
                    mstore(0x00, peak)
                    mstore(0x20, node)
                }
                default {
                    mstore(0x00, node)
                    mstore(0x20, peak)
                }
                node := keccak256(0x00, 0x40)
                end := sub(end, 32)
            }
            mstore(add(end, 32), node)
            mstore(peaks, shr(5, sub(add(end, 32), peaks)))
        }
    }

    /// @notice Folds the peaks from the smallest; 0 without any.
    function root(bytes32[] memory peaks) internal pure returns (bytes32 node) {
        uint256 left = peaks.length;
        if (left == 0) return bytes32(0);
        node = peaks[--left];
        while (left > 0) node = Hashes.commutativeKeccak256(peaks[--left], node);
    }

    /// @notice Root over award records in award order; the last leaf may be shorter.
    function rootOfAwards(bytes memory awards) internal pure returns (bytes32) {
        bytes32[] memory peaks = roomy(new bytes32[](0));
        uint256 length = awards.length;
        uint256 count = 0;
        for (uint256 offset = 0; offset < length; offset += AWARD_LEAF_BYTES) {
            uint256 size = length - offset < AWARD_LEAF_BYTES ? length - offset : AWARD_LEAF_BYTES;
            append(peaks, count, leafAt(uint32(count), awards, offset, size));
            ++count;
        }
        return root(peaks);
    }
}
