// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {VectorTree} from "./VectorTree.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @notice Plain twin of contracts/libraries/VectorProof.sol: leaves and nodes are an array, hashed one by one. Shows that words and
/// unrolled loops hash the same leaves and the same pairs.
library VectorProof {
    /// @notice Whether a range stands at its place in the tree of that root: see `rootOfRange`.
    function verify(
        bytes32 root,
        uint256 first,
        bytes memory content,
        uint256 leafBytes,
        uint256 leafCount,
        bytes32[] calldata proof
    ) internal pure returns (bool) {
        // Without leaves the root is 0, as it is for a proof that does not fit.
        return root != 0 && rootOfRange(first, content, leafBytes, leafCount, proof) == root;
    }

    /// @notice Whether one leaf stands at its place in the tree of that root.
    function verifyLeaf(bytes32 root, uint256 index, bytes32 leaf, uint256 leafCount, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (index >= leafCount || proof.length != pathLength(index, leafCount)) return false;
        bytes32 node = leaf;
        for (uint256 i = 0; i < proof.length; ++i) node = Hashes.commutativeKeccak256(node, proof[i]);
        return node == root;
    }

    /// @notice How many nodes prove a leaf, counted peak by peak.
    function pathLength(uint256 index, uint256 leafCount) internal pure returns (uint256 length) {
        uint256 start = 0;
        for (uint256 height = 33; height-- > 0;) {
            uint256 size = 2 ** height;
            if (leafCount / size % 2 == 0) continue;
            if (index < start + size) return length + height + (leafCount > start + size ? 1 : 0);
            start += size;
            ++length;
        }
    }

    /// @notice The root of the tree of `leafCount` leaves in which `content` stands from the leaf `first` on, `leafBytes` a leaf (the last
    /// may be shorter); 0 when the proof has too few or too many elements or the range does not lie within the tree.
    /// @dev Peak by peak from the smallest, as the root folds them: a peak that the range touches is folded from its leaves; all peaks to
    /// the right of the range are one element of the proof, behind those of the range's last peak; each one to its left is one.
    function rootOfRange(
        uint256 first,
        bytes memory content,
        uint256 leafBytes,
        uint256 leafCount,
        bytes32[] calldata proof
    ) internal pure returns (bytes32 root) {
        bytes32[] memory nodes = _leavesOf(first, content, leafBytes);
        uint256 end = first + nodes.length;
        if (nodes.length == 0 || end > leafCount) return 0;
        uint256 used = 0;
        uint256 size;
        for (uint256 peakEnd = leafCount; peakEnd != 0; peakEnd -= size) {
            size = peakEnd & (~peakEnd + 1);
            uint256 start = peakEnd - size;
            if (start >= end) continue;
            if (peakEnd <= first) {
                root = Hashes.commutativeKeccak256(_element(proof, used++), root);
                continue;
            }
            bytes32 peak;
            (peak, used) = _foldPeak(first, nodes, start, size, proof, used);
            if (peakEnd < end) root = Hashes.commutativeKeccak256(peak, root);
            else if (peakEnd == leafCount) root = peak;
            else root = Hashes.commutativeKeccak256(peak, _element(proof, used++));
        }
        if (used != proof.length) return 0;
    }

    function _leavesOf(uint256 first, bytes memory content, uint256 leafBytes)
        private
        pure
        returns (bytes32[] memory leaves)
    {
        leaves = new bytes32[](Math.ceilDiv(content.length, leafBytes));
        for (uint256 i = 0; i < leaves.length; ++i) {
            uint256 offset = i * leafBytes;
            uint256 size = Math.min(content.length - offset, leafBytes);
            // forge-lint: disable-next-line(unsafe-typecast) beyond 32 bits the range does not lie within a tree
            leaves[i] = VectorTree.leafAt(uint32(first + i), content, offset, size);
        }
    }

    /// @dev Level by level, in the room of the leaves; a sibling to the left of the range comes before one to its right.
    function _foldPeak(
        uint256 first,
        bytes32[] memory nodes,
        uint256 start,
        uint256 size,
        bytes32[] calldata proof,
        uint256 used
    ) private pure returns (bytes32 peak, uint256) {
        uint256 position = Math.max(first, start);
        uint256 from = position - first;
        uint256 to = Math.min(start + size - first, nodes.length);
        for (; size > 1; size >>= 1) {
            uint256 read = from;
            uint256 write = from;
            if (position & 1 == 1) nodes[write++] = Hashes.commutativeKeccak256(_element(proof, used++), nodes[read++]);
            for (; read + 1 < to; read += 2) nodes[write++] = Hashes.commutativeKeccak256(nodes[read], nodes[read + 1]);
            if (read < to) nodes[write++] = Hashes.commutativeKeccak256(nodes[read], _element(proof, used++));
            to = write;
            position >>= 1;
        }
        return (nodes[from], used);
    }

    /// @dev Beyond the end 0: that the proof is too short shows at the end.
    function _element(bytes32[] calldata proof, uint256 place) private pure returns (bytes32) {
        return place < proof.length ? proof[place] : bytes32(0);
    }
}
