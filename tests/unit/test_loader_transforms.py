"""Texts that are changed, records that are left out, and zones that records name."""

import json
import re
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from artemis_loader.convert.row_by_row import InvalidRecord, compile_mapping
from artemis_loader.convert.transforms import compile_transforms
from artemis_loader.errors import ConfigError, FeedError
from artemis_loader.feeds import Feed, Source
from artemis_loader.fetch.sources import fetch
from artemis_loader.files import LocalFile
from artemis_loader.reading import read
from artemis_loader.records import Record, Reject
from hypothesis import given
from hypothesis import strategies as st

from tests.feeds import declare

FILE = LocalFile(path=Path("x"), name="x.json", base="x.json", folder="")
CONFIG = """
[feeds.f]
url = "x.jsonl"
format = "jsonl"
entity = "events"
{more}
[feeds.f.fields]
external_id = "id"
name = {name}
start_time = {start}
end_time = "e"
"""
ROW = {"id": "7", "n": "Expo", "s": "2024-07-09T10:00:00", "e": "2024-07-20"}


def feed_of(folder: Path, name: str = '"n"', start: str = '"s"', more: str = "") -> Feed:
    return declare(folder, CONFIG.format(name=name, start=start, more=more))


def name_of(folder: Path, keys: str, value: Any) -> str:
    feed = feed_of(folder, f'{{ key = "n", default = "none", {keys} }}')
    return str(compile_mapping(feed, FILE)(ROW | {"n": value}).values[0])


def needs_regex() -> None:
    pytest.importorskip("re2", reason="the extra regex is not installed")


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        ('case = "lower"', " Expo ÄÖ ", "expo äö"),
        ('case = "upper"', "straße", "STRASSE"),
        ('case = "title"', "open day", "Open Day"),
        ('map = { a = "Ada", b = "Bob" }', "a", "Ada"),
        ('map = { a = "Ada", b = "Bob" }', "c", "c"),
        ('map = { a = "Ada", "*" = "somebody" }', "c", "somebody"),
        ('map = { a = "" }', "a", "none"),
        ('map = { a = "Ada", "*" = "somebody" }', "", "none"),
        ('map = { a = "Ada" }, separator = "+"', ["a", "b", "a"], "Ada+b+Ada"),
        ('map = { a = "" }', ["a", "b"], "b"),
        ('case = "lower", map = { conf = "conference" }', "CONF", "conference"),
        ('map = { 7 = "seven" }', 7, "seven"),
    ],
)
def test_a_text_is_changed(tmp_path: Path, keys: str, value: Any, expected: str) -> None:
    assert expected == name_of(tmp_path, keys, value)


@pytest.mark.parametrize(
    ("keys", "value", "expected"),
    [
        (r'extract = "#([0-9]+)"', "Room #7, east", "7"),
        (r'extract = "[0-9]+"', "Room #7", "7"),
        (r'extract = "(a)|b"', "b", "none"),
        (r'extract = "[0-9]+"', "Room", "none"),
        (r'extract = "(?i)expo"', "The EXPO", "EXPO"),
        (r'replace = [["\\s+", " "]]', "a  b\t c", "a b c"),
        (r'replace = [["^(.+), (.+)$", "\\2 \\1"]]', "King, Adä", "Adä King"),
        (r'replace = [["o", "ö"], ["ö", "oe"]]', "Bo", "Boe"),
        (r'replace = [["a", "\\0\\0"]]', "bar", "baar"),
        (r'replace = [["x", "\\n\\\\"]]', "x", r"\n\\"),
        (r'extract = "[a-z]+", replace = [["a", "A"]], case = "upper", map = { ABC = "letters" }', "1abc2", "letters"),
    ],
)
def test_a_text_is_changed_by_regular_expressions(tmp_path: Path, keys: str, value: Any, expected: str) -> None:
    needs_regex()
    assert expected == name_of(tmp_path, keys, value)


def test_a_hostile_text_costs_no_more_than_its_length(tmp_path: Path) -> None:
    needs_regex()
    before = time.process_time()
    assert name_of(tmp_path, r'extract = "^(a+)+$"', "a" * 50_000 + "b") == "none"
    assert time.process_time() - before < 5  # `re` needs years


