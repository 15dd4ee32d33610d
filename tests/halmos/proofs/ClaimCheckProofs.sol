// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {ClaimCheck} from "contracts/libraries/ClaimCheck.sol";
import {PlainMeritOrder} from "./PlainMeritOrder.sol";
import {Symbolic} from "./Symbolic.sol";

/// @notice Every claim that passes gives the awards of the merit order: for all prices, quantities, minima, reservations and indices of two
/// first bids, for all quantities of an offer, BUY and SELL, and for all claims about them.
/// @custom:halmos --loop 32 --solver-timeout-branching 500
contract ClaimCheckProofs is Symbolic {
    using PlainMeritOrder for PlainMeritOrder.Auction;

    uint96 private constant _REVISION = 3 << 64;

    function check_claims_about_two_bids_that_pass_over_none(
        bool sells,
        uint96[2] calldata bids,
        uint40 quantity,
        uint64 marginal,
        uint24 marginalQuantity
    ) external view {
        _holds(sells, _first(bids), quantity, IMeritOrderAuction.Claim(marginal, marginalQuantity, new uint64[](0)));
    }

    function check_claims_about_two_bids_that_pass_over_one(
        bool sells,
        uint96[2] calldata bids,
        uint40 quantity,
        uint64 marginal,
        uint24 marginalQuantity,
        uint64 passedOver
    ) external view {
        uint64[] memory passed = new uint64[](1);
        passed[0] = passedOver;
        _holds(sells, _first(bids), quantity, IMeritOrderAuction.Claim(marginal, marginalQuantity, passed));
    }

    function check_claims_about_two_bids_that_pass_over_both(
        bool sells,
        uint96[2] calldata bids,
        uint40 quantity,
        uint64 marginal,
        uint24 marginalQuantity,
        uint64[2] calldata passedOver
    ) external view {
        uint64[] memory passed = new uint64[](2);
        (passed[0], passed[1]) = (passedOver[0], passedOver[1]);
        _holds(sells, _first(bids), quantity, IMeritOrderAuction.Claim(marginal, marginalQuantity, passed));
    }

    /// @notice As ClaimChecker has it done, in one chunk.
    function judge(bool sells, uint256 quantity, IMeritOrderAuction.Claim memory claim, bytes calldata records)
        external
        pure
        returns (uint8 rule, bytes memory awards)
    {
        ClaimCheck.requireShape(claim);
        IMeritOrderAuction.Progress memory progress = ClaimCheck.begin(claim.passedOver.length);
        IMeritOrderAuction.Side side = sells ? IMeritOrderAuction.Side.SELL : IMeritOrderAuction.Side.BUY;
        rule = ClaimCheck.replay(progress, claim, side, new uint256[](0), records, records[:0]);
        if (rule == 0) rule = ClaimCheck.brokenRule(progress, claim, quantity);
        return (rule, progress.pending);
    }

    function _holds(bool sells, uint96[] memory bids, uint40 quantity, IMeritOrderAuction.Claim memory claim) private view {
        PlainMeritOrder.Auction memory auction = _auctionOf(sells, bids, quantity);
        (uint8 rule, bytes memory awards) = this.judge(sells, quantity, claim, _pack(bids));
        vm.assume(rule == 0);
        assert(_areAwards(awards, auction, auction.clear()));
    }

    function _first(uint96[2] calldata bids) private pure returns (uint96[] memory records) {
        records = new uint96[](2);
        (records[0], records[1]) = (bids[0] & ~_REVISION, bids[1] & ~_REVISION);
    }

    /// @dev First bids as the auction takes them, of an offer that asks for something.
    function _auctionOf(bool sells, uint96[] memory bids, uint40 quantity)
        private
        pure
        returns (PlainMeritOrder.Auction memory auction)
    {
        vm.assume(quantity != 0);
        for (uint256 i = 0; i < bids.length; ++i) {
            vm.assume(PlainMeritOrder.quantityOf(bids[i]) >= PlainMeritOrder.leastOf(bids[i]));
        }
        return PlainMeritOrder.Auction(sells, quantity, bids);
    }

    function _pack(uint96[] memory records) private pure returns (bytes memory packed) {
        for (uint256 i = 0; i < records.length; ++i) {
            packed = bytes.concat(packed, bytes12(records[i]));
        }
    }

    /// @dev Whether the award records are those of all that won, in posting order: each the bid's with what it won and its position in
    /// place of the minimum. Every path of the check knows which bids it has awarded, so that only numbers are left to compare.
    function _areAwards(bytes memory awards, PlainMeritOrder.Auction memory auction, uint256[] memory won)
        private
        pure
        returns (bool same)
    {
        same = true;
        uint256 offset = 0;
        for (uint256 i = 0; i < auction.records.length; ++i) {
            uint256 award = _at(awards, offset);
            bool isAwarded = offset < awards.length && award >> 16 & 0xffffff == i;
            if (isAwarded) offset += 12;
            uint256 rest = auction.records[i] & ~uint256(0xffffffffffff0000);
            uint256 expected = isAwarded ? rest | won[i] << 40 | i << 16 : award;
            same = PlainMeritOrder.both(same, award == expected);
            same = PlainMeritOrder.both(same, (won[i] != 0) == isAwarded);
        }
        same = PlainMeritOrder.both(same, offset == awards.length);
    }

    function _at(bytes memory records, uint256 offset) private pure returns (uint256 record) {
        assembly ("memory-safe") {
            record := shr(160, mload(add(add(records, 32), offset)))
        }
    }
}
