"""Owners of staged events: a feed names them by e-mail address, and rows have the ids of users.

They are looked up in one statement, without regard to case, as addresses are compared everywhere.
"""

from sqlalchemy import Connection, func, literal, select, update

from artemis_loader.merge.email_conflicts import refuse
from artemis_loader.merge.staging import Staging

UNKNOWN = "no user has the e-mail address of the owner"


def look_up_owners(connection: Connection, staging: Staging, *, reject_unknown: bool) -> None:
    """Sets the ids of what records name in other tables; records that name nobody there may be refused.

    A record without an owner has none. With `reject_unknown` false, neither has one whose owner is no user.
    """
    records = staging.records
    for field in staging.entity.fields:
        if field.looked_up is None:
            continue
        address, known = records.c[field.name], field.looked_up
        found = select(known.class_.id).where(func.lower(known) == func.lower(address)).scalar_subquery()
        connection.execute(update(records).values({field.column: found}).where(address != literal("")))
        if reject_unknown:
            missing = select(records.c.seq).where(address != literal(""), records.c[field.column].is_(None))
            refuse(connection, staging, missing, UNKNOWN)
