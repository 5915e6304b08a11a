"""PgBouncer between a server and PostgreSQL, with the settings of docs/deploy/pgbouncer.ini."""

import os
import pwd
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import psycopg
from sqlalchemy import URL

from tests.e2e.servers import PATIENCE
from tests.robustness.replication import system_user
from tests.tools import find, needs

CONFIGURATION = Path(__file__).parents[2] / "docs" / "deploy" / "pgbouncer.ini"
PROGRAM = find("pgbouncer")
needs_pgbouncer = needs("pgbouncer")


@cache
def keeps_prepared_statements() -> bool:
    """Tells whether the PgBouncer that is installed can keep prepared statements in transaction mode."""
    said = subprocess.run([PROGRAM or "", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"PgBouncer (\d+)\.(\d+)", said)
    assert found, said
    return (int(found[1]), int(found[2])) >= (1, 22)


@contextmanager
def pooling(postgresql: URL, **settings: str) -> Iterator[str]:
    """Runs a PgBouncer before a database, and yields the URL of that database through it.

    The settings are those of the documentation, but for authentication; `settings` replaces some.
    """
    with tempfile.TemporaryDirectory(prefix="artemis-pgbouncer-") as folder:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        path = Path(folder) / "pgbouncer.ini"
        with path.open("w") as file:
            _configuration(postgresql, port, settings).write(file)
        user = system_user()  # PgBouncer does not run as root either
        if user is not None:
            for each in (path.parent, path):
                os.chown(each, pwd.getpwnam(user).pw_uid, -1)
        log = path.with_name("log").open("wb")
        with log, subprocess.Popen([PROGRAM or "", str(path)], user=user, stdout=log, stderr=log) as process:
            try:
                url = f"postgresql://{postgresql.username}@127.0.0.1:{port}/artemis"
                _wait_for(url, process, path.with_name("log"))
                yield url
            finally:
                process.kill()


def _configuration(postgresql: URL, port: int, settings: dict[str, str]) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read(CONFIGURATION)
    host, where = postgresql.query.get("host") or postgresql.host, postgresql.port or 5432
    target = f"host={host} port={where} dbname={postgresql.database} user={postgresql.username}"
    ours = {"listen_port": str(port), "auth_type": "any", "unix_socket_dir": ""} | settings
    parser.read_dict({"databases": {"artemis": target}, "pgbouncer": ours})
    del parser["pgbouncer"]["auth_file"]
    if not keeps_prepared_statements():
        del parser["pgbouncer"]["max_prepared_statements"]
    return parser


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with closing(psycopg.connect(url)):
                return
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.01)
