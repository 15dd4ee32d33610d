// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AuctionMessages} from "./AuctionMessages.sol";
import {BidRecord} from "./BidRecord.sol";
import {PostCounts} from "./PostCounts.sol";
import {RecordBuffer} from "./RecordBuffer.sol";
import {SeatSigner} from "./SeatSigner.sol";

/// @notice The inner loop of posting: takes ordinary bids, and stops at each that is not, which is left to the auction's own judgement.
/// Ordinary: a first bid or a revision, signed by the seat's signer within its limits, of a seat that is active without bounds.
/// What the lane takes the auction's judgement would take too (its plain twin, tests/contracts_properties/plain/PostingLane.sol,
/// takes none, and the results are the same), so the rules stand there, and here only what makes 99 of 100 bids cheap.
/// @dev In assembly because the compiler moves the variables of this loop between stack and memory at every step, and encodes each
/// message into new memory: judged by the auction alone a bid costs a third more.
library PostingLane {
    /// @param pointer Where the next wire bid begins in the call data: 12 bytes of record, 64 of signature
    /// @param end Where the wire bids end
    /// @param signer Where the signer of the next bid stands in memory
    /// @param chain Hash chain over the records so far
    /// @param accepted Records taken, with room for one more than there are bids (RecordBuffer)
    /// @param seats For each 256 nanogrids where their words stand in memory, 0 while they are not read
    /// @param lowestPriceUeurKwh What every bid must reach
    /// @param priceRangeUeurKwh How far above that it may be
    /// @param limitMask All ones where a signer's lowest price counts (BUY), else 0
    /// @param today Days since 1970-01-01 UTC
    struct State {
        uint256 pointer;
        uint256 end;
        uint256 signer;
        bytes32 chain;
        bytes accepted;
        uint256[] seats;
        uint256 lowestPriceUeurKwh;
        uint256 priceRangeUeurKwh;
        uint256 limitMask;
        uint256 today;
        Message message;
    }

    /// @dev The words that two hashes make a digest of: the seven of a bid's struct hash, and prefix, domain and struct hash.
    struct Message {
        bytes32 typehash;
        bytes32 offer;
        uint256 index;
        uint256 priceUeurKwh;
        uint256 quantity;
        uint256 minimum;
        uint256 revision;
        uint256 prefix;
        bytes32 domainSeparator;
        bytes32 structHash;
    }

    /// @dev The words of 256 nanogrids: who has posted (PostCounts), won, is reserved.
    struct Seats {
        uint256 once;
        uint256 twice;
        uint256 thrice;
        uint256 winners;
        uint256 reserved;
    }

    /// @notice Points the state to the bids and the row of their signers (SeatSigners), in the same order.
    function aim(State memory lane, bytes calldata bids, bytes memory signers) internal pure {
        assembly ("memory-safe") {
            mstore(lane, bids.offset)
            mstore(add(lane, 0x20), add(bids.offset, bids.length))
            mstore(add(lane, 0x40), add(signers, 32))
        }
    }

    function addressTo(State memory lane, bytes32 offer, bytes32 domainSeparator) internal pure {
        lane.message.typehash = AuctionMessages.BID_TYPEHASH;
        lane.message.offer = offer;
        lane.message.prefix = 0x1901;
        lane.message.domainSeparator = domainSeparator;
    }

    /* THE BID AT WHICH THE LANE STOPPED */

    function current(State memory lane) internal pure returns (BidRecord bid) {
        uint256 pointer = lane.pointer;
        assembly ("memory-safe") {
            bid := shr(160, calldataload(pointer))
        }
    }

    function signature(State memory lane) internal pure returns (bytes32 r, bytes32 vs) {
        uint256 pointer = lane.pointer;
        assembly ("memory-safe") {
            r := calldataload(add(pointer, 12))
            vs := calldataload(add(pointer, 44))
        }
    }

    function signerOfCurrent(State memory lane) internal pure returns (SeatSigner signer) {
        uint256 place = lane.signer;
        assembly ("memory-safe") {
            signer := mload(place)
        }
    }

    /// @notice Accepts a bid that is not ordinary, the next of its nanogrid.
    // slither-disable-next-line incorrect-shift -- Yul's order: a 1 shifted by the place of the index
    function take(State memory lane, Seats memory seats, BidRecord bid) internal pure {
        uint16 index = bid.index();
        uint8 revision = bid.revision();
        assembly ("memory-safe") {
            let posts := add(seats, shl(5, revision)) // once, twice or thrice
            mstore(posts, or(mload(posts), shl(and(index, 255), 1)))
        }
        bid = bid.withReserved(PostCounts.isIn(seats.reserved, index));
        lane.chain = bid.fold(lane.chain);
        RecordBuffer.push(lane.accepted, BidRecord.unwrap(bid));
    }

    function advance(State memory lane) internal pure {
        lane.pointer += 76;
        lane.signer += 32;
    }

    /// @notice Whether a price that is not 0 is beyond the offer's limit; not to be asked while the product is paused.
    function isBeyondLimit(State memory lane, uint256 priceUeurKwh) internal pure returns (bool) {
        unchecked {
            return priceUeurKwh - lane.lowestPriceUeurKwh > lane.priceRangeUeurKwh; // below the lowest it wraps round
        }
    }

    /* WORDS OF SEATS */

    /// @notice The words of 256 nanogrids, empty ones while they are not read and beyond the last.
    function seatsIn(State memory lane, uint256 group) internal pure returns (Seats memory seats) {
        uint256 place = group < lane.seats.length ? lane.seats[group] : 0;
        if (place == 0) return seats;
        assembly ("memory-safe") {
            seats := place
        }
    }

    function putSeats(State memory lane, uint256 group, Seats memory seats) internal pure {
        uint256 place;
        assembly ("memory-safe") {
            place := seats
        }
        lane.seats[group] = place;
    }

    /// @notice Whether a bid's nanogrid has posted exactly as often as its revision says, and may post again.
    function isNext(Seats memory seats, BidRecord bid) internal pure returns (bool) {
        uint16 index = bid.index();
        uint256 posts = PostCounts.bitOf(seats.once, index) + PostCounts.bitOf(seats.twice, index)
            + PostCounts.bitOf(seats.thrice, index);
        return posts < PostCounts.DEPTH && posts == bid.revision();
    }

    /* ORDINARY BIDS */

    /// @notice Takes ordinary bids up to the first other one or the end.
    /// @return more Whether it stopped at a bid
    // slither-disable-next-line incorrect-shift -- Yul's order: a 1 shifted by the place of the index
    function next(State memory lane) internal view returns (bool more) {
        assembly ("memory-safe") {
            let pointer := mload(lane)
            let signer := mload(add(lane, 0x40))
            let chain := mload(add(lane, 0x60))
            let accepted := mload(add(lane, 0x80))
            accepted := add(add(accepted, 32), mload(accepted)) // where the next accepted record goes
            for {} lt(pointer, mload(add(lane, 0x20))) {
                pointer := add(pointer, 76)
                signer := add(signer, 32)
            } {
                let record := calldataload(pointer) // in the upper 96 bits
                let index := and(shr(160, record), 0xffff)
                let seats := mload(add(lane, 0xa0))
                if iszero(lt(shr(8, index), mload(seats))) { break }
                seats := mload(add(add(seats, 32), shl(5, shr(8, index))))
                if iszero(seats) { break }

                let message := mload(add(lane, 0x140))
                {
                    let limits := mload(signer)
                    let price := shr(227, record)
                    let quantity := and(shr(200, record), 0xffffff)
                    let minimum := and(shr(176, record), 0xffffff)
                    let revision := and(shr(224, record), 3)
                    let lowest := and(and(shr(208, limits), 0x1fffffff), mload(add(lane, 0x100)))
                    // One comparison for both bounds: below the lower one the difference wraps round.
                    let wrong := or(lt(price, lowest), gt(sub(price, mload(add(lane, 0xc0))), mload(add(lane, 0xe0))))
                    wrong := or(wrong, or(iszero(quantity), gt(minimum, quantity)))
                    wrong := or(wrong, gt(quantity, and(shr(184, limits), 0xffffff)))
                    // quantity * price * 1.5 / 1000, rounded down, is above the cover in cents of 10,000 micro-euro.
                    let cover := add(mul(and(shr(160, limits), 0xffffff), 20000000), 1999)
                    wrong := or(wrong, gt(mul(mul(quantity, price), 3), cover))
                    wrong := or(wrong, gt(mload(add(lane, 0x120)), and(shr(237, limits), 0xffff)))
                    wrong := or(wrong, iszero(and(shr(253, limits), 1)))
                    let bit := and(index, 255)
                    wrong := or(wrong, and(shr(bit, mload(add(seats, 0x60))), 1))
                    wrong := or(wrong, xor(revision, and(shr(bit, mload(seats)), 1))) // 0: has not posted, 1: has
                    wrong := or(wrong, and(revision, shr(bit, mload(add(seats, 0x20))))) // 1: has not posted twice
                    if wrong { break }

                    mstore(add(message, 0x40), index)
                    mstore(add(message, 0x60), price)
                    mstore(add(message, 0x80), quantity)
                    mstore(add(message, 0xa0), minimum)
                    mstore(add(message, 0xc0), revision)
                }
                mstore(add(message, 0x120), keccak256(message, 0xe0))
                {
                    let s := calldataload(add(pointer, 44)) // with the parity of v in its highest bit
                    let input := mload(0x40)
                    mstore(input, keccak256(add(message, 0xfe), 66)) // the last two bytes of the prefix's word, and two words
                    mstore(add(input, 0x20), add(27, shr(255, s)))
                    mstore(add(input, 0x40), calldataload(add(pointer, 12)))
                    s := and(s, shr(1, not(0)))
                    mstore(add(input, 0x60), s)
                    mstore(0x00, 0)
                    pop(staticcall(gas(), 1, input, 0x80, 0x00, 0x20))
                    // Low s only, or there would be two signatures; an empty answer leaves 0, which is nobody.
                    let fault := gt(s, 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0)
                    fault := or(fault, xor(mload(0x00), and(mload(signer), 0xffffffffffffffffffffffffffffffffffffffff)))
                    if or(fault, iszero(mload(0x00))) { break }
                }

                let reserved := and(shr(and(index, 255), mload(add(seats, 0x80))), 1)
                seats := add(seats, and(shr(219, record), 0x20)) // at the word of its revision, which is 0 or 1
                mstore(seats, or(mload(seats), shl(and(index, 255), 1)))
                record := or(and(record, not(shl(226, 1))), shl(226, iszero(reserved)))
                mstore(0x00, chain)
                mstore(0x20, record)
                chain := keccak256(0x00, 44)
                mstore(accepted, record)
                accepted := add(accepted, 12)
            }
            mstore(lane, pointer)
            mstore(add(lane, 0x40), signer)
            mstore(add(lane, 0x60), chain)
            let buffer := mload(add(lane, 0x80))
            mstore(buffer, sub(accepted, add(buffer, 32)))
            more := lt(pointer, mload(add(lane, 0x20)))
        }
    }
}
