// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice A list of 12-byte records in memory that grows in place, within the room that it was made with.
/// @dev Its plain twin, which tests hold it to: tests/contracts_properties/plain/RecordBuffer.sol.
library RecordBuffer {
    uint256 internal constant RECORD_BYTES = 12;

    /// @notice A list that begins as `start` and has room for `records` more.
    function make(bytes memory start, uint256 records) internal pure returns (bytes memory buffer) {
        uint256 length = start.length;
        buffer = new bytes(length + records * RECORD_BYTES + 32); // 32: records are stored by whole words
        assembly ("memory-safe") {
            mcopy(add(buffer, 32), add(start, 32), length)
            mstore(buffer, length)
        }
    }

    /// @notice Appends a record. The caller keeps within the room.
    function push(bytes memory buffer, uint96 record) internal pure {
        assembly ("memory-safe") {
            let length := mload(buffer)
            mstore(add(add(buffer, 32), length), shl(160, record))
            mstore(buffer, add(length, RECORD_BYTES))
        }
    }

    /// @notice A copy of what follows the first `offset` bytes.
    function tail(bytes memory buffer, uint256 offset) internal pure returns (bytes memory rest) {
        uint256 length = buffer.length - offset;
        rest = new bytes(length);
        assembly ("memory-safe") {
            mcopy(add(rest, 32), add(add(buffer, 32), offset), length)
        }
    }
}
