"""Requests that may be repeated (AIP-155): the response to each is kept in the transaction that made it."""

import hashlib
import uuid
from collections.abc import Callable
from typing import TypeVar

from artemis_models import IdempotencyKey
from google.protobuf.message import Message
from sqlalchemy import BigInteger, bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from artemis_server.db import times
from artemis_server.db.statements import Statement
from artemis_server.errors import InvalidArgument, Violation

KEPT = 24 * 60 * 60 * times.MICROS
"""How long a response is kept, in microseconds."""
MOST_PRUNED = 1000
MOST_PRUNED_BYTES = 8 * 1024 * 1024
"""How much is removed in one transaction, which others wait for; at least one response is."""
_NOT_CONTENT = ("request_id", "validate_only")

M = TypeVar("M", bound=Message)
_table = IdempotencyKey.__table__.c
_FIND = Statement(select(_table.fingerprint, _table.response).where(_table.request_id == bindparam("request_id")))
_KEEP = Statement(
    insert(IdempotencyKey).values(
        {name: bindparam(name) for name in ("request_id", "fingerprint", "response", "create_time")}
    )
)
_TURN = Statement(select(func.pg_advisory_xact_lock(bindparam("key", type_=BigInteger))))
_EXPIRED = (
    select(_table.request_id, func.length(_table.response))
    .where(_table.create_time < bindparam("before"))
    .order_by(_table.create_time)
    .limit(MOST_PRUNED)
)


def once(request: Message, request_id: str, response: type[M], work: Callable[[Session], M]) -> Callable[[Session], M]:
    """Returns the work, or, if the request has an id, work that answers a repeat as it answered the first.

    Raises:
        InvalidArgument: by the work; the id was that of another request.
    """
    if not request_id:
        return work
    key = {"request_id": uuid.UUID(request_id).bytes}
    fingerprint = _fingerprint(request)

    def answer(session: Session) -> M:
        _take_turns(session, key["request_id"])
        found = _FIND.first(session, key)
        if found is None:
            made = work(session)
            kept = {"fingerprint": fingerprint, "response": made.SerializeToString(), "create_time": times.now()}
            _KEEP.execute(session, {**key, **kept})
            return made
        if found[0] != fingerprint:
            raise _reused()
        return response.FromString(found[1])

    return answer


def _take_turns(session: Session, request_id: bytes) -> None:
    """Waits until no other transaction works on a request with this id. SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        _TURN.first(session, {"key": int.from_bytes(request_id[:8], "big", signed=True)})


def prune(session: Session, before: int) -> bool:
    """Removes responses that are older than `before`; returns whether there may be more of them."""
    space = MOST_PRUNED_BYTES
    expired: list[bytes] = []
    for request_id, size in session.execute(_EXPIRED, {"before": before}):
        expired.append(request_id)
        space -= size
        if space < 0:
            break
    if expired:
        session.execute(delete(IdempotencyKey).where(_table.request_id.in_(expired)))
    return len(expired) == MOST_PRUNED or space < 0


def _fingerprint(request: Message) -> bytes:
    """Returns what tells requests apart: their type and all that they ask for."""
    content = type(request)()
    content.CopyFrom(request)
    for field in _NOT_CONTENT:
        content.ClearField(field)
    name = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(name + b"\0" + content.SerializeToString(deterministic=True)).digest()


def _reused() -> InvalidArgument:
    return InvalidArgument(
        Violation(field="request_id", description="is that of another request", rule="request_id.reused"),
        reason="REQUEST_ID_REUSED",
    )
