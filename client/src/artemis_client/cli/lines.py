"""Imports lines of JSON: in batches that are safe to repeat, with the number of the line in every error.

The request id of a batch derives from its content and the number of its first line. So the server makes a batch once,
however often the same file is imported within the 24 hours for which it remembers ids (AIP-155).
"""

import hashlib
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol
from uuid import UUID

import grpc
from google.protobuf.message import Message

from artemis_client import ArtemisError
from artemis_client.cli.inputs import InvalidInput, parse_line
from artemis_client.cli.resources import MAX_BATCH, Calls, Resource, created_at

MAX_LINE = 1 << 20
"""Bytes of a line: an event with the longest texts has less than 60 KiB."""
MAX_BATCH_BYTES = 3 << 20
"""Bytes of a batch: the response, which returns it, has at most so many."""
ADDED_BYTES = 64
"""The most bytes that the server adds to a resource: its id, two times, the etag, and a tag."""
_INDEX = re.compile(r"requests\[(\d+)\]\.?")
_OF_CONTENT = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
    }
)
"""Statuses of a request whose content is wrong. After any other, trying the next line would not help."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank, and the resource in it, None if it has none."""

    number: int
    text: bytes
    message: Message | None


@dataclass(kw_only=True)
class Batch:
    """Lines that one call sends."""

    lines: list[Line] = field(default_factory=list)
    size: int = 0
    """Bytes of the lines in the file."""

    @property
    def first(self) -> int:
        """The number of the first line."""
        return self.lines[0].number

    @property
    def last(self) -> int:
        """The number of the last line."""
        return self.lines[-1].number


class Reporter(Protocol):
    """Messages about an import while it runs."""

    def rejected(self, line: Line, reason: str) -> None:
        """Takes a line that was not imported. Raises an exception to end the import."""

    def imported(self, batch: Batch, created: int, known: int) -> None:
        """Takes a batch that is done: so many resources were created, and so many by an earlier import."""


class BatchFailed(Exception):
    """A batch that failed for a reason that is in none of its lines."""

    def __init__(self, batch: Batch, error: ArtemisError) -> None:
        super().__init__(f"lines {batch.first} to {batch.last}: {error}")
        self.batch = batch
        self.error = error


def import_lines(file: BinaryIO, resource: Resource, calls: Calls, reporter: Reporter, salt: str = "") -> None:
    """Creates a resource for each line. With another salt the server takes the same lines for new ones.

    Raises:
        BatchFailed: a call failed, and not because of a line.
        InvalidInput: a line is too long.
    """
    began: datetime | None = None
    for batch in _batches(file, resource, reporter):
        began = began or _began(batch, calls)
        created = _send(batch, resource, calls, reporter, salt)
        known = [each for each in created if each < began]
        reporter.imported(batch, len(created) - len(known), len(known))


def request_id(resource: Resource, messages: Iterable[Message], first_line: int, salt: str) -> str:
    """Returns a UUID of version 4 in form, which derives from the content alone."""
    digest = hashlib.sha256(f"{resource.name} {first_line} {salt}".encode())
    for message in messages:
        content = message.SerializeToString(deterministic=True)
        digest.update(len(content).to_bytes(8, "big") + content)
    return str(UUID(bytes=digest.digest()[:16], version=4))


def _began(batch: Batch, calls: Calls) -> datetime:
    """Returns the time by the server's clock: what was created before it was not created by this import."""
    try:
        return calls.server_time()
    except ArtemisError as error:
        raise BatchFailed(batch, error) from None


