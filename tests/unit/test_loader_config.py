"""The configuration: what it means, and what is refused, with the file and the line or key."""

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from artemis_loader.config.reader import read_config
from artemis_loader.errors import ConfigError
from artemis_loader.feeds import Csv, Feed, Limits, Source, Window

from tests.feeds import declare

FIELDS = """
[feeds.f.fields]
external_id = "id"
name = "n"
start_time = "s"
end_time = "e"
"""
HEAD = '[feeds.f]\nurl = "x.json"\nformat = "json"\nentity = "events"\n'
CSV = '[feeds.f]\nurl = "x.csv"\nformat = "csv"\nentity = "events"\n'
ICS = '[feeds.f]\nurl = "x.ics"\nformat = "ics"\nentity = "events"\n'


def error_of(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        declare(folder, text)
    assert "\n" not in str(caught.value)
    prefix = f"{folder / 'feeds.toml'}: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def field(folder: Path, value: str, name: str = "location", head: str = HEAD) -> Source:
    return declare(folder, f"{head}{without(name)}{name} = {value}\n").fields[name]


def without(name: str) -> str:
    return "".join(f"{line}\n" for line in FIELDS.splitlines() if not line.startswith(name))


def field_error(folder: Path, value: str, name: str = "location", head: str = HEAD) -> str:
    return error_of(folder, f"{head}{without(name)}{name} = {value}\n")


@pytest.mark.parametrize(("text", "expected"), [("93_600", 93_600.0), ("0.5", 0.5)])
def test_a_feed_says_how_old_its_last_load_may_be(tmp_path: Path, text: str, expected: float) -> None:
    assert expected == declare(tmp_path, f"{HEAD}max_age = {text}\n{FIELDS}").max_age


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "must be more than 0 seconds"),
        ("-1", "must be from 0 to"),
        ("nan", "must be from 0 to"),
        ("1e12", "must be from 0 to"),
        ('"26h"', "must be a whole number or a number"),
    ],
)
def test_an_age_that_cannot_be_is_refused(tmp_path: Path, text: str, why: str) -> None:
    assert error_of(tmp_path, f"{HEAD}max_age = {text}\n{FIELDS}").startswith(f"feeds.f.max_age: {why}")


def test_a_changed_age_is_no_reason_to_fetch_a_feed_again(tmp_path: Path) -> None:
    before = declare(tmp_path, HEAD + FIELDS).fingerprint()
    assert before == declare(tmp_path, f"{HEAD}max_age = 60\n{FIELDS}").fingerprint()


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    expected = Feed(
        name="f",
        url=str(tmp_path / "x.json"),
        format="json",
        entity="events",
        mode="refresh",
        fields={
            "external_id": Source(key=("id",)),
            "name": Source(key=("n",)),
            "start_time": Source(key=("s",)),
            "end_time": Source(key=("e",)),
        },
    )
    assert expected == declare(tmp_path, HEAD + FIELDS)
    assert ZoneInfo("UTC") == expected.time_zone


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    text = """
    [feeds.f]
    url = "https://u:p@example.com/feed?key=1"
    format = "csv"
    entity = "users"
    mode = "upsert"
    schedule = "0  3 * * 1-5"
    time_zone = "America/New_York"
    [feeds.f.limits]
    max_rejects = 0.25
    max_shrink = 1
    max_bytes = 1000
    timeout = 1.5
    deadline = 60
    [feeds.f.csv]
    delimiter = "\\t"
    quote = ""
    encoding = "cp1252"
    header = ["a", "b"]
    [feeds.f.fields]
    external_id = { key = "a" }
    email = "b"
    """
    expected = Feed(
        name="f",
        url="https://u:p@example.com/feed?key=1",
        format="csv",
        entity="users",
        mode="upsert",
        schedule="0 3 * * 1-5",
        time_zone=ZoneInfo("America/New_York"),
        limits=Limits(max_rejects=0.25, max_shrink=1.0, max_bytes=1000, timeout=1.5, deadline=60.0),
        csv=Csv(delimiter="\t", quote="", encoding="cp1252", header=("a", "b")),
        fields={"external_id": Source(key=("a",), separator="|"), "email": Source(key=("b",))},
    )
    assert expected == declare(tmp_path, text)


