// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGridSignals} from "./interfaces/IGridSignals.sol";
import {IMeritOrderAuction} from "./interfaces/IMeritOrderAuction.sol";
import {IMeteringOracle} from "./interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {ISettlementJudge} from "./interfaces/ISettlementJudge.sol";
import {AwardEnd, AwardEnds} from "./libraries/AwardEnd.sol";
import {BidRecord, BidRecords} from "./libraries/BidRecord.sol";
import {GatewayReading, GatewayReadings} from "./libraries/GatewayReading.sol";
import {GatewaySignature} from "./libraries/GatewaySignature.sol";
import {OfferTerms} from "./libraries/OfferTerms.sol";
import {Products} from "./libraries/Products.sol";
import {SettlementMath} from "./libraries/SettlementMath.sol";
import {VectorProof} from "./libraries/VectorProof.sol";
import {VectorTree} from "./libraries/VectorTree.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

contract SettlementJudge is ISettlementJudge {
    bytes32 private constant ORACLE_ROLE = keccak256("ORACLE");
    /// @dev Awards in a leaf of their tree, and values in a leaf of a baseline vector.
    uint256 private constant LEAF_ITEMS = 8;
    uint256 private constant BASELINE_BYTES = 4;

    /// @dev What the awards of one offer have in common.
    /// @param mayBeCommanded The node was RED at some time, so that commands may exist
    /// @param revoked The node was RED before the interval, which has begun: earlier the DSO may still take it back
    struct Case {
        bytes32 offer;
        bytes32 awardsRoot;
        OfferTerms terms;
        uint32 node;
        bool mayBeCommanded;
        bool revoked;
        Parties parties;
    }

    ISettlement private immutable _settlement;
    IParticipantRegistry private immutable _registry;
    IGridSignals private immutable _signals;
    IMeritOrderAuction private immutable _auction;
    IMeteringOracle private immutable _metering;
    bytes32 private immutable _domainSeparator;
    uint32 private immutable _timeUnitS;
    uint32 private immutable _readingDeadlineS;
    uint32 private immutable _holdWindowS;

    /// @param domainSeparator Settlement's: gateways sign for it
    constructor(
        IParticipantRegistry registry,
        IGridSignals signals,
        IMeritOrderAuction auction,
        IMeteringOracle metering,
        bytes32 domainSeparator,
        uint32 readingDeadlineS,
        uint32 holdWindowS
    ) {
        _settlement = ISettlement(msg.sender);
        _registry = registry;
        _signals = signals;
        _auction = auction;
        _metering = metering;
        _domainSeparator = domainSeparator;
        _timeUnitS = registry.timeUnitS();
        _readingDeadlineS = readingDeadlineS;
        _holdWindowS = holdWindowS;
    }

    /* AWARDS */

    /// @inheritdoc ISettlementJudge
    function byReadings(
        address caller,
        bytes32 offer,
        bytes calldata baselines,
        ISettlement.AwardRange calldata awards,
        bytes calldata readings
    ) external view returns (Parties memory parties, AwardEnd[] memory ends) {
        Case memory case_ = _caseOf(offer);
        OfferTerms terms = case_.terms;
        parties = case_.parties;
        _requireOver(terms.interval());
        _checkBaselines(case_, baselines);
        ends = _awardsRead(case_, awards, readings);
        bool fromVerifier = _isVerifier(caller);
        address[] memory gateways = fromVerifier ? _gatewaysOf(terms.portfolio(), ends) : new address[](ends.length);
        uint256[] memory annulled = _annulledWords(terms, baselines.length / BASELINE_BYTES);
        uint256 offset = 0;
        for (uint256 i = 0; i < ends.length; ++i) {
            GatewayReading reading = GatewayReadings.read(readings, offset);
            uint256 next = offset + reading.size();
            uint256 index = ends[i].index();
            int32 baseline = _valueAt(offer, baselines, index);
            ends[i] = _judgeReading(
                case_,
                ends[i],
                baseline,
                annulled[index >> 8] >> (index & 0xff) & 1 == 1,
                fromVerifier,
                gateways[i],
                reading,
                readings[offset + GatewayReadings.BYTES:next]
            );
            offset = next;
        }
    }

    /// @inheritdoc ISettlementJudge
    function byReading(
        address caller,
        bytes32 offer,
        ISettlement.BaselineLeaf calldata baseline,
        ISettlement.AwardRange calldata award,
        ISettlement.AwardReading calldata reading
    ) external view returns (Parties memory parties, AwardEnd[] memory ends) {
        Case memory case_ = _caseOf(offer);
        OfferTerms terms = case_.terms;
        parties = case_.parties;
        _requireOver(terms.interval());
        bytes memory records = _checkAwards(case_, award);
        ends = new AwardEnd[](1);
        AwardEnd end = _awardAt(case_, award.firstLeaf, records, reading.ordinal);
        uint48 nanogrid = _nanogridOf(terms.portfolio(), end.index());
        int32 value = _provenValue(offer, terms.portfolio(), terms.interval(), terms.kind(), end.index(), baseline);
        bool isAnnulled = _metering.isAnnulled(nanogrid, terms.interval());
        bool fromVerifier = _isVerifier(caller);
        address gateway = fromVerifier ? _settlement.gatewayOf(nanogrid) : address(0);
        ends[0] = _judgeReading(
            case_, end, value, isAnnulled, fromVerifier, gateway, _packed(reading), reading.signature
        );
    }

    /// @inheritdoc ISettlementJudge
    function byExpiry(bytes32 offer, ISettlement.AwardRange calldata awards)
        external
        view
        returns (Parties memory parties, AwardEnd[] memory ends)
    {
        Case memory case_ = _caseOf(offer);
        parties = case_.parties;
        bytes memory records = _checkAwards(case_, awards);
        ends = new AwardEnd[](records.length / BidRecords.BYTES);
        uint256 first = uint256(awards.firstLeaf) * LEAF_ITEMS;
        for (uint256 i = 0; i < ends.length; ++i) {
            AwardEnd end = AwardEnds.open(BidRecords.readMemory(records, i * BidRecords.BYTES), first + i);
            ends[i] = _judgeMissing(case_, end);
        }
    }

    /// @inheritdoc ISettlementJudge
    function byHold(bytes32 offer, uint32 ordinal, BidRecord record)
        external
        view
        returns (Parties memory parties, AwardEnd[] memory ends)
    {
        parties = _caseOf(offer).parties;
        ends = new AwardEnd[](1);
        ends[0] = SettlementMath.heldBack(AwardEnds.open(record, ordinal));
    }

    /// @inheritdoc ISettlementJudge
    function checkHold(bytes32 offer, uint32 ordinal, ISettlement.AwardRange calldata award, address signer)
        external
        view
        returns (BidRecord record)
    {
        Case memory case_ = _caseOf(offer);
        bytes memory records = _checkAwards(case_, award);
        record = _recordAt(case_, award.firstLeaf, records, ordinal);
        bool isParty = signer == case_.parties.aggregator || signer == case_.parties.payer
            || signer == _registry.nodeOf(case_.node).dso || _isVerifier(signer);
        if (signer == address(0) || !isParty) revert ISettlement.NotHoldParty(offer, signer);
    }

    /// @dev The awards that the readings are for, in the readings' order.
    function _awardsRead(Case memory case_, ISettlement.AwardRange calldata awards, bytes calldata readings)
        private
        pure
        returns (AwardEnd[] memory ends)
    {
        bytes memory records = _checkAwards(case_, awards);
        ends = new AwardEnd[](GatewayReadings.count(readings));
        uint256 offset = 0;
        for (uint256 i = 0; i < ends.length; ++i) {
            GatewayReading reading = GatewayReadings.read(readings, offset);
            ends[i] = _awardAt(case_, awards.firstLeaf, records, reading.ordinal());
            offset += reading.size();
        }
    }

    function _judgeReading(
        Case memory case_,
        AwardEnd end,
        int32 baseline,
        bool isAnnulled,
        bool fromVerifier,
        address gateway,
        GatewayReading reading,
        bytes calldata signature
    ) private view returns (AwardEnd) {
        uint32 interval = case_.terms.interval();
        uint48 nanogrid = _nanogridOf(case_.terms.portfolio(), end.index());
        if (case_.revoked || (case_.mayBeCommanded && _isCommanded(nanogrid, interval))) {
            return SettlementMath.revoked(end);
        }
        if (isAnnulled) return SettlementMath.annulled(end);
        ISettlement.Skip skip = _checkReading(fromVerifier, gateway, nanogrid, interval, reading, signature);
        if (skip != ISettlement.Skip.NONE) return end.skipped(skip);
        return SettlementMath.byReading(end, case_.terms.direction(), baseline, _meteredOf(case_.terms.kind(), reading));
    }

    function _judgeMissing(Case memory case_, AwardEnd end) private view returns (AwardEnd) {
        uint32 interval = case_.terms.interval();
        uint48 nanogrid = _nanogridOf(case_.terms.portfolio(), end.index());
        if (case_.revoked || (case_.mayBeCommanded && _isCommanded(nanogrid, interval))) {
            return SettlementMath.revoked(end);
        }
        if (_metering.isAnnulled(nanogrid, interval)) return SettlementMath.annulled(end);
        end = SettlementMath.missing(end, case_.terms.side());
        if (block.timestamp >= _readingDeadlineOf(nanogrid, interval)) return end;
        return end.skipped(ISettlement.Skip.DEADLINE_NOT_REACHED);
    }

    function _isCommanded(uint48 nanogrid, uint32 interval) private view returns (bool) {
        return _signals.commandOf(nanogrid, interval).quantity != 0;
    }

    function _caseOf(bytes32 offer) private view returns (Case memory case_) {
        Parties memory parties = case_.parties;
        OfferTerms terms;
        (terms, case_.awardsRoot, parties.aggregator, parties.payer) = _auction.termsOf(offer);
        if (!terms.isFinal()) revert ISettlement.OfferNotFinal(offer);
        parties.terms = terms;
        case_.node = terms.requestPriceUeurKwh() == 0 ? _registry.portfolioOf(terms.portfolio()).node : terms.node();
        uint32 interval = terms.interval();
        uint256 redSince = _signals.redSince(case_.node, interval);
        case_.offer = offer;
        case_.terms = terms;
        case_.mayBeCommanded = redSince != 0;
        case_.revoked = redSince != 0 && redSince < interval && block.timestamp >= interval;
    }

    /* COMMANDS */

    /// @inheritdoc ISettlementJudge
    function byCommand(
        address caller,
        uint48 nanogrid,
        uint32 interval,
        ISettlement.BaselineLeaf calldata baseline,
        ISettlement.AwardReading calldata reading,
        bytes32 awardOffer,
        ISettlement.AwardRange calldata award
    ) external view returns (CommandJudgement memory judgement) {
        _requireOver(interval);
        GatewayReading packed = _packed(reading);
        ISettlement.Skip skip = _metering.isAnnulled(nanogrid, interval)
            ? ISettlement.Skip.ANNULLED_READING
            : _checkReading(
                _isVerifier(caller), _settlement.gatewayOf(nanogrid), nanogrid, interval, packed, reading.signature
            );
        if (skip == ISettlement.Skip.BAD_SIGNATURE) revert ISettlement.BadReadingSignature(nanogrid, interval);
        if (skip != ISettlement.Skip.NONE) revert ISettlement.CommandNotSettleable(nanogrid, interval, skip);
        IGridSignals.Command memory command = _signals.commandOf(nanogrid, interval);
        uint8 kind = Products.kindOf(command.product);
        // forge-lint: disable-next-line(unsafe-typecast) the parts of the id
        (uint32 portfolio, uint16 index) = (uint32(nanogrid >> 16), uint16(nanogrid));
        judgement.baseline = _provenValue(awardOffer, portfolio, interval, kind, index, baseline);
        judgement.metered = _meteredOf(kind, packed);
        judgement.delivered = SettlementMath.delivered(
            command.quantity,
            IMeritOrderAuction.Direction(command.direction),
            judgement.baseline,
            judgement.metered
        );
        uint32 priceUeurKwh = _commandPrice(nanogrid, interval, kind, awardOffer, award, reading.ordinal);
        judgement.dueUeur = SettlementMath.amount(judgement.delivered, priceUeurKwh);
    }

    /// @inheritdoc ISettlementJudge
    function checkCommandExpiry(uint48 nanogrid, uint32 interval) external view {
        if (_metering.isAnnulled(nanogrid, interval)) return;
        uint256 deadline = _readingDeadlineOf(nanogrid, interval);
        if (block.timestamp < deadline) revert ISettlement.DeadlineNotReached(deadline);
    }

    /// @dev The emergency price or, where higher, the price of the award that the command replaced. An award that exists must be shown,
    /// so that nobody settles a command too low. What a seat would have paid (SELL) is no price for a command.
    function _commandPrice(
        uint48 nanogrid,
        uint32 interval,
        uint8 kind,
        bytes32 awardOffer,
        ISettlement.AwardRange calldata award,
        uint32 ordinal
    ) private view returns (uint32 priceUeurKwh) {
        priceUeurKwh = _registry.seatOf(nanogrid).emergencyPriceUeurKwh;
        if (!_auction.hasWon(nanogrid, interval, kind)) return priceUeurKwh;
        if (awardOffer == 0) revert ISettlement.ReplacedAwardMissing(nanogrid, interval);
        Case memory case_ = _caseOf(awardOffer);
        OfferTerms terms = case_.terms;
        BidRecord record = _recordAt(case_, award.firstLeaf, _checkAwards(case_, award), ordinal);
        if (
            _nanogridOf(terms.portfolio(), record.index()) != nanogrid || terms.interval() != interval
                || terms.kind() != kind
        ) revert ISettlement.ReplacedAwardMissing(nanogrid, interval);
        uint32 bidPriceUeurKwh = record.priceUeurKwh();
        if (terms.side() == IMeritOrderAuction.Side.BUY && bidPriceUeurKwh > priceUeurKwh) return bidPriceUeurKwh;
    }

    /* READINGS */

    /// @dev The verifier's readings need the gateway's signature. Anybody else's were announced, which checked it, and waited; an
    /// announced one stays good when the gateway's key changes afterwards.
    function _checkReading(
        bool fromVerifier,
        address gateway,
        uint48 nanogrid,
        uint32 interval,
        GatewayReading reading,
        bytes calldata signature
    ) private view returns (ISettlement.Skip) {
        if (fromVerifier && _isSigned(gateway, nanogrid, interval, reading, signature)) return ISettlement.Skip.NONE;
        IMeteringOracle.Announcement memory announced = _metering.announcedOf(nanogrid, interval);
        bool agrees = announced.announcedAt != 0 && announced.activeEnergyWh == reading.activeEnergyWh()
            && announced.reactiveEnergyVarh == reading.reactiveEnergyVarh()
            && announced.sequence == reading.sequence();
        if (!agrees) return fromVerifier ? ISettlement.Skip.BAD_SIGNATURE : ISettlement.Skip.NOT_ANNOUNCED;
        if (fromVerifier || block.timestamp >= announced.announcedAt + _holdWindowS) return ISettlement.Skip.NONE;
        return ISettlement.Skip.HOLD_WINDOW_OPEN;
    }

    function _isSigned(
        address gateway,
        uint48 nanogrid,
        uint32 interval,
        GatewayReading reading,
        bytes calldata signature
    ) private view returns (bool) {
        if (gateway == address(0)) return false;
        bytes32 digest = MessageHashUtils.toTypedDataHash(_domainSeparator, reading.hash(nanogrid, interval));
        return GatewaySignature.signerOf(digest, signature) == gateway;
    }

    /// @dev Asked for all at once: Settlement reads each seat's slot, which it will write.
    function _gatewaysOf(uint32 portfolio, AwardEnd[] memory ends) private view returns (address[] memory) {
        uint48[] memory nanogrids = new uint48[](ends.length);
        for (uint256 i = 0; i < ends.length; ++i) nanogrids[i] = _nanogridOf(portfolio, ends[i].index());
        return _settlement.gatewaysOf(nanogrids);
    }

    function _annulledWords(OfferTerms terms, uint256 indices)
        private
        view
        returns (uint256[] memory words)
    {
        words = new uint256[]((indices + 255) / 256);
        for (uint256 i = 0; i < words.length; ++i) {
            words[i] = _metering.annulledWord(terms.portfolio(), terms.interval(), i);
        }
    }

    function _meteredOf(uint8 kind, GatewayReading reading) private pure returns (int32) {
        return kind == Products.ACTIVE ? reading.activeEnergyWh() : reading.reactiveEnergyVarh();
    }

    function _packed(ISettlement.AwardReading calldata reading) private pure returns (GatewayReading) {
        return GatewayReadings.pack(
            reading.ordinal, reading.activeEnergyWh, reading.reactiveEnergyVarh, reading.sequence
        );
    }

    /// @dev An announced reading waits for its hold window, and then as long as the deadline for somebody to settle it: not for ever,
    /// so that nothing can get stuck.
    function _readingDeadlineOf(uint48 nanogrid, uint32 interval) private view returns (uint256 deadline) {
        deadline = uint256(interval) + _readingDeadlineS;
        if (block.timestamp < deadline) return deadline;
        uint64 announcedAt = _metering.announcedOf(nanogrid, interval).announcedAt;
        if (announcedAt == 0) return deadline;
        uint256 extended = uint256(announcedAt) + _holdWindowS + _readingDeadlineS;
        return extended > deadline ? extended : deadline;
    }

    function _requireOver(uint32 interval) private view {
        if (block.timestamp < uint256(interval) + _timeUnitS) revert ISettlement.IntervalNotOver(interval);
    }

    function _isVerifier(address account) private view returns (bool) {
        return IAccessControl(address(_registry)).hasRole(ORACLE_ROLE, account);
    }

    /* BASELINES */

    function _checkBaselines(Case memory case_, bytes calldata baselines) private view {
        OfferTerms terms = case_.terms;
        // slither-disable-next-line unused-return -- a root is anchored once and in time, or never: here only what it proves matters
        (bytes32 root,, uint16 count) = _metering.baselineOf(terms.portfolio(), terms.interval(), terms.kind());
        if (
            count == 0 || baselines.length != uint256(count) * BASELINE_BYTES
                || VectorTree.rootOfBaselines(baselines) != root
        ) revert ISettlement.WrongBaselines(case_.offer);
    }

    function _valueAt(bytes32 offer, bytes calldata baselines, uint256 index) private pure returns (int32) {
        if (index * BASELINE_BYTES >= baselines.length) revert ISettlement.WrongBaselines(offer);
        // forge-lint: disable-next-line(unsafe-typecast) two's complement on the wire
        return int32(uint32(bytes4(baselines[index * BASELINE_BYTES:])));
    }

    function _provenValue(
        bytes32 offer,
        uint32 portfolio,
        uint32 interval,
        uint8 kind,
        uint16 index,
        ISettlement.BaselineLeaf calldata leaf
    ) private view returns (int32) {
        // slither-disable-next-line unused-return -- a root is anchored once and in time, or never: here only what it proves matters
        (bytes32 root,, uint16 count) = _metering.baselineOf(portfolio, interval, kind);
        uint256 leafCount = (uint256(count) + LEAF_ITEMS - 1) / LEAF_ITEMS;
        bytes memory values = abi.encodePacked(leaf.values);
        if (
            index >= count || leaf.leafIndex != index / LEAF_ITEMS
                || !VectorProof.verify(
                    root, leaf.leafIndex, values, VectorTree.BASELINE_LEAF_BYTES, leafCount, leaf.proof
                )
        ) {
            revert ISettlement.WrongBaselines(offer);
        }
        // forge-lint: disable-next-line(unsafe-typecast) two's complement on the wire
        return int32(uint32(uint256(leaf.values) >> (224 - 32 * (index % LEAF_ITEMS))));
    }

    /* PROOFS OF AWARDS */

    /// @dev The awards stand at their place among the offer's: whole leaves, of which only the offer's last one may be shorter.
    function _checkAwards(Case memory case_, ISettlement.AwardRange calldata awards)
        private
        pure
        returns (bytes memory records)
    {
        records = awards.awards;
        if (records.length == 0 || records.length % BidRecords.BYTES != 0) {
            revert ISettlement.MalformedAwards(records.length);
        }
        uint256 leafCount = (uint256(case_.terms.awardCount()) + LEAF_ITEMS - 1) / LEAF_ITEMS;
        uint256 firstLeaf = awards.firstLeaf;
        if (!VectorProof.verify(
                case_.awardsRoot, firstLeaf, records, VectorTree.AWARD_LEAF_BYTES, leafCount, awards.proof
            )) {
            revert ISettlement.WrongAwardProof(case_.offer, awards.firstLeaf);
        }
    }

    function _awardAt(Case memory case_, uint256 firstLeaf, bytes memory records, uint256 ordinal)
        private
        pure
        returns (AwardEnd)
    {
        return AwardEnds.open(_recordAt(case_, firstLeaf, records, ordinal), ordinal);
    }

    /// @param records Of the awards from the leaf `firstLeaf` on
    function _recordAt(Case memory case_, uint256 firstLeaf, bytes memory records, uint256 ordinal)
        private
        pure
        returns (BidRecord)
    {
        uint256 first = firstLeaf * LEAF_ITEMS;
        if (ordinal < first || (ordinal - first + 1) * BidRecords.BYTES > records.length) {
            revert ISettlement.AwardNotGiven(case_.offer, ordinal);
        }
        return BidRecords.readMemory(records, (ordinal - first) * BidRecords.BYTES);
    }

    function _nanogridOf(uint32 portfolio, uint16 index) private pure returns (uint48) {
        return uint48(portfolio) << 16 | index;
    }
}
