"""The feeds that a configuration declares, and the formats that they can have. It reads no files."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

Mode: TypeAlias = Literal["refresh", "upsert"]
FilePart: TypeAlias = Literal["", "stem", "name", "folder"]
Case: TypeAlias = Literal["", "lower", "upper", "title"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of files."""

    reader: str
    """The function that reads it, a `formats.rows.Reader`, as "module:name". It is imported when a feed is read."""
    nested: bool = True
    """True if the format has values inside others, so that `a.b` is a path and not a name."""
    options: tuple[str, ...] = ()
    """The attributes of Feed, and so the keys of the configuration, that mean something for this format only."""
    calendar: bool = False
    """True if the rows of the format have the keys that `entities.Field.calendar_key` names."""
    binary: bool = False
    """True if a file of the format is no text, so that it has no charset."""
    markup: bool = False
    """True if a file of the format is XML, so that one that begins as XML does is no error page."""


FORMATS: Mapping[str, Format] = {
    "json": Format(reader="artemis_loader.formats.json_array:read_array", options=("records",)),
    "jsonl": Format(reader="artemis_loader.formats.jsonl:read_lines"),
    "csv": Format(reader="artemis_loader.formats.csv_table:read_table", nested=False, options=("csv",)),
    "xlsx": Format(reader="artemis_loader.formats.xlsx_sheet:read_sheet", nested=False, options=("xlsx",), binary=True),
    "xml": Format(reader="artemis_loader.formats.xml_elements:read_elements", options=("records",), markup=True),
    "ics": Format(
        reader="artemis_loader.formats.ics.reader:read_calendar", options=("window", "calendar"), calendar=True
    ),
}
"""All formats by name. A new one needs an entry here, and a reader."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The source of one field's value: exactly one of key, constant, file, join and first is set."""

    key: tuple[str, ...] = ()
    """The path to the value: one key, or several where objects are nested."""
    constant: str = ""
    file: FilePart = ""
    """The file's name without its endings, its name, or the name of its folder."""
    join: tuple["Source", ...] = ()
    first: tuple["Source", ...] = ()
    """The first of these that is not missing."""
    separator: str = ", "
    """Stands between joined parts, and between the items of a list."""
    extract: str = ""
    """A regular expression: its first group, or else all that it matches, replaces the text. No match is missing."""
    replace: tuple[tuple[str, str], ...] = ()
    """Regular expressions, and what replaces each of their matches."""
    case: Case = ""
    map: Mapping[str, str] = field(default_factory=dict)
    """Texts and what replaces them; "*" stands for all others, which stay as they are without it."""
    default: str = ""
    """Replaces a missing value."""
    formats: tuple[str, ...] = ()
    """The formats of a time, as for strptime, or "unix" or "unix_ms"; none for ISO 8601."""
    time_zone: ZoneInfo | None = None
    """The zone of times that name none; the feed's zone when there is none here either."""
    zone: "Source | None" = None
    """The source of the name of the zone, in the record; `time_zone` counts when it is missing."""
    last_day: bool = True
    """True if a date without a time is the last day of the event, False if it is the first day after it."""

    @property
    def transforms(self) -> bool:
        """Tells whether the text is changed before it is taken."""
        return bool(self.extract or self.replace or self.case or self.map)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition that a record must meet to belong to the feed: exactly one of the tests is set."""

    source: Source
    equals: tuple[str, ...] = ()
    """The text is one of these."""
    not_equals: tuple[str, ...] = ()
    """The text is none of these."""
    matches: str = ""
    """A regular expression that matches a part of the text."""
    present: bool | None = None
    """True if the text must be there, False if it must be missing."""


@dataclass(frozen=True, kw_only=True)
class Secret:
    """The place of a secret, which is read when the feed is fetched: exactly one of these is set."""

    env: str = ""
    """The name of a variable of the environment."""
    file: str = ""
    """The absolute path of a file; the spaces around its text do not count."""


@dataclass(frozen=True, kw_only=True)
class Pages:
    """Paging: how an answer tells where the next one is."""

    next: Literal["", "link"] = ""
    """The header Link (RFC 8288) has the URL, under rel="next"."""
    cursor: tuple[str, ...] = ()
    """The path, in the JSON of the answer, to the cursor or the URL of the next page."""
    parameter: str = ""
    """The parameter of the query that takes the cursor; empty if the cursor is a URL."""
    max_pages: int = 1000
    """A feed with more pages than this fails."""


@dataclass(frozen=True, kw_only=True)
class Http:
    """Requests of a feed that comes by http."""

    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    bearer: Secret | None = None
    """The token of the header Authorization (RFC 6750)."""
    pages: Pages | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a load; a load that exceeds one fails."""

    max_rejects: int | float = 100
    """A number of records, or as a float the share of the records that were read."""
    max_shrink: float = 0.5
    """The largest share of the stored rows that a refresh may delete."""
    max_bytes: int = 1 << 30
    """The largest size of one file, as it is sent and after decompression."""
    timeout: float = 30.0
    """Seconds that a server may stay silent."""
    deadline: float = 900.0
    """Seconds that fetching may take, with all its attempts."""

    def too_many_rejects(self, rejected: int, read: int) -> bool:
        """Tells whether so many rejects out of so many records, rejects included, are more than allowed.

        A share can be asked for at the end of the feed only; a number can be asked for at any time.
        """
        allowed = self.max_rejects * read if isinstance(self.max_rejects, float) else self.max_rejects
        return rejected > allowed


