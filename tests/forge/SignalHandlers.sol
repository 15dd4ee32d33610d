// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGridSignals} from "contracts/interfaces/IGridSignals.sol";
import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {IMeteringOracle} from "contracts/interfaces/IMeteringOracle.sol";
import {LotBook} from "./LotBook.sol";
import {TreeReference} from "./TreeReference.sol";

/// @notice The traffic light, verdicts, commands and validations of the DSOs; anchors of the oracle.
abstract contract SignalHandlers is LotBook {
    bytes32 private constant SIGNAL =
        keccak256("Signal(uint32 node,uint32 interval,uint8 phase,uint8 kind,bytes32 reason,uint64 sequence)");
    bytes32 private constant VERDICT = keccak256("Verdict(bytes32 offer,bytes rejected,bytes32 reasons)");
    bytes32 private constant COMMAND = keccak256(
        "Command(uint48 nanogrid,uint32 interval,uint8 product,uint8 direction,uint24 quantity,bytes32 reason)"
    );
    bytes32 private constant VALIDATION =
        keccak256("TsoValidation(bytes32 request,uint32 node,bool accepted,bytes32 reason)");

    struct Commanded {
        uint48 nanogrid;
        uint32 interval;
    }

    /// @dev The interval that the market works on at present.
    uint32 internal round;
    Commanded[] internal commanded;
    uint64 private _sequence;

    function _anyInterval() internal returns (uint32) {
        uint256 start = round == 0 ? clock - clock % U + 4 * U : round;
        uint256 choice = _draw(8);
        if (choice == 0) start += U;
        if (choice == 1) start -= U;
        return uint32(start);
    }

    /* SIGNALS */

    function signalsOfDsos(uint256 number) external turn(number) {
        uint256 choice = _draw(10);
        uint8 phase = uint8(choice < 5 ? 1 : choice < 8 ? 0 : 2);
        _signal(uint32(_between(1, 2)), _anyInterval(), phase, uint8(_draw(2)));
    }

    function _signal(uint32 node, uint32 interval, uint8 phase, uint8 kind) internal {
        uint64 sequence = _draw(20) == 0 ? 1 : ++_sequence;
        IGridSignals.Signal memory signal = IGridSignals.Signal(node, interval, phase, kind, "reason", sequence);
        (address from, bytes memory signature) =
            _authorise(registry.nodeOf(node).dso, signalsDomain, keccak256(abi.encode(SIGNAL, signal)));
        bool ok = _tryOk(from, address(signals), abi.encodeCall(signals.setSignal, (signal, signature)));
        if (ok) _mark("phase", phase);
    }

    function validations(uint256 number) external turn(number) {
        uint32 node = uint32(_between(1, 2));
        bytes32 request = bytes32(_draw(6));
        bool accepted = _draw(2) == 0;
        bytes32 message = keccak256(abi.encode(VALIDATION, request, node, accepted, bytes32("r")));
        (address from, bytes memory signature) = _authorise(registry.nodeOf(node).dso, signalsDomain, message);
        bytes memory data = abi.encodeCall(signals.validateTsoRequest, (request, node, accepted, "r", signature));
        _try(from, address(signals), data);
    }

    /* VERDICTS */

    function verdicts(uint256 number) external turn(number) {
        bytes32 id = _anyLot();
        if (id != 0) _verdict(id);
    }

    function _verdict(bytes32 id) internal {
        Lot storage lot = lots[id];
        bytes memory rejected;
        if (_draw(4) != 0) {
            rejected = new bytes(lot.records.length / 96 + 1);
            for (uint256 i = 0; i < rejected.length; ++i) {
                rejected[i] = bytes1(uint8(_draw(256) & _draw(256)));
            }
        }
        bytes32 message = keccak256(abi.encode(VERDICT, id, keccak256(rejected), bytes32("why")));
        (address from, bytes memory signature) = _authorise(_dsoOf(lot.offer.portfolio), signalsDomain, message);
        IGridSignals.Verdict memory verdict = IGridSignals.Verdict(id, rejected, "why");
        if (!_tryOk(from, address(signals), abi.encodeCall(signals.giveVerdict, (verdict, signature)))) return;
        require(!lot.judged, "a second verdict");
        lot.judged = true;
        lot.rejected = rejected;
        _mark(rejected.length == 0 ? "verdict: nothing rejected" : "verdict: some rejected");
    }

    /* COMMANDS */

    function commands(uint256 number) external turn(number) {
        uint32 interval = _anyInterval();
        uint48 nanogrid = _anySeat();
        if (_draw(3) == 0) _signal(registry.portfolioOf(uint32(nanogrid >> 16)).node, interval, 2, 1);
        _command(nanogrid, interval);
    }

    function _command(uint48 nanogrid, uint32 interval) internal {
        IGridSignals.Command memory command = IGridSignals.Command(
            nanogrid, interval, _draw(12) == 0 ? 1 : 5, uint8(_draw(2)), uint24(_between(1, 2500)), "overload"
        );
        address dso = _dsoOf(uint32(nanogrid >> 16));
        (address from, bytes memory signature) = _authorise(dso, signalsDomain, keccak256(abi.encode(COMMAND, command)));
        uint256 rich = settlement.balanceOf(dso);
        if (!_tryOk(from, address(signals), abi.encodeCall(signals.giveCommand, (command, signature)))) return;
        bytes32 escrow = settlement.commandEscrowId(nanogrid, interval);
        uint256 wanted = uint256(command.quantity) * registry.seatOf(nanogrid).emergencyPriceUeurKwh / 1000;
        require(settlement.escrowOf(escrow) == (wanted < rich ? wanted : rich), "a command's reserve");
        _mark(wanted <= rich ? "command: reserved whole" : "command: reserved in part");
        commanded.push(Commanded(nanogrid, interval));
        _watch(escrow);
    }

    /* ANCHORS */

    function anchors(uint256 number) external turn(number) {
        if (_draw(3) == 0) {
            bytes memory data = abi.encodeCall(metering.anchorReadings, (_anyInterval(), bytes32(number), 3));
            _try(oracle, address(metering), data);
        } else {
            _anchor(uint32(_between(1, 4)), _anyInterval(), uint8(_draw(2)));
        }
    }

    function _anchor(uint32 portfolio, uint32 interval, uint8 kind) internal {
        uint256 count = registry.portfolioOf(portfolio).seatCount;
        if (_draw(20) == 0 && count > 0) --count;
        bytes memory flat;
        for (uint256 i = 0; i < count; ++i) {
            flat = bytes.concat(flat, bytes4(uint32(int32(int256(_draw(4001)) - 2000))));
        }
        IMeteringOracle.BaselineAnchor[] memory given = new IMeteringOracle.BaselineAnchor[](1);
        given[0] = IMeteringOracle.BaselineAnchor(
            portfolio, interval, kind, uint16(count), TreeReference.rootOf(TreeReference.baselineLeaves(flat))
        );
        if (!_tryOk(oracle, address(metering), abi.encodeCall(metering.anchorBaselines, (given)))) return;
        bytes32 key = _vectorKey(portfolio, interval, kind);
        require(vectors[key].length == 0, "anchored twice");
        vectors[key] = flat;
    }
}
