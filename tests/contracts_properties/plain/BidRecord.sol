// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../interfaces/IMeritOrderAuction.sol";

type BidRecord is uint96;

using BidRecords for BidRecord global;

/// @notice Plain twin of contracts/libraries/BidRecord.sol: records are read field by field, put together from their fields, and folded by
/// the encoder. Shows that masks, flipped bits and scratch space stand for the fields of the protocol page.
library BidRecords {
    uint256 internal constant BYTES = 12;
    uint32 internal constant MAX_PRICE = 2 ** 29 - 1;
    uint8 internal constant MAX_POSTS = 3;

    function read(bytes calldata data, uint256 offset) internal pure returns (BidRecord) {
        return BidRecord.wrap(uint96(bytes12(data[offset:offset + BYTES])));
    }

    function readMemory(bytes memory data, uint256 offset) internal pure returns (BidRecord) {
        uint96 word = 0;
        for (uint256 i = 0; i < BYTES; ++i) {
            word = word * 256 + uint8(data[offset + i]);
        }
        return BidRecord.wrap(word);
    }

    function priceUeurKwh(BidRecord bid) internal pure returns (uint32) {
        return uint32(_field(bid, 67, 29));
    }

    function revision(BidRecord bid) internal pure returns (uint8) {
        return uint8(_field(bid, 64, 2));
    }

    function quantity(BidRecord bid) internal pure returns (uint24) {
        return uint24(_field(bid, 40, 24));
    }

    function minimum(BidRecord bid) internal pure returns (uint24) {
        return uint24(_field(bid, 16, 24));
    }

    function index(BidRecord bid) internal pure returns (uint16) {
        return uint16(_field(bid, 0, 16));
    }

    function least(BidRecord bid) internal pure returns (uint24) {
        return bid.minimum() > 1 ? bid.minimum() : 1;
    }

    function withReserved(BidRecord bid, bool reserved) internal pure returns (BidRecord) {
        return BidRecord.wrap(_pack(bid, reserved ? 0 : 1, bid.quantity(), bid.minimum()));
    }

    /// @dev "key << 33 | notReserved << 32 | position, key = price (BUY) or 2^29 - 1 - price (SELL)"
    function rank(BidRecord bid, IMeritOrderAuction.Side side, uint256 position) internal pure returns (uint64) {
        uint256 key = side == IMeritOrderAuction.Side.BUY ? bid.priceUeurKwh() : MAX_PRICE - bid.priceUeurKwh();
        return uint64(key * 2 ** 33 + _field(bid, 66, 1) * 2 ** 32 + position);
    }

    /// @dev Only the sweep with assembly needs it: 2^29 - 1 - price has every bit of the price flipped, and notReserved stays.
    function priceMask(IMeritOrderAuction.Side side) internal pure returns (uint256) {
        return side == IMeritOrderAuction.Side.SELL ? uint256(MAX_PRICE) * 2 : 0;
    }

    function award(BidRecord bid, uint24 awarded, uint256 position) internal pure returns (uint96) {
        return _pack(bid, _field(bid, 66, 1), awarded, position);
    }

    function wholeAward(BidRecord bid, uint256 position) internal pure returns (uint96) {
        return bid.award(bid.quantity(), position);
    }

    function fold(BidRecord bid, bytes32 chain) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(chain, BidRecord.unwrap(bid)));
    }

    function _field(BidRecord bid, uint256 lowest, uint256 bits) private pure returns (uint256) {
        return (uint256(BidRecord.unwrap(bid)) >> lowest) % (1 << bits);
    }

    /// @dev price 29 | notReserved 1 | revision 2 | quantity 24 | minimum (or position) 24 | index 16
    function _pack(BidRecord bid, uint256 notReserved, uint256 quantity_, uint256 minimum_) private pure returns (uint96) {
        uint256 word = bid.priceUeurKwh();
        word = word * 2 + notReserved;
        word = word * 4 + bid.revision();
        word = word * 2 ** 24 + quantity_;
        word = word * 2 ** 24 + minimum_;
        return uint96(word * 2 ** 16 + bid.index());
    }
}
