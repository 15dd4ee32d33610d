// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OfferTerms} from "../libraries/OfferTerms.sol";

/// @notice Requests and their escrow, offers, the chain of posted bids, clearing by a checked claim, awards and winners.
/// @dev Prices in micro-euro per kWh (kvarh), quantities in Wh (varh). Records and ranks: see the protocol page and BidRecord.sol.
interface IMeritOrderAuction {
    enum Side {
        BUY,
        SELL
    }
    enum Direction {
        UP,
        DOWN
    }
    enum Status {
        NONE,
        OPEN,
        CLEARED,
        FINAL,
        CANCELLED,
        EXPIRED
    }

    /// @notice A DSO's need at a node for consecutive intervals, one quantity for each.
    struct Request {
        uint32 node;
        uint32 firstInterval;
        uint8 product;
        uint8 direction;
        uint32 priceUeurKwh;
        uint40[] quantities;
        uint64 salt;
    }

    /// @notice An aggregator's invitation. request = 0: INTERNAL, escrowed by the aggregator (BUY) or covered by the bidders (SELL).
    struct Offer {
        uint32 portfolio;
        bytes32 request;
        uint32 interval;
        uint8 side;
        uint8 direction;
        uint8 product;
        uint40 quantity;
        uint32 limitPriceUeurKwh;
        uint32 gateClosure;
        uint64 salt;
    }

    /// @notice EIP-712 message of a seat's signer; on the wire it is a 12-byte record and a compact signature.
    struct Bid {
        bytes32 offer;
        uint16 index;
        uint32 priceUeurKwh;
        uint24 quantity;
        uint24 minimum;
        uint8 revision;
    }

    /// @param marginal Rank of the last award, type(uint64).max when every bid that counts was reached
    /// @param marginalQuantity What the marginal bid is awarded
    /// @param passedOver Ranks passed over, strictly increasing, at most 16
    struct Claim {
        uint64 marginal;
        uint24 marginalQuantity;
        uint64[] passedOver;
    }

    /// @notice Where a clearing in several chunks stands; only its hash is stored, keyed by the claim.
    /// @param chain Hash chain over the records replayed so far
    /// @param position Posting position of the next record
    /// @param better Sum of the whole awards so far
    /// @param betterThanPassed For each passed-over rank the sum of the whole awards better than it
    /// @param seen Bit i: passed-over rank i was met; bit 16: the marginal was met
    /// @param minima For each passed-over rank its minimum; the last entry is the marginal's minimum
    /// @param awardCount Awards collected so far
    /// @param pending Award records that do not fill a leaf yet
    /// @param peaks Peaks of the Merkle tree of the full leaves, largest first
    struct Progress {
        bytes32 chain;
        uint32 position;
        uint64 better;
        uint64[] betterThanPassed;
        uint32 seen;
        uint24[] minima;
        uint32 awardCount;
        bytes pending;
        bytes32[] peaks;
    }

    /// @param aggregator Who opened it: the payer of an INTERNAL offer, whoever has the portfolio later
    /// @param highestRevision Of all that was posted: 0 while nobody has posted twice, 2 once somebody has posted three times
    /// @param soldBefore Something of its portfolio, interval and kind was awarded before it was opened
    /// @param clearedAgain After the verdict, without what it rejects
    struct OfferState {
        Status status;
        uint32 bidCount;
        uint32 awardCount;
        uint40 openedAt;
        uint40 clearedAt;
        uint88 escrowUeur;
        uint8 highestRevision;
        bool soldBefore;
        address aggregator;
        bool clearedAgain;
        bytes32 chain;
        bytes32 awardsRoot;
    }

