// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICapacityRegister} from "./interfaces/ICapacityRegister.sol";
import {IGridSignals} from "./interfaces/IGridSignals.sol";
import {IMeritOrderAuction} from "./interfaces/IMeritOrderAuction.sol";
import {IMeteringOracle} from "./interfaces/IMeteringOracle.sol";
import {IParticipantRegistry} from "./interfaces/IParticipantRegistry.sol";
import {ISettlement} from "./interfaces/ISettlement.sol";
import {ISettlementJudge} from "./interfaces/ISettlementJudge.sol";
import {SettlementJudge} from "./SettlementJudge.sol";
import {AwardEnd, AwardEnds} from "./libraries/AwardEnd.sol";
import {AwardMarks} from "./libraries/AwardMarks.sol";
import {BidRecord} from "./libraries/BidRecord.sol";
import {GatewaySignature} from "./libraries/GatewaySignature.sol";
import {Ledger} from "./libraries/Ledger.sol";
import {OfferTerms} from "./libraries/OfferTerms.sol";
import {PurchaseRun} from "./libraries/PurchaseRun.sol";
import {SettlementMath} from "./libraries/SettlementMath.sol";
import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {LowLevelCall} from "@openzeppelin/contracts/utils/LowLevelCall.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

contract Settlement is ISettlement, EIP712, ReentrancyGuard {
    using Ledger for Ledger.Books;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    bytes32 private constant OPERATOR_ROLE = keccak256("OPERATOR");
    bytes32 private constant REFEREE_ROLE = keccak256("REFEREE");

    bytes32 private constant ENROLMENT_TYPEHASH = keccak256("Enrolment(uint48 nanogrid,address gateway)");
    bytes32 private constant WITHDRAWAL_TYPEHASH =
        keccak256("Withdrawal(address account,uint256 amountUeur,uint32 nonce)");
    bytes32 private constant UNBONDING_TYPEHASH = keccak256("Unbonding(uint48 nanogrid,uint96 amountUeur,uint32 nonce)");
    bytes32 private constant HOLD_TYPEHASH = keccak256("Hold(bytes32 offer,uint32 ordinal,bytes32 reason)");

    /// @dev Of an offer's id and its binding, one behind the other.
    uint256 private constant KEY_BYTES = 7 * 32;

    bytes32 private constant SUSPENDED_BY_DEBT = "DEBT";
    bytes32 private constant SUSPENDED_BY_READINGS = "READINGS_ANNULLED";

    /// @dev A one-time enrolment: one slot.
    struct Enrolment {
        address code;
        uint64 expiresAt;
    }

    /// @dev The DSO behind a RED command; its reserve is an escrow.
    struct CommandPayment {
        address dso;
        bool settled;
    }

    /// @dev One for each award at most, ever. Active until `endedAt` is set. It takes the award's mark with it: from then on whether the
    /// award has ended stands here. The record spares the referee the proof.
    struct HoldState {
        address holder;
        uint64 endedAt;
        bool isSettled;
        BidRecord record;
        uint64 decideBy;
    }

    /// @dev Awards of one offer that end together, and what they come to. [micro-euro]
    /// @param key Of their marks
    /// @param isBound The binding behind it is known to be the offer's; else it is as soon as an award has its mark
    struct Batch {
        PurchaseRun.Batch run;
        bytes32 offer;
        bytes32 key;
        bool isBound;
        bool isSale;
        address payer;
        address aggregator;
        uint256 soldUeur;
        uint256 penaltiesUeur;
    }

    IParticipantRegistry public immutable registry;
    IGridSignals public immutable signals;
    ICapacityRegister public immutable capacityRegister;
    IMeritOrderAuction public immutable auction;
    IMeteringOracle public immutable metering;
    IERC20 public immutable token;
    ISettlementJudge public immutable judge;

    uint32 public immutable readingDeadlineS;
    uint32 public immutable holdWindowS;
    uint32 public immutable holdTermS;
    uint96 public immutable holdBondUeur;
    /// @inheritdoc ISettlement
    uint32 public immutable unbondingS;
    /// @inheritdoc ISettlement
    uint32 public immutable offerHorizonS;

    Ledger.Books private _books;
    mapping(address gateway => uint48 nanogrid) private _seatOfGateway;
    mapping(uint48 nanogrid => Enrolment) private _enrolments;
    mapping(uint48 nanogrid => uint32) private _unbondingNonces;
    mapping(uint48 nanogrid => mapping(uint32 interval => CommandPayment)) private _commands;
    /// @dev Marks of awards that have neither ended nor ever been held, by the hash of offer and binding: a mark is there only if the
    /// auction made the offer final with just that binding.
    mapping(bytes32 key => mapping(uint256 word => uint256)) private _open;
    mapping(bytes32 offer => mapping(uint32 ordinal => HoldState)) private _holds;

    constructor(
        address registry_,
        address signals_,
        address capacityRegister_,
        address auction_,
        address metering_,
        address token_,
        Parameters memory parameters
    ) EIP712("Meritgrid", "1") {
        registry = IParticipantRegistry(registry_);
        signals = IGridSignals(signals_);
        capacityRegister = ICapacityRegister(capacityRegister_);
        auction = IMeritOrderAuction(auction_);
        metering = IMeteringOracle(metering_);
        token = IERC20(token_);
        readingDeadlineS = parameters.readingDeadlineS;
        holdWindowS = parameters.holdWindowS;
        holdTermS = parameters.holdTermS;
        holdBondUeur = parameters.holdBondUeur;
        unbondingS = parameters.unbondingS;
        offerHorizonS = _offerHorizonS(parameters);
        judge = new SettlementJudge(
            IParticipantRegistry(registry_),
            IGridSignals(signals_),
            IMeritOrderAuction(auction_),
            IMeteringOracle(metering_),
            _domainSeparatorV4(),
            parameters.readingDeadlineS,
            parameters.holdWindowS
        );
    }

    modifier onlyAuction() {
        if (msg.sender != address(auction)) revert OnlyAuction(msg.sender);
        _;
    }

    /* GATEWAYS */

    /// @inheritdoc ISettlement
    function setGateway(uint48 nanogrid, address gateway) external {
        _requireOperator();
        _seatGateway(nanogrid, gateway);
    }

    /// @inheritdoc ISettlement
    function openEnrolment(uint48 nanogrid, address code, uint64 expiresAt) external {
        _requireOperator();
        _ownerOf(nanogrid);
        if (code == address(0)) revert IParticipantRegistry.ZeroAddress();
        _enrolments[nanogrid] = Enrolment({code: code, expiresAt: expiresAt});
        emit EnrolmentOpened(nanogrid, code, expiresAt);
    }

    /// @inheritdoc ISettlement
    function enrolGateway(
        uint48 nanogrid,
        address gateway,
        bytes calldata codeSignature,
        bytes calldata gatewaySignature
    ) external {
        bytes32 message = keccak256(abi.encode(ENROLMENT_TYPEHASH, nanogrid, gateway));
        Enrolment memory enrolment = _enrolments[nanogrid];
        address code = _signerOf(message, codeSignature);
        if (enrolment.code == address(0) || code != enrolment.code) revert EnrolmentUnknown(nanogrid, code);
        if (block.timestamp > enrolment.expiresAt) revert EnrolmentExpired(nanogrid, enrolment.expiresAt);
        address signer = gatewaySignature.length == GatewaySignature.P256_BYTES
            ? GatewaySignature.signerOf(_hashTypedDataV4(message), gatewaySignature)
            : _signerOf(message, gatewaySignature);
        if (gateway == address(0) || signer != gateway) revert NotAccount(gateway, signer);
        delete _enrolments[nanogrid];
        _seatGateway(nanogrid, gateway);
    }

    /// @inheritdoc ISettlement
    function unseatGateway(uint48 nanogrid) external {
        if (msg.sender != address(metering)) revert OnlyModule(msg.sender);
        _seatGateway(nanogrid, address(0));
        registry.suspendSeat(nanogrid, SUSPENDED_BY_READINGS);
    }

    /// @dev A gateway serves one seat only; address 0 leaves the seat without one.
    function _seatGateway(uint48 nanogrid, address gateway) private {
        _ownerOf(nanogrid);
        uint48 other = _seatOfGateway[gateway];
        if (gateway != address(0)) {
            if (_books.seats[other].gateway() == gateway) revert GatewayInUse(gateway, other);
            _seatOfGateway[gateway] = nanogrid;
        }
        _books.seats[nanogrid] = _books.seats[nanogrid].withGateway(gateway);
        emit GatewayChanged(nanogrid, gateway);
    }

    /* ACCOUNTS */

    /// @inheritdoc ISettlement
    function deposit(address account, uint256 amountUeur) external nonReentrant {
        _deposit(account, amountUeur, msg.sender);
    }

    /// @inheritdoc ISettlement
    function depositWithPermit(address account, uint256 amountUeur, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        _permit(account, amountUeur, deadline, v, r, s);
        _deposit(account, amountUeur, account);
    }

    /// @inheritdoc ISettlement
    function withdraw(Withdrawal calldata withdrawal, bytes calldata signature) external nonReentrant {
        address account = withdrawal.account;
        address signer = _signerOf(
            keccak256(abi.encode(WITHDRAWAL_TYPEHASH, account, withdrawal.amountUeur, withdrawal.nonce)), signature
        );
        if (signer == address(0) || signer != account) revert NotAccount(account, signer);
        Ledger.Account memory books = _books.accounts[account];
        if (withdrawal.nonce != books.nonce) revert StaleNonce(withdrawal.nonce, books.nonce);
        if (books.debtUeur != 0) revert AccountInDebt(account, books.debtUeur);
        if (withdrawal.amountUeur == 0) revert NothingToWithdraw();
        _books.accounts[account].nonce = books.nonce + 1;
        _books.debitAccount(account, withdrawal.amountUeur);
        emit Withdrawn(account, withdrawal.amountUeur);
        _payTokens(account, withdrawal.amountUeur);
    }

    /// @inheritdoc ISettlement
    function payOut(uint48 nanogrid) external nonReentrant returns (uint256 amountUeur) {
        address owner = _ownerOf(nanogrid);
        amountUeur = _books.debitSeat(nanogrid, type(uint256).max);
        if (amountUeur == 0) revert NothingToWithdraw();
        emit PaidOut(nanogrid, owner, amountUeur);
        _payTokens(owner, amountUeur);
    }

    function _deposit(address account, uint256 amountUeur, address from) private {
        if (account == address(0)) revert IParticipantRegistry.ZeroAddress();
        _books.creditAccount(account, amountUeur);
        emit Deposited(account, amountUeur, from);
        _books.payAccountDebts(account);
        _takeTokens(from, amountUeur);
    }

    /* BONDS */

    /// @inheritdoc ISettlement
    function fundBond(uint48 nanogrid, uint256 amountUeur) external nonReentrant {
        _fundBond(nanogrid, amountUeur, msg.sender);
    }

    /// @inheritdoc ISettlement
    function fundBondWithPermit(
        uint48 nanogrid,
        address from,
        uint256 amountUeur,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        if (from != msg.sender && from != _ownerOf(nanogrid)) revert NotSeatOwner(nanogrid, from);
        _permit(from, amountUeur, deadline, v, r, s);
        _fundBond(nanogrid, amountUeur, from);
    }

    /// @inheritdoc ISettlement
    function startUnbonding(Unbonding calldata unbonding, bytes calldata signature) external {
        uint48 nanogrid = unbonding.nanogrid;
        address signer = _signerOf(
            keccak256(abi.encode(UNBONDING_TYPEHASH, nanogrid, unbonding.amountUeur, unbonding.nonce)), signature
        );
        if (signer != _ownerOf(nanogrid)) revert NotSeatOwner(nanogrid, signer);
        uint32 nonce = _unbondingNonces[nanogrid];
        if (unbonding.nonce != nonce) revert StaleNonce(unbonding.nonce, nonce);
        Ledger.Bond storage bond = _books.bonds[nanogrid];
        uint96 bondUeur = bond.bondUeur;
        // What an owner before is still to be paid stays apart: it is not put off, and not mixed with this one's.
        if (bond.unbondingUeur != 0 && bond.unbondingTo != signer) revert UnbondingPending(nanogrid, bond.availableAt);
        if (unbonding.amountUeur > bondUeur) revert InsufficientBond(nanogrid, bondUeur, unbonding.amountUeur);
        _unbondingNonces[nanogrid] = nonce + 1;
        bond.bondUeur = bondUeur - unbonding.amountUeur;
        bond.unbondingUeur += unbonding.amountUeur;
        bond.availableAt = uint64(block.timestamp + unbondingS);
        bond.unbondingTo = signer;
        emit UnbondingStarted(nanogrid, unbonding.amountUeur, bond.availableAt);
        _updateCover(nanogrid);
    }

    /// @inheritdoc ISettlement
    function requireWithinHorizon(uint32 interval) external view {
        if (block.timestamp + offerHorizonS < interval) revert OfferTooEarly(interval, interval - offerHorizonS);
    }

    /// @inheritdoc ISettlement
    function withdrawBond(uint48 nanogrid) external nonReentrant {
        Ledger.Bond storage bond = _books.bonds[nanogrid];
        uint256 amountUeur = bond.unbondingUeur;
        if (amountUeur == 0) revert NothingToWithdraw();
        if (block.timestamp < bond.availableAt) revert UnbondingPending(nanogrid, bond.availableAt);
        address owner = bond.unbondingTo;
        bond.unbondingUeur = 0;
        emit BondWithdrawn(nanogrid, owner, amountUeur);
        _payTokens(owner, amountUeur);
    }

    /// @dev From the interval's start an award takes up to three reading deadlines, a hold window and a term: it is announced at the
    /// deadline, held when the window ends, decided when the term does, and each of the two moved the deadline by one. Where `unbondingS`
    /// is too short for that, the subtraction fails and nothing is deployed.
    function _offerHorizonS(Parameters memory parameters) private pure returns (uint32) {
        return parameters.unbondingS - (4 * parameters.readingDeadlineS + parameters.holdWindowS + parameters.holdTermS);
    }

    function _fundBond(uint48 nanogrid, uint256 amountUeur, address from) private {
        _ownerOf(nanogrid);
        emit BondFunded(nanogrid, amountUeur, from);
        uint256 bondedUeur = amountUeur;
        if (_books.seats[nanogrid].inDebt()) bondedUeur = _books.paySeatDebts(nanogrid, amountUeur);
        Ledger.Bond storage bond = _books.bonds[nanogrid];
        bond.bondUeur = (uint256(bond.bondUeur) + bondedUeur.toUint96()).toUint96();
        _updateCover(nanogrid);
        _takeTokens(from, amountUeur);
    }

    function _updateCover(uint48 nanogrid) private {
        registry.setCover(nanogrid, SettlementMath.coverCents(_books.bonds[nanogrid].bondUeur));
    }

    /// @dev A seat owes a penalty: its bond pays, the rest becomes a debt. Returns what the bond paid.
    function _charge(uint48 nanogrid, address creditor, uint256 dueUeur) private returns (uint256 chargedUeur) {
        if (dueUeur == 0) return 0;
        chargedUeur = _books.chargeBond(nanogrid, creditor, dueUeur);
        if (chargedUeur != 0) _updateCover(nanogrid);
        if (chargedUeur < dueUeur) {
            _books.addSeatDebt(nanogrid, creditor, dueUeur - chargedUeur);
            registry.suspendSeat(nanogrid, SUSPENDED_BY_DEBT);
        }
    }

    /* ESCROW */

    /// @inheritdoc ISettlement
    function lock(bytes32 id, address account, uint256 amountUeur) external onlyAuction {
        uint256 debtUeur = _books.accounts[account].debtUeur;
        if (debtUeur != 0) revert AccountInDebt(account, debtUeur);
        _books.lock(id, account, amountUeur);
    }

    /// @inheritdoc ISettlement
    function moveEscrow(bytes32 from, bytes32 to, uint256 amountUeur) external onlyAuction {
        _books.escrows[from] -= amountUeur;
        _books.escrows[to] += amountUeur;
        emit EscrowMoved(from, to, amountUeur);
    }

    /// @inheritdoc ISettlement
    function release(bytes32 id, address account, uint256 amountUeur) external onlyAuction {
        _books.release(id, account, amountUeur);
    }

    /// @inheritdoc ISettlement
    function reserveForCommand(uint48 nanogrid, uint32 interval, address dso, uint256 amountUeur)
        external
        returns (uint256 reservedUeur)
    {
        if (msg.sender != address(signals)) revert OnlyModule(msg.sender);
        uint256 balanceUeur = _books.accounts[dso].balanceUeur;
        reservedUeur = Math.min(amountUeur, balanceUeur);
        _commands[nanogrid][interval] = CommandPayment({dso: dso, settled: false});
        _books.lock(commandEscrowId(nanogrid, interval), dso, reservedUeur);
    }

    /// @inheritdoc ISettlement
    function payAvailability(address dso, uint48 nanogrid, uint256 amountUeur) external {
        if (msg.sender != address(capacityRegister)) revert OnlyModule(msg.sender);
        _books.debitAccount(dso, amountUeur);
        _books.creditSeat(nanogrid, amountUeur);
    }

    /* SETTLEMENT */

    /// @inheritdoc ISettlement
    function openAwards(bytes32 offer) external onlyAuction {
        Binding memory binding = judge.bindingOf(offer);
        mapping(uint256 word => uint256) storage open = _open[_keyOf(offer, binding)];
        uint256 count = binding.terms.awardCount();
        for (uint256 word = 0; word << 8 < count; ++word) {
            open[word] = AwardMarks.firstOf(count, word);
        }
    }

    /// @inheritdoc ISettlement
    function settle(
        bytes32 offer,
        Binding calldata binding,
        bytes calldata baselines,
        AwardRange calldata awards,
        bytes calldata readings
    ) external {
        bytes memory ends = judge.byReadings(msg.sender, offer, binding, baselines, awards, readings);
        _book(_batchOf(offer, _givenKey(), false, binding.terms, binding.payer, binding.aggregator), ends);
    }

    /// @inheritdoc ISettlement
    function settleAward(
        bytes32 offer,
        Binding calldata binding,
        bytes32,
        bytes calldata,
        bytes calldata,
        bytes32[] calldata
    ) external {
        // The judge takes the same call with its caller behind it: to encode the arguments anew would cost 5 % more.
        (bool isJudged, bytes32 end, bytes32 gateway) =
            LowLevelCall.staticcallReturn64Bytes(address(judge), bytes.concat(msg.data, bytes20(msg.sender)));
        if (!isJudged) LowLevelCall.bubbleRevert();
        Batch memory batch =
            _batchOf(offer, _givenKey(), false, binding.terms, binding.payer, binding.aggregator);
        _book(batch, AwardEnds.listOf(AwardEnd.wrap(uint256(end)), address(uint160(uint256(gateway)))));
    }

    /// @inheritdoc ISettlement
    function expireAwards(bytes32 offer, AwardRange calldata awards) external {
        (Binding memory binding, bytes memory ends) = judge.byExpiry(offer, awards);
        bytes32 key = _keyOf(offer, binding);
        _book(_batchOf(offer, key, true, binding.terms, binding.payer, binding.aggregator), ends);
    }

    /// @dev Books judged awards, in runs of those that end as most do, and once at the end the sums of payer, aggregator and escrow. A word
    /// of marks is written when the next award has its mark in another one.
    // slither-disable-next-line reentrancy-no-eth -- the calls are the registry's setCover and suspendSeat, which call nobody
    function _book(Batch memory batch, bytes memory ends) private {
        uint256 count = AwardEnds.countOf(ends);
        if (count == 0) {
            _requireBound(batch);
            return;
        }
        PurchaseRun.Batch memory run = batch.run;
        run.ends = ends;
        run.results = AwardEnds.resultsOf(count);
        // slither-disable-next-line unused-return -- what it ends by is read with the others
        (AwardEnd first,) = AwardEnds.at(ends, 0);
        _openWord(batch, AwardMarks.wordOf(first.ordinal()));
        for (uint256 place = 0; place < count;) {
            (AwardEnd end, address gateway) = AwardEnds.at(ends, place);
            uint256 number = AwardMarks.wordOf(end.ordinal());
            if (number != run.wordNumber) {
                _open[batch.key][run.wordNumber] = run.open;
                _openWord(batch, number);
            }
            uint256 next = batch.isSale ? place : PurchaseRun.book(run, _books.seats, place);
            if (next == place) _bookOne(batch, end, gateway);
            place = next == place ? place + 1 : next;
        }
        _open[batch.key][run.wordNumber] = run.open;
        _bookTotals(batch);
        if (run.results.length != 0) emit AwardsSettled(batch.offer, run.results);
    }

    function _openWord(Batch memory batch, uint256 number) private view {
        batch.run.wordNumber = number;
        batch.run.open = _open[batch.key][number];
    }

    function _batchOf(
        bytes32 offer,
        bytes32 key,
        bool isBound,
        OfferTerms terms,
        address payer,
        address aggregator
    ) private pure returns (Batch memory batch) {
        batch.offer = offer;
        batch.key = key;
        batch.isBound = isBound;
        batch.isSale = terms.side() == IMeritOrderAuction.Side.SELL;
        batch.payer = payer;
        batch.aggregator = aggregator;
        batch.run.firstNanogrid = uint256(terms.portfolio()) << 16;
        batch.run.requestPriceUeurKwh = terms.requestPriceUeurKwh();
    }

    function _bookOne(Batch memory batch, AwardEnd end, address gateway) private {
        PurchaseRun.Batch memory run = batch.run;
        uint24 ordinal = end.ordinal();
        uint48 nanogrid = uint48(run.firstNanogrid) | end.record().index();
        bool isOpen = AwardMarks.isMarked(run.open, ordinal);
        Skip skip = isOpen ? Skip.NONE : _skipWithoutMark(batch, end);
        if (skip == Skip.NONE) skip = _books.seats[nanogrid].isServedBy(gateway) ? end.skip() : Skip.BAD_SIGNATURE;
        if (skip != Skip.NONE) {
            emit AwardSkipped(batch.offer, ordinal, uint8(skip));
            return;
        }
        if (isOpen) run.open = AwardMarks.withoutMark(run.open, ordinal);
        else _holds[batch.offer][ordinal].isSettled = true;
        if (batch.isSale) _endSale(nanogrid, end, batch);
        else _endPurchase(nanogrid, end, run);
        batch.penaltiesUeur += _charge(nanogrid, batch.payer, SettlementMath.penaltyOf(end));
        end.pushResult(run.results);
    }

    /// @dev An award without its mark has ended, or there is or was a hold on it, or the binding is not the offer's.
    function _skipWithoutMark(Batch memory batch, AwardEnd end) private view returns (Skip) {
        _requireBound(batch);
        HoldState storage hold = _holds[batch.offer][end.ordinal()];
        if (hold.holder == address(0) || hold.isSettled) return Skip.ALREADY_SETTLED;
        uint256 endedAt = hold.endedAt;
        if (endedAt == 0) return Skip.ON_HOLD;
        bool isEarly = end.isMissing() && block.timestamp < endedAt + readingDeadlineS;
        return isEarly ? Skip.DEADLINE_NOT_REACHED : Skip.NONE;
    }

    function _requireBound(Batch memory batch) private view {
        if (batch.isBound) return;
        Binding memory binding = judge.bindingOf(batch.offer);
        if (!binding.terms.isFinal()) revert OfferNotFinal(batch.offer);
        if (_keyOf(batch.offer, binding) != batch.key) revert WrongBinding(batch.offer);
        batch.isBound = true;
    }

    /// @dev Of the offer and the binding with which a call begins, hashed as they came: the same as `_keyOf` when they are whole words.
    function _givenKey() private pure returns (bytes32) {
        return keccak256(msg.data[4:4 + KEY_BYTES]);
    }

    function _keyOf(bytes32 offer, Binding memory binding) private pure returns (bytes32) {
        return keccak256(abi.encode(offer, binding));
    }

    /// @dev BUY: of the award's escrow the seat is paid, the aggregator gets its margin, and the payer the rest.
    function _endPurchase(uint48 nanogrid, AwardEnd end, PurchaseRun.Batch memory run) private {
        (uint256 reserveUeur, uint256 spentUeur, uint256 paidUeur) =
            SettlementMath.purchaseOf(end, run.requestPriceUeurKwh);
        run.reservesUeur += reserveUeur;
        run.spentUeur += spentUeur;
        run.paidUeur += paidUeur;
        _books.creditSeat(nanogrid, paidUeur);
    }

    /// @dev SELL: the seat pays the aggregator, from its balance, then its bond, then as debt.
    function _endSale(uint48 nanogrid, AwardEnd end, Batch memory batch) private {
        uint256 dueUeur = SettlementMath.saleOf(end);
        uint256 takenUeur = _books.debitSeat(nanogrid, dueUeur);
        batch.soldUeur += takenUeur + _charge(nanogrid, batch.aggregator, dueUeur - takenUeur);
    }

    function _bookTotals(Batch memory batch) private {
        PurchaseRun.Batch memory run = batch.run;
        uint256 refundedUeur = run.reservesUeur - run.spentUeur;
        uint256 marginUeur = run.spentUeur - run.paidUeur;
        if (run.reservesUeur != 0) _books.escrows[batch.offer] -= run.reservesUeur;
        _books.creditAccount(batch.payer, refundedUeur + batch.penaltiesUeur);
        _books.creditAccount(batch.aggregator, marginUeur + batch.soldUeur);
    }

    /* COMMANDS */

    /// @inheritdoc ISettlement
    function settleCommand(
        uint48 nanogrid,
        uint32 interval,
        BaselineLeaf calldata baseline,
        AwardReading calldata reading,
        bytes32 awardOffer,
        AwardRange calldata award
    ) external {
        address dso = _openCommand(nanogrid, interval);
        ISettlementJudge.CommandJudgement memory judgement =
            judge.byCommand(msg.sender, nanogrid, interval, baseline, reading, awardOffer, award);
        _endCommand(nanogrid, interval, dso, judgement);
    }

    /// @inheritdoc ISettlement
    function expireCommand(uint48 nanogrid, uint32 interval) external {
        address dso = _openCommand(nanogrid, interval);
        judge.checkCommandExpiry(nanogrid, interval);
        // slither-disable-next-line uninitialized-local -- all zero: nothing delivered, nothing paid
        ISettlementJudge.CommandJudgement memory nothing;
        _endCommand(nanogrid, interval, dso, nothing);
    }

    /// @dev Pays from the reserve, then from the DSO's balance; the rest is the DSO's debt.
    function _endCommand(
        uint48 nanogrid,
        uint32 interval,
        address dso,
        ISettlementJudge.CommandJudgement memory judgement
    ) private {
        bytes32 id = commandEscrowId(nanogrid, interval);
        uint256 reservedUeur = _books.escrows[id];
        _commands[nanogrid][interval].settled = true;
        _books.escrows[id] = 0;
        _books.creditAccount(dso, reservedUeur);
        uint256 paidUeur = Math.min(judgement.dueUeur, _books.accounts[dso].balanceUeur);
        uint256 unpaidUeur = judgement.dueUeur - paidUeur;
        _books.debitAccount(dso, paidUeur);
        if (unpaidUeur != 0) _books.addAccountDebt(dso, nanogrid, unpaidUeur);
        _books.creditSeat(nanogrid, paidUeur);
        emit CommandSettled(
            nanogrid,
            interval,
            judgement.delivered,
            judgement.baseline,
            judgement.metered,
            paidUeur,
            reservedUeur > judgement.dueUeur ? reservedUeur - judgement.dueUeur : 0,
            unpaidUeur
        );
    }

    function _openCommand(uint48 nanogrid, uint32 interval) private view returns (address dso) {
        CommandPayment storage payment = _commands[nanogrid][interval];
        dso = payment.dso;
        if (dso == address(0)) revert UnknownCommand(nanogrid, interval);
        if (payment.settled) revert CommandAlreadySettled(nanogrid, interval);
    }

    /* HOLDS */

    /// @inheritdoc ISettlement
    function placeHold(Hold calldata hold, AwardRange calldata award, bytes calldata signature) external {
        bytes32 offer = hold.offer;
        uint32 ordinal = hold.ordinal;
        address signer = _signerOf(keccak256(abi.encode(HOLD_TYPEHASH, offer, ordinal, hold.reason)), signature);
        BidRecord record = judge.checkHold(offer, ordinal, award, signer);
        HoldState storage hold_ = _holds[offer][ordinal];
        if (hold_.holder != address(0)) {
            if (hold_.isSettled) revert AlreadySettled(offer, ordinal);
            revert HoldExists(offer, ordinal);
        }
        mapping(uint256 word => uint256) storage open = _open[_keyOf(offer, judge.bindingOf(offer))];
        uint256 number = AwardMarks.wordOf(ordinal);
        uint256 marks = open[number];
        if (!AwardMarks.isMarked(marks, ordinal)) revert AlreadySettled(offer, ordinal);
        open[number] = AwardMarks.withoutMark(marks, ordinal);
        uint64 decideBy = uint64(block.timestamp + holdTermS);
        _holds[offer][ordinal] =
            HoldState({holder: signer, endedAt: 0, isSettled: false, record: record, decideBy: decideBy});
        _books.lock(_holdEscrowId(offer, ordinal), signer, holdBondUeur);
        emit HoldPlaced(offer, ordinal, signer, hold.reason, decideBy);
    }

    /// @inheritdoc ISettlement
    function decideHold(bytes32 offer, uint32 ordinal, bool upheld) external {
        if (!_hasRole(REFEREE_ROLE)) revert NotReferee(msg.sender);
        if (block.timestamp > _activeHold(offer, ordinal).decideBy) revert HoldTermOver(offer, ordinal);
        _endHold(offer, ordinal, upheld, false);
    }

    /// @inheritdoc ISettlement
    function lapseHold(bytes32 offer, uint32 ordinal) external {
        uint64 decideBy = _activeHold(offer, ordinal).decideBy;
        if (block.timestamp <= decideBy) revert HoldTermRunning(offer, ordinal, decideBy);
        _endHold(offer, ordinal, false, true);
    }

    /// @dev Upheld: the award ends without pay or penalty; the holder gets its bond back and as much again from the seat's, as far as it
    /// reaches. Else the seat gets the holder's bond, and the award may be settled.
    // slither-disable-next-line reentrancy-no-eth -- the calls are the registry's setCover and suspendSeat, which call nobody
    function _endHold(bytes32 offer, uint32 ordinal, bool upheld, bool lapsed) private {
        HoldState storage hold = _holds[offer][ordinal];
        address holder = hold.holder;
        hold.endedAt = uint64(block.timestamp);
        emit HoldDecided(offer, ordinal, upheld, lapsed);
        Binding memory binding = judge.bindingOf(offer);
        AwardEnd end = SettlementMath.heldBack(AwardEnds.open(hold.record, ordinal));
        uint48 nanogrid = uint48(binding.terms.portfolio()) << 16 | end.record().index();
        _books.escrows[_holdEscrowId(offer, ordinal)] -= holdBondUeur;
        if (!upheld) {
            _books.creditSeat(nanogrid, holdBondUeur);
            return;
        }
        uint256 chargedUeur = _books.chargeBond(nanogrid, holder, holdBondUeur);
        _books.creditAccount(holder, holdBondUeur + chargedUeur);
        if (chargedUeur != 0) _updateCover(nanogrid);
        bytes32 key = _keyOf(offer, binding);
        Batch memory batch = _batchOf(offer, key, true, binding.terms, binding.payer, binding.aggregator);
        _book(batch, AwardEnds.listOf(end, address(0)));
    }

    function _activeHold(bytes32 offer, uint32 ordinal) private view returns (HoldState storage hold) {
        hold = _holds[offer][ordinal];
        if (!_isActive(hold)) revert UnknownHold(offer, ordinal);
    }

    function _isActive(HoldState storage hold) private view returns (bool) {
        return hold.holder != address(0) && hold.endedAt == 0;
    }

    function _holdEscrowId(bytes32 offer, uint32 ordinal) private pure returns (bytes32) {
        return keccak256(abi.encode(HOLD_TYPEHASH, offer, ordinal));
    }

    /* READERS */

    /// @inheritdoc ISettlement
    function gatewayOf(uint48 nanogrid) external view returns (address) {
        return _books.seats[nanogrid].gateway();
    }

    /// @inheritdoc ISettlement
    function seatBalance(uint48 nanogrid) external view returns (uint256) {
        return _books.seats[nanogrid].balanceUeur();
    }

    /// @inheritdoc ISettlement
    function bondOf(uint48 nanogrid)
        external
        view
        returns (uint256 bondUeur, uint256 unbondingUeur, uint64 availableAt)
    {
        Ledger.Bond memory bond = _books.bonds[nanogrid];
        return (bond.bondUeur, bond.unbondingUeur, bond.availableAt);
    }

    /// @inheritdoc ISettlement
    function seatDebt(uint48 nanogrid) external view returns (uint256) {
        return _books.seatDebt(nanogrid);
    }

    /// @inheritdoc ISettlement
    function balanceOf(address account) external view returns (uint256) {
        return _books.accounts[account].balanceUeur;
    }

    /// @inheritdoc ISettlement
    function debtOf(address account) external view returns (uint256) {
        return _books.accounts[account].debtUeur;
    }

    /// @inheritdoc ISettlement
    function nonceOf(address account) external view returns (uint32) {
        return _books.accounts[account].nonce;
    }

    /// @inheritdoc ISettlement
    function unbondingNonce(uint48 nanogrid) external view returns (uint32) {
        return _unbondingNonces[nanogrid];
    }

    /// @inheritdoc ISettlement
    function escrowOf(bytes32 id) external view returns (uint256) {
        return _books.escrows[id];
    }

    /// @inheritdoc ISettlement
    function commandEscrowId(uint48 nanogrid, uint32 interval) public pure returns (bytes32) {
        return keccak256(abi.encode(nanogrid, interval));
    }

    /// @inheritdoc ISettlement
    function holdOf(bytes32 offer, uint32 ordinal) external view returns (address holder, uint64 decideBy) {
        HoldState storage hold = _holds[offer][ordinal];
        if (_isActive(hold)) return (hold.holder, hold.decideBy);
    }

    /// @inheritdoc ISettlement
    function bindingOf(bytes32 offer) external view returns (Binding memory) {
        return judge.bindingOf(offer);
    }

    /// @inheritdoc ISettlement
    function isSettled(bytes32 offer, uint32 ordinal) external view returns (bool) {
        Binding memory binding = judge.bindingOf(offer);
        if (!binding.terms.isFinal() || ordinal >= binding.terms.awardCount()) return false;
        HoldState storage hold = _holds[offer][ordinal];
        if (hold.holder != address(0)) return hold.isSettled;
        return !AwardMarks.isMarked(_open[_keyOf(offer, binding)][AwardMarks.wordOf(ordinal)], ordinal);
    }

    /// @inheritdoc ISettlement
    function totalOwed() external view returns (uint256) {
        return _books.owedUeur;
    }

    /* TOKENS, ROLES, SIGNATURES */

    /// @dev Last in every body: all books are written before.
    function _takeTokens(address from, uint256 amountUeur) private {
        _books.receive_(amountUeur);
        token.safeTransferFrom(from, address(this), amountUeur);
    }

    /// @dev Last in every body: all books are written before.
    function _payTokens(address to, uint256 amountUeur) private {
        _books.pay(amountUeur);
        token.safeTransfer(to, amountUeur);
    }

    /// @dev A permit that somebody else has sent before us has done its work: the transfer shows whether the allowance is there.
    function _permit(address from, uint256 amountUeur, uint256 deadline, uint8 v, bytes32 r, bytes32 s) private {
        // solhint-disable-next-line no-empty-blocks
        try IERC20Permit(address(token)).permit(from, address(this), amountUeur, deadline, v, r, s) {} catch {}
    }

    /// @dev An empty signature means that the signer itself calls; 0 when the signature is not valid.
    function _signerOf(bytes32 message, bytes calldata signature) private view returns (address signer) {
        if (signature.length == 0) return msg.sender;
        // slither-disable-next-line unused-return -- a fault gives address 0, which is nobody
        (signer,,) = ECDSA.tryRecoverCalldata(_hashTypedDataV4(message), signature);
    }

    function _ownerOf(uint48 nanogrid) private view returns (address owner) {
        owner = registry.seatOf(nanogrid).owner;
        if (owner == address(0)) revert IParticipantRegistry.UnknownSeat(nanogrid);
    }

    function _hasRole(bytes32 role) private view returns (bool) {
        return IAccessControl(address(registry)).hasRole(role, msg.sender);
    }

    function _requireOperator() private view {
        if (!_hasRole(OPERATOR_ROLE)) {
            revert IParticipantRegistry.RoleMissing(msg.sender, OPERATOR_ROLE);
        }
    }
}
