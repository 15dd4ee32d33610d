// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICapacityRegister} from "./interfaces/ICapacityRegister.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {Months} from "./libraries/Months.sol";
import {Products} from "./libraries/Products.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

contract CapacityRegister is ICapacityRegister, EIP712 {
    bytes32 private constant DSO_ROLE = keccak256("DSO");
    bytes32 private constant CONTRACT_TYPEHASH = keccak256(
        "CapacityContract(uint48 nanogrid,uint8 product,uint16 firstMonth,uint16 months,uint32 powerW,uint32 availabilityPriceUeurKwH,uint64 salt)"
    );
    bytes32 private constant FORFEIT_TYPEHASH = keccak256("Forfeit(bytes32 id,uint16 month)");
    uint256 private constant W_PER_KW = 1000;

    struct Registered {
        CapacityContract terms;
        address dso;
    }

    IParticipantRegistry public immutable registry;
    ISettlement public immutable settlement;

    mapping(bytes32 id => Registered) private _contracts;
    /// @dev Months that are paid or forfeited.
    mapping(bytes32 id => mapping(uint16 month => bool)) private _closed;
    mapping(bytes32 portfolioProductMonth => mapping(uint256 word => uint256 indices)) private _reserved;

    constructor(address registry_, address settlement_) EIP712("Meritgrid", "1") {
        registry = IParticipantRegistry(registry_);
        settlement = ISettlement(settlement_);
    }

    /* CONTRACTS */

    /// @inheritdoc ICapacityRegister
    function registerContract(CapacityContract calldata contract_, bytes calldata signature)
        external
        returns (bytes32 id)
    {
        uint48 nanogrid = contract_.nanogrid;
        if (registry.seatOf(nanogrid).owner == address(0)) revert IParticipantRegistry.UnknownSeat(nanogrid);
        if (!_isCapacity(contract_.product)) revert InvalidProduct(contract_.product);
        if (contract_.months == 0) revert NoMonths();
        // By numbers of months: a first second before 1970 would be below zero.
        if (contract_.firstMonth <= Months.monthOf(block.timestamp)) revert MonthAlreadyBegun(contract_.firstMonth);
        id = _hashTypedDataV4(keccak256(abi.encode(CONTRACT_TYPEHASH, contract_)));
        address dso = _requireDso(nanogrid, id, signature);
        if (_contracts[id].dso != address(0)) revert ContractExists(id);

        _contracts[id] = Registered({terms: contract_, dso: dso});
        for (uint256 i = 0; i < contract_.months; ++i) {
            _reserve(nanogrid, contract_.product, uint16(contract_.firstMonth + i));
        }
        emit CapacityContractRegistered(
            id,
            nanogrid,
            contract_.product,
            contract_.firstMonth,
            contract_.months,
            contract_.powerW,
            contract_.availabilityPriceUeurKwH,
            dso
        );
    }

    function _reserve(uint48 nanogrid, uint8 product, uint16 month) private {
        bytes32 key = _key(uint32(nanogrid >> 16), product, month);
        uint256 index = uint16(nanogrid);
        uint256 word = _reserved[key][index >> 8];
        uint256 bit = 1 << (index & 255);
        if (word & bit != 0) revert AlreadyReserved(nanogrid, product, month);
        _reserved[key][index >> 8] = word | bit;
    }

    /* AVAILABILITY */

    /// @inheritdoc ICapacityRegister
    function payAvailability(bytes32 id, uint16 month) external {
        CapacityContract memory terms = _openMonth(id, month);
        if (block.timestamp < Months.startOf(uint256(month) + 1)) revert MonthNotOver(month);
        _closed[id][month] = true;
        uint256 amountUeur =
            (uint256(terms.powerW) * terms.availabilityPriceUeurKwH * Months.hoursOf(month)) / W_PER_KW;
        emit AvailabilityPaid(id, month, amountUeur);
        // Of today: a node's DSO that has changed its key, or has followed another, has taken the contracts over.
        address dso = registry.nodeOf(registry.portfolioOf(uint32(terms.nanogrid >> 16)).node).dso;
        settlement.payAvailability(dso, terms.nanogrid, amountUeur);
    }

    /// @inheritdoc ICapacityRegister
    function forfeitAvailability(bytes32 id, uint16 month, bytes calldata signature) external {
        CapacityContract memory terms = _openMonth(id, month);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(FORFEIT_TYPEHASH, id, month)));
        _requireDso(terms.nanogrid, digest, signature);
        _closed[id][month] = true;
        emit AvailabilityForfeited(id, month);
    }

    function _openMonth(bytes32 id, uint16 month) private view returns (CapacityContract memory terms) {
        if (_contracts[id].dso == address(0)) revert UnknownContract(id);
        terms = _contracts[id].terms;
        if (month < terms.firstMonth || month >= uint256(terms.firstMonth) + terms.months) {
            revert MonthNotInContract(id, month);
        }
        if (_closed[id][month]) revert AlreadyPaid(id, month);
    }

    /* READERS */

    /// @inheritdoc ICapacityRegister
    function contractOf(bytes32 id) external view returns (CapacityContract memory, address dso) {
        Registered memory registered = _contracts[id];
        return (registered.terms, registered.dso);
    }

    /// @inheritdoc ICapacityRegister
    function reservedWord(uint32 portfolio, uint8 product, uint16 month, uint8 word) public view returns (uint256) {
        return _reserved[_key(portfolio, product, month)][word];
    }

    /// @inheritdoc ICapacityRegister
    function reservationOf(uint32 portfolio, uint8 product, uint32 interval) external pure returns (bytes32) {
        return _key(portfolio, product, Months.monthOf(interval));
    }

    /// @inheritdoc ICapacityRegister
    function reservedIn(bytes32 reservation, uint8 word) external view returns (uint256) {
        return _reserved[reservation][word];
    }

    /// @inheritdoc ICapacityRegister
    function isReserved(uint48 nanogrid, uint8 product, uint32 interval) external view returns (bool) {
        uint256 index = uint16(nanogrid);
        uint256 word =
            reservedWord(uint32(nanogrid >> 16), product, Months.monthOf(interval), uint8(index >> 8));
        return (word >> (index & 255)) & 1 == 1;
    }

    /* PRODUCTS, ROLES, SIGNATURES */

    function _isCapacity(uint8 product) private pure returns (bool) {
        return product == Products.CM_CAPACITY || product == Products.VC_CAPACITY_Q;
    }

    /// @dev A capacity product reserves for the auctions of its real-time product: both name the same bitmap.
    function _key(uint32 portfolio, uint8 product, uint16 month) private pure returns (bytes32) {
        if (product == Products.CM_CAPACITY) product = Products.CM_REALTIME;
        if (product == Products.VC_CAPACITY_Q) product = Products.VC_REALTIME;
        return keccak256(abi.encode(portfolio, product, month));
    }

    /// @dev Who decides: the signer of the message or, with an empty signature, the caller. The node's DSO, as long as it has the role.
    function _requireDso(uint48 nanogrid, bytes32 digest, bytes calldata signature)
        private
        view
        returns (address signer)
    {
        uint32 node = registry.portfolioOf(uint32(nanogrid >> 16)).node;
        signer = signature.length == 0 ? msg.sender : ECDSA.recoverCalldata(digest, signature);
        if (signer != registry.nodeOf(node).dso || !IAccessControl(address(registry)).hasRole(DSO_ROLE, signer)) {
            revert NotDsoOfNode(node, signer);
        }
    }
}
