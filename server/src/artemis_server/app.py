"""The composition root: the one place where the parts of the server are made and put together."""

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from artemis.v1 import events_pb2, events_pb2_grpc, users_pb2, users_pb2_grpc
from artemis_models.flags import OFF
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from sqlalchemy import Engine

from artemis_server.access.audit import Audit
from artemis_server.access.control import AccessControl
from artemis_server.access.roles import required_roles
from artemis_server.db import secrets
from artemis_server.db.connection.database import Database
from artemis_server.db.connection.observer import Observer
from artemis_server.db.connection.turn import Turn
from artemis_server.db.events import EventStore
from artemis_server.db.replicas.engines import replica_engines
from artemis_server.db.replicas.routing import Replicas
from artemis_server.db.text_indexer import TextIndexer
from artemis_server.db.users import UserStore
from artemis_server.health import HealthMonitor, HealthServicer
from artemis_server.pruning import Pruner
from artemis_server.reflection import SERVICE_NAMES, add_reflection
from artemis_server.requests import Check
from artemis_server.rpc.batches import Batches
from artemis_server.rpc.calls import Calls, Limits
from artemis_server.rpc.events import EventServicer
from artemis_server.rpc.gate import AccessGate
from artemis_server.rpc.incoming import IncomingCall
from artemis_server.rpc.interceptor import ContractInterceptor
from artemis_server.rpc.lanes import Lane
from artemis_server.rpc.lists import History, Lists
from artemis_server.rpc.pages import PageTokens, ResumeTokens
from artemis_server.rpc.resources import Resources
from artemis_server.rpc.users import UserServicer
from artemis_server.settings import METRICS_LISTEN, Settings
from artemis_server.telemetry import endpoint
from artemis_server.telemetry.families import Layout
from artemis_server.telemetry.gauges import gauges
from artemis_server.telemetry.memory import Memory
from artemis_server.telemetry.worker import Metrics, Telemetry
from artemis_server.watch.log import StoredLog
from artemis_server.watch.streams import WatchLane
from artemis_server.watch.watches import CONNECTIONS as WATCH_CONNECTIONS
from artemis_server.watch.watches import Watches

GET_THREADS = 4
"""Threads that answer only the methods that get a resource by its id, on PostgreSQL (ADR 0002)."""
HEALTH_THREADS = 4
"""Threads that answer health checks, which never wait for the database."""
MAX_PROBES = 1000
"""Health checks that are open at once."""
SQLITE_THREADS = 2
"""Threads that answer gets on SQLite, and as many that answer lists and batches. They wait for little but the
interpreter's lock. gRPC's thread of events waits for it too, and longer with more of them (ADR 0026)."""
BULK_SHARE = 1 / 16
"""Threads that answer lists and batches on PostgreSQL, as a share of `threads`, which answer writes; two at least."""
SHARE = 3 / 8
"""The share of the concurrent calls that may be gets, or writes of one resource, or lists and batches.

Two kinds together leave places to the third one, and an accepted call waits behind no more than its share.
"""
MIN_PING_INTERVAL = 5.0
"""Seconds between two pings of a client that are few enough (gRFC A8). The Python client sends one in 30 seconds."""
MAX_HANDSHAKE = 10.0
"""Seconds in which a connection must begin to speak HTTP/2."""
MAX_PENDING = 1_000_000
"""Calls that gRPC keeps until its thread of events has time for them; the streams of each connection are fewer."""
MAX_METADATA = 2
"""The multiple of the metadata's limit above which gRPC refuses all calls; in between it refuses some."""
MAX_INTERRUPT = 1.0
"""Seconds before the end of the grace at which a stop ends the statements that still run."""
MIN_CLOSE = 0.5
"""Seconds that the pruner, and then the connections, have to end in any case."""
SPARE_CONNECTIONS = 2 + WATCH_CONNECTIONS
"""Connections beside those of the threads that answer calls: for the health probe, the pruner and the watches.

The lane that begins watches has none: the first check of the health reads the key of tokens.
"""
MIN_WATCH_END = 1.0
"""Seconds that watches have in any case to receive the last changes, when the server stops."""


_FILES = (events_pb2.DESCRIPTOR, users_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR)
"""The .proto files whose methods have metrics of their own; those of others are counted together."""

log = logging.getLogger(__name__)


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
    """The methods that read one row by its id."""


def page_tokens(database: Database) -> PageTokens:
    """Returns the page tokens of all lists of a database."""
    return PageTokens(lambda: database.read(secrets.page_token_key))


