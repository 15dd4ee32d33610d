// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BidRecords} from "../../../../contracts/libraries/BidRecord.sol";

/// @notice Reads the signers of a batch of bids from storage slots, as ParticipantRegistry does, or from contract code.
/// @dev Code is read for 2,600 gas once and 3 a word, a slot for 2,100 each. But code cannot change: one changed signer
/// means a new contract for its whole chunk, and until that is made a reader has to look whether the copy still holds.
contract SeatReading {
    /// @notice 32 bytes each: what fits below the 24,576 bytes of EIP-170, with one that keeps the code from running.
    uint256 public constant SEATS_IN_CODE = 760;

    mapping(uint256 index => uint256) private _slots;
    mapping(uint256 chunk => address) private _code;

    function writeSlots(uint256 first, uint256[] calldata words) external {
        for (uint256 i = 0; i < words.length; ++i) _slots[first + i] = words[i];
    }

    /// @param words At most 760, 32 bytes each
    function writeCode(uint256 chunk, bytes calldata words) external {
        // PUSH2 length, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN: returns what follows it. The first byte is STOP.
        bytes memory creation = abi.encodePacked(hex"61", uint16(words.length + 1), hex"80600a5f395ff3", hex"00", words);
        address made;
        assembly ("memory-safe") {
            made := create(0, add(creation, 32), mload(creation))
        }
        require(made != address(0));
        _code[chunk] = made;
    }

    function readSlots(bytes calldata records, uint256 stride) external returns (uint256 sum) {
        unchecked {
            for (uint256 offset = 0; offset + stride <= records.length; offset += stride) {
                sum += _slots[BidRecords.read(records, offset).index()];
            }
        }
        emit Read(sum);
    }

    function readCode(bytes calldata records, uint256 stride) external returns (uint256 sum) {
        address[] memory codes = new address[](2 ** 16 / SEATS_IN_CODE + 1);
        unchecked {
            for (uint256 offset = 0; offset + stride <= records.length; offset += stride) {
                uint256 index = BidRecords.read(records, offset).index();
                uint256 chunk = index / SEATS_IN_CODE;
                address code = codes[chunk];
                if (code == address(0)) codes[chunk] = code = _code[chunk];
                uint256 place = 1 + 32 * (index % SEATS_IN_CODE);
                assembly ("memory-safe") {
                    extcodecopy(code, 0x00, place, 32)
                    sum := add(sum, mload(0x00))
                }
            }
        }
        emit Read(sum);
    }

    /// @notice The sum of the words: both ways must tell the same.
    event Read(uint256 sum);
}
