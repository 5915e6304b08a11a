"""Positions in the log of PostgreSQL, as the server makes them and the client keeps them; and the URLs of replicas."""

import pytest
from artemis_client.positions import LatestPosition
from artemis_models import DatabaseError, create_engine
from artemis_server.db.replicas.engines import replica_engines
from artemis_server.db.replicas.positions import LogPosition, parse, unsigned

IN_ORDER = [LogPosition(7, 1, 0), LogPosition(7, 1, 9), LogPosition(7, 1, 2**40), LogPosition(7, 2, 3)]
"""Positions of one cluster, from the earliest to the latest."""


def test_the_order_of_the_texts_is_that_of_the_positions() -> None:
    assert [parse(text) for text in sorted(position.text for position in reversed(IN_ORDER))] == IN_ORDER


@pytest.mark.parametrize(
    "position", [LogPosition(0, 0, 0), LogPosition(2**64 - 1, 2**32 - 1, 2**64 - 1), LogPosition(unsigned(-1), 1, 1)]
)
def test_a_position_survives_as_text(position: LogPosition) -> None:
    assert parse(position.text) == position


@pytest.mark.parametrize(
    "text", ["", "x", "0" * 39, "0" * 41, "0" * 39 + "G", "0" * 39 + "\n", "A" * 40, "\u0660" * 40]
)
def test_other_text_is_no_position(text: str) -> None:
    assert parse(text) is None


def test_the_client_keeps_the_latest_position() -> None:
    latest = LatestPosition()
    for position in (IN_ORDER[2], IN_ORDER[0], IN_ORDER[1]):
        latest.keep([("x-request-id", "1"), ("x-artemis-position", position.text)])
    assert latest.text == IN_ORDER[2].text
    latest.keep([("x-request-id", "1")])
    latest.advance("")
    assert latest.metadata() == (("x-artemis-position", IN_ORDER[2].text),)
    latest.advance(IN_ORDER[3].text)
    assert latest.text == IN_ORDER[3].text


def test_the_client_follows_its_server_to_another_database() -> None:
    latest = LatestPosition()
    latest.advance(LogPosition(9, 3, 9).text)
    latest.advance(LogPosition(7, 1, 1).text)
    assert latest.text == LogPosition(7, 1, 1).text


def test_the_client_has_no_position_after_a_write_without_one() -> None:
    latest = LatestPosition()
    latest.advance(IN_ORDER[0].text)
    latest.keep([("x-request-id", "1")], wrote=True)
    assert latest.metadata() == ()


@pytest.mark.parametrize("text", ["x", "é" * 40, "0" * 39 + "\n", "0" * 1000])
def test_the_client_takes_over_positions_alone(text: str) -> None:
    with pytest.raises(ValueError, match="is not a position"):
        LatestPosition().advance(text)


SEVERAL_HOSTS = "a URL in --replica-url names several hosts: give each node a URL of its own, separated by commas"
NO_STANDBYS = "--replica-url needs a PostgreSQL, and the URL of one of its standbys: SQLite has none"


@pytest.mark.parametrize(
    ("primary", "url", "failure"),
    [
        ("postgresql://u:secret@h/n", "postgresql://u:secret@h1,h2/n", SEVERAL_HOSTS),
        ("postgresql://u:secret@h/n", "postgresql://u:secret@/n?host=h1&host=h2", SEVERAL_HOSTS),
        ("postgresql://u:secret@h/n", "sqlite:///x.db", NO_STANDBYS),
        ("sqlite:///x.db", "postgresql://u:secret@h/n", NO_STANDBYS),
        ("postgresql://u:secret@h/n", "h:5432", "--replica-url: the database URL is malformed"),
    ],
)
def test_a_bad_url_of_a_replica_is_told_without_its_password(primary: str, url: str, failure: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        replica_engines([url], create_engine(primary), password_file=None, connections=1)
    assert str(refused.value).startswith(failure)
    assert "secret" not in str(refused.value)
