"""Users as rows."""

import artemis_models
from artemis.v1.users_pb2 import User

from artemis_server.db import etags, times
from artemis_server.db.connection.driver_errors import Constraint
from artemis_server.db.statements import Row
from artemis_server.db.store import Store
from artemis_server.errors import AlreadyExists, FailedPrecondition, RequestError


class UserStore(Store[User]):
    """Keeps users."""

    message = User
    model = artemis_models.User
    words = ("email", "first_name", "last_name")

    def fill(self, message: User, row: Row) -> User:
        """Sets every field of an empty user from a row, and returns it."""
        (
            message.id,
            message.email,
            message.first_name,
            message.last_name,
            message.source,
            message.external_id,
            create_time,
            update_time,
            version,
        ) = row
        times.fill(message.create_time, create_time)
        times.fill(message.update_time, update_time)
        message.etag = etags.from_version(version)
        return message

    def refusal(self, constraint: Constraint, message: User) -> RequestError | None:
        """Tells of an e-mail address that is taken, and of a user who cannot be deleted."""
        if constraint is Constraint.UNIQUE:
            return AlreadyExists(
                "EMAIL_TAKEN",
                f"another user has the address {message.email}",
                resource_type="user",
                resource_name=message.email,
                field="user.email",
            )
        if constraint is Constraint.FOREIGN_KEY:
            return FailedPrecondition(
                "USER_OWNS_EVENTS",
                f"user {message.id} owns events; delete them or give them another owner first",
                resource_type="user",
                resource_name=str(message.id),
            )
        return None
