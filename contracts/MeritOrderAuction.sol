// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {ClaimChecker} from "./ClaimChecker.sol";
import {ICapacityRegister} from "./interfaces/ICapacityRegister.sol";
import {IClaimChecker} from "./interfaces/IClaimChecker.sol";
import {IGridSignals} from "./interfaces/IGridSignals.sol";
import {IMeritOrderAuction} from "./interfaces/IMeritOrderAuction.sol";
import {IMeteringOracle} from "./interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {AuctionMessages} from "./libraries/AuctionMessages.sol";
import {BidRecord, BidRecords} from "./libraries/BidRecord.sol";
import {Calendar} from "./libraries/Calendar.sol";
import {OfferTerms} from "./libraries/OfferTerms.sol";
import {PostCounts} from "./libraries/PostCounts.sol";
import {PostingLane} from "./libraries/PostingLane.sol";
import {Products} from "./libraries/Products.sol";
import {RecordBuffer} from "./libraries/RecordBuffer.sol";
import {SeatSigner} from "./libraries/SeatSigner.sol";

/// @title The market's auctions.
/// @dev No order, award or payment depends on the caller: decisions are signed messages of those who may take them, and a
/// clearing is proved by a claim that anyone may bring. Posts of an offer are at most three for each of 2^16 nanogrid
/// indices, so posting positions stay within the 24 bits of a rank and of an award record.
contract MeritOrderAuction is IMeritOrderAuction, EIP712 {
    using Calendar for uint256;
    using PostingLane for PostingLane.State;
    using PostingLane for PostingLane.Seats;

    /// @dev Latest gate closure before the interval: offers that answer a request, and INTERNAL ones. [hundredths of u]
    uint256 private constant _REQUEST_CLOSURE = 140;
    uint256 private constant _INTERNAL_CLOSURE = 345;
    /// @dev Least time between the opening of an offer and its gate closure. [hundredths of u]
    uint256 private constant _LEAD = 50;
    /// @dev After gate closure: clearing and verdict until the first, clearing again before the second. [hundredths of u]
    uint256 private constant _CLEARING = 40;
    uint256 private constant _CLEARING_AGAIN = 45;

    uint256 private constant _WIRE_BID_BYTES = 76;
    uint256 private constant _UEUR_PER_CENT = 10_000;
    string private constant _NAME = "Meritgrid";
    string private constant _VERSION = "1";
    bytes32 private constant _DSO_ROLE = keccak256("DSO");
    bytes32 private constant _AGGREGATOR_ROLE = keccak256("AGGREGATOR");
    bytes32 private constant _NOTHING_REJECTED = keccak256("");
    /// @dev Stands for the pending offer of a session that has winners while none is pending.
    bytes32 private constant _SOLD = bytes32(uint256(1));

    IParticipantRegistry public immutable registry;
    IGridSignals public immutable signals;
    ICapacityRegister public immutable capacityRegister;
    IMeteringOracle public immutable metering;
    ISettlement public immutable settlement;
    IClaimChecker public immutable claimChecker;
    /// @notice The market time unit u, which is the length of an interval. [s]
    uint32 public immutable timeUnitS;

    struct PublishedRequest {
        Request request;
        address dso;
        uint64 publishedAt;
    }

    /// @dev An offer in two slots; the fields are those of Offer.
    struct PackedOffer {
        bytes32 request;
        uint32 portfolio;
        uint32 interval;
        uint8 side;
        uint8 direction;
        uint8 product;
        uint40 quantity;
        uint32 limitPriceUeurKwh;
        uint32 gateClosure;
        uint64 salt;
    }

    /// @dev What the bids of one batch are judged against, read once.
    /// @param session 0 where it has no winners
    struct Batch {
        bytes32 id;
        Offer offer;
        bytes32 session;
        IParticipantRegistry.Portfolio portfolio;
        bytes32 reservation;
        uint8 highestRevision;
        bool isPaused;
    }

    mapping(bytes32 request => PublishedRequest) private _requests;
    mapping(bytes32 request => mapping(uint256 interval => uint40)) private _available;
    mapping(bytes32 offer => PackedOffer) private _offers;
    mapping(bytes32 offer => OfferState) private _states;
    /// @dev Words by their place (PostCounts).
    mapping(bytes32 offer => mapping(uint256 place => uint256)) private _posts;
    /// @dev Hashes of the progress reached under a claim: a set, so that a forged chunk does not displace an honest one.
    mapping(bytes32 offer => mapping(bytes32 claim => mapping(bytes32 progress => bool))) private _reached;
    mapping(bytes32 session => bytes32 offer) private _pending;
    mapping(bytes32 session => mapping(uint256 word => uint256)) private _winners;

    constructor(address registry_, address signals_, address capacityRegister_, address metering_, address settlement_)
        EIP712(_NAME, _VERSION)
    {
        registry = IParticipantRegistry(registry_);
        signals = IGridSignals(signals_);
        capacityRegister = ICapacityRegister(capacityRegister_);
        metering = IMeteringOracle(metering_);
        settlement = ISettlement(settlement_);
        claimChecker = new ClaimChecker();
        timeUnitS = IParticipantRegistry(registry_).timeUnitS();
    }

    /* REQUESTS */

    /// @inheritdoc IMeritOrderAuction
    function publishRequest(Request memory request, bytes calldata signature) external returns (bytes32 id) {
        id = _hashTypedDataV4(AuctionMessages.hash(request));
        if (_requests[id].publishedAt != 0) revert RequestExists(id);
        address dso = _signer(id, signature);
        _requireRequestable(request, dso);

        PublishedRequest storage published = _requests[id];
        published.request = request;
        published.dso = dso;
        published.publishedAt = uint64(block.timestamp);
        uint256 escrowUeur = 0;
        for (uint256 i = 0; i < request.quantities.length; ++i) {
            escrowUeur += _lockInterval(id, request, i, dso);
        }
        if (escrowUeur == 0) revert EmptyQuantity();
        emit RequestPublished(
            id,
            request.node,
            dso,
            request.firstInterval,
            request.product,
            request.direction,
            request.priceUeurKwh,
            request.quantities,
            escrowUeur
        );
    }

    /// @inheritdoc IMeritOrderAuction
    function reclaimRequest(bytes32 request, uint32 interval) external {
        PublishedRequest storage published = _requests[request];
        if (published.publishedAt == 0) revert UnknownRequest(request);
        if (block.timestamp <= _lastOpening(interval)) revert RequestStillOpen(request, interval);
        bytes32 escrow = _requestEscrow(request, interval);
        uint256 amountUeur = settlement.escrowOf(escrow);
        if (amountUeur == 0) revert NothingToReclaim(request, interval);

        _available[request][interval] = 0;
        emit RequestReclaimed(request, interval, amountUeur);
        settlement.release(escrow, published.dso, amountUeur);
    }

    function _requireRequestable(Request memory request, address dso) private view {
        IParticipantRegistry.Node memory node = registry.nodeOf(request.node);
        if (dso != node.dso || !node.active || !_hasRole(_DSO_ROLE, dso)) revert NotDsoOfNode(request.node, dso);
        if (!Products.answersRequest(request.product)) revert InvalidProduct(request.product);
        if (request.direction > uint8(Direction.DOWN)) revert InvalidDirection(request.direction);
        _requirePrice(request.priceUeurKwh);
        _requireInterval(request.firstInterval);
        _requireNotPaused(request.node, request.product);
    }

    /// @dev Escrows one interval's money; an interval without need is left out.
    function _lockInterval(bytes32 id, Request memory request, uint256 place, address dso)
        private
        returns (uint256 escrowUeur)
    {
        uint40 quantity = request.quantities[place];
        if (quantity == 0) return 0;
        uint256 start = uint256(request.firstInterval) + place * timeUnitS;
        if (start > type(uint32).max) revert NotAnInterval(type(uint32).max);
        uint32 interval = uint32(start);
        if (block.timestamp > _lastOpening(interval)) revert RequestTooLate(interval);
        _requireYellow(request.node, interval);

        _available[id][interval] = quantity;
        escrowUeur = Math.ceilDiv(uint256(quantity) * request.priceUeurKwh, 1000);
        settlement.lock(_requestEscrow(id, interval), dso, escrowUeur);
    }

    /* OFFERS */

    /// @inheritdoc IMeritOrderAuction
    function openOffer(Offer memory offer, bytes calldata signature) external returns (bytes32 id) {
        id = _hashTypedDataV4(AuctionMessages.hash(offer));
        if (_states[id].status != Status.NONE) revert OfferExists(id);
        IParticipantRegistry.Portfolio memory portfolio = _portfolioOf(offer);
        _requireAggregator(offer.portfolio, portfolio.aggregator, _signer(id, signature));
        _requireSound(offer, portfolio);
        // Baselines of an INTERNAL offer need only be there.
        uint256 knownSince = offer.request == 0 ? type(uint256).max : _requireAnswers(offer, portfolio.node);
        metering.requireBaseline(offer.portfolio, offer.interval, Products.kindOf(offer.product), knownSince);
        _requireClosure(offer);
        settlement.requireWithinHorizon(offer.interval);
        bytes32 session = _sessionOf(offer);
        bytes32 pending = _pending[session];
        if (uint256(pending) > uint256(_SOLD)) {
            revert OfferPending(offer.portfolio, offer.interval, Products.kindOf(offer.product), pending);
        }

        _pending[session] = id;
        _storeOffer(id, offer);
        OfferState storage state = _states[id];
        state.status = Status.OPEN;
        state.openedAt = uint40(block.timestamp);
        state.aggregator = portfolio.aggregator;
        state.escrowUeur = uint88(_escrowNeeded(offer)); // 40 and 29 bits multiplied
        state.soldBefore = pending == _SOLD;
        if (offer.request != 0) _available[offer.request][offer.interval] -= offer.quantity;
        emit OfferOpened(
            id,
            offer.portfolio,
            offer.request,
            offer.interval,
            offer.side,
            offer.direction,
            offer.product,
            offer.quantity,
            offer.limitPriceUeurKwh,
            offer.gateClosure
        );
        _escrow(id, offer, portfolio.aggregator, state.escrowUeur);
    }

    /// @inheritdoc IMeritOrderAuction
    function cancelOffer(bytes32 offer, bytes calldata signature) external {
        OfferState storage state = _requireStatus(offer, Status.OPEN);
        Offer memory offered = _offerOf(offer);
        address signer = _signer(_hashTypedDataV4(AuctionMessages.hashCancellation(offer)), signature);
        _requireAggregator(offered.portfolio, _portfolioOf(offered).aggregator, signer);
        if (state.bidCount != 0) revert OfferHasBids(offer, state.bidCount);

        emit OfferCancelled(offer);
        _endWithoutResult(offer, state, Status.CANCELLED);
    }

    /// @inheritdoc IMeritOrderAuction
    function expireOffer(bytes32 offer) external {
        OfferState storage state = _states[offer];
        if (state.status != Status.CLEARED) _requireStatus(offer, Status.OPEN);
        if (!_isExpirable(offer, state.status)) revert NotExpirable(offer);

        emit OfferExpired(offer);
        _endWithoutResult(offer, state, Status.EXPIRED);
    }

    /// @dev What can be said of an offer by itself and by its portfolio.
    function _requireSound(Offer memory offer, IParticipantRegistry.Portfolio memory portfolio) private view {
        if (offer.side > uint8(Side.SELL)) revert InvalidSide(offer.side);
        if (offer.direction > uint8(Direction.DOWN)) revert InvalidDirection(offer.direction);
        bool isInternal = offer.request == 0;
        if (!isInternal && offer.side == uint8(Side.SELL)) revert SellNeedsInternal();
        bool fits = isInternal ? offer.product == Products.INTERNAL : Products.answersRequest(offer.product);
        if (!fits) revert InvalidProduct(offer.product);
        _requirePrice(offer.limitPriceUeurKwh);
        _requireInterval(offer.interval);
        _requireNotPaused(portfolio.node, offer.product);
        _requireNotRed(portfolio.node, offer.interval);
        if (offer.quantity == 0) revert EmptyQuantity();
        uint256 rated = (uint256(portfolio.ratedPowerW) * timeUnitS) / 3600;
        if (offer.quantity > rated) revert QuantityBeyondPortfolio(offer.quantity, uint40(rated));
    }

    /// @dev What an offer must share with the request that it answers. Returns when the request was published.
    function _requireAnswers(Offer memory offer, uint32 node) private view returns (uint256 publishedAt) {
        PublishedRequest storage published = _requests[offer.request];
        publishedAt = published.publishedAt;
        if (publishedAt == 0) revert UnknownRequest(offer.request);
        Request storage request = published.request;
        if (request.node != node || request.product != offer.product || request.direction != offer.direction) {
            revert RequestMismatch(offer.request);
        }
        _requireYellow(node, offer.interval);
        if (offer.limitPriceUeurKwh > request.priceUeurKwh) {
            revert LimitAboveRequest(offer.limitPriceUeurKwh, request.priceUeurKwh);
        }
        uint40 available = _available[offer.request][offer.interval];
        if (offer.quantity > available) revert QuantityBeyondRequest(offer.quantity, available);
    }

    function _requireClosure(Offer memory offer) private view {
        uint256 earliest = block.timestamp.afterwards(timeUnitS, _LEAD);
        if (offer.gateClosure < earliest) revert ClosureTooEarly(offer.gateClosure, earliest);
        uint256 hundredths = offer.request == 0 ? _INTERNAL_CLOSURE : _REQUEST_CLOSURE;
        uint256 latest = uint256(offer.interval).before(timeUnitS, hundredths);
        if (offer.gateClosure > latest) revert ClosureTooLate(offer.gateClosure, latest);
    }

    /// @dev The most that the awards can cost the payer. SELL: the bidders pay, nothing is escrowed.
    function _escrowNeeded(Offer memory offer) private view returns (uint256) {
        if (offer.side == uint8(Side.SELL)) return 0;
        uint256 priceUeurKwh =
            offer.request == 0 ? offer.limitPriceUeurKwh : _requests[offer.request].request.priceUeurKwh;
        return (offer.quantity * priceUeurKwh) / 1000;
    }

    function _escrow(bytes32 id, Offer memory offer, address aggregator, uint256 amountUeur) private {
        if (amountUeur == 0) return;
        if (offer.request == 0) settlement.lock(id, aggregator, amountUeur);
        else settlement.moveEscrow(_requestEscrow(offer.request, offer.interval), id, amountUeur);
    }

    /// @dev Gives all of an offer back: its quantity and money to the request, or its money to the aggregator.
    function _endWithoutResult(bytes32 id, OfferState storage state, Status end) private {
        Offer memory offer = _offerOf(id);
        uint256 amountUeur = state.escrowUeur;
        state.status = end;
        state.escrowUeur = 0;
        _endSession(offer, state.soldBefore);
        _free(id, offer, offer.quantity, amountUeur);
    }

    /// @dev No offer of the session is pending any more; another may be opened.
    function _endSession(Offer memory offer, bool isSold) private {
        _pending[_sessionOf(offer)] = isSold ? _SOLD : bytes32(0);
    }

    function _free(bytes32 id, Offer memory offer, uint40 quantity, uint256 amountUeur) private {
        bytes32 request = offer.request;
        if (request != 0) _available[request][offer.interval] += quantity;
        if (amountUeur == 0) return;
        if (request != 0) settlement.moveEscrow(id, _requestEscrow(request, offer.interval), amountUeur);
        else settlement.release(id, _states[id].aggregator, amountUeur);
    }

    function _isExpirable(bytes32 id, Status status) private view returns (bool) {
        Offer memory offer = _offerOf(id);
        if (block.timestamp >= offer.interval) return true;
        if (status == Status.OPEN && block.timestamp > _afterClosure(offer, _CLEARING)) return true;
        return _isRed(_portfolioOf(offer).node, offer.interval);
    }

    /* BIDS */

    /// @inheritdoc IMeritOrderAuction
    // slither-disable-next-line reentrancy-no-eth -- the registry is called, which calls nobody
    function postBids(bytes32 offer, bytes calldata bids) external {
        if (bids.length == 0 || bids.length % _WIRE_BID_BYTES != 0) revert MalformedBids(bids.length);
        OfferState storage state = _requireStatus(offer, Status.OPEN);
        Batch memory batch = _batchOf(offer, state);
        PostingLane.State memory lane = _laneOf(batch, state.chain, bids);
        // Called in two places, so that the compiler keeps it a function with a stack of its own.
        bool more = lane.next();
        while (more) {
            _postOne(batch, lane);
            more = lane.next();
        }
        if (lane.accepted.length == 0) return;
        _storePosts(state, batch, lane);
        uint32 firstPosition = state.bidCount;
        unchecked {
            state.bidCount = firstPosition + uint32(lane.accepted.length / BidRecords.BYTES); // at most 3 for each index
        }
        state.chain = lane.chain;
        emit BidsPosted(offer, firstPosition, lane.accepted, lane.chain);
    }

    /// @dev What the bids of a batch are judged against. Refuses a closed gate and a RED node.
    function _batchOf(bytes32 id, OfferState storage state) private view returns (Batch memory batch) {
        Offer memory offer = _offerOf(id);
        IParticipantRegistry.Portfolio memory portfolio = _portfolioOf(offer);
        _requireNotRed(portfolio.node, offer.interval);
        if (block.timestamp >= offer.gateClosure) revert GateClosed(id, offer.gateClosure);
        batch.id = id;
        batch.offer = offer;
        batch.highestRevision = state.highestRevision;
        if (state.soldBefore) batch.session = _sessionOf(offer);
        batch.portfolio = portfolio;
        batch.isPaused = _isPaused(portfolio.node, offer.product);
        batch.reservation = capacityRegister.reservationOf(offer.portfolio, offer.product, offer.interval);
    }

    function _laneOf(Batch memory batch, bytes32 chain, bytes calldata bids)
        private
        view
        returns (PostingLane.State memory lane)
    {
        bool isBuy = batch.offer.side == uint8(Side.BUY);
        lane.chain = chain;
        lane.accepted = RecordBuffer.make("", bids.length / _WIRE_BID_BYTES);
        lane.seats = new uint256[](_groupCount(batch.portfolio.seatCount));
        (lane.lowestPriceUeurKwh, lane.priceRangeUeurKwh) = isBuy
            ? (1, batch.offer.limitPriceUeurKwh - 1)
            : (batch.offer.limitPriceUeurKwh, BidRecords.MAX_PRICE - batch.offer.limitPriceUeurKwh);
        if (batch.isPaused) (lane.lowestPriceUeurKwh, lane.priceRangeUeurKwh) = (type(uint256).max, 0); // none is ordinary
        lane.limitMask = isBuy ? type(uint256).max : 0;
        lane.today = block.timestamp / 1 days;
        lane.addressTo(batch.id, _domainSeparatorV4());
        lane.aim(bids, registry.seatSignersOf(batch.offer.portfolio, bids, _WIRE_BID_BYTES));
    }

    /// @dev Judges a bid that the lane left: takes it or skips it. The first of 256 nanogrids is left only until their words are read.
    function _postOne(Batch memory batch, PostingLane.State memory lane) private {
        BidRecord bid = lane.current();
        // A withdrawal is never blocked.
        if (batch.isPaused && bid.quantity() != 0) revert Paused(batch.portfolio.node, batch.offer.product);
        uint16 index = bid.index();
        uint256 group = PostCounts.groupOf(index);
        if (index < batch.portfolio.seatCount && lane.seats[group] == 0) {
            _readSeats(batch, lane, group);
            return;
        }
        PostingLane.Seats memory seats = lane.seatsIn(group);
        BidRejection reason = _judge(batch, lane, seats, bid);
        if (reason == BidRejection.NONE) {
            lane.take(seats, bid);
            if (!lane.signerOfCurrent().isUnbounded()) _refreshSeat(_nanogrid(batch.offer.portfolio, index));
        } else {
            emit BidSkipped(batch.id, BidRecord.unwrap(bid), uint8(reason));
        }
        lane.advance();
    }

    /// @dev A seat's first bid since it became active makes the later ones cheap.
    function _refreshSeat(uint48 nanogrid) private {
        uint48[] memory nanogrids = new uint48[](1);
        nanogrids[0] = nanogrid;
        registry.refreshSeats(nanogrids);
    }

    function _readSeats(Batch memory batch, PostingLane.State memory lane, uint256 group) private view {
        // slither-disable-next-line uninitialized-local -- all zero, but for what is read here
        PostingLane.Seats memory seats;
        mapping(uint256 place => uint256) storage posts = _posts[batch.id];
        unchecked {
            uint256 place = group * PostCounts.DEPTH;
            seats.once = posts[place];
            if (batch.highestRevision != 0) (seats.twice, seats.thrice) = (posts[place + 1], posts[place + 2]);
        }
        if (batch.session != 0) seats.winners = _winners[batch.session][group];
        seats.reserved = capacityRegister.reservedIn(batch.reservation, uint8(group));
        lane.putSeats(group, seats);
    }

    /// @dev No post is ever taken back, so an empty word is as it was.
    function _storePosts(OfferState storage state, Batch memory batch, PostingLane.State memory lane) private {
        mapping(uint256 place => uint256) storage posts = _posts[batch.id];
        unchecked {
            for (uint256 group = 0; group < lane.seats.length; ++group) {
                PostingLane.Seats memory seats = lane.seatsIn(group);
                uint256 place = group * PostCounts.DEPTH;
                if (seats.once != 0) posts[place] = seats.once;
                if (seats.twice == 0) continue;
                posts[place + 1] = seats.twice;
                if (seats.thrice != 0) posts[place + 2] = seats.thrice;
                if (state.highestRevision != 2) state.highestRevision = seats.thrice == 0 ? 1 : 2;
            }
        }
    }

    /// @dev Why a bid cannot be taken, the cheapest questions first.
    function _judge(
        Batch memory batch,
        PostingLane.State memory lane,
        PostingLane.Seats memory seats,
        BidRecord bid
    ) private view returns (BidRejection reason) {
        reason = _judgeRecord(lane, seats, bid);
        if (reason != BidRejection.NONE) return reason;
        uint48 nanogrid = _nanogrid(batch.offer.portfolio, bid.index());
        bool isActive = lane.signerOfCurrent().isUnbounded() || registry.isSeatActive(nanogrid, batch.offer.interval);
        if (!isActive) return BidRejection.SEAT_NOT_ACTIVE;
        if (PostCounts.isIn(seats.winners, bid.index())) return BidRejection.ALREADY_SOLD;
        (bytes32 r, bytes32 vs) = lane.signature();
        bytes32 digest = _hashTypedDataV4(AuctionMessages.hashBid(batch.id, bid));
        // slither-disable-next-line unused-return -- the third value only details the fault
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecover(digest, r, vs);
        if (fault != ECDSA.RecoverError.NoError) return BidRejection.BAD_SIGNATURE;
        return _judgeSigner(lane, bid, nanogrid, lane.signerOfCurrent(), signer);
    }

    function _judgeRecord(PostingLane.State memory lane, PostingLane.Seats memory seats, BidRecord bid)
        private
        pure
        returns (BidRejection)
    {
        uint32 priceUeurKwh = bid.priceUeurKwh();
        uint8 revision = bid.revision();
        if (priceUeurKwh == 0) return BidRejection.PRICE_OUT_OF_RANGE;
        if (bid.minimum() > bid.quantity()) return BidRejection.MINIMUM_ABOVE_QUANTITY;
        if (!seats.isNext(bid)) return BidRejection.WRONG_REVISION;
        bool isWithdrawal = bid.quantity() == 0;
        if (isWithdrawal) return revision == 0 ? BidRejection.QUANTITY_OUT_OF_RANGE : BidRejection.NONE;
        if (revision == BidRecords.MAX_POSTS - 1) return BidRejection.QUANTITY_OUT_OF_RANGE; // the last can only withdraw
        return lane.isBeyondLimit(priceUeurKwh) ? BidRejection.PRICE_BEYOND_LIMIT : BidRejection.NONE;
    }

    /// @dev The seat's signer bids within its limits; an owner beside a seated delegate within the seat's cover.
    function _judgeSigner(PostingLane.State memory lane, BidRecord bid, uint48 nanogrid, SeatSigner signer, address recovered)
        private
        view
        returns (BidRejection)
    {
        bool isLast = bid.revision() == BidRecords.MAX_POSTS - 1;
        if (isLast || recovered != signer.signer()) {
            IParticipantRegistry.Seat memory seat = registry.seatOf(nanogrid);
            if (recovered == seat.owner) return _judgeExposure(bid, _swing(seat.ratedPowerW), seat.coverCents);
            return recovered == signer.signer() ? BidRejection.OWNER_SIGNATURE_REQUIRED : BidRejection.BAD_SIGNATURE;
        }
        if (block.timestamp / 1 days > signer.expiryDay()) return BidRejection.DELEGATE_EXPIRED;
        if (bid.quantity() == 0) return BidRejection.NONE;
        if (bid.priceUeurKwh() < signer.lowestPriceUeurKwh() & lane.limitMask) {
            return BidRejection.PRICE_BELOW_DELEGATE_LIMIT;
        }
        return _judgeExposure(bid, signer.largestQuantity(), signer.coverCents());
    }

    /// @dev The most that a seat can change in an interval: from its rated power in one direction to that in the other.
    function _swing(uint32 ratedPowerW) private view returns (uint256) {
        return (2 * uint256(ratedPowerW) * timeUnitS) / 3600;
    }

    function _judgeExposure(BidRecord bid, uint256 largestQuantity, uint24 coverCents)
        private
        pure
        returns (BidRejection)
    {
        if (bid.quantity() > largestQuantity) return BidRejection.QUANTITY_OUT_OF_RANGE;
        uint256 exposureUeur = (uint256(bid.quantity()) * bid.priceUeurKwh() * 3) / 2000;
        return exposureUeur > coverCents * _UEUR_PER_CENT ? BidRejection.BEYOND_COVER : BidRejection.NONE;
    }

    /// @dev Groups of nanogrids with words of their own.
    function _groupCount(uint256 seatCount) private pure returns (uint256) {
        return Math.ceilDiv(seatCount, PostCounts.INDICES_PER_WORD);
    }

    /* CLEARING */

    /// @inheritdoc IMeritOrderAuction
    function clear(
        bytes32 offer,
        Claim memory claim,
        bytes calldata records,
        bytes calldata rejected,
        Progress memory progress
    ) external {
        Offer memory offered = _offerOf(offer);
        IParticipantRegistry.Portfolio memory portfolio = _portfolioOf(offered);
        OfferState storage state = _requireClearable(offer, offered, portfolio.node, rejected);
        _requireWholeRecords(records, state.bidCount);
        bytes32 claimKey = keccak256(abi.encode(claim, keccak256(rejected)));
        _requireReached(offer, claimKey, progress);
        IClaimChecker.Finding memory finding =
            claimChecker.check(_auctionOf(offer, offered, portfolio.seatCount, state.highestRevision), claim, records, rejected, progress);
        if (finding.brokenByRecords != 0) revert FalseClaim(offer, finding.brokenByRecords);
        Progress memory reached = finding.reached;
        if (reached.position < state.bidCount) {
            _reached[offer][claimKey][keccak256(abi.encode(reached))] = true;
            emit ClearingProgressed(offer, claimKey, reached.position);
            return;
        }
        if (reached.position > state.bidCount || reached.chain != state.chain) {
            revert WrongRecords(offer, state.chain, reached.chain);
        }
        if (finding.brokenAtEnd != 0) revert FalseClaim(offer, finding.brokenAtEnd);
        _storeResult(offer, state, claim, finding);
    }

    /// @dev The first clearing has no rejected bids; the one after a verdict has exactly the verdict's, once.
    function _requireClearable(bytes32 id, Offer memory offer, uint32 node, bytes calldata rejected)
        private
        view
        returns (OfferState storage state)
    {
        state = _states[id];
        bool again = state.status == Status.CLEARED && rejected.length != 0 && !state.clearedAgain;
        if (!again) _requireStatus(id, Status.OPEN);
        _requireNotRed(node, offer.interval);
        if (block.timestamp < offer.gateClosure) revert GateOpen(id, offer.gateClosure);
        uint256 deadline = _afterClosure(offer, again ? _CLEARING_AGAIN : _CLEARING);
        // Clearing again ends as finalising without it begins, the first clearing with the last second for the verdict.
        if (again ? block.timestamp >= deadline : block.timestamp > deadline) revert ClearTooLate(id, deadline);
        _requireRejected(id, rejected, again);
    }

    /// @dev A chunk without records would lead nowhere; only an offer without bids clears on none.
    function _requireWholeRecords(bytes calldata records, uint32 bidCount) private pure {
        bool isEmpty = records.length == 0 && bidCount != 0;
        if (isEmpty || records.length % BidRecords.BYTES != 0) revert MalformedRecords(records.length);
    }

    /// @dev A pass goes on only from where an earlier chunk under the same claim has come.
    function _requireReached(bytes32 offer, bytes32 claimKey, Progress memory progress) private view {
        if (progress.position == 0) return;
        if (!_reached[offer][claimKey][keccak256(abi.encode(progress))]) revert WrongProgress(offer);
    }

    function _auctionOf(bytes32 id, Offer memory offer, uint256 seatCount, uint256 highestRevision)
        private
        view
        returns (IClaimChecker.Auction memory auction)
    {
        auction.side = Side(offer.side);
        auction.quantity = offer.quantity;
        if (highestRevision == 0) return auction;
        uint256[] memory superseded = new uint256[](_groupCount(seatCount) * PostCounts.SUPERSEDED_DEPTH);
        mapping(uint256 place => uint256) storage posts = _posts[id];
        unchecked {
            // Both words of each group; while nobody has posted three times the second is empty.
            for (uint256 place = 0; place < superseded.length; place += PostCounts.DEPTH - highestRevision) {
                superseded[place] = posts[PostCounts.placeOfPosts(place)];
            }
        }
        auction.superseded = superseded;
    }

    function _storeResult(
        bytes32 id,
        OfferState storage state,
        Claim memory claim,
        IClaimChecker.Finding memory finding
    ) private {
        bool again = state.status == Status.CLEARED;
        bytes32 root = finding.awardsRoot;
        Progress memory reached = finding.reached;
        state.status = Status.CLEARED;
        state.awardCount = reached.awardCount;
        state.clearedAt = uint40(block.timestamp);
        state.awardsRoot = root;
        if (again) state.clearedAgain = true;
        emit Cleared(id, root, reached.awardCount, reached.better + claim.marginalQuantity, claim.marginal, again);
    }

    /* RESULTS */

    /// @inheritdoc IMeritOrderAuction
    function finalise(bytes32 offer, bytes calldata awards, bytes calldata rejected) external {
        OfferState storage state = _requireStatus(offer, Status.CLEARED);
        Offer memory offered = _offerOf(offer);
        _requireNotRed(_portfolioOf(offered).node, offered.interval);
        uint256 possibleFrom = finalAt(offer);
        if (block.timestamp < possibleFrom) revert NotFinalYet(offer, possibleFrom);
        if (block.timestamp >= offered.interval) revert ClearTooLate(offer, offered.interval);
        _requireRejected(offer, rejected, !_states[offer].clearedAgain);
        (bytes32 root, bytes memory standing, bytes32 standingRoot) = claimChecker.standing(awards, rejected);
        if (root != state.awardsRoot) revert WrongAwards(offer, state.awardsRoot, root);

        (uint256 reserveUeur, uint256 awarded) = _writeWinners(offered, standing);
        uint256 freedUeur = state.escrowUeur - reserveUeur;
        state.status = Status.FINAL;
        state.awardCount = uint32(standing.length / RecordBuffer.RECORD_BYTES);
        state.awardsRoot = standingRoot;
        state.escrowUeur = uint88(reserveUeur); // at most what it was
        _endSession(offered, state.soldBefore || standing.length != 0);
        emit Finalised(offer, standingRoot, standing, reserveUeur, freedUeur);
        _free(offer, offered, uint40(offered.quantity - awarded), freedUeur);
        settlement.openAwards(offer);
    }

    /// @dev Marks who won, and sums what the awards reserve for their payer and what they award.
    function _writeWinners(Offer memory offer, bytes memory awards)
        private
        returns (uint256 reserveUeur, uint256 awarded)
    {
        mapping(uint256 word => uint256) storage winners = _winners[_sessionOf(offer)];
        uint256 requestPriceUeurKwh = _requests[offer.request].request.priceUeurKwh; // 0 for INTERNAL
        bool isBuy = offer.side == uint8(Side.BUY);
        uint256[] memory words = new uint256[](256); // awards come in the order of posts: each word is stored once, not once for each
        uint256 indices = 0;
        // At most 2^16 awards of 24 bits, at prices of 32.
        unchecked {
            for (uint256 offset = 0; offset < awards.length; offset += RecordBuffer.RECORD_BYTES) {
                BidRecord award = BidRecords.readMemory(awards, offset);
                uint256 index = award.index();
                words[index >> 8] |= 1 << (index & 255);
                indices |= index;
                uint256 quantity = award.quantity();
                awarded += quantity;
                if (!isBuy) continue;
                uint256 priceUeurKwh = offer.request == 0 ? award.priceUeurKwh() : requestPriceUeurKwh;
                reserveUeur += (quantity * priceUeurKwh) / 1000;
            }
            for (uint256 word = 0; word <= indices >> 8; ++word) {
                if (words[word] != 0) winners[word] |= words[word];
            }
        }
    }

    /* READERS */

    /// @inheritdoc IMeritOrderAuction
    function requestOf(bytes32 request) external view returns (Request memory, address dso, uint64 publishedAt) {
        PublishedRequest storage published = _requests[request];
        return (published.request, published.dso, published.publishedAt);
    }

    /// @inheritdoc IMeritOrderAuction
    function availableOf(bytes32 request, uint32 interval) external view returns (uint40) {
        return _available[request][interval];
    }

    /// @inheritdoc IMeritOrderAuction
    function offerOf(bytes32 offer) external view returns (Offer memory) {
        return _offerOf(offer);
    }

    /// @inheritdoc IMeritOrderAuction
    function stateOf(bytes32 offer) external view returns (OfferState memory) {
        return _states[offer];
    }

    /// @inheritdoc IMeritOrderAuction
    function termsOf(bytes32 offer)
        external
        view
        returns (OfferTerms terms, bytes32 awardsRoot, address aggregator, address payer)
    {
        PackedOffer storage given = _offers[offer];
        OfferState storage state = _states[offer];
        PublishedRequest storage published = _requests[given.request]; // all zero for INTERNAL
        uint256 word = uint256(state.status) << 248;
        word |= uint256(given.side) << 240;
        word |= uint256(given.direction) << 232;
        word |= uint256(given.product) << 224;
        word |= uint256(given.portfolio) << 192;
        word |= uint256(published.request.node) << 160;
        word |= uint256(given.interval) << 128;
        word |= uint256(state.awardCount) << 96;
        word |= uint256(published.request.priceUeurKwh) << 64;
        terms = OfferTerms.wrap(word);
        awardsRoot = state.awardsRoot;
        aggregator = state.aggregator;
        payer = given.request == 0 ? aggregator : published.dso;
    }

    /// @inheritdoc IMeritOrderAuction
    function pendingOffer(uint32 portfolio, uint32 interval, uint8 kind) external view returns (bytes32) {
        bytes32 pending = _pending[_session(portfolio, interval, kind)];
        return pending == _SOLD ? bytes32(0) : pending;
    }

    /// @inheritdoc IMeritOrderAuction
    function hasWon(uint48 nanogrid, uint32 interval, uint8 kind) public view returns (bool) {
        uint256 index = uint16(nanogrid);
        bytes32 session = _session(uint32(nanogrid >> 16), interval, kind);
        return (_winners[session][index >> 8] >> (index & 255)) & 1 == 1;
    }

    /// @inheritdoc IMeritOrderAuction
    function postsOf(bytes32 offer, uint16 index) public view returns (uint8) {
        uint8 posts = 0;
        unchecked {
            while (
                posts < BidRecords.MAX_POSTS && PostCounts.isIn(_posts[offer][PostCounts.placeOf(index, posts)], index)
            ) ++posts;
        }
        return posts;
    }

    /// @inheritdoc IMeritOrderAuction
    function finalAt(bytes32 offer) public view returns (uint256) {
        OfferState storage state = _states[offer];
        if (state.status == Status.NONE) revert UnknownOffer(offer);
        (bytes32 rejectedHash, uint256 givenAt) = _verdict(offer);
        uint256 closure = _offers[offer].gateClosure;
        if (givenAt == 0) return closure.afterwards(timeUnitS, _CLEARING) + 1; // the verdict may come in that second still
        if (_states[offer].clearedAgain) return state.clearedAt;
        return rejectedHash == _NOTHING_REJECTED ? givenAt : closure.afterwards(timeUnitS, _CLEARING_AGAIN);
    }

    /// @inheritdoc EIP712
    /// @dev The name and version given to the constructor: read from there they take more code, for they could be long.
    function eip712Domain()
        public
        view
        override
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        )
    {
        return (hex"0f", _NAME, _VERSION, block.chainid, address(this), bytes32(0), new uint256[](0));
    }

    /* SHARED RULES */

    /// @dev An empty signature stands for a caller that decides itself.
    function _signer(bytes32 digest, bytes calldata signature) private view returns (address) {
        return signature.length == 0 ? msg.sender : ECDSA.recoverCalldata(digest, signature);
    }

    function _offerOf(bytes32 id) private view returns (Offer memory) {
        PackedOffer storage packed = _offers[id];
        return Offer({
            portfolio: packed.portfolio,
            request: packed.request,
            interval: packed.interval,
            side: packed.side,
            direction: packed.direction,
            product: packed.product,
            quantity: packed.quantity,
            limitPriceUeurKwh: packed.limitPriceUeurKwh,
            gateClosure: packed.gateClosure,
            salt: packed.salt
        });
    }

    function _storeOffer(bytes32 id, Offer memory offer) private {
        // Field by field: a struct made in memory first takes more code.
        PackedOffer storage packed = _offers[id];
        packed.request = offer.request;
        packed.portfolio = offer.portfolio;
        packed.interval = offer.interval;
        packed.side = offer.side;
        packed.direction = offer.direction;
        packed.product = offer.product;
        packed.quantity = offer.quantity;
        packed.limitPriceUeurKwh = offer.limitPriceUeurKwh;
        packed.gateClosure = offer.gateClosure;
        packed.salt = offer.salt;
    }

    function _portfolioOf(Offer memory offer) private view returns (IParticipantRegistry.Portfolio memory) {
        return registry.portfolioOf(offer.portfolio);
    }

    /// @dev The portfolio's aggregator, as long as it has the role.
    function _requireAggregator(uint32 portfolio, address aggregator, address signer) private view {
        if (signer != aggregator || !_hasRole(_AGGREGATOR_ROLE, signer)) {
            revert NotAggregatorOfPortfolio(portfolio, signer);
        }
    }

    function _hasRole(bytes32 role, address account) private view returns (bool) {
        return IAccessControl(address(registry)).hasRole(role, account);
    }

    function _requireStatus(bytes32 offer, Status wanted) private view returns (OfferState storage state) {
        state = _states[offer];
        if (state.status == Status.NONE) revert UnknownOffer(offer);
        if (state.status != wanted) revert WrongStatus(offer, state.status);
    }

    function _requirePrice(uint32 priceUeurKwh) private pure {
        if (priceUeurKwh == 0 || priceUeurKwh > BidRecords.MAX_PRICE) revert PriceOutOfRange(priceUeurKwh);
    }

    function _requireInterval(uint32 interval) private view {
        if (!Calendar.isInterval(interval, timeUnitS)) revert NotAnInterval(interval);
    }

    function _requireNotPaused(uint32 node, uint8 product) private view {
        if (_isPaused(node, product)) revert Paused(node, product);
    }

    function _isPaused(uint32 node, uint8 product) private view returns (bool) {
        return registry.isPaused(node, product);
    }

    function _requireNotRed(uint32 node, uint32 interval) private view {
        if (_isRed(node, interval)) revert NodeIsRed(node, interval);
    }

    function _requireYellow(uint32 node, uint32 interval) private view {
        IGridSignals.Phase phase = _phase(node, interval);
        if (phase != IGridSignals.Phase.YELLOW) revert NodeNotYellow(node, interval, uint8(phase));
    }

    function _isRed(uint32 node, uint32 interval) private view returns (bool) {
        return _phase(node, interval) == IGridSignals.Phase.RED;
    }

    function _phase(uint32 node, uint32 interval) private view returns (IGridSignals.Phase) {
        return signals.phaseOf(node, interval);
    }

    /// @dev The given bitmap is the verdict's where that is still to be applied, else empty.
    function _requireRejected(bytes32 offer, bytes calldata rejected, bool byVerdict) private view {
        bytes32 expected = _NOTHING_REJECTED;
        if (byVerdict) (expected,) = _verdict(offer);
        if (keccak256(rejected) != expected) revert WrongRejected(offer);
    }

    /// @dev Hash of what the verdict rejects (of nothing when there is no verdict), and when it was given (0: never).
    function _verdict(bytes32 offer) private view returns (bytes32 rejectedHash, uint256 givenAt) {
        (rejectedHash, givenAt) = signals.verdictOf(offer);
        if (givenAt == 0) rejectedHash = _NOTHING_REJECTED;
    }

    function _afterClosure(Offer memory offer, uint256 hundredths) private view returns (uint256) {
        return uint256(offer.gateClosure).afterwards(timeUnitS, hundredths);
    }

    /// @dev Last moment at which an offer that answers a request can be opened for the interval.
    function _lastOpening(uint32 interval) private view returns (uint256) {
        return uint256(interval).before(timeUnitS, _REQUEST_CLOSURE).before(timeUnitS, _LEAD);
    }

    function _requestEscrow(bytes32 request, uint32 interval) private pure returns (bytes32) {
        return keccak256(abi.encode(request, interval));
    }

    /// @dev What a nanogrid can sell once: a portfolio's interval of one kind.
    function _session(uint32 portfolio, uint32 interval, uint8 kind) private pure returns (bytes32) {
        return keccak256(abi.encode(portfolio, interval, kind));
    }

    function _sessionOf(Offer memory offer) private pure returns (bytes32) {
        return _session(offer.portfolio, offer.interval, Products.kindOf(offer.product));
    }

    function _nanogrid(uint32 portfolio, uint16 index) private pure returns (uint48) {
        return (uint48(portfolio) << 16) | index;
    }
}
