"""The asynchronous client in the shape of the other one, so that the tests of one run on both.

Every call is made in an event loop on a thread of its own; the thread that calls waits for it.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import Any

from artemis_client import AsyncArtemisClient, AsyncEventMirror


class Loop:
    """An event loop on a thread of its own, which ends with the program."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="blocking", daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Returns the result of a coroutine."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def make(self, kind: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Makes an object in the event loop."""

        async def made() -> Any:
            return kind(*arguments, **options)

        return self.run(made())


LOOP = Loop()


class Blocking(Iterator[Any]):
    """An object of asyncio in the shape that it has without: its methods wait, and it is an iterator if it is one."""

    def __init__(self, wrapped: Any) -> None:
        self.__dict__["wrapped"] = wrapped

    def __getattr__(self, name: str) -> Any:
        return blocking(getattr(self.wrapped, name))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.wrapped, name, value)

    def __next__(self) -> Any:
        try:
            return LOOP.run(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        LOOP.run(self.wrapped.__aexit__(kind, error, traceback))

    async def _next(self) -> Any:
        return await anext(self.wrapped)


def blocking(value: Any) -> Any:
    """Returns the value, or what stands for it if it is one of asyncio's."""
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(map(blocking, value))
    if asyncio.iscoroutine(value):
        return blocking(LOOP.run(value))
    if callable(value) and not isinstance(value, type):

        @wraps(value)
        def call(*arguments: Any, **options: Any) -> Any:
            return blocking(LOOP.make(value, *map(unwrapped, arguments), **options))

        return call
    ours = type(value).__module__.startswith("artemis_client._async")
    return Blocking(value) if ours or isinstance(value, AsyncIterator) else value


def unwrapped(value: Any) -> Any:
    """Returns the object of asyncio itself."""
    return value.wrapped if isinstance(value, Blocking) else value


def client(*arguments: Any, **options: Any) -> Any:
    """Returns an asynchronous client in the shape of ArtemisClient."""
    return Blocking(LOOP.make(AsyncArtemisClient, *arguments, **options))


def mirror(client: Blocking, *arguments: Any, **options: Any) -> Any:
    """Returns an asynchronous mirror in the shape of EventMirror."""
    return Blocking(LOOP.make(AsyncEventMirror, client.wrapped, *arguments, **options))
