"""Writes docs/reference.md: the services, messages and enums of the contract, with the comments of the .proto files.

It runs in the environment of generate.py, which makes the descriptors. Nothing imports it but check.py.
"""

import argparse
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generate import HERE, describe
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

PAGE = HERE.parent / "docs" / "reference.md"
HEAD = """\
# API reference

This page has every method, message and field of the contract. `make proto` makes it from the comments of the .proto
files in `protos/artemis/v1`; change those, and not this page. [tour.md](tour.md) shows the methods with `grpcurl`, and
[semantics.md](semantics.md) explains what they have in common.

A method names the role that its caller needs on a server with access control ([access.md](access.md)). A field is
optional unless it is marked.
"""
MARKS = {"REQUIRED": "required", "OUTPUT_ONLY": "set by the server", "IDENTIFIER": "identifies it"}
"""The words of the page for a field's behaviour (AIP-203)."""
Path_ = tuple[int, ...]
"""A place in a file, as `SourceCodeInfo.Location` has it: (4, 0, 2, 3) is field 3 of message 0."""


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        image = describe(HERE, Path(scratch))
    options.out.write_text(page_of(image), encoding="utf-8")


def page_of(image: FileDescriptorSet) -> str:
    """Returns the page of the files of the contract; the image has the files that they import, too."""
    files = [Page(file, Options(image)) for file in image.file if file.name.startswith("artemis/")]
    files.sort(key=lambda file: (not file.file.service, file.file.name))  # files of types alone come last
    return "\n".join([HEAD, *(text for file in files for text in file.sections())])


class Options:
    """Reads the options that the contract's own extensions define: a descriptor keeps them as bytes."""

    def __init__(self, image: FileDescriptorSet) -> None:
        self._pool = DescriptorPool()
        for file in image.file:
            self._pool.Add(file)

    def of(self, options: Message, name: str) -> list[str]:
        """Returns the names of the enum values of an extension, such as `google.api.field_behavior`."""
        extension: Any = self._pool.FindExtensionByName(name)
        known: Any = GetMessageClass(self._pool.FindMessageTypeByName(options.DESCRIPTOR.full_name))
        value = known.FromString(options.SerializeToString()).Extensions[extension]
        numbers = value if extension.is_repeated else [value]
        return [extension.enum_type.values_by_number[number].name for number in numbers]


class Page:
    """The part of the page that one file makes."""

    def __init__(self, file: FileDescriptorProto, options: Options) -> None:
        self.file = file
        self._options = options
        self._comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}

    def sections(self) -> Iterator[str]:
        """Yields the services, then the messages and enums."""
        for index, service in enumerate(self.file.service):
            yield from self._service(service, (6, index))
        yield f"## Types of {self.file.name.rpartition('/')[2]}\n"
        for index, message in enumerate(self.file.message_type):
            yield from self._message(message, (4, index), message.name)
        for index, enum in enumerate(self.file.enum_type):
            yield self._enum(enum, (5, index), enum.name)

    def _service(self, service: ServiceDescriptorProto, path: Path_) -> Iterator[str]:
        yield f"## {service.name}\n\n{self._comment(path)}"
        for index, method in enumerate(service.method):
            yield self._method(method, (*path, 2, index))

    def _method(self, method: MethodDescriptorProto, path: Path_) -> str:
        (role,) = self._options.of(method.options, "artemis.v1.required_role")
        takes, returns = linked(method.input_type), linked(method.output_type)
        stream = "a stream of " * method.server_streaming
        line = f"Takes {takes}, returns {stream}{returns}. Role: {role.removeprefix('ROLE_').lower()}."
        return f"### {method.name}\n\n{line}\n\n{self._comment(path)}"

    def _message(self, message: DescriptorProto, path: Path_, name: str) -> Iterator[str]:
        fields = [self._field(field, (*path, 2, index)) for index, field in enumerate(message.field)]
        yield f"### {name}\n\n{self._comment(path)}\n" + "".join(fields)
        for index, enum in enumerate(message.enum_type):
            yield self._enum(enum, (*path, 4, index), f"{name}.{enum.name}")

    def _field(self, field: FieldDescriptorProto, path: Path_) -> str:
        marks = [MARKS[each] for each in self._options.of(field.options, "google.api.field_behavior") if each in MARKS]
        return item(field.name, ", ".join([type_of(field), *marks]), self._comment(path))

    def _enum(self, enum: EnumDescriptorProto, path: Path_, name: str) -> str:
        values = [
            item(value.name, str(value.number), self._comment((*path, 2, index)))
            for index, value in enumerate(enum.value)
        ]
        return f"### {name}\n\n{self._comment(path)}\n" + "".join(values)

    def _comment(self, path: Path_) -> str:
        return markdown(self._comments.get(path, ""))


def item(name: str, note: str, comment: str) -> str:
    """Returns a list item: the name, a note, and the comment below it."""
    indented = "".join(f"  {line}".rstrip() + "\n" for line in comment.splitlines())
    return f"- **`{name}`** ({note})\n\n{indented}\n"


def type_of(field: FieldDescriptorProto) -> str:
    """Returns the type: "int64", "list of [Event](#event)"."""
    name = linked(field.type_name) if field.type_name else FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    return f"list of {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def linked(full_name: str) -> str:
    """Returns a type of ours as a link to its heading, and another one as its name."""
    name = full_name.removeprefix(".artemis.v1.")
    return f"`{full_name[1:]}`" if name == full_name else f"[{name}](#{name.lower().replace('.', '')})"


def markdown(comment: str) -> str:
    """Returns a comment with its pages as links. Outside of code, `*` and `<` stand for themselves."""
    lines = [line.removeprefix(" ").rstrip() for line in comment.strip("\n").splitlines()]
    parts = re.split(r"(`[^`]*`)", "".join(f"{line}\n" for line in lines))
    for index in range(0, len(parts), 2):
        escaped = re.sub(r"([*<])", r"\\\1", parts[index])
        parts[index] = re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", escaped)
    return "".join(parts)


if __name__ == "__main__":
    main()
