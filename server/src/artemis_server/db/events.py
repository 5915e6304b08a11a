"""Events as rows."""

import artemis_models
from artemis.v1.events_pb2 import Event

from artemis_server.db.batches import BatchStore
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
            return FailedPrecondition(
                "OWNER_NOT_FOUND",
                f"there is no user {message.owner_id}",
                resource_type="user",
                resource_name=str(message.owner_id),
                field="event.owner_id",
            )
        if constraint is Constraint.CHECK:
            return InvalidArgument(
                Violation(
                    field="event.end_time",
                    description="must not be before start_time",
                    rule="end_time.not_before_start",
                )
            )
        return None
