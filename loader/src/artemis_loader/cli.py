"""The command line: `artemis-loader load | run | check | migrate | status | health`. A failure is a line on stderr."""

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from artemis_models import (
    AUTOCOMMIT,
    DatabaseError,
    check_session,
    create_engine,
    describe,
    tune_garbage_collector,
    upgrade,
)
from artemis_models.flags import OFF
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from artemis_loader.config.reader import read_config
from artemis_loader.errors import ConfigError, FeedError, ListenError, LoaderError
from artemis_loader.feeds import Config, Feed
from artemis_loader.fetch.sources import fetch
from artemis_loader.health.heartbeat import Heartbeat, path_of
from artemis_loader.health.heartbeat import read as read_beats
from artemis_loader.history import PastLoad, last_loads, loaded_feeds
from artemis_loader.loading import Options, Stopped, check_schema, load
from artemis_loader.report.examples import lines_of, print_examples
from artemis_loader.report.preview import preview, print_preview
from artemis_loader.report.progress import LogReporter, reporter
from artemis_loader.report.rejects import clear, dry_path
from artemis_loader.report.tables import print_loads, print_summaries, shown_time
from artemis_loader.settings import METRICS_LISTEN, Settings, parse
from artemis_loader.summary import Summary

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}

log = logging.getLogger("artemis_loader")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, or 1 after one line on stderr. Usage errors exit with 2."""
    settings = parse(sys.argv[1:] if arguments is None else arguments)
    configure_logging(settings.log_level)
    try:
        return _run(settings)
    except KeyboardInterrupt:
        _complain("stopped")
    except (LoaderError, DatabaseError) as error:
        _complain(str(error))
    return 1


def configure_logging(level: str) -> None:
    """Sends log lines to stderr, with times in UTC; of the libraries, only warnings and errors."""
    lines = logging.Formatter("%(asctime)s.%(msecs)03d+00:00 %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    lines.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines)
    logging.basicConfig(level=level, handlers=[handler])
    for name in ("alembic", "apscheduler", "httpcore", "httpx"):  # at DEBUG, httpcore tells headers
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # a load that fails says itself that the connection is lost


def chosen(config: Config, names: Iterable[str]) -> list[Feed]:
    """Returns the feeds of these names, each once; all of them when there are no names."""
    unknown = [name for name in names if name not in config.feeds]
    if unknown:
        raise ConfigError(f"{config.path}: declares no feed {unknown[0]}; it has {', '.join(config.feeds)}")
    return [feed for name, feed in config.feeds.items() if name in names or not names]


def _run(settings: Settings) -> int:
    if settings.preview:
        return _preview(settings)
    if settings.no_database:
        return _check_config(settings)
    engine = create_engine(
        settings.database_url,
        password_file=settings.database_password_file,
        read_only=settings.command in ("check", "status", "health"),
    )
    try:
        return _COMMANDS[settings.command](settings, engine)
    except SQLAlchemyError as error:
        raise DatabaseError(describe(error, engine)) from error
    finally:
        engine.dispose()


def _load(settings: Settings, engine: Engine) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which raises KeyboardInterrupt
    feeds = chosen(read_config(settings.config), settings.feed)
    check_schema(engine)
    check_session(engine)
    clear(str(dry_path(Path(settings.rejects))) if settings.dry_run else settings.rejects)
    tune_garbage_collector()
    options = Options(
        rejects=settings.rejects,
        retention=settings.load_retention,
        dry_run=settings.dry_run,
        force=settings.force,
    )
    summaries = []
    for feed in feeds:
        with reporter() as progress:
            summaries.append(load(engine, feed, options, progress))
    if settings.json:
        print(json.dumps([summary.as_json() for summary in summaries], indent=2))
    else:
        print_summaries(summaries)
        print_examples(summaries)
    for summary in summaries:
        if summary.failed:
            _complain(_failure(summary))
    return int(any(summary.failed for summary in summaries))


def _preview(settings: Settings) -> int:
    failed = False
    for feed in chosen(read_config(settings.config), settings.feed):
        with tempfile.TemporaryDirectory(prefix="artemis-loader-preview-") as folder:
            try:
                print_preview(feed, preview(feed, fetch(feed, None, Path(folder)), settings.preview))
            except FeedError as error:  # the other feeds are shown all the same
                _complain(f"feed {feed.name}: {error}")
                failed = True
    return int(failed)


def _migrate(settings: Settings, engine: Engine) -> int:
    del settings
    print(f"the schema is at revision {upgrade(engine)}")
    return 0


def _run_scheduled(settings: Settings, engine: Engine) -> int:
    # The other commands start sooner without these.
    from artemis_loader.report.metrics import LoadMetrics  # noqa: PLC0415
    from artemis_loader.schedule import Scheduler  # noqa: PLC0415

    stopping = threading.Event()
    # Blocked in every thread, the signals wait for sigwait. A handler would run only once the main thread wakes up,
    # and a signal that the system delivers to another thread does not wake it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    config = read_config(settings.config)
    feeds = [feed for feed in config.feeds.values() if feed.schedule]
    if not feeds:
        raise ConfigError(f"{settings.config}: no feed has a schedule")

    def wait(seconds: float) -> None:
        if stopping.wait(seconds):
            raise Stopped("stopped before anything was changed")

    options = Options(rejects=settings.rejects, retention=settings.load_retention, stopped=stopping.is_set, wait=wait)
    metrics = LoadMetrics(feed.name for feed in feeds)

    def load_feed(feed: Feed) -> None:
        log_summary(metrics.observe(feed.name, lambda: load(engine, feed, options, LogReporter())))

    heartbeat = Heartbeat(path_of(settings.config))
    scheduler = Scheduler(feeds, load_feed, heartbeat.beat)
    check_schema(engine)
    check_session(engine)
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        metrics.restore(connection)
    log.info("artemis-loader %s starts", version("artemis-loader"))
    _serve_metrics(metrics.listen, settings.metrics_listen)
    tune_garbage_collector()
    scheduler.start()
    heartbeat.start()
    signal.sigwait(STOP_SIGNALS)
    stopping.set()
    log.info("stopping: up to %g s for loads that run", settings.shutdown_grace)
    in_time = scheduler.stop(settings.shutdown_grace)
    heartbeat.end()
    if not in_time:
        _complain("a load did not end in time and is cut off; what it had staged is gone")
        end_now(1)
    log.info("stopped")
    return 0


def _serve_metrics(listen: Callable[[str], str], address: str | None) -> None:
    """Listens for Prometheus. If another program has the default address, that is logged, and there are no metrics."""
    if address == OFF:
        return
    try:
        log.info("metrics on http://%s/metrics", listen(address or METRICS_LISTEN))
    except ListenError as error:
        if address is not None:
            raise
        log.warning("there are no metrics: %s (--metrics-listen sets another address, or off)", error)


def log_summary(summary: Summary) -> None:
    """Logs the summary of a load."""
    for line in lines_of(summary):
        log.warning("%s", line)
    for warning in summary.warnings:
        log.warning("feed %s: %s, line %d: %s", summary.feed, warning.file, warning.line, warning.reason)
    if summary.failed:
        log.error("%s", _failure(summary))
        return
    counts = ", ".join(f"{count} {name}" for name, count in asdict(summary.counts).items())
    log.info("feed %s: %s in %.2f s: %s", summary.feed, summary.status, summary.seconds, counts)


def _check_config(settings: Settings) -> int:
    from artemis_loader.schedule import trigger_of  # noqa: PLC0415, as in _run_scheduled

    config = read_config(settings.config)
    scheduled = [feed for feed in config.feeds.values() if feed.schedule]
    for feed in scheduled:
        trigger_of(feed)
    print(f"{settings.config} declares {len(config.feeds)} feeds, {len(scheduled)} of them with a schedule")
    return 0


def _check(settings: Settings, engine: Engine) -> int:
    _check_config(settings)
    try:
        revision = check_schema(engine)
    except DatabaseError as error:
        raise DatabaseError(f"{error} (check --no-database checks the configuration only)") from None
    check_session(engine)
    print(f"the database is at revision {revision}")
    return 0


def _status(settings: Settings, engine: Engine) -> int:
    check_schema(engine)
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        known = loaded_feeds(connection) if settings.feed else ()
        for name in settings.feed:
            if name not in known:
                raise LoaderError(f"no load of a feed {name} is in the history; it has {', '.join(known) or 'none'}")
        loads = last_loads(connection, settings.feed, settings.limit)
    if settings.json:
        print(json.dumps([_as_json(past) for past in loads], indent=2))
    else:
        print_loads(loads)
    return 0


def _health(settings: Settings, engine: Engine) -> int:
    from artemis_loader.health.lateness import problems  # noqa: PLC0415, as in _run_scheduled

    feeds = read_config(settings.config).feeds.values()
    check_schema(engine)
    with engine.execution_options(**{AUTOCOMMIT: True}).connect() as connection:
        found = list(problems(connection, feeds, read_beats(path_of(settings.config)), datetime.now(UTC)))
    for problem in found:
        _complain(problem)
    if not found:
        print("healthy")
    return int(bool(found))


def _as_json(past: PastLoad) -> dict[str, object]:
    ended = None if past.end_time is None else shown_time(past.end_time).replace(" ", "T") + "Z"
    return {
        "feed": past.feed,
        "status": str(past.status),
        "started": shown_time(past.start_time).replace(" ", "T") + "Z",
        "finished": ended,
        "seconds": past.seconds,
        **asdict(past.counts),
        "error": past.error,
        "first_warnings": [asdict(warning) for warning in past.warnings],
    }


def _failure(summary: Summary) -> str:
    prefix = f"feed {summary.feed}: "
    return summary.error if summary.error.startswith(prefix) else prefix + summary.error


def _complain(text: str) -> None:
    print(f"artemis-loader: {text}", file=sys.stderr)


def end_now(code: int) -> NoReturn:
    """Ends the process without waiting for its threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


_COMMANDS: dict[str, Callable[[Settings, Engine], int]] = {
    "load": _load,
    "run": _run_scheduled,
    "check": _check,
    "migrate": _migrate,
    "status": _status,
    "health": _health,
}
