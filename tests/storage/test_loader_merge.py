"""A load changes the tables: all of it or nothing, and no more than has changed."""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from artemis_loader import loading
from artemis_loader.errors import FeedError
from artemis_loader.feeds import Feed, Limits, Mode
from artemis_loader.files import Validators
from artemis_loader.history import last_loads, store_validators, validators
from artemis_loader.loading import Options, load
from artemis_loader.locks import is_held, lock_path, only_load
from artemis_loader.merge import merging
from artemis_loader.merge.dialects import own_connection
from artemis_loader.merge.merging import Merge
from artemis_loader.merge.staging import Staging
from artemis_loader.records import FeedWarning, Record, Reject
from artemis_loader.report.progress import Reporter
from artemis_loader.summary import MAX_EXAMPLES, Counts, Status, Summary
from artemis_models import create_engine
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.event import listens_for
from sqlalchemy.exc import IntegrityError

from tests.programs import waiting
from tests.storage.conftest import PATIENCE

Item = Record | Reject | FeedWarning
Items = Iterable[Item]
LIMITS = Limits()
BAD = Reject("feed.jsonl", 7, "start_time: is no date", '{"id": "bad"}')


def event(external_id: str, name: str = "Picnic", start: int = 1_000_000) -> Record:
    """Returns a record of an event feed."""
    return Record(external_id, (name, "In the park", "party", "Oslo", "City", start, start + 1))


def user(external_id: str, email: str, first_name: str = "Ada") -> Record:
    """Returns a record of a user feed."""
    return Record(external_id, (email, first_name, "Lovelace"))


def events(count: int, name: str = "Picnic") -> list[Record]:
    """Returns records of an event feed with different external_ids."""
    return [event(f"e{number:05}", name) for number in range(count)]


@dataclass
class Loads:
    """Loads records into a database, as if they had been read from a feed."""

    engine: Engine
    folder: Path
    mode: Mode = "refresh"
    entity: str = "events"
    limits: Limits = LIMITS
    name: str = "feed"

    def __call__(self, items: Items, **options: Any) -> Summary:
        """Loads the records and returns the summary."""
        source = self.folder / "feed.jsonl"
        source.touch()
        feed = Feed(
            name=self.name,
            url=str(source),
            format="jsonl",
            entity=self.entity,
            mode=self.mode,
            fields={},
            limits=self.limits,
        )
        chosen = Options(rejects=str(self.folder / "rejects" / "{feed}.jsonl"), **options)
        return load(self.engine, feed, chosen, Reporter(), lambda *_: items)

    def rows(self, table: str = "events") -> dict[str, dict[str, Any]]:
        """Returns every row of a table by its external_id, or its id when it has none."""
        with self.engine.connect() as connection:
            found = connection.execute(text(f"SELECT * FROM {table} ORDER BY id")).mappings().all()  # noqa: S608, our names
        return {row["external_id"] or str(row["id"]): dict(row) for row in found}

    def execute(self, sql: str, **values: Any) -> None:
        """Changes the database past the loader."""
        with self.engine.begin() as connection:
            connection.execute(text(sql), values)

    def add_user(self, email: str, source: str = "") -> None:
        """Adds a user as the API does, or as a load of another feed does."""
        self.execute(
            "INSERT INTO users (email, source, external_id, create_time, update_time)"
            " VALUES (:email, :source, '', 1, 1)",
            email=email,
            source=source,
        )

    def rejects(self) -> list[dict[str, Any]]:
        """Returns what the rejects file says."""
        path = self.folder / "rejects" / f"{self.name}.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


@pytest.fixture
def loads(engine: Engine, tmp_path: Path) -> Iterator[Loads]:
    """Loads into an empty database."""
    yield Loads(engine, tmp_path)
    engine.dispose()


def counts(summary: Summary) -> dict[str, int]:
    """Returns the counts that are not zero."""
    names = ("read", "inserted", "updated", "unchanged", "deleted", "kept", "rejected", "duplicate")
    return {name: value for name in names if (value := getattr(summary.counts, name))}


