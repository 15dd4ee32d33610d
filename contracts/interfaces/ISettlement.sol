// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {OfferTerms} from "../libraries/OfferTerms.sol";

/// @notice All money of the market: balances of seats and of accounts, bonds, escrow, pay as bid, penalties, holds, expiry, withdrawals.
/// @dev Pull payments only. Tokens held >= everything owed, under any order of calls.
interface ISettlement {
    enum Outcome {
        NONE,
        DELIVERED,
        SHORT,
        FAILED,
        REVOKED,
        ANNULLED
    }

    /// @notice The deploy parameters; each has a public getter of its name.
    /// @param readingDeadlineS After the interval's start; without a reading the award expires [s]
    /// @param holdWindowS From the announcement of a reading until it may be settled by anyone [s]
    /// @param holdTermS The referee's time to decide a hold [s]
    /// @param holdBondUeur What a hold costs its holder if it is not upheld [micro-euro]
    /// @param unbondingS From the start of an unbonding until it is paid; see offerHorizonS [s]
    struct Parameters {
        uint32 readingDeadlineS;
        uint32 holdWindowS;
        uint32 holdTermS;
        uint96 holdBondUeur;
        uint32 unbondingS;
    }

    /// @notice Consecutive leaves of an offer's awards from `firstLeaf` on (12-byte award records, eight a leaf; only the offer's last
    /// leaf may be shorter) and one proof for all of them.
    struct AwardRange {
        uint32 firstLeaf;
        bytes awards;
        bytes32[] proof;
    }

    /// @notice What an offer's settlement rests on. It is fixed when the result is final; Settlement keeps its hash and compares what
    /// callers give, which costs less than to read it from three contracts for every settlement.
    /// @param terms The auction's (termsOf), with the node also where the offer is INTERNAL
    /// @param payer Who pays for the energy: the request's DSO, or the aggregator for INTERNAL
    /// @param baselineCount Values in the portfolio's baseline vector, and their root
    struct Binding {
        OfferTerms terms;
        address payer;
        address aggregator;
        uint16 baselineCount;
        bytes32 awardsRoot;
        bytes32 baselineRoot;
    }

    /// @notice A gateway's reading for the award with that ordinal.
    /// @param signature The gateway's: see GatewaySignature; empty for a reading that was announced
    struct AwardReading {
        uint32 ordinal;
        int32 activeEnergyWh;
        int32 reactiveEnergyVarh;
        uint32 sequence;
        bytes signature;
    }

    /// @notice One leaf of a baseline vector: eight int32 (big endian), and its Merkle proof.
    struct BaselineLeaf {
        uint32 leafIndex;
        bytes32 values;
        bytes32[] proof;
    }

    /// @notice EIP-712 messages of account or seat owners.
    struct Withdrawal {
        address account;
        uint256 amountUeur;
        uint32 nonce;
    }

    struct Unbonding {
        uint48 nanogrid;
        uint96 amountUeur;
        uint32 nonce;
    }

    /// @notice EIP-712 message of the aggregator, the DSO or the verifier who stops an award's payment.
    struct Hold {
        bytes32 offer;
        uint32 ordinal;
        bytes32 reason;
    }

    event GatewayChanged(uint48 indexed nanogrid, address indexed gateway);
    event EnrolmentOpened(uint48 indexed nanogrid, address indexed code, uint64 expiresAt);
    event Deposited(address indexed account, uint256 amountUeur, address indexed from);
    event Withdrawn(address indexed account, uint256 amountUeur);
    event PaidOut(uint48 indexed nanogrid, address indexed owner, uint256 amountUeur);
    event BondFunded(uint48 indexed nanogrid, uint256 amountUeur, address indexed from);
    event UnbondingStarted(uint48 indexed nanogrid, uint256 amountUeur, uint64 availableAt);
    event BondWithdrawn(uint48 indexed nanogrid, address indexed owner, uint256 amountUeur);
    event EscrowMoved(bytes32 indexed from, bytes32 indexed to, uint256 amountUeur);
    event EscrowLocked(bytes32 indexed id, address indexed account, uint256 amountUeur);
    event EscrowReleased(bytes32 indexed id, address indexed account, uint256 amountUeur);
    /// @notice Awards came to their end, 15 bytes each: ordinal 24 | outcome 8 | delivered 24 | baseline 32 | metered 32, energies in Wh
    /// (varh). The amounts follow from the award's record (event Finalised), the request's price and the rules of settlement; an award
    /// that HoldDecided ended before, upheld, is without penalty. REVOKED is without penalty, and pays what is delivered: nothing where
    /// RED came before the interval, what the reading shows where a command interrupted an award that had begun.
    event AwardsSettled(bytes32 indexed offer, bytes results);
    event AwardSkipped(bytes32 indexed offer, uint32 ordinal, uint8 reason);
    event CommandSettled(
        uint48 indexed nanogrid,
        uint32 indexed interval,
        uint24 delivered,
        int32 baseline,
        int32 metered,
        uint256 paidUeur,
        uint256 refundedUeur,
        uint256 unpaidUeur
    );
    event SeatDebtChanged(uint48 indexed nanogrid, address indexed creditor, uint256 debtUeur);
    /// @notice What was taken from a seat's bond: a penalty, a sale's price or an upheld hold.
    event BondCharged(uint48 indexed nanogrid, address indexed creditor, uint256 amountUeur);
    /// @notice What a command left unpaid was paid to the seat out of the account's balance.
    event AccountDebtPaid(address indexed account, uint48 indexed nanogrid, uint256 amountUeur);
    event AccountDebtChanged(address indexed account, uint256 debtUeur);
    event HoldPlaced(bytes32 indexed offer, uint32 indexed ordinal, address indexed holder, bytes32 reason, uint64 decideBy);
    event HoldDecided(bytes32 indexed offer, uint32 indexed ordinal, bool upheld, bool lapsed);

