"""UserService: each method hands its request to the class that answers it for every kind of resource."""

import grpc
from artemis.v1 import users_pb2, users_pb2_grpc
from artemis.v1.users_pb2 import User

from artemis_server.rpc.batches import Batches
from artemis_server.rpc.lists import Lists
from artemis_server.rpc.resources import Resources


class UserServicer(users_pb2_grpc.UserServiceServicer):
    """Answers UserService. users.proto describes the methods."""

    def __init__(self, users: Resources[User], lists: Lists[User], batches: Batches[User]) -> None:
        self._users = users
        self._lists = lists
        self._batches = batches

    def CreateUser(self, request: users_pb2.CreateUserRequest, context: grpc.ServicerContext) -> User:
        """Creates a user."""
        return self._users.create(request, context)

    def GetUser(self, request: users_pb2.GetUserRequest, context: grpc.ServicerContext) -> User:
        """Returns a user."""
        return self._users.get(request, context)

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

    def BatchGetUsers(
        self, request: users_pb2.BatchGetUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.BatchGetUsersResponse:
        """Returns users by their ids."""
        return self._batches.get(request, users_pb2.BatchGetUsersResponse, context)

    def BatchCreateUsers(
        self, request: users_pb2.BatchCreateUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.BatchCreateUsersResponse:
        """Creates users."""
        return self._batches.create(request, users_pb2.BatchCreateUsersResponse, context)

    def BatchUpdateUsers(
        self, request: users_pb2.BatchUpdateUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.BatchUpdateUsersResponse:
        """Updates users."""
        return self._batches.update(request, users_pb2.BatchUpdateUsersResponse, context)

    def BatchDeleteUsers(
        self, request: users_pb2.BatchDeleteUsersRequest, context: grpc.ServicerContext
    ) -> users_pb2.BatchDeleteUsersResponse:
        """Deletes users."""
        return self._batches.delete(request, users_pb2.BatchDeleteUsersResponse, context)
