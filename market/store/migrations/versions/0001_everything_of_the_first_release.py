"""Everything of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from market.store.partitions import add_default_partition

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("balance_ueur", sa.BigInteger(), nullable=False),
        sa.Column("debt_ueur", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_accounts")),
    )
    op.create_table(
        "acknowledgements",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("dispatch", sa.String(length=66), nullable=False),
        sa.Column("gateway", sa.String(length=42), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acknowledgements")),
        sa.UniqueConstraint("dispatch", "state", name=op.f("uq_acknowledgements_dispatch_state")),
    )
    with op.batch_alter_table("acknowledgements", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_acknowledgements_nanogrid"), ["nanogrid"], unique=False)

    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key_hash", sa.String(length=66), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("scopes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_table(
        "availability_months",
        sa.Column("id", sa.String(length=66), nullable=False),
        sa.Column("month", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("paid_ueur", sa.BigInteger(), nullable=True),
        sa.Column("forfeited", sa.Boolean(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", "month", name=op.f("pk_availability_months")),
    )
    op.create_table(
        "award_skips",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("offer", sa.String(length=66), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("reason", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_award_skips")),
    )
    with op.batch_alter_table("award_skips", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_award_skips_offer"), ["offer"], unique=False)

    op.create_table(
        "awards",
        sa.Column("offer", sa.String(length=66), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Boolean(), nullable=False),
        sa.Column("final_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=True),
        sa.Column("delivered", sa.Integer(), nullable=True),
        sa.Column("baseline", sa.Integer(), nullable=True),
        sa.Column("metered", sa.Integer(), nullable=True),
        sa.Column("paid_ueur", sa.BigInteger(), nullable=True),
        sa.Column("margin_ueur", sa.BigInteger(), nullable=True),
        sa.Column("refunded_ueur", sa.BigInteger(), nullable=True),
        sa.Column("penalty_ueur", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("settle_transaction", sa.String(length=66), nullable=True),
        sa.PrimaryKeyConstraint("offer", "ordinal", name=op.f("pk_awards")),
    )
    with op.batch_alter_table("awards", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_awards_interval_outcome"), ["interval", "outcome"], unique=False)
        batch_op.create_index(batch_op.f("ix_awards_nanogrid_interval"), ["nanogrid", "interval"], unique=False)

    op.create_table(
        "baseline_anchors",
        sa.Column("portfolio", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("interval", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("root", sa.String(length=66), nullable=False),
        sa.Column("anchored_at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("portfolio", "interval", "kind", name=op.f("pk_baseline_anchors")),
    )
    op.create_table(
        "baselines",
        sa.Column("portfolio", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("interval", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("values", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("root", sa.String(length=66), nullable=False),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("nominated_at", sa.BigInteger(), nullable=False),
        sa.Column("anchor_transaction", sa.String(length=66), nullable=True),
        sa.PrimaryKeyConstraint("portfolio", "interval", "kind", name=op.f("pk_baselines")),
    )
    op.create_table(
        "bids_received",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("offer", sa.String(length=66), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("minimum", sa.Integer(), nullable=False),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("signer", sa.String(length=42), nullable=False),
        sa.Column("digest", sa.String(length=66), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("receipt_signature", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bids_received")),
        sa.UniqueConstraint("digest", name=op.f("uq_bids_received_digest")),
    )
    with op.batch_alter_table("bids_received", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bids_received_nanogrid_interval"), ["nanogrid", "interval"], unique=False)
        batch_op.create_index(batch_op.f("ix_bids_received_offer_state"), ["offer", "state"], unique=False)

    op.create_table(
        "broker_credentials",
        sa.Column("username", sa.String(length=200), nullable=False),
        sa.Column("password_sha256", sa.String(length=66), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("gateway", sa.String(length=42), nullable=True),
        sa.Column("nanogrid", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("username", name=op.f("pk_broker_credentials")),
    )
    op.create_table(
        "capacity_contracts",
        sa.Column("id", sa.String(length=66), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("product", sa.SmallInteger(), nullable=False),
        sa.Column("first_month", sa.Integer(), nullable=False),
        sa.Column("months", sa.Integer(), nullable=False),
        sa.Column("power_w", sa.BigInteger(), nullable=False),
        sa.Column("availability_price_ueur_kw_h", sa.BigInteger(), nullable=False),
        sa.Column("dso", sa.String(length=42), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capacity_contracts")),
    )
    with op.batch_alter_table("capacity_contracts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_capacity_contracts_nanogrid"), ["nanogrid"], unique=False)

    op.create_table(
        "chain_events",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("block_time", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.Column("contract", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("arguments", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_chain_events")),
    )
    with op.batch_alter_table("chain_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chain_events_contract_event"), ["contract", "event"], unique=False)
        batch_op.create_index(batch_op.f("ix_chain_events_subject"), ["subject"], unique=False)
        batch_op.create_index(batch_op.f("ix_chain_events_transaction"), ["transaction"], unique=False)

    op.create_table(
        "commands",
        sa.Column("nanogrid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("interval", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("product", sa.SmallInteger(), nullable=False),
        sa.Column("direction", sa.SmallInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("reserved_ueur", sa.BigInteger(), nullable=False),
        sa.Column("dso", sa.String(length=42), nullable=False),
        sa.Column("reason", sa.String(length=66), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=True),
        sa.Column("baseline", sa.Integer(), nullable=True),
        sa.Column("metered", sa.Integer(), nullable=True),
        sa.Column("paid_ueur", sa.BigInteger(), nullable=True),
        sa.Column("refunded_ueur", sa.BigInteger(), nullable=True),
        sa.Column("unpaid_ueur", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("settle_transaction", sa.String(length=66), nullable=True),
        sa.PrimaryKeyConstraint("nanogrid", "interval", name=op.f("pk_commands")),
    )
    with op.batch_alter_table("commands", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_commands_interval"), ["interval"], unique=False)

    op.create_table(
        "dispatches",
        sa.Column("id", sa.String(length=66), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.String(length=42), nullable=False),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("product", sa.SmallInteger(), nullable=False),
        sa.Column("direction", sa.SmallInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("baseline", sa.Integer(), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("target_w", sa.Integer(), nullable=False),
        sa.Column("target_var", sa.Integer(), nullable=False),
        sa.Column("lease_end", sa.BigInteger(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("offer", sa.String(length=66), nullable=True),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("decision", sa.String(length=66), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatches")),
        sa.UniqueConstraint("offer", "ordinal", name=op.f("uq_dispatches_offer_ordinal")),
    )
    with op.batch_alter_table("dispatches", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dispatches_gateway_interval"), ["gateway", "interval"], unique=False)
        batch_op.create_index(batch_op.f("ix_dispatches_nanogrid_interval"), ["nanogrid", "interval"], unique=False)
        batch_op.create_index(batch_op.f("ix_dispatches_state_interval"), ["state", "interval"], unique=False)

    op.create_table(
        "documents",
        sa.Column("hash", sa.String(length=66), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_documents")),
    )
    op.create_table(
        "enrolments",
        sa.Column("code_address", sa.String(length=42), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.String(length=42), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("code_address", name=op.f("pk_enrolments")),
    )
    with op.batch_alter_table("enrolments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_enrolments_nanogrid"), ["nanogrid"], unique=False)

    op.create_table(
        "enrolments_opened",
        sa.Column("nanogrid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code_address", sa.String(length=42), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nanogrid", "code_address", name=op.f("pk_enrolments_opened")),
    )
    op.create_table(
        "escrow_movements",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("from_id", sa.String(length=66), nullable=True),
        sa.Column("to_id", sa.String(length=66), nullable=True),
        sa.Column("account", sa.String(length=42), nullable=True),
        sa.Column("amount_ueur", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_escrow_movements")),
    )
    with op.batch_alter_table("escrow_movements", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_escrow_movements_from_id"), ["from_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_escrow_movements_to_id"), ["to_id"], unique=False)

    op.create_table(
        "event_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("cause", sa.String(length=200), nullable=False),
        sa.Column("object_kind", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=200), nullable=False),
        sa.Column("details", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_log")),
    )
    with op.batch_alter_table("event_log", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_event_log_at"), ["at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_event_log_object_kind_object_id"), ["object_kind", "object_id"], unique=False
        )

    op.create_table(
        "gateway_changes",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("gateway", sa.String(length=42), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_gateway_changes")),
    )
    with op.batch_alter_table("gateway_changes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_gateway_changes_gateway"), ["gateway"], unique=False)
        batch_op.create_index(batch_op.f("ix_gateway_changes_nanogrid_block"), ["nanogrid", "block"], unique=False)

    op.create_table(
        "gateway_statuses",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("gateway", sa.String(length=42), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=True),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("software_version", sa.String(length=200), nullable=True),
        sa.Column("state", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_statuses")),
    )
    with op.batch_alter_table("gateway_statuses", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_gateway_statuses_gateway_received_at"), ["gateway", "received_at"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_gateway_statuses_nanogrid"), ["nanogrid"], unique=False)

    op.create_table(
        "holds",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("offer", sa.String(length=66), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=42), nullable=False),
        sa.Column("reason", sa.String(length=66), nullable=False),
        sa.Column("bond_ueur", sa.BigInteger(), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("decide_by", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("upheld", sa.Boolean(), nullable=True),
        sa.Column("lapsed", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_holds")),
    )
    with op.batch_alter_table("holds", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_holds_offer_ordinal"), ["offer", "ordinal"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("route", sa.String(length=200), nullable=False),
        sa.Column("request_hash", sa.String(length=66), nullable=False),
        sa.Column("response_status", sa.SmallInteger(), nullable=True),
        sa.Column("response_body", sa.LargeBinary(), nullable=True),
        sa.Column("response_type", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
        sa.UniqueConstraint("subject", "route", "key", name=op.f("uq_idempotency_keys_subject_route_key")),
    )
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_keys_created_at"), ["created_at"], unique=False)

    op.create_table(
        "indexed_blocks",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_indexed_blocks")),
    )
    op.create_table(
        "indexer_cursor",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.String(length=66), nullable=False),
        sa.Column("block_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indexer_cursor")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("purse", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=42), nullable=True),
        sa.Column("nanogrid", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("amount_ueur", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(length=66), nullable=True),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("interval", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", "part", name=op.f("pk_ledger_entries")),
    )
    with op.batch_alter_table("ledger_entries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ledger_entries_account_block"), ["account", "block"], unique=False)
        batch_op.create_index(batch_op.f("ix_ledger_entries_nanogrid_block"), ["nanogrid", "block"], unique=False)

    op.create_table(
        "nanogrids",
        sa.Column("nanogrid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("portfolio", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.BigInteger(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=42), nullable=False),
        sa.Column("rated_power_w", sa.BigInteger(), nullable=False),
        sa.Column("emergency_price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("active_from", sa.BigInteger(), nullable=False),
        sa.Column("active_until", sa.BigInteger(), nullable=True),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("suspended_reason", sa.String(length=66), nullable=True),
        sa.Column("signer", sa.String(length=42), nullable=True),
        sa.Column("signer_expiry_day", sa.Integer(), nullable=False),
        sa.Column("lowest_price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("largest_quantity", sa.Integer(), nullable=False),
        sa.Column("signer_cover_cents", sa.Integer(), nullable=False),
        sa.Column("cover_cents", sa.Integer(), nullable=False),
        sa.Column("gateway", sa.String(length=42), nullable=True),
        sa.Column("balance_ueur", sa.BigInteger(), nullable=False),
        sa.Column("bond_ueur", sa.BigInteger(), nullable=False),
        sa.Column("unbonding_ueur", sa.BigInteger(), nullable=False),
        sa.Column("unbonding_available_at", sa.BigInteger(), nullable=True),
        sa.Column("debt_ueur", sa.BigInteger(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nanogrid", name=op.f("pk_nanogrids")),
    )
    with op.batch_alter_table("nanogrids", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_nanogrids_gateway"), ["gateway"], unique=False)
        batch_op.create_index(batch_op.f("ix_nanogrids_node"), ["node"], unique=False)
        batch_op.create_index(batch_op.f("ix_nanogrids_owner"), ["owner"], unique=False)
        batch_op.create_index(batch_op.f("ix_nanogrids_portfolio"), ["portfolio"], unique=False)
        batch_op.create_index(batch_op.f("ix_nanogrids_signer"), ["signer"], unique=False)

    op.create_table(
        "nodes",
        sa.Column("node", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dso", sa.String(length=42), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_nodes")),
    )
    with op.batch_alter_table("nodes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_nodes_dso"), ["dso"], unique=False)

    op.create_table(
        "offers",
        sa.Column("offer", sa.String(length=66), nullable=False),
        sa.Column("portfolio", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.BigInteger(), nullable=False),
        sa.Column("aggregator", sa.String(length=42), nullable=False),
        sa.Column("request", sa.String(length=66), nullable=True),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("side", sa.SmallInteger(), nullable=False),
        sa.Column("direction", sa.SmallInteger(), nullable=False),
        sa.Column("product", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("limit_price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("gate_closure", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("bid_count", sa.Integer(), nullable=False),
        sa.Column("skipped_count", sa.Integer(), nullable=False),
        sa.Column("chain", sa.String(length=66), nullable=False),
        sa.Column("marginal_rank", sa.BigInteger(), nullable=True),
        sa.Column("awarded", sa.BigInteger(), nullable=True),
        sa.Column("award_count", sa.Integer(), nullable=True),
        sa.Column("awards_root", sa.String(length=66), nullable=True),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.Column("cleared_again", sa.Boolean(), nullable=False),
        sa.Column("verdict_at", sa.BigInteger(), nullable=True),
        sa.Column("finalised_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("escrow_ueur", sa.BigInteger(), nullable=True),
        sa.Column("freed_ueur", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("offer", name=op.f("pk_offers")),
    )
    with op.batch_alter_table("offers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_offers_interval"), ["interval"], unique=False)
        batch_op.create_index(batch_op.f("ix_offers_node_interval"), ["node", "interval"], unique=False)
        batch_op.create_index(batch_op.f("ix_offers_portfolio_interval"), ["portfolio", "interval"], unique=False)
        batch_op.create_index(batch_op.f("ix_offers_request"), ["request"], unique=False)
        batch_op.create_index(batch_op.f("ix_offers_status_gate_closure"), ["status", "gate_closure"], unique=False)

    op.create_table(
        "pauses",
        sa.Column("node", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("product", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", "product", name=op.f("pk_pauses")),
    )
    op.create_table(
        "portfolios",
        sa.Column("portfolio", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node", sa.BigInteger(), nullable=False),
        sa.Column("aggregator", sa.String(length=42), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("seat_count", sa.Integer(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("portfolio", name=op.f("pk_portfolios")),
    )
    with op.batch_alter_table("portfolios", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_portfolios_aggregator"), ["aggregator"], unique=False)
        batch_op.create_index(batch_op.f("ix_portfolios_node"), ["node"], unique=False)

    op.create_table(
        "posted_bids",
        sa.Column("offer", sa.String(length=66), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("minimum", sa.Integer(), nullable=False),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("reserved", sa.Boolean(), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("offer", "position", name=op.f("pk_posted_bids")),
    )
    with op.batch_alter_table("posted_bids", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_posted_bids_nanogrid"), ["nanogrid"], unique=False)
        batch_op.create_index(batch_op.f("ix_posted_bids_offer_nanogrid"), ["offer", "nanogrid"], unique=False)

    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_quarantine_reason"), ["reason"], unique=False)

    op.create_table(
        "reading_notices",
        sa.Column("nanogrid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("interval", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reading_hash", sa.String(length=66), nullable=True),
        sa.Column("announced_by", sa.String(length=42), nullable=True),
        sa.Column("announced_at", sa.BigInteger(), nullable=True),
        sa.Column("annulled_by", sa.String(length=42), nullable=True),
        sa.Column("annulled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("nanogrid", "interval", name=op.f("pk_reading_notices")),
    )
    op.create_table(
        "reading_roots",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("interval", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.String(length=66), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("anchored_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_reading_roots")),
    )
    with op.batch_alter_table("reading_roots", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reading_roots_interval"), ["interval"], unique=False)

    op.create_table(
        "readings",
        sa.Column("nanogrid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("interval", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("gateway", sa.String(length=42), nullable=False),
        sa.Column("active_energy_wh", sa.Integer(), nullable=False),
        sa.Column("reactive_energy_varh", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=66), nullable=False),
        sa.Column("previous_hash", sa.String(length=66), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("quality", sa.String(length=32), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nanogrid", "interval", "sequence", name=op.f("pk_readings")),
        postgresql_partition_by="RANGE (interval)",
    )
    with op.batch_alter_table("readings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_readings_gateway_sequence"), ["gateway", "sequence"], unique=False)
        batch_op.create_index(batch_op.f("ix_readings_interval"), ["interval"], unique=False)

    op.create_table(
        "request_intervals",
        sa.Column("request", sa.String(length=66), nullable=False),
        sa.Column("interval", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("reclaimed_ueur", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("request", "interval", name=op.f("pk_request_intervals")),
    )
    with op.batch_alter_table("request_intervals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_request_intervals_interval"), ["interval"], unique=False)

    op.create_table(
        "requests",
        sa.Column("request", sa.String(length=66), nullable=False),
        sa.Column("node", sa.BigInteger(), nullable=False),
        sa.Column("dso", sa.String(length=42), nullable=False),
        sa.Column("first_interval", sa.BigInteger(), nullable=False),
        sa.Column("interval_count", sa.Integer(), nullable=False),
        sa.Column("product", sa.SmallInteger(), nullable=False),
        sa.Column("direction", sa.SmallInteger(), nullable=False),
        sa.Column("price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("escrow_ueur", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_requests")),
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_requests_first_interval"), ["first_interval"], unique=False)
        batch_op.create_index(batch_op.f("ix_requests_node"), ["node"], unique=False)

    op.create_table(
        "role_holdings",
        sa.Column("account", sa.String(length=42), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("granted_by", sa.String(length=42), nullable=False),
        sa.PrimaryKeyConstraint("account", "role", name=op.f("pk_role_holdings")),
    )
    op.create_table(
        "seat_debts",
        sa.Column("nanogrid", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("creditor", sa.String(length=42), nullable=False),
        sa.Column("debt_ueur", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nanogrid", "creditor", name=op.f("pk_seat_debts")),
    )
    op.create_table(
        "sender_nonces",
        sa.Column("sender", sa.String(length=42), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("next_nonce", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sender", "chain_id", name=op.f("pk_sender_nonces")),
    )
    op.create_table(
        "sign_in_nonces",
        sa.Column("nonce", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("nonce", name=op.f("pk_sign_in_nonces")),
    )
    op.create_table(
        "signals",
        sa.Column("node", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("interval", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("phase", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.String(length=66), nullable=False),
        sa.Column("author", sa.String(length=42), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node", "interval", "kind", "sequence", name=op.f("pk_signals")),
    )
    op.create_table(
        "signed_decisions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("signer", sa.String(length=42), nullable=False),
        sa.Column("message", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=66), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signed_decisions")),
        sa.UniqueConstraint("digest", name=op.f("uq_signed_decisions_digest")),
    )
    with op.batch_alter_table("signed_decisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_signed_decisions_kind"), ["kind"], unique=False)
        batch_op.create_index(batch_op.f("ix_signed_decisions_signer"), ["signer"], unique=False)
        batch_op.create_index(batch_op.f("ix_signed_decisions_subject"), ["subject"], unique=False)

    op.create_table(
        "skipped_bids",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("offer", sa.String(length=66), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("price_ueur_kwh", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("minimum", sa.Integer(), nullable=False),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.SmallInteger(), nullable=False),
        sa.Column("skipped_at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_skipped_bids")),
    )
    with op.batch_alter_table("skipped_bids", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_skipped_bids_offer_nanogrid"), ["offer", "nanogrid"], unique=False)

    op.create_table(
        "token_issues",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.String(length=42), nullable=True),
        sa.Column("amount_ueur", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(length=66), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_token_issues")),
    )
    op.create_table(
        "token_transfers",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("from_account", sa.String(length=42), nullable=True),
        sa.Column("to_account", sa.String(length=42), nullable=True),
        sa.Column("amount_ueur", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index", name=op.f("pk_token_transfers")),
    )
    with op.batch_alter_table("token_transfers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_token_transfers_from_account"), ["from_account"], unique=False)
        batch_op.create_index(batch_op.f("ix_token_transfers_to_account"), ["to_account"], unique=False)

    op.create_table(
        "transactions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("sender", sa.String(length=42), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("to", sa.String(length=42), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.String(length=66), nullable=False),
        sa.Column("replaced_hashes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("gas_limit", sa.BigInteger(), nullable=False),
        sa.Column("max_fee_wei", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=200), nullable=False),
        sa.Column("purpose_key", sa.String(length=200), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("mined_at", sa.BigInteger(), nullable=True),
        sa.Column("receipt_block", sa.BigInteger(), nullable=True),
        sa.Column("gas_used", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transactions")),
        sa.UniqueConstraint("hash", name=op.f("uq_transactions_hash")),
        sa.UniqueConstraint("purpose_key", name=op.f("uq_transactions_purpose_key")),
        sa.UniqueConstraint("sender", "nonce", name=op.f("uq_transactions_sender_nonce")),
    )
    with op.batch_alter_table("transactions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_transactions_state_sender"), ["state", "sender"], unique=False)

    op.create_table(
        "tso_validations",
        sa.Column("request", sa.String(length=66), nullable=False),
        sa.Column("node", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=66), nullable=False),
        sa.Column("validated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request", "node", name=op.f("pk_tso_validations")),
    )
    op.create_table(
        "verdicts",
        sa.Column("offer", sa.String(length=66), nullable=False),
        sa.Column("rejected", sa.LargeBinary(), nullable=False),
        sa.Column("reasons", sa.String(length=66), nullable=False),
        sa.Column("author", sa.String(length=42), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("offer", name=op.f("pk_verdicts")),
    )
    op.create_table(
        "wallet_sessions",
        sa.Column("token_hash", sa.String(length=66), nullable=False),
        sa.Column("address", sa.String(length=42), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_wallet_sessions")),
    )
    with op.batch_alter_table("wallet_sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_wallet_sessions_address"), ["address"], unique=False)

    add_default_partition(op.get_bind())


def downgrade() -> None:
    with op.batch_alter_table("wallet_sessions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_wallet_sessions_address"))

    op.drop_table("wallet_sessions")
    op.drop_table("verdicts")
    op.drop_table("tso_validations")
    with op.batch_alter_table("transactions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_transactions_state_sender"))

    op.drop_table("transactions")
    with op.batch_alter_table("token_transfers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_token_transfers_to_account"))
        batch_op.drop_index(batch_op.f("ix_token_transfers_from_account"))

    op.drop_table("token_transfers")
    op.drop_table("token_issues")
    with op.batch_alter_table("skipped_bids", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_skipped_bids_offer_nanogrid"))

    op.drop_table("skipped_bids")
    with op.batch_alter_table("signed_decisions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_signed_decisions_subject"))
        batch_op.drop_index(batch_op.f("ix_signed_decisions_signer"))
        batch_op.drop_index(batch_op.f("ix_signed_decisions_kind"))

    op.drop_table("signed_decisions")
    op.drop_table("signals")
    op.drop_table("sign_in_nonces")
    op.drop_table("sender_nonces")
    op.drop_table("seat_debts")
    op.drop_table("role_holdings")
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_requests_node"))
        batch_op.drop_index(batch_op.f("ix_requests_first_interval"))

    op.drop_table("requests")
    with op.batch_alter_table("request_intervals", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_request_intervals_interval"))

    op.drop_table("request_intervals")
    with op.batch_alter_table("readings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_readings_interval"))
        batch_op.drop_index(batch_op.f("ix_readings_gateway_sequence"))

    op.drop_table("readings")
    with op.batch_alter_table("reading_roots", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reading_roots_interval"))

    op.drop_table("reading_roots")
    op.drop_table("reading_notices")
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_quarantine_reason"))

    op.drop_table("quarantine")
    with op.batch_alter_table("posted_bids", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_posted_bids_offer_nanogrid"))
        batch_op.drop_index(batch_op.f("ix_posted_bids_nanogrid"))

    op.drop_table("posted_bids")
    with op.batch_alter_table("portfolios", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_portfolios_node"))
        batch_op.drop_index(batch_op.f("ix_portfolios_aggregator"))

    op.drop_table("portfolios")
    op.drop_table("pauses")
    with op.batch_alter_table("offers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_offers_status_gate_closure"))
        batch_op.drop_index(batch_op.f("ix_offers_request"))
        batch_op.drop_index(batch_op.f("ix_offers_portfolio_interval"))
        batch_op.drop_index(batch_op.f("ix_offers_node_interval"))
        batch_op.drop_index(batch_op.f("ix_offers_interval"))

    op.drop_table("offers")
    with op.batch_alter_table("nodes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_nodes_dso"))

    op.drop_table("nodes")
    with op.batch_alter_table("nanogrids", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_nanogrids_signer"))
        batch_op.drop_index(batch_op.f("ix_nanogrids_portfolio"))
        batch_op.drop_index(batch_op.f("ix_nanogrids_owner"))
        batch_op.drop_index(batch_op.f("ix_nanogrids_node"))
        batch_op.drop_index(batch_op.f("ix_nanogrids_gateway"))

    op.drop_table("nanogrids")
    with op.batch_alter_table("ledger_entries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ledger_entries_nanogrid_block"))
        batch_op.drop_index(batch_op.f("ix_ledger_entries_account_block"))

    op.drop_table("ledger_entries")
    op.drop_table("indexer_cursor")
    op.drop_table("indexed_blocks")
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_keys_created_at"))

    op.drop_table("idempotency_keys")
    with op.batch_alter_table("holds", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_holds_offer_ordinal"))

    op.drop_table("holds")
    with op.batch_alter_table("gateway_statuses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gateway_statuses_nanogrid"))
        batch_op.drop_index(batch_op.f("ix_gateway_statuses_gateway_received_at"))

    op.drop_table("gateway_statuses")
    with op.batch_alter_table("gateway_changes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gateway_changes_nanogrid_block"))
        batch_op.drop_index(batch_op.f("ix_gateway_changes_gateway"))

    op.drop_table("gateway_changes")
    with op.batch_alter_table("event_log", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_log_object_kind_object_id"))
        batch_op.drop_index(batch_op.f("ix_event_log_at"))

    op.drop_table("event_log")
    with op.batch_alter_table("escrow_movements", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_escrow_movements_to_id"))
        batch_op.drop_index(batch_op.f("ix_escrow_movements_from_id"))

    op.drop_table("escrow_movements")
    op.drop_table("enrolments_opened")
    with op.batch_alter_table("enrolments", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_enrolments_nanogrid"))

    op.drop_table("enrolments")
    op.drop_table("documents")
    with op.batch_alter_table("dispatches", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dispatches_state_interval"))
        batch_op.drop_index(batch_op.f("ix_dispatches_nanogrid_interval"))
        batch_op.drop_index(batch_op.f("ix_dispatches_gateway_interval"))

    op.drop_table("dispatches")
    with op.batch_alter_table("commands", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_commands_interval"))

    op.drop_table("commands")
    with op.batch_alter_table("chain_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chain_events_transaction"))
        batch_op.drop_index(batch_op.f("ix_chain_events_subject"))
        batch_op.drop_index(batch_op.f("ix_chain_events_contract_event"))

    op.drop_table("chain_events")
    with op.batch_alter_table("capacity_contracts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_capacity_contracts_nanogrid"))

    op.drop_table("capacity_contracts")
    op.drop_table("broker_credentials")
    with op.batch_alter_table("bids_received", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_bids_received_offer_state"))
        batch_op.drop_index(batch_op.f("ix_bids_received_nanogrid_interval"))

    op.drop_table("bids_received")
    op.drop_table("baselines")
    op.drop_table("baseline_anchors")
    with op.batch_alter_table("awards", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_awards_nanogrid_interval"))
        batch_op.drop_index(batch_op.f("ix_awards_interval_outcome"))

    op.drop_table("awards")
    with op.batch_alter_table("award_skips", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_award_skips_offer"))

    op.drop_table("award_skips")
    op.drop_table("availability_months")
    op.drop_table("api_keys")
    with op.batch_alter_table("acknowledgements", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_acknowledgements_nanogrid"))

    op.drop_table("acknowledgements")
    op.drop_table("accounts")