    enum Skip {
        NONE,
        ALREADY_SETTLED,
        ON_HOLD,
        BAD_SIGNATURE,
        NOT_ANNOUNCED,
        HOLD_WINDOW_OPEN,
        ANNULLED_READING,
        REPLACED_BY_COMMAND,
        DEADLINE_NOT_REACHED
    }

    error OnlyAuction(address caller);
    error OnlyModule(address caller);
    error InsufficientBalance(address account, uint256 balanceUeur, uint256 neededUeur);
    error InsufficientBond(uint48 nanogrid, uint256 bondUeur, uint256 neededUeur);
    error AccountInDebt(address account, uint256 debtUeur);
    error NotAccount(address account, address signer);
    error NotSeatOwner(uint48 nanogrid, address signer);
    error StaleNonce(uint32 given, uint32 expected);
    error EnrolmentUnknown(uint48 nanogrid, address code);
    error EnrolmentExpired(uint48 nanogrid, uint64 expiredAt);
    error GatewayInUse(address gateway, uint48 nanogrid);
    error OfferNotFinal(bytes32 offer);
    /// @notice Thrown when the given binding is not the offer's: see bindingOf.
    error WrongBinding(bytes32 offer);
    error WrongAwardProof(bytes32 offer, uint32 firstLeaf);
    error WrongBaselines(bytes32 offer);
    error MalformedAwards(uint256 length);
    error MalformedReadings(uint256 length);
    /// @notice Thrown when a reading, a hold or a command names an award that is not among those given.
    error AwardNotGiven(bytes32 offer, uint256 ordinal);
    error IntervalNotOver(uint32 interval);
    error NothingToWithdraw();
    error UnbondingPending(uint48 nanogrid, uint64 availableAt);
    /// @notice Thrown when an offer is opened so long before its interval that its bidders' bonds could be gone before its awards end.
    error OfferTooEarly(uint32 interval, uint256 earliest);
    error NotHoldParty(bytes32 offer, address signer);
    error HoldExists(bytes32 offer, uint32 ordinal);
    error UnknownHold(bytes32 offer, uint32 ordinal);
    error HoldTermOver(bytes32 offer, uint32 ordinal);
    error HoldTermRunning(bytes32 offer, uint32 ordinal, uint64 decideBy);
    error NotReferee(address caller);
    error AlreadySettled(bytes32 offer, uint32 ordinal);
    error UnknownCommand(uint48 nanogrid, uint32 interval);
    error CommandAlreadySettled(uint48 nanogrid, uint32 interval);
    /// @param reason One of Skip
    error CommandNotSettleable(uint48 nanogrid, uint32 interval, Skip reason);
    /// @notice Thrown when a command's settlement does not show the award that the command replaced.
    error ReplacedAwardMissing(uint48 nanogrid, uint32 interval);
    error BadReadingSignature(uint48 nanogrid, uint32 interval);
    error DeadlineNotReached(uint256 deadline);