def test_a_first_load_inserts_every_record_as_it_is(loads: Loads) -> None:
    summary = loads([event("a", "Fête 🎉", -5), event("b")])
    assert summary.status is Status.LOADED, summary.error
    assert counts(summary) == {"read": 2, "inserted": 2}
    row = loads.rows()["a"]
    assert row.pop("id") > 0
    created = row.pop("create_time")
    assert created == row.pop("update_time")
    assert created > 1_700_000_000_000_000
    assert row == {
        "name": "Fête 🎉",
        "description": "In the park",
        "category": "party",
        "location": "Oslo",
        "publisher": "City",
        "start_time": -5,
        "end_time": -4,
        "owner_id": None,
        "source": "feed",
        "external_id": "a",
        "version": 1,
    }


def test_records_are_inserted_in_the_order_of_the_feed(loads: Loads) -> None:
    loads([event("c"), event("a"), event("b")])
    assert list(loads.rows()) == ["c", "a", "b"]


def test_the_same_feed_again_touches_no_row(loads: Loads) -> None:
    loads(events(5000))
    before = loads.rows()
    summary = loads(events(5000))
    assert counts(summary) == {"read": 5000, "unchanged": 5000}
    assert before == loads.rows()


def test_a_change_touches_its_row_alone(loads: Loads) -> None:
    loads(events(300))
    before = loads.rows()
    summary = loads([event("e00007", "Concert") if item.external_id == "e00007" else item for item in events(300)])
    after = loads.rows()
    assert counts(summary) == {"read": 300, "updated": 1, "unchanged": 299}
    changed = after.pop("e00007")
    old = before.pop("e00007")
    assert before == after
    assert (changed["id"], changed["name"], changed["version"]) == (old["id"], "Concert", 2)
    assert changed["create_time"] == old["create_time"]
    assert changed["update_time"] > old["update_time"]


def test_an_update_time_never_goes_back(loads: Loads) -> None:
    """Also when the clock was set back after the last change."""
    later = 4_102_444_800_000_000  # 2100-01-01
    loads([event("a")])
    loads.execute("UPDATE events SET update_time = :later", later=later)
    loads([event("a", "Concert")])
    row = loads.rows()["a"]
    assert (row["name"], row["update_time"]) == ("Concert", later)


def test_a_change_of_any_column_is_found(loads: Loads) -> None:
    values = list(event("a").values)
    loads([Record("a", tuple(values))])
    for place, other in enumerate(values):
        values[place] = other + "!" if isinstance(other, str) else other + (-1 if place == 5 else 1)
        assert counts(loads([Record("a", tuple(values))])) == {"read": 1, "updated": 1}, place
        assert counts(loads([Record("a", tuple(values))])) == {"read": 1, "unchanged": 1}, place


def test_a_refresh_deletes_what_the_feed_no_longer_has_and_nothing_else(loads: Loads) -> None:
    loads.execute(
        "INSERT INTO events (name, start_time, end_time, create_time, update_time) VALUES ('Over the API', 1, 1, 1, 1)"
    )
    loads.execute(
        "INSERT INTO events (name, start_time, end_time, create_time, update_time, source, external_id)"
        " VALUES ('Of another feed', 1, 1, 1, 1, 'other', 'o1')"
    )
    loads([event("a"), event("b"), event("c")])
    before = loads.rows()
    summary = loads([event("a"), event("c")])
    assert counts(summary) == {"read": 2, "unchanged": 2, "deleted": 1}
    del before["b"]
    assert before == loads.rows()


def test_feeds_with_equal_external_ids_do_not_meet(loads: Loads) -> None:
    loads([event("a", "One")])
    summary = replace(loads, name="second")([event("a", "Two")])
    assert counts(summary) == {"read": 1, "inserted": 1}
    with loads.engine.connect() as connection:
        rows = connection.execute(text("SELECT source, name FROM events ORDER BY source")).all()
    assert [tuple(row) for row in rows] == [("feed", "One"), ("second", "Two")]


def test_an_upsert_deletes_nothing(loads: Loads) -> None:
    loads = replace(loads, mode="upsert")
    loads([event("a"), event("b")])
    summary = loads([event("b", "Concert"), event("c")])
    assert counts(summary) == {"read": 2, "inserted": 1, "updated": 1}
    assert {"a", "b", "c"} == loads.rows().keys()
    assert loads([]).status is Status.LOADED


