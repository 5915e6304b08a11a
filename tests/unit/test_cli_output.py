"""The output of the command: nothing acts on a terminal or a spreadsheet, columns align, times are in their zone."""

import csv
import io
import json
import unicodedata
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from artemis.v1.events_pb2 import Event
from artemis_client.cli import times
from artemis_client.cli.lines import request_id
from artemis_client.cli.output.escape import for_spreadsheet, for_terminal, json_for_terminal
from artemis_client.cli.output.tables import Heading, fit, write_table
from artemis_client.cli.resources import RESOURCES
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

TEXTS = st.text(st.characters(codec="utf-8"))
BERLIN = ZoneInfo("Europe/Berlin")


@given(TEXTS)
def test_no_character_of_a_table_acts_on_the_terminal(text: str) -> None:
    shown = for_terminal(text)

    assert not [each for each in shown if unicodedata.category(each) in ("Cc", "Zl", "Zp", "Cs")]
    assert for_terminal(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Red \x1b[31m alert", r"Red \x1b[31m alert"),
        ("two\nlines\tand\r", r"two\nlines\tand\r"),
        ("8-bit \x9b31m", r"8-bit \x9b31m"),
        ("turned \u202e around", r"turned \u202e around"),
        ("京都 🎉 naïve", "京都 🎉 naïve"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_a_character_that_acts_is_shown_by_its_number(text: str, shown: str) -> None:
    assert for_terminal(text) == shown


@given(TEXTS)
def test_json_for_a_terminal_has_the_same_value(text: str) -> None:
    shown = json_for_terminal(json.dumps({text: text}, ensure_ascii=False))

    assert json.loads(shown) == {text: text}
    assert not set(shown) & {"\x1b", "\x7f", "\x9b", "\u202e", "\u2066"}


@given(TEXTS)
def test_no_cell_of_a_spreadsheet_is_a_formula(text: str) -> None:
    cell = for_spreadsheet(text)

    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert text in (cell, cell[1:])


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=5))
def test_csv_that_is_read_back_has_the_same_values(rows: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerows(rows)

    assert [*csv.reader(io.StringIO(file.getvalue(), newline=""), strict=True)] == rows


@given(st.lists(st.tuples(st.integers(1, 10**9).map(str), TEXTS, TEXTS), min_size=1, max_size=8), st.integers(20, 120))
def test_a_table_is_no_wider_than_the_terminal(rows: list[tuple[str, str, str]], width: int) -> None:
    headings = [Heading("ID", is_whole=True), Heading("NAME"), Heading("PLACE", is_optional=True)]
    shown = [tuple(map(for_terminal, row)) for row in rows]

    widths = fit(headings, shown, width)

    assert sum(widths) + 2 * (len([each for each in widths if each]) - 1) <= width
    assert widths[0] >= max(len(row[0]) for row in rows)


def test_columns_align_beside_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    write_table([Heading("PLACE"), Heading("ID", is_whole=True)], [("京都", "1"), ("Kyoto", "2"), ("🎉🎉", "3")], 80)

    lines = capsys.readouterr().out.splitlines()
    assert {cell_len(line[: line.rindex(each)]) for line, each in zip(lines, ("ID", "1", "2", "3"), strict=True)} == {7}


def test_a_value_that_is_too_long_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    write_table([Heading("ID", is_whole=True), Heading("NAME")], [("1", "京" * 5000)], 21)

    assert capsys.readouterr().out.splitlines()[1] == "1   " + "京" * 8 + "…"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2030-05-04T09:00:00Z", "2030-05-04T09:00:00+00:00"),
        ("2030-05-04 09:00+05:30", "2030-05-04T03:30:00+00:00"),
        ("2030-05-04 09:00", "2030-05-04T07:00:00+00:00"),
        ("2030-01-04", "2030-01-03T23:00:00+00:00"),
        ("2030-05-04T09:00:00.123456Z", "2030-05-04T09:00:00.123456+00:00"),
    ],
)
def test_a_time_is_read_in_rfc_3339_or_in_the_zone(text: str, expected: str) -> None:
    time, placed = times.parse(text, BERLIN)

    assert time.astimezone(UTC).isoformat() == expected
    assert placed == ("+" not in text and "Z" not in text)


@pytest.mark.parametrize("text", ["", "tomorrow", "2030-02-30", "2030-03-31 02:30", "0000-01-01", "9:00"])
def test_a_text_that_is_no_time_of_the_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        times.parse(text, BERLIN)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_that_is_shown_is_read_back_to_the_second(time: datetime) -> None:
    message = Timestamp()
    message.FromDatetime(time)

    read, placed = times.parse(times.shown(message, BERLIN), UTC)

    assert (read, placed) == (time.replace(microsecond=0), False)


@given(st.lists(TEXTS.filter(lambda text: len(text) < 200), min_size=1, max_size=4), st.integers(1, 10**6))
def test_a_request_id_is_the_same_for_the_same_lines_alone(names: list[str], line: int) -> None:
    events = [Event(name=name) for name in names]
    made = request_id(RESOURCES["events"], events, line, "")

    assert made == request_id(RESOURCES["events"], events, line, "")
    others = [
        request_id(RESOURCES["events"], [*events, Event()], line, ""),
        request_id(RESOURCES["events"], events, line + 1, ""),
        request_id(RESOURCES["events"], events, line, "again"),
        request_id(RESOURCES["users"], events, line, ""),
    ]
    assert len({made, *others}) == 5
    assert made[14] == "4"


def test_the_zone_of_a_time_may_have_seconds() -> None:
    message = Timestamp()
    message.FromDatetime(datetime(1880, 1, 1, tzinfo=UTC))

    assert times.shown(message, BERLIN) == "1880-01-01 00:53:28+00:53:28"
    assert timedelta(0, 3208) == datetime(1880, 1, 1, tzinfo=BERLIN).utcoffset()
