"""A process of watchers, for the figures: it follows until its standard input ends, and prints what it saw as JSON."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache

import grpc
from artemis.v1.events_pb2 import WatchEventsRequest, WatchEventsResponse

CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0))
"""Each channel has a connection of its own, with windows of 64 KiB, whose size does not depend on the machine."""
PER_CONNECTION = 25
_WATCH = "/artemis.v1.EventService/WatchEvents"


_responses: dict[bytes, bytes] = {}
"""The bytes of every response once, because many watchers have the same ones."""


class Follower(threading.Thread):
    """A watcher that keeps what arrived and when, as bytes, so that parsing does not delay what comes next."""

    def __init__(self, channel: grpc.Channel, ready: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self._ready = ready
        watch = channel.unary_stream(_WATCH, WatchEventsRequest.SerializeToString, lambda raw: raw)
        self.call = watch(WatchEventsRequest())
        self.arrived: list[tuple[float, bytes]] = []
        self.code = ""

    def run(self) -> None:
        """Follows until the stream ends."""
        try:
            next(self.call)
            self._ready.release()
            for response in self.call:
                self.arrived.append((time.time(), _responses.setdefault(response, response)))
        except grpc.RpcError as error:
            self.code = error.code().name
            self._ready.release()

    def delays(self) -> Iterator[float]:
        """Yields the delay of each change: from the time that the log has for it to its arrival."""
        for now, raw in self.arrived:
            for began in _times(raw):
                yield now - began


@cache
def _times(raw: bytes) -> list[float]:
    """Returns the time of each change of a response."""
    changes = WatchEventsResponse.FromString(raw).changes
    return [change.change_time.seconds + change.change_time.nanos / 1e9 for change in changes]


def main(target: str, watchers: int, *, read: bool) -> None:
    """Opens the watches, says so in a line, and when the input ends prints the delays or the codes."""
    channels = [grpc.insecure_channel(target, CONNECTION) for _ in range(-(-watchers // PER_CONNECTION))]
    ready = threading.Semaphore(0)
    followers = [Follower(channels[number // PER_CONNECTION], ready) for number in range(watchers)]
    if read:
        for each in followers:
            each.start()
        for _ in followers:
            ready.acquire()
    begun = time.process_time()
    print("ready", flush=True)
    sys.stdin.read()
    if not read:  # the status overtook what was not read, and the end of the stream is there at once
        for each in followers:
            each.start()
            each.join()
    used = time.process_time() - begun
    delays = [[round(delay, 5) for delay in each.delays()] for each in followers]
    found = {
        "delays": sorted(delay for each in delays for delay in each),
        "least": min(map(len, delays)),
        "responses": sum(len(each.arrived) for each in followers),
        "cpu": used,
        "codes": sorted({each.code for each in followers}),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), read=sys.argv[3] == "read")