def test_of_duplicates_the_last_wins(loads: Loads) -> None:
    items = [event("a", "First"), event("b"), event("a", "Second"), event("a", "Third")]
    summary = loads(items)
    assert counts(summary) == {"read": 4, "inserted": 2, "duplicate": 2}
    assert loads.rows()["a"]["name"] == "Third"
    assert counts(loads(items)) == {"read": 4, "unchanged": 2, "duplicate": 2}


def test_duplicates_are_reported_by_name(loads: Loads, caplog: pytest.LogCaptureFixture) -> None:
    loads([event("twin"), event("b"), event("twin")])
    assert "1 records have the external_id of a later one, which was taken instead: twin" in caplog.text


def test_an_external_id_differs_by_case_and_blanks(loads: Loads) -> None:
    assert counts(loads([event("a"), event("A"), event("a ")])) == {"read": 3, "inserted": 3}


def test_rejects_are_counted_and_written_down_and_the_rest_is_loaded(loads: Loads) -> None:
    summary = loads([event("a"), BAD, event("b")])
    assert counts(summary) == {"read": 3, "inserted": 2, "rejected": 1}
    assert loads.rejects() == [
        {
            "feed": "feed",
            "file": "feed.jsonl",
            "line": 7,
            "reason": "start_time: is no date",
            "record": '{"id": "bad"}',
        }
    ]


def bad(external_id: str) -> Reject:
    """Returns a record that cannot be stored, although it is known which it is."""
    return replace(BAD, external_id=external_id)


def test_a_rejected_record_leaves_its_row_as_it_was(loads: Loads) -> None:
    loads([event("a"), event("b"), event("c")])
    before = loads.rows()
    summary = loads([event("a"), bad("b"), bad("new")])
    assert counts(summary) == {"read": 3, "unchanged": 1, "deleted": 1, "rejected": 2}
    del before["c"]
    assert before == loads.rows()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_valid_record_counts_beside_a_rejected_one_of_the_same_id(loads: Loads, place: int) -> None:
    loads([event("a")])
    items: list[Record | Reject] = [bad("a"), bad("a")]
    items.insert(place, event("a", "Concert"))
    assert counts(loads(items)) == {"read": 3, "updated": 1, "rejected": 2}
    assert loads.rows()["a"]["name"] == "Concert"


@pytest.mark.parametrize("turn", [0.0, pytest.param(loading.COMMIT_INTERVAL, marks=pytest.mark.acceptance)])
def test_many_rejected_records_leave_their_rows(loads: Loads, monkeypatch: pytest.MonkeyPatch, turn: float) -> None:
    monkeypatch.setattr(loading, "COMMIT_INTERVAL", turn)
    loads = replace(loads, limits=Limits(max_rejects=1.0))
    loads(events(4500))
    before = loads.rows()
    items: list[Record | Reject] = list(events(4500))
    items = [item if number % 4 == 0 else bad(item.external_id) for number, item in enumerate(items)]
    assert counts(loads(items)) == {"read": 4500, "unchanged": 1125, "rejected": 3375}
    assert before == loads.rows()


def test_a_load_without_rejects_leaves_no_rejects_file_of_an_earlier_one(loads: Loads) -> None:
    loads([event("a"), BAD])
    loads([event("a")])
    assert loads.rejects() == []


@pytest.mark.parametrize("limit", [2, 0.1])
def test_too_many_rejects_fail_the_load_and_change_nothing(loads: Loads, limit: float) -> None:
    loads = replace(loads, limits=Limits(max_rejects=limit))
    loads([event("a")])
    before = loads.rows()
    summary = loads([event("b"), BAD, BAD, BAD, event("c")])
    assert summary.status is Status.FAILED
    assert "3 records were rejected, more than max_rejects" in summary.error
    assert before == loads.rows()


def test_as_many_rejects_as_allowed_are_fine(loads: Loads) -> None:
    loads = replace(loads, limits=Limits(max_rejects=2))
    assert loads([event("b"), BAD, BAD]).status is Status.LOADED


def test_a_feed_that_shrinks_is_refused_unless_forced(loads: Loads) -> None:
    loads(events(10))
    before = loads.rows()
    summary = loads(events(4))
    assert summary.status is Status.FAILED
    assert "6 of 10 rows are no longer in the feed" in summary.error
    assert before == loads.rows()
    assert counts(loads(events(4), force=True)) == {"read": 4, "unchanged": 4, "deleted": 6}


