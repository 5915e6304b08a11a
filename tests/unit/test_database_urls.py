"""Database URLs: PostgreSQL's passwords, in the URL or in a file, and never in a message."""

import re
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from artemis_models import DatabaseError, create_engine, describe, hosts
from artemis_models.hosts import Hosts, hosts_of
from sqlalchemy.exc import OperationalError

PASSWORDS = ["qx@zk", "qx@zk/wv", "qx/zk@wv", "qx@zk:wv", "qx@zk?wv", "qx@zk@wv", "qx@zk#wv@"]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_that_breaks_the_url_is_refused_and_not_shown(scheme: str, password: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        create_engine(f"{scheme}://ada:{password}@127.0.0.1:1/artemis")

    assert "write %40 for @" in str(refused.value)
    assert [part for part in re.split("[@/:?#]", password) if part and part in str(refused.value)] == []


@pytest.mark.parametrize("user", ["a/da:qxzk", "a/da:qx@zk", "a/da"])
def test_a_user_that_breaks_the_url_is_refused_and_the_password_not_shown(user: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        create_engine(f"postgresql://{user}@127.0.0.1:1/artemis")

    assert "write %40 for @ and %2F for /" in str(refused.value)
    assert "zk" not in str(refused.value)


@pytest.mark.parametrize("part", ["p%00w@127.0.0.1:1/db", "pw@127.0.0.1:1/d%00b"])
def test_a_url_with_u_0000_is_refused(part: str) -> None:
    with pytest.raises(DatabaseError, match=r"U\+0000"):
        create_engine(f"postgresql://ada:{part}")


def test_an_option_may_have_an_at_sign() -> None:
    engine = create_engine("postgresql://ada:pw@127.0.0.1:1/artemis?application_name=me@host")

    assert (engine.url.password, engine.url.query["application_name"]) == ("pw", "me@host")


def test_a_sqlite_file_has_no_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret")

    with pytest.raises(DatabaseError, match="a SQLite file has no password"):
        create_engine(f"sqlite:///{tmp_path}/artemis.db", password_file=file)


@pytest.mark.parametrize(
    ("content", "password"), [("a\x0bb\u2028c\n", "a\x0bb\u2028c"), ("\ufeffpw\r\n", "pw"), ("pw", "pw")]
)
def test_a_password_ends_at_the_end_of_its_line(tmp_path: Path, content: str, password: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content.encode())

    assert create_engine("postgresql://ada@127.0.0.1:1/artemis", password_file=file).url.password == password


def test_an_escaped_password_is_read() -> None:
    assert create_engine("postgresql://ada:p%40s%2Fs@127.0.0.1:1/artemis").url.password == "p@s/s"
    assert create_engine("postgres://ada@127.0.0.1:1/artemis").dialect.name == "postgresql"


def test_a_user_may_have_an_at_sign_if_there_is_no_password() -> None:
    url = create_engine("postgresql://ada@server@127.0.0.1:1/artemis").url
    assert (url.username, url.host, url.database) == ("ada@server", "127.0.0.1", "artemis")


@pytest.mark.parametrize("password", [*PASSWORDS, "päss wörd", "%40"])
def test_a_password_file_may_have_any_password(tmp_path: Path, password: str) -> None:
    file = tmp_path / "password"
    file.write_text(f"{password}\n", encoding="utf-8")

    engine = create_engine("postgresql://ada@127.0.0.1:1/artemis", password_file=file)

    assert engine.url.password == password
    with pytest.raises(OperationalError) as failed:
        engine.connect()
    described = describe(failed.value, engine)
    assert described.startswith("cannot use postgresql+psycopg://ada:***@127.0.0.1:1/artemis: ")
    assert password not in described


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file or directory"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "UTF-8")],
)
def test_a_password_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(DatabaseError, match=why):
        create_engine("postgresql://ada@127.0.0.1:1/artemis", password_file=file)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:secret@127.0.0.1:1,127.0.0.1:2/artemis",
        "postgres://ada:secret@127.0.0.1:1,127.0.0.1:2/artemis?connect_timeout=5",
        "postgresql://ada:secret@/artemis?host=127.0.0.1,127.0.0.1&port=1,2",
        "postgresql://ada:secret@/artemis?host=127.0.0.1:1&host=127.0.0.1:2",
    ],
)
def test_the_failure_of_every_host_is_told(url: str) -> None:
    engine = create_engine(url)

    with pytest.raises(OperationalError) as failed:
        engine.connect()

    assert describe(failed.value, engine) == (
        "cannot use postgresql+psycopg://ada:***@127.0.0.1:1,127.0.0.1:2/artemis: "
        "127.0.0.1:1: Connection refused; 127.0.0.1:2: Connection refused"
    )


def test_one_port_is_that_of_all_hosts() -> None:
    assert hosts_of(create_engine("postgresql:///artemis?host=h1,h2&port=6432")) == [("h1", "6432"), ("h2", "6432")]


def test_a_path_of_a_socket_may_be_long() -> None:
    path = f"/tmp/{'a' * 80}"  # noqa: S108, it is only named
    assert hosts_of(create_engine(f"postgresql:///artemis?host={path}&port=6432")) == [(path, "6432")]


def test_a_host_without_a_port_has_the_default_one() -> None:
    assert hosts_of(create_engine("postgresql://[::1]:1,h2/artemis")) == [("::1", "1"), ("h2", "5432")]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///artemis?host=h1,h2,h3&port=1,2",
        "postgresql:///artemis?host=h1,h2&port=1,x",
        "postgresql:///artemis?host=::1&host=h2:5",
        "postgresql://h1,/artemis",
        "postgresql://h1:1,h2:x/artemis",
        "postgresql://h1,h2/artemis?host=h3",
        f"postgresql://{'a' * 80}/artemis",
        f"postgresql://{'a' * 80},h2/artemis",
    ],
)
def test_hosts_and_ports_that_do_not_fit_are_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"^the database URL has not one port for each host[^\n]+$"):
        create_engine(url)


class Servers:
    """Stands in for a driver's dialect that connects to servers, some of which are silent."""

    loaded_dbapi = psycopg

    def __init__(self, *silent: str) -> None:
        self.tried: list[str] = []
        self.silent = set(silent)
        self.away = threading.Event()

    def connect(self, *, host: str, **_: str) -> str:
        self.tried.append(host)
        if host in self.silent:
            self.away.wait()
            raise psycopg.OperationalError("timeout")
        return host


def test_a_silent_host_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "HOST_TIMEOUT", 0.01)
    servers: Any = Servers("h1")
    several = Hosts([("h1", "1"), ("h2", "2"), ("h3", "3")])

    connected = [several.connect(servers, None, (), {}) for _ in range(3)]
    servers.away.set()

    assert (connected, servers.tried) == (["h2"] * 3, ["h1", "h2", "h2", "h2"])


def test_a_host_that_is_left_is_tried_last() -> None:
    servers: Any = Servers()
    several = Hosts([("h1", "1"), ("h2", "2"), ("h3", "3")])

    several.leave(("h1", "1"))
    several.leave(("h1", "1"))

    assert several.connect(servers, None, (), {}) == "h2"
