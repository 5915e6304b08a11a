"""The command line: `artemis-server serve | migrate | check | backup | token`. A failure is one line on stderr."""

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version

from artemis_models import (
    DatabaseError,
    Pooler,
    check_reachable,
    check_revision,
    check_sequences,
    check_writable,
    create_engine,
    describe,
    head_revision,
    join_attempts,
    pooler_of,
    text_index,
    tune_allocator,
    tune_garbage_collector,
    upgrade,
    upgrade_sql,
)
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from artemis_server import logs, supervisor
from artemis_server.access.control import AccessControl
from artemis_server.app import (
    Application,
    ListenError,
    check_address,
    engines_of_replicas,
    max_connections,
    replicas_of,
    reserve_address,
    share_metrics,
)
from artemis_server.commands import token
from artemis_server.commands.backup import backup, stoppable
from artemis_server.cores import available, confine, share_out
from artemis_server.db.connection.database import Database
from artemis_server.db.connection.turn import SharedTurn, Turn
from artemis_server.settings import Settings, SettingsError, parse
from artemis_server.supervisor import REPLACED, SAME_SIGNAL, STOP_SIGNALS, Tell, supervise
from artemis_server.telemetry.traces import enabled as traces_enabled
from artemis_server.telemetry.traces import traces_of
from artemis_server.telemetry.worker import Metrics, Telemetry

MIN_THREADS = 8
"""Threads of a worker at least, because all calls of a connection come to one worker."""
_CONNECTION_LIMIT = (
    "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    " - coalesce(current_setting('reserved_connections', true)::int, 0)"  # PostgreSQL 16 has it first
)
HEALTH_INTERVAL = 0.2
"""Seconds between two looks at the health of a worker that is not SERVING yet."""

MAX_REPLACED_GRACE = 2.0
"""Seconds at most that a worker has to stop when another one serves in its place.

A caller that is refused tries again on its connection, which stays with the old worker until that ends, and may meet
another old one then. The client gives up after about 6 s (docs/adr/0024).
"""

