"""Calls that are valid and expensive, or too many at once."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from grpc_status import rpc_status

from tests.benchmarks.load import SERVER_CORE
from tests.robustness.calls import code_of, event
from tests.robustness.victim import Victim, now, p99

CALLERS = 64
OVERLOAD = 30.0
"""Seconds of ten times as many callers."""
DEADLINE = 2.0
MAX_OVERRUN = 0.2
"""Seconds by which a call may end after its deadline."""
PAGE = 1000
MAX_RESTRICTIONS = 50
"""Restrictions that a filter may have."""
SEARCHES = [f'description:"{"a" * 97}{number:02}"' for number in range(20)]
"""Searches within the limits of a filter that compare 97 letters at each of the 8192 places of a text of a."""
SLOW = " OR ".join(SEARCHES)
"""A filter of 20 such searches; it may have 30."""


def store_long_texts(victim: Victim, count: int, letter: str = "a") -> list[int]:
    """Stores events whose descriptions are as long as they may be, and returns their ids."""
    ids = []
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        for begin in range(0, count, 200):
            wanted = [events_pb2.CreateEventRequest(event=event(letter * 8192))] * min(200, count - begin)
            created = stub.BatchCreateEvents(events_pb2.BatchCreateEventsRequest(requests=wanted), timeout=60)
            ids += [each.id for each in created.events]
    return ids


@contextmanager
def calling(callers: int, call: Callable[[], str]) -> Iterator[Counter[str]]:
    """Has threads that call over and over, and yields a count of the codes. The threads end with the block."""
    codes: Counter[str] = Counter()
    stopping = threading.Event()
    lock = threading.Lock()

    def repeat() -> None:
        while not stopping.is_set():
            code = call()
            with lock:
                codes[code] += 1
            if code != "OK":
                stopping.wait(0.05)

    threads = [threading.Thread(target=repeat, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield codes
    finally:
        stopping.set()
        for thread in threads:
            thread.join(15)


def lists(text: str, rows: int, letter: str = "a") -> Callable[[Victim], None]:
    """Returns an attack: 64 callers list with a filter and a deadline, over rows with long texts."""

    def attack(victim: Victim) -> None:
        store_long_texts(victim, victim.size(rows), letter)
        with victim.channel() as channel:
            stub = events_pb2_grpc.EventServiceStub(channel)
            request = events_pb2.ListEventsRequest(filter=text, page_size=1)
            call = partial(code_of, partial(stub.ListEvents, request, timeout=DEADLINE))
            with calling(CALLERS, call) as codes:
                time.sleep(victim.seconds)
            victim.note(codes=dict(codes))
            # UNAVAILABLE: calls that are late still count as streams of their connection, and it has no place for more
            allowed = {"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"}
            victim.expect(set(codes) <= allowed, f"lists ended with {dict(codes)}")
            victim.expect(codes["OK"] + codes["DEADLINE_EXCEEDED"] > 0, f"no list was run: {dict(codes)}")
        _expect_work_to_stop(victim)

    return attack


def _expect_work_to_stop(victim: Victim) -> None:
    """Every deadline has passed: the work must end within MAX_OVERRUN, and a little more."""
    time.sleep(2 * MAX_OVERRUN)
    used, start = victim.read().processor, now()
    time.sleep(0.5)
    share = (victim.read().processor - used) / (now() - start)
    victim.note(busy_after=f"{share:.0%}")
    victim.expect(share < 0.5, f"the server still works at {share:.0%} of a core after every deadline has passed")


def many_restrictions(victim: Victim) -> None:
    """Lists with filters of 50 restrictions, which is the limit, from 8 callers. Each filter is a new one."""
    counter = iter(range(10**9))
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)

        def call() -> str:
            number = next(counter)
            text = " OR ".join(f'name = "{number}-{each}"' for each in range(MAX_RESTRICTIONS))
            return code_of(lambda: stub.ListEvents(events_pb2.ListEventsRequest(filter=text), timeout=5))

        with calling(8, call) as codes:
            time.sleep(victim.seconds)
        victim.note(codes=dict(codes))
        victim.expect(set(codes) == {"OK"}, f"lists ended with {dict(codes)}")


def batch_of_one(victim: Victim) -> None:
    """Gets one event of 32 KiB a thousand times in a batch, from 64 callers."""
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        (stored,) = store_long_texts(victim, 1, "\N{GRINNING FACE}")  # of 4 bytes each
        request = events_pb2.BatchGetEventsRequest(ids=[stored] * 1000)
        with calling(victim.size(CALLERS), lambda: code_of(lambda: stub.BatchGetEvents(request, timeout=20))) as codes:
            time.sleep(victim.seconds)
        victim.note(codes=dict(codes))
        allowed = {"OK", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "OUT_OF_RANGE"}
        victim.expect(set(codes) <= allowed, f"batches ended with {dict(codes)}")


def large_pages(victim: Victim) -> None:
    """Lists pages of 3 MiB from 64 callers."""
    store_long_texts(victim, victim.size(400))
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        request = events_pb2.ListEventsRequest(page_size=PAGE)
        with calling(CALLERS, lambda: code_of(lambda: stub.ListEvents(request, timeout=20))) as codes:
            time.sleep(victim.seconds)
        victim.note(codes=dict(codes))
        victim.expect(set(codes) <= {"OK", "RESOURCE_EXHAUSTED"}, f"lists ended with {dict(codes)}")


def overload(callers: int) -> Callable[[Victim], None]:
    """Returns an attack: so many callers of Get, where 64 load the server fully, for 30 s.

    Accepted calls stay at most twice as slow as with 64 callers, others are refused with RESOURCE_EXHAUSTED within
    50 ms, and it is as before 2 s later. The server has a core for itself then.
    """

    def attack(victim: Victim) -> None:
        victim.pin(SERVER_CORE)
        normal = _load(victim, CALLERS, victim.seconds)["0"]
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(_load, victim, callers, OVERLOAD * victim.share)
            details = _refusal(victim, running)
            refused = running.result()
        accepted = refused.pop("0")
        time.sleep(2)
        after = _load(victim, CALLERS, victim.seconds)["0"]
        victim.note(
            normal=f"{len(normal) / victim.seconds:.0f}/s p99 {p99(normal) * 1e3:.0f} ms",
            accepted=f"{len(accepted) / OVERLOAD / victim.share:.0f}/s p99 {p99(accepted) * 1e3:.0f} ms",
            after=f"{len(after) / victim.seconds:.0f}/s p99 {p99(after) * 1e3:.0f} ms",
            **{f"code_{code}": f"{len(each)} p99 {p99(each) * 1e3:.0f} ms" for code, each in refused.items()},
        )
        victim.expect(set(refused) <= {"8"}, f"calls ended with {sorted(refused)}")
        victim.expect({"ErrorInfo", "RetryInfo"} <= details or not refused, f"a refusal has only {sorted(details)}")
        if victim.share == 1:
            victim.expect(p99(accepted) <= 2 * p99(normal), "accepted calls took more than twice as long")
            victim.expect(p99(refused.get("8", [])) <= 0.05, "refusals took more than 50 ms")
            victim.expect(p99(after) <= 2 * p99(normal), "2 s later it is not as before")

    return attack


def _refusal(victim: Victim, running: "Future[Any]") -> set[str]:
    """Calls until a call is refused or the load has ended; returns the names of the refusal's details."""
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        while not running.done():
            try:
                stub.GetEvent(events_pb2.GetEventRequest(id=1), timeout=10)
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)  # noqa: PT017, no test expects this error
                status = rpc_status.from_call(error)
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    return {each.TypeName().rpartition(".")[2] for each in status.details} if status else set()
    return set()


