// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SignedBids} from "./SignedBids.sol";

/// @notice Alternative 2 of the benchmark: a linked list that is always sorted. Whoever posts a bid names the one before it.
/// @dev A node is one slot: rank 64 | quantity 24 | minimum 24 | index 16 | id of the next node 24. Its id is its position + 1;
/// node 0 is where the list begins, and the id after the last node.
contract HintedList is SignedBids {
    uint256 private constant HINT_BYTES = 2;
    uint256 private constant RANK_SHIFT = 88;
    uint256 private constant NEXT = 2 ** 24 - 1;

    mapping(bytes32 offer => uint256[2 ** 17] nodes) private _nodes;

    error MissingHints(uint256 bytes_);

    /// @param bids 76 bytes each; those that cannot be taken are skipped
    /// @param hints 2 bytes for each bid: the id of a node with a better rank, the nearer the cheaper (0: from the beginning)
    function postBids(bytes32 id, bytes calldata bids, bytes calldata hints) external {
        if (hints.length * WIRE_BID_BYTES != bids.length * HINT_BYTES) revert MissingHints(hints.length);
        unchecked {
            Batch memory batch = _begin(id, _offers[id]);
            uint256 first = _offers[id].bidCount;
            uint256 position = first;
            uint256[2 ** 17] storage nodes = _nodes[id];
            mapping(uint256 word => uint256) storage posted = _posted[id];
            for (uint256 place = 0; place * WIRE_BID_BYTES < bids.length; ++place) {
                uint256 hint;
                assembly ("memory-safe") {
                    hint := shr(240, calldataload(add(hints.offset, mul(place, 2))))
                }
                uint256 record = _take(batch, posted, bids, place * WIRE_BID_BYTES);
                if (record == 0) continue;
                _insert(nodes, _rank(record, batch.isSell, position), record, hint, position + 1);
                ++position;
            }
            _offers[id].bidCount = uint32(position);
            emit BidsPosted(id, first, position - first);
        }
    }

    function _insert(uint256[2 ** 17] storage nodes, uint256 rank, uint256 record, uint256 hint, uint256 nodeId)
        private
    {
        uint256 before = hint;
        uint256 node = nodes[before];
        // A hint that names no node, or a worse one, is no help: from the beginning.
        if (before != 0 && (node == 0 || node >> RANK_SHIFT > rank)) {
            before = 0;
            node = nodes[0];
        }
        uint256 next = node & NEXT;
        while (next != 0) {
            uint256 following = nodes[next];
            if (following >> RANK_SHIFT > rank) break;
            before = next;
            node = following;
            next = following & NEXT;
        }
        nodes[nodeId] = (rank << RANK_SHIFT) | ((record & type(uint64).max) << 24) | next;
        nodes[before] = (node & ~NEXT) | nodeId;
    }

    function clear(bytes32 id) external {
        Offer memory offer = _offers[id];
        _requireClearable(id, offer);
        uint256[2 ** 17] storage nodes = _nodes[id];
        Walk memory walk = _start(offer, offer.bidCount);
        bool isSell = offer.isSell;
        uint256 next = nodes[0] & NEXT;
        while (next != 0 && !walk.ended) {
            uint256 node = nodes[next];
            _offerTo(walk, _record(node, isSell), next - 1);
            next = node & NEXT;
        }
        _end(id, _offers[id], walk);
    }

    /// @dev The bid's record again: price 29 | notReserved 1 | revision 2 | quantity 24 | minimum 24 | index 16.
    function _record(uint256 node, bool isSell) private pure returns (uint256) {
        uint256 rank = node >> RANK_SHIFT;
        uint256 price = rank >> 33;
        if (isSell) price = MAX_PRICE - price;
        return (price << 67) | (((rank >> 32) & 1) << 66) | ((node >> 24) & type(uint64).max);
    }
}
