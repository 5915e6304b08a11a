"""Let PostgreSQL compute the class of lengths with a function, which an INSERT compiles faster than a CASE.

Revision ID: 0014
Revises: 0013
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from artemis_models.migrations import steps

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

oldest_revision = "0009"
in_transaction = False

_SHORTEST = ",".join(str(3_600_000_000 * 4**number + 1) for number in range(11))
LENGTH = sa.text(f"(width_bucket(end_time - start_time, '{{{_SHORTEST}}}'::bigint[]))")
MADE: tuple[tuple[str, list[Any], str], ...] = (
    ("ix_events_length_start_time", [LENGTH, "start_time", "id", "end_time"], ""),
    ("ix_events_length_end_time", [LENGTH, "end_time", "id", "start_time"], ""),
    ("ix_events_category_length", ["category", LENGTH, "start_time", "id", "end_time"], ""),
    ("ix_events_publisher_length", ["publisher", LENGTH, "start_time", "id", "end_time", "category"], ""),
    ("ix_events_owner_id_length", ["owner_id", LENGTH, "start_time", "id", "end_time"], "owner_id IS NOT NULL"),
)
"""The indexes as revision 0012 makes them by now. It made them with a CASE before."""
_IS_NEW = sa.text("SELECT pg_get_indexdef(to_regclass(:name)) LIKE '%width_bucket%'")


def upgrade() -> None:
    """Make the indexes that have a CASE anew: beside the old ones, so that questions have an index meanwhile."""
    context = op.get_context()
    if context.dialect.name == "sqlite":
        return
    old = [each for each in MADE if context.as_sql or not op.get_bind().execute(_IS_NEW, {"name": each[0]}).scalar()]
    for name, columns, predicate in old:
        made = f"{name}_0014"
        steps.create_index(made, "events", columns, postgresql_where=sa.text(predicate) if predicate else None)
        steps.drop_index(name, "events")
        op.execute(f"ALTER INDEX {made} RENAME TO {name}")
    if old:
        op.execute("ANALYZE events")  # PostgreSQL has statistics of an expression by its index
