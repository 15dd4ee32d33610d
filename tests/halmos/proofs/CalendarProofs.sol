// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Calendar} from "contracts/libraries/Calendar.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice Moments around an interval. (Months are tried out day by day in test_libraries.py.)
contract CalendarProofs is Symbolic {
    /// @dev Times are 32 bits and the time unit too; deadlines are at most some tens of intervals away.
    function check_deadlines_surround_the_moment(uint32 moment, uint32 timeUnitS, uint16 hundredths) external pure {
        uint256 spanS = Calendar.span(timeUnitS, hundredths);
        uint256 earlier = Calendar.before(moment, timeUnitS, hundredths);
        assert(earlier <= moment && (earlier == 0 || moment - earlier == spanS));
        assert(earlier != 0 || moment <= spanS);
        assert(Calendar.afterwards(moment, timeUnitS, hundredths) == moment + spanS);
    }

    function check_intervals_start_at_multiples_of_the_unit(uint32 interval, uint32 timeUnitS) external pure {
        vm.assume(timeUnitS != 0);
        bool starts = Calendar.isInterval(interval, timeUnitS);
        assert(starts == (interval > 0 && interval % timeUnitS == 0));
    }
}
