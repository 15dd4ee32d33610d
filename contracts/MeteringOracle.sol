// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeteringOracle} from "./interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {Calendar} from "./libraries/Calendar.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

contract MeteringOracle is IMeteringOracle {
    bytes32 private constant ORACLE_ROLE = keccak256("ORACLE");
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DOMAIN_NAME = keccak256("Meritgrid");
    bytes32 private constant DOMAIN_VERSION = keccak256("1");
    bytes32 private constant READING_TYPEHASH = keccak256(
        "Reading(uint48 nanogrid,uint32 interval,int32 activeEnergyWh,int32 reactiveEnergyVarh,uint32 sequence)"
    );
    /// @dev Hundredths of u before an interval: the latest gate closure, after which no offer could use a baseline.
    uint256 private constant ANCHOR_HUNDREDTHS = 140;

    struct Anchor {
        bytes32 root;
        uint64 anchoredAt;
        uint16 count;
    }

    struct Announcement {
        bytes32 readingHash;
        uint64 announcedAt;
    }

    IParticipantRegistry public immutable registry;
    ISettlement public immutable settlement;
    /// @notice After an interval's start; no reading can be announced later [s]
    uint32 public immutable readingDeadlineS;
    uint32 private immutable _timeUnitS;

    mapping(uint32 portfolio => mapping(uint32 interval => mapping(uint8 kind => Anchor))) private _baselines;
    mapping(uint48 nanogrid => mapping(uint32 interval => Announcement)) private _announced;
    mapping(uint48 nanogrid => mapping(uint32 interval => bool)) private _annulled;

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
    function announceReading(Reading calldata reading, bytes32 r, bytes32 vs) external {
        uint48 nanogrid = reading.nanogrid;
        uint32 interval = reading.interval;
        _requireInterval(interval);
        _requireOver(interval);
        if (block.timestamp > uint256(interval) + readingDeadlineS) revert AnnouncedTooLate(nanogrid, interval);
        if (_announced[nanogrid][interval].announcedAt != 0) revert ReadingAlreadyAnnounced(nanogrid, interval);
        _requireGateway(reading, r, vs);

        bytes32 readingHash = keccak256(abi.encode(reading));
        _announced[nanogrid][interval] =
            Announcement({readingHash: readingHash, announcedAt: uint64(block.timestamp)});
        emit ReadingAnnounced(nanogrid, interval, readingHash, msg.sender);
    }

    /// @inheritdoc IMeteringOracle
    function annulReadings(
        Reading calldata first,
        bytes32[2] calldata firstSignature,
        Reading calldata second,
        bytes32[2] calldata secondSignature
    ) external {
        uint48 nanogrid = first.nanogrid;
        uint32 interval = first.interval;
        if (second.nanogrid != nanogrid || second.interval != interval) revert ReadingsOfDifferentIntervals();
        // The same energies under another sequence number are a reading sent again, not a lie.
        bool agree = first.activeEnergyWh == second.activeEnergyWh
            && first.reactiveEnergyVarh == second.reactiveEnergyVarh;
        if (agree) revert ReadingsAgree(nanogrid, interval);
        _requireGateway(first, firstSignature[0], firstSignature[1]);
        _requireGateway(second, secondSignature[0], secondSignature[1]);

        _annulled[nanogrid][interval] = true;
        emit ReadingsAnnulled(nanogrid, interval, msg.sender);
        settlement.unseatGateway(nanogrid);
    }

    /* READERS */

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
    function announcedOf(uint48 nanogrid, uint32 interval)
        external
        view
        returns (bytes32 readingHash, uint64 announcedAt)
    {
        Announcement storage announcement = _announced[nanogrid][interval];
        return (announcement.readingHash, announcement.announcedAt);
    }

    /// @inheritdoc IMeteringOracle
    function isAnnulled(uint48 nanogrid, uint32 interval) external view returns (bool) {
        return _annulled[nanogrid][interval];
    }

    /* SHARED RULES */

    /// @dev Signed by the key that is seated now. A gateway signs for Settlement, so the domain is that contract's.
    function _requireGateway(Reading calldata reading, bytes32 r, bytes32 vs) private view {
        bytes32 digest = MessageHashUtils.toTypedDataHash(
            keccak256(
                abi.encode(DOMAIN_TYPEHASH, DOMAIN_NAME, DOMAIN_VERSION, block.chainid, address(settlement))
            ),
            keccak256(abi.encode(READING_TYPEHASH, reading))
        );
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecover(digest, r, vs);
        if (fault != ECDSA.RecoverError.NoError || signer != settlement.gatewayOf(reading.nanogrid)) {
            revert BadReadingSignature(reading.nanogrid, reading.interval);
        }
    }

    function _requireInterval(uint32 interval) private view {
        if (!Calendar.isInterval(interval, _timeUnitS)) revert NotAnInterval(interval);
    }

    function _requireOver(uint32 interval) private view {
        if (block.timestamp < uint256(interval) + _timeUnitS) revert IntervalNotOver(interval);
    }
}
