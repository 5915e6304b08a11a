"""Writes the contract for other languages: one descriptor set, and .proto files that protoc compiles by itself.

It runs in the environment of generate.py. docs/other-languages.md says which language takes which of the two.
"""

import argparse
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from generate import HERE, describe
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, SourceCodeInfo

ERRORS = ("google/rpc/error_details.proto", "google/rpc/status.proto")
OWN = "artemis/"
STANDARD = "google/protobuf/"
PLAIN = "artemis-protos-plain"
OPTIONS = 999  # the highest number of an option of protobuf itself

Edit = tuple[int, int, bytes]
"""The beginning and end of a part of a file, and the text that replaces it."""


def main() -> None:
    """Writes artemis.binpb, artemis-protos-plain/ and artemis-protos-plain.zip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder to write into")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as scratch:
        image = describe(HERE, Path(scratch), *ERRORS)
    out.mkdir(parents=True, exist_ok=True)
    (out / "artemis.binpb").write_bytes(image.SerializeToString(deterministic=True))
    write_plain(image, out / PLAIN)
    pack(out / PLAIN, out / f"{PLAIN}.zip")


def write_plain(image: FileDescriptorSet, out: Path) -> None:
    """Writes our .proto files without the options that other packages define, and without the imports of these."""
    shutil.rmtree(out, ignore_errors=True)
    own = [file for file in image.file if file.name.startswith(OWN)]
    numbers = {extension.number for file in own for extension in file.extension}
    for file in own:
        path = out / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plain(file, (HERE / file.name).read_bytes(), numbers))


def pack(folder: Path, archive: Path) -> None:
    """Packs a folder, so that the same files give the same bytes."""
    with ZipFile(archive, "w") as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder.parent).as_posix()
            packed.writestr(ZipInfo(name), path.read_bytes(), ZIP_DEFLATED)


def plain(file: FileDescriptorProto, source: bytes, own_options: set[int]) -> bytes:
    """Returns the text of a .proto file with protobuf's own options and those of `own_options`, but no others."""
    edits = [*imports_of_others(file, source), *options_of_others(file, source, own_options)]
    for start, end, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[end:]
    return re.sub(rb"\n{3,}", b"\n\n", source.replace(b"{\n\n", b"{\n"))


def imports_of_others(file: FileDescriptorProto, source: bytes) -> Iterator[Edit]:
    """Yields the removal of each import that is neither ours nor protobuf's own."""
    field = FileDescriptorProto.DEPENDENCY_FIELD_NUMBER
    for location in file.source_code_info.location:
        if list(location.path[:1]) == [field] and not file.dependency[location.path[1]].startswith((OWN, STANDARD)):
            yield whole_lines(source, location)


def options_of_others(file: FileDescriptorProto, source: bytes, own_options: set[int]) -> Iterator[Edit]:
    """Yields the removal of each option whose number is neither protobuf's own nor one of `own_options`.

    An option is a statement, `option (artemis.v1.required_role) = ROLE_READER;`, or stands behind a field in brackets,
    `[deprecated = true]`. Brackets are written anew with the options that stay.
    """
    brackets, options = dict[tuple[int, ...], tuple[int, int]](), defaultdict[tuple[int, ...], list[Edit]](list)
    for location in file.source_code_info.location:
        owner, number = option_in(location)
        start, end = span_of(source, location)
        if number and not source.startswith(b"option", start):
            stays = number <= OPTIONS or number in own_options
            options[owner].append((start, end, source[start:end] if stays else b""))
        elif number and number > OPTIONS and number not in own_options:
            yield whole_lines(source, location)
        elif owner and source.startswith(b"[", start):
            brackets[owner] = (start, end)
    for owner, (start, end) in brackets.items():
        kept = [text for _, _, text in sorted(options[owner]) if text]
        before = len(source[:start].rstrip())
        yield (start, end, b"[" + b", ".join(kept) + b"]") if kept else (before, end, b"")


def option_in(location: SourceCodeInfo.Location) -> tuple[tuple[int, ...], int | None]:
    """Returns the path of the options that a location is of, and the number of its option.

    [4, 0, 2, 1, 8, 1159, 14] is (4, 0, 2, 1, 8) and 1159; [4, 0, 2, 1, 8] is the same without a number, that is, all
    options of the field; a location that is not of options is () without a number (google.protobuf.SourceCodeInfo).
    """
    path, at = list(location.path), 0
    message: Descriptor | None = FileDescriptorProto.DESCRIPTOR
    while at < len(path) and message:
        field = message.fields_by_number[path[at]]
        at += 1
        if field.name == "options":
            return tuple(path[:at]), path[at] if at < len(path) else None
        at += field.is_repeated
        message = field.message_type
    return (), None


def span_of(source: bytes, location: SourceCodeInfo.Location) -> tuple[int, int]:
    """Returns where a location begins and ends, in bytes."""
    lines = source.split(b"\n")
    first, column, *last, end = location.span
    starts = [sum(len(line) + 1 for line in lines[:number]) for number in (first, *last)]
    return starts[0] + column, starts[-1] + end


def whole_lines(source: bytes, location: SourceCodeInfo.Location) -> Edit:
    """Returns the removal of the lines of a location."""
    start, end = span_of(source, location)
    return source.rfind(b"\n", 0, start) + 1, source.index(b"\n", end) + 1, b""


if __name__ == "__main__":
    main()
