// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettlement} from "contracts/interfaces/ISettlement.sol";
import {SettlementHandlers} from "./SettlementHandlers.sol";
import {VM} from "./Vm.sol";

/// @notice Tokens in and out: accounts, bonds, permits, and the token by itself.
abstract contract MoneyHandlers is SettlementHandlers {
    /// @dev Who began to unbond what waits now.
    mapping(uint48 nanogrid => address owner) internal unbondingTo;

    bytes32 private constant WITHDRAWAL = keccak256("Withdrawal(address account,uint256 amountUeur,uint32 nonce)");
    bytes32 private constant UNBOND = keccak256("Unbonding(uint48 nanogrid,uint96 amountUeur,uint32 nonce)");
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    struct Permit {
        address owner;
        uint256 amount;
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /* ACCOUNTS */

    function deposits(uint256 number) external turn(number) {
        address account = _draw(2) == 0 ? dsos[_draw(2)] : _anyone();
        uint256 amount = _amount();
        if (_draw(4) != 0) {
            _try(_anyone(), address(settlement), abi.encodeCall(settlement.deposit, (account, amount)));
            return;
        }
        Permit memory permit = _permit(account, amount);
        _try(
            relayer,
            address(settlement),
            abi.encodeCall(
                settlement.depositWithPermit, (account, amount, permit.deadline, permit.v, permit.r, permit.s)
            )
        );
    }

    /// @dev Mostly what people pay, sometimes nothing, sometimes more than there is.
    function _amount() private returns (uint256) {
        uint256 choice = _draw(16);
        if (choice == 0) return 0;
        if (choice == 1) return type(uint256).max >> _draw(256);
        if (choice == 2) return 1;
        return _draw(30_000_000);
    }

    function withdrawals(uint256 number) external turn(number) {
        if (_draw(3) == 0) {
            _payOut(_anySeat());
        } else {
            address account = _draw(2) == 0 ? dsos[_draw(2)] : _anyone();
            uint256 balance = settlement.balanceOf(account);
            uint256 choice = _draw(4);
            _withdraw(account, choice == 0 ? balance : choice == 1 ? _amount() : _draw(balance + 1));
        }
    }

    function _payOut(uint48 nanogrid) internal {
        address owner = registry.seatOf(nanogrid).owner;
        uint256 expected = token.balanceOf(owner) + settlement.seatBalance(nanogrid);
        if (!_tryOk(stranger, address(settlement), abi.encodeCall(settlement.payOut, (nanogrid)))) return;
        require(token.balanceOf(owner) == expected, "paid out something else");
    }

    function _withdraw(address account, uint256 amount) internal {
        ISettlement.Withdrawal memory given = _withdrawal(account, amount);
        if (_draw(16) == 0) ++given.nonce;
        (address from, bytes memory signature) =
            _authorise(account, settlementDomain, keccak256(abi.encode(WITHDRAWAL, given)));
        bool isInDebt = settlement.debtOf(account) != 0;
        uint256 before = token.balanceOf(account);
        if (!_tryOk(from, address(settlement), abi.encodeCall(settlement.withdraw, (given, signature)))) return;
        require(!isInDebt, "withdrawn in debt");
        require(token.balanceOf(account) - before == amount, "withdrawn something else");
    }

    /* BONDS */

    function bonds(uint256 number) external turn(number) {
        uint48 nanogrid = _anySeat();
        uint256 choice = _draw(6);
        if (choice <= 1) _fundBond(nanogrid, _amount() / 3);
        else if (choice == 2) _fundBondWithPermit(nanogrid, _amount() / 3);
        else if (choice == 3) _withdrawBond(_unbondingSeat(nanogrid));
        else _unbond(nanogrid, _draw(3) == 0 ? type(uint96).max : uint96(_draw(8_000_000)));
    }

    /// @dev The next one that waits for a part of its bond.
    function _unbondingSeat(uint48 from) private view returns (uint48) {
        uint256 first = 0;
        while (seats[first] != from) ++first;
        for (uint256 i = 0; i < seats.length; ++i) {
            uint48 nanogrid = seats[(first + i) % seats.length];
            (, uint256 unbonding, uint64 availableAt) = settlement.bondOf(nanogrid);
            if (unbonding != 0 && availableAt <= clock) return nanogrid;
        }
        return from;
    }

    function _fundBond(uint48 nanogrid, uint256 amount) internal {
        _try(_anyone(), address(settlement), abi.encodeCall(settlement.fundBond, (nanogrid, amount)));
    }

    function _fundBondWithPermit(uint48 nanogrid, uint256 amount) private {
        address owner = _draw(6) == 0 ? stranger : registry.seatOf(nanogrid).owner;
        Permit memory permit = _permit(owner, amount);
        _try(
            relayer,
            address(settlement),
            abi.encodeCall(
                settlement.fundBondWithPermit, (nanogrid, owner, amount, permit.deadline, permit.v, permit.r, permit.s)
            )
        );
    }

    function _unbond(uint48 nanogrid, uint96 amount) internal {
        (uint256 bond,,) = settlement.bondOf(nanogrid);
        if (amount > bond && _draw(16) != 0) amount = uint96(bond);
        ISettlement.Unbonding memory given = _unbonding(nanogrid, amount);
        (address from, bytes memory signature) =
            _authorise(registry.seatOf(nanogrid).owner, settlementDomain, keccak256(abi.encode(UNBOND, given)));
        (, uint256 pending,) = settlement.bondOf(nanogrid);
        address owner = registry.seatOf(nanogrid).owner;
        if (!_tryOk(from, address(settlement), abi.encodeCall(settlement.startUnbonding, (given, signature)))) return;
        require(pending == 0 || unbondingTo[nanogrid] == owner, "another's bond was mixed in");
        unbondingTo[nanogrid] = owner;
    }

    function _withdrawal(address account, uint256 amount) internal view returns (ISettlement.Withdrawal memory) {
        return ISettlement.Withdrawal(account, amount, settlement.nonceOf(account));
    }

    function _unbonding(uint48 nanogrid, uint256 amount) internal view returns (ISettlement.Unbonding memory) {
        return ISettlement.Unbonding(nanogrid, uint96(amount), settlement.unbondingNonce(nanogrid));
    }

    function _withdrawBond(uint48 nanogrid) internal {
        (, uint256 unbonding, uint64 availableAt) = settlement.bondOf(nanogrid);
        address owner = unbondingTo[nanogrid];
        uint256 expected = token.balanceOf(owner) + unbonding;
        if (!_tryOk(stranger, address(settlement), abi.encodeCall(settlement.withdrawBond, (nanogrid)))) return;
        require(clock >= availableAt, "a bond paid before its time");
        require(token.balanceOf(owner) == expected, "a bond paid in part");
    }

    /* THE TOKEN */

    function tokens(uint256 number) external turn(number) {
        address t = address(token);
        address from = _anyone();
        uint256 choice = _draw(8);
        uint256 amount = _amount();
        if (choice == 0) _try(operator, t, abi.encodeCall(token.mint, (from, _draw(1_000_000_000), "in")));
        else if (choice == 1) _try(operator, t, abi.encodeCall(token.burn, (_draw(2_000_000), "out")));
        else if (choice == 2) _try(from, t, abi.encodeCall(token.transfer, (_anyone(), amount)));
        else if (choice == 3) _try(from, t, abi.encodeCall(token.approve, (relayer, amount)));
        else if (choice == 4) _try(relayer, t, abi.encodeCall(token.transferFrom, (from, stranger, amount)));
        else if (choice == 5) _sendPermit(from, amount);
        else if (choice == 6) _try(from, t, abi.encodeCall(token.approve, (address(settlement), type(uint256).max)));
        else _donate(from, amount % 1000);
    }

    /// @dev Tokens sent past `deposit` belong to nobody: they are never counted as owed.
    function _donate(address from, uint256 amount) private {
        if (_tryOk(from, address(token), abi.encodeCall(token.transfer, (address(settlement), amount)))) {
            donated += amount;
        }
    }

    function _sendPermit(address owner, uint256 amount) private {
        Permit memory permit = _permit(owner, amount);
        bytes memory data = abi.encodeCall(
            token.permit, (owner, address(settlement), amount, permit.deadline, permit.v, permit.r, permit.s)
        );
        _try(relayer, address(token), data);
    }

    function _permit(address owner, uint256 amount) private returns (Permit memory permit) {
        permit.owner = owner;
        permit.amount = amount;
        permit.deadline = clock + _draw(100);
        bytes32 message =
            keccak256(abi.encode(PERMIT, owner, address(settlement), amount, token.nonces(owner), permit.deadline));
        uint256 key = _draw(8) == 0 ? 7 : keyOf[owner];
        (permit.v, permit.r, permit.s) = VM.sign(key, _digest(_domain(address(token)), message));
    }
}
