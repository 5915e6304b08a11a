"""Leave out of the index of owners, on PostgreSQL, the events that have none.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index anew."""
    if op.get_context().dialect.name != "postgresql":
        return
    op.drop_index("ix_events_owner_id", "events")
    op.create_index(
        "ix_events_owner_id", "events", ["owner_id", "id"], postgresql_where=sa.text("owner_id IS NOT NULL")
    )
