"""The names of metrics that the dashboard and the alert rules use."""

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs"
PAGE = FOLDER / "telemetry.md"
DASHBOARD = FOLDER / "telemetry" / "dashboard.json"
ALERTS = FOLDER / "telemetry" / "alerts.yml"
OF_OTHERS = {
    "up",
    "artemis_loader_last_success_timestamp_seconds",
    "artemis_loader_load_duration_seconds",
    "artemis_loader_records",
}
"""Metrics of Prometheus and of the loader."""
_NAME = re.compile(r"\b(?:(?:artemis|grpc|process)_[a-z0-9_]+|up)\b(?!\s*=)")
_LABELS = re.compile(r"\{[^}]*\}|\b(?:by|without|on|ignoring) *\([^)]*\)")


def used() -> set[str]:
    """Returns the names in all expressions of the dashboard and the alert rules."""
    return {name for expression in [*expressions(), *rules()] for name in names_in(expression)}


def names_in(expression: str) -> set[str]:
    """Returns the names of metrics in a PromQL expression: sum by (x) (rate(up{y="z"}[5m])) has `up`."""
    return set(_NAME.findall(_LABELS.sub(" ", expression)))


def expressions() -> list[str]:
    """Returns the expressions of the dashboard."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def panels() -> list[dict[str, Any]]:
    """Returns the panels of the dashboard that show something."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def rules() -> list[str]:
    """Returns the expressions of the alert rules, each of which is on one line."""
    return re.findall(r"^ +expr: (.+)$", ALERTS.read_text(encoding="utf-8"), re.MULTILINE)
