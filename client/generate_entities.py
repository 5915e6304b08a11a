"""Generates `artemis_client/entities.py` from the .proto files: a dataclass for each resource of the contract.

A resource is a message that has a field with the behavior IDENTIFIER (AIP-203). Its comments become docstrings. It runs
in the environment of the stubs' generator (requirements/proto.txt). With --check it only tells whether the file is what
the .proto files make.
"""

import argparse
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from google.api import field_behavior_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

HERE = Path(__file__).resolve().parent
TARGET = HERE / "src" / "artemis_client" / "entities.py"
WIDTH = 120
MESSAGES = 4  # the number of `message_type` in FileDescriptorProto, which paths of comments begin with
FIELDS = 2  # likewise of `field` in DescriptorProto
TIMESTAMP = ".google.protobuf.Timestamp"
INTEGER, TEXT, TIME = ("integer", "int", "0"), ("text", "str", '""'), ("time", "datetime", "UNSET_TIME")
KINDS = {FieldDescriptorProto.TYPE_INT64: INTEGER, FieldDescriptorProto.TYPE_STRING: TEXT}
HEAD = '''\
"""The resources of the contract in Python's terms. `make proto` generates this module from the .proto files.

Times are datetimes with a time zone, in UTC when the server sent them. An entity that the server returned has its
times; in one of your own, a time that you leave out is None, whatever its annotation says.
"""

from dataclasses import dataclass
from datetime import datetime

from artemis.v1 import {modules}

from artemis_client.fields import UNSET_TIME, check_integer, check_text, check_time, set_time, time_of
'''


class Field:
    """A field of a resource, and the lines that it has in the dataclass."""

    def __init__(self, field: FieldDescriptorProto, owner: str, comment: str) -> None:
        self.name, self._owner, self._comment = field.name, owner, comment
        kind = TIME if field.type_name == TIMESTAMP else KINDS.get(field.type)
        if kind is None or field.label == FieldDescriptorProto.LABEL_REPEATED:
            raise SystemExit(f"{owner}.{field.name}: {Path(__file__).name} has no Python type for this field yet")
        self._kind, self._type, self._default = kind
        self.is_time = kind is TIME
        self._optional = field.proto3_optional and not self.is_time
        if self._optional:
            self._type, self._default = f"{self._type} | None", "None"

    def declaration(self) -> Iterator[str]:
        """Yields the line of the field, and its docstring."""
        yield f"    {self.name}: {self._type} = {self._default}"
        yield from docstring(self._comment)

    def check(self) -> Iterator[str]:
        """Yields the lines of `__post_init__`."""
        call = f'check_{self._kind}("{self._owner}.{self.name}", self.{self.name})'
        if self.is_time or self._optional:
            yield f"        if self.{self.name} is not None:"
            yield f"            {call}"
        else:
            yield f"        {call}"

    def copy_time(self) -> Iterator[str]:
        """Yields the lines of `to_message` for a time."""
        yield f"        if self.{self.name} is not None:"
        yield f"            set_time(message.{self.name}, self.{self.name})"

    def read(self) -> str:
        """Returns the line of `from_message`."""
        value = f"time_of(message.{self.name})" if self.is_time else f"message.{self.name}"
        if self.is_time or self._optional:
            value += f' if message.HasField("{self.name}") else None'
        return f'        put(entity, "{self.name}", {value})'


def main() -> int:
    """Writes or checks the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if the file differs, and change nothing")
    check = parser.parse_args().check
    text = module(described())
    if not check:
        TARGET.write_text(text, encoding="utf-8")
    elif text != TARGET.read_text(encoding="utf-8"):
        print(f"{TARGET.name} is not what the .proto files make; run `make proto`")
        return 1
    return 0


def described() -> FileDescriptorSet:
    """Returns the descriptors of the contract, with their comments."""
    generate = HERE.parent / "protos" / "generate.py"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as image:
        subprocess.run([sys.executable, str(generate), "--image", image.name], check=True)
        return FileDescriptorSet.FromString(Path(image.name).read_bytes())


def module(image: FileDescriptorSet) -> str:
    """Returns the text of entities.py."""
    modules, classes = [], []
    for file in image.file:
        found = [entity(file, index) for index, each in enumerate(file.message_type) if is_resource(each)]
        if file.package.startswith("artemis.") and found:
            modules.append(stub(file))
            classes += found
    return "\n\n".join([HEAD.format(modules=", ".join(sorted(modules))), *classes])


def is_resource(message: DescriptorProto) -> bool:
    """Tells whether a field identifies the message."""
    behavior = field_behavior_pb2.field_behavior
    return any(field_behavior_pb2.IDENTIFIER in field.options.Extensions[behavior] for field in message.field)


def stub(file: FileDescriptorProto) -> str:
    """Returns the name of the generated module of a file, such as "events_pb2"."""
    return f"{Path(file.name).stem}_pb2"


def entity(file: FileDescriptorProto, index: int) -> str:
    """Returns the dataclass of a message."""
    message = file.message_type[index]
    comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
    name, made = message.name, f"{stub(file)}.{message.name}"
    fields = [
        Field(field, name, comments.get((MESSAGES, index, FIELDS, number), ""))
        for number, field in enumerate(message.field)
    ]
    arguments = [f"            {each.name}=self.{each.name}," for each in fields if not each.is_time]
    lines = [
        "@dataclass(frozen=True, kw_only=True, slots=True)",
        f"class {name}:",
        *docstring(comments.get((MESSAGES, index), "")),
        "",
        *(line for each in fields for line in each.declaration()),
        "",
        "    def __post_init__(self) -> None:",
        *(line for each in fields for line in each.check()),
        "",
        f"    def to_message(self) -> {made}:",
        '        """Returns the message of the stubs."""',
        f"        message = {made}(",
        *arguments,
        "        )",
        *(line for each in fields if each.is_time for line in each.copy_time()),
        "        return message",
        "",
        "    @classmethod",
        f'    def from_message(cls, message: {made}) -> "{name}":',
        '        """Returns the entity of a message, which needs no check."""',
        "        entity, put = object.__new__(cls), object.__setattr__",
        *(each.read() for each in fields),
        "        return entity",
        "",
    ]
    return "\n".join(lines)


def docstring(comment: str) -> list[str]:
    """Returns the lines of a docstring within a class, none without a comment. Paragraphs are wrapped anew."""
    escaped = comment.replace("\\", "\\\\").replace('"', '\\"' if '"""' in comment else '"')
    paragraphs = [" ".join(each.split()) for each in escaped.split("\n\n") if each.strip()]
    if not paragraphs:
        return []
    lines = textwrap.wrap(f'"""{paragraphs[0]}', WIDTH - 4)
    for other in paragraphs[1:]:
        lines += ["", *textwrap.wrap(other, WIDTH - 4)]
    lines = [f"    {line}" if line else "" for line in lines]
    if len(paragraphs) > 1 or len(lines[-1]) > WIDTH - 3 or lines[-1].endswith('"'):
        return [*lines, '    """']
    return [*lines[:-1], f'{lines[-1]}"""']


if __name__ == "__main__":
    sys.exit(main())
