"""Answers that change nothing, but say what earlier changes made true: they wait for the standbys as those did.

A COMMIT waits for synchronous standbys only if its transaction has written something. The change that made the answer
true may be on one node only, if somebody cancelled that wait (`NOT_REPLICATED`).
"""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from artemis_server.db.statements import Statement

_WRITE = Statement(select(func.pg_logical_emit_message(True, "artemis", "")))
"""Writes a few bytes into the write-ahead log and changes no row."""


def confirm(session: Session) -> None:
    """Makes the end of the transaction wait until the standbys have all that was committed before. SQLite has none."""
    if session.get_bind().dialect.name == "postgresql":
        _WRITE.first(session, {})
