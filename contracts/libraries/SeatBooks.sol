// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @notice A seat's slot in Settlement: unused 7 | inDebt 1 | balanceUeur 88 | gateway 160. The check of a reading's signature and the
/// credit touch nothing else. One word, because a struct in storage is read and written field by field.
type SeatBooks is uint256;

using SeatBooksFields for SeatBooks global;

library SeatBooksFields {
    using SafeCast for uint256;

    uint256 private constant _BALANCE = 160;
    uint256 private constant _MAX_BALANCE = type(uint88).max;
    uint256 private constant _IN_DEBT = 1 << 248;

    function gateway(SeatBooks seat) internal pure returns (address) {
        // forge-lint: disable-next-line(unsafe-typecast) truncation is the purpose
        return address(uint160(SeatBooks.unwrap(seat)));
    }

    function balanceUeur(SeatBooks seat) internal pure returns (uint256) {
        return SeatBooks.unwrap(seat) >> _BALANCE & _MAX_BALANCE;
    }

    function inDebt(SeatBooks seat) internal pure returns (bool) {
        return SeatBooks.unwrap(seat) & _IN_DEBT != 0;
    }

    /// @notice Whether the gateway is the seat's; nobody (0) is everybody's.
    function isServedBy(SeatBooks seat, address gateway_) internal pure returns (bool) {
        return gateway_ == address(0) || gateway_ == seat.gateway();
    }

    function withGateway(SeatBooks seat, address gateway_) internal pure returns (SeatBooks) {
        uint256 rest = SeatBooks.unwrap(seat) >> _BALANCE << _BALANCE;
        return SeatBooks.wrap(rest | uint160(gateway_));
    }

    function withBalance(SeatBooks seat, uint256 balanceUeur_) internal pure returns (SeatBooks) {
        uint256 rest = SeatBooks.unwrap(seat) & ~(_MAX_BALANCE << _BALANCE);
        return SeatBooks.wrap(rest | uint256(balanceUeur_.toUint88()) << _BALANCE);
    }

    function withDebt(SeatBooks seat, bool inDebt_) internal pure returns (SeatBooks) {
        uint256 rest = SeatBooks.unwrap(seat) & ~_IN_DEBT;
        return SeatBooks.wrap(inDebt_ ? rest | _IN_DEBT : rest);
    }
}
