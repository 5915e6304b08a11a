"""The formats: what is read from files of every kind, whole or damaged."""

import gzip
import io
import json
import re
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from artemis_loader.config.field_mapping import read_fields
from artemis_loader.config.toml_table import TomlTable
from artemis_loader.entities import ENTITIES
from artemis_loader.errors import FeedError
from artemis_loader.feeds import FORMATS, Csv, Feed, Limits, Source, Window
from artemis_loader.fetch.sources import fetch
from artemis_loader.files import Fetched, LocalFile
from artemis_loader.formats import json_array
from artemis_loader.formats.ics import components
from artemis_loader.formats.json_array import read_array
from artemis_loader.formats.rows import Fault
from artemis_loader.reading import Item, read
from artemis_loader.records import FeedWarning, Record, Reject
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.depth import examples

KEYS = ("external_id", "name", "description", "start_time", "end_time")
FIELDS = {key: Source(key=(key,)) for key in KEYS}
DAY = {"start_time": "2024-03-09", "end_time": "2024-03-09"}
MIB = 1 << 20
T = TypeVar("T", str, bytes)
DEEP = MIB // 16


def made(data: T | Callable[[], T]) -> T:
    """Returns the data of a test; large data is made when the test runs, and not in every process that collects it."""
    return data() if callable(data) else data


def row(identity: str, **values: object) -> dict[str, object]:
    return {"external_id": identity, "name": f"Event {identity}"} | DAY | values


def elements(rows: list[dict[str, object]]) -> str:
    written = ("".join(f"<{key}>{value}</{key}>" for key, value in each.items()) for each in rows)
    return "<events>" + "".join(f"<event>{each}</event>" for each in written) + "</events>"


def feed_of(path: Path, form: str, **options: Any) -> Feed:
    fields = read_fields(TomlTable("fields", {}), ENTITIES["events"], FORMATS[form]) if form == "ics" else FIELDS
    return Feed(**{"name": "f", "url": str(path), "format": form, "entity": "events", "mode": "refresh"}
                | {"fields": fields, "records": "events/event" if form == "xml" else ""} | options)  # fmt: skip


def fetched(path: Path, data: bytes | str, form: str, **options: Any) -> tuple[Feed, Fetched]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    feed = feed_of(path, form, **options)
    return feed, fetch(feed, None, path.parent)


def items(folder: Path, data: bytes | str, form: str, **options: Any) -> list[Item]:
    return list(read(*fetched(folder / "feed", data, form, **options)))


def numbered(found: list[Item]) -> list[Item]:
    """Returns what counts as read: all but the warnings."""
    return [item for item in found if not isinstance(item, FeedWarning)]


def results(found: list[Item]) -> list[object]:
    """Returns the ids of records, and where and why of rejects and warnings."""
    return [item.external_id if isinstance(item, Record) else (item.line, item.reason) for item in found]


def failure(folder: Path, data: bytes | str, form: str, **options: Any) -> tuple[list[object], str]:
    """Returns what was read before the failure, and what the failure says of the file."""
    found = []
    with pytest.raises(FeedError) as caught:  # noqa: PT012, what comes before is wanted as well
        for item in read(*fetched(folder / "feed", data, form, **options)):
            found.append(item)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{folder / 'feed'}: ")
    return results(found), str(caught.value).removeprefix(f"{folder / 'feed'}: ")


def lines(*rows: object) -> str:
    return "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in rows)


# Files of any format


PAGES = ["<!DOCTYPE html><html>", "\n <html><body>404</body>", '<?xml version="1.0"?><Error/>', "\ufeff<HTML>"]


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "ics"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_no_feed(tmp_path: Path, form: str, page: str) -> None:
    assert failure(tmp_path, page, form) == ([], "is a page of HTML or XML, not a feed")
    assert failure(tmp_path, gzip.compress(page.encode()), form) == ([], "is a page of HTML or XML, not a feed")


GOOD: dict[str, str] = {
    "json": json.dumps([row("1")]),
    "jsonl": lines(row("1")),
    "csv": ",".join(KEYS) + "\n1,Event 1,,2024-03-09,2024-03-09\n",
    "xml": elements([row("1")]),
}


@pytest.mark.parametrize("form", GOOD)
def test_gzip_and_a_byte_order_mark_make_no_difference(tmp_path: Path, form: str) -> None:
    data = GOOD[form].encode()
    marked = b"\xef\xbb\xbf" + data
    for each in (data, marked, gzip.compress(data), gzip.compress(marked), gzip.compress(gzip.compress(data))):
        assert results(items(tmp_path, each, form)) == ["1"]


