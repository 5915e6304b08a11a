"""The rules that a record must satisfy: those of the contract (protos/artemis/v1), of which the loader knows nothing.

tests/unit/test_loader_rules.py compares the two.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from operator import gt
from typing import Any

from artemis_loader.records import Value

EARLIEST = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z."""
LATEST = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z."""
LONGEST_EXTERNAL_ID = 500
"""Characters. The loader's own limit: the column is part of an index, whose entries PostgreSQL limits."""
_EVENT_TEXTS = {"name": 200, "description": 8192, "category": 100, "location": 300, "publisher": 100}
_USER_TEXTS = {"email": 254, "first_name": 100, "last_name": 100}
"""The texts of an entity in the order of COLUMNS, and the most characters of each."""
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")
"""A valid address as HTML has it (https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address)."""


def text_fault(field: str, value: str, longest: int) -> str:
    """Returns what is wrong with a text, or nothing: too long, U+0000, or no Unicode text at all."""
    if len(value) > longest:
        return f"{field} has {len(value)} characters, more than {longest}"
    if "\0" in value:
        return f"{field} contains U+0000"
    if not is_unicode(value):
        return f"{field} is not valid Unicode"
    return ""


def _texts_fault(values: Sequence[str], limits: Mapping[str, int]) -> str:
    """Returns what is wrong with the first faulty text. Most have no fault, which is seen for all at once."""
    together = "".join(values)
    if (
        not any(map(gt, map(len, values), limits.values()))
        and "\0" not in together
        and (together.isascii() or is_unicode(together))
    ):
        return ""
    faults = (text_fault(field, value, longest) for (field, longest), value in zip(limits.items(), values, strict=True))
    return next(filter(None, faults), "")


def event_fault(values: tuple[Any, ...]) -> str:
    """Returns what is wrong with the values of an event, in the order of COLUMNS; nothing for a valid one."""
    *texts, start, end = values
    if fault := _texts_fault(texts, _EVENT_TEXTS):
        return fault
    name = texts[0]
    if not name[:1].isalnum() and is_blank(name):
        return "name is blank"
    if not EARLIEST <= start <= LATEST:
        return "start_time is not within the years 1 to 9999"
    if not EARLIEST <= end <= LATEST:
        return "end_time is not within the years 1 to 9999"
    return "end_time is before start_time" if end < start else ""


def user_fault(values: tuple[Any, ...]) -> str:
    """Returns what is wrong with the values of a user, in the order of COLUMNS; nothing for a valid one."""
    if fault := _texts_fault(values, _USER_TEXTS):
        return fault
    email = values[0]
    if not email:
        return "email is missing"
    return "" if _EMAIL.fullmatch(email) else "email is not an e-mail address"


FAULTS: dict[str, Callable[[tuple[Value, ...]], str]] = {"events": event_fault, "users": user_fault}
"""The rule of each entity."""


def is_blank(name: str) -> bool:
    """Tells whether a name has nothing but spaces, control and format characters."""
    return not name[:1].isalnum() and all(_is_blank(character) for character in name)


def _is_blank(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "Z" or category in ("Cc", "Cf")


def is_unicode(text: str) -> bool:
    """Tells whether the text can be written as UTF-8, which lone surrogates cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
