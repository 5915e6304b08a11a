"""The mapping: from a record as a feed has it to the values that are stored."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from artemis_loader.convert.by_column import compile_columns
from artemis_loader.convert.row_by_row import InvalidRecord, compile_mapping
from artemis_loader.entities import ENTITIES
from artemis_loader.feeds import Feed, Source
from artemis_loader.files import LocalFile
from artemis_loader.records import Record, Value
from hypothesis import given, settings
from hypothesis import strategies as st

FILE = LocalFile(path=Path("/tmp/x"), name="/feeds/2024/css.json.gz", base="css.json.gz", folder="2024")  # noqa: S108
ROW = {"id": "7", "n": "Expo", "s": "2024-03-09T10:00:00Z", "e": "2024-03-09T12:00:00Z"}
MINIMAL = {
    "external_id": Source(key=("id",), separator="|"),
    "name": Source(key=("n",)),
    "start_time": Source(key=("s",)),
    "end_time": Source(key=("e",)),
}


def feed_of(zone: str = "UTC", **fields: Source) -> Feed:
    return Feed(
        name="f",
        url="/x",
        format="json",
        entity="events",
        mode="refresh",
        fields=MINIMAL | fields,
        time_zone=ZoneInfo(zone),
    )


def record(row: dict[str, Any], zone: str = "UTC", **fields: Source) -> Record:
    """Returns the record of a row, which is the same when it is converted together with others."""
    feed, whole = feed_of(zone, **fields), ROW | row
    found = compile_mapping(feed, FILE)(whole)
    assert [found, found] == compile_columns(feed, FILE)([whole, whole])
    return found


def value(column: str, source: Source, row: dict[str, Any], zone: str = "UTC") -> Value:
    return record(row, zone, **{column: source}).values[ENTITIES["events"].columns.index(column)]


def location(source: Source, row: dict[str, Any]) -> Value:
    return value("location", source, row)


def reason(row: dict[str, Any], zone: str = "UTC", **fields: Source) -> str:
    feed, whole = feed_of(zone, **fields), ROW | row
    with pytest.raises(InvalidRecord) as caught:
        compile_mapping(feed, FILE)(whole)
    assert not compile_columns(feed, FILE)([ROW, whole])
    return str(caught.value)


def micros(*when: int, zone: Any = UTC) -> int:
    moment = datetime(*when, tzinfo=zone)  # type: ignore[arg-type, misc]  # year, month, day, ...
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_what_is_not_mapped_is_empty() -> None:
    expected = Record("7", ("Expo", "", "", "", "", micros(2024, 3, 9, 10), micros(2024, 3, 9, 12)))
    assert expected == record({"description": "not mapped"})


KEY = Source(key=("a",))
NESTED = Source(key=("a", "b"))
JOIN = Source(join=(Source(key=("a",)), Source(key=("b",)), Source(key=("c",))))
FIRST = Source(first=(Source(key=("a",)), Source(key=("b",)), Source(constant="neither")))


@pytest.mark.parametrize(
    ("source", "row", "expected"),
    [
        (KEY, {}, ""),
        (KEY, {"a": None}, ""),
        (KEY, {"a": "  \n"}, ""),
        (KEY, {"a": "  Kyoto\t"}, "Kyoto"),
        (KEY, {"a": 3}, "3"),
        (KEY, {"a": 2.5}, "2.5"),
        (KEY, {"a": True}, "true"),
        (KEY, {"a": False}, "false"),
        (KEY, {"a": []}, ""),
        (KEY, {"a": ["x ", None, "", 4]}, "x, 4"),
        (Source(key=("a",), separator="/"), {"a": ["x", "y"]}, "x/y"),
        (Source(key=("a",), default="d"), {}, "d"),
        (Source(key=("a",), default="d"), {"a": " "}, "d"),
        (Source(key=("a",), default="d"), {"a": []}, "d"),
        (Source(key=("a",), default="d"), {"a": 0}, "0"),
        (NESTED, {"a": {"b": " x "}}, "x"),
        (NESTED, {"a": {}}, ""),
        (NESTED, {"a": None}, ""),
        (NESTED, {"a": "text"}, ""),
        (NESTED, {}, ""),
        (Source(key=("a", "1", "b")), {"a": [{}, {"b": "x"}]}, "x"),
        (Source(key=("a", "2")), {"a": ["x"]}, ""),
        (Source(key=("a.b",)), {"a.b": "x"}, "x"),
        (Source(constant="c"), {}, "c"),
        (Source(file="stem"), {}, "css"),
        (Source(file="name"), {}, "css.json.gz"),
        (Source(file="folder"), {}, "2024"),
        (JOIN, {"a": "x", "b": "y", "c": "z"}, "x, y, z"),
        (JOIN, {"a": "x", "c": "z"}, "x, z"),
        (JOIN, {"b": " ", "c": "z"}, "z"),
        (JOIN, {"a": 1, "b": ["p", "q"]}, "1, p, q"),
        (JOIN, {}, ""),
        (Source(join=JOIN.join, separator=""), {"a": "x", "b": "y"}, "xy"),
        (Source(join=JOIN.join, default="d"), {}, "d"),
        (Source(join=(KEY, Source(file="stem"))), {"a": "x"}, "x, css"),
        (Source(join=(FIRST, NESTED)), {"b": "y"}, "y"),
        (FIRST, {"a": "x", "b": "y"}, "x"),
        (FIRST, {"a": "", "b": "y"}, "y"),
        (FIRST, {}, "neither"),
    ],
)
def test_a_text_is_made_as_declared(source: Source, row: dict[str, Any], expected: str) -> None:
    assert expected == location(source, row)


@pytest.mark.parametrize("found", [{"x": 1}, [[1]], [{"x": 1}]])
@pytest.mark.parametrize("source", [KEY, JOIN, FIRST, Source(key=("a",), default="d")])
def test_an_object_is_no_text(source: Source, found: object) -> None:
    assert reason({"a": found}, location=source) == "location is an object or an array of arrays, not a text"


def test_parts_that_miss_in_an_external_id_leave_their_place() -> None:
    source = Source(join=JOIN.join, separator="|")
    assert record({"a": "x", "c": "z"}, external_id=source).external_id == "x||z"
    assert record({"a": "x", "b": "z"}, external_id=source).external_id == "x|z|"
    assert reason({}, external_id=source) == "external_id is missing"


@pytest.mark.parametrize("missing", [{"id": None}, {"id": " "}, {"id": []}])
def test_a_record_without_an_id_is_refused(missing: dict[str, object]) -> None:
    assert reason(missing) == "external_id is missing"


def test_an_id_is_limited() -> None:
    assert record({"id": "x" * 500}).external_id == "x" * 500
    assert reason({"id": "x" * 501}) == "external_id has 501 characters, more than 500"
    assert reason({"id": "x\0"}) == "external_id contains U+0000"


START = "start_time"
BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2024-01-09", "UTC", micros(2024, 1, 9)),
        ("2024-01-09", BERLIN, micros(2024, 1, 8, 23)),
        ("2024-01-09T10:00", BERLIN, micros(2024, 1, 9, 9)),
        ("2024-01-09 10:00:01", "UTC", micros(2024, 1, 9, 10, 0, 1)),
        ("2024-01-09T10:00:00Z", BERLIN, micros(2024, 1, 9, 10)),
        ("2024-01-09t10:00:00z", BERLIN, micros(2024, 1, 9, 10)),
        ("2024-01-09T10:00:00+01:00", "UTC", micros(2024, 1, 9, 9)),
        ("2024-01-09T10:00:00 +01:00", "UTC", micros(2024, 1, 9, 9)),
        ("2024-01-09T10:00:00-0530", "UTC", micros(2024, 1, 9, 15, 30)),
        ("2024-01-09T10:00:00.25Z", "UTC", micros(2024, 1, 9, 10, 0, 0, 250000)),
        ("2024-01-09T10:00:00,123456789Z", "UTC", micros(2024, 1, 9, 10, 0, 0, 123456)),
        (" 2024-01-09 ", "UTC", micros(2024, 1, 9)),
        ("0001-01-01", "UTC", micros(1, 1, 1)),
        (datetime(2024, 1, 9, 10), BERLIN, micros(2024, 1, 9, 9)),
        (datetime(2024, 1, 9, 10, tzinfo=timezone(timedelta(hours=3))), BERLIN, micros(2024, 1, 9, 7)),
    ],
)
def test_a_time_is_read_as_iso_8601(text: Any, zone: str, expected: int) -> None:
    assert expected == value(START, Source(key=("s",)), {"s": text, "e": "9000-01-01"}, zone)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-02-30", "start_time: '2023-02-30' is not a time: day is out of range for month"),
        ("2024-01-09T25:00:00Z", "start_time: '2024-01-09T25:00:00Z' is not a time: hour must be in 0..23"),
        ("0000-01-01", "start_time: '0000-01-01' is not a time: year 0 is out of range"),
        ("x" * 65, f"start_time: '{'x' * 64}'... is not a time"),
        (5, "start_time: 5 is not a time"),
        (True, "start_time: true is not a time"),
        ({"x": 1}, 'start_time: {"x": 1} is not a time'),
        ("", "start_time is missing"),
        (None, "start_time is missing"),
    ],
)
def test_what_is_no_time_is_refused(text: object, expected: str) -> None:
    assert expected == reason({"s": text})


@pytest.mark.parametrize(
    "text",
    ["31/12/2023", "2023", "2023-12", "20231231", "2023-W01-1", "2023-12-31x10:00", "12:00", "tomorrow", "+2023-12-31",
     "2023-12-31T10", "2023-1-1", "\u0662\u0660\u0662\u0663-12-31", "10000-01-01", "2023-12-31T10:00:00Zjunk"],
)  # fmt: skip
def test_another_format_is_not_guessed_at(text: str) -> None:
    expected = "is not a time in the format of ISO 8601, such as 2024-03-09 or 2024-03-09T10:00:00Z"
    assert f"start_time: {text!r} {expected}" == reason({"s": text})


@pytest.mark.parametrize(
    ("formats", "found", "expected"),
    [
        (("%d/%m/%Y",), "09/01/2024", micros(2024, 1, 8, 23)),
        (("%d/%m/%Y %H:%M",), "09/01/2024 10:00", micros(2024, 1, 9, 9)),
        (("%d/%m/%Y %H:%M %z",), "09/01/2024 10:00 +0300", micros(2024, 1, 9, 7)),
        (("%d/%m/%Y", "%d %B %Y"), "9 January 2024", micros(2024, 1, 8, 23)),
        (("unix",), 1704794400, micros(2024, 1, 9, 10)),
        (("unix",), 1704794400.5, micros(2024, 1, 9, 10, 0, 0, 500000)),
        (("unix",), "1704794400", micros(2024, 1, 9, 10)),
        (("unix",), "1704794400.5", micros(2024, 1, 9, 10, 0, 0, 500000)),
        (("unix",), -1, micros(1969, 12, 31, 23, 59, 59)),
        (("unix_ms",), 1704794400001, micros(2024, 1, 9, 10, 0, 0, 1000)),
        (("%d/%m/%Y", "unix"), 1704794400, micros(2024, 1, 9, 10)),
    ],
)
def test_a_time_is_read_in_its_declared_format(formats: tuple[str, ...], found: object, expected: int) -> None:
    source = Source(key=("s",), formats=formats)
    assert expected == value(START, source, {"s": found, "e": "9000-01-01"}, BERLIN)


@pytest.mark.parametrize(
    ("formats", "found", "expected"),
    [
        (("%d/%m/%Y",), "2024-01-09", "'2024-01-09' is not a time in the format %d/%m/%Y"),
        (("%d/%m/%Y", "unix"), "x", "'x' is not a time in the format %d/%m/%Y or unix"),
        (("%d/%m/%Y",), "30/02/2024", "'30/02/2024' is not a time in the format %d/%m/%Y"),
        (("unix",), float("nan"), "nan is not a time"),
        (("unix",), "inf", "'inf' is not a time in the format unix"),
        (("unix",), 10**30, f"{10**30} is not a time"),
    ],
)
def test_a_declared_format_is_the_only_one(formats: tuple[str, ...], found: object, expected: str) -> None:
    assert f"start_time: {expected}" == reason({"s": found}, start_time=Source(key=("s",), formats=formats))


@pytest.mark.parametrize(
    ("source", "found", "expected"),
    [
        (Source(key=("e",)), "2024-03-09", micros(2024, 3, 9, 23)),
        (Source(key=("e",), last_day=False), "2024-03-10", micros(2024, 3, 9, 23)),
        (Source(key=("e",), formats=("%d.%m.%Y",)), "09.03.2024", micros(2024, 3, 9, 23)),
        (Source(key=("e",)), "2024-03-31", micros(2024, 3, 31, 22)),
        (Source(key=("e",)), "2024-03-09T18:00", micros(2024, 3, 9, 17)),
        (Source(key=("e",)), "9999-12-31", micros(9999, 12, 31, 23, 59, 59, 999999)),
        (Source(key=("e",), time_zone=ZoneInfo("Asia/Tokyo")), "2024-03-09", micros(2024, 3, 9, 15)),
        (Source(first=(Source(key=("x",)), Source(key=("s",)))), "", micros(2024, 3, 9, 23)),
        (Source(key=("x",), default="2024-03-09"), "", micros(2024, 3, 9, 23)),
        (Source(constant="2024-03-09"), "", micros(2024, 3, 9, 23)),
    ],
)
def test_a_date_as_end_is_the_last_day(source: Source, found: str, expected: int) -> None:
    """The event is over at the next midnight in its zone, whatever the clocks do that day."""
    assert expected == value("end_time", source, {"s": "2024-03-09", "e": found}, BERLIN)


def test_a_date_and_an_hour_are_joined() -> None:
    source = Source(join=(Source(key=("d",)), Source(key=("h",))), separator=" ")
    assert micros(2024, 3, 9, 11) == value(START, source, {"d": "2024-03-09", "h": "11:00"})
    assert micros(2024, 3, 9) == value(START, source, {"d": "2024-03-09"})


def test_a_time_beyond_the_years_is_refused() -> None:
    assert reason({"s": "0001-01-01"}, BERLIN) == "start_time is not within the years 1 to 9999"
    assert reason({"e": "9999-12-31T23:00:00-02:00"}) == "end_time is not within the years 1 to 9999"


def test_an_end_before_its_start_is_refused() -> None:
    assert reason({"e": "2024-03-09T09:59:59.999999Z"}) == "end_time is before start_time"
    assert record({"e": ROW["s"]}).values[-1] == micros(2024, 3, 9, 10)


def test_users_are_mapped_likewise() -> None:
    fields = {"external_id": Source(key=("id",)), "email": Source(key=("m",)), "last_name": Source(key=("l",))}
    feed = Feed(name="f", url="/x", format="json", entity="users", mode="refresh", fields=fields)
    convert = compile_mapping(feed, FILE)
    assert Record("1", ("desk@example.com", "", "Desk")) == convert({"id": 1, "m": "desk@example.com", "l": "Desk"})
    with pytest.raises(InvalidRecord, match="email is not an e-mail address"):
        convert({"id": 1, "m": "desk"})


TIMES = st.sampled_from(["2024-03-09", "2024-03-09T10:00:00+01:00", " 2024-03-10 ", "", "31/12/2023", 1_710_000_000])
LATER = st.sampled_from(["2024-03-11", "2024-03-11T00:00:00Z", "2024-03-12 09:30:00.25-08:00"])
VALUES = st.one_of(st.none(), st.text(max_size=3), st.integers(-9, 9), st.lists(st.text(max_size=2), max_size=2), TIMES)
LIKELY = st.fixed_dictionaries({"id": VALUES, "n": VALUES, "s": TIMES, "e": LATER})
ROWS = st.one_of(LIKELY, st.dictionaries(st.sampled_from("idnse"), VALUES))
SOURCES: dict[str, list[Source]] = {
    "name": [Source(key=("n",)), Source(key=("n",), default="Untitled"), Source(key=("n", "0"))],
    "location": [Source(key=("n",)), Source(constant="Oslo"), Source(join=(Source(key=("n",)), Source(key=("s",))))],
    "start_time": [Source(key=("s",)), Source(key=("s",), formats=("unix", "%d/%m/%Y", "%Y-%m-%d"))],
}
FEEDS = st.builds(feed_of, st.just("UTC"), **{field: st.sampled_from(sources) for field, sources in SOURCES.items()})


@settings(deadline=None)  # the machine may be busy
@given(FEEDS, st.lists(ROWS, max_size=4))
def test_rows_give_the_same_records_together_as_alone(feed: Feed, rows: list[dict[str, Any]]) -> None:
    convert = compile_mapping(feed, FILE)
    try:
        alone = [convert(row) for row in rows]
    except InvalidRecord:
        alone = []
    assert alone == compile_columns(feed, FILE)(rows)