def services(
    database: Database, tokens: PageTokens, watches: Watches | None = None, *, slow: float = 0
) -> tuple[Service, ...]:
    """Returns every service of the contract on this database. A new entity needs an entry here, and no other.

    `watches` are those of the process, if it serves. Lists that take `slow` seconds are logged.
    """
    if watches is None:
        watches = watches_of(database, tokens)
    resume_tokens = ResumeTokens(tokens.key)
    events, users = EventStore(), UserStore()
    history = History(database, tokens)
    event_resources, user_resources = Resources(database, events), Resources(database, users)
    event_lists = Lists(database, events, tokens, resume_tokens, slow=slow)
    user_lists = Lists(database, users, tokens, slow=slow)
    event_batches, user_batches = Batches(database, events), Batches(database, users)
    return (
        Service(
            descriptor=events_pb2.DESCRIPTOR.services_by_name["EventService"],
            register=events_pb2_grpc.add_EventServiceServicer_to_server,
            servicer=EventServicer(event_resources, event_lists, event_batches, history, watches),
            checks={
                "GetEvent": event_resources.check_get,
                "BatchGetEvents": event_batches.check_get,
                "ListEvents": event_lists.check,
                "ListEventChanges": history.check,
                "WatchEvents": watches.check,
            },
            get_methods=("GetEvent",),
        ),
        Service(
            descriptor=users_pb2.DESCRIPTOR.services_by_name["UserService"],
            register=users_pb2_grpc.add_UserServiceServicer_to_server,
            servicer=UserServicer(user_resources, user_lists, user_batches),
            checks={
                "GetUser": user_resources.check_get,
                "BatchGetUsers": user_batches.check_get,
                "ListUsers": user_lists.check,
            },
            get_methods=("GetUser",),
        ),
    )


def watches_of(database: Database, tokens: PageTokens, **options: Any) -> Watches:
    """Returns the watches of events on this database. `Watches` describes the options."""
    return Watches(database, StoredLog(ResumeTokens(tokens.key)), EventStore().predicate, **options)


