"""Several hosts in the URL of a PostgreSQL: a new connection goes to the first one that takes it.

libpq and psycopg try hosts one after the other as well, but wait for a silent one for 2 seconds at least, at every
connection. Here the next host is tried after HOST_TIMEOUT, and the last good one comes first.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias
from urllib.parse import unquote

from sqlalchemy import URL, Dialect, Engine, event, make_url

CONNECT_TIMEOUT = 3
"""Seconds that a new connection may take."""
HOST_TIMEOUT = 1.0
"""Seconds after which the next host is tried. The one before may still win, within CONNECT_TIMEOUT."""
ATTEMPT = "connect"
"""The name of the threads that connect. One that waits for a silent host outlives the connection that was made."""
_SEVERAL = re.compile(
    r"(?P<before>postgresql(?:\+\w+)?://(?:[^/?]*@)?)(?P<hosts>[^/?@]*,[^/?@]*)(?P<after>[/?].*)?$", re.DOTALL
)
_HOST = re.compile(r"(?P<name>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?$")
_PREFIX = re.compile(r"^connection failed: (connection to server .*? failed: )?")

Host: TypeAlias = tuple[str, str]
"""A name or an address, and a port."""


def parse_several(url: str) -> URL | None:
    """Returns a URL of several hosts in libpq's syntax (PostgreSQL, "Connection URIs"); None if it has not several.

        postgresql://ada@h1:5433,h2/artemis  ->  postgresql://ada@/artemis?host=h1,h2&port=5433,5432

    Raises:
        ValueError: it is malformed.
    """
    several = _SEVERAL.match(url)
    if several is None:
        return None
    parsed = make_url(several["before"] + (several["after"] or ""))
    if not {"host", "port"}.isdisjoint(parsed.query):
        raise ValueError("hosts twice")
    return parsed.update_query_dict(_options(several["hosts"].split(",")))


def with_ports(url: URL) -> URL:
    """Returns the URL with lists of hosts and ports that are as long, if its options name hosts.

        ?host=h1:5433&host=h2     ->  ?host=h1,h2&port=5433,5432
        ?host=h1,h2&port=5433     ->  ?host=h1,h2&port=5433,5433, as libpq has it

    Raises:
        ValueError: it is malformed.
    """
    names, port = url.query.get("host"), url.query.get("port")
    if isinstance(names, tuple) and port is None:
        return url.update_query_dict(_options(names))
    if not isinstance(names, str) or not isinstance(port, str) or "," in port:
        return url
    return url.update_query_dict({"port": ",".join([port] * len(names.split(",")))})


def _options(hosts: Iterable[str]) -> dict[str, str]:
    """Returns libpq's options for hosts such as [::1]:5433 or h2. Raises ValueError if one is malformed."""
    found = [_HOST.match(host) for host in hosts]
    matches = [match for match in found if match]
    if len(matches) < len(found):
        raise ValueError("a host is malformed")
    names = [unquote(match["name"].strip("[]")) for match in matches]
    return {"host": ",".join(names), "port": ",".join(match["port"] or "5432" for match in matches)}


def hosts_of(engine: Engine) -> list[Host]:
    """Returns the hosts in an engine's URL, one at least. Raises ValueError for a name that no host can have."""
    _, params = engine.dialect.create_connect_args(engine.url)
    names = str(params.get("host", "")).split(",")
    ports = str(params.get("port", "")).split(",")
    for name in names:
        if not name.startswith(("/", "@")):  # a socket has a path
            name.encode("idna")  # as it is resolved, too
    return list(zip(names, ports if "port" in params else ports * len(names), strict=True))


def join_attempts() -> None:
    """Waits until no attempt to connect runs, so that the process may fork."""
    for thread in threading.enumerate():
        if thread.name == ATTEMPT:
            thread.join(CONNECT_TIMEOUT)


class Hosts:
    """The hosts of an engine, the one to try first at the front."""

    def __init__(self, hosts: list[Host]) -> None:
        self._order = hosts

    def listen(self, engine: Engine) -> None:
        """Makes the engine connect to these hosts. A single one is left to the driver."""
        if len(self._order) > 1:
            event.listen(engine, "do_connect", self.connect)

    def connect(self, dialect: Dialect, _: object, args: Any, params: Mapping[str, Any]) -> Any:
        """Returns a connection to the first host that takes it.

        Raises the driver's OperationalError if there is none, with the failure of every host in one line.
        """
        options = {"target_session_attrs": "read-write", **params}
        race = _Race(lambda name, port: dialect.connect(*args, **{**options, "host": name, "port": port}))
        hosts = list(self._order)
        for host in hosts:
            race.start(host)
            winner = race.wait(CONNECT_TIMEOUT if host == hosts[-1] else HOST_TIMEOUT)
            if winner is not None:
                self._order = [winner, *(each for each in hosts if each != winner)]
                break
        connection = race.end()
        if connection is None:
            failures = (f"{name}:{port}: {race.failure((name, port))}" for name, port in hosts)
            raise dialect.loaded_dbapi.OperationalError("; ".join(failures))
        return connection

    def leave(self, host: Host) -> None:
        """Tries the other hosts first from now on."""
        self._order = sorted(self._order, key=host.__eq__)


class _Race:
    """Attempts to make one connection, each in a thread. The first that succeeds wins; the others are closed."""

    def __init__(self, connect: Callable[[str, str], Any]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._failures: dict[Host, Exception] = {}
        self._ended: SimpleQueue[Host] = SimpleQueue()
        self._running = 0
        self._connection: Any = None
        self._over = False

    def start(self, host: Host) -> None:
        """Begins an attempt."""
        self._running += 1
        threading.Thread(target=self._attempt, args=(host,), name=ATTEMPT, daemon=True).start()

    def wait(self, seconds: float) -> Host | None:
        """Returns the host that won; None once all attempts have failed, or when none has won within the seconds."""
        end = time.monotonic() + seconds
        while self._running:
            try:
                host = self._ended.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                return None
            if host not in self._failures:
                return host
            self._running -= 1
        return None

    def end(self) -> Any:
        """Returns the connection that won, None if there is none; from now on none wins."""
        with self._lock:
            self._over = True
            return self._connection

    def failure(self, host: Host) -> str:
        """Returns the reason why an attempt failed, in one line."""
        error = self._failures.get(host)
        text = "no answer" if error is None else str(error).strip() or type(error).__name__
        return _PREFIX.sub("", text.splitlines()[0])

    def _attempt(self, host: Host) -> None:
        try:
            connection = self._connect(*host)
        except Exception as error:
            self._failures[host] = error
        else:
            with self._lock:
                wins = not self._over and self._connection is None
                if wins:
                    self._connection = connection
            if not wins:
                connection.close()
        self._ended.put(host)
