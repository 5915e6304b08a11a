# Made by client/generate_sync.py of _async/users.py: change that, and run `make client`.
"""`client.users`: UserService in Python's terms."""

import builtins
from collections.abc import Iterable, Sequence
from functools import partial

from artemis.v1 import users_pb2

from artemis_client._sync.calls import Caller
from artemis_client._sync.io import Channel, user_service
from artemis_client._sync.pages import Pager, Pages
from artemis_client._sync.resources import Resources
from artemis_client.batches import check_once
from artemis_client.entities import User
from artemis_client.fields import check_integer, checked_ids, message_of
from artemis_client.masks import field_mask
from artemis_client.pages import Page


class UserClient(Resources[User]):
    """Calls UserService. Each method raises ArtemisError; `timeout` is in seconds, for this call only.

    The `request_id` of a write is a UUID; the same write with the same id returns the same for 24 hours and is
    made once. If it is empty the client makes a new one; give your own to repeat a call yourself. With
    `validate_only` the server checks a write, returns what the write would return, and changes nothing.
    """

    def __init__(self, channel: Channel, caller: Caller) -> None:
        super().__init__(caller)
        self._stub = user_service(channel)
        self._call = caller.call
        self._write = caller.write

    def create(
        self, user: User, *, request_id: str = "", validate_only: bool = False, timeout: float | None = None
    ) -> User:
        """Creates the user and returns it as it was stored, with its id."""
        request = users_pb2.CreateUserRequest(
            user=message_of(user, User), request_id=request_id, validate_only=validate_only
        )
        return User.from_message(self._write(self._stub.CreateUser, request, timeout))

    def get(self, user_id: int, *, read_mask: Iterable[str] | None = None, timeout: float | None = None) -> User:
        """Returns the user with this id, or with `read_mask` these fields of it; the others have their defaults."""
        check_integer("user_id", user_id)
        request = users_pb2.GetUserRequest(id=user_id, read_mask=field_mask(read_mask, "read_mask"))
        return User.from_message(self._call(self._stub.GetUser, request, timeout))

    def list(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's name for it
        order_by: str = "",
        page_size: int = 0,
        page_token: str = "",
        read_mask: Iterable[str] | None = None,
        return_total_size: bool = False,
        timeout: float | None = None,
    ) -> Pager[User]:
        """Returns the users that match `filter` in the order of `order_by`. Without these it returns all, by id.

        docs/filters.md describes both, such as `email = "*@example.com"` and `last_name, first_name`; `where` makes
        filters with values that cannot break out. A loop gets the users; `pages()` of the result yields pages with
        their tokens, and `page_token` continues after a page. Pages are fetched as they are needed; the timeout is one
        page's.

        With `read_mask`, such as ["id", "email"], the server reads and sends these fields alone; the others have their
        defaults. With `return_total_size`, the first page has a `total_size`.
        """
        request = users_pb2.ListUsersRequest(
            filter=filter,
            order_by=order_by,
            page_size=page_size,
            page_token=page_token,
            read_mask=field_mask(read_mask, "read_mask"),
            return_total_size=return_total_size,
        )
        return Pager(Pages(self._caller, self._stub.ListUsers, request, _page, timeout))

    def update(
        self,
        user: User,
        *,
        update_mask: Iterable[str] | None = None,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> User:
        """Sets the fields in `update_mask`, or without it all populated fields. Returns the new user.

        Raises Aborted if the user has an etag that is no longer the current one, and TypeError if the mask is a
        string.
        """
        request = users_pb2.UpdateUserRequest(
            user=message_of(user, User),
            update_mask=field_mask(update_mask),
            request_id=request_id,
            validate_only=validate_only,
        )
        return User.from_message(self._write(self._stub.UpdateUser, request, timeout))

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
        check_integer("user_id", user_id)
        request = users_pb2.DeleteUserRequest(
            id=user_id,
            etag=etag,
            allow_missing=allow_missing,
            request_id=request_id,
            validate_only=validate_only,
        )
        return User.from_message(self._write(self._stub.DeleteUser, request, timeout))

    def batch_get(
        self, ids: Iterable[int], *, read_mask: Iterable[str] | None = None, timeout: float | None = None
    ) -> builtins.list[User]:
        """Returns the users with these ids, in their order, or with `read_mask` these fields of them.

        If any does not exist, NotFound is raised. `get_many` tells which do not exist.
        """
        batch = partial(users_pb2.BatchGetUsersRequest, read_mask=field_mask(read_mask, "read_mask"))
        return self._read_many(self._stub.BatchGetUsers, batch, ids, _users, timeout)

    def batch_create(
        self,
        users: Iterable[User],
        *,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[User]:
        """Creates the users and returns them in this order, as they were stored.

        `Resources` says what a batch is.
        """
        requests = (users_pb2.CreateUserRequest(user=message_of(user, User)) for user in users)
        batch = partial(users_pb2.BatchCreateUsersRequest, validate_only=validate_only)
        return self._write_many(self._stub.BatchCreateUsers, batch, requests, request_id, _users, timeout)

    def batch_update(
        self,
        users: Iterable[User],
        *,
        update_mask: Iterable[str] | None = None,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[User]:
        """Updates the users and returns them in this order, as they now are. `Resources` says what a batch is.

        Each is changed as by `update`, with the one mask for all. If the etag of any is set and is not the
        current one, Aborted is raised; a mask that is one string raises TypeError. A user that is given twice raises
        ValueError. Users can exchange their addresses.
        """
        mask, messages = field_mask(update_mask), [message_of(user, User) for user in users]
        check_once(message.id for message in messages)
        requests = (users_pb2.UpdateUserRequest(user=message, update_mask=mask) for message in messages)
        batch = partial(users_pb2.BatchUpdateUsersRequest, validate_only=validate_only)
        return self._write_many(self._stub.BatchUpdateUsers, batch, requests, request_id, _users, timeout)

    def batch_delete(
        self,
        ids: Iterable[int],
        *,
        allow_missing: bool = False,
        request_id: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> builtins.list[User]:
        """Deletes the users and returns them in this order, as they last were. `Resources` says what a batch is.

        With `allow_missing`, a user that does not exist is not an error, and an empty one is in its place.
        An id that is given twice raises ValueError.
        """
        requests = [users_pb2.DeleteUserRequest(id=each, allow_missing=allow_missing) for each in checked_ids(ids)]
        check_once(request.id for request in requests)
        batch = partial(users_pb2.BatchDeleteUsersRequest, validate_only=validate_only)
        return self._write_many(self._stub.BatchDeleteUsers, batch, requests, request_id, _users, timeout)

    def _read(self, resource_id: int, timeout: float) -> User:
        return self.get(resource_id, timeout=timeout)

    def _change(self, resource: User, paths: Sequence[str], timeout: float) -> User:
        return self.update(resource, update_mask=paths, timeout=timeout)

    def _choose(self, filter: str, timeout: float | None) -> Pager[User]:  # noqa: A002 - the contract's name
        return self.list(filter=filter, timeout=timeout)


def _page(response: users_pb2.ListUsersResponse) -> Page[User]:
    return Page(
        items=[*map(User.from_message, response.users)],
        next_page_token=response.next_page_token,
        total_size=response.total_size if response.HasField("total_size") else None,
        total_size_estimated=response.total_size_estimated,
    )


def _users(
    response: (
        users_pb2.BatchGetUsersResponse
        | users_pb2.BatchCreateUsersResponse
        | users_pb2.BatchUpdateUsersResponse
        | users_pb2.BatchDeleteUsersResponse
    ),
) -> Iterable[User]:
    return map(User.from_message, response.users)
