"""Reads with positions while standbys lag: no client may miss what it has written.

`python -m tests.robustness.replicas [READS]` makes 100,000 reads, or so many, and ends with 1 if one was stale. The
short form is in `tests/e2e/test_read_replicas.py`.
"""

import random
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc
from artemis_client import ArtemisClient, Event

from tests.e2e.samples import event
from tests.e2e.servers import Server, serving
from tests.robustness.replication import Cluster, Node, cluster

CLIENTS = 8
READS_PER_WRITE = 12
MIN_PAUSE, MAX_PAUSE = 0.02, 0.2
"""Seconds for which a standby replays nothing, and between two such times."""
EARLY_DIGITS = 24
"""Digits of a position that name the cluster and the timeline; the others are the place in the log."""
METRIC = "artemis_replica_reads_total"


def urls(nodes: Cluster) -> str:
    """Returns the value of --replica-url with every node, any of which may be promoted."""
    return ",".join(f"postgresql://postgres@{node.address}/postgres" for node in nodes.nodes)


@contextmanager
def server_with_replicas(nodes: Cluster) -> Iterator[Server]:
    """Runs a server on the nodes that has metrics, once it can use a replica."""
    with serving(nodes.url, "--replica-url", urls(nodes), "--metrics-listen", "127.0.0.1:0") as server:
        server.log.wait_for("reads may go to the replica")
        yield server


def routed(server: Server) -> Counter[str]:
    """Returns how many reads of a server went where: to a replica, or why they did not."""
    page = server.log.wait_for(r"metrics on (http://[0-9.:]+/metrics)")[1]
    with urllib.request.urlopen(page, timeout=10) as answer:  # noqa: S310, of this machine
        lines = answer.read().decode().splitlines()
    found = [line.removeprefix(f'{METRIC}{{result="').split('"} ') for line in lines if line.startswith(METRIC)]
    return Counter({result: int(float(value)) for result, value in found})


def early(position: str) -> str:
    """Returns the first position of the cluster and the timeline of another one, which any standby has reached."""
    return position[:EARLY_DIGITS].ljust(len(position), "0")


@contextmanager
def lagging(standby: Node) -> Iterator[None]:
    """Lets a standby stop replaying and go on, again and again."""
    stopping = threading.Event()

    def pause() -> bool:
        return stopping.wait(random.uniform(MIN_PAUSE, MAX_PAUSE))  # noqa: S311, no secret

    def run() -> None:
        while not pause():
            standby.ask("SELECT pg_wal_replay_pause()")
            pause()
            standby.ask("SELECT pg_wal_replay_resume()")

    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(run)
        try:
            yield
        finally:
            stopping.set()
            future.result()


class Reader:
    """A client that changes an event of its own, and then reads it in every way."""

    def __init__(self, target: str) -> None:
        self.reads = 0
        self.stale = 0
        """Reads that missed what the client had written."""
        self.control_stale = 0
        """Reads with an early position that missed it: the replicas did lag."""
        self._client = ArtemisClient(target, timeout=60)
        self._channel = grpc.insecure_channel(target)
        self._stub = events_pb2_grpc.EventServiceStub(self._channel)
        self._number = 0
        self._event = self._client.events.create(event(location="0"))

    def run(self, reads: int) -> None:
        """Makes so many reads."""
        with self._client, self._channel:
            while self.reads < reads:
                self._number += 1
                mine = Event(id=self._event.id, location=str(self._number))
                self._client.events.update(mine, update_mask=["location"])
                self.control_stale += self._read_early() != mine.location
                for number in range(READS_PER_WRITE):
                    self.stale += self._read(number) != [mine.location]
                    self.reads += 1

    def _read(self, number: int) -> list[str]:
        events, row_id = self._client.events, self._event.id
        ways: tuple[Callable[[], Iterable[Event]], ...] = (
            lambda: [events.get(row_id)],
            lambda: events.list(filter=f"id = {row_id}"),
            lambda: events.batch_get([row_id]),
        )
        return [each.location for each in ways[number % len(ways)]()]

    def _read_early(self) -> str:
        metadata = (("x-artemis-position", early(self._client.position)),)
        answer: events_pb2.Event = self._stub.GetEvent(
            events_pb2.GetEventRequest(id=self._event.id), timeout=60, metadata=metadata
        )
        return answer.location


def read_while_lagging(nodes: Cluster, servers: list[Server], reads: int) -> tuple[int, int, int]:
    """Makes reads; returns how many were made, how many were stale, and how many of the control were."""
    target = "ipv4:" + ",".join(server.target for server in servers)
    readers = [Reader(target) for _ in range(CLIENTS)]
    with ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as executor:
        for standby in nodes.standbys:
            stack.enter_context(lagging(standby))
        for future in [executor.submit(reader.run, -(-reads // CLIENTS)) for reader in readers]:
            future.result()
    return (
        sum(reader.reads for reader in readers),
        sum(reader.stale for reader in readers),
        sum(reader.control_stale for reader in readers),
    )


def main() -> int:
    """Makes the reads, through two servers, and returns 1 if one was stale, or if no standby lagged."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with cluster() as nodes, ExitStack() as stack:
        servers = [stack.enter_context(server_with_replicas(nodes)) for _ in range(2)]
        begin = time.monotonic()
        reads, stale, control = read_while_lagging(nodes, servers, wanted)
        seconds = time.monotonic() - begin
        found = sum((routed(server) for server in servers), Counter[str]())
        total = sum(found.values())
        print(f"reads {reads}  stale {stale}  stale with an early position {control}  {seconds:.0f} s")
        print("  ".join(f"{result} {count / total:.1%}" for result, count in found.most_common()))
        return 1 if stale or not control else 0


if __name__ == "__main__":
    sys.exit(main())
