// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGridSignals} from "./interfaces/IGridSignals.sol";
import {IMeritOrderAuction} from "./interfaces/IMeritOrderAuction.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {Calendar} from "./libraries/Calendar.sol";
import {Products} from "./libraries/Products.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

contract GridSignals is IGridSignals, EIP712 {
    bytes32 private constant DSO_ROLE = keccak256("DSO");
    bytes32 private constant SIGNAL_TYPEHASH = keccak256(
        "Signal(uint32 node,uint32 interval,uint8 phase,uint8 kind,bytes32 reason,uint64 sequence)"
    );
    bytes32 private constant VERDICT_TYPEHASH = keccak256("Verdict(bytes32 offer,bytes rejected,bytes32 reasons)");
    bytes32 private constant COMMAND_TYPEHASH = keccak256(
        "Command(uint48 nanogrid,uint32 interval,uint8 product,uint8 direction,uint24 quantity,bytes32 reason)"
    );
    bytes32 private constant TSO_VALIDATION_TYPEHASH =
        keccak256("TsoValidation(bytes32 request,uint32 node,bool accepted,bytes32 reason)");

    /// @dev Hundredths of u after gate closure until which a verdict is possible.
    uint256 private constant VERDICT_HUNDREDTHS = 40;
    /// @dev Hundredths of u before an interval until which its RED may be taken back: dispatch follows the phase from then on.
    uint256 private constant RED_FINAL_HUNDREDTHS = 100;
    uint8 private constant LAST_PHASE = uint8(Phase.RED);
    uint8 private constant LAST_KIND = uint8(Kind.ACTUAL);
    uint8 private constant LAST_DIRECTION = uint8(IMeritOrderAuction.Direction.DOWN);

    /// @dev The traffic light of a node for an interval: one slot.
    struct Light {
        Phase forecast;
        Phase actual;
        uint64 forecastSequence;
        uint64 actualSequence;
        uint64 redSince;
        bool commanded;
    }

    struct GivenVerdict {
        bytes32 rejectedHash;
        uint256 givenAt;
    }

    IParticipantRegistry public immutable registry;
    IMeritOrderAuction public immutable auction;
    ISettlement public immutable settlement;
    uint32 private immutable _timeUnitS;

    mapping(uint32 node => mapping(uint32 interval => Light)) private _lights;
    mapping(bytes32 offer => GivenVerdict) private _verdicts;
    mapping(uint48 nanogrid => mapping(uint32 interval => Command)) private _commands;
    mapping(bytes32 request => mapping(uint32 node => bool)) private _validated;

    constructor(address registry_, address auction_, address settlement_) EIP712("Meritgrid", "1") {
        registry = IParticipantRegistry(registry_);
        auction = IMeritOrderAuction(auction_);
        settlement = ISettlement(settlement_);
        _timeUnitS = IParticipantRegistry(registry_).timeUnitS();
    }

    /* TRAFFIC LIGHT */

    /// @inheritdoc IGridSignals
    function setSignal(Signal calldata signal, bytes calldata signature) external {
        _requireInterval(signal.interval);
        if (signal.phase > LAST_PHASE) revert InvalidPhase(signal.phase);
        if (signal.kind > LAST_KIND) revert InvalidKind(signal.kind);
        address author = _requireDso(signal.node, keccak256(abi.encode(SIGNAL_TYPEHASH, signal)), signature);

        Light memory light = _lights[signal.node][signal.interval];
        bool wasRed = _bindingPhase(light) == Phase.RED;
        _turn(light, signal);
        bool isRed = _bindingPhase(light) == Phase.RED;
        if (isRed && light.redSince == 0) light.redSince = uint64(block.timestamp);
        if (wasRed && !isRed && block.timestamp < signal.interval) _takeRedBack(light, signal.node, signal.interval);
        _lights[signal.node][signal.interval] = light;
        emit SignalSet(
            signal.node, signal.interval, signal.phase, signal.kind, signal.reason, signal.sequence, author
        );
    }

    function _turn(Light memory light, Signal calldata signal) private pure {
        bool isForecast = signal.kind == uint8(Kind.FORECAST);
        uint64 last = isForecast ? light.forecastSequence : light.actualSequence;
        if (signal.sequence <= last) revert StaleSequence(signal.sequence, last);
        if (isForecast) {
            light.forecast = Phase(signal.phase);
            light.forecastSequence = signal.sequence;
        } else {
            light.actual = Phase(signal.phase);
            light.actualSequence = signal.sequence;
        }
    }

    /// @dev Awards of the interval live again. Too late once gateways have been told otherwise, or a command stands beside an award.
    function _takeRedBack(Light memory light, uint32 node, uint32 interval) private view {
        bool isFinal = block.timestamp > Calendar.before(interval, _timeUnitS, RED_FINAL_HUNDREDTHS);
        if (isFinal || light.commanded) revert RedIsFinal(node, interval);
        light.redSince = 0;
    }

    function _bindingPhase(Light memory light) private pure returns (Phase) {
        return light.actual == Phase.RED ? Phase.RED : light.forecast;
    }

    /* VERDICTS */

    /// @inheritdoc IGridSignals
    function giveVerdict(Verdict calldata verdict, bytes calldata signature) external {
        bytes32 id = verdict.offer;
        bytes32 rejectedHash = keccak256(verdict.rejected);
        IMeritOrderAuction.Offer memory offer = auction.offerOf(id);
        address author = _requireDso(
            registry.portfolioOf(offer.portfolio).node,
            keccak256(abi.encode(VERDICT_TYPEHASH, id, rejectedHash, verdict.reasons)),
            signature
        );
        if (_verdicts[id].givenAt != 0) revert VerdictAlreadyGiven(id);
        IMeritOrderAuction.OfferState memory state = auction.stateOf(id);
        if (state.status != IMeritOrderAuction.Status.CLEARED) revert OfferNotCleared(id);
        uint256 deadline = Calendar.afterwards(offer.gateClosure, _timeUnitS, VERDICT_HUNDREDTHS);
        if (block.timestamp > deadline) revert VerdictTooLate(id, deadline);
        // Whoever makes the result final carries the bitmap: a longer one could fill the transaction and so stop every award.
        uint256 longest = state.bidCount / 8 + 1;
        if (verdict.rejected.length > longest) revert VerdictTooLong(id, verdict.rejected.length, longest);

        _verdicts[id] = GivenVerdict({rejectedHash: rejectedHash, givenAt: block.timestamp});
        emit VerdictGiven(id, verdict.rejected, verdict.reasons, author);
    }

    /* COMMANDS */

    /// @inheritdoc IGridSignals
    function giveCommand(Command calldata command, bytes calldata signature) external {
        uint48 nanogrid = command.nanogrid;
        uint32 interval = command.interval;
        _requireCommandable(command);
        uint32 node = registry.portfolioOf(uint32(nanogrid >> 16)).node;
        address dso = _requireDso(node, keccak256(abi.encode(COMMAND_TYPEHASH, command)), signature);
        if (phaseOf(node, interval) != Phase.RED) revert NodeNotRed(node, interval);
        if (block.timestamp >= uint256(interval) + _timeUnitS) revert CommandTooLate(nanogrid, interval);
        if (_commands[nanogrid][interval].quantity != 0) revert CommandExists(nanogrid, interval);

        _commands[nanogrid][interval] = command;
        _lights[node][interval].commanded = true;
        uint32 priceUeurKwh = registry.seatOf(nanogrid).emergencyPriceUeurKwh;
        uint256 reservedUeur = settlement.reserveForCommand(
            nanogrid, interval, dso, (uint256(command.quantity) * priceUeurKwh) / 1000
        );
        emit CommandGiven(
            nanogrid,
            interval,
            command.product,
            command.direction,
            command.quantity,
            priceUeurKwh,
            reservedUeur,
            command.reason
        );
    }

    /// @dev A suspended seat obeys too: suspension keeps it from the market, not from the grid.
    function _requireCommandable(Command calldata command) private view {
        _requireInterval(command.interval);
        if (command.product != Products.VC_EMERGENCY_P) revert InvalidProduct(command.product);
        if (command.direction > LAST_DIRECTION) revert InvalidDirection(command.direction);
        if (command.quantity == 0) revert EmptyQuantity();
        IParticipantRegistry.Seat memory seat = registry.seatOf(command.nanogrid);
        if (seat.owner == address(0)) revert IParticipantRegistry.UnknownSeat(command.nanogrid);
        if (command.interval < seat.activeFrom || command.interval >= seat.activeUntil) {
            revert SeatNotActive(command.nanogrid, command.interval);
        }
    }

    /* REQUESTS OF THE TSO */

    /// @inheritdoc IGridSignals
    function validateTsoRequest(bytes32 request, uint32 node, bool accepted, bytes32 reason, bytes calldata signature)
        external
    {
        bytes32 message = keccak256(abi.encode(TSO_VALIDATION_TYPEHASH, request, node, accepted, reason));
        _requireDso(node, message, signature);
        // Once only: the message bears no number, so an older answer could be shown again after a newer one.
        if (_validated[request][node]) revert ValidationExists(request, node);
        _validated[request][node] = true;
        emit TsoRequestValidated(request, node, accepted, reason);
    }

    /* READERS */

    /// @inheritdoc IGridSignals
    function phaseOf(uint32 node, uint32 interval) public view returns (Phase) {
        return _bindingPhase(_lights[node][interval]);
    }

    /// @inheritdoc IGridSignals
    function redSince(uint32 node, uint32 interval) external view returns (uint256) {
        return _lights[node][interval].redSince;
    }

    /// @inheritdoc IGridSignals
    function verdictOf(bytes32 offer) external view returns (bytes32 rejectedHash, uint256 givenAt) {
        GivenVerdict storage verdict = _verdicts[offer];
        return (verdict.rejectedHash, verdict.givenAt);
    }

    /// @inheritdoc IGridSignals
    function commandOf(uint48 nanogrid, uint32 interval) external view returns (Command memory) {
        return _commands[nanogrid][interval];
    }

    /* ROLES, SIGNATURES */

    /// @dev Who decides: the signer of the message or, with an empty signature, the caller. The node's DSO, as long as it has the role.
    function _requireDso(uint32 node, bytes32 message, bytes calldata signature) private view returns (address signer) {
        signer = signature.length == 0
            ? msg.sender
            : ECDSA.recoverCalldata(_hashTypedDataV4(message), signature);
        if (signer != registry.nodeOf(node).dso || !IAccessControl(address(registry)).hasRole(DSO_ROLE, signer)) {
            revert NotDsoOfNode(node, signer);
        }
    }

    function _requireInterval(uint32 interval) private view {
        if (!Calendar.isInterval(interval, _timeUnitS)) revert NotAnInterval(interval);
    }
}
