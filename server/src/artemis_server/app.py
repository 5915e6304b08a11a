"""The composition root: the one place where the parts of the server are made and put together."""

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2, users_pb2_grpc
from grpc_health.v1 import health, health_pb2_grpc
from sqlalchemy import Engine

from artemis_server.db import secrets
from artemis_server.db.connection.database import Database
from artemis_server.db.events import EventStore
from artemis_server.db.users import UserStore
from artemis_server.health import HealthMonitor, HealthServicer
from artemis_server.pruning import Pruner
from artemis_server.reflection import add_reflection
from artemis_server.rpc.batches import Batches
from artemis_server.rpc.boundary import ContractInterceptor
from artemis_server.rpc.events import EventServicer
from artemis_server.rpc.pages import PageTokens
from artemis_server.rpc.resources import Resources
from artemis_server.rpc.users import UserServicer
from artemis_server.settings import Settings
from artemis_server.streams import OpenStreams

SERVICES = (
    events_pb2.DESCRIPTOR.services_by_name["EventService"].full_name,
    users_pb2.DESCRIPTOR.services_by_name["UserService"].full_name,
)

GET_THREADS = 8
"""How many threads get resources by their ids."""
SPARE_CONNECTIONS = 4
"""How many connections there are beside those of the threads that answer: for the health probe and the pruner."""


class ListenError(Exception):
    """The address cannot be listened on."""


class Application:
    """A server on one database. Make it, `start` it, and `stop` it once."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._database = Database(engine)
        self._streams = OpenStreams()
        self._health = HealthServicer(self._streams)
        self._monitor = HealthMonitor(self._health, SERVICES, self._database.check, self._database.disconnect)
        self._pruner = Pruner(self._database)
        self._getters = ThreadPoolExecutor(GET_THREADS, thread_name_prefix="get")
        self._contract = ContractInterceptor(self._getters)
        self.server = grpc.server(
            ThreadPoolExecutor(max_workers=settings.threads, thread_name_prefix="rpc"),
            interceptors=[self._contract],
            options=[("grpc.so_reuseport", 0)],  # or a second server would take half of the calls unnoticed
        )
        self._add_services()

    def _add_services(self) -> None:
        tokens = PageTokens(lambda: self._database.read(secrets.page_token_key))
        event_store = EventStore()
        events = EventServicer(Resources(self._database, event_store, tokens), Batches(self._database, event_store))
        users = Resources(self._database, UserStore(), tokens)
        events_pb2_grpc.add_EventServiceServicer_to_server(events, self.server)
        users_pb2_grpc.add_UserServiceServicer_to_server(UserServicer(users), self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        if self._settings.reflection:
            add_reflection((*SERVICES, health.SERVICE_NAME), self.server, self._streams)

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

    def stop(self) -> None:
        """Refuses new requests, lets those in flight finish within the grace, and closes the database."""
        self._monitor.stop()
        self._pruner.stop()
        self._contract.drain()
        stopped = self.server.stop(self._settings.shutdown_grace)
        self._streams.end()
        stopped.wait()
        self._getters.shutdown(wait=False)
        self.close()

    def close(self) -> None:
        """Closes the database of an application that was not started."""
        self._database.close()


def connections(settings: Settings) -> int:
    """Returns how many connections an application needs at most."""
    return settings.threads + GET_THREADS + SPARE_CONNECTIONS


def refuse_taken(listen: str) -> None:
    """Raises ListenError with the system's reason, which gRPC's own error does not tell."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, int(port)), family=family).close()
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while ")[0]  # what follows repeats the address
        raise ListenError(f"cannot listen on {listen}: {reason}") from None