@pytest.mark.parametrize("form", GOOD)
def test_damaged_gzip_fails(tmp_path: Path, form: str) -> None:
    data = gzip.compress((GOOD[form] + " " * 1000 + str(list(range(1000)))).encode())
    damaged = data[:200] + b"\0" * 20 + data[220:]
    for each in (data[:-500], data[:-1], damaged):
        assert failure(tmp_path, each, form)[1] == "is not valid gzip, or ends too early"


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A gzip of a gzip of spaces, which take more memory than a test of it allows."""
    return gzip.compress(gzip.compress(b" " * 32 * MIB))


@pytest.mark.parametrize("form", GOOD)
def test_a_gzip_bomb_fails_at_the_limit(tmp_path: Path, form: str, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        _, reason = failure(tmp_path, bomb, form, limits=Limits(max_bytes=2 * MIB))
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert reason == f"is larger than {2 * MIB} bytes (max_bytes)"


def test_progress_counts_the_bytes_of_the_files(tmp_path: Path) -> None:
    feed, files = fetched(tmp_path / "feed", gzip.compress(lines(*map(row, map(str, range(100)))).encode()), "jsonl")
    counted: list[int] = []
    assert len(list(read(feed, files, counted.append))) == 100
    assert files.size == sum(counted) == (tmp_path / "feed").stat().st_size


@pytest.mark.parametrize(
    "form", ["jsonl", *(pytest.param(each, marks=pytest.mark.acceptance) for each in ("json", "csv", "xml"))]
)
def test_memory_does_not_grow_with_the_feed(tmp_path: Path, form: str) -> None:
    def peak(count: int) -> int:
        rows = [row(str(number), description="x" * 500) for number in range(count)]
        table = "".join(f"{','.join(map(str, (each[key] for key in KEYS)))}\n" for each in rows)
        table = ",".join(KEYS) + "\n" + table
        data = {"json": json.dumps(rows), "jsonl": lines(*rows), "csv": table, "xml": elements(rows)}[form]
        feed, files = fetched(tmp_path / "feed", data, form)
        del rows, table, data
        tracemalloc.start()
        try:
            assert count == sum(1 for item in read(feed, files) if isinstance(item, Record))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(4000) < peak(500) + MIB


# JSON


def test_an_array_is_found_by_its_path(tmp_path: Path) -> None:
    data = json.dumps({"meta": {"items": 2}, "data": {"items": [row("1"), row("2")], "next": None}})
    assert results(items(tmp_path, data, "json", records="data.items")) == ["1", "2"]


def test_an_empty_array_is_a_feed_without_records(tmp_path: Path) -> None:
    assert items(tmp_path, "[]", "json") == []
    assert items(tmp_path, '{"a": []}', "json", records="a") == []


@pytest.mark.parametrize(
    ("data", "records", "place"), [("{}", "", "its top"), ('{"a": {"b": 1}}', "a.b", "a.b"), ("7", "", "its top")]
)
def test_a_missing_array_fails(tmp_path: Path, data: str, records: str, place: str) -> None:
    assert failure(tmp_path, data, "json", records=records) == ([], f"has no array at {place} (records)")


def test_truncated_json_fails_after_what_was_read(tmp_path: Path) -> None:
    data = json.dumps([row("1"), row("2"), row("3")])
    found, reason = failure(tmp_path, data[: data.index('"3"')], "json")
    assert found == ["1", "2"]
    assert reason.startswith("is not valid JSON after record 2: ")


@pytest.mark.parametrize(
    "data",
    ["", "nonsense", '[{"a": 1},]', "[{'a': 1}]", "[] []", '[{"a": "', "[1 2]", "[01]", '[{"a" 1}]', '[{"a": "\n"}]'],
)
def test_broken_json_fails(tmp_path: Path, data: str) -> None:
    found, reason = failure(tmp_path, data.encode(errors="surrogateescape"), "json")
    assert [each for each in found if isinstance(each, str)] == []
    assert reason.startswith("is not valid JSON")


def test_what_is_wrong_with_broken_json_is_told_with_its_place(tmp_path: Path) -> None:
    def reason(data: str) -> str:
        return failure(tmp_path, data.encode(errors="surrogateescape"), "json")[1]

    good = json.dumps(row("1"))
    assert reason("") == "is not valid JSON: the file ends early at character 0"
    assert reason(f"[{good}, x]") == f"is not valid JSON after record 1: Expecting value at character {len(good) + 4}"
    assert reason("[\udcff]") == "is not valid JSON: invalid UTF-8 at character 2"
    padded = " " * MIB + f"[{good} {good}]"
    place = MIB + len(good) + 3
    assert reason(padded) == f"is not valid JSON after record 1: Expecting ',' delimiter at character {place}"


def unusable(folder: Path, record: str, **options: Any) -> str:
    """Returns why a record is rejected; the one before it and the one after it are read."""
    first, last = json.dumps(row("1")), json.dumps(row("3"))
    data = f"[{first}, {record}, {last}]".encode(errors="surrogateescape")
    before, reject, after = items(folder, data, "json", **options)
    assert results([before, after]) == ["1", "3"]
    assert isinstance(reject, Reject)
    assert reject.line == 2
    assert len(reject.record) <= 1000
    reject.record.encode()
    return reject.reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"a": NaN, "b": ["]"]}', "not JSON: NaN is not JSON"),
        ("-Infinity", "not JSON: -Infinity is not JSON"),
        ('{"a": "caf\udce9"}', "invalid UTF-8 at character 11 of the record"),
        ('{"a": ' + "[" * 30_000 + '"]\\"' + '"' + "]" * 30_000 + "}", "not JSON: nested too deeply"),
        (lambda: '"' + "x" * 33 * MIB + '"', f"is longer than {32 * MIB} characters"),
        (lambda: json.dumps(row("2", description="x" * MIB)), f"description has {MIB} characters, more than 8192"),
        (json.dumps(row("2", name="\ud800")), "name is not valid Unicode"),
        (json.dumps(row("2", name=1)).replace("1", "1e400"), "name is a number that is too large"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_used_hurts_no_other(
    tmp_path: Path, record: str | Callable[[], str], reason: str
) -> None:
    assert reason == unusable(tmp_path, made(record))


@pytest.mark.parametrize("number", [str(1 << 63), "12345678901234567890123", "9" * 400, "-" + "1" * 30, "0.25"])
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_number_keeps_its_digits(tmp_path: Path, form: str, number: str) -> None:
    record = json.dumps(row("0")).replace('"0"', number)
    assert results(items(tmp_path, f"[{record}]" if form == "json" else record, form)) == [number]


@pytest.mark.parametrize("number", ["9" * 5000, "1e400", "-1e400", "0." + "1" * 5000])
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_number_that_is_not_used_hurts_nothing(tmp_path: Path, form: str, number: str) -> None:
    record = json.dumps(row("1")).replace("{", '{"size": ' + number + ", ")
    assert results(items(tmp_path, f"[{record}]" if form == "json" else record, form)) == ["1"]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_number_that_is_too_long_is_a_reject(tmp_path: Path, form: str) -> None:
    record = json.dumps(row("0")).replace('"0"', "9" * 5000)
    found = items(tmp_path, f"[{record}]" if form == "json" else record, form)
    assert results(found) == [(1, "external_id has 5000 characters, more than 500")]


@pytest.mark.parametrize("data", ["[" * DEEP, '{"]": ' * DEEP, '[{"\\"]\\\\": [' * DEEP, '{"a": "' + "x" * MIB])
def test_what_is_nested_and_never_ends_fails(tmp_path: Path, data: str) -> None:
    _, reason = failure(tmp_path, data, "json")
    assert reason.startswith("is not valid JSON: the file ends early at character ")


@pytest.fixture
def max_record(monkeypatch: pytest.MonkeyPatch) -> int:
    """A limit of records that takes less time to reach than the real one, which other tests see."""
    monkeypatch.setattr(json_array, "MAX_RECORD", 4 * MIB)
    return 4 * MIB


def test_a_record_is_as_long_as_it_is_written(tmp_path: Path, max_record: int) -> None:
    escaped = '{"a": "' + "\\n" * (max_record // 8 * 5) + '"}'
    assert unusable(tmp_path, escaped) == f"is longer than {max_record} characters"


def test_a_record_that_is_too_long_costs_no_more_memory_than_one_that_is_not(tmp_path: Path, max_record: int) -> None:
    data = gzip.compress(b'[{"a": "' + b"x" * 5 * max_record + b'"}]', 1)
    tracemalloc.start()
    try:
        assert results(items(tmp_path, data, "json")) == [(1, f"is longer than {max_record} characters")]
        assert tracemalloc.get_traced_memory()[1] < 5 * max_record
    finally:
        tracemalloc.stop()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}\\",: é', max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(
    before=JSON, values=st.lists(JSON, max_size=6), after=JSON, size=st.integers(1, 40), indent=st.none() | st.just(1)
)
def test_an_array_is_read_whatever_is_around_it_and_wherever_it_is_cut(
    before: object, values: list[object], after: object, size: int, indent: int | None
) -> None:
    """The file comes in pieces of any size."""
    document = {"before": before, "data": {"x": before, "items": values}, "after": after}
    data = json.dumps(document, ensure_ascii=False, indent=indent).encode()
    feed = feed_of(Path("feed"), "json", records="data.items")
    file = LocalFile(path=Path("feed"), name="feed", base="feed", folder="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_PIECE", size)
        found = list(read_array(io.BufferedReader(io.BytesIO(data)), file, feed))
        assert list(enumerate(values, 1)) == found
        for end in range(0, len(data), max(1, len(data) // 10)):
            with pytest.raises(FeedError):
                list(read_array(io.BufferedReader(io.BytesIO(data[:end])), file, feed))


@given(records=st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), max_size=4), size=st.integers(1, 40))
def test_what_is_known_of_an_unusable_record_does_not_depend_on_where_it_is_cut(
    records: list[dict[str, object]], size: int
) -> None:
    almost = [{"unusable": float("nan")} | record | {"id": "1"} for record in records]
    file = LocalFile(path=Path("feed"), name="feed", base="feed", folder="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_PIECE", size)
        data = json.dumps(almost, ensure_ascii=False).encode()
        found = list(read_array(io.BufferedReader(io.BytesIO(data)), file, feed_of(Path("feed"), "json")))
    expected = [{"unusable": None} | record | {"id": "1"} for record in records]
    assert expected == [item.partial for item in found if isinstance(item, Fault)]


def test_an_unusable_record_that_is_too_long_is_not_kept(tmp_path: Path, max_record: int) -> None:
    record = json.dumps(row("2", x="x" * (max_record + MIB))).replace("{", '{"a": NaN, ')
    [reject] = items(tmp_path, f"[{record}]", "json")
    assert isinstance(reject, Reject)
    assert (reject.external_id, reject.reason) == ("", f"is longer than {max_record} characters")


def test_a_number_that_is_longer_than_a_record_may_be_fails(tmp_path: Path, max_record: int) -> None:
    found, reason = failure(tmp_path, f"[{json.dumps(row('1'))}, {'1' * (max_record + MIB)}]", "json")
    assert found == ["1"]
    assert reason.startswith(f"is not valid JSON after record 1: a number is longer than {max_record} characters at ")


def test_the_end_of_an_unusable_record_is_found_near_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    to_bracket = json_array._TO_BRACKET

    class Watched:
        def match(self, text: str, start: int) -> re.Match[str] | None:
            nonlocal looked_at
            found = to_bracket.match(text, start)
            looked_at += found.end() - start + 1 if found else 0
            return found

    monkeypatch.setattr(json_array, "_TO_BRACKET", Watched())
    record = '{"x": ' + "[" * 2000 + "]" * 2000 + "}"
    assert len(items(tmp_path, f"[{', '.join([record] * 50)}]", "json")) == 50
    assert 50 * (len(record) - 2) <= looked_at < 4 * 50 * len(record)


def test_brackets_in_strings_are_no_nesting(tmp_path: Path) -> None:
    rows = [row(str(number), name='[{"\\' * 25 + "x" * number) for number in range(100)]
    assert len(items(tmp_path, json.dumps(rows), "json")) == 100
    rows = [row("1", description="[" * 100_000 + '"' * 100_000 + "\\" * 100_000)]
    assert results(items(tmp_path, json.dumps(rows), "json")) == [
        (1, "description has 300000 characters, more than 8192")
    ]


def test_a_time_that_is_a_number_of_many_digits_is_a_reject_that_can_be_read(tmp_path: Path) -> None:
    fields = FIELDS | {"start_time": Source(key=("start_time",), formats=("unix",))}
    record = json.dumps(row("1", start_time=10**4000))
    [reject] = items(tmp_path, f"[{record}]", "json", fields=fields)
    assert isinstance(reject, Reject)
    assert len(reject.reason) < 200


def test_what_is_no_object_is_rejected(tmp_path: Path) -> None:
    data = [row("1"), 5, None, [row("x")], "text", row("2")]
    expected = ["1", *((index, "is not an object") for index in (2, 3, 4, 5)), "2"]
    assert expected == results(items(tmp_path, json.dumps(data), "json"))
    assert expected == results(items(tmp_path, lines(*map(json.dumps, data)), "jsonl"))


# JSON lines


def test_a_bad_line_hurts_no_other(tmp_path: Path) -> None:
    bad = '{"external_id": "2", "name": '
    found = items(tmp_path, lines(row("1"), bad, "", row("3")), "jsonl")
    assert results(found) == ["1", (2, "not JSON: Expecting value at character 31"), "3"]
    assert Reject(str(tmp_path / "feed"), 2, "not JSON: Expecting value at character 31", bad) == found[1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"name": "\xff"}', "invalid UTF-8 at byte 11"),
        (b'{"a": 1} {"a": 2}', "not JSON: Extra data at character 10"),
        (b'{"a": NaN}', "not JSON: NaN is not JSON"),
        (json.dumps(row("2", name=1)).replace("1", "1" * 5000).encode(), "name has 5000 characters, more than 200"),
        (b'{"a": ' + b"[" * 100_000, "not JSON: nested too deeply"),
        (b"\0", "not JSON: Expecting value at character 1"),
        (json.dumps(row("2", name="\ud800")).encode(), "name is not valid Unicode"),
        (json.dumps(row("2", name="a\0")).encode(), "name contains U+0000"),
        (json.dumps(row("2", name=None)).encode(), "name is blank"),
        (lambda: json.dumps(row("2", description="x" * MIB)).encode(),
         f"description has {MIB} characters, more than 8192"),
        (lambda: json.dumps(row("2", description="x" * 33 * MIB)).encode(), f"line is longer than {32 * MIB} bytes"),
        (json.dumps(row("2", start_time="2023-02-30")).encode(),
         "start_time: '2023-02-30' is not a time: day is out of range for month"),
        (json.dumps(row("2", start_time="2024-04-01")).encode(), "end_time is before start_time"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_line_is_a_reject(
    tmp_path: Path, line: bytes | Callable[[], bytes], reason: str | None, end: bytes
) -> None:
    good = [lines(row(identity)).encode() for identity in ("1", "3")]
    first, reject, last = items(tmp_path, good[0] + made(line) + end + good[1], "jsonl")
    assert results([first, last]) == ["1", "3"]
    assert isinstance(reject, Reject)
    assert (2, reason or reject.reason) == (reject.line, reject.reason)
    assert len(reject.record) <= 1000
    reject.record.encode()


def test_a_deep_record_is_shown_somehow(tmp_path: Path) -> None:
    deep = '[{"external_id": "1", "x": ' + "[" * 90 + "]" * 90 + "}]"
    [reject] = items(tmp_path, deep, "json")
    assert isinstance(reject, Reject)
    assert reject.reason == "start_time is missing"


def test_a_last_line_without_an_end_is_read(tmp_path: Path) -> None:
    assert results(items(tmp_path, lines(row("1")) + json.dumps(row("2")), "jsonl")) == ["1", "2"]
    assert results(items(tmp_path, " " + lines(row("1")) + "\r\n\r\n", "jsonl")) == ["1"]
    assert items(tmp_path, "", "jsonl") == []


# CSV


HEADER = ",".join(KEYS) + "\n"
CELLS = ",2024-03-09,2024-03-09\n"


def table(*rows: str) -> str:
    return HEADER + "".join(rows)


def cells(identity: str) -> str:
    return f"{identity},Event {identity},{CELLS}"


def test_quoted_cells_may_have_commas_and_lines(tmp_path: Path) -> None:
    found = items(tmp_path, table('1,"Expo, ""the"" big","one\ntwo"' + CELLS, "\n", cells("2"), "3,x\n"), "csv")
    assert results(found) == ["1", "2", (6, "has 2 cells where there are 5 columns")]
    assert isinstance(found[0], Record)
    assert found[0].values[:2] == ('Expo, "the" big', "one\ntwo")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("2,a,b,c,d,e\n", "has 6 cells where there are 5 columns"),
        ("2,a\n", "has 2 cells where there are 5 columns"),
        ('2,"a"b,' + CELLS, "not CSV: ',' expected after '\"'"),
        ("2,a\0b," + CELLS, "name contains U+0000"),
        ("2,caf\udce9," + CELLS, "is not in the encoding of the feed"),
        (lambda: f"2,a,{'x' * MIB}{CELLS}", f"description has {MIB} characters, more than 8192"),
        ("2,a,,31/12/2023,31/12/2023\n",
         "start_time: '31/12/2023' is not a time in the format of ISO 8601, "
         "such as 2024-03-09 or 2024-03-09T10:00:00Z"),
    ],
)  # fmt: skip
def test_a_bad_row_is_a_reject(tmp_path: Path, bad: str | Callable[[], str], reason: str) -> None:
    data = table(cells("1"), made(bad), cells("3")).encode(errors="surrogateescape")
    found = items(tmp_path, data, "csv")
    assert ["1", (3, reason), "3"] == results(found)
    assert isinstance(found[1], Reject)
    found[1].record.encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "is empty, without even a header"),
        ("\n\n", "is empty, without even a header"),
        ("external_id,name\n", "has no column 'description'; its columns are external_id, name"),
        (HEADER.replace("name", "na\udce9me").encode(errors="surrogateescape"), "line 1 is not utf-8"),
        (HEADER.replace("description", "name"), "has more than one column 'name'"),
    ],
)
def test_a_table_without_its_columns_fails(tmp_path: Path, data: bytes | str, reason: str) -> None:
    assert failure(tmp_path, data, "csv") == ([], reason)


def test_a_quote_that_is_never_closed_fails(tmp_path: Path) -> None:
    """It has swallowed all that follows."""
    found = failure(tmp_path, table(cells("1"), '2,"Event 2,' + CELLS, cells("3")), "csv")
    assert found == (["1"], "line 3: a quote is opened and never closed")


def test_a_line_without_an_end_fails(tmp_path: Path) -> None:
    found, reason = failure(tmp_path, table(cells("1"), "x" * 33 * MIB), "csv")
    assert found == ["1"]
    assert reason == f"a line is longer than {32 * MIB} characters"


def test_a_column_with_an_alternative_may_be_missing(tmp_path: Path) -> None:
    fields = FIELDS | {
        "description": Source(key=("no",), default="none"),
        "end_time": Source(first=(Source(key=("until",)), Source(key=("start_time",)))),
    }
    [record] = items(tmp_path, table(cells("1")), "csv", fields=fields)
    assert isinstance(record, Record)
    assert record.values[1] == "none"


def test_a_dialect_is_followed(tmp_path: Path) -> None:
    csv = Csv(delimiter=";", quote="'", encoding="cp1252", header=KEYS)
    [record] = items(tmp_path, "1;'Café; bar';;2024-03-09;2024-03-09\r\n".encode("cp1252"), "csv", csv=csv)
    assert isinstance(record, Record)
    assert record.values[0] == "Café; bar"


def test_without_a_quote_nothing_is_quoted(tmp_path: Path) -> None:
    [record] = items(tmp_path, table(f'1,"a,"b"{CELLS}'), "csv", csv=Csv(quote=""))
    assert isinstance(record, Record)
    assert record.values[:2] == ('"a', '"b"')


def test_another_encoding_fails_where_it_cannot_be_told_apart(tmp_path: Path) -> None:
    data = table(cells("1")).encode("utf-16")
    assert results(items(tmp_path, data, "csv", csv=Csv(encoding="utf-16"))) == ["1"]
    _, reason = failure(tmp_path, data[:-1], "csv", csv=Csv(encoding="utf-16"))
    assert reason.startswith("is not utf-16 after line ")


# iCalendar


def vevent(*properties: str, uid: str = "1") -> str:
    return "\n".join(["BEGIN:VEVENT", f"UID:{uid}", "SUMMARY:Expo", *properties, "END:VEVENT\n"])


def calendar(*parts: str) -> str:
    return "BEGIN:VCALENDAR\nVERSION:2.0\nX-WR-CALNAME:Club\\, main\n" + "".join(parts) + "END:VCALENDAR\n"


YEAR = Window(first=date(2024, 1, 1), last=date(2024, 12, 31))
START = "DTSTART:20240309T100000Z"


def dates(folder: Path, *parts: str, **options: Any) -> list[object]:
    """Returns the id, start and end of each event."""
    found = items(folder, calendar(*parts), "ics", window=YEAR, **options)
    assert [item for item in found if isinstance(item, Reject)] == []
    return [(item.external_id, *map(utc, item.values[5:])) for item in found if isinstance(item, Record)]


def utc(micros: object) -> str:
    return f"{datetime.fromtimestamp(float(str(micros)) / 1e6, UTC):%m-%d %H:%M}"


def test_the_properties_of_an_event_are_mapped(tmp_path: Path) -> None:
    properties = ("DESCRIPTION:one\\ntwo\\, three", "LOCATION:Ky\n oto", "CATEGORIES:a,b", "CATEGORIES:c", START)
    [record] = items(tmp_path, calendar(vevent(*properties)).replace("\n", "\r\n"), "ics")
    micros = 1709978400_000000
    assert Record("1", ("Expo", "one\ntwo, three", "a, b, c", "Kyoto", "Club, main", micros, micros), 4) == record


def test_feeds_that_are_read_at_once_keep_their_own_time_zones(tmp_path: Path) -> None:
    two = [vevent("DTSTART;TZID=Club:20240309T100000", uid=uid) for uid in "12"]
    texts = [calendar(*two, zone) for zone in (CLUB, CLUB.replace("+0300", "-0800"))]
    here, there = (
        read(*fetched(tmp_path / name, text, "ics")) for name, text in zip(("here", "there"), texts, strict=True)
    )
    first, other, second = next(here), list(there), next(here)
    starts = [each.values[5] for each in (first, second, *other) if isinstance(each, Record)]
    assert len(starts) == 4
    assert len(set(starts[:2])) == len(set(starts[2:])) == 1
    assert int(starts[2]) - int(starts[0]) == 11 * 3600 * 1_000_000


CLUB = """BEGIN:VTIMEZONE
TZID:Club
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:+0300
TZOFFSETTO:+0300
END:STANDARD
END:VTIMEZONE
"""


@pytest.mark.parametrize(
    ("properties", "start", "end"),
    [
        (["DTSTART:20240309T100000Z", "DTEND:20240309T120000Z"], "03-09 10:00", "03-09 12:00"),
        (["DTSTART:20240309T100000Z", "DURATION:PT1H30M"], "03-09 10:00", "03-09 11:30"),
        (["DTSTART:20240309T100000Z", "DURATION:P1D"], "03-09 10:00", "03-10 10:00"),
        (["DTSTART:20240309T100000Z"], "03-09 10:00", "03-09 10:00"),
        (["DTSTART;VALUE=DATE:20240309"], "03-09 00:00", "03-10 00:00"),
        (["DTSTART;VALUE=DATE:20240309", "DTEND;VALUE=DATE:20240311"], "03-09 00:00", "03-11 00:00"),
        (["DTSTART;VALUE=DATE:20240309", "DURATION:P2D"], "03-09 00:00", "03-11 00:00"),
        (["DTSTART;TZID=Asia/Tokyo:20240309T100000"], "03-09 01:00", "03-09 01:00"),
        (["DTSTART;TZID=Club:20240309T100000"], "03-09 07:00", "03-09 07:00"),
        (["DTSTART:20240309T100000"], "03-09 10:00", "03-09 10:00"),
    ],
)
def test_times_of_every_kind_are_read(tmp_path: Path, properties: list[str], start: str, end: str) -> None:
    """The calendar's own time zone may stand behind the events."""
    assert [("1", start, end)] == dates(tmp_path, vevent(*properties), CLUB)


