"""Reasons are for people: none shows what Python calls things, or where this machine keeps its files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from artemis_loader.errors import FeedError
from artemis_loader.fetch.sources import fetch
from artemis_loader.reading import read
from artemis_loader.records import FeedWarning, Reject
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.depth import examples
from tests.feeds import declare

CONFIG = """
[feeds.f]
url = "{url}"
format = "{form}"
entity = "events"
{more}
[feeds.f.fields]
external_id = {{ key = "id", default = "1" }}
name = {{ key = "name", default = "x" }}
location = {{ key = "place", default = "x" }}
start_time = {{ key = "start", default = "1.1.2024", format = ["%d.%m.%Y", "unix", "rfc822"] }}
end_time = {{ key = "end", default = "2024-01-01", time_zone = {{ key = "zone" }} }}
"""
INTERNALS = re.compile(
    r"""
      \b(?:NoneType|Traceback|object\ at\ 0x|datetime\.|timedelta|isoformat|strptime|tzinfo|(?:Key|Value|Type)Error)
    | not\ supported\ between | has\ no\ attribute | positional\ argument | must\ be\ str | unhashable | subscriptable
    | invalid\ literal | could\ not\ convert | codec\ can't | newline= | \bself\b | site-packages | \.py\b | <class
    | \bNone\b | \bTrue\b | \bFalse\b
    """,
    re.VERBOSE,
)
ZONE_FOLDERS = re.compile("/usr/share/zoneinfo|tzdata|zoneinfo")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([10**400, 1e300]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)
TIMES = st.sampled_from([
    "2024-02-30", "2024-13-01", "2024-01-01T25:00", "2024-01-01T10:00+99:99", "2024-01-01T10:00:00-24:00", "0000-01-01",
    "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+14:00", "nan", "1e400", "Sat, 99 Mar 2024 10:00:00 GMT", "24:00",
])  # fmt: skip
ZONES = st.sampled_from(["Mars/Olympus", "../etc/passwd", "Europe", "", "a\0b", "UTC", "x" * 200])
ROWS = st.fixed_dictionaries(
    {}, optional={"id": VALUES, "name": VALUES, "place": VALUES, "start": TIMES | VALUES, "end": TIMES | VALUES,
                  "zone": ZONES | VALUES}
)  # fmt: skip


def reasons(folder: Path, form: str, data: bytes, more: str = "") -> list[str]:
    """Returns the reasons of the rejects and the warnings, and that of a failure without the name of its file."""
    path = folder / f"feed.{form}"
    path.write_bytes(data)
    found = []
    try:
        feed = declare(folder, CONFIG.format(url=path, form=form, more=more))
        found += [
            item.reason for item in read(feed, fetch(feed, None, folder)) if isinstance(item, Reject | FeedWarning)
        ]
    except FeedError as error:
        found.append(str(error).replace(str(path), "FILE"))
    return found


def assert_plain(found: list[str], folder: Path) -> None:
    for reason in found:
        unquoted = re.sub(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", "", reason)  # values of the feed stand in quotes
        assert not INTERNALS.search(unquoted), reason
        assert not ZONE_FOLDERS.search(unquoted), reason
        assert str(folder) not in reason
        assert "\n" not in reason
        assert 0 < len(reason) < 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reasons")


QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=examples(60))


@QUIET
@given(st.lists(ROWS, max_size=4))
@example([{"start": {"x": None}}, {"end": True}, {"start": float("inf")}, {"zone": ["a"]}])
def test_records_of_json(folder: Path, rows: list[dict[str, Any]]) -> None:
    data = json.dumps(rows).encode()
    assert_plain(reasons(folder, "json", data), folder)
    assert_plain(reasons(folder, "jsonl", b"\n".join(json.dumps(row).encode() for row in rows)), folder)


@QUIET
@given(st.binary(max_size=60))
@example(b"\xff")
@example(b'{"id": "\xff"}')
@example(b'[{"id": 1}, {"id": 2')
@example(b"1\rb")
def test_damaged_files(folder: Path, data: bytes) -> None:
    assert_plain(reasons(folder, "json", data), folder)
    assert_plain(reasons(folder, "jsonl", data), folder)
    assert_plain(reasons(folder, "csv", b"id,name,start,end\n" + data), folder)
    assert_plain(reasons(folder, "xml", b"<r><i>" + data, 'records = "r/i"'), folder)


@QUIET
@given(st.lists(st.lists(TIMES | st.text(max_size=6), max_size=6), max_size=4))
@example([["1", "a\rb", "c"]])
@example([["1", 'a"b', "c", "d"]])
def test_records_of_tables_and_elements(folder: Path, rows: list[list[str]]) -> None:
    table = "id,name,place,start,end,zone\n" + "".join(",".join(row) + "\n" for row in rows)
    assert_plain(reasons(folder, "csv", table.encode(errors="surrogatepass")), folder)
    names = ("start", "end", "zone", "name", "place", "id")
    elements = "".join(
        "<i>" + "".join(f"<{k}>{v}</{k}>" for k, v in zip(names, row, strict=False)) + "</i>" for row in rows
    )
    assert_plain(reasons(folder, "xml", f"<r>{elements}</r>".encode(errors="replace"), 'records = "r/i"'), folder)


ICS_LINES = st.sampled_from([
    "DTSTART", "DTSTART:", "DTSTART:2024", "DTSTART:20240230T100000Z", "DTSTART;TZID=Mars/Olympus:20240101T100000",
    "DTSTART;VALUE=DATE:20240101", "DTSTART:20240101T100000", "DTEND:20240101T240000", "DTEND;VALUE=DATE:99991231",
    "DURATION:P", "DURATION:-PT1H", "DURATION:P99999999999D", "RRULE:FREQ=NEVER", "RRULE:FREQ=DAILY;COUNT=x",
    "RRULE:FREQ=SECONDLY", "RRULE:FREQ=DAILY;UNTIL=99999999", "RRULE:FREQ=MONTHLY;BYDAY=9XX", "RRULE:", "EXDATE:",
    "RDATE;VALUE=PERIOD:20240101/P1D", "RECURRENCE-ID:x", "UID:1", "UID:", "SUMMARY:x", "SUMMARY;LANGUAGE", "GEO:1",
    "X-WR-TIMEZONE:../etc/passwd", "BEGIN:VALARM", "END:VALARM", "END:VEVENT", "BEGIN:VEVENT", "\xff:\0", " folded",
])  # fmt: skip


@QUIET
@given(st.lists(ICS_LINES | st.text(max_size=8), max_size=8))
@example(["UID:1", "SUMMARY:x"])
@example(["UID:1", "DTSTART:20240101T100000", "RRULE:FREQ=DAILY;COUNT=x"])
def test_events_of_calendars(folder: Path, lines: list[str]) -> None:
    event = "\r\n".join(["BEGIN:VCALENDAR", "BEGIN:VEVENT", *lines, "END:VEVENT", "END:VCALENDAR", ""])
    assert_plain(reasons(folder, "ics", event.encode(errors="surrogatepass")), folder)
