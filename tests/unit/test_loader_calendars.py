"""Calendars as real programs write them: times, time zones, series, and what is wrong but can be read."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from artemis_loader.config.field_mapping import read_fields
from artemis_loader.config.toml_table import TomlTable
from artemis_loader.entities import ENTITIES
from artemis_loader.errors import FeedError
from artemis_loader.feeds import FORMATS, Calendar, Feed, Source, Window
from artemis_loader.fetch.sources import fetch
from artemis_loader.formats.ics import series as ics_series
from artemis_loader.reading import Item, read
from artemis_loader.records import FeedWarning, Record, Reject
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.depth import examples

FIELDS = read_fields(TomlTable("fields", {}), ENTITIES["events"], FORMATS["ics"])
YEARS = Window(first=date(2016, 1, 1), last=date(2025, 12, 31))
START = "DTSTART:20240701T100000Z"
BERLIN = "DTSTART;TZID=Europe/Berlin"
NEW_YORK = "DTSTART;TZID=America/New_York"


def event(*properties: str, uid: str = "a") -> str:
    return "\n".join(["BEGIN:VEVENT", f"UID:{uid}", "SUMMARY:Choir", *properties, "END:VEVENT", ""])


def calendar(*parts: str) -> str:
    return "\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "".join(parts) + "END:VCALENDAR", ""])


def items(folder: Path, data: str | bytes, **options: Any) -> list[Item]:
    path = folder / "feed.ics"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    values: dict[str, Any] = {"fields": FIELDS, "window": YEARS} | options
    feed = Feed(name="f", url=str(path), format="ics", entity="events", mode="refresh", **values)
    return list(read(feed, fetch(feed, None, folder)))


def times(found: list[Item]) -> list[str]:
    """Returns the start of each event, and the end where it is another, in UTC."""
    assert [item for item in found if isinstance(item, Reject)] == []
    return [_shown(*item.values[5:7]) for item in found if isinstance(item, Record)]


def _shown(start: Any, end: Any) -> str:
    first, last = (datetime.fromtimestamp(each / 1e6, UTC).strftime("%Y%m%dT%H%M%S") for each in (start, end))
    return first if first == last else f"{first}/{last}"


def days(found: list[Item]) -> list[str]:
    """Returns the day on which each event starts, without its year."""
    return [time[4:8] for time in times(found)]


def warnings(found: list[Item]) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in found if isinstance(item, FeedWarning)]


def rejects(found: list[Item]) -> list[tuple[int, str]]:
    return [(item.line, item.reason) for item in found if isinstance(item, Reject)]


# Properties that no time depends on


@pytest.mark.parametrize(
    "broken",
    [
        "CREATED:00001231T000000Z", "CREATED:", "LAST-MODIFIED:yesterday", "DTSTAMP:20240230T000000Z", "GEO:48.85,2.29",
        "GEO:north", "PRIORITY:high", "PRIORITY:12", "SEQUENCE:one", "SEQUENCE:-1", "Tel. 12\\, 3rd floor",
        "no property",
        "ATTACH;X=\"open:http://example.org", "X-\udcff:y", "X-NOTE:\udcff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("rule", [[], ["RRULE:FREQ=WEEKLY;COUNT=3"]])
def test_a_broken_property_costs_itself_and_no_event(tmp_path: Path, broken: str, rule: list[str]) -> None:
    data = calendar(event(broken, START, *rule)).encode(errors="surrogateescape")
    found = items(tmp_path, data)
    assert days(found) == (["0701", "0708", "0715"] if rule else ["0701"])
    assert [line for line, _ in warnings(found)] == [6]


@pytest.mark.parametrize(
    "harmless",
    [
        "CREATED:20240101T000060Z", "GEO:48.85;2.29", "PRIORITY:5", "X-A;X-B=\"c:d;e\";F=g,h:i",
        "URL:http://e.org/a?b=c",
        "ORGANIZER;CN=\"Choir; Club: Oslo\":mailto:a@example.org", "ATTACH;ENCODING=BASE64;VALUE=BINARY:????",
        "ATTENDEE;CN=A;CUTYPE=ROOM:mailto:b@example.org", "RELATED-TO:b", "STATUS:CONFIRMED", "REQUEST-STATUS:2.0;Fine",
        "BEGIN:VALARM\nTRIGGER:-PT5M\nDTSTART:nonsense\nUID:alarm\nBEGIN:X-INNER\nEND:X-INNER\nEND:VALARM",
    ],
)  # fmt: skip
def test_a_legal_property_does_no_harm(tmp_path: Path, harmless: str) -> None:
    found = items(tmp_path, calendar(event(harmless, START)))
    assert (times(found), warnings(found)) == (["20240701T100000"], [])


def test_a_raw_line_break_ends_a_text_and_costs_no_event(tmp_path: Path) -> None:
    found = items(tmp_path, calendar(event("DESCRIPTION:one", "two three", START)))
    assert [item.values[1] for item in found if isinstance(item, Record)] == ["one"]
    assert warnings(found) == [(7, "'two three' is no property; the line is left out")]


# Lines


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_are_unfolded_before_they_are_decoded(tmp_path: Path, end: bytes) -> None:
    lines = [
        "BEGIN:VCALENDAR", "X-WR-CALNAME:Concert", " s\\, all of", "\t them", "BEGIN:V", " EVENT", "UID:a", "dtst",
        " art:2024",
        " 0701t100000z", "summary;language=en:Cafe",
    ]  # fmt: skip
    data = end.join(
        [*(line.encode() for line in lines), b"DESCRIPTION:Caf\xc3", b" \xa9", b"END:VEVENT", b"END:VCALENDAR", b""]
    )
    [record] = items(tmp_path, b"\xef\xbb\xbf" + data)
    assert isinstance(record, Record)
    assert record.values[:5] == ("Cafe", "Café", "", "", "Concerts, all of them")


def test_the_properties_of_other_components_are_not_the_calendars(tmp_path: Path) -> None:
    todo = "BEGIN:VTODO\nNAME:Not this\nBEGIN:VALARM\nNAME:Nor this\nEND:VALARM\nEND:VTODO\n"
    [record] = items(tmp_path, calendar("NAME:This\n", todo, event(START)))
    assert isinstance(record, Record)
    assert record.values[4] == "This"


# Times


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ([f"{BERLIN}:20240330T220000", "DURATION:PT8H"], "20240330T210000/20240331T050000"),
        ([f"{BERLIN}:20240330T220000", "DURATION:P1D"], "20240330T210000/20240331T200000"),
        ([f"{BERLIN}:20240330T220000", "DURATION:PT24H"], "20240330T210000/20240331T210000"),
        ([f"{BERLIN}:20241026T220000", "DURATION:P1DT1H"], "20241026T200000/20241027T220000"),
        ([f"{BERLIN}:20241026T220000", "DURATION:P1W"], "20241026T200000/20241102T210000"),
        ([f"{NEW_YORK}:20240310T023000", "DURATION:PT1H"], "20240310T073000/20240310T083000"),
        ([f"{NEW_YORK}:20241103T013000", "DURATION:PT1H"], "20241103T053000/20241103T063000"),
        ([f"{NEW_YORK}:20241103T013000", "DTEND;TZID=America/New_York:20241103T030000"],
         "20241103T053000/20241103T080000"),
        (["DTSTART:20161231T235960Z", "DTEND:20170101T010000Z"], "20161231T235959/20170101T010000"),
        (["dtstart;value=date-time:20240701t100000z", "duration:pt90m"], "20240701T100000/20240701T113000"),
        (["DTSTART;TZID=Europe/Berlin:20240701T100000Z"], "20240701T100000"),
        (["DTSTART;TZID=\"Europe/Berlin\":20240701T100000"], "20240701T080000"),
        (["DTSTART;TZID=europe/berlin:20240701T100000"], "20240701T080000"),
        (["DTSTART;TZID=/example.org/2024_1/Europe/Berlin:20240701T100000"], "20240701T080000"),
        (["DTSTART;TZID=W. Europe Standard Time:20240701T100000"], "20240701T080000"),
        (['DTSTART;TZID="(UTC) Coordinated Universal Time":20240701T100000'], "20240701T100000"),
        (["DTSTART;VALUE=DATE:20240701", "DURATION:PT48H"], "20240701T000000/20240703T000000"),
        ([START, "DTEND:20240701T120000Z", "DURATION:PT1H"], "20240701T100000/20240701T120000"),
    ],
)  # fmt: skip
def test_a_time_is_read_as_rfc_5545_means_it(tmp_path: Path, properties: list[str], expected: str) -> None:
    assert times(items(tmp_path, calendar(event(*properties)))) == [expected]


def test_a_floating_duration_is_exact_in_the_zone_of_the_feed(tmp_path: Path) -> None:
    parts = event("DTSTART:20240330T220000", "DURATION:PT8H")
    found = items(tmp_path, calendar(parts), time_zone=ZoneInfo("Europe/Berlin"))
    assert times(found) == ["20240330T210000/20240331T050000"]
    fields = dict(FIELDS) | {
        key: Source(key=(key[:-5],), time_zone=ZoneInfo("Europe/Berlin")) for key in ("start_time", "end_time")
    }
    assert times(items(tmp_path, calendar(parts), fields=fields)) == ["20240330T210000/20240331T050000"]


@pytest.mark.parametrize(
    "broken",
    [
        "DTSTART:00000101T000000Z", "DTSTART:2024-07-01T10:00:00", "DTSTART:20240701T1000",
        "DTSTART:20240701T250000Z", "DTSTART:",
        f"{START}\nDTEND:", f"{START}\nDTEND:later", f"{START}\nDURATION:P", f"{START}\nDURATION:PT",
        f"{START}\nDURATION:1H",
        f"{START}\nRRULE:COUNT=3", f"{START}\nRRULE:FREQ=DAILY;BYHOUR=24", f"{START}\nRRULE:FREQ=DAILY;BYEASTER=1",
        f"{START}\nRRULE:FREQ=DAILY;COUNT=0", f"{START}\nRRULE:FREQ=DAILY;UNTIL=soon",
        f"{START}\nRRULE:FREQ=DAILY;BYDAY=XX",
        f"{START}\nRRULE:FREQ=DAILY;SKIP=FORWARD", f"{START}\nEXDATE:soon", f"{START}\nRDATE:20240701T100000Z/soon",
        "DTSTART:99991231T230000Z\nDURATION:P2D", "DTSTART;VALUE=DATE:20240701\nDURATION:PT1H",
        "DTSTART;VALUE=DATE:20240701\nRRULE:FREQ=HOURLY", f"{START}\nBEGIN:VALARM", f"{START}\nDURATION:P{'9' * 30}D",
    ],
)  # fmt: skip
def test_a_broken_time_rejects_its_event_alone(tmp_path: Path, broken: str) -> None:
    found = items(tmp_path, calendar(event(broken), event(START, uid="b")))
    assert [(item.external_id, item.values[0]) for item in found if isinstance(item, Record)] == [("b", "Choir")]
    [(line, reason)] = rejects(found)
    assert (line, "'DTSTART'" in reason, "Traceback" in reason) == (3, False, False)


# Time zones


def zone(name: str, *extra: str, standard: str = "+0100", daylight: str = "+0200") -> str:
    return "\n".join([
        "BEGIN:VTIMEZONE", *extra, "BEGIN:STANDARD", "DTSTART:19701025T030000",
        "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
        f"TZOFFSETFROM:{daylight}", f"TZOFFSETTO:{standard}", "TZNAME;LANGUAGE=de:MEZ", "END:STANDARD",
        "BEGIN:DAYLIGHT",
        "DTSTART:19700329T020000", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", f"TZOFFSETFROM:{standard}",
        f"TZOFFSETTO:{daylight}", "X-OTHER;A=b:c", "END:DAYLIGHT", f"TZID:{name}", "END:VTIMEZONE", "",
    ])  # fmt: skip


@pytest.mark.parametrize(
    "extra",
    [
        "TZUNTIL:20301231T000000Z", "TZID-ALIAS-OF:Asia/Tokyo", "X-LIC-LOCATION:Asia/Tokyo",
        "LAST-MODIFIED:00000101T000000Z",
        "TZURL;X-A=\"b:c\":nonsense", "COMMENT:x", "not a property", "BEGIN:X-PART\nTZOFFSETTO:+0900\nEND:X-PART",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Hall Time", "GMT", "Asia/Tokyo", "UTC"])
def test_a_zone_of_the_calendar_wins_whatever_else_it_has(tmp_path: Path, extra: str, name: str) -> None:
    summer, winter = (event(f"DTSTART;TZID={name}:2024{month}01T100000", uid=month) for month in ("07", "12"))
    found = items(tmp_path, calendar(summer, winter, zone(name, extra)))
    assert times(found) == ["20240701T080000", "20241201T090000"]


@pytest.mark.parametrize(
    ("name", "param"),
    [("Hall\\, Oslo", '"Hall, Oslo"'), ("Hall; A: B", '"Hall; A: B"'), ("(GMT+01:00) Oslo", "(GMT+01:00) Oslo")],
)
def test_a_zone_may_have_any_name(tmp_path: Path, name: str, param: str) -> None:
    data = calendar(zone(name), event(f"DTSTART;TZID={param}:20240701T100000", f"EXDATE;TZID={param}:20240702T100000"))
    assert times(items(tmp_path, data)) == ["20240701T080000"]


def test_a_zone_may_begin_in_1601(tmp_path: Path) -> None:
    outlook = zone("Hall").replace("19701025", "16011028").replace("19700329", "16010325")
    parts = [event(f"DTSTART;TZID=Hall:{day}T100000", uid=day) for day in ("19500115", "20240115", "20240715")]
    assert times(items(tmp_path, calendar(outlook, *parts))) == [
        "19500115T090000",
        "20240115T090000",
        "20240715T080000",
    ]


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("20210116T140000Z", "20210117T000000"),
        ("20210116T135959Z", "20210116T230000"),
        ("20210117T030000", "20210117T000000"),
    ],
)
def test_until_in_a_zone_is_in_utc(tmp_path: Path, until: str, expected: str) -> None:
    island = "\n".join([
        "BEGIN:VTIMEZONE", "TZID:Island", "BEGIN:STANDARD", "DTSTART:20200119T030000",
        f"RRULE:FREQ=YEARLY;BYMONTH=1;BYDAY=3SU;UNTIL={until}", "TZOFFSETFROM:+1300", "TZOFFSETTO:+1200",
        "END:STANDARD",
        "BEGIN:DAYLIGHT", "DTSTART:20191110T020000", "RDATE:20191110T020000,20201220T020000", "TZOFFSETFROM:+1200",
        "TZOFFSETTO:+1300", "END:DAYLIGHT", "END:VTIMEZONE", "",
    ])  # fmt: skip
    assert times(items(tmp_path, calendar(island, event("DTSTART;TZID=Island:20210117T120000")))) == [expected]


@pytest.mark.parametrize(
    ("local", "expected"), [("20240331T023000", "20240331T013000"), ("20241027T023000", "20241027T003000")]
)
def test_a_zone_of_the_calendar_has_gaps_and_times_that_come_twice(tmp_path: Path, local: str, expected: str) -> None:
    parts = [event(f"DTSTART;TZID=Hall:{local}", "DURATION:PT2H"), zone("Hall")]
    assert times(items(tmp_path, calendar(*parts))) == [f"{expected}/{expected[:9]}{int(expected[9:11]) + 2:02}3000"]


def test_a_zone_knows_times_long_before_and_after_now(tmp_path: Path) -> None:
    parts = [event(f"DTSTART;TZID=Hall:{year}0701T100000", uid=year) for year in ("1969", "2099", "9998")]
    assert times(items(tmp_path, calendar(zone("Hall"), *parts))) == [
        "19690701T090000", "20990701T080000", "99980701T080000",
    ]  # fmt: skip


def test_a_zone_that_cannot_be_used_is_a_reject_with_its_events(tmp_path: Path) -> None:
    broken = zone("Hall").replace("TZOFFSETTO:+0200", "TZOFFSETTO:late")
    found = items(tmp_path, calendar(broken, event("DTSTART;TZID=Hall:20240701T100000"), event(START, uid="b")))
    assert rejects(found) == [
        (3, "a time zone cannot be read: 'late' is no offset, such as +0100"),
        (20, "DTSTART: the time zone 'Hall' is not defined"),
    ]


def test_an_undefined_zone_is_that_of_the_feed_if_it_says_so(tmp_path: Path) -> None:
    data = calendar(event("DTSTART;TZID=Hall:20240701T100000"))
    options = {"time_zone": ZoneInfo("Europe/Berlin"), "calendar": Calendar(undefined_zone="feed")}
    found = items(tmp_path, data, **options)
    assert times(found) == ["20240701T080000"]
    assert warnings(found) == [(6, "DTSTART: the time zone 'Hall' is not defined; Europe/Berlin is taken instead")]


@pytest.mark.parametrize(
    ("name", "zone", "expected"),
    [
        ("(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna", "Europe/Amsterdam", "20240701T080000"),
        ("(GMT+01:00) Sarajevo, Skopje, Warsaw, Zagreb", "Europe/Sarajevo", "20240701T080000"),
        ("(UTC) Dublin, Edinburgh, Lisbon, London", "Europe/Dublin", "20240701T090000"),
        ("(UTC+00:00) Monrovia, Reykjavik", "Africa/Monrovia", "20240701T100000"),
        ("(UTC-05:00) Eastern Time (US & Canada)", "America/New_York", "20240701T140000"),
        ("(UTC-04:00) Atlantic Time (Canada)", "America/Halifax", "20240701T130000"),
        ("(UTC-07:00) Chihuahua, La Paz, Mazatlan", "America/Mazatlan", "20240701T170000"),
        ("(UTC-04:00) Georgetown, La Paz, Manaus, San Juan", "America/La_Paz", "20240701T140000"),
        ("(UTC+05:30) Chennai, Kolkata, Mumbai, New Delhi", "Asia/Kolkata", "20240701T043000"),
        ("(UTC+06:30) Yangon (Rangoon)", "Asia/Yangon", "20240701T033000"),
        ("(UTC+10:00) Canberra, Melbourne, Sydney", "Australia/Canberra", "20240701T000000"),
        ("(UTC+13:00) Samoa", "Pacific/Apia", "20240630T210000"),
        ("(UTC-11:00) Samoa", "Pacific/Samoa", "20240701T210000"),
    ],
)
def test_a_zone_as_outlook_shows_it_is_that_of_its_places_with_a_warning(
    tmp_path: Path, name: str, zone: str, expected: str
) -> None:
    for written in (name, f'"{name}"'):
        found = items(tmp_path, calendar(event(f"DTSTART;TZID={written}:20240701T100000")))
        reason = f"DTSTART: the time zone {name!r} is not defined; {zone} is taken instead"
        assert (times(found), warnings(found)) == ([expected], [(6, reason)])
    data = calendar(f"X-WR-TIMEZONE:{name}\n", event("DTSTART:20240701T100000"))
    found = items(tmp_path, data, calendar=Calendar(floating_zone="calendar"))
    assert (times(found), warnings(found)) == ([expected], [(3, f"X-WR-TIMEZONE: times without a zone are in {zone}")])


@pytest.mark.parametrize(
    "name",
    [
        "(UTC+02:00) Istanbul",
        "(UTC+01:00) Nowhere",
        "(UTC-11:00) Coordinated Universal Time-11",
        "(UTC+01:00) ",
        "(UTC-06:00) Chicago, Regina",
    ],
)
def test_a_zone_as_outlook_shows_it_is_undefined_if_no_place_is_in_it_or_they_differ(tmp_path: Path, name: str) -> None:
    found = items(tmp_path, calendar(event(f'DTSTART;TZID="{name}":20240701T100000')))
    assert rejects(found) == [(3, f"DTSTART: the time zone {name!r} is not defined")]


@pytest.mark.parametrize("method", ["REPLY", "counter", "DECLINECOUNTER", "REFRESH", "ADD"])
def test_a_message_about_events_is_read_as_events_with_a_warning(tmp_path: Path, method: str) -> None:
    found = items(tmp_path, calendar(f"METHOD:{method}\n", event(START)))
    reason = f"METHOD:{method.upper()}: is a message about events that somebody has already; it is read as events"
    assert (times(found), warnings(found)) == (["20240701T100000"], [(3, reason)])


@pytest.mark.parametrize("method", ["PUBLISH", "REQUEST"])
def test_a_calendar_that_is_published_or_sent_to_guests_has_no_warning(tmp_path: Path, method: str) -> None:
    assert warnings(items(tmp_path, calendar(f"METHOD:{method}\n", event(START)))) == []


def test_times_without_a_zone_are_in_that_of_the_calendar_if_the_feed_says_so(tmp_path: Path) -> None:
    data = calendar(
        "X-WR-TIMEZONE:Europe/Berlin\n", event("DTSTART:20240701T100000"), event("DTSTART;VALUE=DATE:20240701", uid="b")
    )
    assert times(items(tmp_path, data)) == ["20240701T100000", "20240701T000000/20240702T000000"]
    found = items(tmp_path, data, calendar=Calendar(floating_zone="calendar"))
    assert times(found) == ["20240701T080000", "20240630T220000/20240701T220000"]
    assert warnings(found) == [(3, "X-WR-TIMEZONE: times without a zone are in Europe/Berlin")]
    unknown = items(tmp_path, data.replace("Berlin", "Nowhere"), calendar=Calendar(floating_zone="calendar"))
    assert (times(unknown)[0], len(warnings(unknown))) == ("20240701T100000", 1)


# Series


@pytest.mark.parametrize(
    ("start", "rule", "expected"),
    [
        ("20240701T100000Z", "FREQ=MONTHLY;BYDAY=1MO,TU;COUNT=4", "0701 0702 0709 0716"),
        ("20240101T100000Z", "FREQ=YEARLY;BYDAY=1MO,-1TU;COUNT=4", "0101 1231 0106 1230"),
        ("20240703T100000Z", "FREQ=WEEKLY;BYDAY=WE,MO,FR;BYSETPOS=2;COUNT=3", "0703 0710 0717"),
        ("20240703T100000Z", "FREQ=WEEKLY;BYDAY=SU,TU;BYSETPOS=-1;WKST=SU;COUNT=3", "0703 0709 0716"),
        ("20240514T100000Z", "FREQ=YEARLY;BYWEEKNO=20;COUNT=2", "0514 0513"),
        ("20240101T100000Z", "FREQ=YEARLY;BYYEARDAY=-1;COUNT=3", "0101 1231 1231"),
        ("20240131T100000Z", "FREQ=MONTHLY;COUNT=3", "0131 0331 0531"),
        ("20240229T100000Z", "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=3", "0229 0331 0430"),
        ("20240702T100000Z", "FREQ=WEEKLY;BYDAY=MO;COUNT=3", "0702 0708 0715"),
        ("20240701T090000Z", "FREQ=MINUTELY;INTERVAL=90;COUNT=4", "0701 0701 0701 0701"),
        ("20240701T090000Z", "FREQ=SECONDLY;INTERVAL=86400;COUNT=3", "0701 0702 0703"),
        ("20240701T090000Z", "FREQ=MINUTELY;BYHOUR=9;BYMINUTE=0;COUNT=3", "0701 0702 0703"),
        ("20240701T090000Z", "FREQ=SECONDLY;COUNT=2", "0701 0701"),
        ("20240701T100000Z", "freq=daily;count=2;bysecond=60", "0701 0701"),
        ("20240701", "FREQ=DAILY;BYHOUR=9,15;BYMINUTE=1;BYSECOND=2;COUNT=2", "0701 0702"),
        ("20240701", "FREQ=DAILY;UNTIL=20240703T100000Z", "0701 0702 0703"),
        ("20240701T100000Z", "FREQ=DAILY;UNTIL=20240703T100000Z", "0701 0702 0703"),
        ("20240701T100000Z", "FREQ=DAILY;UNTIL=20240703", "0701 0702 0703"),
        ("20240701T100000Z", "FREQ=DAILY;COUNT=2;RSCALE=GREGORIAN;SKIP=OMIT", "0701 0702"),
        ("20250328T023000@Europe/Berlin", "FREQ=DAILY;COUNT=4", "0328 0329 0330 0331"),
        ("20240701T000000@Europe/Berlin", "FREQ=DAILY;UNTIL=20240702T220000Z", "0630 0701 0702"),
    ],
)  # fmt: skip
def test_a_rule_is_expanded_as_rfc_5545_means_it(tmp_path: Path, start: str, rule: str, expected: str) -> None:
    written, at, zone_name = start.partition("@")
    begin = f"DTSTART;TZID={zone_name}:{written}" if at else f"DTSTART:{written}"
    assert days(items(tmp_path, calendar(event(begin, f"RRULE:{rule}")))) == expected.split()


def test_a_series_skips_no_day_in_a_gap(tmp_path: Path) -> None:
    found = items(tmp_path, calendar(event(f"{BERLIN}:20240330T023000", "DURATION:PT1H", "RRULE:FREQ=DAILY;COUNT=3")))
    assert times(found) == [
        "20240330T013000/20240330T023000", "20240331T013000/20240331T023000", "20240401T003000/20240401T013000",
    ]  # fmt: skip


def test_the_length_of_dtend_is_exact_and_that_of_duration_as_the_calendar_counts(tmp_path: Path) -> None:
    begin, rule = f"{BERLIN}:20240329T120000", "RRULE:FREQ=DAILY;COUNT=2"
    exact = items(tmp_path, calendar(event(begin, "DTEND;TZID=Europe/Berlin:20240330T120000", rule)))
    assert times(exact) == ["20240329T110000/20240330T110000", "20240330T110000/20240331T110000"]
    nominal = items(tmp_path, calendar(event(begin, "DURATION:P1D", rule)))
    assert times(nominal) == ["20240329T110000/20240330T110000", "20240330T110000/20240331T100000"]


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=MINUTELY;INTERVAL=59",
        "FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=1,2,3,4,5",
        "FREQ=SECONDLY;COUNT=30",
    ],
)
def test_a_rule_that_happens_too_often_is_rejected(tmp_path: Path, rule: str) -> None:
    found = items(tmp_path, calendar(event(START, f"RRULE:{rule}")))
    assert rejects(found) == [(3, "may happen more than 24 times a day")]


DAILY = [f"{BERLIN}:20240701T100000", "RRULE:FREQ=DAILY;COUNT=4"]


@pytest.mark.parametrize(
    ("properties", "expected", "warned"),
    [
        (["EXDATE:20240702T080000Z,20240703T080000Z"], "0701 0704", []),
        (["EXDATE;TZID=America/New_York:20240702T040000"], "0701 0703 0704", []),
        (["EXDATE:20240702T100000"], "0701 0703 0704", ["EXDATE: names no zone; that of DTSTART is taken"]),
        (["EXDATE;VALUE=DATE:20240702"], "0701 0703 0704",
         ["EXDATE: is a date, and DTSTART a time; all times of that day are left out"]),
        (["EXDATE:"], "0701 0702 0703 0704", ["EXDATE: is empty; it is left out"]),
        (["EXDATE:20240702T080000Z,", "EXDATE;VALUE=DATE:20240704"], "0701 0703",
         ["EXDATE: has an empty item, which is left out",
          "EXDATE: is a date, and DTSTART a time; all times of that day are left out"]),
        (["RDATE:20240801T080000Z"], "0701 0702 0703 0704 0801", []),
        (["RDATE;VALUE=DATE:20240801"], "0701 0702 0703 0704 0801",
         ["RDATE: is a date, and DTSTART a time; the time of that is taken"]),
        (["RDATE:20240702T080000Z"], "0701 0702 0703 0704", []),
        (["RRULE:FREQ=WEEKLY;COUNT=2"], "0701 0702 0703 0704 0708",
         ["RRULE: there is another one; the times of both are taken"]),
        (["EXRULE:FREQ=DAILY;INTERVAL=2"], "0702 0704",
         ["EXRULE: is obsolete (RFC 5545, A.3); the times that it excludes are left out"]),
    ],
)  # fmt: skip
def test_dates_are_added_and_excluded(tmp_path: Path, properties: list[str], expected: str, warned: list[str]) -> None:
    found = items(tmp_path, calendar(event(*DAILY, *properties)))
    assert days(found) == expected.split()
    assert [reason for _, reason in warnings(found)] == warned


def test_a_period_has_its_own_length(tmp_path: Path) -> None:
    periods = "RDATE;VALUE=PERIOD:20240702T100000Z/PT2H,20240703T100000Z/20240703T103000Z"
    assert times(items(tmp_path, calendar(event(START, "DURATION:PT1H", periods)))) == [
        "20240701T100000/20240701T110000", "20240702T100000/20240702T120000", "20240703T100000/20240703T103000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "expected", "warned"),
    [
        ("FREQ=WEEKLY;BYDAY=MO, TU;COUNT=2", "0701 0702", "has spaces in it; they are left out"),
        ("FREQ=WEEKLY;BYDAY=MO,2TU;COUNT=2", "0701 0702", "a number in BYDAY means nothing with WEEKLY"),
        ("FREQ=DAILY;UNTIL=20240702T100000", "0701 0702", "UNTIL is a local time; it is read in the zone of DTSTART"),
        ("FREQ=DAILY;UNTIL=20240702", "0701 0702", "UNTIL is a date, and DTSTART a time; the whole day is meant"),
        (
            "FREQ=DAILY;COUNT=2;UNTIL=20250101T000000Z",
            "0701 0702",
            "has both COUNT and UNTIL; the first to come ends it",
        ),
        ("FREQ=DAILY;COUNT=2;X-A=b", "0701 0702", "'X-A' is not understood; it is left out"),
        ("FREQ=DAILY;COUNT=2;BYDAY=", "0701 0702", "BYDAY is empty; it is left out"),
    ],
)
def test_a_rule_that_is_written_wrong_is_read_with_a_warning(
    tmp_path: Path, rule: str, expected: str, warned: str
) -> None:
    found = items(tmp_path, calendar(event(f"{BERLIN}:20240701T100000", f"RRULE:{rule}")))
    assert (days(found), warnings(found)) == (expected.split(), [(7, f"RRULE: {warned}")])


def test_an_override_that_cancels_needs_no_dtstart(tmp_path: Path) -> None:
    series = event("DTSTART:20240601T100000Z", "RRULE:FREQ=DAILY;COUNT=3")
    cancelled = event("RECURRENCE-ID:20240602T100000Z", "STATUS:CANCELLED")
    assert days(items(tmp_path, calendar(series, cancelled))) == ["0601", "0603"]
    by_method = items(tmp_path, calendar("METHOD:CANCEL\n", series, cancelled.replace("STATUS:CANCELLED\n", "")))
    assert days(by_method) == ["0601", "0603"]
    assert warnings(by_method) == [(3, "METHOD:CANCEL: only events with STATUS:CANCELLED, or no DTSTART, are left out")]
    later = cancelled.replace("RECURRENCE-ID", "RECURRENCE-ID;RANGE=THISANDFUTURE")
    assert days(items(tmp_path, calendar(series, later))) == ["0601"]
    assert days(items(tmp_path, calendar(series, cancelled.replace("T100000Z", "")))) == ["0601", "0603"]


def test_a_missing_dtstart_is_a_reject_of_its_event_alone(tmp_path: Path) -> None:
    found = items(
        tmp_path,
        calendar(
            event("DTSTART:20240601T100000Z", "RRULE:FREQ=DAILY;COUNT=2"), event("RECURRENCE-ID:20240602T100000Z")
        ),
    )
    assert rejects(found) == [(9, "DTSTART is missing")]
    assert [item.values[0] for item in found if isinstance(item, Record)] == ["Choir", "Choir"]


# What programs write that RFC 5545 does not have: it is read as far as it means one thing only, and never in silence


@pytest.mark.parametrize(
    ("properties", "expected", "warned"),
    [
        (["DTSTART;VALUE=DATE:20240701", "DTEND;VALUE=DATE:20240701"], "20240701T000000/20240702T000000",
         "DTEND: leaves the event no day; it has one"),
        (["DTSTART;VALUE=DATE:20240701", "DURATION:P0D"], "20240701T000000/20240702T000000",
         "DURATION: leaves the event no day; it has one"),
        (["DTSTART:20240701"], "20240701T000000/20240702T000000",
         "DTSTART: is a date, which needs VALUE=DATE; it is taken as a date"),
        (["DTSTART;VALUE=DATE:20240701T100000Z"], "20240701T100000",
         "DTSTART: VALUE is DATE, and the value a time, which is taken"),
        (["DTSTART;TZID=Europe/Berlin:20240701T100000Z"], "20240701T100000",
         "DTSTART: is in UTC, so that TZID means nothing (RFC 5545, 3.2.19)"),
        ([f"{NEW_YORK}:20240701T100000", "DTEND:20240701T110000"], "20240701T140000/20240701T150000",
         "DTEND: names no zone; that of DTSTART is taken"),
        (["DTSTART:20240701T100000", "DTEND:20240701T110000Z"], "20240701T100000/20240701T110000",
         "DTEND: has a zone, and DTSTART has none, so that it is in the feed's"),
        ([START, "SUMMARY;LANGUAGE=de:Chor"], "20240701T100000", "SUMMARY: is there already; the first one is taken"),
        ([START, "STATUS:CONFIRMED", "STATUS:CONFIRMED"], "20240701T100000",
         "STATUS: is there already; the first one is taken"),
        ([START, "DESCRIPTION:See", "Tel: 555"], "20240701T100000",
         "'Tel' is no known property; the text before it may have a raw line break"),
        ([START, "DESCRIPTION;ENCODING=QUOTED-PRINTABLE:Caf=C3=A9"], "20240701T100000",
         "DESCRIPTION: is quoted-printable, which no iCalendar is; it is taken as written"),
        ([START, "EXDATE:20240701T100000Z"], "20240701T100000",
         "EXDATE: means nothing without RRULE or RDATE; it is left out"),
        ([START, "RRULE:FREQ=DAILY;UNTIL=20240601T000000Z"], "20240701T100000",
         "RRULE: UNTIL is before DTSTART; there is only that"),
    ],
)  # fmt: skip
def test_what_means_one_thing_only_is_read_with_a_warning(
    tmp_path: Path, properties: list[str], expected: str, warned: str
) -> None:
    found = items(tmp_path, calendar(event(*properties)))
    assert (times(found), [reason for _, reason in warnings(found)]) == ([expected], [warned])


@pytest.mark.parametrize(
    ("rule", "expected", "warned"),
    [
        ("FREQ=WEEKLY;BYDAY=MO,;COUNT=2", "0701 0708", "BYDAY has an empty item, which is left out"),
        ("FREQ=DAILY;COUNT=2;COUNT=2", "0701 0702", "has COUNT twice"),
        ("FREQ=WEEKLY;BYMONTHDAY=1,8;COUNT=2", "0701 0708",
         "BYMONTHDAY is not for WEEKLY; only days that it has are taken"),
        ("FREQ=MONTHLY;BYWEEKNO=27;COUNT=1", "0701", "BYWEEKNO is not for MONTHLY; only days that it has are taken"),
        ("FREQ=DAILY;BYYEARDAY=183,184;COUNT=2", "0701 0702",
         "BYYEARDAY is not for DAILY; only days that it has are taken"),
        ("FREQ=DAILY;BYSETPOS=1;COUNT=2", "0701 0702",
         "BYSETPOS needs another part that begins with BY; it is applied to the times of each period"),
    ],
)  # fmt: skip
def test_parts_of_a_rule_that_are_not_for_it_limit_it_with_a_warning(
    tmp_path: Path, rule: str, expected: str, warned: str
) -> None:
    found = items(tmp_path, calendar(event(START, f"RRULE:{rule}")))
    assert (days(found), warnings(found)) == (expected.split(), [(7, f"RRULE: {warned}")])


def test_times_of_the_day_mean_nothing_for_dates(tmp_path: Path) -> None:
    found = items(tmp_path, calendar(event("DTSTART;VALUE=DATE:20240701", "RRULE:FREQ=DAILY;BYHOUR=9;COUNT=2")))
    reason = "RRULE: has times of the day, which mean nothing, because DTSTART is a date"
    assert (days(found), warnings(found)) == (["0701", "0702"], [(7, reason)])


@pytest.mark.parametrize(
    "line",
    [
        "RRULE;FREQ=DAILY;COUNT=3", "RRULE FREQ=DAILY", "EXDATE 20240702T100000Z", "RDATE;20240702T100000Z",
        "STATUS CANCELLED", "DURATION;PT1H", 'DTEND;TZID="Hall:20240701T110000', "RECURRENCE-ID;20240701T100000Z",
        "STATUS:CONFIRMED\nSTATUS:CANCELLED",
    ],
)  # fmt: skip
def test_a_malformed_line_that_a_time_depends_on_rejects_its_event(tmp_path: Path, line: str) -> None:
    found = items(tmp_path, calendar(event(START, line), event(START, uid="b")))
    assert [item.external_id for item in found if isinstance(item, Record)] == ["b"]
    assert [line for line, _ in rejects(found)] == [3]


def test_a_malformed_line_before_the_uid_does_not_hide_it(tmp_path: Path) -> None:
    """The loader must know the id of a reject, to keep its row."""
    data = calendar("BEGIN:VEVENT\nDTEND 2024\nBEGIN:VALARM\nUID:alarm\nEND:VALARM\nUID:a\nEND:VEVENT\n")
    assert [item.external_id for item in items(tmp_path, data) if isinstance(item, Reject)] == ["a"]


def test_a_zone_with_a_malformed_rule_is_not_used(tmp_path: Path) -> None:
    broken = zone("Hall").replace("RRULE:", "RRULE;")
    found = items(tmp_path, calendar(broken, event("DTSTART;TZID=Hall:20240701T100000")))
    assert [reason.partition(":")[0] for _, reason in rejects(found)] == ["a time zone cannot be read", "DTSTART"]


def test_a_zone_warns_of_what_it_is_read_without(tmp_path: Path) -> None:
    parts = zone("Hall", "raw line", daylight="+02:00"), zone("Hall"), event("DTSTART;TZID=Hall:20240701T100000")
    found = items(tmp_path, calendar(*parts))
    assert times(found) == ["20240701T080000"]
    assert {reason for _, reason in warnings(found)} == {
        "'raw line' is no property; the line is left out",
        "TZOFFSETTO: has a colon in it, which is left out",
        "TZOFFSETFROM: has a colon in it, which is left out",
        "VTIMEZONE: 'Hall' is defined already; the first one is taken",
    }


@pytest.mark.parametrize("name", ["localtime", "Factory", "posixrules"])
def test_a_zone_does_not_depend_on_the_machine(tmp_path: Path, name: str) -> None:
    found = items(tmp_path, calendar(event(f"DTSTART;TZID={name}:20240701T100000")))
    assert rejects(found) == [(3, f"DTSTART: the time zone '{name}' is not defined")]


def test_exchange_has_a_name_of_its_own_for_utc(tmp_path: Path) -> None:
    found = items(tmp_path, calendar(event("DTSTART;TZID=tzone://Microsoft/Utc:20240701T100000")))
    assert (times(found), warnings(found)) == (["20240701T100000"], [])


def test_a_date_with_colons_is_shown_whole(tmp_path: Path) -> None:
    [(_, reason)] = rejects(items(tmp_path, calendar(event("DTSTART:2024-07-01T10:00:00Z"))))
    assert reason.startswith("DTSTART: '2024-07-01T10:00:00Z' is no date or time")


def test_dates_of_a_series_are_in_the_zone_of_dtstart_when_they_name_none(tmp_path: Path) -> None:
    series = [f"{NEW_YORK}:20240701T100000", "RDATE:20240705T100000", "RDATE:20240706T140000Z"]
    found = items(tmp_path, calendar(event(*series)))
    assert times(found) == ["20240701T140000", "20240705T140000", "20240706T140000"]
    assert warnings(found) == [(7, "RDATE: names no zone; that of DTSTART is taken")]


def test_dates_in_utc_are_compared_with_a_series_that_names_no_zone(tmp_path: Path) -> None:
    series = ["DTSTART:20240701T100000", "RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20240702T080000Z"]
    moved = event("RECURRENCE-ID:20240703T080000Z", "DTSTART:20240703T120000")
    found = items(tmp_path, calendar(event(*series), moved), time_zone=ZoneInfo("Europe/Berlin"))
    assert times(found) == ["20240701T080000", "20240703T100000"]
    reason = "has a zone, and DTSTART has none, so that it is in the feed's"
    assert warnings(found) == [(8, f"EXDATE: {reason}"), (10, f"RECURRENCE-ID: {reason}")]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("FREQ=DAILY;COUNT=2", "0703 0704"), ("FREQ=DAILY;UNTIL=20240702T100000Z", "0703 0704"),
     ("FREQ=WEEKLY;BYDAY=TU,TH;COUNT=1", "0701 0703 0704")],
)  # fmt: skip
def test_a_rule_that_excludes_ends_as_other_rules_do(tmp_path: Path, rule: str, expected: str) -> None:
    found = items(tmp_path, calendar(event(START, "RRULE:FREQ=DAILY;COUNT=4", f"EXRULE:{rule}")))
    assert days(found) == expected.split()


@pytest.mark.parametrize(
    ("override", "expected", "warned"),
    [
        (["RECURRENCE-ID:20240702T100000"], "0701 0703 0705", "RECURRENCE-ID: names no zone; that of DTSTART is taken"),
        (["RECURRENCE-ID;VALUE=DATE:20240702"], "0701 0703 0705",
         "RECURRENCE-ID: is a date, and DTSTART a time; the time of that is taken"),
        (["RECURRENCE-ID;RANGE=THISANDPRIOR:20240702T080000Z"], "0701 0703 0705",
         "RECURRENCE-ID: RANGE=THISANDPRIOR is not supported; the one time is replaced"),
        (["RECURRENCE-ID:20240702T080000Z", "RRULE:FREQ=DAILY;COUNT=3"], "0701 0703 0705",
         "RRULE: means nothing beside RECURRENCE-ID; it is left out"),
    ],
)  # fmt: skip
def test_an_override_that_is_written_wrong_replaces_its_time(
    tmp_path: Path, override: list[str], expected: str, warned: str
) -> None:
    series = event(f"{BERLIN}:20240701T100000", "RRULE:FREQ=DAILY;COUNT=3")
    found = items(tmp_path, calendar(series, event(*override, "DTSTART:20240705T080000Z")))
    assert (days(found), [reason for _, reason in warnings(found)]) == (expected.split(), [warned])


def test_an_american_spelling_cancels_an_event(tmp_path: Path) -> None:
    found = items(tmp_path, calendar(event(START, "STATUS:CANCELED")))
    assert (days(found), warnings(found)) == ([], [(7, "STATUS: CANCELED is taken for CANCELLED")])


@pytest.mark.parametrize(
    "length", ["DTEND:20240701T090000Z", "DURATION:-PT1H", "RDATE;VALUE=PERIOD:20240702T100000Z/-PT1H"]
)
def test_a_series_that_ends_before_it_begins_is_one_reject(tmp_path: Path, length: str) -> None:
    found = items(tmp_path, calendar(event(START, "RRULE:FREQ=DAILY;COUNT=3", length)))
    assert (len(rejects(found)), len(found)) == (1, 1)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_have_any_line_ends_and_be_utf_16(tmp_path: Path, end: str, encoding: str) -> None:
    data = calendar(event(START, "LOCATION:Ca\n f\u00e9")).replace("\n", end).encode(encoding)
    [record] = items(tmp_path, data)
    assert isinstance(record, Record)
    assert record.values[3] == "Caf\u00e9"


def test_a_file_that_begins_as_utf_16_and_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="begins as UTF-16, and is none"):
        items(tmp_path, b"\xff\xfe\x00\xd8" + calendar(event(START)).encode())


def test_vcalendar_is_read_with_a_warning(tmp_path: Path) -> None:
    found = items(tmp_path, calendar(event(START)).replace("VERSION:2.0", "VERSION:1.0"))
    assert warnings(found) == [(2, "VERSION: is 1.0, vCalendar; it is read as iCalendar")]


def test_a_rule_that_looks_at_very_many_seconds_is_rejected(tmp_path: Path) -> None:
    """Its interval is even, and the seconds are odd."""
    odd = ",".join(map(str, range(1, 60, 2)))
    found = items(tmp_path, calendar(event(START, f"RRULE:FREQ=SECONDLY;INTERVAL=2;BYSECOND={odd}")))
    assert rejects(found) == [(3, "RRULE: has too many hours, minutes or seconds to look through")]


def test_a_series_that_happens_too_often_in_the_window_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ics_series, "MAX_TIMES", 48)
    most, more = (calendar(event(START, f"RRULE:FREQ=HOURLY;COUNT={count}")) for count in (48, 49))
    assert len(times(items(tmp_path, most))) == 48
    assert rejects(items(tmp_path, more)) == [(3, "happens more than 48 times in the window")]


# Whatever comes

SAMPLE = calendar(
    zone("Hall"), event("DTSTART;TZID=Hall:20240701T100000", "RRULE:FREQ=MONTHLY;BYDAY=1MO,-1FR;COUNT=5",
    "EXDATE:20240702T100000Z"),
    event(START, "DURATION:PT1H", "GEO:1;2", "RDATE;VALUE=PERIOD:20240702T100000Z/PT2H", uid="b"),
    event("RECURRENCE-ID;RANGE=THISANDFUTURE:20240726T080000Z", "DTSTART;TZID=Hall:20240727T100000"),
).encode()  # fmt: skip
PIECES = [b"\r\n ", b";", b":", b",", b'"', b"\\", b"0", b"9999", b"-", b"Z", b"P", b"T", b"FREQ=SECONDLY",
          b"INTERVAL=7", b"\xff",
          b"BYSETPOS=-1", b"UNTIL=99991231T235959Z", b"00010101T000000", b"99991231", b"BEGIN:VEVENT\n",
          b"COUNT=99999999"]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=5))
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_gives_records_rejects_or_warnings(tmp_path: Path, changes: list[tuple[int, int, bytes]]) -> None:
    data = SAMPLE
    for place, length, piece in changes:
        data = data[:place] + piece + data[place + length :]
    found = items(
        tmp_path,
        b"BEGIN:VCALENDAR\n" + data + b"\nEND:VCALENDAR\n",
        window=Window(first=date(2024, 1, 1), last=date(2024, 12, 31)),
    )
    for item in found:
        assert isinstance(item, Record | FeedWarning) or item.reason