log = logging.getLogger("artemis_server")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, or after one line on stderr 1, or 2 if it is about a setting."""
    try:
        settings = parse(sys.argv[1:] if arguments is None else arguments)
        if settings.command == "token":
            return token.new(settings)
        logs.set_up(settings.log_level, settings.log_format)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # artemis_models logs every migration
        engine = _engine(settings)
        try:
            return _COMMANDS[settings.command](settings, engine)
        except SQLAlchemyError as error:
            raise DatabaseError(describe(error, engine)) from error
    except (SettingsError, DatabaseError, ListenError) as error:
        print(f"artemis-server: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1


def _engine(settings: Settings, *, must_exist: bool = False) -> Engine:
    return create_engine(
        settings.database_url,
        password_file=settings.database_password_file,
        read_only=settings.command == "check" or settings.sql,
        must_exist=must_exist,
        connections=max_connections(settings),
    )


def _serve(settings: Settings, engine: Engine) -> int:
    # Blocked in every thread, the signals wait for sigwait. A handler would run only once the main thread wakes up,
    # and a signal that the system delivers to another thread does not wake it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGHUP})
    if settings.workers not in (None, 1) and not supervisor.SUPPORTED:
        raise SettingsError("several workers need Linux: leave out --workers")
    access = AccessControl(settings)
    traces_enabled()
    check_address(settings.listen)  # before anything is changed
    engines_of_replicas(settings, engine)
    migrating = engine.dialect.name == "sqlite" if settings.migrate is None else settings.migrate
    check_reachable(engine, upgradable=migrating)
    log.info("artemis-server %s starts", version("artemis-server"))
    if migrating:
        upgrade(engine)
    elif (missing := text_index.lack(engine)) is not None:
        log.warning("%s", missing)
    workers = count_workers(settings, engine)
    metrics = share_metrics(settings, workers)
    if workers == 1:
        return _serve_alone(settings, engine, access, metrics)
    return _serve_together(settings, engine, metrics, workers)


def _serve_alone(settings: Settings, engine: Engine, access: AccessControl, metrics: Metrics | None) -> int:
    telemetry = Telemetry(settings, metrics, traces_of(engine.dialect.name))
    application = Application(settings, engine, access=access, telemetry=telemetry)
    port = _start(settings, application)
    log.info("serving on %s:%s", settings.listen.rpartition(":")[0], port)
    while signal.sigwait({*STOP_SIGNALS, signal.SIGHUP}) == signal.SIGHUP:
        log.info("SIGHUP changes nothing: there are no workers to renew")
    threading.Thread(target=_end_at_next_signal, name="signals", daemon=True).start()
    _stop(application, settings.shutdown_grace)
    logging.shutdown()
    os._exit(0)  # with the connections, at once: see Application.stop


def _serve_together(settings: Settings, engine: Engine, metrics: Metrics | None, workers: int) -> int:
    engine.dispose()  # a connection must not be used by two processes
    join_attempts()
    host = settings.listen.rpartition(":")[0]
    with reserve_address(settings.listen) as reserved:
        listen = f"{host}:{reserved.getsockname()[1]}"
        shared = replace(_share(settings, workers), listen=listen)
        turn = SharedTurn()
        log.info("starting %s workers", workers)
        tune_garbage_collector()  # here already: a worker that collects what it inherits takes twice the time to start
        return supervise(
            workers,
            lambda number, tell: _work(shared, metrics, turn, number, tell),
            grace=settings.shutdown_grace,
            on_start=lambda: log.info("serving on %s", listen),
        )


def _work(settings: Settings, metrics: Metrics | None, turn: Turn, number: int, tell: Tell) -> int:
    """Serves as a worker until SIGTERM or REPLACED, and returns the exit code.

    It loads the files of access control itself: what the supervisor loaded may be old, and have tokens that have been
    revoked since. While a file is broken, no worker starts, and those that run go on with what they have.
    """
    assert settings.workers is not None  # noqa: S101, for the type checker
    logs.set_worker(number)
    if settings.cores == "one":
        share_out(number, settings.workers)
    try:
        engine = _engine(settings, must_exist=True)  # a file that is gone must not come back empty
        telemetry = Telemetry(settings, metrics, traces_of(engine.dialect.name), worker=number)
        application = Application(settings, engine, share_port=True, turn=turn, telemetry=telemetry)
        _start(settings, application)
    except (SettingsError, DatabaseError, ListenError) as error:
        log.error("%s", error)
        return 1
    tell(supervisor.LISTENING)
    received = None
    while received is None and not application.healthy:
        received = signal.sigtimedwait({signal.SIGTERM, REPLACED}, HEALTH_INTERVAL)
    if received is None:
        tell(supervisor.SERVING)
        received = signal.sigwaitinfo({signal.SIGTERM, REPLACED})
    grace = settings.shutdown_grace
    _stop(application, min(grace, MAX_REPLACED_GRACE) if received.si_signo == REPLACED else grace)
    return 0


def _start(settings: Settings, application: Application) -> int:
    """Lets the application answer, and returns its port.

    Raises:
        ListenError: the address is in use, or not one of this machine's.
    """
    try:
        tune_allocator()
        port = application.start()
        tune_garbage_collector()
    except ListenError:
        application.close()
        raise
    if settings.cores == "one":
        confine()
    return port


def _stop(application: Application, grace: float) -> None:
    log.info("stopping: up to %g s for requests in flight", grace)
    application.stop(grace)
    log.info("stopped")
    logs.finish()


def _end_at_next_signal() -> None:
    """Ends the process at once with exit code 1, when a second signal to stop arrives: not within SAME_SIGNAL."""
    received = time.monotonic()
    signal.sigwait(STOP_SIGNALS)
    while time.monotonic() - received < SAME_SIGNAL:
        signal.sigwait(STOP_SIGNALS)
    log.warning("stopping at once: requests in flight are cut off")
    os._exit(1)


def count_workers(settings: Settings, engine: Engine) -> int:
    """Returns how many workers serve: on SQLite one, on PostgreSQL one per core that its limit of connections admits.

    A number that is set is taken, and the log has a warning if the connections may not suffice for it.
    """
    if engine.dialect.name == "sqlite":
        return settings.workers or 1
    limit = _connection_limit(engine)
    workers = settings.workers or (available() if supervisor.SUPPORTED else 1)
    fitting = next((n for n in range(workers, 1, -1) if all_connections(settings, n) <= limit), 1)
    if all_connections(settings, workers) > limit:
        log.warning(
            "%s workers need up to %s connections, and PostgreSQL gives this user %s: raise max_connections there, "
            "or lower --threads, or set --workers",
            workers,
            all_connections(settings, workers),
            limit,
        )
    return settings.workers or fitting


def all_connections(settings: Settings, workers: int) -> int:
    """Returns how many connections to PostgreSQL so many workers open together at most."""
    return workers * max_connections(_share(settings, workers))


def _connection_limit(engine: Engine) -> float:
    """Returns how many connections PostgreSQL gives its users; a pooler has a limit of its own, which does not show."""
    with engine.connect() as connection:
        if pooler_of(connection) is not Pooler.NONE:
            return math.inf
        return int(connection.exec_driver_sql(_CONNECTION_LIMIT).scalar_one())


def _share(settings: Settings, workers: int) -> Settings:
    """Returns the settings of each of so many workers."""
    return replace(
        settings, workers=workers, threads=max(min(MIN_THREADS, settings.threads), settings.threads // workers)
    )


def _migrate(settings: Settings, engine: Engine) -> int:
    if settings.sql:
        print(upgrade_sql(engine), end="")
    else:
        revision = upgrade(engine)
        newer = f", newer than this program's {head_revision()}: nothing to do" if revision != head_revision() else ""
        print(f"the schema is at revision {revision}{newer}")
    return 0


def _check(settings: Settings, engine: Engine) -> int:
    AccessControl(settings)
    traces_enabled()
    revision = check_revision(engine)
    check_sequences(engine)
    with engine.connect() as connection:
        check_writable(connection)
    _check_replicas(settings, engine)
    print(f"settings are right, and the database is at revision {revision}: ready to listen on {settings.listen}")
    if engine.dialect.name == "postgresql":
        print(_described_connections(settings, engine))
    return 0


def _described_connections(settings: Settings, engine: Engine) -> str:
    """Returns a line about the connections that the workers need; the log has a warning if there are too few."""
    workers, limit = count_workers(settings, engine), _connection_limit(engine)
    needed = f"connections: {all_connections(settings, workers)} at most (workers: {workers})"
    if limit == math.inf:
        return f"{needed}, to the pooler"
    return f"{needed}, of the {limit} that PostgreSQL has for all its users"


def _check_replicas(settings: Settings, engine: Engine) -> None:
    """Raises DatabaseError, in one line, if a replica cannot be used."""
    replicas = replicas_of(settings, engine)
    if replicas is None:
        return
    with closing(Database(engine, replicas=replicas)) as database:
        database.read(replicas.note_primary)
        replicas.check()


def _backup(settings: Settings, engine: Engine) -> int:
    try:
        with stoppable():
            size = backup(engine, settings.file, overwrite=settings.overwrite)
    except KeyboardInterrupt:
        print("artemis-server: stopped: no backup was made", file=sys.stderr)
        return 1
    print(f"backed up {engine.url.database} to {settings.file}: {size:,} bytes")
    return 0


_COMMANDS: dict[str, Callable[[Settings, Engine], int]] = {
    "serve": _serve,
    "migrate": _migrate,
    "check": _check,
    "backup": _backup,
}
