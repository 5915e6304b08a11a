"""Batches of any size: how they are divided into parts that one call can take. It knows no transport."""

import copy
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4, uuid5

from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from artemis_client.errors import ArtemisError

MAX_ITEMS = 1000
"""The most items of one call."""
MAX_BYTES = 3 * 2**20
"""The most bytes of the items of one call. A request may have 4 MiB, but the response, which returns them, only 3."""
ADDED_BYTES = 64
"""The most bytes that the server adds to an item: the id, two times, the etag, and the tag and length of a message."""
_PLACE = re.compile(r"\b(ids|requests)\[(\d+)\]")

Item = TypeVar("Item", bound=Message | int)
Request = TypeVar("Request", bound=Message)


class Parts(Generic[Item, Request]):
    """The parts of one batch, one after the other. `request` makes the current one, of its items and its request id.

    The same batch with the same request id is divided in the same way, and its parts get the same ids, so that each is
    done once. A part whose response would be too large is refused as a whole, and then divided in two, unless the
    request id is the caller's: when that batch is repeated, the server might take the whole part, and do the halves a
    second time.
    """

    def __init__(
        self, items: Iterable[Item], request: Callable[[Sequence[Item], str], Request], request_id: str = ""
    ) -> None:
        self._items = list(items)
        self._request = request
        self._id = request_id or str(uuid4())
        self._divides = not request_id
        self._size = MAX_ITEMS
        self.current = self._part(0)
        """The indices of the items of the current part; none if all parts are done."""

    def request(self) -> Request:
        """Returns the request of the current part. Raises ValueError if the caller's request id is no UUID."""
        return self._request(self._items[self.current.start : self.current.stop], self._part_id())

    def advance(self) -> None:
        """Goes on to the next part, since the current one is done."""
        self.current = self._part(self.current.stop)

    def divide(self, error: ArtemisError) -> bool:
        """Makes this part and the next ones half as large, and returns True, if that helps against the error."""
        if error.reason != "RESPONSE_TOO_LARGE" or not self._divides or len(self.current) == 1:
            return False
        self._size = len(self.current) // 2
        self.current = self._part(self.current.start)
        return True

    def locate(self, error: ArtemisError, done: Sequence[Any]) -> None:
        """Makes the error of the current part one of the batch, whose places count from the batch's first item."""
        error.done, error.items = tuple(done), self.current
        if self.current.start:
            _move(error, self.current.start)

    def _part(self, start: int) -> range:
        """Returns the indices of the part that begins here. It has one item at least, however large that is."""
        stop, space = start, MAX_BYTES
        for item in self._items[start : start + self._size]:
            space -= 0 if isinstance(item, int) else item.ByteSize() + ADDED_BYTES
            if space < 0 and stop > start:
                break
            stop += 1
        return range(start, stop)

    def _part_id(self) -> str:
        """Returns the request id of the current part, as the contract wants it: a UUID of version 4."""
        if len(self.current) == len(self._items):
            return self._id
        try:
            batch = UUID(self._id)
        except ValueError:
            raise ValueError(f"request_id must be a UUID, not {self._id!r}") from None
        return str(UUID(bytes=uuid5(batch, f"{self.current.start}:{self.current.stop}").bytes, version=4))


def check_once(ids: Iterable[int]) -> None:
    """Raises ValueError if an id comes twice. The server would see that only within a part."""
    places: dict[int, int] = {}
    for index, each in enumerate(ids):
        if each in places and each > 0:
            raise ValueError(f"the id {each} is given twice, at {places[each]} and at {index}")
        places[each] = index


def _move(error: ArtemisError, start: int) -> None:
    """Moves the places in an error: `requests[3].event.name` in the part at 1000 becomes `requests[1003]...`."""

    def moved(text: str) -> str:
        return _PLACE.sub(lambda found: f"{found[1]}[{int(found[2]) + start}]", text)

    error.message = moved(error.message)
    error.args = (f"{error.code.name}: {error.message}",)
    error.details = copy.deepcopy(error.details)
    for detail in error.details:
        if isinstance(detail, BadRequest):
            for violation in detail.field_violations:
                violation.field = moved(violation.field)
        if isinstance(detail, ErrorInfo):
            for name, value in detail.metadata.items():
                detail.metadata[name] = moved(value)
