// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IGridSignals} from "./interfaces/IGridSignals.sol";
import {IMeritOrderAuction} from "./interfaces/IMeritOrderAuction.sol";
import {IMeteringOracle} from "./interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {ISettlementJudge} from "./interfaces/ISettlementJudge.sol";
import {BidRecord, BidRecords} from "./libraries/BidRecord.sol";
import {Products} from "./libraries/Products.sol";
import {SettlementMath} from "./libraries/SettlementMath.sol";
import {VectorProof} from "./libraries/VectorProof.sol";
import {VectorTree} from "./libraries/VectorTree.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

contract SettlementJudge is ISettlementJudge {
    bytes32 private constant ORACLE_ROLE = keccak256("ORACLE");
    bytes32 private constant READING_TYPEHASH = keccak256(
        "Reading(uint48 nanogrid,uint32 interval,int32 activeEnergyWh,int32 reactiveEnergyVarh,uint32 sequence)"
    );
    /// @dev Awards in a leaf of their tree, and values in a leaf of a baseline vector.
    uint256 private constant LEAF_ITEMS = 8;

    /// @dev What the awards of one offer have in common.
    /// @param mayBeCommanded The node was RED at some time, so that commands may exist
    /// @param revoked The node was RED before the interval, which has begun: earlier the DSO may still take it back
    /// @param requestPriceUeurKwh What the DSO pays per kWh; 0 for INTERNAL
    struct Terms {
        bytes32 offer;
        uint32 portfolio;
        uint32 node;
        uint32 interval;
        uint8 kind;
        bool mayBeCommanded;
        bool revoked;
        IMeritOrderAuction.Direction direction;
        uint32 requestPriceUeurKwh;
        uint32 awardCount;
        bytes32 awardsRoot;
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
        ISettlement.AwardLeaf[] calldata leaves,
        ISettlement.AwardReading[] calldata readings
    ) external view returns (Parties memory parties, Judgement[] memory judgements) {
        Terms memory terms = _termsOf(offer);
        _requireOver(terms.interval);
        _checkBaselines(terms, baselines);
        for (uint256 i = 0; i < leaves.length; ++i) _checkLeaf(terms, leaves[i]);
        bool fromVerifier = _isVerifier(caller);
        judgements = new Judgement[](readings.length);
        for (uint256 i = 0; i < readings.length; ++i) {
            ISettlement.AwardReading calldata reading = readings[i];
            if (reading.leaf >= leaves.length) revert ISettlement.SlotOutOfRange(reading.leaf, reading.slot);
            BidRecord record = _recordAt(leaves[reading.leaf], reading.leaf, reading.slot);
            judgements[i] = _begin(terms, record, leaves[reading.leaf].leafIndex, reading.slot);
            judgements[i].baseline = _valueAt(terms, baselines, record.index());
            _judgeReading(terms, record, fromVerifier, reading, judgements[i]);
        }
        return (terms.parties, judgements);
    }

    /// @inheritdoc ISettlementJudge
    function byReading(
        address caller,
        bytes32 offer,
        ISettlement.BaselineLeaf calldata baseline,
        ISettlement.AwardLeaf calldata leaf,
        ISettlement.AwardReading calldata reading
    ) external view returns (Parties memory parties, Judgement[] memory judgements) {
        Terms memory terms = _termsOf(offer);
        _requireOver(terms.interval);
        _checkLeaf(terms, leaf);
        BidRecord record = _recordAt(leaf, reading.leaf, reading.slot);
        judgements = new Judgement[](1);
        judgements[0] = _begin(terms, record, leaf.leafIndex, reading.slot);
        judgements[0].baseline =
            _provenValue(offer, terms.portfolio, terms.interval, terms.kind, record.index(), baseline);
        _judgeReading(terms, record, _isVerifier(caller), reading, judgements[0]);
        return (terms.parties, judgements);
    }

    /// @inheritdoc ISettlementJudge
    function byExpiry(bytes32 offer, ISettlement.AwardLeaf[] calldata leaves)
        external
        view
        returns (Parties memory parties, Judgement[] memory judgements)
    {
        Terms memory terms = _termsOf(offer);
        uint256 count = 0;
        for (uint256 i = 0; i < leaves.length; ++i) {
            _checkLeaf(terms, leaves[i]);
            count += leaves[i].awards.length / BidRecords.BYTES;
        }
        judgements = new Judgement[](count);
        count = 0;
        for (uint256 i = 0; i < leaves.length; ++i) {
            uint256 records = leaves[i].awards.length / BidRecords.BYTES;
            for (uint256 slot = 0; slot < records; ++slot) {
                BidRecord record = BidRecords.read(leaves[i].awards, slot * BidRecords.BYTES);
                judgements[count] = _begin(terms, record, leaves[i].leafIndex, slot);
                _judgeMissing(terms, record, judgements[count++]);
            }
        }
        return (terms.parties, judgements);
    }

    /// @inheritdoc ISettlementJudge
    function byHold(bytes32 offer, uint32 ordinal, BidRecord record)
        external
        view
        returns (Parties memory parties, Judgement memory judgement)
    {
        Terms memory terms = _termsOf(offer);
        judgement = _begin(terms, record, 0, ordinal);
        judgement.result = SettlementMath.heldBack(_awardTerms(terms, record));
        return (terms.parties, judgement);
    }

    /// @inheritdoc ISettlementJudge
    function checkHold(bytes32 offer, uint32 ordinal, ISettlement.AwardLeaf calldata leaf, address signer)
        external
        view
        returns (BidRecord record)
    {
        Terms memory terms = _termsOf(offer);
        _checkLeaf(terms, leaf);
        if (ordinal / LEAF_ITEMS != leaf.leafIndex) revert ISettlement.WrongAwardProof(offer, leaf.leafIndex);
        record = _recordAt(leaf, 0, uint8(ordinal % LEAF_ITEMS));
        bool isParty = signer == terms.parties.aggregator || signer == terms.parties.payer
            || signer == _registry.nodeOf(terms.node).dso || _isVerifier(signer);
        if (signer == address(0) || !isParty) revert ISettlement.NotHoldParty(offer, signer);
    }

    /// @dev The award's identity; its result is still open.
    function _begin(Terms memory terms, BidRecord record, uint256 leafIndex, uint256 slot)
        private
        pure
        returns (Judgement memory judgement)
    {
        judgement.nanogrid = _nanogridOf(terms.portfolio, record.index());
        // forge-lint: disable-next-line(unsafe-typecast) below the number of awards, 32 bits
        judgement.ordinal = uint32(leafIndex * LEAF_ITEMS + slot);
        judgement.awarded = record.quantity();
    }

    function _judgeReading(
        Terms memory terms,
        BidRecord record,
        bool fromVerifier,
        ISettlement.AwardReading calldata reading,
        Judgement memory judgement
    ) private view {
        if (_endsWithoutReading(terms, record, judgement)) return;
        judgement.skip = _checkReading(fromVerifier, judgement.nanogrid, terms.interval, reading);
        if (judgement.skip != ISettlement.Skip.NONE) return;
        judgement.metered = _meteredOf(terms.kind, reading);
        judgement.result =
            SettlementMath.byReading(_awardTerms(terms, record), judgement.baseline, judgement.metered);
    }

    function _judgeMissing(Terms memory terms, BidRecord record, Judgement memory judgement) private view {
        if (_endsWithoutReading(terms, record, judgement)) return;
        judgement.missing = true;
        judgement.result = SettlementMath.missing(_awardTerms(terms, record));
        if (block.timestamp < _readingDeadlineOf(judgement.nanogrid, terms.interval)) {
            judgement.skip = ISettlement.Skip.DEADLINE_NOT_REACHED;
        }
    }

    /// @dev Revoked awards and annulled readings end without a reading, at any time.
    function _endsWithoutReading(Terms memory terms, BidRecord record, Judgement memory judgement)
        private
        view
        returns (bool)
    {
        if (terms.revoked || (terms.mayBeCommanded && _isCommanded(judgement.nanogrid, terms.interval))) {
            judgement.result = SettlementMath.revoked(_awardTerms(terms, record));
        } else if (_metering.isAnnulled(judgement.nanogrid, terms.interval)) {
            judgement.result = SettlementMath.annulled(_awardTerms(terms, record));
        } else {
            return false;
        }
        judgement.baseline = 0;
        return true;
    }

    function _isCommanded(uint48 nanogrid, uint32 interval) private view returns (bool) {
        return _signals.commandOf(nanogrid, interval).quantity != 0;
    }

    function _termsOf(bytes32 offer) private view returns (Terms memory terms) {
        IMeritOrderAuction.OfferState memory state = _auction.stateOf(offer);
        if (state.status != IMeritOrderAuction.Status.FINAL) revert ISettlement.OfferNotFinal(offer);
        IMeritOrderAuction.Offer memory given = _auction.offerOf(offer);
        IParticipantRegistry.Portfolio memory portfolio = _registry.portfolioOf(given.portfolio);
        uint256 redSince = _signals.redSince(portfolio.node, given.interval);
        terms.offer = offer;
        terms.portfolio = given.portfolio;
        terms.node = portfolio.node;
        terms.interval = given.interval;
        terms.kind = Products.kindOf(given.product);
        terms.mayBeCommanded = redSince != 0;
        terms.revoked = redSince != 0 && redSince < given.interval && block.timestamp >= given.interval;
        terms.direction = IMeritOrderAuction.Direction(given.direction);
        terms.awardCount = state.awardCount;
        terms.awardsRoot = state.awardsRoot;
        terms.parties.side = IMeritOrderAuction.Side(given.side);
        terms.parties.aggregator = state.aggregator;
        terms.parties.payer = state.aggregator;
        if (given.request == 0) return terms;
        (IMeritOrderAuction.Request memory request, address dso,) = _auction.requestOf(given.request);
        terms.parties.payer = dso;
        terms.requestPriceUeurKwh = request.priceUeurKwh;
    }

    /// @dev For INTERNAL the award's own price is what the escrow pays.
    function _awardTerms(Terms memory terms, BidRecord record) private pure returns (SettlementMath.Terms memory) {
        uint32 bidPriceUeurKwh = record.priceUeurKwh();
        return SettlementMath.Terms({
            side: terms.parties.side,
            direction: terms.direction,
            awarded: record.quantity(),
            bidPriceUeurKwh: bidPriceUeurKwh,
            payerPriceUeurKwh: terms.requestPriceUeurKwh == 0 ? bidPriceUeurKwh : terms.requestPriceUeurKwh
        });
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
        ISettlement.AwardLeaf calldata award
    ) external view returns (CommandJudgement memory judgement) {
        _requireOver(interval);
        ISettlement.Skip skip = _metering.isAnnulled(nanogrid, interval)
            ? ISettlement.Skip.ANNULLED_READING
            : _checkReading(_isVerifier(caller), nanogrid, interval, reading);
        if (skip == ISettlement.Skip.BAD_SIGNATURE) revert ISettlement.BadReadingSignature(nanogrid, interval);
        if (skip != ISettlement.Skip.NONE) revert ISettlement.CommandNotSettleable(nanogrid, interval, skip);
        IGridSignals.Command memory command = _signals.commandOf(nanogrid, interval);
        uint8 kind = Products.kindOf(command.product);
        // forge-lint: disable-next-line(unsafe-typecast) the parts of the id
        (uint32 portfolio, uint16 index) = (uint32(nanogrid >> 16), uint16(nanogrid));
        judgement.baseline = _provenValue(awardOffer, portfolio, interval, kind, index, baseline);
        judgement.metered = _meteredOf(kind, reading);
        judgement.delivered = SettlementMath.delivered(
            command.quantity,
            IMeritOrderAuction.Direction(command.direction),
            judgement.baseline,
            judgement.metered
        );
        uint32 priceUeurKwh = _commandPrice(nanogrid, interval, kind, awardOffer, award, reading.slot);
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
        ISettlement.AwardLeaf calldata leaf,
        uint8 slot
    ) private view returns (uint32 priceUeurKwh) {
        priceUeurKwh = _registry.seatOf(nanogrid).emergencyPriceUeurKwh;
        if (!_auction.hasWon(nanogrid, interval, kind)) return priceUeurKwh;
        if (awardOffer == 0) revert ISettlement.ReplacedAwardMissing(nanogrid, interval);
        Terms memory terms = _termsOf(awardOffer);
        _checkLeaf(terms, leaf);
        BidRecord record = _recordAt(leaf, 0, slot);
        if (
            _nanogridOf(terms.portfolio, record.index()) != nanogrid || terms.interval != interval
                || terms.kind != kind
        ) revert ISettlement.ReplacedAwardMissing(nanogrid, interval);
        uint32 bidPriceUeurKwh = record.priceUeurKwh();
        if (terms.parties.side == IMeritOrderAuction.Side.BUY && bidPriceUeurKwh > priceUeurKwh) {
            return bidPriceUeurKwh;
        }
    }

    /* READINGS */

    /// @dev The verifier's readings need the gateway's signature. Anybody else's were announced, which checked it, and waited; an
    /// announced one stays good when the gateway's key changes afterwards.
    function _checkReading(
        bool fromVerifier,
        uint48 nanogrid,
        uint32 interval,
        ISettlement.AwardReading calldata reading
    ) private view returns (ISettlement.Skip) {
        if (fromVerifier && _isSignedByGateway(nanogrid, interval, reading)) return ISettlement.Skip.NONE;
        (bytes32 announced, uint64 announcedAt) = _metering.announcedOf(nanogrid, interval);
        bytes32 given = keccak256(
            abi.encode(nanogrid, interval, reading.activeEnergyWh, reading.reactiveEnergyVarh, reading.sequence)
        );
        if (announcedAt == 0 || announced != given) {
            return fromVerifier ? ISettlement.Skip.BAD_SIGNATURE : ISettlement.Skip.NOT_ANNOUNCED;
        }
        if (fromVerifier || block.timestamp >= announcedAt + _holdWindowS) return ISettlement.Skip.NONE;
        return ISettlement.Skip.HOLD_WINDOW_OPEN;
    }

    function _isSignedByGateway(uint48 nanogrid, uint32 interval, ISettlement.AwardReading calldata reading)
        private
        view
        returns (bool)
    {
        bytes32 message = keccak256(
            abi.encode(
                READING_TYPEHASH,
                nanogrid,
                interval,
                reading.activeEnergyWh,
                reading.reactiveEnergyVarh,
                reading.sequence
            )
        );
        bytes32 digest = MessageHashUtils.toTypedDataHash(_domainSeparator, message);
        (address signer,,) = ECDSA.tryRecover(digest, reading.r, reading.vs);
        return signer != address(0) && signer == _settlement.gatewayOf(nanogrid);
    }

    function _meteredOf(uint8 kind, ISettlement.AwardReading calldata reading) private pure returns (int32) {
        return kind == Products.ACTIVE ? reading.activeEnergyWh : reading.reactiveEnergyVarh;
    }

    /// @dev An announced reading waits for its hold window, and then as long as the deadline for somebody to settle it: not for ever,
    /// so that nothing can get stuck.
    function _readingDeadlineOf(uint48 nanogrid, uint32 interval) private view returns (uint256 deadline) {
        deadline = uint256(interval) + _readingDeadlineS;
        if (block.timestamp < deadline) return deadline;
        (, uint64 announcedAt) = _metering.announcedOf(nanogrid, interval);
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

    function _checkBaselines(Terms memory terms, bytes calldata baselines) private view {
        (bytes32 root,, uint16 count) = _metering.baselineOf(terms.portfolio, terms.interval, terms.kind);
        if (count == 0 || baselines.length != uint256(count) * 4 || VectorTree.rootOfBaselines(baselines) != root) {
            revert ISettlement.WrongBaselines(terms.offer);
        }
    }

    function _valueAt(Terms memory terms, bytes calldata baselines, uint256 index) private pure returns (int32) {
        if (index * 4 >= baselines.length) revert ISettlement.WrongBaselines(terms.offer);
        // forge-lint: disable-next-line(unsafe-typecast) two's complement on the wire
        return int32(uint32(bytes4(baselines[index * 4:index * 4 + 4])));
    }

    function _provenValue(
        bytes32 offer,
        uint32 portfolio,
        uint32 interval,
        uint8 kind,
        uint16 index,
        ISettlement.BaselineLeaf calldata leaf
    ) private view returns (int32) {
        (bytes32 root,, uint16 count) = _metering.baselineOf(portfolio, interval, kind);
        bytes32 node = keccak256(abi.encodePacked(leaf.leafIndex, leaf.values));
        uint256 leafCount = (uint256(count) + LEAF_ITEMS - 1) / LEAF_ITEMS;
        if (
            index >= count || leaf.leafIndex != index / LEAF_ITEMS
                || !VectorProof.verify(leaf.proof, root, node, leaf.leafIndex, leafCount)
        ) revert ISettlement.WrongBaselines(offer);
        // forge-lint: disable-next-line(unsafe-typecast) two's complement on the wire
        return int32(uint32(uint256(leaf.values) >> (224 - 32 * (index % LEAF_ITEMS))));
    }

    /* PROOFS OF AWARDS */

    /// @dev The leaf stands at its place among the offer's awards; only the last one may be shorter than eight.
    function _checkLeaf(Terms memory terms, ISettlement.AwardLeaf calldata leaf) private pure {
        uint256 size = leaf.awards.length;
        if (size == 0 || size % BidRecords.BYTES != 0 || size > VectorTree.AWARD_LEAF_BYTES) {
            revert ISettlement.MalformedAwards(size);
        }
        uint256 leafCount = (uint256(terms.awardCount) + LEAF_ITEMS - 1) / LEAF_ITEMS;
        bytes32 node = keccak256(abi.encodePacked(leaf.leafIndex, leaf.awards));
        if (!VectorProof.verify(leaf.proof, terms.awardsRoot, node, leaf.leafIndex, leafCount)) {
            revert ISettlement.WrongAwardProof(terms.offer, leaf.leafIndex);
        }
    }

    function _recordAt(ISettlement.AwardLeaf calldata leaf, uint16 leafPosition, uint8 slot)
        private
        pure
        returns (BidRecord)
    {
        if ((uint256(slot) + 1) * BidRecords.BYTES > leaf.awards.length) {
            revert ISettlement.SlotOutOfRange(leafPosition, slot);
        }
        return BidRecords.read(leaf.awards, uint256(slot) * BidRecords.BYTES);
    }

    function _nanogridOf(uint32 portfolio, uint16 index) private pure returns (uint48) {
        return uint48(portfolio) << 16 | index;
    }
}