FIELD_FORMS = [
    ('"a.b"', Source(key=("a", "b"))),
    ('{ key = "a" }', Source(key=("a",))),
    ('{ key = ["a.b", "c"] }', Source(key=("a.b", "c"))),
    ('{ key = "a", default = "online" }', Source(key=("a",), default="online")),
    ('{ constant = "here" }', Source(constant="here")),
    ('{ file = "stem" }', Source(file="stem")),
    (
        '{ join = ["a", { file = "folder" }], separator = "-" }',
        Source(join=(Source(key=("a",)), Source(file="folder")), separator="-"),
    ),
    (
        '{ first = ["a", { constant = "c" }] }',
        Source(first=(Source(key=("a",)), Source(constant="c"))),
    ),
]


@pytest.mark.parametrize(("value", "expected"), FIELD_FORMS)
def test_a_field_is_made_in_many_ways(tmp_path: Path, value: str, expected: Source) -> None:
    assert expected == field(tmp_path, value)


def test_a_time_has_formats_and_a_zone(tmp_path: Path) -> None:
    value = '{ key = "a", format = ["%d/%m/%Y", "unix"], time_zone = "Asia/Tokyo", last_day = false }'
    expected = Source(key=("a",), formats=("%d/%m/%Y", "unix"), time_zone=ZoneInfo("Asia/Tokyo"), last_day=False)
    assert expected == field(tmp_path, value, "end_time")


def test_a_column_of_csv_may_have_dots(tmp_path: Path) -> None:
    assert Source(key=("a.b",)) == field(tmp_path, '"a.b"', head=CSV)


