"""The rules that a record must satisfy: those of the contract (protos/artemis/v1), of which the loader knows nothing.

tests/unit/test_loader_rules.py compares the two.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from operator import ge, gt
from typing import Any

from artemis_loader.feeds import Entity

EARLIEST = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z."""
LATEST = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z."""
LONGEST_EXTERNAL_ID = 500
"""Characters. The loader's own limit: the column is part of an index, whose entries PostgreSQL limits."""
_TEXTS: Mapping[Entity, Mapping[str, int]] = {
    "events": {"name": 200, "description": 8192, "category": 100, "location": 300, "publisher": 100},
    "users": {"email": 254, "first_name": 100, "last_name": 100},
}
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


def identity_fault(external_id: str) -> str:
    """Returns what is wrong with what identifies a record; nothing if it can be stored."""
    if not external_id:
        return "external_id is missing"
    return text_fault("external_id", external_id, LONGEST_EXTERNAL_ID)


def fault(entity: Entity, values: Sequence[Any]) -> str:
    """Returns what is wrong with the values of a record, in the order of COLUMNS; nothing for a valid one."""
    texts = zip(_TEXTS[entity].items(), values)  # noqa: B905, an event has times after them
    faults = (text_fault(field, value, longest) for (field, longest), value in texts)
    return next(filter(None, faults), "") or _MEANINGS[entity](*values)


def all_faultless(entity: Entity, external_ids: Sequence[str], columns: Sequence[Sequence[Any]]) -> bool:
    """Tells whether no record has a fault of either kind. Looking at their values column by column is much faster."""
    limits = [LONGEST_EXTERNAL_ID, *_TEXTS[entity].values()]
    texts = [external_ids, *columns][: len(limits)]
    lengths = [max(map(len, column), default=0) for column in texts]
    if not all(external_ids) or any(map(gt, lengths, limits)):
        return False
    together = "".join(map("".join, texts))
    return "\0" not in together and is_unicode(together) and _ALL_MEANINGS[entity](*columns)


def _event_fault(
    name: str, _description: str, _category: str, _location: str, _publisher: str, start: int, end: int
) -> str:
    if is_blank(name):
        return "name is blank"
    if not EARLIEST <= start <= LATEST:
        return "start_time is not within the years 1 to 9999"
    if not EARLIEST <= end <= LATEST:
        return "end_time is not within the years 1 to 9999"
    return "end_time is before start_time" if end < start else ""


def _user_fault(email: str, _first_name: str, _last_name: str) -> str:
    if not email:
        return "email is missing"
    return "" if _EMAIL.fullmatch(email) else "email is not an e-mail address"


_MEANINGS: Mapping[Entity, Callable[..., str]] = {"events": _event_fault, "users": _user_fault}
"""The rules about what texts and times say, for values in the order of COLUMNS."""


def _events_faultless(names: Sequence[str], *columns: Sequence[Any]) -> bool:
    starts, ends = columns[-2:]
    return (
        not any(map(is_blank, names))
        and min(starts, default=EARLIEST) >= EARLIEST
        and max(ends, default=LATEST) <= LATEST
        and all(map(ge, ends, starts))
    )


def _users_faultless(*columns: Sequence[str]) -> bool:
    return not any(map(_user_fault, *columns))


_ALL_MEANINGS: Mapping[Entity, Callable[..., bool]] = {"events": _events_faultless, "users": _users_faultless}
"""The same, for columns of values."""


_DRAWN_AS_NOTHING = frozenset(map(chr, [0x115F, 0x1160, 0x2065, 0x2800, 0x3164, 0xFFA0, *range(0xFFF0, 0xFFF9)]))
"""Letters and symbols without a shape: the Hangul fillers, the Braille blank, and ignorable characters."""


def is_blank(name: str) -> bool:
    """Tells whether a name shows nothing: it has only spaces, controls, marks and characters without a shape."""
    return not "!" <= name[:1] <= "~" and all(map(_is_blank, name))


def _is_blank(character: str) -> bool:
    category = unicodedata.category(character)
    return (
        category[0] in "ZM"
        or category in ("Cc", "Cf")
        or character in _DRAWN_AS_NOTHING
        or "\U000e0000" <= character <= "\U000e0fff"
    )


def is_unicode(text: str) -> bool:
    """Tells whether the text can be written as UTF-8, which lone surrogates cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
