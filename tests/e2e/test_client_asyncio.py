"""Duties of the asynchronous client alone: with tasks that are cancelled, event loops and coroutine functions.

The other tests of clients run on both.
"""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from artemis.v1 import events_pb2
from artemis_client import (
    AsyncArtemisClient,
    AsyncEventMirror,
    Cancelled,
    DeadlineExceeded,
    Event,
    Retry,
    Unauthenticated,
    Unavailable,
)

from tests.e2e.guard import guarding
from tests.e2e.scripted import CREATED, Script, change, playing, response
from tests.e2e.servers import PATIENCE
from tests.e2e.test_client_errors import answering

A, B = change(CREATED, 1, "a"), change(CREATED, 2, "b")
IN_STEP = response("t1", caught_up=True)


@dataclass
class Held:
    """Answers a call when its caller has given it up."""

    arrived: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def __call__(self, context: grpc.ServicerContext) -> events_pb2.Event:
        context.add_callback(self.left.set)
        self.arrived.set()
        assert self.left.wait(PATIENCE)
        return events_pb2.Event()


async def waited(flag: threading.Event) -> None:
    """Waits for a flag that another thread sets."""
    assert await asyncio.to_thread(flag.wait, PATIENCE)


@asynccontextmanager
async def beginning(client: AsyncArtemisClient, held: Held) -> AsyncIterator[asyncio.Task[Event]]:
    """Begins a call that is not answered."""
    task = asyncio.create_task(client.events.get(1))
    await waited(held.arrived)
    yield task


def run(test: Callable[[str], Coroutine[Any, Any, None]], held: Held) -> None:
    with answering(held) as target:
        asyncio.run(test(target))


def test_cancelling_the_task_of_a_call_ends_the_call_on_the_server() -> None:
    held = Held()

    async def test(target: str) -> None:
        async with AsyncArtemisClient(target) as client, beginning(client, held) as task:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await waited(held.left)

    run(test, held)


def test_a_timeout_of_asyncio_ends_a_call() -> None:
    held = Held()

    async def test(target: str) -> None:
        async with AsyncArtemisClient(target) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.events.get(1)

    run(test, held)


def test_a_call_of_a_client_that_is_closed_fails_and_its_task_is_not_cancelled() -> None:
    held = Held()

    async def test(target: str) -> None:
        client = AsyncArtemisClient(target)
        async with beginning(client, held) as task:
            await client.close()
            with pytest.raises(Cancelled, match="the client is closed"):
                await task
            with pytest.raises(Cancelled, match="the client is closed"):
                await client.events.get(1)

    run(test, held)


def calls_in_memory() -> int:
    return sum(issubclass(type(each), grpc.aio.Call) for each in gc.get_objects())


def test_an_attempt_that_failed_is_gone_at_once() -> None:
    """A channel goes on to connect for as long as gRPC has calls of it, also when it is closed."""

    async def test() -> None:
        async with AsyncArtemisClient("127.0.0.1:1", retry=Retry(max_attempts=2)) as client:
            before = calls_in_memory()
            with pytest.raises(Unavailable):
                await client.events.get(1)
            assert calls_in_memory() == before

    gc.collect()
    gc.disable()
    try:
        asyncio.run(test())
    finally:
        gc.enable()


def test_a_reader_that_is_cancelled_misses_no_change() -> None:
    async def test(script: Script) -> None:
        async with AsyncArtemisClient(script.target) as client, await client.events.watch("t0") as watch:
            names = [(await anext(watch)).event.name]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(watch), 0.05)
            names.append((await anext(watch)).event.name)
        assert names == ["a", "b"]

    with playing([response("t1", A)], [response("t2", B)]) as script:
        asyncio.run(test(script))
        assert script.starts == ["t0", "t1"]


def test_a_watch_has_one_reader_at_a_time() -> None:
    async def test(script: Script) -> None:
        async with AsyncArtemisClient(script.target) as client, await client.events.watch("t0") as watch:
            first = asyncio.ensure_future(anext(watch))
            await asyncio.to_thread(script.wait_for_streams, 1)
            with pytest.raises(RuntimeError, match="one reader"):
                await anext(watch)
            await watch.close()
            with pytest.raises(StopAsyncIteration):
                await first

    with playing([]) as script:
        asyncio.run(test(script))


