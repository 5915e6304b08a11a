"""Filters of `where`: the server's own parser reads each value as one value, whatever it contains."""

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from artemis.v1.events_pb2 import Event
from artemis_client import where
from artemis_server.query.filters import MAX_SEARCHED, filter_parser
from artemis_server.query.tree import And, Compare, Matches, Not, Operator, Or
from hypothesis import example, given, settings
from hypothesis import strategies as st

parse = filter_parser(Event.DESCRIPTOR, ("name", "description"))
WHEN = datetime(2030, 5, 4, 9, 0, 0, 1, tzinfo=UTC)
MICROS = (WHEN - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
HOSTILE = [
    "",
    "*",
    "**",
    "*a*",
    "a*",
    "\\",
    "\\\\",
    '"',
    "'",
    '\\"',
    '"; DROP',
    '" OR name = "',
    '" OR id > 0 OR name = "x',
    "a AND b",
    "OR",
    "NOT",
    "null",
    "{}",
    "{{name}}",
    "%s",
    "(",
    ")",
    "\n",
    "\r\n\t\v\f",
    "\u2028\u00a0",
    "🎉京都",
    "-1",
    "a,b",
    "x" * 8000,
    "\\*",
    "*\\",
]
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.text("\"'\\*{}() \nANDORT=:-")


def hostile(test: Any) -> Any:
    for value in HOSTILE:
        test = example(value)(test)
    return test


def is_text(value: str, *, open_start: bool = False, open_end: bool = False) -> Matches:
    return Matches("name", value, open_start, open_end)


@hostile
@settings(deadline=None)
@given(texts)
def test_a_text_is_one_value(value: str) -> None:
    assert parse(where("name = {}", value)) == is_text(value)
    assert parse(where("name={}", value)) == is_text(value)
    assert parse(where("name != {text}", text=value)) == Not(is_text(value))
    assert parse(where("name < {}", value)) == Compare("name", Operator.LT, value)
    assert parse(where("(name = {} OR name = {}) name = {last}", value, "b", last=value)) == And(
        (Or((is_text(value), is_text("b"))), is_text(value))
    )


@hostile
@settings(deadline=None)
@given(texts)
def test_a_wildcard_stands_beside_the_placeholder(value: str) -> None:
    assert parse(where("name = {}*", value)) == is_text(value, open_start=not value, open_end=True)
    searched = value[:MAX_SEARCHED]
    assert parse(where("name = *{}", searched)) == is_text(searched, open_start=True, open_end=not searched)
    assert parse(where("name = *{}*", searched)) == is_text(searched, open_start=True, open_end=True)
    assert parse(where("name:{}", searched)) == is_text(searched, open_start=True, open_end=True)
    searches = tuple(Matches(field, searched, open_start=True, open_end=True) for field in ("name", "description"))
    assert parse(where("{}", searched)) == Or(searches)


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_an_integer_is_one_value(value: int) -> None:
    assert parse(where("owner_id >= {}", value)) == Compare("owner_id", Operator.GE, value)


@settings(deadline=None)
@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_a_time_is_the_moment(value: datetime, zone: timezone) -> None:
    moment = value.replace(tzinfo=zone)
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert parse(where("start_time > {}", moment)) == Compare("start_time", Operator.GT, micros)


def test_values_of_several_types_stand_in_their_order() -> None:
    text = where("name = {} AND start_time > {since} AND id < {}", "The 'x'", 7, since=WHEN)
    assert text == 'name = "The \'x\'" AND start_time > "2030-05-04T09:00:00.000001Z" AND id < 7'
    assert parse(text) == And(
        (is_text("The 'x'"), Compare("start_time", Operator.GT, MICROS), Compare("id", Operator.LT, 7))
    )


class Color(enum.StrEnum):
    RED = "red"


class Sneaky(str):
    __slots__ = ()

    def __str__(self) -> str:
        return '" OR id > 0 OR name = "'

    __repr__ = __format__ = __str__  # type: ignore[assignment]

    def translate(self, _: Any) -> str:
        return str(self)

    replace = encode = translate  # type: ignore[assignment]


class Number(int):
    def __str__(self) -> str:
        return "1 OR id > 0"

    __repr__ = __str__


def test_values_of_subclasses_are_what_they_hold() -> None:
    assert parse(where("name = {}", Color.RED)) == is_text("red")
    assert parse(where("name = {}", Sneaky("a"))) == is_text("a")
    assert parse(where("id = {}", Number(5))) == Compare("id", Operator.EQ, 5)


@pytest.mark.parametrize("template", ["name = {{}}", 'name = "{{}}"'])
def test_double_braces_are_braces(template: Any) -> None:
    assert parse(where(template)) == is_text("{}")


def test_a_template_without_placeholders_is_itself() -> None:
    template = 'name = "it\'s {{ \\" " AND location = \'a"b\' AND NOT owner_id:*'
    assert where(template) == template.replace("{{", "{")


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (None, "for an unset field write NOT field:*"),
        ([1, 2], "write (field = {} OR field = {}) for several values"),
        (("a",), "write (field = {} OR field = {}) for several values"),
        (True, "not bool"),
        (1.5, "not float"),
        (b"x", "not bytes"),
        (date(2030, 5, 4), "not date"),
        (object(), "not object"),
    ],
)
def test_a_value_of_another_type_is_refused(value: Any, advice: str) -> None:
    with pytest.raises(TypeError) as caught:
        where("owner_id = {}", value)
    assert "the value of {} at index 11 of the filter must be a str, an int or a datetime" in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", "U+0000"),
        ("a\ud800", "half of a surrogate pair at index 1"),
        (2**63, "64-bit"),
        (-(2**63) - 1, "64-bit"),
        (10**5000, "64-bit"),
        (datetime(2030, 5, 4), "has no time zone: 2030-05-04T00:00:00; give it one"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), "years 0001 to 9999"),
    ],
    ids=["NUL", "surrogate", "2**63", "-2**63-1", "huge", "naive", "year 0"],
)
def test_a_value_that_no_field_has_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"the value of {} at index 7 of the filter") as caught:
        where("name = {}", value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("template", "values", "message"),
    [
        ('name = "{}"', ("a",), "a placeholder stands without quotes"),
        ("name = '*{}*'", ("a",), "a placeholder stands without quotes"),
        ("name = '}'", (), "a placeholder stands without quotes"),
        ('name = "a {}', ("a",), 'at index 7 of the filter, " is not closed'),
        ("name = it's {}", ("a",), "' is not closed"),
        ('name = "a\\" {}', ("a",), '" is not closed'),
        ("name = {", ("a",), "{ is not closed"),
        ("name = }", ("a",), "} is not opened"),
        ("name = a{}", ("b",), "separate from other text"),
        ("id = {}0", (1,), "separate from other text"),
        ("id = -{}", (1,), "separate from other text"),
        ("id = {}{}", (1, 2), "separate from other text"),
        ('name = "a"{}', ("b",), "separate from other text"),
        ("name = {}", (), "more placeholders than there are values"),
        ("name = {}", ("a", "b"), "fewer placeholders than there are values"),
        ("name = {name}", ("a",), "placeholder {name}, and there is no value"),
        ("name = {0}", ("a",), "placeholder {0}, and there is no value"),
        ("name = {!r}", ("a",), "placeholder {!r}, and there is no value"),
    ],
)
def test_a_wrong_template_is_refused(template: Any, values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=r"filter|placeholder") as caught:
        where(template, *values)
    assert message in str(caught.value)


def test_a_named_value_without_a_placeholder_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer placeholders"):
        where("name = {}", "a", other="b")


@pytest.mark.parametrize("template", ["{}", "day {}", "name = {}*", "name = *{}"])
def test_a_word_or_a_wildcard_needs_a_text(template: Any) -> None:
    """The minus of -5 would negate the word 5."""
    with pytest.raises(TypeError, match="must be a str"):
        where(template, -5)


def test_the_sample_of_the_page_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "client" / "README.md").read_text(encoding="utf-8")
    sample, printed = page.partition("## Filters\n")[2].split("```")[1:4:2]
    exec(sample.removeprefix("python\n"), {})  # noqa: S102 - our own
    assert capsys.readouterr().out == printed.removeprefix("\n")
