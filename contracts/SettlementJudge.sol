// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGridSignals} from "./interfaces/IGridSignals.sol";
import {IMeritOrderAuction} from "./interfaces/IMeritOrderAuction.sol";
import {IMeteringOracle} from "./interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {ISettlementJudge} from "./interfaces/ISettlementJudge.sol";
import {Announcement} from "./libraries/Announcement.sol";
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
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

contract SettlementJudge is ISettlementJudge {
    bytes32 private constant ORACLE_ROLE = keccak256("ORACLE");
    /// @dev Awards in a leaf of their tree, and values in a leaf of a baseline vector.
    uint256 private constant LEAF_ITEMS = 8;
    uint256 private constant BASELINE_BYTES = 4;

    /// @dev What the awards of one offer have in common, read once.
    /// @param mayBeCommanded The node was RED at some time, so that commands may exist
    /// @param hadBegun The node went RED only after the interval had begun: a command then interrupts an award, and must not cost what was
    /// delivered of it, or one in the last second would take all
    /// @param isRevoked The node was RED before the interval, which has begun: earlier the DSO may still take it back
    /// @param caller Whose readings are judged; `fromVerifier`: who is the verifier, whose signed readings need not wait
    /// @param annulled Bitmap of annulled readings by nanogrid index, word by word; empty where only one reading is judged
    struct Case {
        bytes32 offer;
        OfferTerms terms;
        bool mayBeCommanded;
        bool hadBegun;
        bool isRevoked;
        address caller;
        bool fromVerifier;
        bytes annulled;
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
        ISettlement.Binding calldata binding,
        bytes calldata baselines,
        ISettlement.AwardRange calldata awards,
        bytes calldata readings
    ) external view returns (bytes memory) {
        Case memory case_ = _caseOf(offer, binding.terms);
        _requireOver(binding.terms.interval());
        _checkBaselines(offer, binding, baselines, awards.proof[:0]);
        case_.caller = caller;
        case_.fromVerifier = _isVerifier(caller);
        ReadingRun.Batch memory run = _runOf(binding.terms, uint256(awards.firstLeaf) * LEAF_ITEMS);
        run.records = _checkAwards(offer, binding.terms, binding.awardsRoot, awards);
        run.annulled = case_.annulled = _annulledWords(binding.terms, baselines.length / BASELINE_BYTES);
        run.ends = AwardEnds.roomFor(readings.length / GatewayReadings.LEAST_BYTES);
        _judgeReadings(case_, run, baselines, readings);
        return run.ends;
    }

    /// @inheritdoc ISettlementJudge
    function settleAward(
        bytes32 offer,
        ISettlement.Binding calldata binding,
        bytes32 baselines,
        bytes calldata awards,
        bytes calldata reading,
        bytes32[] calldata proof
    ) external view returns (AwardEnd end, address gateway) {
        Case memory case_ = _caseOf(offer, binding.terms);
        _requireOver(binding.terms.interval());
        (GatewayReading read, bytes calldata signature) = GatewayReadings.readOne(reading);
        int32 baseline;
        (end, baseline) = _openProven(offer, binding, baselines, awards, read.ordinal(), proof);
        case_.caller = address(bytes20(msg.data[msg.data.length - 20:]));
        case_.fromVerifier = signature.length != 0 && _isVerifier(case_.caller);
        return _judgeReading(case_, end, baseline, read, signature);
    }

    /// @inheritdoc ISettlementJudge
    function byExpiry(bytes32 offer, ISettlement.AwardRange calldata awards)
        external
        view
        returns (ISettlement.Binding memory binding, bytes memory ends)
    {
        binding = bindingOf(offer);
        Case memory case_ = _caseOf(offer, binding.terms);
        bytes memory records = _checkAwards(offer, binding.terms, binding.awardsRoot, awards);
        uint256 count = records.length / BidRecords.BYTES;
        uint256 first = uint256(awards.firstLeaf) * LEAF_ITEMS;
        ends = AwardEnds.roomFor(count);
        for (uint256 i = 0; i < count; ++i) {
            AwardEnd end = AwardEnds.open(BidRecords.readMemory(records, i * BidRecords.BYTES), first + i);
            AwardEnds.put(ends, i, _judgeMissing(case_, end), address(0));
        }
    }

    /// @inheritdoc ISettlementJudge
    function checkHold(bytes32 offer, uint32 ordinal, ISettlement.AwardRange calldata award, address signer)
        external
        view
        returns (BidRecord record)
    {
        ISettlement.Binding memory binding = bindingOf(offer);
        if (!binding.terms.isFinal()) revert ISettlement.OfferNotFinal(offer);
        bytes memory records = _checkAwards(offer, binding.terms, binding.awardsRoot, award);
        record = _recordAt(offer, uint256(award.firstLeaf) * LEAF_ITEMS, records, ordinal);
        bool isParty = signer == binding.aggregator || signer == binding.payer
            || signer == _registry.nodeOf(binding.terms.node()).dso || _isVerifier(signer);
        if (signer == address(0) || !isParty) revert ISettlement.NotHoldParty(offer, signer);
    }

    /// @dev In runs of what is most common; what stands between them is judged by itself.
    function _judgeReadings(
        Case memory case_,
        ReadingRun.Batch memory run,
        bytes calldata baselines,
        bytes calldata readings
    ) private view {
        bool isPlain = case_.fromVerifier && !case_.mayBeCommanded;
        (uint256 offset, uint256 count) = (0, 0);
        while (true) {
            if (isPlain) (offset, count) = ReadingRun.judge(run, baselines, readings, offset, count);
            if (offset >= readings.length) break;
            (GatewayReading reading, bytes calldata signature, uint256 next) = GatewayReadings.read(readings, offset);
            uint256 ordinal = reading.ordinal();
            AwardEnd end = AwardEnds.open(_recordAt(case_.offer, run.firstOrdinal, run.records, ordinal), ordinal);
            int32 baseline = _valueAt(case_.offer, baselines, end.record().index());
            address gateway;
            (end, gateway) = _judgeReading(case_, end, baseline, reading, signature);
            AwardEnds.put(run.ends, count++, end, gateway);
            offset = next;
        }
        WordList.cut(run.ends, 2 * count); // fewer than there is room for where signatures are longer
    }

    function _runOf(OfferTerms terms, uint256 firstOrdinal)
        private
        view
        returns (ReadingRun.Batch memory run)
    {
        run.typehash = ReadingDigest.TYPEHASH;
        run.interval = terms.interval();
        run.prefix = ReadingRun.PREFIX;
        run.domainSeparator = _domainSeparator;
        run.firstOrdinal = firstOrdinal;
        run.firstNanogrid = _nanogridOf(terms.portfolio(), 0);
        run.sign = terms.isDown() ? -1 : int256(1);
        run.meteredShift = terms.isReactive() ? ReadingRun.REACTIVE_SHIFT : ReadingRun.ACTIVE_SHIFT;
    }

    /// @return The award's end, and who must be the seat's gateway for it. The verifier's readings need the gateway's signature. Anybody
    /// else's, and those that come without one, were announced, which checked it, and waited: an announced reading stays good when
    /// the gateway's key changes afterwards. Of an award that a command interrupted only the announced one counts, as for the command
    /// itself beside one of its kind: there is one at most, so that two that differ are not paid both.
    function _judgeReading(
        Case memory case_,
        AwardEnd end,
        int32 baseline,
        GatewayReading reading,
        bytes calldata signature
    ) private view returns (AwardEnd, address gateway) {
        OfferTerms terms = case_.terms;
        uint32 interval = terms.interval();
        uint256 index = end.record().index();
        uint48 nanogrid = _nanogridOf(terms.portfolio(), index);
        if (case_.mayBeCommanded && _isRevoked(case_, nanogrid)) return (SettlementMath.revoked(end), address(0));
        bool isInterrupted = case_.hadBegun && _isCommanded(case_, nanogrid);
        bool isSigned = case_.fromVerifier && GatewaySignature.isGiven(signature) && !isInterrupted;
        // A batch knows what is annulled.
        bool isAnnulled;
        Announcement announced = Announcement.wrap(0); // asked only where it counts
        if (isSigned && case_.annulled.length != 0) {
            isAnnulled = WordList.hasBit(case_.annulled, index);
        } else {
            announced = _metering.announcedOf(nanogrid, interval);
            isAnnulled = announced.isAnnulled();
        }
        if (isAnnulled) return (SettlementMath.annulled(end), address(0));
        if (isSigned) {
            bytes32 digest = ReadingDigest.digest(_domainSeparator, nanogrid, interval, reading);
            gateway = GatewaySignature.signerOf(digest, signature);
            if (gateway == address(0)) return (end.skipped(ISettlement.Skip.BAD_SIGNATURE), gateway);
        } else {
            ISettlement.Skip skip = _checkAnnounced(case_.caller, announced, reading);
            if (skip != ISettlement.Skip.NONE) return (end.skipped(skip), gateway);
        }
        int32 metered = terms.isReactive() ? reading.reactiveEnergyVarh() : reading.activeEnergyWh();
        end = SettlementMath.byReading(end, terms.isDown(), baseline, metered);
        return (isInterrupted ? end.interrupted() : end, gateway);
    }

    function _judgeMissing(Case memory case_, AwardEnd end) private view returns (AwardEnd) {
        uint32 interval = case_.terms.interval();
        uint48 nanogrid = _nanogridOf(case_.terms.portfolio(), end.record().index());
        if (case_.mayBeCommanded && _isRevoked(case_, nanogrid)) return SettlementMath.revoked(end);
        if (_metering.isAnnulled(nanogrid, interval)) return SettlementMath.annulled(end);
        end = SettlementMath.missing(end, case_.terms.side());
        if (case_.hadBegun && _isCommanded(case_, nanogrid)) end = end.interrupted();
        if (block.timestamp >= _readingDeadlineOf(nanogrid, interval)) return end;
        return end.skipped(ISettlement.Skip.DEADLINE_NOT_REACHED);
    }

    /// @dev By RED before the interval, which nobody takes back any more: it has begun, or a command of its own stands beside it.
    function _isRevoked(Case memory case_, uint48 nanogrid) private view returns (bool) {
        return case_.isRevoked || (!case_.hadBegun && _isCommanded(case_, nanogrid));
    }

    function _isCommanded(Case memory case_, uint48 nanogrid) private view returns (bool) {
        return _signals.commandOf(nanogrid, case_.terms.interval()).quantity != 0;
    }

    /// @inheritdoc ISettlementJudge
    function bindingOf(bytes32 offer) public view returns (ISettlement.Binding memory binding) {
        OfferTerms terms;
        (terms, binding.awardsRoot, binding.aggregator, binding.payer) = _auction.termsOf(offer);
        if (terms.node() == 0) terms = terms.withNode(_registry.portfolioOf(terms.portfolio()).node);
        binding.terms = terms;
        // slither-disable-next-line unused-return -- a root is anchored once and in time, or never: here only what it proves matters
        (binding.baselineRoot,, binding.baselineCount) =
            _metering.baselineOf(terms.portfolio(), terms.interval(), terms.kind());
    }

    function _caseOf(bytes32 offer, OfferTerms terms) private view returns (Case memory case_) {
        if (!terms.isFinal()) revert ISettlement.OfferNotFinal(offer);
        uint32 interval = terms.interval();
        uint256 redSince = _signals.redSince(terms.node(), interval);
        case_.offer = offer;
        case_.terms = terms;
        if (redSince == 0) return case_;
        case_.mayBeCommanded = true;
        case_.hadBegun = redSince >= interval;
        case_.isRevoked = !case_.hadBegun && block.timestamp >= interval;
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
        IGridSignals.Command memory command = _signals.commandOf(nanogrid, interval);
        uint8 kind = Products.kindOf(command.product);
        // forge-lint: disable-next-line(unsafe-typecast) the parts of the id
        (uint32 portfolio, uint16 index) = (uint32(nanogrid >> 16), uint16(nanogrid));
        bool isBeside = _auction.hasWon(nanogrid, interval, kind);
        bool hadBegun =
            isBeside && _signals.redSince(_registry.portfolioOf(portfolio).node, interval) >= interval;
        _checkCommandReading(caller, nanogrid, interval, reading, hadBegun);
        // slither-disable-next-line unused-return -- a root is anchored once and in time, or never: here only what it proves matters
        (bytes32 root,, uint16 count) = _metering.baselineOf(portfolio, interval, kind);
        if (baseline.leafIndex != index / LEAF_ITEMS) revert ISettlement.WrongBaselines(awardOffer);
        judgement.baseline = _provenValue(awardOffer, root, count, index, baseline.values, baseline.proof);
        judgement.metered = kind == Products.ACTIVE ? reading.activeEnergyWh : reading.reactiveEnergyVarh;
        judgement.delivered = SettlementMath.delivered(
            command.quantity,
            command.direction == uint8(IMeritOrderAuction.Direction.DOWN),
            judgement.baseline,
            judgement.metered
        );
        uint256 priceUeurKwh = _registry.seatOf(nanogrid).emergencyPriceUeurKwh;
        if (!isBeside) {
            judgement.dueUeur = SettlementMath.amount(judgement.delivered, priceUeurKwh);
        } else {
            if (awardOffer == 0) revert ISettlement.ReplacedAwardMissing(nanogrid, interval);
            (OfferTerms terms, BidRecord replaced) =
                _replacedAward(nanogrid, interval, kind, awardOffer, award, reading.ordinal);
            judgement.dueUeur = _dueBeside(terms, replaced, priceUeurKwh, hadBegun, judgement);
        }
    }

    /// @inheritdoc ISettlementJudge
    function checkCommandExpiry(uint48 nanogrid, uint32 interval) external view {
        if (_metering.isAnnulled(nanogrid, interval)) return;
        uint256 deadline = _readingDeadlineOf(nanogrid, interval);
        if (block.timestamp < deadline) revert ISettlement.DeadlineNotReached(deadline);
    }

    /// @param mustBeAnnounced An award is paid by the same reading: see `_judgeReading`
    function _checkCommandReading(
        address caller,
        uint48 nanogrid,
        uint32 interval,
        ISettlement.AwardReading calldata reading,
        bool mustBeAnnounced
    ) private view {
        GatewayReading packed = _packed(reading);
        Announcement announced = _metering.announcedOf(nanogrid, interval);
        if (announced.isAnnulled()) {
            revert ISettlement.CommandNotSettleable(nanogrid, interval, ISettlement.Skip.ANNULLED_READING);
        }
        if (!mustBeAnnounced && GatewaySignature.isGiven(reading.signature) && _isVerifier(caller)) {
            bytes32 digest = ReadingDigest.digest(_domainSeparator, nanogrid, interval, packed);
            address signer = GatewaySignature.signerOf(digest, reading.signature);
            if (signer == address(0) || signer != _settlement.gatewayOf(nanogrid)) {
                revert ISettlement.BadReadingSignature(nanogrid, interval);
            }
            return;
        }
        ISettlement.Skip skip = _checkAnnounced(caller, announced, packed);
        if (skip != ISettlement.Skip.NONE) revert ISettlement.CommandNotSettleable(nanogrid, interval, skip);
    }

    /// @dev What is delivered at the emergency price; as much of it as an award of a request beside it was for at that award's price, where
    /// higher: no more than the DSO offered itself, and for no more energy. What of it an award is paid that had begun before RED is
    /// taken off: it is paid from its own escrow. What an aggregator would have paid (INTERNAL), or a seat (SELL), counts for nothing.
    function _dueBeside(
        OfferTerms terms,
        BidRecord replaced,
        uint256 priceUeurKwh,
        bool hadBegun,
        CommandJudgement memory judgement
    ) private pure returns (uint256 dueUeur) {
        if (terms.side() == IMeritOrderAuction.Side.SELL) {
            return SettlementMath.amount(judgement.delivered, priceUeurKwh);
        }
        uint256 bidPriceUeurKwh = replaced.priceUeurKwh();
        uint256 dearer = terms.requestPriceUeurKwh() == 0 ? 0 : Math.min(judgement.delivered, replaced.quantity());
        dueUeur = judgement.delivered * priceUeurKwh + dearer * Math.saturatingSub(bidPriceUeurKwh, priceUeurKwh);
        dueUeur /= 1000;
        if (!hadBegun) return dueUeur;
        uint256 ofAward =
            SettlementMath.delivered(replaced.quantity(), terms.isDown(), judgement.baseline, judgement.metered);
        return Math.saturatingSub(dueUeur, SettlementMath.amount(ofAward, bidPriceUeurKwh));
    }

    /// @dev An award that exists must be shown, so that nobody settles a command too low.
    function _replacedAward(
        uint48 nanogrid,
        uint32 interval,
        uint8 kind,
        bytes32 awardOffer,
        ISettlement.AwardRange calldata award,
        uint32 ordinal
    ) private view returns (OfferTerms terms, BidRecord record) {
        ISettlement.Binding memory binding = bindingOf(awardOffer);
        terms = binding.terms;
        if (!terms.isFinal()) revert ISettlement.OfferNotFinal(awardOffer);
        bytes memory records = _checkAwards(awardOffer, terms, binding.awardsRoot, award);
        record = _recordAt(awardOffer, uint256(award.firstLeaf) * LEAF_ITEMS, records, ordinal);
        if (
            _nanogridOf(terms.portfolio(), record.index()) != nanogrid || terms.interval() != interval
                || terms.kind() != kind
        ) revert ISettlement.ReplacedAwardMissing(nanogrid, interval);
    }

    /* READINGS */

    function _checkAnnounced(address caller, Announcement announced, GatewayReading reading)
        private
        view
        returns (ISettlement.Skip)
    {
        if (!announced.isOf(reading)) return ISettlement.Skip.NOT_ANNOUNCED;
        bool isOver = block.timestamp >= announced.announcedAt() + _holdWindowS || _isVerifier(caller);
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
        uint256 announcedAt = _metering.announcedOf(nanogrid, interval).announcedAt();
        if (announcedAt == 0) return deadline;
        uint256 extended = announcedAt + _holdWindowS + _readingDeadlineS;
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
    function _checkBaselines(
        bytes32 offer,
        ISettlement.Binding calldata binding,
        bytes calldata baselines,
        bytes32[] calldata noProof
    ) private pure {
        uint256 count = binding.baselineCount;
        uint256 leafCount = _leaves(count);
        if (baselines.length != count * BASELINE_BYTES) revert ISettlement.WrongBaselines(offer);
        uint256 whole = leafCount * VectorTree.BASELINE_LEAF_BYTES;
        bytes memory padded = bytes.concat(baselines, new bytes(whole - baselines.length));
        bytes32 root = binding.baselineRoot;
        if (!VectorProof.verify(root, 0, padded, VectorTree.BASELINE_LEAF_BYTES, leafCount, noProof)) {
            revert ISettlement.WrongBaselines(offer);
        }
    }

    function _valueAt(bytes32 offer, bytes calldata baselines, uint256 index) private pure returns (int32) {
        uint256 place = index * BASELINE_BYTES;
        if (place >= baselines.length) revert ISettlement.WrongBaselines(offer);
        // forge-lint: disable-next-line(unsafe-typecast) two's complement on the wire
        return _given(offer, int32(uint32(bytes4(baselines[place:place + BASELINE_BYTES]))));
    }

    function _provenValue(
        bytes32 offer,
        bytes32 root,
        uint256 count,
        uint256 index,
        bytes32 values,
        bytes32[] calldata proof
    ) private pure returns (int32) {
        uint256 leafIndex = index / LEAF_ITEMS;
        // forge-lint: disable-next-line(unsafe-typecast) an index has 16 bits
        bytes32 leaf = VectorTree.leaf(uint32(leafIndex), abi.encodePacked(values));
        if (index >= count || !VectorProof.verifyLeaf(root, leafIndex, leaf, _leaves(count), proof)) {
            revert ISettlement.WrongBaselines(offer);
        }
        // forge-lint: disable-next-line(unsafe-typecast) two's complement on the wire
        return _given(offer, int32(uint32(uint256(values) >> (224 - 32 * (index % LEAF_ITEMS)))));
    }

    function _given(bytes32 offer, int32 value) private pure returns (int32) {
        if (value == SettlementMath.NO_BASELINE) revert ISettlement.WrongBaselines(offer);
        return value;
    }

    function _leaves(uint256 items) private pure returns (uint256) {
        return (items + LEAF_ITEMS - 1) / LEAF_ITEMS;
    }

    /* PROOFS OF AWARDS */

    /// @dev One award out of its leaf, and its baseline out of its own. Behind the nodes of the award's proof are the baseline's.
    function _openProven(
        bytes32 offer,
        ISettlement.Binding calldata binding,
        bytes32 baselines,
        bytes calldata awards,
        uint256 ordinal,
        bytes32[] calldata proof
    ) private pure returns (AwardEnd end, int32 baseline) {
        uint256 used;
        (end, used) = _provenAward(offer, binding, ordinal, awards, proof);
        uint256 index = end.record().index();
        baseline = _provenValue(offer, binding.baselineRoot, binding.baselineCount, index, baselines, proof[used:]);
    }

    /// @dev One award out of its leaf.
    /// @return end The award, open
    /// @return used Nodes of the proof that are the award's
    function _provenAward(
        bytes32 offer,
        ISettlement.Binding calldata binding,
        uint256 ordinal,
        bytes calldata awards,
        bytes32[] calldata proof
    ) private pure returns (AwardEnd end, uint256 used) {
        uint256 count = binding.terms.awardCount();
        if (ordinal >= count) revert ISettlement.AwardNotGiven(offer, ordinal);
        if (awards.length % BidRecords.BYTES != 0) revert ISettlement.MalformedAwards(awards.length);
        bytes memory records = awards;
        uint256 leafIndex = ordinal / LEAF_ITEMS;
        used = VectorProof.pathLength(leafIndex, _leaves(count));
        // forge-lint: disable-next-line(unsafe-typecast) an ordinal has 23 bits
        bytes32 leaf = VectorTree.leaf(uint32(leafIndex), records);
        if (used > proof.length || !MerkleProof.verifyCalldata(proof[:used], binding.awardsRoot, leaf)) {
            revert ISettlement.WrongAwardProof(offer, uint32(leafIndex));
        }
        // The leaf is the tree's, so that the record lies within it.
        end = AwardEnds.open(BidRecords.readMemory(records, ordinal % LEAF_ITEMS * BidRecords.BYTES), ordinal);
    }

    /// @dev The awards stand at their place among the offer's: whole leaves, of which only the offer's last one may be shorter.
    function _checkAwards(bytes32 offer, OfferTerms terms, bytes32 root, ISettlement.AwardRange calldata awards)
        private
        pure
        returns (bytes memory records)
    {
        records = awards.awards;
        if (records.length == 0 || records.length % BidRecords.BYTES != 0) {
            revert ISettlement.MalformedAwards(records.length);
        }
        uint256 leafCount = _leaves(terms.awardCount());
        if (!_isProven(root, awards.firstLeaf, records, leafCount, awards.proof)) {
            revert ISettlement.WrongAwardProof(offer, awards.firstLeaf);
        }
    }

    function _isProven(
        bytes32 root,
        uint32 firstLeaf,
        bytes memory records,
        uint256 leafCount,
        bytes32[] calldata proof
    ) private pure returns (bool) {
        if (records.length > VectorTree.AWARD_LEAF_BYTES) {
            return VectorProof.verify(root, firstLeaf, records, VectorTree.AWARD_LEAF_BYTES, leafCount, proof);
        }
        return VectorProof.verifyLeaf(root, firstLeaf, VectorTree.leaf(firstLeaf, records), leafCount, proof);
    }

    /// @param records Of the awards from the ordinal `first` on
    function _recordAt(bytes32 offer, uint256 first, bytes memory records, uint256 ordinal)
        private
        pure
        returns (BidRecord)
    {
        unchecked {
            uint256 offset = (ordinal - first) * BidRecords.BYTES; // beyond the records when the ordinal is before the first
            if (ordinal < first || offset >= records.length) revert ISettlement.AwardNotGiven(offer, ordinal);
            return BidRecords.readMemory(records, offset);
        }
    }

    function _nanogridOf(uint32 portfolio, uint256 index) private pure returns (uint48) {
        return uint48(uint256(portfolio) << 16 | index); // of 32 and 16 bits
    }
}