    /* GATEWAYS */
    /// @notice The operator seats a gateway without its signature (address 0: nobody). An address does not tell the key's kind: where the
    /// chain has no P-256 precompile, no reading of a P-256 key that is seated so can be settled with its signature.
    function setGateway(uint48 nanogrid, address gateway) external;
    /// @notice The operator opens a one-time enrolment: `code` is the address of the one-time code's key.
    function openEnrolment(uint48 nanogrid, address code, uint64 expiresAt) external;
    /// @notice Binds a gateway's key to the seat. `codeSignature`: EIP-712 Enrolment(nanogrid, gateway) by the code's key;
    /// `gatewaySignature`: the same message by the gateway's own key, 65 bytes of a secp256k1 key, or the 128 of a P-256 key (see
    /// GatewaySignature), which is refused with MissingPrecompile where the chain cannot check it. Anyone may carry it; the code is
    /// used up.
    function enrolGateway(
        uint48 nanogrid,
        address gateway,
        bytes calldata codeSignature,
        bytes calldata gatewaySignature
    ) external;
    /// @notice Called by MeteringOracle when the gateway signed two readings that differ: unseats the key, suspends the seat.
    function unseatGateway(uint48 nanogrid) external;

    /* ACCOUNTS */
    /// @notice Credits tokens of the caller to an account. A debt of the account is paid first, the oldest parts of it, at most
    /// 32 at a time; a further deposit, also of 0, goes on.
    function deposit(address account, uint256 amountUeur) external;
    /// @notice ERC-2612 deposit of `account`'s own tokens, carried by anyone.
    function depositWithPermit(address account, uint256 amountUeur, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
    /// @notice Pays from an account to itself, by its signature or its own call; not while it is in debt.
    function withdraw(Withdrawal calldata withdrawal, bytes calldata signature) external;
    /// @notice Pays a seat's balance to its owner; anyone may call.
    function payOut(uint48 nanogrid) external returns (uint256 amountUeur);

    /* BONDS */
    /// @notice Adds the caller's tokens to a seat's bond; a debt of the seat is paid first.
    function fundBond(uint48 nanogrid, uint256 amountUeur) external;
    /// @notice The same by ERC-2612, carried by anyone. `from` is the seat's owner or the caller: a permit does not say what for.
    function fundBondWithPermit(
        uint48 nanogrid,
        address from,
        uint256 amountUeur,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    /// @notice Begins to release a part of the bond. A new owner waits until the one before is paid what it began to unbond.
    function startUnbonding(Unbonding calldata unbonding, bytes calldata signature) external;
    /// @notice Pays what was unbonded to the owner that unbonded it, also when the seat is another's by now; anyone may call.
    function withdrawBond(uint48 nanogrid) external;

    /* ESCROW: only the auction; commands: only the grid signals; availability: only the capacity register */
    /// @notice From an account's balance into an escrow; not while the account is in debt.
    function lock(bytes32 id, address account, uint256 amountUeur) external;
    /// @notice From one escrow into another.
    function moveEscrow(bytes32 from, bytes32 to, uint256 amountUeur) external;
    /// @notice From an escrow to an account's balance.
    function release(bytes32 id, address account, uint256 amountUeur) external;
    /// @notice What a command may cost, as far as the DSO's balance reaches, into the command's escrow.
    function reserveForCommand(uint48 nanogrid, uint32 interval, address dso, uint256 amountUeur)
        external
        returns (uint256 reservedUeur);
    /// @notice From a DSO's balance to a seat.
    function payAvailability(address dso, uint48 nanogrid, uint256 amountUeur) external;

    /* SETTLEMENT */
    /// @notice Called by the auction when a result is final: from now on its awards can be settled.
    function openAwards(bytes32 offer) external;
    /// @notice Settles awards by signed readings against the portfolio's whole baseline vector (4 bytes a nanogrid, big endian).
    /// The verifier's readings settle at once; anybody else's only when announced and after the hold window.
    /// An award that cannot settle is skipped with AwardSkipped, so that a retry is harmless.
    /// @param binding The offer's: see bindingOf
    /// @param readings 79 bytes each: ordinal uint24 | activeEnergyWh int32 | reactiveEnergyVarh int32 | sequence uint32 | signature
    /// (64 bytes; 128 where the ordinal's highest bit is set; zero for a reading that was announced). Cheapest in ascending ordinals
    function settle(
        bytes32 offer,
        Binding calldata binding,
        bytes calldata baselines,
        AwardRange calldata awards,
        bytes calldata readings
    ) external;
    /// @notice The same for one award, with Merkle proofs of the award and of its baseline.
    /// @param baselines The leaf of the baseline vector: eight int32, big endian
    /// @param awards The leaf of the awards: at most eight records
    /// @param reading As one of `settle`; without a signature where it was announced
    /// @param proof The award's leaf's nodes, then the baselines'
    function settleAward(
        bytes32 offer,
        Binding calldata binding,
        bytes32 baselines,
        bytes calldata awards,
        bytes calldata reading,
        bytes32[] calldata proof
    ) external;
    /// @notice Pays a command by its reading, as awards are settled: at the emergency price and, for as much as the award that it replaced was
    /// for, that award's price where it answers a request and is dearer; the award must be shown where there is one. What it is paid by the same reading, where it had begun before RED, is
    /// taken off, also where it has ended otherwise; then only the announced reading counts for either. What the DSO's deposit lacks
    /// becomes its debt.
    /// @param awardOffer The offer of the live award that the command replaced (0: none)
    /// @param award The leaf of that award, whose ordinal is `reading.ordinal`
    function settleCommand(
        uint48 nanogrid,
        uint32 interval,
        BaselineLeaf calldata baseline,
        AwardReading calldata reading,
        bytes32 awardOffer,
        AwardRange calldata award
    ) external;
    /// @notice Ends awards without a reading after the deadline: nothing delivered (SELL: all taken), penalty from the bond.
    /// An announced reading moves the deadline to the end of its hold window and as long again as the reading deadline; so does a
    /// hold from its end on. Awards that RED revoked before the interval end from its start on, annulled ones at any time.
    function expireAwards(bytes32 offer, AwardRange calldata awards) external;
    /// @notice Ends a command without a reading after its deadline: nothing is paid, the reserve goes back. Annulled readings end it at once.
    function expireCommand(uint48 nanogrid, uint32 interval) external;

    /* HOLDS */
    /// @notice The aggregator, the payer, the node's DSO or the verifier stops an award's payment, once ever for each award, with holdBondUeur
    /// from its account. An empty signature means that the signer itself calls.
    /// @param award The leaf in which the award stands
    function placeHold(Hold calldata hold, AwardRange calldata award, bytes calldata signature) external;
    /// @notice The referee decides within the term. Upheld: the award ends without pay or penalty, and the holder gets its bond back and as
    /// much again from the seat's bond, as far as it reaches. Else the seat gets the holder's bond, and the award may be settled.
    function decideHold(bytes32 offer, uint32 ordinal, bool upheld) external;
    /// @notice After the term anyone ends a hold that nobody decided, in the prosumer's favour.
    function lapseHold(bytes32 offer, uint32 ordinal) external;

    /* READERS */
    /// @notice The gateway whose readings count for a nanogrid; 0: none.
    function gatewayOf(uint48 nanogrid) external view returns (address);
    /// @notice What a nanogrid's owner may be paid out. [micro-euro]
    function seatBalance(uint48 nanogrid) external view returns (uint256);
    /// @notice A nanogrid's bond, what of it is being taken out, and from when on that may be paid. [micro-euro; s]
    function bondOf(uint48 nanogrid) external view returns (uint256 bondUeur, uint256 unbondingUeur, uint64 availableAt);
    /// @notice What a nanogrid owes in all. [micro-euro]
    function seatDebt(uint48 nanogrid) external view returns (uint256);
    /// @notice What an account (DSO, aggregator) may withdraw or put into escrow. [micro-euro]
    function balanceOf(address account) external view returns (uint256);
    /// @notice What an account owes in all. [micro-euro]
    function debtOf(address account) external view returns (uint256);
    /// @notice The next nonce of an account's withdrawals.
    function nonceOf(address account) external view returns (uint32);
    /// @notice The next nonce of a nanogrid's unbondings.
    function unbondingNonce(uint48 nanogrid) external view returns (uint32);
    /// @notice From the start of an unbonding until it is paid. [s]
    function unbondingS() external view returns (uint32);
    /// @notice How long before its interval an offer may open. [s] A bond that is taken out right after the first bid is still here when
    /// the award ends, and one reading deadline longer, for whoever ends it: unbondingS − 4·readingDeadlineS − holdWindowS − holdTermS.
    function offerHorizonS() external view returns (uint32);
    /// @notice Reverts with OfferTooEarly while an offer for the interval may not open yet.
    function requireWithinHorizon(uint32 interval) external view;
    /// @notice What is set aside for an offer, a request, a hold or a command. [micro-euro]
    function escrowOf(bytes32 id) external view returns (uint256);
    /// @notice Who holds an award and until when it is to be decided (0: no hold, or none any more).
    function holdOf(bytes32 offer, uint32 ordinal) external view returns (address holder, uint64 decideBy);
    /// @notice The escrow of a command's reserve.
    function commandEscrowId(uint48 nanogrid, uint32 interval) external pure returns (bytes32);
    /// @notice What a settlement of the offer must give; its terms are final only when the offer is.
    function bindingOf(bytes32 offer) external view returns (Binding memory);
    /// @notice Whether an award has ended.
    function isSettled(bytes32 offer, uint32 ordinal) external view returns (bool);
    /// @notice Everything that the contract owes; never above the tokens that it holds.
    function totalOwed() external view returns (uint256);
}
