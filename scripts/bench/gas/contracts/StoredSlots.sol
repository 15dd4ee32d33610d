// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SignedBids} from "./SignedBids.sol";

/// @notice Alternative 1 of the benchmark: bids in storage, and an order that the caller of `clear` computes and the contract checks.
/// @dev Two bids share a slot, since 96 bits are all that a bid needs: half of what a slot for each would cost.
contract StoredSlots is SignedBids {
    uint256 private constant POSITION_BYTES = 2;

    mapping(bytes32 offer => uint256[2 ** 15] pairs) private _pairs;

    error WrongOrder(bytes32 offer, uint256 place);

    /// @param bids 76 bytes each; those that cannot be taken are skipped
    function postBids(bytes32 id, bytes calldata bids) external {
        unchecked {
            Batch memory batch = _begin(id, _offers[id]);
            uint256 first = _offers[id].bidCount;
            uint256 position = first;
            uint256[2 ** 15] storage pairs = _pairs[id];
            mapping(uint256 word => uint256) storage posted = _posted[id];
            uint256 pair = position & 1 == 1 ? pairs[position >> 1] : 0;
            for (uint256 offset = 0; offset < bids.length; offset += WIRE_BID_BYTES) {
                uint256 record = _take(batch, posted, bids, offset);
                if (record == 0) continue;
                pair |= record << ((position & 1) << 7);
                if (position & 1 == 1) {
                    pairs[position >> 1] = pair;
                    pair = 0;
                }
                ++position;
            }
            if (pair != 0) pairs[position >> 1] = pair;
            _offers[id].bidCount = uint32(position);
            emit BidsPosted(id, first, position - first);
        }
    }

    /// @param order All positions, best rank first, 2 bytes each. Ranks that increase strictly name each bid once, so as many of them
    /// as there are bids are all bids.
    function clear(bytes32 id, bytes calldata order) external {
        unchecked {
            Offer memory offer = _offers[id];
            _requireClearable(id, offer);
            uint256 count = offer.bidCount;
            bool isSell = offer.isSell;
            if (order.length != count * POSITION_BYTES) revert WrongOrder(id, order.length);
            uint256[2 ** 15] storage pairs = _pairs[id];
            Walk memory walk = _start(offer, count);
            uint256 last = 0;
            for (uint256 offset = 0; offset < order.length; offset += POSITION_BYTES) {
                uint256 position;
                uint256 pair;
                assembly ("memory-safe") {
                    // A position has 16 bits, so it is within the array without a check of its bounds.
                    position := shr(240, calldataload(add(order.offset, offset)))
                    pair := sload(add(pairs.slot, shr(1, position)))
                }
                uint256 record = (pair >> ((position & 1) << 7)) & type(uint96).max;
                uint256 rank = _rank(record, isSell, position) + 1;
                if (rank <= last || position >= count) revert WrongOrder(id, offset);
                last = rank;
                if (!walk.ended) _offerTo(walk, record, position);
            }
            _end(id, _offers[id], walk);
        }
    }
}
