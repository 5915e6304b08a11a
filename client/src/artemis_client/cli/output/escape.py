"""Characters that would act on a terminal or a spreadsheet instead of being shown."""

import re
import unicodedata

_JOINERS = "\u200c\u200d"
"""Characters without a width that words and emojis of many languages need."""
_FORMULA = re.compile("[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")  # also in their full widths, which Excel takes as well
_ACTING_IN_JSON = re.compile("[\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def for_terminal(text: str) -> str:
    r"""Returns a text without control characters, and without those that hide or turn others around.

    "Red \x1b[31m alert\n" -> r"Red \x1b[31m alert\n"
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def json_for_terminal(text: str) -> str:
    r"""Returns JSON of the same value, in which characters that act on a terminal are written as \u and four digits."""
    return _ACTING_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def for_spreadsheet(text: str) -> str:
    """Returns a text that no spreadsheet takes for a formula: one that looks like it begins with an apostrophe.

    "=1+1" -> "'=1+1"
    """
    return f"'{text}" if _FORMULA.match(text) else text


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _INVISIBLE or character in _JOINERS:
        return character
    return _NAMES.get(character) or character.encode("unicode_escape", "surrogatepass").decode("ascii")
