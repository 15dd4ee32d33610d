// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeteringOracle} from "contracts/interfaces/IMeteringOracle.sol";
import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {IGridSignals} from "contracts/interfaces/IGridSignals.sol";
import {ISettlement} from "contracts/interfaces/ISettlement.sol";
import {AwardHandlers} from "./AwardHandlers.sol";
import {MeritOrderReference} from "./MeritOrderReference.sol";
import {SettlementReference} from "./SettlementReference.sol";
import {VM, Vm} from "./Vm.sol";

/// @notice Commands, holds, readings announced and annulled, gateways.
abstract contract SettlementHandlers is AwardHandlers {
    bytes32 private constant HOLD = keccak256("Hold(bytes32 offer,uint32 ordinal,bytes32 reason)");
    bytes32 private constant ENROLMENT = keccak256("Enrolment(uint48 nanogrid,address gateway)");

    struct Held {
        bytes32 offer;
        uint32 ordinal;
    }

    Held[] internal held;
    mapping(bytes32 command => bool) internal commandEnded;
    uint256 private _gatewayNumber;

    /* COMMANDS */

    function commandSettlements(uint256 number) external turn(number) {
        if (commanded.length == 0) return;
        Commanded memory given = commanded[commanded.length - 1 - _draw(commanded.length < 4 ? commanded.length : 4)];
        if (_draw(4) == 0) _expireCommand(given);
        else _settleCommand(given, _draw(2) == 0 ? oracle : stranger);
    }

    function _settleCommand(Commanded memory given, address by) internal {
        // Beside an award that had begun, only an announced reading counts.
        if (_isInterrupted(given.nanogrid, given.interval) && _draw(4) != 0) _announce(given.nanogrid, given.interval);
        Place memory place = placeOf[_sold(given.nanogrid, given.interval, 0)];
        ISettlement.AwardReading memory reading;
        ISettlement.AwardRange memory leaf;
        _fill(reading, given.nanogrid, given.interval, by);
        if (place.offer != 0 && _draw(8) != 0) {
            leaf = _leafOf(lots[place.offer].awards, place.ordinal);
            reading.ordinal = place.ordinal;
        } else {
            place.offer = 0;
        }
        ISettlement.BaselineLeaf memory baseline = _baselineLeaf(given.nanogrid, given.interval, 0);
        _bookCommand(
            given,
            by,
            abi.encodeCall(
                settlement.settleCommand, (given.nanogrid, given.interval, baseline, reading, place.offer, leaf)
            )
        );
    }

    function _expireCommand(Commanded memory given) internal {
        _bookCommand(given, stranger, abi.encodeCall(settlement.expireCommand, (given.nanogrid, given.interval)));
    }

    function _bookCommand(Commanded memory given, address by, bytes memory data) private {
        int256 before = _worth(given.nanogrid);
        if (!_tryOk(by, address(settlement), data)) return;
        bytes32 key = settlement.commandEscrowId(given.nanogrid, given.interval);
        require(!commandEnded[key], "a command ended twice");
        commandEnded[key] = true;
        require(settlement.escrowOf(key) == 0, "a command's reserve stayed");
        Vm.Log[] memory logs = VM.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != ISettlement.CommandSettled.selector) continue;
            Told memory told = abi.decode(logs[i].data, (Told));
            require(_worth(given.nanogrid) - before == int256(told.paid), "a commanded seat got something else");
            _requireDue(given, told);
            _requireDelivered(given, told);
            if (told.unpaid != 0) _mark("command: unpaid in part");
            _mark(told.delivered == 0 ? "command: nothing delivered" : "command: delivered");
        }
    }

    /// @dev What CommandSettled tells.
    struct Told {
        uint24 delivered;
        int32 baseline;
        int32 metered;
        uint256 paid;
        uint256 refunded;
        uint256 unpaid;
    }

    function _requireDue(Commanded memory given, Told memory told) private {
        uint256 worth = _commandWorth(given, told.delivered);
        uint256 ofAward = _paidByAward(given, told);
        uint256 due = told.paid + told.unpaid;
        require(due == (worth < ofAward ? 0 : worth - ofAward), "another pay for a command");
        _paidFor(given.nanogrid, given.interval, 0, due, worth);
        if (ofAward != 0) _mark("command: beside a paid award");
    }

    /// @dev The price of a request's award counts, for its own energy.
    function _commandWorth(Commanded memory given, uint256 delivered) private view returns (uint256) {
        uint256 price = registry.seatOf(given.nanogrid).emergencyPriceUeurKwh;
        Place memory place = placeOf[_sold(given.nanogrid, given.interval, 0)];
        if (place.offer == 0 || lots[place.offer].offer.request == 0) return delivered * price / 1000;
        MeritOrderReference.Bid memory award = _awardAt(lots[place.offer], place.ordinal);
        if (award.price <= price) return delivered * price / 1000;
        if (delivered <= award.quantity) return delivered * award.price / 1000;
        return (award.quantity * award.price + (delivered - award.quantity) * price) / 1000;
    }

    /// @dev What an award gets by the same reading that had begun before RED.
    function _paidByAward(Commanded memory given, Told memory told) private view returns (uint256) {
        Place memory place = placeOf[_sold(given.nanogrid, given.interval, 0)];
        if (place.offer == 0 || _isSell(lots[place.offer])) return 0;
        Lot storage lot = lots[place.offer];
        if (!_isInterrupted(given.nanogrid, given.interval)) return 0;
        MeritOrderReference.Bid memory award = _awardAt(lot, place.ordinal);
        uint256 shown = SettlementReference.delivered(award.quantity, lot.offer.direction, told.baseline, told.metered);
        return shown * award.price / 1000;
    }

    function _requireDelivered(Commanded memory given, Told memory told) private view {
        if (told.delivered == 0) return;
        IGridSignals.Command memory command = signals.commandOf(given.nanogrid, given.interval);
        require(told.baseline == _baselineOf(given.nanogrid, given.interval, 0), "a command's baseline");
        uint256 shown =
            SettlementReference.delivered(command.quantity, command.direction, told.baseline, told.metered);
        require(told.delivered == shown, "a command's delivery");
    }

    /* HOLDS */

    function holds(uint256 number) external turn(number) {
        uint256 choice = _draw(3);
        if (choice == 0 || held.length == 0) {
            bytes32 id = _anyLot();
            if (id != 0 && _awardCount(lots[id]) > 0) _hold(id, _draw(_awardCount(lots[id])));
            return;
        }
        Held memory given = held[held.length - 1 - _draw(held.length < 4 ? held.length : 4)];
        if (choice == 1) _decide(given, _draw(2) == 0);
        else _lapse(given);
    }

    function _hold(bytes32 id, uint256 ordinal) internal {
        Lot storage lot = lots[id];
        ISettlement.Hold memory hold = ISettlement.Hold(id, uint32(ordinal), "doubt");
        address holder = _draw(3) == 0 ? oracle : _draw(2) == 0 ? lot.payer : _dsoOf(lot.offer.portfolio);
        (address from, bytes memory signature) = _authorise(holder, settlementDomain, keccak256(abi.encode(HOLD, hold)));
        ISettlement.AwardRange memory leaf = _leafOf(lot.awards, ordinal);
        bytes memory data = abi.encodeCall(settlement.placeHold, (hold, leaf, signature));
        if (!_tryOk(from, address(settlement), data)) return;
        bytes32 escrow = keccak256(abi.encode(HOLD, id, uint32(ordinal)));
        require(settlement.escrowOf(escrow) == HOLD_BOND, "a hold's bond");
        _watch(escrow);
        held.push(Held(id, uint32(ordinal)));
        _mark("hold: placed");
    }

    function _decide(Held memory given, bool upheld) internal {
        uint48 nanogrid = _nanogridOf(lots[given.offer], _awardAt(lots[given.offer], given.ordinal).index);
        int256 before = _worth(nanogrid);
        bytes memory data = abi.encodeCall(settlement.decideHold, (given.offer, given.ordinal, upheld));
        if (!_tryOk(referee, address(settlement), data)) return;
        _endedByLogs(given.offer, true);
        int256 change = _worth(nanogrid) - before;
        if (upheld) require(change <= 0 && change >= -int256(uint256(HOLD_BOND)), "an upheld hold's price");
        else require(change == int256(uint256(HOLD_BOND)), "a hold that was not upheld pays the seat");
        require(ended[given.offer][given.ordinal] == upheld, "an upheld hold ends the award");
        _requireEscrowAddsUp(given.offer);
        _mark(upheld ? "hold: upheld" : "hold: not upheld");
    }

    function _lapse(Held memory given) internal {
        uint48 nanogrid = _nanogridOf(lots[given.offer], _awardAt(lots[given.offer], given.ordinal).index);
        int256 before = _worth(nanogrid);
        bytes memory data = abi.encodeCall(settlement.lapseHold, (given.offer, given.ordinal));
        if (!_tryOk(stranger, address(settlement), data)) return;
        require(_worth(nanogrid) - before == int256(uint256(HOLD_BOND)), "a lapsed hold pays the seat");
        _requireEscrowAddsUp(given.offer);
        _mark("hold: lapsed");
    }

    /* READINGS */

    function announcements(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id == 0 || lots[id].awards.length == 0 || _draw(3) == 0) return _announce(_anySeat(), _anyInterval());
        Lot storage lot = lots[id];
        _announce(_nanogridOf(lot, _awardAt(lot, _draw(_awardCount(lot))).index), lot.offer.interval);
    }

    function _announce(uint48 nanogrid, uint32 interval) internal {
        IMeteringOracle.Reading memory reading = _reading(nanogrid, interval);
        bytes memory data = abi.encodeCall(metering.announceReading, (reading, _signed(reading)));
        if (!_tryOk(stranger, address(metering), data)) return;
        announced[_sold(nanogrid, interval, 0)] = reading;
    }

    function annulments(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id == 0 || lots[id].awards.length == 0 || _draw(2) == 0) return;
        Lot storage lot = lots[id];
        uint48 nanogrid = _nanogridOf(lot, _awardAt(lot, _draw(_awardCount(lot))).index);
        IMeteringOracle.Reading memory first = _reading(nanogrid, lot.offer.interval);
        IMeteringOracle.Reading memory second = _reading(nanogrid, lot.offer.interval);
        if (_draw(6) != 0) second.activeEnergyWh += 100;
        bytes memory data = abi.encodeCall(metering.annulReadings, (first, _signed(first), second, _signed(second)));
        if (!_tryOk(stranger, address(metering), data)) return;
        require(settlement.gatewayOf(nanogrid) == address(0), "a liar kept its seat");
        _mark("readings annulled");
    }

    /* GATEWAYS */

    function gateways(uint256 number) external turn(number) {
        uint48 nanogrid = _anySeat();
        address gateway = _gatewayKey(nanogrid, ++_gatewayNumber);
        if (_draw(5) == 0) gateway = settlement.gatewayOf(_anySeat());
        if (_draw(2) == 0) _setGateway(nanogrid, gateway);
        else _enrol(nanogrid, gateway);
    }

    function _setGateway(uint48 nanogrid, address gateway) internal {
        _try(operator, address(settlement), abi.encodeCall(settlement.setGateway, (nanogrid, gateway)));
    }

    function _enrol(uint48 nanogrid, address gateway) private {
        address code = _key(uint256(keccak256(abi.encode("code", ++_gatewayNumber))));
        bytes memory open = abi.encodeCall(settlement.openEnrolment, (nanogrid, code, uint64(clock + _draw(100))));
        if (!_tryOk(operator, address(settlement), open)) return;
        clock += _draw(60);
        VM.warp(clock);
        bytes32 digest = _digest(settlementDomain, keccak256(abi.encode(ENROLMENT, nanogrid, gateway)));
        bytes memory byCode = _long(code, digest);
        bytes memory byGateway = onP256[gateway] ? _gatewaySignature(gateway, digest) : _long(gateway, digest);
        bytes memory data = abi.encodeCall(settlement.enrolGateway, (nanogrid, gateway, byCode, byGateway));
        if (_tryOk(relayer, address(settlement), data) && onP256[gateway]) _mark("enrolled: P-256 gateway");
    }

    function _long(address signer, bytes32 digest) private view returns (bytes memory) {
        uint256 key = keyOf[signer];
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key == 0 ? 7 : key, digest);
        return abi.encodePacked(r, s, v);
    }
}
