// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {BidRecords} from "./libraries/BidRecord.sol";
import {SeatSigner, SeatSigners} from "./libraries/SeatSigner.sol";
import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {AccessControlDefaultAdminRules} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

contract ParticipantRegistry is IParticipantRegistry, AccessControlDefaultAdminRules, EIP712 {
    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR");
    bytes32 public constant ORACLE_ROLE = keccak256("ORACLE");
    bytes32 public constant REFEREE_ROLE = keccak256("REFEREE");
    bytes32 public constant DSO_ROLE = keccak256("DSO");
    bytes32 public constant TSO_ROLE = keccak256("TSO");
    bytes32 public constant AGGREGATOR_ROLE = keccak256("AGGREGATOR");
    bytes32 public constant AUDITOR_ROLE = keccak256("AUDITOR");
    bytes32 public constant PROSUMER_ROLE = keccak256("PROSUMER");

    bytes32 private constant DELEGATION_TYPEHASH = keccak256(
        "Delegation(uint48 nanogrid,address signer,uint16 expiryDay,uint32 lowestPriceUeurKwh,uint24 largestQuantity,uint24 coverCents,uint32 nonce)"
    );
    bytes32 private constant SEAT_TRANSFER_TYPEHASH =
        keccak256("SeatTransfer(uint48 nanogrid,address owner,uint32 nonce)");
    bytes32 private constant SEAT_TRANSFER_VETO_TYPEHASH = keccak256("SeatTransferVeto(uint48 nanogrid,uint32 nonce)");
    uint8 private constant ALL_PRODUCTS = 0;

    struct AnnouncedTransfer {
        address owner;
        uint64 possibleFrom;
    }

    ISettlement public immutable settlement;
    /// @inheritdoc IParticipantRegistry
    uint32 public immutable timeUnitS;

    mapping(uint32 node => Node) private _nodes;
    mapping(uint32 portfolio => Portfolio) private _portfolios;
    mapping(uint48 nanogrid => Seat) private _seats;
    mapping(uint48 nanogrid => SeatSigner) private _signers;
    mapping(uint48 nanogrid => uint32) private _ownerNonces;
    mapping(uint48 nanogrid => AnnouncedTransfer) private _transfers;
    mapping(uint32 node => mapping(uint8 product => bool)) private _paused;

    /// @param operator Default admin at first (it hands that over in two steps), and operator
    /// @param adminDelayS Between the two steps [s]
    constructor(address operator, uint48 adminDelayS, uint32 timeUnitS_, address settlement_)
        AccessControlDefaultAdminRules(adminDelayS, operator)
        EIP712("Meritgrid", "1")
    {
        settlement = ISettlement(settlement_);
        timeUnitS = timeUnitS_;
        _grantRole(OPERATOR_ROLE, operator);
        _setRoleAdmin(ORACLE_ROLE, OPERATOR_ROLE);
        _setRoleAdmin(REFEREE_ROLE, OPERATOR_ROLE);
        _setRoleAdmin(DSO_ROLE, OPERATOR_ROLE);
        _setRoleAdmin(TSO_ROLE, OPERATOR_ROLE);
        _setRoleAdmin(AGGREGATOR_ROLE, OPERATOR_ROLE);
        _setRoleAdmin(AUDITOR_ROLE, OPERATOR_ROLE);
        _setRoleAdmin(PROSUMER_ROLE, OPERATOR_ROLE);
    }

    modifier onlySettlement() {
        if (msg.sender != address(settlement)) revert OnlySettlement(msg.sender);
        _;
    }

    /* NODES */

    /// @inheritdoc IParticipantRegistry
    function registerNode(uint32 node, address dso, string calldata name) external onlyRole(OPERATOR_ROLE) {
        if (_nodes[node].dso != address(0)) revert NodeExists(node);
        _checkRole(DSO_ROLE, dso);
        _nodes[node] = Node({dso: dso, active: true});
        emit NodeRegistered(node, dso, name);
    }

    /// @inheritdoc IParticipantRegistry
    function setNodeDso(uint32 node, address dso) external onlyRole(OPERATOR_ROLE) {
        if (_nodes[node].dso == address(0)) revert UnknownNode(node);
        _checkRole(DSO_ROLE, dso);
        _nodes[node].dso = dso;
        emit NodeDsoChanged(node, dso);
    }

    /// @inheritdoc IParticipantRegistry
    function setPaused(uint32 node, uint8 product, bool paused) external onlyRole(OPERATOR_ROLE) {
        if (_nodes[node].dso == address(0)) revert UnknownNode(node);
        _paused[node][product] = paused;
        emit PauseChanged(node, product, paused);
    }

    /* PORTFOLIOS */

    /// @inheritdoc IParticipantRegistry
    function registerPortfolio(uint32 portfolio, uint32 node, address aggregator, string calldata name)
        external
        onlyRole(OPERATOR_ROLE)
    {
        if (_portfolios[portfolio].aggregator != address(0)) revert PortfolioExists(portfolio);
        if (_nodes[node].dso == address(0)) revert UnknownNode(node);
        _checkRole(AGGREGATOR_ROLE, aggregator);
        _portfolios[portfolio] = Portfolio({node: node, seatCount: 0, ratedPowerW: 0, aggregator: aggregator});
        emit PortfolioRegistered(portfolio, node, aggregator, name);
    }

    /// @inheritdoc IParticipantRegistry
    function setPortfolioAggregator(uint32 portfolio, address aggregator) external onlyRole(OPERATOR_ROLE) {
        if (_portfolios[portfolio].aggregator == address(0)) revert UnknownPortfolio(portfolio);
        _checkRole(AGGREGATOR_ROLE, aggregator);
        _portfolios[portfolio].aggregator = aggregator;
        emit PortfolioAggregatorChanged(portfolio, aggregator);
    }

    /* SEATS */

    /// @inheritdoc IParticipantRegistry
    function registerSeat(
        uint32 portfolio,
        address owner_,
        uint32 ratedPowerW,
        uint32 emergencyPriceUeurKwh,
        uint32 activeFrom
    ) external onlyRole(OPERATOR_ROLE) returns (uint48 nanogrid) {
        Portfolio storage seats = _portfolios[portfolio];
        uint16 index = seats.seatCount;
        if (seats.aggregator == address(0)) revert UnknownPortfolio(portfolio);
        if (index == type(uint16).max) revert PortfolioFull(portfolio);
        if (owner_ == address(0)) revert ZeroAddress();
        if (activeFrom <= block.timestamp) revert IntervalNotInFuture(activeFrom);

        nanogrid = (uint48(portfolio) << 16) | index;
        seats.seatCount = index + 1;
        seats.ratedPowerW += ratedPowerW;
        _seats[nanogrid] = Seat({
            owner: owner_,
            activeFrom: activeFrom,
            activeUntil: type(uint32).max,
            ratedPowerW: ratedPowerW,
            emergencyPriceUeurKwh: emergencyPriceUeurKwh,
            coverCents: 0,
            suspended: false
        });
        _grantRole(PROSUMER_ROLE, owner_);
        emit SeatRegistered(nanogrid, owner_, ratedPowerW, emergencyPriceUeurKwh, activeFrom);
        _seatOwner(nanogrid);
    }

    /// @inheritdoc IParticipantRegistry
    function closeSeat(uint48 nanogrid, uint32 activeUntil) external onlyRole(OPERATOR_ROLE) {
        Seat storage seat = _existing(nanogrid);
        if (seat.activeUntil != type(uint32).max) revert SeatAlreadyClosed(nanogrid, seat.activeUntil);
        if (activeUntil <= block.timestamp) revert IntervalNotInFuture(activeUntil);
        seat.activeUntil = activeUntil;
        // At once, although the seat delivers until then: what is accepted from now on must not count on it.
        _portfolios[uint32(nanogrid >> 16)].ratedPowerW -= seat.ratedPowerW;
        _refresh(nanogrid, seat);
        emit SeatClosed(nanogrid, activeUntil);
    }

    /// @inheritdoc IParticipantRegistry
    function reinstateSeat(uint48 nanogrid) external onlyRole(OPERATOR_ROLE) {
        Seat storage seat = _existing(nanogrid);
        seat.suspended = false;
        _refresh(nanogrid, seat);
        emit SeatReinstated(nanogrid);
    }

    /// @inheritdoc IParticipantRegistry
    function suspendSeat(uint48 nanogrid, bytes32 reason) external onlySettlement {
        Seat storage seat = _existing(nanogrid);
        if (seat.suspended) return;
        seat.suspended = true;
        _refresh(nanogrid, seat);
        emit SeatSuspended(nanogrid, reason);
    }

    /* CHANGES OF OWNER */

    /// @inheritdoc IParticipantRegistry
    function changeSeatOwner(SeatTransfer calldata transfer, bytes calldata signature)
        external
        onlyRole(OPERATOR_ROLE)
    {
        uint48 nanogrid = transfer.nanogrid;
        _takeOwnersWord(nanogrid, keccak256(abi.encode(SEAT_TRANSFER_TYPEHASH, transfer)), transfer.nonce, signature);
        _changeOwner(nanogrid, transfer.owner);
    }

    /// @inheritdoc IParticipantRegistry
    function announceSeatTransfer(uint48 nanogrid, address owner_) external onlyRole(OPERATOR_ROLE) {
        _existing(nanogrid);
        if (owner_ == address(0)) revert ZeroAddress();
        uint256 possibleFrom = block.timestamp + 2 * uint256(settlement.unbondingS());
        _transfers[nanogrid] = AnnouncedTransfer({owner: owner_, possibleFrom: uint64(possibleFrom)});
        emit SeatTransferAnnounced(nanogrid, owner_, possibleFrom);
    }

    /// @inheritdoc IParticipantRegistry
    function completeSeatTransfer(uint48 nanogrid) external onlyRole(OPERATOR_ROLE) {
        AnnouncedTransfer memory transfer = _announced(nanogrid);
        if (block.timestamp < transfer.possibleFrom) revert TransferNotPossibleYet(nanogrid, transfer.possibleFrom);
        ++_ownerNonces[nanogrid];
        _changeOwner(nanogrid, transfer.owner);
    }

    /// @inheritdoc IParticipantRegistry
    function vetoSeatTransfer(SeatTransferVeto calldata veto, bytes calldata signature) external {
        uint48 nanogrid = veto.nanogrid;
        _takeOwnersWord(nanogrid, keccak256(abi.encode(SEAT_TRANSFER_VETO_TYPEHASH, veto)), veto.nonce, signature);
        address owner_ = _announced(nanogrid).owner;
        delete _transfers[nanogrid];
        emit SeatTransferVetoed(nanogrid, owner_);
    }

    /// @dev What the old owner signed before is void: its nonce has moved on.
    function _changeOwner(uint48 nanogrid, address owner_) private {
        if (owner_ == address(0)) revert ZeroAddress();
        delete _transfers[nanogrid];
        // Before the change on purpose: it pays to the owner that stands here. Settlement guards itself against re-entry.
        // slither-disable-next-line unused-return -- how much the former owner gets is in the token's event
        if (settlement.seatBalance(nanogrid) != 0) settlement.payOut(nanogrid);
        _seats[nanogrid].owner = owner_;
        _grantRole(PROSUMER_ROLE, owner_);
        emit SeatOwnerChanged(nanogrid, owner_);
        _seatOwner(nanogrid);
    }

    function _announced(uint48 nanogrid) private view returns (AnnouncedTransfer memory transfer) {
        transfer = _transfers[nanogrid];
        if (transfer.owner == address(0)) revert NoTransferAnnounced(nanogrid);
    }

    /* SIGNERS */

    /// @inheritdoc IParticipantRegistry
    function setDelegate(Delegation calldata delegation, bytes calldata signature) external {
        uint48 nanogrid = delegation.nanogrid;
        Seat storage seat = _existing(nanogrid);
        _takeOwnersWord(nanogrid, keccak256(abi.encode(DELEGATION_TYPEHASH, delegation)), delegation.nonce, signature);
        if (delegation.signer == address(0) || delegation.signer == seat.owner) {
            _seatOwner(nanogrid);
            return;
        }
        if (delegation.coverCents > seat.coverCents) {
            revert LimitsTooWide(nanogrid, delegation.coverCents, seat.coverCents);
        }
        if (delegation.lowestPriceUeurKwh > SeatSigners.MAX_PRICE) {
            revert PriceLimitOutOfRange(nanogrid, delegation.lowestPriceUeurKwh);
        }
        uint24 largest = _largestQuantity(seat.ratedPowerW);
        _seatSigner(
            nanogrid,
            Signer({
                signer: delegation.signer,
                expiryDay: delegation.expiryDay,
                lowestPriceUeurKwh: delegation.lowestPriceUeurKwh,
                largestQuantity: delegation.largestQuantity < largest ? delegation.largestQuantity : largest,
                coverCents: delegation.coverCents
            })
        );
    }

    /// @inheritdoc IParticipantRegistry
    function setCover(uint48 nanogrid, uint24 coverCents) external onlySettlement {
        Seat storage seat = _existing(nanogrid);
        Signer memory signer = _signers[nanogrid].unpack();
        seat.coverCents = coverCents;
        // A delegate keeps what its owner gave it, as far as the bond still covers that.
        if (signer.signer == seat.owner || signer.coverCents > coverCents) signer.coverCents = coverCents;
        _signers[nanogrid] = SeatSigners.pack(signer, _isUnbounded(seat));
        emit CoverChanged(nanogrid, coverCents);
    }

    /// @inheritdoc IParticipantRegistry
    function refreshSeats(uint48[] calldata nanogrids) external {
        for (uint256 i = 0; i < nanogrids.length; ++i) {
            _refresh(nanogrids[i], _existing(nanogrids[i]));
        }
    }

    /// @dev Makes the owner its own signer: no expiry, no lowest price, the seat's whole cover.
    function _seatOwner(uint48 nanogrid) private {
        Seat storage seat = _seats[nanogrid];
        _seatSigner(
            nanogrid,
            Signer({
                signer: seat.owner,
                expiryDay: type(uint16).max,
                lowestPriceUeurKwh: 0,
                largestQuantity: _largestQuantity(seat.ratedPowerW),
                coverCents: seat.coverCents
            })
        );
    }

    /// @dev Notes in the signer's slot whether the seat's bids need a look at its own slots.
    function _refresh(uint48 nanogrid, Seat storage seat) private {
        _signers[nanogrid] = SeatSigners.pack(_signers[nanogrid].unpack(), _isUnbounded(seat));
    }

    function _isUnbounded(Seat storage seat) private view returns (bool) {
        return seat.activeFrom <= block.timestamp && seat.activeUntil == type(uint32).max && !seat.suspended;
    }

    function _seatSigner(uint48 nanogrid, Signer memory signer) private {
        _signers[nanogrid] = SeatSigners.pack(signer, _isUnbounded(_seats[nanogrid]));
        emit SignerChanged(
            nanogrid,
            signer.signer,
            signer.expiryDay,
            signer.lowestPriceUeurKwh,
            signer.largestQuantity,
            signer.coverCents
        );
    }

    /// @dev The most that a seat can change in an interval: from its rated power in one direction to that in the other.
    function _largestQuantity(uint32 ratedPowerW) private view returns (uint24) {
        uint256 swing = (2 * uint256(ratedPowerW) * timeUnitS) / 3600;
        return swing < type(uint24).max ? uint24(swing) : type(uint24).max;
    }

    /* READERS */

    /// @inheritdoc IParticipantRegistry
    function nodeOf(uint32 node) external view returns (Node memory) {
        return _nodes[node];
    }

    /// @inheritdoc IParticipantRegistry
    function portfolioOf(uint32 portfolio) external view returns (Portfolio memory) {
        return _portfolios[portfolio];
    }

    /// @inheritdoc IParticipantRegistry
    function seatOf(uint48 nanogrid) external view returns (Seat memory) {
        return _seats[nanogrid];
    }

    /// @inheritdoc IParticipantRegistry
    function signerOf(uint48 nanogrid) external view returns (Signer memory) {
        return _signers[nanogrid].unpack();
    }

    /// @inheritdoc IParticipantRegistry
    function seatSignersOf(uint32 portfolio, bytes calldata records, uint256 stride)
        external
        view
        returns (bytes memory signers)
    {
        uint256 first = uint256(portfolio) << 16;
        signers = SeatSigners.makeRow(records.length / stride);
        uint256 place = 0;
        unchecked {
            for (uint256 offset = 0; offset + stride <= records.length; offset += stride) {
                uint48 nanogrid = uint48(first | BidRecords.read(records, offset).index());
                SeatSigners.put(signers, place++, _signers[nanogrid]);
            }
        }
    }

    /// @inheritdoc IParticipantRegistry
    function ownerNonce(uint48 nanogrid) external view returns (uint32) {
        return _ownerNonces[nanogrid];
    }

    /// @inheritdoc IParticipantRegistry
    function announcedTransferOf(uint48 nanogrid) external view returns (address owner_, uint256 possibleFrom) {
        AnnouncedTransfer storage transfer = _transfers[nanogrid];
        return (transfer.owner, transfer.possibleFrom);
    }

    /// @inheritdoc IParticipantRegistry
    function isPaused(uint32 node, uint8 product) external view returns (bool) {
        return _paused[node][ALL_PRODUCTS] || _paused[node][product];
    }

    /// @inheritdoc IParticipantRegistry
    function isSeatActive(uint48 nanogrid, uint32 interval) external view returns (bool) {
        Seat storage seat = _seats[nanogrid];
        return seat.activeFrom <= interval && interval < seat.activeUntil && !seat.suspended;
    }

    /* ROLES, SIGNATURES */

    /// @dev One error for every missing role of the market: this contract's own.
    function _checkRole(bytes32 role, address account) internal view override(AccessControl) {
        if (!hasRole(role, account)) revert RoleMissing(account, role);
    }

    /// @dev A message counts once, when it is of the seat's owner and bears the next nonce.
    function _takeOwnersWord(uint48 nanogrid, bytes32 message, uint32 given, bytes calldata signature) private {
        address signer = _signerOf(message, signature);
        if (signer != _existing(nanogrid).owner) revert NotSeatOwner(nanogrid, signer);
        uint32 nonce = _ownerNonces[nanogrid];
        if (given != nonce) revert StaleNonce(nanogrid, given, nonce);
        _ownerNonces[nanogrid] = nonce + 1;
    }

    function _existing(uint48 nanogrid) private view returns (Seat storage seat) {
        seat = _seats[nanogrid];
        if (seat.owner == address(0)) revert UnknownSeat(nanogrid);
    }

    /// @dev An empty signature means that the signer itself calls.
    function _signerOf(bytes32 message, bytes calldata signature) private view returns (address) {
        return signature.length == 0 ? msg.sender : ECDSA.recoverCalldata(_hashTypedDataV4(message), signature);
    }
}
