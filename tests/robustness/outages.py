"""Attacks in which the server stops, loses a worker, or loses its database, while callers call."""

import os
import signal
import subprocess
import time
from collections import Counter

from artemis.v1 import events_pb2, events_pb2_grpc

from tests.e2e.load import load_on
from tests.e2e.servers import query
from tests.robustness.calls import check, code_of, event
from tests.robustness.peer import WATCH, Peer
from tests.robustness.victim import Victim, now
from tests.robustness.work import CALLERS, SLOW, calling, store_long_texts

GRACE = 10.0
"""Seconds that a stop waits for requests by default."""
SHUTTING_DOWN = frozenset({"OK", "UNAVAILABLE"})
KILL_INTERVAL = 2.0
"""Seconds from one kill of a worker to the next."""
KILLS = 10


def stop_with_lists(victim: Victim) -> None:
    """Stops the server with 72 slow lists running and 16 callers of Get: it ends within the grace."""
    store_long_texts(victim, victim.size(400))
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        slow = events_pb2.ListEventsRequest(filter=SLOW, page_size=1)
        running = [stub.ListEvents.future(slow, timeout=60) for _ in range(victim.size(72))]
        get = events_pb2.GetEventRequest(id=1)
        with calling(16, lambda: code_of(lambda: stub.GetEvent(get, timeout=20))) as codes:
            time.sleep(min(1.0, victim.seconds))
            _stop(victim)
        ended = Counter(code_of(each.result) for each in running)
    victim.note(lists=dict(ended), gets=dict(codes))
    victim.expect(set(codes) <= SHUTTING_DOWN, f"gets ended with {dict(codes)}")
    # those beyond the limit of lists are RESOURCE_EXHAUSTED at once
    victim.expect(set(ended) <= SHUTTING_DOWN | {"RESOURCE_EXHAUSTED"}, f"lists ended with {dict(ended)}")
    victim.expect(ended["OK"] > 0, f"no list was run: {dict(ended)}")


def stop_under_load(victim: Victim) -> None:
    """Stops the server under 64 callers of Create, who do not retry: they see UNAVAILABLE and nothing else."""
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        create = events_pb2.CreateEventRequest(event=event())
        with calling(CALLERS, lambda: code_of(lambda: stub.CreateEvent(create, timeout=20))) as codes:
            time.sleep(min(1.0, victim.seconds))
            _stop(victim)
    victim.note(codes=dict(codes))
    victim.expect(set(codes) <= SHUTTING_DOWN, f"calls ended with {dict(codes)}")


def stop_with_watchers(victim: Victim) -> None:
    """Stops the server while watchers of the health accept no byte."""
    peers = [Peer(victim.port, window=0) for _ in range(20)]
    for peer in peers:
        peer.call(WATCH, b"")
    time.sleep(0.5)
    _stop(victim, limit=5.0)
    for peer in peers:
        peer.close()


def kill_workers(victim: Victim) -> None:
    """Kills a worker of two every 2 seconds: callers of `ArtemisClient`, which calls again, see no error."""
    with load_on(victim.server.target) as load:
        for number in range(KILLS):
            time.sleep(KILL_INTERVAL)
            workers = victim.workers()
            os.kill(workers[number % len(workers)], signal.SIGKILL)
        load.wait_for(1 + load.count)
        load.stop()
        acknowledged, errors = load.finish()
    stored = {each for (each,) in query(victim.server.database, "SELECT id FROM events")}
    victim.note(kills=KILLS, creates=len(acknowledged), errors=len(errors))
    victim.expect(not errors, f"callers saw {Counter(type(error).__name__ for error in errors)}")
    victim.expect(acknowledged <= stored, f"{len(acknowledged - stored)} events that were acknowledged are lost")


def _stop(victim: Victim, limit: float = GRACE + 2) -> None:
    process, begin = victim.server.process, now()
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(60)
        victim.expect(code == 0, f"the server ended with {code}")
    except subprocess.TimeoutExpired:
        victim.failures.append("the server did not end within 60 s")
    victim.note(stop=f"{now() - begin:.1f} s")
    victim.expect(now() - begin <= limit, f"the stop took {now() - begin:.1f} s > {limit:.0f} s")


def files_deleted(victim: Victim) -> None:
    """Deletes the database's files: health says NOT_SERVING, no call succeeds, and no new file appears."""
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        stored = stub.CreateEvent(events_pb2.CreateEventRequest(event=event()), timeout=10)
        for name in ("artemis.db", "artemis.db-wal", "artemis.db-shm"):
            (victim.folder / name).unlink(missing_ok=True)
        end = now() + 6
        while (status := check(channel, 5)) != "NOT_SERVING" and now() < end:
            time.sleep(0.1)
        get = code_of(lambda: stub.GetEvent(events_pb2.GetEventRequest(id=stored.id), timeout=10))
        create = code_of(lambda: stub.CreateEvent(events_pb2.CreateEventRequest(event=event()), timeout=10))
    appeared = (victim.folder / "artemis.db").exists()
    victim.note(health=status, get=get, create=create, file_appears=appeared)
    victim.expect(status == "NOT_SERVING", f"6 s after its files were deleted, health is {status}")
    victim.expect((get, create) == ("UNAVAILABLE", "UNAVAILABLE"), f"get ended with {get}, create with {create}")
    victim.expect(not appeared, "an empty database file appeared")


def absent_database(victim: Victim) -> None:
    """Keeps 16 callers at work while the database is away: at most one line a second and kind in the log."""
    victim.stop_database()
    before, begin = len(victim.server.log.text), now()
    with victim.channel() as channel:
        stub = events_pb2_grpc.EventServiceStub(channel)
        get = events_pb2.GetEventRequest(id=1)
        with calling(16, lambda: code_of(lambda: stub.GetEvent(get, timeout=10))) as codes:
            time.sleep(victim.seconds)
    rate = (len(victim.server.log.text) - before) / (now() - begin) / 1000
    victim.note(log=f"{rate:.1f} KB/s", codes=dict(codes))
    victim.expect(rate < 3, f"the log grew by {rate:.0f} KB/s")
    victim.expect(set(codes) <= {"UNAVAILABLE"}, f"calls ended with {dict(codes)}")
