"""`client.users`: UserService in Python's terms."""

from collections.abc import Iterable, Iterator

import grpc
from artemis.v1 import users_pb2, users_pb2_grpc
from artemis.v1.users_pb2 import User
from google.protobuf.field_mask_pb2 import FieldMask

from artemis_client.calls import Caller


class UserClient:
    """Calls UserService. Each method raises ArtemisError; `timeout` is in seconds, for this call only."""

    def __init__(self, channel: grpc.Channel, caller: Caller) -> None:
        self._stub = users_pb2_grpc.UserServiceStub(channel)
        self._call = caller.call

    def create(self, user: User, *, timeout: float | None = None) -> User:
        """Creates the user and returns it as it was stored, with its id."""
        return self._call(self._stub.CreateUser, users_pb2.CreateUserRequest(user=user), timeout)

    def get(self, user_id: int, *, timeout: float | None = None) -> User:
        """Returns the user with this id."""
        return self._call(self._stub.GetUser, users_pb2.GetUserRequest(id=user_id), timeout)

    def list(self, *, page_size: int = 0, timeout: float | None = None) -> Iterator[User]:
        """Yields every user in order of id, fetching pages as they are needed; the timeout is one page's."""
        request = users_pb2.ListUsersRequest(page_size=page_size)
        while True:
            page = self._call(self._stub.ListUsers, request, timeout)
            yield from page.users
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def update(self, user: User, *, update_mask: Iterable[str] | None = None, timeout: float | None = None) -> User:
        """Changes the fields in `update_mask`, or all populated ones without it; returns the user as it now is.

        If the etag of the user is set, it must still be the current one, or Aborted is raised.
        """
        mask = None if update_mask is None else FieldMask(paths=update_mask)
        request = users_pb2.UpdateUserRequest(user=user, update_mask=mask)
        return self._call(self._stub.UpdateUser, request, timeout)

    def delete(
        self, user_id: int, *, etag: str = "", allow_missing: bool = False, timeout: float | None = None
    ) -> User:
        """Deletes the user and returns it as it last was.

        If `etag` is given, it must still be the current one, or Aborted is raised. With `allow_missing`,
        a user that does not exist is not an error, and an empty one is returned.
        """
        request = users_pb2.DeleteUserRequest(id=user_id, etag=etag, allow_missing=allow_missing)
        return self._call(self._stub.DeleteUser, request, timeout)
