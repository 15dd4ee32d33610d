// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    IAccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/IAccessControlDefaultAdminRules.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {ICapacityRegister} from "contracts/interfaces/ICapacityRegister.sol";
import {IGridSignals} from "contracts/interfaces/IGridSignals.sol";
import {IMeritOrderAuction} from "contracts/interfaces/IMeritOrderAuction.sol";
import {IMeteringOracle} from "contracts/interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "contracts/interfaces/IParticipantRegistry.sol";
import {ISettlement} from "contracts/interfaces/ISettlement.sol";
import {CallCounter} from "./CallCounter.sol";
import {VM} from "./Vm.sol";
import {IToken} from "./IToken.sol";

/// @notice The deployed contracts, the people around them, their keys and the clock.
abstract contract Stage is CallCounter {
    uint256 internal constant U = 900;
    uint32 internal constant READING_DEADLINE = 4 * 900;
    uint32 internal constant HOLD_WINDOW = 900;
    uint32 internal constant HOLD_TERM = 1800;
    uint96 internal constant HOLD_BOND = 2_000_000;
    uint32 internal constant UNBONDING = 4 * READING_DEADLINE + HOLD_WINDOW + HOLD_TERM + HORIZON;
    /// @dev How long before their interval offers may open.
    uint32 internal constant HORIZON = 6 * 900;
    uint48 internal constant ADMIN_DELAY = 3600;
    /// @dev 2027-01-31 23:00 UTC: capacity contracts begin an hour later.
    uint256 internal constant START = 1_801_436_400;
    uint16 internal constant FIRST_MONTH = 2027 * 12 + 1;
    uint256 private constant P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;
    bytes32 internal constant OPERATOR = keccak256("OPERATOR");
    bytes32 internal constant ORACLE = keccak256("ORACLE");
    bytes32 internal constant REFEREE = keccak256("REFEREE");
    bytes32 internal constant DSO = keccak256("DSO");
    bytes32 internal constant AGGREGATOR = keccak256("AGGREGATOR");

    IParticipantRegistry internal registry;
    IGridSignals internal signals;
    ICapacityRegister internal register;
    IMeritOrderAuction internal auction;
    IMeteringOracle internal metering;
    ISettlement internal settlement;
    IToken internal token;
    bytes32 internal registryDomain;
    bytes32 internal signalsDomain;
    bytes32 internal registerDomain;
    bytes32 internal auctionDomain;
    bytes32 internal settlementDomain;

    address internal operator;
    address internal operatorTwo;
    address internal oracle;
    address internal referee;
    address internal relayer;
    address internal stranger;
    address[2] internal dsos;
    address[2] internal aggregators;
    address[2] internal delegates;
    address[] internal owners;
    /// @dev Everybody who can own an account: their balances and escrows are all that Settlement owes.
    address[] internal people;
    mapping(address => uint256) internal keyOf;
    /// @dev Gateways with keys on P-256.
    mapping(address => bool) internal onP256;
    uint48[] internal seats;
    uint32[] internal portfolios;
    uint64 internal salt;

    function _deploy() internal {
        clock = START;
        VM.warp(clock);
        _cast();
        uint256 nonce = VM.getNonce(address(this));
        address[7] memory places;
        for (uint256 i = 0; i < 7; ++i) {
            places[i] = VM.computeCreateAddress(address(this), nonce + i);
        }
        ISettlement.Parameters memory terms =
            ISettlement.Parameters(READING_DEADLINE, HOLD_WINDOW, HOLD_TERM, HOLD_BOND, UNBONDING);
        _create("ParticipantRegistry", abi.encode(operator, ADMIN_DELAY, uint32(U), places[5]), places[0]);
        _create("GridSignals", abi.encode(places[0], places[3], places[5]), places[1]);
        _create("CapacityRegister", abi.encode(places[0], places[5]), places[2]);
        _create("MeritOrderAuction", abi.encode(places[0], places[1], places[2], places[4], places[5]), places[3]);
        _create("MeteringOracle", abi.encode(places[0], places[5], READING_DEADLINE), places[4]);
        _create(
            "Settlement", abi.encode(places[0], places[1], places[2], places[3], places[4], places[6], terms), places[5]
        );
        _create("SettlementToken", abi.encode(places[0]), places[6]);
        registry = IParticipantRegistry(places[0]);
        signals = IGridSignals(places[1]);
        register = ICapacityRegister(places[2]);
        auction = IMeritOrderAuction(places[3]);
        metering = IMeteringOracle(places[4]);
        settlement = ISettlement(places[5]);
        token = IToken(places[6]);
        registryDomain = _domain(places[0]);
        signalsDomain = _domain(places[1]);
        registerDomain = _domain(places[2]);
        auctionDomain = _domain(places[3]);
        settlementDomain = _domain(places[5]);
    }

    function _create(string memory name, bytes memory arguments, address expected) private {
        string memory json = VM.readFile(string.concat("../../contracts/artifacts/", name, ".json"));
        bytes memory code = bytes.concat(VM.parseJsonBytes(json, ".bytecode"), arguments);
        address created;
        assembly ("memory-safe") {
            created := create(0, add(code, 32), mload(code))
        }
        require(created == expected, "not deployed");
    }

    function _cast() private {
        operator = _person("operator");
        operatorTwo = _person("operator two");
        oracle = _person("oracle");
        referee = _person("referee");
        relayer = _person("relayer");
        stranger = _person("stranger");
        for (uint256 i = 0; i < 2; ++i) {
            dsos[i] = _person(string.concat("dso ", i == 0 ? "one" : "two"));
            aggregators[i] = _person(string.concat("aggregator ", i == 0 ? "one" : "two"));
            delegates[i] = _person(string.concat("delegate ", i == 0 ? "one" : "two"));
        }
        for (uint256 i = 0; i < 6; ++i) {
            address owner = _person(string(abi.encodePacked("owner ", i)));
            owners.push(owner);
        }
    }

    function _person(string memory name) private returns (address who) {
        who = _key(uint256(keccak256(bytes(name))));
        people.push(who);
    }

    /// @dev The address of a key that is kept, so that it can sign.
    function _key(uint256 key) internal returns (address who) {
        who = VM.addr(key);
        keyOf[who] = key;
    }

    function _anyone() internal override returns (address) {
        return people[_draw(people.length)];
    }

    function _anySeat() internal returns (uint48) {
        return seats[_draw(seats.length)];
    }

    function _populate(uint256 largePortfolio) internal {
        _grant(ORACLE, oracle);
        _grant(REFEREE, referee);
        for (uint256 i = 0; i < 2; ++i) {
            _grant(DSO, dsos[i]);
            _grant(AGGREGATOR, aggregators[i]);
        }
        for (uint32 node = 1; node <= 2; ++node) {
            VM.prank(operator);
            registry.registerNode(node, dsos[node - 1], "node");
        }
        for (uint256 i = 0; i < people.length; ++i) {
            VM.prank(operator);
            token.mint(people[i], 2_000_000_000, "start");
            VM.prank(people[i]);
            token.approve(address(settlement), type(uint256).max);
        }
        _portfolio(1, 1, aggregators[0], largePortfolio);
        _portfolio(2, 2, aggregators[1], 5);
        _portfolio(3, 1, aggregators[1], 3);
        for (uint256 i = 0; i < 2; ++i) {
            VM.prank(dsos[i]);
            settlement.deposit(dsos[i], 40_000_000);
            VM.prank(aggregators[i]);
            settlement.deposit(aggregators[i], 40_000_000);
        }
        clock += U;
        VM.warp(clock);
    }

    function _portfolio(uint32 portfolio, uint32 node, address aggregator, uint256 count) private {
        VM.prank(operator);
        registry.registerPortfolio(portfolio, node, aggregator, "portfolio");
        portfolios.push(portfolio);
        for (uint256 i = 0; i < count; ++i) {
            address owner = owners[(i + portfolio) % owners.length];
            VM.prank(operator);
            uint48 nanogrid = registry.registerSeat(portfolio, owner, 4000, 300_000, uint32(clock + 60));
            _seated(nanogrid);
            VM.prank(operator);
            settlement.setGateway(nanogrid, _gatewayKey(nanogrid, 0));
            VM.prank(owner);
            settlement.fundBond(nanogrid, 8_000_000);
        }
    }

    function _seated(uint48 nanogrid) internal {
        seats.push(nanogrid);
    }

    function _gatewayKey(uint48 nanogrid, uint256 number) internal returns (address) {
        uint256 key = uint256(keccak256(abi.encode("gateway", nanogrid, number)));
        return key % 3 == 0 ? _p256Key(key >> 1) : _key(key);
    }

    /// @dev The key is below the curve's order.
    function _p256Key(uint256 key) private returns (address who) {
        (uint256 x, uint256 y) = VM.publicKeyP256(key);
        who = address(uint160(uint256(keccak256(abi.encode(x, y)))));
        keyOf[who] = key;
        onP256[who] = true;
    }

    function _grant(bytes32 role, address who) internal {
        VM.prank(operator);
        IAccessControl(address(registry)).grantRole(role, who);
    }

    /* SIGNATURES */

    function _domain(address checker) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Meritgrid"),
                keccak256("1"),
                block.chainid,
                checker
            )
        );
    }

    function _digest(bytes32 domain, bytes32 message) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    /// @dev Who sends, and with which signature: now the signer itself without one, now a carrier with it.
    function _authorise(address signer, bytes32 domain, bytes32 message)
        internal
        returns (address from, bytes memory signature)
    {
        if (keyOf[signer] == 0 || _draw(3) != 0) return (signer, "");
        return (_draw(2) == 0 ? relayer : stranger, _signature(signer, domain, message));
    }

    function _signature(address signer, bytes32 domain, bytes32 message) internal view returns (bytes memory) {
        uint256 key = keyOf[signer];
        (uint8 v, bytes32 r, bytes32 s) = VM.sign(key == 0 ? 7 : key, _digest(domain, message));
        return abi.encodePacked(r, s, v);
    }

    /// @dev 64 bytes, or 128 of a key on P-256.
    function _gatewaySignature(address gateway, bytes32 digest) internal view returns (bytes memory) {
        if (!onP256[gateway]) {
            (bytes32 r, bytes32 vs) = _compact(gateway, digest);
            return abi.encodePacked(r, vs);
        }
        (bytes32 first, bytes32 second) = VM.signP256(keyOf[gateway], digest);
        uint256 s = uint256(second);
        (uint256 x, uint256 y) = VM.publicKeyP256(keyOf[gateway]);
        return abi.encode(first, s > P256_ORDER / 2 ? P256_ORDER - s : s, x, y);
    }

    /// @dev EIP-2098.
    function _compact(address signer, bytes32 digest) internal view returns (bytes32 r, bytes32 vs) {
        uint256 key = keyOf[signer];
        return VM.signCompact(key == 0 ? 7 : key, digest);
    }

    function _moment(uint256 interval, uint256 hundredthsBefore) internal pure returns (uint256) {
        return interval - U * hundredthsBefore / 100;
    }

    function _registryRoles() internal view returns (IAccessControlDefaultAdminRules) {
        return IAccessControlDefaultAdminRules(address(registry));
    }
}
