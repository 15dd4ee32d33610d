// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Who takes part in the market, in which role, and where: participants, nodes, portfolios and nanogrids.
/// @dev Roles are those of OpenZeppelin's AccessControl; the default admin is the operator's governance key and changes in two steps.
/// A nanogrid's id (on chain: seat) is `portfolio << 16 | index`; an index is never reused.
interface IParticipantRegistry {
    /// @notice A secondary substation at which its DSO buys.
    struct Node {
        address dso;
        bool active;
    }

    /// @notice One aggregator's nanogrids at one node. `ratedPowerW` is the sum over the active seats.
    struct Portfolio {
        uint32 node;
        uint16 seatCount;
        uint40 ratedPowerW;
        address aggregator;
    }

    /// @notice A nanogrid. Active for intervals in [activeFrom, activeUntil); suspended ones cannot bid.
    struct Seat {
        address owner;
        uint32 activeFrom;
        uint32 activeUntil;
        uint32 ratedPowerW;
        uint32 emergencyPriceUeurKwh;
        uint24 coverCents;
        bool suspended;
    }

    /// @notice The key that signs a seat's bids (the owner itself, or one delegate) and its limits: one storage slot.
    /// @param expiryDay Last valid day, in days since 1970-01-01 UTC
    /// @param lowestPriceUeurKwh Lowest price that this key may bid on the BUY side
    /// @param largestQuantity Largest quantity of one bid [Wh or varh]
    /// @param coverCents Largest penalty exposure of one bid [euro cents]
    struct Signer {
        address signer;
        uint16 expiryDay;
        uint32 lowestPriceUeurKwh;
        uint24 largestQuantity;
        uint24 coverCents;
    }

    /// @notice EIP-712 message of a seat's owner that seats a delegate. signer = 0 revokes.
    struct Delegation {
        uint48 nanogrid;
        address signer;
        uint16 expiryDay;
        uint32 lowestPriceUeurKwh;
        uint24 largestQuantity;
        uint24 coverCents;
        uint32 nonce;
    }

    /// @notice EIP-712 message of a seat's owner that gives the seat to another, with its bond and with what is not settled yet.
    struct SeatTransfer {
        uint48 nanogrid;
        address owner;
        uint32 nonce;
    }

    /// @notice EIP-712 message of a seat's owner against a transfer that the operator announced.
    struct SeatTransferVeto {
        uint48 nanogrid;
        uint32 nonce;
    }

    event NodeRegistered(uint32 indexed node, address indexed dso, string name);
    event NodeDsoChanged(uint32 indexed node, address indexed dso);
    event PortfolioRegistered(uint32 indexed portfolio, uint32 indexed node, address indexed aggregator, string name);
    event PortfolioAggregatorChanged(uint32 indexed portfolio, address indexed aggregator);
    event SeatRegistered(
        uint48 indexed nanogrid,
        address indexed owner,
        uint32 ratedPowerW,
        uint32 emergencyPriceUeurKwh,
        uint32 activeFrom
    );
    event SeatClosed(uint48 indexed nanogrid, uint32 activeUntil);
    event SeatSuspended(uint48 indexed nanogrid, bytes32 reason);
    event SeatReinstated(uint48 indexed nanogrid);
    event SeatOwnerChanged(uint48 indexed nanogrid, address indexed owner);
    /// @param possibleFrom When the seat can be given to `owner` without its present owner's signature
    event SeatTransferAnnounced(uint48 indexed nanogrid, address indexed owner, uint256 possibleFrom);
    event SeatTransferVetoed(uint48 indexed nanogrid, address indexed owner);
    event SignerChanged(
        uint48 indexed nanogrid,
        address indexed signer,
        uint16 expiryDay,
        uint32 lowestPriceUeurKwh,
        uint24 largestQuantity,
        uint24 coverCents
    );
    event CoverChanged(uint48 indexed nanogrid, uint24 coverCents);
    event PauseChanged(uint32 indexed node, uint8 indexed product, bool paused);

    error NodeExists(uint32 node);
    error UnknownNode(uint32 node);
    error PortfolioExists(uint32 portfolio);
    error UnknownPortfolio(uint32 portfolio);
    error PortfolioFull(uint32 portfolio);
    error UnknownSeat(uint48 nanogrid);
    error SeatAlreadyClosed(uint48 nanogrid, uint32 activeUntil);
    error ZeroAddress();
    error RoleMissing(address account, bytes32 role);
    error NotSeatOwner(uint48 nanogrid, address signer);
    error StaleNonce(uint48 nanogrid, uint32 given, uint32 expected);
    error NoTransferAnnounced(uint48 nanogrid);
    error TransferNotPossibleYet(uint48 nanogrid, uint256 possibleFrom);
    error LimitsTooWide(uint48 nanogrid, uint24 coverCents, uint24 allowedCents);
    error PriceLimitOutOfRange(uint48 nanogrid, uint32 lowestPriceUeurKwh);
    error IntervalNotInFuture(uint32 interval);
    error OnlySettlement(address caller);

