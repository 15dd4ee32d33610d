// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Plain twin of contracts/libraries/ReadingRun.sol: it judges nothing and leaves every reading to SettlementJudge._judgeReading.
/// Shows that what the run judges, that function would judge alike.
library ReadingRun {
    struct Batch {
        bytes32 typehash;
        uint256 nanogrid;
        uint256 interval;
        int256 activeEnergyWh;
        int256 reactiveEnergyVarh;
        uint256 sequence;
        uint256 prefix;
        bytes32 domainSeparator;
        bytes32 structHash;
        bytes32 digest;
        uint256 v;
        bytes32 r;
        bytes32 s;
        bytes ends;
        bytes records;
        bytes annulled;
        uint256 firstOrdinal;
        uint256 firstNanogrid;
        int256 sign;
        uint256 meteredShift;
    }

    uint256 internal constant PREFIX = 0;
    uint256 internal constant ACTIVE_SHIFT = 0;
    uint256 internal constant REACTIVE_SHIFT = 0;

    function judge(Batch memory, bytes calldata, bytes calldata, uint256 offset, uint256 count)
        internal
        pure
        returns (uint256, uint256)
    {
        return (offset, count);
    }
}
