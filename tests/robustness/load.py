"""Many callers of Get, each of whom waits for an answer before it calls again, and for 0.1 s after a refusal."""

import heapq
import time
from collections import defaultdict
from contextlib import ExitStack

from tests.robustness.peer import GET, Peer

CONNECTIONS = 16
BACK_OFF = 0.1
"""Seconds."""
GET_ONE = b"\x08\x01"


class Callers:
    """A number of callers of GetEvent, spread over connections."""

    def __init__(self, port: int, callers: int) -> None:
        self._port = port
        self._callers = callers

    def run(self, seconds: float) -> tuple[list[float], dict[str, list[float]]]:
        """Returns the seconds of the calls that succeeded, and those of the others by their code."""
        accepted: list[float] = []
        refused: dict[str, list[float]] = defaultdict(list)
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer(self._port)) for _ in range(min(CONNECTIONS, self._callers))]
            taken = [0] * len(peers)
            waiting: list[tuple[float, int]] = []
            for number in range(self._callers):
                peers[number % len(peers)].call(GET, GET_ONE)
            end = time.monotonic() + seconds
            while (now := time.monotonic()) < end:
                for index, peer in enumerate(peers):
                    outcomes = peer.outcomes[taken[index] :]
                    taken[index] += len(outcomes)
                    for code, passed in outcomes:
                        if code == "0":
                            accepted.append(passed)
                            peer.call(GET, GET_ONE)
                        else:
                            refused[code].append(passed)
                            heapq.heappush(waiting, (now + BACK_OFF, index))
                while waiting and waiting[0][0] <= now:
                    peers[heapq.heappop(waiting)[1]].call(GET, GET_ONE)
                time.sleep(0.0005)
        return accepted, dict(refused)
