"""Give events an index for each question that people ask (docs/adr/0048).

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op
from artemis_models.migrations import steps

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

oldest_revision = "0009"
in_transaction = False

_BOUNDS = [3_600_000_000 * 4**number for number in range(11)]
_CASES = " ".join(f"WHEN end_time - start_time <= {bound} THEN {number}" for number, bound in enumerate(_BOUNDS))
_SHORTEST = ",".join(str(bound + 1) for bound in _BOUNDS)
LENGTH = {
    "sqlite": sa.text(f"(CASE {_CASES} ELSE 11 END)"),
    "postgresql": sa.text(f"(width_bucket(end_time - start_time, '{{{_SHORTEST}}}'::bigint[]))"),
}
"""The class of the length of an event, by the dialect's name. Revision 0014 replaces an older one of PostgreSQL."""
_CLASS = "length class"
MADE: tuple[tuple[str, list[str], str], ...] = (
    ("ix_events_name", ["name", "id"], ""),
    ("ix_events_update_time", ["update_time", "id"], ""),
    ("ix_events_external_id", ["external_id", "id"], "external_id <> ''"),
    ("ix_events_length_start_time", [_CLASS, "start_time", "id", "end_time"], ""),
    ("ix_events_length_end_time", [_CLASS, "end_time", "id", "start_time"], ""),
    ("ix_events_category_length", ["category", _CLASS, "start_time", "id", "end_time"], ""),
    ("ix_events_publisher_length", ["publisher", _CLASS, "start_time", "id", "end_time", "category"], ""),
    ("ix_events_owner_id_length", ["owner_id", _CLASS, "start_time", "id", "end_time"], "owner_id IS NOT NULL"),
)
REPLACED = ("ix_events_start_time", "ix_events_category_start_time")
OWNED = sa.text("owner_id IS NOT NULL")
_IS_PARTIAL = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE name = 'ix_events_owner_id' AND instr(sql, 'WHERE')",
    "postgresql": "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('ix_events_owner_id') AND indpred IS NOT NULL",
}


def upgrade() -> None:
    """Make the indexes, drop those that they replace, and leave events without an owner out of the index of owners."""
    context = op.get_context()
    for name, listed, predicate in MADE:
        columns = [LENGTH[context.dialect.name] if each == _CLASS else each for each in listed]
        where = {"sqlite_where": sa.text(predicate), "postgresql_where": sa.text(predicate)} if predicate else {}
        steps.create_index(name, "events", columns, **where)
    for name in REPLACED:
        steps.drop_index(name, "events")
    if context.as_sql or op.get_bind().execute(sa.text(_IS_PARTIAL[context.dialect.name])).scalar() is None:
        steps.drop_index("ix_events_owner_id", "events")
    steps.create_index("ix_events_owner_id", "events", ["owner_id", "id"], sqlite_where=OWNED, postgresql_where=OWNED)