def _load(victim: Victim, callers: int, seconds: float) -> dict[str, list[float]]:
    """Has so many callers of Get for so long, and returns the seconds of the calls that ended, by their code."""
    command = [sys.executable, "-m", "tests.robustness.load", str(victim.port), str(callers), str(seconds)]
    ended: dict[str, list[float]] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return ended


def writes_under_slow_lists(victim: Victim) -> None:
    """Writes while slow lists hold snapshots: the write-ahead log stays bounded."""
    store_long_texts(victim, victim.size(400))
    with victim.channel() as channel, ThreadPoolExecutor(8) as listers:
        stub = events_pb2_grpc.EventServiceStub(channel)
        slow = events_pb2.ListEventsRequest(filter=SLOW, page_size=1)
        end, most = now() + victim.seconds, 0.0

        def list_slowly() -> None:
            while now() < end:
                code_of(lambda: stub.ListEvents(slow, timeout=30))

        for _ in range(8):
            listers.submit(list_slowly)
        create = events_pb2.CreateEventRequest(event=event("w" * 8192))
        with calling(16, lambda: code_of(lambda: stub.CreateEvent(create, timeout=20))) as codes:
            while now() < end:
                most = max(most, victim.wal_size())
                time.sleep(0.1)
        victim.note(codes=dict(codes), wal=f"{most:.0f} MiB")
        victim.expect(most <= 300, f"the write-ahead log grew to {most:.0f} MiB")
