"""Events and users as stored: what they have in common, and what is special to each."""

from datetime import UTC, datetime
from functools import partial
from itertools import chain

import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.users import UserStore
from artemis_server.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text as sql

from tests.storage.contract import StoreContract
from tests.storage.samples import START, new_event, new_user

EVENTS, USERS = EventStore(), UserStore()


class TestEvents(StoreContract[Event]):
    store = EVENTS
    text = "name"
    optional = "description"
    reason = "EVENT_NOT_FOUND"

    def new(self, number: int = 0) -> Event:
        return new_event(name=f"Event {number}")

    def create_event(self, database: Database, event: Event) -> Event:
        return database.write(partial(EVENTS.create, message=event))

    def create_owned(self, database: Database) -> tuple[User, Event]:
        owner = database.write(partial(USERS.create, message=new_user()))
        return owner, self.create_event(database, new_event(owner_id=owner.id))

    @pytest.mark.parametrize(
        "moment",
        [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1, 1, 1, microsecond=1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        ],
    )
    def test_times_are_kept_to_the_microsecond(self, database: Database, moment: datetime) -> None:
        created = self.create_event(database, new_event(start_time=moment, end_time=moment))
        assert created.HasField("start_time")
        assert moment == created.start_time.ToDatetime(UTC)
        assert moment == created.end_time.ToDatetime(UTC)
        assert created == self.get(database, created.id)

    def test_digits_finer_than_microseconds_are_cut_off(self, database: Database) -> None:
        start = Timestamp(seconds=-1, nanos=999_999_999)
        created = self.create_event(database, new_event(start_time=start))
        assert Timestamp(seconds=-1, nanos=999_999_000) == created.start_time

    @pytest.mark.parametrize("pattern", ["location = {}", 'location = "{}*"', "location:{} AND location != other"])
    def test_lists_whose_filters_differ_in_values_alone_find_their_own_rows(
        self, database: Database, pattern: str
    ) -> None:
        """Their statements share SQL, whichever of them comes first."""
        places = ["Lyon", "Kyoto", "Oslo"]
        ids = [[self.create_event(database, new_event(location=place)).id] for place in places]

        def find(place: str) -> list[int]:
            query = EVENTS.query(pattern.format(place), "start_time desc")
            rows = database.read(lambda session: list(chain.from_iterable(query.scan(session, after=None, limit=9))))
            return [row[0] for row in rows]

        assert ids == [find(place) for place in places]

    def test_an_end_before_the_start_is_refused_by_the_database_too(self, database: Database) -> None:
        with pytest.raises(InvalidArgument) as caught:
            self.create_event(database, new_event(end_time=Timestamp(seconds=START)))
        assert [violation.field for violation in caught.value.violations] == ["event.end_time"]

    def test_an_update_that_puts_the_end_before_the_start_is_refused(self, database: Database) -> None:
        created = self.create(database)
        sent = Event(id=created.id, end_time=Timestamp(seconds=START))
        with pytest.raises(InvalidArgument) as caught:
            self.update(database, sent, ["end_time"])
        assert [violation.field for violation in caught.value.violations] == ["event.end_time"]
        assert created == self.get(database, created.id)

    def test_an_event_can_have_an_owner(self, database: Database) -> None:
        owner, event = self.create_owned(database)
        assert owner.id == event.owner_id
        assert event == self.get(database, event.id)

    def test_an_event_without_an_owner_has_none(self, database: Database) -> None:
        assert not self.create(database).HasField("owner_id")

    def test_an_owner_can_be_cleared(self, database: Database) -> None:
        _, event = self.create_owned(database)
        updated = self.update(database, Event(id=event.id), ["owner_id"])
        assert not updated.HasField("owner_id")

    def test_an_owner_who_does_not_exist_is_refused(self, database: Database) -> None:
        with pytest.raises(FailedPrecondition) as caught:
            self.create_event(database, new_event(owner_id=404))
        assert caught.value.reason == "OWNER_NOT_FOUND"
        assert caught.value.resource_type == "user"
        assert caught.value.resource_name == "404"
        assert self.scan(database) == []

    def test_an_update_to_an_owner_who_does_not_exist_is_refused(self, database: Database) -> None:
        created = self.create(database)
        with pytest.raises(FailedPrecondition) as caught:
            self.update(database, Event(id=created.id, owner_id=404), ["owner_id"])
        assert caught.value.reason == "OWNER_NOT_FOUND"
        assert created == self.get(database, created.id)


