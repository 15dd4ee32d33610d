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
        uint24 delivered,
        bool penalised
    ) external pure {
        vm.assume(outcome <= uint8(type(ISettlement.Outcome).max));
        AwardEnd end = AwardEnds.open(record, ordinal).measured(baseline, metered).ended(
            ISettlement.Outcome(outcome), delivered, penalised
        );
        assert(end.ordinal() == ordinal);
        assert(end.index() == record.index());
        assert(end.awarded() == record.quantity());
        assert(end.priceUeurKwh() == record.priceUeurKwh());
        assert(end.delivered() == delivered);
        assert(end.isPenalised() == penalised);
    }
}
