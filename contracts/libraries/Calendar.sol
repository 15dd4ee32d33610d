// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Moments around an interval, in hundredths of the market time unit u. Each is rounded down once: u·n/100 seconds.
library Calendar {
    /// @notice Whether a time is the start of an interval.
    function isInterval(uint256 interval, uint256 timeUnitS) internal pure returns (bool) {
        return interval != 0 && interval % timeUnitS == 0;
    }

    /// @notice `hundredths` of u, in seconds.
    function span(uint256 timeUnitS, uint256 hundredths) internal pure returns (uint256) {
        return (timeUnitS * hundredths) / 100;
    }

    /// @notice moment − u·hundredths/100, 0 at the least.
    function before(uint256 moment, uint256 timeUnitS, uint256 hundredths) internal pure returns (uint256) {
        uint256 spanS = span(timeUnitS, hundredths);
        return moment > spanS ? moment - spanS : 0;
    }

    /// @notice moment + u·hundredths/100.
    function afterwards(uint256 moment, uint256 timeUnitS, uint256 hundredths) internal pure returns (uint256) {
        return moment + span(timeUnitS, hundredths);
    }
}
