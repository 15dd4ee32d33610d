"""A refused reading keeps its place in its gateway's chain, so that the readings behind it can be taken."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("gateway", sa.String(42), nullable=True))
    op.add_column("quarantine", sa.Column("sequence", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_quarantine_gateway_sequence"), "quarantine", ["gateway", "sequence"])


def downgrade() -> None:
    op.drop_index(op.f("ix_quarantine_gateway_sequence"), table_name="quarantine")
    op.drop_column("quarantine", "sequence")
    op.drop_column("quarantine", "gateway")
