"""Users as rows."""

import artemis_models
from artemis.v1.users_pb2 import User

from artemis_server.db.batches import BatchStore
from artemis_server.db.connection.driver_errors import Constraint
from artemis_server.errors import AlreadyExists, FailedPrecondition, RequestError


class UserStore(BatchStore[User]):
    """Keeps users."""

    message = User
    model = artemis_models.User
    searched_fields = ("email", "first_name", "last_name")
    unique_field = "email"

    def refusal(self, constraint: Constraint, message: User) -> RequestError | None:
        """Returns the error of an e-mail address that is taken, or of a user who owns events."""
        if constraint is Constraint.UNIQUE:
            return AlreadyExists(
                "EMAIL_TAKEN",
                f"another user has the address {message.email}",
                resource_type="user",
                resource_name=message.email,
                field="user.email",
                named_by="email",
            )
        if constraint is Constraint.FOREIGN_KEY:
            return FailedPrecondition(
                "USER_OWNS_EVENTS",
                f"user {message.id} owns events; delete them or give them another owner first",
                resource_type="user",
                resource_name=str(message.id),
            )
        return None