    event RequestPublished(
        bytes32 indexed request,
        uint32 indexed node,
        address indexed dso,
        uint32 firstInterval,
        uint8 product,
        uint8 direction,
        uint32 priceUeurKwh,
        uint40[] quantities,
        uint256 escrowUeur
    );
    event RequestReclaimed(bytes32 indexed request, uint32 indexed interval, uint256 amountUeur);
    event OfferOpened(
        bytes32 indexed offer,
        uint32 indexed portfolio,
        bytes32 indexed request,
        uint32 interval,
        uint8 side,
        uint8 direction,
        uint8 product,
        uint40 quantity,
        uint32 limitPriceUeurKwh,
        uint32 gateClosure
    );
    event OfferCancelled(bytes32 indexed offer);
    event OfferExpired(bytes32 indexed offer);
    /// @notice The accepted records of one batch, 12 bytes each, in posting order from `firstPosition` on.
    event BidsPosted(bytes32 indexed offer, uint32 firstPosition, bytes records, bytes32 chain);
    /// @notice A bid of a batch was skipped. `reason` is one of BidRejection.
    event BidSkipped(bytes32 indexed offer, uint96 record, uint8 reason);
    event ClearingProgressed(bytes32 indexed offer, bytes32 claim, uint32 position);
    event Cleared(
        bytes32 indexed offer, bytes32 awardsRoot, uint32 awardCount, uint64 awarded, uint64 marginal, bool again
    );
    /// @notice The result is final; `awards` are the 12-byte award records in award order.
    event Finalised(bytes32 indexed offer, bytes32 awardsRoot, bytes awards, uint256 escrowUeur, uint256 freedUeur);

    enum BidRejection {
        NONE,
        BAD_SIGNATURE,
        SEAT_NOT_ACTIVE,
        PRICE_OUT_OF_RANGE,
        PRICE_BEYOND_LIMIT,
        QUANTITY_OUT_OF_RANGE,
        MINIMUM_ABOVE_QUANTITY,
        BEYOND_COVER,
        DELEGATE_EXPIRED,
        PRICE_BELOW_DELEGATE_LIMIT,
        WRONG_REVISION,
        ALREADY_SOLD,
        OWNER_SIGNATURE_REQUIRED
    }

    error NotDsoOfNode(uint32 node, address signer);
    error NotAggregatorOfPortfolio(uint32 portfolio, address signer);
    error NodeNotYellow(uint32 node, uint32 interval, uint8 phase);
    error NodeIsRed(uint32 node, uint32 interval);
    error Paused(uint32 node, uint8 product);
    error NotAnInterval(uint32 interval);
    error InvalidProduct(uint8 product);
    error InvalidSide(uint8 side);
    error InvalidDirection(uint8 direction);
    error SellNeedsInternal();
    error PriceOutOfRange(uint32 priceUeurKwh);
    error LimitAboveRequest(uint32 limitPriceUeurKwh, uint32 requestPriceUeurKwh);
    error EmptyQuantity();
    error RequestExists(bytes32 request);
    error UnknownRequest(bytes32 request);
    error RequestMismatch(bytes32 request);
    error RequestTooLate(uint32 interval);
    error QuantityBeyondRequest(uint40 quantity, uint40 available);
    error QuantityBeyondPortfolio(uint40 quantity, uint40 rated);
    error ClosureTooEarly(uint32 gateClosure, uint256 earliest);
    error ClosureTooLate(uint32 gateClosure, uint256 latest);
    error OfferExists(bytes32 offer);
    error OfferPending(uint32 portfolio, uint32 interval, uint8 kind, bytes32 offer);
    error UnknownOffer(bytes32 offer);
    error WrongStatus(bytes32 offer, Status status);
    error OfferHasBids(bytes32 offer, uint32 bidCount);
    error GateClosed(bytes32 offer, uint256 gateClosure);
    error GateOpen(bytes32 offer, uint256 gateClosure);
    error MalformedBids(uint256 length);
    error MalformedRecords(uint256 length);
    error TooManyPassedOver(uint256 count);
    error PassedOverNotSorted(uint256 place);
    error WrongProgress(bytes32 offer);
    error WrongRecords(bytes32 offer, bytes32 expected, bytes32 given);
    error WrongRejected(bytes32 offer);
    error FalseClaim(bytes32 offer, uint8 rule);
    error ClearTooLate(bytes32 offer, uint256 deadline);
    error NotFinalYet(bytes32 offer, uint256 finalAt);
    error WrongAwards(bytes32 offer, bytes32 expected, bytes32 given);
    error NotExpirable(bytes32 offer);
    error NothingToReclaim(bytes32 request, uint32 interval);
    error RequestStillOpen(bytes32 request, uint32 interval);

