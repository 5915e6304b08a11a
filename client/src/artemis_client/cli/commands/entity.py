"""The groups `artemis events` and `artemis users`: the same commands, and for events also those about changes."""

from artemis_client.cli.examples import EXAMPLES
from artemis_client.cli.lazy import Lazy, LazyGroup
from artemis_client.cli.options import common_options

_HERE = "artemis_client.cli.commands"


def events() -> LazyGroup:
    """Builds the group of events."""
    changes = {
        "history": Lazy("Show the changes of one event.", f"{_HERE}.history", "history", ("events",)),
        "watch": Lazy("Follow the changes of events as they are made.", f"{_HERE}.watch", "watch", ("events",)),
    }
    return _group("events", "Get, list, change and import events, and follow their changes.", changes)


def users() -> LazyGroup:
    """Builds the group of users."""
    return _group("users", "Get, list, change and import users.", {})


def _group(name: str, help: str, more: dict[str, Lazy]) -> LazyGroup:  # noqa: A002 - click's name for it
    one = name.removesuffix("s")
    commands = {
        "get": Lazy(f"Show {name} by their ids.", f"{_HERE}.reading", "get", (name,)),
        "list": Lazy(f"List the {name} that match a filter.", f"{_HERE}.reading", "list_", (name,)),
        "create": Lazy(f"Create one {one}.", f"{_HERE}.writing", "create", (name,)),
        "update": Lazy(f"Change fields of {name}.", f"{_HERE}.writing", "update", (name,)),
        "delete": Lazy(f"Delete {name}.", f"{_HERE}.deleting", "delete", (name,)),
        "import": Lazy(f"Create {name} from lines of JSON.", f"{_HERE}.importing", "import_", (name,)),
        **more,
    }
    return LazyGroup(
        name, help=help, commands=commands, examples=EXAMPLES[name, ""], params=common_options(hidden=True)
    )
