// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BidRecord} from "./BidRecord.sol";

/// @notice The inner loop of a clearing: takes the bids that need no look at the claim's details, and stops at each that does.
/// @dev In assembly because the compiler moves the variables of this loop between stack and memory at every step: with the plain twin
/// (tests/contracts_properties/plain/Sweep.sol, held equal by properties) clearing 1,000 bids costs half as much again.
library Sweep {
    /// @param chain Hash chain over the records so far
    /// @param pointer Where the next record begins in the call data
    /// @param end Where the records end in the call data
    /// @param origin Where the record of position 0 would begin, modulo 2^256
    /// @param position Posting position of the contested bid
    /// @param whole Sum of the awards given here [Wh or varh]
    /// @param low Ranks below it win whole
    /// @param high Ranks above it win nothing
    /// @param mask Turns a record (in the upper 96 bits of a word) so that a better one is smaller
    /// @param sure Turned records below it are below `low` at any position
    /// @param hopeless Turned records above it are above `high` at any position
    /// @param posts Words of the offer's posts by nanogrid (PostCounts), empty when nobody has posted twice
    /// @param awards Award records, with room for one more than there are records (RecordBuffer)
    /// @param bitmap Where the verdict's bitmap by position begins in the call data
    /// @param bitmapBytes Its length
    /// @param allCount 1 where every record of the offer counts: nobody has posted twice, nothing is rejected
    struct State {
        bytes32 chain;
        uint256 pointer;
        uint256 end;
        uint256 origin;
        uint256 position;
        uint256 whole;
        uint256 low;
        uint256 high;
        uint256 mask;
        uint256 sure;
        uint256 hopeless;
        uint256[] posts;
        bytes awards;
        uint256 bitmap;
        uint256 bitmapBytes;
        uint256 allCount;
    }

    /// @notice Sets the ranks between which a bid is contested.
    /// @param priceMask See BidRecords.priceMask
    function bound(State memory state, uint256 low, uint256 high, uint256 priceMask) internal pure {
        (state.low, state.high, state.mask) = (low, high, priceMask << 226);
        state.sure = (low >> 32) << 226;
        state.hopeless = ((high >> 32) << 226) | (type(uint256).max >> 30);
    }

    /// @notice Points the state to what it reads.
    /// @param position Posting position of the first record
    function aim(State memory state, uint256 position, bytes calldata records, bytes calldata rejected) internal pure {
        assembly ("memory-safe") {
            mstore(add(state, 0x20), records.offset)
            mstore(add(state, 0x40), add(records.offset, records.length))
            mstore(add(state, 0x60), sub(records.offset, mul(position, 12)))
            mstore(add(state, 0x1a0), rejected.offset)
            mstore(add(state, 0x1c0), rejected.length)
        }
        state.allCount = rejected.length == 0 && state.posts.length == 0 ? 1 : 0;
    }

    /// @notice Goes on to the next contested bid, which is folded into the chain and otherwise left to the caller, or to the end.
    /// @return contested The bid's record, 0 at the end; `state.position` is its posting position
    function next(State memory state) internal pure returns (BidRecord contested) {
        assembly ("memory-safe") {
            // A bid counts when it is the last post of its nanogrid, no withdrawal, and not rejected.
            function counts(state_, record, position) -> yes {
                let posts := mload(add(state_, 0x160))
                yes := iszero(mload(posts))
                let first := mul(and(shr(168, record), 0xff), 3) // of the three words of 256 nanogrid indices
                if lt(first, mload(posts)) {
                    first := add(add(posts, 32), shl(5, first))
                    let bit := and(shr(160, record), 0xff)
                    posts := and(shr(bit, mload(first)), 1)
                    posts := add(posts, and(shr(bit, mload(add(first, 0x20))), 1))
                    posts := add(posts, and(shr(bit, mload(add(first, 0x40))), 1))
                    yes := eq(add(and(shr(224, record), 3), 1), posts)
                }
                if iszero(and(shr(200, record), 0xffffff)) { yes := 0 }
                if lt(shr(3, position), mload(add(state_, 0x1c0))) {
                    let eight := byte(0, calldataload(add(mload(add(state_, 0x1a0)), shr(3, position))))
                    if and(shr(and(position, 7), eight), 1) { yes := 0 }
                }
            }

            let award := mload(add(state, 0x180))
            award := add(add(award, 32), mload(award))
            let pointer := mload(add(state, 0x20))
            let end := mload(add(state, 0x40))
            let whole := mload(add(state, 0xa0))
            let mask := mload(add(state, 0x100))
            let sure := mload(add(state, 0x120))
            let hopeless := mload(add(state, 0x140))
            let allCount := mload(add(state, 0x1e0))
            mstore(0x00, mload(state)) // the chain stays in scratch space, the record beside it

            for {} lt(pointer, end) { pointer := add(pointer, 12) } {
                let record := calldataload(pointer)
                mstore(0x20, record)
                mstore(0x00, keccak256(0x00, 44))
                if iszero(gt(xor(record, mask), hopeless)) {
                    let position := div(sub(pointer, mload(add(state, 0x60))), 12)
                    if iszero(allCount) {
                        if iszero(counts(state, record, position)) { continue }
                    }
                    if iszero(lt(xor(record, mask), sure)) {
                        let rank := or(shl(32, shr(226, xor(record, mask))), position)
                        if gt(rank, mload(add(state, 0xe0))) { continue }
                        if iszero(lt(rank, mload(add(state, 0xc0)))) {
                            mstore(add(state, 0x80), position)
                            contested := shr(160, record)
                            pointer := add(pointer, 12) // not to be met again
                            break
                        }
                    }
                    whole := add(whole, and(shr(200, record), 0xffffff))
                    // The award is the record with its position in place of the minimum.
                    mstore(award, or(and(record, not(shl(176, 0xffffff))), shl(176, position)))
                    award := add(award, 12)
                }
            }

            mstore(state, mload(0x00))
            mstore(add(state, 0x20), pointer)
            mstore(add(state, 0xa0), whole)
            let awards := mload(add(state, 0x180))
            mstore(awards, sub(award, add(awards, 32)))
        }
    }
}
