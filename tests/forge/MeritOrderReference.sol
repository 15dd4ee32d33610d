// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";

/// @notice The greedy definition of the merit order (protocol, "Merit order"): sorts, which the contracts never do.
library MeritOrderReference {
    uint256 internal constant RECORD = 12;
    uint256 internal constant MAX_PRICE = 2 ** 29 - 1;

    struct Bid {
        uint256 price;
        uint256 notReserved;
        uint256 revision;
        uint256 quantity;
        uint256 minimum;
        uint256 index;
    }

    /// @param quantity The offer's
    struct Auction {
        bool isSell;
        uint256 quantity;
        bytes records;
        bytes rejected;
    }

    struct Result {
        bytes awards;
        IMeritOrderAuction.Claim claim;
    }

    function bidAt(bytes memory records, uint256 position) internal pure returns (Bid memory bid) {
        uint256 word;
        assembly ("memory-safe") {
            word := shr(160, mload(add(add(records, 32), mul(position, 12))))
        }
        bid.price = word >> 67;
        bid.notReserved = (word >> 66) & 1;
        bid.revision = (word >> 64) & 3;
        bid.quantity = (word >> 40) & 0xffffff;
        bid.minimum = (word >> 16) & 0xffffff;
        bid.index = word & 0xffff;
    }

    function pack(Bid memory bid) internal pure returns (uint96) {
        return uint96(
            (bid.price << 67) | (bid.notReserved << 66) | (bid.revision << 64) | (bid.quantity << 40)
                | (bid.minimum << 16) | bid.index
        );
    }

    function isRejected(bytes memory rejected, uint256 position) internal pure returns (bool) {
        return position / 8 < rejected.length && (uint8(rejected[position / 8]) >> (position % 8)) & 1 == 1;
    }

    function rank(Bid memory bid, bool isSell, uint256 position) internal pure returns (uint64) {
        return uint64(((isSell ? MAX_PRICE - bid.price : bid.price) << 33) | (bid.notReserved << 32) | position);
    }

    /// @notice Whether each record is its nanogrid's last post, no withdrawal and not rejected.
    function counting(Auction memory auction) internal pure returns (bool[] memory counts) {
        uint256 n = auction.records.length / RECORD;
        counts = new bool[](n);
        uint256[] memory posts = new uint256[](256);
        for (uint256 p = 0; p < n; ++p) {
            ++posts[bidAt(auction.records, p).index];
        }
        for (uint256 p = 0; p < n; ++p) {
            Bid memory bid = bidAt(auction.records, p);
            counts[p] = bid.quantity != 0 && bid.revision + 1 == posts[bid.index] && !isRejected(auction.rejected, p);
        }
    }

    function clear(Auction memory auction) internal pure returns (Result memory result) {
        uint256[] memory order = _order(auction);
        uint256[] memory awarded = new uint256[](auction.records.length / RECORD);
        uint64[] memory passed = new uint64[](16);
        uint256 passedCount = 0;
        uint256 left = auction.quantity;
        result.claim.marginal = type(uint64).max;
        for (uint256 i = 0; i < order.length && left != 0; ++i) {
            Bid memory bid = bidAt(auction.records, order[i]);
            uint256 least = bid.minimum == 0 ? 1 : bid.minimum;
            uint64 place = rank(bid, auction.isSell, order[i]);
            if (bid.quantity <= left || least <= left) {
                uint256 taken = bid.quantity < left ? bid.quantity : left;
                awarded[order[i]] = taken;
                left -= taken;
                if (left == 0) (result.claim.marginal, result.claim.marginalQuantity) = (place, uint24(taken));
            } else if (passedCount == 16) {
                result.claim.marginal = place;
                break;
            } else {
                passed[passedCount++] = place;
            }
        }
        result.claim.passedOver = _first(passed, passedCount);
        result.awards = _inPostingOrder(auction.records, awarded);
    }

    /// @dev Positions of what counts, best first: a simple insertion sort.
    function _order(Auction memory auction) private pure returns (uint256[] memory order) {
        bool[] memory counts = counting(auction);
        order = new uint256[](counts.length);
        uint256 n = 0;
        for (uint256 p = 0; p < counts.length; ++p) {
            if (!counts[p]) continue;
            uint256 place = n++;
            uint64 mine = rank(bidAt(auction.records, p), auction.isSell, p);
            while (
                place > 0 && rank(bidAt(auction.records, order[place - 1]), auction.isSell, order[place - 1]) > mine
            ) {
                order[place] = order[place - 1];
                --place;
            }
            order[place] = p;
        }
        assembly ("memory-safe") {
            mstore(order, n)
        }
    }

    function _inPostingOrder(bytes memory records, uint256[] memory awarded)
        private
        pure
        returns (bytes memory awards)
    {
        for (uint256 p = 0; p < awarded.length; ++p) {
            if (awarded[p] == 0) continue;
            Bid memory bid = bidAt(records, p);
            (bid.quantity, bid.minimum) = (awarded[p], p); // the position stands in place of the minimum
            awards = bytes.concat(awards, bytes12(pack(bid)));
        }
    }

    /// @notice The awards that stand after a verdict that nobody cleared again.
    function standing(bytes memory awards, bytes memory rejected) internal pure returns (bytes memory kept) {
        for (uint256 i = 0; i < awards.length / RECORD; ++i) {
            Bid memory award = bidAt(awards, i);
            if (!isRejected(rejected, award.minimum)) kept = bytes.concat(kept, bytes12(pack(award)));
        }
    }

    function _first(uint64[] memory all, uint256 count) private pure returns (uint64[] memory) {
        assembly ("memory-safe") {
            mstore(all, count)
        }
        return all;
    }
}
