"""The tables of Artemis, shared by everything that reads or writes them.

This package knows SQLAlchemy and nothing of gRPC, of the contract's messages or of feeds.
"""

from artemis_models import triggers as _triggers  # noqa: F401, so that tables that are made have them
from artemis_models.collector import spare_collector
from artemis_models.engine import create_engine, describe, refuse_missing
from artemis_models.errors import AUTOCOMMIT, DatabaseError
from artemis_models.migrate import (
    check_connection,
    check_revision,
    current_revision,
    head_revision,
    refuse_unusable,
    upgrade,
    upgrade_sql,
)
from artemis_models.tables import Base, Event, FeedValidators, IdempotencyKey, Load, Secret, User

__all__ = [
    "AUTOCOMMIT",
    "Base",
    "DatabaseError",
    "Event",
    "FeedValidators",
    "IdempotencyKey",
    "Load",
    "Secret",
    "User",
    "check_connection",
    "check_revision",
    "create_engine",
    "current_revision",
    "describe",
    "head_revision",
    "refuse_missing",
    "refuse_unusable",
    "spare_collector",
    "upgrade",
    "upgrade_sql",
]
