// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The protocol's Merkle tree, written recursively: the largest perfect subtree is on the left, pairs are hashed sorted.
library TreeReference {
    function rootOf(bytes32[] memory leaves) internal pure returns (bytes32) {
        return leaves.length == 0 ? bytes32(0) : _root(leaves, 0, leaves.length);
    }

    function proofOf(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32[] memory proof) {
        proof = new bytes32[](64);
        uint256 length = _prove(leaves, 0, leaves.length, index, proof, 0);
        assembly ("memory-safe") {
            mstore(proof, length)
        }
    }

    /// @notice The proof of the leaves from `first` to before `end`: peak by peak from the smallest.
    function proofOfRange(bytes32[] memory leaves, uint256 first, uint256 end)
        internal
        pure
        returns (bytes32[] memory proof)
    {
        proof = new bytes32[](128);
        uint256 length = 0;
        uint256 size;
        for (uint256 peakEnd = leaves.length; peakEnd > 0; peakEnd -= size) {
            size = peakEnd & (~peakEnd + 1);
            if (peakEnd - size >= end) continue;
            if (peakEnd <= first) {
                proof[length++] = _root(leaves, peakEnd - size, size);
                continue;
            }
            length = _provePeak(leaves, Span(peakEnd - size, size, first, end), proof, length);
            bool isLast = peakEnd >= end && peakEnd < leaves.length;
            if (isLast) proof[length++] = _root(leaves, peakEnd, leaves.length - peakEnd);
        }
        assembly ("memory-safe") {
            mstore(proof, length)
        }
    }

    /// @dev A perfect subtree, `size` leaves from `start` on, and the range that touches it.
    struct Span {
        uint256 start;
        uint256 size;
        uint256 first;
        uint256 end;
    }

    /// @dev Level by level the sibling to the left of the range, then the one to its right.
    function _provePeak(bytes32[] memory leaves, Span memory span, bytes32[] memory proof, uint256 length)
        private
        pure
        returns (uint256)
    {
        uint256 from = span.first > span.start ? span.first - span.start : 0;
        uint256 to = span.end < span.start + span.size ? span.end - span.start : span.size;
        for (uint256 width = 1; width < span.size; width *= 2) {
            if (from % 2 == 1) proof[length++] = _root(leaves, span.start + (from - 1) * width, width);
            if (to % 2 == 1) proof[length++] = _root(leaves, span.start + to * width, width);
            (from, to) = (from / 2, (to + 1) / 2);
        }
        return length;
    }

    /// @notice Leaves of eight 12-byte award records; the last one may be shorter.
    function awardLeaves(bytes memory awards) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[]((awards.length + 95) / 96);
        for (uint256 i = 0; i < leaves.length; ++i) {
            leaves[i] = keccak256(abi.encodePacked(uint40(i), slice(awards, i * 96, 96)));
        }
    }

    /// @notice Leaves of eight int32 baselines, zero padded.
    function baselineLeaves(bytes memory flat) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[]((flat.length + 31) / 32);
        for (uint256 i = 0; i < leaves.length; ++i) {
            leaves[i] = keccak256(abi.encodePacked(uint40(i), bytes32(slice(flat, i * 32, 32))));
        }
    }

    /// @notice At most `length` bytes from `offset` on.
    function slice(bytes memory data, uint256 offset, uint256 length) internal pure returns (bytes memory part) {
        if (offset >= data.length) return "";
        if (offset + length > data.length) length = data.length - offset;
        part = new bytes(length);
        assembly ("memory-safe") {
            mcopy(add(part, 32), add(add(data, 32), offset), length)
        }
    }

    function _root(bytes32[] memory leaves, uint256 from, uint256 count) private pure returns (bytes32) {
        if (count == 1) return leaves[from];
        uint256 left = _leftOf(count);
        return _pair(_root(leaves, from, left), _root(leaves, from + left, count - left));
    }

    function _prove(
        bytes32[] memory leaves,
        uint256 from,
        uint256 count,
        uint256 index,
        bytes32[] memory proof,
        uint256 depth
    ) private pure returns (uint256) {
        if (count <= 1) return depth;
        uint256 left = _leftOf(count);
        if (index < left) {
            depth = _prove(leaves, from, left, index, proof, depth);
            proof[depth] = _root(leaves, from + left, count - left);
        } else {
            depth = _prove(leaves, from + left, count - left, index - left, proof, depth);
            proof[depth] = _root(leaves, from, left);
        }
        return depth + 1;
    }

    /// @dev The largest power of two below `count`.
    function _leftOf(uint256 count) private pure returns (uint256 left) {
        left = 1;
        while (left * 2 < count) left *= 2;
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function joined(bytes32[] memory first, bytes32[] memory second) internal pure returns (bytes32[] memory all) {
        all = new bytes32[](first.length + second.length);
        for (uint256 i = 0; i < first.length; ++i) all[i] = first[i];
        for (uint256 i = 0; i < second.length; ++i) all[first.length + i] = second[i];
    }
}
