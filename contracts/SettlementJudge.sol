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
import {ReadingDigest} from "./libraries/ReadingDigest.sol";
import {ReadingRun} from "./libraries/ReadingRun.sol";
import {SettlementMath} from "./libraries/SettlementMath.sol";
import {VectorProof} from "./libraries/VectorProof.sol";
import {VectorTree} from "./libraries/VectorTree.sol";
import {WordList} from "./libraries/WordList.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";

contract SettlementJudge is ISettlementJudge {
    bytes32 private constant ORACLE_ROLE = keccak256("ORACLE");
    /// @dev Awards in a leaf of their tree, and values in a leaf of a baseline vector.
    uint256 private constant LEAF_ITEMS = 8;
    uint256 private constant BASELINE_BYTES = 4;

    /// @dev What the awards of one offer have in common, read once.
    /// @param mayBeCommanded The node was RED at some time, so that commands may exist
    /// @param revoked The node was RED before the interval, which has begun: earlier the DSO may still take it back
    /// @param caller Whose readings are judged; `fromVerifier`: who is the verifier, whose signed readings need not wait
    /// @param annulled Bitmap of annulled readings by nanogrid index, word by word
    struct Case {
        bytes32 offer;
        bytes32 awardsRoot;
        OfferTerms terms;
        uint32 node;
        bool mayBeCommanded;
        bool revoked;
        Parties parties;
        uint48 firstNanogrid;
        bool isDown;
        bool isReactive;
        address caller;
        bool fromVerifier;
        bytes annulled;
        ReadingDigest.Draft draft;
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
    ) external view returns (Parties memory parties, bytes memory ends) {
        Case memory case_ = _caseOf(offer);
        OfferTerms terms = case_.terms;
        parties = case_.parties;
        _requireOver(terms.interval());
        _checkBaselines(case_, baselines, awards.proof[:0]);
        case_.caller = caller;
        case_.fromVerifier = _isVerifier(caller);
        case_.annulled = _annulledWords(terms, baselines.length / BASELINE_BYTES);
        ends = _judgeReadings(case_, baselines, _checkAwards(case_, awards), awards.firstLeaf, readings);
    }

    /// @inheritdoc ISettlementJudge
    function byReading(
        address caller,
        bytes32 offer,
        ISettlement.BaselineLeaf calldata baseline,
        ISettlement.AwardRange calldata award,
        ISettlement.AwardReading calldata reading
    ) external view returns (Parties memory parties, bytes memory ends) {
        Case memory case_ = _caseOf(offer);
        OfferTerms terms = case_.terms;
        parties = case_.parties;
        _requireOver(terms.interval());
        bytes memory records = _checkAwards(case_, award);
        AwardEnd end =
            AwardEnds.open(_recordAt(offer, award.firstLeaf, records, reading.ordinal), reading.ordinal);
        uint16 index = end.record().index();
        case_.caller = caller;
        case_.fromVerifier = reading.signature.length != 0 && _isVerifier(caller);
        case_.annulled = WordList.make((index >> 8) + 1);
        WordList.put(
            case_.annulled, index >> 8, _metering.annulledWord(terms.portfolio(), terms.interval(), index >> 8)
        );
        int32 value = _provenValue(offer, terms.portfolio(), terms.interval(), terms.kind(), index, baseline);
        address gateway;
        (end, gateway) = _judgeReading(case_, end, value, _packed(reading), reading.signature);
        ends = AwardEnds.listOf(end, gateway);
    }

    /// @inheritdoc ISettlementJudge
    function byExpiry(bytes32 offer, ISettlement.AwardRange calldata awards)
        external
        view
        returns (Parties memory parties, bytes memory ends)
    {
        Case memory case_ = _caseOf(offer);
        parties = case_.parties;
        bytes memory records = _checkAwards(case_, awards);
        uint256 count = records.length / BidRecords.BYTES;
        uint256 first = uint256(awards.firstLeaf) * LEAF_ITEMS;
        ends = AwardEnds.roomFor(count);
        for (uint256 i = 0; i < count; ++i) {
            AwardEnd end = AwardEnds.open(BidRecords.readMemory(records, i * BidRecords.BYTES), first + i);
            AwardEnds.put(ends, i, _judgeMissing(case_, end), address(0));
        }
    }

    /// @inheritdoc ISettlementJudge
    function byHold(bytes32 offer, uint32 ordinal, BidRecord record)
        external
        view
        returns (Parties memory parties, bytes memory ends)
    {
        parties = _caseOf(offer).parties;
        ends = AwardEnds.listOf(SettlementMath.heldBack(AwardEnds.open(record, ordinal)), address(0));
    }

    /// @inheritdoc ISettlementJudge
    function checkHold(bytes32 offer, uint32 ordinal, ISettlement.AwardRange calldata award, address signer)
        external
        view
        returns (BidRecord record)
    {
        Case memory case_ = _caseOf(offer);
        bytes memory records = _checkAwards(case_, award);
        record = _recordAt(offer, award.firstLeaf, records, ordinal);
        bool isParty = signer == case_.parties.aggregator || signer == case_.parties.payer
            || signer == _registry.nodeOf(case_.node).dso || _isVerifier(signer);
        if (signer == address(0) || !isParty) revert ISettlement.NotHoldParty(offer, signer);
    }

    /// @dev In runs of what is most common; what stands between them is judged by itself.
    /// @param records Of the awards from the leaf `firstLeaf` on
    function _judgeReadings(
        Case memory case_,
        bytes calldata baselines,
        bytes memory records,
        uint256 firstLeaf,
        bytes calldata readings
    ) private view returns (bytes memory ends) {
        ends = AwardEnds.roomFor(readings.length / GatewayReadings.LEAST_BYTES);
        ReadingRun.Batch memory run = _runOf(case_, ends, records, firstLeaf);
        bool isPlain = case_.fromVerifier && !case_.mayBeCommanded;
        (uint256 offset, uint256 count) = (0, 0);
        while (true) {
            if (isPlain) (offset, count) = ReadingRun.judge(run, baselines, readings, offset, count);
            if (offset >= readings.length) break;
            GatewayReading reading;
            bytes calldata signature;
            (reading, signature, offset) = GatewayReadings.read(readings, offset);
            uint256 ordinal = reading.ordinal();
            AwardEnd end = AwardEnds.open(_recordAt(case_.offer, firstLeaf, records, ordinal), ordinal);
            int32 baseline = _valueAt(case_.offer, baselines, end.record().index());
            address gateway;
            (end, gateway) = _judgeReading(case_, end, baseline, reading, signature);
            AwardEnds.put(ends, count++, end, gateway);
        }
        WordList.cut(ends, 2 * count); // fewer than there is room for where signatures are longer
    }

    function _runOf(Case memory case_, bytes memory ends, bytes memory records, uint256 firstLeaf)
        private
        view
        returns (ReadingRun.Batch memory run)
    {
        run.typehash = ReadingDigest.TYPEHASH;
        run.interval = case_.terms.interval();
        run.prefix = ReadingRun.PREFIX;
        run.domainSeparator = _domainSeparator;
        run.ends = ends;
        run.records = records;
        run.annulled = case_.annulled;
        run.firstOrdinal = firstLeaf * LEAF_ITEMS;
        run.firstNanogrid = case_.firstNanogrid;
        run.sign = case_.isDown ? -1 : int256(1);
        run.meteredShift = case_.isReactive ? ReadingRun.REACTIVE_SHIFT : ReadingRun.ACTIVE_SHIFT;
    }

    /// @return The award's end, and who must be the seat's gateway for it. The verifier's readings need the gateway's signature. Anybody
    /// else's, and those that come without one, were announced, which checked it, and waited: an announced reading stays good when
    /// the gateway's key changes afterwards.
    function _judgeReading(
        Case memory case_,
        AwardEnd end,
        int32 baseline,
        GatewayReading reading,
        bytes calldata signature
    ) private view returns (AwardEnd, address gateway) {
        uint256 index = end.record().index();
        uint48 nanogrid = case_.firstNanogrid | uint48(index);
        if (case_.mayBeCommanded && _isRevoked(case_, nanogrid)) return (SettlementMath.revoked(end), address(0));
        if (WordList.at(case_.annulled, index >> 8) >> (index & 0xff) & 1 == 1) {
            return (SettlementMath.annulled(end), address(0));
        }
        if (case_.fromVerifier && GatewaySignature.isGiven(signature)) {
            bytes32 digest = ReadingDigest.digest(case_.draft, _domainSeparator, nanogrid, reading);
            gateway = GatewaySignature.signerOf(digest, signature);
            if (gateway == address(0)) return (end.skipped(ISettlement.Skip.BAD_SIGNATURE), gateway);
        } else {
            ISettlement.Skip skip = _checkAnnounced(case_.caller, nanogrid, case_.terms.interval(), reading);
            if (skip != ISettlement.Skip.NONE) return (end.skipped(skip), gateway);
        }
        int32 metered = case_.isReactive ? reading.reactiveEnergyVarh() : reading.activeEnergyWh();
        return (SettlementMath.byReading(end, case_.isDown, baseline, metered), gateway);
    }

    function _judgeMissing(Case memory case_, AwardEnd end) private view returns (AwardEnd) {
        uint32 interval = case_.terms.interval();
        uint48 nanogrid = case_.firstNanogrid | end.record().index();
        if (case_.mayBeCommanded && _isRevoked(case_, nanogrid)) return SettlementMath.revoked(end);
        if (_metering.isAnnulled(nanogrid, interval)) return SettlementMath.annulled(end);
        end = SettlementMath.missing(end, case_.terms.side());
        if (block.timestamp >= _readingDeadlineOf(nanogrid, interval)) return end;
        return end.skipped(ISettlement.Skip.DEADLINE_NOT_REACHED);
    }

    /// @dev By RED before the interval, or by a command of its own.
    function _isRevoked(Case memory case_, uint48 nanogrid) private view returns (bool) {
        return case_.revoked || _signals.commandOf(nanogrid, case_.terms.interval()).quantity != 0;
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
        case_.firstNanogrid = _nanogridOf(terms.portfolio(), 0);
        case_.isDown = terms.direction() == IMeritOrderAuction.Direction.DOWN;
        case_.isReactive = terms.kind() == Products.REACTIVE;
        case_.draft = ReadingDigest.draftFor(interval);
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
        if (_metering.isAnnulled(nanogrid, interval)) {
            revert ISettlement.CommandNotSettleable(nanogrid, interval, ISettlement.Skip.ANNULLED_READING);
        }
        // slither-disable-next-line uninitialized-local -- NONE: nothing speaks against it
        ISettlement.Skip skip;
        if (GatewaySignature.isGiven(reading.signature) && _isVerifier(caller)) {
            bytes32 digest =
                ReadingDigest.digest(ReadingDigest.draftFor(interval), _domainSeparator, nanogrid, packed);
            address signer = GatewaySignature.signerOf(digest, reading.signature);
            if (signer == address(0) || signer != _settlement.gatewayOf(nanogrid)) {
                revert ISettlement.BadReadingSignature(nanogrid, interval);
            }
        } else {
            skip = _checkAnnounced(caller, nanogrid, interval, packed);
        }
        if (skip != ISettlement.Skip.NONE) revert ISettlement.CommandNotSettleable(nanogrid, interval, skip);
        IGridSignals.Command memory command = _signals.commandOf(nanogrid, interval);
        uint8 kind = Products.kindOf(command.product);
        // forge-lint: disable-next-line(unsafe-typecast) the parts of the id
        (uint32 portfolio, uint16 index) = (uint32(nanogrid >> 16), uint16(nanogrid));
        judgement.baseline = _provenValue(awardOffer, portfolio, interval, kind, index, baseline);
        judgement.metered = kind == Products.ACTIVE ? reading.activeEnergyWh : reading.reactiveEnergyVarh;
        judgement.delivered = SettlementMath.delivered(
            command.quantity,
            command.direction == uint8(IMeritOrderAuction.Direction.DOWN),
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
        BidRecord record = _recordAt(awardOffer, award.firstLeaf, _checkAwards(case_, award), ordinal);
        if (
            _nanogridOf(terms.portfolio(), record.index()) != nanogrid || terms.interval() != interval
                || terms.kind() != kind
        ) revert ISettlement.ReplacedAwardMissing(nanogrid, interval);
        uint32 bidPriceUeurKwh = record.priceUeurKwh();
        if (terms.side() == IMeritOrderAuction.Side.BUY && bidPriceUeurKwh > priceUeurKwh) return bidPriceUeurKwh;
    }

    /* READINGS */

    function _checkAnnounced(address caller, uint48 nanogrid, uint32 interval, GatewayReading reading)
        private
        view
        returns (ISettlement.Skip)
    {
        IMeteringOracle.Announcement memory announced = _metering.announcedOf(nanogrid, interval);
        bool agrees = announced.announcedAt != 0 && announced.activeEnergyWh == reading.activeEnergyWh()
            && announced.reactiveEnergyVarh == reading.reactiveEnergyVarh()
            && announced.sequence == reading.sequence();
        if (!agrees) return ISettlement.Skip.NOT_ANNOUNCED;
        bool isOver = block.timestamp >= announced.announcedAt + _holdWindowS || _isVerifier(caller);
        return isOver ? ISettlement.Skip.NONE : ISettlement.Skip.HOLD_WINDOW_OPEN;
    }

    function _annulledWords(OfferTerms terms, uint256 indices) private view returns (bytes memory words) {
        uint256 count = (indices + 255) / 256;
        words = WordList.make(count);
        for (uint256 i = 0; i < count; ++i) {
            WordList.put(words, i, _metering.annulledWord(terms.portfolio(), terms.interval(), i));
        }
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

    /// @param noProof An empty one: the vector is whole
    function _checkBaselines(Case memory case_, bytes calldata baselines, bytes32[] calldata noProof) private view {
        OfferTerms terms = case_.terms;
        // slither-disable-next-line unused-return -- a root is anchored once and in time, or never: here only what it proves matters
        (bytes32 root,, uint16 count) = _metering.baselineOf(terms.portfolio(), terms.interval(), terms.kind());
        uint256 leafCount = (uint256(count) + LEAF_ITEMS - 1) / LEAF_ITEMS;
        // slither-disable-next-line divide-before-multiply -- whole leaves are meant: the last one is padded
        bytes memory padded = new bytes(leafCount * VectorTree.BASELINE_LEAF_BYTES);
        if (baselines.length != uint256(count) * BASELINE_BYTES) revert ISettlement.WrongBaselines(case_.offer);
        assembly ("memory-safe") {
            calldatacopy(add(padded, 32), baselines.offset, baselines.length)
        }
        if (!VectorProof.verify(root, 0, padded, VectorTree.BASELINE_LEAF_BYTES, leafCount, noProof)) {
            revert ISettlement.WrongBaselines(case_.offer);
        }
    }

    function _valueAt(bytes32 offer, bytes calldata baselines, uint256 index) private pure returns (int32) {
        uint256 place = index * BASELINE_BYTES;
        if (place >= baselines.length) revert ISettlement.WrongBaselines(offer);
        uint256 word;
        assembly ("memory-safe") {
            word := calldataload(add(baselines.offset, place)) // within the vector, which has whole values
        }
        // forge-lint: disable-next-line(unsafe-typecast) two's complement on the wire
        return int32(uint32(word >> 224));
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
        // slither-disable-next-line weak-prng -- the place of a value in its leaf, nothing random
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

    /// @param records Of the awards from the leaf `firstLeaf` on
    function _recordAt(bytes32 offer, uint256 firstLeaf, bytes memory records, uint256 ordinal)
        private
        pure
        returns (BidRecord)
    {
        unchecked {
            uint256 first = firstLeaf * LEAF_ITEMS;
            uint256 offset = (ordinal - first) * BidRecords.BYTES; // beyond the records when the ordinal is before the first
            if (ordinal < first || offset >= records.length) revert ISettlement.AwardNotGiven(offer, ordinal);
            return BidRecords.readMemory(records, offset);
        }
    }

    function _nanogridOf(uint32 portfolio, uint16 index) private pure returns (uint48) {
        return uint48(portfolio) << 16 | index;
    }
}
