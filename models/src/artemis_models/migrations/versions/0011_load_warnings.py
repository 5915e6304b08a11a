"""Keep the number of warnings of each load, and the first of them.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

oldest_revision = "0009"

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add two columns with defaults, so that programs of earlier revisions add loads as before."""
    op.add_column("loads", sa.Column("warnings_count", BIG_INT, server_default=sa.text("0"), nullable=False))
    op.add_column("loads", sa.Column("first_warnings", sa.Text(), server_default="[]", nullable=False))
