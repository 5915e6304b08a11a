"""Say which programs may serve the schema, so that servers of two versions can run beside each other.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

oldest_revision = "0009"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table and its row, which every later migration may raise."""
    op.create_table(
        "schema_compatibility",
        sa.Column("id", sa.Integer(), server_default=sa.text("1"), autoincrement=False, nullable=False),
        sa.Column("oldest_revision", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schema_compatibility")),
        sa.CheckConstraint("id = 1", name=op.f("ck_schema_compatibility_one_row")),
        sqlite_strict=True,
    )
    op.execute(f"INSERT INTO schema_compatibility (oldest_revision) VALUES ('{oldest_revision}')")
