"""The promises of every store, for each entity and engine: a base for test classes."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import chain
from typing import Generic, TypeVar

import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server.db import times
from artemis_server.db.connection.database import Database
from artemis_server.db.statements import Row
from artemis_server.db.store import Store
from artemis_server.errors import Aborted, NotFound
from sqlalchemy.orm import Session

M = TypeVar("M", Event, User)

LARGEST_ID = 2**63 - 1
TEXTS = (
    "Ünïcödé, 日本語, العربية",
    "👩‍👩‍👧‍👦 and 🏳️‍🌈",
    "e\u0301 is not \u00e9",
    "\ufeff \u200b \u202e\ufffd",
    "'; DROP TABLE events; --",
    "quotes ' \" ` and \\ % _ ? :name $1 [a]",
    "two\nlines\r\nand a tab\t",
    " blanks around ",
)
FOREIGN_ETAGS = ("x", "AAAAAAAAAAI", "AAAAAAAAAAA=", "/////////w==", "🍰", "//////////8=", "AAAAAAAAAAE=\n")


class StoreContract(ABC, Generic[M]):
    """The behaviour that all stores share. A subclass says what is stored."""

    store: Store[M]
    text: str
    """A text field that can be changed."""
    optional: str
    """A text field that can be cleared."""
    reason: str
    """The reason of NotFound."""

    @abstractmethod
    def new(self, number: int = 0) -> M:
        """Returns a valid message with every writable field set; each number gives another one."""

    def create(self, database: Database, number: int = 0) -> M:
        return database.write(partial(self.store.create, message=self.new(number)))

    def create_many(self, database: Database, count: int) -> list[M]:
        def work(session: Session) -> list[M]:
            return [self.store.create(session, self.new(number)) for number in range(count)]

        return database.write(work)

    def get(self, database: Database, row_id: int) -> M:
        return database.read(partial(self.store.get, row_id=row_id))

    def update(self, database: Database, message: M, paths: Sequence[str], etag: str = "") -> M:
        work = partial(self.store.update, row_id=message.id, message=message, paths=paths, etag=etag)
        return database.write(work)

    def delete(self, database: Database, row_id: int, etag: str = "") -> M:
        return database.write(partial(self.store.delete, row_id=row_id, etag=etag))

    def chunks(self, session: Session, *, after: int = 0, limit: int = 1000) -> Generator[Sequence[Row]]:
        """Lists all rows, after an id if there is one."""
        return self.store.query("", "").scan(session, after=[after] if after else None, limit=limit)

    def scan(self, database: Database, *, after: int = 0, limit: int = 1000) -> list[int]:
        def work(session: Session) -> list[int]:
            return [row[0] for row in chain.from_iterable(self.chunks(session, after=after, limit=limit))]

        return database.read(work)

    def test_create_returns_what_was_sent_and_what_the_server_adds(self, database: Database) -> None:
        before = times.now()
        created = self.create(database)
        after = times.now()

        assert created.id > 0
        assert created.etag
        assert before <= times.to_micros(created.create_time) <= after
        assert created.create_time == created.update_time
        expected = self.new()
        expected.id = created.id
        expected.etag = created.etag
        expected.create_time.CopyFrom(created.create_time)
        expected.update_time.CopyFrom(created.update_time)
        assert expected == created

    def test_create_ignores_what_callers_cannot_set(self, database: Database) -> None:
        sent = self.new()
        sent.id = 4711
        sent.etag = "mine"
        sent.source = "feed"
        sent.external_id = "x-1"
        sent.create_time.seconds = 1
        sent.update_time.seconds = 1

        created = database.write(partial(self.store.create, message=sent))

        assert created.id != 4711
        assert created.etag != "mine"
        assert created.source == ""
        assert created.external_id == ""
        assert created.create_time.seconds != 1
        assert created.update_time.seconds != 1

    def test_get_returns_what_create_returned(self, database: Database) -> None:
        created = self.create(database)
        assert created == self.get(database, created.id)

    @pytest.mark.parametrize("row_id", [1, LARGEST_ID])
    def test_get_of_what_is_not_there_is_not_found(self, database: Database, row_id: int) -> None:
        with pytest.raises(NotFound) as caught:
            self.get(database, row_id)
        assert self.reason == caught.value.reason
        assert self.store.kind == caught.value.resource_type
        assert str(row_id) == caught.value.resource_name

    def test_update_keeps_the_fields_that_are_not_in_paths(self, database: Database) -> None:
        created = self.create(database)
        sent = self.store.message(id=created.id)
        setattr(sent, self.text, "Changed")

        updated = self.update(database, sent, [self.text])

        expected = self.new()
        expected.CopyFrom(created)
        setattr(expected, self.text, "Changed")
        expected.etag = updated.etag
        expected.update_time.CopyFrom(updated.update_time)
        assert expected == updated
        assert updated == self.get(database, created.id)

    def test_update_of_an_empty_field_clears_it(self, database: Database) -> None:
        created = self.create(database)
        updated = self.update(database, self.store.message(id=created.id), [self.optional])
        assert getattr(updated, self.optional) == ""
        assert getattr(created, self.text) == getattr(updated, self.text)

    def test_update_sets_update_time_alone(self, database: Database) -> None:
        created = self.create(database)
        before = times.now()
        updated = self.update(database, created, [self.text])
        assert created.create_time == updated.create_time
        assert before <= times.to_micros(updated.update_time) <= times.now()

    def test_update_time_never_goes_back(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        created = self.create(database)
        monkeypatch.setattr(times, "now", lambda: 1_000_000)  # the clock was set back to 1970
        updated = self.update(database, created, [self.text])
        assert created.create_time == updated.update_time
        assert created.etag != updated.etag

    def test_update_changes_no_other_row(self, database: Database) -> None:
        first, second = self.create(database, 1), self.create(database, 2)
        self.update(database, first, [self.text])
        assert second == self.get(database, second.id)

    def test_etag_differs_after_every_change_even_to_the_same_values(self, database: Database) -> None:
        current = self.create(database)
        seen = {current.etag}
        for _ in range(3):
            current = self.update(database, current, [self.text])
            seen.add(current.etag)
        assert len(seen) == 4

    def test_update_with_the_current_etag_is_made(self, database: Database) -> None:
        created = self.create(database)
        updated = self.update(database, created, [self.text], created.etag)
        assert updated == self.get(database, created.id)

    def test_update_with_a_stale_etag_is_aborted_and_changes_nothing(self, database: Database) -> None:
        created = self.create(database)
        current = self.update(database, created, [self.text])

        with pytest.raises(Aborted) as caught:
            self.update(database, self.store.message(id=created.id), [self.optional], created.etag)

        assert caught.value.reason == "ETAG_MISMATCH"
        assert str(created.id) == caught.value.resource_name
        assert current == self.get(database, created.id)

    @pytest.mark.parametrize("etag", FOREIGN_ETAGS)
    def test_an_etag_that_was_never_given_out_is_aborted(self, database: Database, etag: str) -> None:
        created = self.create(database)
        with pytest.raises(Aborted):
            self.update(database, created, [self.text], etag)
        with pytest.raises(Aborted):
            self.delete(database, created.id, etag)
        assert created == self.get(database, created.id)

    @pytest.mark.parametrize("etag", ["", "x", "AAAAAAAAAAE="])
    def test_update_and_delete_of_what_is_not_there_are_not_found(self, database: Database, etag: str) -> None:
        with pytest.raises(NotFound):
            self.update(database, self.store.message(id=1), [self.text], etag)
        with pytest.raises(NotFound):
            self.delete(database, 1, etag)

    def test_delete_returns_what_was_there_and_removes_it(self, database: Database) -> None:
        created = self.create(database)
        assert created == self.delete(database, created.id)
        with pytest.raises(NotFound):
            self.get(database, created.id)

    def test_delete_with_the_current_etag_is_made(self, database: Database) -> None:
        created = self.create(database)
        assert created == self.delete(database, created.id, created.etag)
        assert self.scan(database) == []

    def test_delete_with_a_stale_etag_is_aborted_and_removes_nothing(self, database: Database) -> None:
        created = self.create(database)
        current = self.update(database, created, [self.text])
        with pytest.raises(Aborted):
            self.delete(database, created.id, created.etag)
        assert current == self.get(database, created.id)

    def test_ids_are_not_reused_after_the_newest_row_is_deleted(self, database: Database) -> None:
        first, newest = self.create(database, 1), self.create(database, 2)
        self.delete(database, newest.id)
        self.delete(database, first.id)
        assert self.create(database, 3).id > newest.id

    @pytest.mark.parametrize("text", TEXTS)
    def test_text_is_kept_as_it_was_sent(self, database: Database, text: str) -> None:
        sent = self.new()
        setattr(sent, self.text, text)
        created = database.write(partial(self.store.create, message=sent))
        assert text == getattr(created, self.text)
        assert created == self.get(database, created.id)

    def test_scan_is_in_the_order_of_ids(self, database: Database) -> None:
        ids = [each.id for each in self.create_many(database, 250)]
        assert sorted(ids) == self.scan(database)

    @pytest.mark.parametrize(
        ("after", "limit", "expected"), [(0, 2, [0, 1]), (1, 2, [1, 2]), (3, 9, [3, 4]), (5, 9, [])]
    )
    def test_scan_begins_after_an_id_and_ends_at_the_limit(
        self, database: Database, after: int, limit: int, expected: list[int]
    ) -> None:
        ids = [each.id for each in self.create_many(database, 5)]
        scanned = self.scan(database, after=ids[after - 1] if after else 0, limit=limit)
        assert [ids[index] for index in expected] == scanned

    def test_scan_goes_on_at_the_position_of_a_row(self, database: Database) -> None:
        ids = [each.id for each in self.create_many(database, 5)]
        query = self.store.query("", "")

        def work(session: Session) -> list[int]:
            rows: list[Row] = list(chain.from_iterable(query.scan(session, after=None, limit=2)))
            rest: Iterable[Sequence[Row]] = query.scan(session, after=query.position(rows[-1]), limit=1000)
            return [row[0] for row in (*rows, *chain.from_iterable(rest))]

        assert ids == database.read(work)

    def test_scan_is_one_snapshot(self, database: Database) -> None:
        ids = [each.id for each in self.create_many(database, 150)]

        def work(session: Session) -> list[int]:
            with closing(self.chunks(session)) as chunks:
                scanned = [row[0] for row in next(chunks)]
                self.delete(database, ids[-1])
                self.create(database, 999)
                return scanned + [row[0] for row in chain.from_iterable(chunks)]

        assert ids == database.read(work)

    def test_scan_can_be_left_early(self, database: Database) -> None:
        self.create_many(database, 150)

        def work(session: Session) -> int:
            with closing(self.chunks(session)) as chunks:
                return len(next(chunks))

        assert 0 < database.read(work) < 150
        newest = self.create(database, 999)
        assert newest.id in self.scan(database)