class TestUsers(StoreContract[User]):
    store = USERS
    text = "first_name"
    optional = "last_name"
    reason = "USER_NOT_FOUND"

    def new(self, number: int = 0) -> User:
        return new_user(number)

    def create_user(self, database: Database, email: str) -> User:
        return database.write(partial(USERS.create, message=new_user(email=email)))

    def test_an_address_is_kept_as_it_was_written(self, database: Database) -> None:
        assert self.create_user(database, "Grace.Hopper@Example.COM").email == "Grace.Hopper@Example.COM"

    @pytest.mark.parametrize("email", ["ada@example.com", "ADA@example.com", "Ada@EXAMPLE.com"])
    def test_an_address_is_taken_whatever_its_case(self, database: Database, email: str) -> None:
        first = self.create_user(database, "ada@Example.com")
        with pytest.raises(AlreadyExists) as caught:
            self.create_user(database, email)
        assert caught.value.reason == "EMAIL_TAKEN"
        assert caught.value.resource_type == "user"
        assert email == caught.value.resource_name
        assert [first.id] == self.scan(database)

    def test_an_update_to_an_address_that_is_taken_is_refused(self, database: Database) -> None:
        self.create_user(database, "ada@example.com")
        second = self.create_user(database, "grace@example.com")
        with pytest.raises(AlreadyExists) as caught:
            self.update(database, User(id=second.id, email="ADA@example.com"), ["email"])
        assert caught.value.reason == "EMAIL_TAKEN"
        assert second == self.get(database, second.id)

    def test_the_case_of_an_address_can_be_changed(self, database: Database) -> None:
        created = self.create_user(database, "ada@example.com")
        updated = self.update(database, User(id=created.id, email="Ada@example.com"), ["email"])
        assert updated.email == "Ada@example.com"

    def test_an_address_is_free_again_when_its_user_is_deleted(self, database: Database) -> None:
        first = self.create_user(database, "ada@example.com")
        self.delete(database, first.id)
        assert self.create_user(database, "ADA@example.com").id > first.id

    def test_a_user_who_owns_events_cannot_be_deleted(self, database: Database) -> None:
        owner = self.create(database)
        event = database.write(partial(EVENTS.create, message=new_event(owner_id=owner.id)))
        for etag in ("", owner.etag):
            with pytest.raises(FailedPrecondition) as caught:
                self.delete(database, owner.id, etag)
            assert caught.value.reason == "USER_OWNS_EVENTS"
            assert str(owner.id) == caught.value.resource_name
        assert owner == self.get(database, owner.id)
        assert event == database.read(partial(EVENTS.get, row_id=event.id))

    def test_a_user_can_be_deleted_once_the_events_are_gone(self, database: Database) -> None:
        owner = self.create(database)
        event = database.write(partial(EVENTS.create, message=new_event(owner_id=owner.id)))
        database.write(partial(EVENTS.delete, row_id=event.id, etag=""))
        assert owner == self.delete(database, owner.id)


@pytest.mark.parametrize("changed", ["name = 'By hand'", "name = name", "version = version"])
def test_a_change_by_hand_gives_a_new_etag_too(database: Database, changed: str) -> None:
    created = database.write(partial(EventStore().create, message=new_event()))
    database.write(lambda session: session.execute(sql(f"UPDATE events SET {changed}")))  # noqa: S608
    assert created.etag != database.read(partial(EventStore().get, row_id=created.id)).etag
