# Made by client/generate.py of _async/users.py: change that, and run `make client`.
"""`client.users`: UserService in Python's terms."""

from collections.abc import Iterable, Iterator

from artemis.v1 import users_pb2
from artemis.v1.users_pb2 import User

from artemis_client._sync.calls import Caller
from artemis_client._sync_io import Channel, user_service
from artemis_client.masks import field_mask


class UserClient:
    """Calls UserService. Each method raises ArtemisError; `timeout` is in seconds, for this call only.

    The `request_id` of a write is a UUID; the same write with the same id returns the same for 24 hours and is
    made once. If it is empty the client makes a new one; give your own to repeat a call yourself. With
    `validate_only` a write is checked, returns what it would return, and changes nothing.
    """

    def __init__(self, channel: Channel, caller: Caller) -> None:
        self._stub = user_service(channel)
        self._call = caller.call
        self._write = caller.write

    def create(
        self, user: User, *, request_id: str = "", validate_only: bool = False, timeout: float | None = None
    ) -> User:
        """Creates the user and returns it as it was stored, with its id."""
        request = users_pb2.CreateUserRequest(user=user, request_id=request_id, validate_only=validate_only)
        return self._write(self._stub.CreateUser, request, timeout)

    def get(self, user_id: int, *, timeout: float | None = None) -> User:
        """Returns the user with this id."""
        return self._call(self._stub.GetUser, users_pb2.GetUserRequest(id=user_id), timeout)

    def list(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's name for it
        order_by: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[User]:
        """Yields the users that match `filter` in the order of `order_by`. Without these it yields all users, by id.

        docs/filters.md describes both, such as `email = "*@example.com"` and `last_name, first_name`.
        Pages are fetched as they are needed; the timeout is one page's.
        """
        request = users_pb2.ListUsersRequest(filter=filter, order_by=order_by, page_size=page_size)
        while True:
            page = self._call(self._stub.ListUsers, request, timeout)
            yield from page.users
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def update(
        self,
        user: User,
        *,
        update_mask: Iterable[str] | None = None,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> User:
        """Changes the fields in `update_mask`, or all populated ones without it; returns the user as it now is.

        If the etag of the user is set, it must still be the current one, or Aborted is raised. A mask that is
        one string raises TypeError.
        """
        request = users_pb2.UpdateUserRequest(
            user=user, update_mask=field_mask(update_mask), request_id=request_id, validate_only=validate_only
        )
        return self._write(self._stub.UpdateUser, request, timeout)

    def delete(
        self,
        user_id: int,
        *,
        etag: str = "",
        allow_missing: bool = False,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> User:
        """Deletes the user and returns it as it last was.

        If `etag` is given, it must still be the current one, or Aborted is raised. With `allow_missing`,
        a user that does not exist is not an error, and an empty one is returned.
        """
        request = users_pb2.DeleteUserRequest(
            id=user_id,
            etag=etag,
            allow_missing=allow_missing,
            request_id=request_id,
            validate_only=validate_only,
        )
        return self._write(self._stub.DeleteUser, request, timeout)
