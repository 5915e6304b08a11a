"""The common methods of the clients of events and of users: `get_many` and `modify`."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from google.protobuf.message import Message

from artemis_client._async.calls import AsyncCaller
from artemis_client._async.io import Method
from artemis_client._async.pages import AsyncPager, in_parts
from artemis_client.batches import MAX_ITEMS, Parts
from artemis_client.entities import Event, User
from artemis_client.errors import Aborted, NotFound
from artemis_client.fields import checked_ids
from artemis_client.masks import changed_fields
from artemis_client.pages import Found, id_filters

Resource = TypeVar("Resource", Event, User)
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")


class AsyncResources(ABC, Generic[Resource]):
    """Reads and changes resources of one kind by the methods of its subclass. Each method raises ArtemisError.

    A batch may have any size. It is one call, and so all of it is done or none, if it has up to 1000 items and 3 MiB,
    as sent and as returned. A larger one is divided into parts of that size, one call after the other, each within the
    timeout: each part is done as a whole or not at all, and the first that fails ends the batch. The parts before it
    stay done. `error.items` are the indices of the items of the part that failed, `error.done` the results before them.
    After an error that leaves open whether a write was made, such as DeadlineExceeded, repeat the same batch with the
    same request_id: what is done is not done again. With a request_id of your own, a part whose response would be too
    large is InvalidArgument (RESPONSE_TOO_LARGE); without, it is divided further. An empty batch returns [] and calls
    nothing.
    """

    def __init__(self, caller: AsyncCaller) -> None:
        self._caller = caller

    async def get_many(self, ids: Iterable[int], *, timeout: float | None = None) -> Found[Resource]:
        """Returns the resources with these ids that exist, as a dict in the order of the ids.

        Its `missing` has the ids that do not exist. An id that is given twice counts once. Many ids take several calls,
        each within the timeout, so the resources may be read at different moments.
        """
        distinct = list(dict.fromkeys(checked_ids(ids)))
        possible = [each for each in distinct if each > 0]
        found: list[Resource] = []
        for start in range(0, len(possible), MAX_ITEMS):
            found += await self._find(possible[start : start + MAX_ITEMS], timeout)
        return Found(distinct, found)

    async def modify(
        self, resource_id: int, change: Callable[[Resource], Resource], *, timeout: float | None = None
    ) -> Resource:
        """Reads the resource, calls `change` with it, and writes the fields that differ. Returns the new resource.

        client.events.modify(7, lambda event: dataclasses.replace(event, name=event.name.upper()))

        If somebody else changes the resource in between, `modify` starts again after a pause, until the deadline or the
        last attempt that the client's `retry` allows. Then it raises Aborted or DeadlineExceeded. So `change` may be
        called several times, and must have no other effect. If it returns the resource unchanged, nothing is written.
        Changes of fields that the server sets are ignored.

        Raises:
            TypeError: `change` returns something else than a resource of this kind.
            ValueError: `change` returns another id.
        """
        attempts = self._caller.attempts(timeout)
        while True:
            before = await self._read(resource_id, attempts.time_left)
            after = change(before)
            paths = changed_fields(before, after)
            if not paths:
                return before
            try:
                return await self._change(dataclasses.replace(after, etag=before.etag), paths, attempts.time_left)
            except Aborted as error:
                pause = attempts.pause_after(error, aborted=True)
                if pause is None:
                    raise
            await self._caller.pause(pause)

    @abstractmethod
    async def _read(self, resource_id: int, timeout: float) -> Resource:
        """Returns the resource with this id."""

    @abstractmethod
    async def _change(self, resource: Resource, paths: Sequence[str], timeout: float) -> Resource:
        """Changes these fields if the etag is the current one."""

    @abstractmethod
    async def batch_get(self, ids: Iterable[int], *, timeout: float | None = None) -> list[Resource]:
        """Returns the resources with these ids, in their order. If any does not exist, NotFound is raised."""

    @abstractmethod
    def _choose(self, filter: str, timeout: float | None) -> AsyncPager[Resource]:  # noqa: A002 - the contract's name
        """Returns the resources that match the filter."""

    async def _find(self, ids: Sequence[int], timeout: float | None) -> list[Resource]:
        """Returns those of the resources with these ids, up to 1000, that exist.

        One call tells if all do; a filter names few ids, so it takes many calls.
        """
        try:
            return await self.batch_get(ids, timeout=timeout)
        except NotFound:
            return [each for text in id_filters(ids) async for each in self._choose(text, timeout)]

    async def _read_many(
        self,
        method: Method[Request, Response],
        request: Callable[..., Request],
        ids: Iterable[int],
        resources: Callable[[Response], Iterable[Resource]],
        timeout: float | None,
    ) -> list[Resource]:
        """Returns what a batch of ids reads; `request` makes the request of a part of them."""
        parts = Parts(checked_ids(ids), lambda items, _: request(ids=items))
        return await in_parts(self._caller, method, parts, resources, timeout)

    async def _write_many(
        self,
        method: Method[Request, Response],
        batch: Callable[..., Request],
        requests: Iterable[Message],
        request_id: str,
        resources: Callable[[Response], Iterable[Resource]],
        timeout: float | None,
    ) -> list[Resource]:
        """Returns the results of a batch of writes; `batch` makes the request of a part of them."""
        parts = Parts(requests, lambda items, part_id: batch(requests=items, request_id=part_id), request_id)
        return await in_parts(self._caller, method, parts, resources, timeout)
