// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {MoneyHandlers} from "./MoneyHandlers.sol";
import {VM} from "./Vm.sol";

/// @notice The end of every run: operator, oracle, referee and relayer are silent for good, and every token comes out to its owner
/// by calls of anybody and by the owners' own, a number of them that what was opened bounds.
abstract contract Drain is MoneyHandlers {
    uint256 private constant DEBTS_PER_DEPOSIT = 32;

    uint256 private _calls;

    function drain() external {
        VM.warp(clock);
        uint256 bound = _bound();
        _later(1 days);
        _endOffers();
        _endHolds();
        _later(uint256(HOLD_TERM) + 3 * READING_DEADLINE + HOLD_WINDOW);
        _endAwards();
        _endCommands();
        _reclaimRequests();
        _payDebts();
        _later(UNBONDING);
        _takeBonds(); // a former owner's stands in the way of the present one's
        _startUnbondings();
        _later(UNBONDING);
        _takeBonds();
        _takeBalances();
        require(_calls <= bound, "more calls than what was opened bounds");
        require(settlement.totalOwed() == 0, "something is still owed");
        require(token.balanceOf(address(settlement)) == donated, "tokens are stuck");
        require(token.totalSupply() == _inPeoplesHands() + donated, "tokens came to somebody unknown");
    }

    /// @dev One call for each offer twice (its end, its awards), hold, command, interval of a request and account, four for each seat;
    /// and the deposits that pay debts, each 32 parts.
    function _bound() private view returns (uint256) {
        uint256 intervals = 0;
        for (uint256 i = 0; i < requested.length; ++i) {
            intervals += requested[i].request.quantities.length;
        }
        uint256 debts = people.length + commanded.length / DEBTS_PER_DEPOSIT;
        return 2 * lotIds.length + held.length + commanded.length + intervals + people.length + 4 * seats.length + debts;
    }

    function _later(uint256 seconds_) private {
        clock += seconds_;
        VM.warp(clock);
    }

    /// @dev A call of anybody, or of the owner, that must work.
    function _must(address from, address target, bytes memory data) private {
        ++_calls;
        VM.prank(from);
        (bool accepted, bytes memory answer) = target.call(data);
        if (accepted) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function _endOffers() private {
        for (uint256 i = 0; i < lotIds.length; ++i) {
            IMeritOrderAuction.Status status = _statusOf(lotIds[i]);
            if (status != IMeritOrderAuction.Status.OPEN && status != IMeritOrderAuction.Status.CLEARED) continue;
            _must(stranger, address(auction), abi.encodeCall(auction.expireOffer, (lotIds[i])));
        }
    }

    function _endHolds() private {
        for (uint256 i = 0; i < held.length; ++i) {
            (address holder,) = settlement.holdOf(held[i].offer, held[i].ordinal);
            if (holder == address(0)) continue;
            _must(stranger, address(settlement), abi.encodeCall(settlement.lapseHold, (held[i].offer, held[i].ordinal)));
        }
    }

    function _endAwards() private {
        for (uint256 i = 0; i < lotIds.length; ++i) {
            Lot storage lot = lots[lotIds[i]];
            if (!lot.isFinal || lot.awards.length == 0) continue;
            _must(stranger, address(settlement), _expiryCall(lotIds[i]));
            for (uint256 j = 0; j < _awardCount(lot); ++j) {
                require(settlement.isSettled(lotIds[i], uint32(j)), "an award did not end");
            }
            require(settlement.escrowOf(lotIds[i]) == 0, "an ended offer locks money");
        }
    }

    function _endCommands() private {
        for (uint256 i = 0; i < commanded.length; ++i) {
            Commanded memory given = commanded[i];
            if (commandEnded[settlement.commandEscrowId(given.nanogrid, given.interval)]) continue;
            bytes memory data = abi.encodeCall(settlement.expireCommand, (given.nanogrid, given.interval));
            _must(stranger, address(settlement), data);
        }
    }

    function _reclaimRequests() private {
        for (uint256 i = 0; i < requested.length; ++i) {
            for (uint256 j = 0; j < requested[i].request.quantities.length; ++j) {
                uint32 interval = uint32(requested[i].request.firstInterval + j * U);
                if (settlement.escrowOf(_requestEscrow(requested[i].id, interval)) == 0) continue;
                bytes memory data = abi.encodeCall(auction.reclaimRequest, (requested[i].id, interval));
                _must(stranger, address(auction), data);
            }
        }
    }

    /// @dev Who is in debt cannot withdraw: deposits of nothing, by anybody, pay its debts out of what came back to it.
    function _payDebts() private {
        for (uint256 i = 0; i < people.length; ++i) {
            while (settlement.debtOf(people[i]) != 0 && settlement.balanceOf(people[i]) != 0) {
                _must(stranger, address(settlement), abi.encodeCall(settlement.deposit, (people[i], 0)));
            }
        }
    }

    function _startUnbondings() private {
        for (uint256 i = 0; i < seats.length; ++i) {
            (uint256 bond,,) = settlement.bondOf(seats[i]);
            if (bond == 0) continue;
            bytes memory data = abi.encodeCall(settlement.startUnbonding, (_unbonding(seats[i], bond), ""));
            _must(registry.seatOf(seats[i]).owner, address(settlement), data);
        }
    }

    function _takeBonds() private {
        for (uint256 i = 0; i < seats.length; ++i) {
            (, uint256 unbonding,) = settlement.bondOf(seats[i]);
            if (unbonding == 0) continue;
            _must(stranger, address(settlement), abi.encodeCall(settlement.withdrawBond, (seats[i])));
        }
    }

    function _takeBalances() private {
        for (uint256 i = 0; i < seats.length; ++i) {
            if (settlement.seatBalance(seats[i]) == 0) continue;
            _must(stranger, address(settlement), abi.encodeCall(settlement.payOut, (seats[i])));
        }
        for (uint256 i = 0; i < people.length; ++i) {
            uint256 balance = settlement.balanceOf(people[i]);
            if (balance == 0) continue;
            _must(
                people[i],
                address(settlement),
                abi.encodeCall(settlement.withdraw, (_withdrawal(people[i], balance), ""))
            );
        }
    }

    function _inPeoplesHands() private view returns (uint256 sum) {
        for (uint256 i = 0; i < people.length; ++i) {
            sum += token.balanceOf(people[i]);
        }
    }
}
