"""The metrics: their names, labels and buckets. The pages that Prometheus reads derive from this list.

Metrics of calls have the names, labels and buckets of gRFC A66, in the form that OpenTelemetry's exporter for
Prometheus gives them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import grpc

OTHER = "other"
"""The method of calls to methods that the server does not have (gRFC A66). Callers can name any number of them."""
SECONDS = (
    *(0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01),
    *(0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65),
    *(0.8, 1, 2, 5, 10, 20, 50, 100),
)
"""Upper bounds of durations (gRFC A66)."""
BYTES = (0, *(2**power for power in (10, 11, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32)))
"""Upper bounds of sizes (gRFC A66)."""
GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
REASONS = (
    *("TOO_MANY_CALLS", "RATE_LIMIT_EXCEEDED", "REQUEST_TIMEOUT", "MAX_DEADLINE_EXCEEDED", "SHUTTING_DOWN"),
    *("ANSWERS_UNREAD", "DEADLINE_EXCEEDED", "DATABASE_UNAVAILABLE", "DATABASE_BUSY", "DATABASE_INCONSISTENT"),
    *("SCHEMA_MISMATCH", "SNAPSHOT_ENDED", "STATEMENT_CANCELLED", "STORAGE_FULL", "NOT_REPLICATED", "INTERNAL"),
    *("CREDENTIALS_REQUIRED", "CREDENTIALS_INVALID", "ROLE_REQUIRED"),
    *("TOO_MANY_WATCHES", "WATCH_TOO_SLOW", "WATCH_FAILED"),
)
"""The reasons of refusals that are counted: those of each ServerError and AccessError, and INTERNAL."""
LABELS: Mapping[str, tuple[str, ...]] = {
    "grpc_status": tuple(code.name for code in grpc.StatusCode),
    "reason": REASONS,
    "lane": ("get", "write", "bulk", "watch", "health"),
    "operation": ("read", "write"),
    "result": ("replica", "no_position", "outdated", "behind", "unavailable", "failed"),
    "state": ("open", "busy"),
    "file": ("main", "wal"),
    "ended": ("client", "too_slow", "expired", "shutdown", "access", "failed"),
}
"""The values of each label but `grpc_method`."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A metric: one time series, or several, for each combination of its labels' values."""

    name: str
    """The name in Prometheus. That of a counter ends in "_total"."""
    text: str
    labels: tuple[str, ...] = ()
    kind: str = "gauge"
    """"counter", "gauge" or "histogram"."""
    buckets: tuple[float, ...] = ()
    """The upper bounds of a histogram's buckets. A last bucket without a bound follows them."""
    merge: Callable[[Iterable[float]], float] = sum
    """Makes one value of a gauge out of the values of all workers, which are one at least."""

    @property
    def cells(self) -> int:
        """The number of numbers in a time series: for a histogram its buckets and the sum of the values."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


_CALL = ("grpc_method", "grpc_status")
STARTED = Family(
    name="grpc_server_call_started_total", kind="counter", labels=("grpc_method",), text="Calls that have begun."
)
DURATION = Family(
    name="grpc_server_call_duration_seconds",
    kind="histogram",
    labels=_CALL,
    buckets=SECONDS,
    text="Time from the arrival of a call's headers until its answer was sent.",
)
SENT = Family(
    name="grpc_server_call_sent_total_compressed_message_size_bytes",
    kind="histogram",
    labels=_CALL,
    buckets=BYTES,
    text="Size of the answer of each call.",
)
RECEIVED = Family(
    name="grpc_server_call_rcvd_total_compressed_message_size_bytes",
    kind="histogram",
    labels=_CALL,
    buckets=BYTES,
    text="Size of the request of each call.",
)
IN_FLIGHT = Family(
    name="artemis_calls_in_flight", labels=("grpc_method",), text="Calls that have begun and are not answered."
)
REFUSED = Family(
    name="artemis_calls_refused_total",
    kind="counter",
    labels=("reason",),
    text="Calls that the server refused, by the reason in their details.",
)
DATABASE = Family(
    name="artemis_database_duration_seconds",
    kind="histogram",
    labels=("operation",),
    buckets=SECONDS,
    text="Time of each read, and of each write from its queue to its commit.",
)
GROUP = Family(
    name="artemis_writer_group_size",
    kind="histogram",
    buckets=GROUPS,
    text="Writes that shared a transaction (SQLite).",
)
LINES_OMITTED = Family(
    name="artemis_request_log_omitted_total",
    kind="counter",
    text="Lines of failed calls that the request log left out, because many were alike or nobody read the log.",
)
QUEUE = Family(name="artemis_writer_queue", text="Writes that wait for the writer's thread (SQLite).")
CONNECTIONS = Family(
    name="artemis_database_connections",
    labels=("state",),
    text="Connections that threads keep: all that are open, and those that somebody waits for.",
)
MAX_CONNECTIONS = Family(name="artemis_database_max_connections", text="Connections that may be open.")
FILE = Family(
    name="artemis_database_file_bytes",
    labels=("file",),
    text="Size of the database and of its write-ahead log (SQLite).",
    merge=max,
)
FREE = Family(
    name="artemis_database_free_bytes", text="Free space of the file system with the database (SQLite).", merge=min
)
LANE_CALLS = Family(
    name="artemis_lane_calls", labels=("lane",), text="Calls that a thread of the lane answers, or that wait for one."
)
LANE_WAITING = Family(
    name="artemis_lane_waiting", labels=("lane",), text="Calls that wait for a thread of the lane, or for the writer."
)
LANE_LIMIT = Family(
    name="artemis_lane_max_calls", labels=("lane",), text="Calls that the lane may have; it refuses more."
)
REPLICA_READS = Family(
    name="artemis_replica_reads_total",
    kind="counter",
    labels=("result",),
    text="Reads by callers, if there are replicas: answered by one, or the reason why the primary answered.",
)
REPLICAS = Family(name="artemis_replicas_usable", text="Replicas that may answer reads.", merge=min)
REPLICA_LAG = Family(
    name="artemis_replica_lag_bytes",
    text="Bytes of the write-ahead log that the slowest usable replica has not replayed.",
    merge=max,
)
WATCHERS = Family(name="artemis_watchers", text="Open watches of changes.")
WATCHES_ENDED = Family(
    name="artemis_watches_ended_total",
    kind="counter",
    labels=("ended",),
    text="Watches that have ended, by who or what ended them.",
)
WATCH_LAG = Family(
    name="artemis_watch_lag_seconds",
    text="Seconds since the watches were last at the end of the log of changes; 0 while there are none.",
    merge=max,
)
CHANGES = Family(name="artemis_changes", text="Changes in the log, as counted by the span of their ids.", merge=max)
SERVING = Family(name="artemis_health_serving", text="Workers whose health is SERVING.")
LIVE = Family(name="artemis_workers", text="Workers that run.")
CERTIFICATE = Family(
    name="artemis_tls_certificate_expiry_timestamp_seconds",
    text="When the certificate of the server expires; 0 without TLS.",
    merge=min,
)
CPU = Family(name="process_cpu_seconds_total", kind="counter", text="CPU time, user and system.")
MEMORY = Family(name="process_resident_memory_bytes", text="Resident memory; what workers share is in each of them.")
DESCRIPTORS = Family(name="process_open_fds", text="Open file descriptors.")
START = Family(name="process_start_time_seconds", text="When the oldest worker began to serve.", merge=min)

FAMILIES = (
    *(STARTED, DURATION, SENT, RECEIVED, IN_FLIGHT, REFUSED),
    *(LANE_CALLS, LANE_WAITING, LANE_LIMIT),
    *(WATCHERS, WATCHES_ENDED, WATCH_LAG, CHANGES),
    *(DATABASE, QUEUE, GROUP, CONNECTIONS, MAX_CONNECTIONS, FILE, FREE),
    *(REPLICA_READS, REPLICAS, REPLICA_LAG),
    *(SERVING, LIVE, CERTIFICATE, LINES_OMITTED),
    *(CPU, MEMORY, DESCRIPTORS, START),
)


class Layout:
    """The place of each number in a block of numbers: the same in all processes that know the same methods."""

    def __init__(self, methods: Iterable[str]) -> None:
        """Takes the full names of the methods, such as "artemis.v1.EventService/GetEvent"."""
        self._values = {**LABELS, "grpc_method": (*sorted(methods), OTHER)}
        self._places: dict[tuple[Family, tuple[str, ...]], int] = {}
        self.size = 0
        for family in FAMILIES:
            for values in self.series(family):
                self._places[family, values] = self.size
                self.size += family.cells

    @property
    def methods(self) -> tuple[str, ...]:
        """The values of the label `grpc_method`."""
        return self._values["grpc_method"]

    def series(self, family: Family) -> Iterable[tuple[str, ...]]:
        """Returns the combinations of the labels' values."""
        return product(*(self._values[label] for label in family.labels))

    def place(self, family: Family, *values: str) -> int:
        """Returns the place of the first number of a time series."""
        return self._places[family, values]
