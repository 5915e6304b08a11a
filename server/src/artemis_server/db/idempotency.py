"""Requests that callers may repeat (AIP-155): the response is stored in the transaction of the write."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from artemis_models import IdempotencyKey
from google.protobuf.message import Message
from sqlalchemy import BigInteger, Table, bindparam, delete, func, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from artemis_server.db import replication, times
from artemis_server.db.statements import ATTRIBUTION, Statement
from artemis_server.errors import InvalidArgument, Violation
from artemis_server.requests import content

KEPT = 24 * 60 * 60 * times.MICROS
"""Microseconds for which a response is kept."""
MAX_PRUNED = 1000
MAX_PRUNED_BYTES = 8 * 1024 * 1024
"""The most bytes that one transaction removes, because writers wait for it; one response may be larger."""

M = TypeVar("M", bound=Message)
_columns = IdempotencyKey.__table__.c
_PARAMETERS = {
    "request_id": bindparam("key_id", type_=_columns.request_id.type),
    "fingerprint": bindparam("key_fingerprint", type_=_columns.fingerprint.type),
    "response": bindparam("key_response", type_=_columns.response.type),
    "create_time": bindparam("key_time", type_=_columns.create_time.type),
}
"""The parameter of each column."""
_BY_ID = _columns.request_id == _PARAMETERS["request_id"]
_FIND = Statement(select(_columns.fingerprint, _columns.response).where(_BY_ID))
_KEEP = Statement(insert(IdempotencyKey).values(_PARAMETERS))
_LOCK = select(func.pg_advisory_xact_lock(bindparam("key_lock", type_=BigInteger)).label("locked"))
"""Waits until no other transaction works on a request with this id (PostgreSQL)."""
_WAIT = Statement(_LOCK)
_EXPIRED = (
    select(_columns.request_id, func.length(_columns.response))
    .where(_columns.create_time < bindparam("before"))
    .order_by(_columns.create_time)
    .limit(MAX_PRUNED)
)


class RequestKey:
    """The id of a request, and a digest of its content that tells it from other requests with the same id."""

    def __init__(self, request: Message, request_id: str) -> None:
        self._id = uuid.UUID(request_id).bytes
        self._fingerprint = _fingerprint(request)

    def answer(self, session: Session, response: type[M], work: Callable[[Session], M]) -> M:
        """Returns the stored response; without one, runs the work, stores its response and returns it.

        Raises:
            InvalidArgument: the id was that of another request.
        """
        if session.get_bind().dialect.name == "postgresql":  # SQLite has one writer anyway
            _WAIT.first(session, {"key_lock": self._lock()})
        found = self.find(session, response)
        if found is not None:
            return found
        made = work(session)
        _KEEP.execute(session, self.values(made))
        return made

    def find(self, session: Session, response: type[M]) -> M | None:
        """Returns the stored response, None if there is none. The transaction ends when standbys have it, too.

        Raises: as `answer`.
        """
        found = _FIND.first(session, {"key_id": self._id})
        if found is None:
            return None
        if found[0] != self._fingerprint:
            raise InvalidArgument(
                Violation(field="request_id", description="was used for another request", rule="request_id.reused"),
                reason="REQUEST_ID_REUSED",
            )
        replication.confirm(session)
        return response.FromString(found[1])

    def values(self, response: Message) -> dict[str, Any]:
        """Returns the parameters of the statement that stores the response."""
        return {
            "key_id": self._id,
            "key_fingerprint": self._fingerprint,
            "key_response": response.SerializeToString(),
            "key_time": times.now(),
            "key_lock": self._lock(),
        }

    def _lock(self) -> int:
        return int.from_bytes(self._id[:8], "big", signed=True)


def insert_once(table: Table, names: Sequence[str]) -> Statement:
    """Returns the statement that stores a response, inserts a row and returns the row's id (PostgreSQL).

    If a response with the request's id is stored already, the statement does neither and returns no row:

        WITH turn AS (SELECT pg_advisory_xact_lock(...)),
             kept AS (INSERT INTO idempotency_keys SELECT ... FROM turn ON CONFLICT DO NOTHING RETURNING request_id)
        INSERT INTO events SELECT ... FROM kept RETURNING id, set_config('artemis.principal', ...)
    """
    turn = _LOCK.cte("turn")
    kept = (
        postgresql.insert(IdempotencyKey)
        .from_select(list(_PARAMETERS), select(*_PARAMETERS.values()).select_from(turn))
        .on_conflict_do_nothing()
        .returning(_columns.request_id)
        .cte("kept")
    )
    row = [bindparam(name, type_=table.c[name].type) for name in names]
    return Statement(
        insert(table).from_select(names, select(*row).select_from(kept)).returning(table.c.id, ATTRIBUTION)
    )


def prune(session: Session, before: int) -> bool:
    """Removes responses that are older than `before`; returns whether there may be more of them."""
    space = MAX_PRUNED_BYTES
    expired: list[bytes] = []
    for request_id, size in session.execute(_EXPIRED, {"before": before}):
        expired.append(request_id)
        space -= size
        if space < 0:
            break
    if expired:
        session.execute(delete(IdempotencyKey).where(_columns.request_id.in_(expired)))
    return len(expired) == MAX_PRUNED or space < 0


def _fingerprint(request: Message) -> bytes:
    """Returns a hash of the type and the content of a request."""
    name = request.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(name + b"\0" + content(request).SerializeToString(deterministic=True)).digest()
