// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @notice What both designs of the benchmark share: seats, offers, and the check of a signed bid. Not part of the product.
/// @dev A bid comes as the product's does: 12 bytes (price 29 | notReserved 1 | revision 2 | quantity 24 | minimum 24 | index 16) and
/// a compact signature over the product's EIP-712 message. What the product does beside the auction is left out, in favour of these
/// designs: requests, escrow, baselines, the traffic light, revisions, delegates beside an owner, verdicts, winners.
abstract contract SignedBids is EIP712 {
    uint256 internal constant WIRE_BID_BYTES = 76;
    uint256 internal constant MAX_PRICE = 2 ** 29 - 1;
    uint256 internal constant MAX_PASSED_OVER = 16;

    bytes32 private constant BID_TYPEHASH = keccak256(
        "Bid(bytes32 offer,uint16 index,uint32 priceUeurKwh,uint24 quantity,uint24 minimum,uint8 revision)"
    );
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 private constant UEUR_PER_CENT = 10_000;

    /// @dev One slot.
    struct Offer {
        uint40 quantity;
        uint32 limitPriceUeurKwh;
        uint32 gateClosure;
        uint32 bidCount;
        bool isSell;
        bool cleared;
    }

    /// @dev Kept in one slot, as in the product.
    struct Seat {
        address signer;
        uint24 largestQuantity;
        uint24 coverCents;
    }

    /// @dev What the bids of a batch are judged against, and room to hash them in.
    struct Batch {
        bytes32 offer;
        bytes32 domainSeparator;
        uint256 limitPriceUeurKwh;
        bool isSell;
        bytes32[7] message;
    }

    /// @dev Where a walk along the merit order stands.
    struct Walk {
        uint256 left;
        uint256 passedOver;
        bool ended;
        bytes awards;
    }

    address public immutable operator;

    mapping(bytes32 offer => Offer) internal _offers;
    mapping(bytes32 offer => bytes32) public awardsHash;
    mapping(bytes32 offer => mapping(uint256 word => uint256 indices)) internal _posted;
    mapping(uint256 index => uint256 seat) private _seats; // signer 160 | largest quantity 24 | cover 24
    mapping(uint256 word => uint256 indices) private _reserved;

    event BidsPosted(bytes32 indexed offer, uint256 firstPosition, uint256 count);
    event Cleared(bytes32 indexed offer, bytes32 awardsHash, uint256 awarded);

    error NotOperator(address caller);
    error GateClosed(bytes32 offer);
    error NotClearable(bytes32 offer);

    constructor() EIP712("Meritgrid", "1") {
        operator = msg.sender;
    }

    modifier onlyOperator() {
        if (msg.sender != operator) revert NotOperator(msg.sender);
        _;
    }

    /* SET-UP */

    function registerSeats(uint256 first, Seat[] calldata seats) external onlyOperator {
        for (uint256 i = 0; i < seats.length; ++i) {
            Seat calldata seat = seats[i];
            _seats[first + i] =
                uint256(uint160(seat.signer)) | uint256(seat.largestQuantity) << 160 | uint256(seat.coverCents) << 184;
        }
    }

    function setReserved(uint256 word, uint256 indices) external onlyOperator {
        _reserved[word] = indices;
    }

    function openOffer(bytes32 offer, uint40 quantity, uint32 limitPriceUeurKwh, uint32 gateClosure, bool isSell)
        external
        onlyOperator
    {
        _offers[offer] = Offer(quantity, limitPriceUeurKwh, gateClosure, 0, isSell, false);
    }

    function bidCount(bytes32 offer) external view returns (uint256) {
        return _offers[offer].bidCount;
    }

    /* POSTING */

    function _begin(bytes32 id, Offer memory offer) internal view returns (Batch memory batch) {
        if (block.timestamp >= offer.gateClosure) revert GateClosed(id);
        batch.offer = id;
        batch.domainSeparator = _domainSeparatorV4();
        batch.limitPriceUeurKwh = offer.limitPriceUeurKwh;
        batch.isSell = offer.isSell;
        batch.message[0] = BID_TYPEHASH;
        batch.message[1] = id;
    }

    /// @dev The 96 bits of a record with its notReserved bit set by the contract; 0 when the bid cannot be taken.
    /// @param posted Who has posted in the batch's offer
    function _take(
        Batch memory batch,
        mapping(uint256 word => uint256 indices) storage posted,
        bytes calldata bids,
        uint256 offset
    ) internal returns (uint256 record) {
        unchecked {
            bytes32 r;
            bytes32 vs;
            assembly ("memory-safe") {
                // A checked slice costs 100 gas a bid.
                let start := add(bids.offset, offset)
                record := shr(160, calldataload(start))
                r := calldataload(add(start, 12))
                vs := calldataload(add(start, 44))
            }
            uint256 word = (record & 0xFFFF) >> 8;
            uint256 bit = 1 << (record & 0xFF);
            uint256 before = posted[word];
            if (before & bit != 0 || !_isSound(batch, record, _seats[record & 0xFFFF], r, vs)) return 0;
            posted[word] = before | bit;
            return _reserved[word] & bit != 0 ? record & ~uint256(1 << 66) : record | (1 << 66);
        }
    }

    function _isSound(Batch memory batch, uint256 record, uint256 seat, bytes32 r, bytes32 vs)
        private
        pure
        returns (bool)
    {
        unchecked {
            uint256 price = record >> 67;
            uint256 quantity = (record >> 40) & 0xFFFFFF;
            uint256 minimum = (record >> 16) & 0xFFFFFF;
            if (price == 0 || quantity == 0 || minimum > quantity || (record >> 64) & 3 != 0) return false;
            if (batch.isSell ? price < batch.limitPriceUeurKwh : price > batch.limitPriceUeurKwh) return false;
            if (quantity > (seat >> 160) & 0xFFFFFF) return false;
            if ((quantity * price * 3) / 2000 > (seat >> 184) * UEUR_PER_CENT) return false;
            bytes32[7] memory message = batch.message;
            message[2] = bytes32(record & 0xFFFF);
            message[3] = bytes32(price);
            message[4] = bytes32(quantity);
            message[5] = bytes32(minimum);
            uint256 s = uint256(vs) & (2 ** 255 - 1);
            if (s > HALF_ORDER) return false;
            address signer = ecrecover(_digest(batch), uint8(27 + (uint256(vs) >> 255)), r, bytes32(s));
            return signer != address(0) && uint160(signer) == uint160(seat);
        }
    }

    /// @dev EIP-712 digest of the batch's message, hashed where it stands: abi.encode would copy it for each bid.
    function _digest(Batch memory batch) private pure returns (bytes32 digest) {
        bytes32[7] memory message = batch.message;
        bytes32 domainSeparator = batch.domainSeparator;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, hex"1901")
            mstore(add(free, 2), domainSeparator)
            mstore(add(free, 34), keccak256(message, 224))
            digest := keccak256(free, 66)
        }
    }

    /// @dev Place in the merit order, lower is better: key 29 | notReserved 1 | position 32.
    function _rank(uint256 record, bool isSell, uint256 position) internal pure returns (uint256) {
        unchecked {
            uint256 key = record >> 67;
            if (isSell) key = MAX_PRICE - key;
            return (key << 33) | (((record >> 66) & 1) << 32) | position;
        }
    }

    /* CLEARING */

    function _requireClearable(bytes32 id, Offer memory offer) internal view {
        if (block.timestamp < offer.gateClosure || offer.cleared) revert NotClearable(id);
    }

    function _start(Offer memory offer, uint256 most) internal pure returns (Walk memory walk) {
        walk.left = offer.quantity;
        walk.awards = new bytes(most * 12 + 32); // 32: records are stored by whole words
        bytes memory awards = walk.awards;
        assembly ("memory-safe") {
            mstore(awards, 0)
        }
    }

    /// @dev The next bid in the merit order: it wins, wins in part, is passed over, or ends the walk.
    function _offerTo(Walk memory walk, uint256 record, uint256 position) internal pure {
        unchecked {
            uint256 quantity = (record >> 40) & 0xFFFFFF;
            uint256 left = walk.left;
            uint256 given = quantity < left ? quantity : left;
            uint256 minimum = (record >> 16) & 0xFFFFFF;
            if (given < minimum) {
                if (walk.passedOver == MAX_PASSED_OVER) walk.ended = true;
                else ++walk.passedOver;
                return;
            }
            walk.left = left - given;
            walk.ended = left == given;
            bytes memory awards = walk.awards;
            uint256 award = (record & ~uint256(0xFFFFFFFFFFFF << 16)) | (given << 40) | (position << 16);
            assembly ("memory-safe") {
                let length := mload(awards)
                mstore(add(add(awards, 32), length), shl(160, award))
                mstore(awards, add(length, 12))
            }
        }
    }

    function _end(bytes32 id, Offer storage offer, Walk memory walk) internal {
        bytes32 hash = keccak256(walk.awards);
        offer.cleared = true;
        awardsHash[id] = hash;
        emit Cleared(id, hash, offer.quantity - walk.left);
    }
}
