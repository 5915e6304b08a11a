"""Reads of some fields (AIP-157): what a read mask names is returned, and nothing else is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import grpc
import pytest
from artemis.v1 import events_pb2, users_pb2
from artemis_server import masks
from artemis_server.db import secrets
from artemis_server.db.batches import BatchStore
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.users import UserStore
from artemis_server.errors import InvalidArgument, NotFound
from artemis_server.rpc.batches import Batches
from artemis_server.rpc.lists import History, Lists
from artemis_server.rpc.pages import PageTokens
from artemis_server.rpc.resources import Resources
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.storage.samples import START, Waiting, new_event, new_user

CONTEXT = cast("grpc.ServicerContext", Waiting())


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of resource: its store, its messages, and a large column that a read can do without."""

    store: BatchStore[Any]
    get: type[Any]
    batch_get: type[Any]
    batch: type[Any]
    list: type[Any]
    page: type[Any]
    large: str
    samples: Sequence[Message]
    orders: Sequence[str]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of all fields, in the order of their declaration."""
        return tuple(field.name for field in self.store.descriptor.fields)


EVENTS = Kind(
    store=EventStore(),
    get=events_pb2.GetEventRequest,
    batch_get=events_pb2.BatchGetEventsRequest,
    batch=events_pb2.BatchGetEventsResponse,
    list=events_pb2.ListEventsRequest,
    page=events_pb2.ListEventsResponse,
    large="description",
    samples=[new_event(name=f"Event {number}", description="講" * 8192, category="c") for number in range(5)],
    orders=["", "start_time desc, name", "owner_id desc"],
)
USERS = Kind(
    store=UserStore(),
    get=users_pb2.GetUserRequest,
    batch_get=users_pb2.BatchGetUsersRequest,
    batch=users_pb2.BatchGetUsersResponse,
    list=users_pb2.ListUsersRequest,
    page=users_pb2.ListUsersResponse,
    large="last_name",
    samples=[new_user(number) for number in range(5)],
    orders=["", "email desc", "update_time, first_name"],
)
KINDS = [pytest.param(EVENTS, id="events"), pytest.param(USERS, id="users")]
SEVERAL = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


class Reads:
    """The reads of one kind of resource, as the server answers them."""

    def __init__(self, database: Database, kind: Kind) -> None:
        tokens = PageTokens(lambda: database.read(secrets.page_token_key))
        self._kind = kind
        self._resources = Resources(database, kind.store)
        self._batches = Batches(database, kind.store)
        self._lists = Lists(database, kind.store, tokens)

    def get(self, row_id: int, *paths: str) -> Any:
        return self._resources.get(self._kind.get(id=row_id, read_mask=FieldMask(paths=paths)), CONTEXT)

    def batch_get(self, ids: Sequence[int], *paths: str) -> Any:
        request = self._kind.batch_get(ids=ids, read_mask=FieldMask(paths=paths))
        return self.items(self._batches.get(request, self._kind.batch, CONTEXT))

    def page(self, *paths: str, **options: Any) -> Any:
        request = self._kind.list(read_mask=FieldMask(paths=paths), **options)
        return self._lists.page(request, self._kind.page, CONTEXT)

    def items(self, response: Any) -> list[Any]:
        return list(getattr(response, f"{self._kind.store.kind}s"))


def trimmed(message: Any, paths: Sequence[str]) -> Any:
    """Returns a message with the fields of a mask alone."""
    kept = type(message)()
    for path in paths:
        field = message.DESCRIPTOR.fields_by_name[path]
        if field.message_type:
            getattr(kept, path).CopyFrom(getattr(message, path))
        elif not field.has_presence or message.HasField(path):
            setattr(kept, path, getattr(message, path))
    return kept


def create(database: Database, kind: Kind) -> list[Any]:
    """Stores the samples; the first event has an owner."""
    samples = list(kind.samples)
    if kind is EVENTS:
        owner = database.write(partial(USERS.store.create, message=new_user(99)))
        samples[0] = new_event(owner_id=owner.id)
    return [database.write(partial(kind.store.create, message=each)) for each in samples]


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_with_a_mask_is_the_full_read_trimmed(database: Database, kind: Kind) -> None:
    stored, reads = create(database, kind), Reads(database, kind)

    @SEVERAL
    @given(st.lists(st.sampled_from(kind.fields), min_size=1), st.sampled_from(kind.orders), st.integers(1, 3))
    def check(paths: list[str], order: str, size: int) -> None:
        assert trimmed(stored[0], paths) == reads.get(stored[0].id, *paths)
        assert [trimmed(each, paths) for each in stored] == reads.batch_get([each.id for each in stored], *paths)
        full, page = reads.page(order_by=order, page_size=size), reads.page(*paths, order_by=order, page_size=size)
        assert [trimmed(each, paths) for each in reads.items(full)] == reads.items(page)
        rest = reads.page(order_by=order, page_token=page.next_page_token)  # with another mask
        assert {each.id for each in stored} == {each.id for each in reads.items(full) + reads.items(rest)}

    check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("paths", [[], ["*"]])
def test_an_empty_mask_and_a_star_stand_for_all_fields(database: Database, kind: Kind, paths: list[str]) -> None:
    stored, reads = create(database, kind), Reads(database, kind)
    assert stored[1] == reads.get(stored[1].id, *paths)
    assert stored == reads.batch_get([each.id for each in stored], *paths)
    assert stored == reads.items(reads.page(*paths))


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_that_the_mask_leaves_out_is_not_read(database: Database, engine: Engine, kind: Kind) -> None:
    """A query that named the column would fail, because it has another name by now."""
    stored, reads = create(database, kind), Reads(database, kind)
    table = f"{kind.store.kind}s"
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME COLUMN {kind.large} TO hidden"))
    others = [name for name in kind.fields if name != kind.large]
    expected = [trimmed(each, others) for each in stored]

    assert expected[0] == reads.get(stored[0].id, *others)
    assert expected == reads.batch_get([each.id for each in stored], *others)
    assert expected == reads.items(reads.page(*others, order_by="update_time, id", return_total_size=True))
    assert [trimmed(each, ["etag"]) for each in stored] == reads.items(reads.page("etag", order_by="create_time"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_resource_that_is_missing_is_not_found_with_a_mask_either(database: Database, kind: Kind) -> None:
    stored, reads = create(database, kind), Reads(database, kind)
    with pytest.raises(NotFound):
        reads.get(404, "etag")
    with pytest.raises(NotFound):
        reads.batch_get([stored[0].id, 404], "etag")


def test_what_a_mask_leaves_out_does_not_count_for_the_size_of_a_response(database: Database) -> None:
    reads = Reads(database, EVENTS)
    messages = [new_event(description="講" * 8192)] * 130
    stored = database.write(lambda session: EVENTS.store.create_many(session, messages))
    ids = [each.id for each in stored]

    with pytest.raises(InvalidArgument) as caught:
        reads.batch_get(ids)
    assert caught.value.reason == "RESPONSE_TOO_LARGE"
    assert len(reads.batch_get(ids, "id")) == 130
    assert len(reads.items(reads.page(page_size=130))) < 130
    assert [each.id for each in reads.items(reads.page("id", page_size=130))] == ids


@pytest.mark.parametrize("kind", KINDS)
def test_the_functions_and_statements_of_masks_are_bounded(kind: Kind) -> None:
    """Callers choose among 2^14 masks of an event, and the server keeps few of them."""
    caches = (kind.store.codec.fill_of, kind.store.listing, kind.store._get_part)
    assert all(cache.cache_info().maxsize == 128 for cache in caches)
    request = kind.get(read_mask=FieldMask(paths=["update_time", "id", "id"]))
    assert masks.read_fields(request, kind.store.descriptor) == ("id", "update_time")


def test_a_mask_trims_the_events_of_a_history_and_not_the_changes(database: Database) -> None:
    history = History(database, PageTokens(lambda: database.read(secrets.page_token_key)))
    created = database.write(partial(EVENTS.store.create, message=new_event()))
    sent = events_pb2.Event(id=created.id, name="Changed")
    changed = database.write(
        partial(EVENTS.store.update, row_id=created.id, message=sent, paths=["name"], etag=""),
    )

    def changes(*paths: str, **options: Any) -> events_pb2.ListEventChangesResponse:
        request = events_pb2.ListEventChangesRequest(id=created.id, read_mask=FieldMask(paths=paths), **options)
        return history.page(request, CONTEXT)

    update, create = changes("name", "start_time").changes
    assert (update.event, update.previous_event) == (
        trimmed(changed, ["name", "start_time"]),
        trimmed(created, ["name", "start_time"]),
    )
    assert update.event.start_time.seconds == START
    assert create.type == events_pb2.EventChange.TYPE_CREATED
    assert create.HasField("change_time")
    bare = changes("owner_id", page_size=1)
    assert (bare.changes[0].HasField("event"), bare.changes[0].HasField("previous_event")) == (True, True)
    assert changes(page_token=bare.next_page_token).changes[0].event == created
