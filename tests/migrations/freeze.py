"""Freezes the newest revision for every engine, with the data that the one before has.

Run it as `python -m tests.migrations.freeze`.
"""

import re
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

from artemis_models import create_engine, head_revision, text_index, upgrade
from sqlalchemy import make_url

from tests.conftest import cloned, postgresql
from tests.migrations.databases import FROZEN, revisions, thaw

HEADER = "-- A database as revision {} left it, with data. It is never edited: databases like it exist.\n"
SESSION = re.compile(r"^(--.*|\\.*|SET .*|SELECT pg_catalog\.set_config.*)?\n", re.MULTILINE)
"""The lines of pg_dump that are for psql, or set up a session as one version of the server has it."""


def freeze_sqlite(revision: str) -> str:
    """Returns what makes the database of the newest revision that was upgraded from this one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "artemis.db"
        _upgrade(f"sqlite:///{path}", revision)
        with closing(sqlite3.connect(path)) as connection:
            # The dump has no virtual table. Here all events wait to be indexed, so that it is empty.
            connection.executescript("DROP TABLE event_texts")
            dump = "\n".join(connection.iterdump())
        return "\n".join((dump, *(f"{each};" for each in text_index.SQLITE_INDEX), ""))


def freeze_postgresql(revision: str) -> str:
    """Returns the same for PostgreSQL."""
    with postgresql() as server, cloned(make_url(server.get_uri()), "template1") as url:
        _upgrade(url.render_as_string(hide_password=False), revision)
        source = url.set(drivername="postgresql").render_as_string(hide_password=False)
        command = [str(server.bin_path / "pg_dump"), "--inserts", "--no-owner", "--no-privileges", "--dbname", source]
        return SESSION.sub("", subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _upgrade(url: str, revision: str) -> None:
    engine = create_engine(url)
    thaw(engine, revision)
    upgrade(engine)
    engine.dispose()


def main() -> None:
    """Writes the files."""
    newest = head_revision()
    for backend, freeze in (("sqlite", freeze_sqlite), ("postgresql", freeze_postgresql)):
        before = max(revision for revision in revisions(backend) if revision < newest)
        (FROZEN / backend / f"{newest}.sql").write_text(HEADER.format(newest) + freeze(before), encoding="utf-8")


if __name__ == "__main__":
    main()
