"""Database URLs: PostgreSQL's passwords, in the URL or in a file, and never in a message."""

import re
from pathlib import Path

import pytest
from artemis_models import DatabaseError, create_engine, describe
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
