"""Loads as a scheduled cloud function: one call loads the feeds that the event names, with settings of ARTEMIS_*."""

from collections.abc import Mapping
from typing import Any

from artemis_models import create_engine, tune_garbage_collector

from artemis_loader.cli import chosen, configure_logging, log_summary
from artemis_loader.config.reader import read_config
from artemis_loader.errors import LoaderError
from artemis_loader.loading import Options, check_schema, load
from artemis_loader.report.progress import LogReporter
from artemis_loader.settings import parse


def lambda_handler(event: Mapping[str, Any] | None, context: object) -> dict[str, Any]:  # noqa: ARG001, by convention
    """Loads feeds once and returns their summaries as JSON values, under "loads".

    `event` may have "feeds" (names; all feeds when absent) and "force" (true or false).

    Raises:
        LoaderError: a feed failed, after the others were loaded; the platform can then try again or alert.
        artemis_models.DatabaseError: the database cannot be used.
    """
    request = event or {}
    settings = parse(["load"])
    configure_logging(settings.log_level)
    tune_garbage_collector()
    engine = create_engine(settings.database_url, password_file=settings.database_password_file)
    try:
        feeds = chosen(read_config(settings.config), tuple(request.get("feeds", ())))
        check_schema(engine)
        options = Options(
            rejects=settings.rejects, retention=settings.load_retention, force=request.get("force") is True
        )
        summaries = [load(engine, feed, options, LogReporter()) for feed in feeds]
    finally:
        engine.dispose()
    for summary in summaries:
        log_summary(summary)
    failed = [f"{summary.feed}: {summary.error}" for summary in summaries if summary.failed]
    if failed:
        raise LoaderError("; ".join(failed))
    return {"loads": [summary.as_json() for summary in summaries]}
