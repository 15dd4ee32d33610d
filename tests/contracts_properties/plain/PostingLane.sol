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

    /// @param seats For each 256 nanogrids whether their words are read into `known`
    struct State {
        Wire[] bids;
        uint256[] signers;
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

    struct Wire {
        BidRecord record;
        bytes32 r;
        bytes32 vs;
    }

    struct Seats {
        uint256 once;
        uint256 twice;
        uint256 thrice;
        uint256 winners;
        uint256 reserved;
    }

    function aim(State memory lane, bytes calldata bids, bytes memory signers) internal pure {
        lane.bids = new Wire[](bids.length / _WIRE_BID_BYTES);
        for (uint256 i = 0; i < lane.bids.length; ++i) {
            bytes calldata bid = bids[i * _WIRE_BID_BYTES:(i + 1) * _WIRE_BID_BYTES];
            lane.bids[i] = Wire(BidRecords.read(bid, 0), bytes32(bid[12:44]), bytes32(bid[44:76]));
        }
        lane.known = new Seats[](lane.seats.length);
        // The row is what the encoder would make of an array, but for where it begins and how many there are.
        lane.signers = abi.decode(bytes.concat(abi.encode(32, signers.length / 32), signers), (uint256[]));
    }

    /// @dev Digests are the auction's to make.
    function addressTo(State memory, bytes32, bytes32) internal pure {}

    function next(State memory lane) internal pure returns (bool more) {
        return lane.place < lane.bids.length;
    }

    function current(State memory lane) internal pure returns (BidRecord) {
        return lane.bids[lane.place].record;
    }

    function signature(State memory lane) internal pure returns (bytes32 r, bytes32 vs) {
        Wire memory bid = lane.bids[lane.place];
        return (bid.r, bid.vs);
    }

    function signerOfCurrent(State memory lane) internal pure returns (SeatSigner) {
        return SeatSigner.wrap(lane.signers[lane.place]);
    }

    /// @dev A bid's revision is how often its nanogrid has posted before.
    function take(State memory lane, Seats memory seats, BidRecord bid) internal pure {
        uint256 bit = 1 << (bid.index() % 256);
        if (bid.revision() == 0) seats.once |= bit;
        else if (bid.revision() == 1) seats.twice |= bit;
        else seats.thrice |= bit;
        BidRecord posted = bid.withReserved(seats.reserved & bit != 0);
        lane.chain = posted.fold(lane.chain);
        RecordBuffer.push(lane.accepted, BidRecord.unwrap(posted));
    }

    function advance(State memory lane) internal pure {
        ++lane.place;
    }

    /// @dev In whole numbers, without wrapping round: below 1 or above the range. No bid is judged where the product is paused.
    function isBeyondLimit(State memory lane, uint256 priceUeurKwh) internal pure returns (bool) {
        return priceUeurKwh < lane.lowestPriceUeurKwh
            || priceUeurKwh > lane.lowestPriceUeurKwh + lane.priceRangeUeurKwh;
    }

    function seatsIn(State memory lane, uint256 group) internal pure returns (Seats memory seats) {
        return group < lane.seats.length ? lane.known[group] : seats;
    }

    /// @dev "The signed revision must equal the number of posts", of which there are at most three.
    function isNext(Seats memory seats, BidRecord bid) internal pure returns (bool) {
        uint256 bit = 1 << (bid.index() % 256);
        if (seats.once & bit == 0) return bid.revision() == 0;
        if (seats.twice & bit == 0) return bid.revision() == 1;
        return seats.thrice & bit == 0 && bid.revision() == 2;
    }

    function putSeats(State memory lane, uint256 group, Seats memory seats) internal pure {
        lane.known[group] = seats;
        lane.seats[group] = 1;
    }
}
