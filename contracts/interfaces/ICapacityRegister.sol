// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Capacity contracts: who is reserved where, for what, until when, and their availability pay.
/// @dev A month is `year * 12 + month - 1`, of UTC. A month's bitmap is frozen when the month begins.
interface ICapacityRegister {
    /// @param product CM_CAPACITY or VC_CAPACITY_Q; it reserves for the auctions of CM_REALTIME or VC_REALTIME
    /// @param availabilityPriceUeurKwH Price per kW and hour of availability [micro-euro]
    struct CapacityContract {
        uint48 nanogrid;
        uint8 product;
        uint16 firstMonth;
        uint16 months;
        uint32 powerW;
        uint32 availabilityPriceUeurKwH;
        uint64 salt;
    }

    event CapacityContractRegistered(
        bytes32 indexed id,
        uint48 indexed nanogrid,
        uint8 product,
        uint16 firstMonth,
        uint16 months,
        uint32 powerW,
        uint32 availabilityPriceUeurKwH,
        address dso
    );
    event AvailabilityPaid(bytes32 indexed id, uint16 indexed month, uint256 amountUeur);
    event AvailabilityForfeited(bytes32 indexed id, uint16 indexed month);

    error MonthAlreadyBegun(uint16 month);
    error MonthNotOver(uint16 month);
    error MonthNotInContract(bytes32 id, uint16 month);
    error ContractExists(bytes32 id);
    error UnknownContract(bytes32 id);
    error AlreadyPaid(bytes32 id, uint16 month);
    error AlreadyReserved(uint48 nanogrid, uint8 product, uint16 month);
    error InvalidProduct(uint8 product);
    error NoMonths();
    error NotDsoOfNode(uint32 node, address signer);

    /// @notice Reserves a nanogrid for months that have not begun; signed by the node's DSO, or called by it with an empty signature.
    function registerContract(CapacityContract calldata contract_, bytes calldata signature) external returns (bytes32 id);
    /// @notice Pays a month's availability from the DSO's deposit; anyone may call once the month is over.
    function payAvailability(bytes32 id, uint16 month) external;
    /// @notice The DSO forfeits a month's pay of a resource that was not available, before it is paid.
    function forfeitAvailability(bytes32 id, uint16 month, bytes calldata signature) external;

    /// @notice A registered contract, and the DSO that answers for its pay.
    function contractOf(bytes32 id) external view returns (CapacityContract memory, address dso);
    /// @notice One word (256 nanogrid indices from word * 256 on) of who is reserved.
    function reservedWord(uint32 portfolio, uint8 product, uint16 month, uint8 word) external view returns (uint256);
    /// @notice The reservation that holds for a portfolio's auctions of a product in an interval: what `reservedIn` is asked by.
    function reservationOf(uint32 portfolio, uint8 product, uint32 interval) external pure returns (bytes32);
    /// @notice The same as `reservedWord`, for whoever asks for many words.
    function reservedIn(bytes32 reservation, uint8 word) external view returns (uint256);
    /// @notice Whether a contract that is in force reserves a nanogrid for a product in an interval.
    function isReserved(uint48 nanogrid, uint8 product, uint32 interval) external view returns (bool);
}
