// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {BidRecord, BidRecords} from "contracts/libraries/BidRecord.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice A bid's record says what was packed, and its place in the merit order follows from the rules alone.
contract BidRecordProofs is Symbolic {
    /// @dev Posts of an offer are at most 3 · 2^16, so positions stay below 2^24.
    uint256 private constant _POSITIONS = 2 ** 24;

    struct Fields {
        uint32 priceUeurKwh;
        bool notReserved;
        uint8 revision;
        uint24 quantity;
        uint24 minimum;
        uint16 index;
    }

    function check_packed_fields_are_read_back(Fields memory fields) external pure {
        vm.assume(fields.priceUeurKwh <= BidRecords.MAX_PRICE && fields.revision <= 3);
        BidRecord bid = _pack(fields);
        assert(bid.priceUeurKwh() == fields.priceUeurKwh);
        assert(_notReserved(bid) == fields.notReserved);
        assert(bid.revision() == fields.revision);
        assert(bid.quantity() == fields.quantity);
        assert(bid.minimum() == fields.minimum);
        assert(bid.index() == fields.index);
    }

    /// @dev Every 12 bytes are the record of exactly one bid: no two records mean the same, none means nothing.
    function check_any_record_is_that_of_its_fields(BidRecord bid) external pure {
        Fields memory fields = Fields({
            priceUeurKwh: bid.priceUeurKwh(),
            notReserved: _notReserved(bid),
            revision: bid.revision(),
            quantity: bid.quantity(),
            minimum: bid.minimum(),
            index: bid.index()
        });
        assert(fields.priceUeurKwh <= BidRecords.MAX_PRICE && fields.revision <= 3);
        assert(BidRecord.unwrap(_pack(fields)) == BidRecord.unwrap(bid));
    }

    function check_the_reserved_flag_changes_nothing_else(BidRecord bid, bool reserved) external pure {
        BidRecord flagged = bid.withReserved(reserved);
        assert(_notReserved(flagged) == !reserved);
        assert((BidRecord.unwrap(flagged) ^ BidRecord.unwrap(bid)) & ~(uint96(1) << 66) == 0);
    }

    function check_the_least_award_is_the_minimum_or_one(BidRecord bid) external pure {
        assert(bid.least() == (bid.minimum() == 0 ? 1 : bid.minimum()));
    }

    function check_buy_ranks_by_price_then_reserved_then_position(BidRecord a, uint256 p, BidRecord b, uint256 q)
        external
        pure
    {
        vm.assume(p < _POSITIONS && q < _POSITIONS);
        IMeritOrderAuction.Side buy = IMeritOrderAuction.Side.BUY;
        bool first = _precedes(a.priceUeurKwh(), b.priceUeurKwh(), a, p, b, q);
        assert((a.rank(buy, p) < b.rank(buy, q)) == first);
    }

    function check_sell_ranks_the_dearest_first(BidRecord a, uint256 p, BidRecord b, uint256 q) external pure {
        vm.assume(p < _POSITIONS && q < _POSITIONS);
        IMeritOrderAuction.Side sell = IMeritOrderAuction.Side.SELL;
        bool first = _precedes(b.priceUeurKwh(), a.priceUeurKwh(), a, p, b, q);
        assert((a.rank(sell, p) < b.rank(sell, q)) == first);
    }

    /// @dev What the bidder chooses freely — quantity, minimum, revision, index — moves no bid.
    function check_no_other_field_reaches_the_rank(BidRecord a, BidRecord b, uint8 side, uint256 position) external pure {
        vm.assume(side <= 1 && position < _POSITIONS);
        vm.assume(a.priceUeurKwh() == b.priceUeurKwh() && _notReserved(a) == _notReserved(b));
        IMeritOrderAuction.Side side_ = IMeritOrderAuction.Side(side);
        assert(a.rank(side_, position) == b.rank(side_, position));
    }

    /// @dev Positions differ within an offer, so ranks do: the order has no ties.
    function check_ranks_of_different_positions_differ(BidRecord a, uint256 p, BidRecord b, uint256 q, uint8 side)
        external
        pure
    {
        vm.assume(side <= 1 && p < _POSITIONS && q < _POSITIONS && p != q);
        IMeritOrderAuction.Side side_ = IMeritOrderAuction.Side(side);
        assert(a.rank(side_, p) != b.rank(side_, q));
        assert(a.rank(side_, p) < type(uint64).max); // which stands for "no marginal bid"
    }

    function check_an_award_is_the_bid_with_quantity_and_position(BidRecord bid, uint24 awarded, uint24 position)
        external
        pure
    {
        BidRecord award = BidRecord.wrap(bid.award(awarded, position));
        assert(award.quantity() == awarded);
        assert(award.minimum() == position);
        assert(award.priceUeurKwh() == bid.priceUeurKwh());
        assert(_notReserved(award) == _notReserved(bid));
        assert(award.revision() == bid.revision());
        assert(award.index() == bid.index());
    }

    /// @dev The assembly gives what the plain expression gives.
    function check_the_chain_is_the_hash_of_chain_and_record(BidRecord bid, bytes32 chain) external pure {
        assert(bid.fold(chain) == keccak256(abi.encodePacked(chain, BidRecord.unwrap(bid))));
    }

    function check_a_record_is_read_at_its_offset(BidRecord first, BidRecord second) external pure {
        bytes memory both = abi.encodePacked(BidRecord.unwrap(first), BidRecord.unwrap(second));
        assert(BidRecord.unwrap(BidRecords.readMemory(both, 0)) == BidRecord.unwrap(first));
        assert(BidRecord.unwrap(BidRecords.readMemory(both, 12)) == BidRecord.unwrap(second));
    }

    function _precedes(uint32 better, uint32 worse, BidRecord a, uint256 p, BidRecord b, uint256 q)
        private
        pure
        returns (bool)
    {
        if (better != worse) return better < worse;
        if (_notReserved(a) != _notReserved(b)) return _notReserved(b);
        return p < q;
    }

    function _pack(Fields memory fields) private pure returns (BidRecord) {
        return BidRecord.wrap(
            (uint96(fields.priceUeurKwh) << 67) | (uint96(fields.notReserved ? 1 : 0) << 66)
                | (uint96(fields.revision) << 64) | (uint96(fields.quantity) << 40) | (uint96(fields.minimum) << 16)
                | fields.index
        );
    }

    function _notReserved(BidRecord bid) private pure returns (bool) {
        return (BidRecord.unwrap(bid) >> 66) & 1 == 1;
    }
}
