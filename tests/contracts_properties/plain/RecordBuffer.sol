// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Plain twin of contracts/libraries/RecordBuffer.sol, byte by byte: shows that whole words neither spill over into what follows
/// nor cut anything off.
library RecordBuffer {
    uint256 internal constant RECORD_BYTES = 12;

    function make(bytes memory start, uint256 records) internal pure returns (bytes memory buffer) {
        buffer = new bytes(start.length + records * RECORD_BYTES);
        for (uint256 i = 0; i < start.length; ++i) {
            buffer[i] = start[i];
        }
        _setLength(buffer, start.length);
    }

    function push(bytes memory buffer, uint96 record) internal pure {
        uint256 length = buffer.length;
        _setLength(buffer, length + RECORD_BYTES);
        for (uint256 i = RECORD_BYTES; i > 0; --i) {
            buffer[length + i - 1] = bytes1(uint8(record % 256));
            record /= 256;
        }
    }

    function tail(bytes memory buffer, uint256 offset) internal pure returns (bytes memory rest) {
        rest = new bytes(buffer.length - offset);
        for (uint256 i = 0; i < rest.length; ++i) {
            rest[i] = buffer[offset + i];
        }
    }

    /// @dev Solidity cannot change the length of what is in memory.
    function _setLength(bytes memory buffer, uint256 length) private pure {
        assembly ("memory-safe") {
            mstore(buffer, length)
        }
    }
}
