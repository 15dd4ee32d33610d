// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BidRecord, BidRecords} from "./BidRecord.sol";
import {PostCounts} from "./PostCounts.sol";
import {RecordBuffer} from "./RecordBuffer.sol";
import {SeatSigner} from "./SeatSigner.sol";

/// @notice Plain twin of contracts/libraries/PostingLane.sol: it takes nothing by itself and leaves every bid to the auction's judgement.
/// Shows that what the lane takes is what the auction would take, with the same record, chain and posts.
library PostingLane {
    uint256 private constant _WIRE_BID_BYTES = 76;

    /// @param seats For each 128 nanogrids the number of their words among `known`, counted from 1; 0 while they are not read
    struct State {
        bytes bids;
        bytes signers;
        uint256 place;
        bytes32 chain;
        bytes accepted;
        uint256[] seats;
        Seats[] known;
        uint256 lowestPriceUeurKwh;
        uint256 priceRangeUeurKwh;
        uint256 limitMask;
        uint256 today;
    }

    struct Seats {
        uint256 posts;
        uint256 winners;
        uint256 reserved;
    }

    function aim(State memory lane, bytes calldata bids, bytes memory signers) internal pure {
        lane.bids = bids;
        lane.signers = signers;
    }

    /// @dev Digests are the auction's to make.
    function addressTo(State memory, bytes32, bytes32) internal pure {}

    function next(State memory lane) internal pure returns (bool more) {
        return lane.place * _WIRE_BID_BYTES < lane.bids.length;
    }

    function current(State memory lane) internal pure returns (BidRecord) {
        return BidRecords.readMemory(lane.bids, lane.place * _WIRE_BID_BYTES);
    }

    function signature(State memory lane) internal pure returns (bytes32 r, bytes32 vs) {
        uint256 offset = lane.place * _WIRE_BID_BYTES + BidRecords.BYTES;
        return (_word(lane.bids, offset), _word(lane.bids, offset + 32));
    }

    function signerOfCurrent(State memory lane) internal pure returns (SeatSigner) {
        return SeatSigner.wrap(uint256(_word(lane.signers, lane.place * 32)));
    }

    /// @dev Posts are counted in words of 128 nanogrids, 2 bits each; reservations in words of 256.
    function take(State memory lane, Seats memory seats, BidRecord bid) internal pure {
        uint16 index = bid.index();
        seats.posts += 1 << (2 * (index % 128));
        BidRecord posted = bid.withReserved((seats.reserved >> (index % 256)) % 2 == 1);
        lane.chain = posted.fold(lane.chain);
        RecordBuffer.push(lane.accepted, BidRecord.unwrap(posted));
    }

    function advance(State memory lane) internal pure {
        ++lane.place;
    }

    function seatsOf(State memory lane, uint16 index) internal pure returns (Seats memory seats) {
        uint256 word = PostCounts.wordOf(index);
        uint256 number = word < lane.seats.length ? lane.seats[word] : 0;
        return number == 0 ? seats : lane.known[number - 1];
    }

    function putSeats(State memory lane, uint16 index, Seats memory seats) internal pure {
        Seats[] memory known = new Seats[](lane.known.length + 1);
        for (uint256 i = 0; i < lane.known.length; ++i) {
            known[i] = lane.known[i];
        }
        known[lane.known.length] = seats;
        lane.known = known;
        lane.seats[PostCounts.wordOf(index)] = known.length;
    }

    function _word(bytes memory data, uint256 offset) private pure returns (bytes32) {
        uint256 word = 0;
        for (uint256 i = 0; i < 32; ++i) {
            word = word * 256 + uint8(data[offset + i]);
        }
        return bytes32(word);
    }
}