    /// @notice A DSO's need, for YELLOW intervals whose offers can still open; escrows quantity x price of each, rounded up. Signed by the node's
    /// DSO; an empty signature means that the signer itself calls, here and below.
    function publishRequest(Request calldata request, bytes calldata signature) external returns (bytes32 id);
    /// @notice Gives the DSO back what no offer accepted of an interval, once offers can no longer be opened for it; anyone may call.
    function reclaimRequest(bytes32 request, uint32 interval) external;
    /// @notice The aggregator asks for bids: for a part of a request at a limit price up to the request's, or INTERNAL, where it pays itself. The
    /// baselines are older than the request, no other offer of the portfolio's interval and kind is pending, the gate stays open for at
    /// least 0.5 u, and the interval is within Settlement's offerHorizonS.
    function openOffer(Offer calldata offer, bytes calldata signature) external returns (bytes32 id);
    /// @notice Ends an offer that has no bid; signed by the portfolio's aggregator.
    function cancelOffer(bytes32 offer, bytes calldata signature) external;
    /// @notice Posts bids before gate closure; anyone may. One that does not hold is skipped with BidSkipped, the rest of the batch stands.
    /// @param bids 76 bytes each: 12-byte record, 64-byte compact signature (EIP-2098) over the Bid message
    function postBids(bytes32 offer, bytes calldata bids) external;
    /// @notice Proves the merit order of the posted bids by a claim, from gate closure until 0.4 u after it, and once more without what the
    /// verdict rejects before 0.45 u; anyone may. In chunks, where `records` are not all: ClearingProgressed until the last.
    /// @param records All records in posting order (or the next chunk), 12 bytes each
    /// @param rejected The verdict's bitmap when clearing again, else empty
    /// @param progress Where an earlier chunk of the same claim ended; all zero for the first
    function clear(
        bytes32 offer,
        Claim calldata claim,
        bytes calldata records,
        bytes calldata rejected,
        Progress calldata progress
    ) external;
    /// @notice Makes a cleared result final: leaves out rejected awards where nobody cleared again, writes the winners, frees what was not awarded.
    function finalise(bytes32 offer, bytes calldata awards, bytes calldata rejected) external;
    /// @notice Ends an offer without a result and gives its escrow back: on RED, from its interval on, or when nobody has cleared it in time;
    /// anyone may.
    function expireOffer(bytes32 offer) external;

    /// @notice A published request, who published it, and when.
    function requestOf(bytes32 request) external view returns (Request memory, address dso, uint64 publishedAt);
    /// @notice What of a request no offer has taken for an interval yet. [Wh or varh]
    function availableOf(bytes32 request, uint32 interval) external view returns (uint40);
    /// @notice An offer as its aggregator signed it.
    function offerOf(bytes32 offer) external view returns (Offer memory);
    /// @notice How far an offer has come.
    function stateOf(bytes32 offer) external view returns (OfferState memory);
    /// @notice What settlement needs of an offer, in one call.
    /// @dev The payer is the request's DSO, or the aggregator for INTERNAL.
    function termsOf(bytes32 offer)
        external
        view
        returns (OfferTerms terms, bytes32 awardsRoot, address aggregator, address payer);
    /// @notice The offer of a session that has not ended yet; 0: none, so that another may open unless energy was sold in it.
    function pendingOffer(uint32 portfolio, uint32 interval, uint8 kind) external view returns (bytes32);
    /// @notice Whether a nanogrid has an award of a kind in an interval, in whatever session: it cannot win another.
    function hasWon(uint48 nanogrid, uint32 interval, uint8 kind) external view returns (bool);
    /// @notice How often a nanogrid has posted in an offer: bid, revision, withdrawal.
    function postsOf(bytes32 offer, uint16 index) external view returns (uint8);
    /// @notice When a cleared result can be made final: after the last second for a verdict, at once after one that rejects nothing,
    /// and after one that rejects something when it is cleared again, or can be no more.
    function finalAt(bytes32 offer) external view returns (uint256);
}
