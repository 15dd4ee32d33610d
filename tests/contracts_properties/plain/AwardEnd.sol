// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";
import {BidRecord} from "./BidRecord.sol";

type AwardEnd is uint256;

using AwardEnds for AwardEnd global;

/// @notice Plain twin of contracts/libraries/AwardEnd.sol: every part of an award's end has its place in a word, set and read by
/// arithmetic; results are written byte by byte. Shows that no part runs into another, also where energies are negative.
library AwardEnds {
    uint256 internal constant RESULT_BYTES = 15;

    function open(BidRecord award, uint256 ordinal_) internal pure returns (AwardEnd end) {
        end = _with(end, 96, 24, ordinal_);
        end = _with(end, 120, 16, award.index());
        end = _with(end, 136, 24, award.quantity());
        end = _with(end, 160, 32, award.priceUeurKwh());
    }

    function ended(AwardEnd award, ISettlement.Outcome outcome_, uint24 delivered_, bool penalised_)
        internal
        pure
        returns (AwardEnd)
    {
        award = _with(award, 88, 8, uint256(outcome_));
        award = _with(award, 64, 24, delivered_);
        return penalised_ ? _with(award, 201, 1, 1) : award;
    }

    function measured(AwardEnd award, int32 baseline, int32 metered) internal pure returns (AwardEnd) {
        award = _with(award, 32, 32, _twosComplement(baseline));
        return _with(award, 0, 32, _twosComplement(metered));
    }

    function asMissing(AwardEnd award) internal pure returns (AwardEnd) {
        return _with(award, 200, 1, 1);
    }

    function skipped(AwardEnd award, ISettlement.Skip reason) internal pure returns (AwardEnd) {
        return _with(award, 192, 8, uint256(reason));
    }

    function delivered(AwardEnd award) internal pure returns (uint24) {
        return uint24(_part(award, 64, 24));
    }

    function ordinal(AwardEnd award) internal pure returns (uint24) {
        return uint24(_part(award, 96, 24));
    }

    function index(AwardEnd award) internal pure returns (uint16) {
        return uint16(_part(award, 120, 16));
    }

    function awarded(AwardEnd award) internal pure returns (uint24) {
        return uint24(_part(award, 136, 24));
    }

    function priceUeurKwh(AwardEnd award) internal pure returns (uint32) {
        return uint32(_part(award, 160, 32));
    }

    function skip(AwardEnd award) internal pure returns (ISettlement.Skip) {
        return ISettlement.Skip(uint8(_part(award, 192, 8)));
    }

    function isMissing(AwardEnd award) internal pure returns (bool) {
        return _part(award, 200, 1) == 1;
    }

    function isPenalised(AwardEnd award) internal pure returns (bool) {
        return _part(award, 201, 1) == 1;
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
        return (AwardEnd.unwrap(award) / 2 ** lowest) % 2 ** bits;
    }

    /// @dev What stood there before goes.
    function _with(AwardEnd award, uint256 lowest, uint256 bits, uint256 value) private pure returns (AwardEnd) {
        require(value < 2 ** bits, "beyond its place");
        return AwardEnd.wrap(AwardEnd.unwrap(award) - _part(award, lowest, bits) * 2 ** lowest + value * 2 ** lowest);
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