def test_a_text_that_is_not_unicode_is_rejected_and_not_searched(tmp_path: Path) -> None:
    needs_regex()
    for keys in ('replace = [["a", "b"]]', 'case = "lower"'):
        with pytest.raises(InvalidRecord, match="name is not valid Unicode"):
            name_of(tmp_path, keys, "\ud800")


@given(st.text(max_size=30))
def test_any_text_can_be_searched(text: str) -> None:
    needs_regex()
    replaced = compile_transforms(Source(key=("a",), replace=((".", r"<\0>"),)))(text)
    assert replaced == "".join(each if each == "\n" else f"<{each}>" for each in text).strip()


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('case = "camel"', "name.case: must be one of lower, upper, title"),
        ("map = {}", "name.map: must not be empty"),
        ("map = { a = 1 }", "name.map: must have texts only"),
        ('replace = ["a"]', "name.replace: must be an array of pairs"),
        ('replacement = "a"', "name.replacement: unknown key"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(tmp_path: Path, keys: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        feed_of(tmp_path, f'{{ key = "n", {keys} }}')
    assert f"feeds.f.fields.{reason}" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (r'extract = "(a"', "name.extract: '(a' is no regular expression of RE2: missing )"),
        (r'extract = "(a)\\1"', "name.extract: "),
        (r'extract = "(?=a)"', "name.extract: "),
        (f'extract = "{"a" * 1001}"', "name.extract: has 1001 characters, more than 1000"),
        (r'replace = [["a", "\\1"]]', "name.replace: the pattern has 0 groups, and no \\1"),
    ],
)
def test_an_expression_that_cannot_work_is_refused(tmp_path: Path, keys: str, reason: str) -> None:
    needs_regex()
    with pytest.raises(ConfigError) as caught:
        feed_of(tmp_path, f'{{ key = "n", {keys} }}')
    assert f"feeds.f.fields.{reason}" in str(caught.value)


def test_an_expression_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ConfigError) as caught:
        feed_of(tmp_path, '{ key = "n", extract = "a" }')
    needed = "feeds.f.fields.name.extract: needs the extra regex: pip install 'artemis-loader[regex]'"
    assert str(caught.value).endswith(needed)


def test_excel_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    feed = replace(feed_of(tmp_path), format="xlsx")
    (tmp_path / "x.jsonl").write_bytes(b"PK")
    with pytest.raises(
        FeedError, match=re.escape("the format xlsx needs an extra: pip install 'artemis-loader[xlsx]'")
    ):
        list(read(feed, fetch(feed, None, tmp_path)))


# Conditions


def kept(folder: Path, where: str, *names: Any) -> list[Any]:
    lines = [json.dumps(ROW | {"id": str(index), "n": name}) for index, name in enumerate(names)]
    (folder / "x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    feed = feed_of(folder, '{ key = "n", default = "none" }', more=f"where = [{where}]")
    found = []
    for item in read(feed, fetch(feed, None, folder)):
        assert isinstance(item, Record | Reject)
        found.append(item.values[0] if isinstance(item, Record) else item.reason)
    return found


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ('{ key = "n", equals = "a" }', ["a"]),
        ('{ key = "n", equals = ["a", "c"] }', ["a", "c"]),
        ('{ key = "n", not_equals = ["a", "b"] }', ["c", "none"]),
        ('{ key = "n", present = true }', ["a", "b", "c"]),
        ('{ key = "n", present = false }', ["none"]),
        ('{ key = "n", case = "upper", equals = "B" }', ["b"]),
        ('{ key = "n", not_equals = "a" }, { key = "n", present = true }', ["b", "c"]),
        ('{ file = "stem", equals = "y" }', []),
    ],
)
def test_records_that_do_not_meet_the_conditions_are_left_out(tmp_path: Path, where: str, expected: list[str]) -> None:
    assert expected == kept(tmp_path, where, "a", "b", "c", None)


def test_an_expression_is_a_condition(tmp_path: Path) -> None:
    needs_regex()
    assert kept(tmp_path, '{ key = "n", matches = "^a" }', "ab", "ba", None, "\u00e4") == ["ab"]