def test_a_time_without_a_zone_is_in_the_zone_of_the_feed(tmp_path: Path) -> None:

    zone = ZoneInfo("Asia/Tokyo")
    assert dates(tmp_path, vevent("DTSTART:20240309T100000"), time_zone=zone) == [("1", "03-09 01:00", "03-09 01:00")]
    assert dates(tmp_path, vevent("DTSTART;VALUE=DATE:20240309"), time_zone=zone) == [
        ("1", "03-08 15:00", "03-09 15:00")
    ]


def test_a_time_zone_of_one_calendar_means_nothing_in_another(tmp_path: Path) -> None:
    event = vevent("DTSTART;TZID=Club:20240309T100000")
    other = CLUB.replace("+0300", "+0500")
    data = calendar(CLUB, event) + calendar(other, event) + calendar(event)
    found = items(tmp_path, data, "ics", window=YEAR)
    assert [utc(item.values[5]) for item in found if isinstance(item, Record)] == ["03-09 07:00", "03-09 05:00"]
    assert results(found)[2:] == [(38, "DTSTART: the time zone 'Club' is not defined")]


def test_a_series_is_expanded_in_the_window(tmp_path: Path) -> None:
    event = vevent("DTSTART;TZID=Europe/Berlin:20231027T100000", "DURATION:PT1H", "RRULE:FREQ=MONTHLY;COUNT=6")
    assert dates(tmp_path, event) == [
        ("1/20240127T090000Z", "01-27 09:00", "01-27 10:00"),
        ("1/20240227T090000Z", "02-27 09:00", "02-27 10:00"),
        ("1/20240327T090000Z", "03-27 09:00", "03-27 10:00"),
    ]


