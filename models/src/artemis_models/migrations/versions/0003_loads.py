"""Keep the history of loads, and what the server of a feed said about the version that was loaded.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
COUNTS = ("read", "inserted", "updated", "unchanged", "deleted", "kept", "rejected", "duplicate")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "loads",
        sa.Column("id", BIG_INT, autoincrement=True, nullable=False),
        sa.Column("feed", TEXT, nullable=False),
        sa.Column("start_time", BIG_INT, nullable=False),
        sa.Column("end_time", BIG_INT, nullable=True),
        sa.Column("status", TEXT, nullable=False),
        *(sa.Column(f"{name}_count", BIG_INT, server_default=sa.text("0"), nullable=False) for name in COUNTS),
        sa.Column("error", TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loads")),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("ix_loads_feed", "loads", ["feed", "id"])
    op.create_table(
        "feed_validators",
        sa.Column("feed", TEXT, nullable=False),
        sa.Column("fingerprint", TEXT, nullable=False),
        sa.Column("etag", TEXT, server_default="", nullable=False),
        sa.Column("last_modified", TEXT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("feed", name=op.f("pk_feed_validators")),
        sqlite_strict=True,
    )
