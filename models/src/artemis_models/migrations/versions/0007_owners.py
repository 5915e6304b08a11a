"""Leave out of the index of owners the events that have none.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OWNED = sa.text("owner_id IS NOT NULL")


def upgrade() -> None:
    """Make the index anew."""
    op.drop_index("ix_events_owner_id", "events")
    op.create_index("ix_events_owner_id", "events", ["owner_id", "id"], sqlite_where=OWNED, postgresql_where=OWNED)
