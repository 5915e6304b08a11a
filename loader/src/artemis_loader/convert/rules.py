"""The rules that a record must satisfy: those of the contract (protos/artemis/v1), which the loader does not import.

tests/unit/test_loader_rules.py compares the two.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain
from operator import ge
from typing import Any

from artemis_loader.entities import EXTERNAL_ID, Entity, Field
from artemis_loader.formats.rows import is_unicode

EARLIEST = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z."""
LATEST = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z."""
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")
"""A valid address as HTML has it (https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address)."""


def identity_fault(external_id: str) -> str:
    """Returns why the external_id of a record cannot be stored; empty if it can."""
    return _text_fault(EXTERNAL_ID, external_id) if external_id else "external_id is missing"


def fault(entity: Entity, values: Sequence[Any]) -> str:
    """Returns why the values of a record, in the order of the entity's fields, cannot be stored; empty if they can.

    ("Expo", "", "", "", "", 5, 3) of an event gives "end_time is before start_time".
    """
    pairs = tuple(zip(entity.fields, values, strict=True))
    faults = chain(
        (_text_fault(field, value) for field, value in pairs if field.max_length),
        (_rule_fault(field, value) for field, value in pairs),
        (
            f"{field.name} is before {field.end_of}"
            for field, value in pairs
            if field.end_of and value < values[entity.columns.index(field.end_of)]
        ),
    )
    return next(filter(None, faults), "")


def _text_fault(field: Field, value: str) -> str:
    if len(value) > field.max_length:
        return f"{field.name} has {len(value)} characters, more than {field.max_length}"
    if "\0" in value:
        return f"{field.name} contains U+0000"
    return "" if is_unicode(value) else f"{field.name} is not valid Unicode"


def _rule_fault(field: Field, value: Any) -> str:
    if not field.max_length:
        return "" if EARLIEST <= value <= LATEST else f"{field.name} is not within the years 1 to 9999"
    if field.rule == "not blank" and is_blank(value):
        return f"{field.name} is blank"
    if field.rule == "email or nothing" and not value:
        return ""
    if field.rule.startswith("email") and not _EMAIL.fullmatch(value):
        return f"{field.name} is not an e-mail address" if value else f"{field.name} is missing"
    return ""


def all_faultless(entity: Entity, external_ids: Sequence[str], columns: Sequence[Sequence[Any]]) -> bool:
    """Tells whether no record has a fault of either kind. Checking them column by column is much faster."""
    texts = [(EXTERNAL_ID, external_ids)]
    texts += [(field, column) for field, column in zip(entity.fields, columns, strict=True) if field.max_length]
    if not all(external_ids) or any(max(map(len, column), default=0) > field.max_length for field, column in texts):
        return False
    together = "".join(["".join(column) for _, column in texts])
    if "\0" in together or not is_unicode(together):
        return False
    by_name = dict(zip(entity.columns, columns, strict=True))
    return all(
        _follow_rule(field, column) and (not field.end_of or all(map(ge, column, by_name[field.end_of])))
        for field, column in zip(entity.fields, columns, strict=True)
    )


def _follow_rule(field: Field, column: Sequence[Any]) -> bool:
    if not field.max_length:
        return min(column, default=EARLIEST) >= EARLIEST and max(column, default=LATEST) <= LATEST
    if field.rule == "not blank":
        return not any(map(is_blank, [text for text in column if not "!" <= text[:1] <= "~"]))
    if field.rule == "email or nothing":
        return all(map(_EMAIL.fullmatch, filter(None, column)))
    return field.rule != "email" or all(map(_EMAIL.fullmatch, column))


_DRAWN_AS_NOTHING = frozenset(map(chr, [0x115F, 0x1160, 0x2065, 0x2800, 0x3164, 0xFFA0, *range(0xFFF0, 0xFFF9)]))
"""Letters and symbols without a shape: the Hangul fillers, the Braille blank, and ignorable characters."""


def is_blank(text: str) -> bool:
    """Tells whether a text shows nothing: it has only spaces, controls, marks and characters without a shape."""
    return not "!" <= text[:1] <= "~" and all(map(_shows_nothing, text))


def _shows_nothing(character: str) -> bool:
    category = unicodedata.category(character)
    return (
        category[0] in "ZM"
        or category in ("Cc", "Cf")
        or character in _DRAWN_AS_NOTHING
        or "\U000e0000" <= character <= "\U000e0fff"
    )