class Application:
    """A server on one database. Make it, `start` it, and `stop` it once.

    With `share_port`, other processes may listen on the same port. `Database` explains `turn`. The `telemetry` of this
    process is started and stopped with it. `access` is that of the settings, if it was loaded already. `Calls`
    explains `call_type`.

    Raises:
        SettingsError: a file of access control cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        share_port: bool = False,
        turn: Turn | None = None,
        telemetry: Telemetry,
        access: AccessControl | None = None,
        call_type: Callable[..., IncomingCall] = IncomingCall,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._access = access or AccessControl(settings)
        self._replicas = replicas_of(settings, engine, telemetry)
        turn = turn or Turn()
        self._database = Database(engine, turn, telemetry, self._replicas)
        self._tokens = page_tokens(self._database)
        self._watches = self._make_watches()
        contract = services(self._database, self._tokens, self._watches, slow=settings.log_slow)
        names = [service.descriptor.full_name for service in contract]
        self._health = HealthServicer()
        self._monitor = HealthMonitor(self._health, names, self._check, self._database.disconnect, self._database.doubt)
        self._pruner = Pruner(self._database, settings.change_retention)
        self._indexer = TextIndexer(self._database, turn)
        roles = required_roles(service.descriptor for service in contract)
        audit = Audit(roles) if self._access.authenticates else None
        self._gate = AccessGate(self._access, roles) if self._access.authenticates else None
        limits = Limits(
            settings.max_concurrent_rpcs,
            settings.max_deadline,
            settings.max_client_rate,
            MAX_METADATA * settings.max_metadata_size,
        )
        self._calls = Calls(
            limits,
            telemetry.observers,
            gate=self._gate,
            audit=audit.record if audit else None,
            call_type=call_type,
        )
        self._probes = Calls(Limits(MAX_PROBES, seconds=settings.max_deadline), telemetry.observers)
        self.server = self._make_server(contract, audit, share_port=share_port)
        self._register(contract, names)

    def _make_watches(self) -> Watches:
        """Returns the watches of this process, which tell telemetry why each ends."""
        return watches_of(
            self._database,
            self._tokens,
            max_watchers=self._settings.max_watchers,
            on_end=lambda by: self._telemetry.watch_ended(by.value),
            recheck=self._recheck,
        )

    def _make_server(self, contract: Iterable[Service], audit: Audit | None, *, share_port: bool) -> grpc.Server:
        """Returns a gRPC server whose calls go to the lanes of their methods."""
        interceptor = ContractInterceptor(
            self._lanes(contract),
            {path_of(each) + name: check for each in contract for name, check in each.checks.items()},
            audited=audit.methods if audit else (),
            on_unknown=self._telemetry.unknown,
        )
        return grpc.server(
            self._probes.lane("health", threads=HEALTH_THREADS),
            interceptors=[interceptor],
            options=channel_options(self._settings, share_port=share_port),
        )

    def _check(self) -> None:
        """Checks the database, reads once what replicas do not tell while the primary is away, and measures the log."""
        self._database.check()
        self._tokens.load()
        self._watches.measure()

    def _recheck(self, call: IncomingCall) -> None:
        """Ends a watch whose caller may no longer make it."""
        if self._gate is not None:
            self._gate.recheck(call)

    def _register(self, contract: Iterable[Service], names: Iterable[str]) -> None:
        """Adds all services to the server."""
        for service in contract:
            service.register(service.servicer, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        if self._settings.reflection:
            add_reflection((*names, health.SERVICE_NAME), self.server)

    def _lanes(self, contract: Iterable[Service]) -> dict[str, Lane]:
        """Returns the lane of each method, by the method's full name."""
        submit = self._database.submitter()
        get_threads, bulk_threads = SQLITE_THREADS, SQLITE_THREADS
        if submit is None:
            get_threads, bulk_threads = GET_THREADS, max_bulk_threads(self._settings)
        gets = self._calls.lane("get", threads=get_threads, share=SHARE)
        bulk = self._calls.lane("bulk", threads=bulk_threads, share=SHARE, large_answers=True)
        if submit is None:
            writes = self._calls.lane("write", threads=self._settings.threads, share=SHARE)
        else:
            writes = self._calls.group_lane(submit, bulk, share=SHARE)
        watches = self._calls.lane("watch", threads=1, share=SHARE, kind=WatchLane)
        lanes: dict[str, Lane] = {}
        for each in contract:
            path = path_of(each)
            lanes |= {path + method.name: bulk if is_bulk(method) else writes for method in each.descriptor.methods}
            lanes |= {path + method.name: watches for method in each.descriptor.methods if method.server_streaming}
            lanes |= {path + name: gets for name in each.get_methods}
        return lanes

    def start(self) -> int:
        """Starts answering and returns the port.

        Raises:
            ListenError: the address is in use, or not one of this machine's.
        """
        credentials = self._access.credentials()
        try:
            if credentials is None:
                port = self.server.add_insecure_port(self._settings.listen)
            else:
                port = self.server.add_secure_port(self._settings.listen, credentials)
        except RuntimeError:
            raise ListenError(f"cannot listen on {self._settings.listen}") from None
        self._access.start()
        self._monitor.start()
        if self._replicas is not None:
            self._replicas.start()
        self._telemetry.start(
            gauges(
                self._database,
                self._replicas,
                self._monitor,
                (*self._calls.lanes, *self._probes.lanes),
                self._watches,
                max_connections(self._settings),
                self._access.certificate_expiry,
            )
        )
        self._pruner.start()
        self._indexer.start()
        self._watches.start()
        self._calls.start()
        self._probes.start()
        self.server.start()
        return port

    @property
    def healthy(self) -> bool:
        """True while the health is SERVING."""
        return self._monitor.healthy

    def stop(self, grace: float | None = None) -> None:
        """Refuses calls from now on, lets those that have begun finish within the grace, and closes the database.

        The grace in seconds is that of the settings, unless it is given.

        It goes on refusing calls as UNAVAILABLE until the process ends, and with it the connections. `grpc.Server.stop`
        would end calls that have arrived and not begun as CANCELLED, which no client repeats.
        """
        end = time.monotonic() + (self._settings.shutdown_grace if grace is None else grace)
        self._monitor.stop()
        left = max(0.0, end - time.monotonic())
        margin = min(MAX_INTERRUPT, left / 2)
        if not self._calls.drain(left - margin):
            self._database.interrupt()
            self._calls.drain(margin)
        self._watches.stop(max(MIN_WATCH_END, end - time.monotonic()))
        self._access.stop()
        self._indexer.stop(max(MIN_CLOSE, end - time.monotonic()))
        self._pruner.stop(max(MIN_CLOSE, end - time.monotonic()))
        self._database.close(max(MIN_CLOSE, end - time.monotonic()))
        self._telemetry.stop()

    def close(self) -> None:
        """Closes the database of an application that was not started."""
        self._database.close()


