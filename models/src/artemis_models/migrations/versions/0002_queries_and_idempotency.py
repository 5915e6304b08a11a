"""Index what events and users are listed by, and keep the answers to requests that have an id.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the indexes and the table."""
    op.drop_index("ix_events_owner_id", "events")
    op.create_index("ix_events_owner_id", "events", ["owner_id", "id"])
    op.create_index("ix_events_category", "events", ["category", "id"])
    op.create_index("ix_events_publisher", "events", ["publisher", "id"])
    op.create_index("ix_events_start_time", "events", [sa.text("start_time DESC"), "id"])
    op.create_index("ix_events_source_external_id", "events", ["source", "external_id", "id"])
    op.create_index("ix_users_email", "users", ["email", "id"])
    op.create_index("ix_users_source_external_id", "users", ["source", "external_id", "id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("request_id", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", BIG_INT, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_idempotency_keys")),
        sqlite_strict=True,
    )
    op.create_index("ix_idempotency_keys_create_time", "idempotency_keys", ["create_time"])
