"""UserService: each method hands its request to the class that answers it for every kind of resource."""

import grpc
from artemis.v1 import users_pb2, users_pb2_grpc
from artemis.v1.users_pb2 import User

from artemis_server.rpc.lists import Lists
from artemis_server.rpc.resources import Resources


class UserServicer(users_pb2_grpc.UserServiceServicer):
    """Answers UserService. users.proto describes the methods."""

    def __init__(self, users: Resources[User], lists: Lists[User]) -> None:
        self._users = users
        self._lists = lists

    def CreateUser(self, request: users_pb2.CreateUserRequest, context: grpc.ServicerContext) -> User:
        """Creates a user."""
        return self._users.create(request, context)

    def GetUser(self, request: users_pb2.GetUserRequest, context: grpc.ServicerContext) -> User:
        """Returns a user."""
        return self._users.get(request.id, context)

    def ListUsers(
        self, request: users_pb2.ListUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.ListUsersResponse:
        """Returns a page of users."""
        return self._lists.page(request, users_pb2.ListUsersResponse, context)

    def UpdateUser(self, request: users_pb2.UpdateUserRequest, context: grpc.ServicerContext) -> User:
        """Updates a user."""
        return self._users.update(request, context)

    def DeleteUser(self, request: users_pb2.DeleteUserRequest, context: grpc.ServicerContext) -> User:
        """Deletes a user."""
        return self._users.delete(request, context)
