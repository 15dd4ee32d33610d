"""Gateways have certificates for the broker, which can be revoked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gateway_certificates",
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("gateway", sa.String(42), nullable=False),
        sa.Column("nanogrid", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(32), nullable=True),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_gateway_certificates")),
    )
    op.create_index(op.f("ix_gateway_certificates_gateway"), "gateway_certificates", ["gateway"])
    op.create_index(op.f("ix_gateway_certificates_nanogrid"), "gateway_certificates", ["nanogrid"])
    op.create_table(
        "revocation_lists",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_revocation_lists")),
    )


def downgrade() -> None:
    op.drop_table("revocation_lists")
    op.drop_table("gateway_certificates")