def test_a_series_of_days_and_its_exceptions(tmp_path: Path) -> None:
    event = vevent("DTSTART;VALUE=DATE:20240301", "RRULE:FREQ=DAILY;COUNT=3", "EXDATE;VALUE=DATE:20240302")
    assert dates(tmp_path, event) == [
        ("1/20240301", "03-01 00:00", "03-02 00:00"),
        ("1/20240303", "03-03 00:00", "03-04 00:00"),
    ]


def test_an_override_keeps_the_id_and_a_cancelled_one_is_left_out(tmp_path: Path) -> None:
    series = vevent(START, "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=4")
    moved = vevent("DTSTART:20240317T090000Z", "DURATION:PT2H", "RECURRENCE-ID:20240316T100000Z")
    cancelled = vevent("DTSTART:20240323T100000Z", "RECURRENCE-ID:20240323T100000Z", "STATUS:CANCELLED")
    expected = [
        ("1/20240309T100000Z", "03-09 10:00", "03-09 11:00"),
        ("1/20240316T100000Z", "03-17 09:00", "03-17 11:00"),
        ("1/20240330T100000Z", "03-30 10:00", "03-30 11:00"),
    ]
    assert expected == sorted(dates(tmp_path, moved, series, cancelled), key=str)
    assert expected == sorted(dates(tmp_path, series, cancelled, moved), key=str)


