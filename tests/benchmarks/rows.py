"""Load on methods that change a row: each call has a row of its own, which h2load cannot send."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import cycle

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis.v1.events_pb2 import Event

from tests.benchmarks import load, samples

ROWS = 128
"""For each of the concurrent callers."""


def calls(method: str, stub: "events_pb2_grpc.EventServiceStub", ids: list[int]) -> Iterator[Callable[[], object]]:
    """Yields a caller's calls: updates of its rows over and over, or the deletion of each."""
    if method == "DeleteEvent":
        for row_id in ids:
            yield partial(stub.DeleteEvent, events_pb2.DeleteEventRequest(id=row_id))
        return
    for row_id in cycle(ids):
        yield partial(stub.UpdateEvent, events_pb2.UpdateEventRequest(event=Event(id=row_id, location="Lyon, France")))


def main(port: int, method: str, seconds: float) -> None:
    """Prints how many calls a second succeeded; exits when one fails."""
    os.sched_setaffinity(0, {load.LOAD_CORE})
    with ExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection for each channel
        target = f"127.0.0.1:{port}"
        channels = [stack.enter_context(grpc.insecure_channel(target, options)) for _ in range(load.CONNECTIONS)]
        stubs = [events_pb2_grpc.EventServiceStub(channel) for channel in channels]
        batch = events_pb2.BatchCreateEventsRequest(requests=[samples.CREATE] * ROWS)
        rows = [[each.id for each in stubs[0].BatchCreateEvents(batch).events] for _ in range(load.CONCURRENT)]
        together = threading.Barrier(load.CONCURRENT)

        def caller(number: int) -> int:
            done = 0
            together.wait()
            end = time.perf_counter() + seconds
            for call in calls(method, stubs[number % len(stubs)], rows[number]):
                call()
                done += 1
                if time.perf_counter() > end:
                    break
            return done

        with ThreadPoolExecutor(load.CONCURRENT) as pool:
            begin = time.perf_counter()
            done = sum(pool.map(caller, range(load.CONCURRENT)))
            print(done / (time.perf_counter() - begin))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
