"""The filter language (AIP-160): what a text means, as a tree, and what is told of a text that means nothing."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_server.errors import InvalidArgument
from artemis_server.query.filters import filter_parser
from artemis_server.query.tree import (
    ALWAYS,
    NEVER,
    And,
    Compare,
    HasEtag,
    Matches,
    Node,
    Not,
    Operator,
    Or,
    Present,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.depth import examples

events = filter_parser(cast("Descriptor", Event.DESCRIPTOR), ("name", "description"))
users = filter_parser(cast("Descriptor", User.DESCRIPTOR), ("email", "first_name", "last_name"))


def fields_of(message: type[Message], kind: int, type_name: str = "") -> tuple[str, ...]:
    """Returns the fields of a protobuf type but the etag; of messages, those of one type."""
    return tuple(
        field.name
        for field in message.DESCRIPTOR.fields
        if field.type == kind
        and field.name != "etag"
        and (field.message_type.full_name if field.message_type else "") == type_name
    )


EVENT_TEXTS = fields_of(Event, FieldDescriptor.TYPE_STRING)
EVENT_TIMES = fields_of(Event, FieldDescriptor.TYPE_MESSAGE, "google.protobuf.Timestamp")
EVENT_NUMBERS = fields_of(Event, FieldDescriptor.TYPE_INT64)
USER_TEXTS = fields_of(User, FieldDescriptor.TYPE_STRING)
USER_TIMES = fields_of(User, FieldDescriptor.TYPE_MESSAGE, "google.protobuf.Timestamp")
USER_NUMBERS = fields_of(User, FieldDescriptor.TYPE_INT64)
OPERATORS = {"=": Operator.EQ, "<": Operator.LT, "<=": Operator.LE, ">": Operator.GT, ">=": Operator.GE}
ORDERED = {sign: operator for sign, operator in OPERATORS.items() if sign != "="}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(*parts: int) -> int:
    """Returns a time, UTC, in microseconds since the epoch."""
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)  # type: ignore[misc,arg-type]


def matches(field: str, text: str, *, open_start: bool = False, open_end: bool = False) -> Matches:
    return Matches(field, text, open_start, open_end)


def contains(field: str, text: str) -> Matches:
    return Matches(field, text, open_start=True, open_end=True)


def word(text: str) -> Or:
    """Returns the meaning of a bare word in a filter of events."""
    return Or((contains("name", text), contains("description", text)))


def refusal(parse: Callable[[str], Node], text: str) -> InvalidArgument | None:
    """Returns the error with which the filter is refused, None if it is not; any other error is raised."""
    try:
        parse(text)
    except InvalidArgument as error:
        return error
    return None


def refuse(text: str) -> InvalidArgument:
    """Returns the error with which the filter is refused."""
    error = refusal(events, text)
    assert error is not None
    return error


A, B, C, D = (word(each) for each in "abcd")


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_filter_holds_for_all(text: str) -> None:
    assert events(text) == ALWAYS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", A),
        ("a AND b", And((A, B))),
        ("a b", And((A, B))),
        ("a b AND c d", And((A, B, C, D))),
        ("a OR b", Or((A, B))),
        ("a OR b OR c", Or((A, B, C))),
        ("a AND b OR c", And((A, Or((B, C))))),
        ("a OR b AND c", And((Or((A, B)), C))),
        ("a b OR c d", And((A, Or((B, C)), D))),
        ("a OR b c OR d", And((Or((A, B)), Or((C, D))))),
        ("(a AND b) OR c", Or((And((A, B)), C))),
        ("(a)", A),
        ("((a b))", And((A, B))),
        ("a (b) c", And((A, B, C))),
        ("NOT a", Not(A)),
        ("-a", Not(A)),
        ("- a", Not(A)),
        ("NOT a b", And((Not(A), B))),
        ("a -b", And((A, Not(B)))),
        ("NOT a OR b", Or((Not(A), B))),
        ("a OR -b AND c", And((Or((A, Not(B))), C))),
        ("NOT (a OR b)", Not(Or((A, B)))),
        ("NOT(a b)", Not(And((A, B)))),
        ("-(-a)", Not(Not(A))),
        ("NOT (NOT a)", Not(Not(A))),
        ("-category=x", Not(matches("category", "x"))),
        ("NOT category != x", Not(Not(matches("category", "x")))),
        ("category=x OR category=y a", And((Or((matches("category", "x"), matches("category", "y"))), A))),
        ("a category = x b", And((A, matches("category", "x"), B))),
        ("\n a\tAND\r\nb ", And((A, B))),
    ],
)
def test_or_binds_tighter_than_and_and_a_sequence_means_and(text: str, expected: Node) -> None:
    assert expected == events(text)


@pytest.mark.parametrize(
    "text", ["ANDROID", "ORDER", "NOTE", "AND-OR", "x-y", "a.b", "日本語", "😀", "it%", "_", "2026", "a+b", "a/b", "#1"]
)
def test_a_word_is_looked_for_in_the_words_fields(text: str) -> None:
    assert events(text) == word(text)
    assert users(text) == Or((contains("email", text), contains("first_name", text), contains("last_name", text)))


@pytest.mark.parametrize("text", ["and", "OR", "Not", "a b", "a AND b", "(a)", "a=b", "-a", "", "it's"])
def test_quoted_text_is_a_word_whatever_is_in_it(text: str) -> None:
    assert events(f'"{text}"') == word(text)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("x", "x"),
        ('"x"', "x"),
        ("'x'", "x"),
        ('""', ""),
        ("''", ""),
        ('"two words"', "two words"),
        ('"two\nlines\t"', "two\nlines\t"),
        ('"it\'s"', "it's"),
        ("'a \"b\"'", 'a "b"'),
        (r'"a \"b\""', 'a "b"'),
        (r"'it\'s'", "it's"),
        (r'"it\'s"', "it's"),
        (r'"C:\\x"', r"C:\x"),
        (r'"\\"', "\\"),
        (r'"\\\\"', r"\\"),
        ('"(a) <= b, c != :d"', "(a) <= b, c != :d"),
        ('" a "', " a "),
        ('"%_?[a]"', "%_?[a]"),
        ("'; DROP TABLE events; --'", "; DROP TABLE events; --"),
        ("AND", "AND"),
        ("not", "not"),
        ("-5", "-5"),
        ("2026-11-24T09:30:00Z", "2026-11-24T09:30:00Z"),
        ("e\u0301\U0010ffff", "e\u0301\U0010ffff"),
    ],
)
def test_values_are_quoted_with_either_quote_and_a_backslash_escapes(written: str, text: str) -> None:
    assert events(f"name = {written}") == matches("name", text)
    assert events(f"name={written}") == matches("name", text)
    assert events(f"name != {written}") == Not(matches("name", text))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"a*"', matches("name", "a", open_end=True)),
        ('"*a"', matches("name", "a", open_start=True)),
        ('"*a*"', contains("name", "a")),
        ("a*", matches("name", "a", open_end=True)),
        ("*a", matches("name", "a", open_start=True)),
        ("*a*", contains("name", "a")),
        ('"a b*"', matches("name", "a b", open_end=True)),
        (r'"a\*"', matches("name", "a*")),
        (r'"\*a"', matches("name", "*a")),
        (r'"\*"', matches("name", "*")),
        (r"'\*\*'", matches("name", "**")),
        (r'"\**"', matches("name", "*", open_end=True)),
        (r'"*\*"', matches("name", "*", open_start=True)),
        (r'"*\**"', contains("name", "*")),
        (r'"a\\*"', matches("name", "a\\", open_end=True)),
        (r'"a\\\*"', matches("name", r"a\*")),
        (r'"a\*b"', matches("name", "a*b")),
        ('"*"', contains("name", "")),
        ("*", contains("name", "")),
        ('"**"', contains("name", "")),
    ],
)
def test_a_star_at_an_end_is_a_wildcard_and_an_escaped_one_is_itself(written: str, expected: Matches) -> None:
    assert expected == events(f"name = {written}")
    assert events(f"name != {written}") == Not(expected)


@pytest.mark.parametrize("sign", ORDERED)
@pytest.mark.parametrize(("written", "text"), [('"m"', "m"), ("m", "m"), ('""', ""), (r'"\*"', "*"), (r'"a\*"', "a*")])
def test_text_is_ordered(sign: str, written: str, text: str) -> None:
    assert events(f"name {sign} {written}") == Compare("name", ORDERED[sign], text)


@pytest.mark.parametrize("sign", ORDERED)
@pytest.mark.parametrize("text", ["*", "**", "a*", "*a", "*a*"])
def test_a_star_is_itself_where_text_is_ordered(sign: str, text: str) -> None:
    assert events(f'name {sign} "{text}"') == Compare("name", ORDERED[sign], text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name:a", contains("name", "a")),
        ('name:"a b"', contains("name", "a b")),
        ("name : a", contains("name", "a")),
        (r'name:"\*"', contains("name", "*")),
        ("owner_id:5", Compare("owner_id", Operator.EQ, 5)),
        ('start_time:"2026-11-24"', Compare("start_time", Operator.EQ, micros(2026, 11, 24))),
        ("NOT name:a", Not(contains("name", "a"))),
    ],
)
def test_has_is_contained_in_text_and_equal_to_anything_else(text: str, expected: Node) -> None:
    assert expected == events(text)


@pytest.mark.parametrize("field", [*EVENT_TEXTS, *EVENT_TIMES, *EVENT_NUMBERS])
def test_a_star_without_quotes_asks_for_presence(field: str) -> None:
    assert events(f"{field}:*") == Present(field)
    assert events(f"-{field}:*") == Not(Present(field))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-24", micros(2026, 11, 24)),
        ('"2026-11-24"', micros(2026, 11, 24)),
        ("'2026-11-24T09:30:00Z'", micros(2026, 11, 24, 9, 30)),
        ("2026-11-24T09:30:00Z", micros(2026, 11, 24, 9, 30)),
        ('"2026-11-24t09:30:00z"', micros(2026, 11, 24, 9, 30)),
        ('"2026-11-24T09:30:00+00:00"', micros(2026, 11, 24, 9, 30)),
        ('"2026-11-24T09:30:00-00:00"', micros(2026, 11, 24, 9, 30)),
        ('"2026-11-24T09:30:00+05:45"', micros(2026, 11, 24, 3, 45)),
        ('"2026-11-24T09:30:00-11:30"', micros(2026, 11, 24, 21, 0)),
        ('"2026-11-24T23:30:00-01:00"', micros(2026, 11, 25, 0, 30)),
        ('"2026-11-24T09:30:00.5Z"', micros(2026, 11, 24, 9, 30, 0, 500_000)),
        ('"2026-11-24T09:30:00.000001Z"', micros(2026, 11, 24, 9, 30, 0, 1)),
        ('"2026-11-24T09:30:00.123456000Z"', micros(2026, 11, 24, 9, 30, 0, 123_456)),
        ('"2024-02-29"', micros(2024, 2, 29)),
        ('"1969-12-31T23:59:59.999999Z"', -1),
        ('"0001-01-01"', micros(1, 1, 1)),
        ('"0001-01-01T00:00:00Z"', micros(1, 1, 1)),
        ('"0001-01-01T01:00:00+01:00"', micros(1, 1, 1)),
        ('"9999-12-31T23:59:59.999999Z"', micros(9999, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_times_are_rfc_3339_or_dates(written: str, expected: int) -> None:
    for sign, operator in OPERATORS.items():
        assert events(f"start_time {sign} {written}") == Compare("start_time", operator, expected)
    assert events(f"start_time != {written}") == Not(Compare("start_time", Operator.EQ, expected))


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("=", NEVER),
        (":", NEVER),
        ("!=", Not(NEVER)),
        ("<", Compare("start_time", Operator.LE, 1)),
        ("<=", Compare("start_time", Operator.LE, 1)),
        (">", Compare("start_time", Operator.GT, 1)),
        (">=", Compare("start_time", Operator.GT, 1)),
    ],
)
@pytest.mark.parametrize("digits", ["0000015", "000001001", "000001" + "0" * 40 + "1"])
def test_a_time_finer_than_a_microsecond_lies_between_two(digits: str, sign: str, expected: Node) -> None:
    assert expected == events(f'start_time {sign} "1970-01-01T00:00:00.{digits}Z"')


@pytest.mark.parametrize("number", [0, 1, -1, 2**63 - 1, -(2**63), 1234567890123456789])
def test_numbers_are_64_bits(number: int) -> None:
    for sign, operator in OPERATORS.items():
        assert events(f"owner_id {sign} {number}") == Compare("owner_id", operator, number)
    assert events(f"owner_id!={number}") == Not(Compare("owner_id", Operator.EQ, number))


@pytest.mark.parametrize(("field", "operator"), [(field, sign) for field in EVENT_TEXTS for sign in ORDERED])
def test_every_text_field_of_events_can_be_filtered(field: str, operator: str) -> None:
    assert events(f"{field} = x") == matches(field, "x")
    assert events(f"{field} {operator} x") == Compare(field, ORDERED[operator], "x")


@pytest.mark.parametrize("field", USER_TEXTS)
def test_every_text_field_of_users_can_be_filtered(field: str) -> None:
    assert users(f'{field} = "x"') == matches(field, "x")


@pytest.mark.parametrize("field", EVENT_TIMES)
def test_every_time_of_events_can_be_filtered(field: str) -> None:
    assert events(f"{field} > 1970-01-01") == Compare(field, Operator.GT, 0)


@pytest.mark.parametrize("field", USER_TIMES)
def test_every_time_of_users_can_be_filtered(field: str) -> None:
    assert users(f"{field} > 1970-01-01") == Compare(field, Operator.GT, 0)


def test_every_number_can_be_filtered() -> None:
    for field in EVENT_NUMBERS:
        assert events(f"{field} <= 7") == Compare(field, Operator.LE, 7)
    for field in USER_NUMBERS:
        assert users(f"{field} <= 7") == Compare(field, Operator.LE, 7)


def test_these_are_all_the_fields() -> None:
    assert {*EVENT_TEXTS, *EVENT_TIMES, *EVENT_NUMBERS, "etag"} == set(Event.DESCRIPTOR.fields_by_name)
    assert {*USER_TEXTS, *USER_TIMES, *USER_NUMBERS, "etag"} == set(User.DESCRIPTOR.fields_by_name)


def test_an_etag_is_equal_or_not() -> None:
    for parse in (events, users):
        assert parse('etag = "AAAAAAAAAAE="') == HasEtag("AAAAAAAAAAE=")
        assert parse("etag != x") == Not(HasEtag("x"))


TIME_WANTED = 'needs a time such as "2026-11-24T09:30:00Z" or a date such as "2026-11-24"'
INTEGER_WANTED = "needs a 64-bit integer such as 42"


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("(a", 3, "expected ), not the end"),
        ("(a OR (b)", 10, "expected ), not the end"),
        ("a)", 2, 'expected the end, not ")"'),
        ("(a))", 4, 'expected the end, not ")"'),
        ("()", 2, 'a word or text in quotes, not ")"'),
        ("NOT ()", 6, 'a word or text in quotes, not ")"'),
        ("a AND", 6, "not the end"),
        ("a AND ", 7, "not the end"),
        ("a OR", 5, "not the end"),
        ("NOT", 4, "not the end"),
        ("-", 2, "not the end"),
        ("(a AND)", 7, 'not ")"'),
        ("AND a", 1, "AND"),
        ("OR a", 1, "OR"),
        ("a OR OR b", 6, "OR"),
        ("--a", 2, 'a word or text in quotes, not "-'),
        ("NOT -a", 5, 'a word or text in quotes, not "-'),
        ("NOT NOT a", 5, "NOT"),
        ("NOT NOT a", 5, "NOT joins terms; as a word it needs quotes"),
        ("a AND-b OR-", 12, "not the end"),
        ("a and b", 3, "is written AND to join terms; as a word it needs quotes"),
        ("a or b", 3, "is written OR to join terms; as a word it needs quotes"),
        ("not a", 1, "not is written NOT"),
        ("a And b", 3, "is written AND to join terms; as a word it needs quotes"),
        ("a, b", 2, "a comma makes no list"),
        ("name = a, b", 9, "a comma makes no list"),
        ("name =", 7, "expected a value or text in quotes, not the end"),
        ("name = )", 8, 'expected a value or text in quotes, not ")"'),
        ("name == a", 7, 'expected a value or text in quotes, not "="'),
        ("= a", 1, 'not "="'),
        ("name ! a", 6, 'not "!"'),
        ("name <> a", 7, 'not ">"'),
        ('name = "abc', 8, '" is never closed'),
        ("name = 'abc", 8, "' is never closed"),
        ('a "b', 3, '" is never closed'),
        ('name = "a\\"', 8, '" is never closed'),
        ("name = 'a\"", 8, "' is never closed"),
        (r'name = "a\n"', 10, 'a backslash stands before \\, ", \' or *, not before "n"'),
        (r'"\u0041"', 2, 'not before "u"'),
        ("name = 'a\0'", 8, "no text has U+0000"),
        ("a\0", 1, "no text has U+0000"),
        ("foo = 1", 1, 'there is no field "foo"; the fields are id, name, description, category, location'),
        ("a AND Name = x", 7, 'there is no field "Name"'),
        ("start_time.seconds = 1", 1, 'there is no field "start_time.seconds"'),
        ("version = 1", 1, 'there is no field "version"'),
        ("start_time > 5", 14, f"start_time > {TIME_WANTED}"),
        ('start_time = ""', 14, TIME_WANTED),
        ('start_time = "2026-11-24*"', 14, TIME_WANTED),
        ("start_time = 2026-11-24T09:30:00", 14, TIME_WANTED),
        ("start_time = 2026-11-24T09:30Z", 14, TIME_WANTED),
        ('start_time = " 2026-11-24"', 14, TIME_WANTED),
        ("start_time = 2026-02-30", 14, TIME_WANTED),
        ("start_time = 2026-11-24T24:00:00Z", 14, TIME_WANTED),
        ("start_time = 2026-11-24T09:30:60Z", 14, TIME_WANTED),
        ("start_time = 2026-11-24T09:30:00.Z", 14, TIME_WANTED),
        ("start_time = 2026-11-24T09:30:00+24:00", 14, TIME_WANTED),
        ("start_time = 2026-11-24T09:30:00+01:60", 14, TIME_WANTED),
        ("start_time = 2026-11-24T09:30:00+0100", 14, TIME_WANTED),
        ("start_time = 0000-01-01", 14, TIME_WANTED),
        ("start_time = 10000-01-01", 14, TIME_WANTED),
        ("start_time = \uff12\uff10\uff12\uff16-11-24", 14, TIME_WANTED),
        ("start_time = 0001-01-01T00:00:00+00:01", 14, "a time in the years 0001 to 9999"),
        ("start_time = 9999-12-31T23:59:59-00:01", 14, "a time in the years 0001 to 9999"),
        ("owner_id = x", 12, f"owner_id = {INTEGER_WANTED}"),
        ('owner_id = "5"', 12, INTEGER_WANTED),
        ("owner_id = 5*", 12, INTEGER_WANTED),
        ("owner_id = *", 12, INTEGER_WANTED),
        ("owner_id = 1.0", 12, INTEGER_WANTED),
        ("owner_id = +5", 12, INTEGER_WANTED),
        ("owner_id = \uff15", 12, INTEGER_WANTED),
        (f"owner_id = {2**63}", 12, INTEGER_WANTED),
        (f"owner_id >= {-(2**63) - 1}", 13, INTEGER_WANTED),
        ("id = 1" + "0" * 5000, 6, INTEGER_WANTED),
        ("etag < x", 8, "= or !=, because an etag has no order"),
        ("etag >= x", 9, "= or !=, because an etag has no order"),
        ("etag:x", 6, "= or !=, because an etag has no order"),
        ("etag:*", 6, "= or !=, because an etag has no order"),
        ("(" * 10_000, 11, "there are more than 10 levels of parentheses"),
        ("(" * 10_000 + "a" + ")" * 10_000, 11, "there are more than 10 levels of parentheses"),
        ("NOT (" * 11 + "a" + ")" * 11, 55, "there are more than 10 levels of parentheses"),
        ("a " * 51, 101, "there are more than 50 restrictions"),
        ("id=1 " * 51, 251, "there are more than 50 restrictions"),
        ("a OR " * 50 + "a", 251, "there are more than 50 restrictions"),
        ("(id=1) " * 51, 351, "there are more than 50 pairs of parentheses"),
        ("(" * 5 + ("(id=1)" * 40) + ")" * 5, 12, "expected a blank, AND or OR before ("),
        ("((a)) " * 26, 151, "there are more than 50 pairs of parentheses"),
        ("a " * 16, 1, "there are 32 searches in text and at most 30 allowed; a word is one in each of name, desc"),
        ("name:a OR -(" * 10 + "b " * 11 + ")" * 10, 1, "there are 32 searches in text and at most 30 allowed"),
        ('name = "*a" ' * 31, 1, "there are 31 searches in text and at most 30 allowed"),
        (f"name:{'é' * 101}", 6, "the text to search for has 101 characters and at most 100 are allowed"),
        (f"a {'b' * 101}", 3, "the text to search for has 101 characters and at most 100 are allowed"),
        (f'name != "*{"b" * 101}*"', 9, "the text to search for has 101 characters and at most 100 are allowed"),
    ],
)
def test_what_is_wrong_is_told_and_where(text: str, position: int, reason: str) -> None:
    error = refuse(text)
    assert error.reason == "INVALID_FILTER"
    assert [violation.field for violation in error.violations] == ["filter"]
    assert error.violations[0].description.startswith(f"at position {position}: ")
    assert error.metadata.items() >= {"field": "filter", "position": str(position)}.items()
    assert reason in error.violations[0].description


NO_FUNCTION = "filters have no functions"
NO_NULL = "write NOT name:* for a field without a value, name:* for one with a value"
FIELDS = ", ".join(field.name for field in Event.DESCRIPTOR.fields)
NO_LIST = "write (field = a OR field = b), or put quotes around text that has a comma"


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ('category = lower("PYTHON")', 12, f"there is no function lower; {NO_FUNCTION}"),
        ("NOT isEmpty(location)", 5, f"there is no function isEmpty; {NO_FUNCTION}"),
        ('start_time > timestamp("2026-01-01T00:00:00Z")', 14, f"there is no function timestamp; {NO_FUNCTION}"),
        ('-regex(name, "^a")', 2, f"there is no function regex; {NO_FUNCTION}"),
        ("a.b()", 1, f"there is no function a.b; {NO_FUNCTION}"),
        ("a(b)c", 1, f"there is no function a; {NO_FUNCTION}"),
        ('name = "Py""Con"', 12, 'expected a blank, AND or OR before "Con"'),
        ("name = 'a''b'", 11, "expected a blank, AND or OR before 'b'"),
        ('name = a"b"', 9, 'expected a blank, AND or OR before "b"'),
        ('name="x"category="y"', 9, "expected a blank, AND or OR before category"),
        ('"a"-b', 4, "expected a blank, AND or OR before -"),
        ("(a)(b)", 4, "expected a blank, AND or OR before ("),
        ("(a)b", 4, "expected a blank, AND or OR before b"),
        ('"a"(b)', 4, "expected a blank, AND or OR before ("),
        ("category = (a OR b)", 12, "write (category = a OR category = b) for several values"),
        ("category:(a b)", 10, "write (category : a OR category : b) for several values"),
        ("category = release, meetup", 19, f"a comma makes no list of values: {NO_LIST}"),
        ("location = Kyoto,Japan", 17, f"a comma makes no list of values: {NO_LIST}"),
        ('name = "a", "b"', 11, f"a comma makes no list of values: {NO_LIST}"),
        ("(a, b)", 3, f"a comma makes no list of values: {NO_LIST}"),
        (", a", 1, f"a comma makes no list of values: {NO_LIST}"),
        ("category =,", 11, f"a comma makes no list of values: {NO_LIST}"),
        ('"category" = 21', 1, "a field has no quotes: write category = and a value"),
        ("'a' AND \"name\" != c", 9, "a field has no quotes: write name != and a value"),
        ('"value" = 21', 1, 'a field has no quotes, and there is no field "value"; the fields are ' + FIELDS),
        ("id = 1 category IN (a)", 17, "there is no IN: write (category = a OR category = b) for several values"),
        ("name IS NULL", 6, f"there is no IS NULL: {NO_NULL}"),
        ("name IS NOT NULL", 6, f"there is no IS NOT: {NO_NULL}"),
    ],
)
def test_what_only_aip_160_has_is_refused_with_what_to_write(text: str, position: int, reason: str) -> None:
    assert refuse(text).violations[0].description == f"at position {position}: {reason}"


@pytest.mark.parametrize("sign", ["=", "!=", ":", "<", ">="])
@pytest.mark.parametrize("null", ["null", "NULL"])
def test_null_is_no_value(sign: str, null: str) -> None:
    place = len(f"location {sign} ") + 1
    advice = 'null is no value: for an empty text write NOT location:*, for the word write location = "null"'
    assert refuse(f"location {sign} {null}").violations[0].description == f"at position {place}: {advice}"
    assert "NOT owner_id:*" in refuse(f"owner_id {sign} {null}").violations[0].description
    assert "start_time is always set" in refuse(f"start_time {sign} {null}").violations[0].description


def test_null_in_quotes_is_a_text_and_alone_a_word() -> None:
    assert events('location = "null"') == matches("location", "null")
    assert events("null") == events('"null"')


def test_a_minus_before_a_word_negates_it_and_before_a_value_is_its_sign() -> None:
    assert events("-30") == Not(events("30"))
    assert events("owner_id = -30") == Compare("owner_id", Operator.EQ, -30)


@pytest.mark.parametrize("text", ["a (b)", "(a) (b)", "(a)AND(b)", '"a"OR"b"', "NOT(a)", "a OR(b)", "name=x (a)"])
def test_factors_that_a_blank_or_an_operator_parts_are_understood(text: str) -> None:
    assert refusal(events, text) is None


def test_a_filter_at_a_limit_is_allowed() -> None:
    assert events("a " * 15) == And((A,) * 15)
    assert events("name = x OR " * 49 + "a") == Or((*(matches("name", "x"),) * 49, A))
    assert events("(" * 10 + "a" + ")" * 10) == A
    assert events("(id=1) " * 50) == And((Compare("id", Operator.EQ, 1),) * 50)
    assert events(f"name:{'b' * 100}") == matches("name", "b" * 100, open_start=True, open_end=True)
    long = "b" * 8000
    assert events(f"name = {long}") == matches("name", long)
    assert events(f"name = {long}*") == matches("name", long, open_end=True)


def test_words_in_the_manner_of_sql_stay_words_where_they_make_sense() -> None:
    for text in ("conference in (Kyoto OR Osaka)", "IN (a)", "what is null", "IS NULL", "name IS here"):
        assert refusal(events, text) is None


def test_an_error_names_the_fields_of_its_own_message() -> None:
    with pytest.raises(InvalidArgument, match=r'there is no field "name"; the fields are id, email, first_name'):
        users("name = x")


TOKENS = st.sampled_from(
    [
        *("AND", "OR", "NOT", "and", "or", "not", "-", "(", ")", "=", "!=", "<", "<=", ">", ">=", ":", "!", ","),
        *('"', "'", "\\", "*", '"a"', "'a*'", r'"\*"', '"\\n"', "a", "x*", "*", "5", "-5", str(2**63), "1.5"),
        *("2026-11-24", "2026-11-24T09:30:00.1234567+01:00", "9999-12-31T23:59:59-23:59", "", " ", "\n", "\x00"),
        *(
            "name",
            "category",
            "start_time",
            "owner_id",
            "id",
            "etag",
            "etag:*",
            "name:*",
            "foo",
            "\ud800",
            "\U0010ffff",
        ),
    ]
)
TEXTS = st.one_of(
    st.tuples(st.sampled_from(["", " "]), st.lists(TOKENS, max_size=25)).map(lambda drawn: drawn[0].join(drawn[1])),
    st.text(st.sampled_from("()<>=!:,\"'\\*-aANDORT059.Z \n"), max_size=60),
    st.text(max_size=30),
)
DESCRIPTION = re.compile(r"at position [1-9][0-9]*: .", re.DOTALL)


@settings(max_examples=examples(1000))
@given(TEXTS)
@example("(" * 10_000)
@example("-" * 10_000)
@example("\\" * 10_000)
@example('"' + "\\" * 9_999)
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    for parse in (events, users):
        error = refusal(parse, text)
        assert error is None or error.reason == "INVALID_FILTER"
        assert error is None or DESCRIPTION.match(error.violations[0].description)