def test_a_feed_may_shrink_by_the_share_that_is_set(loads: Loads) -> None:
    loads(events(10))
    assert counts(loads(events(5))) == {"read": 5, "unchanged": 5, "deleted": 5}


@pytest.mark.parametrize("items", [[], [BAD]])
def test_an_empty_feed_is_refused_unless_forced(loads: Loads, items: list[Record | Reject]) -> None:
    loads(events(3))
    summary = loads(items)
    assert "no usable record" in summary.error
    assert len(loads.rows()) == 3
    assert loads(items, force=True).counts.deleted == 3
    assert loads.rows() == {}


def test_a_feed_that_breaks_off_changes_nothing(loads: Loads) -> None:
    def broken() -> Iterator[Record]:
        yield from events(9000, "Changed")
        raise OSError("the disk is gone")

    loads(events(100))
    before = loads.rows()
    summary = loads(broken())
    assert (summary.status, summary.error) == (Status.FAILED, "the disk is gone")
    assert before == loads.rows()
    assert history(loads)[0] == (Status.FAILED, "the disk is gone", 9000)
    assert counts(loads(events(100))) == {"read": 100, "unchanged": 100}


def test_a_failure_is_told_whatever_bytes_it_has(loads: Loads) -> None:
    """Names of files and columns may have any."""

    def broken() -> Iterator[Record]:
        yield event("a")
        raise FeedError("caf\udce9\0.csv: is empty")

    assert loads(broken()).error == "caf\\udce9\\x00.csv: is empty"
    assert history(loads) == [(Status.FAILED, "caf\\udce9\\x00.csv: is empty", 1)]


def test_a_load_that_is_told_to_stop_changes_nothing(loads: Loads) -> None:
    summary = loads(events(5000), stopped=lambda: True)
    assert summary.status is Status.INTERRUPTED
    assert loads.rows() == {}


