"""UserService."""

import grpc
from artemis.v1 import users_pb2, users_pb2_grpc
from artemis.v1.users_pb2 import User

from artemis_server.rpc.resources import Resources


class UserServicer(users_pb2_grpc.UserServiceServicer):
    """Answers UserService. See users.proto for what each method does."""

    def __init__(self, users: Resources[User]) -> None:
        self._users = users

    def CreateUser(self, request: users_pb2.CreateUserRequest, context: grpc.ServicerContext) -> User:
        """Creates a user."""
        return self._users.create(request, request.user, context)

    def GetUser(self, request: users_pb2.GetUserRequest, context: grpc.ServicerContext) -> User:
        """Returns a user."""
        return self._users.get(request.id, context)

    def ListUsers(
        self, request: users_pb2.ListUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.ListUsersResponse:
        """Returns a page of users."""
        return self._users.list(request, users_pb2.ListUsersResponse, context)

    def UpdateUser(self, request: users_pb2.UpdateUserRequest, context: grpc.ServicerContext) -> User:
        """Updates a user."""
        return self._users.update(request, request.user, request.update_mask, context)

    def DeleteUser(self, request: users_pb2.DeleteUserRequest, context: grpc.ServicerContext) -> User:
        """Deletes a user."""
        return self._users.delete(request, context)
