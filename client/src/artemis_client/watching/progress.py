"""The progress of a watch, and its pauses before it connects again.

This module knows no transport, and its caller does the waiting.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from artemis.v1.events_pb2 import EventChange, WatchEventsRequest, WatchEventsResponse
from google.protobuf.field_mask_pb2 import FieldMask

from artemis_client.errors import ArtemisError, Unavailable
from artemis_client.retries import Attempts

_CUT = (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)
"""Errors of a stream that somebody on the way ended: the client ends none by itself, but for silent ones."""
_BROKEN = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
"""Errors of gRPC for a stream that a proxy broke off. They are the server's own if they have details."""
_MAX_BROKEN = 5
"""Streams in a row that may break without a response."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of whole transactions, in their order, and the token that continues after them. A checkpoint has none."""

    changes: Sequence[EventChange]
    resume_token: str
    caught_up: bool
    """True if nothing more was committed until a moment ago."""


class Progress:
    """The progress of one watch over all its streams.

    A transaction that is too large for one response comes in several, and only the last one has a token. They are kept
    until then. If the stream ends before, the next one repeats the transaction from its first change, and perhaps
    after others: two streams may order transactions that have no event in common differently.
    """

    def __init__(
        self,
        resume_token: str,
        filter: str,  # noqa: A002 - the contract's name for it
        read_mask: FieldMask | None = None,
    ) -> None:
        self._request = WatchEventsRequest(resume_token=resume_token, filter=filter, read_mask=read_mask)
        self._unfinished: list[WatchEventsResponse] = []
        self._attempts = Attempts(math.inf)
        self._refused = False
        self._broken = 0

    @property
    def resume_token(self) -> str:
        """The token that continues after the last batch."""
        return self._request.resume_token

    def request(self) -> WatchEventsRequest:
        """Returns the request of the next stream."""
        self._unfinished.clear()
        return self._request

    def take(self, response: WatchEventsResponse) -> Batch | None:
        """Returns the changes that a response completes; None if their last transaction continues."""
        self._responded()
        if not response.resume_token:
            self._unfinished.append(response)
            return None
        self._request.resume_token = response.resume_token
        changes = [change for part in (*self._unfinished, response) for change in part.changes]
        self._unfinished.clear()
        return Batch(changes, response.resume_token, response.caught_up)

    def pause_after(self, error: ArtemisError) -> float | None:
        """Returns the seconds until the next stream; None if the error is final.

        There is no deadline. A token of the caller that is refused is asked for again at once, and then final.
        """
        code = error.code
        if code is grpc.StatusCode.UNAUTHENTICATED and not self._refused:
            self._refused = True
            return 0
        broken = code in _BROKEN and not error.details
        self._broken += broken
        if code in _CUT or (broken and self._broken <= _MAX_BROKEN):
            error = Unavailable(grpc.StatusCode.UNAVAILABLE, error.message, error.details, error.request_id)
        return self._attempts.pause_after(error)

    def _responded(self) -> None:
        self._attempts = Attempts(math.inf)
        self._refused = False
        self._broken = 0
