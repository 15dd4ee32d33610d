// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {BidRecord, BidRecords} from "./BidRecord.sol";
import {PostCounts} from "./PostCounts.sol";

/// @notice The inner loop of a clearing: takes the bids that need no look at the claim's details, and stops at each that does.
/// @dev What seldom happens is kept out of the loop's way: a rejected record ends a run (`next`), and whether a record is superseded is
/// looked up where somebody with the same last byte of the index has posted twice. In assembly because the compiler moves the variables
/// of this loop between stack and memory at every step: with the plain twin (tests/contracts_properties/plain/Sweep.sol, held equal by
/// properties) clearing 1,000 bids costs nearly four times as much.
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
    /// @param superseded Words of the offer's superseded posts (PostCounts), empty when nobody has posted twice
    /// @param awards Award records, with room for one more than there are records (RecordBuffer)
    /// @param bitmap Where the verdict's bitmap by position begins in the call data
    /// @param bitmapBytes Its length
    /// @param doubtful Bit i is 0 where nobody whose index ends in the byte i has posted twice
    /// @param stop Where the next rejected record begins, else the end
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
        uint256[] superseded;
        bytes awards;
        uint256 bitmap;
        uint256 bitmapBytes;
        uint256 doubtful;
        uint256 stop;
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
        state.doubtful = PostCounts.union(state.superseded);
        state.stop = _nextRejected(state);
    }

    /* REJECTED RECORDS */

    /// @notice Folds the rejected record at which `next` has stopped.
    /// @return isThere Whether there was one; else all records are folded
    function passRejected(State memory state) internal pure returns (bool isThere) {
        uint256 pointer = state.pointer;
        if (pointer == state.end) return false;
        BidRecord rejected;
        assembly ("memory-safe") {
            rejected := shr(160, calldataload(pointer))
        }
        state.chain = rejected.fold(state.chain);
        state.pointer = pointer + BidRecords.BYTES;
        state.stop = _nextRejected(state);
        return true;
    }

    /// @dev Where the next rejected record begins in the call data, the end when there is none.
    function _nextRejected(State memory state) private pure returns (uint256) {
        unchecked {
            uint256 position = (state.pointer - state.origin) / BidRecords.BYTES;
            uint256 bitmap = state.bitmap;
            uint256 last = state.bitmapBytes * 8;
            while (position < last) {
                uint256 rest; // of a byte: its first bit is that of `position`
                assembly ("memory-safe") {
                    rest := shr(and(position, 7), byte(0, calldataload(add(bitmap, shr(3, position)))))
                }
                if (rest & 1 == 1) return Math.min(state.end, state.origin + position * BidRecords.BYTES);
                position = rest == 0 ? (position | 7) + 1 : position + 1;
            }
            return state.end;
        }
    }

    /* ALL OTHERS */

    /// @notice Goes on to the next contested bid, which is folded into the chain and otherwise left to the caller, or to where a rejected
    /// one or the end is.
    /// @return contested The bid's record, 0 if there is none; `state.position` is its posting position
    function next(State memory state) internal pure returns (BidRecord contested) {
        assembly ("memory-safe") {
            // A bid counts when it is the last post of its nanogrid and no withdrawal.
            function counts(state_, record) -> yes {
                let barred := iszero(and(shr(200, record), 0xffffff))
                let words := mload(add(state_, 0x160))
                let place := add(shl(1, byte(10, record)), and(shr(224, record), 3)) // PostCounts.placeOfSuperseded
                if lt(place, mload(words)) {
                    barred := or(barred, shr(byte(11, record), mload(add(add(words, 32), shl(5, place)))))
                }
                yes := iszero(and(barred, 1))
            }

            let award := mload(add(state, 0x180))
            award := add(add(award, 32), mload(award))
            let pointer := mload(add(state, 0x20))
            let start := mload(add(state, 0x60))
            let whole := mload(add(state, 0xa0))
            let mask := mload(add(state, 0x100))
            let sure := mload(add(state, 0x120))
            let hopeless := mload(add(state, 0x140))
            let doubtful := mload(add(state, 0x1e0))
            mstore(0x00, mload(state)) // the chain stays in scratch space, the record beside it

            // Where to stop is read each time: one variable more, and the compiler keeps others in memory.
            for {} lt(pointer, mload(add(state, 0x200))) { pointer := add(pointer, 12) } {
                let record := calldataload(pointer)
                mstore(0x20, record)
                mstore(0x00, keccak256(0x00, 44))
                if iszero(gt(xor(record, mask), hopeless)) {
                    let position := div(sub(pointer, start), 12)
                    // One branch for both, for most records are neither in doubt nor near the claim's ranks.
                    if or(and(shr(byte(11, record), doubtful), 1), iszero(lt(xor(record, mask), sure))) {
                        if iszero(counts(state, record)) { continue }
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