def test_an_override_of_all_later_ones_keeps_the_id_of_each(tmp_path: Path) -> None:
    series = vevent("DTSTART;TZID=Europe/Berlin:20240322T013000", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=4")
    later = vevent(
        "DTSTART;TZID=Europe/Berlin:20240330T023000",
        "DURATION:PT2H",
        "RECURRENCE-ID;TZID=Europe/Berlin;RANGE=THISANDFUTURE:20240329T013000",
    )
    before = dates(tmp_path, series)
    after = dates(tmp_path, series, later)
    assert [each[0] for each in before] == [each[0] for each in after]  # type: ignore[index]
    assert after == [
        ("1/20240322T003000Z", "03-22 00:30", "03-22 01:30"),
        ("1/20240329T003000Z", "03-30 01:30", "03-30 03:30"),
        ("1/20240404T233000Z", "04-06 00:30", "04-06 02:30"),
        ("1/20240411T233000Z", "04-13 00:30", "04-13 02:30"),
    ]


def test_an_override_of_all_later_days_keeps_the_id_of_each(tmp_path: Path) -> None:
    series = vevent("DTSTART;VALUE=DATE:20240301", "RRULE:FREQ=WEEKLY;COUNT=3")
    later = vevent("DTSTART;VALUE=DATE:20240307", "RECURRENCE-ID;RANGE=THISANDFUTURE;VALUE=DATE:20240308")
    assert dates(tmp_path, series, later) == [
        ("1/20240301", "03-01 00:00", "03-02 00:00"),
        ("1/20240308", "03-07 00:00", "03-08 00:00"),
        ("1/20240315", "03-14 00:00", "03-15 00:00"),
    ]


@given(
    hours=st.integers(-200, 200),
    at=st.integers(0, 9),
    step=st.integers(1, 9),
    zone=st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "UTC"]),
    first=st.integers(0, 60),
)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_occurrence_keeps_its_id_whatever_moves(
    tmp_path: Path, hours: int, at: int, step: int, zone: str, first: int
) -> None:
    """The window, and with an override all that come after it."""
    start = datetime(2024, 3, 1, 12)
    times = [start + timedelta(days=step * number) for number in range(10)]
    series = vevent(f"DTSTART;TZID={zone}:{start:%Y%m%dT%H%M%S}", f"RRULE:FREQ=DAILY;INTERVAL={step};COUNT=10")
    moved = times[at] + timedelta(hours=hours)
    later = vevent(
        f"DTSTART;TZID={zone}:{moved:%Y%m%dT%H%M%S}",
        f"RECURRENCE-ID;TZID={zone};RANGE=THISANDFUTURE:{times[at]:%Y%m%dT%H%M%S}",
    )

    def found(window: Window, *parts: str) -> dict[str, object]:
        records = [item for item in items(tmp_path, calendar(*parts), "ics", window=window) if isinstance(item, Record)]
        assert len(records) == len({record.external_id for record in records})
        return {record.external_id: record.values for record in records}

    whole = Window(first=date(2023, 1, 1), last=date(2025, 12, 31))
    everything = found(whole, series, later)
    assert found(whole, series).keys() == everything.keys()
    part = found(Window(first=date(2024, 3, 1) + timedelta(days=first), last=date(2024, 12, 31)), series, later)
    assert part.items() <= everything.items()


