"""Recurrence rules and time zones to compare implementations with; the same in every run."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random

from artemis_loader.files import LocalFile
from artemis_loader.formats.ics.components import split
from artemis_loader.formats.ics.recurrence import expand, matching
from artemis_loader.formats.ics.rules import Rule, read_rule
from artemis_loader.formats.ics.zones import define

SIZE = 8
"""Times of a rule that are compared."""
_NUMBER = 360
_LAST = datetime(2400, 1, 1)
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_PARTS = {
    "YEARLY": ("BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY", "BYHOUR", "BYSETPOS"),
    "MONTHLY": ("BYMONTH", "BYMONTHDAY", "BYDAY", "BYHOUR", "BYSETPOS"),
    "WEEKLY": ("BYMONTH", "BYDAY", "BYHOUR", "BYSETPOS", "WKST"),
    "DAILY": ("BYMONTH", "BYMONTHDAY", "BYDAY", "BYHOUR", "BYMINUTE"),
    "HOURLY": ("BYMONTH", "BYDAY", "BYHOUR", "BYMINUTE"),
    "MINUTELY": ("BYDAY", "BYHOUR", "BYMINUTE"),
}
"""The parts that RFC 5545 allows with each frequency, in the table of 3.3.10."""
EXAMPLES = (
    "FREQ=DAILY;COUNT=10",
    "FREQ=DAILY;UNTIL=20240910T000000Z",
    "FREQ=DAILY;INTERVAL=10;COUNT=5",
    "FREQ=YEARLY;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
    "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
    "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
    "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
    "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
    "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
    "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
    "FREQ=MONTHLY;BYMONTHDAY=-3",
    "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
    "FREQ=MONTHLY;BYMONTHDAY=31",
    "FREQ=MONTHLY;BYDAY=1MO,TU;COUNT=4",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
    "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
    "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
    "FREQ=YEARLY;BYDAY=20MO",
    "FREQ=YEARLY;BYDAY=-1SU,WE;BYSETPOS=1,-1",
    "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
    "FREQ=YEARLY;BYWEEKNO=20",
    "FREQ=YEARLY;BYWEEKNO=53;BYDAY=FR",
    "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
    "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY;BYYEARDAY=-1",
    "FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
    "FREQ=HOURLY;INTERVAL=3",
    "FREQ=MINUTELY;INTERVAL=90;COUNT=4",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1",
    "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1;WKST=SU",
)


def rules() -> list[dict[str, str]]:
    """Returns rules with a DTSTART that they match, in the middle of a period where there are several times in one."""
    chance = Random(5545)  # noqa: S311, nothing secret
    found: dict[str, str] = {}
    written = [*EXAMPLES, *islice(_written(chance), _NUMBER * 3)]
    for text in written:
        if len(found) == _NUMBER or text in found:
            continue
        rule = read_rule(text, _no_warning)
        base = datetime(2024, 1, 1, 9) + timedelta(days=chance.randrange(250))
        start = next(iter(matching(rule, base, base, _LAST)), None)
        if start is not None and next(islice(expand(rule, start, start, _LAST), 1, None), None):
            found[text] = f"{start:%Y%m%dT%H%M%S}"
    return [{"start": start, "rule": text} for text, start in found.items()]


def _no_warning(reason: str) -> None:
    """Fails, but for BYSETPOS on its own, which RFC 5545 forbids and all implementations read alike."""
    assert reason.startswith("BYSETPOS needs another part"), reason


def ours(start: str, text: str) -> list[str]:
    """Returns the first times of a rule as our code has them."""
    rule: Rule = read_rule(text, _no_warning)
    begin = datetime.fromisoformat(start)
    found = (each for each in expand(rule, begin, begin, _LAST) if _goes_on(each, rule))
    return [f"{each:%Y%m%dT%H%M%S}" for each in islice(found, SIZE)]


def _goes_on(moment: datetime, rule: Rule) -> bool:
    until = rule.until
    return not isinstance(until, datetime) or moment <= until.replace(tzinfo=None)


def _written(chance: Random) -> Iterator[str]:
    while True:
        frequency = chance.choice(list(_PARTS))
        parts = chance.sample(_PARTS[frequency], chance.choice((0, 1, 1, 2, 2, 3)))
        if "BYSETPOS" in parts and len(parts) == 1:
            continue
        if frequency == "MINUTELY" and "BYHOUR" not in parts:
            continue
        texts = [f"FREQ={frequency}"]
        if chance.random() < 0.4:
            texts.append(f"INTERVAL={chance.choice((2, 3, 5))}")
        texts += [f"{part}={_value(chance, frequency, part, parts)}" for part in sorted(parts)]
        yield ";".join(texts)


def _value(chance: Random, frequency: str, part: str, parts: list[str]) -> str:
    numbers = {
        "BYMONTH": list(range(1, 13)),
        "BYWEEKNO": [1, 2, 20, 52, 53, -1, -2],
        "BYYEARDAY": [1, 60, 100, 366, -1, -366, -100],
        "BYMONTHDAY": [1, 13, 15, 29, 30, 31, -1, -2, -31],
        "BYHOUR": [0, 9, 12, 23],
        "BYMINUTE": [0, 15, 59],
        "BYSETPOS": [1, 2, -1, -2],
    }
    if part == "WKST":
        return chance.choice(_DAYS)
    if part != "BYDAY":
        return ",".join(map(str, sorted(chance.sample(numbers[part], chance.choice((1, 1, 2))))))
    days = chance.sample(_DAYS, chance.choice((1, 2, 3)))
    if frequency in ("YEARLY", "MONTHLY") and "BYWEEKNO" not in parts:
        days = [f"{chance.choice(('', '', '1', '2', '-1'))}{day}" for day in days]
    return ",".join(days)


YEARLY = "RRULE:FREQ=YEARLY"


def _zone(*observances: tuple[str, str, str, str, str]) -> str:
    lines = ["BEGIN:VTIMEZONE", "TZID:Hall"]
    for kind, start, before, after, when in observances:
        lines += [f"BEGIN:{kind}", f"DTSTART:{start}", f"TZOFFSETFROM:{before}", f"TZOFFSETTO:{after}"]
        lines += [when] if when else []
        lines.append(f"END:{kind}")
    return "\r\n".join([*lines, "END:VTIMEZONE"])


def zones() -> list[dict[str, object]]:
    """Returns definitions of zones with local times, around their changes too."""
    european = _zone(
        ("STANDARD", "19701025T030000", "+0200", "+0100", "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU"),
        ("DAYLIGHT", "19700329T020000", "+0100", "+0200", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU"),
    )
    until = _zone(
        ("DAYLIGHT", "19870405T020000", "-0500", "-0400", f"{YEARLY};BYMONTH=4;BYDAY=1SU;UNTIL=20060402T070000Z"),
        ("STANDARD", "19871025T020000", "-0400", "-0500", f"{YEARLY};BYMONTH=10;BYDAY=-1SU;UNTIL=20061029T060000Z"),
        ("DAYLIGHT", "20070311T020000", "-0500", "-0400", "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=2SU"),
        ("STANDARD", "20071104T020000", "-0400", "-0500", "RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU"),
    )  # fmt: skip
    dates = _zone(
        (
            "STANDARD",
            "20200119T030000",
            "+1300",
            "+1200",
            f"{YEARLY};BYMONTH=1;BYDAY=3SU;UNTIL=20210116T140000Z",
        ),
        ("DAYLIGHT", "20191110T020000", "+1200", "+1300", "RDATE:20191110T020000,20201220T020000"),
    )
    fixed = _zone(("STANDARD", "19700101T000000", "+0530", "+0530", ""))
    walls = [
        *(f"2024{month:02}15T120000" for month in range(1, 13)),
        "20240331T015959", "20240331T023000", "20240331T030000", "20241027T013000",
        "20241027T023000", "20241027T033000",
        "20240310T015959", "20240310T023000", "20240310T033000", "20241103T003000",
        "20241103T013000", "20241103T023000",
        "20050403T013000", "20050403T033000", "20061029T013000", "20061029T120000",
        "20070310T120000", "20070312T120000",
        "19950701T120000", "20210116T120000", "20210117T020000", "20210117T120000", "20201220T013000",
        "20260501T120000",
    ]  # fmt: skip
    return [{"text": text, "walls": walls} for text in (european, until, dates, fixed)]


def our_utc(text: str, walls: list[str]) -> list[str]:
    """Returns local times of a zone in UTC as our code has them."""
    calendar = f"BEGIN:VCALENDAR\n{text}\nEND:VCALENDAR\n".encode()
    file = LocalFile(path=Path("zones.ics"), name="zones.ics", base="zones.ics", folder="")
    [found] = split(io.BufferedReader(io.BytesIO(calendar)), file)
    _, zone = define(found.blocks[0], lambda _line, _reason: None)
    moments = (datetime.fromisoformat(wall).replace(tzinfo=zone) for wall in walls)
    return [f"{moment.astimezone(UTC):%Y%m%dT%H%M%S}" for moment in moments]
