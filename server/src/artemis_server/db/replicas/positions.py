"""Positions in the log of PostgreSQL: a write returns one, and a standby that answers a read must have reached it.

This module knows sessions and callers, and no replicas.
"""

import re
from typing import NamedTuple

from sqlalchemy.orm import Session

from artemis_server.db.connection.cancellation import Caller, InternalCaller
from artemis_server.db.statements import driver_connection

_FORM = re.compile("([0-9a-f]{16})([0-9a-f]{8})([0-9a-f]{16})")
_SYSTEM = "artemis_system"
"""The key in `Session.info` of the system identifier of a session's node. A connection leads to one node."""
SYSTEM = """(SELECT system_identifier FROM pg_control_system())
    # (SELECT oid::bigint FROM pg_database WHERE datname = current_database())"""
"""An expression: a number of the cluster and the database in it, the same on every node (# is XOR)."""
_ASK_SYSTEM = f"SELECT {SYSTEM}"
_ASK_INSERTED = """\
SELECT pg_walfile_name(lsn), (lsn - '0/0'::pg_lsn)::bigint FROM pg_current_wal_insert_lsn() AS lsn"""
"""The name of a file of the log begins with the timeline. pg_control_checkpoint has it only after a checkpoint."""
_TIMELINE_DIGITS = 8


class LogPosition(NamedTuple):
    """A position in the log of a cluster. A timeline begins when a standby is promoted (PostgreSQL, "Timelines")."""

    system: int
    """The system identifier of the cluster, which its standbys share, combined with the database (`SYSTEM`)."""
    timeline: int
    lsn: int
    """Bytes since the beginning of the log."""

    @property
    def text(self) -> str:
        """The position as callers get it. Of two texts of one cluster, the greater one is the later position.

        LogPosition(0x6b0806e5a6c5d3f1, 2, 0x16b3748)  ->  6b0806e5a6c5d3f10000000200000000016b3748
        """
        return f"{self.system:016x}{self.timeline:08x}{self.lsn:016x}"

    def is_on_branch_of(self, other: "LogPosition") -> bool:
        """Tells whether both are on one timeline of one cluster."""
        return self[:2] == other[:2]


def parse(text: str) -> LogPosition | None:
    """Returns the position of a text; None for a text that is not one."""
    match = _FORM.fullmatch(text)
    return LogPosition(*(int(digits, 16) for digits in match.groups())) if match else None


def unsigned(system: int) -> int:
    """Returns a system identifier without a sign: PostgreSQL has no unsigned numbers."""
    return system % 2**64


def ask_inserted(session: Session) -> LogPosition:
    """Returns the position up to which a primary has written its log, on disk or not.

    All that any session has committed before is below it, because a commit is a record of the log. A position that is
    taken inside of a transaction is below the record of its commit, so it must be asked for after the commit.
    """
    driver = driver_connection(session)
    system = session.info.get(_SYSTEM)
    if system is None:
        (found,) = driver.execute(_ASK_SYSTEM).fetchone()  # type: ignore[misc]
        system = session.info[_SYSTEM] = unsigned(found)
    file, lsn = driver.execute(_ASK_INSERTED).fetchone()  # type: ignore[misc]
    return LogPosition(system, int(file[:_TIMELINE_DIGITS], 16), lsn)


def position_of(caller: Caller) -> LogPosition | None:
    """Returns the position that a standby must have reached to answer the caller; None if the caller names none."""
    return parse(getattr(caller, "position", ""))


def tell(caller: Caller, position: LogPosition) -> None:
    """Gives a caller the position to send with its next reads. The server itself needs none."""
    if not isinstance(caller, InternalCaller):
        caller.reached = position.text  # type: ignore[attr-defined]
