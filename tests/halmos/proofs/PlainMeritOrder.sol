// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The merit order as the protocol defines it, in the simplest way: always the best bid that has not been looked at. It takes
/// nothing from the contracts' libraries and keeps no claim in mind.
/// @dev Without a branch that depends on a bid, for halmos follows each branch by itself. For at most 16 bids, so that no clearing ends by
/// the number of those passed over, and for first bids of which none is rejected.
library PlainMeritOrder {
    uint256 private constant _HIGHEST_PRICE = 2 ** 29 - 1;
    uint256 private constant _NO_RANK = type(uint64).max;

    /// @param records In posting order
    struct Auction {
        bool sells;
        uint256 quantity;
        uint96[] records;
    }

    /// @return won By posting position
    function clear(Auction memory auction) internal pure returns (uint256[] memory won) {
        uint256 count = auction.records.length;
        won = new uint256[](count);
        uint256 left = auction.quantity;
        uint256 last = 0; // the rank of the bid looked at before, which is better than all that follow
        bool isFirst = true;
        for (uint256 visit = 0; visit < count; ++visit) {
            uint256 rank = _bestBehind(auction, last, isFirst);
            left = _look(auction, won, rank, left);
            (last, isFirst) = (rank, false);
        }
    }

    /// @notice Lower is better: by price, then reserved ones, then by posting position.
    function rankOf(Auction memory auction, uint256 place) internal pure returns (uint256) {
        uint256 record = auction.records[place];
        uint256 price = record >> 67;
        uint256 key = select(auction.sells, _HIGHEST_PRICE - price, price);
        return key << 33 | (record >> 66 & 1) << 32 | place;
    }

    function quantityOf(uint256 record) internal pure returns (uint256) {
        return record >> 40 & 0xffffff;
    }

    function leastOf(uint256 record) internal pure returns (uint256) {
        uint256 minimum = record >> 16 & 0xffffff;
        return select(minimum == 0, 1, minimum);
    }

    /// @dev One of two numbers; `condition ? one : other`, which the compiler makes a branch of.
    function select(bool condition, uint256 one, uint256 other) internal pure returns (uint256 chosen) {
        assembly ("memory-safe") {
            chosen := xor(other, and(xor(one, other), sub(0, condition)))
        }
    }

    function both(bool one, bool other) internal pure returns (bool result) {
        assembly ("memory-safe") {
            result := and(one, other)
        }
    }

    function either(bool one, bool other) internal pure returns (bool result) {
        assembly ("memory-safe") {
            result := or(one, other)
        }
    }

    function _bestBehind(Auction memory auction, uint256 last, bool isFirst) private pure returns (uint256 best) {
        best = _NO_RANK;
        for (uint256 place = 0; place < auction.records.length; ++place) {
            uint256 rank = rankOf(auction, place);
            best = select(both(either(isFirst, rank > last), rank < best), rank, best);
        }
    }

    /// @dev The cases of the pass-over rule.
    function _look(Auction memory auction, uint256[] memory won, uint256 rank, uint256 left)
        private
        pure
        returns (uint256)
    {
        uint256 place = rank & 0xffffffff;
        uint256 record = 0;
        for (uint256 i = 0; i < auction.records.length; ++i) {
            record = select(i == place, auction.records[i], record);
        }
        bool isWhole = quantityOf(record) <= left;
        bool isPart = both(!isWhole, leastOf(record) <= left);
        bool isOver = left == 0;
        uint256 part = select(isPart, left, 0); // 0: it is passed over
        uint256 wins = select(isOver, 0, select(isWhole, quantityOf(record), part));
        for (uint256 i = 0; i < auction.records.length; ++i) {
            won[i] = select(i == place, wins, won[i]);
        }
        unchecked {
            return left - wins;
        }
    }
}
