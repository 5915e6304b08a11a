"""The command line: `artemis-server serve | migrate | check`. It reports a failure in one line on stderr."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from artemis_models import (
    DatabaseError,
    check_reachable,
    check_revision,
    check_sequences,
    create_engine,
    describe,
    head_revision,
    tune_garbage_collector,
    upgrade,
    upgrade_sql,
)
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from artemis_server import logs
from artemis_server.app import Application, ListenError, check_address, max_connections
from artemis_server.cores import confine
from artemis_server.settings import Settings, SettingsError, parse

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}

log = logging.getLogger("artemis_server")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, or 1 after one line on stderr. Usage errors exit with 2."""
    try:
        settings = parse(sys.argv[1:] if arguments is None else arguments)
        logs.set_up(settings.log_level)
        logging.getLogger("alembic").setLevel(logging.WARNING)  # artemis_models logs every migration
        engine = create_engine(
            settings.database_url,
            password_file=settings.database_password_file,
            read_only=settings.command == "check" or settings.sql,
            connections=max_connections(settings),
        )
        try:
            _COMMANDS[settings.command](settings, engine)
        except SQLAlchemyError as error:
            raise DatabaseError(describe(error, engine)) from error
    except (SettingsError, DatabaseError, ListenError) as error:
        print(f"artemis-server: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(settings: Settings, engine: Engine) -> None:
    # Blocked in every thread, the signals wait for sigwait. A handler would run only once the main thread wakes up,
    # and a signal that the system delivers to another thread does not wake it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    check_address(settings.listen)  # before anything is changed
    migrating = engine.dialect.name == "sqlite" if settings.migrate is None else settings.migrate
    check_reachable(engine, upgradable=migrating)
    log.info("artemis-server %s starts", version("artemis-server"))
    if migrating:
        upgrade(engine)
    application = Application(settings, engine)
    try:
        port = application.start()
        tune_garbage_collector()
    except ListenError:
        application.close()
        raise
    if settings.cores == "one":
        confine()
    log.info("serving on %s:%s", settings.listen.rpartition(":")[0], port)
    signal.sigwait(STOP_SIGNALS)
    log.info("stopping: up to %g s for requests in flight", settings.shutdown_grace)
    application.stop()
    log.info("stopped")
    logging.shutdown()
    os._exit(0)  # with the connections, at once: see Application.stop


def _migrate(settings: Settings, engine: Engine) -> None:
    if settings.sql:
        print(upgrade_sql(engine), end="")
        return
    upgrade(engine)
    print(f"the schema is at revision {head_revision()}")


def _check(settings: Settings, engine: Engine) -> None:
    check_revision(engine)
    check_sequences(engine)
    print(
        f"settings are right, and the database is at revision {head_revision()}: ready to listen on {settings.listen}"
    )


_COMMANDS: dict[str, Callable[[Settings, Engine], None]] = {
    "serve": _serve,
    "migrate": _migrate,
    "check": _check,
}