@pytest.mark.parametrize("written", ["20240316T100000Z", "TZID=Europe/Berlin:20240316T110000", "20240316T110000"])
def test_the_id_does_not_depend_on_how_an_override_tells_its_time(tmp_path: Path, written: str) -> None:
    series = vevent("DTSTART;TZID=Europe/Berlin:20240309T110000", "RRULE:FREQ=WEEKLY;COUNT=2")
    separator = ";" if "=" in written else ":"
    override = vevent("DTSTART:20240317T090000Z", f"RECURRENCE-ID{separator}{written}")
    assert dates(tmp_path, series, override) == [
        ("1/20240309T100000Z", "03-09 10:00", "03-09 10:00"),
        ("1/20240316T100000Z", "03-17 09:00", "03-17 09:00"),
    ]


OLD, NEW = "DTSTART:20240309T100000Z", "DTSTART:20240310T100000Z"
REVISIONS = [
    (["SEQUENCE:1"], ["SEQUENCE:2"]),
    ([], ["SEQUENCE:1"]),
    (["SEQUENCE:2", "LAST-MODIFIED:20240201T000000Z"], ["SEQUENCE:10", "LAST-MODIFIED:20240101T000000Z"]),
    (
        ["DTSTAMP:20240301T000000Z", "LAST-MODIFIED:20240101T000000Z"],
        ["DTSTAMP:20240201T000000Z", "LAST-MODIFIED:20240201T000000Z"],
    ),
    (["DTSTAMP:20240101T000000Z"], ["DTSTAMP:20240101T000001Z"]),
]


@pytest.mark.parametrize(("old", "new"), REVISIONS)
def test_only_the_newest_revision_of_an_event_counts(tmp_path: Path, old: list[str], new: list[str]) -> None:
    """Wherever it stands in the file; older ones are no duplicates."""
    revisions = [vevent(OLD, *old), vevent(NEW, *new)]
    for each in (revisions, revisions[::-1]):
        assert dates(tmp_path, *each) == [("1", "03-10 10:00", "03-10 10:00")]
        series = [part.replace("END:VEVENT", "RRULE:FREQ=DAILY;COUNT=1\nEND:VEVENT") for part in each]
        assert dates(tmp_path, *series) == [("1/20240310T100000Z", "03-10 10:00", "03-10 10:00")]
        overrides = [part.replace("END:VEVENT", "RECURRENCE-ID:20240308T000000Z\nEND:VEVENT") for part in each]
        assert dates(tmp_path, *overrides) == [("1/20240308T000000Z", "03-10 10:00", "03-10 10:00")]


def test_revisions_that_nothing_tells_apart_are_duplicates(tmp_path: Path) -> None:
    assert dates(tmp_path, vevent(OLD), vevent(NEW)) == [
        ("1", "03-09 10:00", "03-09 10:00"),
        ("1", "03-10 10:00", "03-10 10:00"),
    ]


def test_of_revisions_of_a_series_that_nothing_tells_apart_the_last_counts(tmp_path: Path) -> None:
    rule = "RRULE:FREQ=DAILY;COUNT=1"
    assert dates(tmp_path, vevent(OLD, rule), vevent(NEW, rule)) == [
        ("1/20240310T100000Z", "03-10 10:00", "03-10 10:00")
    ]


def test_an_event_that_became_a_series_is_one(tmp_path: Path) -> None:
    series = vevent(OLD, "SEQUENCE:1", "RRULE:FREQ=DAILY;COUNT=1")
    assert dates(tmp_path, series, vevent(OLD)) == [("1/20240309T100000Z", "03-09 10:00", "03-09 10:00")]
    assert dates(tmp_path, series, vevent(OLD, "SEQUENCE:2")) == [("1", "03-09 10:00", "03-09 10:00")]


def test_a_newest_revision_that_is_cancelled_removes_the_event(tmp_path: Path) -> None:
    cancelled = vevent("SEQUENCE:1", "STATUS:CANCELLED")
    series = vevent(OLD, "RRULE:FREQ=DAILY;COUNT=3")
    override = vevent(NEW, "RECURRENCE-ID:20240310T100000Z", "SEQUENCE:1")
    assert dates(tmp_path, cancelled, vevent(OLD)) == []
    assert dates(tmp_path, cancelled, series, override) == []
    assert dates(tmp_path, vevent(OLD, "SEQUENCE:2"), cancelled) == [("1", "03-09 10:00", "03-09 10:00")]
    later = override.replace("SEQUENCE:1", "SEQUENCE:2")
    assert dates(tmp_path, series, cancelled, later) == [("1/20240310T100000Z", "03-10 10:00", "03-10 10:00")]


