// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {RegistryHandlers} from "./RegistryHandlers.sol";
import {MeritOrderReference} from "./MeritOrderReference.sol";
import {SettlementReference} from "./SettlementReference.sol";
import {TreeReference} from "./TreeReference.sol";

/// @notice What these tests know of every request and offer by themselves: money, posted bids, expected awards, what was paid.
abstract contract LotBook is RegistryHandlers {
    /// @dev An offer.
    /// @param escrowIn What was locked for it when it was opened [micro-euro]
    struct Lot {
        IMeritOrderAuction.Offer offer;
        address payer;
        address aggregator;
        uint32 requestPrice;
        uint256 escrowIn;
        uint256 returned;
        uint256 paid;
        uint256 margin;
        uint256 refunded;
        bytes records;
        bytes rejected;
        bytes awards;
        bool judged;
        bool clearedAgain;
        bool isFinal;
    }

    struct Requested {
        bytes32 id;
        IMeritOrderAuction.Request request;
        uint256 locked;
    }

    struct Place {
        bytes32 offer;
        uint32 ordinal;
    }

    bytes32[] internal lotIds;
    mapping(bytes32 offer => Lot) internal lots;
    Requested[] internal requested;
    /// @dev What each interval's escrow of a request must hold.
    mapping(bytes32 escrow => uint256) internal requestMoney;
    mapping(bytes32 offer => mapping(uint256 ordinal => bool)) internal ended;
    /// @dev (nanogrid, interval, kind): how often it won, what it was paid, the most that one award or command for it is worth.
    mapping(bytes32 sold => uint256) internal wins;
    mapping(bytes32 sold => uint256) internal payments;
    mapping(bytes32 sold => uint256) internal dearest;
    mapping(bytes32 sold => Place) internal placeOf;
    mapping(bytes32 baselines => bytes) internal vectors;
    bytes32[] private _escrows;
    mapping(bytes32 => bool) private _listed;
    uint256 internal donated;

    /* SOLVENCY */

    function _held() internal view override returns (uint256) {
        return token.balanceOf(address(settlement));
    }

    function _owed() internal view override returns (uint256) {
        return settlement.totalOwed() + donated;
    }

    /// @dev Every account, seat, bond and escrow that there is adds up to what Settlement says that it owes.
    function _requireEverythingCounted() internal {
        require(_held() == _owed(), "tokens held and owed differ");
        uint256 sum = 0;
        for (uint256 i = 0; i < people.length; ++i) {
            sum += settlement.balanceOf(people[i]);
        }
        for (uint256 i = 0; i < seats.length; ++i) {
            (uint256 bond, uint256 unbonding,) = settlement.bondOf(seats[i]);
            sum += settlement.seatBalance(seats[i]) + bond + unbonding;
        }
        require(sum + _escrowed() == settlement.totalOwed(), "balances and totalOwed differ");
    }

    function _watch(bytes32 escrow) internal {
        if (_listed[escrow]) return;
        _listed[escrow] = true;
        _escrows.push(escrow);
    }

    /// @dev Empty ones leave the list until they are watched again.
    function _escrowed() private returns (uint256 sum) {
        uint256 i = 0;
        while (i < _escrows.length) {
            uint256 amount = settlement.escrowOf(_escrows[i]);
            sum += amount;
            if (amount != 0) {
                ++i;
                continue;
            }
            _listed[_escrows[i]] = false;
            _escrows[i] = _escrows[_escrows.length - 1];
            _escrows.pop();
        }
    }

    /* LOTS */

    function _anyLot() internal returns (bytes32) {
        uint256 recent = lotIds.length < 8 ? lotIds.length : 8;
        return recent == 0 ? bytes32(0) : lotIds[lotIds.length - 1 - _draw(recent)];
    }

    function _kindOf(uint8 product) internal pure returns (uint8) {
        return product == 3 || product == 4 ? 1 : 0;
    }

    function _isSell(Lot storage lot) internal view returns (bool) {
        return lot.offer.side == uint8(IMeritOrderAuction.Side.SELL);
    }

    function _statusOf(bytes32 id) internal view returns (IMeritOrderAuction.Status) {
        return auction.stateOf(id).status;
    }

    function _requestEscrow(bytes32 request, uint256 interval) internal pure returns (bytes32) {
        return keccak256(abi.encode(request, interval));
    }

    function _awardCount(Lot storage lot) internal view returns (uint256) {
        return lot.awards.length / MeritOrderReference.RECORD;
    }

    function _awardAt(Lot storage lot, uint256 ordinal) internal view returns (MeritOrderReference.Bid memory) {
        return MeritOrderReference.bidAt(lot.awards, ordinal);
    }

    function _nanogridOf(Lot storage lot, uint256 index) internal view returns (uint48) {
        return uint48((uint256(lot.offer.portfolio) << 16) | index);
    }

    function _sold(uint48 nanogrid, uint32 interval, uint8 kind) internal pure returns (bytes32) {
        return keccak256(abi.encode(nanogrid, interval, kind));
    }

    function _termsOf(Lot storage lot, MeritOrderReference.Bid memory award)
        internal
        view
        returns (SettlementReference.Award memory)
    {
        uint256 payerPrice = lot.offer.request == 0 ? award.price : lot.requestPrice;
        return SettlementReference.Award(_isSell(lot), award.quantity, award.price, payerPrice);
    }

    /// @dev What the awards that have not ended still lock.
    function _openReserves(bytes32 id, Lot storage lot) internal view returns (uint256 sum) {
        if (_isSell(lot)) return 0;
        for (uint256 i = 0; i < _awardCount(lot); ++i) {
            if (ended[id][i]) continue;
            SettlementReference.Award memory terms = _termsOf(lot, _awardAt(lot, i));
            sum += terms.awarded * terms.payerPrice / 1000;
        }
    }

    /// @dev Escrow = paid + margin + refunded + given back + still locked, to the micro-euro.
    function _requireEscrowAddsUp(bytes32 id) internal view {
        Lot storage lot = lots[id];
        uint256 locked = settlement.escrowOf(id);
        uint256 spent = _isSell(lot) ? 0 : lot.paid + lot.margin + lot.refunded;
        require(lot.escrowIn == lot.returned + spent + locked, "an offer's escrow does not add up");
        if (lot.isFinal) require(locked == _openReserves(id, lot), "an offer locks something else than its awards");
    }

    function _requireRequestAddsUp(bytes32 request, uint256 interval) internal view {
        bytes32 escrow = _requestEscrow(request, interval);
        require(settlement.escrowOf(escrow) == requestMoney[escrow], "a request's escrow does not add up");
    }

    function _vectorKey(uint32 portfolio, uint256 interval, uint8 kind) internal pure returns (bytes32) {
        return keccak256(abi.encode(portfolio, interval, kind));
    }

    function _baselineOf(uint48 nanogrid, uint256 interval, uint8 kind) internal view returns (int256) {
        bytes storage flat = vectors[_vectorKey(uint32(nanogrid >> 16), interval, kind)];
        uint256 start = uint256(uint16(nanogrid)) * 4;
        if (start + 4 > flat.length) return 0;
        bytes memory word = TreeReference.slice(flat, start, 4);
        return int256(int32(uint32(bytes4(word))));
    }
}
