// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {IMeteringOracle} from "contracts/interfaces/IMeteringOracle.sol";
import {ISettlement} from "contracts/interfaces/ISettlement.sol";
import {OfferTerms} from "contracts/libraries/OfferTerms.sol";
import {ClearingHandlers} from "./ClearingHandlers.sol";
import {MeritOrderReference} from "./MeritOrderReference.sol";
import {SettlementReference} from "./SettlementReference.sol";
import {TreeReference} from "./TreeReference.sol";
import {VM, Vm} from "./Vm.sol";

/// @notice Awards come to their end: by readings of the verifier, by announced ones of anybody, by expiry.
/// @dev The only file that knows the shape of `settle`, `settleAward`, `expireAwards` and of their event.
abstract contract AwardHandlers is ClearingHandlers {
    bytes32 internal constant READING = keccak256(
        "Reading(uint48 nanogrid,uint32 interval,int32 activeEnergyWh,int32 reactiveEnergyVarh,uint32 sequence)"
    );

    mapping(bytes32 sold => IMeteringOracle.Reading) internal announced;
    bool private _forgedBinding;

    /* WHAT GATEWAYS SIGN */

    /// @dev Much as ordered, sometimes less, nothing or the contrary; the same for a nanogrid and interval every time.
    function _reading(uint48 nanogrid, uint32 interval) internal view returns (IMeteringOracle.Reading memory reading) {
        reading.nanogrid = nanogrid;
        reading.interval = interval;
        reading.activeEnergyWh = _metered(nanogrid, interval, 0);
        reading.reactiveEnergyVarh = _metered(nanogrid, interval, 1);
        reading.sequence = 1;
    }

    function _metered(uint48 nanogrid, uint32 interval, uint8 kind) private view returns (int32) {
        uint256 dice = uint256(keccak256(abi.encode(nanogrid, interval, kind, seed)));
        int256 change = dice % 8 < 4 ? int256(2500) : int256((dice >> 8) % 2200) - 300;
        if (dice % 8 == 7) change = 0;
        int256 baseline = _baselineOf(nanogrid, interval, kind);
        bool isUp = _directionOf(interval, kind == 0 ? 1 : 3) == 0;
        return int32(isUp ? baseline - change : baseline + change);
    }

    function _signed(IMeteringOracle.Reading memory reading) internal view returns (bytes memory) {
        bytes32 message = keccak256(abi.encode(READING, reading));
        return _gatewaySignature(settlement.gatewayOf(reading.nanogrid), _digest(settlementDomain, message));
    }

    /* SETTLING */

    function settles(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id != 0) _settle(id, _draw(2) == 0 ? oracle : stranger);
    }

    /// @dev All awards, or those of some leaves, or one leaf's without its first ones.
    function _settle(bytes32 id, address by) internal {
        Lot storage lot = lots[id];
        uint256 leaves = (_awardCount(lot) + 7) / 8;
        uint256 first = leaves == 0 || _draw(3) != 0 ? 0 : _draw(leaves);
        uint256 end = leaves == 0 || _draw(3) != 0 ? leaves : _between(first + 1, leaves);
        uint256 last = end * 8 < _awardCount(lot) ? end * 8 : _awardCount(lot);
        bytes memory readings;
        for (uint256 i = first * 8 + _draw(4) / 3; i < last; ++i) {
            readings = bytes.concat(readings, _packedReading(lot, i, by));
        }
        _book(id, by, _settleCall(id, _range(lot.awards, first, end), readings));
    }

    function _settleCall(bytes32 id, ISettlement.AwardRange memory range, bytes memory readings)
        private
        returns (bytes memory)
    {
        IMeritOrderAuction.Offer storage offer = lots[id].offer;
        bytes memory baselines = vectors[_vectorKey(offer.portfolio, offer.interval, _kindOf(offer.product))];
        return abi.encodeCall(settlement.settle, (id, _bindingOf(id), baselines, range, readings));
    }

    function _packedReading(Lot storage lot, uint256 ordinal, address by) private view returns (bytes memory) {
        ISettlement.AwardReading memory given = _awardReading(lot, ordinal, by);
        if (given.signature.length == 0) given.signature = new bytes(64);
        return _packed(given);
    }

    function _packed(ISettlement.AwardReading memory given) private pure returns (bytes memory) {
        return abi.encodePacked(
            uint24(given.signature.length == 128 ? given.ordinal | 1 << 23 : given.ordinal),
            given.activeEnergyWh,
            given.reactiveEnergyVarh,
            given.sequence,
            given.signature
        );
    }

    /// @dev Rarely with something else in it, which nothing may accept.
    function _bindingOf(bytes32 id) private returns (ISettlement.Binding memory binding) {
        binding = settlement.bindingOf(id);
        if (_draw(16) != 0) return binding;
        uint256 what = _draw(4);
        if (what == 0) binding.payer = stranger;
        else if (what == 1) binding.aggregator = stranger;
        else if (what == 2) binding.baselineCount += 8;
        else binding.terms = OfferTerms.wrap(OfferTerms.unwrap(binding.terms) ^ 1 << 64);
        _forgedBinding = true;
    }

    function settlesAlone(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id == 0 || lots[id].awards.length == 0) return;
        _settleAlone(id, _draw(_awardCount(lots[id])), _draw(2) == 0 ? oracle : stranger);
    }

    function _settleAlone(bytes32 id, uint256 ordinal, address by) internal {
        Lot storage lot = lots[id];
        ISettlement.AwardReading memory reading = _awardReading(lot, ordinal, by);
        uint48 nanogrid = _nanogridOf(lot, _awardAt(lot, ordinal).index);
        ISettlement.BaselineLeaf memory baseline =
            _baselineLeaf(nanogrid, lot.offer.interval, _kindOf(lot.offer.product));
        ISettlement.AwardRange memory leaf = _leafOf(lot.awards, ordinal);
        _book(id, by, _aloneCall(id, baseline, leaf, _packed(reading)));
    }

    function _aloneCall(
        bytes32 id,
        ISettlement.BaselineLeaf memory baseline,
        ISettlement.AwardRange memory leaf,
        bytes memory reading
    ) private returns (bytes memory) {
        bytes32[] memory proof = TreeReference.joined(leaf.proof, baseline.proof);
        ISettlement.Binding memory binding = _bindingOf(id);
        return abi.encodeCall(settlement.settleAward, (id, binding, baseline.values, leaf.awards, reading, proof));
    }

    function awardExpiries(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id != 0) _expireAwards(id);
    }

    function _expireAwards(bytes32 id) internal {
        _book(id, stranger, _expiryCall(id));
    }

    function _expiryCall(bytes32 id) internal view returns (bytes memory) {
        return abi.encodeCall(settlement.expireAwards, (id, _whole(lots[id].awards)));
    }

    function _awardReading(Lot storage lot, uint256 ordinal, address by)
        private
        view
        returns (ISettlement.AwardReading memory given)
    {
        given.ordinal = uint32(ordinal);
        _fill(given, _nanogridOf(lot, _awardAt(lot, ordinal).index), lot.offer.interval, by);
    }

    /// @dev The verifier has the gateway's signature, anybody else the announced reading.
    function _fill(ISettlement.AwardReading memory given, uint48 nanogrid, uint32 interval, address by) internal view {
        IMeteringOracle.Reading memory reading = _reading(nanogrid, interval);
        if (by == oracle) given.signature = _signed(reading);
        else reading = announced[_sold(nanogrid, interval, 0)];
        given.activeEnergyWh = reading.activeEnergyWh;
        given.reactiveEnergyVarh = reading.reactiveEnergyVarh;
        given.sequence = reading.sequence;
    }

    /* PROOFS */

    /// @dev The leaves from `first` to before `end`, with one proof.
    function _range(bytes memory awards, uint256 first, uint256 end)
        internal
        pure
        returns (ISettlement.AwardRange memory)
    {
        bytes32[] memory hashes = TreeReference.awardLeaves(awards);
        return ISettlement.AwardRange(
            uint32(first),
            TreeReference.slice(awards, first * 96, (end - first) * 96),
            TreeReference.proofOfRange(hashes, first, end)
        );
    }

    function _whole(bytes memory awards) internal pure returns (ISettlement.AwardRange memory) {
        return _range(awards, 0, (awards.length + 95) / 96);
    }

    function _leafOf(bytes memory awards, uint256 ordinal) internal pure returns (ISettlement.AwardRange memory) {
        return _range(awards, ordinal / 8, ordinal / 8 + 1);
    }

    function _baselineLeaf(uint48 nanogrid, uint256 interval, uint8 kind)
        internal
        view
        returns (ISettlement.BaselineLeaf memory leaf)
    {
        bytes memory flat = vectors[_vectorKey(uint32(nanogrid >> 16), interval, kind)];
        uint256 place = uint256(uint16(nanogrid)) / 8;
        bytes32[] memory hashes = TreeReference.baselineLeaves(flat);
        leaf.leafIndex = uint32(place);
        leaf.values = bytes32(TreeReference.slice(flat, place * 32, 32));
        if (place < hashes.length) leaf.proof = TreeReference.proofOf(hashes, place);
    }

    /* WHAT MUST COME OF IT */

    /// @dev Sends a call that may end awards of one offer, and holds each end against the rules.
    function _book(bytes32 id, address by, bytes memory data) private {
        int256[] memory before = _worths(id);
        (int256 payer, int256 aggregator) = _beyondThisOffer(id);
        bool isForged = _forgedBinding;
        _forgedBinding = false;
        if (!_tryOk(by, address(settlement), data)) return;
        require(!isForged, "a binding that is not the offer's was accepted");
        int256[] memory due = _endedByLogs(id, false);
        int256[] memory after_ = _worths(id);
        for (uint256 i = 0; i < before.length; ++i) {
            require(after_[i] - before[i] == due[i], "a seat got something else than its due");
        }
        _requireNotLess(id, payer, aggregator);
        _requireEscrowAddsUp(id);
    }

    /// @dev Balances of payer and aggregator beyond what this offer gave back to them.
    function _beyondThisOffer(bytes32 id) private view returns (int256 payer, int256 aggregator) {
        Lot storage lot = lots[id];
        payer = int256(settlement.balanceOf(lot.payer)) - int256(lot.refunded);
        aggregator = int256(settlement.balanceOf(lot.aggregator)) - int256(lot.margin);
    }

    /// @dev Penalties, sales and debts that seats pay may add to it.
    function _requireNotLess(bytes32 id, int256 payerBefore, int256 aggregatorBefore) private view {
        (int256 payer, int256 aggregator) = _beyondThisOffer(id);
        require(payer >= payerBefore, "a payer's refund is missing");
        require(aggregator >= aggregatorBefore, "an aggregator's margin is missing");
    }

    /// @dev What the seat of each award owns, its debts taken off: what pays a debt changes nothing.
    function _worths(bytes32 id) private view returns (int256[] memory worths) {
        Lot storage lot = lots[id];
        worths = new int256[](_awardCount(lot));
        for (uint256 i = 0; i < worths.length; ++i) {
            worths[i] = _worth(_nanogridOf(lot, _awardAt(lot, i).index));
        }
    }

    function _worth(uint48 nanogrid) internal view returns (int256) {
        (uint256 bond, uint256 unbonding,) = settlement.bondOf(nanogrid);
        return int256(settlement.seatBalance(nanogrid) + bond + unbonding) - int256(settlement.seatDebt(nanogrid));
    }

    /// @dev Takes the ends out of the logs. Returns what each award's seat must have gained (lost).
    function _endedByLogs(bytes32 id, bool heldBack) internal returns (int256[] memory due) {
        due = new int256[](_awardCount(lots[id]));
        Vm.Log[] memory logs = VM.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == ISettlement.AwardSkipped.selector) {
                (, uint8 skip) = abi.decode(logs[i].data, (uint32, uint8));
                _mark("award skipped", skip);
            }
            if (logs[i].topics[0] != ISettlement.AwardsSettled.selector) continue;
            require(logs[i].topics[1] == id, "another offer's award ended");
            bytes memory results = abi.decode(logs[i].data, (bytes));
            for (uint256 offset = 0; offset < results.length; offset += 15) {
                _end(id, _resultOf(TreeReference.slice(results, offset, 15)), heldBack, due);
            }
        }
    }

    struct Ended {
        uint256 ordinal;
        uint8 outcome;
        uint256 delivered;
        int256 baseline;
        int256 metered;
    }

    /// @dev ordinal 24 | outcome 8 | delivered 24 | baseline 32 | metered 32.
    function _resultOf(bytes memory packed) private pure returns (Ended memory result) {
        uint256 word = uint256(bytes32(packed));
        result.ordinal = word >> 232;
        result.outcome = uint8(word >> 224);
        result.delivered = uint24(word >> 200);
        result.baseline = int32(uint32(word >> 168));
        result.metered = int32(uint32(word >> 136));
    }

    function _end(bytes32 id, Ended memory result, bool heldBack, int256[] memory due) private {
        require(!ended[id][result.ordinal], "an award ended twice");
        ended[id][result.ordinal] = true;
        Lot storage lot = lots[id];
        MeritOrderReference.Bid memory award = _awardAt(lot, result.ordinal);
        SettlementReference.Award memory terms = _termsOf(lot, award);
        SettlementReference.Money memory money =
            SettlementReference.money(terms, result.outcome, result.delivered, heldBack);
        lot.paid += money.paid;
        lot.margin += money.margin;
        lot.refunded += money.refunded;
        due[result.ordinal] = (terms.isSell ? -int256(money.paid) : int256(money.paid)) - int256(money.penalty);
        _mark(terms.isSell ? "SELL outcome" : "BUY outcome", result.outcome);
        if (result.delivered == 0) return;
        uint8 kind = _kindOf(lot.offer.product);
        uint48 nanogrid = _nanogridOf(lot, award.index);
        if (!terms.isSell) _paidFor(nanogrid, lot.offer.interval, kind, money.paid, money.paid);
        if (result.outcome == uint8(ISettlement.Outcome.REVOKED)) {
            require(_isInterrupted(nanogrid, lot.offer.interval), "a revoked award delivered");
            _mark(terms.isSell ? "interrupted: SELL" : "interrupted: BUY");
        }
        if (result.baseline == 0 && result.metered == 0) return; // without a reading
        require(result.baseline == _baselineOf(nanogrid, lot.offer.interval, kind), "another baseline");
        uint256 shown =
            SettlementReference.delivered(award.quantity, lot.offer.direction, result.baseline, result.metered);
        require(result.delivered == shown, "delivered is not what the reading shows");
        if (onP256[settlement.gatewayOf(nanogrid)]) _mark("award read: P-256 gateway");
    }

    /// @dev A command beside awards that had begun before RED.
    function _isInterrupted(uint48 nanogrid, uint32 interval) internal view returns (bool) {
        uint32 node = registry.portfolioOf(uint32(nanogrid >> 16)).node;
        return signals.commandOf(nanogrid, interval).quantity != 0 && signals.redSince(node, interval) >= interval;
    }

    /// @dev One delivery of a nanogrid, interval and kind is paid for once: an award and a command beside it come to no more together than
    /// one of them is worth alone.
    function _paidFor(uint48 nanogrid, uint32 interval, uint8 kind, uint256 paid, uint256 worth) internal {
        bytes32 sold = _sold(nanogrid, interval, kind);
        payments[sold] += paid;
        if (dearest[sold] < worth) dearest[sold] = worth;
        require(payments[sold] <= dearest[sold], "an interval was paid twice");
    }
}
