"""Events as rows."""

from collections.abc import Sequence

import artemis_models
from artemis.v1.events_pb2 import Event
from sqlalchemy import select
from sqlalchemy.orm import Session

from artemis_server.db.batches import BatchStore, FieldPath
from artemis_server.db.connection.driver_errors import Constraint
from artemis_server.errors import FailedPrecondition, InvalidArgument, RequestError, Violation


class EventStore(BatchStore[Event]):
    """Keeps events."""

    message = Event
    model = artemis_models.Event
    searched_fields = ("name", "description")

    def refusal(self, constraint: Constraint, message: Event) -> RequestError | None:
        """Returns the error of an owner that does not exist, or of an end that another change put before the start."""
        if constraint is Constraint.FOREIGN_KEY:
            return self._owner_not_found(message)
        if constraint is Constraint.CHECK:
            return InvalidArgument(
                Violation(
                    field="event.end_time",
                    description="must not be before start_time",
                    rule="end_time.not_before_start",
                )
            )
        return None

    def check_references(self, session: Session, messages: Sequence[Event], path: FieldPath) -> None:
        """Raises FailedPrecondition if an owner does not exist. Until the transaction ends, the others stay."""
        owners = {message.owner_id for message in messages if message.HasField("owner_id")}
        if not owners:
            return
        users = artemis_models.User.id
        existing = set(
            session.scalars(select(users).where(users.in_(owners)).with_for_update(read=True, key_share=True))
        )
        for index, message in enumerate(messages):
            if message.HasField("owner_id") and message.owner_id not in existing:
                raise self._owner_not_found(message).at(f"{path(index)}.owner_id")

    @staticmethod
    def _owner_not_found(message: Event) -> FailedPrecondition:
        return FailedPrecondition(
            "OWNER_NOT_FOUND",
            f"there is no user {message.owner_id}",
            resource_type="user",
            resource_name=str(message.owner_id),
            field="event.owner_id",
        )
