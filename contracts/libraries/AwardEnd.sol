// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";
import {BidRecord} from "./BidRecord.sol";
import {WordList} from "./WordList.sol";

/// @notice How an award ends, or why it does not yet, in one word: a batch of 200 structs would cost more to pass than to judge.
/// Most significant first: award record 96 | unused 30 | penalised 1 | missing 1 | skip 8 | ordinal 24 | outcome 8 | delivered 24 |
/// baseline 32 | metered 32. The lowest 120 bits are the award's entry in AwardsSettled.
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
    uint256 private constant _SKIP = 120;
    uint256 private constant _MISSING = 1 << 128;
    uint256 private constant _PENALISED = 1 << 129;
    uint256 private constant _RECORD = 160;

    // MAKING

    /// @notice An award whose end is open.
    function open(BidRecord award, uint256 ordinal_) internal pure returns (AwardEnd) {
        return AwardEnd.wrap(uint256(BidRecord.unwrap(award)) << _RECORD | ordinal_ << _ORDINAL);
    }

    /// @notice The open award with what was delivered, and so its outcome; penalised where that is not DELIVERED.
    function ended(AwardEnd award, ISettlement.Outcome outcome_, uint24 delivered_) internal pure returns (AwardEnd) {
        award = AwardEnd.wrap(AwardEnd.unwrap(award) | uint256(delivered_) << _DELIVERED).endedAs(outcome_);
        return outcome_ == ISettlement.Outcome.DELIVERED ? award : award.penalised();
    }

    function endedAs(AwardEnd award, ISettlement.Outcome outcome_) internal pure returns (AwardEnd) {
        return AwardEnd.wrap(AwardEnd.unwrap(award) | uint256(outcome_) << _OUTCOME);
    }

    /// @notice The ended award as one beside a command that came after it had begun: revoked, so that a shortfall costs nothing, but what
    /// was delivered stays.
    function interrupted(AwardEnd award) internal pure returns (AwardEnd) {
        return AwardEnd.wrap(AwardEnd.unwrap(award) & ~(_PENALISED | uint256(0xff) << _OUTCOME))
            .endedAs(ISettlement.Outcome.REVOKED);
    }

    /// @notice The award as one whose shortfall costs a penalty.
    function penalised(AwardEnd award) internal pure returns (AwardEnd) {
        return AwardEnd.wrap(AwardEnd.unwrap(award) | _PENALISED);
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

    /// @notice The award's record: whose, how much, at which price.
    function record(AwardEnd award) internal pure returns (BidRecord) {
        return BidRecord.wrap(uint96(AwardEnd.unwrap(award) >> _RECORD));
    }

    function skip(AwardEnd award) internal pure returns (ISettlement.Skip) {
        return ISettlement.Skip(uint8(AwardEnd.unwrap(award) >> _SKIP));
    }

    // forge-lint: disable-end(unsafe-typecast)

    function isSkipped(AwardEnd award) internal pure returns (bool) {
        return uint8(AwardEnd.unwrap(award) >> _SKIP) != 0;
    }

    function isMissing(AwardEnd award) internal pure returns (bool) {
        return AwardEnd.unwrap(award) & _MISSING != 0;
    }

    function isPenalised(AwardEnd award) internal pure returns (bool) {
        return AwardEnd.unwrap(award) & _PENALISED != 0;
    }

    // LISTS: two words for each award, its end and the gateway that must be its seat's for it to end so (0: nobody's)

    function listOf(AwardEnd award, address gateway) internal pure returns (bytes memory list) {
        list = roomFor(1);
        put(list, 0, award, gateway);
    }

    function roomFor(uint256 awards) internal pure returns (bytes memory) {
        return WordList.make(2 * awards);
    }

    /// @notice The caller keeps within the room.
    function put(bytes memory list, uint256 place, AwardEnd award, address gateway) internal pure {
        unchecked {
            WordList.put(list, 2 * place, AwardEnd.unwrap(award));
            WordList.put(list, 2 * place + 1, uint160(gateway));
        }
    }

    /// @notice The caller keeps within the list.
    function at(bytes memory list, uint256 place) internal pure returns (AwardEnd award, address gateway) {
        unchecked {
            award = AwardEnd.wrap(WordList.at(list, 2 * place));
            gateway = address(uint160(WordList.at(list, 2 * place + 1)));
        }
    }

    function countOf(bytes memory list) internal pure returns (uint256) {
        return WordList.count(list) / 2;
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
