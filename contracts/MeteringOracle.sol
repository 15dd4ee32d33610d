// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeteringOracle} from "./interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {Announcement} from "./libraries/Announcement.sol";
import {Calendar} from "./libraries/Calendar.sol";
import {GatewayReadings} from "./libraries/GatewayReading.sol";
import {GatewaySignature} from "./libraries/GatewaySignature.sol";
import {ReadingDigest} from "./libraries/ReadingDigest.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

contract MeteringOracle is IMeteringOracle {
    bytes32 private constant ORACLE_ROLE = keccak256("ORACLE");
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DOMAIN_NAME = keccak256("Meritgrid");
    bytes32 private constant DOMAIN_VERSION = keccak256("1");
    /// @dev Hundredths of u before an interval: the latest gate closure, after which no offer could use a baseline.
    uint256 private constant ANCHOR_HUNDREDTHS = 140;

    struct Anchor {
        bytes32 root;
        uint64 anchoredAt;
        uint16 count;
    }

    IParticipantRegistry public immutable registry;
    ISettlement public immutable settlement;
    /// @notice After an interval's start; no reading can be announced later [s]
    uint32 public immutable readingDeadlineS;
    uint32 private immutable _timeUnitS;

    mapping(uint32 portfolio => mapping(uint32 interval => mapping(uint8 kind => Anchor))) private _baselines;
    mapping(uint48 nanogrid => mapping(uint32 interval => Announcement)) private _announced;
    /// @dev The same as in the announcements, in bitmaps over the portfolio's nanogrid indices: a batch reads 256 of them at once.
    mapping(uint32 portfolio => mapping(uint32 interval => mapping(uint256 word => uint256))) private _annulled;

    constructor(address registry_, address settlement_, uint32 readingDeadlineS_) {
        registry = IParticipantRegistry(registry_);
        settlement = ISettlement(settlement_);
        readingDeadlineS = readingDeadlineS_;
        _timeUnitS = IParticipantRegistry(registry_).timeUnitS();
    }

    modifier onlyOracle() {
        if (!IAccessControl(address(registry)).hasRole(ORACLE_ROLE, msg.sender)) revert NotOracle(msg.sender);
        _;
    }

    /* ANCHORS */

    /// @inheritdoc IMeteringOracle
    function anchorBaselines(BaselineAnchor[] calldata anchors) external onlyOracle {
        for (uint256 i = 0; i < anchors.length; ++i) {
            _anchorBaseline(anchors[i]);
        }
    }

    function _anchorBaseline(BaselineAnchor calldata given) private {
        _requireInterval(given.interval);
        uint256 deadline = Calendar.before(given.interval, _timeUnitS, ANCHOR_HUNDREDTHS);
        if (block.timestamp > deadline) revert AnchoredTooLate(given.interval, deadline);
        Anchor storage anchor = _baselines[given.portfolio][given.interval][given.kind];
        if (anchor.anchoredAt != 0) revert AlreadyAnchored(given.portfolio, given.interval, given.kind);
        anchor.root = given.root;
        anchor.anchoredAt = uint64(block.timestamp);
        anchor.count = given.count;
        emit BaselineAnchored(given.portfolio, given.interval, given.kind, given.count, given.root);
    }

    /// @inheritdoc IMeteringOracle
    function anchorReadings(uint32 interval, bytes32 root, uint32 count) external onlyOracle {
        _requireInterval(interval);
        _requireOver(interval);
        emit ReadingsAnchored(interval, root, count);
    }

    /* READINGS */

    /// @inheritdoc IMeteringOracle
    function announceReading(Reading calldata reading, bytes calldata signature) external {
        uint48 nanogrid = reading.nanogrid;
        uint32 interval = reading.interval;
        _requireInterval(interval);
        _requireOver(interval);
        if (block.timestamp > uint256(interval) + readingDeadlineS) revert AnnouncedTooLate(nanogrid, interval);
        Announcement announced = _announced[nanogrid][interval];
        if (announced.announcedAt() != 0) revert ReadingAlreadyAnnounced(nanogrid, interval);
        _requireGateway(reading, signature);

        _announced[nanogrid][interval] = announced.withReading(
            GatewayReadings.pack(0, reading.activeEnergyWh, reading.reactiveEnergyVarh, reading.sequence),
            block.timestamp
        );
        emit ReadingAnnounced(
            nanogrid, interval, reading.activeEnergyWh, reading.reactiveEnergyVarh, reading.sequence, msg.sender
        );
    }

    /// @inheritdoc IMeteringOracle
    function annulReadings(
        Reading calldata first,
        bytes calldata firstSignature,
        Reading calldata second,
        bytes calldata secondSignature
    ) external {
        uint48 nanogrid = first.nanogrid;
        uint32 interval = first.interval;
        if (second.nanogrid != nanogrid || second.interval != interval) revert ReadingsOfDifferentIntervals();
        // The same energies under another sequence number are a reading sent again, not a lie.
        bool agree = first.activeEnergyWh == second.activeEnergyWh
            && first.reactiveEnergyVarh == second.reactiveEnergyVarh;
        if (agree) revert ReadingsAgree(nanogrid, interval);
        _requireGateway(first, firstSignature);
        _requireGateway(second, secondSignature);

        (uint32 portfolio, uint256 index) = _placeOf(nanogrid);
        _annulled[portfolio][interval][index >> 8] |= 1 << (index & 0xff);
        _announced[nanogrid][interval] = _announced[nanogrid][interval].asAnnulled();
        emit ReadingsAnnulled(nanogrid, interval, msg.sender);
        settlement.unseatGateway(nanogrid);
    }

    /* READERS */

    /// @inheritdoc IMeteringOracle
    function requireBaseline(uint32 portfolio, uint32 interval, uint8 kind, uint256 knownSince) external view {
        uint256 anchoredAt = _baselines[portfolio][interval][kind].anchoredAt;
        if (anchoredAt == 0) revert BaselineNotAnchored(portfolio, interval, kind);
        if (anchoredAt >= knownSince) revert BaselineAnchoredTooLate(portfolio, interval, anchoredAt, knownSince);
    }

    /// @inheritdoc IMeteringOracle
    function baselineOf(uint32 portfolio, uint32 interval, uint8 kind)
        external
        view
        returns (bytes32 root, uint64 anchoredAt, uint16 count)
    {
        Anchor storage anchor = _baselines[portfolio][interval][kind];
        return (anchor.root, anchor.anchoredAt, anchor.count);
    }

    /// @inheritdoc IMeteringOracle
    function announcedOf(uint48 nanogrid, uint32 interval) external view returns (Announcement) {
        return _announced[nanogrid][interval];
    }

    /// @inheritdoc IMeteringOracle
    function isAnnulled(uint48 nanogrid, uint32 interval) external view returns (bool) {
        return _announced[nanogrid][interval].isAnnulled();
    }

    /// @inheritdoc IMeteringOracle
    function annulledWord(uint32 portfolio, uint32 interval, uint256 word) external view returns (uint256 indices) {
        return _annulled[portfolio][interval][word];
    }

    /* SHARED RULES */

    /// @dev Signed by the key that is seated now. A gateway signs for Settlement, so the domain is that contract's.
    function _requireGateway(Reading calldata reading, bytes calldata signature) private view {
        bytes32 digest = MessageHashUtils.toTypedDataHash(
            keccak256(
                abi.encode(DOMAIN_TYPEHASH, DOMAIN_NAME, DOMAIN_VERSION, block.chainid, address(settlement))
            ),
            keccak256(abi.encode(ReadingDigest.TYPEHASH, reading))
        );
        address signer = GatewaySignature.signerOf(digest, signature);
        if (signer == address(0) || signer != settlement.gatewayOf(reading.nanogrid)) {
            revert BadReadingSignature(reading.nanogrid, reading.interval);
        }
    }

    /// @dev The parts of a nanogrid's id.
    function _placeOf(uint48 nanogrid) private pure returns (uint32 portfolio, uint256 index) {
        // forge-lint: disable-next-line(unsafe-typecast) truncation is the purpose
        return (uint32(nanogrid >> 16), uint16(nanogrid));
    }

    function _requireInterval(uint32 interval) private view {
        if (!Calendar.isInterval(interval, _timeUnitS)) revert NotAnInterval(interval);
    }

    function _requireOver(uint32 interval) private view {
        if (block.timestamp < uint256(interval) + _timeUnitS) revert IntervalNotOver(interval);
    }
}
