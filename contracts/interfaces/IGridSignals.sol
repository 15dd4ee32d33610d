// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The traffic light of a node for an interval, the DSO's verdicts on cleared offers, its RED commands,
/// and its validations of TSO requests. Each is an EIP-712 message of the node's DSO; an empty signature means that it calls itself.
interface IGridSignals {
    enum Phase {
        GREEN,
        YELLOW,
        RED
    }
    enum Kind {
        FORECAST,
        ACTUAL
    }

    /// @param reason keccak256 of the published reason document (element, loading, voltage)
    /// @param sequence Strictly increasing for each (node, interval, kind), so that an old signal cannot be replayed
    struct Signal {
        uint32 node;
        uint32 interval;
        uint8 phase;
        uint8 kind;
        bytes32 reason;
        uint64 sequence;
    }

    /// @param rejected Bitmap over the posting order: byte p/8, bit p%8 (least significant first) set = the award of position p is rejected
    /// @param reasons keccak256 of the published reasons
    struct Verdict {
        bytes32 offer;
        bytes rejected;
        bytes32 reasons;
    }

    /// @notice A RED command: change the nanogrid's energy in the interval by `quantity` in `direction` against its baseline.
    struct Command {
        uint48 nanogrid;
        uint32 interval;
        uint8 product;
        uint8 direction;
        uint24 quantity;
        bytes32 reason;
    }

    event SignalSet(
        uint32 indexed node,
        uint32 indexed interval,
        uint8 phase,
        uint8 kind,
        bytes32 reason,
        uint64 sequence,
        address author
    );
    event VerdictGiven(bytes32 indexed offer, bytes rejected, bytes32 reasons, address author);
    event CommandGiven(
        uint48 indexed nanogrid,
        uint32 indexed interval,
        uint8 product,
        uint8 direction,
        uint24 quantity,
        uint32 priceUeurKwh,
        uint256 reservedUeur,
        bytes32 reason
    );
    event TsoRequestValidated(bytes32 indexed request, uint32 indexed node, bool accepted, bytes32 reason);

    error NotDsoOfNode(uint32 node, address signer);
    error NotAnInterval(uint32 interval);
    error InvalidPhase(uint8 phase);
    error InvalidKind(uint8 kind);
    error InvalidProduct(uint8 product);
    error StaleSequence(uint64 given, uint64 last);
    error VerdictTooLate(bytes32 offer, uint256 deadline);
    /// @notice Thrown when a verdict's bitmap is longer than the posts ask for. [byte]
    error VerdictTooLong(bytes32 offer, uint256 length, uint256 longest);
    error VerdictAlreadyGiven(bytes32 offer);
    error OfferNotCleared(bytes32 offer);
    error NodeNotRed(uint32 node, uint32 interval);
    error CommandExists(uint48 nanogrid, uint32 interval);
    error CommandTooLate(uint48 nanogrid, uint32 interval);
    error InvalidDirection(uint8 direction);
    error SeatNotActive(uint48 nanogrid, uint32 interval);
    /// @notice Thrown when RED shall be taken back after T - u, or beside a command, and the interval has not begun.
    error RedIsFinal(uint32 node, uint32 interval);
    error ValidationExists(bytes32 request, uint32 node);
    error EmptyQuantity();

    /// @notice The DSO sets a node's phase for an interval, each time under a higher sequence; an empty signature means that the signer itself
    /// calls, here and below.
    function setSignal(Signal calldata signal, bytes calldata signature) external;
    /// @notice The DSO rejects awards of a cleared offer by a bitmap of posting positions, once, until 0.4 u after gate closure. The bitmap
    /// is no longer than the posts ask for: an eighth of their number, rounded down, and one byte.
    function giveVerdict(Verdict calldata verdict, bytes calldata signature) external;
    /// @notice On RED the DSO commands a nanogrid, once for each interval, until its end: reserves the emergency price of the quantity as far as
    /// its deposit reaches. An award of the seat that had begun before RED is paid for what it delivers, without a penalty; the command
    /// pays what it is worth beyond that.
    function giveCommand(Command calldata command, bytes calldata signature) external;
    /// @notice The DSO answers a request of the TSO, once for each node.
    function validateTsoRequest(bytes32 request, uint32 node, bool accepted, bytes32 reason, bytes calldata signature) external;

    /// @notice The phase that binds the market: the forecast's, or RED where an actual value says so. GREEN when nobody has spoken.
    function phaseOf(uint32 node, uint32 interval) external view returns (Phase);
    /// @notice When the node went RED for that interval (0: never, or taken back in time); awards of intervals that had not started are
    /// revoked. RED can be taken back until T - u unless a command was given; what went RED during delivery stays noted.
    function redSince(uint32 node, uint32 interval) external view returns (uint256);
    /// @notice keccak256 of the verdict's bitmap, and when it was given (0: none).
    function verdictOf(bytes32 offer) external view returns (bytes32 rejectedHash, uint256 givenAt);
    /// @notice The RED command to a nanogrid for an interval; quantity 0: none.
    function commandOf(uint48 nanogrid, uint32 interval) external view returns (Command memory);
}
