// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Months of UTC as numbers: year * 12 + month - 1.
/// @dev Days ↔ civil dates after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (years that begin in March).
library Months {
    uint256 private constant _DAY_S = 86_400;
    uint256 private constant _DAYS_TO_EPOCH = 719_468; // from 0000-03-01 to 1970-01-01
    uint256 private constant _DAYS_PER_ERA = 146_097; // 400 years

    /// @notice The month that contains a moment.
    // slither-disable-next-line divide-before-multiply -- whole days, years and eras are what the calendar counts
    function monthOf(uint256 timestamp) internal pure returns (uint16) {
        uint256 day = timestamp / _DAY_S + _DAYS_TO_EPOCH;
        uint256 era = day / _DAYS_PER_ERA;
        uint256 dayOfEra = day % _DAYS_PER_ERA;
        uint256 yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365;
        uint256 dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
        uint256 monthFromMarch = (5 * dayOfYear + 2) / 153;
        return uint16((era * 400 + yearOfEra) * 12 + monthFromMarch + 2);
    }

    /// @notice First second of a month, not before 1970.
    // slither-disable-next-line divide-before-multiply -- whole years and eras are what the calendar counts
    function startOf(uint256 month) internal pure returns (uint256) {
        uint256 fromMarch = month - 2;
        uint256 year = fromMarch / 12;
        uint256 dayOfYear = (153 * (fromMarch % 12) + 2) / 5;
        uint256 yearOfEra = year % 400;
        uint256 dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear;
        return ((year / 400) * _DAYS_PER_ERA + dayOfEra - _DAYS_TO_EPOCH) * _DAY_S;
    }

    /// @notice Hours of a month.
    function hoursOf(uint256 month) internal pure returns (uint256) {
        return (startOf(month + 1) - startOf(month)) / 3600;
    }
}
