"""The stream of a watch as a call of gRPC."""

from collections.abc import Callable

import grpc

from artemis_server.errors import RequestError
from artemis_server.rpc.incoming import IncomingCall
from artemis_server.rpc.lanes import Lane, grpc_status

_DENIED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
"""The status of a watch whose caller lost access. Nothing else ends a watch with it."""


class CallStream:
    """The stream that answers a call. `watcher.Stream` describes its methods."""

    def __init__(self, call: IncomingCall, recheck: Callable[[IncomingCall], None]) -> None:
        """`recheck` ends the call if its caller may no longer make it."""
        self._call = call
        self._recheck = recheck

    def send(self, message: bytes, sent: Callable[[], None]) -> bool:
        """Begins to send a message, and calls `sent` when the client's flow control has let it through."""
        return self._call.send_message(message, sent)

    def end(self, error: RequestError) -> None:
        """Ends the stream with this error, after all messages."""
        self._call.refuse(grpc_status(error, self._call.request_id))

    def abort(self, error: RequestError) -> None:
        """Ends the stream with this error at once, which overtakes messages that the client does not read."""
        self._call.cancel(grpc_status(error, self._call.request_id))

    def check_access(self) -> None:
        """Ends the stream if its caller may no longer watch, perhaps a moment later."""
        self._recheck(self._call)

    @property
    def denied(self) -> bool:
        """True once `check_access` has ended it."""
        return self._call.code in _DENIED


class WatchLane(Lane):
    """A lane for methods that go on sending after they have returned: their calls leave the lane then."""

    def _answer(self, call: IncomingCall) -> None:
        try:
            call.open()
        except Exception as error:
            call.refuse(grpc_status(error, call.request_id))
