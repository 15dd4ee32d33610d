// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "../interfaces/ISettlement.sol";
import {SeatBooks} from "./SeatBooks.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @notice The books of Settlement: balances of accounts and seats, bonds, debts and escrows, in micro-euro.
/// @dev Every function here only moves money within the books, so that what is owed in all stays the same; the exceptions are
/// `receive_` and `pay`, which go with a transfer of tokens. The books know neither tokens nor rules of the market.
library Ledger {
    using SafeCast for uint256;
    using Math for uint256;

    /// @notice Parts of an account's debt that one deposit pays at most: bounds its gas.
    uint256 internal constant DEBTS_PER_DEPOSIT = 32;

    /// @dev One slot.
    struct Account {
        uint96 balanceUeur;
        uint96 debtUeur;
        uint32 nonce;
    }

    /// @dev One slot, and one for the owner that is paid what is being unbonded, also when the seat has become another's.
    struct Bond {
        uint96 bondUeur;
        uint96 unbondingUeur;
        uint64 availableAt;
        address unbondingTo;
    }

    struct SeatDebt {
        address creditor;
        uint96 amountUeur;
    }

    struct AccountDebt {
        uint48 nanogrid;
        uint96 amountUeur;
    }

    /// @dev Parts from `next` on are unpaid.
    struct AccountDebts {
        uint256 next;
        AccountDebt[] parts;
    }

    struct Books {
        mapping(address account => Account) accounts;
        mapping(uint48 nanogrid => SeatBooks) seats;
        mapping(uint48 nanogrid => Bond) bonds;
        mapping(uint48 nanogrid => SeatDebt[]) seatDebts;
        mapping(address account => AccountDebts) accountDebts;
        mapping(bytes32 id => uint256 amountUeur) escrows;
        uint256 owedUeur;
    }

    /* TOKENS IN AND OUT */

    /// @notice Tokens come in: the caller credits them somewhere in the same transaction.
    function receive_(Books storage books, uint256 amountUeur) internal {
        books.owedUeur += amountUeur;
    }

    /// @notice Tokens go out: the caller has taken them from somewhere in the same transaction.
    function pay(Books storage books, uint256 amountUeur) internal {
        books.owedUeur -= amountUeur;
    }

    /* ACCOUNTS */

    function creditAccount(Books storage books, address account, uint256 amountUeur) internal {
        if (amountUeur == 0) return;
        // The sum is cast too: an amount beyond what there can be shall be refused by name, not by a panic.
        Account storage credited = books.accounts[account];
        credited.balanceUeur = (uint256(credited.balanceUeur) + amountUeur.toUint96()).toUint96();
    }

    function debitAccount(Books storage books, address account, uint256 amountUeur) internal {
        uint96 balanceUeur = books.accounts[account].balanceUeur;
        if (amountUeur > balanceUeur) revert ISettlement.InsufficientBalance(account, balanceUeur, amountUeur);
        books.accounts[account].balanceUeur = balanceUeur - amountUeur.toUint96();
    }

    /// @notice What a command could not pay to a seat stays a debt of the DSO's account.
    function addAccountDebt(Books storage books, address account, uint48 nanogrid, uint256 amountUeur) internal {
        books.accountDebts[account].parts.push(AccountDebt({nanogrid: nanogrid, amountUeur: amountUeur.toUint96()}));
        uint96 debtUeur = books.accounts[account].debtUeur + amountUeur.toUint96();
        books.accounts[account].debtUeur = debtUeur;
        emit ISettlement.AccountDebtChanged(account, debtUeur);
    }

    /// @notice Pays the oldest parts of an account's debt out of its balance.
    function payAccountDebts(Books storage books, address account) internal {
        Account storage debtor = books.accounts[account];
        if (debtor.debtUeur == 0) return;
        AccountDebts storage debts = books.accountDebts[account];
        for (uint256 i; i < DEBTS_PER_DEPOSIT && debtor.balanceUeur != 0 && debtor.debtUeur != 0; ++i) {
            AccountDebt storage part = debts.parts[debts.next];
            uint48 nanogrid = part.nanogrid;
            uint96 paidUeur = uint256(debtor.balanceUeur).min(part.amountUeur).toUint96();
            debtor.balanceUeur -= paidUeur;
            debtor.debtUeur -= paidUeur;
            part.amountUeur -= paidUeur;
            if (part.amountUeur == 0) delete debts.parts[debts.next++];
            emit ISettlement.AccountDebtPaid(account, nanogrid, paidUeur);
            creditSeat(books, nanogrid, paidUeur);
        }
        emit ISettlement.AccountDebtChanged(account, debtor.debtUeur);
    }

    /* SEATS */

    /// @notice Credits a seat; its debts are paid first.
    function creditSeat(Books storage books, uint48 nanogrid, uint256 amountUeur) internal {
        if (amountUeur == 0) return;
        SeatBooks seat = books.seats[nanogrid];
        if (seat.inDebt()) {
            amountUeur = paySeatDebts(books, nanogrid, amountUeur);
            seat = books.seats[nanogrid];
        }
        books.seats[nanogrid] = seat.withBalance(seat.balanceUeur() + amountUeur);
    }

    /// @notice Takes up to `amountUeur` from a seat's balance.
    function debitSeat(Books storage books, uint48 nanogrid, uint256 amountUeur) internal returns (uint256 takenUeur) {
        SeatBooks seat = books.seats[nanogrid];
        takenUeur = amountUeur.min(seat.balanceUeur());
        if (takenUeur != 0) books.seats[nanogrid] = seat.withBalance(seat.balanceUeur() - takenUeur);
    }

    /// @notice Adds to what a seat owes a creditor.
    /// @dev A seat has as many entries as unpaid creditors: the aggregator of its portfolio and the DSOs of its node.
    function addSeatDebt(Books storage books, uint48 nanogrid, address creditor, uint256 amountUeur) internal {
        SeatDebt[] storage debts = books.seatDebts[nanogrid];
        books.seats[nanogrid] = books.seats[nanogrid].withDebt(true);
        uint256 i;
        while (i < debts.length && debts[i].creditor != creditor) ++i;
        if (i == debts.length) debts.push(SeatDebt({creditor: creditor, amountUeur: 0}));
        debts[i].amountUeur += amountUeur.toUint96();
        emit ISettlement.SeatDebtChanged(nanogrid, creditor, debts[i].amountUeur);
    }

    /// @notice Pays a seat's debts, creditor by creditor, and returns what is left.
    function paySeatDebts(Books storage books, uint48 nanogrid, uint256 amountUeur) internal returns (uint256) {
        SeatDebt[] storage debts = books.seatDebts[nanogrid];
        while (amountUeur != 0 && debts.length != 0) {
            SeatDebt storage debt = debts[debts.length - 1];
            address creditor = debt.creditor;
            uint96 paidUeur = amountUeur.min(debt.amountUeur).toUint96();
            amountUeur -= paidUeur;
            debt.amountUeur -= paidUeur;
            emit ISettlement.SeatDebtChanged(nanogrid, creditor, debt.amountUeur);
            if (debt.amountUeur == 0) debts.pop();
            creditAccount(books, creditor, paidUeur);
        }
        if (debts.length == 0) books.seats[nanogrid] = books.seats[nanogrid].withDebt(false);
        return amountUeur;
    }

    function seatDebt(Books storage books, uint48 nanogrid) internal view returns (uint256 debtUeur) {
        SeatDebt[] storage debts = books.seatDebts[nanogrid];
        for (uint256 i; i < debts.length; ++i) debtUeur += debts[i].amountUeur;
    }

    /* BONDS */

    /// @notice Takes up to `amountUeur` from a seat's bond, then from the part that is being unbonded.
    function chargeBond(Books storage books, uint48 nanogrid, address creditor, uint256 amountUeur)
        internal
        returns (uint256 chargedUeur)
    {
        Bond storage bond = books.bonds[nanogrid];
        uint96 fromBond = amountUeur.min(bond.bondUeur).toUint96();
        uint96 fromUnbonding = (amountUeur - fromBond).min(bond.unbondingUeur).toUint96();
        chargedUeur = uint256(fromBond) + fromUnbonding;
        if (chargedUeur == 0) return 0;
        bond.bondUeur -= fromBond;
        bond.unbondingUeur -= fromUnbonding;
        emit ISettlement.BondCharged(nanogrid, creditor, chargedUeur);
    }

    /* ESCROWS */

    function lock(Books storage books, bytes32 id, address account, uint256 amountUeur) internal {
        debitAccount(books, account, amountUeur);
        books.escrows[id] += amountUeur;
        emit ISettlement.EscrowLocked(id, account, amountUeur);
    }

    function release(Books storage books, bytes32 id, address account, uint256 amountUeur) internal {
        books.escrows[id] -= amountUeur;
        creditAccount(books, account, amountUeur);
        emit ISettlement.EscrowReleased(id, account, amountUeur);
    }
}
