# Made by client/generate_sync.py of _async/pages.py: change that, and run `make client`.
"""Lists, and batches of any size: as many calls as it takes."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from artemis_client._sync.calls import Caller
from artemis_client._sync.io import Method
from artemis_client.batches import Parts
from artemis_client.calls import AnyRequest, OneReader
from artemis_client.errors import ArtemisError
from artemis_client.pages import Page


class ListRequest(AnyRequest, Protocol):
    """A request for a page."""

    page_token: str

    def ClearField(self, field_name: Any, /) -> None:  # noqa: N802 - protobuf's name for it
        """Clears a field."""


Resource = TypeVar("Resource")
Request = TypeVar("Request", bound=AnyRequest)
Response = TypeVar("Response")


class Pages(Iterator[Page[Resource]], Generic[Resource]):
    """The pages of a list. A page that failed, or whose reader was cancelled, is fetched again at the next step.

    No generator, which such a reader would end. Each step raises ArtemisError; RuntimeError while another reader waits.
    """

    def __init__(
        self,
        caller: Caller,
        method: Method[Any, Response],
        request: ListRequest,
        page: Callable[[Response], Page[Resource]],
        timeout: float | None,
    ) -> None:
        self._caller = caller
        self._method = method
        self._request = request
        self._page = page
        self._timeout = timeout
        self._ended = False
        self._reader = OneReader()

    def again(self) -> "Pages[Resource]":
        """Returns the pages from this one on."""
        return Pages(self._caller, self._method, copy.deepcopy(self._request), self._page, self._timeout)

    def __next__(self) -> Page[Resource]:
        with self._reader:
            if self._ended:
                raise StopIteration
            page = self._page(self._caller.call(self._method, self._request, self._timeout))
            self._request.page_token = page.next_page_token
            if page.total_size is not None:  # to count once is enough
                self._request.ClearField("return_total_size")
            self._ended = not page.next_page_token
            return page


class Pager(Iterator[Resource], Generic[Resource]):
    """Yields the resources of a list, one after the other. `pages` yields the pages.

    Pages are fetched as they are needed. One reader at a time. Each step of a loop raises ArtemisError; the next step
    tries again.
    """

    def __init__(self, pages: Pages[Resource]) -> None:
        self._first = pages.again()
        self._pages = pages
        self._items: Iterator[Resource] = iter(())

    def pages(self) -> Pages[Resource]:
        """Returns the pages from the first one, each with the token that continues after it."""
        return self._first.again()

    def begin(self) -> Page[Resource]:
        """Fetches the next page for the loop, and returns it."""
        page = next(self._pages)
        self._items = iter(page.items)
        return page

    def __next__(self) -> Resource:
        while True:
            for each in self._items:
                return each
            self.begin()


def in_parts(
    caller: Caller,
    method: Method[Request, Response],
    parts: Parts[Any, Any],
    resources: Callable[[Response], Iterable[Resource]],
    timeout: float | None,
) -> list[Resource]:
    """Makes the calls of a batch, each within the timeout, and returns the resources of all responses.

    Raises ArtemisError, which says in its `items` which part failed, and in `done` what is done before.
    """
    done: list[Resource] = []
    while parts.current:
        try:
            response = caller.call(method, parts.request(), timeout)
        except ArtemisError as error:
            if parts.divide(error):
                continue
            parts.locate(error, done)
            raise
        done.extend(resources(response))
        parts.advance()
    return done
