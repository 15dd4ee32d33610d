// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";
import {BidRecord} from "./BidRecord.sol";
import {WordList} from "./WordList.sol";

type AwardEnd is uint256;

using AwardEnds for AwardEnd global;

/// @notice Plain twin of contracts/libraries/AwardEnd.sol: every part of an award's end has its place in a word, set and read by
/// arithmetic; results are written byte by byte. Shows that no part runs into another, also where energies are negative.
library AwardEnds {
    uint256 internal constant RESULT_BYTES = 15;

    function open(BidRecord award, uint256 ordinal_) internal pure returns (AwardEnd end) {
        end = _with(end, 160, 96, BidRecord.unwrap(award));
        end = _with(end, 96, 24, ordinal_);
    }

    function ended(AwardEnd award, ISettlement.Outcome outcome_, uint24 delivered_) internal pure returns (AwardEnd) {
        award = _with(award, 64, 24, delivered_).endedAs(outcome_);
        if (outcome_ != ISettlement.Outcome.DELIVERED) award = award.penalised();
        return award;
    }

    function endedAs(AwardEnd award, ISettlement.Outcome outcome_) internal pure returns (AwardEnd) {
        return _with(award, 88, 8, uint256(outcome_));
    }

    function interrupted(AwardEnd award) internal pure returns (AwardEnd) {
        return _with(award, 129, 1, 0).endedAs(ISettlement.Outcome.REVOKED);
    }

    function penalised(AwardEnd award) internal pure returns (AwardEnd) {
        return _with(award, 129, 1, 1);
    }

    function measured(AwardEnd award, int32 baseline, int32 metered) internal pure returns (AwardEnd) {
        award = _with(award, 32, 32, _twosComplement(baseline));
        return _with(award, 0, 32, _twosComplement(metered));
    }

    function asMissing(AwardEnd award) internal pure returns (AwardEnd) {
        return _with(award, 128, 1, 1);
    }

    function skipped(AwardEnd award, ISettlement.Skip reason) internal pure returns (AwardEnd) {
        return _with(award, 120, 8, uint256(reason));
    }

    function delivered(AwardEnd award) internal pure returns (uint24) {
        return uint24(_part(award, 64, 24));
    }

    function ordinal(AwardEnd award) internal pure returns (uint24) {
        return uint24(_part(award, 96, 24));
    }

    function record(AwardEnd award) internal pure returns (BidRecord) {
        return BidRecord.wrap(uint96(_part(award, 160, 96)));
    }

    function skip(AwardEnd award) internal pure returns (ISettlement.Skip) {
        return ISettlement.Skip(uint8(_part(award, 120, 8)));
    }

    function isSkipped(AwardEnd award) internal pure returns (bool) {
        return award.skip() != ISettlement.Skip.NONE;
    }

    function isMissing(AwardEnd award) internal pure returns (bool) {
        return _part(award, 128, 1) == 1;
    }

    function isPenalised(AwardEnd award) internal pure returns (bool) {
        return _part(award, 129, 1) == 1;
    }

    function listOf(AwardEnd award, address gateway) internal pure returns (bytes memory list) {
        list = roomFor(1);
        put(list, 0, award, gateway);
    }

    function roomFor(uint256 awards) internal pure returns (bytes memory) {
        return WordList.make(awards * 2);
    }

    function put(bytes memory list, uint256 place, AwardEnd award, address gateway) internal pure {
        WordList.put(list, place * 2, AwardEnd.unwrap(award));
        WordList.put(list, place * 2 + 1, uint160(gateway));
    }

    function at(bytes memory list, uint256 place) internal pure returns (AwardEnd, address) {
        return (AwardEnd.wrap(WordList.at(list, place * 2)), address(uint160(WordList.at(list, place * 2 + 1))));
    }

    function countOf(bytes memory list) internal pure returns (uint256) {
        return WordList.count(list) / 2;
    }

    function resultsOf(uint256 awards) internal pure returns (bytes memory results) {
        results = new bytes(awards * RESULT_BYTES);
        _setLength(results, 0);
    }

    function pushResult(AwardEnd award, bytes memory results) internal pure {
        uint256 length = results.length;
        _setLength(results, length + RESULT_BYTES);
        for (uint256 i = 0; i < RESULT_BYTES; ++i) {
            results[length + i] = bytes1(uint8(_part(award, 8 * (RESULT_BYTES - 1 - i), 8)));
        }
    }

    function _part(AwardEnd award, uint256 lowest, uint256 bits) private pure returns (uint256) {
        return (AwardEnd.unwrap(award) >> lowest) % (1 << bits);
    }

    /// @dev What stood there before goes.
    function _with(AwardEnd award, uint256 lowest, uint256 bits, uint256 value) private pure returns (AwardEnd) {
        require(value < 1 << bits, "beyond its place");
        return AwardEnd.wrap(AwardEnd.unwrap(award) - (_part(award, lowest, bits) << lowest) + (value << lowest));
    }

    function _twosComplement(int32 value) private pure returns (uint256) {
        return uint256(value < 0 ? int256(value) + 2 ** 32 : int256(value));
    }

    /// @dev Solidity cannot change the length of what is in memory.
    function _setLength(bytes memory results, uint256 length) private pure {
        assembly ("memory-safe") {
            mstore(results, length)
        }
    }
}
