"""The rate of each client's calls, which a token bucket limits."""

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_CLIENTS = 10_000
"""Clients whose buckets are kept. Beyond them the one that called least recently begins with a full bucket again."""


class Rates:
    """A token bucket for each client: `rate` tokens come back each second, and as many fit in. 0 limits nothing."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> bool:
        """Takes a token for a call of this client, and tells whether there was one. One thread may call this."""
        now = self._clock()
        tokens, since = self._buckets.pop(client, (float(self._rate), now))
        tokens = min(self._rate, tokens + (now - since) * self._rate)
        enough = tokens >= 1
        self._buckets[client] = (tokens - 1 if enough else tokens, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return enough