    /// @notice A new node and its DSO, which has the role.
    function registerNode(uint32 node, address dso, string calldata name) external;
    /// @notice Whose node it is from now on: a new key, or another DSO. What the one before escrowed goes back to it.
    function setNodeDso(uint32 node, address dso) external;
    /// @notice A new portfolio of an aggregator, which has the role, at a node.
    function registerPortfolio(uint32 portfolio, uint32 node, address aggregator, string calldata name) external;
    /// @notice Whoever runs the portfolio from now on: a new key, or another aggregator.
    function setPortfolioAggregator(uint32 portfolio, address aggregator) external;
    /// @notice A new nanogrid, active from a future interval on. Its owner becomes a prosumer, and its own signer.
    function registerSeat(
        uint32 portfolio,
        address owner,
        uint32 ratedPowerW,
        uint32 emergencyPriceUeurKwh,
        uint32 activeFrom
    ) external returns (uint48 nanogrid);
    /// @notice Ends a nanogrid from a future interval on, for good; it counts no more for new offers at once.
    function closeSeat(uint48 nanogrid, uint32 activeUntil) external;
    /// @notice Lets a suspended nanogrid bid again.
    function reinstateSeat(uint48 nanogrid) external;
    /// @notice Carried by the operator, signed by the old owner: pays the seat's balance out to it, then changes the owner and unseats any
    /// delegate. The bond stays with the seat, but for what the old owner has begun to unbond.
    function changeSeatOwner(SeatTransfer calldata transfer, bytes calldata signature) external;
    /// @notice Where the owner cannot sign (lost key, death): by the operator, who may complete it after twice the time of unbonding. The
    /// owner has the first half to notice, and to veto or to begin to unbond, and is paid within the second. A later one replaces it.
    function announceSeatTransfer(uint48 nanogrid, address owner) external;
    /// @notice Changes the owner as announced; all else as by signature.
    function completeSeatTransfer(uint48 nanogrid) external;
    /// @notice Ends an announced transfer, at any time until it is completed; an empty signature means that the owner itself calls.
    function vetoSeatTransfer(SeatTransferVeto calldata veto, bytes calldata signature) external;
    /// @notice Seats or revokes a delegate; an empty signature means that the owner itself calls. The largest quantity is cut to what the
    /// seat can change in an interval: from its rated power in one direction to that in the other.
    function setDelegate(Delegation calldata delegation, bytes calldata signature) external;
    /// @notice Stops or resumes new requests, offers and bids at a node for a product (0 = all); withdrawals are never blocked.
    function setPaused(uint32 node, uint8 product, bool paused) external;
    /// @notice Called by Settlement when a bond changes; lowers a delegate's limit with it (and never raises it again by itself).
    function setCover(uint48 nanogrid, uint24 coverCents) external;
    /// @notice Makes bids of these seats cheaper where they have become active since their signer was last written; anyone may call.
    function refreshSeats(uint48[] calldata nanogrids) external;
    /// @notice Called by Settlement (debt, annulled readings).
    function suspendSeat(uint48 nanogrid, bytes32 reason) external;

    /// @notice Market time unit u: the length of an interval [s].
    function timeUnitS() external view returns (uint32);
    /// @notice A node: its DSO (0: not registered), and whether it takes part.
    function nodeOf(uint32 node) external view returns (Node memory);
    /// @notice A portfolio, its node and its aggregator.
    function portfolioOf(uint32 portfolio) external view returns (Portfolio memory);
    /// @notice The seat of a nanogrid: owner (0: none), term, rated power, emergency price, cover, suspension.
    function seatOf(uint48 nanogrid) external view returns (Seat memory);
    /// @notice Who may sign bids for a nanogrid, within what limits.
    function signerOf(uint48 nanogrid) external view returns (Signer memory);
    /// @notice The signers' slots of the seats whose bids these are, in their order, 32 bytes each (SeatSigner).
    /// @param records Bid records, one at the beginning of each `stride` bytes
    function seatSignersOf(uint32 portfolio, bytes calldata records, uint256 stride)
        external
        view
        returns (bytes memory);
    /// @notice Nonce of the next message of the seat's owner to this contract.
    function ownerNonce(uint48 nanogrid) external view returns (uint32);
    /// @notice The transfer that the operator announced; all zero without one.
    function announcedTransferOf(uint48 nanogrid) external view returns (address owner, uint256 possibleFrom);
    /// @notice Whether new requests, offers and bids of a product are paused at a node.
    function isPaused(uint32 node, uint8 product) external view returns (bool);
    /// @notice Whether a nanogrid takes part in the market for an interval: within [activeFrom, activeUntil) and not suspended.
    function isSeatActive(uint48 nanogrid, uint32 interval) external view returns (bool);
}