def test_a_condition_on_an_object_is_a_reject(tmp_path: Path) -> None:
    found = kept(tmp_path, '{ key = "n", equals = "a" }', "a", {"b": 1}, "c")
    assert found == ["a", "where: n is an object or an array of arrays, not a text"]
    found = kept(tmp_path, '{ first = ["x.y", { join = ["n"] }], equals = "a" }', "a", {"b": 1})
    assert found == ["a", "where: x.y or n is an object or an array of arrays, not a text"]


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ('{ key = "n" }', "where[0]: needs exactly one of equals, not_equals, matches, present"),
        ('{ key = "n", equals = "a", present = true }', "where[0]: needs exactly one of equals"),
        ('{ equals = "a" }', "where[0]: needs exactly one of key, constant"),
        ('{ key = "n", equals = [] }', "where[0].equals: must be a text, or an array of texts"),
        ('{ key = "n", equals = "a", is = "b" }', "where[0].is: unknown key"),
        ('"n"', "where[0]: must be a table"),
    ],
)
def test_a_condition_that_cannot_work_is_refused(tmp_path: Path, where: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        feed_of(tmp_path, more=f"where = [{where}]")
    assert f"feeds.f.{reason}" in str(caught.value)


# Zones of records


ZONED = '{ key = "s", time_zone = { key = "tz" } }'


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        ("America/Lima", "America/Lima"),
        (None, "Europe/Oslo"),
        ("", "Europe/Oslo"),
    ],
)
def test_a_record_names_its_zone(tmp_path: Path, zone: str | None, expected: str) -> None:
    feed = feed_of(tmp_path, start=ZONED, more='time_zone = "Europe/Oslo"')
    start = datetime(2024, 7, 9, 8, tzinfo=ZoneInfo(expected))
    found = compile_mapping(feed, FILE)(ROW | {"tz": zone, "s": "2024-07-09T08:00:00"}).values[5]
    assert start == datetime.fromtimestamp(int(found) / 1e6, UTC)


def test_a_column_with_the_zone_may_have_dots(tmp_path: Path) -> None:
    text = CONFIG.format(name='"n"', start='{ key = "s", time_zone = { key = "t.z" } }', more="")
    feed = declare(tmp_path, text.replace("jsonl", "csv"))
    start = datetime(2024, 7, 9, 10, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert start == datetime.fromtimestamp(
        int(compile_mapping(feed, FILE)(ROW | {"t.z": "Asia/Tokyo"}).values[5]) / 1e6, UTC
    )


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "Europe", "x" * 5000, "a\0b"])
def test_a_record_of_an_unknown_zone_is_rejected(tmp_path: Path, zone: str) -> None:
    with pytest.raises(InvalidRecord, match=r"start_time: .* is no time zone, such as Europe/Berlin") as caught:
        compile_mapping(feed_of(tmp_path, start=ZONED), FILE)(ROW | {"tz": zone})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sat, 09 Mar 2024 10:00:00 GMT", datetime(2024, 3, 9, 10, tzinfo=UTC)),
        ("9 Mar 2024 10:00 +0130", datetime(2024, 3, 9, 8, 30, tzinfo=UTC)),
        ("Sat, 09 Mar 2024 10:00:00 EST", datetime(2024, 3, 9, 15, tzinfo=UTC)),
    ],
)
def test_the_dates_of_rss_are_read(tmp_path: Path, text: str, expected: datetime) -> None:
    feed = feed_of(tmp_path, start='{ key = "t", format = "rfc822" }')
    assert expected == datetime.fromtimestamp(int(compile_mapping(feed, FILE)(ROW | {"t": text}).values[5]) / 1e6, UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "Sat, 99 Mar 2024 10:00:00 GMT", "9 Mar 2024 25:00", "9 9 9"])
def test_what_is_no_date_of_rss_is_rejected(tmp_path: Path, text: str) -> None:
    feed = feed_of(tmp_path, start='{ key = "t", format = "rfc822" }')
    with pytest.raises(InvalidRecord, match="start_time"):
        compile_mapping(feed, FILE)(ROW | {"t": text})


def test_a_key_below_an_array_gives_the_values_of_its_objects(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, '"speakers.name"')
    row = ROW | {"speakers": [{"name": "Ada"}, {"topic": "x"}, {"name": "Bob"}]}
    assert compile_mapping(feed, FILE)(row).values[0] == "Ada, Bob"
