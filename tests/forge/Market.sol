// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Drain} from "./Drain.sol";
import {VM} from "./Vm.sol";

/// @notice The market as forge plays it: `advance` leads an interval through the calendar of the protocol step by step, all other
/// handlers fall in between. At the end everybody who could help is silent, and all tokens have to come out.
contract Market is Drain {
    uint256 private _step;

    constructor(uint256 seed_, uint256 largePortfolio) {
        seed = seed_;
        _deploy();
        _populate(largePortfolio);
    }

    /* TIME */

    function jump(uint256 number) external turn(number) {
        uint256 choice = _draw(16);
        if (choice == 0) _sleepAMonth();
        else if (choice < 3) clock += _draw(8 hours);
        else if (choice < 8) clock += _draw(U);
        else clock += _draw(60);
    }

    function _sleepAMonth() private {
        clock += 20 days + _draw(20 days);
        VM.warp(clock);
        _payDueCapacity();
        _completeOwner(_announcedSeat());
    }

    function advance(uint256 number) external turn(number) {
        uint256 step = _step++;
        if (step == 0) _begin();
        else if (step < 8) _playInternal(step);
        else if (step < 17) _playRequest(step);
        else _playSettlement(step);
    }

    /// @dev Not back: what happened meanwhile has taken its time, and deadlines may have passed.
    function _reach(uint256 interval, uint256 hundredthsBefore) private {
        uint256 moment = _moment(interval, hundredthsBefore);
        if (moment > clock) clock = moment;
        VM.warp(clock);
    }

    function _begin() private {
        if (_draw(4) != 0) _repair();
        uint256 earliest = clock + U * 415 / 100;
        round = uint32(earliest - earliest % U + U);
        _reach(round, 410);
        for (uint32 portfolio = 1; portfolio <= 3; ++portfolio) {
            _anchor(portfolio, round, 0);
            _anchor(portfolio, round, 1);
        }
        if (_draw(4) == 0) _registerCapacity();
    }

    function _playInternal(uint256 step) private {
        _reach(round, [uint256(410), 400, 390, 347, 325, 315, 303, 299][step]);
        if (step == 1) {
            for (uint32 p = 1; p <= 3; ++p) {
                if (_draw(2) == 0) _openInternal(p, round);
            }
        }
        if (step == 2) _forRound(Deed.POST);
        if (step == 3) _forRound(Deed.REVISE);
        if (step == 4) _forRound(Deed.CLEAR);
        if (step == 5) _forRound(Deed.JUDGE);
        if (step == 6) _forRound(Deed.CLEAR);
        if (step == 7) _forRound(Deed.FINALISE);
    }

    function _playRequest(uint256 step) private {
        _reach(round, [uint256(299), 275, 250, 142, 138, 110, 98, 96, 93][step - 8]);
        if (step == 8) _ask();
        if (step == 9) _answer();
        if (step == 10) _forRound(Deed.POST);
        if (step == 11) _forRound(Deed.REVISE);
        if (step == 12) _forRound(Deed.CLEAR);
        if (step == 13) _forRound(Deed.JUDGE);
        if (step == 14) _forRound(Deed.CLEAR);
        if (step == 15 && _draw(4) == 0) _goRed();
        if (step == 16) _forRound(Deed.FINALISE);
    }

    function _playSettlement(uint256 step) private {
        if (step == 17 && _draw(4) == 0) {
            _reach(uint256(round) + _draw(U), 0); // awards stand when RED comes during delivery, unless their seat is commanded
            _goRed();
        }
        if (step == 17) _reach(uint256(round) + U, 0);
        if (step == 18) _reach(uint256(round) + U + U / 3, 0);
        if (step == 19) _reach(uint256(round) + 2 * U + U / 2, 0);
        if (step == 17) _forRound(Deed.ANNOUNCE);
        for (uint256 i = 0; step == 18 && i < 4 && i < held.length; ++i) {
            if (_draw(2) == 0) _decide(held[held.length - 1 - i], _draw(2) == 0);
        }
        if (step == 18) _forRound(Deed.SETTLE);
        if (step == 19) _forRound(Deed.SETTLE_BY_ANYONE);
        if (step >= 18) {
            for (uint256 i = 0; i < 3 && i < commanded.length; ++i) {
                _settleOldCommand(i);
            }
        }
        if (step < 20) return;
        _step = 0;
        if (_draw(4) == 0) {
            _reach(uint256(round) + READING_DEADLINE, 0);
            _forRound(Deed.EXPIRE);
        }
        if (requested.length > 0) _reclaim(requested[requested.length - 1].id, round);
    }

    function _settleOldCommand(uint256 i) private {
        _settleCommand(commanded[commanded.length - 1 - i], _draw(4) == 0 ? stranger : oracle);
    }

    function _ask() private {
        for (uint32 node = 1; node <= 2; ++node) {
            _signal(node, round, 1, 0);
            if (_draw(2) == 0) _signal(node, uint32(round + U), 1, 0);
            _publish(node, round, 1);
            if (_draw(2) == 0) _publish(node, round, 3);
        }
    }

    function _answer() private {
        uint256 recent = requested.length < 4 ? requested.length : 4;
        for (uint256 i = 0; i < recent; ++i) {
            Requested storage of_ = requested[requested.length - 1 - i];
            if (of_.request.firstInterval != round) continue;
            for (uint256 p = 0; p < portfolios.length; ++p) {
                if (registry.portfolioOf(portfolios[p]).node == of_.request.node) _openAnswer(portfolios[p], of_);
            }
        }
    }

    function _goRed() private {
        uint32 node = uint32(_between(1, 2));
        _signal(node, round, 2, uint8(_draw(2)));
        for (uint256 i = 0; i < 3; ++i) {
            uint48 nanogrid = _anySeat();
            bytes32 id = _anyLot();
            if (id != 0 && lots[id].awards.length > 0) nanogrid = _nanogridOf(lots[id], _awardAt(lots[id], 0).index);
            if (_draw(4) == 0) _withdraw(dsos[node - 1], settlement.balanceOf(dsos[node - 1]));
            if (_draw(3) != 0) _command(nanogrid, round);
        }
    }

    /* THE OFFERS OF AN INTERVAL */

    enum Deed {
        POST,
        REVISE,
        CLEAR,
        JUDGE,
        FINALISE,
        ANNOUNCE,
        SETTLE,
        SETTLE_BY_ANYONE,
        EXPIRE
    }

    function _forRound(Deed deed) private {
        uint256 n = lotIds.length;
        for (uint256 i = 0; i < 10 && i < n; ++i) {
            bytes32 id = lotIds[n - 1 - i];
            if (lots[id].offer.interval != round || _draw(8) == 0) continue;
            if (deed == Deed.POST) _post(id, 22);
            else if (deed == Deed.REVISE) _post(id, _draw(6));
            else if (deed == Deed.CLEAR) _clearAmongForgers(id);
            else if (deed == Deed.JUDGE && _draw(2) == 0) _verdict(id);
            else if (deed == Deed.FINALISE) _finalise(id);
            else if (deed == Deed.ANNOUNCE) _announceSome(id);
            else if (deed == Deed.SETTLE) _settle(id, oracle);
            else if (deed == Deed.SETTLE_BY_ANYONE) _settle(id, stranger);
            else if (deed == Deed.EXPIRE) _expireAwards(id);
        }
    }

    /// @dev The honest claim comes through, whatever false ones came before it.
    function _clearAmongForgers(bytes32 id) private {
        for (uint256 i = _draw(4); i > 0; --i) {
            _forge(id);
        }
        _clear(id);
    }

    function _announceSome(bytes32 id) private {
        Lot storage lot = lots[id];
        for (uint256 i = 0; i < _awardCount(lot); ++i) {
            uint48 nanogrid = _nanogridOf(lot, _awardAt(lot, i).index);
            if (_draw(3) == 0) _announce(nanogrid, round);
            if (_draw(6) == 0) _hold(id, i);
        }
    }

    /* AFTER EACH TURN, AND AT THE END */

    function check() external {
        _requireEverythingCounted();
    }
}