@pytest.mark.parametrize("size", [1, 300])
def test_what_is_known_of_rejects_is_staged_in_turns(loads: Loads, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(loading, "COMMIT_INTERVAL", 0.0)
    held: list[int] = []
    add_rejected = Staging.add_rejected

    def watched(staging: Staging, seq: int, external_id: str) -> None:
        add_rejected(staging, seq, external_id)
        held.append(len(staging._rejected))

    monkeypatch.setattr(Staging, "add_rejected", watched)
    loads = replace(loads, limits=Limits(max_rejects=1.0), mode="upsert")
    assert counts(loads([bad("a")] * size)) == {"read": size, "rejected": size}
    assert max(held) == min(size, loading.CLOCK_INTERVAL)


@pytest.mark.parametrize("item", [event("a"), BAD])
def test_a_feed_without_an_end_can_be_stopped(loads: Loads, monkeypatch: pytest.MonkeyPatch, item: Item) -> None:
    monkeypatch.setattr(loading, "COMMIT_INTERVAL", 0.0)
    loads = replace(loads, limits=Limits(max_rejects=1.0))
    summary = loads(repeat(item), stopped=lambda: True)
    assert (summary.status, summary.counts.read) == (Status.INTERRUPTED, loading.CLOCK_INTERVAL)
    assert loads.rows() == {}


def test_a_dry_run_tells_what_would_change_and_changes_nothing(loads: Loads) -> None:
    loads([event("a"), event("b"), event("c")])
    before, past = loads.rows(), history(loads)
    summary = loads([event("a"), event("b", "Concert"), event("d")], dry_run=True)
    assert summary.status is Status.DRY_RUN
    assert counts(summary) == {"read": 3, "inserted": 1, "updated": 1, "unchanged": 1, "deleted": 1}
    assert before == loads.rows()
    assert past == history(loads)


def history(loads: Loads) -> list[tuple[Status, str, int]]:
    """Returns the loads, the newest first."""
    with loads.engine.connect() as connection:
        return [(past.status, past.error, past.counts.read) for past in last_loads(connection, (), 10)]


def test_the_history_has_every_load_with_its_counts(loads: Loads) -> None:
    loads([event("a"), BAD])
    loads([])
    with loads.engine.connect() as connection:
        failed, loaded = last_loads(connection, ("feed",), 10)
        assert last_loads(connection, ("other",), 10) == []
    assert (Status.FAILED, Counts()) == (failed.status, failed.counts)
    assert "no usable record" in failed.error
    assert (Status.LOADED, Counts(read=2, inserted=1, rejected=1), "") == (loaded.status, loaded.counts, loaded.error)
    assert loaded.seconds is not None
    assert 0 < loaded.seconds < 60


def test_warnings_are_counted_beside_records_and_kept_in_the_history(loads: Loads) -> None:
    """Also of a load that fails; the first ones are shown with their place and reason."""
    warned = [FeedWarning("feed.ics", line, "GEO: is not two numbers\0; \ud800") for line in range(MAX_EXAMPLES + 5)]
    summary = loads([event("a"), *warned, BAD])
    assert (summary.counts, summary.failed) == (Counts(read=2, inserted=1, rejected=1, warnings=len(warned)), False)
    assert summary.warnings == tuple(warned[:MAX_EXAMPLES])
    assert summary.as_json()["warnings"] == len(warned)
    failed = loads([warned[0], BAD])
    assert (failed.counts, failed.warnings) == (Counts(read=1, rejected=1, warnings=1), (warned[0],))
    with loads.engine.connect() as connection:
        assert [past.warnings for past in last_loads(connection, (), 10)] == [(warned[0],), summary.warnings]
    assert len(loads.rejects()) == 1


def test_a_load_that_was_killed_is_not_shown_as_running(loads: Loads) -> None:
    loads.execute("INSERT INTO loads (feed, start_time, status) VALUES ('feed', 4102444800000000, 'running')")
    assert history(loads) == [(Status.INTERRUPTED, "the process ended", 0)]
    loads([event("a")])
    assert [status for status, *_ in history(loads)] == [Status.LOADED, Status.INTERRUPTED]


def test_a_running_load_is_shown_as_such_and_keeps_others_out(loads: Loads) -> None:
    seen: list[str] = []

    def slow() -> Iterator[Record]:
        yield event("a")
        seen.append(history(loads)[0][0])
        seen.append(loads([event("b")]).error)

    assert loads(slow()).status is Status.LOADED
    assert seen == [Status.RUNNING, "feed feed: another load of it is running"]
    assert {"a"} == loads.rows().keys()
    assert [status for status, *_ in history(loads)] == [Status.LOADED]


def test_feeds_do_not_lock_each_other_out(loads: Loads) -> None:
    with (
        own_connection(loads.engine) as one,
        own_connection(loads.engine) as other,
        only_load(one, "a"),
        only_load(other, "b"),
    ):
        assert is_held(other, "a")
        assert not is_held(other, "c")


def test_a_write_over_the_api_while_a_feed_is_read_goes_through(loads: Loads) -> None:
    def reading() -> Iterator[Record]:
        yield from events(3000)
        loads.add_user("somebody@example.com")
        yield event("last")

    assert loads(reading()).status is Status.LOADED
    assert len(loads.rows()) == 3001
    assert len(loads.rows("users")) == 1


def test_a_row_that_disappears_between_comparison_and_merge_is_no_error(
    loads: Loads, meanwhile: Callable[[str], None]
) -> None:
    loads(events(4))
    meanwhile("DELETE FROM events WHERE external_id = 'e00001'")
    summary = loads(events(4, "Concert"))
    assert summary.counts.updated == 3
    assert {"e00000", "e00002", "e00003"} == loads.rows().keys()
    assert counts(loads(events(4, "Concert"))) == {"read": 4, "inserted": 1, "unchanged": 3}


@pytest.fixture
def meanwhile(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Executes a statement once, as somebody else, after a load has compared and before it merges."""
    apply = Merge.apply

    def arrange(sql: str) -> None:
        statements = [sql]

        def late(*arguments: Any) -> float:
            if statements:
                loads.execute(statements.pop())
            return apply(*arguments)

        monkeypatch.setattr(Merge, "apply", late)

    return arrange


def indexes(engine: Engine) -> dict[str, set[str]]:
    """Returns the names of the indexes of each table."""
    inspector = inspect(engine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of indexes on expressions, which are not all shown
        return {name: {str(one["name"]) for one in inspector.get_indexes(name)} for name in ("events", "users")}


@pytest.mark.parametrize("entity", ["events", "users"])
def test_a_very_large_load_leaves_every_index(loads: Loads, entity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MANY", 10)
    before = indexes(loads.engine)
    loads = replace(loads, entity=entity)
    items = events(50) if entity == "events" else [user(f"{number}", f"u{number}@x.org") for number in range(50)]
    assert counts(loads(items)) == {"read": 50, "inserted": 50}
    assert before == indexes(loads.engine)
    assert len(before[entity]) > 1
    loads.add_user("same@x.org")
    with pytest.raises(IntegrityError):
        loads.add_user("SAME@x.org")


def test_readers_of_a_table_with_rows_do_not_wait_for_its_indexes(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite they read the snapshot from before; on PostgreSQL they would wait, so the indexes stay."""
    loads(events(5))
    monkeypatch.setattr(merging, "MANY", 10)
    dropped: list[str] = []

    @listens_for(loads.engine, "before_cursor_execute")
    def note(*arguments: Any) -> None:
        if "DROP INDEX" in arguments[2]:
            dropped.append(arguments[2])

    assert counts(loads(events(50))) == {"read": 50, "inserted": 45, "unchanged": 5}
    assert bool(dropped) == (loads.engine.dialect.name == "sqlite")


class TestUsers:
    @pytest.fixture
    def loads(self, engine: Engine, tmp_path: Path) -> Iterator[Loads]:
        yield Loads(engine, tmp_path, entity="users")
        engine.dispose()

    def emails(self, loads: Loads) -> dict[str, str]:
        return {key: row["email"] for key, row in loads.rows("users").items()}

    def test_users_are_loaded_and_updated(self, loads: Loads) -> None:
        assert counts(loads([user("1", "a@x.org"), user("2", "b@x.org")])) == {"read": 2, "inserted": 2}
        summary = loads([user("1", "a@x.org", "Grace"), user("2", "b@x.org")])
        assert counts(summary) == {"read": 2, "updated": 1, "unchanged": 1}
        assert loads.rows("users")["1"]["version"] == 2

    def test_users_may_swap_addresses(self, loads: Loads) -> None:
        loads([user("1", "a@x.org"), user("2", "b@x.org"), user("3", "c@x.org")])
        summary = loads([user("1", "B@x.org"), user("2", "a@x.org"), user("3", "C@x.org")])
        assert counts(summary) == {"read": 3, "updated": 3}, summary.error
        assert self.emails(loads) == {"1": "B@x.org", "2": "a@x.org", "3": "C@x.org"}

    def test_an_address_of_somebody_else_is_a_reject(self, loads: Loads) -> None:
        loads.add_user("Ada@X.org")
        summary = loads([user("1", "ada@x.ORG"), user("2", "b@x.org")])
        assert counts(summary) == {"read": 2, "inserted": 1, "rejected": 1}
        reject = loads.rejects()[0]
        assert (reject["reason"], reject["line"]) == ("another user has the same e-mail address", 1)
        assert json.loads(reject["record"]) == {"external_id": "1", "email": "ada@x.ORG"}

    def test_of_two_records_with_one_address_the_owner_of_it_is_kept(self, loads: Loads) -> None:
        loads([user("2", "a@x.org")])
        summary = loads([user("1", "A@x.org"), user("2", "a@x.org"), user("3", "c@x.org"), user("4", "C@x.org")])
        assert counts(summary) == {"read": 4, "inserted": 1, "unchanged": 1, "rejected": 2}
        assert self.emails(loads) == {"2": "a@x.org", "3": "c@x.org"}

    def test_a_refused_record_leaves_its_row_as_it_was(self, loads: Loads) -> None:
        loads.add_user("taken@x.org")
        loads([user("1", "a@x.org"), user("2", "b@x.org")])
        # 1 is refused and stays a@x.org, so 2 cannot become that and stays b@x.org, which 3 then cannot have.
        summary = loads([user("1", "taken@x.org"), user("2", "a@x.org"), user("3", "b@x.org"), user("4", "d@x.org")])
        assert counts(summary) == {"read": 4, "inserted": 1, "rejected": 3}
        assert {key: email for key, email in self.emails(loads).items() if email != "taken@x.org"} == {
            "1": "a@x.org",
            "2": "b@x.org",
            "4": "d@x.org",
        }

    def test_a_rejected_record_leaves_its_row_with_its_address(self, loads: Loads) -> None:
        loads([user("1", "a@x.org"), user("2", "b@x.org")])
        summary = loads([bad("1"), user("2", "a@x.org"), user("3", "c@x.org")])
        assert counts(summary) == {"read": 3, "inserted": 1, "rejected": 2}
        assert self.emails(loads) == {"1": "a@x.org", "2": "b@x.org", "3": "c@x.org"}

    def test_an_address_of_a_user_who_leaves_is_free(self, loads: Loads) -> None:
        loads([user("1", "a@x.org"), user("2", "b@x.org")])
        summary = loads([user("2", "b@x.org"), user("3", "A@x.org")])
        assert counts(summary) == {"read": 2, "inserted": 1, "unchanged": 1, "deleted": 1}

    def test_in_an_upsert_nobody_leaves(self, loads: Loads) -> None:
        loads = replace(loads, mode="upsert")
        loads([user("1", "a@x.org")])
        assert counts(loads([user("3", "A@x.org")])) == {"read": 1, "rejected": 1}

    def test_a_user_who_owns_events_stays_and_is_counted(self, loads: Loads) -> None:
        loads([user("1", "a@x.org"), user("2", "b@x.org"), user("3", "c@x.org"), user("4", "d@x.org")])
        owner = loads.rows("users")["1"]["id"]
        loads.execute(
            "INSERT INTO events (name, start_time, end_time, create_time, update_time, owner_id)"
            " VALUES ('Party', 1, 1, 1, 1, :owner)",
            owner=owner,
        )
        summary = loads([user("3", "c@x.org"), user("4", "d@x.org"), user("5", "a@x.org")])
        assert counts(summary) == {"read": 3, "unchanged": 2, "deleted": 1, "kept": 1, "rejected": 1}
        assert {"1", "3", "4"} == loads.rows("users").keys()

    def test_an_address_that_is_taken_in_the_last_moment_is_a_reject_too(
        self, loads: Loads, meanwhile: Callable[[str], None]
    ) -> None:
        meanwhile("INSERT INTO users (email, create_time, update_time) VALUES ('A@x.org', 1, 1)")
        summary = loads([user("1", "a@x.org"), user("2", "b@x.org")])
        assert counts(summary) == {"read": 2, "inserted": 1, "rejected": 1}, summary.error
        assert len(loads.rejects()) == 1

    def test_a_user_who_owns_an_event_since_the_last_moment_stays(
        self, loads: Loads, meanwhile: Callable[[str], None]
    ) -> None:
        loads([user("1", "a@x.org"), user("2", "b@x.org")])
        meanwhile(
            "INSERT INTO events (name, start_time, end_time, create_time, update_time, owner_id)"
            " SELECT 'Party', 1, 1, 1, 1, id FROM users WHERE external_id = '1'"
        )
        summary = loads([user("2", "b@x.org")])
        assert counts(summary) == {"read": 1, "unchanged": 1, "kept": 1}, summary.error


def test_validators_are_kept_and_replaced(loads: Loads) -> None:
    def stored(connection: Connection) -> Validators | None:
        return validators(connection, "feed")

    first, second = Validators(etag='"1"', fingerprint="f"), Validators(last_modified="Mon", fingerprint="g")
    with loads.engine.begin() as connection:
        assert stored(connection) is None
        store_validators(connection, "feed", first)
        assert first == stored(connection)
        store_validators(connection, "feed", second)
        assert second == stored(connection)
        store_validators(connection, "feed", Validators(fingerprint="h"))
        assert stored(connection) is None


def test_a_load_that_is_stopped_just_after_its_merge_is_still_shown_as_loaded(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Merge.apply

    def late(*arguments: Any) -> float:
        apply(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Merge, "apply", late)
    with pytest.raises(KeyboardInterrupt):
        loads([event("a")])
    assert {"a"} == loads.rows().keys()
    assert history(loads) == [(Status.LOADED, "", 1)]


def test_a_database_that_goes_away_while_records_are_sent_fails_the_load(loads: Loads) -> None:
    if loads.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no server that could go away")
    loads(events(3))
    before = loads.rows()

    def items() -> Iterator[Record]:
        yield from events(2500, "Changed")
        loads.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory' AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        yield from events(9000, "Changed")

    summary = loads(items())
    assert summary.status is Status.FAILED
    assert "terminat" in summary.error or "connection" in summary.error
    assert "\n" not in summary.error
    assert loads.rows() == before
    assert loads(events(3, "Changed")).counts.updated == 3


def test_what_copy_fails_with_fails_the_load(loads: Loads) -> None:
    if loads.engine.dialect.name != "postgresql":
        pytest.skip("SQLite takes the text, and has no COPY")
    summary = loads([event("a"), event("b", "no text of PostgreSQL: \0")])
    assert summary.status is Status.FAILED
    assert "NUL" in summary.error
    assert loads.rows() == {}


def test_texts_with_the_marks_of_other_formats_arrive_as_they_are(loads: Loads) -> None:
    odd = ["a\tb", "line\nline\r\n", "\\N", "\\", "\\.", "\\t", "'\"", "\u2028", "{}", "%s"]
    records = [event(f"{text}{number}", text) for number, text in enumerate(odd)]
    assert counts(loads(records)) == {"read": len(odd), "inserted": len(odd)}
    assert [row["name"] for row in loads.rows().values()] == odd
    assert counts(loads(records)) == {"read": len(odd), "unchanged": len(odd)}


def test_records_that_came_between_the_first_comparison_and_the_merge_are_kept(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the feed had no row, and all that was staged was new."""
    apply = Merge.apply

    def late(merge: Merge, *arguments: Any) -> float:
        loads.execute(
            "INSERT INTO events (name, source, external_id, start_time, end_time, create_time, update_time)"
            " VALUES ('Theirs', 'feed', 'e00001', 1, 2, 3, 4)"
        )
        return apply(merge, *arguments)

    monkeypatch.setattr(Merge, "apply", late)
    assert counts(loads(events(3))) == {"read": 3, "inserted": 2, "unchanged": 1}
    rows = loads.rows()
    assert rows["e00001"]["name"] == "Theirs"
    assert sorted(rows) == ["e00000", "e00001", "e00002"]


def test_a_few_new_records_are_inserted_without_looking_at_the_others(loads: Loads) -> None:
    if loads.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL has statistics to plan by")
    loads(events(50))
    plans: list[list[str]] = []

    def explain(connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        del cursor
        if statement.startswith("INSERT INTO events"):
            driver: Any = connection.connection.dbapi_connection
            plans.append([row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)])

    listens_for(loads.engine, "before_cursor_execute")(explain)
    assert counts(loads(events(52))) == {"read": 52, "inserted": 2, "unchanged": 50}
    assert plans == [["SCAN staged_new", "SEARCH staged_records USING INTEGER PRIMARY KEY (rowid=?)"]]


@pytest.mark.acceptance
def test_two_loads_never_hold_the_lock_at_once_and_no_file_stays(
    tmp_path: Path, sqlite_url: str, sqlite_file: Path
) -> None:
    with waiting(tmp_path, "take_the_lock_again_and_again", sqlite_url, count=4) as (holders, start):
        start()
        assert [holder.wait(PATIENCE) for holder in holders] == [0] * 4
    assert list(sqlite_file.parent.glob("artemis.db-load-*")) == []


def test_the_lock_of_a_load_that_was_killed_is_taken_over(tmp_path: Path, loads: Loads) -> None:
    url = loads.engine.url.render_as_string(hide_password=False)
    with waiting(tmp_path, "keep_the_lock", url) as ([holder], _):
        with loads.engine.connect() as connection:
            assert is_held(connection, "feed")
        assert loads([event("a")]).error == "feed feed: another load of it is running"
        holder.kill()
        holder.wait(PATIENCE)
    assert loads([event("a")]).status is Status.LOADED
    with loads.engine.connect() as connection:
        assert not is_held(connection, "feed")
        if loads.engine.dialect.name == "sqlite":
            assert not lock_path(connection, "feed").exists()


def test_a_lock_file_that_was_made_anew_meanwhile_stays(sqlite_url: str) -> None:
    with create_engine(sqlite_url).connect() as connection:
        path = lock_path(connection, "feed")
        with only_load(connection, "feed"):
            path.unlink()  # by hand
            with only_load(connection, "feed"):
                assert is_held(connection, "feed")
            assert not path.exists()
            path.touch()
        assert path.exists()
