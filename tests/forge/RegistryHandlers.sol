// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    IAccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/IAccessControlDefaultAdminRules.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ICapacityRegister} from "contracts/interfaces/ICapacityRegister.sol";
import {IMeteringOracle} from "contracts/interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "contracts/interfaces/IParticipantRegistry.sol";
import {ISettlement} from "contracts/interfaces/ISettlement.sol";
import {Stage} from "./Stage.sol";

/// @notice Participants: nodes, portfolios, seats, delegates, roles, pauses; capacity contracts.
abstract contract RegistryHandlers is Stage {
    bytes32 private constant DELEGATION = keccak256(
        "Delegation(uint48 nanogrid,address signer,uint16 expiryDay,uint32 lowestPriceUeurKwh,uint24 largestQuantity,uint24 coverCents,uint32 nonce)"
    );
    bytes32 private constant CONTRACT = keccak256(
        "CapacityContract(uint48 nanogrid,uint8 product,uint16 firstMonth,uint16 months,uint32 powerW,uint32 availabilityPriceUeurKwH,uint64 salt)"
    );
    bytes32 private constant TRANSFER = keccak256("SeatTransfer(uint48 nanogrid,address owner,uint32 nonce)");
    bytes32 private constant VETO = keccak256("SeatTransferVeto(uint48 nanogrid,uint32 nonce)");
    bytes32 private constant FORFEIT = keccak256("Forfeit(bytes32 id,uint16 month)");

    struct Capacity {
        bytes32 id;
        uint48 nanogrid;
        uint16 month;
    }

    mapping(uint48 nanogrid => uint256 moment) internal announcedAt;
    Capacity[] private _capacities;
    mapping(bytes32 id => mapping(uint16 month => bool)) private _monthClosed;

    /* REGISTRATION */

    function registrations(uint256 number) external turn(number) {
        uint256 choice = _draw(12);
        address r = address(registry);
        uint32 node = uint32(_between(1, 3));
        uint32 portfolio = uint32(_between(1, 4));
        if (choice == 0) _try(operator, r, abi.encodeCall(registry.registerNode, (node, dsos[_draw(2)], "n")));
        else if (choice == 1) _try(operator, r, abi.encodeCall(registry.setNodeDso, (node, dsos[_draw(2)])));
        else if (choice == 2) _registerPortfolio(portfolio, node);
        else if (choice == 3) _setAggregator(portfolio, aggregators[_draw(2)]);
        else if (choice <= 5) _registerSeat(portfolio);
        else if (choice == 6) _closeSeat();
        else if (choice == 7) _try(operator, r, abi.encodeCall(registry.reinstateSeat, (_anySeat())));
        else if (choice == 8) _changeOwner(_anySeat(), owners[_draw(owners.length)]);
        else if (choice == 9) _announceOwner(_anySeat(), owners[_draw(owners.length)]);
        else if (choice == 10) _completeOwner(_announcedSeat());
        else _pause(node, _draw(3) == 0 ? 0 : uint8(_between(1, 6)), _draw(3) == 0);
    }

    function _registerPortfolio(uint32 portfolio, uint32 node) private {
        bytes memory data = abi.encodeCall(registry.registerPortfolio, (portfolio, node, aggregators[_draw(2)], "p"));
        if (_tryOk(operator, address(registry), data)) portfolios.push(portfolio);
    }

    function _setAggregator(uint32 portfolio, address aggregator) internal {
        _try(operator, address(registry), abi.encodeCall(registry.setPortfolioAggregator, (portfolio, aggregator)));
    }

    function _registerSeat(uint32 portfolio) private {
        if (registry.portfolioOf(portfolio).seatCount >= 22) return;
        uint32 from = uint32(clock + _draw(3) * U);
        uint32 rated = uint32(_draw(8) == 0 ? _draw(2 ** 32) : 4000);
        (bool ok, bytes memory answer) = _try(
            operator,
            address(registry),
            abi.encodeCall(registry.registerSeat, (portfolio, owners[_draw(owners.length)], rated, 200_000, from))
        );
        if (ok) _seated(abi.decode(answer, (uint48)));
    }

    function _closeSeat() private {
        uint32 until = uint32(clock + _draw(4) * U);
        if (_draw(4) == 0) _try(operator, address(registry), abi.encodeCall(registry.closeSeat, (_anySeat(), until)));
    }

    /// @dev Whoever owned the seat until now has its whole balance in hand afterwards.
    function _changeOwner(uint48 nanogrid, address owner) private {
        address old = registry.seatOf(nanogrid).owner;
        uint256 expected = token.balanceOf(old) + settlement.seatBalance(nanogrid);
        IParticipantRegistry.SeatTransfer memory given;
        given.nanogrid = nanogrid;
        given.owner = owner;
        given.nonce = registry.ownerNonce(nanogrid) + uint32(_draw(8) / 7);
        bytes32 message = keccak256(abi.encode(TRANSFER, given));
        address signer = _draw(8) == 0 ? operator : old;
        bytes memory signature = _draw(8) == 0 ? bytes("") : _signature(signer, registryDomain, message);
        bytes memory data = abi.encodeCall(registry.changeSeatOwner, (given, signature));
        if (!_tryOk(operator, address(registry), data)) return;
        require(signer == old && signature.length != 0, "a seat given away without its owner's word");
        require(token.balanceOf(old) == expected && settlement.seatBalance(nanogrid) == 0, "owner not paid out");
    }

    function _announceOwner(uint48 nanogrid, address owner) private {
        bytes memory data = abi.encodeCall(registry.announceSeatTransfer, (nanogrid, owner));
        if (_tryOk(operator, address(registry), data)) announcedAt[nanogrid] = clock;
        if (_draw(3) == 0) _vetoOwner(nanogrid);
    }

    /// @dev The next one that was announced to be another's, due ones first.
    function _announcedSeat() internal returns (uint48 nanogrid) {
        uint256 first = _draw(seats.length);
        nanogrid = seats[first];
        for (uint256 i = 0; i < seats.length; ++i) {
            uint48 other = seats[(first + i) % seats.length];
            uint256 since = announcedAt[other];
            if (since == 0) continue;
            nanogrid = other;
            if (clock >= since + 2 * uint256(UNBONDING)) return other;
        }
    }

    function _completeOwner(uint48 nanogrid) internal {
        address old = registry.seatOf(nanogrid).owner;
        uint256 expected = token.balanceOf(old) + settlement.seatBalance(nanogrid);
        if (!_tryOk(operator, address(registry), abi.encodeCall(registry.completeSeatTransfer, (nanogrid)))) return;
        require(clock >= announcedAt[nanogrid] + 2 * uint256(UNBONDING), "a seat given away before its time");
        announcedAt[nanogrid] = 0;
        require(token.balanceOf(old) == expected && settlement.seatBalance(nanogrid) == 0, "owner not paid out");
    }

    function _vetoOwner(uint48 nanogrid) private {
        IParticipantRegistry.SeatTransferVeto memory given;
        given.nanogrid = nanogrid;
        given.nonce = registry.ownerNonce(nanogrid) + uint32(_draw(8) / 7);
        (address from, bytes memory signature) =
            _authorise(registry.seatOf(nanogrid).owner, registryDomain, keccak256(abi.encode(VETO, given)));
        _try(from, address(registry), abi.encodeCall(registry.vetoSeatTransfer, (given, signature)));
    }

    function _pause(uint32 node, uint8 product, bool paused) internal {
        _try(operator, address(registry), abi.encodeCall(registry.setPaused, (node, product, paused)));
    }

    /* SIGNERS */

    function delegations(uint256 number) external turn(number) {
        if (_draw(4) == 0) _refreshSeats();
        uint48 nanogrid = _anySeat();
        IParticipantRegistry.Seat memory seat = registry.seatOf(nanogrid);
        IParticipantRegistry.Delegation memory given;
        given.nanogrid = nanogrid;
        given.signer = _draw(3) == 0 ? address(0) : delegates[_draw(2)];
        given.expiryDay = uint16(clock / 1 days + _draw(3));
        given.lowestPriceUeurKwh = uint32(_draw(2) * 50_000);
        given.largestQuantity = uint24(_draw(3000));
        given.coverCents = uint24(_draw(2) == 0 ? seat.coverCents : _draw(uint256(seat.coverCents) + 20));
        given.nonce = registry.ownerNonce(nanogrid) + uint32(_draw(8) / 7);
        (address from, bytes memory signature) =
            _authorise(seat.owner, registryDomain, keccak256(abi.encode(DELEGATION, given)));
        _try(from, address(registry), abi.encodeCall(registry.setDelegate, (given, signature)));
    }

    function _refreshSeats() private {
        uint48[] memory some = new uint48[](_between(1, 4));
        for (uint256 i = 0; i < some.length; ++i) {
            some[i] = _anySeat();
        }
        _try(stranger, address(registry), abi.encodeCall(registry.refreshSeats, (some)));
    }

    /* ROLES */

    function roles(uint256 number) external turn(number) {
        uint256 choice = _draw(12);
        address r = address(registry);
        bytes32 role = [OPERATOR, ORACLE, REFEREE, DSO, AGGREGATOR][_draw(5)];
        address who = role == ORACLE ? oracle : role == REFEREE ? referee : role == DSO ? dsos[0] : aggregators[0];
        if (role == OPERATOR) who = operatorTwo;
        if (choice < 4) _try(operator, r, abi.encodeCall(IAccessControl.grantRole, (role, who)));
        else if (choice == 4) _try(_admin(), r, abi.encodeCall(IAccessControl.grantRole, (OPERATOR, operator)));
        else if (choice == 5) _try(operator, r, abi.encodeCall(IAccessControl.revokeRole, (role, who)));
        else if (choice == 6) _try(who, r, abi.encodeCall(IAccessControl.renounceRole, (role, who)));
        else _governance(choice);
    }

    /// @dev The governance key changes in two steps, with a delay between them.
    function _governance(uint256 choice) private {
        IAccessControlDefaultAdminRules rules = _registryRoles();
        address r = address(registry);
        (address next,) = rules.pendingDefaultAdmin();
        if (choice == 7) {
            address heir = _admin() == operator ? operatorTwo : operator;
            _try(_admin(), r, abi.encodeCall(rules.beginDefaultAdminTransfer, (heir)));
        } else if (choice == 8) {
            _try(next == address(0) ? stranger : next, r, abi.encodeCall(rules.acceptDefaultAdminTransfer, ()));
        } else if (choice == 9) {
            _try(_admin(), r, abi.encodeCall(rules.cancelDefaultAdminTransfer, ()));
        } else if (choice == 10) {
            uint48 delay = uint48(_between(1, 4) * 900);
            _try(_admin(), r, abi.encodeCall(rules.changeDefaultAdminDelay, (delay)));
        } else {
            _try(_admin(), r, abi.encodeCall(rules.rollbackDefaultAdminDelay, ()));
        }
    }

    function _admin() private view returns (address) {
        return _registryRoles().defaultAdmin();
    }

    /// @dev The operator puts right what earlier turns took away, so that a run does not end in silence.
    function _repair() internal {
        for (uint32 i = 0; i < 2; ++i) {
            _ensure(DSO, dsos[i]);
            _ensure(AGGREGATOR, aggregators[i]);
            if (registry.isPaused(i + 1, 1)) {
                _pause(i + 1, 0, false);
                _pause(i + 1, 1, false);
            }
            if (registry.isPaused(i + 1, 3)) _pause(i + 1, 3, false);
            if (registry.isPaused(i + 1, 6)) _pause(i + 1, 6, false);
        }
        _ensure(ORACLE, oracle);
        _ensure(REFEREE, referee);
        for (uint256 i = 0; i < 4; ++i) {
            uint48 nanogrid = _anySeat();
            if (!registry.seatOf(nanogrid).suspended) continue;
            _try(operator, address(registry), abi.encodeCall(registry.reinstateSeat, (nanogrid)));
        }
    }

    function _ensure(bytes32 role, address who) private {
        IAccessControl access = IAccessControl(address(registry));
        if (access.hasRole(role, who)) return;
        if (!access.hasRole(OPERATOR, operator)) {
            _try(_admin(), address(registry), abi.encodeCall(access.grantRole, (OPERATOR, operator)));
        }
        _try(operator, address(registry), abi.encodeCall(access.grantRole, (role, who)));
    }

    /* CAPACITY */

    function capacities(uint256 number) external turn(number) {
        uint256 choice = _draw(4);
        if (choice <= 1 || _capacities.length == 0) _registerCapacity();
        else if (choice == 2) _payDueCapacity();
        else _forfeit(_capacities[_draw(_capacities.length)]);
    }

    function _registerCapacity() internal {
        ICapacityRegister.CapacityContract memory terms;
        terms.nanogrid = _anySeat();
        terms.product = _draw(2) == 0 ? 2 : 4;
        uint16 month = FIRST_MONTH + uint16((clock - START) / 30 days);
        terms.firstMonth = _draw(12) == 0 ? uint16(_draw(65_536)) : month + uint16(_draw(2));
        terms.months = uint16(_between(1, 2));
        terms.powerW = uint32(_between(1000, 4000));
        terms.availabilityPriceUeurKwH = uint32(_draw(2000));
        terms.salt = ++salt;
        bytes32 message = keccak256(abi.encode(CONTRACT, terms));
        (address from, bytes memory signature) =
            _authorise(_dsoOf(uint32(terms.nanogrid >> 16)), registerDomain, message);
        (bool ok, bytes memory answer) =
            _try(from, address(register), abi.encodeCall(register.registerContract, (terms, signature)));
        if (!ok) return;
        _capacities.push(Capacity(abi.decode(answer, (bytes32)), terms.nanogrid, terms.firstMonth));
    }

    function _payDueCapacity() internal {
        if (_capacities.length != 0) _payAvailability(_dueCapacity());
    }

    /// @dev The next whose month is over and open, if there is one.
    function _dueCapacity() private returns (Capacity memory) {
        uint256 first = _draw(_capacities.length);
        for (uint256 i = 0; i < _capacities.length; ++i) {
            Capacity memory contract_ = _capacities[(first + i) % _capacities.length];
            bool isOver = clock > START + (uint256(contract_.month) + 1 - FIRST_MONTH) * 31 days;
            if (isOver && !_monthClosed[contract_.id][contract_.month]) return contract_;
        }
        return _capacities[first];
    }

    function _payAvailability(Capacity memory contract_) private {
        bytes memory data = abi.encodeCall(register.payAvailability, (contract_.id, contract_.month));
        if (_tryOk(stranger, address(register), data)) _closeMonth(contract_);
    }

    function _forfeit(Capacity memory contract_) private {
        bytes32 message = keccak256(abi.encode(FORFEIT, contract_.id, contract_.month));
        (address from, bytes memory signature) =
            _authorise(_dsoOf(uint32(contract_.nanogrid >> 16)), registerDomain, message);
        bytes memory data = abi.encodeCall(register.forfeitAvailability, (contract_.id, contract_.month, signature));
        if (_tryOk(from, address(register), data)) _closeMonth(contract_);
    }

    function _closeMonth(Capacity memory contract_) private {
        require(!_monthClosed[contract_.id][contract_.month], "a month closed twice");
        _monthClosed[contract_.id][contract_.month] = true;
    }

    function _dsoOf(uint32 portfolio) internal view returns (address) {
        return registry.nodeOf(registry.portfolioOf(portfolio).node).dso;
    }

    /* WHAT A STRANGER MUST NEVER DO */

    /// @dev Calls of a role or of another contract of the market, by nobody who has it.
    function trespasses(uint256 number) external turn(number) {
        address r = address(registry);
        address s = address(settlement);
        uint48 nanogrid = _anySeat();
        uint256 choice = _draw(16);
        if (choice == 0) {
            _refused(r, abi.encodeCall(registry.suspendSeat, (nanogrid, "x")));
        } else if (choice == 1) {
            _refused(r, abi.encodeCall(registry.setCover, (nanogrid, 9)));
        } else if (choice == 2) {
            _refused(s, abi.encodeCall(settlement.unseatGateway, (nanogrid)));
        } else if (choice == 3) {
            _refused(s, abi.encodeCall(settlement.lock, (bytes32(number), dsos[0], 1)));
        } else if (choice == 4) {
            _refused(s, abi.encodeCall(settlement.moveEscrow, (bytes32(0), bytes32(number), 0)));
        } else if (choice == 5) {
            _refused(s, abi.encodeCall(settlement.release, (bytes32(0), stranger, 0)));
        } else if (choice == 6) {
            _refused(s, abi.encodeCall(settlement.reserveForCommand, (nanogrid, 900, dsos[0], 1)));
        } else if (choice == 7) {
            _refused(s, abi.encodeCall(settlement.payAvailability, (dsos[0], nanogrid, 1)));
        } else if (choice == 8) {
            _refused(s, abi.encodeCall(settlement.setGateway, (nanogrid, stranger)));
        } else if (choice == 9) {
            _refused(r, abi.encodeCall(registry.announceSeatTransfer, (nanogrid, stranger)));
        } else if (choice == 10) {
            _refused(r, abi.encodeCall(registry.setPaused, (1, 0, true)));
        } else if (choice == 11) {
            _refused(address(token), abi.encodeCall(token.mint, (stranger, 1, "x")));
        } else if (choice == 12) {
            _refused(address(token), abi.encodeCall(token.burn, (1, "x")));
        } else if (choice == 13) {
            _refused(s, abi.encodeCall(settlement.openAwards, (bytes32(number))));
        } else if (choice == 14) {
            _refused(s, abi.encodeCall(settlement.decideHold, (bytes32(number), 0, true)));
        } else {
            _refused(
                address(metering), abi.encodeCall(metering.anchorBaselines, (new IMeteringOracle.BaselineAnchor[](1)))
            );
        }
    }

    function _refused(address target, bytes memory data) private {
        address from = _draw(2) == 0 ? stranger : relayer;
        if (_tryOk(from, target, data)) revert StrangerAllowed(bytes4(data));
    }
}