@dataclass(frozen=True, kw_only=True)
class Csv:
    """The dialect of a CSV file."""

    delimiter: str = ","
    quote: str = '"'
    """Empty when nothing is quoted."""
    encoding: str = ""
    """Empty for the charset that the server names, or else UTF-8."""
    header: tuple[str, ...] = ()
    """The names of the columns when the file does not begin with them."""
    skip_lines: int = 0
    """Lines before the header, or before the first record."""


@dataclass(frozen=True, kw_only=True)
class Xlsx:
    """A sheet of an Excel workbook."""

    sheet: str = ""
    """Its name; empty for the first one that is not hidden."""
    skip_lines: int = 0
    """Rows before the one that names the columns."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The days within which recurring events are expanded: dates, or days from today."""

    first: int | date = -365
    last: int | date = 730

    def days(self, today: date) -> tuple[date, date]:
        """Returns the first and the last day, both included."""
        return self._day(self.first, today), self._day(self.last, today)

    @staticmethod
    def _day(bound: int | date, today: date) -> date:
        return today + timedelta(days=bound) if isinstance(bound, int) else bound


UndefinedZone: TypeAlias = Literal["reject", "feed"]
FloatingZone: TypeAlias = Literal["feed", "calendar"]


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """The reading of times in a calendar that RFC 5545 does not define."""

    undefined_zone: UndefinedZone = "reject"
    """A time in a zone that is defined nowhere is rejected, or is in the zone of the feed."""
    floating_zone: FloatingZone = "feed"
    """The zone of times that name none: the feed's, or the calendar's X-WR-TIMEZONE if it has one."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """One declared feed."""

    name: str
    """Becomes the `source` of the rows."""
    url: str
    """An absolute path, an absolute glob, or an http or https URL."""
    format: str
    """A key of FORMATS."""
    entity: str
    """A key of `entities.ENTITIES`."""
    mode: Mode
    fields: Mapping[str, Source]
    """The sources of external_id and of the entity's fields; a field that is not mapped stays empty."""
    schedule: str = ""
    """A cron expression of five fields; empty when the feed is loaded by hand only."""
    max_age: float | None = None
    """Seconds since the last successful load after which the feed is unhealthy; None: as its schedule lets expect."""
    time_zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    limits: Limits = Limits()
    allow_empty: bool = False
    """True if a feed without any record is no failure, and a refresh then deletes all of its rows."""
    owner_missing: Literal["reject", "none"] = "reject"
    """Tells what becomes of a record whose owner is no user: it is rejected, or has no owner."""
    where: tuple[Condition, ...] = ()
    """All of these must hold for a record; others are left out."""
    http: Http = Http()
    records: str = ""
    """The path to the array of records in a JSON file, or to the elements of an XML file; empty for the top."""
    csv: Csv = Csv()
    xlsx: Xlsx = Xlsx()
    window: Window = Window()
    calendar: Calendar = Calendar()

    @property
    def remote(self) -> bool:
        """Tells whether the feed comes by http."""
        return self.url.startswith(("http://", "https://"))

    def fingerprint(self, today: date | None = None) -> str:
        """Returns a hash that differs when an unchanged file may give other records.

        It covers everything that decides what is read: the declaration without its schedule, age and limits, the window
        of recurring events, and the version of the loader.
        """
        today = today or datetime.now(UTC).date()
        declared = replace(self, schedule="", max_age=None, limits=Limits(), allow_empty=False, window=Window())
        days = self.window.days(today) if "window" in FORMATS[self.format].options else ()
        return hashlib.sha256(repr((declared, days, version("artemis-loader"))).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Config:
    """The feeds of a configuration file."""

    path: Path
    feeds: Mapping[str, Feed]
