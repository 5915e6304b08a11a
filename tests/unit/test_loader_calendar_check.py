"""Recurrence rules and zones, by our code and by others: tests/calendars/differences.toml lists every difference."""

import json
import tomllib
from pathlib import Path

from tests.calendars import cases

FOLDER = Path(cases.__file__).parent


def test_the_times_of_rules_and_zones_are_those_of_other_implementations_but_for_the_differences_listed() -> None:
    """The others were asked once, in Node: see `python -m tests.calendars`."""
    _, *answers = json.loads((FOLDER / "answers.json").read_text())
    rules = [answer for answer in answers if "rule" in answer]
    found = set()
    for answer in rules:
        ours = cases.ours(answer["start"], answer["rule"])
        found |= {(of, answer["rule"]) for of in ("ical.js", "rrule.js") if answer[of] != ours}
    for number, answer in enumerate(answer for answer in answers if "walls" in answer):
        times = zip(answer["walls"], cases.our_utc(answer["text"], answer["walls"]), answer["ical.js"], strict=True)
        found |= {("ical.js", f"{number} {wall}") for wall, ours, other in times if ours != other}
    listed = tomllib.loads((FOLDER / "differences.toml").read_text())["differences"]
    assert {(each["of"], name) for each in listed for name in each.get("rules", []) + each.get("zones", [])} == found
    assert len(rules) > 300
    assert all(each["reason"] for each in listed)
