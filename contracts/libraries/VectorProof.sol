// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {VectorTree} from "./VectorTree.sol";
import {WordList} from "./WordList.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @notice Proofs that consecutive leaves stand at their place in the tree of awards or of baselines (shape: see the protocol page).
/// @dev What a proof must hold follows from the range and from the number of leaves alone. That an inner node never stands for a leaf
/// follows from their lengths: one hashes 64 bytes, the other 5 + 12 k, where callers take whole records only. Places alone would not
/// do: where the number of leaves is no power of two, inner nodes lie as deep as leaves. For one leaf the proof is that of
/// OpenZeppelin's MerkleProof.
/// Its plain twin, which tests hold it to: tests/contracts_properties/plain/VectorProof.sol.
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

    /// @notice Whether one leaf stands at its place in the tree of that root: as `verify` for a range of one, without its lists.
    function verifyLeaf(bytes32 root, uint256 index, bytes32 leaf, uint256 leafCount, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        if (index >= leafCount || proof.length != pathLength(index, leafCount)) return false;
        return MerkleProof.verifyCalldata(proof, root, leaf);
    }

    /// @notice How many nodes prove a leaf: those up to its peak, all peaks to the right as one, each peak to the left. The leaf is one of
    /// the tree's.
    function pathLength(uint256 index, uint256 leafCount) internal pure returns (uint256 length) {
        // The highest bit in which they differ is the leaf's peak: the index lies behind those above it.
        length = Math.log2(index ^ leafCount);
        uint256 left = leafCount >> length >> 1;
        if (leafCount & ((1 << length) - 1) != 0) ++length;
        for (; left != 0; left &= left - 1) ++length;
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
        bytes memory nodes = _leavesOf(first, content, leafBytes);
        uint256 end = first + WordList.count(nodes);
        if (first == end || end > leafCount) return 0;
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

    /// @return leaves One word each: see WordList
    function _leavesOf(uint256 first, bytes memory content, uint256 leafBytes)
        private
        pure
        returns (bytes memory leaves)
    {
        uint256 whole = content.length / leafBytes;
        uint256 rest = content.length % leafBytes;
        leaves = WordList.make(rest == 0 ? whole : whole + 1);
        assembly ("memory-safe") {
            // As VectorTree.leafAt for each: this and _foldPairs save 2 % of a settlement, which would be too dear without.
            let scratch := mload(0x40)
            let from := add(content, 32)
            let put := add(leaves, 32)
            for { let end := add(put, shl(5, whole)) } lt(put, end) { put := add(put, 32) } {
                mstore(scratch, shl(216, first))
                mcopy(add(scratch, 5), from, leafBytes)
                mstore(put, keccak256(scratch, add(leafBytes, 5)))
                from := add(from, leafBytes)
                first := add(first, 1)
            }
        }
        // forge-lint: disable-next-line(unsafe-typecast) beyond 32 bits the range does not lie within a tree
        bytes32 last = VectorTree.leafAt(uint32(first), content, content.length - rest, rest);
        if (rest != 0) WordList.put(leaves, whole, uint256(last));
    }

    /// @dev Level by level, in the room of the leaves; a sibling to the left of the range comes before one to its right.
    function _foldPeak(
        uint256 first,
        bytes memory nodes,
        uint256 start,
        uint256 size,
        bytes32[] calldata proof,
        uint256 used
    ) private pure returns (bytes32 peak, uint256) {
        uint256 position = Math.max(first, start);
        uint256 from = position - first;
        uint256 to = Math.min(start + size - first, WordList.count(nodes));
        for (; size > 1; size >>= 1) {
            uint256 read = from;
            uint256 write = from;
            if (position & 1 == 1) _putPair(nodes, write++, _element(proof, used++), _node(nodes, read++));
            uint256 pairs = (to - read) >> 1;
            _foldPairs(nodes, read, write, pairs);
            (read, write) = (read + 2 * pairs, write + pairs);
            if (read < to) _putPair(nodes, write++, _node(nodes, read), _element(proof, used++));
            to = write;
            position >>= 1;
        }
        return (_node(nodes, from), used);
    }

    /// @dev Hashes consecutive pairs from the place `read` on to the places from `write` on, which is not behind it.
    function _foldPairs(bytes memory nodes, uint256 read, uint256 write, uint256 pairs) private pure {
        assembly ("memory-safe") {
            // As _putPair for each, whose calls and checks would cost more than the hashes: see _leavesOf.
            let from := add(add(nodes, 32), shl(5, read))
            let to := add(add(nodes, 32), shl(5, write))
            for { let end := add(from, shl(6, pairs)) } lt(from, end) { from := add(from, 64) } {
                let left := mload(from)
                let right := mload(add(from, 32))
                let place := shl(5, gt(left, right)) // the smaller one comes first
                mstore(place, left)
                // slither-disable-next-line incorrect-exp -- the other of two places, 0 and 32
                mstore(xor(place, 32), right)
                mstore(to, keccak256(0x00, 0x40))
                to := add(to, 32)
            }
        }
    }

    function _putPair(bytes memory nodes, uint256 place, bytes32 left, bytes32 right) private pure {
        WordList.put(nodes, place, uint256(Hashes.commutativeKeccak256(left, right)));
    }

    function _node(bytes memory nodes, uint256 place) private pure returns (bytes32) {
        return bytes32(WordList.at(nodes, place));
    }

    /// @dev Beyond the end 0: that the proof is too short shows at the end.
    function _element(bytes32[] calldata proof, uint256 place) private pure returns (bytes32) {
        return place < proof.length ? proof[place] : bytes32(0);
    }
}
