// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "contracts/interfaces/ISettlement.sol";
import {AwardEnd, AwardEnds} from "contracts/libraries/AwardEnd.sol";
import {BidRecord} from "contracts/libraries/BidRecord.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice The word in which an award's end is passed on says what was put into it; no field reaches another.
contract AwardEndProofs is Symbolic {
    function check_an_end_keeps_the_award_and_what_was_measured(
        BidRecord record,
        uint24 ordinal,
        int32 baseline,
        int32 metered,
        uint8 outcome,
        uint24 delivered
    ) external pure {
        vm.assume(outcome <= uint8(type(ISettlement.Outcome).max));
        AwardEnd end = AwardEnds.open(record, ordinal).measured(baseline, metered).ended(
            ISettlement.Outcome(outcome), delivered
        );
        assert(end.ordinal() == ordinal);
        assert(BidRecord.unwrap(end.record()) == BidRecord.unwrap(record));
        assert(end.delivered() == delivered);
        assert(end.isPenalised() == (ISettlement.Outcome(outcome) != ISettlement.Outcome.DELIVERED));
        assert(!end.isSkipped() && !end.isMissing());
    }
}