def test_no_task_outlives_what_made_it() -> None:
    async def test(script: Script) -> None:
        async with AsyncArtemisClient(script.target) as client:
            async for _ in client.events.list():
                break
            async with await client.events.watch("t0") as watch:
                async for _ in watch:
                    break
            async with AsyncEventMirror(client) as mirror:
                assert await mirror.wait_until_synced(PATIENCE)
            waiting = asyncio.ensure_future(anext(await client.events.watch("t0")))
            await asyncio.to_thread(script.wait_for_streams, 3)
        with pytest.raises(Cancelled):
            await waiting
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            assert not any("artemis_client" in repr(task) for task in others)
            await asyncio.wait(others, timeout=PATIENCE)

    with playing([response("t1", A, B)], [IN_STEP]) as script:
        script.pages = [[events_pb2.Event(id=1), events_pb2.Event(id=2)]]
        asyncio.run(test(script))


def test_a_client_belongs_to_the_event_loop_that_it_was_made_in() -> None:
    with pytest.raises(RuntimeError, match="make the client in a coroutine"):
        AsyncArtemisClient("127.0.0.1:1")

    async def test() -> None:
        async with AsyncArtemisClient("127.0.0.1:1") as client:
            watch, mirror = await client.events.watch("t0"), AsyncEventMirror(client)
            calls = (lambda: client.events.get(1), lambda: anext(watch), lambda: mirror.join(PATIENCE))
            for call in calls:

                async def called(call: Callable[[], Any] = call) -> None:
                    await call()

                with pytest.raises(RuntimeError, match="belongs to another event loop"):
                    await asyncio.to_thread(asyncio.run, called())
            await mirror.close()

    asyncio.run(test())


def test_a_provider_of_tokens_may_be_a_coroutine_function_and_holds_up_its_own_call_alone() -> None:
    async def test(target: str) -> None:
        go_on, tokens = asyncio.Event(), iter(["slow", "fast"])

        async def provide() -> str:
            token = next(tokens)
            if token == "slow":
                await go_on.wait()
            return token

        async with AsyncArtemisClient(target, token=provide) as client:
            slow = asyncio.create_task(client.events.get(1))
            await asyncio.sleep(0)
            await client.events.get(2)
            assert not slow.done()
            go_on.set()
            await slow

    with guarding("slow", "fast") as guard:
        asyncio.run(test(guard.target))
        assert guard.seen == ["fast", "slow"]


def test_a_coroutine_function_that_fails_is_one_clear_error() -> None:
    async def provide() -> str:
        raise OSError("the vault is closed")

    async def test() -> None:
        async with AsyncArtemisClient("127.0.0.1:1", token=provide) as client:
            with pytest.raises(Unauthenticated, match="the token provider failed: OSError: the vault is closed"):
                await client.events.get(1)

    asyncio.run(test())


def test_a_coroutine_function_that_hangs_ends_at_the_deadline_of_its_call() -> None:
    async def provide() -> str:
        await asyncio.Event().wait()
        return ""

    async def test() -> None:
        async with AsyncArtemisClient("127.0.0.1:1", token=provide) as client:
            with pytest.raises(DeadlineExceeded, match="the token provider did not return"):
                await client.events.get(1, timeout=0.05)

    asyncio.run(test())


def test_a_timeout_that_a_coroutine_function_raises_is_its_own() -> None:
    async def provide() -> str:
        raise TimeoutError("of the vault")

    async def test() -> None:
        async with AsyncArtemisClient("127.0.0.1:1", token=provide) as client:
            with pytest.raises(Unauthenticated, match="the token provider failed: TimeoutError: of the vault"):
                await client.events.get(1)

    asyncio.run(test())


@dataclass
class Table:
    """A store with coroutine functions, which closes its mirror in the call that has a position."""

    names: list[str] = field(default_factory=list)
    mirrors: "list[AsyncEventMirror[Table]]" = field(default_factory=list)

    async def position(self) -> str | None:
        await asyncio.sleep(0)
        return None

    async def ids(self) -> Iterable[int]:
        return []

    async def apply(self, changed: Sequence[Event], deleted: Sequence[int], position: str | None) -> None:
        assert not deleted
        await asyncio.sleep(0)
        self.names += [event.name for event in changed]
        if position:
            await self.mirrors[0].close()


def test_a_store_may_have_coroutine_functions_and_close_its_mirror() -> None:
    async def test(script: Script) -> None:
        async with AsyncArtemisClient(script.target) as client:
            store = Table()
            store.mirrors.append(AsyncEventMirror(client, store))
            assert await store.mirrors[0].join(PATIENCE)
            assert store.names == ["a"]

    with playing([response("t1", B)]) as script:
        script.pages = [[events_pb2.Event(id=1, name="a")]]
        asyncio.run(test(script))


def test_64_calls_share_one_connection() -> None:
    async def test(target: str) -> None:
        async with AsyncArtemisClient(target) as client:
            await asyncio.gather(*(client.events.get(number) for number in range(1, 65)))

    with guarding("") as guard:
        asyncio.run(test(guard.target))
        assert len(guard.calls) == 64
