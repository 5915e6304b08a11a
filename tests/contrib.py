"""A PostgreSQL with its extensions, such as pg_trgm, where the machine has one: that of the tests has none."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from tests.tools import find

OPTIONS = "-c listen_addresses='' -c fsync=off -c unix_socket_directories='{}'"


@contextmanager
def contrib_postgresql(options: str = "") -> Iterator[URL]:
    """Runs it, and yields the URL of its database for maintenance. Mark what uses it with `needs("initdb")`.

    It listens on a socket in a temporary folder. As root it runs as the user `postgres`, whom its package has made.
    """
    initdb = find("initdb")
    assert initdb is not None
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="artemis-contrib-") as folder:
        if user is not None:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            path = initdb.resolve().parent / program
            subprocess.run([path, *arguments], user=user, check=True, cwd=folder, stdout=subprocess.DEVNULL)

        data = str(Path(folder) / "data")
        run("initdb", "--pgdata", data, "--no-sync", "--auth", "trust", "--encoding", "UTF8", "--username", "postgres")
        options = f"{OPTIONS.format(folder)} {options}"
        run("pg_ctl", "--pgdata", data, "--wait", "--silent", "--log", f"{folder}/log", "--options", options, "start")
        try:
            query = {"host": folder}
            yield URL.create("postgresql", "postgres", database="postgres", query=query)
        finally:
            run("pg_ctl", "--pgdata", data, "--wait", "--silent", "--mode", "immediate", "stop")
