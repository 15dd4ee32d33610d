// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../interfaces/IMeritOrderAuction.sol";

/// @notice A bid in 12 bytes, most significant first:
/// price 29 | notReserved 1 | revision 2 | quantity 24 | minimum 24 | index 16.
/// Prices in micro-euro per kWh (kvarh), quantities in Wh (varh).
type BidRecord is uint96;

using BidRecords for BidRecord global;

/// @notice Reads and ranks bid records; makes the award record of a bid (BidRecord with the awarded quantity, and the
/// posting position in place of the minimum).
/// @dev Its plain twin, which tests hold it to: tests/contracts_properties/plain/BidRecord.sol.
library BidRecords {
    uint256 internal constant BYTES = 12;
    uint32 internal constant MAX_PRICE = 2 ** 29 - 1;
    /// @notice Posts of a nanogrid in one offer: a bid, a revision or withdrawal, a last withdrawal.
    uint8 internal constant MAX_POSTS = 3;

    uint96 private constant _NOT_RESERVED = 1 << 66;
    uint256 private constant _PRICE_BITS = uint256(MAX_PRICE) << 1;
    uint96 private constant _MINIMUM = (2 ** 24 - 1) << 16;
    uint96 private constant _QUANTITIES = (2 ** 48 - 1) << 16;

    /// @notice The record that starts at `offset` of `data`. The caller keeps `offset` + 12 within `data`.
    function read(bytes calldata data, uint256 offset) internal pure returns (BidRecord bid) {
        assembly ("memory-safe") {
            // Slices check both of their ends.
            bid := shr(160, calldataload(add(data.offset, offset)))
        }
    }

    /// @notice The same from memory. The caller keeps `offset` + 12 within `data`.
    function readMemory(bytes memory data, uint256 offset) internal pure returns (BidRecord bid) {
        assembly ("memory-safe") {
            bid := shr(160, mload(add(add(data, 32), offset)))
        }
    }

    // The casts below cut the record's fields out: truncation is their purpose.
    // forge-lint: disable-start(unsafe-typecast)

    function priceUeurKwh(BidRecord bid) internal pure returns (uint32) {
        return uint32(BidRecord.unwrap(bid) >> 67);
    }

    function revision(BidRecord bid) internal pure returns (uint8) {
        return uint8(BidRecord.unwrap(bid) >> 64) & 3;
    }

    function quantity(BidRecord bid) internal pure returns (uint24) {
        return uint24(BidRecord.unwrap(bid) >> 40);
    }

    function minimum(BidRecord bid) internal pure returns (uint24) {
        return uint24(BidRecord.unwrap(bid) >> 16);
    }

    function index(BidRecord bid) internal pure returns (uint16) {
        return uint16(BidRecord.unwrap(bid));
    }

    // forge-lint: disable-end(unsafe-typecast)

    /// @notice Least quantity that may be awarded: the minimum, where 0 counts as 1.
    function least(BidRecord bid) internal pure returns (uint24) {
        uint24 minimum_ = bid.minimum();
        return minimum_ == 0 ? 1 : minimum_;
    }

    /// @notice The record with its notReserved bit set or cleared: who is reserved is not the bidder's to say.
    function withReserved(BidRecord bid, bool reserved) internal pure returns (BidRecord) {
        uint96 word = BidRecord.unwrap(bid) & ~_NOT_RESERVED;
        return BidRecord.wrap(reserved ? word : word | _NOT_RESERVED);
    }

    /// @notice Place in the merit order, lower is better: key 29 | notReserved 1 | position 32, where the key is the
    /// price (BUY) or what lacks to the highest price (SELL).
    function rank(BidRecord bid, IMeritOrderAuction.Side side, uint256 position) internal pure returns (uint64) {
        return uint64((((BidRecord.unwrap(bid) >> 66) ^ priceMask(side)) << 32) | position);
    }

    /// @notice What turns the upper 30 bits of a record into the key and notReserved of its rank. MAX_PRICE - price flips all bits of
    /// the price, because MAX_PRICE has no other.
    function priceMask(IMeritOrderAuction.Side side) internal pure returns (uint256) {
        return side == IMeritOrderAuction.Side.SELL ? _PRICE_BITS : 0;
    }

    /// @notice Award record: the bid's, with what it is awarded and with its posting position instead of the minimum.
    function award(BidRecord bid, uint24 awarded, uint256 position) internal pure returns (uint96) {
        uint96 rest = BidRecord.unwrap(bid) & ~_QUANTITIES;
        return rest | (uint96(awarded) << 40) | (uint96(position) << 16);
    }

    /// @notice The award record of a bid that wins whole.
    function wholeAward(BidRecord bid, uint256 position) internal pure returns (uint96) {
        return (BidRecord.unwrap(bid) & ~_MINIMUM) | (uint96(position) << 16);
    }

    /// @notice The chain of posted bids after this one: keccak256(chain ‖ record).
    function fold(BidRecord bid, bytes32 chain) internal pure returns (bytes32 folded) {
        assembly ("memory-safe") {
            // Scratch space: 32 + 12 bytes; abi.encodePacked would grow the memory with each bid.
            mstore(0x00, chain)
            mstore(0x20, shl(160, bid))
            folded := keccak256(0x00, 44)
        }
    }
}
