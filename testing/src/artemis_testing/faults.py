"""The faults of the calls to come, as a test writes them."""

import grpc
from artemis_client.fields import check_text

from artemis_testing.calls import METHODS
from artemis_testing.process import ServerProcess

MAX_RETRY_AFTER = 86_400
"""Seconds."""
MAX_DELAY = 25.0
"""Seconds. The server gives a client 30 to read an answer."""
_STREAMS = {method.name: method.server_streaming for method in METHODS.values()}
"""The names of all methods, and whether the answer of each is a stream."""


class Faults:
    """Faults of the next calls. Each call meets one fault at most: the first that is left of those for its method.

    `method` is the name of a method, such as "CreateEvent"; without it a fault meets the calls of any. Calls of the
    health service and of reflection meet none. `calls` is the number of calls that a fault meets. An attempt that a
    client makes again is another call.
    """

    def __init__(self, process: ServerProcess) -> None:
        self._process = process

    def fail(
        self,
        code: grpc.StatusCode,
        *,
        calls: int = 1,
        method: str = "",
        reason: str = "",
        message: str = "",
        retry_after: int = 0,
    ) -> None:
        """Ends calls with a status, before they have an effect. It has the details that the server gives this code.

        `reason` is that of ErrorInfo, and `message` the text; without them they are those of the server's most common
        error of this code. `retry_after` is in seconds, and RetryInfo has it with UNAVAILABLE and RESOURCE_EXHAUSTED:
        the server asks for 1 there, which a test would have to wait for.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: the server never answers this code, or has no such method; a number is out of its range; UTF-8
                cannot encode a text.
        """
        if not isinstance(code, grpc.StatusCode):
            raise TypeError(f"a code is one of grpc.StatusCode, not {code!r}")
        check_text("reason", reason)
        check_text("message", message)
        if type(retry_after) is not int or not 0 <= retry_after <= MAX_RETRY_AFTER:
            raise ValueError(f"retry_after is from 0 to {MAX_RETRY_AFTER} whole seconds, not {retry_after!r}")
        _check(calls, method)
        status = {"code": code.name, "reason": reason, "message": message, "retry_after": retry_after}
        self._process.ask("fail", calls=calls, method=method, status=status)

    def delay(self, seconds: float, *, calls: int = 1, method: str = "") -> None:
        """Sends answers so much later, up to MAX_DELAY seconds. A write is committed before, not after the delay.

        It meets no calls whose answer is a stream.

        Raises:
            ValueError: the delay is too long or negative, or there is no such method, or its answer is a stream.
        """
        if not 0 <= seconds <= MAX_DELAY:
            raise ValueError(f"a delay is from 0 to {MAX_DELAY:g} seconds, not {seconds!r}")
        _check(calls, method, unary=True)
        self._process.ask("fault", kind="DELAY", calls=calls, method=method, seconds=seconds)

    def drop_connection(self, *, calls: int = 1, method: str = "") -> None:
        """Cuts the connection when a call arrives, which has no effect. Other calls of the connection end as well.

        Raises:
            ValueError: there is no such method.
        """
        _check(calls, method)
        self._process.ask("fault", kind="DROP", calls=calls, method=method)

    def lose_answer(self, *, calls: int = 1, method: str = "") -> None:
        """Cuts the connection when a call has its answer, which is not sent: what the call wrote is committed.

        It meets no calls whose answer is a stream.

        Raises:
            ValueError: there is no such method, or its answer is a stream.
        """
        _check(calls, method, unary=True)
        self._process.ask("fault", kind="LOSE", calls=calls, method=method)

    def disconnect(self) -> None:
        """Cuts all connections now. Open calls and watches end with them, and clients may connect again."""
        self._process.ask("disconnect")

    def expire_watch_log(self) -> None:
        """Makes every resume token expire that the server has given. Open watches end with that error within 0.1 s."""
        self._process.ask("expire_log")

    def clear(self) -> None:
        """Forgets the faults that are left."""
        self._process.ask("clear_faults")


def _check(calls: int, method: str, *, unary: bool = False) -> None:
    if type(calls) is not int or calls < 1:
        raise ValueError(f"calls must be 1 or more, not {calls!r}")
    if method and method not in _STREAMS:
        raise ValueError(f"there is no method {method!r}; there are {', '.join(_STREAMS)}")
    if method and unary and _STREAMS[method]:
        raise ValueError(f"the answer of {method} is a stream: use drop_connection or disconnect")
