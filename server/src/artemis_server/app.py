"""The composition root: the one place where the parts of the server are made and put together."""

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2, users_pb2_grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2_grpc
from sqlalchemy import Engine

from artemis_server.db import secrets
from artemis_server.db.connection.database import NO_TURN, Database
from artemis_server.db.events import EventStore
from artemis_server.db.users import UserStore
from artemis_server.health import HealthMonitor, HealthServicer
from artemis_server.pruning import Pruner
from artemis_server.reflection import add_reflection
from artemis_server.requests import Check
from artemis_server.rpc.batches import Batches
from artemis_server.rpc.events import EventServicer
from artemis_server.rpc.interceptor import ContractInterceptor
from artemis_server.rpc.lists import Lists
from artemis_server.rpc.pages import PageTokens
from artemis_server.rpc.resources import Resources
from artemis_server.rpc.users import UserServicer
from artemis_server.settings import Settings
from artemis_server.streams import OpenStreams

GET_THREADS = 8
"""Threads that answer only the methods that get a resource by its id."""
SPARE_CONNECTIONS = 4
"""Connections beside those of the threads that answer calls: for the health probe and the pruner."""


class ListenError(Exception):
    """The address cannot be listened on."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service of the contract: registration, health, reflection and the choice of threads derive from it."""

    descriptor: ServiceDescriptor
    register: Callable[[Any, grpc.Server], None]
    """The generated function that adds a servicer to a server."""
    servicer: object
    checks: Mapping[str, Check]
    """The checks that methods make themselves, by the method's name."""
    get_methods: tuple[str, ...]
    """The methods that read one row by its id: GET_THREADS threads of their own answer them."""


def services(database: Database) -> tuple[Service, ...]:
    """Returns every service of the contract on this database. A new entity needs an entry here, and no other."""
    tokens = PageTokens(lambda: database.read(secrets.page_token_key))
    events, users = EventStore(), UserStore()
    return (
        Service(
            descriptor=events_pb2.DESCRIPTOR.services_by_name["EventService"],
            register=events_pb2_grpc.add_EventServiceServicer_to_server,
            servicer=EventServicer(
                Resources(database, events), Lists(database, events, tokens), Batches(database, events)
            ),
            checks={"ListEvents": Lists(database, events, tokens).check},
            get_methods=("GetEvent",),
        ),
        Service(
            descriptor=users_pb2.DESCRIPTOR.services_by_name["UserService"],
            register=users_pb2_grpc.add_UserServiceServicer_to_server,
            servicer=UserServicer(Resources(database, users), Lists(database, users, tokens)),
            checks={"ListUsers": Lists(database, users, tokens).check},
            get_methods=("GetUser",),
        ),
    )


class Application:
    """A server on one database. Make it, `start` it, and `stop` it once.

    With `share_port`, other processes may listen on the same port. `Database` explains `turn`.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        share_port: bool = False,
        turn: AbstractContextManager[object] = NO_TURN,
    ) -> None:
        self._settings = settings
        self._database = Database(engine, turn)
        self._streams = OpenStreams()
        contract = services(self._database)
        names = [service.descriptor.full_name for service in contract]
        self._health = HealthServicer(self._streams)
        self._monitor = HealthMonitor(self._health, names, self._database.check, self._database.disconnect)
        self._pruner = Pruner(self._database)
        self._getters = ThreadPoolExecutor(GET_THREADS, thread_name_prefix="get")
        get_methods = [f"/{each.descriptor.full_name}/{name}" for each in contract for name in each.get_methods]
        checks = {
            f"/{each.descriptor.full_name}/{name}": check for each in contract for name, check in each.checks.items()
        }
        self._interceptor = ContractInterceptor(dict.fromkeys(get_methods, self._getters), checks)
        self.server = grpc.server(
            ThreadPoolExecutor(max_workers=settings.threads, thread_name_prefix="rpc"),
            interceptors=[self._interceptor],
            # On by default, by which a second server would take half of the calls unnoticed.
            options=[("grpc.so_reuseport", int(share_port))],
        )
        for service in contract:
            service.register(service.servicer, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        if settings.reflection:
            add_reflection((*names, health.SERVICE_NAME), self.server, self._streams)

    def start(self) -> int:
        """Starts answering and returns the port.

        Raises:
            ListenError: the address is in use, or not one of this machine's.
        """
        try:
            port = self.server.add_insecure_port(self._settings.listen)
        except RuntimeError:
            raise ListenError(f"cannot listen on {self._settings.listen}") from None
        self._monitor.start()
        self._pruner.start()
        self.server.start()
        return port

    @property
    def healthy(self) -> bool:
        """True while the health is SERVING."""
        return self._monitor.healthy

    def stop(self) -> None:
        """Refuses new requests, lets those in flight finish within the grace, and closes the database."""
        self._monitor.stop()
        self._pruner.stop()
        self._interceptor.drain()
        stopped = self.server.stop(self._settings.shutdown_grace)
        self._streams.end()
        stopped.wait()
        self._getters.shutdown(wait=False)
        self.close()

    def close(self) -> None:
        """Closes the database of an application that was not started."""
        self._database.close()


def max_connections(settings: Settings) -> int:
    """Returns how many connections an application, which is one worker, needs at most."""
    return settings.threads + GET_THREADS + SPARE_CONNECTIONS


def check_address(listen: str) -> None:
    """Raises ListenError when the address cannot be listened on.

    The error has the system's reason, which gRPC's own error does not give.
    """
    _bind(listen, socket.create_server).close()


def reserve_address(listen: str) -> socket.socket:
    """Returns a socket that keeps the address for processes of this user that share it, and does not listen.

    Call `check_address` before: this one does not notice a server whose processes share the address already.

    Raises:
        ListenError: the address is in use, or not one of this machine's.
    """

    def bind(address: tuple[str, int], *, family: int) -> socket.socket:
        reserved = socket.socket(family)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            reserved.setsockopt(socket.SOL_SOCKET, option, 1)
        reserved.bind(address)
        return reserved

    return _bind(listen, bind)


def _bind(listen: str, bind: Callable[..., socket.socket]) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        return bind((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while ")[0]  # the rest repeats the address
        raise ListenError(f"cannot listen on {listen}: {reason}") from None