def test_cancelled_events_and_series_are_left_out(tmp_path: Path) -> None:
    assert dates(tmp_path, vevent(START, "STATUS:CANCELLED"), vevent(START, uid="2")) == [
        ("2", "03-09 10:00", "03-09 10:00")
    ]
    assert dates(tmp_path, vevent(START, "STATUS:cancelled", "RRULE:FREQ=WEEKLY;COUNT=4")) == []


def test_single_events_are_loaded_whenever_they_are(tmp_path: Path) -> None:
    assert len(dates(tmp_path, vevent("DTSTART:19990309T100000Z"), vevent("DTSTART:20990309T100000Z", uid="2"))) == 2


BROKEN = [
    (["DTSTART:20240230T100000Z"],
     "DTSTART: '20240230T100000Z' is no date or time, such as 20240309 or 20240309T100000Z"),
    (["DTSTART:soon"], None),
    ([], None),
    ([START, "DTEND:20240308T100000Z"], "end_time is before start_time"),
    ([START, "DTEND;VALUE=DATE:20240310"], None),
    ([START, START], "has more than one DTSTART"),
    ([START, "RRULE:FREQ=OFTEN"], "RRULE: FREQ=OFTEN is not a frequency"),
    ([START, "RRULE:FREQ=DAILY;INTERVAL=0"], "RRULE: INTERVAL must be positive"),
    (["DTSTART:00010101T000000Z", "RRULE:FREQ=DAILY"], "begins more than 100 years before the window"),
    ([START, "RRULE:FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30"], "RRULE: no day has BYMONTH=2;BYMONTHDAY=30"),
    ([START, "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"], "RRULE: no day has BYMONTH=2;BYMONTHDAY=30"),
    ([START, "RRULE:FREQ=WEEKLY;BYWEEKNO=53;BYMONTH=6"], "RRULE: no day has BYMONTH=6;BYWEEKNO=53"),
    ([START, "RRULE:FREQ=HOURLY;BYMONTH=2;BYDAY=MO;BYSETPOS=25"], "RRULE: no period has the position BYSETPOS=25"),
    ([START, "RRULE:FREQ=SECONDLY"], "may happen more than 24 times a day"),
    ([START, "RRULE:FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,10,20,30,40,50;BYSECOND=1,2"],
     "may happen more than 24 times a day"),
    (["DTSTART;TZID=Nowhere/At_all:20240309T100000"], "DTSTART: the time zone 'Nowhere/At_all' is not defined"),
    ([START, "RDATE;TZID=Nowhere/At_all:20240309T100000"], "RDATE: the time zone 'Nowhere/At_all' is not defined"),
    ([START, "RDATE;TZID=Nowhere/At_all;VALUE=PERIOD:20240309T100000/PT1H"],
     "RDATE: the time zone 'Nowhere/At_all' is not defined"),
    ([START, "RRULE:FREQ=DAILY;COUNT=2", "EXDATE:20240309T100000Z", "EXDATE;TZID=Nowhere/At_all:20240310T100000"],
     "EXDATE: the time zone 'Nowhere/At_all' is not defined"),
    ([START, "DESCRIPTION:" + "x" * 9000], "description has 9000 characters, more than 8192"),
    ([START, "DESCRIPTION:caf\udce9"], "is not UTF-8"),
    ([START, "BEGIN:VALARM"], None),
]  # fmt: skip


@pytest.mark.parametrize(("properties", "reason"), BROKEN)
def test_a_broken_event_hurts_no_other(tmp_path: Path, properties: list[str], reason: str | None) -> None:
    data = calendar(vevent(START, uid="a"), vevent(*properties), vevent(START, uid="b"))
    found = items(tmp_path, data.encode(errors="surrogateescape"), "ics", window=YEAR)
    rejects = [item for item in found if isinstance(item, Reject)]
    assert sorted(item.external_id for item in found if isinstance(item, Record)) == ["a", "b"]
    assert [(9, reason or rejects[0].reason)] == [(reject.line, reject.reason) for reject in rejects]
    assert "\n" not in rejects[0].reason


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("FREQ=DAILY;BYMONTH=3;BYDAY=5SU", 5),  # the 5 means nothing here
        ("FREQ=DAILY;BYMONTH=12;BYMONTHDAY=-1;BYDAY=TU", 2),
        ("FREQ=WEEKLY;BYDAY=MO,FR;BYSETPOS=2;BYMONTH=5", 5),
        ("FREQ=HOURLY;BYMONTH=4;BYDAY=MO;BYHOUR=5;BYMINUTE=30;BYSETPOS=-1", 6),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29", 1),
    ],
)
def test_a_rare_series_is_expanded(tmp_path: Path, rule: str, count: int) -> None:
    """It also happens at DTSTART."""
    found = items(tmp_path, calendar(vevent(START, f"RRULE:{rule}")), "ics", window=YEAR)
    assert [count, []] == [len(numbered(found)), [item for item in found if isinstance(item, Reject)]]


def test_an_event_without_its_end_hurts_no_other(tmp_path: Path) -> None:
    data = calendar(vevent(START).replace("END:VEVENT\n", ""), vevent(START, uid="b"), "BEGIN:VEVENT\nUID:c\n")
    found = items(tmp_path, data, "ics")
    assert sorted(map(str, results(found))) == sorted(["(4, 'has no END:VEVENT')", "b", "(13, 'has no END:VEVENT')"])


def test_a_broken_zone_is_a_reject_with_its_events(tmp_path: Path) -> None:
    data = calendar(
        CLUB.replace("TZID:Club\n", ""), vevent("DTSTART;TZID=Club:20240309T100000"), vevent(START, uid="b")
    )
    found = items(tmp_path, data, "ics")
    assert [item.external_id for item in found if isinstance(item, Record)] == ["b"]
    assert len(found) >= 2


def test_an_event_without_an_id_is_a_reject(tmp_path: Path) -> None:
    data = calendar(vevent(START).replace("UID:1\n", ""), vevent(START, uid="b"))
    assert results(items(tmp_path, data, "ics")) == [(4, "external_id is missing"), "b"]


def test_an_event_that_is_too_long_is_one_reject(tmp_path: Path) -> None:
    line = f"X:{'x' * 1000}\n"
    data = calendar(vevent(START), "BEGIN:VEVENT\nUID:long\n", line * 24_000, "END:VEVENT\n", vevent(START, uid="b"))
    feed, files = fetched(tmp_path / "feed", gzip.compress(data.encode()), "ics")
    tracemalloc.start()
    try:
        found = list(read(feed, files))
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()
    assert results(found) == [(9, f"is longer than {4 * MIB} bytes"), "1", "b"]
    assert isinstance(found[0], Reject)
    assert found[0].external_id == "long"


