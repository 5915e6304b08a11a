"""The tables of Artemis, shared by everything that reads or writes them.

This package knows SQLAlchemy and nothing of gRPC, of the contract's messages or of feeds.
"""

from artemis_models import triggers as _triggers  # noqa: F401, it adds the triggers to the tables
from artemis_models.engine import create_engine, describe
from artemis_models.errors import AUTOCOMMIT, DatabaseError, ReadOnlyError
from artemis_models.hosts import hosts_of, join_attempts
from artemis_models.memory import tune_allocator, tune_garbage_collector
from artemis_models.migrate import upgrade, upgrade_sql
from artemis_models.poolers import Pooler, check_session, pooler_of
from artemis_models.postgresql import is_unreplicated
from artemis_models.revisions import (
    check_connection,
    check_reachable,
    check_revision,
    check_writable,
    current_revision,
    head_revision,
)
from artemis_models.sequences import check_sequences, sequence_repair
from artemis_models.tables import (
    Base,
    ChangeContext,
    Event,
    EventChange,
    FeedValidators,
    IdempotencyKey,
    Load,
    Secret,
    User,
    next_update_time,
)

__all__ = [
    "AUTOCOMMIT",
    "Base",
    "ChangeContext",
    "DatabaseError",
    "Event",
    "EventChange",
    "FeedValidators",
    "IdempotencyKey",
    "Load",
    "Pooler",
    "ReadOnlyError",
    "Secret",
    "User",
    "check_connection",
    "check_reachable",
    "check_revision",
    "check_sequences",
    "check_session",
    "check_writable",
    "create_engine",
    "current_revision",
    "describe",
    "head_revision",
    "hosts_of",
    "is_unreplicated",
    "join_attempts",
    "next_update_time",
    "pooler_of",
    "sequence_repair",
    "tune_allocator",
    "tune_garbage_collector",
    "upgrade",
    "upgrade_sql",
]
