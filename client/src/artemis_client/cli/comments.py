"""The comments of the .proto files, which are packaged with the stubs: an option's help is its field's comment."""

import re
from functools import cache
from importlib.resources import files

_COMMENT = re.compile(r" +// ?(.*)")
_FIELD = re.compile(r"  (?:optional |repeated )?[\w.]+ (\w+) = \d+")
_MESSAGE = re.compile(r"message (\w+) \{")


def field_comments(proto: str, message: str) -> dict[str, str]:
    """Returns the first paragraph of the comment of each field of a message in a file, by the field's name.

    {"location": "The place of the event, such as "Kyoto, Japan": at most 300 characters.", ...}
    """
    return _comments(proto).get(message, {})


@cache
def _comments(proto: str) -> dict[str, dict[str, str]]:
    """Returns the comments of a file by message and field."""
    package, _, rest = proto.partition("/")
    found: dict[str, dict[str, str]] = {}
    fields: dict[str, str] = {}
    lines: list[str] = []
    for line in files(package).joinpath(rest).read_text(encoding="utf-8").splitlines():
        if comment := _COMMENT.fullmatch(line):
            lines.append(comment[1])
            continue
        if message := _MESSAGE.match(line):
            fields = found.setdefault(message[1], {})
        elif field := _FIELD.match(line):
            fields[field[1]] = " ".join("\n".join(lines).partition("\n\n")[0].split()).replace("`", "")
        lines = []
    return found
