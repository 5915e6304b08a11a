"""Add to the indexes of times, on SQLite, what tells one content of a row from another.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIMES: list[str | sa.TextClause] = [sa.text("start_time DESC"), "id", "version", "update_time"]


def upgrade() -> None:
    """Make other indexes in the place of the old ones."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.drop_index("ix_events_start_time", "events")
    op.drop_index("ix_events_category_start_time", "events")
    op.create_index("ix_events_start_time_row", "events", TIMES)
    op.create_index("ix_events_category_start_time_row", "events", ["category", *TIMES])
