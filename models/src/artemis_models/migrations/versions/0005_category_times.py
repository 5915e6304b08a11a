"""Index the times within a category, by which its events are listed.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index("ix_events_category_start_time", "events", ["category", sa.text("start_time DESC"), "id"])
