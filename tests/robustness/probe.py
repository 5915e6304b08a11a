"""The innocent caller, in a process of its own: it gets, creates, asks for the health, and connects anew, all the time.

`python -m tests.robustness.probe PORT` prints a line for each call that ended, until it is killed: kind, begin
(CLOCK_MONOTONIC, seconds), seconds, status code.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from tests.robustness.calls import check, code_of

PAUSE = 0.02
"""Seconds between two calls of a kind."""
TIMEOUT = 10.0
"""Seconds after which a call counts as unanswered."""
START_TIMEOUT = 60.0
"""Seconds for the first call, before which nothing is attacked."""
CONNECT_PAUSE = 0.25
"""Seconds between two connections."""
EVENT = events_pb2.Event(name="innocent", start_time=Timestamp(seconds=1), end_time=Timestamp(seconds=2))

_printing = threading.Lock()


def main(port: int) -> None:
    """Calls until the process is killed."""
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.enable_retries", 0)])
    events = events_pb2_grpc.EventServiceStub(channel)
    stored = events.CreateEvent(events_pb2.CreateEventRequest(event=EVENT), timeout=START_TIMEOUT)
    kinds: dict[str, Callable[[], Any]] = {
        "get": lambda: events.GetEvent(events_pb2.GetEventRequest(id=stored.id), timeout=TIMEOUT),
        "create": lambda: events.CreateEvent(events_pb2.CreateEventRequest(event=EVENT), timeout=TIMEOUT),
        "health": lambda: check(channel, TIMEOUT),
        "connect": lambda: connect(port),
    }
    threads = [threading.Thread(target=repeat, args=each) for each in kinds.items()]
    for thread in threads:
        thread.start()
    threads[0].join()


def connect(port: int) -> None:
    """Asks for the health on a new connection."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        check(channel, TIMEOUT)


def repeat(kind: str, call: Callable[[], Any]) -> None:
    """Calls and prints, for ever."""
    while True:
        begin = time.monotonic()
        code = code_of(call)
        with _printing:
            print(kind, f"{begin:.6f}", f"{time.monotonic() - begin:.6f}", code, flush=True)
        time.sleep(CONNECT_PAUSE if kind == "connect" else PAUSE)


if __name__ == "__main__":
    main(int(sys.argv[1]))
