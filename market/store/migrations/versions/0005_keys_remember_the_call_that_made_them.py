"""An API key remembers the Idempotency-Key of the call that made it, so that a retry leaves one key that is live."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("idempotency_key", sa.String(200), nullable=True))


def downgrade() -> None:
    op.drop_column("api_keys", "idempotency_key")
