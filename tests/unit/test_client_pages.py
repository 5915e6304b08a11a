"""Lists and look-ups of the clients, on a caller that answers at once, fails, or never answers."""

import asyncio
from typing import Any, cast

import grpc
import pytest
from artemis.v1.events_pb2 import ListEventsRequest
from artemis_client import AsyncPager, Event, Found, Page, Pager, Unavailable
from artemis_client._async.pages import AsyncPages
from artemis_client._sync.pages import Pages
from artemis_client.pages import MAX_RESTRICTIONS, id_filters

PAGES = {"": ("ab", "1"), "1": ("", "2"), "2": ("c", "")}


class Caller:
    """Answers with the page of a token. It fails first, or waits for ever if it is told so."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.failures = 0
        self.waits = False

    def call(self, _: object, request: ListEventsRequest, __: object) -> tuple[str, str]:
        self.tokens.append(request.page_token)
        if self.failures:
            self.failures -= 1
            raise Unavailable(grpc.StatusCode.UNAVAILABLE, "not now")
        return PAGES[request.page_token]


class AsyncCaller(Caller):
    async def call(self, method: object, request: ListEventsRequest, timeout: object) -> tuple[str, str]:  # type: ignore[override]
        if self.waits:
            await asyncio.Event().wait()
        return super().call(method, request, timeout)


def page_of(response: tuple[str, str]) -> Page[str]:
    return Page(items=[*response[0]], next_page_token=response[1])


def pager(caller: Caller) -> Pager[str]:
    return Pager(Pages(cast("Any", caller), cast("Any", None), ListEventsRequest(), page_of, None))


def test_a_list_goes_over_all_pages_also_empty_ones() -> None:
    caller = Caller()
    listed = pager(caller)
    assert caller.tokens == []
    assert [*listed] == ["a", "b", "c"]
    assert [*listed] == []
    assert caller.tokens == ["", "1", "2"]
    assert [each.items for each in listed.pages()] == [["a", "b"], [], ["c"]]


def test_a_list_has_one_reader_at_a_time() -> None:
    async def test() -> None:
        caller = AsyncCaller()
        caller.waits = True
        listed = AsyncPager(AsyncPages(cast("Any", caller), cast("Any", None), ListEventsRequest(), page_of, None))
        first = asyncio.ensure_future(anext(listed))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one reader"):
            await anext(listed)
        first.cancel()
        await asyncio.wait([first])
        caller.waits = False
        assert [each async for each in listed] == ["a", "b", "c"]

    asyncio.run(test())


def test_a_list_goes_on_after_a_page_that_failed() -> None:
    caller = Caller()
    listed = pager(caller)
    assert [next(listed), next(listed)] == ["a", "b"]
    caller.failures = 1
    with pytest.raises(Unavailable):
        next(listed)
    assert [*listed] == ["c"]
    assert caller.tokens == ["", "1", "1", "2"]


def test_a_list_goes_on_after_a_reader_that_was_cancelled() -> None:
    async def read() -> list[str]:
        caller = AsyncCaller()
        listed = AsyncPager(AsyncPages(cast("Any", caller), cast("Any", None), ListEventsRequest(), page_of, None))
        found = [await anext(listed), await anext(listed)]
        caller.waits = True
        reader = asyncio.ensure_future(anext(listed))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        caller.waits = False
        return found + [each async for each in listed]

    assert asyncio.run(read()) == ["a", "b", "c"]


def test_found_is_in_the_order_of_the_ids() -> None:
    found = Found([3, 1, 3, 2], [Event(id=1), Event(id=3)])
    assert (list(found), found.missing) == ([3, 1], (2,))
    assert found == {1: Event(id=1), 3: Event(id=3)}


def test_filters_name_every_id_once() -> None:
    filters = [*id_filters(range(1, 2 * MAX_RESTRICTIONS + 2))]
    assert [each.count("id = ") for each in filters] == [MAX_RESTRICTIONS, MAX_RESTRICTIONS, 1]
    assert [*id_filters([7, 9])] == ["id = 7 OR id = 9"]
    assert [*id_filters([])] == []
