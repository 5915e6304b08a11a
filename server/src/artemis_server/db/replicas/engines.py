"""Engines of replicas: each leads to one node, and its sessions cannot write, also after the node was promoted."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from artemis_models import DatabaseError, create_engine, hosts_of
from sqlalchemy import Engine, event

_READ_ONLY = "-c default_transaction_read_only=on"


def replica_engines(
    urls: Iterable[str], primary: Engine, *, password_file: Path | None, connections: int
) -> list[Engine]:
    """Returns an engine for each URL, with this many connections at most. No connection is made yet.

    The password file is that of the primary: a standby has the same users.

    Raises:
        DatabaseError: a URL is malformed or names several nodes, or a database is not a PostgreSQL.
    """
    return [_replica_engine(url, primary, password_file, connections) for url in urls]


def _replica_engine(url: str, primary: Engine, password_file: Path | None, connections: int) -> Engine:
    try:
        engine = create_engine(url, password_file=password_file, connections=connections)
    except DatabaseError as error:
        raise DatabaseError(f"--replica-url: {error}") from None
    if not engine.dialect.name == primary.dialect.name == "postgresql":
        raise DatabaseError("--replica-url needs a PostgreSQL, and the URL of one of its standbys: SQLite has none")
    if len(hosts_of(engine)) > 1:
        raise DatabaseError(
            "a URL in --replica-url names several hosts: give each node a URL of its own, separated by commas"
        )
    event.listen(engine, "do_connect", _refuse_writes)
    return engine


def _refuse_writes(_dialect: object, _record: object, _args: object, params: dict[str, Any]) -> None:
    params["options"] = f"{params.get('options', '')} {_READ_ONLY}".strip()
