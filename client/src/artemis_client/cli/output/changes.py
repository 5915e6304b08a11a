"""Changes of events for people: each with its time, its type, who made it, and what it changed."""

from datetime import tzinfo

import click
from artemis.v1 import events_pb2
from google.protobuf.message import Message

from artemis_client.cli.output.columns import Column, columns_of
from artemis_client.cli.output.escape import for_terminal
from artemis_client.cli.output.writers import View
from artemis_client.cli.resources import Resource, descriptor_of

_COLORS = {"created": "green", "updated": "yellow", "deleted": "red"}
_TYPE_WIDTH = max(map(len, _COLORS))


def view_of_changes(resource: Resource, zone: tzinfo | None) -> View:
    """Returns how the history of a resource is shown. CSV has the fields of the event as event.name and so on."""
    columns = columns_of(descriptor_of(events_pb2.EventChange), inside=[resource.singular])
    before_and_after = [each for each in columns_of(descriptor_of(resource.message)) if each.name in _names(resource)]
    changed = Column(name="changed", value=lambda change: _changed(change, zone, before_and_after))
    own = [column.name for column in columns if "." not in column.name]
    return View(key="changes", columns=[*columns, changed], required=[*own, "changed"])


def line_of(change: events_pb2.EventChange, zone: tzinfo | None) -> str:
    """Returns a change on one line, for a terminal."""
    named = {column.name: column for column in columns_of(descriptor_of(type(change)))}
    time, kind, by = (named[name].for_people(change, zone) for name in ("change_time", "type", "principal"))
    shown = click.style(kind.ljust(_TYPE_WIDTH), fg=_COLORS.get(kind))
    made_by = f"  ({for_terminal(by)})" if by else ""
    return f"{time}  {shown}  {change.event.id}  {for_terminal(change.event.name)}{made_by}"


def _names(resource: Resource) -> set[str]:
    return {field.name for field in resource.writable}


def _changed(change: Message, zone: tzinfo | None, columns: list[Column]) -> str:
    """Returns what an update changed, such as "location: Kyoto -> Osaka"; nothing for a creation or deletion."""
    if not isinstance(change, events_pb2.EventChange) or not change.HasField("previous_event"):
        return ""
    pairs = (
        (column.name, column.for_people(change.previous_event, zone), column.for_people(change.event, zone))
        for column in columns
    )
    return "; ".join(f"{name}: {old or '(none)'} -> {new or '(none)'}" for name, old, new in pairs if old != new)