def engines_of_replicas(settings: Settings, primary: Engine) -> list[Engine]:
    """Returns the engines of the replicas that the settings name. Raises DatabaseError if a URL cannot be used."""
    return replica_engines(
        settings.replica_url,
        primary,
        password_file=settings.database_password_file,
        connections=max_replica_connections(settings),
    )


def replicas_of(settings: Settings, primary: Engine, observer: Observer | None = None) -> Replicas | None:
    """Returns the replicas that the settings name; None if they name none. Raises: as `engines_of_replicas`."""
    engines = engines_of_replicas(settings, primary)
    return Replicas(engines, observer) if engines else None


def path_of(service: Service) -> str:
    """Returns the part that the full names of a service's methods begin with: "/artemis.v1.EventService/"."""
    return f"/{service.descriptor.full_name}/"


def is_bulk(method: MethodDescriptor) -> bool:
    """Tells whether a method is about many resources: its request asks for a page, or names several."""
    return any(field.is_repeated or field.name == "page_size" for field in method.input_type.fields)


def channel_options(settings: Settings, *, share_port: bool) -> list[tuple[str, int]]:
    """Returns the settings that gRPC itself keeps to, for each connection."""
    milliseconds = {
        "grpc.keepalive_time_ms": settings.keepalive_time,
        "grpc.keepalive_timeout_ms": settings.keepalive_timeout,
        "grpc.http2.min_ping_interval_without_data_ms": MIN_PING_INTERVAL,
        "grpc.server_handshake_timeout_ms": MAX_HANDSHAKE,
        "grpc.max_connection_age_grace_ms": settings.max_connection_age_grace,
    }
    if settings.max_connection_age:
        milliseconds["grpc.max_connection_age_ms"] = settings.max_connection_age
    return [
        # On by default, by which a second server would take half of the calls unnoticed.
        ("grpc.so_reuseport", int(share_port)),
        ("grpc.max_receive_message_length", settings.max_request_size),
        ("grpc.max_metadata_size", settings.max_metadata_size),
        ("grpc.absolute_max_metadata_size", MAX_METADATA * settings.max_metadata_size),
        ("grpc.max_concurrent_streams", settings.max_streams),
        ("grpc.keepalive_permit_without_calls", 1),
        # Else gRPC takes in more of each request than a thread will read, for as long as a client sends fast.
        ("grpc.http2.bdp_probe", 0),
        # Calls beyond these limits end as CANCELLED, which no client repeats. The lanes refuse them with a reason.
        ("grpc.server.max_pending_requests", MAX_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
        *((name, round(1000 * seconds)) for name, seconds in milliseconds.items()),
    ]


def share_metrics(settings: Settings, workers: int) -> Metrics | None:
    """Listens on the address of the metrics, and returns the parts that the workers share; None without metrics.

    Raises:
        ListenError: the address was set, and cannot be listened on. A server without metrics says so in the log when
            the default address is taken, such as by another server.
    """
    if settings.metrics_listen == OFF:
        return None
    try:
        listening = _bind(settings.metrics_listen or METRICS_LISTEN, endpoint.listen)
    except ListenError as error:
        if settings.metrics_listen is not None:
            raise
        log.warning("there are no metrics: %s (--metrics-listen sets another address, or off)", error)
        return None
    layout = Layout(methods())
    host, port = listening.getsockname()[:2]
    log.info("metrics on http://%s/metrics", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return Metrics(listening=listening, layout=layout, memory=Memory(workers, layout.size))


def methods() -> list[str]:
    """Returns the full names of the methods that the server has, such as "artemis.v1.EventService/GetEvent"."""
    described = [service for file in _FILES for service in file.services_by_name.values()]
    names = [f"{service.full_name}/{method.name}" for service in described for method in service.methods]
    return [*names, *(f"{name}/ServerReflectionInfo" for name in SERVICE_NAMES)]


def max_connections(settings: Settings) -> int:
    """Returns how many connections an application, which is one worker, needs at most."""
    return settings.threads + GET_THREADS + max_bulk_threads(settings) + SPARE_CONNECTIONS


def max_replica_connections(settings: Settings) -> int:
    """Returns how many connections to each replica an application needs at most: one asks, and the others read."""
    return GET_THREADS + max_bulk_threads(settings) + 1


def max_bulk_threads(settings: Settings) -> int:
    """Returns how many threads answer lists and batches at most."""
    return max(SQLITE_THREADS, int(settings.threads * BULK_SHARE))


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