def test_a_calendar_needs_no_mapping_and_takes_some(tmp_path: Path) -> None:
    feed = declare(
        tmp_path, ICS + 'window = {first = 2024-01-01, last = 30}\n[feeds.f.fields]\npublisher = "organizer"'
    )
    assert Source(key=("organizer",)) == feed.fields["publisher"]
    assert Source(key=("id",)) == feed.fields["external_id"]
    assert Window(first=date(2024, 1, 1), last=30) == feed.window


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("a/*.json", "{folder}/a/*.json"),
        ("/abs/b.json", "/abs/b.json"),
        ("file:///abs/b%20c.json", "/abs/b c.json"),
        ("HTTP://Example.com/x", "http://Example.com/x"),
        ("odd/a:b.json", "{folder}/odd/a:b.json"),
    ],
)
def test_a_path_is_relative_to_the_configuration(tmp_path: Path, url: str, expected: str) -> None:
    assert expected.format(folder=tmp_path) == declare(tmp_path, HEAD.replace("x.json", url) + FIELDS).url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "declares no feeds; each is a table [feeds.NAME]"),
        ("feeds = 1", "feeds: must be a table"),
        ("[feed.x]", "feed: unknown key; each feed is a table [feeds.NAME]"),
        ("[feeds]\nf = 1", "feeds.f: must be a table"),
        ('[feeds."a b"]', "feeds.a b: a feed's name is up to 100 letters, digits, dots, dashes and underscores"),
        (HEAD + FIELDS + 'nam = "x"', "feeds.f.fields.nam: unknown key; is it name?"),
        (HEAD + "modes = 1" + FIELDS, "feeds.f.modes: unknown key; is it mode?"),
        (HEAD.replace("events", "things"), "feeds.f.entity: must be one of events, users, not 'things'"),
        (HEAD.replace("entity", "x"), "feeds.f.entity: is missing"),
        (HEAD.replace('"json"', "1"), "feeds.f.format: must be text"),
        (HEAD.replace('"x.json"', '""'), "feeds.f.url: must not be empty"),
        (HEAD.replace("x.json", "ftp://h/x"), "feeds.f.url: must be a path, a glob, http or https, not ftp"),
        (HEAD.replace("x.json", "http://"), "feeds.f.url: names no host"),
        (HEAD.replace("x.json", "http://h:x/"), "feeds.f.url: is not a URL"),
        (HEAD, "feeds.f.fields.external_id: is missing; every record needs one"),
        (HEAD + without("end_time"), "feeds.f.fields.end_time: is missing; every record needs one"),
        (HEAD + 'schedule = "daily"' + FIELDS,
         'feeds.f.schedule: must be a cron expression of five fields, such as "0 3 * * *"'),
        (HEAD + 'time_zone = "Mars/Base"' + FIELDS,
         "feeds.f.time_zone: 'Mars/Base' is no time zone, such as Europe/Berlin"),
        (HEAD + 'time_zone = "../x"' + FIELDS, "feeds.f.time_zone: '../x' is no time zone, such as Europe/Berlin"),
        (HEAD + 'time_zone = ""' + FIELDS, "feeds.f.time_zone: '' is no time zone, such as Europe/Berlin"),
        (HEAD + "csv = {}" + FIELDS, "feeds.f.csv: means nothing for the format json"),
        (CSV + 'records = "a"' + FIELDS, "feeds.f.records: means nothing for the format csv"),
        (ICS.replace("events", "users"), "feeds.f.entity: must be events, because a calendar has no users"),
        (ICS + "window = {last = -400}", "feeds.f.window.last: must be from 0 to 3660 days after first"),
        (ICS + "window = {first = -9999999999}", "feeds.f.window.first: must be within 3660 days of today"),
        (ICS + "window = {first = true}", "feeds.f.window.first: must be a whole number or date"),
        (HEAD + "limits = {max_rejects = -1}" + FIELDS,
         "feeds.f.limits.max_rejects: must be a number of records, such as 10, or a share from 0.0 to 1.0"),
        (HEAD + "limits = {max_rejects = 1.5}" + FIELDS,
         "feeds.f.limits.max_rejects: must be a number of records, such as 10, or a share from 0.0 to 1.0"),
        (HEAD + "limits = {max_rejects = true}" + FIELDS,
         "feeds.f.limits.max_rejects: must be a whole number or a number"),
        (HEAD + "limits = {max_shrink = 2}" + FIELDS, "feeds.f.limits.max_shrink: must be from 0 to 1"),
        (HEAD + "limits = {timeout = nan}" + FIELDS, "feeds.f.limits.timeout: must be from 0.001 to 3600"),
        (HEAD + "limits = {timeouts = 1}" + FIELDS, "feeds.f.limits.timeouts: unknown key; is it timeout?"),
        (CSV + 'csv = {delimiter = ";;"}' + FIELDS, "feeds.f.csv.delimiter: must be one character"),
        (CSV + "csv = {quote = ','}" + FIELDS, "feeds.f.csv.quote: must not be the delimiter"),
        (CSV + 'csv = {encoding = "rot13"}' + FIELDS,
         "feeds.f.csv.encoding: 'rot13' is no encoding, such as utf-8 or cp1252"),
        (CSV + "csv = {header = false}" + FIELDS,
         "feeds.f.csv.header: must be true, or the names of the columns when the file does not begin with them"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_its_key(tmp_path: Path, text: str, expected: str) -> None:
    assert expected == error_of(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("location", "1", ".location: must be text or a table"),
        ("location", '""', ".location: must not be empty"),
        ("location", '"a..b"', ".location: 'a..b' has an empty step"),
        ("location", "{}", ".location: needs exactly one of key, constant, file, join, first"),
        ("location", '{ key = "a", file = "stem" }',
         ".location: needs exactly one of key, constant, file, join, first"),
        ("location", '{ key = [] }', ".location.key: must be a text, or an array of texts"),
        ("location", '{ join = [] }', ".location.join: must not be empty"),
        ("location", '{ join = ["a", 1] }', ".location.join[1]: must be a table"),
        ("location", '{ join = ["a", {kee = "b"}] }',
         ".location.join[1]: needs exactly one of key, constant, file, join, first"),
        ("location", '{ file = "size" }', ".location.file: must be one of stem, name, folder, not 'size'"),
        ("location", '{ constant = "" }', ".location.constant: must not be empty"),
        ("location", '{ constant = "a", default = "b" }', ".location.default: unknown key"),
        ("location", '{ key = "a", format = "%Y-%m-%d" }', ".location.format: unknown key"),
        ("start_time", '{ key = "a", format = "%H:%M" }',
         ".start_time.format: '%H:%M' does not tell a year, a month and a day, as %Y-%m-%d does"),
        ("start_time", '{ key = "a", format = "%Q" }',
         ".start_time.format: '%Q' does not tell a year, a month and a day, as %Y-%m-%d does"),
        ("start_time", '{ key = "a", format = [] }', ".start_time.format: must not be empty"),
        ("start_time", '{ key = "a", time_zone = "x" }',
         ".start_time.time_zone: 'x' is no time zone, such as Europe/Berlin"),
        ("start_time", '{ constant = "soon" }',
         ".start_time.constant: 'soon' is not a time in the format of ISO 8601, "
         "such as 2024-03-09 or 2024-03-09T10:00:00Z"),
        ("start_time", '{ key = "a", default = "2023-02-30" }',
         ".start_time.default: '2023-02-30' is not a time: day is out of range for month"),
        ("external_id", '{ constant = "a" }', ".external_id: must differ from record to record"),
        ("external_id", '{ file = "stem" }', ".external_id: must differ from record to record"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_work_is_refused(tmp_path: Path, name: str, value: str, expected: str) -> None:
    assert f"feeds.f.fields{expected}" == field_error(tmp_path, value, name)


def test_a_column_of_csv_has_no_steps(tmp_path: Path) -> None:
    expected = "feeds.f.fields.location.key: must be one text, because nothing is nested in CSV"
    assert expected == field_error(tmp_path, '{ key = ["a", "b"] }', head=CSV)


def test_a_mistake_of_syntax_is_told_with_its_line(tmp_path: Path) -> None:
    assert "line 2" in error_of(tmp_path, "[feeds.f]\nurl = \n")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"feeds\.toml: No such file or directory$"):
        read_config(tmp_path / "feeds.toml")
    (tmp_path / "feeds.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"feeds\.toml: is not UTF-8$"):
        read_config(tmp_path / "feeds.toml")
    with pytest.raises(ConfigError, match=r": Is a directory$"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("limit", "rejected", "read", "expected"),
    [
        (2, 2, 2, False),
        (2, 3, 1000, True),
        (0.5, 5, 10, False),
        (0.5, 6, 10, True),
        (0, 0, 0, False),
        (0.0, 1, 9, True),
    ],
)
def test_rejects_are_limited_by_number_or_share(limit: float, rejected: int, read: int, expected: bool) -> None:
    assert expected is Limits(max_rejects=limit).too_many_rejects(rejected, read)


def test_the_fingerprint_follows_what_is_read_and_not_when(tmp_path: Path) -> None:
    first = declare(tmp_path, HEAD + FIELDS)
    assert first.fingerprint() == declare(tmp_path, HEAD + 'schedule = "0 0 * * *"' + FIELDS).fingerprint()
    assert first.fingerprint() != declare(tmp_path, HEAD + FIELDS + 'category = "c"').fingerprint()
    assert first.fingerprint(date(2024, 1, 1)) == first.fingerprint(date(2024, 1, 2))


def test_the_fingerprint_of_a_calendar_follows_its_window(tmp_path: Path) -> None:
    moving, fixed = declare(tmp_path, ICS), declare(tmp_path, ICS + "window = {first = 2024-01-01, last = 2024-12-31}")
    assert moving.fingerprint(date(2024, 1, 1)) != moving.fingerprint(date(2024, 1, 2))
    assert fixed.fingerprint(date(2024, 1, 1)) == fixed.fingerprint(date(2024, 1, 2))
