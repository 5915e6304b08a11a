"""A process of watchers, for the figures: it follows until its standard input ends, and prints what it saw as JSON."""

import json
import sys
import threading
import time

import grpc
from artemis.v1 import events_pb2_grpc
from artemis.v1.events_pb2 import WatchEventsRequest

CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0))
"""Each channel has a connection of its own, with windows of 64 KiB, whose size does not depend on the machine."""
PER_CONNECTION = 25


class Follower(threading.Thread):
    """A watcher that keeps the delay of each change: from the time that the log has for it to its arrival."""

    def __init__(self, channel: grpc.Channel, ready: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self._ready = ready
        self.call = events_pb2_grpc.EventServiceStub(channel).WatchEvents(WatchEventsRequest())
        self.delays: list[float] = []
        self.responses = 0
        self.code = ""

    def run(self) -> None:
        """Follows until the stream ends."""
        try:
            next(self.call)
            self._ready.release()
            for response in self.call:
                now = time.time()
                self.responses += 1
                for change in response.changes:
                    self.delays.append(now - change.change_time.seconds - change.change_time.nanos / 1e9)
        except grpc.RpcError as error:
            self.code = error.code().name
            self._ready.release()


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
    print("ready", flush=True)
    sys.stdin.read()
    if not read:  # the status overtook what was not read, and the end of the stream is there at once
        for each in followers:
            each.start()
            each.join()
    found = {
        "delays": sorted(round(delay, 5) for each in followers for delay in each.delays),
        "least": min(len(each.delays) for each in followers),
        "responses": sum(each.responses for each in followers),
        "codes": sorted({each.code for each in followers}),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), read=sys.argv[3] == "read")