def test_a_calendar_of_too_many_parts_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "MAX_BLOCKS", 5)
    assert results(items(tmp_path, calendar(*[vevent(START)] * 4), "ics")) == ["1"] * 4
    for part in ("BEGIN:VEVENT\n", "BEGIN:VCALENDAR\n", vevent(START)):
        assert failure(tmp_path, calendar(part * 5), "ics") == ([], "has more than 5 components")


@pytest.mark.parametrize("data", ["", "nonsense", "BEGIN:VEVENT\nEND:VEVENT\n", "{}"])
def test_what_is_no_calendar_fails(tmp_path: Path, data: str) -> None:
    assert failure(tmp_path, data, "ics") == ([], "is no calendar, because it has no BEGIN:VCALENDAR")


def test_a_calendar_that_ends_early_fails(tmp_path: Path) -> None:
    data = calendar(vevent(START), vevent(START, uid="b"))
    for end in (data.index("END:VCALENDAR"), data.index("UID:b")):
        assert failure(tmp_path, data[:end], "ics") == ([], "ends early, without END:VCALENDAR")


def test_a_calendar_without_events_is_a_feed_without_records(tmp_path: Path) -> None:
    assert items(tmp_path, calendar(), "ics") == []


# The ids of rejects


@pytest.mark.parametrize(
    ("form", "data", "external_id"),
    [
        ("jsonl", lines(row("1", name="")), "1"),
        ("jsonl", lines(row("1", start_time="2023-02-30")), "1"),
        ("jsonl", lines(row("1", name={})), "1"),
        ("jsonl", lines(row("1" * 501)), ""),
        ("jsonl", lines(row("")), ""),
        ("jsonl", lines("{"), ""),
        ("jsonl", lines('{"external_id": "1", "name": NaN}'), "1"),
        ("jsonl", b' {"external_id": "1", "name": "\xff"}', "1"),
        ("jsonl", b' {"external_id": "\xff", "name": "x"}', ""),
        ("jsonl", lines("[NaN]"), ""),
        ("json", '[{"external_id": "1", "name": -Infinity}]', "1"),
        ("json", b'[{"external_id": "1", "name": "\xff"}]', "1"),
        ("json", "[" + json.dumps(row("1")).replace("2024-03-09", "9" * 5000, 1) + "]", "1"),
        ("csv", ",".join(KEYS) + "\n1,x,,2024-03-09,2024-03-09,6\n", "1"),
        ("csv", ",".join(KEYS) + "\n1\n", "1"),
        ("csv", ",".join(KEYS).encode() + b"\n1,\xff,,2024-03-09,2024-03-09\n", "1"),
        ("csv", ",".join(KEYS) + "\n1,,,2024-03-09,2024-03-09\n", "1"),
        ("ics", calendar(vevent("DTSTART:soon")), "1"),
        ("ics", calendar(vevent(START, "DTEND:20240308T100000Z")), "1"),
        ("ics", calendar(vevent("DTSTART:soon", uid="a\n b")), "ab"),
        ("ics", calendar(vevent("DTSTART:soon", uid="a\\,b\\;\\\\n")), "a,b;\\n"),
        ("ics", calendar(vevent("DTSTART:soon").replace("UID:1", 'UID;X="a:b":1')), "1"),
        ("ics", calendar(vevent("DTSTART:soon", "RRULE:FREQ=DAILY")), ""),
        ("ics", calendar(vevent(START).replace("UID:1\n", "")), ""),
    ],
)
def test_a_reject_has_its_id_if_that_can_be_read(
    tmp_path: Path, form: str, data: bytes | str, external_id: str
) -> None:
    [reject] = items(tmp_path, data, form)
    assert isinstance(reject, Reject)
    assert external_id == reject.external_id


# Whatever comes


MEETING = calendar(CLUB, vevent(START, "RRULE:FREQ=WEEKLY;COUNT=4", "EXDATE:20240316T100000Z"), vevent(START, uid="b"))
WHOLE: dict[str, bytes] = {form: text.encode() for form, text in (GOOD | {"ics": MEETING}).items()}
WHOLE["xlsx"] = (Path(__file__).parents[2] / "docs" / "samples" / "rooms.xlsx").read_bytes()


def test_every_format_is_damaged_below() -> None:
    assert set(FORMATS) == set(WHOLE)


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 20), st.binary(max_size=4)), max_size=6)


FEEDS: dict[str, Callable[[list[dict[str, object]]], str]] = {
    "json": json.dumps,
    "jsonl": lambda rows: lines(*rows),
    "csv": lambda rows: "\n".join(",".join(map(str, cells)) for cells in (rows[0], *(row.values() for row in rows))),
    "xml": elements,
}


@pytest.mark.parametrize("form", FEEDS)
def test_large_records_are_not_in_memory_together(tmp_path: Path, form: str) -> None:
    counts: list[int] = []
    large = [row(str(number), description="x" * MIB) for number in range(20)]
    feed, files = fetched(tmp_path / "feed", FEEDS[form](large), form)
    assert isinstance(next(read(feed, files, counts.append)), Reject)
    assert sum(counts) < 4 * MIB


def test_what_was_read_ahead_of_a_large_record_is_not_decoded_together(tmp_path: Path) -> None:
    rows = [row("large", description="x" * 4 * MIB), *(row(str(number), x=[[]] * 5000) for number in range(30))]
    found = read(*fetched(tmp_path / "feed", json.dumps(rows), "json"))
    next(found)
    tracemalloc.start()
    try:
        assert results(list(found)) == [str(number) for number in range(30)]
        assert tracemalloc.get_traced_memory()[1] < 5 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [5, None, "text", [], [{"id": "7"}]])
def test_a_value_that_is_no_object_is_rejected_whatever_the_mapping(tmp_path: Path, value: object) -> None:
    fields = {
        "external_id": Source(first=(Source(key=("0", "id")), Source(constant="1"))),
        "name": Source(constant="Expo"),
        "start_time": Source(key=("s",), default="2024-03-09"),
        "end_time": Source(key=("e", "0"), default="2024-03-09"),
    }
    assert results(items(tmp_path, lines(row("1"), json.dumps(value)), "jsonl", fields=fields)) == [
        "1",
        (2, "is not an object"),
    ]


@pytest.mark.parametrize("form", WHOLE)
@given(changes=CHANGES, zipped=st.booleans())
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_gives_records_rejects_or_a_failure(
    tmp_path: Path, form: str, changes: list[tuple[int, int, bytes]], zipped: bool
) -> None:
    if form == "xlsx":
        pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
    data = gzip.compress(WHOLE[form]) if zipped else WHOLE[form]
    for place, length, replacement in changes:
        start = place % (len(data) + 1)
        data = data[:start] + replacement + data[start + length :]
    found: list[Item] = []
    with suppress(FeedError):
        found = items(tmp_path, data, form, window=YEAR)
    assert all(isinstance(item, Record | Reject | FeedWarning) for item in found)
