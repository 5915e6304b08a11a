# Made by client/generate.py of _async/pages.py: change that, and run `make client`.
"""Lists, and batches of any size: as many calls as it takes."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from artemis_client._sync.calls import Caller
from artemis_client._sync_io import Method, Stream
from artemis_client.batches import Parts
from artemis_client.calls import AnyRequest
from artemis_client.errors import ArtemisError
from artemis_client.pages import Page


class ListRequest(AnyRequest, Protocol):
    """A request for a page."""

    page_token: str


Resource = TypeVar("Resource")
Request = TypeVar("Request", bound=AnyRequest)
Response = TypeVar("Response")


class Pager(Iterator[Resource], Generic[Resource]):
    """The resources of a list, one after the other. `pages` has them a page at a time.

    Pages are fetched as they are needed. Each method, and each step of a loop, raises ArtemisError.
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
        self._resources = self._each()

    def pages(self) -> Stream[Page[Resource]]:
        """Yields the pages from the first one, each with the token that continues after it."""
        request = copy.deepcopy(self._request)
        while True:
            page = self._page(self._caller.call(self._method, request, self._timeout))
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def __next__(self) -> Resource:
        return next(self._resources)

    def _each(self) -> Stream[Resource]:
        for page in self.pages():
            yield from page.items


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
            raise parts.failure(error, done) from None
        done.extend(resources(response))
        parts.advance()
    return done
