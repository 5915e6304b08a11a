"""Decodes values of JSON, in the same way for both formats that have them."""

import json
from typing import Any, NoReturn

import msgspec


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _digits(text: str) -> int | str:
    """Returns an integer, or its digits when they are more than Python reads."""
    try:
        return int(text)
    except ValueError:
        return text


_QUICK = msgspec.json.Decoder()
_USUAL = json.JSONDecoder(parse_constant=_refuse)
_LONG = json.JSONDecoder(parse_constant=_refuse, parse_int=_digits)
_ALMOST = json.JSONDecoder(parse_constant=lambda _: None, parse_int=_digits)


def decode(text: str) -> Any:
    """Returns the value of a text that has nothing else but spaces.

    Raises:
        ValueError, RecursionError: it is no JSON, or nested too deeply; `reason` tells it.
    """
    try:
        return _USUAL.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of very many digits, or NaN, which is refused again
        return _LONG.decode(text)


def decode_line(data: bytes) -> Any:
    """Returns the value of a line. Raises what `decode` does, and UnicodeDecodeError, which is a ValueError.

    The quick decoder takes less than the usual one, and what it takes means the same to both.
    """
    try:
        return _QUICK.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return decode(data.decode())


def decode_at(text: str, start: int) -> tuple[Any, int]:
    """Returns the value that begins at a place of the text, and where it ends. Raises what `decode` does."""
    try:
        return _USUAL.raw_decode(text, start)
    except json.JSONDecodeError:
        raise
    except ValueError:  # as in decode
        return _LONG.raw_decode(text, start)


def almost_at(text: str, start: int) -> tuple[Any, int]:
    """Returns what `decode_at` does, and None for what is no JSON: NaN and the infinities."""
    return _ALMOST.raw_decode(text, start)


def known(text: str) -> Any:
    """Returns what can be told of a text that is almost JSON; None for nothing."""
    try:
        return almost_at(text, 0)[0]
    except (ValueError, RecursionError):
        return None


def reason(error: Exception) -> str:
    """Returns what is wrong with a text, in words for people."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos + 1}"
    return "not JSON: nested too deeply" if isinstance(error, RecursionError) else f"not JSON: {error}"
