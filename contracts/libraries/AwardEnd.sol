// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";
import {BidRecord} from "./BidRecord.sol";

/// @notice How an award ends, or why it does not yet, in one word: a batch of 200 structs would cost more to pass than to judge.
/// From the lowest bit: metered 32 | baseline 32 | delivered 24 | outcome 8 | ordinal 24 | index 16 | awarded 24 | price 32 |
/// skip 8 | missing 1 | penalised 1.
type AwardEnd is uint256;

using AwardEnds for AwardEnd global;

/// @notice Makes and reads the ends of awards, and lists their results.
/// @dev Its plain twin, which tests hold it to: tests/contracts_properties/plain/AwardEnd.sol.
library AwardEnds {
    /// @notice Of an award's entry in the event AwardsSettled: ordinal 24 | outcome 8 | delivered 24 | baseline 32 | metered 32.
    uint256 internal constant RESULT_BYTES = 15;

    uint256 private constant _BASELINE = 32;
    uint256 private constant _DELIVERED = 64;
    uint256 private constant _OUTCOME = 88;
    uint256 private constant _ORDINAL = 96;
    uint256 private constant _INDEX = 120;
    uint256 private constant _AWARDED = 136;
    uint256 private constant _PRICE = 160;
    uint256 private constant _SKIP = 192;
    uint256 private constant _MISSING = 1 << 200;
    uint256 private constant _PENALISED = 1 << 201;

    // MAKING

    /// @notice An award whose end is open: whose, which, how much, at which price.
    function open(BidRecord award, uint256 ordinal_) internal pure returns (AwardEnd) {
        return AwardEnd.wrap(
            ordinal_ << _ORDINAL | uint256(award.index()) << _INDEX | uint256(award.quantity()) << _AWARDED
                | uint256(award.priceUeurKwh()) << _PRICE
        );
    }

    /// @notice The open award with its outcome.
    function ended(AwardEnd award, ISettlement.Outcome outcome_, uint24 delivered_, bool penalised_)
        internal
        pure
        returns (AwardEnd)
    {
        uint256 word = AwardEnd.unwrap(award) | uint256(outcome_) << _OUTCOME | uint256(delivered_) << _DELIVERED;
        return AwardEnd.wrap(penalised_ ? word | _PENALISED : word);
    }

    /// @notice The award with the energies by which it ended. [Wh or varh]
    function measured(AwardEnd award, int32 baseline, int32 metered) internal pure returns (AwardEnd) {
        return AwardEnd.wrap(AwardEnd.unwrap(award) | uint256(uint32(baseline)) << _BASELINE | uint32(metered));
    }

    /// @notice The award as one that ended because no reading came.
    function asMissing(AwardEnd award) internal pure returns (AwardEnd) {
        return AwardEnd.wrap(AwardEnd.unwrap(award) | _MISSING);
    }

    /// @notice The award as one that cannot end now.
    function skipped(AwardEnd award, ISettlement.Skip reason) internal pure returns (AwardEnd) {
        return AwardEnd.wrap(AwardEnd.unwrap(award) | uint256(reason) << _SKIP);
    }

    // READING

    // The casts below cut the word's fields out: truncation is their purpose.
    // forge-lint: disable-start(unsafe-typecast)

    function delivered(AwardEnd award) internal pure returns (uint24) {
        return uint24(AwardEnd.unwrap(award) >> _DELIVERED);
    }

    function ordinal(AwardEnd award) internal pure returns (uint24) {
        return uint24(AwardEnd.unwrap(award) >> _ORDINAL);
    }

    function index(AwardEnd award) internal pure returns (uint16) {
        return uint16(AwardEnd.unwrap(award) >> _INDEX);
    }

    function awarded(AwardEnd award) internal pure returns (uint24) {
        return uint24(AwardEnd.unwrap(award) >> _AWARDED);
    }

    function priceUeurKwh(AwardEnd award) internal pure returns (uint32) {
        return uint32(AwardEnd.unwrap(award) >> _PRICE);
    }

    function skip(AwardEnd award) internal pure returns (ISettlement.Skip) {
        return ISettlement.Skip(uint8(AwardEnd.unwrap(award) >> _SKIP));
    }

    // forge-lint: disable-end(unsafe-typecast)

    function isMissing(AwardEnd award) internal pure returns (bool) {
        return AwardEnd.unwrap(award) & _MISSING != 0;
    }

    function isPenalised(AwardEnd award) internal pure returns (bool) {
        return AwardEnd.unwrap(award) & _PENALISED != 0;
    }

    // RESULTS OF A BATCH

    /// @notice An empty list of results with room for a number of them.
    function resultsOf(uint256 awards) internal pure returns (bytes memory results) {
        results = new bytes(awards * RESULT_BYTES + 32); // 32: results are stored by whole words
        assembly ("memory-safe") {
            mstore(results, 0)
        }
    }

    /// @notice Appends the award's result, which is the word's lowest 15 bytes. The caller keeps within the room.
    function pushResult(AwardEnd award, bytes memory results) internal pure {
        uint256 word = AwardEnd.unwrap(award) << (256 - 8 * RESULT_BYTES);
        assembly ("memory-safe") {
            let length := mload(results)
            mstore(add(add(results, 32), length), word)
            mstore(results, add(length, RESULT_BYTES))
        }
    }
}
