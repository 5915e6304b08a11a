"""The functions that return the values of the gauges of one process."""

from collections.abc import Callable, Iterable
from functools import partial

from artemis_server.db.connection.database import Database
from artemis_server.db.replicas.routing import Replicas
from artemis_server.health import HealthMonitor
from artemis_server.rpc.lanes import Lane
from artemis_server.telemetry.families import (
    CERTIFICATE,
    CHANGES,
    CONNECTIONS,
    FILE,
    FREE,
    LANE_CALLS,
    LANE_LIMIT,
    LANE_WAITING,
    MAX_CONNECTIONS,
    QUEUE,
    REPLICA_LAG,
    REPLICAS,
    SERVING,
    WATCH_LAG,
    WATCHERS,
    Family,
)
from artemis_server.telemetry.recorder import Gauges
from artemis_server.watch.watches import Watches


def gauges(
    database: Database,
    replicas: Replicas | None,
    monitor: HealthMonitor,
    lanes: Iterable[Lane],
    watches: Watches,
    max_connections: int,
    certificate_expiry: Callable[[], float],
) -> Gauges:
    """Returns the function of each gauge, which the sampler calls."""
    usage = database.usage
    found: dict[tuple[Family, tuple[str, ...]], Callable[[], float]] = {
        (SERVING, ()): lambda: monitor.healthy,
        (CERTIFICATE, ()): certificate_expiry,
        (QUEUE, ()): lambda: usage().waiting_writes,
        (CONNECTIONS, ("open",)): lambda: usage().open_connections,
        (CONNECTIONS, ("busy",)): lambda: usage().busy_connections,
        (MAX_CONNECTIONS, ()): lambda: max_connections,
        (WATCHERS, ()): lambda: watches.count,
        (WATCH_LAG, ()): lambda: watches.lag,
        (CHANGES, ()): lambda: watches.log_size,
    }
    if replicas is not None:
        found |= {(REPLICAS, ()): replicas.usable, (REPLICA_LAG, ()): replicas.lag}
    file = usage().file
    if file is not None:
        found |= {(FILE, ("main",)): file.size, (FILE, ("wal",)): file.wal_size, (FREE, ()): file.free_space}
    for lane in lanes:
        found |= {
            (LANE_CALLS, (lane.name,)): partial(len, lane.calls),
            (LANE_WAITING, (lane.name,)): lane.waiting,
            (LANE_LIMIT, (lane.name,)): partial(float, lane.max_calls),
        }
    return found
