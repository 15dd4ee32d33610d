// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @notice Proofs that a leaf stands at its place in the tree of awards or of baselines (shape: see the protocol page).
/// @dev OpenZeppelin's MerkleProof alone would take an inner node for a leaf: a leaf of five awards is 64 bytes long, as is the pair
/// that an inner node hashes, and a bidder could grind a record whose hash begins with a wanted index. The length of the proof tells
/// them apart, because it follows from the leaf's place.
library VectorProof {
    function verify(bytes32[] calldata proof, bytes32 root, bytes32 leaf, uint256 index, uint256 leafCount)
        internal
        pure
        returns (bool)
    {
        if (index >= leafCount || proof.length != length(index, leafCount)) return false;
        return MerkleProof.verifyCalldata(proof, root, leaf);
    }

    /// @notice Number of siblings between a leaf and the root: the height of its peak, and one for each peak to its left and for all to
    /// its right together.
    // slither-disable-next-line divide-before-multiply -- a peak's size is a power of two: halving it loses nothing
    function length(uint256 index, uint256 leafCount) internal pure returns (uint256 siblings) {
        uint256 peakSize = 1;
        while (peakSize <= leafCount / 2) peakSize *= 2;
        while (index >= peakSize || leafCount & peakSize == 0) {
            if (leafCount & peakSize != 0) {
                index -= peakSize;
                leafCount -= peakSize;
                ++siblings;
            }
            peakSize /= 2;
        }
        if (leafCount != peakSize) ++siblings;
        for (; peakSize > 1; peakSize /= 2) ++siblings;
    }
}
