// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {BidHandlers} from "./BidHandlers.sol";
import {ClaimForgery} from "./ClaimForgery.sol";
import {MeritOrderReference} from "./MeritOrderReference.sol";
import {TreeReference} from "./TreeReference.sol";
import {VM, Vm} from "./Vm.sol";

/// @notice Clearing by right and by forged claims, in one piece and in chunks; results made final.
/// @dev Whoever clears and by whatever claim: what the auction takes must be the reference's result.
abstract contract ClearingHandlers is BidHandlers {
    bytes4 private _refusal;

    function clears(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id != 0) _clear(id);
    }

    function forgedClaims(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id == 0) return;
        for (uint256 i = 0; i < 3; ++i) {
            _forge(id);
        }
    }

    function _auctionOf(bytes32 id) private view returns (MeritOrderReference.Auction memory auction_) {
        Lot storage lot = lots[id];
        bytes memory rejected;
        if (_statusOf(id) == IMeritOrderAuction.Status.CLEARED) rejected = lot.rejected;
        return MeritOrderReference.Auction(_isSell(lot), lot.offer.quantity, lot.records, rejected);
    }

    function _clear(bytes32 id) internal {
        MeritOrderReference.Auction memory auction_ = _auctionOf(id);
        IMeritOrderAuction.Claim memory claim = MeritOrderReference.clear(auction_).claim;
        IMeritOrderAuction.Progress memory progress = _noProgress(claim);
        uint256 n = auction_.records.length / MeritOrderReference.RECORD;
        while (n > 1 && progress.position + 1 < n && _draw(3) == 0) {
            uint256 size = _between(1, n - progress.position - 1);
            bytes memory chunk = TreeReference.slice(auction_.records, uint256(progress.position) * 12, size * 12);
            if (!_send(id, claim, chunk, auction_.rejected, progress)) return _requireNotDoubted();
            _mark("clearing: chunk");
            ClaimForgery.replay(progress, claim, auction_, size);
        }
        bytes memory rest =
            TreeReference.slice(auction_.records, uint256(progress.position) * 12, auction_.records.length);
        if (!_send(id, claim, rest, auction_.rejected, progress)) return _requireNotDoubted();
        require(_statusOf(id) == IMeritOrderAuction.Status.CLEARED, "the right claim did not clear");
        _mark("clearing: passed over", uint8(claim.passedOver.length));
        if (claim.marginal != type(uint64).max && claim.marginalQuantity == 0) _mark("clearing: the 17th");
    }

    /// @dev The right claim may come too early, too late or twice, but nothing is ever wrong with it.
    function _requireNotDoubted() private view {
        bool isDoubted = _refusal == IMeritOrderAuction.FalseClaim.selector
            || _refusal == IMeritOrderAuction.WrongRecords.selector
            || _refusal == IMeritOrderAuction.WrongProgress.selector
            || _refusal == IMeritOrderAuction.WrongRejected.selector
            || _refusal == IMeritOrderAuction.MalformedRecords.selector;
        require(!isDoubted, "the right claim was refused");
    }

    function _forge(bytes32 id) internal {
        MeritOrderReference.Auction memory auction_ = _auctionOf(id);
        IMeritOrderAuction.Claim memory claim = MeritOrderReference.clear(auction_).claim;
        uint256 lie = _draw(ClaimForgery.CLAIM_FORGERIES + ClaimForgery.RECORD_FORGERIES + 2);
        uint256 dice = _draw(type(uint256).max);
        bytes memory records = auction_.records;
        bytes memory rejected = auction_.rejected;
        uint256 kind = _draw(6);
        if (kind == 0) {
            claim = ClaimForgery.passingOverAWinner(auction_, dice);
        } else if (kind == 1) {
            claim = ClaimForgery.belowAMinimum(auction_, dice);
        } else if (lie < ClaimForgery.CLAIM_FORGERIES) {
            ClaimForgery.ofClaim(claim, auction_, lie, dice);
        } else if (lie < ClaimForgery.CLAIM_FORGERIES + ClaimForgery.RECORD_FORGERIES) {
            records = ClaimForgery.ofRecords(records, lie - ClaimForgery.CLAIM_FORGERIES, dice);
        }
        IMeritOrderAuction.Progress memory progress = _noProgress(claim);
        if (lie == ClaimForgery.CLAIM_FORGERIES + ClaimForgery.RECORD_FORGERIES) {
            progress.position = uint32(_draw(30));
        } else if (lie > ClaimForgery.CLAIM_FORGERIES + ClaimForgery.RECORD_FORGERIES) {
            rejected = bytes.concat(rejected, hex"01");
        }
        bool taken = _send(id, claim, records, rejected, progress);
        _mark(taken ? "forged claim: harmless" : "forged claim: refused");
    }

    function _noProgress(IMeritOrderAuction.Claim memory claim)
        private
        pure
        returns (IMeritOrderAuction.Progress memory progress)
    {
        progress.betterThanPassed = new uint64[](claim.passedOver.length);
        progress.minima = new uint24[](claim.passedOver.length + 1);
    }

    /// @dev One call of `clear`. A result that is taken is compared with the greedy reference, whoever brought it.
    function _send(
        bytes32 id,
        IMeritOrderAuction.Claim memory claim,
        bytes memory records,
        bytes memory rejected,
        IMeritOrderAuction.Progress memory progress
    ) private returns (bool) {
        MeritOrderReference.Auction memory auction_ = _auctionOf(id);
        bool again = _statusOf(id) == IMeritOrderAuction.Status.CLEARED;
        bytes32 before = auction.stateOf(id).awardsRoot;
        bytes memory data = abi.encodeCall(auction.clear, (id, claim, records, rejected, progress));
        (bool taken, bytes memory answer) = _try(_draw(2) == 0 ? relayer : stranger, address(auction), data);
        if (!taken && bytes4(answer) == IMeritOrderAuction.FalseClaim.selector) {
            _mark("broken rule", uint8(answer[67]));
        }
        _refusal = bytes4(answer);
        if (!taken) return false;
        IMeritOrderAuction.OfferState memory state = auction.stateOf(id);
        if (state.status != IMeritOrderAuction.Status.CLEARED) return true;
        if (again && progress.position * 12 + records.length != auction_.records.length) {
            require(state.awardsRoot == before, "a chunk changed the awards");
            return true;
        }
        _cleared(id, auction_, state, again);
        return true;
    }

    function _cleared(
        bytes32 id,
        MeritOrderReference.Auction memory auction_,
        IMeritOrderAuction.OfferState memory state,
        bool again
    ) private {
        Lot storage lot = lots[id];
        bytes memory awards = MeritOrderReference.clear(auction_).awards;
        require(
            state.awardsRoot == TreeReference.rootOf(TreeReference.awardLeaves(awards)), "awards outside merit order"
        );
        require(state.awardCount == awards.length / MeritOrderReference.RECORD, "another number of awards");
        require(!again || !lot.clearedAgain, "cleared a third time");
        require(_awardedByLog() == _sumOf(awards), "another sum awarded is told");
        lot.clearedAgain = again;
        lot.awards = awards;
        _mark(again ? "cleared again" : "cleared");
        _mark("status", uint8(IMeritOrderAuction.Status.CLEARED));
    }

    function _awardedByLog() private returns (uint64 awarded) {
        Vm.Log[] memory logs = VM.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != IMeritOrderAuction.Cleared.selector) continue;
            (,, awarded,,) = abi.decode(logs[i].data, (bytes32, uint32, uint64, uint64, bool));
        }
    }

    function _sumOf(bytes memory awards) private pure returns (uint256 sum) {
        for (uint256 i = 0; i < awards.length / MeritOrderReference.RECORD; ++i) {
            sum += MeritOrderReference.bidAt(awards, i).quantity;
        }
    }

    /* RESULTS */

    function finalises(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id != 0) _finalise(id);
    }

    function _finalise(bytes32 id) internal {
        Lot storage lot = lots[id];
        if (lot.isFinal && _draw(3) != 0) return;
        bytes memory rejected = lot.clearedAgain ? bytes("") : lot.rejected;
        bytes memory awards = lot.awards;
        if (awards.length > 0 && _draw(10) == 0) awards = ClaimForgery.ofRecords(awards, _draw(4), _draw(2 ** 250));
        (bool taken, bytes memory answer) =
            _try(relayer, address(auction), abi.encodeCall(auction.finalise, (id, awards, rejected)));
        bool isDoubted = !taken && bytes4(answer) == IMeritOrderAuction.WrongAwards.selector;
        require(!isDoubted || keccak256(awards) != keccak256(lot.awards), "the right awards were refused");
        if (!taken) return;
        require(keccak256(awards) == keccak256(lot.awards), "other awards made final");
        lot.isFinal = true;
        lot.awards = MeritOrderReference.standing(awards, rejected);
        _checkFinal(id, lot);
    }

    function _checkFinal(bytes32 id, Lot storage lot) private {
        IMeritOrderAuction.OfferState memory state = auction.stateOf(id);
        bytes32 root = TreeReference.rootOf(TreeReference.awardLeaves(lot.awards));
        require(state.awardsRoot == root && state.awardCount == _awardCount(lot), "another result made final");
        uint8 kind = _kindOf(lot.offer.product);
        uint256 sum = 0;
        for (uint256 i = 0; i < _awardCount(lot); ++i) {
            MeritOrderReference.Bid memory award = _awardAt(lot, i);
            uint48 nanogrid = _nanogridOf(lot, award.index);
            bytes32 sold = _sold(nanogrid, lot.offer.interval, kind);
            require(++wins[sold] == 1, "an interval was sold twice");
            placeOf[sold] = Place(id, uint32(i));
            require(auction.hasWon(nanogrid, lot.offer.interval, kind), "a winner without its bit");
            sum += award.quantity;
        }
        require(sum <= lot.offer.quantity, "awarded more than the offer's quantity");
        uint256 reserved = _openReserves(id, lot);
        require(state.escrowUeur == reserved, "another escrow than the awards need");
        _mark("status", uint8(IMeritOrderAuction.Status.FINAL));
        if (_awardCount(lot) > 8) _mark("final: more than one leaf");
        _giveBack(id, lot.escrowIn - lot.returned - reserved);
    }
}
