"""Load: threads that create events one after the other, and remember what was acknowledged."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from artemis.v1.events_pb2 import CreateEventRequest
from artemis.v1.events_pb2_grpc import EventServiceStub
from artemis_client import ArtemisClient, ArtemisError, Event
from artemis_client.errors import from_rpc_error
from artemis_client.pages import HasId

from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE


class Load:
    """Creates in a loop, in several threads, until the server no longer answers or it is stopped.

    Without `retries` the first failed call ends a thread; else a call is tried again until its deadline.
    """

    def __init__(self, target: str, threads: int, *, retries: bool) -> None:
        self._target = target
        self._retries = retries
        self._stopping = threading.Event()
        self._progress = threading.Condition()
        self._pool = ThreadPoolExecutor(threads)
        self._acknowledged: set[int] = set()
        self._ends: list[Future[ArtemisError | None]] = [self._pool.submit(self._create) for _ in range(threads)]

    @property
    def count(self) -> int:
        """The number of events that were acknowledged."""
        with self._progress:
            return len(self._acknowledged)

    def acknowledged(self) -> set[int]:
        """Returns the ids of the events that were acknowledged so far."""
        with self._progress:
            return set(self._acknowledged)

    def wait_for(self, creates: int) -> None:
        """Waits until so many events were acknowledged."""
        with self._progress:
            assert self._progress.wait_for(lambda: len(self._acknowledged) >= creates, PATIENCE)

    def finish(self) -> tuple[set[int], list[ArtemisError]]:
        """Waits for the threads; returns the ids that were acknowledged, and the errors that ended them."""
        errors = [end.result(PATIENCE) for end in self._ends]
        return self._acknowledged, [error for error in errors if error is not None]

    def stop(self) -> None:
        """Ends the threads."""
        self._stopping.set()
        self._pool.shutdown()

    def _create(self) -> ArtemisError | None:
        with self._creating() as create:
            while not self._stopping.is_set():
                try:
                    created = create(event())
                except ArtemisError as error:
                    return error
                except grpc.RpcError as error:
                    return from_rpc_error(error)
                with self._progress:
                    self._acknowledged.add(created.id)
                    self._progress.notify_all()
        return None

    @contextmanager
    def _creating(self) -> Iterator[Callable[[Event], HasId]]:
        if self._retries:
            with ArtemisClient(self._target, timeout=PATIENCE) as client:
                yield client.events.create
        else:
            with grpc.insecure_channel(self._target) as channel:
                stub = EventServiceStub(channel)
                yield lambda new: stub.CreateEvent(CreateEventRequest(event=new.to_message()), timeout=PATIENCE)


@contextmanager
def load_on(target: str, threads: int = 8, *, retries: bool = True) -> Iterator[Load]:
    """Puts load on a server."""
    load = Load(target, threads, retries=retries)
    try:
        yield load
    finally:
        load.stop()
