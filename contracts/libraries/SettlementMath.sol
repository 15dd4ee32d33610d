// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "../interfaces/IMeritOrderAuction.sol";
import {ISettlement} from "../interfaces/ISettlement.sol";

/// @notice The arithmetic of settlement, without state. Its twin is market/domain/settlement.py.
/// @dev Energies in Wh (varh), load convention; prices in micro-euro per kWh (kvarh); amounts in micro-euro, rounded down toward
/// the payer once, at the end.
library SettlementMath {
    uint256 internal constant TOLERATED_PER_MILLE = 900;
    uint256 internal constant PENALTY_PER_MILLE = 1500;
    uint256 internal constant BOND_COVERS = 8;
    uint256 internal constant UEUR_PER_CENT = 10_000;

    /// @param payerPriceUeurKwh What the escrow pays per kWh: the request's price, or the bid's for INTERNAL
    struct Terms {
        IMeritOrderAuction.Side side;
        IMeritOrderAuction.Direction direction;
        uint24 awarded;
        uint32 bidPriceUeurKwh;
        uint32 payerPriceUeurKwh;
    }

    /// @dev BUY: reserve = paid + margin + refunded. SELL: no reserve; the seat owes `paidUeur`.
    struct Result {
        ISettlement.Outcome outcome;
        uint24 delivered;
        uint256 reserveUeur;
        uint256 paidUeur;
        uint256 marginUeur;
        uint256 refundedUeur;
        uint256 penaltyUeur;
    }

    /* HOW AN AWARD ENDS */

    /// @notice With a reading.
    function byReading(Terms memory terms, int32 baseline, int32 metered) internal pure returns (Result memory) {
        uint24 delivered_ = delivered(terms.awarded, terms.direction, baseline, metered);
        return _result(
            terms,
            _outcome(terms.awarded, delivered_),
            delivered_,
            penalty(terms.awarded, delivered_, terms.bidPriceUeurKwh)
        );
    }

    /// @notice Without a reading: BUY delivers nothing and is penalised; SELL counts as fully taken, without penalty.
    function missing(Terms memory terms) internal pure returns (Result memory) {
        if (terms.side == IMeritOrderAuction.Side.SELL) {
            return _result(terms, ISettlement.Outcome.DELIVERED, terms.awarded, 0);
        }
        return _result(
            terms, _outcome(terms.awarded, 0), 0, penalty(terms.awarded, 0, terms.bidPriceUeurKwh)
        );
    }

    /// @notice RED before the interval, or replaced by a command: nothing paid, no penalty.
    function revoked(Terms memory terms) internal pure returns (Result memory) {
        return _result(terms, ISettlement.Outcome.REVOKED, 0, 0);
    }

    /// @notice Two signed readings that differ: nothing paid, penalty as if nothing was delivered.
    function annulled(Terms memory terms) internal pure returns (Result memory) {
        return _result(
            terms, ISettlement.Outcome.ANNULLED, 0, penalty(terms.awarded, 0, terms.bidPriceUeurKwh)
        );
    }

    /// @notice By a hold that the referee upheld: annulled without penalty.
    function heldBack(Terms memory terms) internal pure returns (Result memory) {
        return _result(terms, ISettlement.Outcome.ANNULLED, 0, 0);
    }

    /* PARTS */

    /// @notice min(awarded, max(0, (baseline - metered) * s)), s = +1 for UP and -1 for DOWN.
    function delivered(uint24 awarded, IMeritOrderAuction.Direction direction, int32 baseline, int32 metered)
        internal
        pure
        returns (uint24)
    {
        int256 change = int256(baseline) - int256(metered);
        if (direction == IMeritOrderAuction.Direction.DOWN) change = -change;
        if (change <= 0) return 0;
        // forge-lint: disable-next-line(unsafe-typecast) below an uint24
        return change < int256(uint256(awarded)) ? uint24(uint256(change)) : awarded;
    }

    /// @notice floor(quantity * price / 1000) [micro-euro].
    function amount(uint256 quantity, uint256 priceUeurKwh) internal pure returns (uint256) {
        return quantity * priceUeurKwh / 1000;
    }

    /// @notice 1.5 times the price on the shortfall beyond the tolerance [micro-euro].
    function penalty(uint24 awarded, uint24 delivered_, uint32 priceUeurKwh) internal pure returns (uint256) {
        uint256 tolerated_ = _tolerated(awarded);
        if (delivered_ >= tolerated_) return 0;
        return (tolerated_ - delivered_) * priceUeurKwh * PENALTY_PER_MILLE / 1_000_000;
    }

    /// @notice Cover of a seat: an eighth of its bond in whole euro cents, at most what 24 bits hold.
    function coverCents(uint256 bondUeur) internal pure returns (uint24) {
        uint256 cents = bondUeur / BOND_COVERS / UEUR_PER_CENT;
        // forge-lint: disable-next-line(unsafe-typecast) checked beside it
        return cents > type(uint24).max ? type(uint24).max : uint24(cents);
    }

    function _tolerated(uint24 awarded) private pure returns (uint256) {
        return uint256(awarded) * TOLERATED_PER_MILLE / 1000;
    }

    function _outcome(uint24 awarded, uint24 delivered_) private pure returns (ISettlement.Outcome) {
        if (delivered_ >= _tolerated(awarded)) return ISettlement.Outcome.DELIVERED;
        return delivered_ == 0 ? ISettlement.Outcome.FAILED : ISettlement.Outcome.SHORT;
    }

    function _result(Terms memory terms, ISettlement.Outcome outcome, uint24 delivered_, uint256 penaltyUeur)
        private
        pure
        returns (Result memory result)
    {
        result.outcome = outcome;
        result.delivered = delivered_;
        result.penaltyUeur = penaltyUeur;
        result.paidUeur = amount(delivered_, terms.bidPriceUeurKwh);
        if (terms.side == IMeritOrderAuction.Side.SELL) return result;
        uint256 spentUeur = amount(delivered_, terms.payerPriceUeurKwh);
        result.reserveUeur = amount(terms.awarded, terms.payerPriceUeurKwh);
        result.marginUeur = spentUeur - result.paidUeur;
        result.refundedUeur = result.reserveUeur - spentUeur;
    }
}
