"""Decodes values of JSON, for lines and for arrays.

msgspec decodes a line faster than the standard library, and refuses some values that the library takes (`1e400`, lone
surrogates); such lines go to the library. tests/unit/test_loader_json_values.py compares the two.
"""

import json
from typing import Any, NoReturn

import msgspec

TOO_DEEP = "not JSON: nested too deeply"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _digits(text: str) -> int | str:
    """Returns an integer, or its digits when they are more than Python reads (4,300)."""
    try:
        return int(text)
    except ValueError:
        return text


_FAST = msgspec.json.Decoder()
_STRICT = json.JSONDecoder(parse_constant=_refuse)


def decode_at(text: str, start: int) -> tuple[Any, int, str]:
    """Returns the value at a place of the text, the place of its end, and why it cannot be used; "" if it can.

    `{"a": NaN}` gives `{"a": None}`, 10 and "not JSON: NaN is not JSON".

    Raises:
        json.JSONDecodeError: no value is there, or it is broken.
        RecursionError: it is nested too deeply.
    """
    try:
        return *_STRICT.raw_decode(text, start), ""
    except json.JSONDecodeError:
        raise
    except ValueError:  # NaN or an infinity, or an integer of very many digits
        constants: list[str] = []
        tolerant = json.JSONDecoder(parse_constant=constants.append, parse_int=_digits)
        value, end = tolerant.raw_decode(text, start)
        return value, end, f"not JSON: {constants[0]} is not JSON" if constants else ""


def decode_line(data: bytes) -> tuple[Any, str]:
    """Returns the value of a line as far as it can be read, and why it cannot be used; "" if it can."""
    try:
        return _FAST.decode(data), ""
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return decode_any_line(data)


def decode_any_line(data: bytes) -> tuple[Any, str]:
    """Does the same with the standard library alone."""
    value, damage, reason = None, "", ""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        text, damage = data.decode(errors="surrogateescape"), f"invalid UTF-8 at byte {error.start + 1}"
    try:
        value, end, reason = decode_at(text, len(text) - len(text.lstrip(" \t\n\r")))
        if rest := text[end:].lstrip(" \t\n\r"):
            reason = reason or f"not JSON: Extra data at character {len(text) - len(rest) + 1}"
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        reason = TOO_DEEP
    return value, damage or reason
