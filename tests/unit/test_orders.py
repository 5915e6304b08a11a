"""The order of a list (AIP-132): what a text means, as sort keys, and what is told of a text that means nothing."""

import re
from collections.abc import Callable
from typing import cast

import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server.errors import InvalidArgument
from artemis_server.query.fields import Kind
from artemis_server.query.orders import SortKey, order_parser
from google.protobuf.descriptor import Descriptor
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.depth import examples

events = order_parser(cast("Descriptor", Event.DESCRIPTOR))
users = order_parser(cast("Descriptor", User.DESCRIPTOR))

EVENT_FIELDS = sorted(set(Event.DESCRIPTOR.fields_by_name) - {"etag"})
USER_FIELDS = sorted(set(User.DESCRIPTOR.fields_by_name) - {"etag"})
DESCRIPTION = re.compile(r"at position [1-9][0-9]*: .", re.DOTALL)


def written(keys: tuple[SortKey, ...]) -> list[str]:
    """Returns the names of the fields, with a - before those that descend."""
    return ["-" * key.descending + key.field.name for key in keys]


def refusal(parse: Callable[[str], tuple[SortKey, ...]], text: str) -> InvalidArgument | None:
    """Returns the error with which the order is refused, None if it is not; any other error is raised."""
    try:
        parse(text)
    except InvalidArgument as error:
        return error
    return None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["id"]),
        (" \n", ["id"]),
        ("name", ["name", "id"]),
        ("name asc", ["name", "id"]),
        ("name desc", ["-name", "id"]),
        (" name\t desc ", ["-name", "id"]),
        ("start_time desc, name", ["-start_time", "name", "id"]),
        ("start_time desc,name", ["-start_time", "name", "id"]),
        ("start_time , name asc , owner_id desc", ["start_time", "name", "-owner_id", "id"]),
        ("id", ["id"]),
        ("id asc", ["id"]),
        ("id desc", ["-id"]),
        ("name, id desc", ["name", "-id"]),
    ],
)
def test_keys_are_in_the_order_written_and_ties_in_that_of_the_id(text: str, expected: list[str]) -> None:
    assert expected == written(events(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("id, name", ["id"]), ("id desc, name desc", ["-id"]), ("name, id, category desc", ["name", "id"])],
)
def test_what_comes_after_the_id_cannot_matter(text: str, expected: list[str]) -> None:
    assert expected == written(events(text))


def test_a_long_order_has_no_more_keys_than_there_are_fields() -> None:
    """A field that comes again cannot matter: either it is refused, or it is left out."""
    text = ",".join(["name", "name desc"] * 30)
    assert refusal(events, text) is not None or written(events(text)) == ["name", "id"]


@pytest.mark.parametrize("field", [field for field in EVENT_FIELDS if field != "id"])
def test_events_are_sorted_by_any_field_but_the_etag(field: str) -> None:
    assert written(events(field)) == [field, "id"]
    assert written(events(f"{field} desc")) == ["-" + field, "id"]


@pytest.mark.parametrize("field", [field for field in USER_FIELDS if field != "id"])
def test_users_are_sorted_by_any_field_but_the_etag(field: str) -> None:
    assert written(users(field)) == [field, "id"]
    assert written(users(f"{field} desc")) == ["-" + field, "id"]


@pytest.mark.parametrize(
    ("field", "kind", "nullable"),
    [
        ("id", Kind.INTEGER, False),
        ("owner_id", Kind.INTEGER, True),
        ("name", Kind.TEXT, False),
        ("source", Kind.TEXT, False),
        ("start_time", Kind.TIME, False),
        ("update_time", Kind.TIME, False),
    ],
)
def test_a_key_knows_its_field(field: str, kind: Kind, nullable: bool) -> None:
    key = events(field)[0].field
    assert (key.name, key.kind, key.nullable) == (field, kind, nullable)


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        (",", 1, 'expected a field or the end, not ","'),
        ("name,", 6, "expected a field, not the end"),
        ("name, ", 7, "expected a field, not the end"),
        (",name", 1, 'not ","'),
        ("name,,category", 6, 'expected a field, not ","'),
        ("name category", 6, 'expected , or asc or desc or the end, not "category"'),
        ("name DESC", 6, 'expected , or asc or desc or the end, not "DESC"'),
        ("name descending", 6, 'not "descending"'),
        ("name desc desc", 11, 'expected , or the end, not "desc"'),
        ("name asc desc", 10, 'expected , or the end, not "desc"'),
        ("etag", 1, 'cannot sort by "etag"; the fields are id, name, description, category, location'),
        ("name, etag desc", 7, 'cannot sort by "etag"'),
        ("foo", 1, 'cannot sort by "foo"; the fields are id, name, description, category, location'),
        ("name,\n foo", 8, 'cannot sort by "foo"'),
        ("Name", 1, 'cannot sort by "Name"'),
        ("version", 1, 'cannot sort by "version"'),
        ("-name", 1, 'cannot sort by "-name"'),
        ("start_time.seconds", 1, 'cannot sort by "start_time.seconds"'),
        ("name; DROP TABLE events", 7, 'not "DROP"'),
        ("name;", 1, 'cannot sort by "name;"'),
        ('"name"', 1, "cannot sort by"),
        ("name(", 1, 'cannot sort by "name("'),
        ("1", 1, 'cannot sort by "1"'),
    ],
)
def test_what_is_wrong_is_told_and_where(text: str, position: int, reason: str) -> None:
    error = refusal(events, text)
    assert error is not None
    assert error.reason == "INVALID_ORDER_BY"
    assert [violation.field for violation in error.violations] == ["order_by"]
    assert error.violations[0].description.startswith(f"at position {position}: ")
    assert reason in error.violations[0].description


@pytest.mark.parametrize("text", ["asc", "desc", "desc desc", "asc, name"])
def test_a_direction_is_no_field(text: str) -> None:
    error = refusal(events, text)
    assert error is not None
    assert error.reason == "INVALID_ORDER_BY"


def test_the_etag_is_not_offered() -> None:
    error = refusal(users, "name")
    assert error is not None
    assert error.violations[0].description.endswith(
        "the fields are id, email, first_name, last_name, source, external_id, create_time, update_time"
    )


TOKENS = st.sampled_from(
    [*EVENT_FIELDS, "email", "etag", "foo", "asc", "desc", "DESC", ",", ",", " ", " ", "\n", "'", "\x00", "\ud800"]
)
TEXTS = st.one_of(
    st.tuples(st.sampled_from(["", " "]), st.lists(TOKENS, max_size=15)).map(lambda drawn: drawn[0].join(drawn[1])),
    st.text(max_size=30),
)


@settings(max_examples=examples(500))
@given(TEXTS)
@example("name," * 10_000)
@example("(" * 10_000)
def test_any_text_is_an_order_or_refused(text: str) -> None:
    for parse in (events, users):
        error = refusal(parse, text)
        assert error is None or error.reason == "INVALID_ORDER_BY"
        assert error is None or DESCRIPTION.match(error.violations[0].description)
