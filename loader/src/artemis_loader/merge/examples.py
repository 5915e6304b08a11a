"""Examples of the rows that a merge is going to change, for people who look before they load."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from artemis_loader.entities import Field
from artemis_loader.merge.merging import Difference
from artemis_loader.merge.staging import Staging
from artemis_loader.records import Change
from artemis_loader.summary import MAX_SHOWN

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def find_changes(connection: Connection, staging: Staging, difference: Difference) -> tuple[Change, ...]:
    """Returns the first rows that would be inserted, updated and deleted, up to MAX_SHOWN of each."""
    live, records = staging.entity.table, staging.records
    before = [live.c[name] for name in staging.entity.stored]
    after = [records.c[name] for name in staging.entity.stored]
    changed, gone, new = staging.changed, staging.gone, staging.new
    inserted = select(records.c.external_id, *after).order_by(records.c.seq)
    if difference.stored:  # otherwise all are new, and were not listed
        inserted = inserted.join(new, new.c.seq == records.c.seq)
    updated = (
        select(records.c.external_id, *before, *after)
        .join(changed, changed.c.seq == records.c.seq)
        .join(live, live.c.id == changed.c.id)
        .order_by(records.c.seq)
    )
    deleted = select(live.c.external_id, *before).join(gone, gone.c.id == live.c.id).order_by(live.c.id)
    return (
        *(_change("inserted", staging, (), row[1:], row) for row in _first(connection, inserted)),
        *(_change("updated", staging, *_halves(row), row) for row in _first(connection, updated)),
        *(_change("deleted", staging, row[1:], (), row) for row in _first(connection, deleted)),
    )


def _first(connection: Connection, query: Select[Any]) -> list[Row[Any]]:
    return list(connection.execute(query.limit(MAX_SHOWN)).all())


def _halves(row: Row[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    values: tuple[Any, ...] = tuple(row)[1:]
    return values[: len(values) // 2], values[len(values) // 2 :]


def _change(kind: Any, staging: Staging, before: tuple[Any, ...], after: tuple[Any, ...], row: Row[Any]) -> Change:
    """Returns a change with the fields that differ; texts that are empty on both sides are left out."""
    fields = {}
    for index, field in enumerate(staging.entity.fields):
        old, new = (_shown(field, values[index]) if values else None for values in (before, after))
        if (old or "") != (new or ""):
            fields[field.column] = (old, new)
    return Change(kind=kind, external_id=row[0], fields=fields)


def _shown(field: Field, value: Any) -> str:
    """Returns a value as text; a time to the second if it has no parts of one."""
    if value is None:
        return ""
    if field.max_length:
        return str(value)
    return (_EPOCH + timedelta(microseconds=value)).isoformat().replace("+00:00", "Z")
