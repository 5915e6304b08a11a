"""The log has the structure of a filter, and none of its values."""

import pytest
from artemis_server.db.events import EventStore

EVENTS = EventStore()


@pytest.mark.parametrize(
    ("filter_text", "text"),
    [
        ("", ""),
        ("category = secret", "category = ?"),
        ('category = "" AND -name:secret', "category = ? AND NOT name : ?"),
        ("category = secret secret", "category = ? AND (name : ? OR description : ?)"),
        ('name = "secret*" OR name = "*secret" OR name = "*secret*"', "name = ?* OR name = *? OR name : ?"),
        ("start_time < 2031-01-01 AND end_time > 2030-01-01T00:00:00Z", "start_time < ? AND end_time > ?"),
        ("owner_id != 17 location:*", "NOT owner_id = ? AND location : *"),
        ("NOT (category = secret id >= 5)", "NOT (category = ? AND id >= ?)"),
        ('(category = a OR (publisher = b etag = "AAAAAAAAAAE="))', "category = ? OR (publisher = ? AND etag = ?)"),
        ('start_time = "2030-01-01T00:00:00.0000001Z" category = a', "never AND category = ?"),
        ('NOT start_time = "2030-01-01T00:00:00.0000001Z"', "NOT never"),
        ('"*"', "name : ? OR description : ?"),
    ],
)
def test_values_are_question_marks(filter_text: str, text: str) -> None:
    assert EVENTS.normalized(filter_text) == text


def test_filters_that_differ_in_values_alone_are_one() -> None:
    first, second = 'category = a AND "b*" AND id > 1', 'category = "c d" AND "e*" AND id > 22'
    assert EVENTS.normalized(first) == EVENTS.normalized(second)
