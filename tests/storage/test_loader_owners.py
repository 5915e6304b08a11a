"""Owners of events by e-mail address, examples of a dry run, and feeds that may be empty, on every database."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from artemis_loader.loading import Options, load
from artemis_loader.report.progress import Reporter
from artemis_loader.summary import Counts, Status, Summary
from sqlalchemy import Engine, text

from tests.feeds import declare

CONFIG = """
[feeds.talks]
url = "talks.jsonl"
format = "jsonl"
entity = "events"
{more}
[feeds.talks.fields]
external_id = "id"
name = "name"
start_time = {{ key = "at", default = "2030-01-01" }}
end_time = {{ key = "at", default = "2030-01-01" }}
{fields}
"""
OWNER = 'owner = "host"'


@dataclass
class Talks:
    """A feed of talks, and users who may own them."""

    engine: Engine
    folder: Path

    def load(self, *records: dict[str, Any], fields: str = OWNER, more: str = "", **options: Any) -> Summary:
        lines = [json.dumps({"name": "x"} | record) for record in records]
        (self.folder / "talks.jsonl").write_text("\n".join(lines), encoding="utf-8")
        feed = declare(self.folder, CONFIG.format(fields=fields, more=more))
        chosen = Options(rejects=str(self.folder / "rejects" / "{feed}.jsonl"), **options)
        return load(self.engine, feed, chosen, Reporter())

    def add_user(self, email: str) -> int:
        sql = (
            "INSERT INTO users (email, first_name, last_name, source, external_id, create_time, update_time, version)"
            " VALUES (:email, '', '', '', '', 1, 1, 1) RETURNING id"
        )
        with self.engine.begin() as connection:
            return int(connection.execute(text(sql), {"email": email}).scalar_one())

    def execute(self, sql: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(sql))

    def owners(self) -> dict[str, tuple[int | None, int]]:
        """Returns the owner and the version of each event by its external_id."""
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT external_id, owner_id, version FROM events ORDER BY id")).all()
        return {row[0]: (row[1], row[2]) for row in rows}


@pytest.fixture
def talks(engine: Engine, tmp_path: Path) -> Iterator[Talks]:
    yield Talks(engine, tmp_path)
    engine.dispose()


def counts(summary: Summary) -> dict[str, int]:
    assert not summary.error
    found = {name: getattr(summary.counts, name) for name in Counts.__dataclass_fields__}
    return {name: count for name, count in found.items() if count}


def test_an_owner_is_the_user_with_the_address(talks: Talks) -> None:
    ada, bob = talks.add_user("Ada@x.org"), talks.add_user("bob@x.org")
    records = (
        {"id": "1", "host": "ada@X.org"},
        {"id": "2", "host": "bob@x.org"},
        {"id": "3"},
        {"id": "4", "host": " "},
    )
    assert counts(talks.load(*records)) == {"read": 4, "inserted": 4}
    assert talks.owners() == {"1": (ada, 1), "2": (bob, 1), "3": (None, 1), "4": (None, 1)}
    assert counts(talks.load(*records)) == {"read": 4, "unchanged": 4}
    assert counts(talks.load({"id": "1", "host": "bob@x.org"}, {"id": "2"}, *records[2:])) == {
        "read": 4,
        "updated": 2,
        "unchanged": 2,
    }
    assert talks.owners() == {"1": (bob, 2), "2": (None, 2), "3": (None, 1), "4": (None, 1)}


def test_an_owner_who_is_no_user_is_a_reject_and_its_row_stays(talks: Talks) -> None:
    ada = talks.add_user("ada@x.org")
    talks.load({"id": "1", "host": "ada@x.org"}, {"id": "2"})
    summary = talks.load({"id": "1", "host": "eve@x.org"}, {"id": "2"}, {"id": "3", "host": "nobody"})
    assert counts(summary) == {"read": 3, "unchanged": 1, "rejected": 2}
    reasons = {reject.line: reject.reason for reject in summary.first_rejects}
    assert reasons == {1: "no user has the e-mail address of the owner", 3: "owner is not an e-mail address"}
    assert {reject.file for reject in summary.first_rejects} == {str(talks.folder / "talks.jsonl")}
    assert talks.owners() == {"1": (ada, 1), "2": (None, 1)}


def test_an_owner_who_is_no_user_may_be_none(talks: Talks) -> None:
    talks.add_user("ada@x.org")
    summary = talks.load({"id": "1", "host": "eve@x.org"}, more='owner_missing = "none"')
    assert counts(summary) == {"read": 1, "inserted": 1}
    assert talks.owners() == {"1": (None, 1)}


def test_a_feed_without_owners_leaves_them_alone(talks: Talks) -> None:
    ada = talks.add_user("ada@x.org")
    talks.load({"id": "1"}, fields="")
    talks.execute(f"UPDATE events SET owner_id = {ada}")  # noqa: S608, our number
    before = talks.owners()
    assert before["1"][0] == ada
    assert counts(talks.load({"id": "1"}, fields="")) == {"read": 1, "unchanged": 1}
    assert counts(talks.load({"id": "1", "name": "y"}, fields="")) == {"read": 1, "updated": 1}
    assert talks.owners() == {"1": (ada, before["1"][1] + 1)}


def test_a_dry_run_shows_what_would_change_field_by_field(talks: Talks) -> None:
    ada = talks.add_user("ada@x.org")
    talks.load(*({"id": str(number)} for number in range(9)))
    records = [{"id": str(number)} for number in range(2, 9)]
    summary = talks.load(
        {"id": "new"}, records[0] | {"name": "y", "at": "2030-01-02T10:00:00Z", "host": "ada@x.org"}, *records[1:],
        dry_run=True,
    )  # fmt: skip
    assert summary.status is Status.DRY_RUN
    day, after = "2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z"
    found = [(change.kind, change.external_id, dict(change.fields)) for change in summary.changes]
    gone = {"name": ("x", None), "start_time": (day, None), "end_time": (after, None)}
    assert found == [
        ("inserted", "new", {"name": (None, "x"), "start_time": (None, day), "end_time": (None, after)}),
        (
            "updated",
            "2",
            {
                "name": ("x", "y"),
                "start_time": (day, "2030-01-02T10:00:00Z"),
                "end_time": (after, "2030-01-02T10:00:00Z"),
                "owner_id": ("", str(ada)),
            },
        ),
        ("deleted", "0", gone),
        ("deleted", "1", gone),
    ]
    assert len(talks.owners()) == 9


def test_a_dry_run_of_a_new_feed_shows_its_first_records(talks: Talks) -> None:
    summary = talks.load(*({"id": str(number)} for number in range(9)), dry_run=True)
    assert [(change.kind, change.external_id) for change in summary.changes] == [("inserted", str(n)) for n in range(5)]


def test_duplicates_are_told_with_their_places(talks: Talks) -> None:
    summary = talks.load({"id": "1"}, {"id": "2"}, {"id": "1"}, {"id": "1"})
    assert counts(summary) == {"read": 4, "inserted": 2, "duplicate": 2}
    assert [(one.external_id, one.line, one.later_line) for one in summary.first_duplicates] == [
        ("1", 1, 4),
        ("1", 3, 4),
    ]


def test_many_duplicates_are_a_warning(talks: Talks, caplog: pytest.LogCaptureFixture) -> None:
    talks.load(*({"id": str(number % 10)} for number in range(20)))
    assert "that is 50 % of the 20 records: external_id may lack a part that tells them apart" in caplog.text
    caplog.clear()
    talks.load(*({"id": str(number)} for number in range(200)), {"id": "1"})
    assert "may lack a part" not in caplog.text


def test_a_feed_may_be_empty_if_it_says_so(talks: Talks) -> None:
    talks.load({"id": "1"}, {"id": "2"})
    assert "the feed has no usable record" in talks.load().error
    assert "the feed has no usable record" in talks.load({"id": ""}, more="allow_empty = true").error
    assert counts(talks.load(more="allow_empty = true")) == {"deleted": 2}
    assert talks.owners() == {}
