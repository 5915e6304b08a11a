"""Give events the same indexes on both engines: narrow ones of times, and a whole one of owners.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIMES: list[str | sa.TextClause] = [sa.text("start_time DESC"), "id"]


def upgrade() -> None:
    """Replace the indexes that only one of the engines has."""
    if op.get_context().dialect.name == "sqlite":
        op.drop_index("ix_events_start_time_row", "events")
        op.drop_index("ix_events_category_start_time_row", "events")
        op.create_index("ix_events_start_time", "events", TIMES)
        op.create_index("ix_events_category_start_time", "events", ["category", *TIMES])
    else:
        op.drop_index("ix_events_owner_id", "events")
        op.create_index("ix_events_owner_id", "events", ["owner_id", "id"])