def _send(batch: Batch, resource: Resource, calls: Calls, reporter: Reporter, salt: str) -> list[datetime]:
    """Sends a batch, without the lines that are rejected, and returns the times at which the resources were created."""
    lines = [(line, line.message) for line in batch.lines if line.message is not None]
    times: list[datetime] = []
    looked = False
    while lines:
        messages = [message for _, message in lines]
        try:
            key = request_id(resource, messages, batch.first, salt)
            return times + [created_at(each) for each in calls.create_batch(messages, key)]
        except ArtemisError as error:
            if error.code is grpc.StatusCode.ALREADY_EXISTS and not looked:
                looked, count = True, len(lines)
                lines, known = _without_stored(lines, calls, reporter, anew=bool(salt))
                times += known
                if len(lines) < count:
                    continue
            reasons = _reasons(error, len(lines))
            if not reasons:
                raise BatchFailed(batch, error) from None
            for index, reason in reasons.items():
                reporter.rejected(lines[index][0], reason)
            lines = [line for index, line in enumerate(lines) if index not in reasons]
    return times


def _without_stored(
    lines: Sequence[tuple[Line, Message]], calls: Calls, reporter: Reporter, *, anew: bool
) -> tuple[list[tuple[Line, Message]], list[datetime]]:
    """Returns the lines whose addresses no user has, and when those of the others were created who are as in the file.

    An earlier import has created these, unless all are to be created anew, in another batch: the file has grown since,
    or lines of it were rejected. The rest is rejected, all at once, since the server names one address at a time.
    """
    free: list[tuple[Line, Message]] = []
    times: list[datetime] = []
    holders = calls.holders([message for _, message in lines])
    for (line, message), holder in zip(lines, holders, strict=True):
        if holder is None:
            free.append((line, message))
        elif calls.has_same_content(message, holder) and not anew:
            times.append(created_at(holder))
        else:
            reporter.rejected(line, f"user.email: another user has the address {holder.email}")
    return free, times


def _reasons(error: ArtemisError, count: int) -> dict[int, str]:
    """Returns why lines were refused, by their index in the batch; nothing if the error is in none of them."""
    if error.code not in _OF_CONTENT:
        return {}
    reasons: dict[int, str] = {}
    for violation in error.violations:
        index = _INDEX.match(violation.field)
        number = int(index[1]) if index else 0
        if (index or count == 1) and number < count:
            text = f"{_INDEX.sub('', violation.field, count=1)}: {violation.description}"
            reasons[number] = f"{reasons[number]}; {text}" if number in reasons else text
    return reasons or ({0: error.message} if count == 1 else {})


def _batches(file: BinaryIO, resource: Resource, reporter: Reporter) -> Iterator[Batch]:
    """Yields the lines in batches. A line that is malformed is reported, and counts like the others."""
    batch, content = Batch(), 0
    for line, size in _lines(file, resource, reporter):
        added = line.message.ByteSize() + ADDED_BYTES if line.message is not None else 0
        if len(batch.lines) == MAX_BATCH or (batch.lines and content + added > MAX_BATCH_BYTES):
            yield batch
            batch, content = Batch(), 0
        batch.lines.append(line)
        batch.size += size
        content += added
    if batch.lines:
        yield batch


def _lines(file: BinaryIO, resource: Resource, reporter: Reporter) -> Iterator[tuple[Line, int]]:
    """Yields the lines that are not blank, with their sizes in bytes."""
    ignored = _ignored(resource)
    number = 0
    while text := file.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            text = text.removeprefix(BOM_UTF8)  # some editors write it
        if len(text) > MAX_LINE:
            raise InvalidInput(f"line {number}: longer than {MAX_LINE} bytes")
        if not text.strip():
            continue
        try:
            message = parse_line(resource, text)
        except InvalidInput as error:
            line = Line(number, text, None)
            reporter.rejected(line, str(error))
        else:
            for name in ignored:
                message.ClearField(name)
            line = Line(number, text, message)
        yield line, len(text)


def _ignored(resource: Resource) -> Sequence[str]:
    """Returns the fields that a create ignores: a line that was exported from a server has them."""
    writable = {field.name for field in resource.writable}
    return [field.name for field in resource.fields if field.name not in writable]
